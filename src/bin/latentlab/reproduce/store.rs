//! The folder of a run: finished tasks are kept, however the run ends.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use latentlab::Dataset;

use crate::whole::write_whole;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::results::Finished;
use crate::project::{Outcome, cannot, make_folder, open_lock, read_bytes};

/// The settings that results depend on: results of different settings must not be mixed.
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

    /// Whether a `results.json` is one of such a run.
    fn made(&self, results: &Path) -> Outcome<bool> {
        let text = read_bytes(results).map_err(|error| format!("{}: {error}.", results.display()))?;
        let results: Value = serde_json::from_slice(&text).unwrap_or_default();
        Ok(results["report"] == self.report.as_str()
            && results["quick"] == self.quick
            && results["data"] == self.data.as_str())
    }

    /// "of report S1, quick, on MNIST, 70,000 images"
    fn describe(&self) -> String {
        format!("of report {}{}, on {}", self.report, if self.quick { ", quick" } else { "" }, self.data)
    }
}

pub struct Store {
    folder: PathBuf,
    /// The suffix of the tasks' files: another number of epochs gives other results.
    suffix: String,
    pub settings: Settings,
    /// Held as long as the run works in the folder.
    _lock: File,
}

/// `run.json`: which run this folder belongs to.
#[derive(Serialize, Deserialize)]
struct Header {
    settings: Settings,
    /// False until the files of an earlier run are removed: before that there is nothing to resume.
    begun: bool,
}

/// A task's file.
#[derive(Serialize, Deserialize)]
struct Done {
    settings: Settings,
    /// The file's own name: a file that was renamed belongs to another task.
    name: String,
    task: Finished,
}

const HEADER: &str = "run.json";
const LOCK: &str = "run.lock";
const RESULTS: &str = "results.json";
const TASKS: &str = "tasks";
const MODELS: &str = "models";
const CHECKPOINTS: &str = "checkpoints";

impl Store {
    /// Refuses a folder in which a run can neither begin nor, if asked for, be resumed; returns the settings of a run
    /// to resume.
    pub fn look(folder: &Path, resume: bool) -> Outcome<Option<Settings>> {
        let shown = folder.display();
        if folder.exists() && !folder.is_dir() {
            return Err(format!("{shown}: it is a file; --out takes a folder."));
        }
        let Some(Header { settings, begun }) = read::<Header>(&folder.join(HEADER))? else {
            let is_ours =
                |name: &str| name == LOCK || name.starts_with(&format!(".{HEADER}.")) && name.ends_with(".part");
            let mut entries = fs::read_dir(folder).into_iter().flatten();
            if entries.any(|entry| !entry.is_ok_and(|entry| is_ours(&entry.file_name().to_string_lossy()))) {
                return Err(format!("{shown}: it holds other files; --out takes a new or an empty folder."));
            }
            if resume {
                return Err(format!("{shown}: it holds no run to go on with. Without --resume, one begins."));
            }
            return Ok(None);
        };
        let results = folder.join(RESULTS);
        if results.exists() && !settings.made(&results)? {
            return Err(format!(
                "{}: it is not of the run in this folder, which is one {}. Move or delete it, or choose another folder \
                 by --out.",
                results.display(),
                settings.describe()
            ));
        }
        if begun && !resume && !settings.quick {
            let tasks = fs::read_dir(folder.join(TASKS)).map_or(0, Iterator::count);
            return Err(format!(
                "{shown}: it holds a run {}, with {tasks} finished tasks. Add --resume to go on with it, choose \
                 another folder by --out, or delete this one to start again.",
                settings.describe()
            ));
        }
        Ok(Some(settings).filter(|_| begun && resume))
    }

    /// The store of a run that begins or is resumed. A quick run that is not resumed replaces an earlier one.
    pub fn open(folder: &Path, settings: Settings, epochs: Option<usize>, resume: bool) -> Outcome<Self> {
        // A folder that is refused must not get a lock file.
        Self::look(folder, resume)?;
        let lock = open_lock(&folder.join(LOCK))?;
        lock.try_lock().map_err(|_| format!("{}: another run is at work in it.", folder.display()))?;
        let earlier = Self::look(folder, resume)?;
        if let Some(earlier) = earlier.as_ref().filter(|earlier| **earlier != settings) {
            return Err(format!(
                "{}: it holds a run {}, which cannot go on as one {}. Ask for the same, or choose another folder \
                 by --out.",
                folder.display(),
                earlier.describe(),
                settings.describe()
            ));
        }
        let parts = [TASKS, MODELS, CHECKPOINTS].map(|part| folder.join(part));
        let suffix = epochs.map_or(String::new(), |epochs| format!("-{epochs}"));
        let store = Self { folder: folder.to_owned(), suffix, settings, _lock: lock };
        if earlier.is_none() {
            store.write_header(false)?;
            parts.iter().try_for_each(|part| clear(part))?;
        }
        parts.iter().try_for_each(|part| make_folder(part))?;
        store.write_header(true)?;
        Ok(store)
    }

    fn write_header(&self, begun: bool) -> Outcome<()> {
        write(&self.folder.join(HEADER), &sealed(&Header { settings: self.settings.clone(), begun })?)
    }

    /// The results of a task, if it is done.
    pub fn finished(&self, key: &str) -> Outcome<Option<Finished>> {
        let path = self.folder.join(TASKS).join(self.task(key));
        match read::<Done>(&path)? {
            Some(done) if done.settings != self.settings || done.name != self.task(key) => Err(format!(
                "{}: it is of another task, \"{}\" of a run {}. Delete it, and the task is done again.",
                path.display(),
                done.name,
                done.settings.describe()
            )),
            done => Ok(done.map(|done| done.task)),
        }
    }

    pub fn finish(&self, key: &str, task: Finished) -> Outcome<Finished> {
        let done = Done { settings: self.settings.clone(), name: self.task(key), task };
        write(&self.folder.join(TASKS).join(self.task(key)), &sealed(&done)?)?;
        Ok(done.task)
    }

    fn task(&self, key: &str) -> String {
        format!("{key}{}.json", self.suffix)
    }

    pub fn model(&self, name: &str) -> PathBuf {
        self.folder.join(MODELS).join(format!("{name}.safetensors"))
    }

    pub fn checkpoint(&self, name: &str) -> PathBuf {
        self.file(&format!("{name}.safetensors"))
    }

    /// A file from which a task is resumed, as from a checkpoint.
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
        write(&self.folder.join(RESULTS), &pretty(results)?)
    }
}

fn pretty(value: &impl Serialize) -> Outcome<Vec<u8>> {
    serde_json::to_vec_pretty(value).map_err(|error| format!("The results cannot be written as JSON ({error})."))
}

/// With a checksum, so that damage is detected.
fn sealed(value: &impl Serialize) -> Outcome<Vec<u8>> {
    let content = serde_json::to_value(value).map_err(|error| format!("The results are no JSON ({error})."))?;
    pretty(&json!({ "sha256": checksum(&content), "content": content }))
}

fn checksum(content: &Value) -> String {
    crate::whole::hex(&Sha256::digest(content.to_string()))
}

/// The content of a file with a checksum; `None` if there is no file.
fn read<T: DeserializeOwned>(path: &Path) -> Outcome<Option<T>> {
    if !path.exists() {
        return Ok(None);
    }
    unsealed(&read_bytes(path).map_err(|error| format!("{}: {error}.", path.display()))?)
        .map(Some)
        .map_err(|reason| format!("{}: it is not what `latentlab reproduce` wrote ({reason}).", path.display()))
}

fn unsealed<T: DeserializeOwned>(bytes: &[u8]) -> Outcome<T> {
    #[derive(Deserialize)]
    struct Sealed {
        sha256: String,
        content: Value,
    }
    let sealed: Sealed = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    if sealed.sha256 != checksum(&sealed.content) {
        return Err("its checksum is that of another content".to_owned());
    }
    serde_json::from_value(sealed.content).map_err(|error| error.to_string())
}

fn write(path: &Path, bytes: &[u8]) -> Outcome<()> {
    write_whole(path, bytes).map_err(|error| error.to_string())
}

/// Removes a run's files from one of its folders, and nothing else.
fn clear(folder: &Path) -> Outcome<()> {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_ours = |kind| ["json", "jsonl", "lock", "safetensors"].iter().any(|ours| kind == *ours);
        if path.extension().is_some_and(is_ours) && entry.file_type().is_ok_and(|kind| kind.is_file()) {
            fs::remove_file(&path).map_err(cannot("remove", &path))?;
        }
    }
    Ok(())
}
