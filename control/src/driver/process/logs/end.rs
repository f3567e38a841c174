//! Reads the end of a log.

use std::{
    fs,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use super::rotated;
use crate::private;

/// How much is read at once, going backwards from the end of a file.
const CHUNK_BYTES: u64 = 64 * 1024;

/// The last lines of a log or a file.
#[derive(Debug, Default)]
pub(super) struct End {
    pub(super) lines: Vec<String>,
    /// Where in the file they end: a line that is not ended yet is left out.
    pub(super) at: u64,
    /// Whether there were more lines to be had but for the bytes.
    pub(super) cut: bool,
    bytes: usize,
}

/// The last lines of a log, going on in the rotated files when the youngest has too few. Of no more than
/// about `bytes_max` bytes.
pub(super) fn last_lines(path: &Path, count: usize, bytes_max: usize) -> io::Result<End> {
    let mut file = match private::open_to_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(End::default()),
        file => file?,
    };
    let end = end_of_file(&mut file, count, bytes_max)?;
    with_rotated(path, end, count, bytes_max)
}

/// The end of the youngest file, with what was before it in rotated files.
pub(super) fn with_rotated(
    path: &Path,
    mut end: End,
    count: usize,
    bytes_max: usize,
) -> io::Result<End> {
    for older in 1.. {
        if end.lines.len() >= count || end.cut {
            break;
        }
        let mut file = match private::open_to_read(&rotated(path, older)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            file => file?,
        };
        let wanted = count - end.lines.len();
        let mut before = end_of_file(&mut file, wanted, bytes_max.saturating_sub(end.bytes))?;
        before.lines.append(&mut end.lines);
        end.lines = before.lines;
        end.bytes += before.bytes;
        end.cut = before.cut;
    }
    Ok(end)
}

/// The last lines of one file.
pub(super) fn end_of_file(file: &mut fs::File, count: usize, bytes_max: usize) -> io::Result<End> {
    let mut begin = file.metadata()?.len();
    let (mut chunks, mut line_ends, mut bytes) = (Vec::new(), 0, 0);
    // One more line end than lines: that of the line before them.
    while begin > 0 && line_ends <= count && bytes < bytes_max {
        let wanted = begin.min(CHUNK_BYTES);
        begin -= wanted;
        file.seek(SeekFrom::Start(begin))?;
        let mut chunk = Vec::new();
        file.by_ref().take(wanted).read_to_end(&mut chunk)?;
        line_ends += chunk.iter().filter(|&&byte| byte == b'\n').count();
        bytes += chunk.len();
        chunks.push(chunk);
    }
    chunks.reverse();
    let mut read = chunks.concat();
    let whole = read.iter().rposition(|&byte| byte == b'\n');
    read.truncate(whole.map_or(0, |end| end + 1));
    let text = String::from_utf8_lossy(&read);
    let lines: Vec<&str> = text.lines().collect();
    let cut = begin > 0 && line_ends <= count;
    // The first one of them may have begun earlier.
    let skipped = lines.len().saturating_sub(count).max(usize::from(cut));
    Ok(End {
        lines: lines
            .iter()
            .skip(skipped)
            .map(|&line| line.to_owned())
            .collect(),
        at: begin + read.len() as u64,
        cut,
        bytes,
    })
}
