//! Send after a lost connection: what goes on where it was acknowledged, what begins again, and what
//! progress is told of it.

use sansftp_testkit::seeds::noise;

use super::*;

/// Chunks of a body that cannot be read twice.
fn streamed(name: &str, body: &str) -> Document {
    let chunks: Vec<_> = body
        .as_bytes()
        .chunks(100_000)
        .map(<[u8]>::to_vec)
        .collect();
    let chunks = chunks
        .into_iter()
        .map(|chunk| Ok(bytes::Bytes::from(chunk)));
    Document {
        body: crate::document::Body::Stream(Box::pin(stream::iter(chunks))),
        ..document(name, "")
    }
}

/// Noise that is text.
fn letters(len: usize) -> String {
    let noise = noise(len).into_iter();
    noise.map(|byte| char::from(b'a' + byte % 26)).collect()
}

#[tokio::test]
async fn an_upload_that_is_cut_off_goes_on_where_it_was_acknowledged() {
    let body = letters(1_500_000);
    let wanted = crate::run::compare::sha256({
        let mut digest = ring::digest::Context::new(&ring::digest::SHA256);
        digest.update(body.as_bytes());
        digest
    });
    for in_place in [false, true] {
        for is_stream in [false, true] {
            let server = server_of(Behaviour::openssh(), &[]);
            let sending = Send {
                in_place,
                checksum: true,
                ..into(IfExists::Rename)
            };
            // More often than anything is tried again in vain.
            for block in 1..6 {
                server.cut_after("write ", block * 2);
            }
            let document = match is_stream {
                true => streamed("a", &body),
                false => document("a", &body),
            };
            let outcome = good(send(&server, sending, vec![document]).await);
            assert_eq!(content(&server, "in/a").unwrap(), body);
            assert_eq!(names(&server), ["in/a"]);
            assert_eq!(
                outcome.properties.text("sha256"),
                Some(&crate::run::get::hex(&wanted)[..])
            );
            let calls = server.calls();
            let count = |verb: &str| calls.iter().filter(|call| call.starts_with(verb)).count();
            assert_eq!(count("create "), 1, "{calls:?}");
            assert_eq!(count("open-write "), count("connect") - 1, "{calls:?}");
            let whole = match is_stream {
                true => body.len().div_ceil(100_000),
                false => body.len().div_ceil(256 << 10),
            };
            // Each cut took the answer to a write with it, and that write alone was repeated.
            assert_eq!(count("write "), whole + count("connect") - 1, "{calls:?}");
        }
    }
}

#[tokio::test]
async fn without_resume_an_upload_begins_again_and_a_stream_cannot() {
    let body = letters(600_000);
    let sending = Send {
        resume: false,
        ..into(IfExists::Rename)
    };
    let server = server_of(Behaviour::openssh(), &[]);
    server.cut_after("write ", 2);
    good(send(&server, sending.clone(), vec![document("a", &body)]).await);
    assert_eq!(content(&server, "in/a").unwrap(), body);
    assert_eq!(names(&server), ["in/a"]);
    let creates = |server: &Server| {
        let calls = server.calls();
        calls
            .iter()
            .filter(|call| call.starts_with("create "))
            .count()
    };
    assert_eq!(creates(&server), 2);

    let server = server_of(Behaviour::openssh(), &[]);
    server.cut_after("write ", 5);
    let outcomes = send(&server, sending, vec![streamed("a", &body)]).await;
    assert_eq!(class(outcomes), Class::Disconnected);
}

#[tokio::test]
async fn what_somebody_else_wrote_into_a_temporary_file_is_not_gone_on_with() {
    let body = letters(900_000);
    let server = server_of(Behaviour::openssh(), &[]);
    server.cut_after("write ", 3);
    server.before("open-write ", |files| {
        let name = files.file_names().remove(0);
        let len = files.content(&name).unwrap().len();
        files.put(&name, "x".repeat(len));
    });
    good(send(&server, into(IfExists::Rename), vec![document("a", &body)]).await);
    assert_eq!(content(&server, "in/a").unwrap(), body);
    assert_eq!(names(&server), ["in/a"]);
}

#[derive(Default)]
struct Counter(std::sync::atomic::AtomicI64);

impl crate::progress::Progress for Counter {
    fn advanced(&self, bytes: u64) {
        self.0
            .fetch_add(bytes as i64, std::sync::atomic::Ordering::Relaxed);
    }

    fn restarted(&self, bytes: u64) {
        self.0
            .fetch_sub(bytes as i64, std::sync::atomic::Ordering::Relaxed);
    }
}

#[tokio::test]
async fn progress_counts_each_byte_once_whatever_is_repeated() {
    let long: &'static str = Box::leak("x".repeat(600_000).into_boxed_str());
    for if_exists in [IfExists::Rename, IfExists::Append] {
        for at in 0.. {
            let server = server_of(Behaviour::openssh(), &[("in/log", "old")]);
            server.fail(crate::mem::Fault {
                at,
                when: crate::mem::When::After,
                what: crate::mem::What::Disconnect,
            });
            let counter = std::sync::Arc::new(Counter::default());
            let connector = Connector::new(server.clone(), connection(2))
                .with_observer(crate::progress::Observer::new(counter.clone()));
            let operation = Operation::Send(into(if_exists));
            let documents = stream::iter([document("log", long)]);
            good(connector.run(operation, documents).collect().await);
            let calls = server.calls();
            let Some(call) = calls.get(at) else { break };
            let counted = counter.0.load(std::sync::atomic::Ordering::Relaxed);
            assert_eq!(
                counted,
                long.len() as i64,
                "{if_exists}: call {at} ({call})"
            );
        }
    }
}
