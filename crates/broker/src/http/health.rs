//! Whether the node works, and whether it serves.

use std::time::Duration;

use super::NodeState;
use crate::metrics::PartitionCounts;

/// How long the network threads may take to do nothing. They are never busy with one thing for so long, whatever a disk does.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(5);

impl NodeState {
    /// Whether controller and network threads go on; if not, why.
    pub async fn live(&self) -> Result<(), String> {
        // While it starts there is nothing that could have stopped: a start that fails ends the process.
        let Some(node) = self.node.load_full() else { return Ok(()) };
        node.broker.controller.is_running()?;
        match tokio::time::timeout(ANSWER_WAIT_MAX, self.network.spawn(async {})).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err("the network threads have ended".to_owned()),
            Err(_) => Err(format!("the network threads have done nothing for {ANSWER_WAIT_MAX:?}")),
        }
    }

    /// Whether all that this node leads is served; if not, why.
    pub fn ready(&self) -> Result<(), String> {
        use std::sync::atomic::Ordering;
        if self.stopping.load(Ordering::Acquire) {
            return Err("the node is stopping".to_owned());
        }
        let Some(node) = self.node.load_full() else { return Err("the node is starting".to_owned()) };
        if !self.registered.load(Ordering::Acquire) {
            return Err("the node is not registered with the controller yet".to_owned());
        }
        node.broker.controller.is_running()?;
        let PartitionCounts { led, following: _, opening, offline, unserved } = node.broker.partition_counts();
        match unserved {
            None => Ok(()),
            Some(example) => Err(format!(
                "of the partitions here {opening} are being opened and {offline} are offline, {example} among them; {led} are led and served"
            )),
        }
    }
}
