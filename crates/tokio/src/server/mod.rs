//! The server's end of connections: authentication by whatever judges, channels and their requests
//! for the application to answer.

mod authenticate;

pub use authenticate::{Authenticate, Judgement};
