//! The `messages!` table: number, name, layer, sender and fields of each message, written once.
//!
//! The table is the documentation: it reads like the RFC's own list. A number outside its layer's
//! range (RFC 4250 §4.1.1) does not compile.

use super::reader::{Malformed, Reader};
use bytes::{BufMut, BytesMut};
use std::ops::RangeInclusive;

/// One of the number ranges of RFC 4250 §4.1.1. A payload is sorted into one before anybody may read it.
pub trait Layer {
    /// The message numbers that belong to the layer.
    const RANGE: &'static [RangeInclusive<u8>];
    /// Those of them that no message here has: answered with UNIMPLEMENTED (RFC 4253 §11.4).
    const UNASSIGNED: &'static [RangeInclusive<u8>];
}

/// Numbers of the transport layer, key exchange included, and of extensions (RFC 4250 §4.1.1).
#[derive(Debug)]
pub enum Transport {}

impl Layer for Transport {
    const RANGE: &'static [RangeInclusive<u8>] = &[0..=4, 7..=49, 128..=255];
    const UNASSIGNED: &'static [RangeInclusive<u8>] =
        &[0..=0, 8..=19, 22..=29, 128..=191, 194..=255];
}

/// Numbers of user authentication, with the service request that leads to it (RFC 4250 §4.1.1).
#[derive(Debug)]
pub enum Auth {}

impl Layer for Auth {
    const RANGE: &'static [RangeInclusive<u8>] = &[5..=6, 50..=79];
    const UNASSIGNED: &'static [RangeInclusive<u8>] = &[54..=59, 62..=79];
}

/// Numbers of the connection protocol (RFC 4250 §4.1.1).
#[derive(Debug)]
pub enum Connection {}

impl Layer for Connection {
    const RANGE: &'static [RangeInclusive<u8>] = &[80..=127];
    const UNASSIGNED: &'static [RangeInclusive<u8>] = &[83..=89, 101..=127];
}

/// SFTP numbers its packets by itself (draft-ietf-secsh-filexfer-02 §3).
#[derive(Debug)]
pub enum Sftp {}

impl Layer for Sftp {
    const RANGE: &'static [RangeInclusive<u8>] = &[0..=255];
    const UNASSIGNED: &'static [RangeInclusive<u8>] = &[];
}

/// Whether `number` lies in one of `ranges`; usable in constants, where the table asserts it.
#[expect(
    clippy::indexing_slicing,
    reason = "constant evaluation; iterators are not const"
)]
pub const fn in_range(number: u8, ranges: &[RangeInclusive<u8>]) -> bool {
    let mut i = 0;
    while i < ranges.len() {
        if *ranges[i].start() <= number && number <= *ranges[i].end() {
            return true;
        }
        i += 1;
    }
    false
}

/// A message of a table.
pub trait Message<'a>: Sized {
    /// Its number.
    const NUMBER: u8;
    /// Its name in the table.
    const NAME: &'static str;
    /// The layer that it belongs to.
    type Layer: Layer;

    /// Reads the fields behind the number; the caller checks that nothing is left.
    ///
    /// # Errors
    /// [`Malformed`] when the bytes are not such a message.
    fn read_body(reader: &mut Reader<'a>) -> Result<Self, Malformed>;

    /// Appends the fields.
    fn write_body(&self, out: &mut BytesMut);

    /// Appends number and fields.
    fn write(&self, out: &mut BytesMut) {
        out.put_u8(Self::NUMBER);
        self.write_body(out);
    }
}

/// `M: SentBy<Client>` says that clients send `M`; so servers read it, and nobody else does either.
pub trait SentBy<R> {}

/// A table of messages that reads like the RFC's own. Its header says the layer and who sends them.
#[macro_export]
macro_rules! messages {
    ($Layer:ident from $By:ident; $($(#[$meta:meta])* $number:literal $Name:ident $(<$lt:lifetime>)? { $($field:ident: $ty:ty),* $(,)? })*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(
            unreachable_pub,
            clippy::exhaustive_structs,
            reason = "the fields are the specification's; a table may stand in a private module"
        )]
        pub struct $Name $(<$lt>)? { $(
            #[doc = concat!("The field that the specification calls `", stringify!($field), "`.")]
            pub $field: $ty,
        )* }
        $crate::messages!(@impl $Layer $number $Name [$($lt)?] $($field: $ty,)*);
        $crate::messages!(@by $By $Name [$($lt)?]);
        const _: () = assert!(
            $crate::wire::in_range($number, <$crate::wire::$Layer as $crate::wire::Layer>::RANGE),
            "message number outside its layer"
        );
    )*};
    (@by both $Name:ident [$($lt:lifetime)?]) => {
        impl<$($lt,)? R: $crate::role::Role> $crate::wire::SentBy<R> for $Name $(<$lt>)? {}
    };
    (@by client $Name:ident [$($lt:lifetime)?]) => {
        impl $(<$lt>)? $crate::wire::SentBy<$crate::role::Client> for $Name $(<$lt>)? {}
    };
    (@by server $Name:ident [$($lt:lifetime)?]) => {
        impl $(<$lt>)? $crate::wire::SentBy<$crate::role::Server> for $Name $(<$lt>)? {}
    };
    (@impl $Layer:ident $number:literal $Name:ident [] $($field:ident: $ty:ty,)*) => {
        impl<'m> $crate::wire::Message<'m> for $Name {
            $crate::messages!(@body $Layer 'm $number $Name $($field: $ty,)*);
        }
    };
    (@impl $Layer:ident $number:literal $Name:ident [$lt:lifetime] $($field:ident: $ty:ty,)*) => {
        impl<$lt> $crate::wire::Message<$lt> for $Name<$lt> {
            $crate::messages!(@body $Layer $lt $number $Name $($field: $ty,)*);
        }
    };
    (@body $Layer:ident $lt:lifetime $number:literal $Name:ident $($field:ident: $ty:ty,)*) => {
        const NUMBER: u8 = $number;
        const NAME: &'static str = stringify!($Name);
        type Layer = $crate::wire::$Layer;
        fn read_body(_reader: &mut $crate::wire::Reader<$lt>) -> Result<Self, $crate::wire::Malformed> {
            Ok(Self { $($field: _reader.read()?,)* })
        }
        fn write_body(&self, _out: &mut ::bytes::BytesMut) {
            $($crate::wire::Field::write(&self.$field, _out);)*
        }
    };
}
