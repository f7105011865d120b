//! The connector against a stock OpenSSH `sshd`: each action, each rule, and what goes wrong.
//!
//! Not the decisions, which are tested on servers in memory with a fault at every call; here is
//! what only a real server shows.

#[path = "openssh/fixture.rs"]
mod fixture;
#[path = "openssh/get.rs"]
mod get;
#[path = "openssh/host_certificates.rs"]
mod host_certificates;
#[path = "openssh/lost.rs"]
mod lost;
#[path = "openssh/many.rs"]
mod many;
#[path = "openssh/proxies.rs"]
mod proxies;
#[path = "openssh/reach.rs"]
mod reach;
#[path = "openssh/refused.rs"]
mod refused;
#[path = "openssh/send.rs"]
mod send;
