//! What an exported component says: a connection, a Get or a Send of the original, in its own words.
//!
//! Not what becomes of it: nothing here knows a key of ours. What is missing has the original's
//! default; what cannot be understood and what nobody knows is kept by its path.

use super::xml::Element;

/// A component.
#[derive(Debug)]
pub(super) struct Component {
    /// Its name; empty when it has none.
    pub(super) name: String,
    /// The folder that it lies in; empty when unknown.
    pub(super) folder: String,
    /// What somebody wrote about it; empty when nobody did.
    pub(super) description: String,
    /// Whether it was deleted at the platform.
    pub(super) deleted: bool,
    /// What it is.
    pub(super) kind: Kind,
    /// The paths of what was not understood, and why where that is not simply that it is unknown.
    pub(super) unknown: Vec<String>,
}

/// What a component is.
#[derive(Debug)]
pub(super) enum Kind {
    /// `SFTPSettings`.
    Settings(Box<Settings>),
    /// `SFTPGetAction`.
    Get(GetAction, Archiving),
    /// `SFTPSendAction`.
    Send(SendAction, Archiving),
}

/// `SFTPSettings` with all that lies in it. Texts may be empty.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) user: String,
    /// Whether there is one; what there is was encrypted by the platform.
    pub(super) password: Given,
    pub(super) proxy: Proxy,
    pub(super) key: Given,
    pub(super) key_path: String,
    pub(super) key_password: Given,
    pub(super) known_hosts: Vec<String>,
    /// `dhKeySizeMax1024`.
    pub(super) short_groups: bool,
}

/// Whether something is set or switched on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Yes,
    No,
}

/// `ProxySettings`.
#[derive(Debug)]
pub(super) struct Proxy {
    pub(super) enabled: Given,
    pub(super) kind: ProxyKind,
    pub(super) host: String,
    pub(super) port: Option<u16>,
    pub(super) user: String,
    pub(super) password: Given,
}

/// Its `type`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ProxyKind {
    /// What the platform's own runtime goes through.
    Atom,
    Http,
    Socks4,
    Socks5,
    /// None of these.
    Other(String),
}

/// `SFTPGetAction`.
#[derive(Debug)]
pub(super) struct GetAction {
    pub(super) action: GetKind,
    pub(super) file_filter: String,
    pub(super) max_files: usize,
    pub(super) remote_directory: String,
    pub(super) move_to_directory: String,
    pub(super) force_move: bool,
}

/// Its `sftpaction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GetKind {
    Get,
    Delete,
    Move,
}

/// `SFTPSendAction`.
#[derive(Debug)]
pub(super) struct SendAction {
    pub(super) action: SendKind,
    pub(super) remote_directory: String,
    pub(super) move_to_directory: String,
    pub(super) force_move: bool,
}

/// Its `sftpaction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SendKind {
    Rename,
    Append,
    Error,
    Overwrite,
}

/// `Archiving`: a copy of each document on the platform's own disk.
#[derive(Debug)]
pub(super) struct Archiving {
    pub(super) enabled: Given,
    pub(super) directory: String,
}

/// What the platform notes of every component: where it lies there and who changed it when.
const ADMINISTRATION: &[&str] = &[
    "componentId",
    "version",
    "currentVersion",
    "folderName",
    "folderId",
    "branchName",
    "branchId",
    "createdDate",
    "createdBy",
    "modifiedDate",
    "modifiedBy",
    "copiedFromComponentId",
    "copiedFromComponentVersion",
];

impl Component {
    /// Reads a component.
    ///
    /// # Errors
    /// It is no component, or one of another kind; or an action is one that nobody knows.
    pub(super) fn read(document: &[u8]) -> Result<Self, String> {
        let mut root = Element::parse(document)
            .map_err(|error| format!("this is not the XML of a component: {error}"))?;
        if root.name != "Component" {
            return Err(format!(
                "this is not a component: its outermost element is {}, not Component",
                root.name
            ));
        }
        let mut reading = Reading::default();
        let kind = root.take("type").unwrap_or_default();
        let sub_kind = root.take("subType").unwrap_or_default();
        let name = root.take("name").unwrap_or_default();
        let folder = root.take("folderFullPath").unwrap_or_default();
        let deleted = root.take("deleted").as_deref() == Some("true");
        root.ignore(ADMINISTRATION);
        let encrypted = reading.encrypted(&mut root);
        let description = root
            .child("description")
            .map(|mut it| it.text())
            .unwrap_or_default();
        let another = format!(
            "this is another kind of component (type '{kind}', subType '{sub_kind}'): it has neither \
             SFTPSettings nor SFTPGetAction nor SFTPSendAction"
        );
        let Some(mut object) = root.child("object") else {
            return Err(another);
        };
        let kind = if let Some(settings) = object.child("SFTPSettings") {
            Kind::Settings(Box::new(reading.settings(settings, &encrypted)))
        } else if let Some(operation) = object.child("Operation") {
            reading.operation(operation)?.ok_or(another)?
        } else {
            return Err(another);
        };
        reading.leave(&object, "/Component");
        reading.leave(&root, "");
        Ok(Self {
            name,
            folder,
            description,
            deleted,
            kind,
            unknown: reading.unknown,
        })
    }
}

const OBJECT: &str = "/Component/object";
const SETTINGS: &str = "/Component/object/SFTPSettings";
const OPERATION: &str = "/Component/object/Operation";
const CONFIGURATION: &str = "/Component/object/Operation/Configuration";

/// A component that is being read, and what of it was not understood.
#[derive(Default)]
struct Reading {
    unknown: Vec<String>,
}

impl Reading {
    fn leave(&mut self, element: &Element, above: &str) {
        element.left(above, &mut self.unknown);
    }

    /// The paths of the values that the platform has encrypted.
    fn encrypted(&mut self, root: &mut Element) -> Vec<String> {
        let mut paths = Vec::new();
        let Some(mut values) = root.child("encryptedValues") else {
            return paths;
        };
        while let Some(mut value) = values.child("encryptedValue") {
            let path = value.take("path").unwrap_or_default();
            if value.take("isSet").as_deref() == Some("true") {
                paths.push(path);
            }
            self.leave(&value, "/Component/encryptedValues");
        }
        self.leave(&values, "/Component");
        paths
    }

    fn settings(&mut self, mut settings: Element, encrypted: &[String]) -> Settings {
        let secret = |value: Option<String>, path: &str| {
            let named = encrypted.iter().any(|it| it.ends_with(path));
            let stands = value.is_some_and(|value| !value.is_empty());
            given(named || stands)
        };
        let host = settings.take("host").unwrap_or_default();
        let port = self.port(&mut settings, SETTINGS);
        let mut auth = settings.child("AuthSettings").unwrap_or_default();
        let user = auth.take("user").unwrap_or_default();
        let password = secret(auth.take("password"), "AuthSettings/@password");
        let mut proxy = settings.child("ProxySettings").unwrap_or_default();
        let proxy_password = secret(proxy.take("password"), "ProxySettings/@password");
        let mut options = settings.child("SSHOptions").unwrap_or_default();
        let key_password = secret(options.take("sshkeypassword"), "SSHOptions/@sshkeypassword");
        let key = self.switch(&mut options, "sshkeyauth", SETTINGS);
        let short_groups = self.switch(&mut options, "dhKeySizeMax1024", SETTINGS);
        let read = Settings {
            host,
            port,
            user,
            password,
            proxy: self.proxy(&mut proxy, proxy_password),
            key,
            key_path: options.take("sshkeypath").unwrap_or_default(),
            key_password,
            known_hosts: self.known_hosts(&mut options),
            short_groups: short_groups == Given::Yes,
        };
        for part in [&auth, &proxy, &options] {
            self.leave(part, SETTINGS);
        }
        self.leave(&settings, OBJECT);
        read
    }

    fn proxy(&mut self, proxy: &mut Element, password: Given) -> Proxy {
        let kind = proxy.take("type").unwrap_or_default();
        Proxy {
            enabled: self.switch(proxy, "proxyEnabled", SETTINGS),
            kind: match kind.to_ascii_uppercase().as_str() {
                "" | "ATOM" => ProxyKind::Atom,
                "HTTP" => ProxyKind::Http,
                "SOCKS4" => ProxyKind::Socks4,
                "SOCKS5" => ProxyKind::Socks5,
                _ => ProxyKind::Other(kind),
            },
            host: proxy.take("host").unwrap_or_default(),
            port: self.port(proxy, SETTINGS),
            user: proxy.take("user").unwrap_or_default(),
            password,
        }
    }

    /// What an operation does; `None` when it is none of SFTP.
    fn operation(&mut self, mut operation: Element) -> Result<Option<Kind>, String> {
        let mut archiving = operation.child("Archiving").unwrap_or_default();
        let archived = Archiving {
            enabled: self.switch(&mut archiving, "enabled", OPERATION),
            directory: archiving.take("directory").unwrap_or_default(),
        };
        self.leave(&archiving, OPERATION);
        let Some(mut configuration) = operation.child("Configuration") else {
            return Ok(None);
        };
        let kind = if let Some(action) = configuration.child("SFTPGetAction") {
            Kind::Get(self.get(action)?, archived)
        } else if let Some(action) = configuration.child("SFTPSendAction") {
            Kind::Send(self.send(action)?, archived)
        } else {
            return Ok(None);
        };
        if let Some(mut tracking) = operation.child("Tracking") {
            if let Some(fields) = tracking.child("TrackedFields") {
                self.leave(&fields, "/Component/object/Operation/Tracking");
            }
            self.leave(&tracking, OPERATION);
        }
        if let Some(caching) = operation.child("Caching") {
            self.leave(&caching, OPERATION);
        }
        self.leave(&configuration, OPERATION);
        self.leave(&operation, OBJECT);
        Ok(Some(kind))
    }

    fn get(&mut self, mut action: Element) -> Result<GetAction, String> {
        let kind = match action.take("sftpaction").unwrap_or_default().as_str() {
            "" | "actionget" => GetKind::Get,
            "actiongetdelete" => GetKind::Delete,
            "actiongetmove" => GetKind::Move,
            other => return Err(unknown_action(other)),
        };
        let read = GetAction {
            action: kind,
            file_filter: action.take("fileToMove").unwrap_or_default(),
            max_files: self
                .number(&mut action, "maxFileCount", CONFIGURATION)
                .unwrap_or(0),
            remote_directory: action.take("remoteDirectory").unwrap_or_default(),
            move_to_directory: action.take("moveToDirectory").unwrap_or_default(),
            force_move: self.force_move(&mut action),
        };
        self.leave(&action, CONFIGURATION);
        Ok(read)
    }

    fn send(&mut self, mut action: Element) -> Result<SendAction, String> {
        let kind = match action.take("sftpaction").unwrap_or_default().as_str() {
            "" | "actionputrename" => SendKind::Rename,
            "actionputappend" => SendKind::Append,
            "actionputerror" => SendKind::Error,
            "actionputoverwrite" => SendKind::Overwrite,
            other => return Err(unknown_action(other)),
        };
        let read = SendAction {
            action: kind,
            remote_directory: action.take("remoteDirectory").unwrap_or_default(),
            move_to_directory: action.take("moveToDirectory").unwrap_or_default(),
            force_move: self.force_move(&mut action),
        };
        self.leave(&action, CONFIGURATION);
        Ok(read)
    }

    fn force_move(&mut self, action: &mut Element) -> bool {
        self.switch(action, "moveToForceOverride", CONFIGURATION) == Given::Yes
    }

    /// A yes or no; missing is no.
    fn switch(&mut self, element: &mut Element, name: &str, above: &str) -> Given {
        match element.take(name).as_deref() {
            Some("true") => Given::Yes,
            None | Some("" | "false") => Given::No,
            Some(_) => {
                let path = format!("{above}/{}/@{name}", element.name);
                self.unknown
                    .push(format!("{path} (neither true nor false; taken as false)"));
                Given::No
            }
        }
    }

    fn number<T: std::str::FromStr>(
        &mut self,
        element: &mut Element,
        name: &str,
        above: &str,
    ) -> Option<T> {
        let value = element.take(name).filter(|value| !value.is_empty())?;
        let number = value.parse().ok();
        if number.is_none() {
            let path = format!("{above}/{}/@{name}", element.name);
            self.unknown
                .push(format!("{path} (no number that can be; left out)"));
        }
        number
    }

    /// One entry a line, as an element or as an attribute, each once.
    fn known_hosts(&mut self, options: &mut Element) -> Vec<String> {
        let mut texts = vec![options.take("knownHostEntry").unwrap_or_default()];
        while let Some(mut entry) = options.child("knownHostEntry") {
            texts.push(entry.text());
            self.leave(&entry, "/Component/object/SFTPSettings/SSHOptions");
        }
        let mut entries: Vec<String> = Vec::new();
        for line in texts.iter().flat_map(|text| text.lines()).map(str::trim) {
            if !line.is_empty() && !entries.iter().any(|entry| entry == line) {
                entries.push(line.to_owned());
            }
        }
        entries
    }

    fn port(&mut self, element: &mut Element, above: &str) -> Option<u16> {
        let above = if element.name == "SFTPSettings" {
            OBJECT
        } else {
            above
        };
        self.number(element, "port", above).filter(|&port| port > 0)
    }
}

fn given(yes: bool) -> Given {
    if yes { Given::Yes } else { Given::No }
}

fn unknown_action(action: &str) -> String {
    format!("its sftpaction '{action}' is none that is known")
}
