//! The keys that a plain-data type is read from, asked of its own `Deserialize`.
//!
//! Not a reader of values: only the names, so that an unknown key can be told from a known one
//! with its line, and the flags can be compared with the keys.

use serde::Deserializer;
use serde::de::value::Error;
use serde::de::{Deserialize, Error as _, Visitor};
use serde::forward_to_deserialize_any;

/// The names of the keys of `T`, in the order of its declaration; none when it is no struct.
pub fn keys_of<'de, T: Deserialize<'de>>() -> &'static [&'static str] {
    let mut keys: &'static [&'static str] = &[];
    // It always fails: nothing is there to be read. What it asked for stays in `keys`.
    let _ = T::deserialize(Names(&mut keys));
    keys
}

struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Error> {
        *self.0 = fields;
        Err(Error::custom("only the names were wanted"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("only the names were wanted"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::Connection;
    use crate::operation::Get;

    #[test]
    fn the_keys_are_those_that_a_configuration_has() {
        assert!(keys_of::<Connection>().contains(&"known-hosts-file"));
        assert!(keys_of::<Get>().contains(&"move-to-directory"));
        assert!(!keys_of::<Get>().contains(&"action"));
        assert!(keys_of::<String>().is_empty());
    }
}
