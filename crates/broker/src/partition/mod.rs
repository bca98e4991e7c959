//! The partitions this broker holds: their logs, what is durable of them, and who waits for them.
//!
//! [`Partition`] is the only owner of its log; the log's lock is held for one append or one lookup, never across a sync or an await.
//! [`PartitionManager`] finds partitions and follows the metadata image. Knows nothing of requests or sockets.

mod apart;
mod backlog;
mod checkpoints;
mod cleaner;
mod errors;
mod folders;
mod load;
mod log_dir;
mod log_starts;
mod maintenance;
mod manager;
mod opening;
#[cfg(test)]
mod opening_tests;
mod removal;
mod replica;
mod room;
#[cfg(test)]
mod room_tests;
mod scrub;
mod settings;
mod syncer;
#[cfg(test)]
mod tests;
mod transactional;
mod watch;
#[cfg(test)]
mod watch_tests;

pub use apart::SLOW_REQUESTS_MAX;
pub use backlog::UNSYNCED_BYTES_MAX;
pub use errors::{DeleteRecordsError, NotServing, append_error_code, delete_records_error_code, log_error_code, read_error_code};
pub use load::{LogDirSpec, PartitionStartError};
pub use log_dir::LogDir;
pub use log_starts::keep_log_starts;
pub use manager::{DirectoryChoice, PartitionManager, Topic, Topics};
pub use replica::{AppendOptions, Isolation, Leadership, Partition, PartitionRead, Watermarks};
pub use room::{LOOK_BYTES_MAX, LOOK_INTERVAL_MS, RESERVE_BYTES_MAX};
pub use scrub::{SCRUB_BYTES_PER_SECOND_MAX, SCRUB_INTERVAL, SCRUB_START_DELAY};
pub use settings::{TopicSettings, log_config};
pub use syncer::{BACKGROUND_BYTES_MAX, BACKGROUND_DELAY, SYNC_THREADS_MAX};

#[cfg(test)]
pub(crate) use watch::Watcher;
pub(crate) use watch::{Alarm, Call, Calls};
pub use watch::{HUNG_LOOKS, LOOK_INTERVAL, LOST_LOOKS, SLOW_LOOKS};

use syncer::Syncer;
