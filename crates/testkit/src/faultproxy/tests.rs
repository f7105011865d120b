//! The proxy between plain sockets: what arrives, and how it ends.

use super::*;

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;

use Direction::{ToClient, ToServer};

/// The two ends of a connection that goes through a proxy.
struct Ends {
    client: TcpStream,
    server: TcpStream,
    proxy: FaultProxy,
    upstream: TcpListener,
}

fn through(plan: Plan) -> Ends {
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let proxy = FaultProxy::start(upstream.local_addr().unwrap(), plan);
    let (client, server) = connect(&proxy, &upstream);
    Ends {
        client,
        server,
        proxy,
        upstream,
    }
}

fn connect(proxy: &FaultProxy, upstream: &TcpListener) -> (TcpStream, TcpStream) {
    let client = TcpStream::connect(proxy.addr()).unwrap();
    let server = upstream.accept().unwrap().0;
    for socket in [&client, &server] {
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
    }
    (client, server)
}

/// What one end receives until the end, and the error if there was one.
fn all(mut socket: &TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let error = socket.read_to_end(&mut bytes).err();
    (bytes, error.map(|error| error.kind()))
}

/// What the server receives when the client sends `bytes` and closes its half.
fn sent_through(plan: Plan, bytes: &[u8]) -> Vec<u8> {
    let mut ends = through(plan);
    ends.client.write_all(bytes).unwrap();
    ends.client.shutdown(Shutdown::Write).unwrap();
    let (came, error) = all(&ends.server);
    assert_eq!(error, None);
    came
}

#[test]
fn without_harm_everything_passes_both_ways_and_is_counted() {
    let mut ends = through(Plan::none());
    let many: Vec<u8> = (0..3_000_000_u32).map(|n| (n % 251) as u8).collect();
    let came = thread::scope(|scope| {
        let reader = scope.spawn(|| all(&ends.server));
        (&ends.client).write_all(&many).unwrap();
        ends.client.shutdown(Shutdown::Write).unwrap();
        reader.join().unwrap()
    });
    assert!(came == (many, None));
    ends.server.write_all(b"answer").unwrap();
    drop(ends.server);
    assert_eq!(all(&ends.client), (b"answer".to_vec(), None));
    assert_eq!(ends.proxy.passed(ToServer), 3_000_000);
    assert_eq!(ends.proxy.passed(ToClient), 6);
}

#[test]
fn a_reset_hands_on_what_came_before_and_is_seen_at_both_ends() {
    for at in [0, 1, 5] {
        let mut ends = through(Plan::one(ToServer, at, Fault::Reset));
        if at > 0 {
            ends.client.write_all(b"0123456789").unwrap();
        }
        let (came, error) = all(&ends.server);
        assert_eq!(came, b"0123456789"[..at as usize], "at {at}");
        assert_eq!(error, Some(ErrorKind::ConnectionReset), "at {at}");
        assert_eq!(
            all(&ends.client).1,
            Some(ErrorKind::ConnectionReset),
            "at {at}"
        );
    }
}

#[test]
fn a_cut_after_n_bytes_does_not_wait_for_another_byte() {
    let mut ends = through(Plan::one(ToClient, 3, Fault::Reset));
    ends.server.write_all(b"abc").unwrap();
    assert_eq!(
        all(&ends.client),
        (b"abc".to_vec(), Some(ErrorKind::ConnectionReset))
    );
}

#[test]
fn a_close_is_an_end_of_file_at_both_ends() {
    let mut ends = through(Plan::one(ToClient, 4, Fault::Close));
    ends.client
        .write_all(b"unread by the proxy's plan")
        .unwrap();
    ends.server.write_all(b"SSH-2.0-x\r\n").unwrap();
    assert_eq!(all(&ends.client), (b"SSH-".to_vec(), None));
    let (_, error) = all(&ends.server);
    assert_eq!(error, None);
}

#[test]
fn a_stall_stops_one_direction_and_leaves_the_other() {
    let mut ends = through(Plan::one(ToServer, 2, Fault::Stall));
    ends.client.write_all(b"abcdef").unwrap();
    let mut two = [0; 2];
    ends.server.read_exact(&mut two).unwrap();
    assert_eq!(&two, b"ab");
    ends.server
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let silence = ends.server.read(&mut two).unwrap_err().kind();
    assert_eq!(silence, ErrorKind::WouldBlock);
    ends.server.write_all(b"still here").unwrap();
    let mut ten = [0; 10];
    ends.client.read_exact(&mut ten).unwrap();
    assert_eq!(&ten, b"still here");
    // And it ends when the sender gives up.
    drop(ends.client);
    ends.server
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    assert!(
        matches!(all(&ends.server), (rest, Some(ErrorKind::ConnectionReset)) if rest.is_empty())
    );
}

#[test]
fn a_flip_inverts_one_bit_of_one_byte() {
    for at in 0..4 {
        let mut expected = *b"\x00\x01\x02\x03";
        expected[at as usize] ^= 1;
        let came = sent_through(Plan::one(ToServer, at, Fault::Flip), b"\x00\x01\x02\x03");
        assert_eq!(came, expected, "at {at}");
    }
}

#[test]
fn a_flip_between_two_writes_hits_the_first_byte_of_the_second() {
    let mut ends = through(Plan::one(ToServer, 2, Fault::Flip));
    let mut two = [0; 2];
    for (write, expected) in [(b"ab", b"ab"), (b"bb", b"cb")] {
        ends.client.write_all(write).unwrap();
        ends.server.read_exact(&mut two).unwrap();
        assert_eq!(&two, expected);
    }
}

#[test]
fn bytes_are_injected_before_the_one_named() {
    let plan = Plan::one(ToServer, 3, Fault::Inject(b"XY".to_vec()));
    assert_eq!(sent_through(plan, b"abcdef"), b"abcXYdef");
    let plan = Plan::one(ToServer, 0, Fault::Inject(b"XY".to_vec()));
    assert_eq!(sent_through(plan, b"abc"), b"XYabc");
}

#[test]
fn a_duplicate_repeats_its_bytes_also_across_reads_and_at_the_end() {
    assert_eq!(
        sent_through(Plan::one(ToServer, 1, Fault::Duplicate(2)), b"abcd"),
        b"abcbcd"
    );
    assert_eq!(
        sent_through(Plan::one(ToServer, 2, Fault::Duplicate(9)), b"abcd"),
        b"abcdcd"
    );
    let mut ends = through(Plan::one(ToServer, 1, Fault::Duplicate(2)));
    let mut came = [0; 2];
    ends.client.write_all(b"ab").unwrap();
    ends.server.read_exact(&mut came).unwrap();
    ends.client.write_all(b"cd").unwrap();
    let mut came = [0; 4];
    ends.server.read_exact(&mut came).unwrap();
    assert_eq!(&came, b"cbcd");
}

#[test]
fn a_delay_holds_what_follows_and_keeps_its_order() {
    let delay = Duration::from_millis(150);
    let mut ends = through(Plan::one(ToServer, 2, Fault::Delay(delay)));
    let start = Instant::now();
    ends.client.write_all(b"abcd").unwrap();
    let mut two = [0; 2];
    ends.server.read_exact(&mut two).unwrap();
    assert_eq!(&two, b"ab");
    assert!(
        start.elapsed() < delay,
        "held too early: {:?}",
        start.elapsed()
    );
    ends.server.read_exact(&mut two).unwrap();
    assert_eq!(&two, b"cd");
    assert!(start.elapsed() >= delay, "not held: {:?}", start.elapsed());
}

#[test]
fn fragments_lose_nothing() {
    let many: Vec<u8> = (0..20_000_u32).map(|n| (n % 256) as u8).collect();
    let plan =
        Plan::one(ToServer, 100, Fault::Fragment(1)).and(ToServer, 10_000, Fault::Fragment(7));
    assert!(sent_through(plan, &many) == many);
}

#[test]
fn several_faults_at_one_place_all_happen() {
    let plan = Plan::one(ToServer, 2, Fault::Inject(b"!".to_vec()))
        .and(ToServer, 2, Fault::Flip)
        .and(ToServer, 4, Fault::Flip);
    assert_eq!(sent_through(plan, b"aabbbb"), b"aa!cbcb");
}

#[test]
fn only_the_connection_named_is_harmed() {
    let ends = through(Plan::one(ToServer, 0, Fault::Flip).only(1));
    let mut second = connect(&ends.proxy, &ends.upstream);
    let mut first = (ends.client, ends.server);
    for ((client, server), expected) in [(&mut first, b"b"), (&mut second, b"c")] {
        client.write_all(b"b").unwrap();
        let mut one = [0];
        server.read_exact(&mut one).unwrap();
        assert_eq!(&one, expected);
    }
    assert_eq!(ends.proxy.connections(), 2);
}

#[test]
fn a_refused_upstream_resets_the_client() {
    let closed = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = FaultProxy::start(closed, Plan::none());
    let client = TcpStream::connect(proxy.addr()).unwrap();
    assert_eq!(all(&client), (Vec::new(), Some(ErrorKind::ConnectionReset)));
}

#[test]
fn dropping_the_proxy_ends_open_connections() {
    let Ends {
        client,
        server,
        proxy,
        ..
    } = through(Plan::one(ToClient, 0, Fault::Stall));
    drop(proxy);
    assert_eq!(all(&client).1, Some(ErrorKind::ConnectionReset));
    assert_eq!(all(&server).1, Some(ErrorKind::ConnectionReset));
}
