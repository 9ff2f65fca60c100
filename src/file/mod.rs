//! Files that the library writes: public for the tests.

pub(crate) mod tensors;
mod whole;

use std::{fs, path::Path};

use crate::error::{Error, ErrorKind, Result};

pub(crate) use whole::{beside, hex};
pub use whole::{create_whole, write_whole};

/// Makes a folder and those around it, if they are not there.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() {
        return Err(Error::new(ErrorKind::Io, "", "cannot be a folder").hint("The one you are in is \".\""));
    }
    fs::create_dir_all(path).map_err(|error| Error::io(path, "create", error))
}
