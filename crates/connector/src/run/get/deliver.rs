//! Delivering what was read: into its place on the disk, or to the receiver who says so.
//!
//! Not what follows at the server.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::fetch::{Fetched, Held};
use super::{Hand, Item};
use crate::error::{Class, Error, Result};
use crate::journal::{FetchState, Received, Taken};
use crate::local::{Complete, Directory, PartName, Placed, Settled, Trace};
use crate::operation::After;
use crate::outcome::Outcome;
use crate::remote::Connect;

impl<C: Connect> Hand<'_, C> {
    pub(super) async fn deliver(
        &self,
        item: &Item,
        fetched: Fetched,
        taken: &mut Option<Taken>,
        outcome: &mut Outcome,
    ) -> Result<()> {
        match fetched.held {
            Held::Local(directory, complete) => {
                let modified = fetched.attrs.modified;
                let placed = self.place(&directory, complete, modified, taken).await?;
                track_place(outcome, &placed.path);
                if placed.already_present {
                    outcome.properties.set("already-present", "true");
                }
            }
            Held::Receiver(_) if self.plan.get.after == After::Eager => {
                if let Some(taken) = taken {
                    taken.delivered(None).await?;
                }
            }
            Held::Receiver(delivered) => {
                let stop = self.session.stop();
                if !stop.unless(async { Ok(delivered.wait().await) }).await? {
                    return Err(Error::new(
                        Class::Failure,
                        format!("{}: its receiver did not confirm delivery", item.path),
                    ));
                }
                outcome.delivered = true;
                if let Some(taken) = taken {
                    taken.delivered(None).await?;
                }
            }
        }
        if let Some(place) = self.foreseen(item).await? {
            track_place(outcome, &place);
        }
        Ok(())
    }

    /// Where a file would be put that is only planned to be: whether what has its name is equal to it
    /// cannot be seen.
    async fn foreseen(&self, item: &Item) -> Result<Option<PathBuf>> {
        let Some(top) = &self.plan.foreseen else {
            return Ok(None);
        };
        let rule = self.plan.get.local_if_exists;
        top.would_place(&item.relative, &item.name, rule)
            .await
            .map(Some)
    }

    /// Gives a complete file its name, or the next one where another was faster. With a journal the
    /// name is recorded before, and the delivery after; in between, its second name tells of it.
    pub(super) async fn place(
        &self,
        directory: &Directory,
        mut complete: Complete,
        modified: Option<i64>,
        taken: &mut Option<Taken>,
    ) -> Result<Placed> {
        let rule = self.plan.get.local_if_exists;
        let part = complete.part();
        let trace = match taken {
            Some(_) => Trace::Stays,
            None => Trace::None,
        };
        let mut number = 0;
        loop {
            let chosen = match directory.choose(&complete, rule, number).await {
                Ok(chosen) => chosen,
                Err(error) => {
                    complete.discard();
                    return Err(error);
                }
            };
            let place = directory.place_of(&chosen);
            if let Some(taken) = taken {
                record(taken, directory, &complete, modified, &place).await?;
            }
            #[cfg(sansftp_bugs)]
            if sansftp_proto::bugs::seeded("journal-first")
                && let Some(taken) = taken
            {
                taken.delivered(Some(&place)).await?;
            }
            match directory.place(complete, &chosen, rule, trace).await? {
                Settled::Placed(placed) => {
                    if let Some(taken) = taken {
                        taken.delivered(Some(&place)).await?;
                        clear_trace(directory, &part).await;
                    }
                    return Ok(placed);
                }
                Settled::Taken(back) => complete = back,
            }
            number = chosen.number();
        }
    }
}

pub(super) fn track_place(outcome: &mut Outcome, place: &Path) {
    let path = place.as_os_str().as_bytes().to_vec();
    outcome.properties.set("local-file", path);
    outcome.delivered = true;
}

/// Removes the second name of what is recorded as delivered. What cannot be removed is told, and no
/// reason to stop.
pub(super) async fn clear_trace(directory: &Directory, part: &PartName) {
    if let Err(error) = directory.recorded(part).await {
        tracing::warn!(%error, "the second name of a delivered file is left there");
    }
}

/// What is complete, and what it will be called.
async fn record(
    taken: &mut Taken,
    directory: &Directory,
    complete: &Complete,
    modified: Option<i64>,
    place: &Path,
) -> Result<()> {
    match taken.state() {
        FetchState::Fetched {
            place: recorded, ..
        } if recorded == place => Ok(()),
        FetchState::Fetched { .. } => taken.placing(place).await,
        _ => {
            let part = directory.path_of(&complete.part());
            let received = Received {
                size: complete.size(),
                modified,
                sha256: complete
                    .sha256()
                    .expect("with a journal the checksum is computed"),
            };
            taken.fetched(&part, place, received).await
        }
    }
}
