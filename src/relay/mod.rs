//! What the library tells the relay between Jupyter and the kernel (`latentlab kernel`), and hears from it.
//!
//! They have a socket of their own ([`channel`]): nothing that a cell prints can be taken for a message of the library. Without a relay
//! (a stock kernel, a program, Windows) there is no channel, and nothing here does anything.

#[cfg(unix)]
mod cells;
#[cfg(unix)]
mod channel;

use serde_json::json;

#[cfg(unix)]
pub(crate) use self::cells::{mark, serve};
#[cfg(unix)]
pub(crate) use self::channel::{is_there, tell, wants_a_stop};

#[cfg(not(unix))]
mod none {
    pub(crate) fn serve() {}

    pub(crate) fn mark(_: &str) -> bool {
        false
    }

    pub(crate) fn is_there() -> bool {
        false
    }

    pub(crate) fn tell(_: &serde_json::Value) {}

    pub(crate) fn wants_a_stop() -> bool {
        false
    }
}
#[cfg(not(unix))]
pub(crate) use self::none::{is_there, mark, serve, tell, wants_a_stop};

/// As long as it lives, the stop button ends what runs instead of the kernel.
#[derive(Debug)]
pub(crate) struct Listening(());

impl Listening {
    pub fn begin() -> Self {
        tell(&json!({ "listens": true }));
        Self(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        tell(&json!({ "listens": false }));
    }
}

/// The kinds of frame that go through the channel: a byte for the kind, four for the length (little-endian), the content.
#[doc(hidden)]
pub mod frame {
    /// To the relay: what was printed.
    pub const STDOUT: u8 = b'o';
    pub const STDERR: u8 = b'e';
    /// To the relay: JSON. `{"content": …}` is a message `display_data`, with `"update": true` an `update_display_data`; `{"listens": true}` says
    /// that a run begins that can be stopped, `false` that it has ended; `{"shown": text}` that the value whose `Debug` says this text has been shown.
    pub const MESSAGE: u8 = b'm';
    /// To the relay: everything that was printed before the question has been sent.
    pub const SYNCED: u8 = b'y';

    /// To the cells, one byte each: whether everything printed has been sent; what runs is to stop; or no longer.
    pub const SYNC: u8 = b'y';
    pub const STOP: u8 = b's';
    pub const GO_ON: u8 = b'g';
    /// The variable that holds the number of the inherited socket through which the cells' process hands its ends of the channel to the relay.
    pub const VARIABLE: &str = "LATENTLAB_RELAY";
}
