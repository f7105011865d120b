//! The key exchange methods, in order of preference: one list, which each provider fills in with its own
//! hashes. Nothing but names and parameters.

/// Declares `KEX` and what stands in it. Expects `SHA256`, `SHA384` and `SHA512`, with `legacy` also `SHA1`,
/// of the type that is the provider's.
macro_rules! methods {
    () => {
        #[cfg(feature = "legacy")]
        use $crate::kex::GROUP1;
        use $crate::kex::{
            Curve25519, Ecdh, FiniteField, GROUP14, GROUP16, GROUP18, Hybrid, MlKem768,
            ServerChooses, Sntrup761,
        };

        static KEX: &[Kex] = &[
            Kex::Shares(&MLKEM768),
            Kex::Shares(&SNTRUP761),
            Kex::Shares(&SNTRUP761_OPENSSH),
            Kex::Shares(&CURVE25519),
            Kex::Shares(&CURVE25519_LIBSSH),
            Kex::Shares(&ECDH_P256),
            Kex::Shares(&ECDH_P384),
            Kex::Shares(&ECDH_P521),
            Kex::Shares(&DH_GROUP16),
            Kex::Shares(&DH_GROUP18),
            Kex::Shares(&DH_GROUP14),
            Kex::GroupExchange(&DH_CHOSEN),
            #[cfg(feature = "legacy")]
            Kex::Shares(&DH_GROUP14_SHA1),
            #[cfg(feature = "legacy")]
            Kex::GroupExchange(&DH_CHOSEN_SHA1),
            #[cfg(feature = "legacy")]
            Kex::Shares(&DH_GROUP1_SHA1),
        ];

        static MLKEM768: Hybrid<MlKem768> = Hybrid::new("mlkem768x25519-sha256", &SHA256);
        static SNTRUP761: Hybrid<Sntrup761> = Hybrid::new("sntrup761x25519-sha512", &SHA512);
        static SNTRUP761_OPENSSH: Hybrid<Sntrup761> =
            Hybrid::new("sntrup761x25519-sha512@openssh.com", &SHA512);
        static CURVE25519: Curve25519 = Curve25519::new("curve25519-sha256", &SHA256);
        static CURVE25519_LIBSSH: Curve25519 =
            Curve25519::new("curve25519-sha256@libssh.org", &SHA256);
        static ECDH_P256: Ecdh<p256::NistP256> = Ecdh::new("ecdh-sha2-nistp256", &SHA256);
        static ECDH_P384: Ecdh<p384::NistP384> = Ecdh::new("ecdh-sha2-nistp384", &SHA384);
        static ECDH_P521: Ecdh<p521::NistP521> = Ecdh::new("ecdh-sha2-nistp521", &SHA512);
        static DH_GROUP16: FiniteField =
            FiniteField::new("diffie-hellman-group16-sha512", &SHA512, &GROUP16);
        static DH_GROUP18: FiniteField =
            FiniteField::new("diffie-hellman-group18-sha512", &SHA512, &GROUP18);
        static DH_GROUP14: FiniteField =
            FiniteField::new("diffie-hellman-group14-sha256", &SHA256, &GROUP14);
        static DH_CHOSEN: ServerChooses =
            ServerChooses::new("diffie-hellman-group-exchange-sha256", &SHA256);
        #[cfg(feature = "legacy")]
        static DH_CHOSEN_SHA1: ServerChooses =
            ServerChooses::with_small_groups("diffie-hellman-group-exchange-sha1", &SHA1);
        #[cfg(feature = "legacy")]
        static DH_GROUP14_SHA1: FiniteField =
            FiniteField::new("diffie-hellman-group14-sha1", &SHA1, &GROUP14);
        #[cfg(feature = "legacy")]
        static DH_GROUP1_SHA1: FiniteField =
            FiniteField::new("diffie-hellman-group1-sha1", &SHA1, &GROUP1);
    };
}

pub(crate) use methods;
