//! The JSON Schema of a configuration file.

use schemars::{Schema, generate::SchemaSettings, transform::Transform};
use serde_json::Value;

use crate::raw;

/// The JSON Schema (draft 2020-12) of a configuration file, for editors.
pub fn schema() -> Value {
    SchemaSettings::draft2020_12()
        .with_transform(WithoutNull)
        .into_generator()
        .into_root_schema_for::<raw::File>()
        .to_value()
}

/// TOML has no null: an optional key is left out. So null is no type and no default of anything.
/// Defaults of whole tables go too, because those of their keys say the same.
#[derive(Debug, Clone)]
struct WithoutNull;

impl Transform for WithoutNull {
    fn transform(&mut self, schema: &mut Schema) {
        schemars::transform::transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else {
            return;
        };
        if object
            .get("default")
            .is_some_and(|value| value.is_null() || value.is_object())
        {
            object.remove("default");
        }
        if let Some(Value::Array(types)) = object.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                object.insert("type".to_owned(), only);
            }
        }
        let Some(Value::Array(options)) = object.get_mut("anyOf") else {
            return;
        };
        options.retain(|option| option["type"] != "null");
        if let [Value::Object(only)] = options.as_slice() {
            let only = only.clone();
            object.remove("anyOf");
            for (key, value) in only {
                object.entry(key).or_insert(value);
            }
        }
    }
}
