//! `ottla group`: list, describe, reset-offsets, delete.

use std::collections::BTreeMap;

use clap::{ArgGroup, Args, Subcommand};
use ottla_client::{
    Admin, ClientError, CommittedOffset, ErrorCode, GroupDescription, GroupMember, LastRebalance, Offset, PartitionId, SeekTo, TimestampMs,
    TopicName, TopicPartition,
};
use serde::Serialize;

use crate::args::Connection;
use crate::error::CliError;
use crate::output::{Output, table};
use crate::timestamp;

/// List, describe, reset and delete consumer groups.
#[derive(Debug, Args)]
#[command(
    after_help = crate::EXIT_CODES,
    after_long_help = concat!(
        "Examples:\n",
        "  ottla group list\n",
        "  ottla group describe billing                     offsets, lag, members, the last rebalance\n",
        "  ottla group describe billing --json\n",
        "  ottla group reset-offsets billing --topic orders --to-earliest\n",
        "  ottla group reset-offsets billing --topic orders:0,2 --shift-by -10 --dry-run\n",
        "  ottla group delete billing\n\n",
        "Exit codes: 0 done, 1 failed, 2 not understood (wrong arguments or settings).",
    )
)]
pub struct GroupArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    command: GroupCommand,
}

#[derive(Debug, Subcommand)]
enum GroupCommand {
    /// List the groups.
    #[command(after_help = "Example: ottla group list --json")]
    List,
    /// Show how far groups have read, their members, and why they last rebalanced.
    #[command(after_help = "Example: ottla group describe billing")]
    Describe {
        /// Names of groups.
        #[arg(required = true)]
        groups: Vec<String>,
    },
    /// Change how far a group has read. It must have no members.
    #[command(
        after_help = "Example: ottla group reset-offsets billing --topic orders:0,2 --shift-by -10 --dry-run",
        group = ArgGroup::new("to").required(true)
    )]
    ResetOffsets(ResetArgs),
    /// Delete groups with their offsets. They must have no members.
    #[command(after_help = "Example: ottla group delete billing")]
    Delete {
        /// Names of groups.
        #[arg(required = true)]
        groups: Vec<String>,
        /// Be content when one does not exist.
        #[arg(long)]
        if_exists: bool,
    },
}

#[derive(Debug, Args)]
struct ResetArgs {
    /// The group.
    group: String,
    /// Only this topic, or with `:0,2` only these partitions of it; may be repeated [default: all that the group has offsets in].
    #[arg(long = "topic", value_name = "TOPIC[:N,N]", value_parser = Scope::parse)]
    topics: Vec<Scope>,
    /// To the first record there is.
    #[arg(long, group = "to")]
    to_earliest: bool,
    /// To what comes next.
    #[arg(long, group = "to")]
    to_latest: bool,
    /// To this offset, or the nearest that there is.
    #[arg(long, value_name = "N", group = "to", value_parser = clap::value_parser!(i64).range(0..))]
    to_offset: Option<i64>,
    /// By so many records on, or with a minus back, as far as there are any.
    #[arg(long, value_name = "N", group = "to", allow_hyphen_values = true)]
    shift_by: Option<i64>,
    /// To the first record of this time or later: 2026-01-31T12:00:00Z or @1769860800000 (milliseconds).
    #[arg(long, value_name = "TIME", group = "to", value_parser = time)]
    to_datetime: Option<i64>,
    /// Only show what would be changed.
    #[arg(long)]
    dry_run: bool,
}

/// A topic, or some partitions of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) topic: TopicName,
    /// Empty: all.
    pub(super) partitions: Vec<i32>,
}

impl Scope {
    pub(super) fn parse(text: &str) -> Result<Scope, String> {
        let (topic, partitions) = match text.split_once(':') {
            Some((topic, partitions)) => (topic, Some(partitions)),
            None => (text, None),
        };
        let topic = TopicName::new(topic).map_err(|cause| cause.to_string())?;
        let number = |text: &str| text.trim().parse().ok().filter(|n| *n >= 0).ok_or("expected partitions after `:`, e.g. orders:0,2");
        let partitions = partitions.map(|list| list.split(',').map(number).collect::<Result<Vec<i32>, _>>()).transpose()?;
        Ok(Scope { topic, partitions: partitions.unwrap_or_default() })
    }
}

fn time(text: &str) -> Result<i64, String> {
    let ms = match text.strip_prefix('@') {
        Some(ms) => ms.parse().ok(),
        None => timestamp::parse(text),
    };
    ms.filter(|ms| *ms >= 0).ok_or_else(|| "expected a time such as 2026-01-31T12:00:00Z, or milliseconds since 1970 after `@`".to_owned())
}

/// Where offsets are to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    Place(SeekTo),
    By(i64),
}

impl ResetArgs {
    fn target(&self) -> Target {
        if self.to_earliest {
            return Target::Place(SeekTo::Beginning);
        }
        if let Some(offset) = self.to_offset {
            return Target::Place(SeekTo::Offset(Offset(offset)));
        }
        if let Some(ms) = self.to_datetime {
            return Target::Place(SeekTo::Timestamp(TimestampMs(ms)));
        }
        match self.shift_by {
            Some(records) => Target::By(records),
            None => Target::Place(SeekTo::End),
        }
    }
}

/// A line of `group list --json`.
#[derive(Debug, Serialize)]
struct ListedJson<'a> {
    group: &'a str,
    /// `classic` or `consumer`.
    protocol: &'a str,
    protocol_type: &'a str,
    state: &'a str,
    coordinator: i32,
}

/// A line of `group describe --json`.
#[derive(Debug, Serialize)]
struct DescribedJson<'a> {
    group: &'a str,
    protocol: &'a str,
    protocol_type: &'a str,
    state: &'a str,
    /// Null: not agreed on.
    assignor: Option<&'a str>,
    /// Null in a classic group.
    epoch: Option<i32>,
    target_epoch: Option<i32>,
    coordinator: CoordinatorJson<'a>,
    /// Null where the coordinator does not know, or is not Ottla's.
    last_rebalance: Option<LastRebalanceJson<'a>>,
    /// The sum over the partitions.
    lag: i64,
    partitions: Vec<PartitionJson<'a>>,
    members: Vec<MemberJson<'a>>,
}

#[derive(Debug, Serialize)]
struct CoordinatorJson<'a> {
    id: i32,
    host: &'a str,
    port: i32,
}

#[derive(Debug, Serialize)]
struct LastRebalanceJson<'a> {
    /// Milliseconds since 1970.
    began: i64,
    /// Null: it is going on.
    duration_ms: Option<u64>,
    reason: &'a str,
    member: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct PartitionJson<'a> {
    topic: &'a str,
    partition: i32,
    /// The next record to read; null: the group has none there.
    offset: Option<i64>,
    /// Null: the partition is gone.
    end: Option<i64>,
    lag: Option<i64>,
    /// Null: nobody reads it.
    member: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct MemberJson<'a> {
    member: &'a str,
    instance: Option<&'a str>,
    client: &'a str,
    host: &'a str,
    protocol: &'a str,
    epoch: Option<i32>,
    topics: &'a [String],
    assignment: BTreeMap<&'a str, Vec<i32>>,
    /// What it is to read, where the coordinator assigns.
    target: Option<BTreeMap<&'a str, Vec<i32>>>,
}

/// A line of `group reset-offsets --json`.
#[derive(Debug, Serialize)]
struct ResetJson<'a> {
    group: &'a str,
    topic: &'a str,
    partition: i32,
    /// Null: the group had none there.
    before: Option<i64>,
    offset: i64,
    changed: bool,
}

/// A line of `group delete --json`.
#[derive(Debug, Serialize)]
struct DeletedJson<'a> {
    group: &'a str,
    deleted: bool,
}

pub async fn run(args: GroupArgs) -> Result<(), CliError> {
    let GroupArgs { connection, command } = args;
    let admin = Admin::new(&connection.connect().await?);
    let json = connection.json;
    let mut out = Output::new();
    match command {
        GroupCommand::List => list(&admin, &mut out, json).await?,
        GroupCommand::Describe { groups } => {
            for (index, group) in groups.iter().enumerate() {
                if index > 0 && !json {
                    out.line("")?;
                }
                describe(&admin, &mut out, json, group).await?;
            }
        }
        GroupCommand::ResetOffsets(args) => reset(&admin, &mut out, json, &args).await?,
        GroupCommand::Delete { groups, if_exists } => {
            for group in &groups {
                let deleted = match admin.delete_group(group).await {
                    Ok(()) => true,
                    Err(error) if if_exists && error.code() == Some(ErrorCode::GroupIdNotFound) => false,
                    Err(error) => {
                        // What was deleted before it is told first.
                        out.flush()?;
                        return Err(error.into());
                    }
                };
                if json {
                    out.json(&DeletedJson { group, deleted })?;
                } else {
                    out.line(&if deleted { format!("Deleted group {group}.") } else { format!("Group {group} does not exist.") })?;
                }
            }
        }
    }
    out.flush()
}

async fn list(admin: &Admin, out: &mut Output, json: bool) -> Result<(), CliError> {
    let groups = admin.list_groups().await?;
    if json {
        for group in &groups {
            out.json(&ListedJson {
                group: &group.group_id,
                protocol: group.kind.name(),
                protocol_type: &group.protocol_type,
                state: &group.state,
                coordinator: group.coordinator.get(),
            })?;
        }
        return Ok(());
    }
    if groups.is_empty() {
        // Not among the results: `| wc -l` gives 0.
        out.flush()?;
        eprintln!("No groups yet. `ottla consume TOPIC --group NAME` makes one.");
        return Ok(());
    }
    let mut rows = table(&["GROUP", "PROTOCOL", "STATE", "COORDINATOR"]);
    for group in &groups {
        rows.add_row([group.group_id.as_str(), group.kind.name(), &group.state, &group.coordinator.to_string()]);
    }
    out.table(&rows)
}

/// A partition that a group has an offset in, or that one of its members reads.
#[derive(Debug, PartialEq, Eq)]
struct Progress {
    partition: TopicPartition,
    offset: Option<i64>,
    end: Option<i64>,
}

impl Progress {
    fn lag(&self) -> Option<i64> {
        Some((self.end? - self.offset?).max(0))
    }
}

async fn progress(admin: &Admin, group: &GroupDescription) -> Result<Vec<Progress>, CliError> {
    let committed = admin.group_offsets(&group.group_id).await?;
    let read = group.members.iter().flat_map(|member| &member.assignment);
    let mut partitions: Vec<TopicPartition> = committed.keys().chain(read).cloned().collect();
    partitions.sort_unstable();
    partitions.dedup();
    let mut ends = BTreeMap::new();
    for topic in topics_of(&partitions) {
        // Offsets outlive their topic for a while.
        let there = match admin.describe_topic(topic.as_str()).await {
            Ok(described) => described.partitions,
            Err(ClientError::UnknownTopic { .. }) => continue,
            Err(error) => return Err(error.into()),
        };
        let of_topic = partitions.iter().filter(|p| p.topic == topic && there.iter().any(|info| info.partition == p.partition));
        let places: Vec<_> = of_topic.map(|partition| (partition.clone(), SeekTo::End)).collect();
        ends.extend(admin.list_offsets(&places).await?);
    }
    let of = |partition: TopicPartition| Progress {
        offset: committed.get(&partition).map(|committed| committed.offset.get()),
        end: ends.get(&partition).copied().flatten().map(|end| end.offset.get()),
        partition,
    };
    Ok(partitions.into_iter().map(of).collect())
}

fn topics_of(partitions: &[TopicPartition]) -> Vec<TopicName> {
    let mut topics: Vec<TopicName> = partitions.iter().map(|partition| partition.topic.clone()).collect();
    topics.sort_unstable();
    topics.dedup();
    topics
}

async fn describe(admin: &Admin, out: &mut Output, json: bool, name: &str) -> Result<(), CliError> {
    let group = admin.describe_group(name).await?;
    let progress = progress(admin, &group).await?;
    if json {
        return out.json(&described_json(&group, &progress));
    }
    let epoch = match (group.epoch, group.target_epoch) {
        (Some(epoch), Some(target)) if epoch != target => format!(", epoch {epoch} (assigned: {target})"),
        (Some(epoch), _) => format!(", epoch {epoch}"),
        _ => String::new(),
    };
    let assignor = group.assignor.as_ref().map(|assignor| format!(", assignor {assignor}")).unwrap_or_default();
    out.line(&format!("Group           {name}"))?;
    out.line(&format!("State           {}", group.state))?;
    out.line(&format!("Protocol        {}{assignor}{epoch}", group.kind.name()))?;
    out.line(&format!("Coordinator     node {} on {}", group.coordinator.id, group.coordinator.address()))?;
    out.line(&format!(
        "Last rebalance  {}",
        group.last_rebalance.as_ref().map_or_else(|| "not known".to_owned(), |last| told(last, &group))
    ))?;
    if !progress.is_empty() {
        out.line("")?;
        let mut rows = table(&["TOPIC", "PARTITION", "OFFSET", "END", "LAG", "MEMBER"]);
        let number = |n: Option<i64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
        for row in &progress {
            let reader = group.reader_of(&row.partition).map_or("-", |member| member.member_id.as_str());
            rows.add_row([
                row.partition.topic.to_string(),
                row.partition.partition.to_string(),
                number(row.offset),
                number(row.end),
                number(row.lag()),
                reader.to_owned(),
            ]);
        }
        out.table(&rows)?;
    }
    if group.members.is_empty() {
        return Ok(());
    }
    out.line("")?;
    let mut rows = table(&["MEMBER", "CLIENT", "HOST", "ASSIGNMENT"]);
    for member in &group.members {
        let instance = member.instance_id.as_ref().map(|instance| format!(" (static: {instance})")).unwrap_or_default();
        rows.add_row([
            format!("{}{instance}", member.member_id),
            member.client_id.clone(),
            member.host.clone(),
            assignment_text(&member.assignment),
        ]);
    }
    out.table(&rows)
}

/// `2026-01-31T12:00:00.250Z: member m (client c) joined; it took 12 ms`.
fn told(last: &LastRebalance, group: &GroupDescription) -> String {
    let member = last.member_id.as_ref().map(|id| {
        let client = group.members.iter().find(|member| member.member_id == *id).map(|member| format!(" ({})", member.client_id));
        format!("member {id}{} ", client.unwrap_or_default())
    });
    let took = last.duration_ms.map_or_else(|| "it is going on".to_owned(), |ms| format!("it took {ms} ms"));
    format!("{}: {}{}; {took}", timestamp::format_ms(last.began.get()), member.unwrap_or_default(), last.reason)
}

/// `orders:0,2 logs:1`.
fn assignment_text(partitions: &[TopicPartition]) -> String {
    if partitions.is_empty() {
        return "-".to_owned();
    }
    let topic = |(name, partitions): (&str, Vec<i32>)| {
        format!("{name}:{}", partitions.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    };
    by_topic(partitions).into_iter().map(topic).collect::<Vec<_>>().join(" ")
}

fn by_topic(partitions: &[TopicPartition]) -> BTreeMap<&str, Vec<i32>> {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics.entry(partition.topic.as_str()).or_default().push(partition.partition.get());
    }
    topics
}

fn described_json<'a>(group: &'a GroupDescription, progress: &'a [Progress]) -> DescribedJson<'a> {
    let member = |member: &'a GroupMember| MemberJson {
        member: &member.member_id,
        instance: member.instance_id.as_deref(),
        client: &member.client_id,
        host: &member.host,
        protocol: member.kind.name(),
        epoch: member.epoch,
        topics: &member.topics,
        assignment: by_topic(&member.assignment),
        target: member.target.as_deref().map(by_topic),
    };
    let partition = |row: &'a Progress| PartitionJson {
        topic: row.partition.topic.as_str(),
        partition: row.partition.partition.get(),
        offset: row.offset,
        end: row.end,
        lag: row.lag(),
        member: group.reader_of(&row.partition).map(|member| member.member_id.as_str()),
    };
    DescribedJson {
        group: &group.group_id,
        protocol: group.kind.name(),
        protocol_type: &group.protocol_type,
        state: &group.state,
        assignor: group.assignor.as_deref(),
        epoch: group.epoch,
        target_epoch: group.target_epoch,
        coordinator: CoordinatorJson { id: group.coordinator.id.get(), host: &group.coordinator.host, port: group.coordinator.port },
        last_rebalance: group.last_rebalance.as_ref().map(|last| LastRebalanceJson {
            began: last.began.get(),
            duration_ms: last.duration_ms,
            reason: &last.reason,
            member: last.member_id.as_deref(),
        }),
        lag: progress.iter().filter_map(Progress::lag).sum(),
        partitions: progress.iter().map(partition).collect(),
        members: group.members.iter().map(member).collect(),
    }
}

async fn reset(admin: &Admin, out: &mut Output, json: bool, args: &ResetArgs) -> Result<(), CliError> {
    let name = args.group.as_str();
    match admin.describe_group(name).await {
        Ok(group) if !group.is_empty() => {
            let members = if group.members.len() == 1 { "1 member".to_owned() } else { format!("{} members", group.members.len()) };
            return Err(CliError::failed(format!(
                "group `{name}` has {members} (state {}): its offsets can be changed only while it has none; stop its consumers first",
                group.state
            )));
        }
        Ok(_) => {}
        // With topics named, a group is made that keeps their offsets.
        Err(error) if error.code() == Some(ErrorCode::GroupIdNotFound) && !args.topics.is_empty() => {}
        Err(error) => return Err(error.into()),
    }
    let committed = admin.group_offsets(name).await?;
    let partitions = chosen(admin, &args.topics, &committed).await?;
    if partitions.is_empty() {
        return Err(CliError::failed(format!("group `{name}` has no offsets to reset; name topics by --topic")));
    }
    let all = |to: SeekTo| partitions.iter().map(|partition| (partition.clone(), to)).collect::<Vec<_>>();
    let offsets = |found: BTreeMap<TopicPartition, Option<ottla_client::OffsetAndTimestamp>>| {
        found.into_iter().filter_map(|(partition, at)| Some((partition, at?.offset.get()))).collect::<BTreeMap<_, _>>()
    };
    let starts = offsets(admin.list_offsets(&all(SeekTo::Beginning)).await?);
    let ends = offsets(admin.list_offsets(&all(SeekTo::End)).await?);
    let by_time = match args.target() {
        Target::Place(at @ SeekTo::Timestamp(_)) => offsets(admin.list_offsets(&all(at)).await?),
        _ => BTreeMap::new(),
    };
    let mut to = BTreeMap::new();
    for partition in &partitions {
        let range = (starts.get(partition).copied().unwrap_or(0), ends.get(partition).copied().unwrap_or(0));
        let before = committed.get(partition).map(|committed| committed.offset.get());
        let offset = landing(args.target(), range, before, by_time.get(partition).copied())
            .ok_or_else(|| CliError::failed(format!("group `{name}` has no offset in {partition} to shift; leave it out by --topic")))?;
        to.insert(partition.clone(), Offset(offset));
    }
    if !args.dry_run {
        admin.alter_group_offsets(name, &to).await?;
    }
    let before = |partition: &TopicPartition| committed.get(partition).map(|committed| committed.offset.get());
    if json {
        for (partition, offset) in &to {
            out.json(&ResetJson {
                group: name,
                topic: partition.topic.as_str(),
                partition: partition.partition.get(),
                before: before(partition),
                offset: offset.get(),
                changed: !args.dry_run,
            })?;
        }
        return Ok(());
    }
    let mut rows = table(&["TOPIC", "PARTITION", "BEFORE", if args.dry_run { "WOULD BE" } else { "NOW" }]);
    for (partition, offset) in &to {
        let before = before(partition).map_or_else(|| "-".to_owned(), |before| before.to_string());
        rows.add_row([partition.topic.to_string(), partition.partition.to_string(), before, offset.to_string()]);
    }
    out.table(&rows)
}

/// The partitions asked for; all that the group has offsets in where none are.
async fn chosen(
    admin: &Admin,
    scopes: &[Scope],
    committed: &BTreeMap<TopicPartition, CommittedOffset>,
) -> Result<Vec<TopicPartition>, CliError> {
    if scopes.is_empty() {
        return Ok(committed.keys().cloned().collect());
    }
    let mut chosen = Vec::new();
    for scope in scopes {
        let there = admin.describe_topic(scope.topic.as_str()).await?.partitions;
        if let Some(missing) = scope.partitions.iter().find(|asked| !there.iter().any(|info| info.partition == PartitionId(**asked))) {
            let last = there.len().saturating_sub(1);
            return Err(CliError::failed(format!("topic `{}` has partitions 0 to {last}, not {missing}", scope.topic)));
        }
        let wanted = there.iter().filter(|info| scope.partitions.is_empty() || scope.partitions.contains(&info.partition.get()));
        chosen.extend(wanted.map(|info| TopicPartition::new(scope.topic.clone(), info.partition)));
    }
    chosen.sort_unstable();
    chosen.dedup();
    Ok(chosen)
}

/// Where an offset comes to be, never outside of the log (`range`: first offset, end). `None`: there is nothing to shift.
fn landing(target: Target, range: (i64, i64), before: Option<i64>, by_time: Option<i64>) -> Option<i64> {
    let (start, end) = range;
    let wanted = match target {
        Target::Place(SeekTo::Beginning) => start,
        Target::Place(SeekTo::End) => end,
        Target::Place(SeekTo::Offset(offset)) => offset.get(),
        // No record that late: what comes next is the first one.
        Target::Place(SeekTo::Timestamp(_)) => by_time.unwrap_or(end),
        Target::By(records) => before?.saturating_add(records),
    };
    Some(wanted.max(start).min(end.max(start)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_land_within_the_log() {
        let range = (10, 50);
        let place = |to| landing(Target::Place(to), range, Some(20), Some(33));
        assert_eq!((place(SeekTo::Beginning), place(SeekTo::End)), (Some(10), Some(50)));
        assert_eq!(place(SeekTo::Offset(Offset(42))), Some(42));
        assert_eq!((place(SeekTo::Offset(Offset(3))), place(SeekTo::Offset(Offset(99)))), (Some(10), Some(50)));
        assert_eq!(place(SeekTo::Timestamp(TimestampMs(5))), Some(33));
        assert_eq!(landing(Target::Place(SeekTo::Timestamp(TimestampMs(5))), range, Some(20), None), Some(50));
        for (by, to) in [(5, 25), (-5, 15), (-100, 10), (100, 50), (i64::MAX, 50)] {
            assert_eq!(landing(Target::By(by), range, Some(20), None), Some(to), "{by}");
        }
        assert_eq!(landing(Target::By(1), range, None, None), None);
    }

    #[test]
    fn topics_are_named_with_and_without_partitions() {
        let topic = TopicName::new("orders").unwrap();
        assert_eq!(Scope::parse("orders"), Ok(Scope { topic: topic.clone(), partitions: vec![] }));
        assert_eq!(Scope::parse("orders:0,2"), Ok(Scope { topic, partitions: vec![0, 2] }));
        for bad in ["", "a b", "orders:", "orders:x", "orders:-1"] {
            assert!(Scope::parse(bad).is_err(), "{bad}");
        }
        assert!(time("soon").is_err() && time("@-5").is_err());
        assert_eq!(time("@5"), Ok(5));
    }

    #[test]
    fn lag_is_never_negative_and_not_known_without_both_ends() {
        let partition = TopicPartition::new(TopicName::new("t").unwrap(), PartitionId(0));
        let lag = |offset, end| Progress { partition: partition.clone(), offset, end }.lag();
        assert_eq!((lag(Some(3), Some(10)), lag(Some(10), Some(3))), (Some(7), Some(0)));
        assert_eq!((lag(None, Some(10)), lag(Some(1), None)), (None, None));
    }

    #[test]
    fn json_shapes_are_stable() {
        let reset = ResetJson { group: "g", topic: "t", partition: 1, before: None, offset: 5, changed: true };
        assert_eq!(
            serde_json::to_string(&reset).unwrap(),
            r#"{"group":"g","topic":"t","partition":1,"before":null,"offset":5,"changed":true}"#
        );
        let listed = ListedJson { group: "g", protocol: "classic", protocol_type: "consumer", state: "Empty", coordinator: 1 };
        assert_eq!(
            serde_json::to_string(&listed).unwrap(),
            r#"{"group":"g","protocol":"classic","protocol_type":"consumer","state":"Empty","coordinator":1}"#
        );
    }
}
