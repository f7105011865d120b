//! What a server says is not believed where it can be looked at, and what it refuses last counts.

use super::*;

#[tokio::test]
async fn a_rename_that_was_not_done_is_a_failure_whatever_the_server_says() {
    for (if_exists, old) in [
        (IfExists::Rename, &[][..]),
        (IfExists::Error, &[]),
        (IfExists::Overwrite, &[("in/a", "one")]),
    ] {
        let server = server_of(
            Behaviour {
                posix_rename: false,
                ..Behaviour::openssh()
            },
            old,
        );
        server.pretend_to_rename();
        let outcomes = send(&server, into(if_exists), vec![document("a", "two")]).await;
        let error = outcomes[0].error.as_ref();
        let error = error.unwrap_or_else(|| panic!("{if_exists}: {outcomes:?}"));
        assert!(error.message().contains("did not"), "{if_exists}: {error}");
        let stands =
            server.files(|files| files.content(&format!("{HOME}/in/a")).map(<[u8]>::to_vec));
        let was = old.first().map(|(_, content)| content.as_bytes().to_vec());
        assert_eq!(stands, was, "{if_exists}");
        assert_eq!(leftovers(&server), [""; 0], "{if_exists}");
    }
}

#[tokio::test]
async fn a_file_that_the_server_does_not_close_is_not_published() {
    for if_exists in [IfExists::Rename, IfExists::Error, IfExists::Overwrite] {
        let server = server_of(Behaviour::openssh(), &[]);
        // As one over its quota may say only now.
        server.refuse(&format!("close {HOME}/in/.a."), RemoteErrorKind::Failure);
        let outcomes = send(&server, into(if_exists), vec![document("a", "two")]).await;
        let error = outcomes[0].error.as_ref();
        let error = error.unwrap_or_else(|| panic!("{if_exists}: {outcomes:?}"));
        assert!(error.message().contains("closing"), "{if_exists}: {error}");
        assert_eq!(
            server.files(|files| files.file_names()),
            [""; 0],
            "{if_exists}"
        );
    }
}
