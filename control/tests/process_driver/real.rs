//! Real inference servers, for which they must be installed: run with
//! `PENSTOCK_TEST_TRITON=…/bin/python` (nvidia-pytriton) or `PENSTOCK_TEST_RAY=…/bin/python`
//! (ray[serve]) and `--ignored`.

use std::{fs, path::Path, time::Duration};

use libtest_mimic::Trial;
use penstock_config::{ProcessCommand, Source};
use penstock_control::driver::{Driver, NewWorker, StartedWorker};
use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep,
};

use crate::support::{Bench, ended, lives, supervisor, trial, worker_pid};

/// NVIDIA Triton: its server lives on when its Python parent dies, and ignores SIGTERM then.
const TRITON: &str = r#"
import os
import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

@batch
def double(x):
    return [x * 2]

port = int(os.environ["PORT"])
config = TritonConfig(
    http_address="127.0.0.1", http_port=port, allow_grpc=False, allow_metrics=False
)
with Triton(config=config) as triton:
    tensor = lambda name: Tensor(name=name, dtype=np.float32, shape=(-1,))
    config = ModelConfig(max_batch_size=4)
    triton.bind("double", double, [tensor("x")], [tensor("y")], config=config)
    triton.serve()
"#;

/// Ray Serve: its processes leave the group, and one of them holds the port.
const RAY: &str = r#"
import os, time
from ray import serve

@serve.deployment
class Echo:
    async def __call__(self, request):
        return "ready"

serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
serve.run(Echo.bind())
while True:
    time.sleep(1)
"#;

struct Server {
    python: &'static str,
    script: &'static str,
    path: &'static str,
}

const SERVERS: [(&str, Server); 2] = [
    (
        "triton",
        Server {
            python: "PENSTOCK_TEST_TRITON",
            script: TRITON,
            path: "/v2/models/double/ready",
        },
    ),
    (
        "ray",
        Server {
            python: "PENSTOCK_TEST_RAY",
            script: RAY,
            path: "/",
        },
    ),
];

pub(crate) fn trials() -> Vec<Trial> {
    let ends: [(&str, End); 5] = [
        ("stop", End::Stop),
        ("exit", End::Killed),
        ("adoption", End::Adopted),
        ("exit_unnoticed", End::KilledUnnoticed),
        ("supervisors_death", End::SupervisorKilled),
    ];
    let mut trials = Vec::new();
    for (name, server) in &SERVERS {
        for (how, end) in ends {
            let name = format!("nothing_of_{name}_is_left_after_its_{how}");
            trials.push(trial(&name, move || run(server, end)).with_ignored_flag(true));
        }
    }
    trials
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    Stop,
    Killed,
    Adopted,
    KilledUnnoticed,
    SupervisorKilled,
}

async fn run(server: &'static Server, end: End) {
    let mut bench = Bench::new();
    let worker = server.worker(&bench);
    let started = bench.start(&worker).await;
    tokio::select! {
        () = server.answers(&started) => {}
        reason = bench.exit() => panic!("{reason}"),
    }
    let family = family(supervisor(&started));
    show(&family);
    let kill = |pid| kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    match end {
        End::Stop => {}
        End::Killed => {
            kill(worker_pid(&started.saved));
            println!("reason: {}", bench.exit().await);
        }
        End::Adopted => {
            bench.begin_again();
            bench.driver().adopt(&worker, &started.saved).await.unwrap();
        }
        End::KilledUnnoticed => {
            bench.begin_again();
            kill(supervisor(&started));
            kill(worker_pid(&started.saved));
            ended(supervisor(&started)).await;
            assert_eq!(bench.driver().adopt(&worker, &started.saved).await, None);
        }
        End::SupervisorKilled => {
            kill(supervisor(&started));
            println!("reason: {}", bench.exit().await);
        }
    }
    bench.stop(&worker).await;
    let left: Vec<_> = family.into_iter().filter(|&pid| lives(pid)).collect();
    show(&left);
    assert!(left.is_empty());
    bench.assert_nothing_left();
    TcpStream::connect(started.address).await.unwrap_err();
}

impl Server {
    fn worker(&self, bench: &Bench) -> NewWorker {
        let python = std::env::var(self.python).unwrap();
        fs::write(bench.path("app.py"), self.script).unwrap();
        let mut spec = bench.spec("");
        spec.command = ProcessCommand::Exec(vec![python, "app.py".to_owned()]);
        spec.stop_grace = Duration::from_secs(5);
        spec.inherit_env = inherited_by_default();
        bench.worker("w0", 0, spec)
    }

    async fn answers(&self, started: &StartedWorker) {
        // A server does not tell when it listens, and may take minutes to load.
        while !self.is_ready(started).await {
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn is_ready(&self, started: &StartedWorker) -> bool {
        let Ok(mut stream) = TcpStream::connect(started.address).await else {
            return false;
        };
        let request = format!(
            "GET {} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            self.path
        );
        let mut head = [0; 12];
        stream.write_all(request.as_bytes()).await.is_ok()
            && stream.read_exact(&mut head).await.is_ok()
            && head.ends_with(b" 200")
    }
}

/// What workers inherit when the user says nothing: real servers need `HOME` and more.
fn inherited_by_default() -> Vec<String> {
    let file = r#"
        listeners = [{ address = "127.0.0.1:0" }]
        [services.a.deployments.b]
        process = { command = ["sh"] }
    "#;
    let config = penstock_config::parse(file, Path::new("penstock.toml")).unwrap();
    let mut deployments = config
        .services
        .values()
        .flat_map(|a| a.deployments.values());
    match deployments.next().map(|deployment| &deployment.source) {
        Some(Source::Process(spec)) => spec.inherit_env.clone(),
        _ => panic!("the deployment is gone"),
    }
}

/// All descendants of a process.
fn family(root: i32) -> Vec<i32> {
    let stats: Vec<_> = procfs::process::all_processes()
        .unwrap()
        .filter_map(|process| process.ok()?.stat().ok())
        .collect();
    let mut family = vec![root];
    let mut seen = 0;
    while let Some(&parent) = family.get(seen) {
        seen += 1;
        family.extend(
            stats
                .iter()
                .filter(|stat| stat.ppid == parent)
                .map(|stat| stat.pid),
        );
    }
    family
}

fn show(family: &[i32]) {
    for &pid in family {
        let Ok(process) = Process::new(pid) else {
            continue;
        };
        let Ok(stat) = process.stat() else { continue };
        let environ = process.environ().unwrap_or_default();
        let marked = environ.contains_key(std::ffi::OsStr::new("PENSTOCK_WORKER"));
        println!(
            "{pid} parent {} group {} session {} marked {marked} {} {}",
            stat.ppid, stat.pgrp, stat.session, stat.state, stat.comm
        );
    }
}
