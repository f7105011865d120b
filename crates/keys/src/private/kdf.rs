//! Keys out of passphrases, as the formats other than OpenSSH's own do it: PBKDF2 (RFC 8018 §5.2),
//! scrypt (RFC 7914) and Argon2 (RFC 9106). Each with a limit, since a file can ask for years of
//! work and for all memory.

use super::{MAX_KDF_MEMORY, MAX_PBKDF2_ROUNDS};
use crate::error::Flaw;
use argon2::{Algorithm, Argon2, Version};
use pbkdf2::pbkdf2_hmac;
use sansftp_proto::crypto::Secret;
use sansftp_proto::wire::Malformed;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use zeroize::Zeroizing;

/// The hash inside PBKDF2.
#[derive(Clone, Copy, Debug)]
pub(super) enum Prf {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

/// How, and how much of it.
#[derive(Clone, Debug)]
pub(super) enum Kdf {
    Pbkdf2 {
        prf: Prf,
        salt: Vec<u8>,
        rounds: u64,
    },
    Scrypt {
        salt: Vec<u8>,
        /// The cost, a power of two.
        n: u64,
        r: u64,
        p: u64,
    },
    Argon2 {
        algorithm: Algorithm,
        salt: Vec<u8>,
        /// In KiB.
        memory: u32,
        passes: u32,
        lanes: u32,
    },
}

/// Times that the memory at its limit is filled: a few seconds of work.
const FILLS: u64 = 32;
/// The most lanes of scrypt and Argon2. Each lane of scrypt is as much work as the first.
const LANES: u64 = 64;

impl Kdf {
    /// So many bytes of key.
    ///
    /// # Errors
    /// [`Flaw::TooMuchWork`] before any is done, [`Flaw::Malformed`] for numbers that the function
    /// does not have.
    pub(super) fn derive(
        &self,
        passphrase: &Secret,
        len: usize,
    ) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        let mut key = Zeroizing::new(vec![0; len]);
        let phrase = passphrase.expose();
        match *self {
            Self::Pbkdf2 {
                prf,
                ref salt,
                rounds,
            } => {
                if rounds > u64::from(MAX_PBKDF2_ROUNDS) {
                    return Err(Flaw::TooMuchWork("over 5,000,000 rounds of PBKDF2"));
                }
                let rounds = u32::try_from(rounds).expect("the limit is below 2^32");
                if rounds == 0 {
                    return Err(Malformed("no rounds of PBKDF2").into());
                }
                match prf {
                    Prf::Sha1 => pbkdf2_hmac::<Sha1>(phrase, salt, rounds, &mut key),
                    Prf::Sha224 => pbkdf2_hmac::<Sha224>(phrase, salt, rounds, &mut key),
                    Prf::Sha256 => pbkdf2_hmac::<Sha256>(phrase, salt, rounds, &mut key),
                    Prf::Sha384 => pbkdf2_hmac::<Sha384>(phrase, salt, rounds, &mut key),
                    Prf::Sha512 => pbkdf2_hmac::<Sha512>(phrase, salt, rounds, &mut key),
                }
            }
            Self::Scrypt { ref salt, n, r, p } => {
                let memory = n.saturating_mul(r).saturating_mul(128);
                within(memory, 1, p)?;
                if !n.is_power_of_two() {
                    return Err(NOT_SCRYPT.into());
                }
                let numbers = (u8::try_from(n.ilog2()), u32::try_from(r), u32::try_from(p));
                let (Ok(log_n), Ok(r), Ok(p)) = numbers else {
                    return Err(NOT_SCRYPT.into());
                };
                let params = scrypt::Params::new(log_n, r, p).map_err(|_| NOT_SCRYPT)?;
                scrypt::scrypt(phrase, salt, &params, &mut key).map_err(|_| NOT_SCRYPT)?;
            }
            Self::Argon2 {
                algorithm,
                ref salt,
                memory,
                passes,
                lanes,
            } => {
                within(u64::from(memory) * 1024, passes.into(), lanes.into())?;
                let params = argon2::Params::new(memory, passes, lanes, Some(len));
                let params = params.map_err(|_| NOT_ARGON2)?;
                Argon2::new(algorithm, Version::V0x13, params)
                    .hash_password_into(phrase, salt, &mut key)
                    .map_err(|_| NOT_ARGON2)?;
            }
        }
        Ok(key)
    }
}

const NOT_SCRYPT: Malformed = Malformed("numbers that scrypt does not have");
const NOT_ARGON2: Malformed = Malformed("numbers that Argon2 does not have");

/// Memory in bytes, filled so often, in so many lanes.
fn within(memory: u64, passes: u64, lanes: u64) -> Result<(), Flaw> {
    if memory > MAX_KDF_MEMORY {
        return Err(Flaw::TooMuchWork(
            "over 256 MiB of memory for its passphrase",
        ));
    }
    let fills = memory.saturating_mul(passes).saturating_mul(lanes);
    if lanes > LANES || passes > 1 << 20 || fills > FILLS * MAX_KDF_MEMORY {
        return Err(Flaw::TooMuchWork(
            "over 8 GiB to be filled for its passphrase",
        ));
    }
    Ok(())
}
