//! `trust`: shows a server's key, and records it when a person or a fingerprint says that it is
//! the right one.
//!
//! A changed or revoked key is never recorded here.

use std::io::{self, IsTerminal};

use sansftp_connector::sftp::{KeyState, ServerKey, record_server_key, server_key};
use sansftp_connector::{Class, Error, Result};

use super::Ended;
use crate::ask;
use crate::output::{Output, Recorded};
use crate::plan::Trust;
use crate::signals::Signals;

/// Looks at the key and decides.
pub(super) async fn run(
    trust: Trust,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<(), Ended> {
    let key = tokio::select! {
        key = server_key(&trust.connection) => key?,
        code = signals.next() => return Err(Ended::Signal(code)),
    };
    let expected = trust.fingerprint.as_deref();
    judge(&key, expected)?;
    if key.state == KeyState::Known {
        output.key(&key, Recorded::Known);
        return Ok(());
    }
    output.shown_key(&key);
    if expected.is_none() {
        tokio::select! {
            sure = confirmed(&key, trust.connection.host.as_str()) => sure?,
            code = signals.next() => return Err(Ended::Signal(code)),
        }
    }
    record_server_key(&key)?;
    output.key(&key, Recorded::New);
    Ok(())
}

/// Refuses what is not to be recorded, whoever says so.
fn judge(key: &ServerKey, expected: Option<&str>) -> Result<()> {
    let file = key.file.display();
    let offered = format!("{} {}", key.kind, key.fingerprint);
    match &key.state {
        KeyState::Changed { expected } => {
            return Err(Error::new(
                Class::HostKey,
                format!(
                    "the server's key has changed: {file} has {}, and it offers {offered}",
                    expected.join(" and ")
                ),
            )
            .with_hint(format!(
                "find out from the server's operator why; if the new key is right, take the old \
                 line out of {file} and run trust again"
            )));
        }
        KeyState::Revoked => {
            return Err(Error::new(
                Class::HostKey,
                format!("{file} marks the server's key {offered} as revoked"),
            )
            .with_hint("do not connect; ask the server's operator for its new key"));
        }
        KeyState::Unreadable(line) => {
            return Err(Error::new(
                Class::HostKey,
                format!(
                    "{file}, {line}: the line cannot be read and could concern this host, which \
                     offers {offered}"
                ),
            )
            .with_hint("correct the line, or take it out"));
        }
        _ => {}
    }
    match expected {
        Some(expected) if expected.trim_end_matches('=') != key.fingerprint => Err(Error::new(
            Class::HostKey,
            format!("the server offers {offered}, not {expected}"),
        )
        .with_hint("find out from the server's operator which fingerprint is right")),
        _ => Ok(()),
    }
}

/// Asks the person; without one a fingerprint is needed.
async fn confirmed(key: &ServerKey, host: &str) -> Result<()> {
    if !ask::is_terminal() || !io::stdout().is_terminal() {
        return Err(Error::configuration(format!(
            "there is no terminal to ask on whether {} {} is the right key",
            key.kind, key.fingerprint
        ))
        .with_hint(format!(
            "compare it with what the server's operator says, then add --fingerprint {}",
            key.fingerprint
        )));
    }
    let question = format!("Is this the key of {host}? Its fingerprint, or yes, records it: ");
    let answer = ask::line(question).await.unwrap_or_default();
    let answer = answer.trim();
    if answer.eq_ignore_ascii_case("yes") || answer == key.fingerprint {
        return Ok(());
    }
    Err(Error::new(Class::HostKey, "the key is not recorded")
        .with_hint("answer yes, or with the fingerprint, to record it"))
}
