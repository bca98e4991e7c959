//! The inboxes of coordinators, and the room that all of one kind share. Owns the bound on what waits in them; knows nothing of what it says.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Unanswered;

/// Bytes of messages that may wait at a time, for all coordinators of a kind. A larger one may when it is alone.
pub(super) const ROOM_BYTES: usize = 64 * 1024 * 1024;
/// What a message counts for at least, as each costs more than its bytes.
const MESSAGE_BYTES_MIN: usize = 256;

/// Room for what waits. Cheap to clone.
#[derive(Clone)]
pub(super) struct Room {
    bytes: u32,
    left: Arc<Semaphore>,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Room {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        Room { bytes, left: Arc::new(Semaphore::new(bytes as usize)) }
    }
}

/// Where messages go.
pub(super) struct Sender<T> {
    room: Room,
    messages: mpsc::UnboundedSender<(T, OwnedSemaphorePermit)>,
}

/// Where they come from.
pub(super) struct Inbox<T>(mpsc::UnboundedReceiver<(T, OwnedSemaphorePermit)>);

/// An inbox in this room.
pub(super) fn inbox<T>(room: &Room) -> (Sender<T>, Inbox<T>) {
    // Bounded by the room.
    let (messages, receiver) = mpsc::unbounded_channel();
    (Sender { room: room.clone(), messages }, Inbox(receiver))
}

impl<T> Sender<T> {
    /// Puts a message of so many bytes in, if there is room; it is lost if not.
    pub(super) fn send(&self, message: T, size_bytes: usize) -> Result<(), Unanswered> {
        let bytes = u32::try_from(size_bytes.max(MESSAGE_BYTES_MIN)).unwrap_or(u32::MAX).min(self.room.bytes);
        let permit = Arc::clone(&self.room.left).try_acquire_many_owned(bytes).map_err(|_full| Unanswered::Crowded)?;
        self.messages.send((message, permit)).map_err(|_gone| Unanswered::NotCoordinator)
    }
}

impl<T> Inbox<T> {
    /// The next message, whose room is free from now on. `None`: no more will come.
    pub(super) async fn recv(&mut self) -> Option<T> {
        self.0.recv().await.map(|(message, _room)| message)
    }

    /// The same, if there is one.
    pub(super) fn try_recv(&mut self) -> Option<T> {
        self.0.try_recv().ok().map(|(message, _room)| message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_finds_no_room_is_refused_until_a_message_is_taken() {
        let room = Room::new(1000);
        let ((first, mut taken), (second, _kept)) = (inbox::<u8>(&room), inbox::<u8>(&room));
        assert_eq!(first.send(1, 600), Ok(()));
        assert_eq!(second.send(2, 500), Err(Unanswered::Crowded), "the room is one for all");
        assert_eq!(second.send(3, 1), Ok(()), "a small one fits in");
        assert_eq!(first.send(4, 1), Err(Unanswered::Crowded), "and counts for more than its byte");
        assert_eq!(taken.recv().await, Some(1));
        assert_eq!(first.send(5, 600), Ok(()));
        assert_eq!((taken.try_recv(), taken.try_recv()), (Some(5), None));
        drop(second);
    }

    #[tokio::test]
    async fn a_message_larger_than_the_room_may_wait_alone_and_what_is_not_taken_gives_its_room_back() {
        let room = Room::new(1000);
        let (sender, inbox_of) = inbox::<u8>(&room);
        assert_eq!(sender.send(1, 5000), Ok(()));
        assert_eq!(sender.send(2, 1), Err(Unanswered::Crowded));
        drop(inbox_of);
        assert_eq!(sender.send(3, 1), Err(Unanswered::NotCoordinator));
        assert_eq!(room.left.available_permits(), 1000);
    }
}
