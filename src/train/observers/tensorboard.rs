//! Event files of TensorBoard: records of TensorFlow's TFRecord format, each a protocol buffer of
//! <https://github.com/tensorflow/tensorboard/blob/master/tensorboard/compat/proto/event.proto>.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    io::Write,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicUsize, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use prost::Message;

use super::{EpochEnd, Observer};
use crate::{
    error::{Error, Result},
    file::make_folder,
    train::history::{History, StoppedBy},
};

/// Writes the curves' values after each epoch, those of training and of validation as two runs, as Keras does: equal
/// tags of two runs stand in one chart.
pub(super) struct TensorBoard {
    folder: PathBuf,
    /// The file of each run that has values.
    files: BTreeMap<&'static str, (PathBuf, File)>,
    failed: bool,
}

/// The runs, by the subfolders that Keras gives them.
const TRAINING: &str = "train";
const VALIDATION: &str = "validation";

impl TensorBoard {
    pub fn new(folder: &Path) -> Result<Self> {
        make_folder(folder)?;
        let mut new = Self { folder: folder.into(), files: BTreeMap::new(), failed: false };
        // A folder that cannot be written is an error before the training begins.
        new.file(TRAINING)?;
        Ok(new)
    }

    /// The file of a run, begun if there is none.
    fn file(&mut self, run: &'static str) -> Result<&mut (PathBuf, File)> {
        /// Two trainings of a process may begin in the same second.
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        if !self.files.contains_key(run) {
            let (folder, count) = (self.folder.join(run), COUNT.fetch_add(1, Ordering::Relaxed));
            make_folder(&folder)?;
            // TensorBoard reads the files of a run in the order of their names.
            let name = format!("events.out.tfevents.{:010.0}.latentlab.{}.{count:06}", now().floor(), process::id());
            let path = folder.join(name);
            let file = OpenOptions::new().create_new(true).append(true).open(&path);
            let mut file = (path.clone(), file.map_err(|error| Error::io(&path, "create", error))?);
            append(&mut file, &Event { file_version: Some("brain.Event:2".into()), ..Event::now() })?;
            self.files.insert(run, file);
        }
        Ok(self.files.get_mut(run).expect("it has just been inserted"))
    }

    /// Adds the last epoch.
    fn write(&mut self, history: &History) -> Result<()> {
        let epoch = history.epochs();
        let mut runs: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (name, values) in history.curves() {
            let value = values.get(epoch.wrapping_sub(1)).filter(|value| !value.is_nan());
            let Some(value) = value else { continue };
            let (run, tag) = match name.strip_prefix("validation_") {
                Some(measure) => (VALIDATION, format!("epoch_{measure}")),
                None if name.contains('/') => (TRAINING, name),
                None => (TRAINING, format!("epoch_{name}")),
            };
            runs.entry(run).or_default().push(Value { tag, simple_value: Some(*value as f32) });
        }
        for (run, value) in runs {
            let event = Event { step: epoch as i64, summary: Some(Summary { value }), ..Event::now() };
            append(self.file(run)?, &event)?;
        }
        Ok(())
    }
}

impl Observer for TensorBoard {
    /// A full disk must not end the training: it continues, with a warning in its history.
    fn after_epoch(&mut self, at: &mut EpochEnd<'_>) -> Result<ControlFlow<StoppedBy>> {
        if !self.failed
            && let Err(error) = self.write(at.history)
        {
            self.failed = true;
            let epoch = at.history.epochs();
            at.history.warnings.push(format!("after epoch {epoch}: {error}. The training goes on without TensorBoard"));
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

impl Event {
    fn now() -> Self {
        Self { wall_time: now(), ..Self::default() }
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Appends a record in one piece: TensorBoard may read at any moment.
fn append((path, file): &mut (PathBuf, File), event: &Event) -> Result<()> {
    file.write_all(&record(&event.encode_to_vec())).map_err(|error| Error::io(path, "write", error))
}

/// A record: its length and its bytes, each with a checksum behind it.
fn record(bytes: &[u8]) -> Vec<u8> {
    let length = (bytes.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length), bytes, &checksum(bytes)].concat()
}

/// CRC-32C, masked, so that a checksum of what holds checksums stays a good one.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// The cyclic redundancy check with Castagnoli's polynomial.
fn crc32c(bytes: &[u8]) -> u32 {
    let shifted = |crc: u32| (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| shifted(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_formats() {
        // RFC 3720, appendix B.4, and the usual check value.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // The first record that TensorBoard's own writer makes: a version at the time 0.
        let event = Event { file_version: Some("brain.Event:2".into()), ..Event::default() };
        let bytes = record(&event.encode_to_vec());
        assert_eq!(bytes[..12], [15, 0, 0, 0, 0, 0, 0, 0, 0x6d, 0x53, 0x2b, 0x09]);
        assert_eq!(bytes[12..], *b"\x1a\x0dbrain.Event:2\xfc\x98\x51\x29");
    }
}
