//! The connector over SSH against the embedded server, which plays the servers that there are.

mod cut;
mod rules;
mod servers;
