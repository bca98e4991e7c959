//! A replicated log as its leaders see it: what is committed stays, what is not may be lost by an election. Owns the high watermark and the
//! leader epoch; does not know how followers come by their copies.

/// The nodes of the cluster, by number.
pub(crate) type Node = usize;

/// What every log has, whatever is in it.
pub(crate) trait Replicated {
    fn end(&self) -> usize;
    fn high_watermark(&self) -> usize;
    fn epoch(&self) -> i32;
    fn leader(&self) -> Node;
    fn leader_before(&self) -> Node;
    /// All in-sync replicas have what is below `end`. Gives whether that was news.
    fn commit(&mut self, epoch: i32, end: usize) -> bool;
    /// An in-sync replica that has so much of the log leads from now on.
    fn elect(&mut self, leader: Node, end: usize);
}

/// One log.
#[derive(Debug)]
pub(crate) struct Log<T> {
    entries: Vec<T>,
    high_watermark: usize,
    epoch: i32,
    leader: Node,
    leader_before: Node,
}

impl<T> Log<T> {
    pub fn new(leader: Node) -> Log<T> {
        Log { entries: Vec::new(), high_watermark: 0, epoch: 0, leader, leader_before: leader }
    }

    pub fn entries(&self) -> &[T] {
        &self.entries
    }

    /// Gives the offset behind it. `None`: who appends does not lead any more. It may not know, and append to its own copy; no follower
    /// takes that, so that it is never committed.
    pub fn append(&mut self, epoch: i32, entry: T) -> Option<usize> {
        if epoch != self.epoch {
            return None;
        }
        self.entries.push(entry);
        Some(self.entries.len())
    }
}

impl<T> Replicated for Log<T> {
    fn end(&self) -> usize {
        self.entries.len()
    }

    fn high_watermark(&self) -> usize {
        self.high_watermark
    }

    fn epoch(&self) -> i32 {
        self.epoch
    }

    fn leader(&self) -> Node {
        self.leader
    }

    fn leader_before(&self) -> Node {
        self.leader_before
    }

    fn commit(&mut self, epoch: i32, end: usize) -> bool {
        let is_news = epoch == self.epoch && end > self.high_watermark && end <= self.entries.len();
        if is_news {
            self.high_watermark = end;
        }
        is_news
    }

    fn elect(&mut self, leader: Node, end: usize) {
        self.entries.truncate(end.max(self.high_watermark));
        self.epoch += 1;
        self.leader_before = self.leader;
        self.leader = leader;
    }
}
