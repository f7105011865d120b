//! The profiles of `sansftp_proto::config`, cut to what the providers here have.

use super::providers;
use sansftp_proto::config::{Algorithms, Profile};

fn lists(algorithms: &Algorithms) -> [&Vec<String>; 4] {
    let Algorithms {
        kex,
        host_key,
        cipher,
        mac,
    } = algorithms;
    [kex, host_key, cipher, mac]
}

/// What only the legacy profiles may offer.
const LEGACY: [&str; 9] = [
    "diffie-hellman-group1-sha1",
    "diffie-hellman-group14-sha1",
    "diffie-hellman-group-exchange-sha1",
    "ssh-rsa",
    "ssh-dss",
    "aes128-cbc",
    "aes256-cbc",
    "3des-cbc",
    "hmac-md5",
];

#[test]
fn no_profile_but_the_named_ones_offers_what_can_be_broken() {
    for provider in providers() {
        for profile in [Profile::Modern, Profile::Compatible, Profile::ServerModern] {
            let names = profile.algorithms(&provider);
            for name in lists(&names).into_iter().flatten() {
                assert!(!LEGACY.contains(&name.as_str()), "{profile:?}: {name}");
            }
        }
    }
}

#[test]
fn every_profile_has_something_to_offer_of_each_category_and_compatible_only_adds_at_the_end() {
    for provider in providers() {
        let modern = Profile::Modern.algorithms(&provider);
        let compatible = Profile::Compatible.algorithms(&provider);
        let legacy = Profile::Legacy1024.algorithms(&provider);
        for list in lists(&modern) {
            assert!(!list.is_empty());
        }
        for (less, more) in lists(&modern).into_iter().zip(lists(&compatible)) {
            assert!(more.starts_with(less), "{less:?} {more:?}");
        }
        let categories = lists(&compatible).into_iter().zip(lists(&legacy));
        for (less, more) in categories.skip(1) {
            assert!(more.starts_with(less), "{less:?} {more:?}");
        }
        for name in &legacy.kex {
            assert!(name.ends_with("-sha1"), "{name}");
        }
    }
}

#[test]
fn modern_keeps_the_ciphers_in_the_order_that_the_provider_likes_them_in() {
    for provider in providers() {
        let modern = Profile::Modern.algorithms(&provider).cipher;
        let all = Algorithms::of(&provider).cipher;
        let expected: Vec<_> = all.into_iter().filter(|it| modern.contains(it)).collect();
        assert_eq!(modern, expected);
    }
}

#[test]
fn a_profile_is_found_by_its_name() {
    for profile in Profile::ALL {
        assert_eq!(Profile::named(profile.name()), Some(profile));
    }
    assert_eq!(Profile::named("ancient"), None);
}
