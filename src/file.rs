//! Files that are there whole or not at all.

use std::{fs, path::Path};

use crate::error::{Error, Result};

/// Writes beside the place, then renames: an interrupted write leaves what was there before.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{name}.{}.part", std::process::id()));
    fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path)).map_err(|error| {
        let _ = fs::remove_file(&temporary);
        Error::io(path, "write", error)
    })
}
