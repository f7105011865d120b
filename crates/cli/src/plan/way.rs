//! The way to a server: the proxy that flags name, and the connections that are jumped through, put in
//! place of their names.

use sansftp_connector::connection::{Connection, Jump, Proxy, ProxyType, SecretRef};
use sansftp_connector::{Error, Result};

use super::Configured;
use crate::args::ReachArgs;

/// Connections that lead through others at most, one behind the other; the connector counts the
/// servers.
const DEPTH: usize = 8;

/// What the flags say of the proxy.
///
/// # Errors
/// `configuration`
pub(super) fn proxy(connection: &mut Connection, reach: &ReachArgs) -> Result<()> {
    if let Some(proxy) = &reach.proxy {
        if proxy.password.is_some() {
            return Err(
                Error::configuration("--proxy holds a password, which others can see").with_hint(
                    "give it with --proxy-password-file, or as proxy.password in the configuration",
                ),
            );
        }
        connection.proxy = Some(proxy.clone());
    }
    if let Some(kind) = reach.proxy_type {
        // One that runtime finds has nothing of the configured one.
        match &mut connection.proxy {
            Some(proxy) if kind != ProxyType::Runtime => proxy.kind = kind,
            proxy => *proxy = Some(Proxy::of(kind)),
        }
    }
    let is_more = reach.proxy_host.is_some()
        || reach.proxy_port.is_some()
        || reach.proxy_user.is_some()
        || reach.proxy_password_file.is_some();
    if !is_more {
        return Ok(());
    }
    let Some(proxy) = &mut connection.proxy else {
        return Err(Error::configuration("the proxy's type is not known")
            .with_hint("give --proxy URL, or --proxy-type as well"));
    };
    super::over_option(&mut proxy.host, &reach.proxy_host);
    super::over_option(&mut proxy.port, &reach.proxy_port);
    if reach.proxy_user.is_some() {
        proxy.user.clone_from(&reach.proxy_user);
        // The configured one is that of the configured user.
        proxy.password = None;
    }
    if let Some(file) = &reach.proxy_password_file {
        proxy.password = Some(SecretRef::File(file.clone()));
    }
    Ok(())
}

impl Configured<'_> {
    /// Expands paths, and puts connections in the place of the names of those that are jumped through.
    pub(super) fn settle(&self, connection: &mut Connection) -> Result<()> {
        self.settle_at(connection, 0)
    }

    fn settle_at(&self, connection: &mut Connection, depth: usize) -> Result<()> {
        self.expand(connection);
        if depth > DEPTH {
            return Err(Error::configuration(format!(
                "the way to {} leads through itself",
                connection.host
            ))
            .with_hint("look at the key jump of the connections that it names"));
        }
        for jump in &mut connection.jump {
            if let Jump::Host(name) = jump
                && let Some(named) = self.named_connection(name)?
            {
                *jump = Jump::Connection(Box::new(named));
            }
            if let Jump::Connection(through) = jump {
                self.settle_at(through, depth + 1)?;
            }
        }
        Ok(())
    }

    /// The configured connection of this name, if there is one. No file, no name.
    fn named_connection(&self, name: &str) -> Result<Option<Connection>> {
        if self.path().is_err() {
            return Ok(None);
        }
        let found = self.file()?.connection(name).ok();
        Ok(found.map(|it| it.value.clone()))
    }
}
