//! Probes by a command.

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitOptions, WaitStatus, getrlimit, kill_process_group, prlimit,
    waitpid,
};

use super::target::Target;
use crate::{
    driver::process::{
        Identity, Watch, describe, fill, find_program, inherited, open_files_before,
    },
    worker_http::{Cause, Failure},
};

/// Passes on exit status 0. What the command started in its process group ends with it.
pub(super) async fn ask(target: &Target, command: &[String]) -> Result<(), Failure> {
    let command = prepare(target, command)?;
    let spawned = tokio::task::spawn_blocking(move || Running::spawn(command)).await;
    let running = spawned.map_err(|error| error.to_string())??;
    running.watch.ended().await;
    match running.end() {
        Some(status) if status.exit_status() == Some(0) => Ok(()),
        Some(status) => Err(describe(status.exit_status(), status.terminating_signal()).into()),
        None => Err("the command ended".to_owned().into()),
    }
}

fn prepare(target: &Target, command: &[String]) -> Result<Command, String> {
    let port = target.address.port();
    let (name, args) = command.split_first().ok_or("the command is empty")?;
    let path = target.env.get("PATH").map(OsString::from);
    let path = path.or_else(|| env::var_os("PATH")).unwrap_or_default();
    let ourselves = env::current_exe().map_err(|error| error.to_string())?;
    let program = find_program(&fill(name, port), &target.directory, &path, &ourselves)?;
    let values = target.env.iter();
    let mut command = Command::new(program);
    command
        .args(args.iter().map(|arg| fill(arg, port)))
        .env_clear()
        .envs(inherited(&target.inherit_env, env::vars_os()))
        .envs(values.map(|(name, value)| (name, fill(value, port))))
        .env("PORT", port.to_string())
        .current_dir(&target.directory)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    Ok(command)
}

/// A command that runs; killed with its process group when dropped.
struct Running {
    /// Its number, which stays its own until it is reaped here.
    pid: Pid,
    watch: Watch,
    reaped: bool,
}

impl Running {
    fn spawn(mut command: Command) -> Result<Self, Failure> {
        let child = command.spawn().map_err(|error| {
            let what = format!("running {}", command.get_program().display());
            Failure::of_system(&what, &error)
        })?;
        let pid = Pid::from_child(&child);
        if let Some(soft) = open_files_before() {
            limit_open_files(pid, soft);
        }
        let watch = Identity::of(pid.as_raw_nonzero().get())
            .and_then(Identity::open)
            .and_then(|handle| handle.watch().ok());
        let Some(watch) = watch else {
            end_group(pid);
            // It was there a moment ago: what is missing is a descriptor.
            return Err(Failure {
                text: "no handle on the command".to_owned(),
                cause: Cause::Local,
            });
        };
        Ok(Self {
            pid,
            watch,
            reaped: false,
        })
    }

    /// Ends the group of a command that has ended itself.
    fn end(mut self) -> Option<WaitStatus> {
        self.reaped = true;
        end_group(self.pid)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            let pid = self.pid;
            let _ = kill_process_group(pid, Signal::KILL);
            // It may take the kernel a moment, and this thread serves others.
            std::thread::spawn(move || end_group(pid));
        }
    }
}

/// Gives a command the limit of open files that we were started with, as workers have it.
fn limit_open_files(pid: Pid, soft: u64) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: Some(soft),
        maximum,
    };
    // It may have ended already.
    let _ = prlimit(Some(pid), Resource::Nofile, limit);
}

/// Kills a process group and reaps its first process.
fn end_group(pid: Pid) -> Option<WaitStatus> {
    let _ = kill_process_group(pid, Signal::KILL);
    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).ok()??;
    Some(status)
}
