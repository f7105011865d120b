//! PEM encrypted the old way: `Proc-Type` and `DEK-Info` headers (RFC 1421 §4.6.1), the key one
//! round of MD5 over passphrase and IV, as OpenSSL began and everybody followed.
//!
//! Worth little against whoever has the file; read because so many are about.

use super::cipher::{FileCipher, NotOpened, whole_blocks};
use crate::error::Flaw;
use crate::text;
use md5::{Digest, Md5};
use sansftp_proto::crypto::Secret;
use sansftp_proto::wire::Malformed;
use zeroize::Zeroizing;

/// What the headers say.
#[derive(Clone, Debug)]
pub(crate) struct DekInfo {
    /// Its name here.
    cipher: &'static str,
    iv: Vec<u8>,
}

const CIPHERS: [(&[u8], &str); 4] = [
    (b"AES-128-CBC", "aes128-cbc"),
    (b"AES-192-CBC", "aes192-cbc"),
    (b"AES-256-CBC", "aes256-cbc"),
    (b"DES-EDE3-CBC", "3des-cbc"),
];

impl DekInfo {
    /// Reads the headers at the front of a body, if it has any; and what follows them. The line breaks
    /// may be gone: the IV has the length that its cipher says.
    pub(crate) fn take(body: &[u8]) -> Result<Option<(Self, &[u8])>, Flaw> {
        const HEADER: &[u8] = b"DEK-Info:";
        let Some(at) = body.windows(HEADER.len()).position(|it| it == HEADER) else {
            let told = b"Proc-Type:";
            let headed = body.windows(told.len()).any(|it| it == told);
            return match headed {
                true => Err(Malformed("it does not say how it is encrypted").into()),
                false => Ok(None),
            };
        };
        let value = text::trim(&body[at + HEADER.len()..]);
        let comma = value.iter().position(|&byte| byte == b',');
        let (name, after) = value.split_at(comma.ok_or(Malformed("DEK-Info without an IV"))?);
        let (_, cipher) =
            CIPHERS
                .iter()
                .find(|(known, _)| *known == name)
                .ok_or(Flaw::Unsupported(
                    "a cipher that is weaker than its protection",
                ))?;
        let iv_len = named(cipher).iv_len;
        let (digits, content) = after[1..]
            .split_at_checked(2 * iv_len)
            .ok_or(Malformed("DEK-Info with another IV than its cipher has"))?;
        let iv = text::hex(digits).ok_or(Malformed("DEK-Info with an IV that is not hex"))?;
        Ok(Some((Self { cipher, iv }, content)))
    }

    /// Decrypts.
    pub(super) fn open(
        &self,
        content: &[u8],
        passphrase: Option<&Secret>,
    ) -> Result<Zeroizing<Vec<u8>>, Flaw> {
        let cipher = named(self.cipher);
        whole_blocks(content, cipher.block_len)?;
        let passphrase = passphrase.ok_or(Flaw::PassphraseMissing)?;
        let key_and_iv = self.key_and_iv(passphrase, cipher.key_len);
        cipher
            .open_padded(&key_and_iv, content)
            .map_err(|NotOpened| Flaw::PassphraseWrong)
    }

    /// `MD5(previous || passphrase || first eight bytes of the IV)` until there is enough.
    fn key_and_iv(&self, passphrase: &Secret, key_len: usize) -> Zeroizing<Vec<u8>> {
        let salt = &self.iv[..8];
        let mut out = Zeroizing::new(Vec::with_capacity(key_len + 16 + self.iv.len()));
        let mut previous = Zeroizing::new(Vec::with_capacity(16));
        while out.len() < key_len {
            let digest = Md5::new()
                .chain_update(previous.as_slice())
                .chain_update(passphrase.expose())
                .chain_update(salt)
                .finalize();
            previous.clear();
            previous.extend_from_slice(&digest);
            out.extend_from_slice(&digest);
        }
        out.truncate(key_len);
        out.extend_from_slice(&self.iv);
        out
    }
}

fn named(cipher: &str) -> &'static FileCipher {
    FileCipher::named(cipher.as_bytes()).expect("the table has these four")
}
