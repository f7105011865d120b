//! Each rule on small files that break it, and on their neighbours that do not.

use super::*;

/// The rules that a file breaks, with the lines.
fn broken(path: &str, text: &str) -> Vec<String> {
    let mut findings = Vec::new();
    check(path, text.to_owned(), &mut findings);
    findings.sort();
    findings
        .iter()
        .map(|finding| format!("{}:{}", finding.line, finding.rule))
        .collect()
}

/// The same for a file of proto, below its header.
fn layers(path: &str, text: &str) -> Vec<String> {
    broken(
        &format!("crates/proto/src/{path}"),
        &format!("//! x\n{text}"),
    )
}

const NONE: [&str; 0] = [];

#[test]
fn comments_strings_and_characters_are_not_code() {
    let text = r####"a /* b /* c */ d */ e // f
"g\" // h" 'i' '\'' b'j' <'k> r#"l " m"# br"n" o r#p "q
r" '"' s"####;
    let source = Source::new("x.rs", text.to_owned());
    assert_eq!(source.code.len(), text.len());
    let left: Vec<&str> = source.code.split_whitespace().collect();
    assert_eq!(left, ["a", "e", "b", "<'k>", "o", "r#p", "s"]);
    assert_eq!(source.line(source.code.find('s').unwrap()), 3);
}

#[test]
fn a_file_begins_with_its_header_and_has_an_end() {
    assert_eq!(broken("a.rs", "fn x() {}\n"), ["1:header"]);
    assert_eq!(
        broken("a.rs", &format!("//! x\n{}", "\n".repeat(799))),
        NONE
    );
    assert_eq!(
        broken("a.rs", &format!("//! x\n{}", "\n".repeat(800))),
        ["801:length"]
    );
}

#[test]
fn unfinished_work_names_its_issue() {
    let mark = concat!("TO", "DO");
    assert_eq!(
        broken(
            "a.rs",
            &format!("//! x\n// {mark}: y\n// {mark}(#12): z\n// {mark}S\n")
        ),
        ["2:unfinished"]
    );
}

#[test]
fn attributes_that_silence_say_why() {
    let text = "//! #[allow(in_prose)]
#[ignore]
fn a() {}
#[ignore = \"slow\"]
fn b() {}
#[allow(dead_code)]
fn c() {}
#![expect(
    dead_code
)]
#[cfg_attr(test, allow(x))]
#[expect(x, reason = \"y\")]
#[should_panic(expected = \"z\")]
const D: &str = \"#[allow(y)]\";
";
    assert_eq!(
        broken("a.rs", text),
        ["2:reason", "6:reason", "8:reason", "11:reason"]
    );
}

#[test]
fn places_of_one_machine_are_found_in_every_text() {
    let root = concat!("/ro", "ot");
    let home = concat!("/ho", "me");
    let work = concat!("/wo", "rk");
    assert_eq!(
        broken(
            "A.md",
            &format!("see {root}/x\nand `{work}`\nor {home}/somebody\n")
        )
        .len(),
        3
    );
    let text = format!("{root}s {work}space a{home}/b {home}/ {home}/edi/out {home} x{work}\n");
    assert_eq!(broken("A.md", &text), NONE);
    assert_eq!(
        broken("a.toml", concat!("x = \"../.lib", "rary/y\"")),
        ["1:machine-path"]
    );
}

#[test]
fn lower_modules_do_not_name_upper_ones() {
    assert_eq!(
        layers("wire/reader.rs", "use crate::packet::Payload;\n"),
        ["2:layer"]
    );
    assert_eq!(
        layers(
            "packet/decode.rs",
            "use crate::wire;\nuse crate::error::Error;\n"
        ),
        NONE
    );
    assert_eq!(
        layers("packet/mod.rs", "fn f() { let x = crate::session::X; }\n"),
        ["2:layer"]
    );
    assert_eq!(
        layers("auth/mod.rs", "use crate::connection::Mux;\n"),
        ["2:layer"]
    );
    assert_eq!(
        layers("connection/mux.rs", "use crate::auth::Authenticated;\n"),
        NONE
    );
    assert_eq!(
        layers(
            "sftp/client.rs",
            "use crate::timer::Timer;\nuse crate::limits::Limits;\n"
        ),
        ["2:layer"]
    );
    assert_eq!(layers("role.rs", "use crate::session::X;\n"), NONE);
}

#[test]
fn groups_are_read_branch_by_branch() {
    let text = "use crate::{\n    wire::{self, Reader},\n    session::Connection,\n    error::{Error, session},\n};\n";
    assert_eq!(layers("transport/mod.rs", text), ["4:layer"]);
}

#[test]
fn a_path_by_way_of_super_is_a_path_too() {
    assert_eq!(
        layers("wire/mod.rs", "use super::session::X;\n"),
        ["2:layer"]
    );
    assert_eq!(
        layers(
            "wire/reader.rs",
            "use super::session::X;\nuse super::super::session::X;\n"
        ),
        ["3:layer"]
    );
    assert_eq!(
        layers(
            "wire/reader.rs",
            "mod inner { use super::super::session::X; }\n"
        ),
        NONE
    );
    assert_eq!(
        layers(
            "wire/mod.rs",
            "mod inner {\n    use super::super::session::X;\n}\n"
        ),
        ["3:layer"]
    );
}

#[test]
fn what_the_root_exports_is_named_by_its_module() {
    assert_eq!(
        layers(
            "wire/mod.rs",
            "use crate::Connection;\nuse crate::*;\ncrate::messages! {}\n"
        ),
        ["2:layer", "3:layer"]
    );
}

#[test]
fn tests_and_comments_may_name_anything() {
    assert_eq!(
        layers(
            "wire/mod.rs",
            "/// [`crate::session`]\n#[cfg(test)]\nmod tests { use crate::session::X; }\n"
        ),
        NONE
    );
    assert_eq!(layers("wire/tests.rs", "use crate::session::X;\n"), NONE);
}

#[test]
fn a_new_module_needs_a_place_in_the_order() {
    assert_eq!(layers("helpers.rs", ""), ["1:layer"]);
}

#[test]
fn only_one_file_names_the_driver() {
    let text = "//! x\nuse sansftp_tokio::Client;\n";
    assert_eq!(broken("crates/connector/src/get.rs", text), ["2:driver"]);
    assert_eq!(broken("crates/cli/src/run.rs", text), ["2:driver"]);
    assert_eq!(broken("crates/connector/src/sftp.rs", text), NONE);
    assert_eq!(broken("crates/connector/src/sftp/file.rs", text), NONE);
    assert_eq!(broken("tests/interop.rs", text), NONE);
}

#[test]
fn each_message_has_its_section() {
    let text = "//! x
messages! { Auth from client;
    /// RFC 4252 §5
    50 Request<'a> { user: &'a str }
    51 Failure {}
    /// Success.
    ///
    /// draft-ietf-secsh-filexfer-02 §7
    #[derive(Debug)]
    52 Success {
        count: u32,
    }
    /// RFC 4252
    53 Banner {}
}
";
    assert_eq!(broken("a.rs", text), ["5:section", "14:section"]);
    let text = "//! draft-ietf-secsh-filexfer-02\nmessages! {\n/// §4\n1 Init {}\n/// Asks.\n2 Version {}\n}\n";
    assert_eq!(broken("a.rs", text), ["6:section"]);
}
