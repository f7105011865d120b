//! ML-KEM-768 (FIPS 203) by the crate `ml-kem`, with the randomness that we are given.

use super::{Encapsulated, Kem};
use ml_kem::{
    B32, Decapsulate, DecapsulationKey, EncapsulationKey, KeyExport, MlKem768 as Set, Seed,
};
use sansftp_proto::crypto::{CryptoError, SecureRandom};
use zeroize::{Zeroize, Zeroizing};

/// ML-KEM-768.
pub(crate) enum MlKem768 {}

impl Kem for MlKem768 {
    type Private = DecapsulationKey<Set>;
    const PUBLIC_LEN: usize = 1184;
    const CIPHERTEXT_LEN: usize = 1088;

    fn generate(random: &dyn SecureRandom) -> Result<(Self::Private, Vec<u8>), CryptoError> {
        let mut seed = Zeroizing::new(Seed::default());
        random.fill(&mut seed)?;
        let private = DecapsulationKey::<Set>::from_seed(*seed);
        let public = private.encapsulation_key().to_bytes().to_vec();
        Ok((private, public))
    }

    fn encapsulate(
        public: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Encapsulated), CryptoError> {
        let public = public.try_into().map_err(|_| CryptoError::BadShare)?;
        // FIPS 203 §7.2: numbers that are not below the modulus are refused here.
        let public = EncapsulationKey::<Set>::new(public).map_err(|_| CryptoError::BadShare)?;
        let mut message = Zeroizing::new(B32::default());
        random.fill(&mut message)?;
        let (ciphertext, mut secret) = public.encapsulate_deterministic(&message);
        let kept = Zeroizing::new(secret.into());
        secret.zeroize();
        Ok((ciphertext.to_vec(), kept))
    }

    fn decapsulate(
        private: &Self::Private,
        ciphertext: &[u8],
    ) -> Result<Encapsulated, CryptoError> {
        let ciphertext = ciphertext.try_into().map_err(|_| CryptoError::BadShare)?;
        let mut secret = private.decapsulate(ciphertext);
        let kept = Zeroizing::new(secret.into());
        secret.zeroize();
        Ok(kept)
    }
}

#[cfg(all(test, feature = "ring", feature = "rustcrypto"))]
mod tests {
    use super::*;
    use crate::tests::{Drbg, hex, kat};

    /// SHA-256 of the first answer of a list for FIPS 203, as PQClean publishes it: of both keys, the
    /// ciphertext and the secret.
    #[test]
    fn the_first_known_answer_of_fips_203_is_given() {
        let published = "5352539586b6c3df58be6158a6250aeff402bd73060b0a3de68850ac074c17c3";
        let random = Drbg::new();
        let (private, public) = MlKem768::generate(&random).unwrap();
        let (ciphertext, secret) = MlKem768::encapsulate(&public, &random).unwrap();
        #[expect(deprecated, reason = "the list has private keys written out")]
        let written = ml_kem::ExpandedKeyEncoding::to_expanded_bytes(&private);
        assert_eq!(
            kat(&public, &written, &ciphertext, &*secret),
            hex(published)
        );
        assert_eq!(
            MlKem768::decapsulate(&private, &ciphertext).unwrap(),
            secret
        );
    }
}
