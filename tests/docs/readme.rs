//! The README, taken apart.

pub(crate) const README: &str = include_str!("../../README.md");

/// The text under a heading, to the next one.
fn section(heading: &str) -> &'static str {
    let mut sections = README.split("\n#");
    let titled = |text: &&str| {
        let title = text.lines().next().unwrap_or_default();
        title.trim_start_matches('#').trim() == heading
    };
    sections
        .find(titled)
        .unwrap_or_else(|| panic!("the README has no section {heading}"))
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

/// The blocks in a language.
pub(crate) fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let blocks = README.split("```").skip(1).step_by(2);
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
