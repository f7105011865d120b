//! What the tests need beside Rust: OpenSSH's server and clients, openssl, other people's SFTP clients, ssh-audit, and a C++
//! compiler for libFuzzer. On Debian and what descends from it, missing packages are installed; elsewhere they are named. Not
//! a package manager for anything else.

use std::env;
use std::path::Path;

use crate::Failure;
use crate::run;

/// A package, and the programs that show that it is there: any one of the places each.
struct Need {
    package: &'static str,
    places: &'static [&'static str],
}

const OPENSSH: &[Need] = &[
    Need {
        package: "openssh-server",
        places: &["/usr/sbin/sshd", "/usr/local/sbin/sshd"],
    },
    Need {
        package: "openssh-client",
        places: &["/usr/bin/sftp", "/usr/local/bin/sftp"],
    },
    Need {
        package: "openssh-sftp-server",
        places: &[
            "/usr/lib/openssh/sftp-server",
            "/usr/libexec/openssh/sftp-server",
            "/usr/lib/ssh/sftp-server",
            "/usr/libexec/sftp-server",
        ],
    },
    // Makes key files that ssh-keygen does not.
    Need {
        package: "openssl",
        places: &["/usr/bin/openssl", "/usr/local/bin/openssl"],
    },
];

/// Together 18 MB to download and some 20 s to install, rclone being most of it.
const CLIENTS: &[Need] = &[
    Need {
        package: "lftp",
        places: &["/usr/bin/lftp", "/usr/local/bin/lftp"],
    },
    Need {
        package: "curl",
        places: &["/usr/bin/curl", "/usr/local/bin/curl"],
    },
    Need {
        package: "putty-tools",
        places: &["/usr/bin/psftp", "/usr/local/bin/psftp"],
    },
    // The tests run /usr/bin/python3, which finds it here.
    Need {
        package: "python3-paramiko",
        places: &["/usr/lib/python3/dist-packages/paramiko"],
    },
    Need {
        package: "rclone",
        places: &["/usr/bin/rclone", "/usr/local/bin/rclone"],
    },
    Need {
        package: "sshfs",
        places: &["/usr/bin/sshfs", "/usr/local/bin/sshfs"],
    },
    Need {
        package: "fuse3",
        places: &["/usr/bin/fusermount3", "/bin/fusermount3"],
    },
    // Cloned and built with in the mount.
    Need {
        package: "git",
        places: &["/usr/bin/git", "/usr/local/bin/git"],
    },
    Need {
        package: "build-essential",
        places: &["/usr/bin/make", "/usr/local/bin/make"],
    },
    Need {
        package: "rsync",
        places: &["/usr/bin/rsync", "/usr/local/bin/rsync"],
    },
    // Kills the program before its system calls, and tells their order.
    Need {
        package: "strace",
        places: &["/usr/bin/strace", "/usr/local/bin/strace"],
    },
    Need {
        package: "ssh-audit",
        places: &["/usr/bin/ssh-audit", "/usr/local/bin/ssh-audit"],
    },
];

const CXX: &[Need] = &[Need {
    package: "build-essential",
    places: &["/usr/bin/c++", "/usr/local/bin/c++"],
}];

/// OpenSSH, for every test against a real server, and what makes its key files.
pub(crate) fn openssh() -> Result<(), Failure> {
    obtain(OPENSSH)
}

/// The clients and the auditor that are set on `sansftp serve`.
pub(crate) fn clients() -> Result<(), Failure> {
    obtain(CLIENTS)
}

/// A C++ compiler, for libFuzzer. One named by `CXX` counts.
pub(crate) fn cxx() -> Result<(), Failure> {
    if env::var_os("CXX").is_some() {
        return Ok(());
    }
    obtain(CXX)
}

fn obtain(needs: &[Need]) -> Result<(), Failure> {
    let missing: Vec<&str> = needs
        .iter()
        .filter(|need| !need.places.iter().any(|place| Path::new(place).exists()))
        .map(|need| need.package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !Path::new("/usr/bin/apt-get").exists() {
        return Err(Failure::new(format!(
            "missing: {list} (as Debian names it); there is no apt-get here, please install it with this system's own means"
        )));
    }
    println!("installing {list}");
    if apt_get(
        &[
            &["install", "--yes", "--no-install-recommends"],
            missing.as_slice(),
        ]
        .concat(),
    )
    .is_ok()
    {
        return Ok(());
    }
    // Usually the lists are older than the mirror; once, because a second time would fail the same way.
    apt_get(&["update"])?;
    apt_get(
        &[
            &["install", "--yes", "--no-install-recommends"],
            missing.as_slice(),
        ]
        .concat(),
    )
}

fn apt_get(arguments: &[&str]) -> Result<(), Failure> {
    let root = run::output(&mut run::command("id", &["-u"]))?.trim() == "0";
    let mut command = if root {
        run::command("apt-get", &["--quiet"])
    } else if Path::new("/usr/bin/sudo").exists() {
        // `env`, because sudo drops the variable.
        run::command(
            "sudo",
            &[
                "env",
                "DEBIAN_FRONTEND=noninteractive",
                "apt-get",
                "--quiet",
            ],
        )
    } else {
        return Err(Failure::new(format!(
            "please run as root: apt-get {}",
            arguments.join(" ")
        )));
    };
    run::succeed(
        command
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"),
    )
}
