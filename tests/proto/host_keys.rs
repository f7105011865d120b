//! What a server sends as proof of its other host keys, and is none (OpenSSH's PROTOCOL,
//! `hostkeys-prove-00@openssh.com`). A real server's proof is in the connector's tests.

use bytes::{BufMut, BytesMut};
use sansftp_proto::crypto::{CryptoError, write_signature};
use sansftp_testkit::pair::Pair;
use sansftp_testkit::suite::Suite;

/// One string of RFC 4251 §5.
fn string(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap());
    out.put_slice(bytes);
}

#[test]
fn no_proof_is_one_that_is_missing_or_of_another_session_or_key() {
    for suite in [Suite::Ring, Suite::RustCrypto] {
        let mut pair = Pair::over(suite);
        pair.connect();
        let (key, other) = (suite.key(3), suite.key(4));
        let random = suite.provider(5).random;
        let keys = [key.public_key().clone()];
        let mut text = BytesMut::new();
        string(&mut text, b"hostkeys-prove-00@openssh.com");
        string(&mut text, &[7; 32]);
        string(&mut text, keys[0].as_bytes());
        let signed = |signer: &dyn sansftp_proto::crypto::SigningKey, name: &str| {
            let signature = signer.sign("ssh-ed25519", &text, &*random).unwrap();
            let mut answer = BytesMut::new();
            string(&mut answer, &write_signature(name, &signature));
            answer
        };
        let elsewhere = signed(&*key, "ssh-ed25519");
        let twice = [&elsewhere[..], &elsewhere[..]].concat();
        let answers = [
            &b""[..],
            b"\0\0\0\x05abc",
            b"\0\0\0\0",
            &elsewhere,
            &signed(&*other, "ssh-ed25519"),
            &signed(&*key, "ssh-rsa"),
            &signed(&*key, "rsa-sha2-256"),
            &twice,
        ]
        .map(<[u8]>::to_vec);
        for answer in answers {
            assert_eq!(
                pair.client.check_host_keys(&keys, &answer),
                Err(CryptoError::BadSignature),
                "{answer:?}"
            );
        }
        assert_eq!(pair.client.check_host_keys(&[], b""), Ok(()));
    }
}
