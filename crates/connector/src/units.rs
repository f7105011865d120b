//! Durations and sizes as people write them in a configuration file: `30s`, `1h30m`, `64MiB`.
//!
//! Not a general parser: durations are jiff's friendly format, sizes are bytes in powers of 1024
//! (`KiB`, `MiB`, `GiB`, or `K`, `M`, `G` as OpenSSH's RekeyLimit has them).

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Span, SpanRelativeTo};

/// A number of bytes, written `1048576`, `1MiB` or `1M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

const UNITS: &[(&str, u64)] = &[
    ("GiB", 1 << 30),
    ("G", 1 << 30),
    ("MiB", 1 << 20),
    ("M", 1 << 20),
    ("KiB", 1 << 10),
    ("K", 1 << 10),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, unit) = UNITS
            .iter()
            .find_map(|&(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))
            .unwrap_or((text, 1));
        number
            .trim()
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(unit))
            .map(Self)
            .ok_or_else(|| format!("'{text}' is no size; write it as 65536, 64KiB, 64MiB or 1GiB"))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = ["GiB", "MiB", "KiB"].iter().find_map(|&wanted| {
            let &(name, unit) = UNITS.iter().find(|(name, _)| *name == wanted)?;
            (self.0 > 0 && self.0.is_multiple_of(unit)).then_some((name, unit))
        });
        match unit {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

/// Reads `30s`, `10m`, `1h 30m`, `500ms`, `90d`; a day is 24 hours, and months and years are none.
///
/// # Errors
/// The text is no duration, or a negative one.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| format!("'{text}' is no duration; write it as 500ms, 30s, 10m, 1h or 90d"))
}

/// Writes a duration as [`parse_duration`] reads it.
pub fn show_duration(duration: Duration) -> String {
    SignedDuration::try_from(duration)
        .map(|duration| format!("{duration:#}").replace(' ', ""))
        .unwrap_or_else(|_| format!("{}s", duration.as_secs()))
}

impl serde::Serialize for ByteSize {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for ByteSize {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = ByteSize;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size such as \"64MiB\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(E::custom)
            }
            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<ByteSize, E> {
                u64::try_from(number)
                    .map(ByteSize)
                    .map_err(|_| E::custom("a size is not negative"))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<ByteSize, E> {
                Ok(ByteSize(number))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// serde for a [`Duration`] as text.
pub(crate) mod duration {
    use super::*;

    pub(crate) fn serialize<S: serde::Serializer>(
        duration: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&show_duration(*duration))
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        parse_duration(&text).map_err(serde::de::Error::custom)
    }
}

/// serde for an optional [`Duration`] as text.
pub(crate) mod optional_duration {
    use super::*;

    pub(crate) fn serialize<S: serde::Serializer>(
        duration: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match duration {
            Some(duration) => duration::serialize(duration, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: serde::Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        duration::deserialize(deserializer).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_powers_of_1024_and_written_back() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1G", 1 << 30),
            ("17", 17),
            ("2 KiB", 2048),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)));
            assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }
        assert!("much".parse::<ByteSize>().is_err());
        assert!("99999999999G".parse::<ByteSize>().is_err());
        assert_eq!(ByteSize(64 << 20).to_string(), "64MiB");
    }

    #[test]
    fn durations_are_read_as_people_write_them_and_never_negative() {
        for (text, millis) in [
            ("30s", 30_000),
            ("10m", 600_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("90d", 7_776_000_000),
            ("1.5s", 1_500),
        ] {
            let duration = Duration::from_millis(millis);
            assert_eq!(parse_duration(text), Ok(duration));
            assert_eq!(parse_duration(&show_duration(duration)), Ok(duration));
        }
        assert!(parse_duration("-1s").is_err());
        assert!(parse_duration("soon").is_err());
        assert!(parse_duration("1mo").is_err());
        assert!(parse_duration("30").is_err());
    }
}
