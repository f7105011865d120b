//! Group exchange (RFC 4419): the server names the field. What a group must be is in `finite_field`.

use super::finite_field::{GROUP14, GROUP16, GROUP18, Group, start_in};
use sansftp_proto::crypto::{
    ActiveKex, CryptoError, GroupExchange, GroupSizes, Hash, SecureRandom, ServerGroup,
};
use std::sync::LazyLock;

/// The most that either end takes, in bits: more is of no use and costs seconds.
const MOST: u32 = 8192;

/// What a server chooses from, by bits.
static GROUPS: [(u32, &LazyLock<Group>); 3] =
    [(2048, &GROUP14), (4096, &GROUP16), (8192, &GROUP18)];

/// The method, with the smallest groups that it takes.
#[derive(Debug)]
pub(crate) struct ServerChooses {
    name: &'static str,
    hash: &'static dyn Hash,
    sizes: GroupSizes,
}

impl ServerChooses {
    /// From 2048 bits (RFC 8270 §3). 3072 are about as strong as AES-128.
    pub(crate) const fn new(name: &'static str, hash: &'static dyn Hash) -> Self {
        let sizes = GroupSizes {
            min: 2048,
            preferred: 3072,
            max: MOST,
        };
        Self { name, hash, sizes }
    }

    /// From the 1024 bits that some servers have and no more (RFC 4419 §3).
    #[cfg(feature = "legacy")]
    pub(crate) const fn with_small_groups(name: &'static str, hash: &'static dyn Hash) -> Self {
        let sizes = GroupSizes {
            min: 1024,
            preferred: 2048,
            max: MOST,
        };
        Self { name, hash, sizes }
    }
}

impl GroupExchange for ServerChooses {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hash(&self) -> &'static dyn Hash {
        self.hash
    }

    fn sizes(&self) -> GroupSizes {
        self.sizes
    }

    fn start(
        &self,
        prime: &[u8],
        generator: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Box<dyn ActiveKex>, CryptoError> {
        let sizes = self.sizes.min..=self.sizes.max;
        start_in(Group::chosen(prime, generator, sizes)?, random)
    }

    /// The smallest group that is as large as the client would like, or else the largest that it takes.
    fn choose(&self, asked: GroupSizes) -> Result<&'static dyn ServerGroup, CryptoError> {
        if !(asked.min..=asked.max).contains(&asked.preferred) {
            return Err(CryptoError::BadGroup(
                "a group was asked for by sizes that contradict each other",
            ));
        }
        let mut taken = GROUPS
            .iter()
            .filter(|(bits, _)| (asked.min..=asked.max).contains(bits));
        let best = taken.clone().find(|(bits, _)| *bits >= asked.preferred);
        match best.or_else(|| taken.next_back()) {
            Some((_, group)) => {
                let group: &'static Group = group;
                Ok(group)
            }
            None => Err(CryptoError::BadGroup(
                "a group was asked for of a size that there is none of",
            )),
        }
    }
}
