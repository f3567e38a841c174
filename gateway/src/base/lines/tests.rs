use std::{
    io::Read,
    os::unix::fs::{PermissionsExt, symlink},
};

use super::*;

const LONG: Duration = Duration::from_secs(60);

fn lines_to(output: Output) -> Lines {
    Lines::start("lines", output, Duration::ZERO, "test_dropped_total").unwrap()
}

#[test]
fn a_full_buffer_drops_whole_lines_and_counts_them() {
    let sink = Sink::default();
    let line = [b'x'; 1024];
    for _ in 0..BUFFER_MAX / line.len() + 3 {
        sink.push(&line);
    }
    let mut batch = Vec::new();
    let taken = sink.take(&mut batch, Duration::ZERO);
    assert_eq!(batch.len(), BUFFER_MAX);
    assert_eq!(taken.dropped, 3);
    sink.push(&line);
    sink.close();
    let taken = sink.take(&mut batch, LONG);
    assert_eq!((taken.dropped, taken.closed), (0, true));
}

#[test]
fn a_pipe_that_nobody_reads_holds_up_neither_lines_nor_the_end() {
    let (mut reader, writer) = io::pipe().unwrap();
    let lines = lines_to(Output::Stderr(File::from(std::os::fd::OwnedFd::from(
        writer,
    ))));
    // More than a pipe and the buffer hold.
    let line = [b'x'; 1 << 16];
    for _ in 0..2 * BUFFER_MAX / line.len() {
        lines.push(&line);
    }
    lines.finish(Duration::from_millis(1));
    // Everything else waits there until somebody reads.
    let mut read = Vec::new();
    reader.read_to_end(&mut read).unwrap();
    assert!(read.len() >= BUFFER_MAX, "{}", read.len());
}

#[test]
fn a_log_file_is_its_owners_alone_and_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/access.log");
    let lines = lines_to(Output::File(LogFile::open_rotated(&path, 1 << 20).unwrap()));
    lines.push(b"one\n");
    lines.finish(LONG);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let link = folder.path().join("link.log");
    symlink(&path, &link).unwrap();
    let error = LogFile::open(&link).unwrap_err().to_string();
    assert!(error.contains("is a symbolic link"), "{error}");
    assert!(LogFile::open(Path::new("/dev/null")).is_ok());
}

#[test]
fn a_rotated_file_keeps_one_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let mut file = LogFile::open_rotated(&path, 10).unwrap();
    for line in ["0123456789\n", "second\n", "third\n", "fourth\n"] {
        file.write(line.as_bytes()).unwrap();
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "fourth\n");
    let old = folder.path().join("access.log.1");
    assert_eq!(fs::read_to_string(old).unwrap(), "second\nthird\n");
}
