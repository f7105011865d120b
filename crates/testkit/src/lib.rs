//! Test tools of the workspace: what more than one package's tests need. Not published, and no part of what users build.
//!
//! Everything here may panic with a sentence: the caller is a test, a fuzz target or a benchmark.

pub mod faultproxy;
mod fixture;
pub mod fuzz;
pub mod inetd;
pub mod link;
pub mod memfs;
pub mod null;
pub mod pair;
pub mod peer;
pub mod recording;
pub mod seeds;
pub mod serve;
pub mod session;
pub mod sshd;
pub mod suite;
