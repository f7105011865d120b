//! Sends two documents to a server in memory, gets them back into a folder, and moves them there.
//!
//! With a real server only the first argument of `Connector::new` is another.

use futures_util::{StreamExt, stream};
use sansftp_connector::connection::Connection;
use sansftp_connector::document::Document;
use sansftp_connector::mem::{Behaviour, HOME, Server};
use sansftp_connector::operation::{Get, GetAction, Operation, Send};
use sansftp_connector::{Connector, Destination};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = Server::new(Behaviour::openssh());
    server.files(|files| files.make_directories(format!("{HOME}/out").as_bytes()));
    let connection = Connection {
        host: "in memory".to_owned(),
        remote_directory: Some("out".to_owned()),
        ..Connection::default()
    };
    let folder = tempfile::tempdir()?;
    let connector = Connector::new(server, connection)
        .with_destination(Destination::Directory(folder.path().to_owned()));

    let documents =
        ["first", "second"].map(|content| Document::bytes(content).with("filename", "order.csv"));
    let sending = Operation::Send(Send::default());
    let mut outcomes = connector.run(sending, stream::iter(documents));
    while let Some(outcome) = outcomes.next().await {
        println!("sent {}", serde_json::to_string(&outcome)?);
    }

    let getting = Operation::Get(Get {
        action: GetAction::GetAndMove,
        file_filter: Some("order*.csv".to_owned()),
        move_to_directory: Some("done".to_owned()),
        create_directories: true,
        ..Get::default()
    });
    let mut outcomes = connector.run(getting, stream::iter([Document::empty()]));
    while let Some(outcome) = outcomes.next().await {
        println!("got {}", serde_json::to_string(&outcome)?);
    }
    Ok(())
}
