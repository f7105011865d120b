//! What must not compile (stand-in).
