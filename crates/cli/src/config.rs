//! The configuration file: `[connections.NAME]`, `[operations.NAME]` and `[processes.NAME]` in TOML.
//!
//! Not the precedence of flags: that is the plan's. The whole file is checked whenever it is read,
//! and every complaint names file, line and remedy, but never the value of a secret.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sansftp_connector::connection::{Connection, PrivateKey, SecretRef};
use sansftp_connector::operation::{
    Delete, Get, GetAction, List, Listen, Operation, Polling, Send,
};
use sansftp_connector::process::{Process, ProcessStep};
use sansftp_connector::{Error, Result};
use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use sansftp_connector::keys_of;

/// A configuration file, read and checked.
#[derive(Debug)]
pub(crate) struct Config {
    path: PathBuf,
    connections: BTreeMap<String, Located<Connection>>,
    operations: BTreeMap<String, Located<Operation>>,
    processes: BTreeMap<String, Located<Process>>,
}

/// Something of the file, and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Located<T> {
    /// What stands there.
    pub(crate) value: T,
    /// The file and the line, for complaints.
    pub(crate) place: String,
}

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// `configuration`, one line with file, line and remedy.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).map_err(|error| {
            Error::configuration(format!(
                "the configuration file {} cannot be read: {error}",
                path.display()
            ))
            .with_hint("check the path, and that you may read the file")
        })?;
        let config = Self::parse(path, &text)?;
        config.warn_of_open_secrets();
        Ok(config)
    }

    pub(crate) fn parse(path: &Path, text: &[u8]) -> Result<Self> {
        let source = Source::new(path, text)?;
        let root = DeTable::parse(source.text).map_err(|error| {
            let hint = "see https://toml.io for how a table, a key and a value are written";
            source.refuse(error.span(), error.message(), hint)
        })?;
        let mut config = Self {
            path: path.to_owned(),
            connections: BTreeMap::new(),
            operations: BTreeMap::new(),
            processes: BTreeMap::new(),
        };
        let mut steps = Vec::new();
        for (key, value) in root.into_inner() {
            match key.get_ref().as_ref() {
                "connections" => config.connections = named(&source, value, connection)?,
                "operations" => config.operations = named(&source, value, operation)?,
                "processes" => {
                    config.processes = named(&source, value, |source, entry| {
                        let (process, places) = process(source, entry)?;
                        steps.extend(process.steps.iter().cloned().zip(places));
                        Ok(process)
                    })?;
                }
                other => {
                    return Err(source.unknown(
                        key.span(),
                        other,
                        "",
                        &["connections", "operations", "processes"],
                    ));
                }
            }
        }
        for (step, place) in steps {
            config.check(&step).map_err(|error| {
                let hint = error.hint().unwrap_or_default();
                source.refuse(Some(place), error.message(), hint)
            })?;
        }
        Ok(config)
    }

    /// Whether there is what a step names, and its parameters are keys of it.
    fn check(&self, step: &ProcessStep) -> Result<()> {
        self.connection(&step.connection)?;
        let operation = &self.operation(&step.operation)?.value;
        step.parameters.check(operation)
    }

    /// A process by its name.
    ///
    /// # Errors
    /// `configuration`: there is none of the name.
    pub(crate) fn process(&self, name: &str) -> Result<&Located<Process>> {
        self.processes
            .get(name)
            .ok_or_else(|| self.missing("process", name, self.processes.keys()))
    }

    /// A connection by its name.
    ///
    /// # Errors
    /// `configuration`: there is none of the name.
    pub(crate) fn connection(&self, name: &str) -> Result<&Located<Connection>> {
        self.connections
            .get(name)
            .ok_or_else(|| self.missing("connection", name, self.connections.keys()))
    }

    /// An operation by its name.
    ///
    /// # Errors
    /// `configuration`: there is none of the name.
    pub(crate) fn operation(&self, name: &str) -> Result<&Located<Operation>> {
        self.operations
            .get(name)
            .ok_or_else(|| self.missing("operation", name, self.operations.keys()))
    }

    fn missing<'a>(
        &self,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'a String>,
    ) -> Error {
        let known: Vec<&str> = known.map(String::as_str).collect();
        let hint = match (nearest(name, &known), known.is_empty()) {
            (Some(near), _) => format!("did you mean '{near}'?"),
            (None, true) => format!("add a table [{}.{name}] to the file", plural(what)),
            (None, false) => format!("there are {}", known.join(", ")),
        };
        Error::configuration(format!("{} has no {what} '{name}'", self.path.display()))
            .with_hint(hint)
    }

    fn warn_of_open_secrets(&self) {
        let literal = |connection: &Connection| {
            let proxy = connection.proxy.as_ref();
            let of_proxy = proxy.map_or(&None, |it| &it.password);
            let secrets = [&connection.password, &connection.passphrase, of_proxy];
            let in_key = matches!(
                connection.private_key,
                Some(PrivateKey::Text(SecretRef::Literal(_)))
            );
            let is_literal =
                |secret: &Option<SecretRef>| matches!(secret, Some(SecretRef::Literal(_)));
            in_key || secrets.into_iter().any(is_literal)
        };
        let holds = self.connections.values().any(|it| literal(&it.value));
        let open = fs::metadata(&self.path).is_ok_and(|it| it.permissions().mode() & 0o077 != 0);
        if holds && open {
            tracing::warn!(
                "{} holds a secret and others may read it; chmod 600 it, or keep the secret elsewhere",
                self.path.display()
            );
        }
    }
}

fn plural(what: &str) -> &'static str {
    match what {
        "connection" => "connections",
        "operation" => "operations",
        _ => "processes",
    }
}

/// The text of the file, and where in it something stands.
struct Source<'a> {
    path: &'a Path,
    text: &'a str,
}

impl<'a> Source<'a> {
    fn new(path: &'a Path, bytes: &'a [u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let line = line(bytes, error.valid_up_to());
            Error::configuration(format!("{}:{line}: this is not UTF-8", path.display()))
                .with_hint("save the file as UTF-8")
        })?;
        Ok(Self { path, text })
    }

    fn place(&self, span: Option<Range<usize>>) -> String {
        let offset = span.map_or(0, |span| span.start);
        let line = line(self.text.as_bytes(), offset);
        format!("{}:{line}", self.path.display())
    }

    fn refuse(&self, span: Option<Range<usize>>, message: &str, hint: &str) -> Error {
        // The parser's words may have several lines.
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Error::configuration(format!("{}: {message}", self.place(span))).with_hint(hint)
    }

    fn unknown(&self, span: Range<usize>, key: &str, table: &str, known: &[&str]) -> Error {
        let hint = nearest(key, known).map_or_else(
            || format!("the keys here are {}", known.join(", ")),
            |near| format!("did you mean '{near}'?"),
        );
        let table = if table.is_empty() {
            String::new()
        } else {
            format!(" in [{table}]")
        };
        self.refuse(Some(span), &format!("unknown key '{key}'{table}"), &hint)
    }
}

fn line(text: &[u8], offset: usize) -> usize {
    let before = &text[..offset.min(text.len())];
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

/// One table of a name: its header's place, its name in brackets, its entries.
struct Entry<'i> {
    place: Range<usize>,
    title: String,
    table: DeTable<'i>,
}

/// Reads the tables below `[connections]`, `[operations]` or `[processes]`.
fn named<'i, T>(
    source: &Source<'_>,
    value: Spanned<DeValue<'i>>,
    mut read: impl FnMut(&Source<'_>, Entry<'i>) -> Result<T>,
) -> Result<BTreeMap<String, Located<T>>> {
    let hint =
        "write [connections.NAME], [operations.NAME] or [processes.NAME] and the keys below it";
    let span = value.span();
    let DeValue::Table(tables) = value.into_inner() else {
        return Err(source.refuse(Some(span), "here is a table of named tables expected", hint));
    };
    let mut read_so_far = BTreeMap::new();
    for (name, value) in tables {
        let place = name.span();
        let title = name.get_ref().to_string();
        let DeValue::Table(table) = value.into_inner() else {
            let message = format!("'{title}' is no table");
            return Err(source.refuse(Some(place), &message, hint));
        };
        if title.is_empty() || title.contains(':') {
            let message = "a name is not empty and has no colon: a target is NAME:DIRECTORY";
            return Err(source.refuse(Some(place), message, "choose another name"));
        }
        let entry = Entry {
            place: place.clone(),
            title: title.clone(),
            table,
        };
        let located = Located {
            value: read(source, entry)?,
            place: source.place(Some(place)),
        };
        read_so_far.insert(title, located);
    }
    Ok(read_so_far)
}

fn connection(source: &Source<'_>, mut entry: Entry<'_>) -> Result<Connection> {
    entry.title = format!("connections.{}", entry.title);
    entry.read(source)
}

fn operation(source: &Source<'_>, mut entry: Entry<'_>) -> Result<Operation> {
    entry.title = format!("operations.{}", entry.title);
    let actions = [GetAction::WORDS, &["send", "list", "listen", "delete"]].concat();
    let hint = format!("the actions are {}", actions.join(", "));
    let Some(action) = entry.table.remove("action") else {
        let message = format!("[{}] has no action", entry.title);
        return Err(source.refuse(Some(entry.place), &message, &hint));
    };
    let span = action.span();
    let action = match action.get_ref() {
        DeValue::String(action) => action.to_string(),
        _ => String::new(),
    };
    match action.as_str() {
        "send" => entry.read::<Send>(source).map(Operation::Send),
        "list" => entry.read::<List>(source).map(Operation::List),
        "delete" => entry.read::<Delete>(source).map(Operation::Delete),
        "listen" => listen(source, entry).map(|listen| Operation::Listen(Box::new(listen))),
        get => match get.parse() {
            Ok(action) => {
                let get = entry.read::<Get>(source)?;
                Ok(Operation::Get(Get { action, ..get }))
            }
            Err(_) => {
                let message = format!("[{}] has no action that there is", entry.title);
                Err(source.refuse(Some(span), &message, &hint))
            }
        },
    }
}

/// A process, and where each of its steps stands.
fn process(source: &Source<'_>, mut entry: Entry<'_>) -> Result<(Process, Vec<Range<usize>>)> {
    entry.title = format!("processes.{}", entry.title);
    let (place, title) = (entry.place.clone(), entry.title.clone());
    let steps = entry.table.get("steps").map(Spanned::get_ref);
    let places: Vec<Range<usize>> = match steps {
        Some(DeValue::Array(steps)) => steps.iter().map(Spanned::span).collect(),
        _ => Vec::new(),
    };
    let hint = "write steps = [ { connection = \"NAME\", operation = \"NAME\" } ]";
    if steps.is_none() {
        let message = format!("[{title}] has no steps");
        return Err(source.refuse(Some(place), &message, hint));
    }
    let process: Process = entry.read(source)?;
    if process.steps.is_empty() {
        let message = format!("[{title}] has no step in its steps");
        return Err(source.refuse(Some(place), &message, hint));
    }
    Ok((process, places))
}

/// The keys of Listen and those of the Get that it feeds, in one table.
fn listen<'i>(source: &Source<'_>, mut entry: Entry<'i>) -> Result<Listen> {
    let own = keys_of::<Polling>();
    let known = Listen::keys();
    if let Some(unknown) = entry
        .table
        .keys()
        .find(|key| !known.contains(&key.get_ref().as_ref()))
    {
        return Err(source.unknown(unknown.span(), unknown.get_ref(), &entry.title, known));
    }
    let mut polling = DeTable::new();
    for key in own {
        if let Some((key, value)) = entry.table.remove_entry(*key) {
            polling.insert(key, value);
        }
    }
    let polling = Entry {
        place: entry.place.clone(),
        title: entry.title.clone(),
        table: polling,
    };
    Ok(Listen::new(polling.read(source)?, entry.read(source)?))
}

/// Whether a complaint is about the value of a secret, which it may repeat.
fn is_of_secret(complaint: &str) -> bool {
    complaint.contains("{ env = ")
}

impl<'i> Entry<'i> {
    /// Reads the table as `T`, whose keys are all that it may have.
    fn read<T: Deserialize<'i>>(self, source: &Source<'_>) -> Result<T> {
        let known = keys_of::<T>();
        let mut places = Vec::new();
        for (key, value) in &self.table {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                return Err(source.unknown(key.span(), name, &self.title, known));
            }
            places.push((name.to_owned(), value.span()));
        }
        let table = Spanned::new(self.place.clone(), DeValue::Table(self.table));
        T::deserialize(ValueDeserializer::from(table)).map_err(|error| {
            let span = error.span().unwrap_or_else(|| self.place.clone());
            let key = places
                .into_iter()
                .find(|(_, value)| value.start <= span.start && span.end <= value.end)
                .map(|(key, _)| key);
            let message = match key.as_deref() {
                // What the reader says may repeat the value.
                Some(key @ ("password" | "passphrase" | "private-key")) => {
                    format!("[{}] {key} is not written as it should be", self.title)
                }
                Some(key @ ("proxy" | "jump")) if is_of_secret(error.message()) => {
                    format!("[{}] a secret in {key} is not written as it should be", self.title)
                }
                Some(key) => format!("[{}] {key}: {}", self.title, in_words(error.message())),
                None => format!("[{}] {}", self.title, in_words(error.message())),
            };
            let hint = match key.as_deref() {
                Some("password" | "passphrase" | "private-key") => {
                    "write text, { env = \"NAME\" }, { file = \"path\" } or { command = [\"program\"] }"
                }
                _ => "write the value as the documentation of this key has it, or leave the key out",
            };
            source.refuse(Some(span), &message, hint)
        })
    }
}

/// What the reader says of a value, with a person's words for what it expected.
fn in_words(message: &str) -> String {
    let Some((found, expected)) = message.rsplit_once("expected ") else {
        return message.to_owned();
    };
    let expected = match expected {
        "u16" => "a number up to 65535",
        "u32" | "u64" | "usize" => "a whole number",
        "a nonzero usize" => "a whole number above 0",
        "a boolean" => "true or false",
        "a string" => "text in quotes",
        other => other,
    };
    format!("{found}expected {expected}")
}

/// The known word that was probably meant: the likeliest, or one that has the word in it.
fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let likely = known
        .iter()
        .map(|&near| (strsim::jaro_winkler(word, near), near))
        .filter(|(likeness, _)| *likeness > 0.88)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, near)| near);
    let part = known
        .iter()
        .find(|near| word.len() > 2 && near.contains(word));
    likely.or_else(|| part.copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansftp_connector::operation::IfExists;

    fn parse(text: &str) -> Result<Config> {
        Config::parse(Path::new("s.toml"), text.as_bytes())
    }

    fn refusal(text: &str) -> (String, String) {
        let error = parse(text).unwrap_err();
        let hint = error.hint().expect("every refusal has a remedy").to_owned();
        assert!(!error.message().contains('\n'));
        (error.message().to_owned(), hint)
    }

    #[test]
    fn connections_and_operations_are_found_by_name() {
        let config = parse(
            "[connections.partner]\nhost = 'h'\nport = 2222\npassword = { env = 'P' }\n\
             [operations.put]\naction = 'send'\nif-exists = 'append'\n\
             [operations.fetch]\naction = 'get-and-move'\nmove-to-directory = 'done'\n",
        )
        .unwrap();
        let partner = config.connection("partner").unwrap();
        assert_eq!(
            (partner.value.port, partner.place.as_str()),
            (2222, "s.toml:1")
        );
        let Operation::Send(put) = &config.operation("put").unwrap().value else {
            panic!("not a send");
        };
        assert_eq!(put.if_exists, IfExists::Append);
        let Operation::Get(fetch) = &config.operation("fetch").unwrap().value else {
            panic!("not a get");
        };
        assert_eq!(fetch.action, GetAction::GetAndMove);
        let error = config.connection("partnr").unwrap_err();
        assert_eq!(error.hint(), Some("did you mean 'partner'?"));
    }

    #[test]
    fn an_unknown_key_is_told_with_its_line_and_the_nearest_one() {
        let (message, hint) = refusal("[connections.a]\nhost = 'h'\nprivatekey = 'x'\n");
        assert_eq!(
            message,
            "s.toml:3: unknown key 'privatekey' in [connections.a]"
        );
        assert_eq!(hint, "did you mean 'private-key'?");
        let (message, hint) = refusal("\n[operations.a]\naction = 'get'\nfile-fliter = '*'\n");
        assert_eq!(
            message,
            "s.toml:4: unknown key 'file-fliter' in [operations.a]"
        );
        assert_eq!(hint, "did you mean 'file-filter'?");
        let (message, hint) = refusal("[procedures.a]\n");
        assert_eq!(message, "s.toml:1: unknown key 'procedures'");
        assert!(hint.contains("connections, operations"));
    }

    /// A process with these steps, which begin in line 7.
    fn with_steps(steps: &str) -> String {
        format!(
            "[connections.partner]\nhost = 'h'\n[operations.put]\naction = 'send'\n\n\
             [processes.daily]\n{steps}\n"
        )
    }

    #[test]
    fn a_process_has_its_steps_in_order() {
        let config = parse(&with_steps(
            "steps = [ { connection = 'partner', operation = 'put' },\n\
             { connection = 'partner', operation = 'put', jobs = 4,\n\
             parameters = { remote-directory = 'in/{property.region}' } } ]",
        ))
        .unwrap();
        let process = config.process("daily").unwrap();
        assert_eq!(process.place, "s.toml:6");
        let [first, second] = &process.value.steps[..] else {
            panic!("{process:?}");
        };
        assert!(first.parameters.is_empty() && first.jobs.get() == 1);
        assert!(!second.parameters.is_empty() && second.jobs.get() == 4);
        let error = config.process("dayly").unwrap_err();
        assert_eq!(error.hint(), Some("did you mean 'daily'?"));
    }

    #[test]
    fn what_is_wrong_with_a_step_is_told_with_its_line() {
        let refused = |steps: &str, line: usize, words: &str, remedy: &str| {
            let (message, hint) = refusal(&with_steps(steps));
            assert!(
                message.starts_with(&format!("s.toml:{line}: ")),
                "{message}"
            );
            assert!(message.contains(words), "{message}");
            assert!(hint.contains(remedy), "{hint}");
        };
        let put = "{ connection = 'partner', operation = 'put' }";
        refused("", 6, "has no steps", "steps = [");
        refused("steps = []", 6, "no step", "steps = [");
        let step = "{ connection = 'partnr', operation = 'put' }";
        refused(
            &format!("steps = [{put},\n{step}]"),
            8,
            "'partnr'",
            "did you mean 'partner'?",
        );
        let step = "{ connection = 'partner', operation = 'fetch' }";
        refused(
            &format!("steps = [{put},\n{step}]"),
            8,
            "'fetch'",
            "there are put",
        );
        let step =
            "{ connection = 'partner', operation = 'put', parameters = { directory = 'x' } }";
        refused(
            &format!("steps = [{step}]"),
            7,
            "'directory' is no key of send",
            "remote-directory",
        );
        let step = "{ connection = 'partner', operation = 'put', job = 4 }";
        refused(&format!("steps = [{step}]"), 7, "job", "");
        refused("steps = 'put'", 7, "steps", "");
    }

    #[test]
    fn the_configuration_of_the_readme_can_be_used_as_it_stands() {
        let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
        let readme = fs::read_to_string(readme).unwrap();
        let (_, shown) = readme.split_once("```toml\n").unwrap();
        let (shown, _) = shown.split_once("```").unwrap();
        let config = parse(shown).unwrap();
        assert_eq!(config.process("daily").unwrap().value.steps.len(), 2);
        config.operation("fetch").unwrap();
    }

    #[test]
    fn a_wrong_value_is_told_with_its_line_and_key() {
        let (message, _) = refusal("[connections.a]\nhost = 'h'\nport = 'x'\n");
        assert!(
            message.ends_with("expected a number up to 65535"),
            "{message}"
        );
        assert!(
            message.starts_with("s.toml:3: [connections.a] port: "),
            "{message}"
        );
        let (message, _) = refusal("[operations.a]\naction = 'send'\n\nif-exists = 'maybe'\n");
        assert!(
            message.starts_with("s.toml:4: [operations.a] if-exists: "),
            "{message}"
        );
        let (message, hint) = refusal("[operations.a]\naction = 'steal'\n");
        assert!(message.starts_with("s.toml:2: "), "{message}");
        assert!(hint.contains("get-and-move, send, list"), "{hint}");
        let (message, _) = refusal("[operations.a]\nfile-filter = '*'\n");
        assert_eq!(message, "s.toml:1: [operations.a] has no action");
        let (message, _) = refusal("[connections.a]\nhost = 'h\n");
        assert!(message.starts_with("s.toml:2: "), "{message}");
        let (message, _) = refusal("connections = 3\n");
        assert!(message.starts_with("s.toml:1: "), "{message}");
        let (message, _) = refusal("[connections.'a:b']\nhost = 'h'\n");
        assert!(message.contains("colon"), "{message}");
    }

    #[test]
    fn a_secret_is_never_repeated() {
        for text in [
            "[connections.a]\npassword = 48151623\n",
            "[connections.a]\npassword = { env = 'A', 48151623 = 'x' }\n",
            "[connections.a]\npassword = '48151623\n",
            "[connections.a]\npassphrase = ['48151623']\n",
        ] {
            let (message, hint) = refusal(text);
            assert!(message.starts_with("s.toml:2: "), "{message}");
            assert!(
                !message.contains("48151623") && !hint.contains("48151623"),
                "{message}"
            );
        }
    }

    #[test]
    fn the_nearest_word_is_likely_or_none() {
        let known = ["after", "file-filter", "max-files"];
        assert_eq!(nearest("filter", &known), Some("file-filter"));
        assert_eq!(nearest("afte", &known), Some("after"));
        assert_eq!(nearest("journal", &known), None);
    }

    #[test]
    fn a_file_that_is_not_utf_8_is_told_with_its_line() {
        let error = Config::parse(Path::new("s.toml"), b"\n\n# \xff\n").unwrap_err();
        assert_eq!(error.message(), "s.toml:3: this is not UTF-8");
    }
}
