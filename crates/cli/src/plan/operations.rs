//! The operation of a plan: a configured one or the default, and the flags over it.
//!
//! Not the rules of what goes together: those are the connector's, and are asked here.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use sansftp_connector::document::Properties;
use sansftp_connector::operation::{After, Get, GetAction, Listen, Operation};
use sansftp_connector::{Error, Result};

use super::{Reached, at, over, over_option};
use crate::args::{DeleteFlags, GetFlags, ListFlags, ListenFlags, SendFlags};
use crate::config::Located;

/// The operation of `sansftp get`, and what its document brings along.
pub(super) fn get(reached: &Reached<'_>, flags: &GetFlags) -> Result<(Operation, Properties)> {
    let (mut get, place) = configured(reached, "get", |operation| match operation {
        Operation::Get(get) => Some(get.clone()),
        _ => None,
    })?;
    let mut properties = Properties::default();
    get_flags(&mut get, &mut properties, flags);
    checked(reached, Operation::Get(get), properties, place)
}

/// The operation of `sansftp listen`, and what its outcomes carry.
pub(super) fn listen(
    reached: &Reached<'_>,
    flags: &ListenFlags,
    get: &GetFlags,
) -> Result<(Listen, Properties)> {
    let (mut listen, place) = configured(reached, "listen", |operation| match operation {
        Operation::Listen(listen) => Some((**listen).clone()),
        _ => None,
    })?;
    let mut properties = Properties::default();
    let ListenFlags {
        interval,
        events,
        stop_time,
    } = flags;
    if let Some(interval) = interval {
        // One interval is what a file has to keep still unless somebody says it.
        if listen.get.stable_for == listen.interval {
            listen.get.stable_for = *interval;
        }
        listen.interval = *interval;
    }
    if !events.is_empty() {
        listen.events.clone_from(events);
    }
    over(&mut listen.stop_time, stop_time);
    get_flags(&mut listen.get, &mut properties, get);
    let operation = Operation::Listen(Box::new(listen));
    let (operation, properties) = checked(reached, operation, properties, place)?;
    let Operation::Listen(listen) = operation else {
        unreachable!("it is the one that was checked");
    };
    Ok((*listen, properties))
}

/// The flags of Get over its keys.
fn get_flags(get: &mut Get, properties: &mut Properties, flags: &GetFlags) {
    if let Some(action) = flags.action {
        settle(get, action);
    }
    let GetFlags {
        remote_directory,
        file_filter,
        filter,
        max_files,
        sort,
        hidden,
        recursive,
        max_depth,
        stable_for,
        min_age,
        done_file,
        symlinks,
        local_if_exists,
        checksum,
        resume,
        journal,
        journal_keep,
        action: _,
        move_to_directory,
        force_move,
        move_collision,
        create_directories,
        after,
        after_failure,
    } = flags;
    place_named(
        &mut get.remote_directory,
        properties,
        "remote-directory",
        remote_directory,
    );
    over_option(&mut get.file_filter, file_filter);
    over_option(&mut get.filter, filter);
    over(&mut get.max_files, max_files);
    over(&mut get.sort, sort);
    over(&mut get.hidden, hidden);
    over(&mut get.recursive, recursive);
    over(&mut get.max_depth, max_depth);
    over(&mut get.stable_for, stable_for);
    over(&mut get.min_age, min_age);
    over_option(&mut get.done_file, done_file);
    over(&mut get.symlinks, symlinks);
    over(&mut get.local_if_exists, local_if_exists);
    over(&mut get.checksum, checksum);
    over(&mut get.resume, resume);
    over_option(&mut get.journal, journal);
    over_option(&mut get.journal_keep, journal_keep);
    place_named(
        &mut get.move_to_directory,
        properties,
        "move-to-directory",
        move_to_directory,
    );
    over(&mut get.force_move, force_move);
    over_option(&mut get.move_collision, move_collision);
    over(&mut get.create_directories, create_directories);
    over(&mut get.after, after);
    over(&mut get.after_failure, after_failure);
}

/// The operation of `sansftp send`, and what its documents bring along.
pub(super) fn send(reached: &Reached<'_>, flags: &SendFlags) -> Result<(Operation, Properties)> {
    let (mut send, place) = configured(reached, "send", |operation| match operation {
        Operation::Send(send) => Some(send.clone()),
        _ => None,
    })?;
    let mut properties = Properties::default();
    let SendFlags {
        remote_directory,
        if_exists,
        move_to_directory,
        force_move,
        move_collision,
        staging_directory,
        temporary_name,
        in_place,
        allow_truncate,
        resume,
        journal,
        journal_keep,
        stop_on_error,
        create_directories,
        name_template,
        time_zone,
        permissions,
        preserve_modified,
        fsync,
        verify,
        checksum,
        symlinks,
    } = flags;
    place_named(
        &mut send.remote_directory,
        &mut properties,
        "remote-directory",
        remote_directory,
    );
    over(&mut send.if_exists, if_exists);
    place_named(
        &mut send.move_to_directory,
        &mut properties,
        "move-to-directory",
        move_to_directory,
    );
    over(&mut send.force_move, force_move);
    over_option(&mut send.move_collision, move_collision);
    over_option(&mut send.staging_directory, staging_directory);
    over_option(&mut send.temporary_name, temporary_name);
    over(&mut send.in_place, in_place);
    over(&mut send.allow_truncate, allow_truncate);
    over(&mut send.resume, resume);
    over_option(&mut send.journal, journal);
    over_option(&mut send.journal_keep, journal_keep);
    over(&mut send.stop_on_error, stop_on_error);
    over(&mut send.create_directories, create_directories);
    over_option(&mut send.name_template, name_template);
    over_option(&mut send.time_zone, time_zone);
    over_option(&mut send.permissions, permissions);
    over(&mut send.preserve_modified, preserve_modified);
    over_option(&mut send.fsync, fsync);
    over(&mut send.verify, verify);
    over(&mut send.checksum, checksum);
    over(&mut send.symlinks, symlinks);
    checked(reached, Operation::Send(send), properties, place)
}

/// The operation of `sansftp list`, and what its document brings along.
pub(super) fn list(reached: &Reached<'_>, flags: &ListFlags) -> Result<(Operation, Properties)> {
    let (mut list, place) = configured(reached, "list", |operation| match operation {
        Operation::List(list) => Some(list.clone()),
        _ => None,
    })?;
    let mut properties = Properties::default();
    let ListFlags {
        remote_directory,
        file_filter,
        filter,
        max_files,
        sort,
        hidden,
        recursive,
        max_depth,
        symlinks,
    } = flags;
    place_named(
        &mut list.remote_directory,
        &mut properties,
        "remote-directory",
        remote_directory,
    );
    over_option(&mut list.file_filter, file_filter);
    over(&mut list.max_files, max_files);
    over(&mut list.sort, sort);
    over(&mut list.hidden, hidden);
    over_option(&mut list.filter, filter);
    over(&mut list.recursive, recursive);
    over(&mut list.max_depth, max_depth);
    over(&mut list.symlinks, symlinks);
    checked(reached, Operation::List(list), properties, place)
}

/// The operation of `sansftp delete`, and what its documents bring along.
pub(super) fn delete(
    reached: &Reached<'_>,
    flags: &DeleteFlags,
) -> Result<(Operation, Properties)> {
    let (mut delete, place) = configured(reached, "delete", |operation| match operation {
        Operation::Delete(delete) => Some(delete.clone()),
        _ => None,
    })?;
    let mut properties = Properties::default();
    let DeleteFlags {
        remote_directory,
        missing_ok,
        directories,
        stop_on_error,
    } = flags;
    place_named(
        &mut delete.remote_directory,
        &mut properties,
        "remote-directory",
        remote_directory,
    );
    over(&mut delete.missing_ok, missing_ok);
    over(&mut delete.directories, directories);
    over(&mut delete.stop_on_error, stop_on_error);
    checked(reached, Operation::Delete(delete), properties, place)
}

/// The operation that the command names, with its place in the file, or the default.
fn configured<T: Default>(
    reached: &Reached<'_>,
    wanted: &str,
    pick: impl FnOnce(&Operation) -> Option<T>,
) -> Result<(T, Option<String>)> {
    let Some(name) = reached.operation else {
        return Ok((T::default(), None));
    };
    let Located { value, place } = reached.config.file()?.operation(name)?;
    match pick(value) {
        Some(operation) => Ok((operation, Some(place.clone()))),
        None => Err(unfit(name, wanted, value, place)),
    }
}

/// Another action than the configured one leaves what only that one had a use for.
fn settle(get: &mut Get, action: GetAction) {
    get.action = action;
    if action != GetAction::GetAndMove {
        get.move_to_directory = None;
        get.force_move = false;
        get.move_collision = None;
        get.create_directories = false;
    }
    if action == GetAction::Get {
        get.after = After::default();
    }
}

/// A directory of a flag: into its key when it is text, and over it when it is not.
fn place_named(
    key: &mut Option<String>,
    properties: &mut Properties,
    name: &str,
    flag: &Option<OsString>,
) {
    let Some(flag) = flag else {
        return;
    };
    match flag.to_str() {
        Some(text) => *key = Some(text.to_owned()),
        None => properties.set(name, flag.as_bytes().to_vec()),
    }
}

fn checked(
    reached: &Reached<'_>,
    mut operation: Operation,
    mut properties: Properties,
    place: Option<String>,
) -> Result<(Operation, Properties)> {
    if let Some(directory) = &reached.directory {
        properties.set("remote-directory", directory.clone());
    }
    reached.config.environment.expand_operation(&mut operation);
    operation
        .validate(&properties)
        .map_err(|error| at(place, error))?;
    Ok((operation, properties))
}

fn unfit(name: &str, wanted: &str, found: &Operation, place: &str) -> Error {
    let found = match found {
        Operation::Get(_) => "get",
        Operation::Send(_) => "send",
        Operation::List(_) => "list",
        Operation::Listen(_) => "listen",
        Operation::Delete(_) => "delete",
    };
    Error::configuration(format!(
        "{place}: the operation '{name}' is a {found}, not a {wanted}"
    ))
    .with_hint(format!("use sansftp {found}, or name another operation"))
}
