//! The server's end of connections: who comes in and how many, authentication by whatever judges,
//! channels and their requests for the application to answer.
//!
//! ```no_run
//! # use sansftp_proto::{role, session::Config};
//! # use sansftp_tokio::server::{Authenticate, Bounds, Gate, Incoming, Listener, Session};
//! # async fn f<A: Authenticate>(config: Config<role::Server>, users: impl Fn() -> A) -> std::io::Result<()> {
//! let config = std::sync::Arc::new(config);
//! let mut listener = Listener::bind("127.0.0.1:2022", Gate::new(Bounds::default())).await?;
//! loop {
//!     let arrival = listener.next().await;
//!     let (config, users) = (config.clone(), users());
//!     tokio::spawn(async move {
//!         let Ok(mut session) = Session::accept(arrival.stream, config, users).await else { return };
//!         if session.admit(arrival.entrance).is_err() { return }
//!         while let Ok(incoming) = session.next().await {
//!             let Incoming::Session(offer) = incoming else { continue };
//!             let Some(mut channel) = offer.accept() else { continue };
//!             tokio::spawn(async move {
//!                 while let Some(asked) = channel.next().await {
//!                     println!("{:?}", asked.request); // and refused, as it is dropped
//!                 }
//!             });
//!         }
//!     });
//! }
//! # }
//! ```

mod authenticate;
mod channel;
mod channels;
mod delay;
mod gate;
mod handle;
mod listener;
mod session;
mod stream;

pub use authenticate::{Authenticate, Judgement};
pub use channel::{ChannelRequest, Incoming, Offered, Serving, SessionChannel};
pub(crate) use channels::Channels;
pub use gate::{Bounds, Entrance, Gate, TooMany};
pub use listener::{Arrival, Listener};
pub use sansftp_proto::connection::{OpenFailureReason, Pty, ToServer, WindowSize};
pub use sansftp_proto::error::DisconnectReason;
pub use session::{AcceptError, Session};
pub use stream::{ChannelStream, Stderr};
