//! Changes a JSON body as it passes: the model's name, and parameters that are taken out or set. Everything else
//! stays as it was written, but for the commas and the white space between members.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::sync::Arc;

use super::{
    rules::Rules,
    scan::{Fault, is_model},
    walk::{Step, Walk},
};

/// What becomes of a member.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Member {
    /// There is none: between two of them.
    #[default]
    None,
    /// Its key is not known yet.
    Unknown,
    Passes,
    Dropped,
}

/// A body that is changed as it passes.
#[derive(Debug)]
pub(crate) struct Edit {
    walk: Walk,
    rules: Arc<Rules>,
    member: Member,
    /// The key of a member that is not known yet, as it was written.
    key: Vec<u8>,
    /// Whether the next member needs a comma before it.
    is_next: bool,
    has_model: bool,
    /// Whether the body is to name the model; `false`: the path alone does.
    names: bool,
}

impl Edit {
    /// By these rules. A body without a model gets one.
    pub(crate) fn by(rules: Arc<Rules>) -> Self {
        Self {
            walk: Walk::default(),
            rules,
            member: Member::None,
            key: Vec::new(),
            is_next: false,
            has_model: false,
            names: true,
        }
    }

    /// By these rules, but for the model: a member of this name is like any other one.
    pub(crate) fn of_parameters(rules: Arc<Rules>) -> Self {
        Self {
            names: false,
            ..Self::by(rules)
        }
    }

    /// Writes what becomes of a piece.
    pub(crate) fn feed(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        while !bytes.is_empty() {
            let (used, step) = self.walk.step(bytes).map_err(Fault::Malformed)?;
            let (piece, rest) = bytes.split_at_checked(used).unwrap_or_default();
            bytes = rest;
            match self.member {
                Member::Passes => out.extend_from_slice(piece),
                Member::Unknown => self.key.extend_from_slice(piece),
                Member::None | Member::Dropped => {}
            }
            match step {
                Step::More if self.member == Member::Unknown && self.walk.text().is_too_long() => {
                    self.passes(out);
                }
                Step::More => {}
                Step::Begun => {
                    out.push(b'{');
                    out.extend_from_slice(&self.rules.set_members);
                    self.is_next = !self.rules.set_members.is_empty();
                }
                Step::Opens => {
                    self.key.clear();
                    self.member = Member::Unknown;
                }
                Step::Key => self.key(out)?,
                Step::Member => self.member = Member::None,
                Step::Ended => {
                    if self.names && !self.has_model {
                        self.write_model(out);
                    }
                    out.push(b'}');
                }
            }
        }
        Ok(())
    }

    /// Whether the object has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.walk.is_done()
    }

    /// Decides about a member whose key has come.
    fn key(&mut self, out: &mut Vec<u8>) -> Result<(), Fault> {
        if self.member != Member::Unknown {
            return Ok(());
        }
        let key = self.walk.text().read().unwrap_or_default();
        if self.names && is_model(key)? {
            if self.has_model {
                return Err(Fault::Twice);
            }
            self.write_model(out);
            self.member = Member::Dropped;
        } else if self.rules.drops(key) {
            self.member = Member::Dropped;
        } else {
            self.passes(out);
        }
        Ok(())
    }

    fn write_model(&mut self, out: &mut Vec<u8>) {
        self.separate(out);
        out.extend_from_slice(&self.rules.model_member);
        self.has_model = true;
    }

    fn passes(&mut self, out: &mut Vec<u8>) {
        self.separate(out);
        out.extend_from_slice(&self.key);
        self.member = Member::Passes;
    }

    fn separate(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.is_next, true) {
            out.push(b',');
        }
    }
}

#[cfg(test)]
mod tests;
