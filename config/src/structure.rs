//! The first check of a file: keys and types, ranges and formats of single values.
//!
//! The file is walked along its schema, so that every error is found in one go, with its line;
//! serde would stop at the first. What is wrong is left out of the result, and the rest is checked
//! on: a wrong duration here does not hide a double host there.

use toml::{
    Spanned, Table as TomlTable, Value,
    de::{DeArray, DeInteger, DeTable, DeValue},
};

use crate::{
    check::process::how_to_write,
    document::Document,
    error::Problems,
    key_path::{KeyPath, Segment},
    raw::text,
    shape::{Shape, Table, Text},
    suggest,
};

/// Checks a file against its form. Returns what is right of it.
pub(crate) fn check(document: &Document<'_>, form: &Table, problems: &mut Problems) -> TomlTable {
    let mut walk = Walk { document, problems };
    let mut right = TomlTable::new();
    walk.keys(&document.root, form, &KeyPath::default(), &mut right);
    right
}

struct Walk<'w> {
    document: &'w Document<'w>,
    problems: &'w mut Problems,
}

impl Walk<'_> {
    /// The value when it is right.
    fn value(&mut self, value: &DeValue<'_>, shape: &Shape, path: &KeyPath) -> Option<Value> {
        match (value, shape) {
            (DeValue::String(text), _)
                if !shape.takes_text() && self.document.is_filled_in(path) =>
            {
                self.filled_in(text, shape, path)
            }
            (value, Shape::OneOf(shapes)) => self.one_of(value, shapes, shape, path),
            (DeValue::Table(table), Shape::Table(form)) => self.table(table, form, path),
            (DeValue::Table(table), Shape::Map { keys, values }) => {
                Some(self.map(table, keys.as_deref(), values, path))
            }
            (DeValue::Array(array), Shape::List { items, min }) => {
                self.list(array, items, *min, path)
            }
            (DeValue::String(string), Shape::Text(form)) => self.text(string, form, path),
            (DeValue::Integer(integer), Shape::Integer { min, max }) => {
                self.integer(integer, *min, *max, path)
            }
            (DeValue::Integer(_) | DeValue::Float(_), Shape::Number { above, min, max }) => {
                self.number(value, (*above, *min, *max), path)
            }
            (value, Shape::Any) => self.any(value, path),
            (DeValue::Boolean(boolean), Shape::Boolean) => Some(Value::Boolean(*boolean)),
            (
                _,
                Shape::Text(Text {
                    format: Some(format),
                    ..
                }),
            ) => {
                // The format's rule tells what is missing: a unit, for example.
                self.wrong(
                    path,
                    format!("must be a string, which {}", format_rule(format)),
                )
            }
            (DeValue::String(line), Shape::List { .. }) if is_command(path) => {
                let rule = how_to_write(path, line);
                self.document
                    .report_without_value(self.problems, path, rule);
                None
            }
            _ => self.wrong(path, format!("must be {}", shape.noun())),
        }
    }

    /// A number or truth value that came from elsewhere as text.
    fn filled_in(&mut self, text: &str, shape: &Shape, path: &KeyPath) -> Option<Value> {
        match DeValue::parse(text.trim()) {
            Ok(value)
                if matches!(
                    value.get_ref(),
                    DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_)
                ) =>
            {
                self.value(value.get_ref(), shape, path)
            }
            _ => self.wrong(path, format!("must be {}", shape.noun())),
        }
    }

    fn wrong<T>(&mut self, path: &KeyPath, rule: impl Into<String>) -> Option<T> {
        self.document.report(self.problems, path, rule);
        None
    }

    /// What is right of a list, so that it is checked further.
    fn list(
        &mut self,
        array: &DeArray<'_>,
        items: &Shape,
        min: u64,
        path: &KeyPath,
    ) -> Option<Value> {
        let elements = array.iter().enumerate();
        let mut elements: Vec<_> = elements
            .map(|(i, element)| self.value(element.get_ref(), items, &path.index(i)))
            .collect();
        if (elements.len() as u64) < min {
            return self.wrong(path, format!("must have at least {min} element{}", s(min)));
        }
        if elements.iter().all(Option::is_none) && !elements.is_empty() {
            return None;
        }
        if items.is_any_text() {
            // In a command the place of a word says what it is. The stand-in has its error already.
            let stand_in = || Value::String(String::new());
            let filled = elements
                .into_iter()
                .map(|word| word.unwrap_or_else(stand_in));
            return Some(Value::Array(filled.collect()));
        }
        if elements.contains(&None) {
            let left = elements.iter().enumerate();
            let left = left.filter_map(|(place, element)| element.as_ref().map(|_| place));
            self.problems.cut_list(path, left.collect());
            elements.retain(Option::is_some);
        }
        Some(Value::Array(elements.into_iter().flatten().collect()))
    }

    /// A table, unless a key is missing or a key that must be there is wrong.
    fn table(&mut self, table: &DeTable<'_>, form: &Table, path: &KeyPath) -> Option<Value> {
        let mut right = TomlTable::new();
        self.keys(table, form, path, &mut right);
        let mut complete = true;
        for key in &form.required {
            complete &= right.contains_key(key);
            if !table.contains_key(key.as_str()) {
                self.document.report_without_value(
                    self.problems,
                    path,
                    format!("must have the key `{key}`"),
                );
            }
        }
        complete.then_some(Value::Table(right))
    }

    fn keys(&mut self, table: &DeTable<'_>, form: &Table, path: &KeyPath, right: &mut TomlTable) {
        for (key, value) in table {
            let key = key.get_ref().as_ref();
            let path = path.key(key);
            match form.keys.get(key) {
                Some(shape) => {
                    if let Some(value) = self.value(value.get_ref(), shape, &path) {
                        right.insert(key.to_owned(), value);
                    }
                }
                None => self.document.report_without_value(
                    self.problems,
                    &path,
                    suggest::unknown_key(key, &path, form),
                ),
            }
        }
    }

    fn map(
        &mut self,
        table: &DeTable<'_>,
        keys: Option<&str>,
        values: &Shape,
        path: &KeyPath,
    ) -> Value {
        let mut right = TomlTable::new();
        for (key, value) in table {
            let key = key.get_ref().as_ref();
            let path = path.key(key);
            let checked = self.value(value.get_ref(), values, &path);
            if let Some(Err(rule)) = keys.map(|format| text::check_format(format, key)) {
                self.document.report_without_value(
                    self.problems,
                    &path,
                    format!("the name {rule}"),
                );
            } else if let Some(value) = checked {
                right.insert(key.to_owned(), value);
            }
        }
        Value::Table(right)
    }

    /// Picks the form by the value's type and, among tables, by their `type` key.
    fn one_of(
        &mut self,
        value: &DeValue<'_>,
        shapes: &[Shape],
        all: &Shape,
        path: &KeyPath,
    ) -> Option<Value> {
        let mut fitting = shapes.iter().filter(|shape| is_kind(value, shape));
        match (fitting.next(), fitting.next()) {
            (Some(Shape::Text(form)), None)
                if value.as_str().is_some_and(|text| !form.is_choice(text)) =>
            {
                self.wrong(path, format!("must be {}", all.noun()))
            }
            (Some(shape), None) => self.value(value, shape, path),
            (None, _) if value.is_table() && shapes.iter().any(|shape| tag(shape).is_some()) => {
                self.tag(value, shapes, path)
            }
            (None, _) => match shapes {
                // A number with units.
                [
                    Shape::Text(Text {
                        format: Some(format),
                        ..
                    }),
                    Shape::Integer { .. },
                ] => self.wrong(path, format_rule(format)),
                _ => self.wrong(path, format!("must be {}", all.noun())),
            },
            (Some(_), Some(_)) => unreachable!("forms of one value differ in type"),
        }
    }

    /// Reports a table whose `type` is none of those there are.
    fn tag(&mut self, value: &DeValue<'_>, shapes: &[Shape], path: &KeyPath) -> Option<Value> {
        let known = shapes.iter().filter_map(tag).flatten();
        let known: Vec<_> = known.map(|choice| format!("{choice:?}")).collect();
        let rule = format!("must be {}", known.join(" or "));
        if value.get("type").is_some() {
            return self.wrong(&path.key("type"), rule);
        }
        let rule = format!("must have the key `type`, which {rule}");
        self.document
            .report_without_value(self.problems, path, rule);
        None
    }

    /// What is a value of JSON too.
    fn any(&mut self, value: &DeValue<'_>, path: &KeyPath) -> Option<Value> {
        Some(match value {
            DeValue::String(string) => Value::String(string.to_string()),
            DeValue::Boolean(boolean) => Value::Boolean(*boolean),
            DeValue::Integer(integer) => match to_i64(integer) {
                Some(integer) => Value::Integer(integer),
                None => return self.wrong(path, "must have at most 63 bits"),
            },
            DeValue::Float(float) => match float.as_str().parse::<f64>() {
                Ok(float) if float.is_finite() => Value::Float(float),
                _ => return self.wrong(path, "must be a number that JSON has"),
            },
            DeValue::Datetime(_) => return self.wrong(path, "must be a string: JSON has no dates"),
            DeValue::Array(array) => {
                let elements = array.iter().enumerate();
                let elements: Option<Vec<_>> = elements
                    .map(|(i, element)| self.any(element.get_ref(), &path.index(i)))
                    .collect();
                Value::Array(elements?)
            }
            DeValue::Table(table) => {
                let mut right = TomlTable::new();
                for (key, value) in table {
                    let key = key.get_ref();
                    let value = self.any(value.get_ref(), &path.key(key))?;
                    right.insert(key.to_string(), value);
                }
                Value::Table(right)
            }
        })
    }

    fn text(&mut self, string: &str, form: &Text, path: &KeyPath) -> Option<Value> {
        let length = string.chars().count() as u64;
        if !form.is_choice(string) {
            let known: Vec<_> = form
                .choices
                .iter()
                .map(|choice| format!("{choice:?}"))
                .collect();
            return self.wrong(path, format!("must be {}", known.join(" or ")));
        }
        if length < form.min {
            return self.wrong(path, "must not be empty");
        }
        if length > form.max {
            let rule = format!("must be at most {} characters long, not {length}", form.max);
            return self.wrong(path, rule);
        }
        let format = form.format.as_deref();
        if let Some(Err(rule)) = format.map(|format| text::check_format(format, string)) {
            return self.wrong(path, rule);
        }
        Some(Value::String(string.to_owned()))
    }

    fn integer(
        &mut self,
        integer: &DeInteger<'_>,
        min: i64,
        max: i64,
        path: &KeyPath,
    ) -> Option<Value> {
        match to_i64(integer) {
            Some(number) if number < min => self.wrong(path, format!("must be at least {min}")),
            Some(number) if number <= max => Some(Value::Integer(number)),
            _ => self.wrong(path, format!("must be at most {max}")),
        }
    }

    fn number(
        &mut self,
        value: &DeValue<'_>,
        (above, min, max): (f64, f64, f64),
        path: &KeyPath,
    ) -> Option<Value> {
        let number = match value {
            DeValue::Float(float) => float.as_str().parse().ok(),
            // Exact: numbers here are small, and a range check follows.
            DeValue::Integer(integer) => to_i64(integer).map(|integer| integer as f64),
            _ => None,
        };
        match number {
            Some(number) if number > above && number >= min && number <= max => {
                Some(Value::Float(number))
            }
            Some(number) if number < min => self.wrong(path, format!("must be at least {min}")),
            Some(number) if number <= above => {
                self.wrong(path, format!("must be more than {above}"))
            }
            _ => self.wrong(path, format!("must be a number of at most {max}")),
        }
    }
}

/// The rule of a format; no format allows the empty string.
fn format_rule(format: &str) -> String {
    text::check_format(format, "").err().unwrap_or_default()
}

/// TOML's integers have 64 bits; larger ones are out of every range.
fn to_i64(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// Whether a key holds a program with its arguments.
fn is_command(path: &KeyPath) -> bool {
    matches!(path.segments().last(), Some(Segment::Key(key)) if key == "command" || key == "exec")
}

fn is_kind(value: &DeValue<'_>, shape: &Shape) -> bool {
    match (value, shape) {
        (DeValue::Table(table), Shape::Table(_)) => is_tagged(table, shape),
        (DeValue::Table(_), Shape::Map { .. })
        | (DeValue::Array(_), Shape::List { .. })
        | (DeValue::String(_), Shape::Text(_))
        | (DeValue::Integer(_), Shape::Integer { .. } | Shape::Number { .. })
        | (DeValue::Float(_), Shape::Number { .. })
        | (DeValue::Boolean(_), Shape::Boolean) => true,
        _ => false,
    }
}

/// Whether a table has the `type` that its form asks for, if it asks for one.
fn is_tagged(table: &DeTable<'_>, shape: &Shape) -> bool {
    let Some(choices) = tag(shape) else {
        return true;
    };
    let tag = table
        .get("type")
        .map(Spanned::get_ref)
        .and_then(|value| value.as_str());
    tag.is_some_and(|tag| choices.iter().any(|choice| choice == tag))
}

/// The values that `type` may have in a table of this form, if it asks for one.
fn tag(shape: &Shape) -> Option<&[String]> {
    match shape {
        Shape::Table(form) => match form.keys.get("type")? {
            Shape::Text(text) if !text.choices.is_empty() => Some(&text.choices),
            _ => None,
        },
        _ => None,
    }
}

fn s(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}
