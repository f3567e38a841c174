//! `process` of a deployment: what is run, and with what.

pub(super) mod placeholder;

use std::collections::BTreeMap;

use self::placeholder::Filled;

use super::{Check, deployment::Context, gpus};
use crate::{
    ProcessCommand, ProcessSpec,
    key_path::{KeyPath, Segment},
    raw,
};

/// What a name of an environment variable may be: a shell takes nothing else for one.
const VARIABLE_NAME: &str = "the name must be of A-Z, a-z, 0-9 and _, and not begin with a digit: programs and shells \
     do not find a variable with another name";

pub(super) fn process_spec(
    check: &mut Check<'_>,
    context: &Context<'_>,
    process: raw::Process,
) -> ProcessSpec {
    let path = &context.path.key("process");
    if check.has(path) {
        let given = [
            ("command", process.command.is_some()),
            ("shell", process.shell.is_some()),
        ];
        check.exactly_one(path, &given);
    }
    check_env(
        check,
        path,
        &process.env,
        process.gpus.count(),
        Filled::Penstock,
    );
    check_inherited(check, &path.key("inherit_env"), &process.inherit_env);
    gpus::check_numa(check, path, process.numa, process.gpus.count());
    ProcessSpec {
        numa: process.numa,
        command: command(check, path, process.command, process.shell),
        directory: check.absolute(path, &process.directory),
        env: process.env,
        inherit_env: process.inherit_env,
        gpus: gpus::choice(
            check,
            &path.key("gpus"),
            context.gpus,
            context.service,
            process.gpus,
        ),
        stop_grace: process.stop_grace.0,
        allow_foreign_listener: process.allow_foreign_listener,
    }
}

fn command(
    check: &mut Check<'_>,
    path: &KeyPath,
    command: Option<Vec<String>>,
    shell: Option<String>,
) -> ProcessCommand {
    match (command, shell) {
        (None, Some(shell)) => {
            let path = path.key("shell");
            if shell.contains('\0') {
                check.error(&path, "must not hold the character NUL");
            }
            placeholder::check(check, &path, &shell, Filled::Shell);
            ProcessCommand::Shell(shell)
        }
        (command, _) => {
            let path = path.key("command");
            let command = command.unwrap_or_default();
            check_command(check, &path, &command);
            ProcessCommand::Exec(check.program(&path, command))
        }
    }
}

/// Rules for a program with arguments; that it is not empty is in the schema.
pub(super) fn check_command(check: &mut Check<'_>, path: &KeyPath, command: &[String]) {
    let program = command.first().map_or("", String::as_str);
    if !command.is_empty() && program.trim().is_empty() {
        check.error(&path.index(0), "must name a program");
    } else if is_whole_command(program) {
        let rule = how_to_write(path, program);
        check.error_without_value(&path.index(0), rule);
    }
    // What a shell is given by `-c` is filled in by that shell.
    let by_shell = command.iter().any(|word| word == "-c");
    for (index, argument) in command.iter().enumerate() {
        let path = path.index(index);
        if argument.contains('\0') {
            check.error_without_value(&path, "must not hold the character NUL");
        }
        let filled = if by_shell {
            Filled::Shell
        } else {
            Filled::Penstock
        };
        placeholder::check(check, &path, argument, filled);
    }
}

/// Whether a command stands in the place of its program. A program that is a path may have spaces
/// in it.
fn is_whole_command(program: &str) -> bool {
    let mut words = program.split_whitespace();
    words.next().is_some_and(|first| !first.contains('/')) && words.next().is_some()
}

/// How to write a command line at this key: for each word an element, or as a line for a shell. Only
/// its beginning is shown, for there may be secrets among the arguments.
pub(crate) fn how_to_write(path: &KeyPath, line: &str) -> String {
    const SHOWN: usize = 2;
    let words: Vec<&str> = line.split_whitespace().collect();
    let (shown, more) = words.split_at(words.len().min(SHOWN));
    let list: Vec<String> = shown.iter().map(|word| format!("{word:?}")).collect();
    let (list, line) = (list.join(", "), shown.join(" "));
    let (more_list, more) = if more.is_empty() {
        ("", "")
    } else {
        (", ...", " ...")
    };
    let separate = "must be a list of the program and each of its arguments";
    match path.segments().last() {
        Some(Segment::Key(key)) if key == "exec" => {
            format!("{separate}: exec = [{list}{more_list}]")
        }
        _ => format!(
            "{separate}: command = [{list}{more_list}]; a line for a shell is written \
             shell = \"{line}{more}\""
        ),
    }
}

/// Rules for `env` of the table at this path, whose workers get so many GPUs.
pub(super) fn check_env(
    check: &mut Check<'_>,
    path: &KeyPath,
    env: &BTreeMap<String, String>,
    gpus: u32,
    filled: Filled,
) {
    for (name, value) in env {
        let path = path.key("env").key(name);
        let rule = match name.as_str() {
            "PORT" => "is set by Penstock to the worker's port; write {port} where you need it",
            "PENSTOCK_WORKER" | "PENSTOCK_INSTALLATION" => {
                "is set by Penstock, which knows its workers by it"
            }
            "CUDA_VISIBLE_DEVICES" if gpus > 0 => {
                "is set by Penstock to the worker's GPUs; leave it out, or set `gpus` to 0"
            }
            name if !is_variable_name(name) => VARIABLE_NAME,
            _ if value.contains('\0') => "must not hold the character NUL",
            _ => {
                placeholder::check(check, &path, value, filled);
                continue;
            }
        };
        check.error_without_value(&path, rule);
    }
}

pub(super) fn check_inherited(check: &mut Check<'_>, path: &KeyPath, patterns: &[String]) {
    for (index, pattern) in patterns.iter().enumerate() {
        let name = pattern.strip_suffix('*').unwrap_or(pattern);
        if !(is_variable_name(name) || pattern == "*") {
            let rule = "must be the name of an environment variable; a * at its end stands for \
                        any rest, and \"*\" alone for all variables";
            check.error(&path.index(index), rule);
        }
    }
}

fn is_variable_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    let begins = bytes
        .next()
        .is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    begins && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
