//! What published known answers of key encapsulations are drawn from: the generator CTR_DRBG with AES-256
//! and without derivation function (NIST SP 800-90A §10.2.1), seeded with the bytes 0 to 47; and the form
//! that they are written in. The published values are hashes of that.

use aes::Aes256;
use aes::cipher::{BlockCipherEncrypt, KeyInit};
use sansftp_proto::crypto::{CryptoError, SecureRandom};
use sha2::{Digest, Sha256};
use std::sync::Mutex;

/// The generator of the first answer in a list.
#[derive(Debug)]
pub(crate) struct Drbg(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    key: [u8; 32],
    v: u128,
}

impl Drbg {
    pub(crate) fn new() -> Self {
        let mut state = State::default();
        state.update(&seed());
        Self(Mutex::new(state))
    }
}

/// The seed of the first answer: what the generator of the whole list gives first.
fn seed() -> [u8; 48] {
    let mut list = State::default();
    list.update(&std::array::from_fn(|at| at as u8));
    let mut seed = [0; 48];
    list.generate(&mut seed);
    seed
}

impl State {
    fn block(&mut self) -> [u8; 16] {
        self.v = self.v.wrapping_add(1);
        let mut block = self.v.to_be_bytes().into();
        Aes256::new(&self.key.into()).encrypt_block(&mut block);
        block.into()
    }

    fn update(&mut self, data: &[u8; 48]) {
        let mut next = [self.block(), self.block(), self.block()].concat();
        next.iter_mut().zip(data).for_each(|(a, b)| *a ^= b);
        self.key.copy_from_slice(&next[..32]);
        self.v = u128::from_be_bytes(next[32..].try_into().unwrap());
    }

    fn generate(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(16) {
            chunk.copy_from_slice(&self.block()[..chunk.len()]);
        }
        self.update(&[0; 48]);
    }
}

impl SecureRandom for Drbg {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        self.0.lock().unwrap().generate(out);
        Ok(())
    }
}

/// SHA-256 of the first answer as lists have it.
pub(crate) fn kat(public: &[u8], private: &[u8], ciphertext: &[u8], secret: &[u8]) -> Vec<u8> {
    let mut text = "count = 0\n".to_owned();
    for (name, bytes) in [
        ("seed", &seed()[..]),
        ("pk", public),
        ("sk", private),
        ("ct", ciphertext),
        ("ss", secret),
    ] {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        text += &format!("{name} = {digits}\n");
    }
    Sha256::digest(text).to_vec()
}
