//! Diffie-Hellman in the finite fields of RFC 3526, as SSH uses them (RFC 4253 §8, RFC 8268 §3), and in
//! the 1024-bit one of RFC 2409 for servers that have no other.
//!
//! Exponentiation is by constant-time Montgomery multiplication. Private exponents are short, at
//! twice the strength of the group and more (RFC 4419 §6.2 asks for twice), which costs no security
//! in a group whose prime is safe and saves nine tenths of the time.

use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, Odd, Resize};
use sansftp_proto::crypto::{
    ActiveKex, CryptoError, Hash, KexAlgorithm, NumberEncoding, Secret, SecureRandom, ServerGroup,
};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::LazyLock;
use zeroize::Zeroizing;

/// The 1024-bit group of RFC 2409 §6.2: about 80 bits of strength, which states can afford to break once
/// for all connections in it (RFC 8270 §1).
#[cfg(feature = "legacy")]
pub(crate) static GROUP1: LazyLock<Group> = LazyLock::new(|| Group::new(PRIME1, 256));

/// The 2048-bit group of RFC 3526 §3: 112 bits of strength, exponents of 256 bits.
pub(crate) static GROUP14: LazyLock<Group> = LazyLock::new(|| Group::new(PRIME14, 256));

/// The 4096-bit group of RFC 3526 §5: about 150 bits of strength, exponents of 512 bits.
pub(crate) static GROUP16: LazyLock<Group> = LazyLock::new(|| Group::new(PRIME16, 512));

/// The 8192-bit group of RFC 3526 §7: about 200 bits of strength, exponents of 512 bits.
pub(crate) static GROUP18: LazyLock<Group> = LazyLock::new(|| Group::new(PRIME18, 512));

/// The method in one group.
pub(crate) struct FiniteField {
    name: &'static str,
    hash: &'static dyn Hash,
    group: &'static LazyLock<Group>,
}

impl FiniteField {
    pub(crate) const fn new(
        name: &'static str,
        hash: &'static dyn Hash,
        group: &'static LazyLock<Group>,
    ) -> Self {
        Self { name, hash, group }
    }
}

impl KexAlgorithm for FiniteField {
    fn name(&self) -> &'static str {
        self.name
    }

    fn hash(&self) -> &'static dyn Hash {
        self.hash
    }

    fn share_encoding(&self) -> NumberEncoding {
        NumberEncoding::MpInt
    }

    fn secret_encoding(&self) -> NumberEncoding {
        NumberEncoding::MpInt
    }

    fn start(&self, random: &dyn SecureRandom) -> Result<Box<dyn ActiveKex>, CryptoError> {
        let exponent = self.group.random_exponent(random)?;
        let share = self.group.share(&exponent);
        let group: &'static Group = self.group;
        Ok(Box::new(Exchange {
            group,
            exponent,
            share,
        }))
    }

    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError> {
        let group: &Group = self.group;
        group.respond(client_share, random)
    }
}

impl fmt::Debug for FiniteField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FiniteField({})", self.name)
    }
}

/// A client's half in a group of its own.
pub(super) fn start_in(
    group: Group,
    random: &dyn SecureRandom,
) -> Result<Box<dyn ActiveKex>, CryptoError> {
    let exponent = group.random_exponent(random)?;
    let share = group.share(&exponent);
    Ok(Box::new(Exchange {
        group,
        exponent,
        share,
    }))
}

/// A client's exchange in a group that is kept, or one of its own.
struct Exchange<G> {
    group: G,
    exponent: Zeroizing<BoxedUint>,
    share: Vec<u8>,
}

impl<G: Borrow<Group> + Send> ActiveKex for Exchange<G> {
    fn share(&self) -> &[u8] {
        &self.share
    }

    fn finish(self: Box<Self>, server_share: &[u8]) -> Result<Secret, CryptoError> {
        self.group.borrow().agree(&self.exponent, server_share)
    }
}

impl<G> fmt::Debug for Exchange<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FiniteField(..)")
    }
}

/// A prime and a generator, and what is computed from them once.
pub(crate) struct Group {
    params: BoxedMontyParams,
    generator: BoxedUint,
    exponent_bits: u32,
    /// The prime as it goes over the wire.
    prime: Vec<u8>,
}

impl Group {
    /// With the generator 2, whose powers are the large subgroup where the prime is a safe one.
    fn new(prime: &str, exponent_bits: u32) -> Self {
        let bits = u32::try_from(prime.len() * 4).expect("a prime is shorter than 4 Gbit");
        let prime = BoxedUint::from_be_hex(prime, bits)
            .into_option()
            .and_then(|prime| Odd::new(prime).into_option())
            .expect("the primes of RFC 3526 are odd and written in hexadecimal");
        Self {
            prime: prime.as_ref().to_be_bytes().into_vec(),
            generator: BoxedUint::from(2u8).resize(bits),
            params: BoxedMontyParams::new_vartime(prime),
            exponent_bits,
        }
    }

    /// A group that a server chose, by big-endian magnitudes without leading zeros.
    ///
    /// The prime has `sizes` bits and is odd, passes Euler's test to the base 2, and the generator is
    /// neither 0, 1 nor p - 1. The test is one power, 0.2 s for 8192 bits, and shows a group that is
    /// broken; a server that wants to can deceive it, but knows the secret anyway.
    pub(super) fn chosen(
        prime: &[u8],
        generator: &[u8],
        sizes: RangeInclusive<u32>,
    ) -> Result<Self, CryptoError> {
        const SIZE: CryptoError = CryptoError::BadGroup("a group of a size that was not asked for");
        let top = prime.first().map_or(0, |top| top.leading_zeros());
        let bits = u32::try_from(prime.len()).map_or(0, |len| len.saturating_mul(8) - top);
        if !sizes.contains(&bits) {
            return Err(SIZE);
        }
        let precision = bits.next_multiple_of(64);
        let number = BoxedUint::from_be_slice(prime, precision).map_err(|_| SIZE)?;
        let modulus = Odd::new(number)
            .into_option()
            .ok_or(CryptoError::BadGroup("a group with an even modulus"))?;
        let group = Self {
            generator: BoxedUint::one_with_precision(precision),
            params: BoxedMontyParams::new_vartime(modulus),
            // RFC 4419 §6.2: twice the strength.
            exponent_bits: if bits > 2048 { 512 } else { 256 },
            prime: prime.to_vec(),
        };
        let generator = group
            .validated(generator)
            .map_err(|_| CryptoError::BadGroup("a group with a useless generator"))?;
        if !group.passes_eulers_test() {
            return Err(CryptoError::BadGroup("a group whose modulus is no prime"));
        }
        Ok(Self { generator, ..group })
    }

    /// Whether 2^((p-1)/2) is 1 or -1, as it is for every prime.
    fn passes_eulers_test(&self) -> bool {
        let modulus = self.params.modulus().as_ref();
        let last = modulus.wrapping_sub(BoxedUint::one());
        let half = modulus.wrapping_shr_vartime(1);
        let two = BoxedUint::from(2u8).resize(self.params.bits_precision());
        let power = BoxedMontyForm::new(two, &self.params).pow(&half).retrieve();
        power == BoxedUint::one_with_precision(self.params.bits_precision()) || power == last
    }

    /// A private exponent with its top bit set, so that none is short by chance.
    fn random_exponent(
        &self,
        random: &dyn SecureRandom,
    ) -> Result<Zeroizing<BoxedUint>, CryptoError> {
        let mut bytes = Zeroizing::new(vec![0; self.exponent_bits as usize / 8]);
        random.fill(&mut bytes)?;
        if let Some(top) = bytes.first_mut() {
            *top |= 0x80;
        }
        let exponent = BoxedUint::from_be_slice(&bytes, self.exponent_bits)
            .expect("the exponent has as many bits as bytes were drawn for it");
        Ok(Zeroizing::new(exponent))
    }

    /// The generator to that power.
    fn share(&self, exponent: &BoxedUint) -> Vec<u8> {
        self.pow(self.generator.clone(), exponent)
    }

    /// share^exponent, with all the digits of the prime.
    fn agree(&self, exponent: &BoxedUint, share: &[u8]) -> Result<Secret, CryptoError> {
        let share = self.validated(share)?;
        Ok(Secret::new(self.pow(share, exponent)))
    }

    /// RFC 4253 §8: values of e or f that are not in the range [1, p-1] MUST NOT be accepted; and
    /// RFC 8268 §4 leaves out the two ends, which would give the secret away.
    fn validated(&self, share: &[u8]) -> Result<BoxedUint, CryptoError> {
        let share = BoxedUint::from_be_slice(share, self.params.bits_precision())
            .map_err(|_| CryptoError::BadShare)?;
        let last = self
            .params
            .modulus()
            .as_ref()
            .wrapping_sub(BoxedUint::one());
        let inside = share.cmp_vartime(BoxedUint::one()) == Ordering::Greater
            && share.cmp_vartime(&last) == Ordering::Less;
        if inside {
            Ok(share)
        } else {
            Err(CryptoError::BadShare)
        }
    }

    fn pow(&self, base: BoxedUint, exponent: &BoxedUint) -> Vec<u8> {
        let base = Zeroizing::new(BoxedMontyForm::new(base, &self.params));
        let power = Zeroizing::new(base.pow_bounded_exp(exponent, self.exponent_bits));
        let number = Zeroizing::new(power.retrieve());
        number.to_be_bytes().into_vec()
    }
}

/// 2^1024 - 2^960 - 1 + 2^64 * ([2^894 pi] + 129093) (RFC 2409 §6.2).
#[cfg(feature = "legacy")]
pub(crate) const PRIME1: &str = "\
     FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22\
     514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6\
     F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE65381\
     FFFFFFFFFFFFFFFF";

impl ServerGroup for Group {
    fn prime(&self) -> &[u8] {
        &self.prime
    }

    fn generator(&self) -> &[u8] {
        // Only groups of RFC 3526 are a server's to choose from.
        &[2]
    }

    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError> {
        let exponent = self.random_exponent(random)?;
        let shared = self.agree(&exponent, client_share)?;
        Ok((self.share(&exponent), shared))
    }
}

impl fmt::Debug for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Group({})", self.prime.len() * 8)
    }
}

/// 2^2048 - 2^1984 - 1 + 2^64 * ([2^1918 pi] + 124476) (RFC 3526 §3).
pub(crate) const PRIME14: &str = "\
     FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22\
     514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6\
     F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3D\
     C2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
     9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E8603\
     9B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
     15728E5A8AACAA68FFFFFFFFFFFFFFFF";

/// 2^4096 - 2^4032 - 1 + 2^64 * ([2^3966 pi] + 240904) (RFC 3526 §5).
pub(crate) const PRIME16: &str = "\
     FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22\
     514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6\
     F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3D\
     C2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
     9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E8603\
     9B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
     15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7D\
     B3970F85A6E1E4C7ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864\
     D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E208E24FA074E5AB31\
     43DB5BFCE0FD108E4B82D120A92108011A723C12A787E6D788719A10BDBA5B2699C327186AF4E23C\
     1A946834B6150BDA2583E9CA2AD44CE8DBBBC2DB04DE8EF92E8EFC141FBECAA6287C59474E6BC05D\
     99B2964FA090C3A2233BA186515BE7ED1F612970CEE2D7AFB81BDD762170481CD0069127D5B05AA9\
     93B4EA988D8FDDC186FFB7DC90A6C08F4DF435C934063199FFFFFFFFFFFFFFFF";

/// 2^8192 - 2^8128 - 1 + 2^64 * ([2^8062 pi] + 4743158) (RFC 3526 §7).
pub(crate) const PRIME18: &str = "\
     FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22\
     514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6\
     F44C42E9A637ED6B0BFF5CB6F406B7EDEE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3D\
     C2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F83655D23DCA3AD961C62F356208552BB\
     9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3BE39E772C180E8603\
     9B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
     15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7D\
     B3970F85A6E1E4C7ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864\
     D87602733EC86A64521F2B18177B200CBBE117577A615D6C770988C0BAD946E208E24FA074E5AB31\
     43DB5BFCE0FD108E4B82D120A92108011A723C12A787E6D788719A10BDBA5B2699C327186AF4E23C\
     1A946834B6150BDA2583E9CA2AD44CE8DBBBC2DB04DE8EF92E8EFC141FBECAA6287C59474E6BC05D\
     99B2964FA090C3A2233BA186515BE7ED1F612970CEE2D7AFB81BDD762170481CD0069127D5B05AA9\
     93B4EA988D8FDDC186FFB7DC90A6C08F4DF435C93402849236C3FAB4D27C7026C1D4DCB2602646DE\
     C9751E763DBA37BDF8FF9406AD9E530EE5DB382F413001AEB06A53ED9027D831179727B0865A8918\
     DA3EDBEBCF9B14ED44CE6CBACED4BB1BDB7F1447E6CC254B332051512BD7AF426FB8F401378CD2BF\
     5983CA01C64B92ECF032EA15D1721D03F482D7CE6E74FEF6D55E702F46980C82B5A84031900B1C9E\
     59E7C97FBEC7E8F323A97A7E36CC88BE0F1D45B7FF585AC54BD407B22B4154AACC8F6D7EBF48E1D8\
     14CC5ED20F8037E0A79715EEF29BE32806A1D58BB7C5DA76F550AA3D8A1FBFF0EB19CCB1A313D55C\
     DA56C9EC2EF29632387FE8D76E3C0468043E8F663F4860EE12BF2D5B0B7474D6E694F91E6DBE1159\
     74A3926F12FEE5E438777CB6A932DF8CD8BEC4D073B931BA3BC832B68D9DD300741FA7BF8AFC47ED\
     2576F6936BA424663AAB639C5AE4F5683423B4742BF1C978238F16CBE39D652DE3FDB8BEFC848AD9\
     22222E04A4037C0713EB57A81A23F0C73473FC646CEA306B4BCBC8862F8385DDFA9D4B7FA2C087E8\
     79683303ED5BDD3A062B3CF5B3A278A66D2A13F83F44F82DDF310EE074AB6A364597E899A0255DC1\
     64F31CC50846851DF9AB48195DED7EA1B1D510BD7EE74D73FAF36BC31ECFA268359046F4EB879F92\
     4009438B481C6CD7889A002ED5EE382BC9190DA6FC026E479558E4475677E9AA9E3050E2765694DF\
     C81F56E880B96E7160C980DD98EDD3DFFFFFFFFFFFFFFFFF";

#[cfg(test)]
mod tests {
    use super::*;

    /// Fermat's test to the base 2 on q = (p - 1) / 2; on p it is implied by 2^q = 1.
    #[test]
    fn the_primes_are_safe_primes_and_two_generates_the_large_subgroup() {
        for (group, bits) in [
            #[cfg(feature = "legacy")]
            (&GROUP1, 1024),
            (&GROUP14, 2048),
            (&GROUP16, 4096),
            (&GROUP18, 8192),
        ] {
            let p = group.params.modulus().as_ref().clone();
            assert_eq!(p.bits_vartime(), bits);
            let q = p.shr_vartime(1).unwrap();
            let two = BoxedUint::from(2u8).resize(bits);
            let one = BoxedUint::one_with_precision(bits);
            let power = BoxedMontyForm::new(two.clone(), &group.params)
                .pow(&q)
                .retrieve();
            assert_eq!(power, one, "2 is a square modulo p");
            let below_q = q.wrapping_sub(&one);
            let modulo_q = BoxedMontyParams::new_vartime(Odd::new(q).unwrap());
            assert_eq!(
                BoxedMontyForm::new(two, &modulo_q).pow(&below_q).retrieve(),
                one
            );
        }
    }

    #[test]
    fn the_primes_have_the_ends_and_the_digits_of_pi_that_their_definition_gives_them() {
        for prime in [
            #[cfg(feature = "legacy")]
            PRIME1,
            PRIME14,
            PRIME16,
            PRIME18,
        ] {
            assert!(prime.starts_with("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD1"));
            assert!(prime.ends_with("FFFFFFFFFFFFFFFF"));
        }
    }
}
