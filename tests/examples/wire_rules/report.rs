//! What a rule is, what comes of one, and how that is told.

use std::fmt::Write as _;

/// A rule that can be seen from outside.
#[derive(Debug)]
pub(crate) struct Rule<T: ?Sized> {
    /// Where it stands.
    pub(crate) section: &'static str,
    /// What it says.
    pub(crate) says: &'static str,
    /// Looks, on connections of its own: what was seen, if that says more than that it holds.
    pub(crate) look: fn(&T) -> Result<String, Fault>,
}

/// Why a rule was not seen to hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Something else came than what the rule says.
    Differs(String),
    /// It could not be looked at, or needs what was not given.
    NotTried(String),
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self::Differs(what)
    }
}

impl From<&str> for Fault {
    fn from(what: &str) -> Self {
        Self::Differs(what.to_owned())
    }
}

/// A line of the report.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) section: &'static str,
    pub(crate) says: &'static str,
    pub(crate) seen: Result<String, Fault>,
}

impl Row {
    pub(crate) fn line(&self) -> String {
        let (word, what) = self.cell();
        let colon = if what.is_empty() { "" } else { ": " };
        format!("{word:9} {}: {}{colon}{what}", self.section, self.says)
    }

    fn cell(&self) -> (&'static str, &str) {
        match &self.seen {
            Ok(what) => ("ok", what),
            Err(Fault::Differs(what)) => ("differs", what),
            Err(Fault::NotTried(why)) => ("not tried", why),
        }
    }
}

/// Looks at all of them, and says each as it is known.
pub(crate) fn look_at<T: ?Sized>(rules: &[&[Rule<T>]], at: &T) -> Vec<Row> {
    let mut rows = Vec::new();
    for rule in rules.iter().copied().flatten() {
        let row = Row {
            section: rule.section,
            says: rule.says,
            seen: (rule.look)(at),
        };
        println!("{}", row.line());
        rows.push(row);
    }
    rows
}

/// How many of each, in words.
pub(crate) fn sum(rows: &[Row]) -> String {
    let count = |word| rows.iter().filter(|it| it.cell().0 == word).count();
    format!(
        "{} rules: {} ok, {} differ, {} not tried",
        rows.len(),
        count("ok"),
        count("differs"),
        count("not tried")
    )
}

/// A table of several ends, with what differs below it.
pub(crate) fn table(columns: &[(String, Vec<Row>)]) -> String {
    let mut text = String::from("| rule | |");
    let mut notes: Vec<String> = Vec::new();
    for (name, _) in columns {
        let _ = write!(text, " {name} |");
    }
    let _ = writeln!(text, "\n|---|---|{}", "---|".repeat(columns.len()));
    let rules = columns.first().map(|(_, rows)| rows.as_slice());
    for (at, rule) in rules.unwrap_or_default().iter().enumerate() {
        let _ = write!(text, "| {} | {} |", rule.section, rule.says);
        for (name, rows) in columns {
            let (word, what) = rows[at].cell();
            if word == "ok" {
                text.push_str(" ok |");
                continue;
            }
            notes.push(format!("{name}, {} ({}): {what}", rule.says, rule.section));
            let _ = write!(text, " {word} ({}) |", notes.len());
        }
        text.push('\n');
    }
    text.push('\n');
    for (number, note) in (1..).zip(&notes) {
        let _ = writeln!(text, "{number}. {note}");
    }
    text
}
