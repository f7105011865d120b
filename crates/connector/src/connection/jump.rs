//! Servers to go through on the way to a connection's own, as plain data.
//!
//! Not the going: that is in `sftp`.

use std::fmt;
use std::str::FromStr;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Connection;
use super::proxy::host_and_port;
use crate::error::{Error, Result};

/// A server to go through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jump {
    /// `user@host:port`, the user and the port being optional. It is reached with the key, the
    /// certificate and the agent of the connection that it leads to, never with its password, and
    /// judged by the known_hosts file, not by that one's `known-host`.
    Host(String),
    /// An account of its own. In a configuration file: its name.
    Connection(Box<Connection>),
}

impl FromStr for Jump {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        parts(text)?;
        Ok(Self::Host(text.trim().to_owned()))
    }
}

impl Jump {
    /// The account to go through, on the way to `target`.
    ///
    /// # Errors
    /// `configuration` when the text names none.
    pub(crate) fn connection(&self, target: &Connection) -> Result<Connection> {
        let text = match self {
            Self::Connection(connection) => return Ok(connection.as_ref().clone()),
            Self::Host(text) => text,
        };
        let (user, host, port) = parts(text).map_err(|error| {
            Error::configuration(format!("jump: {error}"))
                .with_hint("write user@host:port, or the name of a connection")
        })?;
        Ok(Connection {
            host,
            user,
            port: port.unwrap_or_else(|| Connection::default().port),
            password: None,
            known_host: Vec::new(),
            jump: Vec::new(),
            remote_directory: None,
            ..target.clone()
        })
    }
}

/// User, host and port.
type Parts = (Option<String>, String, Option<u16>);

fn parts(text: &str) -> Result<Parts, String> {
    let text = text.trim();
    let text = text.strip_prefix("ssh://").unwrap_or(text);
    let (user, place) = match text.rsplit_once('@') {
        Some((user, place)) => (Some(user.to_owned()), place),
        None => (None, text),
    };
    if user.as_deref() == Some("") {
        return Err(format!("'{text}' has an empty user"));
    }
    let (host, port) = host_and_port(place).map_err(|error| format!("'{text}': {error}"))?;
    Ok((user, host, port))
}

impl Serialize for Jump {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Host(text) => text.serialize(serializer),
            Self::Connection(connection) => connection.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Jump {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneVisitor)
    }
}

struct OneVisitor;

impl<'de> Visitor<'de> for OneVisitor {
    type Value = Jump;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("user@host:port or the name of a connection")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Jump, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Jump, A::Error> {
        let connection = Connection::deserialize(MapAccessDeserializer::new(map))?;
        Ok(Jump::Connection(Box::new(connection)))
    }
}

/// One, several with commas between them, or a list.
pub(super) fn jumps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Jump>, D::Error> {
    struct ListVisitor;
    impl<'de> Visitor<'de> for ListVisitor {
        type Value = Vec<Jump>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("user@host:port, the name of a connection, or a list of those")
        }
        fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Vec<Jump>, E> {
            let each = text.split(',').map(str::parse);
            each.collect::<Result<_, String>>().map_err(E::custom)
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<Jump>, A::Error> {
            let mut jumps = Vec::new();
            while let Some(jump) = seq.next_element()? {
                if jumps.len() >= HOPS {
                    return Err(A::Error::custom(format!("more than {HOPS} jumps")));
                }
                jumps.push(jump);
            }
            Ok(jumps)
        }
    }
    deserializer.deserialize_any(ListVisitor)
}

/// Servers to go through at most, those that jumps lead through included.
pub(crate) const HOPS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_to_go_through_gets_no_password_and_no_pins_of_another() {
        let target: Connection = toml::from_str(
            "host = 'h'\nuser = 'u'\npassword = 'p'\nprivate-key = 'k'\nknown-host = 'SHA256:x'\n\
             jump = ['gate', 'me@[::1]:2222']\nknown-hosts-file = 'f'",
        )
        .unwrap();
        let hop = target.jump[1].connection(&target).unwrap();
        assert_eq!((hop.host.as_str(), hop.port), ("::1", 2222));
        assert_eq!(hop.user.as_deref(), Some("me"));
        assert_eq!((hop.password, hop.known_host.len()), (None, 0));
        assert_eq!(hop.private_key, target.private_key);
        assert_eq!(hop.known_hosts_file, target.known_hosts_file);
        let hop = target.jump[0].connection(&target).unwrap();
        assert_eq!((hop.user, hop.port), (None, 22));
    }

    #[test]
    fn jumps_are_a_text_or_a_list_of_texts_and_tables() {
        let read = |text: &str| toml::from_str::<Connection>(&format!("host = 'h'\n{text}"));
        assert_eq!(read("jump = 'a,b@c:2'").unwrap().jump.len(), 2);
        let nested = read("jump = [ { host = 'gate', user = 'me' }, 'b' ]").unwrap();
        assert!(matches!(&nested.jump[0], Jump::Connection(it) if it.host == "gate"));
        for refused in [
            "jump = '@h'",
            "jump = 'h:0'",
            "jump = ''",
            "jump = [ { hots = 'x' } ]",
        ] {
            assert!(read(refused).is_err(), "{refused}");
        }
    }
}
