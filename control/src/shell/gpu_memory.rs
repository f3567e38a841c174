//! Waits until the memory of GPUs is free again.
//!
//! A process is gone before the driver of its GPU has freed what it had, and whoever allocates meanwhile may find
//! too little. Where `nvidia-smi` is there, it is asked; else nothing is waited for.

use std::{
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

/// The program that is asked, as it is found by PATH.
const PROGRAM: &str = "nvidia-smi";

/// Longest time that is waited. What is not free by then may be somebody else's.
const WAIT_MAX: Duration = Duration::from_secs(15);

/// Longest time of one answer. The first of a machine without persistence mode takes seconds.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// From one question to the next.
const EVERY: Duration = Duration::from_millis(250);

/// A GPU with so little of its memory in use is free, in percent: the driver itself keeps some.
const FREE_PERCENT: u64 = 5;

/// What stays the same for so many answers is not about to be freed.
const SAME_MAX: u32 = 8;

/// The same where the worker has said that it gave its memory up. What it keeps, it keeps.
const SAME_MAX_ASLEEP: u32 = 2;

/// Tells when GPUs can be used again.
#[derive(Debug, Clone)]
pub(super) struct GpuMemory {
    program: Arc<str>,
    /// Nobody uses them any more.
    over: Arc<AtomicBool>,
}

impl Default for GpuMemory {
    fn default() -> Self {
        Self {
            program: PROGRAM.into(),
            over: Arc::default(),
        }
    }
}

impl GpuMemory {
    pub(super) fn wait_no_more(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Returns when the memory of these is free, does not become freer, or cannot be told.
    pub(super) async fn until_free(&self, gpus: &[String]) {
        if let Some(mebibytes) = self.wait(gpus, SAME_MAX).await {
            tracing::warn!(
                gpus = %gpus.join(","),
                mebibytes,
                "the worker is gone but memory of its GPUs is still in use, maybe by a program that \
                 penstock did not start: the next worker there may find too little"
            );
        }
    }

    /// The same for GPUs of a worker that sleeps.
    pub(super) async fn until_given_up(&self, gpus: &[String]) {
        if let Some(mebibytes) = self.wait(gpus, SAME_MAX_ASLEEP).await {
            tracing::info!(
                gpus = %gpus.join(","),
                mebibytes,
                "memory of the GPUs of a worker that sleeps is still in use; engines keep some"
            );
        }
    }

    /// What is still in use when it is waited for no longer.
    async fn wait(&self, gpus: &[String], same_max: u32) -> Option<u64> {
        if gpus.is_empty() {
            return None;
        }
        let begun = Instant::now();
        let (mut least, mut same) = (u64::MAX, 0);
        while !self.over.load(Ordering::Relaxed) {
            let used = self.used(gpus).await?;
            if used.iter().all(Used::is_free) {
                return None;
            }
            let all: u64 = used.iter().map(|gpu| gpu.used).sum();
            same = if all < least { 0 } else { same + 1 };
            least = least.min(all);
            if same >= same_max || begun.elapsed() >= WAIT_MAX {
                return Some(all);
            }
            sleep(EVERY).await;
        }
        None
    }

    /// How much memory of each is in use; `None` when nobody can tell.
    async fn used(&self, gpus: &[String]) -> Option<Vec<Used>> {
        let asked = Command::new(&*self.program)
            .args([
                "--query-gpu=memory.used,memory.total",
                "--format=csv,noheader,nounits",
                "-i",
            ])
            .arg(gpus.join(","))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .output();
        let output = timeout(ANSWER_MAX, asked).await.ok()?.ok()?;
        if !output.status.success() {
            return None;
        }
        let text = String::from_utf8(output.stdout).ok()?;
        text.lines().map(Used::parse).collect()
    }
}

/// Memory of one GPU, in MiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Used {
    used: u64,
    total: u64,
}

impl Used {
    fn parse(line: &str) -> Option<Self> {
        let (used, total) = line.split_once(',')?;
        Some(Self {
            used: used.trim().parse().ok()?,
            total: total.trim().parse().ok()?,
        })
    }

    fn is_free(&self) -> bool {
        self.used.saturating_mul(100) <= self.total.saturating_mul(FREE_PERCENT)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, path::Path};

    use super::*;

    /// A program that notes that it was asked, and answers with the next line of `answers`, in the end again and
    /// again with the last.
    fn fake(folder: &Path, answers: &str) -> GpuMemory {
        let program = folder.join("nvidia-smi");
        fs::write(folder.join("answers"), answers).unwrap();
        let script = format!(
            "#!/bin/sh\ncd {}\necho \"$@\" >> asked\nn=$(wc -l < asked)\n\
             line=$(sed -n \"${{n}}p\" answers)\n[ -n \"$line\" ] || line=$(tail -n 1 answers)\n\
             [ \"$line\" = fails ] && exit 9\necho \"$line\" | tr ';' '\\n'\n",
            folder.display()
        );
        fs::write(&program, script).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        GpuMemory {
            program: program.to_str().unwrap().into(),
            over: Arc::default(),
        }
    }

    async fn asked(answers: &str, gpus: &[&str]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let memory = fake(folder.path(), answers);
        let gpus: Vec<String> = gpus.iter().map(|&name| name.to_owned()).collect();
        memory.until_free(&gpus).await;
        let asked = fs::read_to_string(folder.path().join("asked"));
        asked
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    #[tokio::test]
    async fn it_returns_when_the_device_says_that_its_memory_is_free() {
        let asked = asked(
            "79000, 81559;3, 81559\n40000, 81559;3, 81559\n9, 81559;3, 81559\n",
            &["0", "3"],
        )
        .await;
        let question = "--query-gpu=memory.used,memory.total --format=csv,noheader,nounits -i 0,3";
        assert_eq!(asked, [question; 3]);
    }

    #[tokio::test]
    async fn memory_that_somebody_else_uses_is_not_waited_for_for_ever() {
        let asked = asked("60000, 81559\n20000, 81559\n", &["0"]).await;
        assert_eq!(asked.len(), 2 + SAME_MAX as usize);
    }

    #[tokio::test]
    async fn where_nobody_can_tell_nothing_is_waited_for() {
        assert_eq!(asked("fails\n", &["MIG-1"]).await.len(), 1);
        assert_eq!(asked("[N/A], [N/A]\n", &["0"]).await.len(), 1);
        assert_eq!(asked("1, 1\n", &[]).await.len(), 0);
        let memory = GpuMemory {
            program: "/absent/nvidia-smi".into(),
            over: Arc::default(),
        };
        memory.until_free(&["0".to_owned()]).await;
    }

    #[tokio::test]
    async fn when_everything_ends_nothing_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let memory = fake(folder.path(), "79000, 81559\n");
        memory.wait_no_more();
        memory.until_free(&["0".to_owned()]).await;
        assert!(!folder.path().join("asked").exists());
    }
}
