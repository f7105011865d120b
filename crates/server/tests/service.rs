//! A service as embedders use it: own users, files in memory, our own client over TCP.
//!
//! Not the program: what stock clients make of it is tested there.

use sansftp_proto::session::{Config, Trust};
use sansftp_server::algorithms::Selection;
use sansftp_server::default_provider;
use sansftp_server::host_keys::HostKeys;
use sansftp_server::service::{Event, Limits, Service, What};
use sansftp_server::sftp::{ClosedBy, FileSystem, MemFs, OpenFlags};
use sansftp_server::users::{Identity, Judge, Sources, User, Users, hash_password};
use sansftp_tokio::{Client, Credentials, Deadlines, Target};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A service with the users alice and bob, whose passwords are their names; each has files of their
/// own.
struct Scene {
    service: Service<Judge>,
    port: u16,
    told: Arc<Mutex<Vec<Event>>>,
}

impl Scene {
    async fn start(limits: &Limits) -> Self {
        let provider = default_provider();
        let keys = HostKeys::transient(&provider).unwrap();
        let mut sources = Sources::default();
        for name in ["alice", "bob"] {
            let mut user = User::default();
            let hash = hash_password(&name.to_owned().into(), &*provider.random).unwrap();
            user.password = Some(hash.parse().unwrap());
            sources.users.push((name.to_owned(), user));
        }
        let users = Users::load(sources).unwrap();
        let config = Selection::default().configure(provider, &keys).unwrap();
        let all: Mutex<HashMap<String, Arc<MemFs>>> = Mutex::default();
        let files = move |identity: &Identity| -> Arc<dyn FileSystem> {
            let mut all = all.lock().unwrap();
            Arc::clone(all.entry(identity.user.clone()).or_default()) as Arc<dyn FileSystem>
        };
        let told = Arc::new(Mutex::new(Vec::new()));
        let teller = Arc::clone(&told);
        let service = Service::new(
            config,
            limits,
            move |peer| users.authenticate(peer),
            files,
            move |event| teller.lock().unwrap().push(event),
        );
        let mut bound = service.bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let port = bound.address().port();
        tokio::spawn(async move { bound.run().await });
        Self {
            service,
            port,
            told,
        }
    }

    async fn connect(&self, user: &str) -> Client {
        Client::connect(
            &Target::new("127.0.0.1", self.port),
            Config::client(default_provider()),
            &Deadlines::default(),
            |_| Trust::Trusted,
            Credentials::new(user).password(user.to_owned()),
        )
        .await
        .unwrap()
    }

    /// Waits until something like this was told.
    async fn until(&self, what: impl Fn(&Event) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !self.told.lock().unwrap().iter().any(&what) {
            assert!(Instant::now() < end, "{:?}", self.told.lock().unwrap());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_has_their_own_files_and_everything_is_told() {
    let scene = Scene::start(&Limits::default()).await;
    let alice = scene.connect("alice").await;
    let sftp = alice.sftp().await.unwrap();
    let flags = OpenFlags::WRITE | OpenFlags::CREATE;
    let mut file = sftp.open_write(b"/hers", flags).await.unwrap();
    file.write(0, "content".into()).await.unwrap();
    file.close().await.unwrap();
    let again = scene.connect("alice").await;
    assert!(again.sftp().await.unwrap().stat(b"/hers").await.is_ok());
    let bob = scene.connect("bob").await;
    assert!(bob.sftp().await.unwrap().stat(b"/hers").await.is_err());
    assert_eq!(scene.service.sessions(), 3);
    scene
        .until(|event| {
            event.user.as_deref() == Some("alice")
                && matches!(&event.what, What::Transferred { path, written: 7, by: ClosedBy::Client, .. } if path == "/hers")
        })
        .await;
    for client in [alice, again, bob] {
        client.close().await;
    }
    scene
        .until(|event| {
            event.user.as_deref() == Some("bob") && matches!(event.what, What::Disconnected { .. })
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn shutting_down_waits_for_sessions_and_then_ends_them() {
    let scene = Scene::start(&Limits::default()).await;
    let client = scene.connect("alice").await;
    let sftp = client.sftp().await.unwrap();
    // Somebody who has not authenticated is not waited for.
    let silent = tokio::net::TcpStream::connect(("127.0.0.1", scene.port)).await;
    scene.until(|event| event.connection == 2).await;
    let begun = Instant::now();
    let service = scene.service.clone();
    let ending = tokio::spawn(async move { service.shut_down(Duration::from_millis(500)).await });
    scene
        .until(|event| event.connection == 2 && matches!(event.what, What::Refused { .. }))
        .await;
    assert!(
        sftp.stat(b"/").await.is_ok(),
        "the session goes on meanwhile"
    );
    ending.await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(500));
    assert!(sftp.stat(b"/").await.is_err());
    assert_eq!(scene.service.sessions(), 0);
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_is_told_as_such_and_all_of_it_before_the_end() {
    let scene = Scene::start(&Limits::default()).await;
    let client = scene.connect("alice").await;
    let sftp = client.sftp().await.unwrap();
    let flags = OpenFlags::WRITE | OpenFlags::CREATE;
    let mut file = sftp.open_write(b"/half", flags).await.unwrap();
    file.write(0, "content".into()).await.unwrap();
    file.flush().await.unwrap();
    scene.service.shut_down(Duration::ZERO).await;
    scene
        .until(|event| matches!(event.what, What::Disconnected { .. }))
        .await;
    let told = scene.told.lock().unwrap();
    let at = |what: fn(&What) -> bool| told.iter().position(|event| what(&event.what));
    let cut = at(|what| {
        matches!(
            what,
            What::Transferred {
                written: 7,
                by: ClosedBy::End,
                ..
            }
        )
    });
    let ended = at(|what| matches!(what, What::SftpEnded { written: 7, .. }));
    let disconnected = at(|what| matches!(what, What::Disconnected { .. }));
    assert!(
        cut.is_some() && cut < ended && ended < disconnected,
        "{told:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_on_any_stream_counts_and_ends_like_others() {
    let scene = Scene::start(&Limits::default()).await;
    let (near, far) = tokio::io::duplex(1 << 16);
    let service = scene.service.clone();
    let serving = tokio::spawn(async move { service.serve(far, None).await });
    let client = Client::over(
        near,
        Config::client(default_provider()),
        &Deadlines::default(),
        |_| Trust::Trusted,
        Credentials::new("alice").password("alice".to_owned()),
    )
    .await
    .unwrap();
    let sftp = client.sftp().await.unwrap();
    assert_eq!(scene.service.sessions(), 1);
    scene.service.shut_down(Duration::ZERO).await;
    serving.await.unwrap();
    assert!(sftp.stat(b"/").await.is_err());
    let (_near, far) = tokio::io::duplex(1 << 16);
    scene.service.serve(far, None).await;
    let told = scene.told.lock().unwrap();
    assert!(
        told.iter().all(|event| event.connection == 1),
        "nobody is let in any more: {told:?}"
    );
}
