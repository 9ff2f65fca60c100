//! The folder of a run: what is finished stays, however the run ends.

use std::fs;
use std::path::{Path, PathBuf};

use latentlab::Dataset;
use serde::{Deserialize, Serialize};

use super::findings::Finished;
use crate::project::{Outcome, cannot, make_folder, remove_folder};

/// What results depend on: those of other settings do not go together.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// "S1"
    pub report: String,
    pub quick: bool,
    /// What the data are, not where: "MNIST, 70,000 images".
    pub data: String,
}

impl Settings {
    pub fn new(report: &str, quick: bool, data: &Dataset) -> Self {
        let source = data.source();
        let end = source.find(" from ").or(source.find(" (")).unwrap_or(source.len());
        Self { report: report.into(), quick, data: source[..end].into() }
    }

    /// "of report S1, quick, on MNIST, 70,000 images"
    fn describe(&self) -> String {
        format!("of report {}{}, on {}", self.report, if self.quick { ", quick" } else { "" }, self.data)
    }
}

pub struct Store {
    folder: PathBuf,
    /// Of the tasks' files: results for other numbers of epochs are other results.
    suffix: String,
    pub settings: Settings,
}

const SETTINGS: &str = "run.json";
const TASKS: &str = "tasks";
const MODELS: &str = "models";
const CHECKPOINTS: &str = "checkpoints";

impl Store {
    /// Refuses a folder in which a run can neither begin nor, if that is asked for, go on; returns the settings of the run it holds.
    pub fn look(folder: &Path, resume: bool) -> Outcome<Option<Settings>> {
        let shown = folder.display();
        if folder.exists() && !folder.is_dir() {
            return Err(format!("{shown}: it is a file; --out takes a folder."));
        }
        if let Some(settings) = read::<Settings>(&folder.join(SETTINGS))? {
            if resume || settings.quick {
                return Ok(Some(settings));
            }
            let tasks = fs::read_dir(folder.join(TASKS)).map_or(0, Iterator::count);
            return Err(format!(
                "{shown}: it holds a run {}, with {tasks} finished tasks. Add --resume to go on with it, choose \
                 another folder by --out, or delete this one to begin anew.",
                settings.describe()
            ));
        }
        if resume {
            return Err(format!("{shown}: it holds no run to go on with. Without --resume, one begins."));
        }
        if fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(format!("{shown}: it holds other files; --out takes a new or an empty folder."));
        }
        Ok(None)
    }

    /// The store of a run that begins or goes on. A quick run that is not to go on takes the place of an earlier one.
    pub fn open(folder: &Path, settings: Settings, epochs: Option<usize>, resume: bool) -> Outcome<Self> {
        let earlier = Self::look(folder, resume)?;
        let parts = [TASKS, MODELS, CHECKPOINTS].map(|part| folder.join(part));
        match earlier {
            Some(earlier) if resume && earlier != settings => {
                return Err(format!(
                    "{}: it holds a run {}, which cannot go on as one {}. Ask for the same, or choose another folder \
                     by --out.",
                    folder.display(),
                    earlier.describe(),
                    settings.describe()
                ));
            }
            Some(_) if !resume => parts.iter().try_for_each(|part| remove_folder(part))?,
            _ => {}
        }
        parts.iter().try_for_each(|part| make_folder(part))?;
        let suffix = epochs.map_or(String::new(), |epochs| format!("-{epochs}"));
        let store = Self { folder: folder.to_owned(), suffix, settings };
        write(&store.folder.join(SETTINGS), &json(&store.settings)?)?;
        Ok(store)
    }

    /// What a task found, if it is done.
    pub fn finished(&self, key: &str) -> Outcome<Option<Finished>> {
        read(&self.task(key))
    }

    pub fn finish(&self, key: &str, task: &Finished) -> Outcome<()> {
        write(&self.task(key), &json(task)?)
    }

    fn task(&self, key: &str) -> PathBuf {
        self.folder.join(TASKS).join(format!("{key}{}.json", self.suffix))
    }

    pub fn model(&self, name: &str) -> PathBuf {
        self.folder.join(MODELS).join(format!("{name}.safetensors"))
    }

    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.safetensors"))
    }

    /// A file that a task goes on from, as from a checkpoint.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(CHECKPOINTS).join(name)
    }

    pub fn page(&self) -> PathBuf {
        self.folder.join("report.html")
    }

    pub fn write_page(&self, html: &str) -> Outcome<()> {
        write(&self.page(), html.as_bytes())
    }

    pub fn write_results(&self, results: &impl Serialize) -> Outcome<()> {
        write(&self.folder.join("results.json"), &json(results)?)
    }
}

fn json(value: &impl Serialize) -> Outcome<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| format!("The results cannot be written as JSON ({error})."))
}

/// A file's content; none if there is no file.
fn read<T: for<'a> Deserialize<'a>>(path: &Path) -> Outcome<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = fs::read(path).map_err(cannot("read", path))?;
    let value = serde_json::from_slice(&bytes);
    value
        .map(Some)
        .map_err(|error| format!("{}: it is not what `latentlab reproduce` wrote ({error}).", path.display()))
}

/// Writes beside the place, then renames: there whole or not at all.
fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    let beside = path.with_extension("part");
    fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path)).map_err(cannot("write", path))
}
