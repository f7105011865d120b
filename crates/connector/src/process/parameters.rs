//! Keys of an operation that a document's properties give.
//!
//! Not a language: `{property.NAME}` stands for a value, and everything else for itself.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::document::Properties;
use crate::error::{Error, Result};
use crate::operation::Operation;
use crate::path::printable;

/// A table of an operation's keys and what each is to be for a document.
///
/// Where it is not empty, the operation runs once per document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Parameters(BTreeMap<String, Template>);

/// A text with values of properties in it, such as `in/{property.region}`.
///
/// Nothing but `{property.NAME}` is special, so that the braces of other templates stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(String),
    Property(String),
}

/// The values for one document.
pub(crate) struct Given<'a>(Vec<(&'a str, Bytes)>);

const OPEN: &str = "{property.";

impl Parameters {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets what a key is to be.
    #[must_use]
    pub fn with(mut self, key: &str, template: Template) -> Self {
        self.0.insert(key.to_owned(), template);
        self
    }

    /// Reports what can be known to be wrong without a document.
    ///
    /// # Errors
    /// `configuration`: a name that is no key of the operation, or a value that the key cannot have.
    pub fn check(&self, operation: &Operation) -> Result<()> {
        let known = operation.keys();
        for (key, template) in &self.0 {
            if !known.contains(&key.as_str()) {
                let message = format!("'{key}' is no key of {}", operation.name());
                let hint = format!("the keys are {}", known.join(", "));
                return Err(Error::configuration(message).with_hint(hint));
            }
            if FIXED.contains(&key.as_str()) {
                let message = format!("{key} cannot differ from document to document");
                let hint = format!("set {key} in the operation");
                return Err(Error::configuration(message).with_hint(hint));
            }
            if let Some(text) = template.constant() {
                with_key(operation, key, &Bytes::from(text))?;
            }
        }
        Ok(())
    }

    /// The values for a document with these properties.
    ///
    /// # Errors
    /// `configuration`: a property that the document does not have.
    pub(crate) fn given(&self, properties: &Properties) -> Result<Given<'_>> {
        let mut values = Vec::with_capacity(self.0.len());
        for (key, template) in &self.0 {
            values.push((key.as_str(), template.filled(key, properties)?));
        }
        Ok(Given(values))
    }
}

/// What holds for a whole step.
const FIXED: &[&str] = &["journal", "stop-on-error"];

impl Given<'_> {
    /// The operation with these values; directories, which are bytes, become properties, which
    /// stand above it.
    ///
    /// # Errors
    /// `configuration`: a value that the key cannot have.
    pub(crate) fn over(
        self,
        operation: &Operation,
        properties: &mut Properties,
    ) -> Result<Operation> {
        let mut operation = operation.clone();
        for (key, value) in self.0 {
            match key {
                "remote-directory" | "move-to-directory" => properties.set(key, value),
                _ => operation = with_key(&operation, key, &value)?,
            }
        }
        Ok(operation)
    }
}

/// The operation with another value for one of its keys, written as a configuration writes it.
fn with_key(operation: &Operation, key: &str, value: &[u8]) -> Result<Operation> {
    let refused = |why: &dyn fmt::Display| {
        let value = printable(value);
        Error::configuration(format!("the parameter {key} = '{value}': {why}")).with_hint(
            "the value comes from the document's properties, and must be one that the key can have",
        )
    };
    let text = std::str::from_utf8(value).map_err(|_| refused(&"this is not UTF-8"))?;
    let mut written = serde_json::to_value(operation).map_err(|error| refused(&error))?;
    let mut read_with = |value: Value| {
        let Value::Object(keys) = &mut written else {
            return Err(refused(&"the operation has no keys"));
        };
        keys.insert(key.to_owned(), value);
        serde_json::from_value::<Operation>(written.clone()).map_err(|error| refused(&error))
    };
    let as_text = read_with(Value::String(text.to_owned()));
    let (Err(_), Ok(other)) = (&as_text, serde_json::from_str::<Value>(text.trim())) else {
        return as_text;
    };
    match other {
        // A number, or a yes or no.
        Value::Number(_) | Value::Bool(_) => read_with(other).or(as_text),
        _ => as_text,
    }
}

impl Template {
    /// What stands here, when no property is in it.
    fn constant(&self) -> Option<String> {
        let mut whole = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => whole.push_str(text),
                Piece::Property(_) => return None,
            }
        }
        Some(whole)
    }

    fn filled(&self, key: &str, properties: &Properties) -> Result<Bytes> {
        let mut filled = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.extend_from_slice(text.as_bytes()),
                Piece::Property(name) => {
                    let Some(value) = properties.setting(name)? else {
                        let message = format!(
                            "the parameter {key} needs the property {name}, which the document does not have"
                        );
                        let hint = format!(
                            "set {name} in an earlier step, or leave it out of the parameter"
                        );
                        return Err(Error::configuration(message).with_hint(hint));
                    };
                    let quoting = Quoting::of(key, &filled);
                    filled.extend_from_slice(&quoting.quoted(key, name, &value)?);
                }
            }
        }
        Ok(filled.into())
    }
}

/// How a value is written where some characters mean something, so that it stands for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quoting {
    /// Nothing has a meaning.
    None,
    /// The patterns of a file filter.
    Pattern,
    /// The regular expression of a file filter.
    Regex,
    /// A text in quotes, in a filter expression.
    Quoted,
}

impl Quoting {
    fn of(key: &str, before: &[u8]) -> Self {
        match key {
            "file-filter" if before.trim_ascii_start().starts_with(b"regex:") => Self::Regex,
            "file-filter" => Self::Pattern,
            "filter" => Self::Quoted,
            _ => Self::None,
        }
    }

    fn quoted(self, key: &str, name: &str, value: &Bytes) -> Result<Bytes> {
        if self == Self::None {
            return Ok(value.clone());
        }
        let text = std::str::from_utf8(value).map_err(|_| {
            Error::configuration(format!(
                "the parameter {key} needs the property {name} as text, and '{}' is not UTF-8",
                printable(value)
            ))
            .with_hint("name such files by their directory or with wildcards")
        })?;
        let special: &[char] = match self {
            Self::Regex => return Ok(regex::escape(text).into()),
            Self::Pattern => &[';', '!', '*', '?', '\\'],
            Self::Quoted | Self::None => &['"', '\\'],
        };
        let mut quoted = String::with_capacity(text.len());
        for character in text.chars() {
            if special.contains(&character) {
                quoted.push('\\');
            }
            quoted.push(character);
        }
        Ok(quoted.into())
    }
}

impl FromStr for Template {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once(OPEN) {
            let Some((name, behind)) = after.split_once('}') else {
                break;
            };
            pieces.push(Piece::Text(before.to_owned()));
            pieces.push(Piece::Property(name.to_owned()));
            rest = behind;
        }
        pieces.push(Piece::Text(rest.to_owned()));
        pieces.retain(|piece| *piece != Piece::Text(String::new()));
        Ok(Self(pieces))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Property(name) => write!(f, "{OPEN}{name}}}"),
        })
    }
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.parse() {
            Ok(template) => Ok(template),
            Err(never) => match never {},
        }
    }
}
