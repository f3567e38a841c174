//! The difference between two values of JSON: a merge patch of RFC 7396.

use serde_json::{Map, Value};

/// What makes `new` of `old`, unless they are equal. Neither may hold a null in an object: there it
/// means that something is gone.
pub(super) fn patch(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return Some(new.clone());
    };
    let mut changes = Map::new();
    for (key, value) in new {
        match old.get(key) {
            Some(before) => {
                changes.extend(patch(before, value).map(|change| (key.clone(), change)))
            }
            None => drop(changes.insert(key.clone(), value.clone())),
        }
    }
    let gone = old.keys().filter(|key| !new.contains_key(*key));
    changes.extend(gone.map(|key| (key.clone(), Value::Null)));
    Some(Value::Object(changes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What a client does with a patch, as RFC 7396 has it.
    fn merge(target: &mut Value, patch: &Value) {
        let Value::Object(changes) = patch else {
            *target = patch.clone();
            return;
        };
        if !target.is_object() {
            *target = json!({});
        }
        let Value::Object(members) = target else {
            unreachable!("it was just made one");
        };
        for (key, change) in changes {
            if change.is_null() {
                members.remove(key);
            } else {
                merge(members.entry(key.clone()).or_insert(Value::Null), change);
            }
        }
    }

    #[test]
    fn only_what_changed_is_in_it() {
        let old = json!({ "a": 1, "b": { "c": [1, 2], "d": "x" }, "gone": true });
        let new = json!({ "a": 1, "b": { "c": [1], "d": "x" }, "new": {} });
        let wanted = json!({ "b": { "c": [1] }, "gone": null, "new": {} });
        assert_eq!(patch(&old, &new), Some(wanted));
        assert_eq!(patch(&old, &old), None);
    }

    /// An object whose members may be objects, and in which nothing is null.
    fn object() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..3).prop_map(Value::from),
            "[a-c]?".prop_map(Value::from),
        ];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                members(inner),
            ]
        });
        members(value)
    }

    fn members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
        let members = prop::collection::btree_map("[a-d]", value, 0..4);
        members.prop_map(|members| Value::Object(members.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn whoever_has_the_old_value_gets_the_new_one_by_it(old in object(), new in object()) {
            let mut has = old.clone();
            if let Some(patch) = patch(&old, &new) {
                merge(&mut has, &patch);
            }
            prop_assert_eq!(has, new);
        }
    }
}
