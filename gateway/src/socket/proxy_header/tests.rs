use proptest::prelude::*;

use super::*;

const V2_SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A header of version 2: version and command, family and protocol, all the rest.
fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = V2_SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

/// 192.0.2.1:4711 to 198.51.100.1:80.
const IPV4: [u8; 12] = [192, 0, 2, 1, 198, 51, 100, 1, 0x12, 0x67, 0, 80];

fn ipv6() -> Vec<u8> {
    let source: std::net::Ipv6Addr = "2001:db8::7".parse().unwrap();
    let mut addresses = source.octets().to_vec();
    addresses.extend([0; 16]);
    addresses.extend([0x12, 0x67, 0, 80]);
    addresses
}

fn tlv(kind: u8, value: &[u8]) -> Vec<u8> {
    let mut tlv = vec![kind];
    tlv.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
    tlv.extend(value);
    tlv
}

/// An IPv4 header with extensions and the right checksum among them.
fn with_checksum() -> Vec<u8> {
    let rest = [
        &IPV4[..],
        &tlv(0x02, b"chat.example.org"),
        &tlv(0x03, &[0; 4]),
        &tlv(0x04, &[0; 7]),
    ];
    let mut header = v2(0x21, 0x11, &rest.concat());
    let sum = crc32c::crc32c(&header).to_be_bytes();
    let at = header.len() - 7 - 3 - 4;
    header[at..at + 4].copy_from_slice(&sum);
    header
}

fn client(header: impl AsRef<[u8]>) -> Option<String> {
    let header = header.as_ref();
    let parsed = parse(header).unwrap().expect("a whole header");
    assert_eq!(parsed.length, header.len());
    parsed.client.map(|client| client.to_string())
}

#[test]
fn either_version_names_the_client() {
    for (header, wanted) in [
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\r\n".to_vec(),
            "192.0.2.1:4711",
        ),
        (
            b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n".to_vec(),
            "[2001:db8::7]:4711",
        ),
        (v2(0x21, 0x11, &IPV4), "192.0.2.1:4711"),
        (v2(0x21, 0x21, &ipv6()), "[2001:db8::7]:4711"),
        (
            v2(0x21, 0x11, &[&IPV4[..], &tlv(0xea, b"vpce-1")].concat()),
            "192.0.2.1:4711",
        ),
        (with_checksum(), "192.0.2.1:4711"),
    ] {
        assert_eq!(client(header).as_deref(), Some(wanted));
    }
}

#[test]
fn who_speaks_for_itself_or_has_no_ip_address_is_nobody_else() {
    for header in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(),
        v2(0x20, 0x00, &[]),
        v2(0x20, 0x11, &IPV4),
        v2(0x21, 0x00, &[1, 2, 3]),
        v2(0x21, 0x12, &IPV4),
        v2(0x21, 0x31, &[b'/'; 216]),
    ] {
        assert_eq!(client(header), None);
    }
}

#[test]
fn the_bytes_after_a_header_are_not_its_own() {
    for header in [
        b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\r\n".to_vec(),
        with_checksum(),
    ] {
        let pipelined = [&header[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        assert_eq!(parse(&pipelined), parse(&header));
    }
}

#[test]
fn what_is_no_header_is_told_at_the_first_byte_that_is_wrong() {
    let long = format!("PROXY TCP4 {}", "1".repeat(200));
    let mut wrong_sum = with_checksum();
    wrong_sum[V2_FIXED] ^= 1;
    for (bytes, error) in [
        (b"G".to_vec(), Malformed::NoHeader),
        (b"PROXX".to_vec(), Malformed::NoHeader),
        (b"\r\n\r\n\0\r\nQUIX".to_vec(), Malformed::NoHeader),
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\n".to_vec(),
            Malformed::Invalid,
        ),
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.1 4711\r\n".to_vec(),
            Malformed::Invalid,
        ),
        (
            b"PROXY TCP4 192.0.2.300 198.51.100.1 1 2\r\n".to_vec(),
            Malformed::Invalid,
        ),
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.1 65536 2\r\n".to_vec(),
            Malformed::Invalid,
        ),
        (
            b"PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n".to_vec(),
            Malformed::Invalid,
        ),
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.1 1 2 3\r\n".to_vec(),
            Malformed::Invalid,
        ),
        (long.into_bytes(), Malformed::TooLong),
        (v2(0x31, 0x11, &IPV4), Malformed::Invalid),
        (v2(0x22, 0x11, &IPV4), Malformed::Invalid),
        (v2(0x21, 0x41, &IPV4), Malformed::Invalid),
        (v2(0x21, 0x11, &IPV4[..11]), Malformed::Invalid),
        (
            v2(0x21, 0x11, &[&IPV4[..], &[0xea, 0, 9, 1]].concat()),
            Malformed::Invalid,
        ),
        (v2(0x21, 0x11, &[0; 20_000]), Malformed::TooLong),
        (wrong_sum, Malformed::Checksum),
    ] {
        assert_eq!(
            parse(&bytes),
            Err(error),
            "{:?}",
            bytes.escape_ascii().to_string()
        );
    }
}

proptest! {
    #[test]
    fn a_header_that_comes_in_pieces_is_not_taken_for_anything_else(cut in 0_usize..300) {
        for header in [
            b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 80\r\n".to_vec(),
            b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n".to_vec(),
            b"PROXY UNKNOWN\r\n".to_vec(),
            v2(0x21, 0x21, &ipv6()),
            with_checksum(),
        ] {
            let part = &header[..cut.min(header.len() - 1)];
            prop_assert_eq!(parse(part), Ok(None));
        }
    }

    #[test]
    fn no_bytes_break_the_parser(
        begin in prop_oneof![Just(&b""[..]), Just(V1_SIGNATURE), Just(V2_SIGNATURE)],
        rest in proptest::collection::vec(any::<u8>(), 0..300),
    ) {
        let bytes = [begin, &rest].concat();
        if let Ok(Some(header)) = parse(&bytes) {
            prop_assert!(header.length <= bytes.len());
            prop_assert_eq!(parse(&bytes[..header.length]), Ok(Some(header)));
        }
    }
}
