//! A consumer group (KIP-848): its members tell what they subscribe to, and the coordinator assigns.

mod assign;
