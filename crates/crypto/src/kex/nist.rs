//! Elliptic curve Diffie-Hellman on P-256, P-384 and P-521 (RFC 5656 §4).

use crate::nist::{UNCOMPRESSED, random_scalar, uncompressed_len};
use p256::elliptic_curve::sec1::{FromSec1Point, ModulusSize, ToSec1Point};
use p256::elliptic_curve::{AffinePoint, CurveArithmetic, FieldBytesSize, PublicKey, SecretKey};
use sansftp_proto::crypto::{
    ActiveKex, CryptoError, Hash, KexAlgorithm, NumberEncoding, Secret, SecureRandom,
};
use std::fmt;
use std::marker::PhantomData;

/// The method on the curve `C`.
pub(crate) struct Ecdh<C> {
    name: &'static str,
    hash: &'static dyn Hash,
    curve: PhantomData<fn() -> C>,
}

impl<C> Ecdh<C> {
    pub(crate) const fn new(name: &'static str, hash: &'static dyn Hash) -> Self {
        Self {
            name,
            hash,
            curve: PhantomData,
        }
    }
}

impl<C> KexAlgorithm for Ecdh<C>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    fn name(&self) -> &'static str {
        self.name
    }

    fn hash(&self) -> &'static dyn Hash {
        self.hash
    }

    fn share_encoding(&self) -> NumberEncoding {
        NumberEncoding::String
    }

    fn secret_encoding(&self) -> NumberEncoding {
        NumberEncoding::MpInt
    }

    fn start(&self, random: &dyn SecureRandom) -> Result<Box<dyn ActiveKex>, CryptoError> {
        let secret = random_scalar::<C>(random)?;
        let share = public_share(&secret);
        Ok(Box::new(Exchange { secret, share }))
    }

    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError> {
        let secret = random_scalar::<C>(random)?;
        let shared = agree(&secret, client_share)?;
        Ok((public_share(&secret), shared))
    }
}

impl<C> fmt::Debug for Ecdh<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ecdh({})", self.name)
    }
}

struct Exchange<C: CurveArithmetic> {
    secret: SecretKey<C>,
    share: Vec<u8>,
}

impl<C> ActiveKex for Exchange<C>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    fn share(&self) -> &[u8] {
        &self.share
    }

    fn finish(self: Box<Self>, server_share: &[u8]) -> Result<Secret, CryptoError> {
        agree(&self.secret, server_share)
    }
}

impl<C: CurveArithmetic> fmt::Debug for Exchange<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ecdh(..)")
    }
}

fn public_share<C>(secret: &SecretKey<C>) -> Vec<u8>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    secret
        .public_key()
        .as_affine()
        .to_sec1_point(false)
        .as_bytes()
        .to_vec()
}

fn agree<C>(secret: &SecretKey<C>, share: &[u8]) -> Result<Secret, CryptoError>
where
    C: CurveArithmetic,
    FieldBytesSize<C>: ModulusSize,
    AffinePoint<C>: FromSec1Point<C> + ToSec1Point<C>,
{
    // RFC 5656 §4 lets a peer send compressed points only where both sides agreed on them, which
    // nobody does.
    if share.len() != uncompressed_len::<C>() || share.first() != Some(&UNCOMPRESSED) {
        return Err(CryptoError::BadShare);
    }
    // RFC 5656 §4: public keys MUST be validated. This refuses points off the curve and infinity;
    // the cofactor is 1, so there is nothing else to refuse.
    let share = PublicKey::<C>::from_sec1_bytes(share).map_err(|_| CryptoError::BadShare)?;
    let shared = secret.diffie_hellman(&share);
    Ok(Secret::from(shared.raw_secret_bytes().as_slice()))
}
