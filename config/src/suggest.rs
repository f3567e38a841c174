//! What somebody may have meant by a key that does not exist.

mod foreign;

use self::foreign::FOREIGN;
use crate::{
    key_path::{KeyPath, Segment},
    shape::{Shape, Table},
};

/// Similarity (Jaro–Winkler, 0 to 1) from which one key is offered for another: below it typing
/// errors become rare and coincidences common.
const SIMILAR: f64 = 0.8;

/// Similarity from which nothing else can have been meant.
const VERY_SIMILAR: f64 = 0.9;

/// Most tables to leave and to enter on the way to another one that a key may have been meant for. Beyond,
/// the same word is a coincidence: `key` of an API key is not that of a certificate.
const STEPS_MAX: usize = 3;

/// The rule that an unknown key breaks, with what may have been meant.
pub(crate) fn unknown_key(key: &str, path: &KeyPath, table: &Table) -> String {
    let snake = snake_case(key);
    if table.keys.contains_key(&snake) {
        return format!("unknown key; did you mean `{snake}`?");
    }
    let (similarity, similar) = most_similar(&snake, table);
    if similarity >= VERY_SIMILAR {
        return format!("unknown key; did you mean `{similar}`?");
    }
    if let Some((_, hint)) = FOREIGN.iter().find(|(words, _)| words.contains(&&*snake)) {
        return format!("unknown key; {hint}");
    }
    // A key that there is elsewhere was hardly meant to be one that is merely similar.
    let mut homes = Vec::new();
    find_homes(&snake, Shape::file(), &mut Vec::new(), &mut homes);
    match nearest_home(&homes, path) {
        Some(home) => format!("unknown key here; it belongs to `{home}`"),
        None if similarity >= SIMILAR => format!("unknown key; did you mean `{similar}`?"),
        None => {
            let known: Vec<_> = table.keys.keys().map(|key| format!("`{key}`")).collect();
            format!("unknown key; known here: {}", known.join(", "))
        }
    }
}

/// `maxConcurrency` and `max-concurrency` become `max_concurrency`.
fn snake_case(key: &str) -> String {
    let mut snake = String::with_capacity(key.len() + 4);
    let mut after_lower = false;
    for c in key.chars() {
        if c.is_uppercase() && after_lower {
            snake.push('_');
        }
        after_lower = c.is_lowercase() || c.is_numeric();
        snake.extend(if c.is_alphanumeric() { c } else { '_' }.to_lowercase());
    }
    snake
}

/// The name that may have been meant.
pub(crate) fn similar<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let scored = names.map(|known| (strsim::jaro_winkler(name, known), known));
    let (similarity, best) = scored.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (similarity >= SIMILAR).then_some(best)
}

/// Most names that are offered for one.
const NEAREST_MAX: usize = 3;

/// The names that may have been meant, the most similar first.
pub fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Vec<&'n str> {
    let scored = names.map(|known| (strsim::jaro_winkler(name, known), known));
    let mut near: Vec<_> = scored.filter(|(score, _)| *score >= SIMILAR).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0));
    near.into_iter()
        .take(NEAREST_MAX)
        .map(|(_, name)| name)
        .collect()
}

/// The key of the table that is most similar, and how similar it is.
fn most_similar<'t>(key: &str, table: &'t Table) -> (f64, &'t str) {
    let keys = table
        .keys
        .keys()
        .map(|known| (strsim::jaro_winkler(key, known), known.as_str()));
    keys.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((0.0, ""))
}

/// A step towards a table: `None` for a name that the user chooses.
type Step<'t> = Option<&'t str>;

/// Every table that has the key.
fn find_homes<'t>(
    key: &str,
    table: &'t Table,
    way: &mut Vec<Step<'t>>,
    homes: &mut Vec<Vec<Step<'t>>>,
) {
    if table.keys.contains_key(key) && !way.is_empty() {
        homes.push(way.clone());
    }
    for (name, shape) in &table.keys {
        way.push(Some(name));
        match shape {
            Shape::Table(inner) => find_homes(key, inner, way, homes),
            Shape::Map { values, .. } => {
                if let Shape::Table(inner) = &**values {
                    way.push(None);
                    find_homes(key, inner, way, homes);
                    way.pop();
                }
            }
            _ => {}
        }
        way.pop();
    }
}

/// Whether the user has chosen this step of a path: a name, or a place in a list.
fn is_choice(path: &KeyPath, at: usize) -> bool {
    let mut table = Some(Shape::file());
    let mut shape: Option<&Shape> = None;
    for (place, segment) in path.segments().iter().enumerate().take(at + 1) {
        let is_choice;
        (shape, is_choice) = match (table, shape, segment) {
            (Some(form), _, Segment::Key(key)) => (form.keys.get(key), false),
            (None, Some(Shape::Map { values, .. }), _) => (Some(&**values), true),
            (None, Some(Shape::List { items, .. }), _) => (Some(&**items), true),
            _ => return false,
        };
        if place == at {
            return is_choice;
        }
        table = match shape {
            Some(Shape::Table(form)) => Some(form),
            _ => None,
        };
    }
    false
}

/// The table that shares the longest way with the path, written with the names of the path as far
/// as it is shared.
fn nearest_home(homes: &[Vec<Step<'_>>], path: &KeyPath) -> Option<String> {
    let shared = |home: &[Step<'_>]| {
        let same = |(step, segment): &(&Step<'_>, &Segment)| match (step, segment) {
            (Some(name), Segment::Key(key)) => name == key,
            (None, Segment::Key(_)) => true,
            (_, Segment::Index(_)) => false,
        };
        home.iter().zip(path.segments()).take_while(same).count()
    };
    // The first of several: homes come in the order of the schema, outer tables before inner ones. What
    // processes and containers have in common is more often said of processes.
    let is_first = |home: &[Step<'_>]| home.last() != Some(&Some("container"));
    let best = homes.iter().rev();
    let best = best.max_by_key(|home| (shared(home), is_first(home)))?;
    let count = shared(best);
    // A name that the user chooses, and a place in a list, are no table of their own.
    let enters = best[count..].iter().flatten().count();
    let table = path.segments().len() - 1;
    let leaves = (count..table).filter(|at| !is_choice(path, *at)).count();
    if enters + leaves > STEPS_MAX {
        return None;
    }
    let mut home = KeyPath::default();
    for (position, step) in best.iter().enumerate() {
        home = match (
            step,
            path.segments().get(position).filter(|_| position < count),
        ) {
            (Some(name), _) => home.key(name),
            (None, Some(Segment::Key(name))) => home.key(name),
            (None, _) => home.key("NAME"),
        };
    }
    Some(home.to_string())
}
