//! What the library and the relay, which compiles this file too, agree on. A frame of the channel is a byte for its
//! kind, four for the length (little-endian), and the content.

/// To the relay: printed bytes.
pub const STDOUT: u8 = b'o';
pub const STDERR: u8 = b'e';
/// To the relay: JSON. `{"content": …}` is a `display_data` message, with `"update": true` an
/// `update_display_data`. `{"listens": true}` reports that a run begins that can be stopped, `false` that it has
/// ended. `{"shown": text}` reports that the value with this `Debug` text has been displayed.
///
/// Of Jupyter's widgets: `{"widgets": root, "models": [[id, state], …], "text": …}` shows models, of which `root` is
/// the outermost; `{"figure": root, "data": …, "metadata": …}` shows by media type what belongs below them, in place of
/// what was there; `{"set": {id: state, …}}` changes models.
pub const MESSAGE: u8 = b'm';
/// To the relay: everything printed before the request `SYNC` has been sent.
pub const SYNCED: u8 = b'y';

/// To the cell process, one byte each: confirm that everything printed has been sent; set or clear the stop
/// request.
pub const SYNC: u8 = b'y';
pub const STOP: u8 = b's';
pub const GO_ON: u8 = b'g';
/// To the cell process, a frame with JSON: `{"model": id, "state": …}` is what a user has changed, `{"model": id,
/// "event": "click"}` a click, `{"closed": root}` reports that nobody sees these widgets any more.
pub const WIDGET: u8 = b'w';

/// The header of a frame.
pub fn header(kind: u8, length: u32) -> [u8; 5] {
    let [a, b, c, d] = length.to_le_bytes();
    [kind, a, b, c, d]
}

/// The environment variable with the number of the inherited socket, through which the cell process sends the relay
/// the file descriptors of the channel.
pub const VARIABLE: &str = "LATENTLAB_RELAY";

/// The media type of an output that means "this cell failed": no other output carries it. Its content is JSON with
/// `kind` (`"error"` for a `?`, `"panic"`), `message` and, for a panic, `location` and `thread`.
pub const ERROR_MEDIA_TYPE: &str = "application/vnd.latentlab.error+json";
