//! Components of the original in, a configuration out that the program itself takes.

use std::os::unix::fs::PermissionsExt;

use super::support::Scene;

const CONNECTION: &str = "\
<Component name='Partner' type='connector-settings' subType='sftp'><object>
  <SFTPSettings host='127.0.0.1' port='1'><AuthSettings user='edi' password='00ff'/></SFTPSettings>
</object></Component>";

const OPERATION: &str = "\
<Component name='Fetch' type='connector-action' subType='sftp'><object><Operation><Configuration>
  <SFTPGetAction sftpaction='actiongetdelete' fileToMove='*.csv' colour='mauve'/>
</Configuration></Operation></object></Component>";

#[test]
fn components_become_a_file_that_the_program_takes_and_nobody_else_reads() {
    let scene = Scene::start();
    scene.write("c.xml", CONNECTION);
    scene.write("o.xml", OPERATION);
    let words = ["import", "c.xml", "o.xml", "--into", "made.toml"];
    let ran = scene.run_bare(&words).with_code(0);
    assert_eq!(ran.stdout, "");
    for told in [
        "To be filled in:",
        "What differs from the original:",
        "Not taken over:",
        "fetch: /Component/object/Operation/Configuration/SFTPGetAction/@colour",
    ] {
        assert!(ran.stderr.contains(told), "no '{told}': {}", ran.stderr);
    }
    let made = scene.path("made.toml");
    let mode = std::fs::metadata(&made).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let text = std::fs::read_to_string(&made).unwrap();
    let again = scene.run_bare(&words);
    again.failed(2, "configuration", &["made.toml is there already"]);
    assert_eq!(std::fs::read_to_string(&made).unwrap(), text);
    let get = [
        "get",
        "partner",
        "--operation",
        "fetch",
        "--into",
        "inbox",
        "--config",
        "made.toml",
    ];
    // What is to be filled in is asked for by its name.
    let ran = scene.run_bare(&get);
    ran.failed(2, "configuration", &["PARTNER_PASSWORD"]);
}

#[test]
fn without_a_file_to_write_it_is_printed() {
    let scene = Scene::start();
    scene.write("c.xml", CONNECTION);
    let ran = scene.run_bare(&["import", "c.xml"]).with_code(0);
    assert!(ran.stdout.contains("[connections.partner]"), "{ran:?}");
}

#[test]
fn where_one_file_is_no_component_nothing_is_written() {
    let scene = Scene::start();
    scene.write("c.xml", CONNECTION);
    scene.write("x.xml", "host = 'h'");
    let ran = scene.run_bare(&[
        "import",
        "c.xml",
        "x.xml",
        "none.xml",
        "--into",
        "made.toml",
    ]);
    let ran = ran.with_code(2);
    assert_eq!(ran.errors().count(), 2, "{ran:?}");
    assert!(!scene.path("made.toml").exists());
}
