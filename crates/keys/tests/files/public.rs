//! Public keys as files of RFC 4716, made by ssh-keygen and puttygen: whole, as mail and editors leave
//! them, and cut off.

use super::common::{Keys, TYPES};
use sansftp_keys::read_public;

#[test]
fn files_of_rfc_4716_hold_the_same_key_as_the_line() {
    let keys = Keys::new();
    for (name, arguments) in TYPES {
        keys.ssh_keygen(name, "", arguments);
        let public = format!("{name}.pub");
        let by_openssh = keys.run("ssh-keygen", &["-e", "-f", &public]);
        let by_putty = keys.run("puttygen", &[name, "-O", "public"]);
        for file in [by_openssh, by_putty] {
            let text = String::from_utf8(file).unwrap();
            for (how, text) in [
                ("as it is", text.clone()),
                ("CR LF", text.replace('\n', "\r\n")),
                ("CR", text.replace('\n', "\r")),
                ("blanks around", format!("\u{feff}\n  {text}\n\n")),
                ("indented", text.replace('\n', "\n\t")),
            ] {
                let read = read_public(text.as_bytes());
                let read = read.unwrap_or_else(|error| panic!("{how}: {error}\n{text}"));
                assert_eq!(read.key, keys.public(name), "{how}");
                assert!(!read.comment.is_empty(), "{text}");
            }
            let good = text.trim_end();
            for len in 0..good.len() {
                assert!(read_public(&good.as_bytes()[..len]).is_err(), "{len}");
            }
        }
    }
}

#[test]
fn headers_go_over_several_lines_and_nothing_stands_behind_the_key() {
    let keys = Keys::new();
    keys.ssh_keygen("key", "", "-t ed25519");
    let line = String::from_utf8(keys.bytes("key.pub")).unwrap();
    let base64 = line.split(' ').nth(1).unwrap();
    let (front, back) = base64.split_at(40);
    let file = |headers: &str, behind: &str| {
        format!(
            "---- BEGIN SSH2 PUBLIC KEY ----\n{headers}{front}\n{back}\n\
             ---- END SSH2 PUBLIC KEY ----\n{behind}"
        )
    };
    for (headers, comment) in [
        ("", ""),
        ("Subject: me\nCOMMENT: a: b\nx-y: z\n", "a: b"),
        (
            "Comment: \"one \\\nand two\\\n and three\"\n",
            "one and twoand three",
        ),
        ("Comment: \"\n", "\""),
    ] {
        let read = read_public(file(headers, "").as_bytes()).unwrap();
        assert_eq!(read.key, keys.public("key"));
        assert_eq!(read.comment, comment);
    }
    for bad in [
        file("", "more"),
        file("", &file("", "")),
        file("Comment: x\\\n", "").replace("\n----", "----"),
        file("", "").replace(back, &format!("Comment: x\n{back}")),
        file("", "").replace(back, ""),
        file("", "").replace("END", "BEGIN"),
        format!("{line}{}", file("", "")),
    ] {
        assert!(read_public(bad.as_bytes()).is_err(), "{bad}");
    }
}
