//! The server's side of SFTP: what is served, and the session that serves it.

mod file_system;

pub use file_system::{Directory, File, FileId, FileSystem, Outcome};
