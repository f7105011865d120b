//! Local files, served to a client that may want more than it is to have: each operation on real
//! directories, everything that has ever led out of one, and the same operations against OpenSSH's
//! sftp-server.

mod against_sftp_server;
mod escape;
mod operations;
mod paths;
mod read_only;
mod swaps;
mod tree;
