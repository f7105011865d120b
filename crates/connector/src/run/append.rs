//! Appending to a file at the server, so that repeating a write changes nothing.
//!
//! Opened without APPEND and without TRUNC; written at explicit offsets from the size that was
//! found, in order. After a lost connection: reopened, looked at, what stands compared, and
//! continued. Not safe against another writer, but one is noticed, and then nothing more is
//! written.

use super::diagnose::exists;
use super::flow::{Compared, Flow};
use super::places::behind_links;
use super::send::record::Record;
use super::source::Source;
use super::upload::{Found, Target, open_write, size_of};
use crate::error::{Class, Error, Result};
use crate::operation::{Send, Verify};
use crate::path::RemotePath;
use crate::remote::{FileKind, Remote, WriteMode, Writer};

/// One append on its way.
#[derive(Debug, Default)]
pub(super) struct Append {
    /// The size that was found; nothing was written before that is known.
    start: Option<u64>,
    /// The file is ours: there was none.
    pub(super) created: bool,
}

/// What an append came to.
#[derive(Debug)]
pub(super) struct Appended {
    /// Bytes of the body.
    pub(super) size: u64,
    pub(super) found: Found,
}

impl Append {
    /// Appends, or continues where a lost connection cut it off.
    pub(super) async fn attempt<R: Remote>(
        &mut self,
        target: Target<'_, R>,
        send: &Send,
        source: &mut Source,
        flow: &mut Flow,
        record: &mut Record,
    ) -> Result<Appended> {
        #[cfg(sansftp_bugs)]
        if sansftp_proto::bugs::seeded("appended-again") {
            self.start = None;
        }
        let (mut writer, at) = match self.start {
            None => {
                let writer = self.begin(&target).await?;
                let start = self.start.expect("the size was just found");
                record.appending(target.path, start).await?;
                flow.begin(source, send, target.observer)?;
                (writer, 0)
            }
            Some(start) => {
                let target = Target { start, ..target };
                reopen(&target, send, source, flow).await?
            }
        };
        let start = self.start.expect("the size was just found");
        let target = Target { start, ..target };
        let size = flow.pour(&target, &mut writer, at, record).await?;
        let mut found = target.settle(writer, send, size).await?;
        if let (Verify::Hash, Some(sha256)) = (send.verify, flow.sha256()) {
            found.verified = target.verify_hash(&sha256).await?;
        }
        source.expect_unchanged(size).await?;
        Ok(Appended { size, found })
    }

    /// An earlier run found this size and began.
    pub(super) fn go_on_after(&mut self, start: u64) {
        self.start = Some(start);
    }

    /// Whether anything may have been written.
    pub(super) fn has_begun(&self) -> bool {
        self.start.is_some()
    }

    /// The failure, with how much stands.
    pub(super) fn told(&self, path: &RemotePath, flow: &Flow, error: Error) -> Error {
        let (stands, sent) = (flow.acknowledged(), flow.sent());
        if sent == 0 {
            return error;
        }
        // The same document again would be there twice, or once and a half.
        let error = error.not_retryable();
        if stands == sent {
            return error.with_note(format_args!(
                "{stands} bytes of it stand at the end of {path}"
            ));
        }
        error.with_note(format_args!(
            "at least {stands} and at most {sent} bytes of it stand at the end of {path}"
        ))
    }

    /// Opens the file that is there, or a new one, and finds its size.
    async fn begin<R: Remote>(&mut self, target: &Target<'_, R>) -> Result<R::Writer> {
        let Target { remote, path, .. } = *target;
        let mut writer = match behind_links(remote, path).await? {
            Some(there) if there.kind == FileKind::Directory => return Err(exists(path, &there)),
            Some(_) => open_write(remote, path, WriteMode::Existing).await?,
            None => {
                let writer = open_write(remote, path, WriteMode::CreateExclusive).await?;
                self.created = true;
                writer
            }
        };
        let start = known_size(&mut writer, path).await?;
        // What is in a file that was made before the connection was lost is somebody else's.
        self.created &= start == 0;
        self.start = Some(start);
        Ok(writer)
    }
}

/// Opens it again after a lost connection and sees how much stands.
async fn reopen<R: Remote>(
    target: &Target<'_, R>,
    send: &Send,
    source: &mut Source,
    flow: &mut Flow,
) -> Result<(R::Writer, u64)> {
    let Target {
        remote,
        path,
        start,
        ..
    } = *target;
    let opened = open_write(remote, path, WriteMode::Existing).await;
    let mut writer = opened.map_err(|error| match error.class() {
        Class::NotFound => error.with_hint(
            "it was being appended to; if the receiver took it, see what of it arrived: sansftp \
             journal forget lets all of it be sent again",
        ),
        _ => error,
    })?;
    let found = known_size(&mut writer, path).await?;
    let (acknowledged, sent) = (flow.acknowledged(), flow.sent());
    let fits = start.saturating_add(acknowledged)..=start.saturating_add(sent);
    if !fits.contains(&found) {
        return Err(another_writer(&format!(
            "{path} has {found} bytes now, and {} to {} were to be expected",
            fits.start(),
            fits.end()
        )));
    }
    flow.go_to(source, send, acknowledged, target.observer)?;
    match flow.compare(target, found - start).await? {
        // Written in order on one channel, so what stands has no gaps; it was just read.
        Compared::Same => Ok((writer, flow.acknowledged())),
        Compared::Different => Err(another_writer(&format!(
            "the end of {path} is not what was sent"
        ))),
        // Writing again what lies beyond the acknowledged changes nothing.
        Compared::Unreadable => Ok((writer, acknowledged)),
    }
}

fn another_writer(what: &str) -> Error {
    Error::new(
        Class::Integrity,
        format!("{what}: someone else writes it, so nothing more is written"),
    )
}

async fn known_size<W: Writer>(writer: &mut W, path: &RemotePath) -> Result<u64> {
    size_of(writer, path).await?.ok_or_else(|| {
        Error::new(
            Class::Unsupported,
            format!(
                "the server does not tell the size of {path}, so nothing can be appended to it"
            ),
        )
    })
}
