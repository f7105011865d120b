//! Messages: what reads, written and read again, is the same (RFC 4251 §5).

use crate::peer::messages as ssh;
use bytes::BytesMut;
use sansftp_proto::sftp::messages as sftp;
use sansftp_proto::wire::{Message, Reader};

/// Reads `data` as each message that there is.
#[expect(
    elided_lifetimes_in_paths,
    reason = "some of the messages in one list borrow, and some do not"
)]
pub fn wire(data: &[u8]) {
    macro_rules! each {
        ($($module:ident: $($Name:ident)*;)*) => { $($( {
            let written = read(data).map(|it: $module::$Name| write(&it));
            if let Some(written) = written {
                // Not longer than what was read, but where texts had been left out.
                assert!(written.len() <= data.len() + 8, stringify!($Name));
                let again: Option<$module::$Name> = read(&written);
                let again = again.expect("what we write can be read");
                assert_eq!(write(&again), written, stringify!($Name));
            }
        } )*)* };
    }
    each! {
        ssh: Disconnect Ignore Unimplemented Debug ExtInfo KexInit NewKeys KexStart KexReply Ping Pong ServiceRequest
            ServiceAccept AuthRequest AuthFailure AuthSuccess Banner PkOk InfoResponse GlobalRequest GlobalSuccess
            GlobalFailure Open OpenConfirmation OpenFailure WindowAdjust Data ExtendedData Eof Close Request Success
            Failure;
        sftp: Init Open Close Read Write Lstat Fstat Setstat Fsetstat Opendir Readdir Remove Mkdir Rmdir Realpath
            Stat Rename Readlink Symlink Extended Version StatusReply HandleReply DataReply NameReply AttrsReply
            ExtendedReply;
    }
}

/// The message, if `bytes` are one wholly.
fn read<'a, M: Message<'a>>(bytes: &'a [u8]) -> Option<M> {
    let mut reader = Reader::new(bytes);
    let message = M::read_body(&mut reader).ok()?;
    reader.finish().is_ok().then_some(message)
}

fn write<'a, M: Message<'a>>(message: &M) -> BytesMut {
    let mut out = BytesMut::new();
    message.write_body(&mut out);
    out
}
