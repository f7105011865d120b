//! Reads the private keys that are ASN.1: PKCS#1 (RFC 8017 A.1.2), SEC 1 (RFC 5915), PKCS#8 (RFC 5958),
//! and the sequence of numbers that OpenSSL writes of a DSA key.

use super::derive::{self, Dsa, Rsa};
use crate::der::{self, Der};
use crate::error::Flaw;
use sansftp_proto::crypto::{Curve, PrivateKey};
use sansftp_proto::wire::Malformed;

/// `RSAPrivateKey` (RFC 8017 A.1.2).
pub(super) fn pkcs1(input: &[u8]) -> Result<PrivateKey, Flaw> {
    let mut input = Der::new(input);
    let mut key = input.sequence()?;
    input.finish()?;
    match key.small()? {
        0 => {}
        1 => return Err(Flaw::Unsupported("an RSA key of more than two primes")),
        _ => return Err(Malformed("an unknown version").into()),
    }
    let (n, e, d) = (key.unsigned()?, key.unsigned()?, key.unsigned()?);
    let (p, q) = (key.unsigned()?, key.unsigned()?);
    // d mod (p - 1) and d mod (q - 1) follow from the others; whoever signs computes them.
    let (_dp, _dq) = (key.unsigned()?, key.unsigned()?);
    let iqmp = key.unsigned()?;
    key.finish()?;
    derive::rsa(&Rsa {
        n,
        e,
        d,
        p,
        q,
        iqmp,
    })
}

/// `ECPrivateKey` (RFC 5915 §3). `outer` is the curve that PKCS#8 has named already.
pub(super) fn sec1(input: &[u8], outer: Option<Curve>) -> Result<PrivateKey, Flaw> {
    let mut input = Der::new(input);
    let mut key = input.sequence()?;
    input.finish()?;
    if key.small()? != 1 {
        return Err(Malformed("an unknown version").into());
    }
    let scalar = key.take(der::OCTET_STRING)?;
    let named = match key.take_if(der::explicit(0))? {
        Some(parameters) => Some(named_curve(Der::new(parameters))?),
        None => None,
    };
    let curve = match (outer, named) {
        (Some(outer), Some(named)) if outer != named => {
            return Err(Malformed("it names two different curves").into());
        }
        (outer, named) => outer
            .or(named)
            .ok_or(Malformed("it does not name its curve"))?,
    };
    let public = match key.take_if(der::explicit(1))? {
        Some(public) => {
            let mut public = Der::new(public);
            let bits = public.take(der::BIT_STRING)?;
            public.finish()?;
            Some(der::whole_bytes(bits)?)
        }
        None => None,
    };
    key.finish()?;
    derive::ecdsa(curve, scalar, public)
}

/// What OpenSSL calls the traditional format of DSA: version 0, p, q, g, y, x.
pub(super) fn dsa(input: &[u8]) -> Result<PrivateKey, Flaw> {
    let mut input = Der::new(input);
    let mut key = input.sequence()?;
    input.finish()?;
    if key.small()? != 0 {
        return Err(Malformed("an unknown version").into());
    }
    let (p, q, g) = (key.unsigned()?, key.unsigned()?, key.unsigned()?);
    let (y, x) = (key.unsigned()?, key.unsigned()?);
    key.finish()?;
    derive::dsa(&Dsa { p, q, g, x }, Some(y))
}

/// `OneAsymmetricKey` (RFC 5958 §2).
pub(super) fn pkcs8(input: &[u8]) -> Result<PrivateKey, Flaw> {
    let mut input = Der::new(input);
    let mut key = input.sequence()?;
    input.finish()?;
    if key.small()? > 1 {
        return Err(Malformed("an unknown version").into());
    }
    let mut algorithm = key.sequence()?;
    let oid = algorithm.take(der::OID)?;
    let private = key.take(der::OCTET_STRING)?;
    // Attributes are for key stores and say nothing about the key.
    let _attributes = key.take_if(der::explicit(0))?;
    let public = key
        .take_if(der::implicit(1))?
        .map(der::whole_bytes)
        .transpose()?;
    key.finish()?;
    match oid {
        OID_RSA => {
            if !algorithm.take(der::NULL)?.is_empty() {
                return Err(Malformed("parameters where RSA has none").into());
            }
            algorithm.finish()?;
            pkcs1(private)
        }
        OID_EC => sec1(private, Some(named_curve(algorithm)?)),
        OID_ED25519 => {
            // RFC 8410 §7: an OCTET STRING inside the OCTET STRING, and no parameters.
            algorithm.finish()?;
            let mut private = Der::new(private);
            let seed = private.take(der::OCTET_STRING)?;
            private.finish()?;
            derive::ed25519(seed, public)
        }
        OID_RSA_PSS => Err(Flaw::Unsupported(
            "RSA-PSS; SSH uses RSA keys of the plain kind",
        )),
        OID_DSA => {
            // Dss-Parms (RFC 3279 §2.3.2), and x inside the OCTET STRING.
            let mut group = algorithm.sequence()?;
            algorithm.finish()?;
            let (p, q, g) = (group.unsigned()?, group.unsigned()?, group.unsigned()?);
            group.finish()?;
            let mut private = Der::new(private);
            let x = private.unsigned()?;
            private.finish()?;
            derive::dsa(&Dsa { p, q, g, x }, None)
        }
        OID_ED448 => Err(Flaw::Unsupported("Ed448; SSH programs do not use it")),
        OID_X25519 => Err(Flaw::Unsupported("X25519 exchanges keys and cannot sign")),
        _ => Err(Flaw::Unsupported("a type of key that is not known here")),
    }
}

/// The curve's identifier, which must be all there is: other parameters describe a curve by its
/// numbers, and a curve that nobody named cannot be trusted.
fn named_curve(mut parameters: Der<'_>) -> Result<Curve, Flaw> {
    let Some(oid) = parameters.take_if(der::OID)? else {
        return Err(Flaw::Unsupported("a curve that has no name"));
    };
    parameters.finish()?;
    match oid {
        OID_P256 => Ok(Curve::P256),
        OID_P384 => Ok(Curve::P384),
        OID_P521 => Ok(Curve::P521),
        _ => Err(Flaw::Unsupported(
            "SSH uses the curves P-256, P-384 and P-521 alone",
        )),
    }
}

const OID_RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1]; // 1.2.840.113549.1.1.1
const OID_RSA_PSS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10]; // 1.2.840.113549.1.1.10
const OID_DSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x38, 4, 1]; // 1.2.840.10040.4.1
const OID_EC: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1]; // 1.2.840.10045.2.1
const OID_P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]; // 1.2.840.10045.3.1.7
const OID_P384: &[u8] = &[0x2b, 0x81, 4, 0, 34]; // 1.3.132.0.34
const OID_P521: &[u8] = &[0x2b, 0x81, 4, 0, 35]; // 1.3.132.0.35
const OID_X25519: &[u8] = &[0x2b, 0x65, 110]; // 1.3.101.110
const OID_ED25519: &[u8] = &[0x2b, 0x65, 112]; // 1.3.101.112
const OID_ED448: &[u8] = &[0x2b, 0x65, 113]; // 1.3.101.113
