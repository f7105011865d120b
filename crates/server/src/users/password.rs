//! Hashes of passwords: argon2id (RFC 9106) as a PHC string, and bcrypt; computed with their cost known
//! beforehand.
//!
//! No policy: whose hash it is, and what follows from a match, is said elsewhere. Computing blocks for
//! as long as [`Cost::time`] estimates.

use argon2::password_hash::phc::{Output, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use sansftp_proto::crypto::{CryptoError, Secret, SecureRandom};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher};
use std::str::FromStr;
use std::time::Duration;
use subtle::ConstantTimeEq;

/// Longest password that is looked at, in bytes; as OpenSSH. Longer ones match nothing.
const PASSWORD: usize = 1024;
/// Most memory that one computation may take, in KiB: 256 MiB, four times what RFC 9106 §4 recommends
/// where memory is short.
const MEMORY: u32 = 256 * 1024;
/// Longest that one computation may take, as estimated. A client waits, and a thread with it.
const TIME: Duration = Duration::from_secs(4);
/// What one pass over one KiB takes argon2, about; 1 GiB a second.
const ARGON2_KIB: Duration = Duration::from_micros(1);
/// What the unit that bcrypt doubles takes, about: cost 10 is 50 ms.
const BCRYPT_UNIT: Duration = Duration::from_micros(50);

/// A stored hash that passwords are compared with.
#[derive(Clone)]
pub struct Hash(Kind);

#[derive(Clone)]
enum Kind {
    Argon2id {
        params: Params,
        version: Version,
        salt: Salt,
        digest: Output,
    },
    Bcrypt {
        cost: u32,
        text: String,
    },
}

/// What it takes to compute a hash. The greater is the one that takes longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Cost {
    /// About how long, on one core.
    pub(super) time: Duration,
    /// KiB of memory while it runs.
    pub(super) memory: u32,
}

/// Makes the argon2id hash of a password, as a PHC string for a users file. Blocks for some 20 ms.
///
/// # Errors
/// [`HashError::Password`] for a password that no attempt can match: empty, longer than 1,024 bytes or
/// with a zero byte in it. [`HashError::Random`] when there is no randomness to be had.
pub fn hash_password(password: &Secret, random: &dyn SecureRandom) -> Result<String, HashError> {
    if !is_plausible(password) {
        return Err(HashError::Password);
    }
    let mut salt = [0; Salt::RECOMMENDED_LENGTH];
    random.fill(&mut salt)?;
    // The library's defaults are OWASP's least for argon2id: 19 MiB, 2 passes, 1 lane.
    let (params, version) = (Params::DEFAULT, Version::V0x13);
    let mut digest = [0; Params::DEFAULT_OUTPUT_LEN];
    compute(&params, version, password.expose(), &salt, &mut digest)?;
    let text = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(version.into()),
        params: (&params).try_into().map_err(|_| HashError::Failed)?,
        salt: Some(Salt::new(&salt).map_err(|_| HashError::Failed)?),
        hash: Some(Output::new(&digest).map_err(|_| HashError::Failed)?),
    };
    Ok(text.to_string())
}

/// Whether a password can match any hash. Says nothing about users, so that it may be said at once.
pub(super) fn is_plausible(password: &Secret) -> bool {
    let bytes = password.expose();
    // bcrypt repeats what ends with a zero, so that `a` and `a\0a` are the same to it.
    !bytes.is_empty() && bytes.len() <= PASSWORD && !bytes.contains(&0)
}

impl Hash {
    /// Whether it is this password's. Computes for as long as [`Hash::cost`] says, match or not.
    pub(super) fn matches(&self, password: &Secret) -> bool {
        match &self.0 {
            Kind::Argon2id {
                params,
                version,
                salt,
                digest,
            } => {
                let mut computed = [0; Output::MAX_LENGTH];
                let Some(computed) = computed.get_mut(..digest.len()) else {
                    return false;
                };
                compute(params, *version, password.expose(), salt, computed).is_ok()
                    && bool::from(computed.ct_eq(digest.as_bytes()))
            }
            // Compares in constant time itself.
            Kind::Bcrypt { text, .. } => bcrypt::verify(password.expose(), text).unwrap_or(false),
        }
    }

    /// A number that tells hashes apart, and that is known to nobody who does not know the hash.
    pub(super) fn number(&self) -> u64 {
        let mut number = DefaultHasher::new();
        match &self.0 {
            Kind::Argon2id { salt, digest, .. } => {
                (salt.as_ref(), digest.as_bytes()).hash(&mut number);
            }
            Kind::Bcrypt { text, .. } => text.hash(&mut number),
        }
        number.finish()
    }

    /// What it takes to compute.
    pub(super) fn cost(&self) -> Cost {
        match &self.0 {
            Kind::Argon2id { params, .. } => Cost {
                time: ARGON2_KIB
                    .saturating_mul(params.m_cost())
                    .saturating_mul(params.t_cost()),
                memory: params.m_cost(),
            },
            Kind::Bcrypt { cost, .. } => Cost {
                time: BCRYPT_UNIT.saturating_mul(1u32.checked_shl(*cost).unwrap_or(u32::MAX)),
                memory: 4,
            },
        }
    }

    fn check_cost(self) -> Result<Self, HashError> {
        let cost = self.cost();
        if cost.memory > MEMORY || cost.time > TIME {
            return Err(HashError::Costly);
        }
        Ok(self)
    }
}

impl FromStr for Hash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        if text.starts_with("$argon2id$") {
            return parse_argon2id(text)?.check_cost();
        }
        if ["$2a$", "$2b$", "$2y$"]
            .iter()
            .any(|it| text.starts_with(it))
        {
            let parts: bcrypt::HashParts = text.parse().map_err(|_| HashError::Malformed)?;
            let (cost, text) = (parts.get_cost(), text.to_owned());
            // Fewer than four the algorithm does not have.
            if cost < 4 {
                return Err(HashError::Malformed);
            }
            return Self(Kind::Bcrypt { cost, text }).check_cost();
        }
        Err(HashError::Unknown)
    }
}

fn parse_argon2id(text: &str) -> Result<Hash, HashError> {
    let read = PasswordHash::new(text).map_err(|_| HashError::Malformed)?;
    let params = Params::try_from(&read).map_err(|_| HashError::Malformed)?;
    let version = match read.version {
        None => Version::V0x13,
        Some(version) => Version::try_from(version).map_err(|_| HashError::Malformed)?,
    };
    // Without a digest there would be nothing to compare, and everything would match nothing.
    let (Some(salt), Some(digest)) = (read.salt, read.hash) else {
        return Err(HashError::Malformed);
    };
    Ok(Hash(Kind::Argon2id {
        params,
        version,
        salt,
        digest,
    }))
}

fn compute(
    params: &Params,
    version: Version,
    password: &[u8],
    salt: &[u8],
    digest: &mut [u8],
) -> Result<(), HashError> {
    let blocks = params.block_count();
    let mut memory = Vec::with_capacity(blocks.max(HANDED_BACK));
    memory.resize(blocks, Block::default());
    Argon2::new(Algorithm::Argon2id, version, params.clone())
        .hash_password_into_with_memory(password, salt, digest, memory)
        .map_err(|_| HashError::Failed)
}

/// So many blocks, above 32 MiB, glibc hands back to the system as soon as they are freed. Less than that it keeps, once
/// it was freed before, in each of the arenas of its threads, which would be some 40 MiB for each. Those that are not used
/// are no memory.
const HANDED_BACK: usize = (33 << 20) / Block::SIZE;

/// Never shows what is stored.
impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Kind::Argon2id { .. } => "Hash(argon2id)",
            Kind::Bcrypt { .. } => "Hash(bcrypt)",
        })
    }
}

/// Why a hash cannot be used or made. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum HashError {
    /// No hash of a kind that is known here.
    Unknown,
    /// Of a kind that is known, but not whole.
    Malformed,
    /// It would take more than 256 MiB or 4 s to compare a password with it.
    Costly,
    /// The password to hash is empty, too long, or has a zero byte in it.
    Password,
    /// The system gives no randomness.
    Random,
    /// A computation failed that does not fail.
    Failed,
}

impl From<CryptoError> for HashError {
    fn from(_: CryptoError) -> Self {
        Self::Random
    }
}

impl fmt::Display for HashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => {
                "not a hash that is known here; it begins with $argon2id$, $2a$, $2b$ or $2y$"
            }
            Self::Malformed => "a hash that is not whole; copy it again from its $ to its end",
            Self::Costly => {
                "a hash that takes more than 256 MiB or 4 s to compute; make it with less"
            }
            Self::Password => {
                "a password that is empty, longer than 1024 bytes or has a zero byte in it"
            }
            Self::Random => "no randomness to be had from the system",
            Self::Failed => "the hash could not be computed",
        })
    }
}

impl std::error::Error for HashError {}

#[cfg(test)]
mod tests {
    use super::*;
    use sansftp_crypto::OsRandom;

    /// Made by libxcrypt's crypt(3) of `correct horse`.
    const BCRYPT_B: &str = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e";
    const BCRYPT_Y: &str = "$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2";
    /// A test vector of the reference implementation, of `password`.
    const ARGON2ID: &str = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ\
                            $CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";

    fn hash(text: &str) -> Hash {
        text.parse().unwrap()
    }

    #[test]
    fn a_password_matches_the_hash_that_was_made_of_it_and_no_other() {
        let made = hash_password(&Secret::from("correct horse"), &OsRandom).unwrap();
        assert!(
            made.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{made}"
        );
        let again = hash_password(&Secret::from("correct horse"), &OsRandom).unwrap();
        assert_ne!(made, again, "each has a salt of its own");
        for text in [&made, &again] {
            assert!(hash(text).matches(&Secret::from("correct horse")));
            assert!(!hash(text).matches(&Secret::from("correct horsf")));
            assert!(!hash(text).matches(&Secret::from("correct hors")));
        }
    }

    #[test]
    fn hashes_that_others_made_match_their_passwords_alone() {
        for (text, password) in [
            (BCRYPT_B, "correct horse"),
            (BCRYPT_Y, "correct horse"),
            (ARGON2ID, "password"),
        ] {
            assert!(hash(text).matches(&Secret::from(password)), "{text}");
            assert!(!hash(text).matches(&Secret::from("passwort")), "{text}");
        }
    }

    #[test]
    fn what_is_no_whole_hash_of_a_known_kind_is_refused() {
        use HashError::{Costly, Malformed, Unknown};
        for (text, expected) in [
            ("", Unknown),
            ("correct horse", Unknown),
            ("$6$salt$digest", Unknown),
            (
                "$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApl8",
                Unknown,
            ),
            ("$argon2id$", Malformed),
            ("$argon2id$v=19$m=65536,t=2,p=1", Malformed),
            ("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ", Malformed),
            (
                "$argon2id$v=18$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApl8",
                Malformed,
            ),
            (
                "$argon2id$v=19$m=65536,t=0,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApl8",
                Malformed,
            ),
            (
                "$argon2id$v=19$m=262145,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApl8",
                Costly,
            ),
            (
                "$argon2id$v=19$m=65536,t=62,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApl8",
                Costly,
            ),
            (
                "$argon2id$v=19$m=65536,t=4294967295,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHApl8",
                Costly,
            ),
            ("$2b$04$", Malformed),
            (BCRYPT_B.trim_end_matches('e'), Malformed),
            (&BCRYPT_B.replace("$04", "$03"), Malformed),
            (&BCRYPT_B.replace("$04", "$17"), Costly),
            (&BCRYPT_B.replace("$04", "$99"), Costly),
            (&BCRYPT_B.replace("$2b", "$2x"), Unknown),
        ] {
            assert_eq!(Hash::from_str(text).err(), Some(expected), "{text}");
        }
    }

    #[test]
    fn a_password_that_is_empty_overlong_or_has_a_zero_matches_nothing() {
        for bad in [&b""[..], b"\0", b"a\0a", &[b'a'; PASSWORD + 1]] {
            assert!(!is_plausible(&Secret::from(bad)));
            assert_eq!(
                hash_password(&Secret::from(bad), &OsRandom),
                Err(HashError::Password)
            );
        }
        assert!(is_plausible(&Secret::from("x")));
    }

    #[test]
    fn the_costlier_hash_is_the_greater_and_debug_shows_none() {
        assert!(hash(BCRYPT_B).cost() < hash(BCRYPT_Y).cost());
        assert!(hash(BCRYPT_Y).cost() < hash(ARGON2ID).cost());
        assert_eq!(hash(ARGON2ID).cost().memory, 65536);
        assert_eq!(format!("{:?}", hash(ARGON2ID)), "Hash(argon2id)");
    }
}
