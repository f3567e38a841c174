//! What a request is for, in its first line.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::ops::Range;

use http::Method;

use super::Fault;

/// The parts of a request target, as places in the head.
pub(super) struct Target {
    pub(super) path_and_query: Range<u32>,
    /// Length of the path.
    pub(super) path: u32,
    pub(super) host: Option<Range<u32>>,
}

impl Target {
    /// A path, an absolute `http` or `https` URI, or `*` with OPTIONS (RFC 9112 §3.2). `text` begins at
    /// `begin` of the head.
    pub(super) fn of(text: &str, begin: usize, method: &Method) -> Result<Self, Fault> {
        if text.as_bytes().contains(&b'#') {
            return Err(Fault::Bad("the request target has a fragment (`#`)"));
        }
        let rest = match text.strip_prefix('/') {
            Some(_) => return Ok(Self::at(begin, text, None)),
            None if text == "*" && *method == Method::OPTIONS => {
                return Ok(Self::at(begin, text, None));
            }
            None => after_scheme(text),
        };
        let rest = rest.ok_or(Fault::Bad(
            "the request target is neither a path nor an http URI",
        ))?;
        let host_begin = begin + (text.len() - rest.len());
        let host_length = rest.find(['/', '?']).unwrap_or(rest.len());
        let (_, path) = rest.split_at(host_length);
        let host_end = host_begin + host_length;
        Ok(Self::at(host_end, path, Some(host_begin..host_end)))
    }

    /// A path of this length and its query.
    pub(super) fn plain(path_and_query: Range<usize>, path: usize) -> Self {
        Self {
            path_and_query: place(path_and_query.start)..place(path_and_query.end),
            path: place(path),
            host: None,
        }
    }

    fn at(begin: usize, text: &str, host: Option<Range<usize>>) -> Self {
        Self {
            path_and_query: place(begin)..place(begin + text.len()),
            path: place(
                text.bytes()
                    .position(|byte| byte == b'?')
                    .unwrap_or(text.len()),
            ),
            host: host.map(|host| place(host.start)..place(host.end)),
        }
    }
}

fn after_scheme(text: &str) -> Option<&str> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (begin, rest) = text.split_at_checked(scheme.len())?;
        begin.eq_ignore_ascii_case(scheme).then_some(rest)
    })
}

/// A place in a head.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
