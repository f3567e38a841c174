//! A multipart form (RFC 7578), as its bytes come: finds the model that it names, and changes it as it passes.
//!
//! What one reader may take for a part and another one not is refused: something before the first part, lines
//! that do not end in both characters, a field's name that is written in two ways.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::sync::Arc;

use memchr::memmem;

use super::{
    rules::Rules,
    scan::{Fault, NAME_MAX},
};

/// Longest head of a part. That of a file has three lines.
const HEAD_MAX: usize = 8 * 1024;

/// Longest boundary (RFC 2046 §5.1.1).
const BOUNDARY_MAX: usize = 70;

const MALFORMED: Fault = Fault::Malformed("the request body is not a valid multipart form");

/// What becomes of a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Passes,
    Dropped,
    /// The field that names the model.
    Model,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Start,
    /// Behind a boundary.
    Boundary,
    Head,
    Data(Part),
    Done,
}

/// A form, at some place of it.
#[derive(Debug)]
pub(crate) struct Form {
    /// With the line's end before it.
    boundary: Box<[u8]>,
    /// What changes it, if anything does.
    rules: Option<Arc<Rules>>,
    at: At,
    /// What came and was not judged yet.
    rest: Vec<u8>,
    model: Option<Vec<u8>>,
}

/// Whether a body of this content type is a form, and the boundary of its parts.
pub(crate) fn boundary_of(content_type: &[u8]) -> Option<Result<&[u8], Fault>> {
    const FORM: &[u8] = b"multipart/form-data";
    let begin = content_type.get(..FORM.len())?;
    if !begin.eq_ignore_ascii_case(FORM) {
        return None;
    }
    let rest = content_type.get(FORM.len()..).unwrap_or_default();
    let mut found = None;
    for parameter in rest.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
        let (name, value) = split_at(parameter, b'=').unwrap_or((parameter, b""));
        if is_extended(name, b"boundary") {
            return Some(Err(MALFORMED));
        }
        if !name.eq_ignore_ascii_case(b"boundary") {
            continue;
        }
        let inner = value.strip_prefix(b"\"").map(|v| v.strip_suffix(b"\""));
        let value = inner.unwrap_or(Some(value)).unwrap_or_default();
        let is_good = (1..=BOUNDARY_MAX).contains(&value.len())
            && value
                .iter()
                .all(|byte| matches!(byte, 0x21..=0x7e) && !b"\"\\".contains(byte));
        if !is_good || found.replace(value).is_some() {
            return Some(Err(MALFORMED));
        }
    }
    Some(found.ok_or(MALFORMED))
}

/// Whether a parameter is this one in a way of RFC 2231, encoded (`name*`) or in pieces (`name*0`, `name*1*`):
/// some readers put it together, and others do not know it.
fn is_extended(parameter: &[u8], name: &[u8]) -> bool {
    let begin = parameter.split_at_checked(name.len());
    begin.is_some_and(|(begin, rest)| {
        begin.eq_ignore_ascii_case(name) && rest.trim_ascii_start().starts_with(b"*")
    })
}

fn split_at(bytes: &[u8], separator: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == separator)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

impl Form {
    /// One with this boundary, changed by these rules.
    pub(crate) fn new(boundary: &[u8], rules: Option<Arc<Rules>>) -> Self {
        Self {
            boundary: [b"\r\n--", boundary].concat().into(),
            rules,
            at: At::Start,
            rest: Vec::new(),
            model: None,
        }
    }

    /// The model, once all of its name has come.
    pub(crate) fn model(&self) -> Option<&str> {
        let model = self
            .model
            .as_deref()
            .filter(|_| self.at != At::Data(Part::Model));
        str::from_utf8(model?).ok()
    }

    /// Whether nothing more is looked at.
    pub(crate) fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Writes what becomes of a piece; without rules there is nothing to write.
    pub(crate) fn feed(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
        let mut rest = std::mem::take(&mut self.rest);
        rest.extend_from_slice(bytes);
        let mut used = 0;
        while let Some(taken) = self.step(rest.get(used..).unwrap_or_default(), out)? {
            used += taken;
        }
        rest.drain(..used);
        self.rest = rest;
        Ok(())
    }

    /// Judges what comes next: how many bytes that are, unless more must come.
    fn step(&mut self, here: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
        match self.at {
            At::Start => {
                let first = self.boundary.get(2..).unwrap_or_default();
                if here.len() < first.len() {
                    return Ok(None);
                }
                if !here.starts_with(first) {
                    return Err(MALFORMED);
                }
                self.write_sets(out);
                self.at = At::Boundary;
                Ok(Some(self.boundary.len() - 2))
            }
            At::Boundary => match here {
                [b'\r', b'\n', ..] => {
                    self.at = At::Head;
                    Ok(Some(2))
                }
                [b'-', b'-', ..] => {
                    self.at = At::Done;
                    self.write_end(out);
                    Ok(Some(2))
                }
                [] | [_] => Ok(None),
                _ => Err(MALFORMED),
            },
            At::Head => self.head(here, out),
            At::Data(part) => self.data(part, here, out),
            // What is behind the last part is for nobody.
            At::Done if here.is_empty() => Ok(None),
            At::Done => Ok(Some(here.len())),
        }
    }

    fn head(&mut self, here: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
        const END: &[u8] = b"\r\n\r\n";
        let Some(end) = memmem::find(here, END) else {
            return match here.len() > HEAD_MAX {
                true => Err(MALFORMED),
                false => Ok(None),
            };
        };
        let (head, _) = here.split_at_checked(end).unwrap_or_default();
        let name = name_of(head)?;
        let drops = |rules: &Arc<Rules>| rules.drops(&String::from_utf8_lossy(name));
        let part = match name {
            b"model" if self.model.is_some() => return Err(Fault::Twice),
            b"model" => {
                self.model = Some(Vec::new());
                Part::Model
            }
            _ if name.eq_ignore_ascii_case(b"model") => {
                return Err(Fault::Malformed(
                    "the request has a field that differs from `model` in case alone",
                ));
            }
            _ if self.rules.as_ref().is_some_and(drops) => Part::Dropped,
            _ => Part::Passes,
        };
        if let Some(rules) = self.rules.as_ref().filter(|_| part != Part::Dropped) {
            self.write_boundary(out);
            out.extend_from_slice(head);
            out.extend_from_slice(END);
            if part == Part::Model {
                out.extend_from_slice(rules.upstream.as_bytes());
            }
        }
        self.at = At::Data(part);
        Ok(Some(end + END.len()))
    }

    fn data(&mut self, part: Part, here: &[u8], out: &mut Vec<u8>) -> Result<Option<usize>, Fault> {
        let found = memmem::find(here, &self.boundary);
        // The beginning of a boundary may be the last that came.
        let sure = here.len().saturating_sub(self.boundary.len() - 1);
        let (data, _) = here
            .split_at_checked(found.unwrap_or(sure))
            .unwrap_or_default();
        match (part, &mut self.model) {
            (Part::Model, Some(model)) if model.len() + data.len() > NAME_MAX => {
                return Err(Fault::TooLong);
            }
            (Part::Model, Some(model)) => model.extend_from_slice(data),
            (Part::Passes, _) if self.rules.is_some() => out.extend_from_slice(data),
            _ => {}
        }
        if found.is_none() {
            return Ok(Some(data.len()).filter(|taken| *taken > 0));
        }
        if part == Part::Model
            && self
                .model
                .as_deref()
                .is_some_and(|m| str::from_utf8(m).is_err())
        {
            return Err(Fault::Malformed("`model` is not valid text"));
        }
        if self.rules.is_some() && part != Part::Dropped {
            out.extend_from_slice(b"\r\n");
        }
        self.at = At::Boundary;
        Ok(Some(data.len() + self.boundary.len()))
    }

    fn write_boundary(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.boundary.get(2..).unwrap_or_default());
        out.extend_from_slice(b"\r\n");
    }

    /// Writes what is set: a text without its quotes.
    fn write_sets(&self, out: &mut Vec<u8>) {
        for (key, value) in self.rules.iter().flat_map(|rules| &rules.sets) {
            match serde_json::from_str(value) {
                Ok(serde_json::Value::String(text)) => self.write_field(key, &text, out),
                _ => self.write_field(key, value, out),
            }
        }
    }

    fn write_field(&self, name: &str, value: &str, out: &mut Vec<u8>) {
        self.write_boundary(out);
        out.extend_from_slice(b"content-disposition: form-data; name=\"");
        out.extend(name.bytes().filter(|byte| !b"\"\r\n\\".contains(byte)));
        out.extend_from_slice(b"\"\r\n\r\n");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the end; before it the model, where the form has none.
    fn write_end(&self, out: &mut Vec<u8>) {
        if let Some(rules) = &self.rules {
            if self.model.is_none() {
                self.write_field("model", &rules.upstream, out);
            }
            out.extend_from_slice(self.boundary.get(2..).unwrap_or_default());
            out.extend_from_slice(b"--\r\n");
        }
    }
}

/// The value of `Content-Disposition` in the head of a part. Of two lines each reader may take another one; and
/// so with `Content-Type`, which may make a field a file.
fn disposition_of(head: &[u8]) -> Result<&[u8], Fault> {
    const DISPOSITION: &[u8] = b"content-disposition";
    const TYPE: &[u8] = b"content-type";
    let (mut found, mut has_type) = (None, false);
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (name, value) = split_at(line, b':').ok_or(MALFORMED)?;
        if line.contains(&b'\r') || name.trim_ascii() != name {
            return Err(MALFORMED);
        }
        let is_type = name.eq_ignore_ascii_case(TYPE);
        let is_second = is_type && std::mem::replace(&mut has_type, true)
            || name.eq_ignore_ascii_case(DISPOSITION) && found.replace(value).is_some();
        if is_second {
            return Err(MALFORMED);
        }
    }
    found.ok_or(MALFORMED)
}

/// The name of the field in a part with this head.
fn name_of(head: &[u8]) -> Result<&[u8], Fault> {
    let mut rest = disposition_of(head)?;
    let mut name = None;
    while let Some((_, after)) = split_at(rest, b';') {
        let (key, value) = split_at(after, b'=').ok_or(MALFORMED)?;
        let key = key.trim_ascii();
        let value = value.trim_ascii_start();
        let (value, after) = match value.strip_prefix(b"\"") {
            Some(quoted) => quoted_end(quoted).ok_or(MALFORMED)?,
            None => {
                let end = value.iter().position(|byte| *byte == b';');
                let end = end.unwrap_or(value.len());
                value.split_at_checked(end).unwrap_or_default()
            }
        };
        let is_name = key.eq_ignore_ascii_case(b"name");
        // An escape or an encoding is read in several ways.
        let is_odd = is_extended(key, b"name") || is_name && value.contains(&b'\\');
        if is_odd || is_name && name.replace(value.trim_ascii_end()).is_some() {
            return Err(MALFORMED);
        }
        rest = after;
    }
    name.ok_or(MALFORMED)
}

/// What is before the quote that ends a quoted text, and what is behind it.
fn quoted_end(quoted: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut is_escaped = false;
    let end = quoted.iter().position(|byte| {
        let ends = *byte == b'"' && !is_escaped;
        is_escaped = *byte == b'\\' && !is_escaped;
        ends
    })?;
    Some((quoted.get(..end)?, quoted.get(end + 1..)?))
}

#[cfg(test)]
mod tests;
