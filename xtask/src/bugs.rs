//! `cargo xtask bugs`: makes mistakes on purpose, one at a time, and looks which tests catch each. The mistakes stand in the
//! code under `cfg(sansftp_bugs)`, which no other build sets. Not a search for mistakes: that is what the tests are for.

use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::bench::Tables;
use crate::run::{cargo, command, root, succeed, target_dir};
use crate::{Failure, install};

/// A mistake, and the tests that must catch it.
struct Bug {
    name: &'static str,
    what: &'static str,
    /// To cargo: where the tests are.
    target: &'static [&'static str],
    /// To the tests: which.
    tests: &'static str,
}

const PROTO: &[&str] = &["-p", "sansftp-proto", "--lib"];
const CONNECTOR: &[&str] = &["-p", "sansftp-connector", "--lib"];
const KILL: &[&str] = &["-p", "sansftp-tests", "--test", "kill"];
const EVIL: &[&str] = &["-p", "sansftp-tests", "--test", "connector"];
const SCRIPTED: &[&str] = &["-p", "sansftp-tests", "--test", "proto"];

const BUGS: &[Bug] = &[
    Bug {
        name: "deleted-before-delivery",
        what: "get-and-delete deletes at the server, and then gives the local file its name",
        target: CONNECTOR,
        tests: "sftp::faults::cases::get_and_delete",
    },
    Bug {
        name: "never-synced",
        what: "a fetched file is not forced to the disk before it gets its name",
        target: KILL,
        tests: "syscalls::a_source",
    },
    Bug {
        name: "no-last-look",
        what: "a source is deleted without a look whether it is still what was fetched",
        target: CONNECTOR,
        tests: "run::tests::get",
    },
    Bug {
        name: "rename-believed",
        what: "a server's OK to a rename is believed",
        target: CONNECTOR,
        tests: "run::tests::send::believed",
    },
    Bug {
        name: "journal-first",
        what: "the journal has a delivery before the file has its name",
        target: KILL,
        tests: "syscalls::get_and_delete_killed_before_its",
    },
    Bug {
        name: "taken-for-unpublished",
        what: "a publication whose outcome could not be looked at is made again by the next run",
        target: CONNECTOR,
        tests: "sftp::faults::cases::send_with_rename",
    },
    Bug {
        name: "appended-again",
        what: "after a lost connection all of an append is written again",
        target: CONNECTOR,
        tests: "run::tests::cut_off::appending",
    },
    Bug {
        name: "close-ignored",
        what: "a server's refusal to close a written file is ignored",
        target: CONNECTOR,
        tests: "run::tests::send::believed",
    },
    Bug {
        name: "names-unchecked",
        what: "a name that the server lists may hold a slash",
        target: EVIL,
        tests: "evil",
    },
    Bug {
        name: "window-never-returned",
        what: "what was read of a channel's window is never given back",
        target: PROTO,
        tests: "connection::",
    },
    Bug {
        name: "strict-kex-unchecked",
        what: "with strict key exchange other messages are taken before NEWKEYS",
        target: SCRIPTED,
        tests: "strict",
    },
    Bug {
        name: "host-key-unproven",
        what: "the server's signature over the exchange hash is not verified",
        target: SCRIPTED,
        tests: "swindles",
    },
    Bug {
        name: "user-unproven",
        what: "as a server, the signature of a user's key is not verified",
        target: PROTO,
        tests: "auth::",
    },
    Bug {
        name: "mac-unchecked",
        what: "the code of an encrypt-then-MAC packet is not verified",
        target: PROTO,
        tests: "packet::",
    },
];

/// A mistake that hangs is caught, too, if badly.
const PATIENCE: Duration = Duration::from_secs(600);

/// All mistakes, or those named; first the same tests without any.
pub(crate) fn run(tables: Tables, names: &[String]) -> Result<(), Failure> {
    install::openssh()?;
    install::clients()?;
    if let Some(unknown) = names
        .iter()
        .find(|name| BUGS.iter().all(|bug| bug.name != **name))
    {
        return Err(Failure::Usage(format!("there is no mistake {unknown}")));
    }
    let chosen: Vec<&Bug> = BUGS
        .iter()
        .filter(|bug| names.is_empty() || names.iter().any(|name| name == bug.name))
        .collect();
    let mut lines = Vec::new();
    let mut escaped = Vec::new();
    for bug in chosen {
        if let Tried::Failed(failed) = tried(bug, None)? {
            return Err(Failure::new(format!(
                "{} fails without any mistake: {}",
                bug.name,
                failed.join(", ")
            )));
        }
        let line = match tried(bug, Some(bug.name))? {
            Tried::Passed => {
                escaped.push(bug.name);
                format!("| {} | **nothing** |", bug.what)
            }
            Tried::Hung => format!("| {} | nothing ends |", bug.what),
            Tried::Failed(failed) => {
                let more = match failed.len() - 1 {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                format!("| {} | `{}`{more} |", bug.what, failed[0])
            }
        };
        println!("{line}");
        lines.push(line);
    }
    if tables == Tables::Written && names.is_empty() {
        write(&lines)?;
    }
    if escaped.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!("not caught: {}", escaped.join(", "))))
}

enum Tried {
    Passed,
    /// The names of the tests.
    Failed(Vec<String>),
    Hung,
}

fn tried(bug: &Bug, seeded: Option<&str>) -> Result<Tried, Failure> {
    let target = target_dir().join("bugs");
    let with = |mut command: Command| {
        command
            .env("RUSTFLAGS", "--cfg sansftp_bugs")
            .env("CARGO_TARGET_DIR", &target);
        command
    };
    // Built outside the time, the program that some tests run included.
    succeed(&mut with(cargo(&["build", "--quiet", "-p", "sansftp"])))?;
    let build = [&["test", "--quiet", "--no-run"], bug.target].concat();
    succeed(&mut with(cargo(&build)))?;
    let tests = [&["test"], bug.target, &["--", bug.tests]].concat();
    let log = target.join(format!("{}.log", bug.name));
    let file = fs::File::create(&log)?;
    let mut test = with(cargo(&tests));
    test.env("SANSFTP_PROGRAM", target.join("debug/sansftp"))
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::from(file.try_clone()?))
        .stderr(Stdio::from(file));
    if let Some(name) = seeded {
        test.env("SANSFTP_BUG", name);
    }
    let mut child = test.spawn()?;
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() > until {
            // The tests are a child of cargo's.
            let parent = child.id().to_string();
            let _ = command("pkill", &["--parent", &parent]).status();
            child.kill()?;
            child.wait()?;
            return Ok(Tried::Hung);
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    if status.success() {
        return Ok(Tried::Passed);
    }
    let words = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let failed: Vec<String> = words
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.strip_suffix(" ... FAILED"))
        .map(str::to_owned)
        .collect();
    if failed.is_empty() {
        return Err(Failure::new(format!("{}: {words}", bug.name)));
    }
    Ok(Tried::Failed(failed))
}

/// Puts the table between its marks in docs/proof.md.
fn write(lines: &[String]) -> Result<(), Failure> {
    const BEGIN: &str = "<!-- bugs -->";
    const END: &str = "<!-- end of bugs -->";
    let path = root().join("docs/proof.md");
    let text = fs::read_to_string(&path)?;
    let marked = text.split_once(BEGIN);
    let marked = marked.and_then(|(before, rest)| Some((before, rest.split_once(END)?.1)));
    let Some((before, after)) = marked else {
        return Err(Failure::new("docs/proof.md has no place for the table"));
    };
    let table = lines.join("\n");
    let made =
        format!("{before}{BEGIN}\n| mistake | caught by |\n|---|---|\n{table}\n{END}{after}");
    Ok(fs::write(path, made)?)
}
