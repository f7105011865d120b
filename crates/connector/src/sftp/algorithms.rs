//! What is offered to a server, what to say when nothing fits, and what is weak of what was agreed on.
//!
//! Names and advice: what is chosen is the handshake's to know (RFC 4253 §7.1).

use sansftp_proto::config::{Algorithms as Names, Offered, Profile};
use sansftp_proto::crypto::{Cipher, CryptoProvider, certificate_algorithm};
use sansftp_proto::transport::Negotiated;

use crate::connection::{Algorithms as Setting, Category};
use crate::error::{Error, Result};

/// The lists to offer: the profile's, cut to what there is, or the ones given instead.
pub(super) fn lists(setting: &Setting, provider: &CryptoProvider) -> Result<Names> {
    let all = Names::of(provider);
    let mut names = setting.profile.algorithms(provider);
    for (&category, wanted) in &setting.lists {
        let known = list(&all, category);
        if let Some(unknown) = wanted.iter().find(|it| !known.contains(it)) {
            return Err(Error::configuration(format!(
                "algorithms: {} '{unknown}' is not known here",
                category.name()
            ))
            .with_hint(format!("there are: {}", known.join(", "))));
        }
        list_mut(&mut names, category).clone_from(wanted);
    }
    Ok(names)
}

/// Puts those algorithms first that work with keys of these types; the order stays otherwise.
pub(super) fn prefer(algorithms: &mut [String], kinds: &[&str]) {
    let signs = |algorithm: &str, kind: &str| {
        algorithm == kind || kind == "ssh-rsa" && algorithm.starts_with("rsa-sha2-")
    };
    algorithms.sort_by_key(|algorithm| !kinds.iter().any(|kind| signs(algorithm, kind)));
}

/// Puts the same algorithms with certificates in front, as ssh(1) does where it knows an authority for the
/// host; a server without a certificate goes on to the others.
pub(super) fn ask_for_certificates(algorithms: &mut Vec<String>) {
    let certified = algorithms.iter().filter_map(|it| certificate_algorithm(it));
    let certified: Vec<_> = certified.map(str::to_owned).collect();
    algorithms.splice(..0, certified);
}

/// Why two offers have nothing in common, and what would connect.
pub(super) struct Apart {
    pub(super) message: String,
    pub(super) hint: String,
}

/// Each category in which `names`, which `setting` made, has nothing in common with the server's offer;
/// and the one setting that would connect, with how weak that is.
pub(super) fn apart(
    setting: &Setting,
    names: &Names,
    provider: &CryptoProvider,
    offered: &Offered,
) -> Apart {
    let failing = failing(names, provider, offered);
    let lines: Vec<_> = failing
        .iter()
        .map(|&category| {
            format!(
                "no {} algorithm in common: we offer {}; the server offers {}",
                category.name(),
                list(names, category).join(", "),
                theirs(offered, category).join(", "),
            )
        })
        .collect();
    if lines.is_empty() {
        return Apart {
            message: format!(
                "no compression in common; the server offers {}",
                offered.compression_to_client.join(", ")
            ),
            hint: "the server has to allow connections without compression".to_owned(),
        };
    }
    let hint = match remedy(setting, &failing, provider, offered) {
        Some((remedy, names)) => {
            let weak = weak_of(&names, provider, offered);
            let weak = match weak.is_empty() {
                true => "nothing of it can be broken today".to_owned(),
                false => format!("weak: {}", weak.join(", ")),
            };
            format!("set algorithms = \"{remedy}\" (--algorithms); {weak}")
        }
        None => {
            let all = Names::of(provider);
            let unknown = failing.iter().find(|&&category| {
                let known = list(&all, category);
                !theirs(offered, category)
                    .iter()
                    .any(|it| known.contains(it))
            });
            let category = unknown.or_else(|| failing.first()).copied();
            let category = category.unwrap_or(Category::Kex);
            format!(
                "none of the server's is known here: its administrator has to allow one of these for \
                 {}: {}",
                category.name(),
                list(&Profile::Modern.algorithms(provider), category).join(", ")
            )
        }
    };
    Apart {
        message: lines.join("; "),
        hint,
    }
}

/// The setting that gives away the least, and its lists.
fn remedy(
    setting: &Setting,
    failing: &[Category],
    provider: &CryptoProvider,
    offered: &Offered,
) -> Option<(Setting, Names)> {
    let profile = |profile| Setting {
        profile,
        ..Setting::default()
    };
    let safe = Profile::Modern.algorithms(provider);
    let all = Names::of(provider);
    let within = |pool| narrowed(setting, pool, provider, offered);
    let legacy = [Profile::Legacy1024, Profile::Jsch0153].map(profile);
    let mut tried = Vec::new();
    if setting.lists.is_empty() {
        // Whoever has named a profile gets one named: an old one fails at a new server.
        tried.push(profile(Profile::Modern));
    }
    tried.extend([within(&safe), profile(Profile::Compatible)]);
    if failing.contains(&Category::Kex) {
        // The server is old in everything: its profile is easier to read than four lists.
        tried.extend(legacy);
        tried.push(within(&all));
    } else {
        tried.push(within(&all));
        tried.extend(legacy);
    }
    tried.into_iter().find_map(|setting| {
        let names = lists(&setting, provider).ok()?;
        self::failing(&names, provider, offered)
            .is_empty()
            .then_some((setting, names))
    })
}

/// The same setting with lists for what fails, of what `pool` and the server have in common.
fn narrowed(
    setting: &Setting,
    pool: &Names,
    provider: &CryptoProvider,
    offered: &Offered,
) -> Setting {
    let mut setting = setting.clone();
    // Which ciphers there are decides whether a MAC is needed, hence once more.
    for _ in 0..2 {
        let Ok(names) = lists(&setting, provider) else {
            break;
        };
        for category in failing(&names, provider, offered) {
            let mut common = list(pool, category).clone();
            let theirs = theirs(offered, category);
            common.retain(|it| theirs.contains(it));
            if !common.is_empty() {
                setting.lists.insert(category, common);
            }
        }
    }
    setting
}

/// The categories in which there is nothing in common (RFC 4253 §7.1).
fn failing(names: &Names, provider: &CryptoProvider, offered: &Offered) -> Vec<Category> {
    let first = |ours: &[String], theirs: &[String]| -> Option<String> {
        ours.iter().find(|it| theirs.contains(it)).cloned()
    };
    let mut failing = Vec::new();
    if first(&names.kex, &offered.kex).is_none() {
        failing.push(Category::Kex);
    }
    if first(&names.host_key, &offered.host_key).is_none() {
        failing.push(Category::HostKey);
    }
    let ways = [
        (&offered.cipher_to_server, &offered.mac_to_server),
        (&offered.cipher_to_client, &offered.mac_to_client),
    ];
    for (ciphers, macs) in ways {
        let category = match first(&names.cipher, ciphers) {
            None => Category::Cipher,
            Some(cipher) if needs_mac(provider, &cipher) && first(&names.mac, macs).is_none() => {
                Category::Mac
            }
            Some(_) => continue,
        };
        if !failing.contains(&category) {
            failing.push(category);
        }
    }
    failing
}

fn needs_mac(provider: &CryptoProvider, cipher: &str) -> bool {
    let cipher = provider.ciphers.iter().find(|it| it.name() == cipher);
    matches!(cipher, Some(Cipher::Stream(_)))
}

fn list(names: &Names, category: Category) -> &Vec<String> {
    match category {
        Category::Kex => &names.kex,
        Category::HostKey => &names.host_key,
        Category::Cipher => &names.cipher,
        Category::Mac => &names.mac,
    }
}

const fn list_mut(names: &mut Names, category: Category) -> &mut Vec<String> {
    match category {
        Category::Kex => &mut names.kex,
        Category::HostKey => &mut names.host_key,
        Category::Cipher => &mut names.cipher,
        Category::Mac => &mut names.mac,
    }
}

/// The server's list; of the two directions what it has in both.
fn theirs(offered: &Offered, category: Category) -> Vec<String> {
    let both = |a: &[String], b: &[String]| a.iter().filter(|it| b.contains(it)).cloned().collect();
    match category {
        Category::Kex => offered.kex.clone(),
        Category::HostKey => offered.host_key.clone(),
        Category::Cipher => both(&offered.cipher_to_server, &offered.cipher_to_client),
        Category::Mac => both(&offered.mac_to_server, &offered.mac_to_client),
    }
}

/// What would be agreed on and is weak.
fn weak_of(names: &Names, provider: &CryptoProvider, offered: &Offered) -> Vec<String> {
    let first = |category| {
        let theirs = theirs(offered, category);
        list(names, category).iter().find(|it| theirs.contains(it))
    };
    let cipher = first(Category::Cipher);
    let needs_mac = cipher.is_some_and(|it| needs_mac(provider, it));
    let mac = first(Category::Mac).filter(|_| needs_mac);
    [first(Category::Kex), first(Category::HostKey), cipher, mac]
        .into_iter()
        .flatten()
        .filter_map(|it| weakness(it))
        .collect()
}

/// What was agreed on and is weak, each with why.
pub(super) fn weak(agreed: &Negotiated) -> Vec<String> {
    let mut names = vec![
        agreed.kex,
        agreed.host_key,
        agreed.cipher_to_server,
        agreed.cipher_to_client,
    ];
    names.extend(agreed.mac_to_server);
    names.extend(agreed.mac_to_client);
    let mut weak: Vec<_> = names.into_iter().filter_map(weakness).collect();
    weak.dedup();
    weak
}

/// What a person should know of what was agreed on: what is weak, what strict key exchange would have
/// protected (CVE-2023-48795), and what is recorded today and read with a quantum computer.
pub(super) fn remarks(agreed: &Negotiated) -> Vec<String> {
    let mut remarks: Vec<_> = weak(agreed)
        .iter()
        .map(|it| format!("weak: {it}"))
        .collect();
    let ways = [
        (agreed.cipher_to_server, agreed.mac_to_server),
        (agreed.cipher_to_client, agreed.mac_to_client),
    ];
    let truncatable = ways.iter().any(|(cipher, mac)| {
        cipher.starts_with("chacha20-")
            || cipher.ends_with("-cbc") && mac.is_some_and(|it| it.ends_with("-etm@openssh.com"))
    });
    if truncatable && !agreed.strict_kex {
        remarks.push(
            "the key exchange is not strict, and with this cipher whoever is in the middle can \
             remove the first messages (CVE-2023-48795): update the server, or choose an AES-GCM or \
             CTR cipher"
                .to_owned(),
        );
    }
    if !agreed.kex.starts_with("mlkem") && !agreed.kex.starts_with("sntrup") {
        remarks.push(format!(
            "{} is not post-quantum: what is recorded today can be read by whoever has a quantum \
             computer later",
            agreed.kex
        ));
    }
    remarks
}

/// The name with what is wrong with it; none for what is sound.
fn weakness(name: &str) -> Option<String> {
    let why = match name {
        "diffie-hellman-group1-sha1" => "a 1024-bit group that many use, and SHA-1",
        "diffie-hellman-group-exchange-sha1" => "groups from 1024 bits, and SHA-1",
        "diffie-hellman-group14-sha1" => "SHA-1",
        "ssh-rsa" => "signatures over SHA-1, which can be forged",
        "ssh-dss" => "DSA of 1024 bits over SHA-1",
        "3des-cbc" => "blocks of 64 bits, in CBC mode",
        _ if name.ends_with("-cbc") => "CBC mode",
        "hmac-md5" => "MD5",
        _ => return None,
    };
    Some(format!("{name} ({why})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sansftp_crypto::default_provider;

    #[test]
    fn lists_that_are_given_stand_for_their_category() {
        let provider = default_provider();
        let modern = Profile::Modern.algorithms(&provider);
        let setting = "modern,cipher=aes256-ctr:aes128-ctr".parse().unwrap();
        let names = lists(&setting, &provider).unwrap();
        assert_eq!(names.cipher, ["aes256-ctr", "aes128-ctr"]);
        assert_eq!(names.kex, modern.kex);
        let error = lists(&"modern,cipher=rot13".parse().unwrap(), &provider).unwrap_err();
        assert!(error.message().contains("rot13"), "{error}");
        assert!(error.hint().unwrap().contains("aes256-ctr"), "{error}");
    }

    #[test]
    fn algorithms_of_known_keys_go_first_and_keep_their_order() {
        let mut list: Vec<String> = [
            "ssh-ed25519",
            "ecdsa-sha2-nistp256",
            "rsa-sha2-512",
            "rsa-sha2-256",
        ]
        .map(str::to_owned)
        .into();
        prefer(&mut list, &["ssh-rsa"]);
        assert_eq!(
            list,
            [
                "rsa-sha2-512",
                "rsa-sha2-256",
                "ssh-ed25519",
                "ecdsa-sha2-nistp256"
            ]
        );
    }

    fn offers(kex: &str, host_key: &str, cipher: &str, mac: &str) -> Offered {
        let list = |names: &str| names.split(',').map(str::to_owned).collect::<Vec<_>>();
        let mut offered = Offered::default();
        offered.kex = list(kex);
        offered.host_key = list(host_key);
        offered.cipher_to_server = list(cipher);
        offered.cipher_to_client = list(cipher);
        offered.mac_to_server = list(mac);
        offered.mac_to_client = list(mac);
        offered
    }

    /// The setting that the hint names, the hint, and the message.
    fn told(setting: &str, offered: &Offered) -> (String, Apart) {
        let setting: Setting = setting.parse().unwrap();
        let provider = default_provider();
        let names = lists(&setting, &provider).unwrap();
        let apart = apart(&setting, &names, &provider, offered);
        let named = apart.hint.split('"').nth(1).unwrap_or_default().to_owned();
        if !named.is_empty() {
            let named: Setting = named.parse().unwrap();
            let names = lists(&named, &provider).unwrap();
            assert_eq!(failing(&names, &provider, offered), [], "it connects");
        }
        (named, apart)
    }

    const ETM: &str = "hmac-sha2-256-etm@openssh.com";

    #[test]
    fn the_hint_is_the_one_setting_that_connects_and_gives_away_the_least() {
        let curve = "curve25519-sha256";
        let ed = "ssh-ed25519";
        for (setting, offered, expected) in [
            (
                "modern,cipher=aes256-ctr",
                offers(curve, ed, "aes128-ctr", ETM),
                "modern,cipher=aes128-ctr",
            ),
            (
                "modern",
                offers(curve, ed, "aes128-ctr", "hmac-sha1"),
                "compatible",
            ),
            (
                "modern",
                offers(curve, ed, "aes256-cbc,3des-cbc", "hmac-sha1"),
                "modern,cipher=aes256-cbc:3des-cbc,mac=hmac-sha1",
            ),
            (
                "modern",
                offers(curve, "ssh-dss", "aes128-ctr", ETM),
                "modern,host-key=ssh-dss",
            ),
            (
                "modern",
                offers(
                    "diffie-hellman-group1-sha1",
                    "ssh-dss",
                    "3des-cbc",
                    "hmac-md5",
                ),
                "legacy-1024",
            ),
            ("modern", offers(curve, ed, "rot13", ETM), ""),
        ] {
            let (named, apart) = told(setting, &offered);
            assert_eq!(named, expected, "{}", apart.hint);
        }
    }

    #[test]
    fn between_any_profile_and_any_server_a_profile_or_one_list_connects() {
        let curve = "curve25519-sha256,diffie-hellman-group16-sha512";
        let old_kex = "diffie-hellman-group14-sha1,diffie-hellman-group1-sha1";
        let servers = [
            // OpenSSH of today; one that is hardened; one behind a policy for CTR alone.
            offers(
                curve,
                "ssh-ed25519,rsa-sha2-512",
                "aes256-gcm@openssh.com,aes256-ctr",
                ETM,
            ),
            offers(
                "sntrup761x25519-sha512",
                "ssh-ed25519",
                "aes256-gcm@openssh.com",
                ETM,
            ),
            offers(
                curve,
                "rsa-sha2-512",
                "aes256-ctr",
                "hmac-sha2-512-etm@openssh.com",
            ),
            // Of 2014, 2008 and 2003.
            offers(
                "ecdh-sha2-nistp256,diffie-hellman-group14-sha1",
                "ssh-rsa",
                "aes128-ctr",
                "hmac-sha1",
            ),
            offers(
                old_kex,
                "ssh-rsa,ssh-dss",
                "aes128-cbc,3des-cbc",
                "hmac-md5,hmac-sha1",
            ),
            offers(
                "diffie-hellman-group1-sha1",
                "ssh-dss",
                "3des-cbc",
                "hmac-md5",
            ),
            // New in all but one.
            offers(curve, "ssh-rsa", "aes256-ctr", ETM),
            offers(curve, "ssh-ed25519", "aes256-cbc", "hmac-sha2-256"),
            offers(
                "diffie-hellman-group-exchange-sha1",
                "ssh-ed25519",
                "aes256-ctr",
                ETM,
            ),
        ];
        let mut failed = 0;
        for profile in ["modern", "compatible", "legacy-1024", "jsch-0.1.53"] {
            for offered in &servers {
                let provider = default_provider();
                let setting: Setting = profile.parse().unwrap();
                let names = lists(&setting, &provider).unwrap();
                if failing(&names, &provider, offered).is_empty() {
                    continue;
                }
                failed += 1;
                let (named, apart) = told(profile, offered);
                assert!(!named.is_empty(), "{profile}: {}", apart.hint);
                // At most the one category that a profile does not help with, or two that stand together.
                let lists = named.matches('=').count();
                let old = offered.kex.iter().all(|it| it.ends_with("-sha1"));
                assert!(lists <= 2, "{profile}: {named}");
                assert!(
                    !old || named.matches('=').count() <= 1,
                    "{profile}: {named}"
                );
            }
        }
        assert!(failed >= 12, "{failed} of the pairs have nothing in common");
        for old in ["legacy-1024", "jsch-0.1.53"] {
            assert_eq!(told(old, &servers[1]).0, "modern");
        }
    }

    #[test]
    fn every_category_that_fails_is_named_with_both_offers_and_what_would_be_weak() {
        let offered = offers(
            "diffie-hellman-group1-sha1",
            "ssh-dss",
            "3des-cbc",
            "hmac-md5",
        );
        let (_, apart) = told("modern", &offered);
        for words in [
            "no kex algorithm in common",
            "no host-key algorithm in common",
            "no cipher algorithm in common",
            "the server offers diffie-hellman-group1-sha1",
            "the server offers ssh-dss",
            "the server offers 3des-cbc",
        ] {
            assert!(apart.message.contains(words), "{}", apart.message);
        }
        for weak in [
            "diffie-hellman-group1-sha1",
            "ssh-dss",
            "3des-cbc",
            "hmac-md5",
        ] {
            assert!(apart.hint.contains(weak), "{}", apart.hint);
        }
        let (_, apart) = told(
            "modern",
            &offers("curve25519-sha256", "ssh-ed25519", "rot13", ETM),
        );
        assert!(apart.hint.contains("administrator"), "{}", apart.hint);
        assert!(!apart.message.contains("kex"), "{}", apart.message);
    }
}
