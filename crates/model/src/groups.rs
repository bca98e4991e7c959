//! The texts that name groups and their members. Any text is allowed: what a broker refuses, it refuses where it is asked.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

macro_rules! text_ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// From its text.
            pub fn new(text: &str) -> $name { $name(text.into()) }
            /// The text.
            pub fn as_str(&self) -> &str { &self.0 }
            /// Whether it names nothing.
            pub fn is_empty(&self) -> bool { self.0.is_empty() }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> $name { $name::new(text) }
        }
        impl Borrow<str> for $name {
            fn borrow(&self) -> &str { &self.0 }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str(&self.0) }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { write!(f, "{:?}", &*self.0) }
        }
    )*};
}

text_ids! {
    /// `group.id`. Cheap to clone.
    GroupId;
    /// Names one process in a group. Drawn by the coordinator (classic groups) or by the member itself (KIP-1082). Empty: none yet.
    MemberId;
    /// `group.instance.id`: names a member beyond the life of its process (KIP-345).
    InstanceId;
}
