//! The server's end of the driver, with clients of every kind: who comes in, what channels carry, who
//! disturbs whom.

mod auth;
mod channels;
mod far;
mod flow;
mod gate;
mod peer;
mod sftp;
mod spread;
