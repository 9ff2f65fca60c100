//! NumPy's arrays: `.npy`, one array after a header, and `.npz`, a zip archive of these.
//!
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>

use std::fmt::Display;
use std::io::{self, Cursor, Read, Write};
use std::path::Path;
use std::sync::Arc;

use ndarray::{Array, ArrayD, ArrayViewD, Dimension, IxDyn};
use zip::{CompressionMethod, ZipArchive, ZipWriter, write::SimpleFileOptions};

use super::{Dataset, content, open};
use crate::error::{Error, ErrorKind, Result};
use crate::{
    file::{tensors, write_whole},
    format::thousands,
    limit,
};

impl Dataset {
    /// A data set without labels from NumPy's `.npy` file, with an array of a shape that
    /// [`from_array`](Self::from_array) takes. Unsigned bytes become grey values in \[0, 1\].
    ///
    /// # Errors
    /// As [`read_npy`], and when the shape is another one or a value is NaN or infinite.
    pub fn from_npy(path: impl AsRef<Path>) -> Result<Self> {
        Self::of_npy(path.as_ref())
    }

    fn of_npy(path: &Path) -> Result<Self> {
        Stored::read_file(path)?.into_dataset(&path.display().to_string())
    }

    /// A data set from two arrays of NumPy's `.npz` file: `rows` of a shape that [`from_array`](Self::from_array)
    /// takes, and as many whole numbers, the labels; the classes are named by their numbers, from "0" to the highest.
    /// Unsigned bytes become grey values in \[0, 1\].
    ///
    /// # Errors
    /// As [`read_npz`], and when the shapes are others, a label is not a whole number below 1,000,000, or a value is
    /// NaN or infinite.
    ///
    /// ```
    /// use latentlab::{Dataset, ndarray::{Array1, Array3}, write_npz};
    ///
    /// let path = std::env::temp_dir().join("latentlab-doc-images.npz");
    /// let x = Array3::from_elem((4, 28, 28), 0.5).into_dyn();
    /// let y = Array1::from(vec![0.0, 2.0, 1.0, 2.0]).into_dyn();
    /// write_npz(&path, [("x_train", &x), ("y_train", &y)])?;
    /// let images = Dataset::from_npz(&path, "x_train", "y_train")?;
    /// assert_eq!((images.image_shape(), images.class_names().len()), ([1, 28, 28], 3));
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn from_npz(path: impl AsRef<Path>, rows: &str, labels: &str) -> Result<Self> {
        Self::of_npz(path.as_ref(), rows, labels)
    }

    fn of_npz(path: &Path, rows: &str, labels: &str) -> Result<Self> {
        const MOST: f64 = 1e6;
        let data = Stored::read_member(path, rows)?.into_dataset(&path.display().to_string())?;
        let place = format!("{}, {labels}", path.display());
        let stored = Stored::read_member(path, labels)?;
        if stored.shape != [data.len()] && stored.shape != [data.len(), 1] {
            let expected = format!("{} labels, one for each row of {rows}", data.len());
            return Err(Error::expected(ErrorKind::Data, place, expected, format!("the shape {:?}", stored.shape)));
        }
        let is_label = |value: &f32| value.fract() == 0.0 && (0.0..MOST).contains(&f64::from(*value));
        if let Some(row) = stored.values.iter().position(|value| !is_label(value)) {
            let expected = "a whole number from 0 to 999,999";
            return Err(Error::expected(ErrorKind::Data, format!("{place}, row {row}"), expected, stored.values[row]));
        }
        let labels: Vec<usize> = stored.values.iter().map(|value| *value as usize).collect();
        let classes = labels.iter().max().map_or(0, |highest| highest + 1);
        data.with_labels(labels.into(), (0..classes).map(|class| class.to_string()))
    }
}

/// Reads NumPy's `.npy` file: floats of 16, 32 or 64 bits, whole numbers of 8 to 64 bits or booleans, all as `f32`.
///
/// # Errors
/// When the file cannot be read, is damaged or of another kind (the error names the byte), or the array would be larger
/// than one result may be (4 GiB, or what the environment variable `LATENTLAB_MAX_BYTES` says).
///
/// ```
/// use latentlab::{ndarray::Array2, read_npy, write_npy};
///
/// let path = std::env::temp_dir().join("latentlab-doc-array.npy");
/// let array = Array2::from_shape_fn((2, 3), |(row, column)| (row + 10 * column) as f32);
/// write_npy(&path, &array)?;
/// assert_eq!(read_npy(&path)?, array.into_dyn());
/// # std::fs::remove_file(path).ok();
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn read_npy(path: impl AsRef<Path>) -> Result<ArrayD<f32>> {
    Stored::read_array(path.as_ref(), None)
}

/// Reads one array of NumPy's `.npz` file by its name, as [`read_npy`] reads it.
///
/// # Errors
/// As [`read_npy`], and when there is no array of that name: the error lists those that there are.
pub fn read_npz(path: impl AsRef<Path>, name: &str) -> Result<ArrayD<f32>> {
    Stored::read_array(path.as_ref(), Some(name))
}

/// Writes an array to NumPy's `.npy` file, as `float32`: all of it, or nothing.
///
/// # Errors
/// When the file cannot be written.
pub fn write_npy<D: Dimension>(path: impl AsRef<Path>, array: &Array<f32, D>) -> Result<()> {
    write_whole(path.as_ref(), &npy_bytes(&array.view().into_dyn()))
}

/// Writes arrays with their names to NumPy's `.npz` file, as compressed `float32`: all of it, or nothing.
///
/// # Errors
/// When a name is empty or comes twice, or the file cannot be written.
pub fn write_npz<'a, D: Dimension + 'a>(
    path: impl AsRef<Path>,
    arrays: impl IntoIterator<Item = (&'a str, &'a Array<f32, D>)>,
) -> Result<()> {
    let mut members = arrays.into_iter().map(|(name, array)| (name.into(), npy_bytes(&array.view().into_dyn())));
    write_members(path.as_ref(), &mut members)
}

/// Writes NumPy's `.npz` file from the content of its `.npy` files.
pub(crate) fn write_members(path: &Path, arrays: &mut dyn Iterator<Item = (String, Vec<u8>)>) -> Result<()> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let refused = |error: &dyn Display| {
            Error::argument("write_npz", "names that are not empty, each once", format!("{name:?} ({error})"))
        };
        if name.is_empty() || name.len() > 1000 {
            return Err(refused(&format!("{} bytes", name.len())));
        }
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        let options = options.large_file(u32::try_from(bytes.len()).is_err());
        archive.start_file(format!("{name}.npy"), options).map_err(|error| refused(&error))?;
        archive.write_all(&bytes).map_err(|error| Error::io(path, "write", error))?;
    }
    let bytes = archive.finish().map_err(|error| Error::io(path, "write", io::Error::other(error)))?;
    write_whole(path, bytes.get_ref())
}

const MAGIC: &[u8] = b"\x93NUMPY";

/// A file of version 1.0, its header padded to a multiple of 64 bytes.
pub(crate) fn npy_bytes<T: tensors::Element>(array: &ArrayViewD<T>) -> Vec<u8> {
    // As Python writes a tuple
    let sides = match array.shape() {
        [side] => format!("{side},"),
        sides => sides.iter().map(usize::to_string).collect::<Vec<_>>().join(", "),
    };
    let mut header = format!("{{'descr': '{}', 'fortran_order': False, 'shape': ({sides}), }}", T::NUMPY);
    let unpadded = MAGIC.len() + 4 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let mut bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
    bytes.extend(T::to_bytes(array.iter().copied()));
    bytes
}

/// An array as it is read.
struct Stored {
    shape: Vec<usize>,
    /// Whether the first index changes fastest.
    is_fortran: bool,
    is_bytes: bool,
    values: Vec<f32>,
}

impl Stored {
    fn read_file(path: &Path) -> Result<Self> {
        let (file, length) = open::file(path)?;
        let place = path.display().to_string();
        let stream = io::BufReader::new(file);
        Input { place, stream, at: 0 }.read(Some(length), length)
    }

    fn read_member(path: &Path, name: &str) -> Result<Self> {
        let shown = path.display().to_string();
        let (file, length) = open::file(path)?;
        let mut beginning = Vec::new();
        let read = (&file).take(content::BEGINNING as u64).read_to_end(&mut beginning);
        read.map_err(|error| Error::io(path, "read", error))?;
        let mut archive = ZipArchive::new(io::BufReader::new(file)).map_err(|error| {
            let got = match content::describe(&beginning) {
                Some(what) if !beginning.starts_with(b"PK") => what,
                _ => error.to_string(),
            };
            Error::expected(ErrorKind::Data, &shown, "a NumPy archive (.npz)", got)
        })?;
        let member =
            match [format!("{name}.npy"), name.to_string()].iter().find_map(|name| archive.index_for_name(name)) {
                Some(index) => archive.by_index(index),
                None => {
                    let mut names: Vec<&str> = archive.file_names().take(20).collect();
                    names.sort_unstable();
                    let names: Vec<&str> = names.into_iter().map(|name| name.trim_end_matches(".npy")).collect();
                    let expected = format!("one of its arrays: {}", names.join(", "));
                    return Err(Error::expected(ErrorKind::Argument, shown, expected, format!("{name:?}")));
                }
            };
        let place = format!("{shown}, {name}");
        let member = member.map_err(|error| Error::expected(ErrorKind::Data, &place, "a sound zip archive", error))?;
        let compressed = member.compressed_size().min(length);
        Input { place, stream: member, at: 0 }.read(None, compressed)
    }

    fn read_array(path: &Path, member: Option<&str>) -> Result<ArrayD<f32>> {
        let stored = member.map_or_else(|| Self::read_file(path), |name| Self::read_member(path, name));
        stored?.into_array(&path.display().to_string())
    }

    fn into_array(self, place: &str) -> Result<ArrayD<f32>> {
        let Self { mut shape, is_fortran, values, .. } = self;
        if is_fortran {
            shape.reverse();
        }
        let array = ArrayD::from_shape_vec(IxDyn(&shape), values);
        let array = array.map_err(|error| Error::new(ErrorKind::Data, place, error.to_string()))?;
        Ok(if is_fortran { array.reversed_axes() } else { array })
    }

    fn into_dataset(mut self, place: &str) -> Result<Dataset> {
        if self.is_bytes {
            self.values.iter_mut().for_each(|value| *value /= 255.0);
        }
        let data = Dataset::from_array(self.into_array(place)?).map_err(|error| error.within(place))?;
        Ok(Dataset { source: Arc::from(format!("{} rows from {place}", thousands(data.len()))), ..data })
    }
}

/// A `.npy` file while it is read.
struct Input<R> {
    place: String,
    stream: R,
    /// The bytes that have been read.
    at: u64,
}

/// The greatest compression ratio of deflate.
const MOST_DEFLATED: u64 = 1032;

/// More than NumPy itself reads without being asked to.
const LONGEST_HEADER: usize = 1 << 16;

impl<R: Read> Input<R> {
    /// `length` of a plain file, or the bytes that are compressed.
    fn read(mut self, length: Option<u64>, compressed: u64) -> Result<Stored> {
        let start = self.bytes(8)?;
        if !start.starts_with(MAGIC) || !(1..=3).contains(&start[6]) {
            let got = content::describe(&start).unwrap_or_else(|| format!("{start:02x?}"));
            return Err(self.bad(0, "a NumPy array of format 1 to 3 (.npy)", got));
        }
        let header = match start[6] {
            1 => self.bytes(2)?.iter().rev().fold(0, |size, byte| size << 8 | usize::from(*byte)),
            _ => self.bytes(4)?.iter().rev().fold(0, |size, byte| size << 8 | usize::from(*byte)),
        };
        if header > LONGEST_HEADER {
            return Err(self.bad(8, format!("a header of at most {LONGEST_HEADER} bytes"), header));
        }
        let at = self.at;
        let header = String::from_utf8_lossy(&self.bytes(header)?).into_owned();
        let (element, is_fortran, shape) = self.header(&header, at)?;
        let count = limit::check(&self.place, "the values", &shape)?;
        let expected = (count as u64).saturating_mul(element.size as u64);
        let whole = format!("{expected} bytes after the header, for the shape {shape:?}");
        match length {
            Some(length) if length - self.at.min(length) != expected => {
                let got = format!("{}", length.saturating_sub(self.at));
                return Err(self.bad(self.at, whole, got));
            }
            None if expected / MOST_DEFLATED > compressed => {
                let got = format!("{compressed} compressed bytes, which cannot hold as many");
                return Err(self.bad(self.at, whole, got));
            }
            _ => {}
        }
        // Memory grows with the bytes that arrive.
        let mut values = Vec::with_capacity(if length.is_some() { count } else { 0 });
        let mut block = vec![0; (1 << 16) * element.size];
        while values.len() < count {
            let part = block.len().min((count - values.len()) * element.size);
            self.fill(&mut block[..part], &whole)?;
            values.extend(block[..part].chunks_exact(element.size).map(|bytes| element.value(bytes)));
        }
        let more = self.fill_some(&mut [0; 1])?; // also where a zip archive's checksum is compared
        if more > 0 {
            return Err(self.bad(self.at, whole, "more"));
        }
        Ok(Stored { shape, is_fortran, is_bytes: (element.kind, element.size) == ('u', 1), values })
    }

    /// The entries of the header, a Python dictionary.
    fn header(&self, header: &str, at: u64) -> Result<(Element, bool, Vec<usize>)> {
        let wrong = |expected: &str| self.bad(at, expected, format!("{:?}", header.trim_end()));
        let entry = |name: &str| -> Option<&str> {
            let (_, rest) = header.split_once(&format!("'{name}'"))?;
            Some(rest.trim_start().strip_prefix(':')?.trim_start())
        };
        let descr = entry("descr").ok_or_else(|| wrong("a header with 'descr'"))?;
        let descr = descr.strip_prefix('\'').and_then(|rest| rest.split('\'').next()).unwrap_or(descr);
        let Some(element) = Element::of(descr) else {
            let expected = "elements of type bool, u1 to u8, i1 to i8, f2, f4 or f8";
            let error = self.bad(at, expected, descr.chars().take(40).collect::<String>());
            return Err(error.hint("In Python, array.astype(\"float32\") makes it one of these"));
        };
        let is_fortran = match entry("fortran_order") {
            Some(rest) if rest.starts_with("True") => true,
            Some(rest) if rest.starts_with("False") => false,
            _ => return Err(wrong("a header with 'fortran_order'")),
        };
        let sides = entry("shape").and_then(|rest| rest.strip_prefix('(')?.split_once(')'));
        let (sides, _) = sides.ok_or_else(|| wrong("a header with 'shape'"))?;
        let sides = sides.split(',').map(str::trim).filter(|side| !side.is_empty());
        let shape = sides.map(str::parse).collect::<std::result::Result<Vec<usize>, _>>();
        let shape = shape.map_err(|_| wrong("a 'shape' of whole numbers"))?;
        if shape.len() > 32 {
            return Err(wrong("a 'shape' of at most 32 numbers")); // as NumPy has it
        }
        Ok((element, is_fortran, shape))
    }

    fn bytes(&mut self, count: usize) -> Result<Vec<u8>> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes, "a whole header")?;
        Ok(bytes)
    }

    fn fill(&mut self, into: &mut [u8], whole: &str) -> Result<()> {
        let mut filled = 0;
        while filled < into.len() {
            match self.fill_some(&mut into[filled..])? {
                0 => return Err(self.bad(self.at, whole, "the end of the file")),
                count => filled += count,
            }
        }
        Ok(())
    }

    fn fill_some(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            match self.stream.read(into) {
                Ok(count) => {
                    self.at += count as u64;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.bad(self.at, "sound bytes", &error).source(error)),
            }
        }
    }

    fn bad(&self, at: u64, expected: impl Display, got: impl Display) -> Error {
        Error::expected(ErrorKind::Data, format!("{}, byte {at}", self.place), expected, got)
    }
}

/// The type of an array's elements: kind 'f', 'i', 'u' or 'b' and its bytes.
#[derive(Clone, Copy)]
struct Element {
    kind: char,
    size: usize,
    is_big_endian: bool,
}

impl Element {
    /// From `'<f4'`: the order of the bytes, the kind and their number.
    fn of(descr: &str) -> Option<Self> {
        let mut letters = descr.chars();
        let (order, kind) = (letters.next()?, letters.next()?);
        let size = letters.as_str().parse().ok()?;
        let is_known = match kind {
            'b' => size == 1,
            'i' | 'u' => [1, 2, 4, 8].contains(&size),
            'f' => [2, 4, 8].contains(&size),
            _ => false,
        };
        let is_order = "<>|=".contains(order);
        (is_known && is_order).then_some(Self { kind, size, is_big_endian: order == '>' })
    }

    fn value(self, bytes: &[u8]) -> f32 {
        let mut ordered = [0; 8];
        ordered[..self.size].copy_from_slice(bytes);
        if self.is_big_endian {
            ordered[..self.size].reverse();
        }
        let whole = u64::from_le_bytes(ordered);
        let unused = 64 - 8 * self.size as u32;
        match (self.kind, self.size) {
            ('f', 2) => half_precision(whole as u16),
            ('f', 4) => f32::from_bits(whole as u32),
            ('f', _) => f64::from_bits(whole) as f32,
            ('i', _) => (((whole << unused) as i64) >> unused) as f32,
            _ => whole as f32,
        }
    }
}

/// The value of a float of 16 bits (IEEE 754 binary16), of which every one is a float of 32 bits too.
pub(crate) fn half_precision(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = match exponent {
        0 => fraction * 2f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (fraction + 1024.0) * 2f32.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -size } else { size }
}

#[cfg(test)]
mod tests {
    use ndarray::{arr1, arr2};

    use super::*;
    use crate::data::folder::Folder;

    /// A file as NumPy writes it, in any version of the format.
    fn file(version: u8, header: &str, values: &[u8]) -> Vec<u8> {
        let length = header.len() as u32;
        let length = if version == 1 { (length as u16).to_le_bytes().to_vec() } else { length.to_le_bytes().to_vec() };
        [MAGIC, &[version, 0], &length, header.as_bytes(), values].concat()
    }

    #[test]
    fn every_type_order_and_version_is_read() {
        let folder = Folder::new("npy");
        let read = |version, descr: &str, fortran: &str, values: &[u8]| {
            let header = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': (2, 2), }}   \n");
            read_npy(folder.write("array.npy", &file(version, &header, values)))
        };
        let expected = arr2(&[[1.0, 2.0], [3.0, 250.0]]).into_dyn();
        let wide = |of: fn(u16) -> Vec<u8>| [1, 2, 3, 250].into_iter().flat_map(of).collect::<Vec<u8>>();
        for (descr, values) in [
            ("|u1", wide(|value| vec![value as u8])),
            ("<u2", wide(|value| value.to_le_bytes().to_vec())),
            (">i2", wide(|value| value.to_be_bytes().to_vec())),
            ("<i4", wide(|value| i32::from(value).to_le_bytes().to_vec())),
            ("<i8", wide(|value| i64::from(value).to_le_bytes().to_vec())),
            (">u8", wide(|value| u64::from(value).to_be_bytes().to_vec())),
            ("<f4", wide(|value| f32::from(value).to_le_bytes().to_vec())),
            (">f8", wide(|value| f64::from(value).to_be_bytes().to_vec())),
        ] {
            assert_eq!(read(1, descr, "False", &values).unwrap(), expected, "{descr}");
            assert_eq!(read(2, descr, "True", &values).unwrap(), expected.t(), "{descr}");
        }
        assert_eq!(read(3, "|b1", "False", &[0, 1, 1, 0]).unwrap(), arr2(&[[0.0, 1.0], [1.0, 0.0]]).into_dyn());
        assert_eq!(read(1, "|i1", "False", &[255, 1, 128, 0]).unwrap(), arr2(&[[-1.0, 1.0], [-128.0, 0.0]]).into_dyn());
        let error = read(1, "<f16", "False", &[0; 64]).unwrap_err().to_string();
        assert!(
            error.contains("byte 10: expected elements of type bool, u1 to u8, i1 to i8, f2, f4 or f8, got <f16"),
            "{error}"
        );
        // As numpy.float16 has them: 1, −2, 65504 (the largest), 2⁻²⁴ (the smallest above 0).
        let halves = [0x3c00u16, 0xc000, 0x7bff, 0x0001];
        let values = arr2(&[[1.0, -2.0], [65504.0, 2f32.powi(-24)]]).into_dyn();
        let bytes = |of: fn(u16) -> [u8; 2]| halves.iter().flat_map(|half| of(*half)).collect::<Vec<u8>>();
        assert_eq!(read(1, "<f2", "False", &bytes(u16::to_le_bytes)).unwrap(), values);
        assert_eq!(read(1, ">f2", "True", &bytes(u16::to_be_bytes)).unwrap(), values.t());
    }

    #[test]
    fn every_half_precision_number_is_exact() {
        for bits in 0..=u16::MAX {
            let (value, is_special) = (half_precision(bits), bits & 0x7c00 == 0x7c00);
            if is_special {
                assert_eq!(value.is_nan(), bits & 1023 != 0);
                assert_eq!(value.is_infinite(), bits & 1023 == 0);
            } else {
                let sign = if bits & 0x8000 != 0 { -1.0 } else { 1.0 };
                let set = (0..10).filter(|bit| bits >> bit & 1 == 1).map(|bit| 2f64.powi(bit)).sum::<f64>();
                let exponent = f64::from(bits >> 10 & 31);
                let expected = match exponent {
                    0.0 => sign * set / 2f64.powi(24),
                    _ => sign * (1.0 + set / 1024.0) * (exponent - 15.0).exp2(),
                };
                assert_eq!(f64::from(value), expected, "{bits:#06x}");
            }
            assert!(value.is_nan() || value.is_sign_negative() == (bits & 0x8000 != 0));
        }
    }

    /// The bytes that `numpy.save` writes for `numpy.array([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], "float32")`.
    #[test]
    fn a_written_array_is_numpys_to_the_byte() {
        let array = arr2(&[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0_f32]]);
        let bytes = npy_bytes(&array.view().into_dyn());
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";
        assert_eq!(&bytes[..10], b"\x93NUMPY\x01\0\x76\0");
        assert_eq!(bytes[10..128], *format!("{header:117}\n").as_bytes());
        assert_eq!(bytes.len(), 128 + 24);
        let seven = npy_bytes(&Array::<f32, _>::zeros(7).view().into_dyn());
        assert!(String::from_utf8_lossy(&seven).contains("'shape': (7,), }"));
        let folder = Folder::new("npy-written");
        for array in [array.clone().into_dyn(), array.reversed_axes().into_dyn(), arr1(&[]).into_dyn()] {
            write_npy(folder.file("a.npy"), &array).unwrap();
            assert_eq!(read_npy(folder.file("a.npy")).unwrap(), array);
        }
    }

    #[test]
    fn archives_hold_images_and_labels() {
        let folder = Folder::new("npz");
        let path = folder.file("arrays.npz");
        let (x, y) = (arr2(&[[0.5, 1.0], [2.0, 4.0]]).into_dyn(), arr1(&[2.0, 0.0]).into_dyn());
        write_npz(&path, [("x", &x), ("y", &y)]).unwrap();
        assert_eq!(read_npz(&path, "x").unwrap(), x);
        let data = Dataset::from_npz(&path, "x", "y").unwrap();
        assert_eq!((data.labels().to_vec(), data.class_names().len(), data.image_shape()), (vec![2, 0], 3, [1, 1, 2]));
        let error = read_npz(&path, "z").unwrap_err().to_string();
        assert_eq!(error, format!("{}: expected one of its arrays: x, y, got \"z\"", path.display()));
        let error = Dataset::from_npz(&path, "y", "x").unwrap_err().to_string();
        assert!(error.contains("from_array: expected (n, features)"), "{error}");
        let error = Dataset::from_npz(&path, "x", "x").unwrap_err().to_string();
        assert!(error.contains("expected 2 labels, one for each row of x, got the shape [2, 2]"), "{error}");
        write_npz(&path, [("x", &x), ("y", &arr1(&[0.0, 0.5]).into_dyn())]).unwrap();
        let error = Dataset::from_npz(&path, "x", "y").unwrap_err().to_string();
        assert!(error.contains("y, row 1: expected a whole number from 0 to 999,999, got 0.5"), "{error}");

        // Bytes are grey values.
        let grey = file(1, "{'descr': '|u1', 'fortran_order': False, 'shape': (1, 2, 2)}", &[0, 51, 102, 255]);
        let grey = Dataset::from_npy(folder.write("grey.npy", &grey)).unwrap();
        assert_eq!((grey.values(), grey.image_shape()), (&[0.0, 0.2, 0.4, 1.0][..], [1, 2, 2]));
    }

    #[test]
    fn bad_files_are_refused_with_byte_expected_and_got() {
        let folder = Folder::new("npy-bad");
        let header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n";
        let good = file(1, header, &[0; 24]);
        let start = good.len() - 24;
        let with = |header: &str| file(1, header, &[]);
        let whole = format!("byte {start}: expected 24 bytes after the header, for the shape [2, 3], got");
        for (bytes, expected) in [
            (vec![], "byte 0: expected a whole header, got the end of the file".to_string()),
            (b"PK\x03\x04....".to_vec(), "byte 0: expected a NumPy array of format 1 to 3".into()),
            (good[..20].to_vec(), "byte 20: expected a whole header, got the end of the file".into()),
            (good[..start + 20].to_vec(), format!("{whole} 20")),
            ([&good[..], &[0]].concat(), format!("{whole} 25")),
            (with("{'descr': '<c8', 'fortran_order': False, 'shape': (2,)}"), "got <c8. In Python".into()),
            (with("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}"), "got [('a'".into()),
            (with("{'descr': '<f4', 'shape': (2,)}"), "expected a header with 'fortran_order'".into()),
            (with("{'descr': '<f4', 'fortran_order': False}"), "expected a header with 'shape'".into()),
            (with("{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}"), "a 'shape' of whole numbers".into()),
            (
                with("{'descr': '<f4', 'fortran_order': False, 'shape': (4000000000, 4000000000)}"),
                "expected at most 4 GiB for one result, got 55.5 EiB".into(),
            ),
            (
                file(2, "", &[])[..8].iter().copied().chain([255; 4]).collect(),
                "byte 8: expected a header of at most".into(),
            ),
        ] {
            let path = folder.write("a.npy", &bytes);
            let error = read_npy(&path).unwrap_err().to_string();
            assert!(error.starts_with(&path.display().to_string()) && error.contains(&expected), "{expected}: {error}");
        }
        let path = folder.write("a.npz", &good);
        let error = read_npz(&path, "x").unwrap_err().to_string();
        assert!(error.ends_with("expected a NumPy archive (.npz), got a NumPy array (.npy)"), "{error}");
    }
}
