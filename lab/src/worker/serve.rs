//! The life of the worker: listen, load, serve, drain.

use std::{future::pending, io::Write, sync::Arc};

use anyhow::Context;
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{any, get, post},
    serve::ListenerExt,
};
use futures_util::FutureExt;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use super::{
    WorkerArgs, api::ApiError, chat, completions, embeddings, engine::Engine, messages, pages,
    responses, transport,
};

/// Largest JSON body; prompts with pictures in them are long.
const BODY_BYTES_MAX: usize = 64 << 20;

pub(super) async fn serve(args: WorkerArgs) -> anyhow::Result<()> {
    // First of all, so that no signal meets a worker that does not listen for it.
    let stop = stop_signal(args.faults.ignore_sigterm)?.boxed().shared();
    let engine = Engine::new(&args);
    if args.faults.listen_late {
        tokio::select! {
            () = load(&args, &engine) => {}
            () = stop.clone() => return Ok(()),
        }
    }
    let listener = TcpListener::bind(args.address())
        .await
        .with_context(|| format!("cannot listen on {}", args.address()))?;
    announce(&listener)?;
    let listener = listener.tap_io(|stream| {
        // Without it tokens would wait for the client's acknowledgements.
        let _ = stream.set_nodelay(true);
    });
    let server = axum::serve(listener, routes(&engine))
        .with_graceful_shutdown(stop.clone())
        .into_future();

    tokio::select! {
        result = server => {
            result?;
            // WebSockets live on outside of the server.
            let _ = tokio::time::timeout(args.drain, engine.idle()).await;
            Ok(())
        }
        () = load_and_crash(&args, &engine) => {
            anyhow::bail!("CUDA error: device lost (simulated by --crash-after)")
        }
        () = stop.then(|()| tokio::time::sleep(args.drain)) => {
            let left = engine.stats().in_flight;
            eprintln!("stopped with {left} requests in flight: {:?} have passed", args.drain);
            Ok(())
        }
    }
}

/// Ends when the worker is told to stop: by SIGTERM, or by Ctrl-C in a terminal.
fn stop_signal(ignore: bool) -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        if ignore {
            pending::<()>().await;
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Says where it listens, for people and for tests that let the system choose the port.
fn announce(listener: &TcpListener) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "listening on http://{}", listener.local_addr()?)?;
    Ok(out.flush()?)
}

async fn load(args: &WorkerArgs, engine: &Engine) {
    if args.faults.hang_on_start {
        pending::<()>().await;
    }
    tokio::time::sleep(args.load_time).await;
    engine.set_ready();
}

async fn load_and_crash(args: &WorkerArgs, engine: &Engine) {
    if !engine.is_ready() {
        load(args, engine).await;
    }
    match args.faults.crash_after {
        Some(after) => tokio::time::sleep(after).await,
        None => pending().await,
    }
}

fn routes(engine: &Arc<Engine>) -> Router {
    Router::new()
        .route("/v1/models", get(pages::models))
        .route("/v1/chat/completions", post(chat::complete))
        .route("/v1/completions", post(completions::complete))
        .route("/v1/embeddings", post(embeddings::embed))
        .route("/v1/messages", post(messages::answer))
        .route("/v1/responses", post(responses::answer))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .route("/echo", post(transport::echo))
        // Over HTTP/2 an upgrade is a CONNECT (RFC 8441).
        .route("/ws", any(transport::websocket))
        .fallback(async || ApiError::not_found("there is nothing at this path"))
        .layer(middleware::from_fn_with_state(Arc::clone(engine), refuse_while_loading))
        .route("/health", get(pages::health))
        .route("/metrics", get(pages::metrics))
        .route("/stats", get(pages::stats))
        .method_not_allowed_fallback(async || ApiError::method_not_allowed())
        .with_state(Arc::clone(engine))
}

async fn refuse_while_loading(
    State(engine): State<Arc<Engine>>,
    request: Request,
    next: Next,
) -> Response {
    if engine.is_ready() {
        next.run(request).await
    } else {
        ApiError::loading().into_response()
    }
}
