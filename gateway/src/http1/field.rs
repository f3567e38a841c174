//! What a field is to the gateway, told by its name.

/// The fields that mean something on the way, and groups of them. Everything else is passed on as it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// None of those below.
    Other,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Date,
    Expect,
    Forwarded,
    GrpcStatus,
    GrpcTimeout,
    Host,
    /// `Strict-Transport-Security`.
    Hsts,
    KeepAlive,
    RetryAfter,
    Te,
    Traceparent,
    Tracestate,
    TransferEncoding,
    Upgrade,
    RequestId,
    /// `X-Forwarded-For`, `-Host`, `-Proto`.
    ForwardedFor,
    ForwardedHost,
    ForwardedProto,
    /// Whatever else a client says about hops before it; see [`is_claim`](crate::base::headers::is_claim).
    Claim,
    /// What only the gateway itself may say.
    Own,
    /// `X-Penstock-Mirror`, one of those.
    Mirror,
    /// Fields that concern one connection only, beside those above.
    Hop,
    /// Names that CGI-like workers cannot tell from those of framing.
    LooksLikeFraming,
    /// `Proxy-Authorization` and `Proxy-Authenticate`: for the proxy itself.
    ProxyAuthorization,
    ProxyAuthenticate,
}

impl Field {
    /// That of a name, in any case.
    pub(crate) fn of(name: &[u8]) -> Self {
        let Some(first) = name.first() else {
            return Self::Other;
        };
        // The length and the first letter alone rule nearly all of them out.
        match (name.len(), first | 0x20) {
            (2, b't') if is(name, b"te") => Self::Te,
            (4, b'h') if is(name, b"host") => Self::Host,
            (4, b'd') if is(name, b"date") => Self::Date,
            (6, b'c') if is(name, b"cookie") => Self::Cookie,
            (6, b'e') if is(name, b"expect") => Self::Expect,
            (7, b'u') if is(name, b"upgrade") => Self::Upgrade,
            (9, b'f') if is(name, b"forwarded") => Self::Forwarded,
            (10, b'c') if is(name, b"connection") => Self::Connection,
            (10, b'k') if is(name, b"keep-alive") => Self::KeepAlive,
            (10, b't') if is(name, b"tracestate") => Self::Tracestate,
            (11, b't') if is(name, b"traceparent") => Self::Traceparent,
            (11, b'g') if is(name, b"grpc-status") => Self::GrpcStatus,
            (11, b'r') if is(name, b"retry-after") => Self::RetryAfter,
            (12, b'c') if is(name, b"content-type") => Self::ContentType,
            (12, b'g') if is(name, b"grpc-timeout") => Self::GrpcTimeout,
            (12, b'x') if is(name, b"x-request-id") => Self::RequestId,
            (14, b'c') if is(name, b"content-length") => Self::ContentLength,
            (14, b'c') if name.eq_ignore_ascii_case(b"content_length") => Self::LooksLikeFraming,
            (14, b'h') if is(name, b"http2-settings") => Self::Hop,
            (16, b'p') if is(name, b"proxy-connection") => Self::Hop,
            (17, b't') if is(name, b"transfer-encoding") => Self::TransferEncoding,
            (17, b't') if name.eq_ignore_ascii_case(b"transfer_encoding") => Self::LooksLikeFraming,
            (18, b'p') if is(name, b"proxy-authenticate") => Self::ProxyAuthenticate,
            (19, b'p') if is(name, b"proxy-authorization") => Self::ProxyAuthorization,
            (25, b's') if is(name, b"strict-transport-security") => Self::Hsts,
            (9.., b'x') => Self::of_x(name),
            _ => Self::Other,
        }
    }

    /// That of a name that begins with an x.
    fn of_x(name: &[u8]) -> Self {
        match name.len() {
            15 if is(name, b"x-forwarded-for") => Self::ForwardedFor,
            16 if is(name, b"x-forwarded-host") => Self::ForwardedHost,
            17 if is(name, b"x-forwarded-proto") => Self::ForwardedProto,
            17 if is(name, b"x-penstock-mirror") => Self::Mirror,
            9 if alike(b"x-real-ip", name) => Self::Claim,
            13.. if alike(b"x-forwarded-", name) => Self::Claim,
            11.. if alike(b"x-penstock-", name) => Self::Own,
            _ => Self::Other,
        }
    }

    /// The bit that stands for it in a set of fields.
    pub(super) const fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Whether a name is `text`, which consists of lower-case letters, digits and hyphens, in any case. Only
/// for names of characters that names have (RFC 9110 §5.6.2): of those no other one differs from the
/// ones in `text` by the bit of the case alone.
#[inline]
fn is<const N: usize>(name: &[u8], text: &[u8; N]) -> bool {
    let Ok(name) = <&[u8; N]>::try_from(name) else {
        return false;
    };
    // Eight at once, and the last eight, which may overlap; or one by one, where there are fewer.
    let differ = |at: usize| {
        let eight = |of: &[u8; N]| of.get(at..).and_then(<[u8]>::first_chunk).copied();
        let eight = |of| u64::from_ne_bytes(eight(of).unwrap_or_default());
        (eight(name) ^ eight(text)) & !u64::from_ne_bytes([0x20; 8])
    };
    if N < 8 {
        let pairs = name.iter().zip(text);
        return pairs.fold(0, |differ, (byte, wanted)| differ | (byte ^ wanted) & !0x20) == 0;
    }
    let mut differs = differ(N - 8);
    let mut at = 0;
    while at + 8 < N {
        differs |= differ(at);
        at += 8;
    }
    differs == 0
}

/// Whether a name begins with `pattern`, which is in lower case, or with the same in underscores: programs
/// that are run like CGI (WSGI) cannot tell the two apart.
fn alike(pattern: &[u8], name: &[u8]) -> bool {
    name.len() >= pattern.len()
        && pattern.iter().zip(name).all(|(wanted, byte)| {
            let byte = byte.to_ascii_lowercase();
            *wanted == byte || (*wanted == b'-' && byte == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_known_by_all_of_its_characters_and_no_other_ones() {
        fn look<const N: usize>(text: &[u8; N]) {
            let is_token =
                |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
            for at in 0..N {
                for byte in (0..=u8::MAX).filter(is_token) {
                    let mut name = *text;
                    name[at] = byte;
                    assert_eq!(is(&name, text), name.eq_ignore_ascii_case(text), "{name:?}");
                }
            }
        }
        look(b"te");
        look(b"upgrade");
        look(b"http2-settings");
        look(b"content-length");
        look(b"proxy-connection");
        look(b"transfer-encoding");
        look(b"strict-transport-security");
    }

    #[test]
    fn a_field_is_known_in_any_case() {
        for (name, field) in [
            ("host", Field::Host),
            ("Content-Length", Field::ContentLength),
            ("TE", Field::Te),
            ("X-Forwarded-For", Field::ForwardedFor),
            ("x_forwarded_for", Field::Claim),
            ("X-Forwarded-Port", Field::Claim),
            ("x-real_ip", Field::Claim),
            ("X-Penstock-Reason", Field::Own),
            ("x_penstock_mirror", Field::Own),
            ("x-penstock-mirror", Field::Mirror),
            ("Content_Length", Field::LooksLikeFraming),
            ("HTTP2-Settings", Field::Hop),
            ("accept", Field::Other),
            ("x", Field::Other),
            ("x-forwarded-", Field::Other),
            ("x-penstock", Field::Other),
        ] {
            assert_eq!(Field::of(name.as_bytes()), field, "{name}");
        }
    }
}
