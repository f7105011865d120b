//! Writes `openssh-key-v1` (OpenSSH PROTOCOL.key), not encrypted.

use super::openssh::{MAGIC, PLAIN_BLOCK};
use base64ct::{Base64, Encoding};
use bytes::{BufMut, BytesMut};
use sansftp_proto::crypto::PrivateKey;
use sansftp_proto::wire::{Field, Unsigned};
use zeroize::{Zeroize, Zeroizing};

/// Writes a key as `ssh-keygen` would without a passphrase, armour and last line end included.
///
/// `check_number` is any random number; it would tell a wrong passphrase, if there were one.
/// Whoever stores the text makes the file mode 0600 before anything is in it.
pub fn write_openssh(key: &PrivateKey, comment: &str, check_number: u32) -> Zeroizing<String> {
    // Room for everything, so that growing leaves no copy behind: numbers of a key are at most as
    // long as a few times its public half.
    let public = key.public_key();
    let room = 8 * public.as_bytes().len() + comment.len() + 1024;

    let mut content = BytesMut::with_capacity(room);
    content.put_u32(check_number);
    content.put_u32(check_number);
    write_key(key, &mut content);
    comment.write(&mut content);
    let padding = content.len().next_multiple_of(PLAIN_BLOCK) - content.len();
    content.extend((1u8..).take(padding));

    let mut file = BytesMut::with_capacity(2 * room);
    file.put_slice(MAGIC);
    "none".write(&mut file);
    "none".write(&mut file);
    "".write(&mut file);
    1u32.write(&mut file);
    public.as_bytes().as_ref().write(&mut file);
    content.as_ref().write(&mut file);
    content.as_mut().zeroize();

    let base64 = Zeroizing::new(Base64::encode_string(&file));
    file.as_mut().zeroize();
    let mut text = Zeroizing::new(String::with_capacity(
        base64.len() + base64.len() / 70 + 128,
    ));
    text.push_str("-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let mut rest = base64.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at_checked(70).unwrap_or((rest, ""));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str("-----END OPENSSH PRIVATE KEY-----\n");
    text
}

fn write_key(key: &PrivateKey, out: &mut BytesMut) {
    match key {
        PrivateKey::Ed25519 { seed, public } => {
            "ssh-ed25519".write(out);
            public.as_slice().write(out);
            let both = Zeroizing::new([seed.expose(), public].concat());
            both.as_slice().write(out);
        }
        PrivateKey::Ecdsa {
            curve,
            scalar,
            public,
        } => {
            curve.key_kind().write(out);
            curve.name().write(out);
            public.as_slice().write(out);
            Unsigned(scalar.expose()).write(out);
        }
        PrivateKey::Rsa {
            n,
            e,
            d,
            p,
            q,
            iqmp,
        } => {
            "ssh-rsa".write(out);
            Unsigned(n).write(out);
            Unsigned(e).write(out);
            for number in [d, iqmp, p, q] {
                Unsigned(number.expose()).write(out);
            }
        }
        PrivateKey::Dsa { p, q, g, y, x } => {
            "ssh-dss".write(out);
            for number in [p, q, g, y] {
                Unsigned(number).write(out);
            }
            Unsigned(x.expose()).write(out);
        }
    }
}
