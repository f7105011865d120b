//! The profiles: named sets of algorithms, as plain lists of names in order of preference.
//!
//! Not what a provider has, and not what is negotiated (RFC 4253 §7.1): a profile is cut to the names that
//! the provider given with it holds, and names that are not in a profile are offered only where a list
//! names them.

use super::Algorithms;
use crate::crypto::CryptoProvider;

/// A named set of algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// Everything that is considered safe today.
    Modern,
    /// `modern`, and at the end what old servers need and nobody can break today: group exchange from
    /// 2048 bits, HMAC-SHA-1.
    Compatible,
    /// For servers that know 1024-bit key exchange alone, SHA-1 signatures, DSA, CBC and 3DES.
    Legacy1024,
    /// What JSch 0.1.53 offers, for servers that were set up for it.
    Jsch0153,
    /// For servers whose clients are of this decade: no NIST curves, no group 14, no MAC over plaintext,
    /// and RSA host keys of at least 3072 bits.
    ServerModern,
}

impl Profile {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Modern,
        Self::Compatible,
        Self::Legacy1024,
        Self::Jsch0153,
        Self::ServerModern,
    ];

    /// The name that configurations have.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Modern => "modern",
            Self::Compatible => "compatible",
            Self::Legacy1024 => "legacy-1024",
            Self::Jsch0153 => "jsch-0.1.53",
            Self::ServerModern => "server-modern",
        }
    }

    /// The profile of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Whether it offers what can be broken today, which asks for a warning on each connection.
    pub const fn is_legacy(self) -> bool {
        matches!(self, Self::Legacy1024 | Self::Jsch0153)
    }

    /// The shortest modulus of an RSA host key in bits.
    pub const fn rsa_bits(self) -> u32 {
        match self {
            Self::Modern | Self::Compatible => 2048,
            Self::Legacy1024 | Self::Jsch0153 => 1024,
            Self::ServerModern => 3072,
        }
    }

    /// Its lists, cut to what `provider` has. Among the ciphers of `modern` the provider's order is
    /// kept, because it knows what this processor does fast; everywhere else the profile's.
    pub fn algorithms(self, provider: &CryptoProvider) -> Algorithms {
        let all = Algorithms::of(provider);
        let [kex, host_key, cipher, mac] = match self {
            Self::ServerModern => {
                [SERVER_KEX, SERVER_HOST_KEY, MODERN_CIPHER, SERVER_MAC].map(listed)
            }
            Self::Modern => [KEX, HOST_KEY, CIPHER, MAC].map(|it| listed(it.modern)),
            Self::Compatible => [KEX, HOST_KEY, CIPHER, MAC].map(Tiers::compatible),
            Self::Legacy1024 | Self::Jsch0153 => [KEX, HOST_KEY, CIPHER, MAC].map(Tiers::legacy),
        };
        let kex = match self {
            Self::Legacy1024 => listed(LEGACY_1024_KEX),
            Self::Jsch0153 => listed(JSCH_KEX),
            _ => kex,
        };
        let mut cipher = cut(&cipher, &all.cipher);
        cipher.sort_by_key(|name| {
            let fast = MODERN_CIPHER.contains(&name.as_str());
            let place = all.cipher.iter().position(|it| it == name);
            if fast { place } else { None }.unwrap_or(usize::MAX)
        });
        Algorithms {
            kex: cut(&kex, &all.kex),
            host_key: cut(&host_key, &all.host_key),
            cipher,
            mac: cut(&mac, &all.mac),
        }
    }
}

/// The names of a category: what `modern` offers, and what the others add at the end.
#[derive(Clone, Copy)]
struct Tiers {
    modern: &'static [&'static str],
    compatible: &'static [&'static str],
    legacy: &'static [&'static str],
}

impl Tiers {
    fn compatible(self) -> Vec<&'static str> {
        [self.modern, self.compatible].concat()
    }

    fn legacy(self) -> Vec<&'static str> {
        [self.modern, self.compatible, self.legacy].concat()
    }
}

fn listed(names: &'static [&'static str]) -> Vec<&'static str> {
    names.to_vec()
}

fn cut(names: &[&str], there: &[String]) -> Vec<String> {
    let there = |name: &&&str| there.iter().any(|it| it == **name);
    names
        .iter()
        .filter(there)
        .map(|&it| it.to_owned())
        .collect()
}

const KEX: Tiers = Tiers {
    modern: &[
        "mlkem768x25519-sha256",
        "sntrup761x25519-sha512",
        "sntrup761x25519-sha512@openssh.com",
        "curve25519-sha256",
        "curve25519-sha256@libssh.org",
        "ecdh-sha2-nistp256",
        "ecdh-sha2-nistp384",
        "ecdh-sha2-nistp521",
        "diffie-hellman-group16-sha512",
        "diffie-hellman-group18-sha512",
        "diffie-hellman-group14-sha256",
    ],
    compatible: &["diffie-hellman-group-exchange-sha256"],
    // Replaced as a whole, by one of the two below.
    legacy: &[],
};

const LEGACY_1024_KEX: &[&str] = &[
    "diffie-hellman-group1-sha1",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group-exchange-sha1",
];

const JSCH_KEX: &[&str] = &[
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group-exchange-sha1",
    "diffie-hellman-group1-sha1",
];

const HOST_KEY: Tiers = Tiers {
    modern: &[
        "ssh-ed25519",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "rsa-sha2-512",
        "rsa-sha2-256",
    ],
    compatible: &[],
    legacy: &["ssh-rsa", "ssh-dss"],
};

const MODERN_CIPHER: &[&str] = &[
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
];

const CIPHER: Tiers = Tiers {
    modern: MODERN_CIPHER,
    compatible: &[],
    legacy: &["aes128-cbc", "aes192-cbc", "aes256-cbc", "3des-cbc"],
};

const MAC: Tiers = Tiers {
    modern: &[
        "hmac-sha2-256-etm@openssh.com",
        "hmac-sha2-512-etm@openssh.com",
        "hmac-sha2-256",
        "hmac-sha2-512",
    ],
    compatible: &["hmac-sha1-etm@openssh.com", "hmac-sha1"],
    legacy: &["hmac-md5"],
};

const SERVER_KEX: &[&str] = &[
    "mlkem768x25519-sha256",
    "sntrup761x25519-sha512",
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
];

const SERVER_HOST_KEY: &[&str] = &["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"];

const SERVER_MAC: &[&str] = &[
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
];
