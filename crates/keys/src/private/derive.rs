//! Public halves from private ones, so that a file cannot pair a key with another's public half
//! (signing with such a pair gives an Ed25519 key away).

use crate::error::Flaw;
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, ConcatenatingMul};
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, PublicKey, SecretKey};
use sansftp_proto::crypto::{Curve, PrivateKey, Secret};
use sansftp_proto::wire::Malformed;
use zeroize::Zeroizing;

/// An Ed25519 key (RFC 8032 §5.1.5), its public half derived and compared with the one given.
pub(super) fn ed25519(seed: &[u8], given: Option<&[u8]>) -> Result<PrivateKey, Flaw> {
    let bytes: &[u8; 32] = seed
        .try_into()
        .map_err(|_| Malformed("an Ed25519 key that is not 32 bytes"))?;
    let public = ed25519_dalek::SigningKey::from_bytes(bytes)
        .verifying_key()
        .to_bytes();
    if given.is_some_and(|given| given != public) {
        return Err(Flaw::Halves);
    }
    Ok(PrivateKey::Ed25519 {
        seed: Secret::from(seed),
        public,
    })
}

/// An ECDSA key from its scalar (SEC 1 §3.2.1), which may lack leading zeros.
pub(super) fn ecdsa(curve: Curve, scalar: &[u8], given: Option<&[u8]>) -> Result<PrivateKey, Flaw> {
    let zeros = scalar.iter().take_while(|&&byte| byte == 0).count();
    let (_, magnitude) = scalar.split_at(zeros);
    let Some(missing) = curve.field_len().checked_sub(magnitude.len()) else {
        return Err(Malformed("a scalar wider than its curve").into());
    };
    if magnitude.is_empty() {
        return Err(Malformed("a scalar that is zero").into());
    }
    let mut wide = Vec::with_capacity(curve.field_len());
    wide.resize(missing, 0);
    wide.extend_from_slice(magnitude);
    let scalar = Secret::new(wide);

    let public = match curve {
        Curve::P256 => point::<p256::NistP256>(&scalar, given),
        Curve::P384 => point::<p384::NistP384>(&scalar, given),
        Curve::P521 => point::<p521::NistP521>(&scalar, given),
    }?;
    Ok(PrivateKey::Ecdsa {
        curve,
        scalar,
        public,
    })
}

/// The uncompressed public point; the one given, in whatever form, must be the same.
fn point<C>(scalar: &Secret, given: Option<&[u8]>) -> Result<Vec<u8>, Flaw>
where
    C: CurveArithmetic,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
    FieldBytesSize<C>: ModulusSize,
{
    let key = SecretKey::<C>::from_slice(scalar.expose())
        .map_err(|_| Malformed("a scalar that is not of its curve"))?;
    let public = key.public_key();
    if given.is_some_and(|given| PublicKey::<C>::from_sec1_bytes(given) != Ok(public)) {
        return Err(Flaw::Halves);
    }
    Ok(public.to_sec1_point(false).as_bytes().to_vec())
}

/// The numbers of an RSA key; big-endian, without leading zeros.
pub(super) struct Rsa<'a> {
    pub(super) n: &'a [u8],
    pub(super) e: &'a [u8],
    pub(super) d: &'a [u8],
    pub(super) p: &'a [u8],
    pub(super) q: &'a [u8],
    pub(super) iqmp: &'a [u8],
}

/// An RSA key whose modulus is the product of its primes.
pub(super) fn rsa(key: &Rsa<'_>) -> Result<PrivateKey, Flaw> {
    if [key.n, key.e, key.d, key.p, key.q, key.iqmp]
        .iter()
        .any(|it| it.is_empty())
    {
        return Err(Malformed("an RSA key with a number that is zero").into());
    }
    if key.n.len() > super::MAX_RSA_MODULUS {
        return Err(Flaw::Unsupported("an RSA key of more than 16384 bits"));
    }
    let bits = u32::try_from(8 * key.n.len()).expect("a modulus is at most 16384 bits");
    let number = |bytes, bits| {
        BoxedUint::from_be_slice(bytes, bits)
            .map(Zeroizing::new)
            .map_err(|_| Flaw::Halves)
    };
    if number(key.p, bits)?.concatenating_mul(&*number(key.q, bits)?) != *number(key.n, 2 * bits)? {
        return Err(Flaw::Halves);
    }
    Ok(PrivateKey::Rsa {
        n: key.n.to_vec(),
        e: key.e.to_vec(),
        d: Secret::from(key.d),
        p: Secret::from(key.p),
        q: Secret::from(key.q),
        iqmp: Secret::from(key.iqmp),
    })
}

/// The group and the private number of a DSA key; big-endian, without leading zeros.
pub(super) struct Dsa<'a> {
    pub(super) p: &'a [u8],
    pub(super) q: &'a [u8],
    pub(super) g: &'a [u8],
    pub(super) x: &'a [u8],
}

/// A DSA key (FIPS 186-4 §4.1), its public half derived and compared with the one given. Whether the
/// group is one of DSA's is for whoever signs to find out.
pub(super) fn dsa(key: &Dsa<'_>, given: Option<&[u8]>) -> Result<PrivateKey, Flaw> {
    if key.p.len() > super::MAX_DSA_MODULUS || key.q.len() > super::MAX_DSA_ORDER {
        return Err(Flaw::Unsupported(
            "a DSA key of more than 3072 bits, or with an order of more than 256",
        ));
    }
    if [key.q, key.g, key.x].iter().any(|it| it.is_empty()) {
        return Err(Malformed("a DSA key with a number that is zero").into());
    }
    // So that the exponent has a bound that is no secret.
    if key.x.len() > key.q.len() {
        return Err(Flaw::Halves);
    }
    let bits = |bytes: &[u8]| u32::try_from(8 * bytes.len()).expect("at most 3072 bits");
    let modulus = BoxedUint::from_be_slice_vartime(key.p)
        .to_odd()
        .into_option()
        .ok_or(Malformed("a DSA key whose modulus is even"))?;
    let modulus = BoxedMontyParams::new_vartime(modulus);
    let g = BoxedUint::from_be_slice(key.g, modulus.bits_precision()).map_err(|_| Flaw::Halves)?;
    if g.cmp_vartime(modulus.modulus().as_ref()).is_ge() {
        return Err(Flaw::Halves);
    }
    let x = BoxedUint::from_be_slice(key.x, bits(key.q)).map_err(|_| Flaw::Halves)?;
    let x = Zeroizing::new(x);
    let y = BoxedMontyForm::new(g, &modulus)
        .pow_bounded_exp(&x, bits(key.q))
        .retrieve()
        .to_be_bytes_trimmed_vartime();
    if given.is_some_and(|given| given != y.as_ref()) {
        return Err(Flaw::Halves);
    }
    Ok(PrivateKey::Dsa {
        p: key.p.to_vec(),
        q: key.q.to_vec(),
        g: key.g.to_vec(),
        y: y.to_vec(),
        x: Secret::from(key.x),
    })
}
