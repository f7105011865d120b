//! What is told: results on standard output, everything else on standard error.
//!
//! Not what is done. People get a progress bar on a terminal and a short table, programs one JSON
//! object a line; both get the same outcomes.

mod human;
mod journal;
mod json;
mod progress;
mod serve;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::sync::Arc;
use std::time::Instant;

use sansftp_connector::listen::ListenEvent;
use sansftp_connector::operation::Operation;
use sansftp_connector::outcome::{Outcome, Status};
use sansftp_connector::progress::Observer;
use sansftp_connector::sftp::{Details, ServerKey};
use sansftp_connector::transcript::Record;
use sansftp_connector::{Error, printable};

pub(crate) use self::progress::Bars;
pub(crate) use self::serve::{HostCertificateShown, HostKeyShown, Listening, ServeLog};
use crate::args::{Command, OutputArgs};
use crate::exit::{Code, Verdict};

/// So many bytes are gathered at most before they are written.
const GATHERED: usize = 64 << 10;

/// Where everything goes that a command tells.
#[derive(Debug)]
pub(crate) struct Output {
    form: Form,
    detail: Detail,
    tracked: Tracked,
    bars: Bars,
    verdict: Verdict,
    tally: Tally,
    started: Instant,
    reader: Reader,
    /// Lines that are not written yet: a listing of thousands takes few system calls.
    gathered: Vec<u8>,
    /// The step that outcomes are told of.
    step: Option<usize>,
    requests: u64,
}

/// For whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Human,
    Json,
}

/// How much.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Detail {
    /// Errors only.
    Quiet,
    Normal,
    /// Skipped files too.
    Verbose,
}

impl Detail {
    fn of(args: &OutputArgs) -> Self {
        match (args.quiet, args.verbose) {
            (true, _) => Self::Quiet,
            (false, 0) => Self::Normal,
            (false, _) => Self::Verbose,
        }
    }
}

/// Whether people see the tracked properties of each outcome; programs always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tracked {
    Hidden,
    Shown,
}

/// Whether anyone takes standard output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reader {
    There,
    Gone,
}

/// What an outcome is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rows {
    /// Files fetched.
    Get,
    /// Files fetched as they come.
    Listen,
    /// Files sent.
    Send,
    /// Entries of a directory.
    List,
    /// Files deleted.
    Delete,
    /// Documents in the steps of a process.
    Steps,
    /// Requests that are only planned.
    Requests,
    /// No files and no entries: what matters is told in another way.
    None,
}

impl Rows {
    /// What the outcomes of a command are about.
    pub(crate) fn of(command: &Command) -> Self {
        match command {
            Command::Get(_) => Self::Get,
            Command::Listen(_) => Self::Listen,
            Command::Send(_) => Self::Send,
            Command::List(_) => Self::List,
            Command::Delete(_) => Self::Delete,
            Command::Run(_) => Self::Steps,
            Command::Plan(_) => Self::Requests,
            _ => Self::None,
        }
    }

    /// What the outcomes of an operation are about.
    pub(crate) fn of_operation(operation: &Operation) -> Self {
        match operation {
            Operation::Get(_) => Self::Get,
            Operation::Listen(_) => Self::Listen,
            Operation::Send(_) => Self::Send,
            Operation::List(_) => Self::List,
            Operation::Delete(_) => Self::Delete,
        }
    }

    /// Whether files are transferred.
    pub(crate) fn transfers(self) -> bool {
        matches!(self, Self::Get | Self::Listen | Self::Send)
    }
}

/// What became of everything, in numbers.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    ok: u64,
    failed: u64,
    /// Those of the failed that no file is named in: the step as a whole.
    nameless: u64,
    skipped: BTreeMap<&'static str, u64>,
    /// Of what was done, the part of each step of a process, and what it is about.
    steps: BTreeMap<usize, (Rows, u64)>,
    bytes: u64,
}

/// What was agreed on with a server, and where.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    /// The session.
    pub(crate) details: &'a Details,
    /// Entries in the directory that was listed; none when it could not be.
    pub(crate) entries: Option<u64>,
    /// That directory, as it was named.
    pub(crate) directory: &'a [u8],
}

/// What was done about a host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recorded {
    /// It stood in the file already.
    Known,
    /// It stands there now.
    New,
}

impl Output {
    /// As the flags want it. Bars are drawn only for a person at a terminal.
    pub(crate) fn new(args: &OutputArgs, bars: Bars) -> Self {
        Self {
            form: if args.json { Form::Json } else { Form::Human },
            detail: Detail::of(args),
            tracked: Tracked::Hidden,
            bars,
            verdict: Verdict::default(),
            tally: Tally::default(),
            started: Instant::now(),
            reader: Reader::There,
            gathered: Vec::new(),
            step: None,
            requests: 0,
        }
    }

    /// Who is told of the progress of transfers.
    pub(crate) fn observer(&self, rows: Rows) -> Observer {
        let person = self.form == Form::Human && self.detail > Detail::Quiet;
        if rows.transfers() && person && io::stderr().is_terminal() {
            return Observer::new(Arc::new(self.bars.watch()));
        }
        Observer::default()
    }

    /// Whether standard output was closed: then there is nobody to list for.
    pub(crate) fn is_unread(&self) -> bool {
        self.reader == Reader::Gone
    }

    /// What became of one document, file or entry.
    pub(crate) fn outcome(&mut self, rows: Rows, outcome: &Outcome) {
        self.outcome_of_many(rows, outcome);
        self.settle();
    }

    /// The same, where more may come at once: [`settle`](Self::settle) follows before anything is waited for.
    pub(crate) fn outcome_of_many(&mut self, rows: Rows, outcome: &Outcome) {
        self.count(rows, outcome);
        if self.form == Form::Json {
            self.gather(&json::outcome(self.step, outcome));
            return;
        }
        let subject = human::subject(&outcome.properties);
        if let Some(error) = &outcome.error {
            self.complain("error", subject.as_deref(), error);
        }
        if self.detail == Detail::Quiet {
            return;
        }
        for warning in &outcome.warnings {
            self.complain("warning", subject.as_deref(), warning);
        }
        if let Some(row) = human::row(rows, outcome, self.detail == Detail::Verbose) {
            self.gather(&match self.step {
                Some(step) => format!("{step}: {row}"),
                None => row,
            });
        }
        if self.tracked == Tracked::Shown && rows != Rows::List && outcome.status == Status::Ok {
            self.gather(&human::tracked(&outcome.properties));
        }
    }

    /// The same in a step of a process, whose steps' outcomes are about these.
    pub(crate) fn outcome_of_step(&mut self, step: usize, rows: &[Rows], outcome: &Outcome) {
        let own = step.checked_sub(1).and_then(|index| rows.get(index));
        let own = own.copied().unwrap_or(Rows::None);
        if outcome.status == Status::Ok {
            self.tally.steps.entry(step).or_insert((own, 0)).1 += 1;
        }
        self.step = Some(step);
        self.outcome(own, outcome);
        self.step = None;
    }

    /// What would become of a document; people see what would go wrong.
    pub(crate) fn planned(&mut self, step: Option<usize>, outcome: &Outcome) {
        self.step = step;
        self.outcome(Rows::None, outcome);
        self.step = None;
    }

    /// What would be asked of a server.
    pub(crate) fn request(&mut self, request: &Record) {
        self.requests += 1;
        match self.form {
            Form::Json => self.line(&json::request(request)),
            Form::Human if self.detail == Detail::Quiet => {}
            Form::Human => self.line(&human::request(self.requests, request)),
        }
    }

    /// What a listener tells.
    pub(crate) fn listened(&mut self, rows: Rows, event: ListenEvent) {
        let event = match event {
            ListenEvent::Outcome(outcome) => return self.outcome(rows, &outcome),
            event => event,
        };
        if self.form == Form::Json {
            let rare = !matches!(event, ListenEvent::Polled(_));
            if rare || self.detail == Detail::Verbose {
                self.line(&json::listened(&event));
            }
            return;
        }
        if let ListenEvent::Away(away) = &event {
            // Who tries again and again says so once, and on request each time.
            if away.attempt == 1 || self.detail == Detail::Verbose {
                self.complain("error", None, &away.error);
            }
        }
        if self.detail > Detail::Quiet
            && let Some(row) = human::listened(&event, self.detail == Detail::Verbose)
        {
            self.line(&row);
        }
    }

    /// A listener cannot go on; why is told as the failure of the command.
    pub(crate) fn stopped(&mut self, error: Option<&Error>) {
        if self.form == Form::Json {
            self.line(&json::listened(&ListenEvent::Stopped(error.cloned())));
        }
    }

    /// Shows people the tracked properties of each outcome from here on.
    pub(crate) fn show_tracked(&mut self) {
        self.tracked = Tracked::Shown;
    }

    /// A sentence between results.
    pub(crate) fn narrate(&mut self, words: &str) {
        match self.form {
            Form::Json => self.line(&json::step(words, None)),
            Form::Human if self.detail == Detail::Quiet => {}
            Form::Human => self.line(&format!("\n{words}")),
        }
    }

    /// A command line that is about to be carried out, and why.
    pub(crate) fn command(&mut self, why: &str, words: &str) {
        match self.form {
            Form::Json => self.line(&json::step(why, Some(words))),
            Form::Human if self.detail == Detail::Quiet => {}
            Form::Human => self.line(&format!("\n{why}\n$ sansftp {words}")),
        }
    }

    /// The content of a file, for people.
    pub(crate) fn quote(&mut self, text: &str) {
        if self.form == Form::Human && self.detail > Detail::Quiet {
            let lines: Vec<String> = text.lines().map(|line| format!("    {line}")).collect();
            self.line(&lines.join("\n"));
        }
    }

    /// Whether anything has failed so far.
    pub(crate) fn has_failed(&self) -> bool {
        self.tally.failed > 0
    }

    /// The command came to an end before there was anything to tell of.
    pub(crate) fn failure(&mut self, error: Error) {
        self.outcome(Rows::None, &Outcome::failed(Default::default(), error));
    }

    /// Something was told that no outcome stands for.
    fn counted(&mut self) {
        self.verdict.done();
        self.tally.ok += 1;
    }

    /// A session and what it agreed on.
    pub(crate) fn report(&mut self, report: &Report<'_>) {
        if report.entries.is_some() {
            self.verdict.done();
            self.tally.ok += 1;
        }
        match self.form {
            Form::Json => self.line(&json::report(report)),
            Form::Human if self.detail == Detail::Quiet => {}
            Form::Human => self.line(&human::report(report)),
        }
    }

    /// A host key that is shown before anyone decides on it.
    pub(crate) fn shown_key(&mut self, key: &ServerKey) {
        if self.form == Form::Human && self.detail > Detail::Quiet {
            self.line(&human::key(key));
        }
    }

    /// What was done about a host key.
    pub(crate) fn key(&mut self, key: &ServerKey, recorded: Recorded) {
        self.verdict.done();
        self.tally.ok += 1;
        match self.form {
            Form::Json => self.line(&json::key(key, recorded)),
            Form::Human if self.detail == Detail::Quiet => {}
            Form::Human => self.line(&human::recorded(key, recorded)),
        }
    }

    /// Ends it with a summary: for a program always, for a person after transfers.
    pub(crate) fn finish(mut self, rows: Rows) -> Code {
        let seconds = self.started.elapsed().as_secs_f64();
        self.bars.clear();
        match self.form {
            Form::Json => {
                let summary = json::summary(&self.tally, seconds);
                self.line(&summary);
            }
            Form::Human if self.detail == Detail::Quiet => {}
            Form::Human => {
                match human::summary(rows, &self.tally, self.requests, seconds) {
                    // What a listing is piped into gets entries and nothing else.
                    Some(summary) if rows == Rows::List => self.note(&summary),
                    Some(summary) => self.line(&summary),
                    None => {}
                }
            }
        }
        self.verdict.code()
    }

    fn count(&mut self, rows: Rows, outcome: &Outcome) {
        match outcome.status {
            Status::Failed => {
                self.tally.failed += 1;
                if human::subject(&outcome.properties).is_none() {
                    self.tally.nameless += 1;
                }
                let error = outcome.error.as_ref();
                self.verdict
                    .failed(error.expect("a failed outcome says why"));
            }
            Status::Skipped(reason) => {
                *self.tally.skipped.entry(reason.name()).or_default() += 1;
                return;
            }
            Status::Ok => {
                self.verdict.done();
                self.tally.ok += 1;
            }
        }
        let moved = matches!(rows, Rows::Get | Rows::Listen | Rows::Send);
        if moved && (outcome.delivered || outcome.status == Status::Ok) {
            let size = outcome.properties.text("size");
            let size = size.and_then(|size| size.parse().ok()).unwrap_or(0);
            self.tally.bytes = self.tally.bytes.saturating_add(size);
        }
    }

    /// One line for what is wrong, one or more for what to do about it.
    fn complain(&mut self, how: &str, subject: Option<&str>, error: &Error) {
        let mut text = format!("{how} ({}): ", error.class());
        if let Some(step) = self.step
            && !error.message().starts_with("step ")
        {
            text.push_str(&format!("step {step}: "));
        }
        if let Some(subject) = subject {
            text.push_str(&format!("{subject}: "));
        }
        text.push_str(&printable(error.message().as_bytes()));
        text.push('\n');
        for line in error.hint().unwrap_or_default().lines() {
            text.push_str(&format!("hint: {}\n", printable(line.as_bytes())));
        }
        self.tell_stderr(&text);
    }

    /// A remark for people beside the results.
    fn note(&mut self, text: &str) {
        self.tell_stderr(&format!("{text}\n"));
    }

    fn tell_stderr(&mut self, text: &str) {
        // In the order in which it was told.
        self.settle();
        // Without standard error there is nobody left to tell.
        let _ = self
            .bars
            .suspend(|| io::stderr().lock().write_all(text.as_bytes()));
    }

    fn line(&mut self, text: &str) {
        self.gather(text);
        self.settle();
    }

    fn gather(&mut self, text: &str) {
        self.gathered.extend_from_slice(text.as_bytes());
        self.gathered.push(b'\n');
        if self.gathered.len() > GATHERED {
            self.settle();
        }
    }

    /// Writes what was gathered.
    pub(crate) fn settle(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        let gathered = std::mem::take(&mut self.gathered);
        if self.reader == Reader::Gone {
            return;
        }
        let written = self.bars.suspend(|| {
            let mut stdout = io::stdout().lock();
            stdout.write_all(&gathered)?;
            stdout.flush()
        });
        if let Err(error) = written {
            self.reader = Reader::Gone;
            if error.kind() != ErrorKind::BrokenPipe {
                let error = Error::local_io("standard output", error);
                self.verdict.failed(&error);
                self.complain("error", None, &error);
            }
        }
    }
}
