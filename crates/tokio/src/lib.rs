//! The tokio driver of [`sansftp_proto`]: moves bytes, time and wake-ups between sockets and the
//! machines of the core.
//!
//! It decides two things that the core leaves open: which credential is tried next
//! ([`Credentials`]), and how long each wait may take ([`Deadlines`]). Everything else is the
//! core's; nothing here knows a message number.
//!
//! ```no_run
//! # async fn f(provider: sansftp_proto::crypto::CryptoProvider) -> Result<(), Box<dyn std::error::Error>> {
//! use sansftp_tokio::{Client, Credentials, Deadlines, Target};
//! use sansftp_proto::session::{Config, Trust};
//!
//! let client = Client::connect(
//!     &Target::new("127.0.0.1", 22),
//!     Config::client(provider),
//!     &Deadlines::default(),
//!     |key| { println!("{:?}", key.key()); Trust::Refused },
//!     Credentials::new("edi").password("secret"),
//! ).await?;
//! let sftp = client.sftp().await?;
//! let mut file = sftp.open_read(b"report.csv").await?;
//! while let Some(chunk) = file.chunk().await? {
//!     println!("{} bytes", chunk.len());
//! }
//! # Ok(()) }
//! ```

#![forbid(unsafe_code)]

mod agent;
mod authenticate;
mod client;
mod deadline;
mod driver;
mod error;
mod host_keys;
mod onward;
mod proxy;
pub mod server;
pub mod sftp;
mod shared;
mod tcp;

pub use agent::Agent;
pub use authenticate::{Answerer, Credentials};
pub use client::Client;
pub use deadline::Deadlines;
pub use error::{ConnectError, Lost, ProxyFailure, Stage};
pub use host_keys::Unproven;
pub use onward::ChannelStream;
pub use proxy::{Proxy, ProxyKind};
pub use sansftp_proto::connection::OpenFailureReason;
pub use tcp::{Target, Way};
