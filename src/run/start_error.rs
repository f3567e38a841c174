//! Why the program cannot start, in words that name the key of the configuration to change.

use std::{fs, io, net::SocketAddr, os::unix::fs::DirBuilderExt};

use anyhow::Context;
use nix::unistd::{AccessFlags, access};
use penstock_config::{Admin, Config, Source};
use penstock_control::{ControlError, api::ListenError};
use penstock_gateway::GatewayError;

/// An address that cannot be listened on.
pub(super) fn cannot_listen(key: &str, address: SocketAddr, error: &io::Error) -> anyhow::Error {
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let port = address.port();
            format!(
                "another process listens there already; `ss -ltnp 'sport = :{port}'` shows which"
            )
        }
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied if address.port() < 1024 => {
            "a port below 1024 needs root or the capability CAP_NET_BIND_SERVICE".to_owned()
        }
        _ => error.to_string(),
    };
    anyhow::anyhow!("{key}: cannot listen on {address}: {why}")
}

/// An admin address that cannot be served.
pub(super) fn of_admin(admin: &Admin, error: ListenError) -> anyhow::Error {
    let error = match error {
        ListenError::Address(error) => {
            return cannot_listen("admin.address", admin.address, &error);
        }
        ListenError::Socket(error) => error,
    };
    let path = admin.socket.clone().unwrap_or_default();
    let why = match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there already".to_owned(),
        io::ErrorKind::NotFound => "its folder does not exist".to_owned(),
        _ => error.to_string(),
    };
    anyhow::anyhow!("admin.socket: cannot listen on {}: {why}", path.display())
}

/// A gateway that does not start, or does not take a configuration.
pub(super) fn of_gateway(error: GatewayError) -> anyhow::Error {
    match error {
        GatewayError::Listen(address, error) => cannot_listen("listeners", address, &error),
        other => other.into(),
    }
}

/// A control service that does not start.
pub(super) fn of_control(error: ControlError) -> anyhow::Error {
    match error {
        ControlError::Store(error) => anyhow::anyhow!("admin.state: {error}"),
        other => other.into(),
    }
}

/// Makes sure that the output of workers can be written, which would otherwise be noticed only when the
/// first of them starts.
pub(super) fn check_worker_logs(config: &Config) -> anyhow::Result<()> {
    let mut deployments = config
        .services
        .values()
        .flat_map(|service| service.deployments.values());
    if deployments.all(|deployment| matches!(deployment.source, Source::Static(_))) {
        return Ok(());
    }
    let folder = &config.worker_logs.directory;
    let context = || {
        format!(
            "worker_logs.directory: cannot write to {}",
            folder.display()
        )
    };
    // For our user alone: there are words of users in what workers write.
    let mut make = fs::DirBuilder::new();
    let made = make.recursive(true).mode(0o700).create(folder);
    made.with_context(context)?;
    access(folder.as_path(), AccessFlags::W_OK | AccessFlags::X_OK).with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(address: &str, kind: io::ErrorKind) -> String {
        let address = address.parse().expect("an address");
        cannot_listen("listeners", address, &kind.into()).to_string()
    }

    #[test]
    fn an_address_that_cannot_be_had_is_named_with_its_key_and_what_to_do() {
        assert_eq!(
            listening("127.0.0.1:8080", io::ErrorKind::AddrInUse),
            "listeners: cannot listen on 127.0.0.1:8080: another process listens there already; \
             `ss -ltnp 'sport = :8080'` shows which"
        );
        assert_eq!(
            listening("127.0.0.1:80", io::ErrorKind::PermissionDenied),
            "listeners: cannot listen on 127.0.0.1:80: a port below 1024 needs root or the \
             capability CAP_NET_BIND_SERVICE"
        );
        assert_eq!(
            listening("192.0.2.1:80", io::ErrorKind::AddrNotAvailable),
            "listeners: cannot listen on 192.0.2.1:80: this machine has no such address"
        );
    }
}
