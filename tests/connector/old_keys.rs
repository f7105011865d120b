//! Users' keys that can be broken, at OpenSSH's sshd: nothing is signed with them but under a legacy profile.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sansftp_connector::error::Class;
use sansftp_testkit::sshd::Sshd;

use crate::fixture::World;

fn run(directory: &Path, words: &str) -> Vec<u8> {
    let mut words = words.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).current_dir(directory).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output.stdout
}

/// sshd that takes whatever it can verify, and these keys.
fn world(make: &[&str], keys: &[&str]) -> (World, Vec<PathBuf>) {
    let sshd = Sshd::builder()
        .config("PubkeyAcceptedAlgorithms +ssh-dss,ssh-rsa")
        .config("RequiredRSASize 1024")
        .start();
    let authorized = sshd.known_hosts_file().with_file_name("authorized_keys");
    let world = World::with(sshd);
    let directory = world.write("none", "");
    let directory = directory.parent().unwrap();
    for words in make {
        run(directory, words);
    }
    let mut lines = fs::read_to_string(&authorized).unwrap();
    for key in keys {
        run(directory, &format!("chmod 600 {key}"));
        let public = run(directory, &format!("puttygen {key} -O public-openssh"));
        lines.push_str(std::str::from_utf8(&public).unwrap());
    }
    fs::write(&authorized, lines).unwrap();
    let paths = keys.iter().map(|it| directory.join(it)).collect();
    (world, paths)
}

/// Refused under `modern` with the setting that helps, and let in under it.
async fn only_under_a_legacy_profile(world: &World, key: &Path, why: &str) {
    let with = |setting: &str| {
        world.connection(&format!(
            "private-key = '{}'\nalgorithms = '{setting}'",
            key.display()
        ))
    };
    for setting in ["modern", "compatible"] {
        let (class, words) = world.login(with(setting)).await.unwrap_err();
        assert_eq!(class, Class::Configuration, "{words}");
        for told in [why, "ssh-keygen -t ed25519", "algorithms = \"legacy-1024\""] {
            assert!(words.contains(told), "{told}: {words}");
        }
    }
    let setting = "legacy-1024,kex=curve25519-sha256";
    world.login(with(setting)).await.unwrap();
}

#[tokio::test]
async fn a_dsa_key_opens_the_door_under_a_legacy_profile_alone() {
    let (world, keys) = world(
        &[
            "openssl genpkey -genparam -algorithm DSA -pkeyopt dsa_paramgen_bits:1024 \
             -pkeyopt dsa_paramgen_q_bits:160 -out group",
            "openssl genpkey -paramfile group -out key8",
            "openssl pkey -in key8 -traditional -out old",
            "puttygen old -O private --new-passphrase none -o key.ppk",
            "puttygen old -O private-openssh-new --new-passphrase none -o new",
        ],
        &["old", "key.ppk", "new"],
    );
    for key in keys {
        only_under_a_legacy_profile(&world, &key, "ssh-dss alone").await;
    }
}

#[tokio::test]
async fn a_short_rsa_key_opens_the_door_under_a_legacy_profile_alone() {
    let (world, keys) = world(&["openssl genrsa -traditional -out short 1024"], &["short"]);
    only_under_a_legacy_profile(&world, &keys[0], "2048 to 8192 bits").await;
}

/// ring signs with none of these.
#[tokio::test]
async fn rsa_keys_of_odd_sizes_and_with_small_exponents_open_the_door() {
    let (world, keys) = world(
        &[
            "openssl genrsa -traditional -out odd 2304",
            "openssl genrsa -traditional -3 -out three 2048",
        ],
        &["odd", "three"],
    );
    for key in keys {
        let connection = world.connection(&format!("private-key = '{}'", key.display()));
        world.login(connection).await.unwrap();
    }
}
