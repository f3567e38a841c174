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

/// Puts the settings of one table into another.
pub(crate) fn merge(into: &mut toml::Table, from: toml::Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(toml::Value::Table(into)), toml::Value::Table(from)) => merge(into, from),
            (_, value) => drop(into.insert(key, value)),
        }
    }
}
