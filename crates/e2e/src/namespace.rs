//! A network of its own for one test, where well-known ports are free.

use std::net::TcpListener;
use std::process::Command;

use crate::process::run;

/// Moves the calling thread, and every process it starts from now on, into a new network with only a loopback.
///
/// A test that needs a fixed port calls this first. Where a new network is not allowed (it takes root), the machine's
/// own is used, and `port` must be free there.
pub fn isolate_or_claim(port: u16) {
    // SAFETY: unshare takes no pointers. It moves this thread alone; it owns no sockets yet.
    if unsafe { libc::unshare(libc::CLONE_NEWNET) } == 0 {
        run(Command::new("ip").args(["link", "set", "lo", "up"])).ok();
        return;
    }
    let why = std::io::Error::last_os_error();
    let free = TcpListener::bind(("127.0.0.1", port));
    assert!(free.is_ok(), "port {port} is taken ({:?}), and no network of its own can be made: {why}", free.err());
}
