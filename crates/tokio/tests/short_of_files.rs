//! A listener in a process that has no file descriptors left. By itself: the limit is the process's.

use sansftp_proto::session::Config;
use sansftp_testkit::suite::Suite;
use sansftp_tokio::server::{Bounds, Gate, Listener};
use std::io::Read;
use std::net::TcpStream;
use std::time::Duration;

#[test]
fn a_listener_outlives_a_shortage_of_files() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let config = Config::server(Suite::Null.provider(2), vec![Suite::Null.key(0)]);
    let config = std::sync::Arc::new(config.with_all_algorithms());
    // Nobody is turned away by chance: all that come are half open, more than the default allows.
    let mut bounds = Bounds::default();
    bounds.half_open_begin = 1_000;
    bounds.half_open_full = 1_000;
    let mut listener = runtime
        .block_on(Listener::bind("127.0.0.1:0", Gate::new(bounds)))
        .unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        loop {
            let arrival = listener.next().await;
            tokio::spawn(Nobody::accept(arrival, config.clone()));
        }
    });
    // One connection, so that whatever is opened once is open.
    hears_the_server(&mut TcpStream::connect(address).unwrap());
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let few = rustix::process::Rlimit {
        current: Some(64),
        maximum: limit.maximum,
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, few).unwrap();
    // The clients' own ends use up what there is.
    let mut clients = Vec::new();
    while let Ok(client) = TcpStream::connect(address) {
        clients.push(client);
    }
    std::thread::sleep(Duration::from_millis(500));
    assert!(clients.len() > 8, "{}", clients.len());
    clients.truncate(4);
    let mut late = TcpStream::connect(address).unwrap();
    hears_the_server(&mut late);
}

fn hears_the_server(stream: &mut TcpStream) {
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut ident = [0; 8];
    stream.read_exact(&mut ident).expect("somebody serves");
    assert_eq!(&ident, b"SSH-2.0-");
}

/// Lets nobody in.
struct Nobody;

impl Nobody {
    async fn accept(
        arrival: sansftp_tokio::server::Arrival,
        config: std::sync::Arc<Config<sansftp_proto::role::Server>>,
    ) {
        let _entrance = arrival.entrance;
        let _ = sansftp_tokio::server::Session::accept(arrival.stream, config, Self).await;
    }
}

impl sansftp_tokio::server::Authenticate for Nobody {
    type Identity = ();

    async fn judge(
        &mut self,
        _: &sansftp_proto::auth::server::Attempt,
    ) -> sansftp_tokio::server::Judgement<()> {
        sansftp_tokio::server::Judgement::Reject {
            methods: Vec::new(),
        }
    }
}
