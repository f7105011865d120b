//! The connector over SSH: one test for each row of the tables of keys, named after the key, against a
//! real sshd; and the rules of moves and names against the embedded server, which plays the servers
//! that there are.
//!
//! Not every combination: those are the connector's own tests.

mod connection;
mod cut;
mod delete;
mod evil;
mod filter;
mod fixture;
mod get;
mod list;
mod listen;
mod old_keys;
mod once;
mod proxies;
mod reach;
mod rows;
mod rules;
mod send;
mod served;
mod servers;
mod slow;
