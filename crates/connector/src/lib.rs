//! A file connector: reusable connections and operations over documents.
//!
//! | word | type | meaning |
//! |---|---|---|
//! | connection | [`Connection`](connection::Connection) | one account on one server; plain data |
//! | operation | [`Operation`](operation::Operation) | what to do there; plain data |
//! | document | [`Document`](document::Document) | a body (a file, bytes, a stream) and its properties |
//! | step | [`Connector::run`] | a connection, an operation and documents: one session, one call per document |
//! | process | [`Process`](process::Process) | steps in order; what comes out of one goes into the next |
//! | outcome | [`Outcome`](outcome::Outcome) | what became of one document or file, or its typed [`Error`] |
//!
//! Connections and operations are read by serde from whatever a program keeps its settings in, with
//! kebab-case keys:
//! ```
//! use sansftp_connector::connection::Connection;
//! use sansftp_connector::operation::Operation;
//!
//! let connection: Connection = toml::from_str(
//!     "host = 'sftp.partner.example'
//!      user = 'edi'
//!      private-key = '~/keys/partner.ppk'
//!      passphrase = { env = 'PARTNER_KEY' }
//!      known-host = 'sftp.partner.example ssh-ed25519 AAAA'",
//! )?;
//! let operation: Operation = serde_json::from_str(
//!     r#"{ "action": "get-and-move", "file-filter": "ord*.csv", "move-to-directory": "done" }"#,
//! )?;
//! assert_eq!(connection.port, 22);
//! assert!(matches!(operation, Operation::Get(_)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Running
//! A [`Connector`] runs an operation over a stream of documents and yields a stream of outcomes. Get
//! delivers into a local directory, or hands over each document while it arrives; its source is
//! deleted or moved only once whoever took it has confirmed the
//! [`Delivery`](document::Delivery). Here with a server in memory; with a real one the first argument
//! of [`Connector::new`] is [`SftpConnect::prepare`](sftp::SftpConnect::prepare):
//! ```
//! use futures_util::{StreamExt, stream};
//! use sansftp_connector::connection::Connection;
//! use sansftp_connector::document::{Body, Document};
//! use sansftp_connector::mem::{Behaviour, HOME, Server};
//! use sansftp_connector::operation::{Get, GetAction, Operation};
//! use sansftp_connector::{Connector, Destination};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = Server::new(Behaviour::openssh());
//! let order = format!("{HOME}/order.csv");
//! server.files(|files| files.put(&order, "bolt,0.12"));
//!
//! let connection = Connection { host: "in memory".to_owned(), ..Connection::default() };
//! let get = Operation::Get(Get { action: GetAction::GetAndDelete, ..Get::default() });
//! let (sender, mut documents) = tokio::sync::mpsc::channel(1);
//! let outcomes = Connector::new(server.clone(), connection)
//!     .with_destination(Destination::Documents(sender))
//!     .run(get, stream::iter([Document::empty()]));
//!
//! let receiving = async {
//!     let document = documents.recv().await.expect("there is one file");
//!     let Body::Stream(mut chunks) = document.body else { unreachable!("Get streams") };
//!     let mut read = Vec::new();
//!     while let Some(chunk) = chunks.next().await {
//!         read.extend_from_slice(&chunk.expect("nothing fails here"));
//!     }
//!     document.delivery.expect("Get waits for it").confirm();
//!     read
//! };
//! let (read, outcomes) = tokio::join!(receiving, outcomes.collect::<Vec<_>>());
//! assert_eq!(read, b"bolt,0.12");
//! assert!(outcomes[0].delivered && outcomes[0].error.is_none());
//! assert!(server.files(|files| files.content(&order).is_none()), "it was deleted there");
//! # Ok(())
//! # }
//! ```
//!
//! # What it rests on
//! Nothing but [`sftp`] knows SSH: everything goes through the traits of [`remote`], of which
//! [`mem`] is an implementation for tests, with servers of several kinds and their faults. A
//! [`journal`] makes what is fetched and sent survive the end of a process. It runs on tokio; what
//! blocks (local files, the journal, secrets) is done on threads of their own.

pub mod connection;
pub mod document;
pub mod error;
mod filter;
pub mod journal;
mod keys;
pub mod listen;
pub mod local;
pub mod mem;
mod names;
pub mod operation;
pub mod outcome;
mod path;
pub mod plan;
pub mod process;
pub mod progress;
pub mod remote;
mod retry;
mod run;
mod secret;
pub mod sftp;
pub mod transcript;
mod units;

pub use error::{Class, Error, Result};
pub use filter::{DotRule, Expression, NameFilter};
pub use keys::keys_of;
pub use names::{is_base_name, is_ours};
pub use path::printable;
pub use run::{Cancel, Connector, Destination, Outcomes};
pub use units::parse_duration;
