//! What the library tells the relay between Jupyter and the kernel (`latentlab kernel`), and hears from it.

use std::{env, fs, io::Write, path::PathBuf, sync::OnceLock};

use serde_json::{Value, json};

/// How a printed line begins that is meant for the relay, which takes it out of the cell's text. The rest of the line is JSON:
/// `{"content": …}` is a message `display_data`, with `"update": true` an `update_display_data`; `{"listens": true}` says that a run begins
/// that can be stopped, `false` that it has ended; `{"shown": text}` that the value whose `Debug` says this text has been shown.
pub const RELAY_MARK: &str = "\u{1}latentlab ";

/// Whether there is one.
pub(crate) fn is_there() -> bool {
    stop_file().is_some()
}

/// A line for it. A closed output is no reason to panic.
pub(crate) fn tell(what: &Value) {
    let line = format!("{RELAY_MARK}{what}\n");
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(line.as_bytes()).and_then(|()| output.flush());
}

/// As long as it lives, the stop button ends what runs instead of the kernel.
#[derive(Debug)]
pub(crate) struct Listening(());

impl Listening {
    pub fn begin() -> Self {
        if is_there() {
            tell(&json!({ "listens": true }));
        }
        Self(())
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if is_there() {
            tell(&json!({ "listens": false }));
        }
    }
}

/// Whether the stop button has been pressed in this cell. Takes a microsecond, in which nothing is trained.
pub(crate) fn wants_a_stop() -> bool {
    stop_file().is_some_and(|file| fs::exists(file).unwrap_or(false))
}

/// The relay's file that is there while it wants what runs to stop.
fn stop_file() -> Option<&'static PathBuf> {
    static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();
    FILE.get_or_init(|| env::var_os("LATENTLAB_RELAY").map(PathBuf::from)).as_ref()
}
