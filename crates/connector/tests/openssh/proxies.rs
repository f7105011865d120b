//! Proxies that do what is asked, played by scripts: HTTP, SOCKS 4 and 5; and those that do not.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use sansftp_connector::Class;
use sansftp_connector::Connector;
use sansftp_connector::connection::{Connection, Jump, Proxy, ProxyType, Secret, SecretRef};
use sansftp_connector::document::Document;
use sansftp_connector::operation::{List, Operation};
use sansftp_connector::outcome::Outcome;
use sansftp_connector::sftp::SftpConnect;
use sansftp_testkit::sshd::Sshd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};

use super::fixture::{self, bad, connection};

/// Plays a proxy to whoever connects.
async fn proxy<F>(script: impl Fn(TcpStream) -> F + Send + 'static) -> SocketAddr
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(script(stream));
        }
    });
    address
}

/// Connects on, and says `answer` in one piece with the first that the server says.
async fn go_on(mut stream: TcpStream, answer: Vec<u8>, port: u16) {
    let mut server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let mut banner = vec![0; 1024];
    let len = server.read(&mut banner).await.unwrap();
    stream
        .write_all(&[&answer, &banner[..len]].concat())
        .await
        .unwrap();
    // Whoever hangs up first ends it.
    let _ = copy_bidirectional(&mut stream, &mut server).await;
}

/// Reads up to the empty line.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn taken<const N: usize>(stream: &mut TcpStream) -> [u8; N] {
    let mut bytes = [0; N];
    stream.read_exact(&mut bytes).await.unwrap();
    bytes
}

fn by(sshd: &Sshd, kind: ProxyType, at: SocketAddr) -> Connection {
    Connection {
        proxy: Some(Proxy {
            host: Some(format!("http://{}", at.ip())),
            port: Some(at.port()),
            ..Proxy::of(kind)
        }),
        ..connection(sshd)
    }
}

/// With a user, by the name of a server that only the proxy knows.
fn named(sshd: &Sshd, kind: ProxyType, at: SocketAddr) -> Connection {
    let mut connection = by(sshd, kind, at);
    let line = sshd.known_hosts_line();
    let key = line.split_once(' ').unwrap().1;
    connection.known_host = vec![key.to_owned()];
    connection.host = "only.the.proxy.knows.invalid".to_owned();
    let proxy = connection.proxy.as_mut().unwrap();
    proxy.user = Some("me".to_owned());
    if kind != ProxyType::Socks4 {
        proxy.password = Some(SecretRef::Literal(Secret::new("pass:word")));
    }
    connection
}

async fn list(connection: &Connection) -> Vec<Outcome> {
    let connect = SftpConnect::prepare(connection, None).unwrap();
    let connector = Connector::new(connect, connection.clone());
    fixture::run(
        &connector,
        Operation::List(List::default()),
        vec![Document::empty()],
    )
    .await
}

#[track_caller]
fn has_listed(outcomes: &[Outcome]) {
    assert!(outcomes.iter().all(|it| it.error.is_none()), "{outcomes:?}");
    let names = outcomes
        .iter()
        .filter_map(|it| it.properties.text("filename"));
    assert_eq!(names.collect::<Vec<_>>(), ["a"]);
}

#[tokio::test]
async fn http_connects_with_a_name_and_basic_authentication() {
    let sshd = Sshd::start();
    sshd.write("a", "x");
    let port = sshd.port();
    let at = proxy(move |mut stream| async move {
        let head = head(&mut stream).await;
        let place = format!("only.the.proxy.knows.invalid:{port}");
        assert!(head.starts_with(&format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n")));
        // me:pass:word
        assert!(
            head.contains("\r\nProxy-Authorization: Basic bWU6cGFzczp3b3Jk\r\n"),
            "{head}"
        );
        let answer = b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n".to_vec();
        go_on(stream, answer, port).await;
    })
    .await;
    has_listed(&list(&named(&sshd, ProxyType::Http, at)).await);
}

#[tokio::test]
async fn socks_4a_connects_with_a_name() {
    let sshd = Sshd::start();
    sshd.write("a", "x");
    let port = sshd.port();
    let at = proxy(move |mut stream| async move {
        let name = b"only.the.proxy.knows.invalid\0";
        let asked: [u8; 8] = taken(&mut stream).await;
        let [high, low] = port.to_be_bytes();
        assert_eq!(asked, [4, 1, high, low, 0, 0, 0, 1]);
        assert_eq!(&taken::<3>(&mut stream).await, b"me\0");
        assert_eq!(&taken::<29>(&mut stream).await, name);
        go_on(stream, vec![0, 90, 1, 2, 3, 4, 5, 6], port).await;
    })
    .await;
    has_listed(&list(&named(&sshd, ProxyType::Socks4, at)).await);
}

#[tokio::test]
async fn socks_5_connects_with_a_name_and_a_password() {
    let sshd = Sshd::start();
    sshd.write("a", "x");
    let port = sshd.port();
    let at = proxy(move |mut stream| async move {
        assert_eq!(taken(&mut stream).await, [5, 2, 0, 2]);
        stream.write_all(&[5, 2]).await.unwrap();
        assert_eq!(&taken(&mut stream).await, b"\x01\x02me\x09pass:word");
        stream.write_all(&[1, 0]).await.unwrap();
        assert_eq!(
            &taken(&mut stream).await,
            b"\x05\x01\x00\x03\x1conly.the.proxy.knows.invalid"
        );
        assert_eq!(taken(&mut stream).await, port.to_be_bytes());
        // It says by name from where it connects.
        go_on(stream, b"\x05\x00\x00\x03\x05proxy\x12\x34".to_vec(), port).await;
    })
    .await;
    has_listed(&list(&named(&sshd, ProxyType::Socks5, at)).await);
}

#[tokio::test]
async fn an_address_goes_to_socks_as_an_address() {
    let sshd = Sshd::start();
    sshd.write("a", "x");
    let port = sshd.port();
    let at = proxy(move |mut stream| async move {
        assert_eq!(taken(&mut stream).await, [5, 1, 0]);
        stream.write_all(&[5, 0]).await.unwrap();
        let [high, low] = port.to_be_bytes();
        assert_eq!(
            taken(&mut stream).await,
            [5, 1, 0, 1, 127, 0, 0, 1, high, low]
        );
        go_on(stream, vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0], port).await;
    })
    .await;
    has_listed(&list(&by(&sshd, ProxyType::Socks5, at)).await);
}

/// What a broken proxy says, and what is said of it.
struct Broken {
    kind: ProxyType,
    says: Vec<u8>,
    words: &'static str,
}

#[tokio::test]
async fn whatever_a_proxy_does_wrong_is_of_the_class_proxy_and_names_it() {
    let sshd = Sshd::start();
    let http = |says: &[u8], words| Broken {
        kind: ProxyType::Http,
        says: says.to_vec(),
        words,
    };
    let socks5 = |says: &[u8], words| Broken {
        kind: ProxyType::Socks5,
        says: says.to_vec(),
        words,
    };
    let socks4 = |says: &[u8], words| Broken {
        kind: ProxyType::Socks4,
        says: says.to_vec(),
        words,
    };
    let long = [&b"HTTP/1.1 200 OK\r\nX: "[..], &vec![b'x'; 100_000]].concat();
    for Broken { kind, says, words } in [
        http(b"", "closed the connection"),
        http(b"HTTP/1.1 200 OK\r\n", "closed the connection"),
        http(b"SSH-2.0-OpenSSH\r\n\r\n", "no HTTP"),
        http(b"HTTP/1.1 banana\r\n\r\n", "banana"),
        http(
            b"HTTP/1.1 407 Authenticate\r\n\r\n",
            "refuses us: 'HTTP/1.1 407 Authenticate'",
        ),
        http(b"HTTP/1.1 403 \x1b[2JForbidden\r\n\r\n", "does not connect"),
        http(&long, "more than 16384 bytes"),
        socks5(b"", "closed the connection"),
        socks5(b"HTTP/1.1 400", "no answer of SOCKS 5"),
        socks5(&[5, 0xff], "none of the ways"),
        socks5(&[5, 2], "no answer of SOCKS 5"),
        socks5(&[5, 0, 5, 2, 0, 1], "not allowed by its rules"),
        socks5(&[5, 0, 5, 0, 0, 9], "unknown kind of address"),
        socks5(&[5, 0, 5, 0, 0, 3, 255, 1], "closed the connection"),
        socks4(&[0, 91, 0, 0, 0, 0, 0, 0], "rejected"),
        socks4(&[0, 93, 0, 0, 0, 0, 0, 0], "cannot make sure of the user"),
        socks4(b"HTTP/1.1", "no reply of SOCKS 4"),
    ] {
        let at = proxy(move |mut stream| {
            let says = says.clone();
            async move {
                // We may have hung up by then.
                let _ = stream.write_all(&says).await;
                let _ = stream.shutdown().await;
                while matches!(stream.read(&mut [0; 512]).await, Ok(1..)) {}
            }
        })
        .await;
        let (class, text) = bad(list(&by(&sshd, kind, at)).await);
        assert_eq!(class, Class::Proxy, "{text}");
        assert!(text.contains(words), "{text}");
        assert!(text.contains(&format!("the proxy {at}")), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
    }
}

/// What a proxy says when all is well; of SOCKS 5 with and without a password.
fn right_answers() -> [(ProxyType, bool, &'static [u8]); 4] {
    [
        (ProxyType::Http, false, b"HTTP/1.1 200 OK\r\n\r\n"),
        (ProxyType::Socks4, false, &[0, 90, 0, 0, 0, 0, 0, 0]),
        (
            ProxyType::Socks5,
            false,
            &[5, 0, 5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        ),
        (
            ProxyType::Socks5,
            true,
            b"\x05\x02\x01\x00\x05\x00\x00\x03\x05proxy\x12\x34",
        ),
    ]
}

/// What a proxy does once it has said what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    HangsUp,
    IsSilent,
    /// The same byte, slowly.
    Dribbles,
    /// The same byte, as fast as they are taken.
    Floods,
}

/// Plays a proxy that says this, and then does that until we have hung up.
async fn rude(says: Vec<u8>, then: Then) -> SocketAddr {
    proxy(move |mut stream| {
        let says = says.clone();
        async move {
            // We may have hung up by then.
            let _ = stream.write_all(&says).await;
            let (mut read, mut write) = stream.split();
            let hears = async { while matches!(read.read(&mut [0; 512]).await, Ok(1..)) {} };
            let speaks = async {
                let piece = match then {
                    Then::HangsUp => return drop(write.shutdown().await),
                    Then::IsSilent => return,
                    Then::Dribbles => 1,
                    Then::Floods => 4096,
                };
                while write.write_all(&b"x".repeat(piece)).await.is_ok() {
                    if then == Then::Dribbles {
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            };
            tokio::join!(hears, speaks);
        }
    })
    .await
}

/// A login through it fails with the class `proxy`, in these words.
async fn fails(sshd: &Sshd, kind: ProxyType, with_password: bool, at: SocketAddr, words: &str) {
    let mut connection = Connection {
        connect_timeout: Duration::from_millis(400),
        ..by(sshd, kind, at)
    };
    if let (true, Some(proxy)) = (with_password, &mut connection.proxy) {
        proxy.user = Some("me".to_owned());
        proxy.password = Some(SecretRef::Literal(Secret::new("word")));
    }
    let (class, text) = bad(list(&connection).await);
    assert_eq!(class, Class::Proxy, "{text}");
    assert!(text.contains(words), "{kind:?}, {words}: {text}");
}

#[tokio::test]
async fn a_proxy_that_hangs_up_at_any_byte_is_told() {
    let sshd = Sshd::start();
    for (kind, with_password, whole) in right_answers() {
        for at in 0..whole.len() {
            let place = rude(whole[..at].to_vec(), Then::HangsUp).await;
            let closed = match with_password {
                true => named(&sshd, kind, place),
                false => by(&sshd, kind, place),
            };
            let (class, text) = bad(list(&closed).await);
            assert_eq!(class, Class::Proxy, "{kind:?} {at}: {text}");
            assert!(text.contains("closed the connection"), "{at}: {text}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_stalls_at_any_byte_is_given_up_in_time() {
    let sshd = Sshd::start();
    let mut all = Vec::new();
    for (kind, with_password, whole) in right_answers() {
        for at in 0..whole.len() {
            let place = rude(whole[..at].to_vec(), Then::IsSilent).await;
            let words = "did not answer in time";
            all.push(fails(&sshd, kind, with_password, place, words));
        }
    }
    futures_util::future::join_all(all).await;
}

#[tokio::test]
async fn a_proxy_that_never_comes_to_an_end_is_given_up() {
    let sshd = Sshd::start();
    let head = b"HTTP/1.1 200 OK\r\nX: ";
    let place = rude(head.to_vec(), Then::Dribbles).await;
    let late = "did not answer in time";
    fails(&sshd, ProxyType::Http, false, place, late).await;
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000).into_bytes();
    for (kind, says, words) in [
        (ProxyType::Http, &head[..], "more than 16384 bytes"),
        (ProxyType::Http, &endless, "more than 16384 bytes"),
        (ProxyType::Socks4, b"", "no reply of SOCKS 4"),
        (ProxyType::Socks5, b"", "no answer of SOCKS 5"),
        (ProxyType::Socks5, &[5, 0], "no reply of SOCKS 5"),
    ] {
        let place = rude(says.to_vec(), Then::Floods).await;
        let unhurried = Connection {
            connect_timeout: Duration::from_secs(60),
            ..by(&sshd, kind, place)
        };
        let (class, text) = bad(list(&unhurried).await);
        assert_eq!(class, Class::Proxy, "{text}");
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn answers_before_the_final_one_long_heads_and_a_length_are_no_hindrance() {
    let sshd = Sshd::start();
    sshd.write("a", "x");
    let port = sshd.port();
    let at = proxy(move |mut stream| async move {
        head(&mut stream).await;
        let answer = format!(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
             HTTP/1.0  200  Fine\r\nContent-Length: 5\r\nX: {}\r\n\r\n",
            "y".repeat(15_000)
        );
        go_on(stream, answer.into_bytes(), port).await;
    })
    .await;
    has_listed(&list(&by(&sshd, ProxyType::Http, at)).await);
}

#[tokio::test]
async fn a_proxy_that_wants_another_way_to_authenticate_is_quoted() {
    let sshd = Sshd::start();
    let says = b"HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: NTLM\r\n\
        Proxy-Authenticate: Negotiate realm=\"x\"\r\nContent-Length: 9\r\n\r\nforbidden";
    let at = rude(says.to_vec(), Then::HangsUp).await;
    let (class, text) = bad(list(&named(&sshd, ProxyType::Http, at)).await);
    assert_eq!(class, Class::Proxy, "{text}");
    assert!(text.contains("it takes NTLM, Negotiate"), "{text}");
    assert!(text.contains("proxy.user"), "{text}");
    assert!(!text.contains("pass:word"), "{text}");
}

#[tokio::test]
async fn an_address_with_a_zone_is_nothing_to_a_proxy() {
    let sshd = Sshd::start();
    let at = rude(Vec::new(), Then::IsSilent).await;
    for kind in [ProxyType::Http, ProxyType::Socks4, ProxyType::Socks5] {
        let zoned = Connection {
            host: "[fe80::1%eth0]".to_owned(),
            ..by(&sshd, kind, at)
        };
        let (class, text) = bad(list(&zoned).await);
        assert_eq!(class, Class::Proxy, "{text}");
        assert!(text.contains("zone"), "{text}");
    }
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_of_the_class_proxy() {
    let sshd = Sshd::start();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let (class, text) = bad(list(&by(&sshd, ProxyType::Http, at)).await);
    assert_eq!(class, Class::Proxy, "{text}");
    assert!(text.contains("cannot be reached"), "{text}");
}

#[tokio::test]
async fn a_proxy_leads_to_the_first_jump_host_and_that_to_the_server() {
    let (gate, target) = (Sshd::start(), Sshd::start());
    target.write("a", "x");
    let port = gate.port();
    let at = proxy(move |mut stream| async move {
        let [high, low] = port.to_be_bytes();
        assert_eq!(taken(&mut stream).await, [5, 1, 0]);
        stream.write_all(&[5, 0]).await.unwrap();
        let asked = taken(&mut stream).await;
        assert_eq!(asked, [5, 1, 0, 1, 127, 0, 0, 1, high, low]);
        go_on(stream, vec![5, 0, 0, 1, 0, 0, 0, 0, 0, 0], port).await;
    })
    .await;
    let known = tempfile::tempdir().unwrap();
    let file = known.path().join("known_hosts");
    std::fs::write(&file, [gate.known_hosts(), target.known_hosts()].concat()).unwrap();
    let far = Connection {
        known_host: Vec::new(),
        known_hosts_file: Some(file),
        jump: vec![Jump::Host(format!("{}@127.0.0.1:{port}", gate.user()))],
        ..by(&target, ProxyType::Socks5, at)
    };
    has_listed(&list(&far).await);
    for sshd in [&gate, &target] {
        assert_eq!(sshd.log().matches("Connection from ").count(), 1);
    }
}
