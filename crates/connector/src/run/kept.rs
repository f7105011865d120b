//! Bodies that are sent on after they were sent once.
//!
//! Not held in memory: what lies on disk or in memory anyway is used again, and what is on its way is
//! written into a temporary file while it passes.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, stream};

use super::step::Rehearsal;
use crate::document::{Body, BodyStream, Temporary};
use crate::error::{Error, Result};
use crate::plan::zeros;

/// What there will be of a body once it was sent.
pub(super) enum Kept {
    /// The same again.
    Again(Body),
    /// What passed, in a file.
    Spooled(Temporary),
    /// As many zeros as passed bytes, where nothing is real.
    Counted(Arc<AtomicU64>),
}

impl Kept {
    /// The body, and what there will be of it.
    pub(super) fn of(body: Body, rehearsal: Rehearsal) -> Result<(Body, Self)> {
        let stream = match body {
            Body::Stream(stream) => stream,
            Body::Absent => return Ok((Body::Absent, Self::Again(Body::Absent))),
            Body::File(path) => {
                return Ok((Body::File(path.clone()), Self::Again(Body::File(path))));
            }
            Body::Bytes(bytes) => {
                return Ok((Body::Bytes(bytes.clone()), Self::Again(Body::Bytes(bytes))));
            }
            Body::Temporary(file) => {
                return Ok((
                    Body::Temporary(file.clone()),
                    Self::Again(Body::Temporary(file)),
                ));
            }
        };
        if rehearsal == Rehearsal::Yes {
            let count = Arc::new(AtomicU64::new(0));
            let counted = Arc::clone(&count);
            let stream = stream.inspect(move |chunk| {
                let bytes = chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                counted.fetch_add(bytes, Ordering::Relaxed);
            });
            return Ok((Body::Stream(Box::pin(stream)), Self::Counted(count)));
        }
        let (file, temporary) = Temporary::make()?;
        Ok((
            Body::Stream(spooled(stream, file)),
            Self::Spooled(temporary),
        ))
    }

    /// The body for the next one who sends it.
    pub(super) fn body(self) -> Body {
        match self {
            Self::Again(body) => body,
            Self::Spooled(file) => Body::Temporary(file),
            Self::Counted(count) => {
                let size = count.load(Ordering::Relaxed);
                Body::Stream(Box::pin(stream::unfold(0, move |at| async move {
                    let chunk = zeros(at, size)?;
                    let next = at + chunk.len() as u64;
                    Some((Ok(chunk), next))
                })))
            }
        }
    }
}

fn spooled(stream: BodyStream, file: File) -> BodyStream {
    let file = Arc::new(file);
    Box::pin(stream.then(move |chunk| {
        let file = Arc::clone(&file);
        async move {
            let chunk = chunk?;
            write(file, chunk.clone()).await?;
            Ok(chunk)
        }
    }))
}

async fn write(file: Arc<File>, chunk: Bytes) -> Result<()> {
    let written = tokio::task::spawn_blocking(move || (&*file).write_all(&chunk)).await;
    let written = written.unwrap_or_else(|error| Err(std::io::Error::other(error)));
    written.map_err(|error| Error::local_io("a temporary file", error))
}
