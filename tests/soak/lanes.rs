//! What is done all the time. Each lane has directories of its own, makes some files, has them moved until the connector
//! says that all is well, and compares.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufWriter, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use sansftp_connector::document::{Document, Properties};
use sansftp_connector::is_ours;
use sansftp_connector::listen::ListenEvent;
use sansftp_connector::operation::{Get, GetAction, IfExists, Listen, Operation, Send};
use sansftp_connector::outcome::{Outcome, Status};
use sansftp_testkit::seeds::Rng;
use sha2::{Digest, Sha256};

use crate::Moved;
use crate::site::Site;

/// Files of one round of a lane.
const FILES: usize = 8;
const SUFFIX: &str = ".bin";
/// A lane that takes so long is stuck.
const PATIENCE: Duration = Duration::from_secs(300);

/// Size and SHA-256: what is moved is not held in the memory that is watched.
type Files = BTreeMap<String, (u64, [u8; 32])>;

/// One round of something.
pub(crate) struct Lane<'a> {
    site: &'a Site,
    name: &'static str,
    /// Names and sizes.
    files: BTreeMap<String, u64>,
    rng: Rng,
    began: Instant,
    runs: u64,
    /// All errors and warnings.
    told: String,
    /// Where names are claimed, if they must be free.
    claimed_in: Option<PathBuf>,
}

impl<'a> Lane<'a> {
    pub(crate) fn new(site: &'a Site, name: &'static str, round: u64, mut rng: Rng) -> Self {
        rng.next();
        let files = (0..FILES).map(|number| {
            let size = match rng.below(8) {
                0 => 0,
                1 => rng.below(3 << 20),
                2 | 3 => rng.below(400_000),
                _ => rng.below(20_000),
            };
            (format!("{round}-{number}{SUFFIX}"), size as u64)
        });
        let files = files.collect();
        Self {
            site,
            name,
            files,
            rng,
            began: Instant::now(),
            runs: 0,
            told: String::new(),
            claimed_in: None,
        }
    }

    /// A directory at the server, as it is asked for, which is there.
    fn remote(&self, part: &str) -> (String, PathBuf) {
        let name = format!("{}-{part}", self.name);
        let path = self.site.served(&name);
        fs::create_dir_all(&path).unwrap();
        (name, path)
    }

    /// A directory here, which is there.
    fn local(&self, part: &str) -> PathBuf {
        let path = self.site.local(&format!("{}-{part}", self.name));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn journal(&self) -> PathBuf {
        self.site.local(&format!("{}.journal", self.name))
    }

    /// Makes the files as somebody does who wants them to be read in whole. Says what is in them.
    fn write(&mut self, directory: &Path) -> Files {
        let beside = self.site.served(&format!("{}-unfinished", self.name));
        let mut written = Files::new();
        for (name, size) in &self.files {
            let mut file = BufWriter::new(fs::File::create(&beside).unwrap());
            self.rng.write_to(&mut file, *size).unwrap();
            file.into_inner().unwrap();
            written.insert(name.clone(), contents(&beside));
            fs::rename(&beside, directory.join(name)).unwrap();
        }
        written
    }

    /// Runs the operation again and again, until nothing fails and `done`.
    async fn run(
        &mut self,
        inbox: &Path,
        operation: &Operation,
        documents: impl Fn() -> Vec<Document>,
        done: impl Fn() -> bool,
    ) {
        loop {
            self.clear_told_empty();
            self.runs += 1;
            let connector = self.site.connector(inbox);
            let outcomes = connector.run(operation.clone(), stream::iter(documents()));
            let outcomes: Vec<Outcome> = outcomes.collect().await;
            outcomes.iter().for_each(|outcome| self.note(outcome));
            let failed: Vec<_> = outcomes
                .iter()
                .filter(|it| it.status == Status::Failed)
                .collect();
            if failed.is_empty() && done() {
                return;
            }
            self.in_time(&failed);
        }
    }

    /// As an operator does who is told that a name is taken by a file that may be ours, and sees that it is empty.
    fn clear_told_empty(&mut self) {
        let Some(directory) = &self.claimed_in else {
            return;
        };
        for name in self.files.keys() {
            let file = directory.join(name);
            if self.is_told_empty(&file) {
                fs::remove_file(file).unwrap();
                // What comes to stand there is another.
                self.told = self.told.replace(&told_empty(name), "");
            }
        }
    }

    fn note(&mut self, outcome: &Outcome) {
        for error in outcome.error.iter().chain(&outcome.warnings) {
            self.told.push_str(&format!("{error}\n"));
        }
    }

    fn in_time(&self, last: &dyn std::fmt::Debug) {
        let waited = self.began.elapsed();
        assert!(
            waited < PATIENCE,
            "{} of {} is not done after {waited:?}: {last:?}",
            self.name,
            self.site.name()
        );
    }

    /// Fails unless the directory has these files and nothing else but temporary ones that were told of. Takes all away.
    ///
    /// A file may have a number in its name where the name itself is that of an empty file which, it was told, may be
    /// ours: whose it is cannot be known after a connection is lost just when a name is reserved.
    fn take(&self, directory: &Path, files: &Files) {
        let mut names = names(directory);
        for (name, written) in files {
            let mut given = name.clone();
            for number in 1.. {
                let base = name.strip_suffix(SUFFIX).unwrap();
                let next = format!("{base}{number}{SUFFIX}");
                if !names.contains(&next) || !self.is_told_empty(&directory.join(&given)) {
                    break;
                }
                names.remove(&given);
                fs::remove_file(directory.join(&given)).unwrap();
                given = next;
            }
            let there = names.remove(&given);
            let found = there.then(|| contents(&directory.join(&given)));
            assert!(
                found == Some(*written),
                "{} of {}: {given} has {:?} bytes of {}; {:?}; {}",
                self.name,
                self.site.name(),
                found.map(|it| it.0),
                written.0,
                names,
                self.told
            );
            fs::remove_file(directory.join(given)).unwrap();
        }
        for name in names {
            let told = is_ours(name.as_bytes()) && self.told.contains(&name);
            assert!(
                told,
                "{} of {}: {name} in {}; {}",
                self.name,
                self.site.name(),
                directory.display(),
                self.told
            );
            fs::remove_file(directory.join(name)).unwrap();
        }
    }

    fn is_told_empty(&self, file: &Path) -> bool {
        let empty = fs::metadata(file).is_ok_and(|it| it.len() == 0);
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        empty
            && self
                .told
                .contains(&format!("/{name} may be an empty file of ours"))
    }

    fn moved(self) -> Moved {
        Moved {
            files: self.files.len() as u64,
            bytes: self.files.values().sum(),
            runs: self.runs,
        }
    }
}

fn told_empty(name: &str) -> String {
    format!("/{name} may be an empty file of ours")
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    names
        .map(|name| name.to_string_lossy().into_owned())
        .collect()
}

fn contents(file: &Path) -> (u64, [u8; 32]) {
    let (mut hash, mut size) = (Sha256::new(), 0);
    let mut file = fs::File::open(file).unwrap();
    let mut part = [0; 16 << 10];
    loop {
        let len = file.read(&mut part).unwrap();
        if len == 0 {
            return (size, hash.finalize().into());
        }
        hash.update(&part[..len]);
        size += len as u64;
    }
}

/// Sends the files, to be renamed from one directory into another where this is said.
pub(crate) async fn send(mut lane: Lane<'_>, then: Option<&str>) -> Moved {
    let (name, directory) = lane.remote("in");
    let outbox = lane.local("outbox");
    let files = lane.write(&outbox);
    let if_exists = [IfExists::Rename, IfExists::Error, IfExists::Overwrite][lane.rng.below(3)];
    let last = then.map(|part| lane.remote(part));
    if if_exists == IfExists::Error {
        lane.claimed_in = Some(last.as_ref().map_or(&directory, |it| &it.1).clone());
    }
    let operation = Operation::from(Send {
        if_exists,
        remote_directory: Some(name),
        journal: Some(lane.journal()),
        move_to_directory: last.as_ref().map(|it| it.0.clone()),
        force_move: last.is_some(),
        ..Send::default()
    });
    let all: Vec<String> = lane.files.keys().cloned().collect();
    let documents = || {
        let documents = all
            .iter()
            .map(|name| Document::file(outbox.join(name)).with("document-id", name.clone()));
        documents.collect()
    };
    lane.run(&outbox, &operation, documents, || true).await;
    if let Some((_, last)) = last {
        lane.take(&last, &files);
        lane.take(&directory, &Files::new());
    } else {
        lane.take(&directory, &files);
    }
    lane.take(&outbox, &files);
    lane.moved()
}

fn get(lane: &Lane<'_>, directory: String, action: GetAction) -> Get {
    Get {
        action,
        remote_directory: Some(directory),
        journal: Some(lane.journal()),
        ..Get::default()
    }
}

/// Gets the files, which are gone then.
pub(crate) async fn get_and_delete(mut lane: Lane<'_>) -> Moved {
    let (name, directory) = lane.remote("out");
    let inbox = lane.local("inbox");
    let files = lane.write(&directory);
    let operation = Operation::from(get(&lane, name, GetAction::GetAndDelete));
    let none = || vec![Document::empty()];
    lane.run(&inbox, &operation, none, || names(&directory).is_empty())
        .await;
    lane.take(&inbox, &files);
    lane.moved()
}

/// Gets the files, which are in another directory then.
pub(crate) async fn get_and_move(mut lane: Lane<'_>) -> Moved {
    let (name, directory) = lane.remote("out");
    let (done, archive) = lane.remote("done");
    let inbox = lane.local("inbox");
    let files = lane.write(&directory);
    let operation = Operation::from(Get {
        move_to_directory: Some(done),
        force_move: true,
        ..get(&lane, name, GetAction::GetAndMove)
    });
    let none = || vec![Document::empty()];
    lane.run(&inbox, &operation, none, || names(&directory).is_empty())
        .await;
    lane.take(&inbox, &files);
    lane.take(&archive, &files);
    lane.moved()
}

/// Listens until all files have come, and are gone.
pub(crate) async fn listen(mut lane: Lane<'_>) -> Moved {
    let (name, directory) = lane.remote("out");
    let inbox = lane.local("inbox");
    let listen = Listen {
        interval: Duration::from_millis(50),
        get: Get {
            stable_for: Duration::ZERO,
            ..get(&lane, name, GetAction::GetAndDelete)
        },
        ..Listen::default()
    };
    let connector = lane.site.connector(&inbox);
    let mut events = connector.listen(listen, Properties::default());
    let files = lane.write(&directory);
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    loop {
        let event = tokio::time::timeout(PATIENCE, events.next()).await;
        let Some(event) = event.expect("a listener tells something") else {
            break;
        };
        match event {
            ListenEvent::Outcome(outcome) => {
                lane.note(&outcome);
                if outcome.status != Status::Ok {
                    continue;
                }
                let name = outcome.properties.text("filename").unwrap();
                *taken.entry(name.to_owned()).or_default() += 1;
            }
            ListenEvent::Polled(_) => {
                lane.runs += 1;
                if names(&directory).is_empty() {
                    events.stopper().finish();
                }
                lane.in_time(&taken);
            }
            ListenEvent::Stopped(Some(error)) => panic!("the listener ended: {error}"),
            _ => {}
        }
    }
    lane.take(&inbox, &files);
    let twice: Vec<_> = taken.iter().filter(|(_, times)| **times != 1).collect();
    assert!(twice.is_empty(), "told not once: {twice:?}");
    lane.moved()
}
