//! Which API of a model a request speaks, as far as its answers can be read.

use crate::base::dialect::Dialect;

/// An API whose answers tell tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Completions,
    Responses,
    Messages,
    Embeddings,
}

impl Api {
    /// That of a request with this path.
    pub(crate) fn of(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::Chat),
            "/v1/completions" => Some(Self::Completions),
            "/v1/responses" => Some(Self::Responses),
            "/v1/messages" => Some(Self::Messages),
            "/v1/embeddings" => Some(Self::Embeddings),
            _ => None,
        }
    }

    /// Whether a stream tells its usage only if it is asked to, by `stream_options`.
    pub(crate) fn tells_usage_if_asked(self) -> bool {
        matches!(self, Self::Chat | Self::Completions)
    }

    /// How its errors are told.
    pub(crate) fn dialect(self) -> Dialect {
        match self {
            Self::Messages => Dialect::Anthropic,
            _ => Dialect::OpenAi,
        }
    }
}
