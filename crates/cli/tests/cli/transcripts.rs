//! What the program wrote down of a session with a real server is replayed without the server.

use futures_util::{StreamExt, stream};
use sansftp_connector::connection::Connection;
use sansftp_connector::document::Document;
use sansftp_connector::operation::{Get, GetAction, Operation, Send};
use sansftp_connector::outcome::{AfterAction, Outcome, Status};
use sansftp_connector::transcript::replay::Replay;
use sansftp_connector::{Connector, Destination};

use super::support::Scene;

/// The outcomes of the same operation without the server, which must be what was recorded to the last
/// call.
async fn again(scene: &Scene, operation: Operation, document: Document) -> Vec<Outcome> {
    let replay = Replay::from_file(&scene.path("asked.jsonl")).unwrap();
    let folder = scene.path("again");
    std::fs::create_dir(&folder).unwrap();
    let connection = Connection {
        host: "partner".to_owned(),
        ..Connection::default()
    };
    let connector =
        Connector::new(replay.clone(), connection).with_destination(Destination::Directory(folder));
    let outcomes = connector.run(operation, stream::iter([document]));
    let outcomes = outcomes.collect().await;
    if let Err(different) = replay.check() {
        panic!("{different}\n{outcomes:?}");
    }
    outcomes
}

#[tokio::test]
async fn a_get_from_a_real_server_is_replayed_without_it() {
    let mut scene = Scene::start();
    scene.sshd.write("out/a.csv", "alpha");
    scene.sshd.write("out/b.csv", "b".repeat(300_000));
    scene.sshd.mkdir("out/below");
    let flags = [
        "--action=get-and-delete",
        "--transcript=asked.jsonl",
        "--json",
    ];
    let ran = scene.get("out", &flags).with_code(0);
    scene.sshd.stop();
    let get = Get {
        remote_directory: Some("out".to_owned()),
        action: GetAction::GetAndDelete,
        ..Get::default()
    };
    let outcomes = again(&scene, get.into(), Document::empty()).await;
    let recorded = ran.events();
    let files = |outcome: &&Outcome| outcome.status == Status::Ok;
    for outcome in outcomes.iter().filter(files) {
        let name = outcome.properties.text("filename").unwrap();
        let line = recorded.iter().find(|line| line["filename"] == name);
        let size = line.unwrap()["size"].to_string();
        assert_eq!(outcome.properties.text("size"), Some(size.as_str()));
        assert_eq!(outcome.after_action, AfterAction::Deleted);
    }
    assert_eq!(outcomes.iter().filter(files).count(), 2, "{outcomes:?}");
}

#[tokio::test]
async fn a_send_to_a_real_server_is_replayed_without_it() {
    let mut scene = Scene::start();
    scene.sshd.write("in/order.xml", "the one before");
    let order = "<order/>".repeat(20_000);
    scene.write("order.xml", &order);
    let words = ["order.xml", "--transcript=asked.jsonl", "--json"];
    let ran = scene.send("in", &words).with_code(0);
    scene.sshd.stop();
    let send = Send {
        remote_directory: Some("in".to_owned()),
        ..Send::default()
    };
    let document = Document::bytes(order).with("filename", "order.xml");
    let outcomes = again(&scene, send.into(), document).await;
    assert_eq!(outcomes.len(), 1, "{outcomes:?}");
    let name = outcomes[0].properties.text("filename").unwrap();
    assert_eq!(name, "order1.xml");
    assert_eq!(ran.events()[0]["filename"], name);
}
