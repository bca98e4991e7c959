//! A member by the classic protocol: JoinGroup, SyncGroup, heartbeats.

use ottla_wire::ErrorCode;
use ottla_wire::message::heartbeat::HeartbeatRequest;
use ottla_wire::message::join_group::{JoinGroupRequest, JoinGroupRequestProtocol};
use ottla_wire::message::leave_group::{LeaveGroupRequest, MemberIdentity};
use ottla_wire::message::sync_group::{SyncGroupRequest, SyncGroupRequestAssignment};

use super::{Board, GroupOptions, Member, REBALANCE_MS, SESSION_MS, TRY_PAUSE, first_pause};
use crate::connection::version;
use crate::coordinator::refused;
use crate::{Control, PerfError};

/// Runs until the board says that it is over, or that this one is to leave.
pub(super) fn run(
    mut member: Member,
    options: &GroupOptions,
    partitions: usize,
    board: &Board,
    control: &Control,
) -> Result<(), PerfError> {
    let subscription = subscription(&options.topic);
    let mut generation = None;
    loop {
        let current = match generation {
            Some(current) => current,
            None => {
                let Some((joined, held)) = member.join(options, &subscription, partitions, board, control)? else { return Ok(()) };
                board.tell(member.index, Some((joined, held)));
                generation = Some(joined);
                control.pause(first_pause(options, member.index));
                continue;
            }
        };
        if control.is_ended() || board.is_over() || board.is_to_leave(member.index) {
            // At the end as well: a member that is silent would be in the way of the next run until its session is over.
            return member.leave(options);
        }
        if member.is_to_join_again(options, current)? {
            board.tell(member.index, None);
            generation = None;
        } else {
            control.pause(options.heartbeat);
        }
    }
}

impl Member {
    /// Joins and gets its assignment: the generation, and how many partitions. `None`: it is over.
    fn join(
        &mut self,
        options: &GroupOptions,
        subscription: &[u8],
        partitions: usize,
        board: &Board,
        control: &Control,
    ) -> Result<Option<(i32, usize)>, PerfError> {
        while !control.is_ended() && !board.is_over() {
            let request = JoinGroupRequest {
                group_id: &options.group,
                session_timeout_ms: SESSION_MS,
                rebalance_timeout_ms: REBALANCE_MS,
                member_id: &self.id,
                protocol_type: "consumer",
                protocols: vec![JoinGroupRequestProtocol { name: "range", metadata: subscription }],
                ..Default::default()
            };
            let response = self.connection.call(&request, version::JOIN_GROUP)?;
            let error = ErrorCode::from_i16(response.error_code);
            let (generation, member_id) = (response.generation_id, response.member_id.clone().into_owned());
            let is_leader = response.leader == response.member_id;
            let all: Vec<String> = response.members.iter().map(|member| member.member_id.clone().into_owned()).collect();
            match error {
                Some(ErrorCode::None) => self.id = member_id,
                Some(ErrorCode::MemberIdRequired) => {
                    self.id = member_id;
                    continue;
                }
                Some(ErrorCode::UnknownMemberId) => {
                    self.id.clear();
                    continue;
                }
                Some(ErrorCode::RebalanceInProgress) => continue,
                Some(code) if code.retriable() => {
                    control.pause(TRY_PAUSE);
                    continue;
                }
                _ => return Err(self.refusal("join", options, response_code(error))),
            }
            let assigned = if is_leader { assign(&options.topic, partitions, all.len()) } else { Vec::new() };
            let assignments =
                all.iter().zip(&assigned).map(|(member_id, assignment)| SyncGroupRequestAssignment { member_id, assignment }).collect();
            let request = SyncGroupRequest {
                group_id: &options.group,
                generation_id: generation,
                member_id: &self.id,
                group_instance_id: None,
                protocol_type: Some("consumer"),
                protocol_name: Some("range"),
                assignments,
            };
            let response = self.connection.call(&request, version::SYNC_GROUP)?;
            let held = held(&response.assignment, &options.topic);
            match ErrorCode::from_i16(response.error_code) {
                Some(ErrorCode::None) => return Ok(Some((generation, held))),
                Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => {}
                Some(ErrorCode::UnknownMemberId) => self.id.clear(),
                Some(code) if code.retriable() => drop(control.pause(TRY_PAUSE)),
                error => return Err(self.refusal("sync", options, response_code(error))),
            }
        }
        Ok(None)
    }

    fn is_to_join_again(&mut self, options: &GroupOptions, generation_id: i32) -> Result<bool, PerfError> {
        let request = HeartbeatRequest { group_id: &options.group, generation_id, member_id: &self.id, group_instance_id: None };
        let response = self.connection.call(&request, version::HEARTBEAT)?;
        match ErrorCode::from_i16(response.error_code) {
            Some(ErrorCode::None) => Ok(false),
            Some(ErrorCode::RebalanceInProgress | ErrorCode::IllegalGeneration) => Ok(true),
            error => Err(self.refusal("heartbeat", options, response_code(error))),
        }
    }

    fn leave(&mut self, options: &GroupOptions) -> Result<(), PerfError> {
        let members = vec![MemberIdentity { member_id: &self.id, group_instance_id: None, reason: None }];
        let request = LeaveGroupRequest { group_id: &options.group, member_id: "", members };
        let response = self.connection.call(&request, version::LEAVE_GROUP)?;
        let codes = std::iter::once(response.error_code).chain(response.members.iter().map(|member| member.error_code));
        codes.into_iter().try_for_each(|code| refused(code, || format!("leave of group `{}`", options.group)))
    }

    fn refusal(&self, what: &str, options: &GroupOptions, code: i16) -> PerfError {
        PerfError::Refused { subject: format!("{what} of member {} of group `{}`", self.index, options.group), code, said: None }
    }
}

fn response_code(error: Option<ErrorCode>) -> i16 {
    error.map_or(ErrorCode::UnknownServerError, |code| code).as_i16()
}

/// `ConsumerProtocolSubscription` version 0 of one topic.
fn subscription(topic: &str) -> Vec<u8> {
    let mut bytes = vec![0, 0];
    bytes.extend(1i32.to_be_bytes());
    bytes.extend((topic.len() as i16).to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend((-1i32).to_be_bytes());
    bytes
}

/// A `ConsumerProtocolAssignment` version 0 for each member: partitions are dealt in turn.
fn assign(topic: &str, partitions: usize, members: usize) -> Vec<Vec<u8>> {
    let of_member = |member: usize| {
        let mut bytes = vec![0, 0];
        bytes.extend(1i32.to_be_bytes());
        bytes.extend((topic.len() as i16).to_be_bytes());
        bytes.extend(topic.as_bytes());
        let its: Vec<i32> = (0..partitions as i32).skip(member).step_by(members).collect();
        bytes.extend((its.len() as i32).to_be_bytes());
        its.iter().for_each(|partition| bytes.extend(partition.to_be_bytes()));
        bytes.extend((-1i32).to_be_bytes());
        bytes
    };
    (0..members).map(of_member).collect()
}

/// How many partitions an assignment of [`assign`] has.
fn held(assignment: &[u8], topic: &str) -> usize {
    let count = assignment.get(2 + 4 + 2 + topic.len()..).and_then(|rest| rest.first_chunk());
    count.map_or(0, |count| usize::try_from(i32::from_be_bytes(*count)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_is_assigned_to_one_member() {
        for (partitions, members) in [(10, 3), (2, 5), (0, 1), (7, 7)] {
            let assigned = assign("t", partitions, members);
            assert_eq!(assigned.len(), members);
            assert_eq!(assigned.iter().map(|one| held(one, "t")).sum::<usize>(), partitions, "{partitions} to {members}");
        }
        assert_eq!(held(&[], "t"), 0);
        let third = [0, 0, 0, 0, 0, 1, 0, 1, b't', 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(assign("t", 3, 3)[2], third);
    }
}
