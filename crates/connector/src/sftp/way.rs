//! Which servers a connection leads through, what `~/.ssh/config` adds to each, and how the first is
//! reached.
//!
//! Nothing is contacted here.

use std::path::PathBuf;

use sansftp_keys::{HostSettings, ssh_config};
use sansftp_tokio::{Proxy as Through, ProxyKind, Target, Way};

use super::credentials::{expand_home, home, secret};
use super::party::target;
use crate::connection::{Connection, HOPS, PrivateKey, Proxy, ProxyType};
use crate::error::{Error, Result};

/// One server of those that a connection leads to, the last being its own.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// With what is added to it.
    pub(super) connection: Connection,
    /// The name that its key is known by, where that is not the host.
    pub(super) host_key_alias: Option<String>,
}

/// All servers on the way, in order. Blocks.
pub(super) fn stops(connection: &Connection) -> Result<Vec<Stop>> {
    let mut stops = Vec::new();
    add(&mut stops, connection, 0)?;
    Ok(stops)
}

fn add(stops: &mut Vec<Stop>, connection: &Connection, depth: usize) -> Result<()> {
    let stop = with_ssh_config(connection)?;
    stop.connection.validate()?;
    for jump in &stop.connection.jump {
        // A way that leads through itself ends here, too.
        if stops.len() >= HOPS || depth >= HOPS {
            return Err(Error::configuration(format!(
                "the way to {} leads through more than {HOPS} servers",
                connection.host
            ))
            .with_hint("look for a server that is reached through itself"));
        }
        // Of the connection as it was given: what was added is said of its own host.
        add(stops, &jump.connection(connection)?, depth + 1)?;
    }
    stops.push(stop);
    Ok(())
}

/// How the first server on the way is reached. Blocks.
pub(super) fn way(stops: &[Stop]) -> Result<Way> {
    let mut proxies = stops.iter().filter_map(|it| it.connection.proxy.as_ref());
    let proxy = proxies.next();
    if proxies.any(|other| Some(other) != proxy) {
        return Err(
            Error::configuration("two servers on the way have different proxies").with_hint(
                "only the first server is reached by a proxy; leave proxy out at the others",
            ),
        );
    }
    let mut way = Way::default();
    way.bind = stops.iter().find_map(|it| it.connection.bind);
    if let (Some(proxy), Some(first)) = (proxy, stops.first()) {
        let first = target(&first.connection);
        let (host, port) = (first.host(), first.port());
        let variable = |name: &str| std::env::var(name).ok();
        let proxy = match proxy.kind {
            ProxyType::Runtime => Proxy::of_environment(host, port, variable)?,
            _ => Some(proxy.clone()),
        };
        way.proxy = proxy.map(|it| through(&it)).transpose()?;
    }
    Ok(way)
}

fn through(proxy: &Proxy) -> Result<Through> {
    let kind = match proxy.kind {
        ProxyType::Http | ProxyType::Runtime => ProxyKind::Http,
        ProxyType::Socks4 => ProxyKind::Socks4,
        ProxyType::Socks5 => ProxyKind::Socks5,
    };
    let (host, port) = proxy.place()?;
    let through = Through::new(kind, Target::new(host, port));
    let password = proxy.password.as_ref().map(secret).transpose()?;
    Ok(match &proxy.user {
        Some(user) => through.with_user(user, password),
        None => through,
    })
}

/// The connection with what `~/.ssh/config` says of its host. What it sets itself stays; a port of 22
/// counts as unset.
fn with_ssh_config(connection: &Connection) -> Result<Stop> {
    let mut stop = Stop {
        connection: connection.clone(),
        host_key_alias: None,
    };
    if !connection.ssh_config {
        return Ok(stop);
    }
    let Some(file) = home().map(|it| it.join(".ssh/config")) else {
        return Err(
            Error::configuration("there is no home directory to find .ssh/config in")
                .with_hint("set HOME, or leave ssh-config out"),
        );
    };
    let said = match std::fs::read(&file) {
        Ok(text) => ssh_config(&text, connection.host.trim()).map_err(|error| {
            Error::configuration(format!("{}, {error}", file.display()))
                .with_hint("change that line, or leave ssh-config out and set the keys here")
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => HostSettings::default(),
        Err(error) => {
            return Err(Error::configuration(format!(
                "{} cannot be read: {error}",
                file.display()
            ))
            .with_hint("check its permissions, or leave ssh-config out"));
        }
    };
    for line in &said.skipped {
        tracing::warn!("{}, line {line}: this Match is skipped", file.display());
    }
    stop.host_key_alias.clone_from(&said.host_key_alias);
    fill_in(&mut stop.connection, said)?;
    Ok(stop)
}

fn fill_in(connection: &mut Connection, said: HostSettings) -> Result<()> {
    let unset = Connection::default();
    if let Some(host) = said.host_name {
        connection.host = host;
    }
    if connection.port == unset.port {
        connection.port = said.port.unwrap_or(unset.port);
    }
    if connection
        .user
        .as_deref()
        .is_none_or(|it| it.trim().is_empty())
    {
        connection.user = said.user;
    }
    if connection.private_key.is_none() {
        // As ssh does, which passes over those that are not there.
        let mut files = said.identity_files.iter().map(PathBuf::from);
        let there = files.find(|it| expand_home(it).is_file());
        connection.private_key = there.map(PrivateKey::Path);
    }
    if connection.known_hosts_file.is_none() {
        connection.known_hosts_file = said.user_known_hosts_file.map(PathBuf::from);
    }
    if connection.jump.is_empty()
        && let Some(jumps) = said.proxy_jump
    {
        let jumps = jumps.split(',').map(str::parse);
        connection.jump = jumps.collect::<Result<_, String>>().map_err(|error| {
            Error::configuration(format!("ProxyJump in ~/.ssh/config: {error}"))
                .with_hint("write user@host:port")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Connection {
        toml::from_str(text).unwrap()
    }

    fn hosts(connection: &Connection) -> Vec<String> {
        let stops = stops(connection).unwrap();
        stops.into_iter().map(|it| it.connection.host).collect()
    }

    #[test]
    fn the_way_leads_through_each_in_order_and_through_theirs_first() {
        let connection = read(
            "host = 'target'\njump = ['first', { host = 'third', jump = 'me@second:23' }, 'fourth']",
        );
        let through = ["first", "second", "third", "fourth", "target"];
        assert_eq!(hosts(&connection), through);
    }

    #[test]
    fn a_way_without_end_is_refused() {
        let mut connection = read("host = 'h'");
        for _ in 0..=HOPS {
            connection = Connection {
                jump: vec![crate::connection::Jump::Connection(Box::new(connection))],
                ..read("host = 'h'")
            };
        }
        let error = stops(&connection).unwrap_err();
        assert!(error.message().contains("more than 8"), "{error}");
    }

    #[test]
    fn only_the_first_server_is_reached_by_a_proxy() {
        let proxy = "{ type = 'socks5', host = 'p' }";
        let connection = read(&format!("host = 'h'\njump = 'gate'\nproxy = {proxy}"));
        let reached = way(&stops(&connection).unwrap()).unwrap();
        assert_eq!(reached.proxy.unwrap().target, Target::new("p", 1080));
        let two = format!(
            "host = 'h'\nproxy = {proxy}\njump = [ {{ host = 'gate', proxy = {{ type = 'runtime' }} }} ]"
        );
        assert!(way(&stops(&read(&two)).unwrap()).is_err());
    }

    #[test]
    fn what_the_connection_sets_wins_over_ssh_config() {
        let said = || {
            let text = b"HostName real\nPort 2222\nUser other\nUserKnownHostsFile f\nProxyJump a,b";
            ssh_config(text, "h").unwrap()
        };
        let mut bare = read("host = 'h'");
        fill_in(&mut bare, said()).unwrap();
        assert_eq!((bare.host.as_str(), bare.port), ("real", 2222));
        assert_eq!(bare.user.as_deref(), Some("other"));
        assert_eq!(bare.jump.len(), 2);
        let mut full =
            read("host = 'h'\nport = 23\nuser = 'me'\njump = 'c'\nknown-hosts-file = 'g'");
        fill_in(&mut full, said()).unwrap();
        assert_eq!((full.port, full.user.as_deref()), (23, Some("me")));
        assert_eq!(full.jump.len(), 1);
        assert_eq!(full.known_hosts_file, Some("g".into()));
    }
}
