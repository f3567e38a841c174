//! What a person at a terminal sees first: the URLs, and what to try.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
};

use penstock_config::{Config, Listener, Service, Source};

/// The URLs of all services and, at a terminal, a few commands. It goes to standard error beside the logs:
/// standard output may be the access log's.
pub(super) fn text(config: &Config, listeners: &[SocketAddr], admin: SocketAddr) -> String {
    let mut out = Vec::new();
    // Memory takes all of it.
    let _ = write(&mut out, config, listeners, admin);
    String::from_utf8_lossy(&out).into_owned()
}

/// Services listed before the rest is only counted.
const LISTED_MAX: usize = 20;

fn write(
    out: &mut impl Write,
    config: &Config,
    listeners: &[SocketAddr],
    admin: SocketAddr,
) -> std::io::Result<()> {
    writeln!(out, "penstock {}", env!("CARGO_PKG_VERSION"))?;
    for listener in listeners {
        writeln!(out, "  gateway   {}://{listener}", scheme(config, listener))?;
    }
    writeln!(
        out,
        "  admin     http://{admin}   (the console; /metrics, /api/v1/status)"
    )?;
    if let Some(socket) = &config.admin.socket {
        writeln!(out, "  admin     unix:{}", socket.display())?;
    }
    let Some(listener) = listeners.first() else {
        return Ok(());
    };
    let scheme = scheme(config, listener);
    for service in config.services.values().take(LISTED_MAX) {
        writeln!(
            out,
            "  service   {}   {}",
            url(service, listener, scheme),
            service.display_name
        )?;
    }
    let more = config.services.len().saturating_sub(LISTED_MAX);
    if more > 0 {
        writeln!(out, "  … and {more} more: penstock status")?;
    }
    if let Some(service) = config
        .services
        .values()
        .find(|service| is_simulated(service))
        && std::io::stderr().is_terminal()
    {
        hints(out, service, &url(service, listener, scheme), admin)?;
    }
    Ok(())
}

/// The workers are `penstock worker`, which the hints below are made for.
fn is_simulated(service: &Service) -> bool {
    service
        .deployments
        .values()
        .any(|deployment| match &deployment.source {
            Source::Process(process) => match &process.command {
                penstock_config::ProcessCommand::Exec(command) => {
                    command.iter().take(2).eq(["penstock", "worker"])
                }
                penstock_config::ProcessCommand::Shell(_) => false,
            },
            Source::Container(_) | Source::Static(_) => false,
        })
}

fn hints(
    out: &mut impl Write,
    service: &Service,
    url: &str,
    admin: SocketAddr,
) -> std::io::Result<()> {
    let penstock = std::env::args()
        .next()
        .unwrap_or_else(|| "penstock".to_owned());
    let name = &service.name;
    writeln!(
        out,
        "\nTry, in another terminal:
  curl -N {url}/v1/chat/completions -d '{{\"model\":\"demo\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'
  {penstock} status --admin {admin}
  {penstock} logs --admin {admin} {name}
Ctrl-C finishes the requests in flight, stops the workers and ends.\n"
    )
}

/// How a listener is asked, of which the port is known that it got for port 0.
fn scheme(config: &Config, bound: &SocketAddr) -> &'static str {
    let is_it = |listener: &&Listener| {
        let address = listener.address;
        address == *bound || address.port() == 0 && address.ip() == bound.ip()
    };
    match config.listeners.iter().find(is_it) {
        Some(listener) if listener.tls.is_some() => "https",
        _ => "http",
    }
}

/// Where a service is asked: the bare address will do for the default one, and needs no names.
fn url(service: &Service, listener: &SocketAddr, scheme: &str) -> String {
    if service.is_default {
        return format!("{scheme}://{listener}");
    }
    let host = service.hosts.first().map_or("localhost", String::as_str);
    match (scheme, listener.port()) {
        ("http", 80) | ("https", 443) => format!("{scheme}://{host}"),
        (_, port) => format!("{scheme}://{host}:{port}"),
    }
}
