//! Loopback ports that no other test has: held by a lock on a file for as long as their owner lives.
//!
//! Asking the kernel for a free port and giving it back loses it now and then to an outgoing connection or to another
//! test. These lie below the range that outgoing connections use.

use std::fs::{self, File};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU16, Ordering};

const FIRST: u16 = 20_000;
const COUNT: u16 = 10_000;

/// A port of 127.0.0.1 that is this owner's until it is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes one that is free.
    pub fn take() -> Self {
        // Each process starts elsewhere, so that they rarely try the same.
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let start = (std::process::id() as u16).wrapping_mul(37);
        let dir = std::env::temp_dir().join("ottla-e2e-ports");
        fs::create_dir_all(&dir).expect("the folder of port locks can be made");
        for _ in 0..COUNT {
            let number = FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
            let file = File::create(dir.join(number.to_string())).expect("a port lock can be made");
            if file.try_lock().is_ok() && TcpListener::bind(("127.0.0.1", number)).is_ok() {
                return Port { number, _lock: file };
            }
        }
        panic!("no port is free in {FIRST}..{}", FIRST + COUNT);
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}
