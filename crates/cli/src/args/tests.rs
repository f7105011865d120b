//! That flags and keys are the same, and that the command line is read as it is documented.

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};
use sansftp_connector::connection::{Connection, Proxy};
use sansftp_connector::operation::{Delete, Get, List, Listen, Send, Sort};

use super::{Cli, Command, GetArgs};
use sansftp_connector::keys_of;

fn flags(command: &str) -> BTreeSet<String> {
    let program = Cli::command();
    let command = program
        .find_subcommand(command)
        .expect("there is this command");
    let flags = command.get_arguments().filter_map(|it| it.get_long());
    flags.map(str::to_owned).collect()
}

fn get(flags: &[&str]) -> Result<GetArgs, clap::Error> {
    let words = ["sansftp", "get", "sftp://h", "--into", "in"];
    match Cli::try_parse_from(words.iter().chain(flags))?.command {
        Command::Get(args) => Ok(*args),
        _ => panic!("not a get"),
    }
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_key_is_a_flag_of_the_same_name_but_for_secrets() {
    let operations = [
        ("get", keys_of::<Get>()),
        ("send", keys_of::<Send>()),
        ("list", keys_of::<List>()),
        ("delete", keys_of::<Delete>()),
        ("listen", Listen::keys()),
    ];
    for (command, keys) in operations {
        let flags = flags(command);
        for key in keys.iter().chain(keys_of::<Connection>()) {
            match *key {
                // What it does with a file is said by then.
                "action" if command == "listen" => assert!(flags.contains("then")),
                "password" | "passphrase" => {
                    assert!(!flags.contains(*key), "--{key} would show a secret");
                    assert!(flags.contains(&format!("{key}-file")));
                }
                "proxy" => {
                    assert!(flags.contains(*key));
                    for part in keys_of::<Proxy>() {
                        let flag = match *part {
                            "password" => "proxy-password-file".to_owned(),
                            part => format!("proxy-{part}"),
                        };
                        assert!(flags.contains(&flag), "{command} has no flag --{flag}");
                    }
                    assert!(!flags.contains("proxy-password"));
                }
                key => assert!(flags.contains(key), "{command} has no flag --{key}"),
            }
        }
    }
}

#[test]
fn every_flag_has_a_help_text() {
    for command in Cli::command().get_subcommands() {
        for argument in command.get_arguments() {
            let (command, id) = (command.get_name(), argument.get_id());
            assert!(argument.get_help().is_some(), "{command}: {id}");
        }
    }
}

#[test]
fn a_yes_or_no_can_be_said_either_way() {
    assert_eq!(get(&[]).unwrap().flags.force_move, None);
    assert_eq!(get(&["--force-move"]).unwrap().flags.force_move, Some(true));
    assert_eq!(
        get(&["--force-move=false"]).unwrap().flags.force_move,
        Some(false)
    );
}

#[test]
fn an_order_may_begin_with_a_dash() {
    let flags = get(&["--sort", "-modified"]).unwrap().flags;
    assert_eq!(flags.sort, Some(Sort::ModifiedDescending));
}

#[test]
fn a_wrong_word_is_answered_with_the_right_ones() {
    let error = get(&["--action", "steal"]).unwrap_err().to_string();
    assert!(error.contains("get-and-delete"), "{error}");
    let error = get(&["--connect-timeout", "soon"]).unwrap_err().to_string();
    assert!(error.contains("30s"), "{error}");
    assert!(get(&["--quiet", "--verbose"]).is_err());
    assert!(get(&["--password", "x"]).is_err());
}
