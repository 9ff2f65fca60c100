//! The file of a study: a line of JSON for each event, appended under a lock.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io::{self, ErrorKind as Io, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::space::{Setting, Space};
use crate::{
    error::{Error, ErrorKind, Result},
    file::beside,
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
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

/// The first bytes of every journal.
const BEGINNING: &[u8] = br#"{"study""#;

/// What precedes the check at a line's end. The check is the beginning of the SHA-256 of the previous line's check and
/// of the line itself, so that lines that were changed, lost, doubled or moved are detected. Journals of the first
/// version have no checks.
const BEFORE_CHECK: &str = r#","check":""#;
const CHECK_DIGITS: usize = 16;

/// Other processes hold the lock briefly. One that is suspended while holding it must not block all others.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// More processes than one study is shared by.
const MOST_WORKERS: usize = 10_000;

pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// How far the file has been read.
    read: Position,
    /// This worker's number: the smallest that no running process has.
    pub(super) worker: usize,
    /// Locked as long as this worker lives: the system unlocks it however the process ends.
    _alive: File,
}

/// The position after a line.
#[derive(Clone, Default)]
pub(super) struct Position {
    bytes: u64,
    lines: usize,
    /// The last line's check; `None` in a journal without checks, and before the first line.
    check: Option<String>,
    /// Whether the last line has no line end: an editor may have removed it.
    open: bool,
}

/// An event with its place in the file.
pub(super) struct Line {
    pub place: String,
    pub event: Event,
    pub after: Position,
}

/// The journal's lock, until it is dropped.
pub(super) struct Locked(File);

impl Drop for Locked {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Journal {
    pub(super) fn open(path: &Path) -> Result<Self> {
        let io = |error| Error::io(path, "open", error);
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(foreign(path, "a folder or a device"));
        }
        let open = |path: &Path| File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = open(path).map_err(io)?;
        // By its canonical name: processes that use different links must find the same worker files.
        let path = fs::canonicalize(path).map_err(io)?;
        let locked = lock(&file, &path)?;
        let mut worker = 0;
        let alive = loop {
            let candidate = open(&worker_file(&path, worker)).and_then(|file| match file.try_lock() {
                Ok(()) => Ok(Some(file)),
                Err(TryLockError::WouldBlock) => Ok(None),
                Err(TryLockError::Error(error)) => Err(error),
            });
            match candidate {
                Ok(Some(file)) => break file,
                // The file may belong to another user.
                Err(error) if error.kind() != Io::PermissionDenied || worker >= MOST_WORKERS => {
                    return Err(Error::io(&path, "open", error));
                }
                _ => worker += 1,
            }
        };
        // Removes the files of killed workers: a worker that has ended needs no file.
        for dead in worker + 1.. {
            match File::open(worker_file(&path, dead)) {
                Ok(file) if file.try_lock().is_ok() => remove(&worker_file(&path, dead)),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        drop(locked);
        Ok(Self { path, file, read: Position::default(), worker, _alive: alive })
    }

    /// Whether the process with this worker number (not ours) has ended.
    pub(super) fn has_ended(&self, worker: usize) -> bool {
        match File::open(worker_file(&self.path, worker)) {
            Ok(file) => file.try_lock().is_ok(),
            // Without its file it has ended normally.
            Err(error) => error.kind() == Io::NotFound,
        }
    }

    /// Whether nothing has been written yet.
    pub(super) fn is_new(&self) -> bool {
        self.read.lines == 0
    }

    pub(super) fn lock(&self) -> Result<Locked> {
        let locked = lock(&self.file, &self.path)?;
        if !is_at(&self.file, &self.path) {
            let place = self.path.display().to_string();
            let error = Error::expected(ErrorKind::Io, place, "the journal that was opened", "another file or none");
            return Err(error.hint("It was moved, replaced or deleted: open it again with Study::journal"));
        }
        Ok(locked)
    }

    /// What others have written since, up to the first line that is wrong. `first` is how a new journal of this study
    /// would begin.
    pub(super) fn new_lines(&mut self, first: Option<&Event>) -> Result<Vec<Result<Line>>> {
        let bytes = self.unread()?;
        let mut lines: Vec<Result<Line>> = Vec::new();
        let mut at = self.read.clone();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let whole = piece.ends_with(b"\n");
            let mut after = Position { bytes: at.bytes + piece.len() as u64, open: !whole, ..at.clone() };
            let text = piece.trim_ascii();
            if text.is_empty() {
                // A line end that an editor has added.
                if whole {
                    after.lines += usize::from(at.lines > 0 && !at.open);
                    at = after;
                    if let Some(Ok(line)) = lines.last_mut() {
                        line.after = at.clone();
                    }
                }
                continue;
            }
            let place = format!("{}, line {}", self.path.display(), at.lines + 1);
            match parse(text, &at) {
                Ok((event, check)) => {
                    (after.lines, after.check) = (at.lines + 1, check);
                    at = after.clone();
                    lines.push(Ok(Line { place, event, after }));
                }
                // Left by a process that was stopped while writing: `append` overwrites it.
                Err(_) if !whole => break,
                Err(got) => {
                    let error =
                        Error::expected(ErrorKind::Data, place, "a line of a study's journal, as it was written", got);
                    lines.push(Err(error.hint("Delete this line and those after it to go on from there")));
                    break;
                }
            }
        }
        // Only an incomplete beginning of this very journal may be overwritten.
        if let Some(first) = first
            && lines.is_empty()
            && !bytes.trim_ascii().is_empty()
            && !checked(first, "")?.0.as_bytes().starts_with(&bytes)
        {
            return Err(foreign(&self.path, "another file"));
        }
        Ok(lines)
    }

    /// The bytes that have not been read; of a file that is no journal, only its beginning.
    fn unread(&mut self) -> Result<Vec<u8>> {
        let io = |error| Error::io(&self.path, "read", error);
        if self.file.metadata().map_err(io)?.len() < self.read.bytes {
            let place = format!("{}, line {}", self.path.display(), self.read.lines);
            let error = Error::expected(ErrorKind::Data, place, "the lines that were there", "a shorter file");
            return Err(error.hint("Open it again with Study::journal"));
        }
        let mut bytes = Vec::new();
        (self.file.seek(SeekFrom::Start(self.read.bytes))).map_err(io)?;
        if self.is_new() {
            (&self.file).take(BEGINNING.len() as u64).read_to_end(&mut bytes).map_err(io)?;
            if bytes != BEGINNING && !BEGINNING.starts_with(&bytes) && !bytes.trim_ascii().is_empty() {
                return Err(foreign(&self.path, "another file"));
            }
        }
        self.file.read_to_end(&mut bytes).map_err(io)?;
        Ok(bytes)
    }

    /// Records that a line has been applied.
    pub(super) fn advance(&mut self, after: Position) {
        self.read = after;
    }

    /// Adds a line; `new_lines` must have been called, and all of them applied, under the same lock. On failure nothing
    /// is added.
    pub(super) fn append(&mut self, event: &Event) -> Result<()> {
        let start = self.read.bytes;
        let (body, check) = match &self.read {
            Position { check: None, lines: 1.., .. } => (event_text(event)?, None),
            Position { check, .. } => checked(event, check.as_deref().unwrap_or_default())?,
        };
        let line = format!("{}{body}\n", if self.read.open { "\n" } else { "" });
        let written = (self.file.set_len(start))
            .and_then(|()| self.file.seek(SeekFrom::Start(start)))
            .and_then(|_| self.file.write_all(line.as_bytes()))
            .and_then(|()| match event {
                // Some file systems report only here that they are full.
                Event::Tell { .. } => self.file.sync_data().or_else(|error| match error.kind() {
                    Io::Unsupported | Io::InvalidInput => Ok(()),
                    _ => Err(error),
                }),
                _ => Ok(()),
            });
        if let Err(error) = written {
            let _ = self.file.set_len(start);
            return Err(Error::io(&self.path, "write", error));
        }
        let (bytes, lines) = (start + line.len() as u64, self.read.lines + 1);
        self.read = Position { bytes, lines, check, open: false };
        Ok(())
    }
}

impl Drop for Journal {
    /// Removes the worker's file, under the journal's lock, so that no other process takes its number meanwhile.
    fn drop(&mut self) {
        if let Ok(_locked) = lock(&self.file, &self.path) {
            remove(&worker_file(&self.path, self.worker));
        }
    }
}

fn lock(file: &File, path: &Path) -> Result<Locked> {
    let failed = |error| Error::io(path, "lock", error);
    let (start, mut pause) = (Instant::now(), Duration::from_micros(100));
    // A handle of its own, so that the lock ends with its owner and not with the journal.
    let handle = file.try_clone().map_err(failed)?;
    loop {
        match handle.try_lock() {
            Ok(()) => return Ok(Locked(handle)),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
            Err(TryLockError::WouldBlock) if start.elapsed() > LONGEST_WAIT => {
                let error = failed(io::Error::from(Io::TimedOut));
                return Err(error.hint("Another process has held it for a minute: end that one, or let it go on"));
            }
            Err(TryLockError::WouldBlock) => {
                thread::sleep(pause);
                pause = (pause * 2).min(Duration::from_millis(5));
            }
        }
    }
}

/// Whether this is still the file at the path.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let id = |metadata: fs::Metadata| (metadata.dev(), metadata.ino());
    file.metadata().ok().map(id) == fs::metadata(path).ok().map(id)
}

#[cfg(not(unix))]
fn is_at(_file: &File, path: &Path) -> bool {
    path.exists()
}

/// The event of a line and its check, or what is wrong with the line.
fn parse(text: &[u8], at: &Position) -> Result<(Event, Option<String>), String> {
    let text = std::str::from_utf8(text).map_err(|error| error.to_string())?;
    let (body, noted) = split_check(text);
    // The first line decides whether there are checks.
    let check = match (at.lines, &at.check, noted) {
        (1.., None, _) | (0, _, None) => None,
        (_, before, noted) => {
            let check = check_of(before.as_deref().unwrap_or_default(), &body);
            if noted != Some(check.as_str()) {
                return Err("one that does not fit its check or the line before it".into());
            }
            Some(check)
        }
    };
    let event = serde_json::from_str(if check.is_some() { &body } else { text }).map_err(|error| error.to_string())?;
    if (at.lines == 0) != matches!(event, Event::Study { .. }) {
        return Err(if at.lines == 0 { "a trial before the study" } else { "a second study" }.into());
    }
    Ok((event, check))
}

/// A line without its check, and the check.
fn split_check(text: &str) -> (String, Option<&str>) {
    let split = || {
        let rest = text.strip_suffix("\"}")?;
        let (body, check) = rest.split_at_checked(rest.len().checked_sub(CHECK_DIGITS)?)?;
        Some((format!("{}}}", body.strip_suffix(BEFORE_CHECK)?), check))
    };
    split().map_or((text.into(), None), |(body, check)| (body, Some(check)))
}

/// A line with its check.
fn checked(event: &Event, before: &str) -> Result<(String, Option<String>)> {
    let body = event_text(event)?;
    let check = check_of(before, &body);
    let open = body.strip_suffix('}').unwrap_or(&body);
    Ok((format!("{open}{BEFORE_CHECK}{check}\"}}"), Some(check)))
}

fn check_of(before: &str, body: &str) -> String {
    let hash = Sha256::new_with_prefix(before).chain_update(body).finalize();
    crate::file::hex(&hash[..CHECK_DIGITS / 2])
}

fn event_text(event: &Event) -> Result<String> {
    serde_json::to_string(event).map_err(|error| Error::new(ErrorKind::Data, "study", error.to_string()))
}

fn foreign(path: &Path, got: &str) -> Error {
    let error = Error::expected(ErrorKind::Data, path.display().to_string(), "a study's journal or no file", got);
    error.hint("Name another file")
}

/// Removes a worker's file: a file with content is not one of ours.
fn remove(worker_file: &Path) {
    if fs::metadata(worker_file).is_ok_and(|file| file.len() == 0) {
        let _ = fs::remove_file(worker_file);
    }
}

fn worker_file(path: &Path, worker: usize) -> PathBuf {
    beside(path, &format!(".worker{worker}"))
}
