//! A data partition's leader: a model of Produce and WriteTxnMarkers with acks=all.

use std::collections::BTreeMap;

use super::{NEVER, Over, Place, Verification};
use crate::fact::DataEntry;
use crate::log::Replicated;
use crate::message::{Answer, Ask, From, Produce};
use crate::producers::Producers;
use crate::world::World;

/// See the module.
#[derive(Debug)]
pub(crate) struct DataHost {
    pub place: Place,
    number: usize,
    producers: Producers,
    verification: Verification,
    held: BTreeMap<usize, Vec<From>>,
}

impl DataHost {
    pub fn load(world: &World, place: Place, number: usize) -> DataHost {
        let mut producers = Producers::default();
        for (at, entry) in world.logs.data[number].entries().iter().enumerate() {
            apply(&mut producers, at, entry);
        }
        DataHost { place, number, producers, verification: Verification::default(), held: BTreeMap::new() }
    }

    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    pub fn take(&mut self, world: &mut World, from: From, ask: Ask) -> Result<(), Over> {
        match &ask {
            Ask::Produce(produce) => {
                let (owner, version) = (produce.owner, produce.version);
                match self.producers.check_sequence(owner, produce.sequence) {
                    Ok(true) => self.hold(world, self.log_end(world), from),
                    Ok(false) => {
                        let who = (&produce.transactional_id, owner, version);
                        if self.verification.may_write(world, self.place, &mut self.producers, (from, &ask), who) {
                            self.write(world, from, produce.clone());
                        }
                    }
                    Err(error) => world.answer(self.place, from, Answer::Written(Err(error))),
                }
            }
            Ask::Marker(marker) => match self.producers.check_marker(marker) {
                Ok(()) => {
                    let (owner, commit, coordinator_epoch) = (marker.owner, marker.commit, marker.coordinator_epoch);
                    self.append(world, from, DataEntry::Marker { owner, commit, coordinator_epoch });
                }
                Err(error) => world.answer(self.place, from, Answer::Written(Err(error))),
            },
            _ => world.answer(self.place, from, Answer::Unavailable),
        }
        Ok(())
    }

    pub fn answered(&mut self, world: &mut World, number: u64, answer: Answer) -> Result<(), Over> {
        match self.verification.answered(world, &self.producers, number, &answer) {
            Some((from, Ask::Produce(produce), Ok(()))) => match self.producers.check_sequence(produce.owner, produce.sequence) {
                Ok(true) => self.hold(world, self.log_end(world), from),
                Ok(false) => self.write(world, from, produce),
                Err(error) => world.answer(self.place, from, Answer::Written(Err(error))),
            },
            Some((from, _, Err(error))) => world.answer(self.place, from, Answer::Written(Err(error))),
            _ => {}
        }
        Ok(())
    }

    pub fn committed(&mut self, world: &mut World, high_watermark: usize) -> Result<(), Over> {
        while let Some(first) = self.held.first_entry().filter(|first| *first.key() <= high_watermark) {
            first.remove().into_iter().for_each(|from| world.answer(self.place, from, Answer::Written(Ok(()))));
        }
        Ok(())
    }

    pub fn end(self, world: &mut World) {
        let waiting = self.held.into_values().flatten().chain(self.verification.end());
        waiting.for_each(|from| world.answer(self.place, from, Answer::Unavailable));
    }

    /// Behind all that is written: the end of a leader that was deposed is its own.
    fn log_end(&self, world: &World) -> usize {
        let log = &world.logs.data[self.number];
        if log.epoch() == self.place.epoch { log.end() } else { NEVER }
    }

    fn write(&mut self, world: &mut World, from: From, produce: Produce) {
        let Produce { owner, sequence, value, .. } = produce;
        self.append(world, from, DataEntry::Value { owner, sequence, value });
    }

    fn append(&mut self, world: &mut World, from: From, entry: DataEntry) {
        let end = world.append_data(self.place, self.number, entry.clone());
        match end {
            Some(end) => apply(&mut self.producers, end - 1, &entry),
            None if !(self.place.appends_alone && self.place.is_deposed(world)) => {
                return world.answer(self.place, from, Answer::Unavailable);
            }
            // What its own copy says of producers is of no use to anybody.
            None => {}
        }
        self.hold(world, end.unwrap_or(NEVER), from);
    }

    fn hold(&mut self, world: &mut World, end: usize, from: From) {
        if end <= world.logs.data[self.number].high_watermark() {
            return world.answer(self.place, from, Answer::Written(Ok(())));
        }
        self.held.entry(end).or_default().push(from);
    }
}

fn apply(producers: &mut Producers, at: usize, entry: &DataEntry) {
    match entry {
        DataEntry::Value { owner, sequence, .. } => producers.apply(*owner, Some(*sequence), at),
        DataEntry::Marker { owner, coordinator_epoch, .. } => producers.apply_marker(*owner, *coordinator_epoch, at),
    }
}
