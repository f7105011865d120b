//! `sansftp` beside the other SFTP clients of this machine, row by row: large files, small files, lists, connections, near
//! and far, against one `sshd` of our own. All clients take turns, so that whatever else the machine does hits them
//! alike. `cargo xtask bench` runs it.
//!
//! Measured are wall time, processor time of each client with everything it starts, and memory. With `--into` the tables
//! are put into a document, each between its own marks, and the rest of it is left as it is. The row `server` compares the
//! servers instead ([`servers`]).
//!
//! Not a profile, and no assertion: a figure that falls short is written down like any other. What is asserted is that
//! contents arrive whole.

mod clients;
mod far;
mod field;
mod measure;
mod report;
mod rows;
mod servers;
mod work;

use std::error::Error;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clients::{Client, Tools};
use field::Field;
use measure::Cost;
use rows::{Row, Scale, rows};

/// Where the files lie: memory, so that no disk is measured.
const MEMORY: &str = "/dev/shm";
/// After this long a client has failed.
const PATIENCE: Duration = Duration::from_secs(180);
/// A client that has taken so many seconds for one row is not run again: sequential ones take minutes over long ways.
const ENOUGH: f64 = 45.0;

type Failure = Box<dyn Error>;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let result = match words.split_first() {
        Some((first, command)) if first == measure::CHILD => {
            measure::child(command).map_err(Into::into)
        }
        _ => bench(&words),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("beside_others: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What was asked for on the command line.
#[derive(Debug)]
struct Wanted {
    tools: Tools,
    rounds: usize,
    scale: Scale,
    /// Parts of names; none is all.
    rows: Vec<String>,
    /// Names; none is all.
    clients: Vec<String>,
    into: Option<PathBuf>,
}

impl Wanted {
    fn new(words: &[String]) -> Result<Self, Failure> {
        let mut wanted = Self {
            tools: Tools {
                sansftp: PathBuf::new(),
                sessions: PathBuf::new(),
            },
            rounds: 3,
            scale: Scale::Full,
            rows: Vec::new(),
            clients: Vec::new(),
            into: None,
        };
        let mut words = words.iter();
        while let Some(option) = words.next() {
            if option == "--quick" {
                wanted.scale = Scale::Quick;
                continue;
            }
            let value = words
                .next()
                .ok_or_else(|| format!("{option} needs a value"))?;
            let list = || value.split(',').map(str::to_owned);
            match option.as_str() {
                "--program" => wanted.tools.sansftp = fs::canonicalize(value)?,
                "--sessions" => wanted.tools.sessions = fs::canonicalize(value)?,
                "--rounds" => wanted.rounds = value.parse::<std::num::NonZeroUsize>()?.get(),
                "--rows" => wanted.rows.extend(list()),
                "--clients" => wanted.clients.extend(list()),
                "--into" => wanted.into = Some(value.into()),
                _ => return Err(format!("there is no option {option}").into()),
            }
        }
        if wanted.tools.sansftp.as_os_str().is_empty()
            || wanted.tools.sessions.as_os_str().is_empty()
        {
            return Err("--program names the sansftp, --sessions the example many_sessions".into());
        }
        let known = |name: &String| Client::ALL.iter().any(|client| client.name() == name);
        if let Some(unknown) = wanted.clients.iter().find(|name| !known(name)) {
            return Err(format!("there is no client {unknown}").into());
        }
        Ok(wanted)
    }

    /// A row is chosen by its whole name, or by a word that its name begins with.
    fn chooses(&self, name: &str) -> bool {
        let chosen = |word: &String| name.strip_prefix(word.as_str()).is_some_and(at_a_word);
        self.rows.is_empty() || self.rows.iter().any(chosen)
    }
}

fn at_a_word(rest: &str) -> bool {
    rest.is_empty() || rest.starts_with('-')
}

fn bench(words: &[String]) -> Result<(), Failure> {
    let wanted = Wanted::new(words)?;
    let rows: Vec<Row> = rows(wanted.scale)
        .into_iter()
        .filter(|row| wanted.chooses(&row.name))
        .collect();
    if rows.is_empty() && !wanted.chooses(SERVER) {
        return Err(format!("no row is named {}", wanted.rows.join(" or ")).into());
    }
    let tell = |name: &str, text: String| -> Result<(), Failure> {
        println!("{text}");
        io::stdout().flush()?;
        match &wanted.into {
            Some(document) => report::put_into(document, name, &text),
            None => Ok(()),
        }
    };
    tell("machine", report::machine(&wanted.tools.sansftp)?)?;
    for row in &rows {
        tell(&row.name, measured(row, &wanted)?)?;
    }
    if wanted.chooses(SERVER) {
        tell(SERVER, servers::bench(&wanted)?)?;
    }
    Ok(())
}

/// The row that compares servers.
const SERVER: &str = "server";

/// What one client took, round by round; a round that it was left out of has none.
#[derive(Debug)]
struct Line {
    client: Client,
    costs: Vec<Option<Cost>>,
    /// Why it was left out.
    failed: Option<String>,
}

/// One row, all rounds, as it stands in the document.
fn measured(row: &Row, wanted: &Wanted) -> Result<String, Failure> {
    let load = report::load()?;
    let field = Field::new(row.ciphers, row.kex, row.round_trip)?;
    row.work.prepare(&field)?;
    let chosen = |client: &&Client| {
        wanted.clients.is_empty() || wanted.clients.iter().any(|name| name == client.name())
    };
    let mut lines: Vec<Line> = row
        .clients
        .iter()
        .filter(chosen)
        .map(|client| Line {
            client: *client,
            costs: Vec::new(),
            failed: None,
        })
        .collect();
    if row.round_trip.is_zero() {
        // Not counted: the first one pays for memory that the others find ready.
        for line in &mut lines {
            line.failed = run(line.client, row, &field, &wanted.tools).err();
        }
    }
    for round in 0..wanted.rounds {
        // Each goes first at some time.
        let turn = round % lines.len().max(1);
        lines.rotate_left(turn);
        for line in &mut lines {
            let taken: f64 = line.costs.iter().flatten().map(|cost| cost.wall).sum();
            let cost = if line.failed.is_some() || taken > ENOUGH {
                None
            } else {
                let cost = run(line.client, row, &field, &wanted.tools);
                cost.map_err(|why| line.failed = Some(why)).ok()
            };
            line.costs.push(cost);
        }
        lines.rotate_right(turn);
    }
    let ours = lines.iter().find(|line| line.client == Client::Sansftp);
    if let Some(why) = ours.and_then(|line| line.failed.as_ref()) {
        return Err(format!("{}: sansftp: {why}", row.name).into());
    }
    Ok(report::table(row, &lines, &load))
}

/// One client, once. Its result is compared, and removed, outside the time.
fn run(client: Client, row: &Row, field: &Field, tools: &Tools) -> Result<Cost, String> {
    let work = &row.work;
    let attempt = || -> Result<Cost, Failure> {
        field.clear()?;
        let command = client.command(work, field, tools)?;
        let command = command.ok_or("has no such operation")?;
        let printed = field.local.path().join("printed");
        let cost = measure::measure(&command, &printed, PATIENCE)?;
        if !work.done(field, &printed)? {
            return Err("did not do all of it".into());
        }
        Ok(cost)
    };
    let result = attempt().map_err(|error| error.to_string());
    field.clear().map_err(|error| error.to_string())?;
    result
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        return values[middle];
    }
    values[middle - 1].midpoint(values[middle])
}
