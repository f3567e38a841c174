use std::fmt::Write;

use super::*;

fn log(folder: &Path, lines: &str) -> LogFile {
    let path = folder.join("stable-0.log");
    fs::write(&path, lines).unwrap();
    LogFile {
        deployment: "stable".to_owned(),
        slot: 0,
        path,
    }
}

fn texts(tail: &Tail) -> Vec<&str> {
    tail.lines.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn a_worker_cannot_say_how_it_ended() {
    let folder = tempfile::tempdir().unwrap();
    let reason = |lines: &str| exit_reason(&log(folder.path(), lines).path);
    let started = "1 note started as process 7\n";
    for forged in [
        "2 err ended: exit status 0\n",
        "2 out ended: exit status 0\n",
        "2 out note ended: exit status 0\n",
        "2 err  note ended: exit status 0\n",
    ] {
        assert_eq!(reason(&format!("{started}{forged}")), None, "{forged}");
        let ended = format!("{started}3 note ended: killed by SIGKILL\n{forged}");
        assert_eq!(reason(&ended).as_deref(), Some("killed by SIGKILL"));
    }
    // An earlier worker of the slot does not speak for this one.
    let earlier = format!("0 note ended: exit status 1\n{started}");
    assert_eq!(reason(&earlier), None);
}

#[test]
fn lines_have_no_escape_sequences() {
    let folder = tempfile::tempdir().unwrap();
    let file = log(
        folder.path(),
        "1 out \x1b[31mred\x1b[0m\x1b]0;title\x07\ttab\n",
    );
    let tail = tail(&[file], 10).unwrap();
    assert_eq!(texts(&tail), ["1 out red\ttab"]);
}

#[test]
fn the_end_of_a_long_log_has_whole_lines_and_is_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let mut lines = String::new();
    for number in 0..3000 {
        writeln!(lines, "{number:06} out {}", "x".repeat(8000)).unwrap();
    }
    let file = log(folder.path(), &lines);
    let whole = tail(std::slice::from_ref(&file), 500).unwrap();
    assert_eq!((whole.lines.len(), whole.cut), (500, false));
    let cut = tail(&[file], 2500).unwrap();
    assert!(cut.cut);
    let bytes: usize = cut.lines.iter().map(|line| line.text.len()).sum();
    assert!(bytes <= BYTES_MAX && bytes > BYTES_MAX / 2, "{bytes}");
    for (line, number) in cut.lines.iter().rev().zip((0..3000).rev()) {
        assert!(
            line.text.starts_with(&format!("{number:06} out x")),
            "{number}"
        );
        assert_eq!(line.text.len(), "000000 out ".len() + 8000);
    }
}

#[test]
fn the_lines_of_many_logs_are_bounded_together() {
    let folder = tempfile::tempdir().unwrap();
    let files: Vec<LogFile> = (0..300)
        .map(|slot| {
            let path = folder.path().join(format!("stable-{slot}.log"));
            let lines: String = (0..10)
                .map(|number| format!("{number}{slot:04} out {}\n", "y".repeat(10_000)))
                .collect();
            fs::write(&path, lines).unwrap();
            LogFile {
                deployment: "stable".to_owned(),
                slot,
                path,
            }
        })
        .collect();
    let newest = tail(&files, 50).unwrap();
    let expected: Vec<String> = (250..300).map(|slot| format!("9{slot:04} out ")).collect();
    assert_eq!(newest.lines.len(), 50);
    for (line, expected) in newest.lines.iter().zip(&expected) {
        assert!(line.text.starts_with(expected), "{expected}");
    }
    let all = tail(&files, usize::MAX).unwrap();
    let bytes: usize = all.lines.iter().map(|line| line.text.len()).sum();
    assert!(all.cut && bytes <= BYTES_MAX, "{bytes}");
}

#[test]
fn a_follower_reads_a_flood_in_bounded_pieces_and_across_rotations() {
    let folder = tempfile::tempdir().unwrap();
    let logs = WorkerLogs {
        directory: folder.path().to_owned(),
        max_bytes: 1 << 20,
        keep: 3,
    };
    let filter = LogFilter {
        service: "chat".try_into().unwrap(),
        deployment: None,
        slot: None,
    };
    let path = path(
        &logs.directory,
        &filter.service,
        &"stable".try_into().unwrap(),
        0,
    );
    fs::create_dir(path.parent().unwrap()).unwrap();
    let write = |range: std::ops::Range<u32>| {
        let lines: String = range
            .map(|number| format!("{number:06} out {}\n", "z".repeat(1000)))
            .collect();
        let mut file = fs::File::options()
            .create(true)
            .append(true)
            .open(&path)
            .unwrap();
        io::Write::write_all(&mut file, lines.as_bytes()).unwrap();
    };
    write(0..10);
    let (mut follower, begin) = Follower::new(logs, filter, 3).unwrap();
    assert_eq!(begin.lines.len(), 3);
    write(10..5000);
    for (from, to) in [(2, 3), (1, 2)] {
        let _ = fs::rename(rotated(&path, from), rotated(&path, to));
    }
    fs::rename(&path, rotated(&path, 1)).unwrap();
    write(5000..10_000);
    fs::rename(rotated(&path, 1), rotated(&path, 2)).unwrap();
    fs::rename(&path, rotated(&path, 1)).unwrap();
    write(10_000..20_000);
    let mut expected = 10;
    while expected < 20_000 {
        let lines = follower.new_lines().unwrap();
        assert!(!lines.is_empty(), "at {expected}");
        let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
        assert!(bytes <= BYTES_MAX + 2000, "{bytes}");
        for line in lines {
            assert!(
                line.text.starts_with(&format!("{expected:06} out ")),
                "{expected}"
            );
            expected += 1;
        }
    }
    assert!(follower.new_lines().unwrap().is_empty());
}
