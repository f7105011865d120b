//! Wrong credentials reach a server exactly once: they lock accounts.
//!
//! Not what a refusal says: that is with the rows of a connection.

use sansftp_connector::Class;
use sansftp_testkit::sshd::ClientKey;

use super::fixture::{World, bad, document};

/// A key that is not authorised.
fn stranger(world: &World) -> String {
    let key = world.sshd.key(ClientKey::Stranger);
    format!("private-key = '{}'\nretries = 3", key.display())
}

#[tokio::test]
async fn a_refused_key_is_offered_once_for_all_documents() {
    let world = World::start();
    let documents = ["a", "b", "c"].map(|name| document(name, "x"));
    let connection = world.connection(&stranger(&world));
    let outcomes = world
        .run_as(connection, "action = 'send'", documents.into())
        .await;
    assert_eq!(outcomes.len(), 3);
    for outcome in outcomes {
        bad(vec![outcome], Class::Authentication);
    }
    assert_eq!(world.logged("Failed publickey", 1).await, 1);
}

#[tokio::test]
async fn a_refused_password_is_offered_once_and_not_the_same_in_another_way() {
    let world = World::start();
    if !world.sshd.has_own_account() {
        return;
    }
    let mut connection = world.connection("password = 'wrong'\nretries = 3");
    connection.private_key = None;
    let (class, _) = world.login(connection).await.unwrap_err();
    assert_eq!(class, Class::Authentication);
    assert_eq!(world.logged("Failed ", 1).await, 1);
}

#[tokio::test]
async fn a_process_of_five_steps_offers_a_refused_key_once() {
    let world = World::start();
    world.sshd.write("out/a", "x");
    let step = "{ connection = 'c', operation = 'fetch' }";
    let put = "{ connection = 'c', operation = 'put' }";
    let more = format!(
        "[operations.fetch]\naction = 'get'\nremote-directory = 'out'\n\
         [operations.put]\naction = 'send'\n\
         [processes.p]\nsteps = [{step}, {put}, {put}, {put}, {put}]\n"
    );
    world.configure(&stranger(&world), &more);
    let output = world.program().args(["run", "p"]).output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{words}");
    assert_eq!(world.logged("Failed publickey", 1).await, 1, "{words}");
}

#[tokio::test]
async fn listen_offers_a_refused_key_once_and_ends() {
    let world = World::start();
    world.configure(&stranger(&world), "");
    let output = world
        .program()
        .args(["listen", "c", "--into", "inbox", "--interval", "100ms"])
        .output()
        .unwrap();
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(5), "{words}");
    assert_eq!(world.logged("Failed publickey", 1).await, 1, "{words}");
}
