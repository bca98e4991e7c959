//! [`Producer`]: sends records, many at a time, in order, none twice.
//!
//! This file is the handle: it holds back senders while memory is short, and appends. What is sent when is decided in
//! `accumulator` (pure), carried out in `sender`.

mod accumulator;
#[cfg(test)]
mod accumulator_tests;
mod batch;
mod coordinator;
mod outcome;
pub mod partitioner;
mod scope;
mod sender;
mod transaction;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ottla_model::TimestampMs;
use ottla_wire::batch::Header;
use parking_lot::Mutex;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};

pub use outcome::{Delivery, RecordMetadata};
pub use transaction::Transaction;

use crate::backoff::random_u32;
use crate::client::Deadline;
use crate::{Client, ClientError, ProducerConfig};
use accumulator::{Accumulator, Appended, Input, Limits};
use transaction::Transactions;

/// A record to send. Borrows everything: the bytes are copied once, into their batch.
///
/// ```
/// use ottla_client::{Header, Record};
/// let record = Record::to("orders").key(b"customer-7").value(b"{\"total\": 12}").headers(&[]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Record<'r> {
    topic: &'r str,
    partition: Option<i32>,
    key: Option<&'r [u8]>,
    value: Option<&'r [u8]>,
    headers: &'r [Header<'r>],
    timestamp: Option<TimestampMs>,
}

impl<'r> Record<'r> {
    /// An empty record (no key, null value) for a topic.
    pub fn to(topic: &'r str) -> Record<'r> {
        Record { topic, partition: None, key: None, value: None, headers: &[], timestamp: None }
    }

    /// Records of one key go to one partition, the same as the Java client's.
    #[must_use]
    pub fn key(mut self, key: &'r [u8]) -> Record<'r> {
        self.key = Some(key);
        self
    }

    /// The content. Without it the value is null: in a compacted topic, the deletion of the key.
    #[must_use]
    pub fn value(mut self, value: &'r [u8]) -> Record<'r> {
        self.value = Some(value);
        self
    }

    /// Headers, in order; keys may repeat.
    #[must_use]
    pub fn headers(mut self, headers: &'r [Header<'r>]) -> Record<'r> {
        self.headers = headers;
        self
    }

    /// The partition, whatever the key says.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Record<'r> {
        self.partition = Some(partition);
        self
    }

    /// The record's time in milliseconds since 1970; without it, now.
    #[must_use]
    pub fn timestamp_ms(mut self, timestamp_ms: i64) -> Record<'r> {
        self.timestamp = Some(TimestampMs(timestamp_ms));
        self
    }
}

/// Sends records to the leaders of their partitions. Cheap to clone; all clones share batches and memory.
///
/// ```no_run
/// use ottla_client::{Client, ClientConfig, Producer, ProducerConfig, Record};
/// # async fn example() -> Result<(), ottla_client::ClientError> {
/// let client = Client::connect(ClientConfig::new("localhost:9092")).await?;
/// let producer = Producer::new(&client, ProducerConfig::default())?;
///
/// // One record, acknowledged:
/// let written = producer.send(Record::to("logs").key(b"web-1").value(b"started")).await?;
/// println!("partition {} offset {:?}", written.partition, written.offset);
///
/// // Many, without waiting for each:
/// for n in 0..1000 {
///     let delivery = producer.enqueue(Record::to("logs").value(format!("line {n}").as_bytes())).await?;
///     tokio::spawn(async move {
///         if let Err(error) = delivery.await {
///             eprintln!("lost: {error}");
///         }
///     });
/// }
/// producer.flush().await;
/// producer.close(std::time::Duration::from_secs(10)).await?;
/// # Ok(()) }
/// ```
///
/// When the last clone is dropped, what is queued is still sent, as long as the runtime lives; call
/// [`close`](Self::close) to wait for it.
#[derive(Clone, Debug)]
pub struct Producer {
    shared: Arc<Shared>,
    /// The sender's tasks end once nothing is queued and no clone is left.
    _alive: Arc<watch::Sender<()>>,
    ended: Arc<tokio::sync::Mutex<mpsc::Receiver<()>>>,
}

#[derive(Debug)]
struct Shared {
    client: Client,
    config: ProducerConfig,
    accumulator: Mutex<Accumulator>,
    /// `buffer.memory`, a permit a byte.
    memory: Semaphore,
    /// Something to look at: new batches, answers, a producer id, a flush.
    wake: Notify,
    /// With a `transactional.id`.
    transactions: Option<Transactions>,
    /// How many have begun.
    transactions_begun: AtomicU64,
}

impl Producer {
    /// A producer on `client`'s cluster. Nothing is sent yet but, with idempotence, the request for a producer id.
    ///
    /// # Errors
    /// [`ClientError::InvalidProperty`] where settings contradict each other. To be called within a tokio runtime.
    pub fn new(client: &Client, config: ProducerConfig) -> Result<Producer, ClientError> {
        config.validate(client.config())?;
        let limits = Limits {
            batch_size_bytes: config.batch_size as usize,
            linger: Duration::from_millis(config.linger_ms.into()),
            delivery_timeout: Duration::from_millis(config.delivery_timeout_ms.into()),
            retries: config.retries,
            backoff: client.backoff(),
            compression: config.compression_type,
            idempotent: config.idempotent(),
            transactional: config.transactional_id.is_some(),
            request_max_bytes: config.max_request_size as usize,
            in_flight_requests_max: config.max_in_flight_requests_per_connection as usize,
        };
        let shared = Arc::new(Shared {
            client: client.clone(),
            memory: Semaphore::new(config.buffer_memory as usize),
            transactions: Transactions::new(client, &config),
            transactions_begun: AtomicU64::new(0),
            config,
            accumulator: Mutex::new(Accumulator::new(limits)),
            wake: Notify::new(),
        });
        let (alive, gone) = watch::channel(());
        let (ending, ended) = mpsc::channel(1);
        tokio::spawn(sender::run(shared.clone(), gone, ending));
        Ok(Producer { shared, _alive: Arc::new(alive), ended: Arc::new(tokio::sync::Mutex::new(ended)) })
    }

    /// Sends a record and waits for its acknowledgement (`acks`). Calls from several tasks share batches.
    ///
    /// # Errors
    /// Whatever kept the record from being acknowledged; see [`ClientError`].
    pub async fn send(&self, record: Record<'_>) -> Result<RecordMetadata, ClientError> {
        self.enqueue(record).await?.await
    }

    /// Queues a record; the returned future is its acknowledgement. Waits only while metadata or memory is missing, at
    /// most `max.block.ms`. Records of one partition are written in the order in which they were queued. With a
    /// `transactional.id` records go by [`begin`](Self::begin) only.
    pub async fn enqueue(&self, record: Record<'_>) -> Result<Delivery, ClientError> {
        if self.shared.transactions.is_some() {
            return Err(scope::Scope::missing());
        }
        self.shared.enqueue(record).await
    }

    /// Sends all that is queued and waits until each record is acknowledged or has failed.
    pub async fn flush(&self) {
        let _hurry = Hurry::new(&self.shared);
        let undecided = self.shared.accumulator.lock().undecided();
        self.shared.wake.notify_one();
        for outcome in undecided {
            outcome::decided(outcome).await;
        }
    }

    /// Takes no more records, sends what is queued, and fails what is not acknowledged within `wait`.
    ///
    /// # Errors
    /// [`ClientError::TimedOut`] when something was left over; the records' own futures say which.
    pub async fn close(&self, wait: Duration) -> Result<(), ClientError> {
        self.shared.accumulator.lock().close();
        let flushed = timeout(wait, self.flush()).await;
        let released = self.shared.accumulator.lock().fail_all(&ClientError::Closed("producer"));
        self.shared.release(Some(released));
        self.shared.wake.notify_one();
        if flushed.is_ok() {
            // The sender says goodbye by dropping its end. What is out beyond the time allowed is not waited for.
            while self.ended.lock().await.recv().await.is_some() {}
        }
        flushed.map_err(|_| ClientError::TimedOut {
            what: "the producer did not get all its records acknowledged".to_owned(),
            waited_ms: wait.as_millis() as u64,
            property: "close",
            last: None,
        })
    }
}

impl Shared {
    async fn enqueue(&self, record: Record<'_>) -> Result<Delivery, ClientError> {
        let timestamp = record.timestamp.unwrap_or_else(now);
        let input = Input { partition: record.partition, key: record.key, value: record.value, headers: record.headers, timestamp };
        let mut deadline = None;
        let topic = match self.client.known_topic(record.topic) {
            Some(topic) => topic,
            None => {
                let deadline = *deadline.get_or_insert_with(|| self.block_deadline());
                self.client.topic(record.topic, self.config.allow_auto_create_topics, deadline).await?
            }
        };
        let mut reserved = None;
        loop {
            let appended = self.accumulator.lock().append(&topic, input, &mut reserved, Instant::now(), random_u32);
            let bytes = match appended {
                Ok(Appended::Queued { delivery, wake }) => {
                    self.release(reserved);
                    if wake {
                        self.wake.notify_one();
                    }
                    return Ok(delivery);
                }
                Ok(Appended::NeedsMemory { bytes }) => bytes,
                Err(error) => {
                    self.release(reserved);
                    return Err(error);
                }
            };
            self.release(reserved.take());
            let deadline = *deadline.get_or_insert_with(|| self.block_deadline());
            self.reserve(bytes, deadline).await?;
            reserved = Some(bytes);
        }
    }

    fn transactions(&self) -> Result<&Transactions, ClientError> {
        let transactions = self.transactions.as_ref();
        transactions.ok_or_else(|| ClientError::InvalidArgument("transactional.id is not set: transactions need it".to_owned()))
    }

    fn next_transaction(&self) -> u64 {
        self.transactions_begun.fetch_add(1, Ordering::Relaxed)
    }

    /// The open transaction can only be aborted.
    fn fail_transaction(&self, error: &ClientError) {
        let released = self.accumulator.lock().fail_transaction(error);
        self.release(Some(released));
        self.wake.notify_one();
    }

    /// Nothing is sent any more.
    fn fail_all(&self, error: &ClientError) {
        let released = self.accumulator.lock().fail_all(error);
        self.release(Some(released));
        self.wake.notify_one();
    }

    fn block_deadline(&self) -> Deadline {
        Deadline::after(self.config.max_block_ms, "max.block.ms")
    }

    /// Takes bytes from the buffer memory, in turn, waiting until `deadline`.
    async fn reserve(&self, bytes: u32, deadline: Deadline) -> Result<(), ClientError> {
        if u64::from(bytes) > self.config.buffer_memory {
            let max_bytes = self.config.buffer_memory;
            return Err(ClientError::RecordTooLarge { len_bytes: bytes as usize, max_bytes, property: "buffer.memory" });
        }
        let permit = match self.memory.try_acquire_many(bytes) {
            Ok(permit) => permit,
            Err(_) => {
                // Whatever is gathered goes out at once, to make room.
                let _hurry = Hurry::new(self);
                let acquired = timeout_at(deadline.at, self.memory.acquire_many(bytes)).await;
                acquired
                    .map_err(|_| deadline.passed(format!("buffer.memory={} had no room", self.config.buffer_memory), None))?
                    .map_err(|_| ClientError::Closed("producer"))?
            }
        };
        permit.forget();
        Ok(())
    }

    fn release(&self, bytes: Option<u32>) {
        if let Some(bytes) = bytes.filter(|bytes| *bytes > 0) {
            self.memory.add_permits(bytes as usize);
        }
    }
}

/// While it lives, no batch lingers.
struct Hurry<'s>(&'s Shared);

impl<'s> Hurry<'s> {
    fn new(shared: &'s Shared) -> Hurry<'s> {
        shared.accumulator.lock().hurry();
        shared.wake.notify_one();
        Hurry(shared)
    }
}

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.accumulator.lock().unhurry();
    }
}

fn now() -> TimestampMs {
    TimestampMs(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64))
}
