//! Damaged IDX files, plain and gzip: never a panic, never more memory than the file is worth, and what loads is what
//! was written.

mod mutate;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use latentlab::{Dataset, ErrorKind};
use mutate::Mutator;

const MUTATIONS: usize = 10_000;

/// What reading a file of some hundred bytes may take at any moment: buffers and the state of gzip.
const MOST_MEMORY: usize = 2 << 20;

/// Counts the bytes that are allocated, and the most there ever were.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// Safety: all is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        MOST.fetch_max(NOW.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        // SAFETY: the caller keeps the allocator's contract, which is that of `System`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test at a time, so that the memory is its own.
static ALONE: Mutex<()> = Mutex::new(());

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("latentlab-fuzz-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn idx(header: &[u32], values: impl Iterator<Item = u8>) -> Vec<u8> {
    header.iter().flat_map(|number| number.to_be_bytes()).chain(values).collect()
}

/// Six images of 5 × 4 pixels and their labels; the seed makes two of them different.
fn pair(seed: u8) -> [Vec<u8>; 2] {
    let images = idx(&[0x803, 6, 5, 4], (0..120_u8).map(|i| i.wrapping_mul(7).wrapping_add(seed) & 0xf0));
    [images, idx(&[0x801, 6], (0..6).map(|i| (i + seed) % 5))]
}

/// As different programs pack it.
fn packed(bytes: &[u8]) -> Vec<Vec<u8>> {
    let finish = |mut encoder: GzEncoder<Vec<u8>>, bytes: &[u8]| {
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    };
    let plain = |bytes: &[u8], level| finish(GzEncoder::new(Vec::new(), level), bytes);
    let named = GzBuilder::new().filename("train-images-idx3-ubyte").comment("a comment").extra("extra").mtime(1);
    vec![
        plain(bytes, Compression::default()),
        plain(bytes, Compression::none()),
        finish(named.write(Vec::new(), Compression::best()), bytes),
        [plain(&bytes[..9], Compression::fast()), plain(&bytes[9..], Compression::fast())].concat(),
        [&plain(bytes, Compression::fast())[..], &[0; 64]].concat(),
    ]
}

/// What reading gives, and the most bytes that it held at once.
fn measured(images: &Path, labels: &Path) -> (latentlab::Result<Dataset>, usize) {
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    let read = Dataset::from_idx(images, labels);
    (read, MOST.load(Relaxed) - before)
}

/// The pixels as bytes, and the labels.
fn content(data: &Dataset) -> (Vec<u8>, Vec<u8>) {
    let pixels = data.images().iter().map(|value| (value * 255.0).round() as u8).collect();
    (pixels, data.labels().iter().map(|label| *label as u8).collect())
}

struct Counts {
    refused: usize,
    loaded: usize,
}

/// Reads 10,000 damaged files, of images or labels in turn beside the sound other one. `is_right` sees what was written
/// and what came of it.
fn fuzz(
    name: &str,
    corpus: impl Fn(&[u8]) -> Vec<Vec<u8>>,
    is_right: impl Fn(&[u8], usize, &Dataset) -> bool,
) -> Counts {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = Folder::new(name);
    let (originals, others) = (pair(0).map(|bytes| corpus(&bytes)), pair(1).map(|bytes| corpus(&bytes)));
    let sound = pair(0).map(|bytes| bytes.to_vec());
    let sound = [folder.write("images", &sound[0]), folder.write("labels", &sound[1])];
    Dataset::from_idx(&sound[0], &sound[1]).unwrap(); // the threads are there from here on
    let mut mutator = Mutator::new(13);
    let mut counts = Counts { refused: 0, loaded: 0 };
    for i in 0..MUTATIONS {
        let which = i % 2;
        let (of_kind, others) = (&originals[which], &others[i / 2 % 2]);
        let damaged = mutator.damage(&of_kind[i / 2 % of_kind.len()], &others[i / 4 % others.len()]);
        let path = folder.write("damaged", &damaged);
        let (images, labels) = if which == 0 { (&path, &sound[1]) } else { (&sound[0], &path) };
        let (read, memory) = measured(images, labels);
        assert!(memory <= MOST_MEMORY, "{memory} bytes for {damaged:?}");
        match read {
            Ok(data) => {
                assert!(is_right(&damaged, which, &data), "{which}: {damaged:?} gave {:?}", content(&data));
                counts.loaded += 1;
            }
            Err(error) => {
                // The limit of one result is no damage; a file this small cannot ask for so much.
                assert_eq!(error.kind(), ErrorKind::Data, "{error}");
                assert!(error.place().starts_with(&folder.0.display().to_string()), "{error}");
                counts.refused += 1;
            }
        }
    }
    println!("{MUTATIONS} damaged files, {name}: {} refused, {} loaded", counts.refused, counts.loaded);
    counts
}

#[test]
fn a_damaged_idx_file_is_refused_or_read_as_it_is() {
    // It has no checksum: what loads must be what its bytes say, by a second reader.
    let as_written = |file: &[u8], which: usize, data: &Dataset| {
        let number = |at: usize| u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        let (pixels, labels) = content(data);
        let [_, height, width] = data.image_shape();
        match which {
            0 => {
                number(0) == 0x803
                    && [number(4), number(8), number(12)] == [6, height, width]
                    && file.len() == 16 + 6 * height * width
                    && pixels == file[16..]
            }
            _ => number(0) == 0x801 && number(4) == 6 && file.len() == 14 && labels == file[8..],
        }
    };
    let counts = fuzz("idx", |bytes| vec![bytes.to_vec()], as_written);
    assert!(counts.refused > 1000 && counts.loaded > 1000);
}

#[test]
fn a_damaged_gzip_file_is_refused_or_equal() {
    // A piece of the other file may be that whole file.
    let wholes = [pair(0), pair(1)];
    let equal = |_: &[u8], which: usize, data: &Dataset| {
        let (pixels, labels) = content(data);
        wholes.iter().any(|whole| if which == 0 { pixels == whole[0][16..] } else { labels == whole[1][8..] })
    };
    let counts = fuzz("gzip", packed, equal);
    assert!(counts.refused > 1000 && counts.loaded > 100);
}

/// What is held while a file is read that promises much, in the header or by its packing.
#[test]
fn promises_cost_nothing() {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = Folder::new("promises");
    let labels = folder.write("labels", &pair(0)[1]);
    let pack = |bytes: &[u8]| packed(bytes).swap_remove(0);
    // 256 MB of zeros, 260 kB packed
    let bomb = |header: &[u32]| {
        let mut encoder = GzEncoder::new(idx(&[], std::iter::empty()), Compression::best());
        encoder.write_all(&idx(header, std::iter::empty())).unwrap();
        (0..256).for_each(|_| encoder.write_all(&vec![0; 1 << 20]).unwrap());
        encoder.finish().unwrap()
    };
    let most = u32::MAX;
    let cases: [(&str, Vec<u8>); 8] = [
        ("all the sizes", idx(&[0x803, most, most, most], 0..100)),
        ("a width", idx(&[0x803, 1, 1, most], 0..100)),
        ("a count", idx(&[0x803, most, 1, 1], 0..100)),
        ("terabytes", idx(&[0x803, 1 << 20, 1 << 10, 1 << 10], 0..100)),
        ("all the sizes, packed", pack(&idx(&[0x803, most, most, most], 0..100))),
        ("a count, packed", pack(&idx(&[0x803, most, 1, 1], 0..100))),
        ("a bomb behind its header", bomb(&[0x803, 6, 5, 4])),
        ("a bomb without a header", bomb(&[])),
    ];
    for (name, bytes) in cases {
        let path = folder.write(name, &bytes);
        let (read, memory) = measured(&path, &labels);
        let error = read.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Data, "{name}: {error}");
        assert!(memory <= MOST_MEMORY, "{name}: {memory} bytes");
    }
}
