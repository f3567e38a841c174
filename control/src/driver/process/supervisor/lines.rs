//! Cuts output into lines, with a bound on their length.

/// Longest line kept, in bytes; the rest of it is dropped and counted.
pub(crate) const LINE_BYTES_MAX: usize = 16 * 1024;

/// Collects bytes until a line is whole.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    begun: Vec<u8>,
    dropped: usize,
}

impl Lines {
    /// Takes more bytes and hands on every line that they complete.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut on_line: impl FnMut(&str)) {
        while let Some(end) = bytes.iter().position(|&byte| byte == b'\n') {
            self.add(&bytes[..end]);
            self.finish(&mut on_line);
            bytes = &bytes[end + 1..];
        }
        self.add(bytes);
    }

    /// Hands on what was begun, at the end of the output.
    pub(crate) fn end(&mut self, mut on_line: impl FnMut(&str)) {
        if !self.begun.is_empty() {
            self.finish(&mut on_line);
        }
    }

    fn add(&mut self, bytes: &[u8]) {
        self.begun.extend_from_slice(bytes);
        if self.begun.len() > LINE_BYTES_MAX {
            // A progress bar writes over itself for hours without ending the line.
            self.begun.drain(..overwritten(&self.begun));
        }
        self.dropped += self.begun.len().saturating_sub(LINE_BYTES_MAX);
        self.begun.truncate(LINE_BYTES_MAX);
    }

    fn finish(&mut self, on_line: &mut impl FnMut(&str)) {
        let seen = self.begun.strip_suffix(b"\r").unwrap_or(&self.begun);
        let text = String::from_utf8_lossy(&seen[overwritten(seen)..]);
        match self.dropped {
            0 => on_line(&text),
            dropped => on_line(&format!("{text} … ({dropped} more bytes)")),
        }
        self.begun.clear();
        self.dropped = 0;
    }
}

/// How many bytes a terminal would have written over: those up to the last carriage return.
fn overwritten(line: &[u8]) -> usize {
    let last = line.iter().rposition(|&byte| byte == b'\r');
    last.map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut seen = Vec::new();
        let mut lines = Lines::default();
        for piece in pieces {
            lines.feed(piece, |line| seen.push(line.to_owned()));
        }
        lines.end(|line| seen.push(line.to_owned()));
        seen
    }

    #[test]
    fn a_line_may_come_in_pieces_and_the_last_one_without_an_end() {
        assert_eq!(lines(&[b"a", b"b\nc\n\nd"]), ["ab", "c", "", "d"]);
    }

    #[test]
    fn a_progress_bar_leaves_its_last_state() {
        assert_eq!(lines(&[b"10%\r20%\r", b"30%\nx\r\n"]), ["30%", "x"]);
        let hours = b"\r99%".repeat(LINE_BYTES_MAX);
        assert_eq!(lines(&[&hours, b"\n"]), ["99%"]);
    }

    #[test]
    fn a_long_line_is_cut_and_what_follows_is_whole() {
        let long = vec![b'x'; LINE_BYTES_MAX + 10];
        let seen = lines(&[&long, b"yy\nnext\n"]);
        assert!(seen[0].ends_with("xxx … (12 more bytes)"));
        assert_eq!(seen[1], "next");
    }
}
