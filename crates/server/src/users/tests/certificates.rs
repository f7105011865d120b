//! Certificates of authorities that everybody trusts, or one user's line does.

use super::*;
use std::process::Command;

/// Authorities and users' keys, made by ssh-keygen.
struct Workshop(TempDir);

impl Workshop {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        for name in ["ca", "other-ca", "user"] {
            this.ssh_keygen(&["-t", "ed25519", "-N", "", "-C", "", "-f", name]);
        }
        this
    }

    fn ssh_keygen(&self, arguments: &[&str]) {
        let mut command = Command::new("ssh-keygen");
        let output = command
            .arg("-q")
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
    }

    fn line(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(format!("{name}.pub"))).unwrap()
    }

    fn key(&self, name: &str) -> PublicKey {
        sansftp_keys::read_public(self.line(name).as_bytes())
            .unwrap()
            .key
    }

    /// The user's key, certified with these arguments, in which a plus stands for a space.
    fn certificate(&self, authority: &str, arguments: &str) -> PublicKey {
        let mut all = vec!["-s", authority, "-I", "badge", "-z", "7"];
        let arguments: Vec<_> = arguments
            .split_whitespace()
            .map(|it| it.replace('+', " "))
            .collect();
        all.extend(arguments.iter().map(String::as_str));
        all.push("user.pub");
        self.ssh_keygen(&all);
        self.key("user-cert")
    }

    /// Users that trust the authority `ca`, and do not what is revoked.
    fn users(&self, file: &str, revoked: &str) -> Users {
        let path = |name: &str| self.0.path().join(name);
        fs::write(path("users.toml"), file).unwrap();
        fs::write(path("revoked"), revoked).unwrap();
        let users = Users::load(Sources {
            file: Some(path("users.toml")),
            authorities: vec![path("ca.pub")],
            revoked: vec![path("revoked")],
            clock: Clock::new(|| SystemTime::UNIX_EPOCH + Duration::from_secs(NOW)),
            ..Sources::default()
        });
        users.unwrap()
    }
}

fn client(users: &Users) -> Client {
    Client(users.authenticate(Some([192, 0, 2, 7].into())))
}

async fn proves(users: &Users, name: &str, key: &PublicKey) -> Judgement<Identity> {
    let algorithm = key.kind().to_owned();
    let probe = Offered::PublicKeyProbe {
        algorithm: algorithm.clone(),
        key: key.clone(),
    };
    let welcome = client(users).says(name, probe).await;
    let proof = Offered::PublicKey {
        algorithm,
        key: key.clone(),
    };
    let judged = client(users).says(name, proof).await;
    let is_in = matches!(judged, Judgement::Accept(_) | Judgement::Partial { .. });
    assert_eq!(matches!(welcome, Judgement::Acceptable), is_in);
    judged
}

#[tokio::test]
async fn an_authority_vouches_for_the_users_that_its_certificates_name() {
    let shop = Workshop::new();
    let users = shop.users("[alice]\n[bob]\nread-only = true\n", "");
    assert_eq!(users.methods(), ["publickey"]);
    let ours = shop.certificate("ca", "-n alice,bob,mallory");
    let who = identity(proves(&users, "alice", &ours).await);
    assert_eq!(
        who.proofs[0].label,
        format!(
            "certificate badge (serial 7) by {}",
            sansftp_keys::sha256_fingerprint(&shop.key("ca"))
        )
    );
    assert_eq!(
        who.proofs[0].fingerprint,
        sansftp_keys::sha256_fingerprint(&shop.key("user"))
    );
    assert_eq!(who.access, Access::ReadWrite);
    let who = identity(proves(&users, "bob", &ours).await);
    assert_eq!(who.access, Access::ReadOnly);
    for (arguments, name) in [
        ("-n alice,mallory", "mallory"),
        ("-n bob", "alice"),
        ("", "alice"),
        ("-h -n alice", "alice"),
        ("-n alice -V 20200101:20210101", "alice"),
        ("-n alice -O source-address=10.0.0.0/8", "alice"),
        ("-n alice -O force-command=/bin/sh", "alice"),
        ("-n alice -O critical:x@example.com", "alice"),
        ("-n alice -O verify-required", "alice"),
    ] {
        let certificate = shop.certificate("ca", arguments);
        refused(&proves(&users, name, &certificate).await);
    }
    for arguments in [
        "-n alice -O source-address=192.0.2.0/24",
        "-n alice -O force-command=internal-sftp",
    ] {
        let certificate = shop.certificate("ca", arguments);
        identity(proves(&users, "alice", &certificate).await);
    }
    let certificate = shop.certificate("ca", "-n alice -O force-command=internal-sftp+-R");
    let who = identity(proves(&users, "alice", &certificate).await);
    assert_eq!(who.access, Access::ReadOnly);
    // Nobody trusts the other one, and neither key opens anything by itself.
    let other = shop.certificate("other-ca", "-n alice");
    refused(&proves(&users, "alice", &other).await);
    refused(&proves(&users, "alice", &shop.key("user")).await);
    refused(&proves(&users, "alice", &shop.key("ca")).await);
}

#[tokio::test]
async fn a_line_of_authorized_keys_trusts_an_authority_for_its_user() {
    let shop = Workshop::new();
    let file = "[alice]\nauthorized-keys = 'keys'\n[bob]\n";
    let users = shop.users(file, "");
    let for_team = shop.certificate("other-ca", "-n team");
    let for_alice = shop.certificate("other-ca", "-n alice");
    let with_command = shop.certificate("other-ca", "-n alice -O force-command=internal-sftp");
    for (options, certificate, good) in [
        ("cert-authority", &for_alice, true),
        ("cert-authority", &for_team, false),
        ("cert-authority,principals=\"team,x\"", &for_team, true),
        ("cert-authority,principals=\"team,x\"", &for_alice, false),
        (
            "cert-authority,principals=\"team\",principals=\"alice\"",
            &for_team,
            false,
        ),
        ("cert-authority,principals=\"\"", &for_alice, false),
        ("cert-authority,from=\"192.0.2.*\"", &for_alice, true),
        ("cert-authority,from=\"10.*\"", &for_alice, false),
        (
            "cert-authority,expiry-time=\"20200101Z\"",
            &for_alice,
            false,
        ),
        ("cert-authority,command=\"/bin/sh\"", &for_alice, false),
        (
            "cert-authority,command=\"internal-sftp\"",
            &with_command,
            true,
        ),
        (
            "cert-authority,command=\"internal-sftp -R\"",
            &with_command,
            false,
        ),
        ("", &for_alice, false),
    ] {
        fs::write(
            shop.0.path().join("keys"),
            format!("{options} {}", shop.line("other-ca")),
        )
        .unwrap();
        let judged = proves(&users, "alice", certificate).await;
        assert_eq!(matches!(judged, Judgement::Accept(_)), good, "{options}");
        refused(&proves(&users, "bob", certificate).await);
        refused(&proves(&users, "alice", &shop.key("user")).await);
    }
    // A certificate that stands where a key should is not one.
    fs::write(shop.0.path().join("keys"), shop.line("user-cert")).unwrap();
    refused(&proves(&users, "alice", &with_command).await);
    fs::write(
        shop.0.path().join("keys"),
        format!(
            "cert-authority,restrict,command=\"internal-sftp -R\" {}",
            shop.line("other-ca")
        ),
    )
    .unwrap();
    let who = identity(proves(&users, "alice", &for_alice).await);
    assert_eq!(who.access, Access::ReadOnly);
    assert!(!who.allows(sansftp_keys::authorized_keys::Feature::PortForwarding));
}

#[tokio::test]
async fn what_was_revoked_opens_nothing_in_any_form() {
    let shop = Workshop::new();
    let ours = shop.certificate("ca", "-n alice");
    let file = "[alice]\nauthorized-keys = 'user.pub'\n";
    let plain = shop.key("user");
    for (revoked, certificate_good, key_good) in [
        (String::new(), true, true),
        (shop.line("user"), false, false),
        (shop.line("ca"), false, true),
        (shop.line("user-cert"), false, true),
        (shop.line("other-ca"), true, true),
    ] {
        let users = shop.users(file, &revoked);
        let judged = proves(&users, "alice", &ours).await;
        assert_eq!(matches!(judged, Judgement::Accept(_)), certificate_good);
        let judged = proves(&users, "alice", &plain).await;
        assert_eq!(matches!(judged, Judgement::Accept(_)), key_good);
    }
    // What cannot be read, or not wholly, might say anything.
    let users = shop.users(file, "");
    fs::write(shop.0.path().join("revoked"), "SSHKRL\n\0").unwrap();
    refused(&proves(&users, "alice", &plain).await);
    let error = users.reload().unwrap_err().to_string();
    assert!(error.contains("line 1"), "{error}");
    fs::remove_file(shop.0.path().join("revoked")).unwrap();
    refused(&proves(&users, "alice", &ours).await);
    refused(&proves(&users, "alice", &plain).await);
}

#[tokio::test]
async fn one_key_in_two_certificates_is_one_key() {
    let shop = Workshop::new();
    let users = shop.users(
        "[alice]\nauthorized-keys = 'user.pub'\nmethods = ['publickey', 'publickey']\n",
        "",
    );
    let mut client = client(&users);
    let proof = |key: PublicKey| Offered::PublicKey {
        algorithm: key.kind().to_owned(),
        key,
    };
    let first = shop.certificate("ca", "-n alice");
    continues(&client.says("alice", proof(first)).await, &["publickey"]);
    let second = shop.certificate("ca", "-n alice -O clear");
    refused(&client.says("alice", proof(second)).await);
    refused(&client.says("alice", proof(shop.key("user"))).await);
}

#[tokio::test]
async fn a_certificate_where_no_authority_is_trusted_is_a_wrong_key() {
    let shop = Workshop::new();
    let ours = shop.certificate("ca", "-n alice");
    let house = House::new("[alice]\nauthorized-keys = 'keys'\n", &[("keys", line(1))]);
    refused(&proves(&house.users, "alice", &ours).await);
}
