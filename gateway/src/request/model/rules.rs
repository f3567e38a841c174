//! What is changed in requests for a model.

use penstock_config::Model;

/// What is changed in requests for a model, ready for use.
#[derive(Debug)]
pub(crate) struct Rules {
    /// The name that clients use.
    pub(crate) name: Box<str>,
    /// The name that workers know.
    pub(crate) upstream: Box<str>,
    /// Whether nothing is changed.
    pub(crate) is_plain: bool,
    /// Parameters of clients that do not reach workers.
    drops: Vec<Box<str>>,
    /// Parameters in place of these: each with the text of its value, as JSON.
    pub(super) sets: Vec<(Box<str>, Box<str>)>,
    /// Members of an object, separated by commas: what is set.
    pub(super) set_members: Box<[u8]>,
    /// The member that names the model.
    pub(super) model_member: Box<[u8]>,
}

impl Rules {
    /// Those of a model.
    pub(crate) fn of(model: &Model) -> Self {
        let sets = model.set.iter();
        let sets: Vec<(Box<str>, Box<str>)> = sets
            .map(|(key, value)| (key.as_str().into(), value.to_string().into()))
            .collect();
        let members: Vec<_> = sets.iter().map(|(key, value)| member(key, value)).collect();
        let upstream = serde_json::Value::from(&*model.upstream).to_string();
        let drops = model.strip.iter().chain(model.set.keys());
        Self {
            name: model.name.as_str().into(),
            upstream: model.upstream.as_str().into(),
            is_plain: model.is_plain(),
            drops: drops.map(|key| key.as_str().into()).collect(),
            set_members: members.join(",").into_bytes().into(),
            model_member: member("model", &upstream).into_bytes().into(),
            sets,
        }
    }

    /// Whether something else than the model is changed.
    pub(crate) fn changes_parameters(&self) -> bool {
        !self.drops.is_empty()
    }

    /// Whether a parameter of a client does not reach workers. Case makes no difference: there are workers
    /// for which it makes none.
    pub(crate) fn drops(&self, key: &str) -> bool {
        let mut drops = self.drops.iter();
        drops.any(|dropped| dropped.eq_ignore_ascii_case(key))
    }
}

/// A member of an object; `value` is JSON.
fn member(key: &str, value: &str) -> String {
    format!("{}:{value}", serde_json::Value::from(key))
}
