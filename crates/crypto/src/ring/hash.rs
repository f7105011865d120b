//! SHA-2 by ring, and SHA-1 for exchanges of old (FIPS 180-4).

use ring::digest::{self, Context};
use sansftp_proto::crypto::{Hash, Secret};

#[cfg(feature = "legacy")]
pub(super) static SHA1: Sha = Sha(&digest::SHA1_FOR_LEGACY_USE_ONLY);
pub(super) static SHA256: Sha = Sha(&digest::SHA256);
pub(super) static SHA384: Sha = Sha(&digest::SHA384);
pub(super) static SHA512: Sha = Sha(&digest::SHA512);

#[derive(Debug)]
pub(super) struct Sha(&'static digest::Algorithm);

impl Hash for Sha {
    fn output_len(&self) -> usize {
        self.0.output_len()
    }

    fn digest(&self, parts: &[&[u8]]) -> Secret {
        let mut context = Context::new(self.0);
        for part in parts {
            context.update(part);
        }
        Secret::from(context.finish().as_ref())
    }
}
