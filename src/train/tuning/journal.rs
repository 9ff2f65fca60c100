//! The file of a study: a line of JSON for each event, appended under a lock.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::space::{Setting, Space};
use crate::error::{Error, ErrorKind, Result};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Event {
    /// The first line.
    Study {
        maximize: bool,
        space: Space,
    },
    Ask {
        trial: usize,
        worker: usize,
        settings: BTreeMap<String, Setting>,
    },
    /// A value that is not finite is `null`.
    Report {
        trial: usize,
        epoch: usize,
        value: Option<f64>,
    },
    Tell {
        trial: usize,
        value: Option<f64>,
        pruned: bool,
        seconds: f64,
    },
}

/// How every journal begins.
const BEGINNING: &[u8] = br#"{"study""#;

pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// How far it has been read: bytes and lines.
    read: (u64, usize),
    /// This worker's number: the smallest that no living process has.
    pub(super) worker: usize,
    /// Locked as long as this worker lives: the system unlocks it however the process ends.
    _alive: File,
}

impl Journal {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path, "open", error);
        let path = std::path::absolute(path).map_err(io)?;
        let open = |path: &Path| File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = open(&path).map_err(io)?;
        file.lock().map_err(io)?;
        let mut worker = 0;
        let alive = loop {
            let candidate = open(&worker_file(&path, worker)).map_err(io)?;
            match candidate.try_lock() {
                Ok(()) => break candidate,
                Err(fs::TryLockError::WouldBlock) => worker += 1,
                Err(fs::TryLockError::Error(error)) => return Err(io(error)),
            }
        };
        file.unlock().map_err(io)?;
        Ok(Self { path, file, read: (0, 0), worker, _alive: alive })
    }

    /// Whether the process that had this number of a worker (not ours) has ended.
    pub(super) fn has_ended(&self, worker: usize) -> bool {
        // Without the file it has ended in good order.
        File::open(worker_file(&self.path, worker)).map_or(true, |file| file.try_lock().is_ok())
    }

    /// Whether nothing has been written yet.
    pub(super) fn is_new(&self) -> bool {
        self.read.1 == 0
    }

    pub(super) fn lock(&self) -> Result<()> {
        self.file.lock().map_err(|error| Error::io(&self.path, "lock", error))
    }

    pub(super) fn unlock(&self) -> Result<()> {
        self.file.unlock().map_err(|error| Error::io(&self.path, "unlock", error))
    }

    /// What others have written since, each with its place in the file.
    pub(super) fn new_events(&mut self) -> Result<Vec<(String, Event)>> {
        let mut bytes = Vec::new();
        (self.file.seek(SeekFrom::Start(self.read.0)))
            .and_then(|_| self.file.read_to_end(&mut bytes))
            .map_err(|error| Error::io(&self.path, "read", error))?;
        let mut events = Vec::new();
        // What follows the last line end is of a process that was stopped while writing; `append` writes over it.
        for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            let place = format!("{}, line {}", self.path.display(), self.read.1 + 1);
            let event = serde_json::from_slice(line).map_err(|error| {
                let expected = "a line of a study's journal";
                Error::expected(ErrorKind::Data, place.clone(), expected, format!("{error}")).source(error)
            })?;
            events.push((place, event));
            self.read = (self.read.0 + line.len() as u64, self.read.1 + 1);
        }
        // Nor is a file of something else written over.
        if self.is_new() && !bytes.starts_with(BEGINNING) && !BEGINNING.starts_with(&bytes) {
            let place = self.path.display().to_string();
            return Err(Error::expected(ErrorKind::Data, place, "a study's journal or no file", "another file"));
        }
        Ok(events)
    }

    /// Adds a line; `new_events` must have been called under the same lock.
    pub(super) fn append(&mut self, event: &Event) -> Result<()> {
        let io = |error| Error::io(&self.path, "write", error);
        let line = serde_json::to_string(event).map_err(|error| io(error.into()))? + "\n";
        self.file.set_len(self.read.0).map_err(io)?;
        self.file.seek(SeekFrom::Start(self.read.0)).map_err(io)?;
        self.file.write_all(line.as_bytes()).map_err(io)?;
        self.read = (self.read.0 + line.len() as u64, self.read.1 + 1);
        Ok(())
    }
}

impl Drop for Journal {
    /// Removes the worker's file, under the journal's lock: nobody else takes its number meanwhile.
    fn drop(&mut self) {
        if self.lock().is_ok() {
            let _ = fs::remove_file(worker_file(&self.path, self.worker));
            let _ = self.unlock();
        }
    }
}

fn worker_file(path: &Path, worker: usize) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.worker{worker}"))
}
