//! The library's end of the channel to the relay, which `latentlab kernel` runs between Jupyter and the Rust kernel.
//!
//! The channel is a socket of its own, so that nothing a cell prints can be taken for a message of the library. Without
//! a relay (in a stock kernel, in a program, on Windows) there is no channel, and nothing here has any effect.

#[cfg(unix)]
mod cell_loop;
#[cfg_attr(not(unix), allow(dead_code))]
pub(crate) mod protocol;
#[cfg(unix)]
mod socket;

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

#[cfg(unix)]
pub(crate) use self::cell_loop::{serve, tell_kernel};
#[cfg(unix)]
pub(crate) use self::socket::{is_open, receive_widgets_with, send, send_aside, stop_requested};

#[cfg(not(unix))]
mod none {
    pub(crate) fn serve() {}

    pub(crate) fn tell_kernel(_: &str) -> bool {
        false
    }

    pub(crate) fn is_open() -> bool {
        false
    }

    pub(crate) fn send(_: &serde_json::Value) {}

    pub(crate) fn send_aside(_: &serde_json::Value) {}

    pub(crate) fn receive_widgets_with(_: fn(&serde_json::Value)) {}

    pub(crate) fn stop_requested() -> bool {
        false
    }
}
#[cfg(not(unix))]
pub(crate) use self::none::{is_open, receive_widgets_with, send, send_aside, serve, stop_requested, tell_kernel};

/// While it exists, Jupyter's stop button stops the run instead of interrupting the kernel.
#[derive(Debug)]
pub(crate) struct Stoppable(());

impl Stoppable {
    pub fn begin() -> Self {
        send(&json!({ "listens": true }));
        Self(())
    }
}

impl Drop for Stoppable {
    fn drop(&mut self) {
        send(&json!({ "listens": false }));
    }
}

/// Whether the cell that runs has [asked for the stop button](listen_until_the_cell_ends).
static LISTENS: AtomicBool = AtomicBool::new(false);

/// Until the present cell ends, Jupyter's stop button sets the stop request instead of interrupting the kernel.
pub(crate) fn listen_until_the_cell_ends() {
    if !LISTENS.swap(true, Ordering::Relaxed) {
        send(&json!({ "listens": true }));
    }
}

/// The end of a cell.
#[cfg(unix)]
fn cell_ends() {
    if LISTENS.swap(false, Ordering::Relaxed) {
        send(&json!({ "listens": false }));
    }
}
