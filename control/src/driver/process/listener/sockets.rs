//! Sockets as `/proc` shows them.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, ErrorKind},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// State of a socket that listens, as the kernel writes it.
const LISTEN: &str = "0A";

/// A TCP socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) address: SocketAddr,
    pub(super) user: u32,
    /// Number of its inode.
    pub(super) number: u64,
}

/// Every TCP socket of this network that listens.
pub(super) fn listening() -> Vec<Socket> {
    let mut sockets = Vec::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let Ok(file) = File::open(file) else { continue };
        let lines = BufReader::new(file).lines().skip(1).map_while(Result::ok);
        // Those that listen come first: the connections, which may be very many, are not read.
        let listen = lines.take_while(|line| line.split_whitespace().nth(3) == Some(LISTEN));
        sockets.extend(listen.filter_map(|line| socket(&line)));
    }
    sockets
}

/// `SL LOCAL REMOTE STATE QUEUES TIMER RETRANSMITS UID TIMEOUT INODE …`.
fn socket(line: &str) -> Option<Socket> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (host, port) = words.get(1)?.split_once(':')?;
    Some(Socket {
        address: SocketAddr::new(host_of(host)?, u16::from_str_radix(port, 16).ok()?),
        user: words.get(7)?.parse().ok()?,
        number: words.get(9)?.parse().ok()?,
    })
}

/// An address in groups of four bytes, each written as a number of this machine.
fn host_of(text: &str) -> Option<IpAddr> {
    let group = |at: usize| {
        let number = u32::from_str_radix(text.get(at..at + 8)?, 16).ok()?;
        Some(number.to_ne_bytes())
    };
    if text.len() == 8 {
        return Some(Ipv4Addr::from(group(0)?).into());
    }
    let mut bytes = [0; 16];
    for (index, four) in bytes.chunks_exact_mut(4).enumerate() {
        four.copy_from_slice(&group(index * 8)?);
    }
    Some(Ipv6Addr::from(bytes).into())
}

/// Those that get the connections to `port` of 127.0.0.1: the kernel prefers the nearest address.
pub(super) fn answering(sockets: &[Socket], port: u16) -> Vec<Socket> {
    let nearness: [fn(IpAddr) -> bool; 3] = [
        |host| host.to_canonical() == IpAddr::from(Ipv4Addr::LOCALHOST),
        |host| host.to_canonical() == IpAddr::from(Ipv4Addr::UNSPECIFIED),
        |host| host == IpAddr::from(Ipv6Addr::UNSPECIFIED),
    ];
    let of_port = || {
        sockets
            .iter()
            .filter(|socket| socket.address.port() == port)
    };
    let mut found = nearness.iter().map(|is_near| {
        let near = of_port().filter(|socket| is_near(socket.address.ip()));
        near.copied().collect::<Vec<_>>()
    });
    found.find(|near| !near.is_empty()).unwrap_or_default()
}

/// The sockets that a process holds; `None` when that may not be known.
pub(super) fn held_by(pid: i32) -> Option<Vec<u64>> {
    let entries = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return None,
        entries => entries.into_iter().flatten().flatten(),
    };
    let numbers = entries.filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        let number = target.to_str()?.strip_prefix("socket:[")?;
        number.strip_suffix(']')?.parse().ok()
    });
    Some(numbers.collect())
}

/// The user that a process acts as.
pub(super) fn user(pid: i32) -> Option<u32> {
    let status = procfs::process::Process::new(pid).and_then(|process| process.status());
    status.ok().map(|status| status.euid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_understood() {
        let line = "   0: 0100007F:5208 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0000 100 0 0 10 0";
        let expected = Socket {
            address: "127.0.0.1:21000".parse().unwrap(),
            user: 1000,
            number: 4711,
        };
        assert_eq!(socket(line), Some(expected));
        let line = line.replace("0100007F", "0000000000000000FFFF00000100007F");
        let mapped: IpAddr = "::ffff:127.0.0.1".parse().unwrap();
        assert_eq!(socket(&line).unwrap().address.ip(), mapped);
        assert_eq!(socket("gibberish"), None);
    }

    #[test]
    fn the_nearest_address_answers() {
        let socket = |address: &str, number| Socket {
            address: address.parse().unwrap(),
            user: 0,
            number,
        };
        let mut all = vec![
            socket("[::]:1", 1),
            socket("0.0.0.0:1", 2),
            socket("127.0.0.1:1", 3),
            socket("[::ffff:127.0.0.1]:1", 4),
            socket("127.0.0.1:2", 5),
            socket("10.0.0.1:1", 6),
        ];
        let mut numbers = Vec::new();
        for _ in 0..4 {
            let near = answering(&all, 1);
            all.retain(|socket| !near.contains(socket));
            numbers.push(near.iter().map(|socket| socket.number).collect::<Vec<_>>());
        }
        assert_eq!(numbers, [vec![3, 4], vec![2], vec![1], vec![]]);
    }
}
