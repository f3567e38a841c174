//! The PROXY protocol, versions 1 and 2: what a proxy in front says about the client, before the first
//! byte of HTTP. <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::net::SocketAddr;

use ppp::{v1, v2};

/// Longest header of version 1, line end included (§2.1 of the specification).
const V1_BYTES_MAX: usize = 107;

/// Longest header of version 2 that is read: addresses take 232 bytes, the rest are extensions, such as
/// a client's certificate.
const V2_BYTES_MAX: usize = 16 * 1024;

/// Bytes of a version 2 header that tell its length.
const V2_FIXED: usize = 16;

const V1_SIGNATURE: &[u8] = b"PROXY ";

/// A whole header.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProxyHeader {
    /// Its bytes; what follows is the client's.
    pub(crate) length: usize,
    /// The client; `None` when the proxy speaks for itself (a health check) or names nobody that has
    /// an IP address.
    pub(crate) client: Option<SocketAddr>,
}

/// Why the beginning of a connection is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Neither version begins like this.
    #[error("the connection does not begin with a PROXY protocol header")]
    NoHeader,
    /// It begins well and goes on badly.
    #[error("the PROXY protocol header is not valid")]
    Invalid,
    /// Longer than its version may be, or than is read.
    #[error("the PROXY protocol header is too long")]
    TooLong,
    /// The checksum that it carries is another one.
    #[error("the checksum of the PROXY protocol header is wrong")]
    Checksum,
    /// It did not come to its end.
    #[error("the PROXY protocol header is not complete")]
    Incomplete,
    /// It would not be believed: the peer is no proxy of ours.
    #[error("the peer is in no network of the listener's `proxy_protocol`")]
    Stranger,
}

/// Reads the header that `bytes` begin with; `None` while more bytes are needed to tell.
pub(crate) fn parse(bytes: &[u8]) -> Result<Option<ProxyHeader>, Malformed> {
    if begins(bytes, v2::PROTOCOL_PREFIX) {
        return parse_v2(bytes);
    }
    if begins(bytes, V1_SIGNATURE) {
        return parse_v1(bytes);
    }
    Err(Malformed::NoHeader)
}

/// Whether one is the beginning of the other.
fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    bytes
        .iter()
        .zip(signature)
        .all(|(byte, wanted)| byte == wanted)
}

fn parse_v1(bytes: &[u8]) -> Result<Option<ProxyHeader>, Malformed> {
    // The parser is asked about whole lines only: it takes some parts of one for a mistake.
    let within = bytes.get(..V1_BYTES_MAX).unwrap_or(bytes);
    let line = within.split_inclusive(|byte| *byte == b'\n').next();
    let Some(line) = line.filter(|line| line.ends_with(b"\n")) else {
        return match bytes.len() {
            ..V1_BYTES_MAX => Ok(None),
            _ => Err(Malformed::TooLong),
        };
    };
    let header = v1::Header::try_from(line).map_err(|_| Malformed::Invalid)?;
    if header.header.len() != line.len() {
        return Err(Malformed::Invalid);
    }
    let client = match header.addresses {
        v1::Addresses::Tcp4(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Tcp6(ip) => Some((ip.source_address, ip.source_port).into()),
        v1::Addresses::Unknown => None,
    };
    Ok(Some(ProxyHeader {
        length: line.len(),
        client,
    }))
}

fn parse_v2(bytes: &[u8]) -> Result<Option<ProxyHeader>, Malformed> {
    let Some([.., high, low]) = bytes.first_chunk::<V2_FIXED>() else {
        return Ok(None);
    };
    let length = V2_FIXED + usize::from(u16::from_be_bytes([*high, *low]));
    if length > V2_BYTES_MAX {
        return Err(Malformed::TooLong);
    }
    let Some(bytes) = bytes.get(..length) else {
        return Ok(None);
    };
    let header = v2::Header::try_from(bytes).map_err(|_| Malformed::Invalid)?;
    check_extensions(&header)?;
    let client = match (header.command, header.protocol, header.addresses) {
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv4(ip)) => {
            Some((ip.source_address, ip.source_port).into())
        }
        (v2::Command::Proxy, v2::Protocol::Stream, v2::Addresses::IPv6(ip)) => {
            Some((ip.source_address, ip.source_port).into())
        }
        _ => None,
    };
    Ok(Some(ProxyHeader { length, client }))
}

/// Walks over the extensions, of which only the checksum means anything here.
fn check_extensions(header: &v2::Header<'_>) -> Result<(), Malformed> {
    let mut at = V2_FIXED + header.address_bytes().len();
    for extension in header.tlvs() {
        let extension = extension.map_err(|_| Malformed::Invalid)?;
        // Kind and length are three bytes.
        let value = at + 3;
        at = value + extension.value.len();
        if extension.kind == v2::Type::CRC32C as u8 {
            check_sum(header.as_bytes(), value, &extension.value)?;
        }
    }
    Ok(())
}

/// CRC32c of the whole header, counting its own four bytes as zeros (§2.2.3).
fn check_sum(header: &[u8], at: usize, stated: &[u8]) -> Result<(), Malformed> {
    let stated: [u8; 4] = stated.try_into().map_err(|_| Malformed::Invalid)?;
    let parts = header.get(..at).zip(header.get(at + stated.len()..));
    let (before, after) = parts.ok_or(Malformed::Invalid)?;
    let with_zeros = crc32c::crc32c_append(crc32c::crc32c(before), &[0; 4]);
    let sum = crc32c::crc32c_append(with_zeros, after);
    if sum == u32::from_be_bytes(stated) {
        Ok(())
    } else {
        Err(Malformed::Checksum)
    }
}

#[cfg(test)]
mod tests;
