//! Mistakes that are made on purpose, one at a time, so that it is seen which test catches each: `cargo xtask bugs`, and
//! docs/proof.md. In no build but that one.

/// Whether the mistake of this name is to be made: the environment's `SANSFTP_BUG` names it.
pub fn seeded(name: &str) -> bool {
    std::env::var_os("SANSFTP_BUG").is_some_and(|it| it == name)
}
