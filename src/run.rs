//! `penstock run`: gateway and control in one process.

mod banner;
mod hooks;
mod log_pages;
mod ready_file;
mod service_manager;
mod start_error;
mod warnings;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use clap::Args;
use penstock_config::{AccessLogTo, Config, LogFormat, Source, fleet::FleetSnapshot};
use penstock_control::{
    Control, MetricsRegistry,
    api::{self, Api, Bounds},
    driver::process,
    revisions::{Origin, Via},
};
use penstock_gateway::Gateway;
use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use self::{
    hooks::{Doors, ReloadAsk},
    warnings::Warnings,
};
use crate::{
    certificates, output,
    reload::FileWatch,
    signals::{Asked, Signals},
    telemetry,
};

/// Run gateway and control with a configuration file, until SIGTERM or Ctrl-C.
#[derive(Args, Clone)]
pub(crate) struct RunArgs {
    /// The configuration file. It is watched, and read again on SIGHUP.
    file: PathBuf,
    /// Write logs as JSON, one object per line.
    #[arg(long)]
    json_logs: bool,
}

/// Runs until a signal asks to end.
pub(crate) fn run(args: &RunArgs) -> anyhow::Result<()> {
    let config = load(&args.file, args.json_logs);
    // What whoever started us left open is nothing to us, nor to the commands of probes. After the
    // configuration, which may be such a descriptor (`penstock run <(...)`), and before all others.
    process::close_inherited_descriptors();
    let logs = telemetry::start_logs(args.json_logs)?;
    let mut ended = config.and_then(|config| run_logged(args, config, &logs));
    if let Err(error) = &ended
        && args.json_logs
    {
        tracing::error!("{error:#}");
        ended = Err(output::Told.into());
    }
    logs.finish();
    ended
}

/// Reads the configuration. Beside logs as JSON, a log of requests that nobody asked for is JSON too.
fn load(file: &Path, json_logs: bool) -> anyhow::Result<Config> {
    let mut config = penstock_config::load(file).map_err(|errors| anyhow::anyhow!("{errors}"))?;
    let log = &mut config.gateway.access_log;
    if json_logs && matches!(log.to, AccessLogTo::Unasked(_)) {
        log.format = LogFormat::Json;
    }
    Ok(config)
}

fn run_logged(args: &RunArgs, config: Config, logs: &telemetry::Logs) -> anyhow::Result<()> {
    // Listeners without TLS are not to wait for a new certificate.
    for error in certificates::outdated(&config, None) {
        tracing::error!("{error}");
    }
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    // Of its own, so that neither a long answer nor a busy control keeps a health check waiting.
    let admin = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("admin")
        .enable_all()
        .build()
        .context("cannot start the thread of the admin address")?;
    let ended = runtime.block_on(async {
        let metrics = telemetry::start_metrics()?;
        let program = Program::start(args, config, metrics, admin.handle()).await?;
        if !args.json_logs {
            let listeners = program.gateway.addresses();
            let text = banner::text(&program.config, &listeners, program.api.address());
            logs.print(&text);
        }
        program.run().await
    });
    // Whoever reads an answer still does not keep the program from ending.
    admin.shutdown_background();
    ended
}

/// Every connection needs a descriptor, and the usual soft limit of 1,024 is soon reached.
fn raise_descriptor_limit() {
    if let Err(error) = process::raise_open_files() {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
}

/// How long the end waits for workers that were killed: one that hangs in a driver may take for ever.
const AT_ONCE: Duration = Duration::from_secs(2);

/// Everything that runs.
struct Program {
    file: PathBuf,
    json_logs: bool,
    config: Arc<Config>,
    control: Arc<Control>,
    gateway: Gateway,
    doors: Doors,
    api: Api,
    signals: Signals,
    files: FileWatch,
    warnings: Warnings,
    reloads: mpsc::Receiver<ReloadAsk>,
    ending: Arc<AtomicBool>,
}

impl Program {
    async fn start(
        args: &RunArgs,
        config: Config,
        metrics: Arc<MetricsRegistry>,
        admin: &Handle,
    ) -> anyhow::Result<Self> {
        // First of all, so that no signal between here and the loop below is missed.
        let signals = Signals::listen().context("cannot listen to signals")?;
        let files = FileWatch::start(&args.file)?;
        let mut warnings = Warnings::default();
        warnings.tell(penstock_config::warnings(&args.file), true);
        let config = Arc::new(config);
        let executable = std::env::current_exe().context("cannot find the penstock executable")?;
        start_error::check_worker_logs(&config)?;
        let control = Control::start(Arc::clone(&config), executable)
            .await
            .map_err(start_error::of_control)?;
        let control = Arc::new(control);
        let parts = (signals, files, warnings, metrics);
        let begun = Self::around(args.clone(), config, Arc::clone(&control), parts, admin).await;
        if begun.is_err() {
            // The workers that were started already would be left behind.
            control.shutdown().await;
        }
        begun
    }

    /// The gateway and the admin address before a running control.
    async fn around(
        RunArgs { file, json_logs }: RunArgs,
        config: Arc<Config>,
        control: Arc<Control>,
        (signals, files, warnings, metrics): (Signals, FileWatch, Warnings, Arc<MetricsRegistry>),
        admin: &Handle,
    ) -> anyhow::Result<Self> {
        given_workers_known(control.fleet()).await;
        let mut gateway = Gateway::start(&config.gateway, control.fleet(), control.reports())
            .map_err(start_error::of_gateway)?;
        gateway.apply(&config).map_err(start_error::of_gateway)?;
        let (ask_reload, reloads) = mpsc::channel(1);
        let ending = Arc::new(AtomicBool::new(false));
        let doors = Doors::default();
        doors.look(&gateway);
        let hooks = hooks::of(
            &gateway,
            doors.clone(),
            &control,
            metrics,
            ask_reload,
            &ending,
        );
        let router = api::router(Arc::clone(&control), hooks)
            .merge(log_pages::router(&config.worker_logs, control.fleet()));
        let settings = Arc::clone(&config);
        let starts = async move { Api::start(&settings, Bounds::default(), router).await };
        let api = admin.spawn(starts).await?;
        let api = api.map_err(|error| start_error::of_admin(&config.admin, error))?;
        let listeners = gateway.addresses();
        ready_file::write(&listeners, api.address()).await?;
        service_manager::ready(listeners.len());
        Ok(Self {
            file,
            json_logs,
            config,
            control,
            gateway,
            doors,
            api,
            signals,
            files,
            warnings,
            reloads,
            ending,
        })
    }

    async fn run(mut self) -> anyhow::Result<()> {
        loop {
            tokio::select! {
                asked = self.signals.next() => match asked {
                    Asked::Reload => {
                        self.gateway.reopen_access_log();
                        let _ = self.reload(true, Origin::of(Via::Signal)).await;
                    }
                    Asked::End => return self.end().await,
                },
                () = self.files.changed() => {
                    let _ = self.reload(false, Origin::of(Via::File)).await;
                }
                Some((origin, reply)) = self.reloads.recv() => {
                    // Whoever asked may have gone; the reload happened all the same.
                    let _ = reply.send(self.reload(true, origin).await);
                }
            }
        }
    }

    /// Reads the configuration again. A bad one changes nothing and says why. Whoever `asked` for it is
    /// told too that nothing has changed; other files in the same folder change all the time.
    async fn reload(&mut self, asked: bool, origin: Origin) -> Result<(), String> {
        service_manager::reloading();
        let result = self.reload_and_tell(asked, origin).await;
        service_manager::reloaded(&result);
        result
    }

    async fn reload_and_tell(&mut self, asked: bool, origin: Origin) -> Result<(), String> {
        match self.try_reload(origin).await {
            Ok(false) => {
                if asked {
                    tracing::info!(file = %self.file.display(), "configuration unchanged");
                }
                Ok(())
            }
            Ok(true) => {
                metrics::counter!("penstock_config_reloads_total", "result" => "applied")
                    .increment(1);
                tracing::info!(file = %self.file.display(), "configuration applied");
                Ok(())
            }
            Err(error) => {
                let error = format!("{error:#}");
                metrics::counter!("penstock_config_reloads_total", "result" => "refused")
                    .increment(1);
                tracing::error!(file = %self.file.display(), "configuration refused, the old one stays:\n{error}");
                self.control.config_rejected(error.clone()).await;
                Err(error)
            }
        }
    }

    /// Whether anything changed.
    async fn try_reload(&mut self, origin: Origin) -> anyhow::Result<bool> {
        if let Some(failure) = self.control.failure() {
            anyhow::bail!("{failure}");
        }
        // Before it is read, so that no change in a folder that is new goes unseen. Also when the file turns
        // out to be wrong, or no other than before: what is wrong may be repaired in a file that only the
        // new configuration names, and an `include` may match no file yet.
        let watched = self.files.follow(&self.file);
        let (file, json_logs) = (self.file.clone(), self.json_logs);
        // A large configuration takes a while, and requests for workers must not wait for it.
        let read = move || {
            let config = load(&file, json_logs)?;
            Ok::<_, anyhow::Error>((config, penstock_config::warnings(&file)))
        };
        let (config, warnings) = tokio::task::spawn_blocking(read).await??;
        watched?;
        let config = Arc::new(config);
        let outdated = certificates::outdated(&config, Some(&self.config));
        if let Some(error) = outdated.first() {
            anyhow::bail!("{error}");
        }
        let changed = config != self.config;
        if changed {
            self.refuse_what_needs_a_restart(&config)?;
            // The gateway first: it can fail, on an address that is taken, and then nothing has changed.
            self.gateway
                .apply(&config)
                .map_err(start_error::of_gateway)?;
            self.doors.look(&self.gateway);
        }
        self.api.set_tokens(&config);
        self.warnings.tell(warnings, changed);
        // Even if nothing changed: an earlier refusal is over.
        let generation = self.control.apply(Arc::clone(&config), origin).await;
        // Whoever is told that it is applied may rely on it with the next request.
        self.gateway.obeys(generation).await;
        self.config = config;
        Ok(changed)
    }

    fn refuse_what_needs_a_restart(&self, new: &Config) -> anyhow::Result<()> {
        let old = &*self.config;
        anyhow::ensure!(
            old.admin.can_become(&new.admin),
            "admin: a change of anything but tokens needs a restart"
        );
        anyhow::ensure!(
            new.gateway.threads == old.gateway.threads,
            "gateway.threads: a change needs a restart"
        );
        anyhow::ensure!(
            new.worker_logs == old.worker_logs,
            "worker_logs: a change needs a restart"
        );
        Ok(())
    }

    /// Finishes what is in flight, stops all workers. A second signal waits for no request and kills
    /// the workers.
    async fn end(self) -> anyhow::Result<()> {
        let Self {
            config,
            control,
            gateway,
            mut signals,
            ending,
            // Answers until the end.
            api: _api,
            ..
        } = self;
        ending.store(true, Ordering::Relaxed);
        service_manager::stopping();
        tracing::info!(
            "ending: finishing what is in flight; a second signal ends at once and kills the workers"
        );
        let patience = config.gateway.drain_timeout;
        let hurried = {
            let drain = gateway.drain(patience);
            tokio::select! {
                drained = drain => {
                    if drained.cut > 0 {
                        tracing::warn!(connections = drained.cut, "cut after {patience:?}");
                    }
                    false
                }
                () = signals.end() => true,
            }
        };
        let stop = control.shutdown();
        let mut stop = std::pin::pin!(stop);
        if !hurried {
            tokio::select! {
                () = stop.as_mut() => return Ok(()),
                () = signals.end() => {}
            }
        }
        tracing::warn!("ending at once: workers are killed");
        // In this order: there is something to hurry only once the workers drain.
        let ended = async { tokio::join!(stop, control.hurry()) };
        if tokio::time::timeout(AT_ONCE, ended).await.is_err() {
            tracing::warn!("workers do not end, not even by SIGKILL; the next start ends them");
        }
        Ok(())
    }
}

/// Waits a moment for the workers of static deployments, so that the first requests find them all
/// and not just the first that was looked up. One that does not answer its probe holds nothing up
/// for longer.
async fn given_workers_known(mut fleet: watch::Receiver<Arc<FleetSnapshot>>) {
    const PATIENCE: Duration = Duration::from_secs(1);
    let known = |snapshot: &Arc<FleetSnapshot>| {
        let deployments = snapshot
            .services
            .iter()
            .flat_map(|service| &service.deployments);
        deployments
            .into_iter()
            .all(|deployment| match &deployment.spec.source {
                Source::Static(addresses) => deployment.workers.len() >= addresses.len(),
                Source::Process(_) | Source::Container(_) => true,
            })
    };
    // Neither time-out nor the end of control matters here: what follows deals with both.
    let _ = tokio::time::timeout(PATIENCE, fleet.wait_for(known)).await;
}
