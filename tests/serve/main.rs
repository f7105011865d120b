//! `sansftp serve` as others see it: real clients at work in it, what ssh-audit says of it, crowds and floods of
//! connections, what it costs. Not what only a scripted peer can say (tests/hostile), and not the program's own command
//! line, whose tests lie with it.
//!
//! Needs the clients that `cargo xtask test` installs on Debian; one that is missing fails its test.

mod audit;
mod bounds;
mod clients;
mod compressed;
mod crowd;
mod drops;
mod files;
mod host;
mod host_keys;
mod login;
mod neighbours;
mod process;
