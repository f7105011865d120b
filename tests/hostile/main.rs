//! Clients that break the rules, against a whole server: core, driver, SFTP engine and local files, over a socket. What
//! others' servers fell for, row by row, as far as a running server has a part in it.
//!
//! Not the core's own matrix of messages and phases (tests/proto/matrix.rs), nor paths that lead out of the served directory
//! (the server's own tests).

mod before_login;
mod channels;
mod server;
mod sftp;
