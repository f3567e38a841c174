//! From a worker's command to a program that can be run.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use penstock_config::{ProcessCommand, ProcessSpec};

/// The bare program name that means this executable.
const OURSELVES: &str = "penstock";

/// A program to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// Its file, absolute.
    pub(crate) path: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<String>,
}

/// The program of a worker that listens on `port`.
///
/// # Errors
///
/// What is wrong, for people, when the working directory or the program is not there.
pub(crate) fn program(spec: &ProcessSpec, port: u16, ourselves: &Path) -> Result<Program, String> {
    if !spec.directory.is_dir() {
        return Err(format!(
            "working directory {} is not there",
            spec.directory.display()
        ));
    }
    match &spec.command {
        ProcessCommand::Shell(line) => Ok(Program {
            path: "/bin/sh".into(),
            args: vec!["-c".to_owned(), fill(line, port)],
        }),
        ProcessCommand::Exec(words) => {
            let (name, args) = words.split_first().ok_or("the command is empty")?;
            let path = spec.env.get("PATH").map(OsString::from);
            let path = path.or_else(|| env::var_os("PATH")).unwrap_or_default();
            Ok(Program {
                path: find(&fill(name, port), &spec.directory, &path, ourselves)?,
                args: args.iter().map(|arg| fill(arg, port)).collect(),
            })
        }
    }
}

/// `text` with the port in place of every `{port}`.
pub(crate) fn fill(text: &str, port: u16) -> String {
    text.replace("{port}", &port.to_string())
}

/// Finds a program as a shell in `directory` would, but for our own name.
pub(crate) fn find(
    name: &str,
    directory: &Path,
    path: &OsStr,
    ourselves: &Path,
) -> Result<PathBuf, String> {
    if name == OURSELVES {
        return Ok(ourselves.to_owned());
    }
    if name.contains('/') {
        let file = directory.join(name);
        return runnable(&file).map(|()| file);
    }
    let candidates = env::split_paths(path).map(|folder| directory.join(folder).join(name));
    let mut refusal = None;
    for file in candidates {
        match runnable(&file) {
            Ok(()) => return Ok(file),
            Err(error) if file.exists() => refusal = refusal.or(Some(error)),
            Err(_) => {}
        }
    }
    let path = path.to_string_lossy();
    Err(refusal.unwrap_or_else(|| {
        format!(
            "program {name} not found in PATH ({path}); name it with its path, or set PATH in `env`"
        )
    }))
}

/// Why the program of a worker could not be run now, if it could not: for people, and before anything
/// is started.
pub fn missing_program(spec: &ProcessSpec, ourselves: &Path) -> Option<String> {
    program(spec, 0, ourselves).err()
}

fn runnable(file: &Path) -> Result<(), String> {
    let shown = file.display();
    let metadata = fs::metadata(file).map_err(|error| format!("program {shown}: {error}"))?;
    if !metadata.is_file() {
        return Err(format!("program {shown} is not a file"));
    }
    if metadata.permissions().mode() & 0o111 == 0 {
        return Err(format!("program {shown} is not executable (chmod +x)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::*;

    fn spec(command: ProcessCommand) -> ProcessSpec {
        ProcessSpec {
            command,
            directory: "/".into(),
            env: BTreeMap::new(),
            inherit_env: Vec::new(),
            gpus: 0.into(),
            numa: false,
            stop_grace: Duration::from_secs(1),
            allow_foreign_listener: false,
        }
    }

    fn exec(words: &[&str]) -> Result<Program, String> {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        program(&spec(ProcessCommand::Exec(words)), 4321, Path::new("/us"))
    }

    #[test]
    fn the_port_is_filled_in_wherever_it_is_asked_for() {
        let program = exec(&["/bin/sh", "--port={port}", "{port}:{port}"]).unwrap();
        assert_eq!(program.args, ["--port=4321", "4321:4321"]);
        let shell = spec(ProcessCommand::Shell("serve {port}".to_owned()));
        let program = super::program(&shell, 1, Path::new("/us")).unwrap();
        assert_eq!(program.args, ["-c", "serve 1"]);
    }

    #[test]
    fn the_bare_name_penstock_means_this_executable() {
        assert_eq!(exec(&["penstock"]).unwrap().path, Path::new("/us"));
        assert!(exec(&["./penstock"]).is_err());
    }

    #[test]
    fn a_program_that_cannot_run_is_told_with_the_places_tried() {
        let error = exec(&["no-such-program"]).unwrap_err();
        assert!(error.starts_with("program no-such-program not found in PATH (/"));
        let error = exec(&["no/such"]).unwrap_err();
        assert!(
            error.starts_with("program /no/such: No such file"),
            "{error}"
        );
        let error = exec(&["/etc/passwd"]).unwrap_err();
        assert_eq!(error, "program /etc/passwd is not executable (chmod +x)");
    }

    #[test]
    fn a_missing_working_directory_is_told() {
        let mut spec = spec(ProcessCommand::Shell("true".to_owned()));
        spec.directory = "/no/such".into();
        let error = program(&spec, 1, Path::new("/us")).unwrap_err();
        assert_eq!(error, "working directory /no/such is not there");
    }
}
