//! The field lines of a head, where they lie in its bytes: no map, no copy.
#![cfg_attr(not(test), deny(clippy::indexing_slicing))] // Outside input.

use std::{cell::RefCell, mem::take, ops::Range};

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
    /// Copies a whole head, from its first line to the empty one, of which `names` are the names of the
    /// fields in their order: each begins a line.
    ///
    /// The parser takes lines that end in LF alone, and so would hand them on. Here they must end in CR LF.
    pub(crate) fn of<'h>(
        head: &'h [u8],
        names: impl Iterator<Item = &'h str>,
    ) -> Result<Self, BadLine> {
        let (bytes, lines) = SPARE
            .try_with(|spare| spare.borrow_mut().pop())
            .ok()
            .flatten()
            .unwrap_or_default();
        let mut this = Self { bytes, lines };
        this.bytes.extend_from_slice(head);
        this.find(head, names)?;
        Ok(this)
    }

    fn find<'h>(
        &mut self,
        head: &'h [u8],
        names: impl Iterator<Item = &'h str>,
    ) -> Result<(), BadLine> {
        // The parser passes over empty lines before a head, and takes a line feed alone for one.
        let is_text = |byte: &u8| !matches!(byte, b'\r' | b'\n');
        let empty = head.iter().position(is_text).unwrap_or(0);
        let mut empty_lines = head.get(..empty).unwrap_or_default().chunks(2);
        if !empty_lines.all(|line| line == b"\r\n") {
            return Err(BadLine);
        }
        let fields_end = head.len().checked_sub(2).ok_or(BadLine)?;
        let start = head.as_ptr() as usize;
        let mut last: Option<Line> = None;
        for name in names {
            let begin = (name.as_ptr() as usize).checked_sub(start).ok_or(BadLine)?;
            ends_in_crlf(head, begin)?;
            if let Some(line) = last.take() {
                self.lines.push(line.ended(head, begin)?);
            }
            let offset = |at: usize| u32::try_from(at).map_err(|_| BadLine);
            let name_end = begin + name.len();
            last = Some(Line {
                begin: offset(begin)?,
                name_end: offset(name_end)?,
                value: offset(name_end + 1)?,
                value_end: 0,
                end: 0,
                field: Field::of(name.as_bytes()),
            });
        }
        ends_in_crlf(head, fields_end)?;
        ends_in_crlf(head, head.len())?;
        if let Some(line) = last {
            self.lines.push(line.ended(head, fields_end)?);
        }
        Ok(())
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
        let lines = self.lines.iter();
        lines
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

    /// The line with its end at `end`, and so its value.
    fn ended(mut self, head: &[u8], end: usize) -> Result<Self, BadLine> {
        let value_begin = self.value as usize;
        let value = head.get(value_begin..end - 2).ok_or(BadLine)?;
        let trimmed = value.trim_ascii();
        let before = value.len() - value.trim_ascii_start().len();
        // A value of space alone is trimmed from its beginning.
        let begin = value_begin + before;
        self.value = u32::try_from(begin).map_err(|_| BadLine)?;
        self.value_end = u32::try_from(begin + trimmed.len()).map_err(|_| BadLine)?;
        self.end = u32::try_from(end).map_err(|_| BadLine)?;
        Ok(self)
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
