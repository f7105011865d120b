//! SHA-2 in pure Rust (FIPS 180-4).

use sansftp_proto::crypto::{Hash, Secret};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::fmt;
use std::marker::PhantomData;

pub(super) static SHA256: Sha2<Sha256> = Sha2(PhantomData);
pub(super) static SHA384: Sha2<Sha384> = Sha2(PhantomData);
pub(super) static SHA512: Sha2<Sha512> = Sha2(PhantomData);

pub(super) struct Sha2<D>(PhantomData<fn() -> D>);

impl<D: Digest> Hash for Sha2<D> {
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

impl<D: Digest> fmt::Debug for Sha2<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha2({})", <D as Digest>::output_size() * 8)
    }
}
