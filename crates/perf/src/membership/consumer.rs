//! A member by the consumer protocol (KIP-848): heartbeats, which the broker answers with what the member is to have.

use ottla_wire::ErrorCode;
use ottla_wire::message::consumer_group_heartbeat::{
    ConsumerGroupHeartbeatRequest, JOIN_GROUP_MEMBER_EPOCH, LEAVE_GROUP_MEMBER_EPOCH, TopicPartitions,
};

use super::{Board, GroupOptions, Member, REBALANCE_MS, again, first_pause};
use crate::connection::version;
use crate::coordinator::refused;
use crate::{Control, PerfError};

/// Runs until the board says that it is over, or that this one is to leave.
pub(super) fn run(mut member: Member, options: &GroupOptions, board: &Board, control: &Control) -> Result<(), PerfError> {
    let mut epoch = JOIN_GROUP_MEMBER_EPOCH;
    let mut owned: Vec<TopicPartitions> = Vec::new();
    // What it has is told with the first heartbeat, and when it has changed.
    let mut has_news = true;
    let mut is_first_pause = true;
    while !control.is_ended() && !board.is_over() && !board.is_to_leave(member.index) {
        let joins = epoch == JOIN_GROUP_MEMBER_EPOCH;
        let request = ConsumerGroupHeartbeatRequest {
            group_id: &options.group,
            member_id: &member.id,
            member_epoch: epoch,
            rebalance_timeout_ms: if joins { REBALANCE_MS } else { -1 },
            subscribed_topic_names: joins.then(|| vec![options.topic.as_str()]),
            topic_partitions: has_news.then(|| owned.clone()),
            ..Default::default()
        };
        let response = member.connection.call(&request, version::CONSUMER_GROUP_HEARTBEAT)?;
        match ErrorCode::from_i16(response.error_code) {
            Some(ErrorCode::None) => {}
            Some(ErrorCode::FencedMemberEpoch | ErrorCode::UnknownMemberId) => {
                (epoch, has_news) = (JOIN_GROUP_MEMBER_EPOCH, true);
                owned.clear();
                board.tell(member.index, None);
                continue;
            }
            Some(code) if code.retriable() => {
                if !again(&mut member, control)? {
                    return Ok(());
                }
                continue;
            }
            _ => {
                return Err(PerfError::Refused {
                    subject: format!("heartbeat of member {} of group `{}`", member.index, options.group),
                    code: response.error_code,
                    said: response.error_message.as_deref().map(str::to_owned),
                });
            }
        }
        epoch = response.member_epoch;
        let given = response.member_id.as_deref().map(str::to_owned);
        has_news = response.assignment.is_some();
        if let Some(assignment) = response.assignment {
            owned = assignment.topic_partitions;
        }
        if let Some(given) = given {
            member.id = given;
        }
        board.tell(member.index, Some((epoch, owned.iter().map(|topic| topic.partitions.len()).sum())));
        // A client that has done what it was told says so at once.
        if !has_news {
            control.pause(if is_first_pause { first_pause(options, member.index) } else { options.heartbeat });
            is_first_pause = false;
        }
    }
    // At the end as well: a member that is silent would be in the way of the next run until its session is over.
    let request = ConsumerGroupHeartbeatRequest {
        group_id: &options.group,
        member_id: &member.id,
        member_epoch: LEAVE_GROUP_MEMBER_EPOCH,
        ..Default::default()
    };
    let response = member.connection.call(&request, version::CONSUMER_GROUP_HEARTBEAT)?;
    refused(response.error_code, || format!("leave of group `{}`", options.group))
}
