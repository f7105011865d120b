//! Comparing and copying whole files at the server, through us.
//!
//! Not the way that documents go: these are for files that stay at the server. All of it takes as
//! long as the files are large, and so looks at the [`Stop`] of its step.

use bytes::{Buf, Bytes};
use futures_util::future::try_join;
use ring::digest::{Context, SHA256};

use super::diagnose::{Doing, explain, look, plain};
use super::stop::Stop;
use crate::error::Result;
use crate::path::RemotePath;
use crate::remote::{Attrs, Reader, Remote, RemoteErrorKind, SetAttrs, WriteMode, Writer};

/// Whether two files hold the same bytes.
pub(super) async fn same_content<R: Remote>(
    remote: &R,
    left: &RemotePath,
    right: &RemotePath,
    stop: &Stop,
) -> Result<bool> {
    let compared = async {
        let mut left = Pieces::open(remote, left).await?;
        let mut right = Pieces::open(remote, right).await?;
        if left.size != right.size {
            return Ok(false);
        }
        loop {
            let (one, other) = (left.peek().await?, right.peek().await?);
            let both = one.len().min(other.len());
            if both == 0 {
                return Ok(one.len() == other.len());
            }
            if one[..both] != other[..both] {
                return Ok(false);
            }
            left.rest.advance(both);
            right.rest.advance(both);
        }
    };
    stop.unless(compared).await
}

/// Whether two names are of one file: a time that is set through the one shows through the other.
/// `None` where the server does not let us find out. `seen` is what both are; its time is set again.
///
/// Equal content is no proof: two senders may have sent the same. Where the connection is lost
/// meanwhile, the file keeps the time that was set, an hour or so from its own.
pub(super) async fn same_file<R: Remote>(
    remote: &R,
    one: &RemotePath,
    other: &RemotePath,
    seen: &Attrs,
) -> Result<Option<bool>> {
    let Some(modified) = seen.modified else {
        return Ok(None);
    };
    // Another for each name, as another sender may be finding out the same.
    let bytes = one.as_bytes().iter();
    let mixed = bytes.fold(0_i64, |mixed, &byte| (mixed * 31 + i64::from(byte)) % 4_093);
    let marked = match modified > mixed + 1 {
        true => modified - mixed - 1,
        false => modified + mixed + 1,
    };
    let times = |modified| SetAttrs {
        modified: Some(modified),
        ..SetAttrs::default()
    };
    let lost = |error| plain(Doing::SettingAttributes(one), error);
    match remote.set_attrs(one, times(marked)).await {
        Ok(()) => {}
        Err(error) if error.is_lost() => return Err(lost(error)),
        Err(_) => return Ok(None),
    }
    let now = try_join(look(remote, one), look(remote, other)).await?;
    if let Err(error) = remote.set_attrs(one, times(modified)).await
        && error.is_lost()
    {
        return Err(lost(error));
    }
    let has_it = |there: Option<Attrs>| there.is_some_and(|it| it.modified == Some(marked));
    Ok(match has_it(now.0) {
        true => Some(has_it(now.1)),
        // It was accepted and not done.
        false => None,
    })
}

/// The SHA-256 of a file from `offset` on.
pub(super) async fn hash_of<R: Remote>(
    remote: &R,
    path: &RemotePath,
    offset: u64,
    stop: &Stop,
) -> Result<[u8; 32]> {
    let hashed = async {
        let mut pieces = Pieces::open(remote, path).await?;
        let expected = pieces.size.map(|size| size.saturating_sub(offset));
        pieces.reader.start(offset, expected);
        let mut digest = Context::new(&SHA256);
        while !pieces.peek().await?.is_empty() {
            digest.update(&std::mem::take(&mut pieces.rest));
        }
        Ok(sha256(digest))
    };
    stop.unless(hashed).await
}

/// What a finished digest came to.
pub(crate) fn sha256(digest: Context) -> [u8; 32] {
    digest
        .finish()
        .as_ref()
        .try_into()
        .expect("SHA-256 has 32 bytes")
}

/// Copies a file to a new one: by the server where it can, else through us. Forced to the server's
/// disk where it can. Where this is stopped, a part of the new file may be there.
pub(super) async fn copy_through<R: Remote>(
    remote: &R,
    from: &RemotePath,
    to: &RemotePath,
    stop: &Stop,
) -> Result<()> {
    stop.unless(copied(remote, from, to)).await
}

async fn copied<R: Remote>(remote: &R, from: &RemotePath, to: &RemotePath) -> Result<()> {
    if remote.capabilities().copy_data {
        let doing = Doing::Copying(from, to);
        match remote.copy_data(from, to).await {
            Ok(()) => return Ok(()),
            Err(error)
                if matches!(
                    error.kind,
                    RemoteErrorKind::Unsupported | RemoteErrorKind::Failure
                ) =>
            {
                super::diagnose::remove_if_there(remote, to).await?;
            }
            Err(error) => return Err(explain(remote, doing, error).await),
        }
    }
    let mut pieces = Pieces::open(remote, from).await?;
    let mut writer = match remote.open_write(to, WriteMode::CreateExclusive).await {
        Ok(writer) => writer,
        Err(error) => return Err(explain(remote, Doing::Creating(to), error).await),
    };
    let mut offset = 0;
    loop {
        let piece = pieces.peek().await?;
        if piece.is_empty() {
            break;
        }
        let piece = std::mem::take(&mut pieces.rest);
        let len = piece.len() as u64;
        if let Err(error) = writer.write(offset, piece).await {
            return Err(explain(remote, Doing::Writing(to), error).await);
        }
        offset += len;
    }
    let durable = match remote.capabilities().fsync {
        true => writer.fsync().await,
        false => writer.flush().await,
    };
    if let Err(error) = durable {
        return Err(explain(remote, Doing::Writing(to), error).await);
    }
    match writer.close().await {
        Ok(()) => Ok(()),
        Err(error) => Err(explain(remote, Doing::Closing(to), error).await),
    }
}

/// A file being read, with the part of a chunk that was not looked at yet.
struct Pieces<'a, R: Remote> {
    reader: R::Reader,
    path: &'a RemotePath,
    size: Option<u64>,
    rest: Bytes,
}

impl<'a, R: Remote> Pieces<'a, R> {
    async fn open(remote: &R, path: &'a RemotePath) -> Result<Self> {
        let mut reader = match remote.open_read(path).await {
            Ok(reader) => reader,
            Err(error) => return Err(explain(remote, Doing::Opening(path), error).await),
        };
        let attrs = reader
            .stat()
            .await
            .map_err(|error| plain(Doing::Looking(path), error))?;
        reader.start(0, attrs.size);
        Ok(Self {
            reader,
            path,
            size: attrs.size,
            rest: Bytes::new(),
        })
    }

    /// What comes next; empty at the end.
    async fn peek(&mut self) -> Result<&Bytes> {
        if self.rest.is_empty() {
            let chunk = self.reader.chunk().await;
            let chunk = chunk.map_err(|error| plain(Doing::Reading(self.path), error))?;
            self.rest = chunk.unwrap_or_default();
        }
        Ok(&self.rest)
    }
}

/// Whether two names that look the same are of one file, or at least, where that cannot be found out,
/// hold the same bytes.
pub(super) async fn is_second_name<R: Remote>(
    remote: &R,
    one: &RemotePath,
    other: &RemotePath,
    seen: &Attrs,
    stop: &Stop,
) -> Result<bool> {
    match same_file(remote, one, other, seen).await? {
        Some(same) => Ok(same),
        None => same_content(remote, one, other, stop).await,
    }
}
