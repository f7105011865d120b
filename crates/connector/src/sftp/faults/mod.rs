//! Each operation over the whole stack - connector, driver, core, packets, server - in one process, from seeds and in
//! virtual time: with a harm done to each packet in turn, in both directions, and with each call of the server's files
//! refused in turn, before and after its effect. After each the operation runs again, undisturbed, and once more.
//!
//! Not the local side: that is in `run::tests` and in the tests that kill the program.

mod cases;
mod faulty;
mod host;
mod net;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use sansftp_proto::sftp::StatusCode;
use sansftp_testkit::suite::Suite;
use sansftp_tokio::Credentials;
use sansftp_tokio::sftp::server::{FileSystem, MemFs};
use tempfile::TempDir;

use super::{SftpConnect, SftpRemote};
use crate::connection::Connection;
use crate::document::Document;
use crate::error::{Class, Result};
use crate::names::is_ours;
use crate::operation::Operation;
use crate::outcome::{Outcome, Status};
use crate::remote::Connect;
use crate::run::{Connector, Destination};
use faulty::{Effect, Faulty, Kind, Refusal};
use net::{Direction, HARMS, Harm, Net, Strike};

/// What the server refuses with.
const CODES: [StatusCode; 7] = [
    StatusCode::NO_SUCH_FILE,
    StatusCode::PERMISSION_DENIED,
    StatusCode::FAILURE,
    StatusCode::BAD_MESSAGE,
    StatusCode::NO_CONNECTION,
    StatusCode::CONNECTION_LOST,
    StatusCode::OP_UNSUPPORTED,
];

/// Longer than all deadlines that can follow on one stall, in virtual time.
const PATIENCE: Duration = Duration::from_secs(240);

/// An operation, and what must hold of it.
struct Case {
    name: &'static str,
    kind: Kind,
    prepare: fn(&MemFs),
    /// With a journal at this path, where it takes one.
    operation: fn(&Path) -> Operation,
    documents: fn() -> Vec<Document>,
    /// At any moment.
    holds: fn(&Sides) -> Result<(), String>,
    /// Once a run went to its end.
    wanted: fn(&Sides) -> Result<(), String>,
}

/// What somebody sees who looks at both sides.
struct Sides {
    files: MemFs,
    inbox: PathBuf,
    /// What was delivered, and taken away.
    taken: PathBuf,
}

impl Sides {
    /// The names in a directory at the server.
    fn names(&self, directory: &str) -> Vec<String> {
        let mut names = Vec::new();
        let Ok(mut listing) = self.files.open_dir(directory.as_bytes()) else {
            return names;
        };
        while let Ok(entries) = listing.read(1 << 20) {
            if entries.is_empty() {
                break;
            }
            let entries = entries
                .iter()
                .map(|it| String::from_utf8_lossy(&it.filename).into_owned());
            names.extend(entries.filter(|name| name != "." && name != ".."));
        }
        names.sort();
        names
    }

    fn content(&self, path: &str) -> Option<Vec<u8>> {
        self.files.get(path.as_bytes()).ok()
    }

    /// Whether a file at the server has this content, under any name but that of a file that is not complete.
    fn stands(&self, directories: &[&str], content: &[u8]) -> bool {
        directories.iter().any(|directory| {
            let names = self.names(directory);
            let complete = names.iter().filter(|name| !name.ends_with(".part"));
            let mut paths = complete.map(|name| format!("{directory}/{name}"));
            paths.any(|path| self.content(&path).is_some_and(|it| it == content))
        })
    }

    /// Our own temporary and backup files at the server.
    fn leftovers(&self) -> Vec<String> {
        let directories = ["/", "/out", "/done", "/in", "/pub"];
        let names = directories
            .iter()
            .flat_map(|directory| self.names(directory));
        names.filter(|name| is_ours(name.as_bytes())).collect()
    }

    /// Takes away what was delivered, as who consumes it does.
    ///
    /// # Errors
    /// It was delivered before.
    fn consume(&self) -> Result<(), String> {
        for (name, _) in local(&self.inbox) {
            if is_ours(name.as_bytes()) {
                continue;
            }
            let (from, to) = (self.inbox.join(&name), self.taken.join(&name));
            if to.exists() {
                return Err(format!("{name} is delivered twice"));
            }
            std::fs::rename(from, to).unwrap();
        }
        Ok(())
    }
}

/// Names and contents in a local directory.
fn local(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(directory).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter_map(|path| {
            let name = path.file_name()?.to_string_lossy().into_owned();
            Some((name, std::fs::read(path).ok()?))
        })
        .collect()
}

/// Both sides of one point, and what lies between its runs.
struct Scene<'a> {
    case: &'a Case,
    files: MemFs,
    folder: TempDir,
}

/// What a run came to.
struct Ran {
    outcomes: Vec<Outcome>,
    /// In virtual time.
    took: Duration,
    /// What was harmed or refused, if it came to that.
    struck: Option<String>,
    /// How many packets made the first session, by direction.
    opening: [usize; 2],
    looks: usize,
}

impl Ran {
    /// All that the outcomes say.
    fn said(&self) -> String {
        let errors = self.outcomes.iter();
        let errors = errors.flat_map(|it| it.error.iter().chain(&it.warnings));
        errors.map(|error| format!("{error}\n")).collect()
    }
}

impl<'a> Scene<'a> {
    fn new(case: &'a Case) -> Self {
        let files = MemFs::new(1 << 30);
        (case.prepare)(&files);
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
        let folder = folder.expect("a temporary folder can be made");
        for directory in ["inbox", "taken"] {
            std::fs::create_dir(folder.path().join(directory)).unwrap();
        }
        Self {
            case,
            files,
            folder,
        }
    }

    fn sides(&self) -> Sides {
        Sides {
            files: self.files.clone(),
            inbox: self.folder.path().join("inbox"),
            taken: self.folder.path().join("taken"),
        }
    }

    /// # Errors
    /// Something is not as it must be at any moment.
    fn run(
        &self,
        strike: Option<Strike>,
        refusal: Option<(usize, Refusal)>,
    ) -> Result<Ran, String> {
        let (sides, holds) = (self.sides(), self.case.holds);
        // A look is no single moment: what is moved while it looks may be missed.
        let look = move || {
            (0..3)
                .find_map(|_| holds(&sides).ok())
                .map_or_else(|| holds(&sides), Ok)
        };
        let net = Net::new(strike, Box::new(look));
        let files = Arc::new(self.files.clone());
        let faulty = Faulty::new(files, self.case.kind, move |number, _| {
            refusal.and_then(|(at, how)| (at == number).then_some(how))
        });
        let faulty = Arc::new(faulty);
        let connection = Connection {
            host: "memory".to_owned(),
            user: Some(host::USER.to_owned()),
            retries: 0,
            ..Connection::default()
        };
        let opening = Arc::new(Mutex::new(None));
        let connect = InMemory {
            connect: SftpConnect::prepare(&connection, None).unwrap(),
            net: net.clone(),
            files: Arc::clone(&faulty),
            opening: Arc::clone(&opening),
        };
        let inbox = Destination::Directory(self.folder.path().join("inbox"));
        let connector = Connector::new(connect, connection).with_destination(inbox);
        let operation = (self.case.operation)(&self.folder.path().join("journal"));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap();
        let (outcomes, took) = runtime.block_on(async {
            let began = tokio::time::Instant::now();
            tokio::spawn(let_time_pass(net.clone()));
            let documents = stream::iter((self.case.documents)());
            let run = connector.run(operation, documents).collect::<Vec<_>>();
            let outcomes = tokio::time::timeout(PATIENCE, run).await;
            (outcomes, began.elapsed())
        });
        // Waits for what still is at work on other threads.
        drop(runtime);
        let outcomes = outcomes.map_err(|_| format!("not done after {took:?}"))?;
        let harmed = strike
            .filter(|_| net.has_struck())
            .map(|it| format!("{it:?}"));
        let refused = faulty
            .refused()
            .0
            .map(|what| format!("{what} refused, {refusal:?}"));
        let opening = opening.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(Ran {
            outcomes,
            took,
            struck: harmed.or(refused),
            opening: opening.unwrap_or_default(),
            looks: net.looked()?,
        })
    }
}

/// Moves the clock on while nothing else moves; fast once a packet was harmed. By itself the clock of a paused runtime
/// stands still while a thread of it is at work, and one that writes a file waits there for more of it.
async fn let_time_pass(net: Net) {
    const MOMENT: Duration = Duration::from_millis(2);
    let mut still = 0;
    loop {
        let before = net.traffic();
        let moment = tokio::task::spawn_blocking(|| std::thread::sleep(MOMENT));
        if moment.await.is_err() {
            return;
        }
        still = if net.traffic() == before {
            still + 1
        } else {
            0
        };
        let step = match net.has_struck() {
            // Nobody's deadline comes near it, however slow the machine is.
            false => Duration::from_millis(10),
            true if still > 5 => Duration::from_secs(2),
            true => Duration::ZERO,
        };
        if still > 0 && !step.is_zero() {
            tokio::time::advance(step).await;
        }
    }
}

/// Makes sessions over the network in memory.
struct InMemory {
    connect: SftpConnect,
    net: Net,
    files: Arc<Faulty>,
    /// How many packets made the first session.
    opening: Arc<Mutex<Option<[usize; 2]>>>,
}

impl Connect for InMemory {
    type Remote = SftpRemote;

    async fn connect(&self) -> Result<SftpRemote> {
        let (near, far) = self.net.connect();
        tokio::spawn(host::serve(far, Arc::clone(&self.files)));
        let provider = Suite::Null.provider(1);
        let algorithms = host::algorithms(&provider);
        let credentials = Credentials::new(host::USER).password(host::PASSWORD);
        let connecting = self
            .connect
            .connect_over(near, provider, algorithms, credentials);
        let remote = connecting.await?;
        let passed = [Direction::ToServer, Direction::ToClient].map(|it| self.net.passed(it));
        let mut opening = self.opening.lock().unwrap_or_else(PoisonError::into_inner);
        opening.get_or_insert(passed);
        Ok(remote)
    }
}

/// How much was tried.
#[derive(Default)]
struct Points {
    packets: usize,
    refusals: usize,
    looks: usize,
    longest: Duration,
}

/// Which packets are harmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    /// All of a connection.
    TheBeginning,
    /// Those behind the beginning of SFTP.
    TheSession,
}

fn sweep(case: &Case, from: From, least: usize) {
    let mut points = Points::default();
    let undisturbed = point(case, None, None, &mut points).expect("no more than a run");
    assert!(undisturbed.struck.is_none());
    let failed = undisturbed.said();
    assert_eq!(failed, "", "{}: undisturbed", case.name);
    for (number, direction) in [Direction::ToServer, Direction::ToClient]
        .into_iter()
        .enumerate()
    {
        let first = match from {
            From::TheBeginning => 0,
            From::TheSession => undisturbed.opening[number],
        };
        for harm in HARMS {
            for at in first.. {
                let strike = Strike {
                    direction,
                    at,
                    harm,
                };
                if point(case, Some(strike), None, &mut points).is_none() {
                    break;
                }
                points.packets += 1;
            }
        }
    }
    let codes = CODES.map(|code| (Effect::None, code));
    let done = [StatusCode::FAILURE, StatusCode::CONNECTION_LOST].map(|code| (Effect::Done, code));
    let all = std::env::var_os("SANSFTP_EVERY_FAULT").is_some();
    for (number, (effect, code)) in codes.into_iter().chain(done).enumerate() {
        for at in 0.. {
            // With every change each call is refused in three ways of nine; at night in all.
            if !all && (at + number) % 3 != 0 {
                continue;
            }
            let refusal = (at, Refusal { effect, code });
            if point(case, None, Some(refusal), &mut points).is_none() {
                break;
            }
            points.refusals += 1;
        }
    }
    let Points {
        packets,
        refusals,
        looks,
        longest,
    } = points;
    println!(
        "{}: {packets} packets harmed, {refusals} calls refused, {looks} looks, at most {longest:?} of virtual time",
        case.name
    );
    assert!(
        packets + refusals >= least,
        "{}: only {packets} and {refusals}",
        case.name
    );
}

/// One fault, a run behind it and, of every third, another one. None where it did not come to the fault.
fn point(
    case: &Case,
    strike: Option<Strike>,
    refusal: Option<(usize, Refusal)>,
    points: &mut Points,
) -> Option<Ran> {
    let scene = Scene::new(case);
    let sides = scene.sides();
    let fault = strike.map_or_else(|| format!("{refusal:?}"), |it| format!("{it:?}"));
    let fail = |run: &str, why: String| -> ! { panic!("{}, {fault}, {run}: {why}", case.name) };
    let first = scene
        .run(strike, refusal)
        .unwrap_or_else(|why| fail("the first run", why));
    if first.struck.is_none() && (strike.is_some() || refusal.is_some()) {
        return None;
    }
    let what = first.struck.clone().unwrap_or_default();
    let judged = judge_first(&first, strike, &sides);
    judged.unwrap_or_else(|why| fail(&what, why));
    let mut said = first.said();
    let again = if (points.packets + points.refusals).is_multiple_of(3) {
        2
    } else {
        1
    };
    for number in 1..=again {
        let ran = scene
            .run(None, None)
            .unwrap_or_else(|why| fail("a later run", why));
        let earlier = said.clone();
        said.push_str(&ran.said());
        let judged = judge_later(case, &ran, &said, &sides);
        let judged = judged.and_then(|()| match number {
            1 => Ok(()),
            _ => nothing_is_done(case, &ran),
        });
        judged.unwrap_or_else(|why| fail(&format!("{what}\nearlier: {earlier}"), why));
        points.looks += ran.looks;
    }
    points.looks += first.looks;
    points.longest = points.longest.max(first.took);
    Some(first)
}

fn judge_first(ran: &Ran, strike: Option<Strike>, sides: &Sides) -> Result<(), String> {
    nothing_unnamed(sides, &ran.said())?;
    if strike.is_some_and(|it| matches!(it.harm, Harm::Stall | Harm::Silence)) {
        let errors = ran.outcomes.iter().filter_map(|it| it.error.as_ref());
        for error in errors {
            let in_time = matches!(error.class(), Class::Timeout | Class::Disconnected)
                || error.message().contains("no answer in time");
            if !in_time {
                return Err(format!("not a matter of time: {error:?}"));
            }
            // The stage of connecting, the request that waits, or that nothing at all came.
            let told = ["timed out during", "(no answer to", "a sign of life"];
            if !told.iter().any(|it| error.message().contains(it)) {
                return Err(format!("it does not say what it waited for: {error:?}"));
            }
        }
    }
    sides.consume()
}

/// Whether what is left of ours was told of.
fn nothing_unnamed(sides: &Sides, said: &str) -> Result<(), String> {
    let left = sides
        .leftovers()
        .into_iter()
        .find(|left| !said.contains(left));
    left.map_or(Ok(()), |left| {
        Err(format!("{left} is not named in: {said}"))
    })
}

fn judge_later(case: &Case, ran: &Ran, said: &str, sides: &Sides) -> Result<(), String> {
    let failed = ran.outcomes.iter().find(|it| it.status == Status::Failed);
    if said.contains("may be an empty file of ours") {
        // Whether a name was created for us or for another cannot be told once the answer is lost: it is for people
        // to see.
        return Ok(());
    }
    if let Some(failed) = failed {
        return Err(format!("it does not recover: {failed:?}"));
    }
    sides.consume()?;
    nothing_unnamed(sides, said)?;
    let parts = local(&sides.inbox);
    if !parts.is_empty() {
        return Err(format!("{:?} stays behind", parts.keys()));
    }
    (case.wanted)(sides)
}

fn nothing_is_done(case: &Case, ran: &Ran) -> Result<(), String> {
    let journaled = (case.operation)(Path::new("")).journal().is_some();
    let done = ran.outcomes.iter().find(|it| it.status == Status::Ok);
    match done {
        Some(done) if journaled => Err(format!("done again: {done:?}")),
        _ => Ok(()),
    }
}
