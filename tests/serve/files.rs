//! Files that are never the same twice, their hashes, and trees of them.

use sansftp_testkit::seeds::Rng;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Writes `len` bytes in which no stretch repeats, another content for another seed.
pub(crate) fn fill(path: &Path, seed: u64, len: u64) {
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    Rng::new(seed).write_to(&mut out, len).unwrap();
    out.flush().unwrap();
}

/// SHA-256, as hexadecimal digits.
pub(crate) fn hash(path: &Path) -> String {
    struct Sink(Sha256);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(Sha256::new());
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // Not io::copy's own 8 KiB: a gibibyte is hashed here.
    io::copy(
        &mut io::BufReader::with_capacity(1 << 20, &mut file),
        &mut sink,
    )
    .unwrap();
    sink.0
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Names below a directory, each with the hash of its content; directories with a dash.
pub(crate) fn tree(root: &Path) -> BTreeMap<Vec<u8>, String> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(dir) = left.pop() {
        let entries =
            fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path
                .strip_prefix(root)
                .unwrap()
                .as_os_str()
                .as_bytes()
                .to_vec();
            if path.is_dir() {
                found.insert(name, "-".to_owned());
                left.push(path);
            } else {
                found.insert(name, hash(&path));
            }
        }
    }
    found
}
