//! The core as a whole, without sockets: two connections opposite each other, or one opposite a scripted peer. What is
//! inside one module is tested beside it.

mod certificates;
mod failing;
mod fuzz_bodies;
mod groups;
mod handshake;
mod host_keys;
mod hybrids;
mod load;
mod matrix;
mod middle;
mod pair;
mod pair_policy;
mod recordings;
mod scripts;
mod sftp;
mod stalls;
mod swindles;
mod timers;
