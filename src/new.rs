//! `penstock new`: a configuration to begin with, for an inference server that people have.

use std::io::{self, Write};

use clap::{Args, ValueEnum};

/// Print a commented configuration for an inference server: `penstock new vllm > penstock.toml`.
#[derive(Args)]
pub(crate) struct NewArgs {
    /// The server.
    #[arg(value_enum)]
    engine: Engine,
    /// Run it as containers of Docker or Podman, not as processes.
    #[arg(long)]
    container: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    Vllm,
    Sglang,
    Tgi,
    #[value(name = "llama.cpp", alias = "llamacpp", alias = "llama-cpp")]
    LlamaCpp,
    Ollama,
    Triton,
    #[value(name = "comfyui")]
    ComfyUi,
}

/// What all have in common.
const HEAD: &str = include_str!("new/head.toml");

impl Engine {
    /// Its service, as processes and as containers.
    fn recipes(self) -> (&'static str, &'static str) {
        macro_rules! recipes {
            ($name:literal) => {
                (
                    include_str!(concat!("new/", $name, ".toml")),
                    include_str!(concat!("new/", $name, "-container.toml")),
                )
            };
        }
        match self {
            Self::Vllm => recipes!("vllm"),
            Self::Sglang => recipes!("sglang"),
            Self::Tgi => recipes!("tgi"),
            Self::LlamaCpp => recipes!("llama.cpp"),
            Self::Ollama => recipes!("ollama"),
            Self::Triton => recipes!("triton"),
            Self::ComfyUi => recipes!("comfyui"),
        }
    }
}

/// Prints the configuration.
pub(crate) fn run(args: &NewArgs) -> anyhow::Result<()> {
    let (process, container) = args.engine.recipes();
    let recipe = if args.container { container } else { process };
    io::stdout().write_all(format!("{recipe}{HEAD}").as_bytes())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use penstock_config::{Config, ProbeKind, ProcessCommand, Source};

    use super::*;

    /// Every recipe as it is printed, with what it is for.
    fn all() -> impl Iterator<Item = (String, Config)> {
        Engine::value_variants().iter().flat_map(|engine| {
            let (process, container) = engine.recipes();
            [("process", process), ("container", container)].map(|(kind, recipe)| {
                let text = format!("{recipe}{HEAD}");
                let config = penstock_config::parse(&text, Path::new("penstock.toml"));
                let title = format!("{engine:?} as {kind}");
                let config = config.unwrap_or_else(|errors| panic!("{title}:\n{errors}"));
                (title, config)
            })
        })
    }

    #[test]
    fn every_recipe_is_a_good_configuration_with_one_service_that_asks_for_a_gpu() {
        let mut recipes = 0;
        for (title, config) in all() {
            recipes += 1;
            let [service] = config.services.values().collect::<Vec<_>>()[..] else {
                panic!("{title}: more than one service");
            };
            let [deployment] = service.deployments.values().collect::<Vec<_>>()[..] else {
                panic!("{title}: more than one deployment");
            };
            let gpus = match &deployment.source {
                Source::Process(spec) if title.ends_with("process") => &spec.gpus,
                Source::Container(spec) if title.ends_with("container") => &spec.gpus,
                other => panic!("{title}: {other:?}"),
            };
            assert_eq!(gpus.count, 1, "{title}");
            let ready = &deployment.probes.ready;
            let asks = ready.as_ref().map(|probe| &probe.kind);
            assert!(
                matches!(asks, Some(ProbeKind::Http { .. })),
                "{title}: {asks:?}"
            );
            assert!(deployment.max_concurrency.is_some(), "{title}");
        }
        assert_eq!(recipes, 14);
    }

    /// Whoever reaches a process at another address goes round the gateway; a program in a container that
    /// listens on 127.0.0.1 is reached by nobody.
    #[test]
    fn processes_listen_on_loopback_and_containers_on_all_addresses() {
        for (title, config) in all() {
            let deployments = config
                .services
                .values()
                .flat_map(|s| s.deployments.values());
            for deployment in deployments {
                let (words, other) = match &deployment.source {
                    Source::Process(spec) => {
                        let ProcessCommand::Exec(command) = &spec.command else {
                            panic!("{title}: a line for a shell");
                        };
                        let env = spec.env.values().cloned();
                        (
                            command.iter().cloned().chain(env).collect::<Vec<_>>(),
                            "0.0.0.0",
                        )
                    }
                    Source::Container(spec) => {
                        let command = spec.command.iter().flatten().cloned();
                        (
                            command.chain(spec.env.values().cloned()).collect(),
                            "127.0.0.1",
                        )
                    }
                    Source::Static(_) => panic!("{title}: static"),
                };
                let all = words.join(" ");
                assert!(!all.contains(other), "{title}: {all}");
                let own = if other == "0.0.0.0" {
                    "127.0.0.1"
                } else {
                    "0.0.0.0"
                };
                assert!(all.contains(own), "{title}: {all}");
                assert!(all.contains("{port}"), "{title}: {all}");
            }
        }
    }
}
