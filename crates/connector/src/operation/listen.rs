//! The options of Listen: its own, and those of the Get that it feeds.
//!
//! Not the listening: that is in `run::listen`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;
use std::time::Duration;

use serde::de::{Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Get, GetAction, words};
use crate::document::Properties;
use crate::error::{Error, Result};
use crate::keys::keys_of;

words! {
    /// What can be seen of a file between two listings.
    Change("event") {
        /// It is there and was not.
        #[default]
        Added = "added",
        /// It has another size or time.
        Modified = "modified",
        /// It is not there any more.
        Deleted = "deleted",
    }
}

/// Watches a directory and gets what is new in it, until it is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// From the end of one listing to the beginning of the next.
    pub interval: Duration,
    /// Which changes are told. Files that were added, and those that were modified, are fetched
    /// when their change is among these.
    pub events: Vec<Change>,
    /// How long the file in hand may take once the listener is asked to end; then it is given back.
    pub stop_time: Duration,
    /// What is done with a file. Its `stable-for` is one interval unless a configuration says
    /// otherwise; the looks are those of the polls, and nothing waits in between. Its `max-files`
    /// is per poll. It must have a `journal`.
    pub get: Get,
}

impl Default for Listen {
    fn default() -> Self {
        Self::new(Polling::default(), Get::default())
    }
}

impl Listen {
    /// Of the keys of Listen and those of Get; the action of Get is what `then` says.
    pub fn new(polling: Polling, get: Get) -> Self {
        Self {
            interval: polling.interval,
            events: polling.events,
            stop_time: polling.stop_time,
            get: Get {
                action: polling.then,
                stable_for: polling.stable_for.unwrap_or(polling.interval),
                ..get
            },
        }
    }

    /// The keys that it has in a configuration: its own, and those of Get.
    pub fn keys() -> &'static [&'static str] {
        static KEYS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
            let mut keys = [keys_of::<Polling>(), keys_of::<Get>()].concat();
            let mut seen = BTreeSet::new();
            keys.retain(|key| seen.insert(*key));
            keys
        });
        &KEYS
    }

    /// Whether this change is told.
    pub fn tells(&self, change: Change) -> bool {
        self.events.contains(&change)
    }

    /// Reports what cannot be carried out.
    pub(super) fn validate(&self, properties: &Properties) -> Result<()> {
        if self.interval.is_zero() {
            return Err(Error::configuration(
                "an interval of zero would ask the server without a pause",
            )
            .with_hint("set interval to 1s or more; 30s is the default"));
        }
        if self.events.is_empty() {
            return Err(Error::configuration(
                "events is empty: nothing would be told and nothing fetched",
            )
            .with_hint("leave events out for added, modified and deleted"));
        }
        self.get.validate(properties)
    }
}

/// The keys that Listen has beside those of Get, as a configuration has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Polling {
    /// What becomes of a source that was delivered.
    pub then: GetAction,
    /// See [`Listen::interval`].
    #[serde(with = "crate::units::duration")]
    pub interval: Duration,
    /// See [`Listen::events`].
    pub events: Vec<Change>,
    /// How long a file must keep its size and time; one interval when unset.
    #[serde(
        with = "crate::units::optional_duration",
        skip_serializing_if = "Option::is_none"
    )]
    pub stable_for: Option<Duration>,
    /// See [`Listen::stop_time`].
    #[serde(with = "crate::units::duration")]
    pub stop_time: Duration,
}

impl Default for Polling {
    fn default() -> Self {
        Self {
            then: GetAction::Get,
            interval: Duration::from_secs(30),
            events: vec![Change::Added, Change::Modified, Change::Deleted],
            stable_for: None,
            stop_time: Duration::from_secs(10),
        }
    }
}

/// Both sets of keys in one table. What neither knows is caught, because a flattened type ignores
/// what it does not know.
#[derive(Serialize, Deserialize)]
struct Table {
    #[serde(flatten)]
    polling: Polling,
    #[serde(flatten)]
    get: Get,
    #[serde(flatten, skip_serializing)]
    others: BTreeMap<String, IgnoredAny>,
}

impl<'de> Deserialize<'de> for Listen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Table::deserialize(deserializer)?;
        match table.others.keys().next() {
            Some(other) => Err(D::Error::custom(format_args!("unknown field `{other}`"))),
            None => Ok(Self::new(table.polling, table.get)),
        }
    }
}

impl Serialize for Listen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let polling = Polling {
            then: self.get.action,
            interval: self.interval,
            events: self.events.clone(),
            // It stands among the keys of Get.
            stable_for: None,
            stop_time: self.stop_time,
        };
        let table = Table {
            polling,
            get: self.get.clone(),
            others: BTreeMap::new(),
        };
        table.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::Operation;

    fn read(text: &str) -> Result<Listen, String> {
        match toml::from_str(text) {
            Ok(Operation::Listen(listen)) => Ok(*listen),
            Ok(_) => Err("not a listen".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn its_keys_stand_beside_those_of_get() {
        let listen = read(
            "action = 'listen'\nthen = 'get-and-move'\nmove-to-directory = 'done'\n\
             interval = '5s'\nevents = ['added']\nfile-filter = '*.csv'",
        )
        .unwrap();
        assert_eq!(listen.interval, Duration::from_secs(5));
        assert_eq!(listen.events, [Change::Added]);
        assert_eq!(listen.get.action, GetAction::GetAndMove);
        assert_eq!(listen.get.file_filter.as_deref(), Some("*.csv"));
        assert_eq!(listen.get.stable_for, Duration::from_secs(5));
        let listen = read("action = 'listen'\nstable-for = '0s'").unwrap();
        assert_eq!(listen.get.stable_for, Duration::ZERO);
    }

    #[test]
    fn what_is_no_key_or_no_word_is_named() {
        for (text, named) in [
            ("intervall = '5s'", "intervall"),
            ("then = 'send'", "send"),
            ("events = ['gone']", "gone"),
            ("sort = 'colour'", "colour"),
        ] {
            let error = read(&format!("action = 'listen'\n{text}")).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
    }

    #[test]
    fn it_survives_being_written_and_read() {
        let listen = Listen {
            get: Get {
                stable_for: Duration::from_secs(1),
                action: GetAction::GetAndDelete,
                max_files: 3,
                ..Get::default()
            },
            ..Listen::default()
        };
        let written = toml::to_string(&Operation::Listen(Box::new(listen.clone()))).unwrap();
        assert_eq!(read(&written), Ok(listen));
    }

    #[test]
    fn one_that_never_pauses_or_tells_nothing_is_refused() {
        let none = Properties::default();
        let hasty = Listen {
            interval: Duration::ZERO,
            ..Listen::default()
        };
        assert!(hasty.validate(&none).is_err());
        let mute = Listen {
            events: Vec::new(),
            ..Listen::default()
        };
        assert!(mute.validate(&none).is_err());
        Listen::default().validate(&none).unwrap();
    }
}
