//! `journal`: what is in a journal, and changing it.
//!
//! Nothing is asked of a server, and no file but the journal is touched.

use sansftp_connector::journal::{EntryId, Journal, Query, Record, Retried};
use sansftp_connector::{Class, Error, Result};

use super::Ended;
use crate::args::{
    JournalArgs, JournalCommand, JournalFile, JournalForgetArgs, JournalListArgs, JournalRetryArgs,
    JournalShowArgs,
};
use crate::ask;
use crate::output::Output;
use crate::plan::Environment;
use crate::signals::Signals;

/// So many entries are held at a time.
const PAGE: usize = 500;

/// Does what was asked, until a signal comes.
pub(super) async fn run(
    args: &JournalArgs,
    environment: &Environment,
    output: &mut Output,
    signals: &mut Signals,
) -> Result<(), Ended> {
    let doing = async {
        match &args.what {
            JournalCommand::List(args) => list(args, environment, output).await,
            JournalCommand::Show(args) => show(args, environment, output).await,
            JournalCommand::Retry(args) => retry(args, environment, output).await,
            JournalCommand::Forget(args) => forget(args, environment, output).await,
        }
    };
    tokio::select! {
        done = doing => Ok(done?),
        code = signals.next() => Err(Ended::Signal(code)),
    }
}

async fn list(
    args: &JournalListArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<()> {
    let journal = open(&args.file, environment).await?;
    let query = Query {
        state: args.state.clone(),
        account: args.account.clone(),
        ..Query::default()
    };
    let mut pages = Pages::of(&journal, &query);
    while let Some(records) = pages.next().await? {
        for record in &records {
            output.journal_row(record);
        }
        if output.is_unread() {
            break;
        }
    }
    Ok(())
}

async fn show(
    args: &JournalShowArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<()> {
    let journal = open(&args.file, environment).await?;
    match journal.entry(args.entry).await? {
        Some(record) => output.journal_whole(&record),
        None => return Err(unknown(args.entry)),
    }
    Ok(())
}

async fn retry(
    args: &JournalRetryArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<()> {
    let journal = open(&args.file, environment).await?;
    let mut entries = args.entries.clone();
    if args.failed {
        let query = Query {
            state: Some("failed".to_owned()),
            ..Query::default()
        };
        entries = numbers(&journal, &query, |_| true).await?;
    }
    for id in entries {
        match journal.retry(id).await? {
            Retried::GoesOn => output.journal_changed(id, "goes on at the next run"),
            Retried::Again => output.journal_changed(id, "is done again at the next run"),
            Retried::Closed => output.journal_changed(
                id,
                "was finished, and its file deleted or moved: the same name is a new file",
            ),
            Retried::InHand => output.failure(in_hand(id)),
            Retried::Unknown => output.failure(unknown(id)),
        }
    }
    Ok(())
}

async fn forget(
    args: &JournalForgetArgs,
    environment: &Environment,
    output: &mut Output,
) -> Result<()> {
    let journal = open(&args.file, environment).await?;
    let mut entries = args.entries.clone();
    if let Some(age) = args.older_than {
        let query = Query {
            state: Some("done".to_owned()),
            older_than: Some(age),
            ..Query::default()
        };
        entries = numbers(&journal, &query, |record| record.in_hand.is_none()).await?;
    }
    if entries.is_empty() {
        return Ok(());
    }
    if !args.yes {
        confirmed(entries.len()).await?;
    }
    for id in entries {
        match journal.forget(id).await {
            Ok(true) => output.journal_changed(id, "is forgotten"),
            Ok(false) => output.failure(unknown(id)),
            Err(error) => output.failure(error),
        }
    }
    Ok(())
}

async fn open(file: &JournalFile, environment: &Environment) -> Result<Journal> {
    let path = environment.expanded(&file.journal);
    match tokio::task::spawn_blocking(move || Journal::open_existing(&path)).await {
        Ok(opened) => opened,
        Err(error) => Err(Error::new(
            Class::LocalIo,
            format!("opening the journal did not come to an end: {error}"),
        )),
    }
}

/// The numbers of all entries that are asked for: eight bytes and a little each.
async fn numbers(
    journal: &Journal,
    query: &Query,
    take: impl Fn(&Record) -> bool,
) -> Result<Vec<EntryId>> {
    let mut pages = Pages::of(journal, query);
    let mut found = Vec::new();
    while let Some(records) = pages.next().await? {
        found.extend(records.iter().filter(|it| take(it)).map(|it| it.id));
    }
    Ok(found)
}

/// The entries that are asked for, page by page.
struct Pages<'a> {
    journal: &'a Journal,
    query: &'a Query,
    after: Option<EntryId>,
}

impl<'a> Pages<'a> {
    fn of(journal: &'a Journal, query: &'a Query) -> Self {
        Self {
            journal,
            query,
            after: None,
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<Record>>> {
        let records = self.journal.entries(self.query, self.after, PAGE).await?;
        let Some(last) = records.last() else {
            return Ok(None);
        };
        self.after = Some(last.id);
        Ok(Some(records))
    }
}

async fn confirmed(count: usize) -> Result<()> {
    let entries = match count {
        1 => "1 entry".to_owned(),
        count => format!("{count} entries"),
    };
    if !ask::is_terminal() {
        return Err(Error::configuration(format!(
            "there is no terminal to ask on whether {entries} may be forgotten"
        ))
        .with_hint("add --yes"));
    }
    let question = format!("Forget {entries}? Files that are still there are taken again (yes): ");
    let answer = ask::line(question).await.unwrap_or_default();
    if answer.trim().eq_ignore_ascii_case("yes") {
        return Ok(());
    }
    Err(Error::new(Class::Cancelled, "nothing is forgotten"))
}

fn in_hand(id: EntryId) -> Error {
    Error::new(
        Class::Exists,
        format!("{id} is in the hands of a process that lives"),
    )
    .with_hint("stop that process first: sansftp journal show says which it is")
}

fn unknown(id: EntryId) -> Error {
    Error::new(Class::NotFound, format!("the journal has no entry {id}"))
        .with_hint("sansftp journal list shows what is in it")
}
