//! What the other end offered, as its KEXINIT lists it (RFC 4253 §7.1). For people and for who decides
//! what to offer next time; nothing in the core looks at it.

/// The lists of a KEXINIT, in the peer's order, without the words in them that are no algorithms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offered {
    /// Key exchange methods.
    pub kex: Vec<String>,
    /// Host-key signature algorithms.
    pub host_key: Vec<String>,
    /// Ciphers from client to server.
    pub cipher_to_server: Vec<String>,
    /// Ciphers from server to client.
    pub cipher_to_client: Vec<String>,
    /// MACs from client to server.
    pub mac_to_server: Vec<String>,
    /// MACs from server to client.
    pub mac_to_client: Vec<String>,
    /// Compression from client to server.
    pub compression_to_server: Vec<String>,
    /// Compression from server to client.
    pub compression_to_client: Vec<String>,
}
