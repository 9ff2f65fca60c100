//! Opening a file to read.

use std::fs::File;
use std::io;
use std::path::Path;

use crate::error::{Error, Result};

/// An open file and its length in bytes; no folder, pipe or device.
pub(super) fn file(path: &Path) -> Result<(File, u64)> {
    let not_a_file = |what: &str| Error::io(path, "read", io::Error::other(what));
    // Before it is opened: opening a pipe would wait for its writer.
    let metadata = std::fs::metadata(path).map_err(|error| Error::io(path, "open", error))?;
    if metadata.is_dir() {
        return Err(not_a_file("it is a folder"));
    }
    if !metadata.is_file() {
        return Err(not_a_file("it is a pipe or a device, not a file"));
    }
    let file = File::open(path).map_err(|error| Error::io(path, "open", error))?;
    Ok((file, metadata.len()))
}
