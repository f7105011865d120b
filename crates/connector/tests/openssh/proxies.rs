//! Proxies that do what is asked, played by scripts: HTTP, SOCKS 4 and 5; and those that do not.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use sansftp_connector::Class;
use sansftp_connector::Connector;
use sansftp_connector::connection::{Connection, Proxy, ProxyType, Secret, SecretRef};
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

#[tokio::test]
async fn a_proxy_that_stalls_is_given_up_in_time() {
    let sshd = Sshd::start();
    let at = proxy(|mut stream| async move {
        while matches!(stream.read(&mut [0; 512]).await, Ok(1..)) {}
    })
    .await;
    for kind in [ProxyType::Http, ProxyType::Socks4, ProxyType::Socks5] {
        let stalled = Connection {
            connect_timeout: Duration::from_millis(200),
            ..by(&sshd, kind, at)
        };
        let (class, text) = bad(list(&stalled).await);
        assert_eq!(class, Class::Proxy, "{text}");
        assert!(text.contains("did not answer in time"), "{text}");
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
