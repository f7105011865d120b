//! SHA-2 in pure Rust, and SHA-1 for exchanges of old (FIPS 180-4).

use sansftp_proto::crypto::{Hash, Secret};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt;
use std::marker::PhantomData;

#[cfg(feature = "legacy")]
pub(super) static SHA1: Sha<sha1::Sha1> = Sha(PhantomData);
pub(super) static SHA256: Sha<Sha256> = Sha(PhantomData);
pub(super) static SHA384: Sha<Sha384> = Sha(PhantomData);
pub(super) static SHA512: Sha<Sha512> = Sha(PhantomData);

pub(super) struct Sha<D>(PhantomData<fn() -> D>);

impl<D: Digest> Hash for Sha<D> {
    fn output_len(&self) -> usize {
        <D as Digest>::output_size()
    }

    fn digest(&self, parts: &[&[u8]]) -> Secret {
        let mut digest = D::new();
        for part in parts {
            digest.update(part);
        }
        Secret::from(digest.finalize().as_slice())
    }
}

impl<D: Digest> fmt::Debug for Sha<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha({})", <D as Digest>::output_size() * 8)
    }
}
