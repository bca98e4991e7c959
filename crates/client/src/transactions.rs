//! What [`Admin`] does with transactions (KIP-664): lists and describes them, tells who writes to a partition, finds those that
//! hang, and aborts them.
//!
//! A transaction hangs where a partition has it open and no coordinator will ever end it: readers of committed records then wait
//! before it for good. What is done about it goes past the coordinator, so it is done only to what was found to hang.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ottla_model::{NodeId, Offset, PartitionId, TimestampMs, TopicName, TopicPartition};
use ottla_wire::error::ErrorCode;
use ottla_wire::message::describe_producers::{DescribeProducersRequest, DescribeProducersResponse, TopicRequest};
use ottla_wire::message::describe_transactions::{DescribeTransactionsRequest, DescribeTransactionsResponse};
use ottla_wire::message::list_transactions::{ListTransactionsRequest, ListTransactionsResponse};
use ottla_wire::message::write_txn_markers::{WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest, WriteTxnMarkersResponse};
use tokio::time::{Instant, sleep};

use crate::backoff::random_u32;
use crate::client::Purpose;
use crate::coordinator::{self, Key};
use crate::group::offsets::by_topic;
use crate::retry::{Repeat, Tries, again};
use crate::{Admin, BrokerInfo, ClientError};

/// First versions of ListTransactions that filter by duration (KIP-994) and by a pattern (KIP-1152).
const BY_DURATION: i16 = 1;
const BY_PATTERN: i16 = 2;

/// Kafka's names of the states in which the end is decided and markers are written.
const ENDING: [&str; 2] = ["PrepareCommit", "PrepareAbort"];

/// Which transactions to list. All by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Only those in one of these states, by Kafka's names (`Ongoing`, `CompleteCommit` …); empty: in any.
    pub states: Vec<String>,
    /// Only those of one of these producers; empty: of any.
    pub producer_ids: Vec<i64>,
    /// Only those that have been open for longer.
    pub longer_than: Option<Duration>,
    /// Only those whose id matches this regular expression (RE2) as a whole.
    pub id_pattern: Option<String>,
}

/// A transactional id, as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionListing {
    /// The transactional id.
    pub transactional_id: String,
    /// The broker that has it.
    pub coordinator: NodeId,
    /// Its producer.
    pub producer_id: i64,
    /// Kafka's name of its state.
    pub state: String,
}

/// A transactional id and its transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The transactional id.
    pub transactional_id: String,
    /// The broker that has it.
    pub coordinator: BrokerInfo,
    /// Kafka's name of its state.
    pub state: String,
    /// Its producer.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// After how many milliseconds an open transaction is aborted.
    pub timeout_ms: i32,
    /// When the transaction began, or the last one where none is open; `None`: not known.
    pub started: Option<TimestampMs>,
    /// Its partitions; once the end is decided, those that wait for their marker.
    pub partitions: Vec<TopicPartition>,
}

/// What a partition's leader knows of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    /// The producer.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// Sequence number of its last record; `None`: it has none.
    pub last_sequence: Option<i32>,
    /// Time of its last batch.
    pub last_timestamp: Option<TimestampMs>,
    /// Epoch of the coordinator that wrote its last marker; `None`: none did.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction begins; `None`: none is open.
    pub transaction_start: Option<Offset>,
}

/// An open transaction that nobody will end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HangingTransaction {
    /// Where it is open.
    pub partition: TopicPartition,
    /// The producer as the partition's leader knows it.
    pub producer: ProducerState,
    /// Where it begins.
    pub start: Offset,
}

/// Where to look for transactions that hang.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HangingScope {
    /// Only in the partitions that this broker has a replica of, and as it knows them.
    pub broker: Option<NodeId>,
    /// Only in these topics, or with partitions named only in those; empty: in all.
    pub topics: BTreeMap<String, Vec<i32>>,
}

/// The end of a transaction in one partition, whatever its coordinator says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbortTransaction {
    /// Where.
    pub partition: TopicPartition,
    /// The producer.
    pub producer_id: i64,
    /// Its epoch, as [`Admin::describe_producers`] tells.
    pub producer_epoch: i16,
    /// Epoch of the coordinator in whose name it is done; a leader that knows a newer one refuses.
    pub coordinator_epoch: i32,
}

impl AbortTransaction {
    /// The transaction of a producer, as the partition's leader told of it.
    ///
    /// # Errors
    /// [`ClientError::InvalidArgument`] where its epoch is none that a marker can have.
    pub fn of(partition: &TopicPartition, producer: &ProducerState) -> Result<AbortTransaction, ClientError> {
        let impossible = |_| ClientError::InvalidArgument(format!("{} is no producer epoch", producer.producer_epoch));
        Ok(AbortTransaction {
            partition: partition.clone(),
            producer_id: producer.producer_id,
            producer_epoch: i16::try_from(producer.producer_epoch).map_err(impossible)?,
            // No marker has been written for it: any epoch will do (as in Kafka's tool).
            coordinator_epoch: producer.coordinator_epoch.unwrap_or(0),
        })
    }
}

impl Admin {
    /// The transactional ids of all brokers, in their order.
    ///
    /// # Errors
    /// What kept one of the brokers from answering; [`ClientError::InvalidArgument`] for a state that there is none of;
    /// [`ClientError::Unsendable`] where a broker is too old for a filter.
    pub async fn list_transactions(&self, filter: &TransactionFilter) -> Result<Vec<TransactionListing>, ClientError> {
        again!(Tries::brokers(&self.client), async {
            let brokers: Vec<NodeId> = self.client.refreshed(self.client.api_deadline()).await?.brokers.keys().copied().collect();
            let mut listed = BTreeMap::new();
            for broker in brokers {
                let connection = self.client.connection(broker, Purpose::General).await?;
                let version = connection.version::<ListTransactionsRequest<'_>>(i16::MAX)?;
                for (asked, since, what) in [
                    (filter.longer_than.is_some(), BY_DURATION, "how long they have been open"),
                    (filter.id_pattern.is_some(), BY_PATTERN, "a pattern of their ids"),
                ] {
                    if asked && version < since {
                        let cause = format!("broker {broker} is too old to choose transactions by {what}");
                        return Err(ClientError::Unsendable { api: "ListTransactions", cause });
                    }
                }
                let request = ListTransactionsRequest {
                    state_filters: filter.states.iter().map(String::as_str).collect(),
                    producer_id_filters: filter.producer_ids.clone(),
                    duration_filter: filter.longer_than.map_or(-1, |longer| i64::try_from(longer.as_millis()).unwrap_or(i64::MAX)),
                    transactional_id_pattern: filter.id_pattern.as_deref(),
                };
                let answer = connection.submit(&request, version).await?.answer().await?;
                let response: ListTransactionsResponse<'_> = answer.decode()?;
                let code = crate::error::code(response.error_code);
                if code != ErrorCode::None {
                    return Err(ClientError::Refused { subject: format!("transactions of broker {broker}"), code, message: None });
                }
                if let Some(unknown) = response.unknown_state_filters.first() {
                    return Err(ClientError::InvalidArgument(format!("`{unknown}` is no state of a transaction")));
                }
                for state in &response.transaction_states {
                    // One that moves while we ask is told of twice.
                    let listing = TransactionListing {
                        transactional_id: state.transactional_id.to_string(),
                        coordinator: broker,
                        producer_id: state.producer_id,
                        state: state.transaction_state.to_string(),
                    };
                    listed.insert(listing.transactional_id.clone(), listing);
                }
            }
            Ok(listed.into_values().collect())
        })
    }

    /// A transactional id and its transaction.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with TRANSACTIONAL_ID_NOT_FOUND where there is none.
    pub async fn describe_transaction(&self, transactional_id: &str) -> Result<TransactionDescription, ClientError> {
        let key = Key::Transaction(transactional_id);
        again!(Tries::coordinator(&self.client, key, Repeat::Lost), async {
            let (connection, coordinator) = coordinator::connect(&self.client, key).await?;
            let answer = connection.call(&DescribeTransactionsRequest { transactional_ids: vec![transactional_id] }).await?;
            let response: DescribeTransactionsResponse<'_> = answer.decode()?;
            let state = response.transaction_states.first().ok_or_else(|| answer.malformed("no transactional id in it"))?;
            key.check(state.error_code, None)?;
            let mut partitions = Vec::new();
            for data in &state.topics {
                let topic = TopicName::new(&data.topic).map_err(|cause| answer.malformed(cause))?;
                partitions.extend(data.partitions.iter().map(|index| TopicPartition::new(topic.clone(), PartitionId(*index))));
            }
            partitions.sort_unstable();
            Ok(TransactionDescription {
                transactional_id: transactional_id.to_owned(),
                coordinator,
                state: state.transaction_state.to_string(),
                producer_id: state.producer_id,
                producer_epoch: state.producer_epoch,
                timeout_ms: state.transaction_timeout_ms,
                started: Some(TimestampMs(state.transaction_start_time_ms)).filter(|at| at.0 >= 0),
                partitions,
            })
        })
    }

    /// Several of them, in the order in which they are named.
    ///
    /// # Errors
    /// As [`describe_transaction`](Self::describe_transaction), of the first that cannot be described.
    pub async fn describe_transactions(&self, transactional_ids: &[String]) -> Result<Vec<TransactionDescription>, ClientError> {
        let mut described = Vec::with_capacity(transactional_ids.len());
        for id in transactional_ids {
            described.push(self.describe_transaction(id).await?);
        }
        Ok(described)
    }

    /// Waits until nothing of the id's last transaction is left to be done. A commit is answered once it is decided, and only when each
    /// partition has its marker do all readers of committed records see it. Asks again and again, as the cluster does not tell of it.
    ///
    /// # Errors
    /// As [`Admin::describe_transaction`], and [`ClientError::TimedOut`] when it is not done in time.
    pub async fn await_transaction_end(&self, transactional_id: &str) -> Result<TransactionDescription, ClientError> {
        let deadline = self.client.api_deadline();
        let mut looks = 0;
        loop {
            let described = self.describe_transaction(transactional_id).await?;
            if !ENDING.contains(&&*described.state) {
                return Ok(described);
            }
            if Instant::now() >= deadline.at {
                return Err(deadline.passed(format!("the transaction of {transactional_id} is still being ended"), None));
            }
            looks += 1;
            sleep(self.client.backoff().after(looks, random_u32())).await;
        }
    }

    /// Who writes to partitions, as their leaders know, or as `broker` does.
    ///
    /// # Errors
    /// [`ClientError::UnknownTopic`] and [`ClientError::UnknownPartition`], or what kept a leader from answering.
    pub async fn describe_producers(
        &self,
        partitions: &[TopicPartition],
        broker: Option<NodeId>,
    ) -> Result<BTreeMap<TopicPartition, Vec<ProducerState>>, ClientError> {
        let mut missing: BTreeSet<TopicPartition> = partitions.iter().cloned().collect();
        let mut told = BTreeMap::new();
        again!(Tries::brokers(&self.client), async {
            let mut by_node: HashMap<NodeId, Vec<TopicPartition>> = HashMap::new();
            for partition in &missing {
                let node = match broker {
                    Some(broker) => broker,
                    None => self.leader(partition).await?,
                };
                by_node.entry(node).or_default().push(partition.clone());
            }
            // Each broker is asked; the first that could not answer is said, and asked again alone.
            let mut trouble = Ok(());
            for (node, partitions) in by_node {
                trouble = trouble.and(self.producers_of(node, &partitions, &mut missing, &mut told).await);
            }
            trouble
        })?;
        Ok(told)
    }

    async fn leader(&self, partition: &TopicPartition) -> Result<NodeId, ClientError> {
        let name = partition.topic.as_str();
        let topic = self.client.topic(name, false, self.client.api_deadline()).await?;
        if topic.partition(partition.partition.0).is_none() {
            let partitions = topic.partitions.len();
            return Err(ClientError::UnknownPartition { topic: name.to_owned(), partition: partition.partition.0, partitions });
        }
        let none = || ClientError::Refused { subject: partition.to_string(), code: ErrorCode::LeaderNotAvailable, message: None };
        topic.leader(partition.partition.0).map(|(leader, _)| leader).ok_or_else(none)
    }

    async fn producers_of(
        &self,
        node: NodeId,
        partitions: &[TopicPartition],
        missing: &mut BTreeSet<TopicPartition>,
        told: &mut BTreeMap<TopicPartition, Vec<ProducerState>>,
    ) -> Result<(), ClientError> {
        let connection = self.client.connection(node, Purpose::General).await?;
        let topics = by_topic(partitions.iter().map(|partition| (partition, ())));
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| TopicRequest { name, partition_indexes: partitions.into_iter().map(|(index, ())| index).collect() });
        let answer = connection.call(&DescribeProducersRequest { topics: topics.collect() }).await?;
        let response: DescribeProducersResponse<'_> = answer.decode()?;
        let mut trouble = Ok(());
        for partition in partitions {
            let found = response
                .topics
                .iter()
                .find(|topic| topic.name == partition.topic.as_str())
                .and_then(|topic| topic.partitions.iter().find(|found| found.partition_index == partition.partition.0))
                .ok_or_else(|| answer.malformed(format!("nothing about {partition}")))?;
            let code = crate::error::code(found.error_code);
            if code != ErrorCode::None {
                let message = found.error_message.as_ref().map(ToString::to_string);
                trouble = trouble.and(Err(ClientError::Refused { subject: partition.to_string(), code, message }));
                continue;
            }
            let producers = found.active_producers.iter().map(|producer| ProducerState {
                producer_id: producer.producer_id,
                producer_epoch: producer.producer_epoch,
                last_sequence: Some(producer.last_sequence).filter(|sequence| *sequence >= 0),
                last_timestamp: Some(TimestampMs(producer.last_timestamp)).filter(|at| at.0 >= 0),
                coordinator_epoch: Some(producer.coordinator_epoch).filter(|epoch| *epoch >= 0),
                transaction_start: Some(Offset(producer.current_txn_start_offset)).filter(|offset| offset.0 >= 0),
            });
            told.insert(partition.clone(), producers.collect());
            missing.remove(partition);
        }
        trouble
    }

    /// The transaction that begins at an offset of a partition, to be aborted.
    ///
    /// # Errors
    /// [`ClientError::InvalidArgument`] where none is open from there. As [`describe_producers`](Self::describe_producers).
    pub async fn transaction_at(&self, partition: &TopicPartition, start: Offset) -> Result<AbortTransaction, ClientError> {
        let told = self.describe_producers(std::slice::from_ref(partition), None).await?;
        let producer = told.values().flatten().find(|producer| producer.transaction_start == Some(start));
        let none = || ClientError::InvalidArgument(format!("no open transaction of {partition} begins at offset {start}"));
        AbortTransaction::of(partition, producer.ok_or_else(none)?)
    }

    /// Has a partition's leader write that a transaction is aborted, past its coordinator: only for one that hangs.
    ///
    /// # Errors
    /// [`ClientError::Refused`]: INVALID_PRODUCER_EPOCH where the producer has another epoch, TRANSACTION_COORDINATOR_FENCED where
    /// a newer coordinator has written to the partition.
    pub async fn abort_transaction(&self, abort: &AbortTransaction) -> Result<(), ClientError> {
        again!(Tries::brokers(&self.client), async {
            let leader = self.leader(&abort.partition).await?;
            let connection = self.client.connection(leader, Purpose::General).await?;
            let topic =
                WritableTxnMarkerTopic { name: abort.partition.topic.as_str(), partition_indexes: vec![abort.partition.partition.0] };
            let marker = WritableTxnMarker {
                producer_id: abort.producer_id,
                producer_epoch: abort.producer_epoch,
                transaction_result: false,
                topics: vec![topic],
                coordinator_epoch: abort.coordinator_epoch,
                // By the old rules, as nobody raised the epoch for this end.
                transaction_version: 0,
            };
            let answer = connection.call(&WriteTxnMarkersRequest { markers: vec![marker] }).await?;
            let response: WriteTxnMarkersResponse<'_> = answer.decode()?;
            let results = response.markers.iter().flat_map(|marker| &marker.topics).flat_map(|topic| &topic.partitions);
            let result = results.into_iter().next().ok_or_else(|| answer.malformed("no partition in it"))?;
            match crate::error::code(result.error_code) {
                ErrorCode::None => Ok(()),
                code => {
                    let subject = format!("transaction of producer {} in {}", abort.producer_id, abort.partition);
                    Err(ClientError::Refused { subject, code, message: None })
                }
            }
        })
    }

    /// The transactions that have been open for longer than any may be (`max_timeout`: the brokers' `transaction.max.timeout.ms`),
    /// and that no coordinator knows to be open there.
    ///
    /// # Errors
    /// As [`describe_producers`](Self::describe_producers), [`list_transactions`](Self::list_transactions) and
    /// [`describe_transactions`](Self::describe_transactions).
    pub async fn find_hanging(&self, scope: &HangingScope, max_timeout: Duration) -> Result<Vec<HangingTransaction>, ClientError> {
        let partitions = self.partitions_in(scope).await?;
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        let before_ms = now_ms.saturating_sub(i64::try_from(max_timeout.as_millis()).unwrap_or(i64::MAX));
        let mut open = Vec::new();
        for (partition, producers) in self.describe_producers(&partitions, scope.broker).await? {
            for producer in producers {
                if let Some(start) = producer.transaction_start
                    && producer.last_timestamp.is_none_or(|at| at.0 <= before_ms)
                {
                    open.push(HangingTransaction { partition: partition.clone(), producer, start });
                }
            }
        }
        if open.is_empty() {
            return Ok(open);
        }
        let ids: BTreeSet<i64> = open.iter().map(|open| open.producer.producer_id).collect();
        let filter = TransactionFilter { producer_ids: ids.into_iter().collect(), ..TransactionFilter::default() };
        let mut known: HashMap<i64, BTreeSet<TopicPartition>> = HashMap::new();
        for listed in self.list_transactions(&filter).await? {
            match self.describe_transaction(&listed.transactional_id).await {
                Ok(described) => known.entry(described.producer_id).or_default().extend(described.partitions),
                // Forgotten since it was listed.
                Err(error) if error.code() == Some(ErrorCode::TransactionalIdNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        open.retain(|open| known.get(&open.producer.producer_id).is_none_or(|partitions| !partitions.contains(&open.partition)));
        Ok(open)
    }

    async fn partitions_in(&self, scope: &HangingScope) -> Result<Vec<TopicPartition>, ClientError> {
        let topics = if scope.topics.is_empty() {
            self.list_topics().await?
        } else {
            let mut topics = Vec::new();
            for name in scope.topics.keys() {
                topics.push(self.describe_topic(name).await?);
            }
            topics
        };
        let mut all = Vec::new();
        for topic in topics {
            let name = TopicName::new(&topic.name).map_err(|cause| ClientError::InvalidArgument(cause.to_string()))?;
            let wanted = scope.topics.get(&topic.name).map_or(&[][..], Vec::as_slice);
            if let Some(missing) = wanted.iter().find(|wanted| !topic.partitions.iter().any(|info| info.partition.0 == **wanted)) {
                return Err(ClientError::UnknownPartition { topic: topic.name, partition: *missing, partitions: topic.partitions.len() });
            }
            let chosen = topic.partitions.iter().filter(|info| wanted.is_empty() || wanted.contains(&info.partition.0));
            let chosen = chosen.filter(|info| scope.broker.is_none_or(|broker| info.replicas.contains(&broker)));
            all.extend(chosen.map(|info| TopicPartition::new(name.clone(), info.partition)));
        }
        Ok(all)
    }
}
