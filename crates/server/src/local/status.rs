//! What the system's errors are for a client (draft-ietf-secsh-filexfer-02 §7): the codes are those
//! that OpenSSH's sftp-server answers, so that clients read them as they are used to; the words are
//! ours, are the same for every file, and name no path.

use rustix::io::Errno;
use sansftp_proto::sftp::StatusCode as Code;
use sansftp_proto::sftp::{Status, StatusCode};

/// The status of an error.
pub(super) fn of(errno: Errno) -> Status {
    TABLE
        .iter()
        .find(|(known, ..)| *known == errno)
        .map_or_else(
            || Status::new(StatusCode::FAILURE),
            |&(_, code, text)| match text {
                "" => Status::new(code),
                text => Status::with_text(code, text),
            },
        )
}

/// Words are left out where the code's own say everything.
const TABLE: &[(Errno, StatusCode, &str)] = &[
    (Errno::NOENT, Code::NO_SUCH_FILE, ""),
    (
        Errno::NOTDIR,
        Code::NO_SUCH_FILE,
        "a part of the path is not a directory",
    ),
    (
        Errno::LOOP,
        Code::NO_SUCH_FILE,
        "too many symbolic links, or one that is not followed",
    ),
    (Errno::ACCESS, Code::PERMISSION_DENIED, ""),
    (
        Errno::PERM,
        Code::PERMISSION_DENIED,
        "the operation is not permitted",
    ),
    (
        Errno::NAMETOOLONG,
        Code::BAD_MESSAGE,
        "the name or the path is too long",
    ),
    (
        Errno::INVAL,
        Code::BAD_MESSAGE,
        "the operation does not make sense on this file",
    ),
    (
        Errno::NOSYS,
        Code::OP_UNSUPPORTED,
        "the system does not support this",
    ),
    (
        Errno::OPNOTSUPP,
        Code::FAILURE,
        "the file system does not support this",
    ),
    (Errno::EXIST, Code::FAILURE, "the file exists already"),
    (Errno::NOTEMPTY, Code::FAILURE, "the directory is not empty"),
    (Errno::ISDIR, Code::FAILURE, "it is a directory"),
    (
        Errno::XDEV,
        Code::FAILURE,
        "the two paths are on different file systems",
    ),
    (Errno::ROFS, Code::FAILURE, "the file system is read-only"),
    (Errno::NOSPC, Code::FAILURE, "no space is left"),
    (Errno::DQUOT, Code::FAILURE, "the disk quota is used up"),
    (
        Errno::FBIG,
        Code::FAILURE,
        "the file would be too large for its file system",
    ),
    (Errno::MLINK, Code::FAILURE, "too many links"),
    (Errno::BUSY, Code::FAILURE, "the file is in use"),
    (
        Errno::TXTBSY,
        Code::FAILURE,
        "the file is a program that is running",
    ),
    (
        Errno::AGAIN,
        Code::FAILURE,
        "the file is busy; it can be tried again",
    ),
    (
        Errno::MFILE,
        Code::FAILURE,
        "the server has too many files open",
    ),
    (
        Errno::NFILE,
        Code::FAILURE,
        "the server's system has too many files open",
    ),
    (Errno::NOMEM, Code::FAILURE, "the server is out of memory"),
    (Errno::IO, Code::FAILURE, "an input or output error"),
    (
        Errno::STALE,
        Code::FAILURE,
        "the file is gone from its file server",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_is_told_as_clients_are_used_to() {
        let code = |errno| of(errno).code;
        assert_eq!(code(Errno::NOENT), StatusCode::NO_SUCH_FILE);
        assert_eq!(code(Errno::NOTDIR), StatusCode::NO_SUCH_FILE);
        assert_eq!(code(Errno::ACCESS), StatusCode::PERMISSION_DENIED);
        assert_eq!(code(Errno::NAMETOOLONG), StatusCode::BAD_MESSAGE);
        assert_eq!(code(Errno::EXIST), StatusCode::FAILURE);
        assert_eq!(of(Errno::CHILD), Status::new(StatusCode::FAILURE));
        assert_eq!(of(Errno::NOENT), Status::new(StatusCode::NO_SUCH_FILE));
        assert_eq!(&*of(Errno::NOSPC).message, b"no space is left");
    }

    #[test]
    fn no_error_is_in_the_table_twice() {
        for (index, (errno, ..)) in TABLE.iter().enumerate() {
            assert!(TABLE[..index].iter().all(|(it, ..)| it != errno), "{errno}");
        }
    }
}
