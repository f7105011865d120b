//! Delivering what was read: into its place on the disk, or to the receiver who says so.
//!
//! Not what follows at the server.

use std::os::unix::ffi::OsStrExt;

use super::fetch::{Fetched, Held};
use super::{Hand, Item};
use crate::error::{Class, Error, Result};
use crate::local::{Complete, Directory, Placed, Settled};
use crate::operation::After;
use crate::outcome::Outcome;
use crate::remote::Connect;

impl<C: Connect> Hand<'_, C> {
    pub(super) async fn deliver(
        &mut self,
        item: &Item,
        fetched: Fetched,
        outcome: &mut Outcome,
    ) -> Result<()> {
        match fetched.held {
            Held::Local(directory, complete) => {
                let placed = self.place(&directory, complete).await?;
                let path = placed.path.as_os_str().as_bytes().to_vec();
                outcome.properties.set("local-file", path);
                if placed.already_present {
                    outcome.properties.set("already-present", "true");
                }
                outcome.delivered = true;
            }
            Held::Receiver(_) if self.plan.get.after == After::Eager => {}
            Held::Receiver(delivered) => {
                let stop = self.session.stop();
                if !stop.unless(async { Ok(delivered.wait().await) }).await? {
                    return Err(Error::new(
                        Class::Failure,
                        format!("{}: its receiver did not confirm delivery", item.path),
                    ));
                }
                outcome.delivered = true;
            }
        }
        Ok(())
    }

    /// Gives a complete file its name, or the next one where another was faster.
    async fn place(&self, directory: &Directory, mut complete: Complete) -> Result<Placed> {
        let rule = self.plan.get.local_if_exists;
        let mut number = 0;
        loop {
            let chosen = match directory.choose(&complete, rule, number).await {
                Ok(chosen) => chosen,
                Err(error) => {
                    complete.discard();
                    return Err(error);
                }
            };
            match directory.place(complete, &chosen, rule).await? {
                Settled::Placed(placed) => return Ok(placed),
                Settled::Taken(back) => complete = back,
            }
            number = chosen.number();
        }
    }
}
