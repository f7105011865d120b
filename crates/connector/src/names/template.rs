//! Names at the server, made from the document's own name, the date and a number.
//!
//! Not the temporary names: those are in the module above.

use bytes::Bytes;
use jiff::Zoned;
use jiff::tz::TimeZone;
use uuid::Uuid;

use super::{is_base_name, split_extension};
use crate::error::{Error, Result};
use crate::path::printable;

/// A template for names at the server.
///
/// `{base}` and `{extension}` are the document's name before and after its last dot, `{date}` is
/// `YYYYMMDD`, `{time}` `HHMMSS`, `{uuid}` a random UUID, `{seq}` the document's number in the step,
/// from 1. Also understood are `$BASE`, `$EXTENSION`, `$DATE` (`MMDDYYYY`), `$TIME` (`HHMMSS.SSS`)
/// and `$UUID`. A dot before an extension that is empty is left out.
#[derive(Clone, Debug)]
pub(crate) struct NameTemplate {
    parts: Vec<Part>,
    zone: TimeZone,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Base,
    Extension,
    Date,
    Time,
    Uuid,
    Seq,
    DateMonthFirst,
    TimeMillis,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Field(Field),
}

const FIELDS: &[(&str, Field)] = &[
    ("{base}", Field::Base),
    ("{extension}", Field::Extension),
    ("{date}", Field::Date),
    ("{time}", Field::Time),
    ("{uuid}", Field::Uuid),
    ("{seq}", Field::Seq),
    ("$BASE", Field::Base),
    ("$EXTENSION", Field::Extension),
    ("$DATE", Field::DateMonthFirst),
    ("$TIME", Field::TimeMillis),
    ("$UUID", Field::Uuid),
];

impl NameTemplate {
    /// Reads a template, and the name of the zone that its dates are in; local when `None`.
    ///
    /// # Errors
    /// `configuration` when a field or the zone is not known.
    pub(crate) fn parse(text: &[u8], zone: Option<&[u8]>) -> Result<Self> {
        let mut parts = Vec::new();
        let mut literal = Vec::new();
        let mut rest = text;
        while let Some(&byte) = rest.first() {
            let field = FIELDS
                .iter()
                .find_map(|(name, field)| Some((rest.strip_prefix(name.as_bytes())?, *field)));
            if let Some((after, field)) = field {
                if !literal.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut literal)));
                }
                parts.push(Part::Field(field));
                rest = after;
                continue;
            }
            if byte == b'{' || byte == b'/' {
                return Err(Error::configuration(format!(
                    "the name-template '{}' holds '{}', which is no field and cannot stand in a name",
                    printable(text),
                    printable(&rest[..rest.len().min(12)]),
                ))
                .with_hint("the fields are {base} {extension} {date} {time} {uuid} {seq}"));
            }
            literal.push(byte);
            rest = &rest[1..];
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        let zone = match zone {
            None => TimeZone::system(),
            Some(name) => std::str::from_utf8(name)
                .ok()
                .and_then(|name| TimeZone::get(name).ok())
                .ok_or_else(|| {
                    Error::configuration(format!("there is no time-zone '{}'", printable(name)))
                        .with_hint(
                            "name it as UTC or Europe/Zurich, or leave it out for local time",
                        )
                })?,
        };
        Ok(Self { parts, zone })
    }

    /// The name for a document, whose own name is `base`, at this moment.
    ///
    /// # Errors
    /// `configuration` when the template needs a name and there is none, or makes no name.
    pub(crate) fn make(
        &self,
        base: Option<&[u8]>,
        seq: u64,
        now: jiff::Timestamp,
    ) -> Result<Bytes> {
        let now = now.to_zoned(self.zone.clone());
        let mut made = Vec::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => made.extend_from_slice(text),
                Part::Field(field) => field.write(base, seq, &now, &mut made)?,
            }
        }
        if !is_base_name(&made) {
            return Err(Error::configuration(format!(
                "the name-template makes '{}', which is no file name",
                printable(&made)
            ))
            .with_hint("give it some fixed text, or {uuid}"));
        }
        Ok(made.into())
    }
}

impl Field {
    fn write(self, base: Option<&[u8]>, seq: u64, now: &Zoned, made: &mut Vec<u8>) -> Result<()> {
        let named = || {
            base.map(split_extension).ok_or_else(|| {
                Error::configuration("the name-template uses the document's name, and it has none")
                    .with_hint("set the property filename, or use {uuid} or {seq}")
            })
        };
        let text = match self {
            Self::Base => {
                made.extend_from_slice(named()?.0);
                return Ok(());
            }
            Self::Extension => {
                let (_, extension) = named()?;
                match extension.strip_prefix(b".") {
                    Some(extension) if !extension.is_empty() => made.extend_from_slice(extension),
                    _ if made.last() == Some(&b'.') => drop(made.pop()),
                    _ => {}
                }
                return Ok(());
            }
            Self::Date => now.strftime("%Y%m%d").to_string(),
            Self::Time => now.strftime("%H%M%S").to_string(),
            Self::DateMonthFirst => now.strftime("%m%d%Y").to_string(),
            Self::TimeMillis => now.strftime("%H%M%S%.3f").to_string(),
            Self::Uuid => Uuid::new_v4().to_string(),
            Self::Seq => seq.to_string(),
        };
        made.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(template: &str, base: Option<&[u8]>) -> Result<String> {
        let moment = "2026-03-04T05:06:07.089Z".parse().unwrap();
        let template = NameTemplate::parse(template.as_bytes(), Some(b"UTC"))?;
        let made = template.make(base, 42, moment)?;
        Ok(String::from_utf8_lossy(&made).into_owned())
    }

    #[test]
    fn both_spellings_of_the_fields_are_understood() {
        let name = Some(&b"order.csv"[..]);
        assert_eq!(
            make("{base}-{date}T{time}-{seq}.{extension}", name).unwrap(),
            "order-20260304T050607-42.csv"
        );
        assert_eq!(
            make("$BASE_$DATE_$TIME.$EXTENSION", name).unwrap(),
            "order_03042026_050607.089.csv"
        );
        assert_eq!(make("{uuid}", None).unwrap().len(), 36);
        assert_eq!(make("{base}.{extension}", Some(b"plain")).unwrap(), "plain");
        assert_eq!(make("5$ {base}", name).unwrap(), "5$ order");
    }

    #[test]
    fn a_template_that_needs_a_name_says_so() {
        let error = make("{base}.txt", None).unwrap_err();
        assert!(error.message().contains("has none"), "{error}");
        assert!(make("{nonsense}", None).is_err());
        assert!(make("a/{base}", None).is_err());
        assert!(make("{extension}", Some(b"plain")).is_err());
        assert!(NameTemplate::parse(b"{date}", Some(b"Mars/Olympus")).is_err());
    }
}
