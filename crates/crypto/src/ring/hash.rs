//! SHA-2 by ring (FIPS 180-4).

use ring::digest::{self, Context};
use sansftp_proto::crypto::{Hash, Secret};

pub(super) static SHA256: Sha2 = Sha2(&digest::SHA256);
pub(super) static SHA384: Sha2 = Sha2(&digest::SHA384);
pub(super) static SHA512: Sha2 = Sha2(&digest::SHA512);

#[derive(Debug)]
pub(super) struct Sha2(&'static digest::Algorithm);

impl Hash for Sha2 {
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
