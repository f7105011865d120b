//! What to do at the far side, as plain data: an action and its options.
//!
//! Not how: nothing here talks to a server. Every key is kebab-case and is also the name of a
//! command-line flag. One function, [`Operation::validate`], says which combinations cannot be
//! carried out.

mod delete;
mod get;
mod list;
mod listen;
mod send;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use delete::Delete;
pub(crate) use get::DEEPEST;
pub use get::{After, AfterFailure, Get, GetAction, LocalIfExists, MoveCollision, Sort, Symlinks};
pub use list::List;
pub use listen::{Change, Listen, Polling};
pub use send::{IfExists, Permissions, Send, TargetSymlinks, Verify};

use crate::document::Properties;
use crate::error::Result;
use crate::keys::keys_of;

/// What to do there. Reusable; plain data. In a configuration `action` tells which it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Tagged", into = "Tagged")]
pub enum Operation {
    /// Fetches files, and then leaves, deletes or moves them.
    Get(Get),
    /// Sends documents.
    Send(Send),
    /// Says what is in a directory.
    List(List),
    /// Deletes files by name.
    Delete(Delete),
    /// Watches a directory and gets what is new in it.
    Listen(Box<Listen>),
}

impl Operation {
    /// Reports what cannot be carried out, given the properties that documents bring along.
    ///
    /// # Errors
    /// `configuration`: one line, with the remedy as its hint.
    pub fn validate(&self, properties: &Properties) -> Result<()> {
        match self {
            Self::Get(get) => get.validate(properties),
            Self::Send(send) => send.validate(properties),
            Self::List(list) => list.validate(),
            Self::Delete(_) => Ok(()),
            Self::Listen(listen) => listen.validate(properties),
        }
    }

    /// Its name without what a get does afterwards: `get`, `send`, `list`, `delete`, `listen`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Get(_) => "get",
            Self::Send(_) => "send",
            Self::List(_) => "list",
            Self::Delete(_) => "delete",
            Self::Listen(_) => "listen",
        }
    }

    /// The keys that it has in a configuration, `action` apart.
    pub fn keys(&self) -> &'static [&'static str] {
        match self {
            Self::Get(_) => keys_of::<Get>(),
            Self::Send(_) => keys_of::<Send>(),
            Self::List(_) => keys_of::<List>(),
            Self::Delete(_) => keys_of::<Delete>(),
            Self::Listen(_) => Listen::keys(),
        }
    }

    /// Whether one call serves all documents together; otherwise there is one for each.
    pub fn takes_all_at_once(&self) -> bool {
        matches!(self, Self::Get(_) | Self::List(_) | Self::Listen(_))
    }

    /// Where its journal is.
    pub(crate) fn journal(&self) -> Option<&Path> {
        match self {
            Self::Get(get) => get.journal.as_deref(),
            Self::Listen(listen) => listen.get.journal.as_deref(),
            Self::Send(send) => send.journal.as_deref(),
            Self::List(_) | Self::Delete(_) => None,
        }
    }

    /// How long its journal keeps what is done.
    pub(crate) fn journal_keep(&self) -> Option<Duration> {
        match self {
            Self::Get(get) => get.journal_keep,
            Self::Listen(listen) => listen.get.journal_keep,
            Self::Send(send) => send.journal_keep,
            Self::List(_) | Self::Delete(_) => None,
        }
    }

    /// Whether the documents after a failed one are left alone.
    pub(crate) fn stops_on_error(&self) -> bool {
        match self {
            Self::Send(send) => send.stop_on_error,
            Self::Delete(delete) => delete.stop_on_error,
            Self::Get(_) | Self::List(_) | Self::Listen(_) => false,
        }
    }
}

impl From<Get> for Operation {
    fn from(get: Get) -> Self {
        Self::Get(get)
    }
}

impl From<Send> for Operation {
    fn from(send: Send) -> Self {
        Self::Send(send)
    }
}

impl From<List> for Operation {
    fn from(list: List) -> Self {
        Self::List(list)
    }
}

/// The form that a configuration has: `action` names the operation and, of Get, what follows it.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case")]
enum Tagged {
    Get(Get),
    GetAndDelete(Get),
    GetAndMove(Get),
    Send(Send),
    List(List),
    Delete(Delete),
    Listen(Box<Listen>),
}

impl From<Tagged> for Operation {
    fn from(tagged: Tagged) -> Self {
        let (action, get) = match tagged {
            Tagged::Get(get) => (GetAction::Get, get),
            Tagged::GetAndDelete(get) => (GetAction::GetAndDelete, get),
            Tagged::GetAndMove(get) => (GetAction::GetAndMove, get),
            Tagged::Send(send) => return Self::Send(send),
            Tagged::List(list) => return Self::List(list),
            Tagged::Delete(delete) => return Self::Delete(delete),
            Tagged::Listen(listen) => return Self::Listen(listen),
        };
        Self::Get(Get { action, ..get })
    }
}

impl From<Operation> for Tagged {
    fn from(operation: Operation) -> Self {
        match operation {
            Operation::Get(get) => match get.action {
                GetAction::Get => Self::Get(get),
                GetAction::GetAndDelete => Self::GetAndDelete(get),
                GetAction::GetAndMove => Self::GetAndMove(get),
            },
            Operation::Send(send) => Self::Send(send),
            Operation::List(list) => Self::List(list),
            Operation::Delete(delete) => Self::Delete(delete),
            Operation::Listen(listen) => Self::Listen(listen),
        }
    }
}

/// An option whose values are a few words: the words are those of configurations, flags and JSON.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident ($what:literal) {
        $($(#[$variant_meta:meta])* $variant:ident = $word:literal,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
        pub enum $name {
            $($(#[$variant_meta])* #[serde(rename = $word)] $variant,)*
        }

        impl $name {
            /// The words that there are, in the order of the documentation.
            pub const WORDS: &'static [&'static str] = &[$($word),*];

            /// The word for this value.
            pub fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    other => Err(format!(
                        "'{other}' is no {}; there are {}", $what, Self::WORDS.join(", ")
                    )),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}
pub(crate) use words;

/// A configured text, trimmed; blank is unset.
pub(crate) fn setting(value: Option<&String>) -> Option<&[u8]> {
    crate::document::set(value?.as_bytes())
}

fn keep_without_journal() -> crate::Error {
    crate::Error::configuration(
        "journal-keep says how long a journal keeps things, and there is none",
    )
    .with_hint("set journal too, or leave journal-keep out")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Operation, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn the_action_tells_which_operation_it_is() {
        let Ok(Operation::Get(get)) = read("action = 'get-and-move'\nmove-to-directory = 'done'")
        else {
            panic!("not a get");
        };
        assert_eq!(get.action, GetAction::GetAndMove);
        let Ok(Operation::Send(send)) = read("action = 'send'\nif-exists = 'append'") else {
            panic!("not a send");
        };
        assert_eq!(send.if_exists, IfExists::Append);
        assert!(matches!(read("action = 'list'"), Ok(Operation::List(_))));
    }

    #[test]
    fn an_unknown_key_or_word_is_named() {
        assert!(
            read("action = 'get'\nfile-fliter = 'x'")
                .unwrap_err()
                .contains("file-fliter")
        );
        assert!(read("action = 'steal'").unwrap_err().contains("steal"));
        assert!(
            read("action = 'send'\nif-exists = 'maybe'")
                .unwrap_err()
                .contains("maybe")
        );
        assert!(
            "maybe"
                .parse::<IfExists>()
                .unwrap_err()
                .contains("rename, append")
        );
    }

    #[test]
    fn an_operation_survives_being_written_and_read() {
        let get = Get {
            action: GetAction::GetAndDelete,
            file_filter: Some("*.csv".to_owned()),
            ..Get::default()
        };
        let operation = Operation::Get(get);
        let written = toml::to_string(&operation).unwrap();
        assert_eq!(read(&written), Ok(operation));
    }

    #[test]
    fn a_journal_is_kept_only_where_there_is_one() {
        for text in ["action = 'get'", "action = 'send'"] {
            let alone = read(&format!("{text}\njournal-keep = '90d'")).unwrap();
            assert!(alone.validate(&Properties::default()).is_err());
            let both = read(&format!("{text}\njournal-keep = '90d'\njournal = 'j'")).unwrap();
            both.validate(&Properties::default()).unwrap();
            assert_eq!(both.journal_keep(), Some(Duration::from_secs(90 * 86_400)));
        }
    }
}
