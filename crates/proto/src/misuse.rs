//! What must not compile, and does not: each confusion that the types rule out, as a test. Not for use, and not part of
//! what the crate offers; the same rules at run time are in the legality matrix of the tests.
//!
//! Whether the error is the one that is meant is checked with the nightly toolchain, or with `RUSTC_BOOTSTRAP=1` set:
//! otherwise a slip of the pen would pass as well.
//!
//! Channels without a proof of authentication:
//! ```compile_fail,E0624
//! use sansftp_proto::{connection::Mux, auth::Authenticated, limits::Limits, role::Client};
//! fn f(proof: Authenticated) -> Mux<Client> {
//!     Mux::new(proof, &Limits::default(), Default::default())
//! }
//! ```
//! A proof of authentication out of nothing:
//! ```compile_fail,E0451
//! use sansftp_proto::auth::{Authenticated, Method};
//! let proof = Authenticated { user: "root".into(), method: Method::None, ..todo!() };
//! ```
//! Authentication before there are keys:
//! ```compile_fail,E0423
//! use sansftp_proto::transport::SessionId;
//! let session = SessionId(std::sync::Arc::from(&b"forged"[..]));
//! ```
//! A server that asks to be authenticated:
//! ```compile_fail,E0599
//! use sansftp_proto::{auth::client::{Credential, Turn}, role::Server, session::Connection};
//! fn f(connection: &mut Connection<Server>, turn: Turn) {
//!     let _ = connection.authenticate(turn, Credential::None { user: "u".into() });
//! }
//! ```
//! A client that judges an attempt:
//! ```compile_fail,E0599
//! use sansftp_proto::{auth::server::{Attempt, Verdict}, role::Client, session::Connection};
//! fn f(connection: &mut Connection<Client>, attempt: Attempt) {
//!     let _ = connection.decide(attempt, Verdict::Accept);
//! }
//! ```
//! One turn spent twice:
//! ```compile_fail,E0382
//! use sansftp_proto::{auth::client::{Credential, Turn}, role::Client, session::Connection};
//! fn f(connection: &mut Connection<Client>, turn: Turn) {
//!     let _ = connection.authenticate(turn, Credential::None { user: "u".into() });
//!     let _ = connection.authenticate(turn, Credential::None { user: "v".into() });
//! }
//! ```
//! A channel request answered twice:
//! ```compile_fail,E0382
//! use sansftp_proto::{connection::{Answer, Mux}, role::Server};
//! fn f(mux: &mut Mux<Server>, answer: Answer) {
//!     mux.answer(answer, true);
//!     mux.answer(answer, false);
//! }
//! ```
//! The question about a host key answered with a turn:
//! ```compile_fail,E0308
//! use sansftp_proto::{auth::client::Turn, role::Client, session::{Connection, Trust}};
//! fn f(connection: &mut Connection<Client>, turn: Turn) {
//!     let _ = connection.judge(turn, Trust::Trusted);
//! }
//! ```
//! `exec` sent to a client:
//! ```compile_fail,E0308
//! use sansftp_proto::{connection::{ChannelId, Mux, ToServer}, role::Server};
//! fn f(mux: &mut Mux<Server>, id: ChannelId) {
//!     let _ = mux.request(id, &ToServer::Shell);
//! }
//! ```
//! An OPEN answered with file data:
//! ```compile_fail,E0308
//! use sansftp_proto::sftp::{Data, Reply, Server, kind};
//! fn f(server: &mut Server, reply: Reply<kind::Handle>) {
//!     server.reply(reply, Ok(Data::default()));
//! }
//! ```
//! The answer to a READ claimed for an OPEN:
//! ```compile_fail,E0308
//! use sansftp_proto::sftp::{Completion, Data, Pending, kind};
//! fn f(open: Pending<kind::Handle>, done: Completion) -> Option<Data> {
//!     open.claim(done).ok()?.ok()
//! }
//! ```
//! A client reading what only clients send:
//! ```compile_fail,E0277
//! use sansftp_proto::{packet::Payload, role::Client, wire};
//! sansftp_proto::messages! { Auth from client; 50 Request {} }
//! fn f(payload: &Payload<Client, wire::Auth>) {
//!     let _ = payload.read::<Request>();
//! }
//! ```
//! A channel message read as part of authentication:
//! ```compile_fail,E0271
//! use sansftp_proto::{packet::Payload, role::Client, wire};
//! sansftp_proto::messages! { Connection from both; 97 Close { recipient: u32 } }
//! fn f(payload: &Payload<Client, wire::Auth>) {
//!     let _ = payload.read::<Close>();
//! }
//! ```
//! A payload read before it is decided whose it is:
//! ```compile_fail,E0599
//! use sansftp_proto::{packet::Payload, role::Client};
//! sansftp_proto::messages! { Connection from both; 97 Close { recipient: u32 } }
//! fn f(payload: &Payload<Client>) {
//!     let _ = payload.read::<Close>();
//! }
//! ```
//! A client asking SFTP for what only servers say:
//! ```compile_fail,E0277
//! use sansftp_proto::sftp::{Client, messages::HandleReply};
//! fn f(client: &mut Client) {
//!     let _ = client.send(&HandleReply { handle: b"" });
//! }
//! ```
//! A message numbered outside its layer:
//! ```compile_fail,E0080
//! sansftp_proto::messages! { Auth from client; 90 Wrong {} }
//! ```
//! A third role:
//! ```compile_fail,E0277
//! use sansftp_proto::{role::{Client, Role}, session::ClientEvent};
//! #[derive(Debug)]
//! enum Proxy {}
//! impl Role for Proxy {
//!     type Peer = Proxy;
//!     type Event = ClientEvent;
//! }
//! ```
//!
//! And what compiles, so that the above fail for their own reasons:
//! ```
//! use sansftp_proto::auth::client::{Credential, Turn};
//! use sansftp_proto::auth::server::{Attempt, Verdict};
//! use sansftp_proto::connection::{Answer, ChannelId, Mux, ToClient, ToServer};
//! use sansftp_proto::packet::Payload;
//! use sansftp_proto::role::{Client, Server};
//! use sansftp_proto::session::{Connection, HostKey, Trust};
//! use sansftp_proto::sftp::{self, Completion, Handle, Pending, Reply, kind};
//! use sansftp_proto::wire;
//!
//! sansftp_proto::messages! { Auth from server; 53 Banner {} }
//! sansftp_proto::messages! { Connection from both; 97 Close { recipient: u32 } }
//!
//! fn client(connection: &mut Connection<Client>, key: HostKey, turn: Turn) {
//!     let _ = connection.judge(key, Trust::Trusted);
//!     let _ = connection.authenticate(turn, Credential::None { user: "u".into() });
//! }
//! fn server(connection: &mut Connection<Server>, attempt: Attempt) {
//!     let _ = connection.decide(attempt, Verdict::Accept);
//! }
//! fn channels(ours: &mut Mux<Client>, theirs: &mut Mux<Server>, id: ChannelId, answer: Answer) {
//!     let _ = ours.request(id, &ToServer::Shell);
//!     let _ = theirs.request(id, &ToClient::ExitStatus(0));
//!     theirs.answer(answer, true);
//! }
//! fn files(server: &mut sftp::Server, reply: Reply<kind::Handle>, handle: Handle) {
//!     server.reply(reply, Ok(handle));
//! }
//! fn answer(open: Pending<kind::Handle>, done: Completion) -> Option<Handle> {
//!     open.claim(done).ok()?.ok()
//! }
//! fn messages(auth: &Payload<Client, wire::Auth>, connection: &Payload<Client, wire::Connection>) {
//!     let _ = auth.read::<Banner>();
//!     let _ = connection.read::<Close>();
//! }
//! ```
