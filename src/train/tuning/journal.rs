//! The file of a study: Optuna's journal, a line for each operation, appended under a lock.

use std::{
    fs::{self, File, TryLockError},
    io::{ErrorKind as Io, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::lines::{self, Line, Position};
use super::lock::{Lock, inode};
use super::old_journal;
use super::operation::Operation;
use super::replay::{self, Replay};
use super::space::Space;
use crate::{
    error::{Error, ErrorKind, Result},
    file::{beside, create_whole, write_whole},
};

/// More processes than one study is shared by.
const MOST_WORKERS: usize = 10_000;

/// A journal has an operation's code within its first bytes, and is not read further without.
const BEGINNING: usize = 4096;
const CODE: &[u8] = b"\"op_code\"";

/// Why operations were not written; then none of them was.
#[derive(Debug)]
pub(super) enum Refusal {
    /// Another worker has interfered: what was read may be old, and is read again.
    Disturbed(Error),
    Failed(Error),
}

#[cfg(feature = "grpc")]
impl Refusal {
    pub(super) fn into_error(self) -> Error {
        match self {
            Self::Disturbed(error) | Self::Failed(error) => error,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

pub(super) struct Journal {
    path: PathBuf,
    /// The file that was read first. It stays open, so that no other takes its number; it is read and written through
    /// handles that are opened under the lock and closed before it ends: network file systems need both.
    file: File,
    /// How far it has been read.
    read: Position,
    /// This worker's number: the smallest that no running process has.
    pub(super) worker: usize,
    /// Locked as long as this worker lives: the system unlocks it however the process ends.
    _alive: File,
}

impl Journal {
    /// Opens a journal for a study. An old one becomes one of Optuna's.
    pub(super) fn open(path: &Path, study: &Replay) -> Result<Self> {
        let io = |error| Error::io(path, "open", error);
        if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
            return Err(foreign(path, "a folder or a device"));
        }
        let open = |path: &Path| File::options().read(true).write(true).create(true).truncate(false).open(path);
        drop(open(path).map_err(io)?);
        // By its canonical name: processes that use different links must find the same worker files.
        let path = fs::canonicalize(path).map_err(io)?;
        let locked = Lock::take(&path)?;
        convert(&path, study)?;
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
        let file = open(&path).map_err(|error| Error::io(&path, "open", error))?;
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

    pub(super) fn lock(&self) -> Result<Lock> {
        // Not the lock's error: the file itself may be gone.
        self.handle()?;
        Lock::take(&self.path)
    }

    /// Opens the file for one reading or writing.
    fn handle(&self) -> Result<File> {
        let number = |file: &File| file.metadata().map(|metadata| inode(&metadata));
        match File::options().read(true).write(true).open(&self.path) {
            Ok(file) if number(&file).ok() == number(&self.file).ok() => Ok(file),
            Err(error) if error.kind() != Io::NotFound => Err(Error::io(&self.path, "open", error)),
            _ => {
                let place = self.path.display().to_string();
                let error =
                    Error::expected(ErrorKind::Io, place, "the journal that was opened", "another file or none");
                Err(error.hint("It was moved, replaced or deleted: open it again"))
            }
        }
    }

    /// Applies what others have written since. An incomplete last line, left by a process that was stopped while
    /// writing, is cut off; a lost line end is put back: whoever writes next would write into that line.
    pub(super) fn read(&mut self, study: &mut Replay, lock: &Lock) -> Result<(), Refusal> {
        let mut file = self.handle()?;
        let bytes = self.unread(&mut file)?;
        let (new, ended) = lines::split(&bytes, &self.read, &self.path, lines::parse);
        let whole = self.read.bytes + bytes.len() as u64;
        if self.read.lines == 0 {
            study.find(new.iter().flatten().map(|line| &line.content.0));
        }
        for line in new {
            let Line { place, content: (operation, ours), after } = line?;
            study.apply(&operation, ours).map_err(|error| error.within(&place))?;
            self.read = after;
        }
        if !ended || self.read.bytes < whole {
            self.undisturbed(&file, whole, lock)?;
        }
        let mended = match self.read.bytes {
            _ if !ended => file.seek(SeekFrom::End(0)).and_then(|_| file.write_all(b"\n")),
            0 if !beginning_of_a_line(&bytes) => return Err(foreign(&self.path, "another file").into()),
            read if read < whole => file.set_len(read),
            _ => Ok(()),
        };
        mended.map_err(|error| Error::io(&self.path, "write", error))?;
        self.read.bytes += u64::from(!ended);
        Ok(())
    }

    /// The bytes that have not been read; of a file that is no journal, only its beginning.
    fn unread(&self, file: &mut File) -> Result<Vec<u8>> {
        let io = |error| Error::io(&self.path, "read", error);
        if file.metadata().map_err(io)?.len() < self.read.bytes {
            let place = format!("{}, line {}", self.path.display(), self.read.lines);
            let error = Error::expected(ErrorKind::Data, place, "the lines that were there", "a shorter file");
            return Err(error.hint("Open it again"));
        }
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(self.read.bytes)).map_err(io)?;
        if self.read.lines == 0 {
            file.take(BEGINNING as u64).read_to_end(&mut bytes).map_err(io)?;
            if !bytes.windows(CODE.len()).any(|window| window == CODE) && !beginning_of_a_line(&bytes) {
                return Err(foreign(&self.path, "another file"));
            }
        }
        file.read_to_end(&mut bytes).map_err(io)?;
        Ok(bytes)
    }

    /// Whether the lock is still ours and the file as long as it was read: a worker of Optuna takes a lock for
    /// abandoned after 30 seconds, also that of a process that was suspended, and writes then.
    fn undisturbed(&self, file: &File, length: u64, lock: &Lock) -> Result<(), Refusal> {
        let found = file.metadata().map_err(|error| Error::io(&self.path, "read", error))?.len();
        let (expected, got) = match (lock.is_held(), found == length) {
            (true, true) => return Ok(()),
            (false, _) => ("the journal's lock".into(), "none: another worker took it away".into()),
            (true, false) => (
                format!("a file of {length} bytes, as it was read under the lock"),
                format!("{found}: another worker wrote without the lock"),
            ),
        };
        Err(Refusal::Disturbed(Error::expected(ErrorKind::Io, self.path.display().to_string(), expected, got)))
    }

    /// Adds operations; `read` must have been called under the same lock. On failure nothing is added.
    pub(super) fn append(&mut self, operations: &[Operation], lock: &Lock) -> Result<(), Refusal> {
        let io = |error| Error::io(&self.path, "write", error);
        let (text, after) = written(operations, self.worker, &self.read)?;
        let mut file = self.handle()?;
        self.undisturbed(&file, self.read.bytes, lock)?;
        let ends = operations.iter().any(|operation| matches!(operation, Operation::State { state: 1..=3, .. }));
        let written = (file.seek(SeekFrom::End(0))).and_then(|_| file.write_all(text.as_bytes())).and_then(|()| {
            // Some file systems report only here that they are full.
            match if ends { file.sync_data() } else { Ok(()) } {
                Err(error) if !matches!(error.kind(), Io::Unsupported | Io::InvalidInput) => Err(error),
                _ => Ok(()),
            }
        });
        if let Err(error) = written {
            let _ = file.set_len(self.read.bytes);
            return Err(io(error).into());
        }
        self.read = after;
        Ok(())
    }
}

impl Drop for Journal {
    /// Removes the worker's file, under the journal's lock, so that no other process takes its number meanwhile.
    fn drop(&mut self) {
        if let Ok(_locked) = Lock::take(&self.path) {
            remove(&worker_file(&self.path, self.worker));
        }
    }
}

/// The direction and the space of a study in a journal, which is only read.
pub(super) fn space_of(path: &Path, name: &str) -> Result<(bool, Space)> {
    let io = |error| Error::io(path, "read", error);
    if fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(foreign(path, "a folder or a device"));
    }
    let (mut file, mut bytes) = (File::open(path).map_err(io)?, Vec::new());
    (&file).take(BEGINNING as u64).read_to_end(&mut bytes).map_err(io)?;
    if !bytes.windows(CODE.len()).any(|window| window == CODE) {
        return Err(foreign(path, "another file"));
    }
    file.read_to_end(&mut bytes).map_err(io)?;
    let (lines, _) = lines::split(&bytes, &Position::default(), path, lines::parse);
    let lines: Vec<_> = lines.into_iter().collect::<Result<_>>()?;
    let study = replay::study_of(lines.iter().map(|line| &line.content.0), name);
    let expected = |what: &str, got: &str| {
        Error::expected(ErrorKind::Data, path.display().to_string(), format!("{what} of the name {name:?}"), got)
    };
    let (maximize, space) = study.ok_or_else(|| expected("a study", "a journal without it"))?;
    let space = space.and_then(|space| serde_json::from_value(space.clone()).ok());
    let without =
        || expected("a study with a space", "one that only workers of Optuna have used").hint("Name its space");
    Ok((maximize, space.ok_or_else(without)?))
}

/// The lines of operations, and the position after them.
fn written(operations: &[Operation], worker: usize, start: &Position) -> Result<(String, Position)> {
    let (mut text, mut at) = (String::new(), start.clone());
    for operation in operations {
        let (line, check) = lines::text(operation, worker, at.check.as_deref().unwrap_or_default())?;
        text += &line;
        text.push('\n');
        at = Position { bytes: start.bytes + text.len() as u64, lines: at.lines + 1, check: Some(check) };
    }
    Ok((text, at))
}

/// Makes a journal of this library's earlier format one of Optuna's. The old file is kept beside it: `study.jsonl.old`,
/// or `.old2` if there is another of that name, and so on.
fn convert(path: &Path, study: &Replay) -> Result<()> {
    let io = |error| Error::io(path, "read", error);
    let (mut file, mut bytes) = (File::open(path).map_err(io)?, Vec::new());
    (&file).take(old_journal::BEGINNING.len() as u64).read_to_end(&mut bytes).map_err(io)?;
    if bytes != old_journal::BEGINNING {
        return Ok(());
    }
    file.read_to_end(&mut bytes).map_err(io)?;
    let date = file.metadata().and_then(|metadata| metadata.modified()).map_err(io)?;
    let operations = old_journal::operations(&bytes, path, study.clone(), date)?;
    let (text, _) = written(&operations, 0, &Position::default())?;
    for number in 1.. {
        let mut kept = path.as_os_str().to_owned();
        kept.push(if number == 1 { ".old".into() } else { format!(".old{number}") });
        let kept = PathBuf::from(kept);
        match create_whole(&kept, &bytes) {
            Ok(()) => break,
            // Another of that name; or the same, if the process was killed just here.
            Err(_) if kept.exists() => match fs::read(&kept) {
                Ok(same) if same == bytes => break,
                _ => {}
            },
            Err(error) => return Err(error),
        }
    }
    write_whole(path, text.as_bytes())
}

/// Whether only this much was written of a journal's first line.
fn beginning_of_a_line(bytes: &[u8]) -> bool {
    let beginning = br#"{"op_code":"#;
    bytes.trim_ascii().is_empty() || (!bytes.contains(&b'\n') && beginning.iter().zip(bytes).all(|(a, b)| a == b))
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
