//! What the admin address needs of the rest of the program.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use metrics_process::Collector;
use penstock_config::Listener;
use penstock_control::{
    Control, MetricsRegistry,
    api::{Door, Hooks},
    revisions::Origin,
};
use penstock_gateway::Gateway;
use tokio::sync::{mpsc, oneshot};

/// Who asked for a reload, and where they wait for what came of it.
pub(super) type ReloadAsk = (Origin, oneshot::Sender<Result<(), String>>);

/// Where the gateway listens, for the requests that operators try. A reload may change it.
#[derive(Clone, Default)]
pub(super) struct Doors(Arc<Mutex<Vec<Door>>>);

impl Doors {
    /// Looks where the gateway listens now.
    pub(super) fn look(&self, gateway: &Gateway) {
        let listeners = gateway.listeners().into_iter();
        // What waits for a PROXY protocol header, or only redirects, answers nobody from here.
        let answers = |listener: &Listener| {
            listener.proxy_protocol.is_empty() && listener.redirect_https.is_none()
        };
        let doors = listeners.filter(|(_, listener)| answers(listener));
        let doors = doors.map(|(address, listener)| Door {
            address,
            tls: listener.tls.is_some(),
        });
        *self.0.lock().expect("nothing panics with it") = doors.collect();
    }
}

/// The hooks of the admin address. Who asks for a reload does so by `ask_reload`; once the program is
/// `ending`, it is not ready.
pub(super) fn of(
    gateway: &Gateway,
    doors: Doors,
    control: &Arc<Control>,
    metrics: Arc<MetricsRegistry>,
    ask_reload: mpsc::Sender<ReloadAsk>,
    ending: &Arc<AtomicBool>,
) -> Hooks {
    let gateway_page = gateway.metrics();
    let insight = gateway.insight();
    let control = Arc::clone(control);
    let ending = Arc::clone(ending);
    let process = Collector::default();
    process.describe();
    Hooks {
        metrics: Arc::new(move |take: &mut dyn FnMut(String) -> bool| {
            process.collect();
            gateway_page(take) && metrics.write(take) && take(control_up(&control))
        }),
        insight: Arc::new(move |service, max| {
            let insight = insight.clone();
            Box::pin(async move { insight.of(&service, max).await })
        }),
        doors: Arc::new(move || doors.0.lock().expect("nothing panics with it").clone()),
        not_ready: Arc::new(move || ending.load(Ordering::Relaxed).then(|| "ending".to_owned())),
        reload: Arc::new(move |origin| {
            let ask_reload = ask_reload.clone();
            Box::pin(async move {
                let (reply, result) = oneshot::channel();
                let gone = |_| "the program is ending".to_owned();
                ask_reload
                    .send((origin, reply))
                    .await
                    .map_err(|_| gone(()))?;
                result.await.map_err(|_| gone(()))?
            })
        }),
    }
}

/// Whether control works, for alerts.
fn control_up(control: &Control) -> String {
    let up = u8::from(control.failure().is_none());
    format!(
        "# HELP penstock_control_up 1 while control works, 0 once it has ended by a failure.\n\
         # TYPE penstock_control_up gauge\npenstock_control_up {up}\n"
    )
}
