//! No secret is in anything that the program writes: results, logs, transcripts, journals, in no form
//! that it could be read back from. Whoever uses it, it is let in and refused.
//!
//! Not memory, and not the wire.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64ct::{Base64, Encoding};
use sansftp_testkit::sshd::{ClientKey, Sshd};

use super::served::{Place, ran_with};
use super::support::{Ran, Scene};

/// A secret with what is escaped here and there.
const SESAME: &str = "öpen \"Sesame\"/+&%\\5e5ame";
/// One that is refused.
const WRONG: &str = "a wr0ng \"guess\"/+&%\\gue55";

/// A form that a secret could be read back from.
fn forms(secret: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let each = |form: fn(&u8) -> String| -> Vec<u8> {
        secret.iter().map(form).collect::<String>().into_bytes()
    };
    let text = String::from_utf8_lossy(secret);
    let json = serde_json::to_string(&text).unwrap();
    let numbers: Vec<String> = secret.iter().map(u8::to_string).collect();
    let url = |keep: &'static [u8]| -> Vec<u8> {
        let encoded = secret.iter().map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || keep.contains(byte) => {
                char::from(*byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        });
        encoded.collect::<String>().into_bytes()
    };
    let mut forms = vec![
        ("as it is", secret.to_vec()),
        ("as JSON", json.trim_matches('"').into()),
        ("as Debug", text.escape_debug().to_string().into()),
        ("as ASCII", secret.escape_ascii().to_string().into()),
        ("in hexadecimal", each(|byte| format!("{byte:02x}"))),
        ("in capital hexadecimal", each(|byte| format!("{byte:02X}"))),
        ("as numbers", numbers.join(", ").into()),
        ("in JSON's numbers", numbers.join(",").into()),
        ("in a URL", url(b"-._~")),
        ("in a URL with slashes", url(b"-._~/+&")),
    ];
    // Wherever in the encoded bytes it begins: what its neighbours have a part in is left out.
    for before in 0..3 {
        let encoded = Base64::encode_string(&[&b"::"[..before], secret].concat());
        let encoded = encoded.trim_end_matches('=');
        let (from, to) = ([0, 2, 3][before], encoded.len() - 1);
        forms.push(("in base64", encoded.as_bytes()[from..to].to_vec()));
        let urlsafe = encoded[from..to].replace('+', "-").replace('/', "_");
        forms.push(("in the base64 of URLs", urlsafe.into()));
    }
    forms
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Looks for secrets in what was written, each of which has a word that shows that it was looked into.
#[track_caller]
fn none_of(secrets: &[&[u8]], written: &[(&str, &str, Vec<u8>)]) {
    for (what, marker, text) in written {
        let shown = String::from_utf8_lossy(text);
        let looked = holds(text, marker.as_bytes());
        assert!(looked, "{what} has no '{marker}': {shown}");
        for secret in secrets {
            assert!(secret.len() >= 8, "too short to be looked for");
            for (form, bytes) in forms(secret) {
                assert!(
                    !holds(text, &bytes),
                    "a secret is in {what}, {form}: {shown}"
                );
            }
        }
    }
}

/// The lines between the first and the last of a private key's file.
fn lines_of_key(file: &Path) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("-----"));
    lines.map(|line| line.as_bytes().to_vec()).collect()
}

/// The flags of a run that tells and keeps everything.
const ALL: [&str; 7] = [
    "-vvv",
    "--json",
    "--transcript=transcript",
    "--retries=1",
    "--retry-delay=1ms",
    "--into=inbox",
    "--journal=journal",
];

/// What a run wrote: to its outputs and into the files in its directory that begin so.
fn written(
    ran: &Ran,
    user: &'static str,
    file: &'static str,
    at: &Path,
) -> Vec<(&'static str, &'static str, Vec<u8>)> {
    let mut journal = Vec::new();
    for entry in fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().as_encoded_bytes();
        if name.starts_with(b"journal") && path.is_file() {
            journal.extend(fs::read(path).unwrap());
        }
    }
    let transcript = fs::read(at.join("transcript")).unwrap();
    vec![
        ("standard output", file, ran.stdout.clone().into()),
        ("the log", user, ran.stderr.clone().into()),
        ("the transcript", user, transcript),
        ("the journal", user, journal),
    ]
}

/// The user of the fixture's account.
fn user(sshd: &Sshd) -> &'static str {
    String::leak(sshd.user().to_owned())
}

/// A configuration of a connection to a server of OpenSSH.
fn configure(scene: &Scene, more: &str) {
    let config = format!(
        "[connections.partner]\nhost = '127.0.0.1'\nport = {}\nuser = '{}'\nknown-hosts-file = '{}'\n{more}\n",
        scene.sshd.port(),
        scene.sshd.user(),
        scene.sshd.known_hosts_file().display(),
    );
    let file = scene.write("sansftp.toml", config);
    // Secrets stand in it.
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

/// A get of all that is in the home, with everything told.
fn get(scene: &Scene, vars: &[(&str, &OsStr)]) -> Ran {
    let mut program = scene.program();
    program.args(["get", "partner:out"]).args(ALL);
    program.envs(vars.iter().copied());
    scene.finished(program.output().unwrap())
}

/// Fails where a run did not end so, or wrote one of the secrets.
#[track_caller]
fn hides(scene: &Scene, ran: &Ran, code: i32, secrets: &[&[u8]]) {
    assert_eq!(ran.code, Some(code), "{ran:?}");
    let file = if code == 0 {
        "marker.csv"
    } else {
        "authentication"
    };
    let at = scene.path("");
    none_of(secrets, &written(ran, user(&scene.sshd), file, &at));
}

fn scene(sshd: Sshd) -> Scene {
    let scene = Scene::with(sshd);
    scene.sshd.write("out/marker.csv", "x");
    scene
}

#[test]
fn forms_are_found_wherever_they_stand() {
    let secret = SESAME.as_bytes();
    for before in 0..7 {
        let text = [&b"user:pw:"[..before], secret, b"after"].concat();
        let encoded = Base64::encode_string(&text);
        let found = forms(secret);
        let found = found
            .iter()
            .any(|(_, form)| holds(encoded.as_bytes(), form));
        assert!(found, "behind {before} bytes: {encoded}");
    }
    for text in [
        format!("{:?}", SESAME),
        format!("{:?}", SESAME.as_bytes()),
        serde_json::to_string(SESAME).unwrap(),
        serde_json::to_string(SESAME.as_bytes()).unwrap(),
    ] {
        let found = forms(secret);
        let found = found.iter().any(|(_, form)| holds(text.as_bytes(), form));
        assert!(found, "{text}");
    }
}

#[test]
#[should_panic(expected = "a secret is in the log, in hexadecimal")]
fn a_secret_in_a_log_is_found() {
    let hex: String = WRONG.bytes().map(|byte| format!("{byte:02x}")).collect();
    let log = format!("tester tried {hex}");
    none_of(&[WRONG.as_bytes()], &[("the log", "tester", log.into())]);
}

#[test]
#[should_panic(expected = "the log has no 'tester'")]
fn an_empty_log_is_not_taken_for_one_without_secrets() {
    none_of(&[WRONG.as_bytes()], &[("the log", "tester", Vec::new())]);
}

#[test]
fn passwords_of_the_account_are_nowhere() {
    let scene = scene(Sshd::start());
    if !scene.sshd.has_own_account() {
        return;
    }
    let right = scene.sshd.password();
    let secrets = [right.as_bytes(), WRONG.as_bytes()];
    let script = scene.write("print", format!("#!/bin/sh\ncat <<'END'\n{right}\nEND\n"));
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    scene.write("password", right);
    let command = format!("password = {{ command = ['{}'] }}", script.display());
    for source in [
        format!("password = '{right}'"),
        "password = { file = 'password' }".to_owned(),
        "password = { env = 'PARTNER' }".to_owned(),
        command,
    ] {
        configure(&scene, &source);
        let ran = get(&scene, &[("PARTNER", OsStr::new(right))]);
        hides(&scene, &ran, 0, &secrets);
        fs::remove_file(scene.path("inbox/marker.csv")).unwrap();
        fs::remove_file(scene.path("journal")).unwrap();
    }
    configure(&scene, "password = { env = 'PARTNER' }");
    hides(
        &scene,
        &get(&scene, &[("PARTNER", OsStr::new(right))]),
        0,
        &secrets,
    );
    let ran = get(&scene, &[("PARTNER", OsStr::new(WRONG))]);
    hides(&scene, &ran, 5, &secrets);
}

#[test]
fn answers_to_prompts_are_nowhere() {
    let interactive = Sshd::builder()
        .config("UsePAM yes")
        .config("KbdInteractiveAuthentication yes")
        .config("PasswordAuthentication no");
    let scene = scene(interactive.start());
    if !scene.sshd.has_own_account() {
        return;
    }
    let right = scene.sshd.password();
    let secrets = [right.as_bytes(), WRONG.as_bytes()];
    configure(&scene, "password = { env = 'PARTNER' }");
    let ran = get(&scene, &[("PARTNER", OsStr::new(right))]);
    hides(&scene, &ran, 0, &secrets);
    let ran = get(&scene, &[("PARTNER", OsStr::new(WRONG))]);
    hides(&scene, &ran, 5, &secrets);
}

#[test]
fn passphrases_and_private_keys_are_nowhere() {
    let scene = scene(Sshd::start());
    let key = scene.write("key", fs::read(scene.sshd.key(ClientKey::Ed25519)).unwrap());
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let plain = lines_of_key(&key);
    let changed = Command::new("ssh-keygen")
        .args(["-q", "-p", "-P", "", "-N", SESAME, "-f"])
        .arg(&key)
        .status();
    assert!(changed.unwrap().success());
    let sealed = lines_of_key(&key);
    let lines = plain.iter().chain(&sealed).map(Vec::as_slice);
    // The last line of a key is short.
    let lines = lines.filter(|line| line.len() >= 30);
    let secrets: Vec<&[u8]> = lines.chain([SESAME.as_bytes(), WRONG.as_bytes()]).collect();
    configure(
        &scene,
        "private-key = 'key'\npassphrase = { env = 'PARTNER' }",
    );
    let ran = get(&scene, &[("PARTNER", OsStr::new(SESAME))]);
    hides(&scene, &ran, 0, &secrets);
    // Nothing is asked of anyone then, and nothing new is written.
    let ran = get(&scene, &[("PARTNER", OsStr::new(WRONG))]);
    assert_eq!(ran.code, Some(2), "{ran:?}");
    let told = [
        ("standard output", "passphrase", ran.stdout.into_bytes()),
        ("the log", "DEBUG", ran.stderr.into_bytes()),
    ];
    none_of(&secrets, &told[..1]);
    let (_, _, log) = &told[1];
    for secret in secrets {
        for (form, bytes) in forms(secret) {
            assert!(!holds(log, &bytes), "a secret is in the log, {form}");
        }
    }
}

/// An agent that ends with the test.
struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn keys_of_an_agent_and_what_it_signs_are_nowhere() {
    let scene = scene(Sshd::start());
    let socket = scene.path("agent");
    let child = Command::new("ssh-agent")
        .args(["-D", "-a"])
        .arg(&socket)
        .stdout(Stdio::null())
        .spawn();
    let _agent = Agent(child.unwrap());
    let end = Instant::now() + Duration::from_secs(30);
    while !socket.exists() {
        assert!(Instant::now() < end, "the agent does not listen");
        thread::sleep(Duration::from_millis(5));
    }
    let key = scene.sshd.key(ClientKey::Ed25519);
    let added = Command::new("ssh-add")
        .arg(&key)
        .env("SSH_AUTH_SOCK", &socket)
        .stderr(Stdio::null())
        .status();
    assert!(added.unwrap().success());
    let lines = lines_of_key(&key);
    let lines = lines.iter().filter(|line| line.len() >= 30);
    let secrets: Vec<&[u8]> = lines.map(Vec::as_slice).collect();
    configure(&scene, "agent = true");
    let ran = get(&scene, &[("SSH_AUTH_SOCK", socket.as_os_str())]);
    hides(&scene, &ran, 0, &secrets);
}

/// An HTTP proxy to ports of 127.0.0.1 that wants this `user:password`.
fn proxy(credentials: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let credentials = credentials.clone();
            thread::spawn(move || {
                // A client that gave up is nothing to the test.
                let _ = pass(client, &credentials);
            });
        }
    });
    port
}

fn pass(mut client: TcpStream, credentials: &str) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    if !head.contains(&Base64::encode_string(credentials.as_bytes())) {
        // A proxy may be so unkind as to say what it was told.
        let refusal = format!("HTTP/1.1 407 {head}");
        return client.write_all(refusal.as_bytes());
    }
    let target = head.split_whitespace().nth(1).unwrap_or_default();
    let mut server = TcpStream::connect(target).map_err(io::Error::other)?;
    client.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from, &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    io::copy(&mut server, &mut client)?;
    client.shutdown(std::net::Shutdown::Write)
}

#[test]
fn passwords_of_proxies_are_nowhere() {
    let scene = scene(Sshd::start());
    let port = proxy(format!("porter:{SESAME}"));
    let key = scene.sshd.key(ClientKey::Ed25519);
    configure(
        &scene,
        &format!(
            "private-key = '{}'\nproxy = {{ type = 'http', host = '127.0.0.1', port = {port}, user = 'porter', \
             password = {{ env = 'PROXY' }} }}",
            key.display()
        ),
    );
    let basic = |password: &str| Base64::encode_string(format!("porter:{password}").as_bytes());
    let (one, other) = (basic(SESAME), basic(WRONG));
    let secrets = [
        SESAME.as_bytes(),
        WRONG.as_bytes(),
        one.as_bytes(),
        other.as_bytes(),
    ];
    let ran = get(&scene, &[("PROXY", OsStr::new(SESAME))]);
    hides(&scene, &ran, 0, &secrets);
    let ran = get(&scene, &[("PROXY", OsStr::new(WRONG))]);
    assert_eq!(ran.code, Some(3), "{ran:?}");
    let at = scene.path("");
    // Nobody came as far as to say who is there.
    let mut written = written(&ran, user(&scene.sshd), "proxy", &at);
    let (_, marker, _) = written.iter_mut().find(|it| it.0 == "the log").unwrap();
    *marker = "proxy";
    none_of(&secrets, &written);
}

#[test]
fn what_users_say_to_our_own_server_is_in_none_of_its_logs() {
    for events in [&["-vvv"][..], &["-vvv", "--json"]] {
        let place = Place::new();
        let mut program = place.program();
        let hash = ran_with(program.args(["serve", "--hash-password"]), SESAME).done();
        let hash = hash.stdout.trim().to_owned();
        place.write("users.toml", format!("[tester]\npassword = '{hash}'\n"));
        place.write("files/marker.csv", "x");
        fs::create_dir(place.path("inbox")).unwrap();
        let server = place.serve(&[&["--users-file", "users.toml"], events].concat());
        let target = format!("sftp://tester@127.0.0.1:{}", server.port());
        let salted = hash.rsplit('$').next().unwrap().as_bytes();
        let secrets = [SESAME.as_bytes(), WRONG.as_bytes(), salted];
        let known = place.write("known_hosts", server.known_hosts() + "\n");
        for (password, code) in [(SESAME, 0), (WRONG, 5)] {
            let mut program = place.program();
            program
                .args(["get", &target, "--known-hosts-file"])
                .arg(&known)
                .args(ALL)
                .env("SANSFTP_PASSWORD", password);
            let ran = ran_with(&mut program, "");
            assert_eq!(ran.code, Some(code), "{ran:?}");
            let file = if code == 0 {
                "marker.csv"
            } else {
                "authentication"
            };
            none_of(&secrets, &written(&ran, "tester", file, &place.path("")));
        }
        server.until(|server| {
            let said = server.stdout() + &server.stderr();
            ["disconnected", "denied"]
                .iter()
                .all(|word| said.contains(word))
        });
        let said = server.stdout() + &server.stderr();
        none_of(&secrets, &[("the server's log", "tester", said.into())]);
    }
}
