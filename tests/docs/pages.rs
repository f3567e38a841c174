//! The pages of the documentation, taken apart.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::LazyLock,
};

/// A page of the documentation.
pub(crate) struct Page {
    /// Its path from the top of the repository.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Every page: those at the top, the README first, and those in `docs/`.
pub(crate) static PAGES: LazyLock<Vec<Page>> = LazyLock::new(|| {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = pages_in(top, "docs");
    paths.extend(pages_in(top, ""));
    // The order decides which table of two under the same heading is taken: let it not depend on the disk.
    paths.sort_by_key(|path| (path != Path::new("README.md"), path.clone()));
    let pages = paths.into_iter().map(|path| {
        let text = fs::read_to_string(top.join(&path)).unwrap();
        Page { path, text }
    });
    pages.collect()
});

fn pages_in(top: &Path, folder: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(top.join(folder)).unwrap();
    let names = entries.map(|entry| PathBuf::from(entry.unwrap().file_name()));
    names
        .filter(|name| name.extension().is_some_and(|extension| extension == "md"))
        .map(|name| Path::new(folder).join(name))
        .collect()
}

/// The text of a page.
pub(crate) fn page(path: &str) -> &'static Page {
    PAGES
        .iter()
        .find(|page| page.path == Path::new(path))
        .unwrap_or_else(|| panic!("there is no page {path}"))
}

/// The text under a heading, to the next one.
fn section(heading: &str) -> &'static str {
    let mut sections = PAGES.iter().flat_map(|page| page.text.split("\n#"));
    let titled = |text: &&str| {
        let title = text.lines().next().unwrap_or_default();
        title.trim_start_matches('#').trim() == heading
    };
    sections
        .find(titled)
        .unwrap_or_else(|| panic!("no page has a section {heading}"))
}

/// The rows of the table under a heading, each with its cells; the first one is code, given bare.
pub(crate) fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let lines = section(heading)
        .lines()
        .filter(|line| line.starts_with('|'));
    // The first two lines are the head and the rule below it.
    let rows = lines.skip(2).map(|line| {
        let mut cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        cells[0] = cells[0].trim_matches('`');
        cells
    });
    let rows: Vec<Vec<&str>> = rows.collect();
    assert!(!rows.is_empty(), "{heading} has no table");
    rows
}

/// What stands between single backticks.
pub(crate) fn code(text: &'static str) -> impl Iterator<Item = &'static str> {
    let outside_blocks = text.split("```").step_by(2);
    outside_blocks.flat_map(|text| text.split('`').skip(1).step_by(2))
}

/// The blocks of a page in a language.
pub(crate) fn blocks(page: &'static Page, language: &str) -> impl Iterator<Item = &'static str> {
    let blocks = page.text.split("```").skip(1).step_by(2);
    blocks.filter_map(move |block| block.strip_prefix(language)?.strip_prefix('\n'))
}

/// The commands of the shell in a section, without those of other programs.
pub(crate) fn commands(heading: &str) -> Vec<&'static str> {
    let blocks = section(heading).split("```").skip(1).step_by(2);
    let shell = blocks.filter_map(|block| block.strip_prefix("sh\n"));
    let lines = shell.flat_map(str::lines);
    lines.filter(|line| line.starts_with("penstock ")).collect()
}

/// A file with an example added as a reader would: its tables at the end, and keys below the comment
/// `# in [TABLE]:` in that table.
pub(crate) fn added(file: &str, example: &str) -> String {
    let mut file = file.to_owned();
    let mut at = None;
    for line in example.lines() {
        if let Some(table) = line
            .strip_prefix("# in ")
            .and_then(|rest| rest.strip_suffix(':'))
        {
            let header = file.find(&format!("\n{table}\n"));
            let header = header.unwrap_or_else(|| panic!("there is no {table} to add to"));
            at = Some(header + 1 + table.len() + 1);
            continue;
        }
        if line.starts_with('[') {
            at = None;
        }
        let end = file.len();
        let place = at.as_mut().map_or(end, |at| {
            let place = *at;
            *at += line.len() + 1;
            place
        });
        file.insert_str(place, &format!("{line}\n"));
    }
    file
}
