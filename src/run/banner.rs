//! What a person at a terminal sees first: the URLs, and what to try.

use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
};

use penstock_config::{Config, Service, Source};

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
        writeln!(out, "  gateway   http://{listener}")?;
    }
    writeln!(
        out,
        "  admin     http://{admin}   (/metrics, /api/v1/status)"
    )?;
    let Some(listener) = listeners.first() else {
        return Ok(());
    };
    for service in config.services.values().take(LISTED_MAX) {
        writeln!(
            out,
            "  service   {}   {}",
            url(service, listener),
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
        hints(out, service, &url(service, listener), admin)?;
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
            Source::Static(_) => false,
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

/// Where a service is asked: the bare address will do for the default one, and needs no names.
fn url(service: &Service, listener: &SocketAddr) -> String {
    if service.is_default {
        return format!("http://{listener}");
    }
    let host = service.hosts.first().map_or("localhost", String::as_str);
    match listener.port() {
        80 => format!("http://{host}"),
        port => format!("http://{host}:{port}"),
    }
}
