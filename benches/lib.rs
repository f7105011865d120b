//! Benchmarks of the core, run by `cargo bench -p sansftp-benches`; nothing in here is a test, and no figure is
//! asserted. End to end, beside other programs, `cargo xtask bench` measures.
