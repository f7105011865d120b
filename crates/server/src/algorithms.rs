//! Which algorithms a server offers: named profiles, and explicit lists in their place.
//!
//! Names only: what a name means is the provider's to know, and what is chosen of it the handshake's
//! (RFC 4253 §7.1). A profile is cut to what the provider has, in the provider's order, which knows what
//! this processor does fast.

use crate::host_keys::{HostKeys, rsa_bits};
pub use sansftp_proto::config::Profile;
use sansftp_proto::config::{Algorithms, Config};
use sansftp_proto::crypto::{CryptoProvider, certificate_algorithm};
use sansftp_proto::role::Server;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// A profile, and the lists that are given instead of its own.
///
/// Written `server-modern`, `modern,cipher=aes256-ctr:aes128-ctr` or `kex=curve25519-sha256`; without
/// a profile it is `server-modern`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Where the lists come from that are not given.
    pub profile: Profile,
    /// Per category the names in order of preference.
    pub lists: BTreeMap<Category, Vec<String>>,
}

/// A category of algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Category {
    /// Key exchange.
    Kex,
    /// The server's key.
    HostKey,
    /// Encryption, both ways.
    Cipher,
    /// Message authentication, both ways.
    Mac,
    /// What users' keys may sign with; also what `server-sig-algs` tells clients (RFC 8308 §3.1).
    UserKey,
}

impl Default for Selection {
    fn default() -> Self {
        Self {
            profile: Profile::ServerModern,
            lists: BTreeMap::new(),
        }
    }
}

impl Selection {
    /// The configuration of connections that offer these algorithms with these keys.
    ///
    /// # Errors
    /// [`AlgorithmError`] for a name that the provider does not have, for an RSA host key that is too
    /// short for the profile, and when no host key is left to offer.
    pub fn configure(
        &self,
        provider: CryptoProvider,
        host_keys: &HostKeys,
    ) -> Result<Config<Server>, AlgorithmError> {
        let algorithms = self.names(&provider)?;
        self.check_host_keys(host_keys, &algorithms)?;
        let users = match self.profile {
            // What users sign with was chosen by them, and the NIST curves are sound.
            Profile::ServerModern => Profile::Modern,
            other => other,
        };
        let users = users.algorithms(&provider).host_key;
        let mut config = Config::server(provider, host_keys.signing());
        config.algorithms = algorithms;
        let certified = certified(host_keys, &config.algorithms.host_key);
        config.algorithms.host_key.splice(0..0, certified);
        config.local.user_algorithms = users;
        if let Some(wanted) = self.lists.get(&Category::UserKey) {
            config.local.user_algorithms.clone_from(wanted);
        }
        Ok(config)
    }

    /// The lists to offer.
    ///
    /// # Errors
    /// [`AlgorithmError::Unknown`] for a name that the provider does not have.
    pub fn names(&self, provider: &CryptoProvider) -> Result<Algorithms, AlgorithmError> {
        let all = Algorithms::of(provider);
        let mut names = self.profile.algorithms(provider);
        for (&category, wanted) in &self.lists {
            let known = list(&all, category);
            if let Some(name) = wanted.iter().find(|it| !known.contains(it)) {
                return Err(AlgorithmError::Unknown {
                    category,
                    name: name.clone(),
                    known: known.to_vec(),
                });
            }
            if let Some(list) = list_mut(&mut names, category) {
                list.clone_from(wanted);
            }
        }
        Ok(names)
    }

    fn check_host_keys(
        &self,
        host_keys: &HostKeys,
        names: &Algorithms,
    ) -> Result<(), AlgorithmError> {
        let least = self.profile.rsa_bits();
        for key in host_keys.iter() {
            if let Some(bits) = rsa_bits(key.public_key()).filter(|bits| *bits < least) {
                return Err(AlgorithmError::ShortRsa { bits, least });
            }
        }
        let offered = host_keys.signing().iter().any(|key| {
            let mut algorithms = key.algorithms().iter();
            algorithms.any(|it| names.host_key.iter().any(|name| name == it))
        });
        if offered {
            Ok(())
        } else {
            Err(AlgorithmError::NoHostKey)
        }
    }
}

impl Category {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Kex,
        Self::HostKey,
        Self::Cipher,
        Self::Mac,
        Self::UserKey,
    ];

    /// The name that configurations have.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kex => "kex",
            Self::HostKey => "host-key",
            Self::Cipher => "cipher",
            Self::Mac => "mac",
            Self::UserKey => "user-key",
        }
    }
}

/// What the keys that have certificates are offered with, of the algorithms that they are offered with
/// alone.
fn certified(host_keys: &HostKeys, plain: &[String]) -> Vec<String> {
    let signing = host_keys.signing();
    let names = plain.iter().filter_map(|it| certificate_algorithm(it));
    names
        .filter(|name| signing.iter().any(|it| it.algorithms().contains(name)))
        .map(str::to_owned)
        .collect()
}

/// What there is of a category. Users sign with what can be verified, as do host keys.
fn list(names: &Algorithms, category: Category) -> &[String] {
    match category {
        Category::Kex => &names.kex,
        Category::HostKey | Category::UserKey => &names.host_key,
        Category::Cipher => &names.cipher,
        Category::Mac => &names.mac,
    }
}

/// The list that KEXINIT has for the category; none for users' keys.
const fn list_mut(names: &mut Algorithms, category: Category) -> Option<&mut Vec<String>> {
    match category {
        Category::Kex => Some(&mut names.kex),
        Category::HostKey => Some(&mut names.host_key),
        Category::Cipher => Some(&mut names.cipher),
        Category::Mac => Some(&mut names.mac),
        Category::UserKey => None,
    }
}

impl FromStr for Selection {
    type Err = AlgorithmError;

    fn from_str(text: &str) -> Result<Self, AlgorithmError> {
        let mut selection = Self::default();
        for (position, part) in text.split(',').map(str::trim).enumerate() {
            let Some((category, names)) = part.split_once('=') else {
                let profile = Profile::ALL.into_iter().find(|it| it.name() == part);
                match profile {
                    Some(profile) if position == 0 => selection.profile = profile,
                    _ => return Err(AlgorithmError::Profile(part.to_owned())),
                }
                continue;
            };
            let category = Category::ALL
                .into_iter()
                .find(|it| it.name() == category.trim())
                .ok_or_else(|| AlgorithmError::Category(category.to_owned()))?;
            let names: Vec<_> = names.split(':').map(|it| it.trim().to_owned()).collect();
            if names.iter().any(String::is_empty) {
                return Err(AlgorithmError::EmptyName(category));
            }
            if selection.lists.insert(category, names).is_some() {
                return Err(AlgorithmError::Twice(category));
            }
        }
        Ok(selection)
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.profile.name())?;
        for (category, names) in &self.lists {
            write!(f, ",{}={}", category.name(), names.join(":"))?;
        }
        Ok(())
    }
}

/// Why a choice of algorithms cannot be offered. `Display` is one line with the remedy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AlgorithmError {
    /// No profile has this name.
    Profile(String),
    /// No category has this name.
    Category(String),
    /// Two separators with nothing between them.
    EmptyName(Category),
    /// A category has two lists.
    Twice(Category),
    /// The provider does not have it.
    Unknown {
        /// The list that it was in.
        category: Category,
        /// What was wanted.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// An RSA host key that the profile does not take.
    ShortRsa {
        /// Of the key.
        bits: u32,
        /// What the profile asks for.
        least: u32,
    },
    /// None of the host keys can sign with any of the algorithms.
    NoHostKey,
}

impl fmt::Display for AlgorithmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Profile(name) => write!(
                f,
                "'{name}' is no profile of algorithms; there are {}; lists follow it: \
                 server-modern,cipher=NAME:NAME",
                Profile::ALL.map(Profile::name).join(", ")
            ),
            Self::Category(name) => write!(
                f,
                "'{name}' is no category of algorithms; there are kex, host-key, cipher, mac and \
                 user-key"
            ),
            Self::EmptyName(category) => {
                write!(f, "an empty name in the list of {}", category.name())
            }
            Self::Twice(category) => write!(f, "{} is given twice", category.name()),
            Self::Unknown {
                category,
                name,
                known,
            } => write!(
                f,
                "{} '{name}' is not known here; there are: {}",
                category.name(),
                known.join(", ")
            ),
            Self::ShortRsa { bits, least } => write!(
                f,
                "an RSA host key of {bits} bits, where {least} are the least; use an Ed25519 key, \
                 or the profile modern"
            ),
            Self::NoHostKey => f.write_str(
                "none of the host keys works with the algorithms; use an Ed25519 key, or name \
                 its algorithm in host-key=",
            ),
        }
    }
}

impl std::error::Error for AlgorithmError {}

#[cfg(test)]
mod tests {
    use super::*;
    use sansftp_crypto::default_provider;

    fn names(selection: &str) -> Result<Algorithms, AlgorithmError> {
        selection.parse::<Selection>()?.names(&default_provider())
    }

    #[test]
    fn server_modern_has_no_nist_curve_no_group_14_and_no_mac_over_plaintext() {
        let names = names("server-modern").unwrap();
        assert_eq!(
            names.kex,
            [
                "mlkem768x25519-sha256",
                "sntrup761x25519-sha512",
                "sntrup761x25519-sha512@openssh.com",
                "curve25519-sha256",
                "curve25519-sha256@libssh.org",
                "diffie-hellman-group16-sha512",
                "diffie-hellman-group18-sha512"
            ]
        );
        assert_eq!(
            names.host_key,
            ["ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]
        );
        assert_eq!(
            names.mac,
            [
                "hmac-sha2-256-etm@openssh.com",
                "hmac-sha2-512-etm@openssh.com"
            ]
        );
        assert_eq!(
            names.cipher,
            Profile::Modern.algorithms(&default_provider()).cipher
        );
    }

    #[test]
    fn a_list_that_is_given_stands_for_its_category_and_may_widen_the_profile() {
        let given = names("kex=ecdh-sha2-nistp256,cipher=aes256-ctr:aes128-ctr").unwrap();
        assert_eq!(given.kex, ["ecdh-sha2-nistp256"]);
        assert_eq!(given.cipher, ["aes256-ctr", "aes128-ctr"]);
        assert_eq!(given.mac, names("server-modern").unwrap().mac);
    }

    #[test]
    fn what_is_written_is_read_again() {
        for text in [
            "server-modern",
            "modern,kex=curve25519-sha256,cipher=aes256-ctr:aes128-ctr,user-key=ssh-ed25519",
        ] {
            assert_eq!(text.parse::<Selection>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (text, said) in [
            ("legacy", "'legacy' is no profile"),
            ("kex=curve25519-sha256,modern", "'modern' is no profile"),
            ("hash=md5", "'hash' is no category"),
            ("mac=a,mac=b", "mac is given twice"),
            ("mac=a::b", "an empty name in the list of mac"),
            ("cipher=rot13", "cipher 'rot13' is not known here"),
            ("user-key=ssh-dsa", "user-key 'ssh-dsa' is not known here"),
            ("", "'' is no profile"),
        ] {
            let error = names(text).unwrap_err().to_string();
            assert!(error.starts_with(said), "{text}: {error}");
        }
    }

    #[test]
    fn a_host_key_must_fit_what_is_offered() {
        let keys = HostKeys::transient(&default_provider()).unwrap();
        let configure = |text: &str| {
            let selection: Selection = text.parse().unwrap();
            selection.configure(default_provider(), &keys)
        };
        assert!(configure("server-modern").is_ok());
        let users = configure("user-key=ssh-ed25519").unwrap();
        assert_eq!(users.local.user_algorithms, ["ssh-ed25519"]);
        let error = configure("host-key=rsa-sha2-512").unwrap_err();
        assert_eq!(error, AlgorithmError::NoHostKey);
    }
}
