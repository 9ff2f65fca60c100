//! The IDX format of the MNIST family: a magic number, the sizes, then one byte for each value; all numbers
//! big-endian. Plain or gzip, told apart by content.
//!
//! Header sizes are not trusted: they are checked against the file's length, the expected sizes and the limit of one
//! result before anything is read. Memory then grows with the bytes that arrive, and gzip is unpacked no further than
//! the header says.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::GzDecoder;
use sha2::{Digest, Sha256};

use super::{content, open};
use crate::error::{Error, ErrorKind, Result};
use crate::file::hex;
use crate::limit;

/// The kind of a file, which its magic number states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Magic 0x803: unsigned bytes in three dimensions (n, height, width).
    Images,
    /// Magic 0x801: unsigned bytes in one dimension (n).
    Labels,
}

impl Kind {
    fn magic(self) -> u32 {
        match self {
            Kind::Images => 0x803,
            Kind::Labels => 0x801,
        }
    }

    fn size_names(self) -> &'static [&'static str] {
        match self {
            Kind::Images => &["number of images", "height", "width"],
            Kind::Labels => &["number of labels"],
        }
    }

    fn header_length(self) -> usize {
        4 + 4 * self.size_names().len()
    }

    /// What the values become in a data set, and the size of each in `f32`s: one `f32` or one `usize`.
    fn in_memory(self) -> (&'static str, usize) {
        match self {
            Kind::Images => ("the images", 1),
            Kind::Labels => ("the labels", 2),
        }
    }
}

/// The greatest compression ratio of deflate.
const MOST_DEFLATED: u64 = 1032;

/// A whole file, unpacked and consistent with its header.
#[derive(Debug)]
pub(super) struct Idx {
    path: PathBuf,
    kind: Kind,
    /// (n, height, width) of images, (n) of labels.
    pub sizes: Vec<usize>,
    bytes: Vec<u8>, // with the header
}

impl Idx {
    /// Reads `path`, which must hold a `kind`.
    pub fn read(path: &Path, kind: Kind) -> Result<Self> {
        Self::read_sized(path, kind, None)
    }

    /// The same; a file with other sizes than the known ones is refused at its header.
    pub fn read_sized(path: &Path, kind: Kind, known: Option<&[usize]>) -> Result<Self> {
        let (file, length) = open::file(path)?;
        let mut file = BufReader::with_capacity(1 << 16, file);
        let packed = file.fill_buf().map_err(|error| Error::io(path, "read", error))?.starts_with(&GZIP);
        let stream: Box<dyn Read> = if packed { Box::new(Members::new(file)) } else { Box::new(file) };
        let mut input = Input { path, packed, stream, bytes: Vec::new() };
        let (sizes, expected) = input.read_header(kind, known)?;
        input.check_possible(kind, &sizes, expected, length)?;
        input.read_up_to(expected + 1)?;
        input.check_length(expected)?;
        Ok(Self { path: path.to_owned(), kind, sizes, bytes: input.bytes })
    }

    /// The SHA-256 of the unpacked file, in lower-case hexadecimal digits.
    pub fn sha256(&self) -> String {
        hex(&Sha256::digest(&self.bytes))
    }

    /// The values, without the header.
    pub fn values(&self) -> &[u8] {
        &self.bytes[self.kind.header_length()..]
    }

    /// The values as labels, all of them below `class_count`.
    pub fn labels(&self, class_count: usize) -> Result<Vec<usize>> {
        let labels: Vec<usize> = self.values().iter().map(|&value| value.into()).collect();
        if let Some(index) = labels.iter().position(|&label| label >= class_count) {
            let place = format!("{}, byte {}", self.path.display(), self.kind.header_length() + index);
            let expected = format!("a label below {class_count}");
            return Err(Error::expected(ErrorKind::Data, place, expected, labels[index]));
        }
        Ok(labels)
    }
}

/// A file while it is read: `bytes` is what has arrived.
struct Input<'a> {
    path: &'a Path,
    packed: bool,
    stream: Box<dyn Read>,
    bytes: Vec<u8>,
}

impl Input<'_> {
    /// The sizes in the header, and the length of the file that they imply.
    fn read_header(&mut self, kind: Kind, known: Option<&[usize]>) -> Result<(Vec<usize>, usize)> {
        self.read_up_to(kind.header_length())?;
        let expected = format!("the magic number {:#x} ({kind:?})", kind.magic());
        match self.number_at(0) {
            Some(magic) if magic == kind.magic() => {}
            found => {
                // Only to say what it is: an error further on does not matter.
                let _ = self.read_up_to(content::BEGINNING);
                match (content::describe(&self.bytes), found) {
                    (Some(what), _) => return Err(self.bad(0, expected, what)),
                    (None, Some(magic)) => return Err(self.bad(0, expected, format!("{magic:#x}"))),
                    (None, None) => {} // the end of the file, below
                }
            }
        }
        let mut sizes = Vec::new();
        for (i, name) in kind.size_names().iter().enumerate() {
            let at = 4 + 4 * i;
            match self.number_at(at) {
                Some(0) => return Err(self.bad(at, format!("a {name} of at least 1"), 0)),
                Some(size) => sizes.push(size as usize),
                None => {
                    let expected = format!("a header of {} bytes", kind.header_length());
                    return Err(self.bad(self.bytes.len(), expected, "the end of the file"));
                }
            }
        }
        if let Some(known) = known.filter(|known| *known != sizes) {
            return Err(self.bad(4, format!("the sizes {known:?}"), format!("{sizes:?}")));
        }
        let length = sizes.iter().try_fold(1_usize, |product, &size| product.checked_mul(size));
        match length.and_then(|length| length.checked_add(kind.header_length() + 1)) {
            Some(end) => Ok((sizes, end - 1)),
            None => Err(self.bad(4, "sizes of a possible file", format!("{sizes:?}"))),
        }
    }

    /// Whether a file of `length` bytes can unpack to `expected` bytes, and these are within the limit.
    fn check_possible(&self, kind: Kind, sizes: &[usize], expected: usize, length: u64) -> Result<()> {
        if self.packed && (expected as u64) / MOST_DEFLATED > length {
            let whole = format!("{expected} bytes, as the header says");
            return Err(self.bad(4, whole, format!("a gzip file of {length} bytes, which cannot hold as much")));
        }
        if !self.packed && expected as u64 > length {
            let at = usize::try_from(length).unwrap_or(usize::MAX);
            return Err(self.bad(at, format!("{expected} bytes, as the header says"), "the end of the file"));
        }
        let (what, each) = kind.in_memory();
        let factors = [sizes, &[each]].concat();
        limit::check(self.path.display().to_string(), what, &factors).map(drop)
    }

    fn check_length(&self, expected: usize) -> Result<()> {
        let whole = format!("{expected} bytes, as the header says");
        match self.bytes.len() {
            length if length < expected => Err(self.bad(length, whole, "the end of the file")),
            length if length > expected => Err(self.bad(expected, whole, "more")),
            _ => Ok(()),
        }
    }

    /// Reads until there are `length` bytes or the file ends.
    fn read_up_to(&mut self, length: usize) -> Result<()> {
        let missing = length.saturating_sub(self.bytes.len()) as u64;
        match self.stream.by_ref().take(missing).read_to_end(&mut self.bytes) {
            Ok(_) => Ok(()),
            Err(error) if !self.packed || error.raw_os_error().is_some() => Err(Error::io(self.path, "read", error)),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                Err(self.bad(self.bytes.len(), "more of the gzip stream", "its early end").source(error))
            }
            Err(error) => Err(self.bad(self.bytes.len(), "a sound gzip stream", &error).source(error)),
        }
    }

    fn number_at(&self, at: usize) -> Option<u32> {
        self.bytes[at.min(self.bytes.len())..].first_chunk().map(|&bytes| u32::from_be_bytes(bytes))
    }

    fn bad(&self, at: usize, expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Error {
        let unpacked = if self.packed { " (unpacked)" } else { "" };
        Error::expected(ErrorKind::Data, format!("{}, byte {at}{unpacked}", self.path.display()), expected, got)
    }
}

/// How a gzip member begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The unpacked members of a gzip file one after the other. As with `gunzip`, only zeros may follow the last one
/// (padding to whole blocks).
struct Members<R> {
    /// `None` only while the next one is opened.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    fn new(input: R) -> Self {
        Self { member: Some(GzDecoder::new(input)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            let rest = member.get_mut();
            let next = rest.fill_buf()?.first().copied();
            if next == Some(GZIP[0]) {
                self.member = self.member.take().map(|member| GzDecoder::new(member.into_inner()));
                continue;
            }
            loop {
                let padding = rest.fill_buf()?;
                if padding.is_empty() {
                    return Ok(0);
                }
                if padding.iter().any(|byte| *byte != 0) {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "other bytes after its end"));
                }
                let length = padding.len();
                rest.consume(length);
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;

    use std::fs::File;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    /// An IDX file: the magic number and sizes, then the values.
    pub fn idx(header: &[u32], values: &[u8]) -> Vec<u8> {
        header.iter().flat_map(|number| number.to_be_bytes()).chain(values.iter().copied()).collect()
    }

    pub fn gzip(bytes: &[u8]) -> Vec<u8> {
        gzip_with(bytes, Compression::default())
    }

    /// Packed without compression: 10 bytes of header, 5 of the block's, the bytes, 8 of the trailer.
    pub fn stored(bytes: &[u8]) -> Vec<u8> {
        gzip_with(bytes, Compression::none())
    }

    fn gzip_with(bytes: &[u8], compression: Compression) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), compression);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    pub use crate::data::folder::Folder;

    impl Folder {
        /// The names of the files in it.
        pub fn files(&self) -> Vec<String> {
            let entries = std::fs::read_dir(&self.0).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        }
    }

    #[test]
    fn plain_and_gzip_give_the_same() {
        let folder = Folder::new("idx-good");
        let images = idx(&[0x803, 2, 2, 3], &[0, 1, 2, 3, 4, 5, 250, 251, 252, 253, 254, 255]);
        for bytes in [images.clone(), gzip(&images), [gzip(&images[..9]), gzip(&images[9..])].concat()] {
            let read = Idx::read(&folder.write("images", &bytes), Kind::Images).unwrap();
            assert_eq!(read.sizes, [2, 2, 3]);
            assert_eq!(read.values(), &images[16..]);
        }
        let labels = Idx::read(&folder.write("labels", &idx(&[0x801, 3], &[7, 0, 9])), Kind::Labels).unwrap();
        assert_eq!(labels.labels(10).unwrap(), [7, 0, 9]);
    }

    #[test]
    fn sha256_is_that_of_the_unpacked_bytes() {
        // printf '\0\0\10\1\0\0\0\1\5' | sha256sum
        let expected = "3afb77842a393f5177431fbff622da97dcf83b0818befe62777f51c37eba4401";
        let folder = Folder::new("idx-sha");
        let labels = idx(&[0x801, 1], &[5]);
        for bytes in [labels.clone(), gzip(&labels)] {
            assert_eq!(Idx::read(&folder.write("labels", &bytes), Kind::Labels).unwrap().sha256(), expected);
        }
    }

    #[test]
    fn bad_files_are_refused_with_place_expected_and_got() {
        let good = idx(&[0x803, 2, 2, 3], &[9; 12]);
        let packed = stored(&good);
        let damaged = |at: usize| {
            let mut bytes = packed.clone();
            bytes[at] ^= 0xff;
            bytes
        };
        let huge = [0x803, u32::MAX, u32::MAX, u32::MAX]; // more than 64 bits
        let terabytes = [0x803, 1 << 30, 64, 64];
        use Kind::{Images, Labels};
        let cases: &[(&str, Kind, Vec<u8>, &str)] = &[
            ("empty", Images, vec![], "byte 0: expected the magic number 0x803 (Images), got an empty file"),
            (
                "header cut",
                Images,
                good[..10].to_vec(),
                "byte 10: expected a header of 16 bytes, got the end of the file",
            ),
            (
                "text",
                Images,
                b"<html>not found</html>".to_vec(),
                "byte 0: expected the magic number 0x803 (Images), \
                 got an HTML page (what a server showed in place of the file)",
            ),
            (
                "labels as images",
                Images,
                idx(&[0x801, 3], &[1, 2, 3]),
                "byte 0: expected the magic number 0x803 (Images), got an IDX file of labels",
            ),
            (
                "images as labels",
                Labels,
                good.clone(),
                "byte 0: expected the magic number 0x801 (Labels), got an IDX file of images",
            ),
            (
                "no images",
                Images,
                idx(&[0x803, 0, 2, 3], &[]),
                "byte 4: expected a number of images of at least 1, got 0",
            ),
            ("no width", Images, idx(&[0x803, 2, 2, 0], &[]), "byte 12: expected a width of at least 1, got 0"),
            (
                "too short",
                Images,
                good[..27].to_vec(),
                "byte 27: expected 28 bytes, as the header says, got the end of the file",
            ),
            (
                "too short, gzip",
                Images,
                gzip(&good[..27]),
                "byte 27 (unpacked): expected 28 bytes, as the header says, got the end of the file",
            ),
            (
                "trailing byte",
                Images,
                [&good[..], &[0]].concat(),
                "byte 28: expected 28 bytes, as the header says, got more",
            ),
            (
                "trailing byte, gzip",
                Images,
                gzip(&[&good[..], &[0]].concat()),
                "byte 28 (unpacked): expected 28 bytes, as the header says, got more",
            ),
            (
                "bomb",
                Images,
                gzip(&[&good[..], &[0; 1 << 20]].concat()),
                "byte 28 (unpacked): expected 28 bytes, as the header says, got more",
            ),
            (
                "overflow",
                Images,
                idx(&huge, &[0; 12]),
                "byte 4: expected sizes of a possible file, got [4294967295, 4294967295, 4294967295]",
            ),
            (
                "terabytes",
                Images,
                idx(&terabytes, &[0; 12]),
                "byte 28: expected 4398046511120 bytes, as the header says, got the end of the file",
            ),
            (
                "terabytes, gzip",
                Images,
                gzip(&idx(&terabytes, &[0; 12])),
                "byte 4 (unpacked): expected 4398046511120 bytes, as the header says, \
                 got a gzip file of 31 bytes, which cannot hold as much",
            ),
            (
                "gzip cut in its header",
                Images,
                packed[..5].to_vec(),
                "byte 0 (unpacked): expected more of the gzip stream, got its early end",
            ),
            (
                "gzip cut in the data",
                Images,
                packed[..10 + 5 + 9].to_vec(),
                "byte 9 (unpacked): expected more of the gzip stream, got its early end",
            ),
            (
                "gzip cut in its checksum",
                Images,
                packed[..packed.len() - 3].to_vec(),
                "byte 28 (unpacked): expected more of the gzip stream, got its early end",
            ),
            (
                "gzip with a damaged checksum",
                Images,
                damaged(packed.len() - 6),
                "byte 28 (unpacked): expected a sound gzip stream, \
                 got corrupt gzip stream does not have a matching checksum",
            ),
            (
                "gzip with damaged data",
                Images,
                damaged(11),
                "byte 0 (unpacked): expected a sound gzip stream, got corrupt deflate stream",
            ),
            (
                "rubbish after gzip",
                Images,
                [&packed[..], b"rubbish for long"].concat(),
                "byte 28 (unpacked): expected a sound gzip stream, got other bytes after its end",
            ),
        ];
        let folder = Folder::new("idx-bad");
        for (name, kind, bytes, expected) in cases {
            let path = folder.write(name, bytes);
            let error = Idx::read(&path, *kind).expect_err(name);
            assert_eq!(error.kind(), ErrorKind::Data, "{name}");
            assert_eq!(error.to_string(), format!("{}, {expected}", path.display()), "{name}");
        }
    }

    #[test]
    fn zeros_may_follow_a_gzip_stream_and_members_each_other() {
        let folder = Folder::new("idx-members");
        let labels = idx(&[0x801, 3], &[7, 0, 9]);
        let empty = gzip(&[]);
        let byte_by_byte: Vec<u8> = labels.iter().flat_map(|byte| [gzip(&[*byte]), empty.clone()].concat()).collect();
        for bytes in
            [byte_by_byte.clone(), [&gzip(&labels)[..], &[0; 70_000]].concat(), [empty, gzip(&labels)].concat()]
        {
            assert_eq!(Idx::read(&folder.write("labels", &bytes), Kind::Labels).unwrap().values(), [7, 0, 9]);
        }
        for (rest, got) in [
            (&b"\0\0x"[..], "other bytes after its end"),
            (b"x", "other bytes after its end"),
            (b"\x1f", "its early end"),
            (b"\x1f\x8c0123456789", "invalid gzip header"),
        ] {
            let path = folder.write("labels", &[&byte_by_byte[..], rest].concat());
            let error = Idx::read(&path, Kind::Labels).unwrap_err().to_string();
            assert!(error.contains("byte 11 (unpacked)") && error.ends_with(got), "{error}");
        }
    }

    #[test]
    fn sizes_are_checked_against_the_known_ones_and_the_limit() {
        let folder = Folder::new("idx-limit");
        // A sparse file of two gigabytes, which is not read.
        let path = folder.write("images", &idx(&[0x803, 2_000_000, 1000, 1], &[]));
        File::options().write(true).open(&path).unwrap().set_len(16 + 2_000_000_000).unwrap();
        let error = Idx::read(&path, Kind::Images).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Argument);
        let text = error.to_string();
        assert!(text.contains("at most 4 GiB") && text.contains("LATENTLAB_MAX_BYTES"), "{text}");
        let error = Idx::read_sized(&path, Kind::Images, Some(&[60_000, 28, 28])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
        let text = error.to_string();
        assert!(text.contains("byte 4: expected the sizes [60000, 28, 28], got [2000000, 1000, 1]"), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_and_not_waited_for() {
        let folder = Folder::new("idx-pipe");
        let pipe = folder.0.join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        for path in [pipe, "/dev/zero".into()] {
            let error = Idx::read(&path, Kind::Images).unwrap_err().to_string();
            assert!(error.contains("a pipe or a device"), "{error}");
        }
    }

    #[test]
    fn a_label_without_a_class_is_refused_at_its_byte() {
        let folder = Folder::new("idx-labels");
        let path = folder.write("labels", &idx(&[0x801, 3], &[0, 10, 9]));
        let labels = Idx::read(&path, Kind::Labels).unwrap();
        assert_eq!(labels.labels(11).unwrap(), [0, 10, 9]);
        let error = labels.labels(10).unwrap_err().to_string();
        assert_eq!(error, format!("{}, byte 9: expected a label below 10, got 10", path.display()));
    }

    #[test]
    fn a_missing_file_or_a_folder_is_an_io_error() {
        let folder = Folder::new("idx-missing");
        for path in [folder.0.join("nothing"), folder.0.clone()] {
            let error = Idx::read(&path, Kind::Images).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            assert!(error.to_string().starts_with(&path.display().to_string()), "{error}");
        }
    }
}
