//! `penstock completions` and `penstock man`: what packages put beside the program.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use anyhow::Context;
use clap::Args;
use clap_complete::Shell;

/// Print completions for a shell: `penstock completions bash > /etc/bash_completion.d/penstock`.
#[derive(Args)]
pub(crate) struct CompletionsArgs {
    /// The shell.
    shell: Shell,
}

/// Write the manual pages into a folder: `penstock man /usr/local/share/man/man1`.
#[derive(Args)]
pub(crate) struct ManArgs {
    /// The folder, which is made if it is not there.
    folder: PathBuf,
}

/// Prints them.
pub(crate) fn completions(
    args: &CompletionsArgs,
    mut program: clap::Command,
) -> anyhow::Result<()> {
    // Into memory first: the generator panics when its output is closed.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut program, "penstock", &mut text);
    io::stdout().lock().write_all(&text)?;
    Ok(())
}

/// Writes a page for the program and one for each command.
pub(crate) fn man(args: &ManArgs, program: clap::Command) -> anyhow::Result<()> {
    let folder = &args.folder;
    let cannot = || format!("cannot write manual pages to {}", folder.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    clap_mangen::generate_to(program, folder).with_context(cannot)
}
