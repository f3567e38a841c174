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
        // The length alone rules nearly all of them out.
        match name.len() {
            2 if is(name, b"te") => Self::Te,
            4 if is(name, b"host") => Self::Host,
            4 if is(name, b"date") => Self::Date,
            6 if is(name, b"cookie") => Self::Cookie,
            6 if is(name, b"expect") => Self::Expect,
            7 if is(name, b"upgrade") => Self::Upgrade,
            9 if is(name, b"forwarded") => Self::Forwarded,
            10 if is(name, b"connection") => Self::Connection,
            10 if is(name, b"keep-alive") => Self::KeepAlive,
            10 if is(name, b"tracestate") => Self::Tracestate,
            11 if is(name, b"traceparent") => Self::Traceparent,
            11 if is(name, b"grpc-status") => Self::GrpcStatus,
            11 if is(name, b"retry-after") => Self::RetryAfter,
            12 if is(name, b"content-type") => Self::ContentType,
            12 if is(name, b"grpc-timeout") => Self::GrpcTimeout,
            12 if is(name, b"x-request-id") => Self::RequestId,
            14 if is(name, b"content-length") => Self::ContentLength,
            14 if name.eq_ignore_ascii_case(b"content_length") => Self::LooksLikeFraming,
            14 if is(name, b"http2-settings") => Self::Hop,
            16 if is(name, b"proxy-connection") => Self::Hop,
            17 if is(name, b"transfer-encoding") => Self::TransferEncoding,
            17 if name.eq_ignore_ascii_case(b"transfer_encoding") => Self::LooksLikeFraming,
            18 if is(name, b"proxy-authenticate") => Self::ProxyAuthenticate,
            25 if is(name, b"strict-transport-security") => Self::Hsts,
            19 if is(name, b"proxy-authorization") => Self::ProxyAuthorization,
            9.. if matches!(name.first(), Some(b'x' | b'X')) => Self::of_x(name),
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
    // All of them are looked at, which is one step of many bytes.
    <&[u8; N]>::try_from(name).is_ok_and(|name| {
        let pairs = name.iter().zip(text);
        pairs.fold(0, |differ, (byte, wanted)| differ | (byte ^ wanted) & !0x20) == 0
    })
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
        let is_token =
            |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        for text in [b"http2-settings", b"content-length"] {
            for at in 0..text.len() {
                for byte in (0..=u8::MAX).filter(is_token) {
                    let mut name = *text;
                    name[at] = byte;
                    assert_eq!(is(&name, text), name.eq_ignore_ascii_case(text), "{name:?}");
                }
            }
        }
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
