//! The field lines of a head, where they lie in its bytes: no map, no copy.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::{cell::RefCell, mem::take, ops::Range};

use httparse::Header;

use super::field::Field;
use crate::base::headers::Fields;

/// Heads kept for the next ones, per thread.
const SPARE_MAX: usize = 64;

/// The longest that is kept: what most heads need twice over.
const SPARE_BYTES_MAX: usize = 16 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<(Vec<u8>, Vec<Line>)>> = const { RefCell::new(Vec::new()) };
}

/// The bytes of a head and where its lines are in them. Its memory is the thread's, lent until it is
/// dropped.
#[derive(Debug)]
pub(crate) struct Lines {
    bytes: Vec<u8>,
    lines: Vec<Line>,
    /// Bits of the fields that are among them.
    fields: u32,
}

/// Where one field line is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    begin: u32,
    name_end: u32,
    value: u32,
    value_end: u32,
    /// Behind the line end.
    end: u32,
    /// What it is to us.
    pub(crate) field: Field,
}

/// A head's lines do not end as they must, or are too long to be one's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadLine;

impl Lines {
    /// Copies a whole head, from its first line to the empty one, of which the parser found these `fields`:
    /// each begins a line.
    ///
    /// The parser takes lines that end in LF alone, and so would hand them on. Here they must end in CR LF.
    pub(crate) fn of(head: &[u8], fields: &[Header<'_>]) -> Result<Self, BadLine> {
        let mut this = Self::lent();
        this.hold(head);
        this.find(head, fields)?;
        Ok(this)
    }

    /// None, in memory of the thread.
    pub(super) fn lent() -> Self {
        let spare = SPARE.try_with(|spare| spare.borrow_mut().pop());
        let (bytes, lines) = spare.ok().flatten().unwrap_or_default();
        Self {
            bytes,
            lines,
            fields: 0,
        }
    }

    /// Copies the head that the lines are of.
    pub(super) fn hold(&mut self, head: &[u8]) {
        self.bytes.extend_from_slice(head);
    }

    /// Adds a line with this name, which begins where that does and ends at `end`.
    pub(super) fn add(&mut self, (begin, name): (usize, &[u8]), value: Range<usize>, end: usize) {
        let field = Field::of(name);
        self.fields |= field.bit();
        self.lines.push(Line {
            begin: begin as u32,
            name_end: (begin + name.len()) as u32,
            value: value.start as u32,
            value_end: value.end as u32,
            end: end as u32,
            field,
        });
    }

    fn find(&mut self, head: &[u8], fields: &[Header<'_>]) -> Result<(), BadLine> {
        // The parser passes over empty lines before a head, and takes a line feed alone for one.
        let is_text = |byte: &u8| !matches!(byte, b'\r' | b'\n');
        let empty = head.iter().position(is_text).unwrap_or(0);
        let mut empty_lines = head.get(..empty).unwrap_or_default().chunks(2);
        if !empty_lines.all(|line| line == b"\r\n") || u32::try_from(head.len()).is_err() {
            return Err(BadLine);
        }
        let fields_end = head.len().checked_sub(2).ok_or(BadLine)?;
        let place = |part: &[u8]| (part.as_ptr() as usize).wrapping_sub(head.as_ptr() as usize);
        self.lines.reserve(fields.len());
        for field in fields {
            let begin = place(field.name.as_bytes());
            ends_in_crlf(head, begin)?;
            if let Some(last) = self.lines.last_mut() {
                last.end = begin as u32;
            }
            let name_end = begin + field.name.len();
            // A value of nothing may lie anywhere.
            let value = match field.value.is_empty() {
                true => name_end + 1,
                false => place(field.value),
            };
            let value = value..value + field.value.len();
            self.add((begin, field.name.as_bytes()), value, fields_end);
        }
        ends_in_crlf(head, fields_end)?;
        ends_in_crlf(head, head.len())
    }

    /// Whether there is such a line.
    pub(crate) fn has(&self, field: Field) -> bool {
        self.fields & field.bit() != 0
    }

    /// Where the first line is among the bytes: what stands before the fields.
    pub(crate) fn first_line(&self) -> Range<usize> {
        let end = self.lines.first().map(|line| line.begin as usize);
        0..end.unwrap_or_else(|| self.bytes.len().saturating_sub(2))
    }

    /// The lines in their order.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Line> + Clone {
        self.lines.iter()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    /// Bytes of the head.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The part of the head at `range`.
    pub(crate) fn part(&self, range: Range<u32>) -> &[u8] {
        let range = range.start as usize..range.end as usize;
        self.bytes.get(range).unwrap_or_default()
    }

    /// The name of a line, as it was written.
    pub(crate) fn name(&self, line: &Line) -> &[u8] {
        self.part(line.begin..line.name_end)
    }

    /// The value of a line, without the space around it.
    pub(crate) fn value(&self, line: &Line) -> &[u8] {
        self.part(line.value..line.value_end)
    }

    /// A whole line with its end.
    pub(crate) fn whole(&self, line: &Line) -> Range<usize> {
        line.begin as usize..line.end as usize
    }

    /// The values of the lines that are this field.
    pub(crate) fn values(&self, field: Field) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        let lines = match self.has(field) {
            true => &*self.lines,
            false => &[],
        };
        lines
            .iter()
            .filter(move |line| line.field == field)
            .map(|line| self.value(line))
    }
}

impl Fields for Lines {
    fn all<'f, 'n>(
        &'f self,
        name: &'n str,
    ) -> impl DoubleEndedIterator<Item = &'f [u8]> + use<'f, 'n> {
        let lines = self.lines.iter();
        lines
            .filter(move |line| self.name(line).eq_ignore_ascii_case(name.as_bytes()))
            .map(|line| self.value(line))
    }
}

impl Line {
    /// Where its value is.
    pub(crate) fn place(&self) -> Range<u32> {
        self.value..self.value_end
    }
}

/// Whether what stands before `end` is a line end of both characters.
fn ends_in_crlf(head: &[u8], end: usize) -> Result<(), BadLine> {
    match head.get(..end) {
        Some([.., b'\r', b'\n']) => Ok(()),
        _ => Err(BadLine),
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let (mut bytes, mut lines) = (take(&mut self.bytes), take(&mut self.lines));
        if bytes.capacity() > SPARE_BYTES_MAX {
            return;
        }
        bytes.clear();
        lines.clear();
        // While a thread ends there is nobody to keep it for.
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < SPARE_MAX {
                spare.push((bytes, lines));
            }
        });
    }
}
