//! The coordinator of groups over the offsets partition, as `ottla-broker` runs it: each answer waits for the batch that it rests on.

use std::collections::{BTreeMap, VecDeque};

use ottla_cluster::group::{
    BatchContent, ConsumerGroupHeartbeatResponse, Effect, EndTransaction, Event, GroupCoordinator, JoinGroupResponse, OffsetFetch,
    Proposal, Request, Response, Token, TransactionResult,
};
use ottla_cluster::transaction::Owner;

use super::{NEVER, Over, Place, Verification};
use crate::fact::{CommitTag, Fact};
use crate::log::Replicated;
use crate::message::{Answer, Ask, From};
use crate::producers::Producers;
use crate::world::World;

/// See the module.
#[derive(Debug)]
pub(crate) struct GroupHost {
    pub place: Place,
    coordinator: GroupCoordinator,
    producers: Producers,
    verification: Verification,
    next_token: u64,
    waiting: BTreeMap<Token, From>,
    uncommitted: VecDeque<(Proposal, usize)>,
    held: BTreeMap<usize, Vec<(Token, Response)>>,
}

impl GroupHost {
    pub fn load(world: &mut World, place: Place) -> GroupHost {
        let (coordinator, producers) = rebuild(world);
        let mut host = GroupHost {
            place,
            coordinator,
            producers,
            verification: Verification::default(),
            next_token: 0,
            waiting: BTreeMap::new(),
            uncommitted: VecDeque::new(),
            held: BTreeMap::new(),
        };
        let effects = host.coordinator.loaded(world.now(), world.topics.clone());
        // It leads, so nothing that it appends is refused.
        let _ = host.carry_out(world, effects);
        host
    }

    pub fn coordinator(&self) -> &GroupCoordinator {
        &self.coordinator
    }

    pub fn producers(&self) -> &Producers {
        &self.producers
    }

    pub fn take(&mut self, world: &mut World, from: From, ask: Ask) -> Result<(), Over> {
        match &ask {
            Ask::Group(request) => self.request(world, from, request.clone()),
            Ask::CommitOffsets(transactional_id, version, request) => {
                let owner = Owner { producer_id: request.producer, producer_epoch: request.producer_epoch };
                if let Err(error) = self.producers.check_epoch(owner) {
                    world.answer(self.place, from, Answer::Written(Err(error)));
                    return Ok(());
                }
                let who = (transactional_id, owner, *version);
                match self.verification.may_write(world, self.place, &mut self.producers, (from, &ask), who) {
                    true => self.request(world, from, Request::TxnOffsetCommit(request.clone())),
                    false => Ok(()),
                }
            }
            Ask::Marker(marker) => match self.producers.check_marker(marker) {
                Ok(()) => {
                    let end = EndTransaction {
                        producer: marker.owner.producer_id,
                        producer_epoch: marker.owner.producer_epoch,
                        coordinator_epoch: marker.coordinator_epoch,
                        result: if marker.commit { TransactionResult::Commit } else { TransactionResult::Abort },
                    };
                    let token = self.token(from);
                    self.happen(world, Event::EndTransaction { token, end })
                }
                Err(error) => {
                    world.answer(self.place, from, Answer::Written(Err(error)));
                    Ok(())
                }
            },
            _ => {
                world.answer(self.place, from, Answer::Unavailable);
                Ok(())
            }
        }
    }

    pub fn answered(&mut self, world: &mut World, number: u64, answer: Answer) -> Result<(), Over> {
        match self.verification.answered(world, &self.producers, number, &answer) {
            Some((from, Ask::CommitOffsets(_, _, request), Ok(()))) => {
                let owner = Owner { producer_id: request.producer, producer_epoch: request.producer_epoch };
                match self.producers.check_epoch(owner) {
                    Ok(()) => return self.request(world, from, Request::TxnOffsetCommit(request)),
                    Err(error) => world.answer(self.place, from, Answer::Written(Err(error))),
                }
            }
            Some((from, _, Err(error))) => world.answer(self.place, from, Answer::Written(Err(error))),
            _ => {}
        }
        Ok(())
    }

    pub fn committed(&mut self, world: &mut World, high_watermark: usize) -> Result<(), Over> {
        while let Some(first) = self.held.first_entry().filter(|first| *first.key() <= high_watermark) {
            for (token, response) in first.remove() {
                self.send(world, token, response);
            }
        }
        Ok(())
    }

    pub fn time(&mut self, world: &mut World) -> Result<(), Over> {
        self.happen(world, Event::Time)
    }

    pub fn next_deadline_ms(&self) -> Option<u64> {
        self.coordinator.next_deadline().map(|deadline| deadline.0)
    }

    pub fn end(mut self, world: &mut World) {
        for from in std::mem::take(&mut self.waiting).into_values().chain(self.verification.end()) {
            world.answer(self.place, from, Answer::Unavailable);
        }
    }

    fn token(&mut self, from: From) -> Token {
        self.next_token += 1;
        let token = Token(self.next_token);
        self.waiting.insert(token, from);
        token
    }

    fn request(&mut self, world: &mut World, from: From, mut request: Request) -> Result<(), Over> {
        // As the broker does, for each request that arrives: one that comes twice is two new members.
        if let Request::JoinGroup(join) = &mut request {
            join.fresh_id = world.random.uuid();
        }
        let looks_up = match &request {
            // A look-up writes nothing, so that nothing stops a deposed coordinator from answering by what was, and whoever begins there
            // reads twice what was read, in spite of transactions. Here it does not answer.
            Request::OffsetFetch(_) if self.place.is_deposed(world) => {
                world.answer(self.place, from, Answer::Unavailable);
                return Ok(());
            }
            Request::OffsetFetch(fetch) => Some(fetch.clone()),
            _ => None,
        };
        let token = self.token(from);
        let effects = self.coordinator.step(world.now(), Event::Request { token, request });
        if let Some(fetch) = looks_up {
            looked_up(world, &fetch, &effects);
        }
        self.carry_out(world, effects)
    }

    fn happen(&mut self, world: &mut World, event: Event) -> Result<(), Over> {
        let effects = self.coordinator.step(world.now(), event);
        self.carry_out(world, effects)
    }

    fn carry_out(&mut self, world: &mut World, effects: Vec<Effect>) -> Result<(), Over> {
        for effect in effects {
            match effect {
                Effect::Append(batch) => {
                    let end = match world.append_offsets(self.place, &batch.content) {
                        Some(end) => {
                            apply(&mut self.producers, end - 1, &batch.content);
                            end
                        }
                        None if self.place.appends_alone && self.place.is_deposed(world) => NEVER,
                        None => return Err(Over),
                    };
                    self.uncommitted.push_back((batch.proposal, end));
                }
                Effect::Reply { token, after, response } => self.reply(world, token, after, response),
            }
        }
        Ok(())
    }

    fn reply(&mut self, world: &mut World, token: Token, after: Proposal, response: Response) {
        let high_watermark = world.logs.offsets.high_watermark();
        // What a deposed leader wrote when it still led is committed, for all that it knows, when it was then.
        let is_deposed = self.place.is_deposed(world);
        while self.uncommitted.front().is_some_and(|(_, end)| *end <= high_watermark && !is_deposed) {
            self.uncommitted.pop_front();
        }
        match self.uncommitted.iter().find(|(proposal, _)| *proposal == after) {
            Some((_, end)) => self.held.entry(*end).or_default().push((token, response)),
            None => self.send(world, token, response),
        }
    }

    fn send(&mut self, world: &mut World, token: Token, response: Response) {
        let answer = match response {
            Response::TransactionEnded => Answer::Written(Ok(())),
            // A generation is in the log only when its members have their parts. A deposed coordinator gives out one that the present one may
            // have given to others, and as its member one asks there for its part.
            // And who joins there with nothing by KIP-848, as one that it takes for unknown does, is given what it had at the time.
            Response::JoinGroup(JoinGroupResponse { result: Ok(_), .. })
            | Response::ConsumerGroupHeartbeat(Ok(ConsumerGroupHeartbeatResponse { assignment: Some(_), .. }))
                if self.place.is_deposed(world) =>
            {
                Answer::Unavailable
            }
            response => Answer::Group(response),
        };
        if let Some(from) = self.waiting.remove(&token) {
            world.answer(self.place, from, answer);
        }
    }
}

/// The coordinator that the whole log makes.
pub(crate) fn rebuild(world: &World) -> (GroupCoordinator, Producers) {
    let (mut coordinator, mut producers) = (GroupCoordinator::new(world.group_config.clone()), Producers::default());
    for (at, content) in world.logs.offsets.entries().iter().enumerate() {
        apply(&mut producers, at, content);
        match content {
            BatchContent::Records(records) => records.iter().for_each(|record| coordinator.replay(record.clone(), None)),
            BatchContent::Transactional { producer, producer_epoch, records } => {
                records.iter().for_each(|record| coordinator.replay(record.clone(), Some((*producer, *producer_epoch))));
            }
            BatchContent::Marker(end) => coordinator.replay_transaction_end(end.producer, end.result),
        }
    }
    (coordinator, producers)
}

fn apply(producers: &mut Producers, at: usize, content: &BatchContent) {
    match content {
        BatchContent::Records(_) => {}
        BatchContent::Transactional { producer, producer_epoch, .. } => {
            producers.apply(Owner { producer_id: *producer, producer_epoch: *producer_epoch }, None, at);
        }
        BatchContent::Marker(end) => {
            let owner = Owner { producer_id: end.producer, producer_epoch: end.producer_epoch };
            producers.apply_marker(owner, end.coordinator_epoch, at);
        }
    }
}

fn looked_up(world: &mut World, fetch: &OffsetFetch, effects: &[Effect]) {
    for effect in effects {
        let Effect::Reply { response: Response::OffsetFetch(Ok(each)), .. } = effect else { continue };
        for fetched in each {
            let Ok(found) = &fetched.result else { continue };
            let found = found.as_ref().and_then(|found| CommitTag::of(&found.metadata));
            world.fact(&Fact::OffsetLookedUp { group: &fetch.group, partition: fetched.partition.0, found });
        }
    }
}
