//! What of a request tells where it comes from or what it belongs to.

/// Where a key is read from: for hashing, stickiness, limits and fairness. A request that has no
/// such thing has no key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// The value of this header; the name in lower case.
    Header(String),
    /// The value of this cookie.
    Cookie(String),
    /// The value of this query parameter.
    Query(String),
    /// The client's IP address: behind a trusted proxy the one that the proxy names.
    ClientAddress,
    /// The name of the API key that the request was let in with.
    ApiKey,
}

impl std::fmt::Display for KeySource {
    /// In words.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Header(name) => write!(f, "header {name}"),
            Self::Cookie(name) => write!(f, "cookie {name}"),
            Self::Query(name) => write!(f, "query parameter {name}"),
            Self::ClientAddress => f.write_str("client address"),
            Self::ApiKey => f.write_str("API key"),
        }
    }
}
