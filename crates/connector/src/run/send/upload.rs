//! The body of a document, into a file at the server that nobody takes for complete: a temporary
//! one, or with `in-place` and `append` the final one.
//!
//! Not the claiming of its name.

use super::super::Step;
use super::super::claim::{Candidates, Numbering};
use super::super::diagnose::{Doing, exists, explain, look, plain, remove_if_there};
use super::super::flow::Compared;
use super::super::list::track_attrs;
use super::super::session::Facts;
use super::super::upload::{Target, open_write, size_of};
use super::places::Places;
use super::{Sending, Stage, track};
use crate::error::Result;
use crate::names::TemporaryName;
use crate::operation::{IfExists, Permissions, Verify, setting};
use crate::outcome::Outcome;
use crate::path::RemotePath;
use crate::remote::{Attrs, Connect, Remote, SetAttrs, WriteMode, Writer};

impl Sending<'_> {
    /// Writes the whole body into a new file: the temporary one, or with `in-place` the final one.
    pub(super) async fn upload<C: Connect>(
        &mut self,
        step: &Step<C>,
        places: &Places,
        outcome: &mut Outcome,
    ) -> Result<Stage> {
        let (path, mut writer, at) = match self.reopened(step).await? {
            Some(reopened) => reopened,
            None => {
                let (path, writer) = self.opened(step, places, outcome).await?;
                (path, writer, 0)
            }
        };
        if !self.send.in_place {
            writer.spread(self.source.size());
        }
        self.begun = Some(path.clone());
        let remote = step.session.remote();
        let target = target(step, &path);
        self.record.stands(at).await?;
        let size = self
            .flow
            .pour(&target, &mut writer, at, &mut self.record)
            .await?;
        let mut found = target.settle(writer, self.send, size).await?;
        let sha256 = self.flow.sha256();
        if let (Verify::Hash, Some(sha256)) = (self.send.verify, &sha256) {
            found.verified = target.verify_hash(sha256).await?;
        }
        self.source.expect_unchanged(size).await?;
        self.size = size;
        track(outcome, found, sha256);
        self.set_attributes(remote, &path, outcome).await?;
        if !self.send.in_place {
            self.record.written(size, sha256).await?;
            return Ok(Stage::Publish);
        }
        self.ours.incomplete = None;
        self.record.published(&path).await?;
        self.published = Some(path);
        Ok(Stage::Move)
    }

    /// The file that was begun, where it can be gone on with: open, and where that is.
    ///
    /// What the server has acknowledged stands; but a server that was itself cut off may have lost
    /// some of it, so never beyond what it says there is, and not behind other bytes than were sent.
    async fn reopened<C: Connect>(
        &mut self,
        step: &Step<C>,
    ) -> Result<Option<(RemotePath, <C::Remote as Remote>::Writer, u64)>> {
        let Some(path) = self.begun.clone() else {
            return Ok(None);
        };
        if !self.send.resume || self.flow.acknowledged() == 0 {
            return Ok(None);
        }
        let remote = step.session.remote();
        let mut writer = match remote.open_write(&path, WriteMode::Existing).await {
            Ok(writer) => writer,
            Err(error) if error.is_lost() => return Err(plain(Doing::Opening(&path), error)),
            // Gone, or not to be opened twice.
            Err(_) => return Ok(None),
        };
        let Some(found) = size_of(&mut writer, &path).await? else {
            return Ok(None);
        };
        let at = found.min(self.flow.acknowledged());
        if at == 0 || found > self.flow.sent() || !self.flow.can_go_to(&self.source, at) {
            return Ok(None);
        }
        let observer = &step.observer;
        self.flow.go_to(&mut self.source, self.send, at, observer)?;
        let compared = self.flow.compare(&target(step, &path), at).await?;
        Ok((compared != Compared::Different).then_some((path, writer, at)))
    }

    /// A new file.
    async fn opened<C: Connect>(
        &mut self,
        step: &Step<C>,
        places: &Places,
        outcome: &mut Outcome,
    ) -> Result<(RemotePath, <C::Remote as Remote>::Writer)> {
        let remote = step.session.remote();
        self.flow
            .begin(&mut self.source, self.send, &step.observer)?;
        if !self.send.in_place {
            return self.open_temporary(remote, places).await;
        }
        let facts = &step.session.facts;
        self.open_in_place(remote, facts, places, outcome).await
    }

    async fn open_temporary<R: Remote>(
        &mut self,
        remote: &R,
        places: &Places,
    ) -> Result<(RemotePath, R::Writer)> {
        if let Some(begun) = &self.ours.temporary {
            remove_if_there(remote, begun).await?;
        }
        let template = match setting(self.send.temporary_name.as_ref()) {
            Some(template) => TemporaryName::parse(template)?,
            None => TemporaryName::default(),
        };
        // The file that a link leads to may be elsewhere; there it is to be renamed to.
        let beside = self.published.as_ref().and_then(RemotePath::parent);
        let directory = match beside {
            Some(beside) if self.named.staging.is_none() => beside,
            _ => places.staging.clone(),
        };
        let path = directory.join(&template.make(&self.name));
        // A temporary name without a UUID may be that of another sender's file.
        if !template.is_unique()
            && let Some(there) = look(remote, &path).await?
        {
            self.ours.temporary = None;
            return Err(exists(&path, &there)
                .with_hint("put {uuid} into temporary-name, or remove the file"));
        }
        self.ours.temporary = Some(path.clone());
        self.record.begun(&path, &self.name).await?;
        match remote.open_write(&path, WriteMode::CreateExclusive).await {
            Ok(writer) => Ok((path, writer)),
            Err(error) if error.is_lost() => Err(plain(Doing::Creating(&path), error)),
            Err(error) => {
                if !template.is_unique() {
                    // It was refused, so what is there is not ours to clear away.
                    self.ours.temporary = None;
                }
                Err(explain(remote, Doing::Creating(&path), error).await)
            }
        }
    }

    async fn open_in_place<R: Remote>(
        &mut self,
        remote: &R,
        facts: &Facts,
        places: &Places,
        outcome: &mut Outcome,
    ) -> Result<(RemotePath, R::Writer)> {
        if let Some(ours) = self.ours.incomplete.clone() {
            let writer = open_write(remote, &ours, WriteMode::CreateOrTruncate).await?;
            return Ok((ours, writer));
        }
        let numbering = match self.send.if_exists {
            IfExists::Overwrite => {
                let path = self.published.clone().expect("the target was looked at");
                self.record.publishing(&path).await?;
                let writer = open_write(remote, &path, WriteMode::CreateOrTruncate).await?;
                if self.replaced.is_none() {
                    self.ours.incomplete = Some(path.clone());
                }
                return Ok((path, writer));
            }
            IfExists::Rename => Numbering::FirstFree,
            IfExists::Error | IfExists::Append => Numbering::Exact,
        };
        let fresh = Candidates::new(
            places.directory.clone(),
            self.name.clone(),
            numbering,
            places.target.clone(),
        )
        .remembering(facts);
        let mut candidates = self.candidates.take().unwrap_or(fresh);
        let opened = self.first_free(remote, &mut candidates, outcome).await;
        self.candidates = Some(candidates);
        opened
    }

    async fn first_free<R: Remote>(
        &mut self,
        remote: &R,
        candidates: &mut Candidates,
        outcome: &mut Outcome,
    ) -> Result<(RemotePath, R::Writer)> {
        loop {
            let path = candidates.current(remote).await?;
            self.ours.tell_unclear(remote, outcome).await?;
            self.record.publishing(&path).await?;
            match remote.open_write(&path, WriteMode::CreateExclusive).await {
                Ok(writer) => {
                    self.ours.incomplete = Some(path.clone());
                    outcome.properties.set("claimed-by", "exclusive");
                    return Ok((path, writer));
                }
                Err(error) if error.is_lost() => {
                    self.ours.unclear = Some(path.clone());
                    return Err(plain(Doing::Creating(&path), error));
                }
                Err(error) => match look(remote, &path).await? {
                    Some(_) => candidates.taken(remote, &path).await?,
                    None => return Err(explain(remote, Doing::Creating(&path), error).await),
                },
            }
        }
    }

    pub(super) async fn append<C: Connect>(
        &mut self,
        step: &Step<C>,
        places: &Places,
        outcome: &mut Outcome,
    ) -> Result<Stage> {
        let path = places.directory.join(&self.name);
        let remote = step.session.remote();
        let (append, source, flow) = (&mut self.append, &mut self.source, &mut self.flow);
        let appended = append
            .attempt(
                target(step, &path),
                self.send,
                source,
                flow,
                &mut self.record,
            )
            .await;
        if self.append.created {
            self.ours.incomplete = Some(path.clone());
        }
        let appended = appended?;
        self.size = appended.size;
        self.ours.incomplete = None;
        self.record.published(&path).await?;
        self.published = Some(path.clone());
        track(outcome, appended.found, self.flow.sha256());
        self.set_attributes(remote, &path, outcome).await?;
        Ok(Stage::Move)
    }

    /// Permissions and time, as well as the server lets us: what became of each is a property of its
    /// own, `permissions-set` and `modified-set`, `ok` or `failed`, and a failure is a warning.
    pub(super) async fn set_attributes<R: Remote>(
        &self,
        remote: &R,
        path: &RemotePath,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let permissions = match self.send.permissions {
            Some(Permissions::Mode(mode)) => Some(mode),
            Some(Permissions::Keep) => self.replaced.and_then(|old| old.permissions),
            None => None,
        };
        let modified = match self.send.preserve_modified {
            true => self.source.modified(),
            false => None,
        };
        // One by one: a server that refuses the one may take the other.
        let parts = [
            ("permissions-set", permissions, None),
            ("modified-set", None, modified),
        ];
        for (part, permissions, modified) in parts {
            if permissions.is_none() && modified.is_none() {
                continue;
            }
            let attrs = SetAttrs {
                permissions,
                modified,
            };
            match remote.set_attrs(path, attrs).await {
                Ok(()) => {
                    let set = Attrs {
                        permissions,
                        modified,
                        ..Attrs::default()
                    };
                    track_attrs(&mut outcome.properties, &set);
                    outcome.properties.set(part, "ok");
                }
                Err(error) if error.is_lost() => {
                    return Err(plain(Doing::SettingAttributes(path), error));
                }
                Err(error) => {
                    let error = plain(Doing::SettingAttributes(path), error);
                    outcome.warnings.push(error);
                    outcome.properties.set(part, "failed");
                }
            }
        }
        Ok(())
    }
}

fn target<'a, C: Connect>(step: &'a Step<C>, path: &'a RemotePath) -> Target<'a, C::Remote> {
    Target {
        remote: step.session.remote(),
        path,
        start: 0,
        stop: step.session.stop(),
        observer: &step.observer,
    }
}
