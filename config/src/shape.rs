//! What a file may look like, read out of the JSON Schema of [`File`](crate::raw::File): the schema as the
//! checks of `structure` need it.

use std::{collections::BTreeMap, sync::OnceLock};

use serde_json::Value;

use crate::schema::schema;

/// The allowed form of a value.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    /// A table with fixed keys.
    Table(Table),
    /// A table whose keys the user chooses.
    Map {
        /// The format of the keys, when they have one.
        keys: Option<String>,
        /// The form of every value.
        values: Box<Self>,
    },
    /// An array.
    List {
        /// The form of every element.
        items: Box<Self>,
        /// Fewest elements.
        min: u64,
    },
    /// A string.
    Text(Text),
    /// A whole number in a range.
    Integer { min: i64, max: i64 },
    /// A number.
    Number {
        /// It must be larger than this.
        above: f64,
        /// It must be at least this.
        min: f64,
        /// It must be at most this.
        max: f64,
    },
    /// `true` or `false`.
    Boolean,
    /// Whatever JSON has.
    Any,
    /// One of several forms, which differ in type or, when they are tables, in the value of `type`.
    OneOf(Vec<Self>),
}

/// A table with fixed keys.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) keys: BTreeMap<String, Shape>,
    pub(crate) required: Vec<String>,
}

/// A string.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    /// Name of the format it must have.
    pub(crate) format: Option<String>,
    /// The only values it may have; empty for any.
    pub(crate) choices: Vec<String>,
    /// Fewest characters.
    pub(crate) min: u64,
    /// Most characters.
    pub(crate) max: u64,
}

impl Text {
    /// Whether a text is one of the choices, where there are some.
    pub(crate) fn is_choice(&self, text: &str) -> bool {
        self.choices.is_empty() || self.choices.iter().any(|choice| choice == text)
    }
}

impl Shape {
    /// The form of a whole file.
    pub(crate) fn file() -> &'static Table {
        static FILE: OnceLock<Table> = OnceLock::new();
        FILE.get_or_init(|| {
            let root = schema();
            match read(&root, &root) {
                Self::Table(table) => table,
                other => unreachable!("the root of a file is a table, not {other:?}"),
            }
        })
    }

    /// The form of a file that is included: services only.
    pub(crate) fn included() -> &'static Table {
        static INCLUDED: OnceLock<Table> = OnceLock::new();
        INCLUDED.get_or_init(|| {
            let services = Self::file().keys.get_key_value("services");
            Table {
                keys: services
                    .map(|(key, shape)| (key.clone(), shape.clone()))
                    .into_iter()
                    .collect(),
                required: Vec::new(),
            }
        })
    }

    /// Whether it is a string that may hold anything.
    pub(crate) fn is_any_text(&self) -> bool {
        matches!(self, Self::Text(text) if text.format.is_none() && text.choices.is_empty())
    }

    /// Whether a string may stand here.
    pub(crate) fn takes_text(&self) -> bool {
        match self {
            Self::Text(_) => true,
            Self::OneOf(shapes) => shapes.iter().any(Self::takes_text),
            _ => false,
        }
    }

    /// What a value must be, for errors: "must be …".
    pub(crate) fn noun(&self) -> String {
        match self {
            Self::Table(_) | Self::Map { .. } => "a table".to_owned(),
            Self::List { .. } => "an array".to_owned(),
            Self::Text(text) if !text.choices.is_empty() => {
                let quoted = text.choices.iter().map(|choice| format!("{choice:?}"));
                quoted.collect::<Vec<_>>().join(" or ")
            }
            Self::Text(_) => "a string".to_owned(),
            Self::Integer { .. } => "a whole number".to_owned(),
            Self::Number { .. } => "a number".to_owned(),
            Self::Boolean => "true or false".to_owned(),
            Self::Any => "a value".to_owned(),
            Self::OneOf(shapes) => {
                let mut nouns: Vec<_> = shapes.iter().map(Self::noun).collect();
                nouns.dedup();
                nouns.join(" or ")
            }
        }
    }
}

/// Reads one schema. Covers what the types of `raw` make use of; a test holds that nothing else
/// turns up.
fn read(schema: &Value, root: &Value) -> Shape {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|path| path.strip_prefix("#/$defs/"))
    {
        return read(&root["$defs"][name], root);
    }
    if let Some(options) = schema["anyOf"]
        .as_array()
        .or_else(|| schema["oneOf"].as_array())
    {
        return one_of(options.iter().map(|option| read(option, root)).collect());
    }
    if let Some(types) = schema["type"].as_array() {
        let types = types.iter().filter_map(Value::as_str);
        return Shape::OneOf(types.map(|name| typed(name, schema, root)).collect());
    }
    match schema["type"].as_str() {
        Some(name) => typed(name, schema, root),
        None if *schema == Value::Bool(true) => Shape::Any,
        None => unreachable!("a schema of raw::File has a type: {schema}"),
    }
}

fn typed(name: &str, schema: &Value, root: &Value) -> Shape {
    match name {
        "object" if schema["properties"].is_object() => Shape::Table(Table {
            keys: schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), read(value, root)))
                .collect(),
            required: strings(&schema["required"]),
        }),
        "object" => Shape::Map {
            keys: schema["propertyNames"]["format"]
                .as_str()
                .map(str::to_owned),
            values: Box::new(read(&schema["additionalProperties"], root)),
        },
        "array" => Shape::List {
            items: Box::new(read(&schema["items"], root)),
            min: schema["minItems"].as_u64().unwrap_or(0),
        },
        "string" => Shape::Text(Text {
            format: schema["format"].as_str().map(str::to_owned),
            choices: schema["const"]
                .as_str()
                .map_or_else(|| strings(&schema["enum"]), |only| vec![only.to_owned()]),
            min: schema["minLength"].as_u64().unwrap_or(0),
            max: schema["maxLength"].as_u64().unwrap_or(u64::MAX),
        }),
        "integer" => Shape::Integer {
            min: schema["minimum"].as_i64().unwrap_or(i64::MIN),
            max: schema["maximum"].as_i64().unwrap_or(i64::MAX),
        },
        "number" => Shape::Number {
            above: schema["exclusiveMinimum"]
                .as_f64()
                .unwrap_or(f64::NEG_INFINITY),
            min: schema["minimum"].as_f64().unwrap_or(f64::NEG_INFINITY),
            max: schema["maximum"].as_f64().unwrap_or(f64::INFINITY),
        },
        "boolean" => Shape::Boolean,
        other => unreachable!("raw::File has no value of type {other}"),
    }
}

/// Choices between strings become one string with choices.
fn one_of(shapes: Vec<Shape>) -> Shape {
    let mut choices = Vec::new();
    let mut others = Vec::new();
    for shape in shapes {
        match shape {
            Shape::Text(text) if !text.choices.is_empty() => choices.extend(text.choices),
            other => others.push(other),
        }
    }
    if !choices.is_empty() {
        others.insert(
            0,
            Shape::Text(Text {
                choices,
                max: u64::MAX,
                ..Text::default()
            }),
        );
    }
    if others.len() == 1 {
        others.remove(0)
    } else {
        Shape::OneOf(others)
    }
}

fn strings(value: &Value) -> Vec<String> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_schema_can_be_read() {
        assert!(Shape::file().keys.contains_key("services"));
        assert_eq!(Shape::included().keys.len(), 1);
    }
}
