//! Success is said when it is true: an answer to a change waits until the change is in the state file.

use std::sync::Arc;

use super::{
    Core,
    effect::{Answer, Declined, Effect},
    event::{AskId, NotSaved},
};
use crate::remembered::{ServiceRow, Table};

/// Rows on their way to the state file. Each comes back as an event; were those lost, the oldest would
/// go.
const SAVES_MAX: usize = 10_000;

/// What the state file has of something.
#[derive(Debug, PartialEq)]
pub(super) enum Saved<T> {
    /// This, or it will soon.
    Is(T),
    /// Not what it was given last: that is to be given again.
    Unknown,
}

/// A row on its way to the state file.
#[derive(Debug)]
pub(super) struct Save {
    table: Table,
    service: String,
    /// Who waits for it.
    answer: Option<(AskId, Answer)>,
}

impl<T: Default> Default for Saved<T> {
    fn default() -> Self {
        Self::Is(T::default())
    }
}

impl<T: PartialEq> Saved<T> {
    pub(super) fn is(&self, now: &T) -> bool {
        matches!(self, Self::Is(saved) if saved == now)
    }
}

impl Core {
    /// Writes a row down. Gives the number under which it comes back.
    pub(super) fn save(&mut self, table: Table, row: ServiceRow) -> u64 {
        self.saves_made += 1;
        let number = self.saves_made;
        let save = Save {
            table,
            service: row.service.clone(),
            answer: None,
        };
        self.saves.insert(number, save);
        if self.saves.len() > SAVES_MAX
            && let Some((oldest, _)) = self.saves.first_key_value()
        {
            let oldest = *oldest;
            self.on_saved(oldest, Err(NotSaved::Busy));
        }
        self.effects.push(Effect::Save { number, table, row });
        number
    }

    /// Answers as soon as what was done is in the state file, or cannot be. Where nothing is to be
    /// written because it was tried before, that may have failed.
    pub(super) fn answer_when_saved(
        &mut self,
        saving: Option<u64>,
        asks_for_change: bool,
        to: AskId,
        answer: Answer,
    ) {
        if let Some(save) = saving.and_then(|number| self.saves.get_mut(&number)) {
            save.answer = Some((to, answer));
            return;
        }
        let failure = self.state_failure.as_ref().filter(|_| asks_for_change);
        let answer = match failure {
            None => answer,
            Some(failure) => answer.declined(Declined::NotWritten(Arc::clone(&failure.reason))),
        };
        self.effects.push(Effect::Answer(to, answer));
    }

    /// A row is in the state file, or is not.
    pub(super) fn on_saved(&mut self, number: u64, result: Result<(), NotSaved>) {
        let Some(save) = self.saves.remove(&number) else {
            return;
        };
        if result == Err(NotSaved::Busy)
            && let Some(service) = self.services.get_mut(save.service.as_str())
        {
            match save.table {
                Table::Traffic => service.saved = Saved::Unknown,
                Table::Pauses => service.stopped.saved = Saved::Unknown,
                Table::Revisions => service.courses_unsaved = true,
            }
        }
        let Some((to, answer)) = save.answer else {
            return;
        };
        let answer = match result {
            Ok(()) => answer,
            Err(NotSaved::Busy) => {
                answer.declined(Declined::NotWritten("the disk does not keep up".into()))
            }
            Err(NotSaved::Failed(reason)) => answer.declined(Declined::NotWritten(reason)),
            Err(NotSaved::Closed) => answer.declined(Declined::Closed),
        };
        self.effects.push(Effect::Answer(to, answer));
    }
}

impl Answer {
    /// The same answer, if it could be given.
    fn declined(self, why: Declined) -> Self {
        match self {
            Self::Traffic(_) => Self::Traffic(Err(why)),
            Self::Pause(_) => Self::Pause(Err(why)),
            Self::Workers(_) => Self::Workers(Err(why)),
            other => other,
        }
    }
}
