//! `latentlab lessons`: copies the lessons into a user's folder.

use crate::project::{Outcome, Project, cannot, make_folder};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

#[derive(clap::Args)]
pub struct Arguments {
    /// Where to copy them; made if it is missing
    #[arg(value_name = "DIR", default_value = "latentlab")]
    folder: PathBuf,
}

pub fn lessons(arguments: &Arguments) -> Outcome<()> {
    let Counts { new, same, changed } = copy(&Project::find()?.notebooks(), &arguments.folder)?;
    println!("{new} notebooks copied, {same} were there, {changed} were there with changes, and stay as they are.");
    println!("Open {} in JupyterLab.", arguments.folder.join(FIRST).display());
    Ok(())
}

const FIRST: &str = "00_start_here.ipynb";

#[derive(Debug, Default, PartialEq)]
struct Counts {
    new: usize,
    same: usize,
    changed: usize,
}

/// Copies the notebooks, and replaces none.
fn copy(from: &Path, to: &Path) -> Outcome<Counts> {
    make_folder(to)?;
    let entries = fs::read_dir(from).map_err(cannot("read", from))?.flatten().map(|entry| entry.path());
    let mut counts = Counts::default();
    for notebook in entries.filter(|path| path.extension().is_some_and(|kind| kind == "ipynb")) {
        let copy = to.join(notebook.file_name().unwrap_or_default());
        let content = fs::read(&notebook).map_err(cannot("read", &notebook))?;
        // Not `fs::copy`: the user may write it, also if nobody may write the original.
        match File::create_new(&copy).and_then(|mut file| io::Write::write_all(&mut file, &content)) {
            Ok(()) => counts.new += 1,
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(cannot("write", &copy)(error)),
            Err(_) if fs::read(&copy).is_ok_and(|there| there == content) => counts.same += 1,
            Err(_) => counts.changed += 1,
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    #[test]
    fn a_copy_replaces_nothing() {
        let folder = Folder::new("lessons");
        for (name, text) in [(FIRST, "0"), ("01.ipynb", "1"), ("evcxr.toml", "settings"), ("figures/a.png", "")] {
            folder.write(&format!("from/{name}"), text.as_bytes());
        }
        let mine = folder.write("to/01.ipynb", b"mine");
        let copied = || copy(&folder.file("from"), &folder.file("to")).unwrap();
        assert_eq!(copied(), Counts { new: 1, same: 0, changed: 1 });
        assert_eq!(copied(), Counts { new: 0, same: 1, changed: 1 });
        assert_eq!(fs::read(mine).unwrap(), b"mine");
        assert_eq!(fs::read_dir(folder.file("to")).unwrap().count(), 2);
        let error = copy(&folder.file("from"), &folder.file("from/evcxr.toml")).unwrap_err();
        assert!(error.contains("evcxr.toml") && error.contains("cannot create"), "{error}");
    }
}
