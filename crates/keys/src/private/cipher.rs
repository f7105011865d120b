//! The ciphers that protect key files: one table, one function each.
//!
//! Only opening. The names are OpenSSH's; other formats use those of CBC, and pad.

use aes::{Aes128, Aes192, Aes256};
use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, KeyInit, KeyIvInit, StreamCipher};
use chacha20::ChaCha20;
use des::TdesEde3;
use poly1305::Poly1305;
use sansftp_proto::wire::Malformed;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The content is not what was sealed under this key.
pub(super) struct NotOpened;

/// Decrypts in place; takes the key, the IV, the content and the tag.
type Open = fn(&[u8], &[u8], &mut [u8], &[u8]) -> Result<(), NotOpened>;

/// One way to protect the file.
pub(super) struct FileCipher {
    name: &'static str,
    /// Bytes of key that are derived.
    pub(super) key_len: usize,
    /// Bytes of IV that are derived, after the key.
    pub(super) iv_len: usize,
    /// The content's length is a multiple of it.
    pub(super) block_len: usize,
    /// Bytes that follow the content.
    pub(super) tag_len: usize,
    open: Open,
}

impl FileCipher {
    /// The cipher of this name.
    pub(super) fn named(name: &[u8]) -> Option<&'static Self> {
        CIPHERS.iter().find(|it| it.name.as_bytes() == name)
    }

    /// Decrypts in place.
    pub(super) fn open(
        &self,
        key_and_iv: &[u8],
        content: &mut [u8],
        tag: &[u8],
    ) -> Result<(), NotOpened> {
        let (key, iv) = key_and_iv.split_at_checked(self.key_len).ok_or(NotOpened)?;
        (self.open)(key, iv, content, tag)
    }

    /// Decrypts content that is whole blocks because it was padded. The padding is how a right key
    /// shows.
    pub(super) fn open_padded(
        &self,
        key_and_iv: &[u8],
        content: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, NotOpened> {
        let mut content = Zeroizing::new(content.to_vec());
        self.open(key_and_iv, &mut content, &[])?;
        unpadded(&mut content, self.block_len)?;
        Ok(content)
    }
}

/// Insists that what was encrypted is whole blocks, and at least one.
pub(super) fn whole_blocks(content: &[u8], block_len: usize) -> Result<(), Malformed> {
    if content.is_empty() || !content.len().is_multiple_of(block_len) {
        return Err(Malformed(
            "the private part is not whole blocks of its cipher",
        ));
    }
    Ok(())
}

#[rustfmt::skip] // a table
const CIPHERS: [FileCipher; 10] = [
    FileCipher { name: "aes128-ctr", key_len: 16, iv_len: 16, block_len: 16, tag_len: 0, open: ctr::<ctr::Ctr128BE<Aes128>> },
    FileCipher { name: "aes192-ctr", key_len: 24, iv_len: 16, block_len: 16, tag_len: 0, open: ctr::<ctr::Ctr128BE<Aes192>> },
    FileCipher { name: "aes256-ctr", key_len: 32, iv_len: 16, block_len: 16, tag_len: 0, open: ctr::<ctr::Ctr128BE<Aes256>> },
    FileCipher { name: "aes128-cbc", key_len: 16, iv_len: 16, block_len: 16, tag_len: 0, open: cbc::<cbc::Decryptor<Aes128>> },
    FileCipher { name: "aes192-cbc", key_len: 24, iv_len: 16, block_len: 16, tag_len: 0, open: cbc::<cbc::Decryptor<Aes192>> },
    FileCipher { name: "aes256-cbc", key_len: 32, iv_len: 16, block_len: 16, tag_len: 0, open: cbc::<cbc::Decryptor<Aes256>> },
    FileCipher { name: "3des-cbc", key_len: 24, iv_len: 8, block_len: 8, tag_len: 0, open: cbc::<cbc::Decryptor<TdesEde3>> },
    FileCipher { name: "aes128-gcm@openssh.com", key_len: 16, iv_len: 12, block_len: 16, tag_len: 16, open: gcm::<Aes128Gcm> },
    FileCipher { name: "aes256-gcm@openssh.com", key_len: 32, iv_len: 12, block_len: 16, tag_len: 16, open: gcm::<Aes256Gcm> },
    FileCipher { name: "chacha20-poly1305@openssh.com", key_len: 64, iv_len: 0, block_len: 8, tag_len: 16, open: chacha20_poly1305 },
];

/// Takes the padding of whole blocks away (RFC 5652 §6.3), which no other than the right key leaves
/// but by chance.
fn unpadded(content: &mut Vec<u8>, block_len: usize) -> Result<(), NotOpened> {
    let padding = content.last().map_or(0, |&last| usize::from(last));
    let len = content.len().checked_sub(padding).ok_or(NotOpened)?;
    let good = (1..=block_len).contains(&padding)
        && content[len..]
            .iter()
            .all(|&byte| usize::from(byte) == padding);
    if !good {
        return Err(NotOpened);
    }
    content.truncate(len);
    Ok(())
}

fn ctr<C: KeyIvInit + StreamCipher>(
    key: &[u8],
    iv: &[u8],
    content: &mut [u8],
    _: &[u8],
) -> Result<(), NotOpened> {
    C::new_from_slices(key, iv)
        .map_err(|_| NotOpened)?
        .apply_keystream(content);
    Ok(())
}

fn cbc<C: KeyIvInit + BlockModeDecrypt>(
    key: &[u8],
    iv: &[u8],
    content: &mut [u8],
    _: &[u8],
) -> Result<(), NotOpened> {
    let cipher = C::new_from_slices(key, iv).map_err(|_| NotOpened)?;
    cipher
        .decrypt_padded::<NoPadding>(content)
        .map_err(|_| NotOpened)?;
    Ok(())
}

fn gcm<C: KeyInit + AeadInOut>(
    key: &[u8],
    iv: &[u8],
    content: &mut [u8],
    tag: &[u8],
) -> Result<(), NotOpened> {
    let cipher = C::new_from_slice(key).map_err(|_| NotOpened)?;
    let (iv, tag) = (iv.try_into(), tag.try_into());
    let (iv, tag) = (iv.map_err(|_| NotOpened)?, tag.map_err(|_| NotOpened)?);
    cipher
        .decrypt_inout_detached(&iv, &[], content.into(), &tag)
        .map_err(|_| NotOpened)
}

/// OpenSSH PROTOCOL.chacha20poly1305 for packet number 0, without the length and so without the
/// second half of the key. Block 0 of the stream is the key of the MAC, the content begins at 1.
fn chacha20_poly1305(
    key: &[u8],
    _: &[u8],
    content: &mut [u8],
    tag: &[u8],
) -> Result<(), NotOpened> {
    let (key, _) = key.split_at_checked(32).ok_or(NotOpened)?;
    // A nonce of zeros: the 8-byte nonce and counter of the original form coincide with RFC 8439's.
    let mut cipher = ChaCha20::new_from_slices(key, &[0; 12]).map_err(|_| NotOpened)?;
    let mut first_block = Zeroizing::new([0; 64]);
    cipher.apply_keystream(first_block.as_mut_slice());
    let (mac_key, _) = first_block.split_at(32);
    let mac = Poly1305::new_from_slice(mac_key).map_err(|_| NotOpened)?;
    if !bool::from(mac.compute_unpadded(content).as_slice().ct_eq(tag)) {
        return Err(NotOpened);
    }
    cipher.apply_keystream(content);
    Ok(())
}
