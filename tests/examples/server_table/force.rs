//! One algorithm forced by us on one server: handshake, a file there and back, its bytes compared.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sansftp_crypto::{OsRandom, ZLIB, default_provider, rustcrypto};
use sansftp_keys::read_private_key;
use sansftp_proto::crypto::{Cipher, CryptoProvider, certificate_algorithm};
use sansftp_proto::role::Client as ClientRole;
use sansftp_proto::session::{Algorithms, Config, Trust};
use sansftp_proto::transport::Negotiated;
use sansftp_tokio::sftp::{OpenFlags, Sftp};
use sansftp_tokio::{Client, Credentials, Deadlines, Target};

/// Where a server is, and who is let in.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) key: PathBuf,
    /// Where a session starts.
    pub(crate) home: PathBuf,
}

/// A list of KEXINIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    Kex,
    HostKey,
    Cipher,
    /// Beside ciphers that need one.
    Mac,
    Compression,
}

impl Category {
    pub(crate) const ALL: [Self; 5] = [
        Self::Kex,
        Self::HostKey,
        Self::Cipher,
        Self::Mac,
        Self::Compression,
    ];

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Kex => "Key exchange",
            Self::HostKey => "Host key",
            Self::Cipher => "Cipher",
            Self::Mac => "MAC",
            Self::Compression => "Compression",
        }
    }

    /// All that our providers have of it, the default one's order first.
    pub(crate) fn ours(self) -> Vec<String> {
        let mut all = Vec::new();
        for provider in providers() {
            let names = Algorithms::of(&provider.1);
            let names = match self {
                Self::Kex => names.kex,
                Self::HostKey => {
                    let certified = names.host_key.iter();
                    let certified = certified.filter_map(|it| certificate_algorithm(it));
                    let certified: Vec<_> = certified.map(str::to_owned).collect();
                    [names.host_key, certified].concat()
                }
                Self::Cipher => names.cipher,
                Self::Mac => names.mac,
                Self::Compression => vec![ZLIB.name().to_owned()],
            };
            all.extend(
                names
                    .into_iter()
                    .filter(|it| !all.contains(it))
                    .collect::<Vec<_>>(),
            );
        }
        all
    }

    fn force(self, name: &str, config: &mut Config<ClientRole>) {
        let algorithms = &mut config.algorithms;
        *algorithms = Algorithms::of(&config.provider);
        let only = vec![name.to_owned()];
        match self {
            Self::Kex => algorithms.kex = only,
            Self::HostKey => algorithms.host_key = only,
            Self::Cipher => algorithms.cipher = only,
            Self::Mac => {
                algorithms.cipher = with_mac(&config.provider);
                algorithms.mac = only;
            }
            Self::Compression => config.compression = Some(ZLIB),
        }
    }

    fn is_in(self, agreed: &Negotiated, name: &str) -> bool {
        match self {
            Self::Kex => agreed.kex == name,
            Self::HostKey => agreed.host_key == name,
            Self::Cipher => [agreed.cipher_to_server, agreed.cipher_to_client] == [name; 2],
            Self::Mac => [agreed.mac_to_server, agreed.mac_to_client] == [Some(name); 2],
            Self::Compression => {
                [agreed.compression_to_server, agreed.compression_to_client] == [Some(name); 2]
            }
        }
    }
}

/// The ciphers that a MAC stands beside.
fn with_mac(provider: &CryptoProvider) -> Vec<String> {
    let needs_one = provider.ciphers.iter();
    let needs_one = needs_one.filter(|it| !matches!(it, Cipher::Aead(_)));
    needs_one.map(|it| it.name().to_owned()).collect()
}

/// Whether a server with these ciphers has a use for a MAC that we have a use for, too.
pub(crate) fn has_use_for_mac(ciphers: &[String]) -> bool {
    with_mac(&default_provider())
        .iter()
        .any(|it| ciphers.contains(it))
}

fn providers() -> [(&'static str, CryptoProvider); 2] {
    [
        ("the default", default_provider()),
        ("pure Rust", rustcrypto::provider(Arc::new(OsRandom))),
    ]
}

/// Not a multiple of anything; several packets, several requests.
const SIZE: usize = 300_007;

/// How long one of them may take: a debug build on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tries it with both providers; the reason why it does not work.
pub(crate) async fn works(place: &Place, category: Category, name: &str) -> Result<(), String> {
    for (provider_name, provider) in providers() {
        let mut config = Config::client(provider);
        category.force(name, &mut config);
        let offered = match category {
            Category::Kex => &config.algorithms.kex,
            _ => &config.algorithms.host_key,
        };
        if offered.is_empty() {
            continue;
        }
        tokio::time::timeout(PATIENCE, once(place, config, category, name))
            .await
            .unwrap_or_else(|_| Err("it does not come to an end".to_owned()))
            .map_err(|why| format!("with {provider_name} provider: {why}"))?;
    }
    Ok(())
}

async fn once(
    place: &Place,
    config: Config<ClientRole>,
    category: Category,
    name: &str,
) -> Result<(), String> {
    let text = std::fs::read(&place.key).map_err(words)?;
    let key = read_private_key(&text, None).map_err(words)?.key;
    let key = config.provider.keys.load(&key).map_err(words)?;
    let mut deadlines = Deadlines::default();
    deadlines.connect = PATIENCE;
    let client = Client::connect(
        &Target::new("127.0.0.1", place.port),
        config,
        &deadlines,
        // A table of algorithms: the server was started here a moment ago.
        |_| Trust::Trusted,
        Credentials::new(&place.user).key(key),
    )
    .await
    .map_err(words)?;
    let agreed = client.negotiated().ok_or("nothing was agreed on")?;
    if !category.is_in(&agreed, name) {
        return Err(format!("something else was agreed on: {agreed:?}"));
    }
    let sftp = client.sftp().await.map_err(words)?;
    let done = there_and_back(&sftp, &place.home.join("there")).await;
    client.close().await;
    done
}

async fn there_and_back(sftp: &Sftp, lies: &Path) -> Result<(), String> {
    let data: Vec<u8> = (0..SIZE)
        .map(|at| (at.wrapping_mul(31) >> 3) as u8)
        .collect();
    let mut file = sftp
        .open_write(b"there", OpenFlags::CREATE_NEW)
        .await
        .map_err(words)?;
    let mut offset = 0;
    for piece in data.chunks(100_000) {
        let piece = Bytes::copy_from_slice(piece);
        let next = offset + piece.len() as u64;
        file.write(offset, piece).await.map_err(words)?;
        offset = next;
    }
    file.close().await.map_err(words)?;
    let on_disk = std::fs::read(lies).map_err(words)?;
    let mut file = sftp.open_read(b"there").await.map_err(words)?;
    let mut back = Vec::new();
    while let Some(piece) = file.chunk().await.map_err(words)? {
        back.extend_from_slice(&piece);
    }
    file.close().await.map_err(words)?;
    std::fs::remove_file(lies).map_err(words)?;
    if on_disk != data || back != data {
        return Err("the file has other bytes".to_owned());
    }
    Ok(())
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string().replace('\n', " ")
}
