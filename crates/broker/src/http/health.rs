//! Whether the node works, and whether it serves.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;

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
        goes_on(&self.network).await
    }

    /// Whether all that this node leads is served; if not, why.
    pub fn ready(&self) -> Result<(), String> {
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

/// Whether the threads of a runtime take up work; if not, why.
async fn goes_on(network: &Handle) -> Result<(), String> {
    match tokio::time::timeout(ANSWER_WAIT_MAX, network.spawn(async {})).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) => Err("the network threads have ended".to_owned()),
        Err(_) => Err(format!("the network threads have done nothing for {ANSWER_WAIT_MAX:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_are_all_held_up_are_not_alive() {
        let network = tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let handle = network.handle().clone();
        let health = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (began, begun) = std::sync::mpsc::channel();
        let holder = network.spawn(async move {
            began.send(()).unwrap();
            // Ends when the other end is dropped.
            let _ = held.recv();
        });
        begun.recv().unwrap();
        // Its clock goes on by itself while it waits.
        assert!(health.block_on(goes_on(&handle)).unwrap_err().contains("done nothing"));
        drop(hold);
        network.block_on(holder).unwrap();
        let unpaused = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        assert_eq!(unpaused.block_on(goes_on(&handle)), Ok(()));
        drop(network);
        assert!(unpaused.block_on(goes_on(&handle)).unwrap_err().contains("ended"));
    }
}
