//! What a public-key request says and what its signature covers (RFC 4252 §7), once for both ends:
//! the client signs what it sends, the server verifies what it would have signed itself.

use super::messages::Request;
use super::{CONNECTION_SERVICE, Method};
use crate::crypto::PublicKey;
use crate::transport::SessionId;
use crate::wire::{Field, Message, Rest};
use bytes::{Bytes, BytesMut};

/// Whether a request brings a signature or only asks whether one would be welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Is this key acceptable? The boolean of RFC 4252 §7 is FALSE, and nothing follows the key.
    Probe,
    /// The boolean is TRUE; the signature follows.
    Proof,
}

/// The request up to, and without, its signature.
pub(super) fn request(user: &str, purpose: Purpose, algorithm: &str, key: &PublicKey) -> BytesMut {
    let mut out = BytesMut::new();
    write_head(&mut out, user, Method::PublicKey);
    (purpose == Purpose::Proof).write(&mut out);
    algorithm.write(&mut out);
    (&key.as_bytes()[..]).write(&mut out);
    out
}

/// What is signed: the session id, so that a signature is of use on no other connection, and the
/// request from its message number to the key.
pub(super) fn signed_data(
    session: &SessionId,
    user: &str,
    algorithm: &str,
    key: &PublicKey,
) -> Bytes {
    let mut out = BytesMut::new();
    session.as_bytes().write(&mut out);
    out.extend_from_slice(&request(user, Purpose::Proof, algorithm, key));
    out.freeze()
}

/// The fields that every USERAUTH_REQUEST begins with (RFC 4252 §5).
pub(super) fn write_head(out: &mut BytesMut, user: &str, method: Method) {
    let service = CONNECTION_SERVICE.as_bytes();
    Request {
        user,
        service,
        method: method.name().as_bytes(),
        rest: Rest(&[]),
    }
    .write(out);
}
