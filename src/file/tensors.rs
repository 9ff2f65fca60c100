//! Tensors and a JSON header in one safetensors file, whose SHA-256 the header holds: damaged files are refused.

use std::{
    collections::{BTreeMap, HashMap},
    fs::File,
    io::{self, Read},
    path::Path,
};

use ndarray::{Array, Dimension, IxDyn};
use safetensors::{Dtype, SafeTensorError, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{hex, write_whole};
use crate::{
    error::{Error, ErrorKind, Result},
    limit,
};

/// The only key in our files' metadata: their order in the file is not fixed, and equal content should be equal bytes.
pub(crate) const KEY: &str = "latentlab";
/// What precedes the hash in a file: the header's JSON within safetensors' JSON. No text of a user looks like it there.
const BEFORE_HASH: &[u8] = br#"\"sha256\":\""#;
const HASH_DIGITS: usize = 64;
/// The longest header that safetensors reads.
const MOST_HEADER: u64 = 100_000_000;

/// A tensor to be written: its name, type, shape and little-endian bytes.
pub(crate) type Tensor = (String, Dtype, Vec<usize>, Vec<u8>);

/// Writes a file atomically. The header has a field `sha256` of [`no_hash`], whose place the file's hash takes.
pub(crate) fn write(path: &Path, header: &impl Serialize, tensors: &[Tensor]) -> Result<()> {
    let failed = |error: String| Error::new(ErrorKind::Weights, path.display().to_string(), error);
    let header = serde_json::to_string(header).map_err(|error| failed(error.to_string()))?;
    let mut bytes = serialized(tensors, KEY, header).map_err(|error| failed(error.to_string()))?;
    let place = hash_place(&bytes).ok_or_else(|| failed("its hash has no place".into()))?;
    let hash = hex(&Sha256::digest(&bytes));
    bytes[place..place + HASH_DIGITS].copy_from_slice(hash.as_bytes());
    write_whole(path, &bytes)
}

/// A safetensors file with one entry of metadata.
pub(crate) fn serialized(tensors: &[Tensor], key: &str, entry: String) -> Result<Vec<u8>, SafeTensorError> {
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?)))
        .collect::<Result<Vec<_>, SafeTensorError>>()?;
    safetensors::serialize(views, Some(HashMap::from([(key.to_string(), entry)])))
}

/// What a header holds in place of the hash while the file is hashed.
pub(crate) fn no_hash() -> String {
    "0".repeat(HASH_DIGITS)
}

/// Reads a whole file and parses it; an error of `parse` is one of the file. `what`: "a file of weights that latentlab
/// has saved".
pub(crate) fn read<T>(path: &Path, what: &str, parse: impl FnOnce(&[u8]) -> Result<T, String>) -> Result<T> {
    let wrong = |message| Error::new(ErrorKind::Weights, path.display().to_string(), message);
    let io = |error| Error::io(path, "read", error);
    let mut file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    if !metadata.is_file() {
        return Err(wrong(foreign(what, if metadata.is_dir() { "a folder" } else { "no file" })));
    }
    let mut bytes = read_header(&mut file, metadata.len()).map_err(io)?;
    if let Some(whole) = claimed_length(&bytes) {
        // Before anything that long is read.
        if whole != u128::from(metadata.len()) {
            let got = format!("{} bytes of a file whose header tells of {whole}", metadata.len());
            return Err(wrong(foreign(what, got)));
        }
        limit::check(path.display().to_string(), "the file", &[metadata.len().div_ceil(4) as usize])?;
        file.read_to_end(&mut bytes).map_err(io)?;
    }
    parse(&bytes).map_err(wrong)
}

/// The tensors of a file and the text of its header.
pub(crate) fn open<'a>(bytes: &'a [u8], what: &str) -> Result<(SafeTensors<'a>, String), String> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| foreign(what, error))?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| foreign(what, error))?;
    let header = metadata.metadata().as_ref().and_then(|map| map.get(KEY));
    Ok((tensors, header.ok_or_else(|| foreign(what, "safetensors of another program"))?.clone()))
}

/// Whether the file has the SHA-256 that its header holds.
pub(crate) fn check_hash(bytes: &[u8]) -> Result<(), String> {
    let is_as_saved = |place: usize| {
        let (before, rest) = bytes.split_at(place);
        let (noted, after) = rest.split_at(HASH_DIGITS);
        let hash = Sha256::new_with_prefix(before).chain_update(no_hash()).chain_update(after);
        hex(&hash.finalize()).as_bytes() == noted
    };
    match hash_place(bytes) {
        Some(place) if is_as_saved(place) => Ok(()),
        _ => Err("it is damaged (its SHA-256 is not the one noted when it was saved)".into()),
    }
}

/// safetensors' header after its length, as far as it is there.
fn read_header(file: &mut File, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.by_ref().take(8).read_to_end(&mut bytes)?;
    let claimed = bytes.first_chunk().map_or(0, |claimed| u64::from_le_bytes(*claimed));
    if claimed < length.min(MOST_HEADER) {
        file.by_ref().take(claimed).read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// How long a file with this header is.
fn claimed_length(header: &[u8]) -> Option<u128> {
    let json: BTreeMap<String, Value> = serde_json::from_slice(header.get(8..)?).ok()?;
    let ends = json.values().filter_map(|tensor| tensor["data_offsets"][1].as_u64());
    Some(header.len() as u128 + u128::from(ends.max().unwrap_or(0)))
}

pub(crate) fn foreign(what: &str, got: impl std::fmt::Display) -> String {
    format!("expected {what}, got {got}")
}

/// Where the hash's digits begin.
fn hash_place(bytes: &[u8]) -> Option<usize> {
    let start = bytes.windows(BEFORE_HASH.len()).position(|window| window == BEFORE_HASH)? + BEFORE_HASH.len();
    bytes.get(start..start + HASH_DIGITS).map(|_| start)
}

/// A type of a tensor's values.
pub(crate) trait Element: Copy {
    const DTYPE: Dtype;
    /// The type's name in NumPy's files.
    const NUMPY: &str;
    fn to_bytes(values: impl Iterator<Item = Self>) -> Vec<u8>;
    fn from_bytes(bytes: &[u8]) -> Vec<Self>;
}

macro_rules! element {
    ($($type:ty: $dtype:ident $numpy:literal),+) => {$(
        impl Element for $type {
            const DTYPE: Dtype = Dtype::$dtype;
            const NUMPY: &str = $numpy;

            fn to_bytes(values: impl Iterator<Item = Self>) -> Vec<u8> {
                values.flat_map(|value| value.to_le_bytes()).collect()
            }

            fn from_bytes(bytes: &[u8]) -> Vec<Self> {
                bytes.as_chunks().0.iter().map(|bytes| <$type>::from_le_bytes(*bytes)).collect()
            }
        }
    )+};
}
element!(f32: F32 "<f4", f64: F64 "<f8", u64: U64 "<u8", i64: I64 "<i8");

/// The format version of fitted models.
const VERSION: u32 = 1;

/// The header of a fitted model.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header<S> {
    version: u32,
    sha256: String,
    model: String,
    settings: S,
}

/// A fitted model to be saved: numbers and names in the header, arrays as tensors.
pub(crate) struct Fitted<S> {
    pub settings: S,
    tensors: Vec<Tensor>,
}

impl<S: Serialize> Fitted<S> {
    pub fn new(settings: S) -> Self {
        Self { settings, tensors: Vec::new() }
    }

    pub fn with<T: Element, D: Dimension>(mut self, name: &str, array: &Array<T, D>) -> Self {
        self.tensors.push((name.into(), T::DTYPE, array.shape().to_vec(), T::to_bytes(array.iter().copied())));
        self
    }

    /// `model`: "clustering".
    pub fn save(&self, path: &Path, model: &str) -> Result<()> {
        let (version, sha256, model) = (VERSION, no_hash(), model.to_string());
        write(path, &Header { version, sha256, model, settings: &self.settings }, &self.tensors)
    }
}

impl<S: DeserializeOwned> Fitted<S> {
    /// Reads what [`save`](Self::save) wrote; `restore` makes the model of it, or says what is wrong.
    pub fn load<T>(path: &Path, model: &str, restore: impl FnOnce(Self) -> Result<T, String>) -> Result<T> {
        let what = format!("a {model} that latentlab has saved");
        read(path, &what, |bytes| {
            let (tensors, text) = open(bytes, &what)?;
            // First: the other fields of a later version may be unknown.
            let json: Value = serde_json::from_str(&text).unwrap_or_default();
            if let Some(other) = json["model"].as_str().filter(|other| *other != model) {
                return Err(foreign(&what, format!("a model of kind {other}")));
            }
            if json["version"].as_u64() != Some(VERSION.into()) {
                return Err(format!("expected format version {VERSION}, got {}", json["version"]));
            }
            check_hash(bytes)?;
            let header: Header<S> =
                serde_json::from_str(&text).map_err(|error| format!("its header is damaged ({error})"))?;
            let owned = |(name, tensor): (String, TensorView)| {
                (name, tensor.dtype(), tensor.shape().to_vec(), tensor.data().to_vec())
            };
            restore(Self { settings: header.settings, tensors: tensors.tensors().into_iter().map(owned).collect() })
        })
    }

    /// The tensor of that name, which must have this type and number of dimensions.
    pub fn array<T: Element, D: Dimension>(&self, name: &str) -> Result<Array<T, D>, String> {
        let (_, dtype, shape, bytes) =
            self.tensors.iter().find(|tensor| tensor.0 == name).ok_or(format!("expected a tensor {name}, got none"))?;
        let dimensions = D::NDIM.unwrap_or(shape.len());
        if *dtype != T::DTYPE || shape.len() != dimensions {
            let expected = format!("a tensor {name} of {:?} in {dimensions} dimensions", T::DTYPE);
            return Err(format!("expected {expected}, got {shape:?} of {dtype:?}"));
        }
        let array = Array::from_shape_vec(IxDyn(shape), T::from_bytes(bytes));
        array.and_then(|array| array.into_dimensionality()).map_err(|error| format!("tensor {name}: {error}"))
    }
}
