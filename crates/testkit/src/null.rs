//! A provider that secures nothing, for tests and fuzzers: every key is made of bytes that went over the wire in clear,
//! so a scripted peer can compute it, but tags and signatures are checked, so a flipped byte is noticed. Not a stand-in
//! for real algorithms' lengths or costs. What it implements are the traits of `sansftp_proto::crypto`.

use crate::seeds::Rng;
use sansftp_proto::crypto::{
    ActiveKex, AeadAlgorithm, Cipher, CryptoError, CryptoProvider, GroupExchange, GroupSizes, Hash,
    Kex as Method, KexAlgorithm, KeyLoader, Mac, MacAlgorithm, MacMode, NumberEncoding, OpenPacket,
    PrivateKey, PublicKey, SealPacket, Secret, SecureRandom, ServerGroup, SignatureAlgorithm,
    SigningKey, StreamAlgorithm, StreamCipher, Unauthenticated,
};
use sansftp_proto::wire::Field;
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

/// The method whose shares are strings.
pub const KEX: &str = "null-kex";
/// The method whose shares are numbers.
pub const KEX_MPINT: &str = "null-kex-mpint";
/// A method whose hash is twice as long as that of the others. In no provider, unless a test puts [`WideKex`] there.
pub const KEX_WIDE: &str = "null-kex-wide";
/// The method whose server chooses a group.
pub const KEX_GROUP: &str = "null-kex-group";
/// What its client asks for: the least, the best and the most bits.
pub const GROUP_SIZES: GroupSizes = GroupSizes {
    min: 9,
    preferred: 16,
    max: 24,
};
/// The prime of the only group, which has 17 bits. Nothing is computed in it.
pub const GROUP_PRIME: [u8; 3] = [1, 0, 1];
/// The cipher that authenticates by itself.
pub const AEAD: &str = "null-aead";
/// The cipher that needs a MAC.
pub const STREAM: &str = "null-stream";
/// The MAC over the plaintext.
pub const MAC: &str = "null-mac";
/// The MAC over the ciphertext.
pub const MAC_ETM: &str = "null-mac-etm";
/// The signature algorithm that is preferred.
pub const SIGNATURE: &str = "null-sig";
/// Another signature algorithm of the same keys, as `rsa-sha2-512` is beside `rsa-sha2-256`.
pub const SIGNATURE_512: &str = "null-sig-512";
/// The type of the keys.
pub const KEY_KIND: &str = "null-key";

/// The length of tags, codes, keys and hashes, in bytes.
pub const WIDTH: usize = 8;

/// All of the above, with the randomness that `seed` gives.
pub fn provider(seed: u64) -> CryptoProvider {
    CryptoProvider {
        kex: Cow::Borrowed(&[
            Method::Shares(&Kex(NumberEncoding::String)),
            Method::Shares(&Kex(NumberEncoding::MpInt)),
            Method::GroupExchange(&GroupKex),
        ]),
        ciphers: Cow::Borrowed(&[Cipher::Aead(&Aead), Cipher::Stream(&Stream)]),
        macs: Cow::Borrowed(&[
            &Code(MacMode::EncryptThenMac),
            &Code(MacMode::EncryptAndMac),
        ]),
        signatures: Cow::Borrowed(&[&Signature(SIGNATURE), &Signature(SIGNATURE_512)]),
        keys: Arc::new(Keys),
        random: Arc::new(NullRandom::new(seed)),
    }
}

/// FNV-1a over the parts, one behind the other: any change of one byte changes it.
pub fn fnv(parts: &[&[u8]]) -> [u8; WIDTH] {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in parts.iter().copied().flatten() {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash.to_be_bytes()
}

/// "Random" bytes that are the same for the same seed.
#[derive(Debug)]
pub struct NullRandom(Mutex<Rng>);

impl NullRandom {
    /// The sequence that `seed` stands for.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Rng::new(seed)))
    }
}

impl SecureRandom for NullRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        let mut rng = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        out.fill_with(|| rng.byte());
        Ok(())
    }
}

/// FNV-1a as a hash of key exchange.
#[derive(Debug)]
pub struct Fnv;

impl Hash for Fnv {
    fn output_len(&self) -> usize {
        WIDTH
    }

    fn digest(&self, parts: &[&[u8]]) -> Secret {
        Secret::from(&fnv(parts)[..])
    }
}

/// FNV-1a twice, the second time over the first.
#[derive(Debug)]
struct WideFnv;

impl Hash for WideFnv {
    fn output_len(&self) -> usize {
        2 * WIDTH
    }

    fn digest(&self, parts: &[&[u8]]) -> Secret {
        Secret::new(wide_fnv(parts))
    }
}

/// What the longer hash makes of the parts.
pub fn wide_fnv(parts: &[&[u8]]) -> Vec<u8> {
    let first = fnv(parts);
    [first, fnv(&[&first])].concat()
}

/// The secret that two shares make: their hash, so that it can be as long as a hash and no longer.
pub fn shared_secret(client_share: &[u8], server_share: &[u8]) -> [u8; WIDTH] {
    fnv(&[client_share, b"/", server_share])
}

#[derive(Debug)]
struct Kex(NumberEncoding);

impl Kex {
    fn share(random: &dyn SecureRandom) -> Result<Vec<u8>, CryptoError> {
        let mut share = vec![0; WIDTH];
        random.fill(&mut share)?;
        // Without a leading zero: as a number it would lose it on the way.
        share.insert(0, 1);
        Ok(share)
    }
}

impl KexAlgorithm for Kex {
    fn name(&self) -> &'static str {
        match self.0 {
            NumberEncoding::String => KEX,
            NumberEncoding::MpInt => KEX_MPINT,
        }
    }

    fn hash(&self) -> &'static dyn Hash {
        &Fnv
    }

    fn share_encoding(&self) -> NumberEncoding {
        self.0
    }

    fn secret_encoding(&self) -> NumberEncoding {
        NumberEncoding::MpInt
    }

    fn start(&self, random: &dyn SecureRandom) -> Result<Box<dyn ActiveKex>, CryptoError> {
        Ok(Box::new(Active(Self::share(random)?)))
    }

    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError> {
        respond(client_share, random)
    }
}

fn respond(
    client_share: &[u8],
    random: &dyn SecureRandom,
) -> Result<(Vec<u8>, Secret), CryptoError> {
    check_share(client_share)?;
    let share = Kex::share(random)?;
    let secret = Secret::from(&shared_secret(client_share, &share)[..]);
    Ok((share, secret))
}

#[derive(Debug)]
struct GroupKex;

impl GroupExchange for GroupKex {
    fn name(&self) -> &'static str {
        KEX_GROUP
    }

    fn hash(&self) -> &'static dyn Hash {
        &Fnv
    }

    fn sizes(&self) -> GroupSizes {
        GROUP_SIZES
    }

    fn start(
        &self,
        prime: &[u8],
        generator: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<Box<dyn ActiveKex>, CryptoError> {
        if prime.len() > 3 || prime.len() < 2 || generator != [2] {
            return Err(CryptoError::BadGroup("not a null group"));
        }
        Ok(Box::new(Active(Kex::share(random)?)))
    }

    fn choose(&self, asked: GroupSizes) -> Result<&'static dyn ServerGroup, CryptoError> {
        if (asked.min..=asked.max).contains(&17) {
            Ok(&NullGroup)
        } else {
            Err(CryptoError::BadGroup("no null group has that size"))
        }
    }
}

#[derive(Debug)]
struct NullGroup;

impl ServerGroup for NullGroup {
    fn prime(&self) -> &[u8] {
        &GROUP_PRIME
    }

    fn generator(&self) -> &[u8] {
        &[2]
    }

    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError> {
        respond(client_share, random)
    }
}

/// The first method with a longer hash.
#[derive(Debug)]
pub struct WideKex;

impl KexAlgorithm for WideKex {
    fn name(&self) -> &'static str {
        KEX_WIDE
    }

    fn hash(&self) -> &'static dyn Hash {
        &WideFnv
    }

    fn share_encoding(&self) -> NumberEncoding {
        NumberEncoding::String
    }

    fn secret_encoding(&self) -> NumberEncoding {
        NumberEncoding::MpInt
    }

    fn start(&self, random: &dyn SecureRandom) -> Result<Box<dyn ActiveKex>, CryptoError> {
        Kex(NumberEncoding::String).start(random)
    }

    fn respond(
        &self,
        client_share: &[u8],
        random: &dyn SecureRandom,
    ) -> Result<(Vec<u8>, Secret), CryptoError> {
        Kex(NumberEncoding::String).respond(client_share, random)
    }
}

#[derive(Debug)]
struct Active(Vec<u8>);

impl ActiveKex for Active {
    fn share(&self) -> &[u8] {
        &self.0
    }

    fn finish(self: Box<Self>, server_share: &[u8]) -> Result<Secret, CryptoError> {
        check_share(server_share)?;
        Ok(Secret::from(&shared_secret(&self.0, server_share)[..]))
    }
}

/// Shares have one length, so that there are bad ones.
fn check_share(share: &[u8]) -> Result<(), CryptoError> {
    if share.len() == WIDTH + 1 {
        Ok(())
    } else {
        Err(CryptoError::BadShare)
    }
}

/// Xor with the key behind the length field, which stays in clear; the tag is a hash over everything.
#[derive(Debug)]
struct Aead;

impl AeadAlgorithm for Aead {
    fn name(&self) -> &'static str {
        AEAD
    }

    fn key_len(&self) -> usize {
        WIDTH
    }

    fn iv_len(&self) -> usize {
        4
    }

    fn rekey_after(&self) -> u64 {
        1 << 30
    }

    fn sealer(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn SealPacket>, CryptoError> {
        Ok(Box::new(AeadKey::new(key, iv)?))
    }

    fn opener(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn OpenPacket>, CryptoError> {
        Ok(Box::new(AeadKey::new(key, iv)?))
    }
}

/// One direction of the authenticated cipher. Public for scripted peers.
#[derive(Debug, Clone)]
pub struct AeadKey {
    key: [u8; WIDTH],
    iv: [u8; 4],
}

impl AeadKey {
    /// Takes 8 bytes of key and 4 of initial vector.
    ///
    /// # Errors
    /// [`CryptoError::Failed`] for any other lengths.
    pub fn new(key: &[u8], iv: &[u8]) -> Result<Self, CryptoError> {
        let (Ok(key), Ok(iv)) = (key.try_into(), iv.try_into()) else {
            return Err(CryptoError::Failed("key or IV of the wrong length"));
        };
        Ok(Self { key, iv })
    }

    fn tag(&self, seq: u32, body: &[u8]) -> [u8; WIDTH] {
        fnv(&[&self.key, &self.iv, &seq.to_be_bytes(), body])
    }

    fn mask(&self, body: &mut [u8]) {
        for (byte, key) in body.iter_mut().skip(4).zip(self.key.iter().cycle()) {
            *byte ^= key;
        }
    }
}

impl SealPacket for AeadKey {
    fn tag_len(&self) -> usize {
        WIDTH
    }

    fn block_len(&self) -> usize {
        16
    }

    fn length_is_padded(&self) -> bool {
        false
    }

    fn seal(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), CryptoError> {
        let (body, tag) = packet.split_at_mut(packet.len() - WIDTH);
        tag.copy_from_slice(&self.tag(seq, body));
        self.mask(body);
        Ok(())
    }
}

impl OpenPacket for AeadKey {
    fn tag_len(&self) -> usize {
        WIDTH
    }

    fn block_len(&self) -> usize {
        16
    }

    fn length_is_padded(&self) -> bool {
        false
    }

    fn prefix_len(&self) -> usize {
        4
    }

    fn packet_len(&mut self, _seq: u32, prefix: &mut [u8]) -> u32 {
        u32::from_be_bytes((&*prefix).try_into().expect("the prefix has four bytes"))
    }

    fn open(&mut self, seq: u32, packet: &mut [u8]) -> Result<(), Unauthenticated> {
        let (body, tag) = packet.split_at_mut(packet.len() - WIDTH);
        self.mask(body);
        if *tag == self.tag(seq, body) {
            Ok(())
        } else {
            Err(Unauthenticated)
        }
    }
}

/// Xor with the key and the position, which runs on from packet to packet.
#[derive(Debug)]
struct Stream;

impl StreamAlgorithm for Stream {
    fn name(&self) -> &'static str {
        STREAM
    }

    fn key_len(&self) -> usize {
        WIDTH
    }

    fn iv_len(&self) -> usize {
        16
    }

    fn block_len(&self) -> usize {
        16
    }

    fn rekey_after(&self) -> u64 {
        1 << 30
    }

    fn encryptor(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        if (key.len(), iv.len()) != (WIDTH, 16) {
            return Err(CryptoError::Failed("key or IV of the wrong length"));
        }
        Ok(Box::new(StreamKey {
            key: fnv(&[key, iv]),
            at: 0,
        }))
    }

    fn decryptor(&self, key: &[u8], iv: &[u8]) -> Result<Box<dyn StreamCipher>, CryptoError> {
        self.encryptor(key, iv)
    }
}

#[derive(Debug)]
struct StreamKey {
    key: [u8; WIDTH],
    at: u8,
}

impl StreamCipher for StreamKey {
    fn apply(&mut self, data: &mut [u8]) {
        assert_eq!(data.len() % 16, 0, "a block cipher is given whole blocks");
        for (byte, key) in data.iter_mut().zip(self.key.iter().cycle()) {
            *byte ^= key ^ self.at;
            self.at = self.at.wrapping_add(1);
        }
    }
}

#[derive(Debug)]
struct Code(MacMode);

impl MacAlgorithm for Code {
    fn name(&self) -> &'static str {
        match self.0 {
            MacMode::EncryptAndMac => MAC,
            MacMode::EncryptThenMac => MAC_ETM,
        }
    }

    fn mode(&self) -> MacMode {
        self.0
    }

    fn key_len(&self) -> usize {
        WIDTH
    }

    fn tag_len(&self) -> usize {
        WIDTH
    }

    fn start(&self, key: &[u8]) -> Result<Box<dyn Mac>, CryptoError> {
        let key = key
            .try_into()
            .map_err(|_| CryptoError::Failed("key of the wrong length"))?;
        Ok(Box::new(CodeKey(key)))
    }
}

#[derive(Debug)]
struct CodeKey([u8; WIDTH]);

impl Mac for CodeKey {
    fn sign(&self, seq: u32, data: &[u8], tag: &mut [u8]) {
        tag.copy_from_slice(&fnv(&[&self.0, &seq.to_be_bytes(), data]));
    }

    fn verify(&self, seq: u32, data: &[u8], tag: &[u8]) -> Result<(), Unauthenticated> {
        if tag == fnv(&[&self.0, &seq.to_be_bytes(), data]) {
            Ok(())
        } else {
            Err(Unauthenticated)
        }
    }
}

/// What a key signs with: the hash of the algorithm, the public key and the data. Anybody can.
pub fn signature(algorithm: &str, key: &PublicKey, data: &[u8]) -> [u8; WIDTH] {
    fnv(&[algorithm.as_bytes(), key.as_bytes(), data])
}

#[derive(Debug)]
struct Signature(&'static str);

impl SignatureAlgorithm for Signature {
    fn name(&self) -> &'static str {
        self.0
    }

    fn key_kind(&self) -> &'static str {
        KEY_KIND
    }

    fn verify(&self, key: &PublicKey, data: &[u8], code: &[u8]) -> Result<(), CryptoError> {
        if code == signature(self.0, key, data) {
            Ok(())
        } else {
            Err(CryptoError::BadSignature)
        }
    }
}

/// A key that anybody could sign with.
#[derive(Debug)]
pub struct NullKey(PublicKey);

impl NullKey {
    /// The key of this name; keys of different names differ.
    pub fn named(name: &str) -> Arc<dyn SigningKey> {
        let mut blob = bytes::BytesMut::new();
        KEY_KIND.write(&mut blob);
        name.write(&mut blob);
        Arc::new(Self(
            PublicKey::new(blob.freeze()).expect("the blob begins with a name"),
        ))
    }
}

impl SigningKey for NullKey {
    fn public_key(&self) -> &PublicKey {
        &self.0
    }

    fn algorithms(&self) -> &'static [&'static str] {
        &[SIGNATURE, SIGNATURE_512]
    }

    fn sign(
        &self,
        algorithm: &str,
        data: &[u8],
        _random: &dyn SecureRandom,
    ) -> Result<Vec<u8>, CryptoError> {
        if !self.algorithms().contains(&algorithm) {
            return Err(CryptoError::Unsupported("an algorithm of other keys"));
        }
        Ok(signature(algorithm, &self.0, data).to_vec())
    }
}

/// Makes a [`NullKey`] of any private key, named after its public half.
#[derive(Debug)]
struct Keys;

impl KeyLoader for Keys {
    fn load(&self, key: &PrivateKey) -> Result<Arc<dyn SigningKey>, CryptoError> {
        Ok(NullKey::named(&format!(
            "{:?}",
            key.public_key().as_bytes()
        )))
    }
}
