//! The layers: who may know whom. Between crates they are held by the manifests (the same rules for
//! indirect dependencies are in `.deny.toml`), between the storeys of the gateway by its imports, and between
//! the pure part of control and the rest by what it names.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// What a crate must not depend on, and why.
const FORBIDDEN: [(&str, &[&str], &str); 5] = [
    (
        "balancer",
        &[
            "penstock-",
            "tokio",
            "hyper",
            "pingora",
            "tracing",
            "metrics",
            "futures",
        ],
        "pure algorithms: no runtime, no logging, nothing of ours",
    ),
    (
        "config",
        &["penstock-", "tokio", "hyper", "pingora", "axum", "rusqlite"],
        "values and their rules: no runtime, nothing of ours",
    ),
    (
        "gateway",
        &[
            "penstock-control",
            "penstock-lab",
            "axum",
            "rusqlite",
            "nix",
            "procfs",
        ],
        "the data plane knows control only by `config::fleet` and starts no process",
    ),
    (
        "control",
        &["penstock-gateway", "penstock-lab", "pingora"],
        "control knows the gateway only by `config::fleet`",
    ),
    (
        "lab",
        &["penstock-gateway", "pingora", "rusqlite"],
        "the lab runs what control decides, against workers and requests of its own",
    ),
];

#[test]
fn crates_depend_only_on_the_layers_below_them() {
    for (folder, forbidden, why) in FORBIDDEN {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(folder)
            .join("Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
        let dependencies = manifest["dependencies"].as_table().unwrap();
        for name in dependencies.keys() {
            let broken = forbidden.iter().find(|start| name.starts_with(**start));
            assert!(
                broken.is_none(),
                "{folder} depends on {name}, but it is: {why}"
            );
        }
    }
}

#[test]
fn no_crate_allows_unsafe_code() {
    let root: toml::Table = include_str!("../Cargo.toml").parse().unwrap();
    let lints = &root["workspace"]["lints"]["rust"];
    assert_eq!(lints["unsafe_code"].as_str(), Some("forbid"));
    for folder in ["balancer", "config", "control", "gateway", "lab"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(folder)
            .join("Cargo.toml");
        let manifest: toml::Table = fs::read_to_string(&file).unwrap().parse().unwrap();
        assert_eq!(
            manifest["lints"]["workspace"].as_bool(),
            Some(true),
            "{folder}"
        );
    }
}

/// Imports of the gateway that point to a storey above, as `storey::module`. Each is a debt: it may be
/// struck off, and none may be added.
const UPWARDS: [(&str, &str); 4] = [
    ("socket::connection", "settle::thread"),
    ("upstream", "stream::request_body"),
    ("upstream::h1", "stream::request_body"),
    ("upstream::h2", "stream::request_body"),
];

/// Modules of the gateway that import themselves, by way of others. Fewer is better, more is not allowed.
const IN_CIRCLES: usize = 44;

#[test]
fn storeys_of_the_gateway_import_only_what_is_below_them() {
    let lib = fs::read_to_string(gateway().join("lib.rs")).unwrap();
    let storeys = storeys(&lib);
    let height = |module: &str| {
        let storey = module.split("::").next().unwrap();
        let height = storeys.iter().position(|name| name == storey);
        height.unwrap_or_else(|| panic!("lib.rs names no storey for {module}"))
    };
    let mut upwards = BTreeSet::new();
    for (from, all) in imports_of_modules() {
        let above = all.into_iter().filter(|to| height(to) < height(&from));
        upwards.extend(above.map(|to| (from.clone(), to)));
    }
    let known = UPWARDS.map(|(from, to)| (from.to_owned(), to.to_owned()));
    let known = BTreeSet::from(known);
    let new: Vec<_> = upwards.difference(&known).collect();
    assert!(
        new.is_empty(),
        "these import from a storey above (the order is that of gateway/src/lib.rs): {new:#?}"
    );
    let gone: Vec<_> = known.difference(&upwards).collect();
    assert!(gone.is_empty(), "strike these off UPWARDS: {gone:#?}");
}

#[test]
fn no_more_modules_of_the_gateway_import_in_circles() {
    let imports = imports_of_modules();
    let circles = in_circles(&imports);
    assert!(
        circles.len() <= IN_CIRCLES,
        "{} modules import in circles: {circles:#?}",
        circles.len()
    );
}

#[test]
fn a_module_is_in_a_circle_when_its_imports_lead_back_to_it() {
    let imports = [("a", "b"), ("b", "c"), ("c", "b"), ("c", "d"), ("e", "a")];
    let imports = imports.map(|(from, to)| (from.to_owned(), BTreeSet::from([to.to_owned()])));
    let mut all = BTreeMap::<String, BTreeSet<String>>::new();
    for (from, to) in imports {
        all.entry(from).or_default().extend(to);
    }
    assert_eq!(in_circles(&all), ["b", "c"]);
}

#[test]
fn imports_are_read_from_nested_trees_but_not_from_tests_and_comments() {
    let code = r##"
        //! Of [`crate::comment::line`].
        use crate::{
            a::{b::C, d::{self, E}},
            f::G, /* crate::comment::block */
            h,
        };
        pub(crate) fn x<'a>() { crate::i::j::k::<u8>(); '"'; "crate::text::x \" {"; r#"crate::raw::"x"#; }
        #[cfg(test)]
        use crate::test::{one};
        #[cfg(test)]
        mod tests { use crate::test::two; fn y() { '{'; } }
        type L = crate::l::M;
    "##;
    let read = imports(&without_tests(code));
    let expected = ["a::b", "a::d", "f", "h", "i::j", "l"];
    assert_eq!(read, BTreeSet::from(expected.map(str::to_owned)));
    let code = "use super::{j, k::L}; super::super::m::N; self::o::P";
    let code = from_the_root(code, &["a", "b"]);
    let expected = "use crate::a::{j, k::L}; crate::m::N; crate::a::b::o::P";
    assert_eq!(code, expected);
    assert_eq!(
        storeys("mod b;\n\n// mod c;\nmod a;\npub use a::D;\n"),
        ["b", "a"]
    );
}

/// What the pure part of control must not name, besides the modules that touch the world: with it a
/// decision could not be told what time it is, or be played again.
const IMPURE: [&str; 14] = [
    "Instant::now",
    "SystemTime::now",
    "async fn",
    "axum::",
    "hyper::",
    "metrics::counter",
    "metrics::gauge",
    "parking_lot",
    "rand::",
    "rusqlite",
    "std::fs",
    "std::process",
    "tokio",
    "tracing",
];

#[test]
fn the_core_of_control_touches_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("control/src");
    let lib = fs::read_to_string(root.join("lib.rs")).unwrap();
    let (pure, impure) = lib
        .split_once("// What touches the world.")
        .expect("lib.rs says where the pure part ends");
    let (pure, impure) = (storeys(pure), storeys(impure));
    assert!(pure.contains(&"core".to_owned()) && impure.contains(&"shell".to_owned()));
    for module in &pure {
        let mut files = vec![root.join(module).with_extension("rs")];
        let folder = root.join(module);
        files.extend(
            folder
                .is_dir()
                .then(|| sources(&folder))
                .into_iter()
                .flatten(),
        );
        for file in files {
            let code = without_tests(&fs::read_to_string(&file).expect("a source file"));
            let name = file.display();
            for word in IMPURE {
                assert!(
                    !code.contains(word),
                    "{name} names {word}, and is to be pure"
                );
            }
            let path = file.strip_prefix(&root).expect("below it");
            let path = path.with_extension("");
            let path: Vec<&str> = path.iter().filter_map(|part| part.to_str()).collect();
            for import in imports(&from_the_root(&code, &path)) {
                let storey = import.split("::").next().unwrap_or_default();
                assert!(
                    pure.iter().any(|name| name == storey),
                    "{name} imports {import}, which is not of the pure part"
                );
            }
        }
    }
}

/// The folder of the gateway's sources.
fn gateway() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("gateway/src")
}

/// What each module of the gateway imports, as `storey::module`. What lies below a module belongs to it.
fn imports_of_modules() -> BTreeMap<String, BTreeSet<String>> {
    let root = gateway();
    let mut all = BTreeMap::<_, BTreeSet<_>>::new();
    for file in sources(&root) {
        let path = file
            .strip_prefix(&root)
            .expect("a file under the root")
            .with_extension("");
        let path: Vec<&str> = path
            .iter()
            .map(|part| part.to_str().expect("ASCII"))
            .collect();
        if path == ["lib"] {
            continue;
        }
        let code = without_tests(&fs::read_to_string(&file).expect("a source file"));
        let module = path[..path.len().min(2)].join("::");
        let mut imports = imports(&from_the_root(&code, &path));
        imports.remove(&module);
        all.entry(module).or_default().extend(imports);
    }
    all
}

/// A code in the module at `path` with all paths from the root of the crate.
fn from_the_root(code: &str, path: &[&str]) -> String {
    let mut code = code.replace("self::", &format!("crate::{}::", path.join("::")));
    for up in (1..=path.len()).rev() {
        let above = [&["crate"], &path[..path.len() - up], &[""]].concat();
        code = code.replace(&"super::".repeat(up), &above.join("::"));
    }
    code
}

/// The modules from which imports lead back to themselves.
fn in_circles(imports: &BTreeMap<String, BTreeSet<String>>) -> Vec<&str> {
    let is_reached_from_itself = |module: &&String| {
        let (mut reached, mut to_do) = (BTreeSet::new(), vec![*module]);
        while let Some(next) = to_do.pop() {
            let imported = imports.get(next).into_iter().flatten();
            to_do.extend(imported.filter(|to| reached.insert(*to)));
        }
        reached.contains(module)
    };
    let modules = imports.keys().filter(is_reached_from_itself);
    modules.map(String::as_str).collect()
}

/// The storeys in the order of their declarations.
fn storeys(lib: &str) -> Vec<String> {
    let named = |line: &str| {
        let line = line.strip_prefix("pub ").unwrap_or(line);
        Some(line.strip_prefix("mod ")?.strip_suffix(';')?.to_owned())
    };
    lib.lines().filter_map(named).collect()
}

/// All sources below a folder but those of tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            files.push(path);
        }
    }
    files
}

/// The modules that a code names by `crate::`, as `storey::module`, or the storey alone where what
/// follows is no module.
fn imports(code: &str) -> BTreeSet<String> {
    let mut modules = BTreeSet::new();
    for (at, start) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        for path in tree(&code[at + start.len()..], 2) {
            modules.insert(path);
        }
    }
    modules
}

/// The first `deep` parts of the paths of a tree of imports, as far as they are modules.
fn tree(text: &str, deep: usize) -> Vec<String> {
    let text = text.trim_start();
    if deep == 0 {
        return Vec::new();
    }
    if let Some(inner) = text.strip_prefix('{') {
        let paths = branches(inner).into_iter();
        return paths.flat_map(|branch| tree(branch, deep)).collect();
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_'));
    let (name, rest) = text.split_at(end.unwrap_or(text.len()));
    if !name.starts_with(|c: char| c.is_lowercase()) || name == "self" {
        return Vec::new();
    }
    let below = rest.strip_prefix("::").map(|rest| tree(rest, deep - 1));
    match below.filter(|below| !below.is_empty()) {
        Some(below) => below.iter().map(|path| format!("{name}::{path}")).collect(),
        None => vec![name.to_owned()],
    }
}

/// What stands between the commas of a group, up to its closing brace.
fn branches(inner: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, c) in inner.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                found.push(&inner[start..at]);
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => (),
        }
    }
    found
}

/// A source without comments, texts and what is compiled for tests only.
fn without_tests(source: &str) -> String {
    let bare = without_texts(source);
    let mut parts = bare.split("#[cfg(test)]");
    let mut code = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        code.push_str(&part[item_end(part)..]);
    }
    code
}

/// Where the item ends that a code begins with: at its semicolon or its closing brace.
fn item_end(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => (),
        }
        if depth == 0 && matches!(c, '}' | ';') {
            return at + 1;
        }
    }
    code.len()
}

/// A source without its comments and without what stands between quotes.
fn without_texts(source: &str) -> String {
    let mut code = String::new();
    let mut rest = source;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|at| at + 2)
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            raw_text(rest)
        } else if c == '"' {
            quoted(rest, '"')
        } else if c == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else {
            code.push(c);
            Some(c.len_utf8())
        };
        rest = &rest[skipped.unwrap_or(rest.len())..];
    }
    code
}

/// The length of the raw text (or raw name) that a code begins with.
fn raw_text(code: &str) -> Option<usize> {
    let hashes = code[1..].chars().take_while(|c| *c == '#').count();
    let start = 1 + hashes;
    if !code[start..].starts_with('"') {
        return Some(start);
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let at = code[start + 1..].find(&end)?;
    Some(start + 1 + at + end.len())
}

/// The length of what a code begins with, from a quote to the next that is not escaped.
fn quoted(code: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in code.char_indices().skip(1) {
        if c == quote && !escaped {
            return Some(at + 1);
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

/// Whether a code begins with a character, and not with a lifetime.
fn is_character(code: &str) -> bool {
    let mut chars = code.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}
