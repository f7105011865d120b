//! Between the words of SFTP and those of the connector.

use sansftp_proto::error::{Error as Protocol, printable};
use sansftp_tokio::sftp::{self, FileType, SftpError, StatusCode};

use crate::remote::{Attrs, Entry, FileKind, RemoteError, RemoteErrorKind};

pub(super) fn attrs(attrs: &sftp::Attrs) -> Attrs {
    Attrs {
        kind: match attrs.file_type() {
            None => FileKind::Unknown,
            Some(FileType::Regular) => FileKind::File,
            Some(FileType::Directory) => FileKind::Directory,
            Some(FileType::Symlink) => FileKind::Symlink,
            Some(_) => FileKind::Other,
        },
        size: attrs.size,
        permissions: attrs.mode(),
        uid: attrs.owner.map(|it| it.uid),
        gid: attrs.owner.map(|it| it.gid),
        modified: attrs.times.map(|it| i64::from(it.mtime)),
        accessed: attrs.times.map(|it| i64::from(it.atime)),
    }
}

/// A name that no file can have stays in the listing: what to do with it is decided, and said, where
/// names are.
pub(super) fn entry(listed: sftp::Listed) -> Entry {
    let (sftp::Listed::Entry(entry) | sftp::Listed::Refused(entry)) = listed;
    Entry {
        name: entry.filename,
        attrs: attrs(&entry.attrs),
    }
}

pub(super) fn error(error: SftpError) -> RemoteError {
    let kind = match &error {
        SftpError::Refused(status) => kind(status.code),
        SftpError::Lost(_) => RemoteErrorKind::Disconnected,
        SftpError::Ended(Protocol::PeerMisbehaved(_) | Protocol::InvalidMessage { .. })
        | SftpError::Contradiction(_) => RemoteErrorKind::Misbehaved,
        SftpError::Ended(_) => RemoteErrorKind::Disconnected,
        SftpError::TimedOut { .. } => RemoteErrorKind::Timeout,
        SftpError::TooLong => RemoteErrorKind::BadMessage,
        _ => RemoteErrorKind::Failure,
    };
    let message = match &error {
        SftpError::Refused(status) => printable(&status.message),
        other => other.to_string(),
    };
    RemoteError {
        kind,
        message,
        source: Some(std::sync::Arc::new(error)),
    }
}

const fn kind(code: StatusCode) -> RemoteErrorKind {
    match code {
        StatusCode::NO_SUCH_FILE => RemoteErrorKind::NoSuchFile,
        StatusCode::PERMISSION_DENIED => RemoteErrorKind::Permission,
        StatusCode::BAD_MESSAGE => RemoteErrorKind::BadMessage,
        StatusCode::OP_UNSUPPORTED => RemoteErrorKind::Unsupported,
        StatusCode::NO_CONNECTION | StatusCode::CONNECTION_LOST => RemoteErrorKind::Disconnected,
        // Of later drafts, and sent by some servers to version 3 too.
        FILE_ALREADY_EXISTS => RemoteErrorKind::AlreadyExists,
        NO_SPACE_ON_FILESYSTEM => RemoteErrorKind::NoSpace,
        _ => RemoteErrorKind::Failure,
    }
}

/// SSH_FX_FILE_ALREADY_EXISTS (draft-ietf-secsh-filexfer-13 §9.1).
const FILE_ALREADY_EXISTS: StatusCode = StatusCode(11);
/// SSH_FX_NO_SPACE_ON_FILESYSTEM (draft-ietf-secsh-filexfer-13 §9.1).
const NO_SPACE_ON_FILESYSTEM: StatusCode = StatusCode(14);
