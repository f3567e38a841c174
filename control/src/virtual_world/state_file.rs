//! The state file, in memory.

use penstock_config::fleet::WorkerId;

use crate::{
    core::{Effect, Memory},
    remembered::{Remembered, ServiceRow, Table, WorkerRow},
};

/// What the next run of control finds, and what is on its way there.
#[derive(Debug, Default)]
pub struct StateFile {
    written: Remembered,
    waiting: Vec<Write>,
}

#[derive(Debug)]
enum Write {
    Worker(WorkerRow),
    NoWorker(String),
    Memory(Memory),
    Service(Table, ServiceRow),
}

impl StateFile {
    /// With what an earlier run left.
    pub fn new(written: Remembered) -> Self {
        Self {
            written,
            waiting: Vec::new(),
        }
    }

    /// What is in it.
    pub fn read(&self) -> Remembered {
        self.written.clone()
    }

    /// Takes what the core wants written, to be [written](Self::write) later.
    pub(super) fn obey(&mut self, effect: &Effect) {
        match effect {
            Effect::Remember(memory) => self.waiting.push(Write::Memory(memory.clone())),
            Effect::Save { table, row, .. } => {
                self.waiting.push(Write::Service(*table, row.clone()));
            }
            Effect::Forget(id) => self.forget(id),
            _ => {}
        }
    }

    pub(super) fn worker(&mut self, row: WorkerRow) {
        self.waiting.push(Write::Worker(row));
    }

    pub(super) fn forget(&mut self, id: &WorkerId) {
        self.waiting.push(Write::NoWorker(id.to_string()));
    }

    /// What was on its way comes to nothing.
    pub(super) fn lose(&mut self) {
        self.waiting.clear();
    }

    /// Writes what was on its way, in its order.
    pub(super) fn write(&mut self) {
        for write in std::mem::take(&mut self.waiting) {
            self.put(write);
        }
    }

    fn put(&mut self, write: Write) {
        let written = &mut self.written;
        match write {
            Write::Worker(row) => {
                written.workers.retain(|known| known.id != row.id);
                written.workers.push(row);
            }
            Write::NoWorker(id) => written.workers.retain(|known| known.id != id),
            Write::Service(table, row) => {
                let rows = match table {
                    Table::Traffic => &mut written.traffic,
                    Table::Pauses => &mut written.pauses,
                    Table::Revisions => &mut written.revisions,
                };
                rows.retain(|known| known.service != row.service);
                if row.state.is_some() {
                    rows.push(row);
                }
            }
            Write::Memory(memory) => self.remember(memory),
        }
    }

    fn remember(&mut self, memory: Memory) {
        let written = &mut self.written;
        match memory {
            Memory::Desired(row) => written.desired.push(row),
            Memory::Started(row) => written.starts.push(row),
            Memory::Advice(row) => {
                written.advice.retain(|known| {
                    (&known.service, &known.deployment) != (&row.service, &row.deployment)
                });
                written.advice.push(row);
            }
            Memory::Demand(row) => {
                let key = (&row.service, &row.deployment, row.day);
                written
                    .demand
                    .retain(|known| (&known.service, &known.deployment, known.day) != key);
                written.demand.push(row);
            }
            Memory::NoDemand(service, deployment) => {
                written
                    .demand
                    .retain(|row| (&row.service, &row.deployment) != (&service, &deployment));
                written
                    .desired
                    .retain(|row| (&row.service, &row.deployment) != (&service, &deployment));
            }
        }
    }
}
