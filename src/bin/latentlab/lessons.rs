//! `latentlab lessons`: copies the lessons into a user's folder.

use crate::command::output_of;
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
    let project = Project::find()?;
    let Copies { new, same, changed } = copy(&project.notebooks(), &arguments.folder)?;
    trust(&project, &new);
    let new = new.len();
    println!("{new} notebooks copied, {same} were there, {changed} were there with changes, and stay as they are.");
    println!("Open {} in JupyterLab.", arguments.folder.join(FIRST).display());
    Ok(())
}

const FIRST: &str = "00_start_here.ipynb";

/// Has JupyterLab trust notebooks that came with the library: it shows no SVG figure of others until their cells have
/// run. If this fails, there is still its command "Trust Notebook".
pub fn trust(project: &Project, notebooks: &[PathBuf]) {
    if !notebooks.is_empty() {
        let _ = output_of(project.python().args(["-m", "nbformat.sign"]).args(notebooks));
    }
}

pub fn notebooks_in(folder: &Path) -> Outcome<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(cannot("read", folder))?.flatten().map(|entry| entry.path());
    Ok(entries.filter(|path| path.extension().is_some_and(|kind| kind == "ipynb")).collect())
}

#[derive(Debug, Default, PartialEq)]
struct Copies {
    new: Vec<PathBuf>,
    same: usize,
    changed: usize,
}

/// Copies the notebooks, and replaces none.
fn copy(from: &Path, to: &Path) -> Outcome<Copies> {
    make_folder(to)?;
    let mut copies = Copies::default();
    for notebook in notebooks_in(from)? {
        let copy = to.join(notebook.file_name().unwrap_or_default());
        let content = fs::read(&notebook).map_err(cannot("read", &notebook))?;
        // Not `fs::copy`: the user may write it, also if nobody may write the original.
        match File::create_new(&copy).and_then(|mut file| io::Write::write_all(&mut file, &content)) {
            Ok(()) => copies.new.push(copy),
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(cannot("write", &copy)(error)),
            Err(_) if fs::read(&copy).is_ok_and(|there| there == content) => copies.same += 1,
            Err(_) => copies.changed += 1,
        }
    }
    Ok(copies)
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
        assert_eq!(copied(), Copies { new: vec![folder.file("to").join(FIRST)], same: 0, changed: 1 });
        assert_eq!(copied(), Copies { new: vec![], same: 1, changed: 1 });
        assert_eq!(fs::read(mine).unwrap(), b"mine");
        assert_eq!(fs::read_dir(folder.file("to")).unwrap().count(), 2);
        let error = copy(&folder.file("from"), &folder.file("from/evcxr.toml")).unwrap_err();
        assert!(error.contains("evcxr.toml") && error.contains("cannot create"), "{error}");
    }
}
