//! Damaged data files: no panic, no more memory than the file's size warrants. What loads of an IDX file is what was
//! written; pictures, tables and arrays have no checksum or may be damaged into others.

mod folder;
mod mutate;

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use flate2::{Compression, GzBuilder, write::GzEncoder};
use folder::Folder;
use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use latentlab::{
    Csv, Dataset, ErrorKind,
    ndarray::{Array1, Array2},
    write_npy, write_npz,
};
use mutate::Mutator;

const MUTATIONS: usize = 10_000;

/// What reading a file of some hundred bytes may allocate: buffers and the state of gzip.
const MOST_MEMORY: usize = 2 << 20;

/// Counts the allocated bytes, and their maximum.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator.
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

/// One test at a time, so that the counts are its own.
static ALONE: Mutex<()> = Mutex::new(());

fn idx(header: &[u32], values: impl Iterator<Item = u8>) -> Vec<u8> {
    header.iter().flat_map(|number| number.to_be_bytes()).chain(values).collect()
}

/// Six images of 5 × 4 pixels and their labels; the seed makes two of them different.
fn pair(seed: u8) -> [Vec<u8>; 2] {
    let images = idx(&[0x803, 6, 5, 4], (0..120_u8).map(|i| i.wrapping_mul(7).wrapping_add(seed) & 0xf0));
    [images, idx(&[0x801, 6], (0..6).map(|i| (i + seed) % 5))]
}

/// Packed in the ways of different programs.
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

/// The result of reading, and the most bytes that it allocated at once.
fn measured(read: impl Fn() -> latentlab::Result<Dataset>) -> (latentlab::Result<Dataset>, usize) {
    let before = NOW.load(Relaxed);
    MOST.store(before, Relaxed);
    let read = read();
    (read, MOST.load(Relaxed).saturating_sub(before))
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

/// Reads 10,000 damaged files, of images or labels in turn, with an undamaged file of the other. `is_right` compares
/// the bytes with what was read.
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
    Dataset::from_idx(&sound[0], &sound[1]).unwrap(); // starts the threads
    let mut mutator = Mutator::new(13);
    let mut counts = Counts { refused: 0, loaded: 0 };
    for i in 0..MUTATIONS {
        let which = i % 2;
        let (of_kind, others) = (&originals[which], &others[i / 2 % 2]);
        let damaged = mutator.damage(&of_kind[i / 2 % of_kind.len()], &others[i / 4 % others.len()]);
        let path = folder.write("damaged", &damaged);
        let (images, labels) = if which == 0 { (&path, &sound[1]) } else { (&sound[0], &path) };
        let (read, memory) = measured(|| Dataset::from_idx(images, labels));
        assert!(memory <= MOST_MEMORY, "{memory} bytes for {damaged:?}");
        match read {
            Ok(data) => {
                assert!(is_right(&damaged, which, &data), "{which}: {damaged:?} gave {:?}", content(&data));
                counts.loaded += 1;
            }
            Err(error) => {
                // The limit of one result would be another kind; a file this small cannot reach it.
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
    // There is no checksum: what loads must agree with a second reader.
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
    // A piece of the other file may be all of it.
    let wholes = [pair(0), pair(1)];
    let equal = |_: &[u8], which: usize, data: &Dataset| {
        let (pixels, labels) = content(data);
        wholes.iter().any(|whole| if which == 0 { pixels == whole[0][16..] } else { labels == whole[1][8..] })
    };
    let counts = fuzz("gzip", packed, equal);
    assert!(counts.refused > 1000 && counts.loaded > 100);
}

/// Large sizes in a header or large compression ratios allocate nothing.
#[test]
fn claimed_sizes_are_not_allocated() {
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
        let (read, memory) = measured(|| Dataset::from_idx(&path, &labels));
        let error = read.expect_err(name);
        assert_eq!(error.kind(), ErrorKind::Data, "{name}: {error}");
        assert!(memory <= MOST_MEMORY, "{name}: {memory} bytes");
    }
}

/// Reads damaged copies of files of another format, each under the name `name` in a folder.
fn fuzz_other(
    name: &str,
    count: usize,
    files: &[Vec<u8>],
    read: impl Fn(&Path) -> latentlab::Result<Dataset>,
) -> Counts {
    let _alone = ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = Folder::new("others");
    for file in files {
        read(&folder.write(name, file)).unwrap(); // sound, and the threads have started
    }
    let mut mutator = Mutator::new(14);
    let mut counts = Counts { refused: 0, loaded: 0 };
    for i in 0..count {
        let (file, other) = (&files[i % files.len()], &files[i / files.len() % files.len()]);
        let damaged = mutator.damage(file, other);
        let path = folder.write(name, &damaged);
        let (read, memory) = measured(|| read(&path));
        // Decoders have tables, and a damaged header may claim some more pixels than are there.
        assert!(memory <= 8 << 20, "{memory} bytes for {damaged:?}");
        match read {
            Ok(data) => {
                assert!(data.images().iter().all(|value| value.is_finite()), "{damaged:?}");
                counts.loaded += 1;
            }
            Err(error) => {
                // A size in a header may be above the limit of one result.
                assert!([ErrorKind::Data, ErrorKind::Argument, ErrorKind::Shape].contains(&error.kind()), "{error}");
                assert!(error.to_string().contains(&folder.0.display().to_string()), "{error}");
                counts.refused += 1;
            }
        }
    }
    println!("{count} damaged files, {name}: {} refused, {} loaded", counts.refused, counts.loaded);
    counts
}

fn picture(size: u32, format: ImageFormat) -> Vec<u8> {
    let picture = RgbImage::from_fn(size, size + 1, |x, y| Rgb([(9 * x) as u8, (x * y) as u8, (99 * y) as u8]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::from(picture).write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn a_damaged_picture_is_refused_or_read() {
    for format in [ImageFormat::Png, ImageFormat::Jpeg] {
        let files = [picture(9, format), picture(20, format)];
        let counts = fuzz_other("class/a.png", MUTATIONS / 4, &files, |path| {
            Dataset::image_folder(path.parent().unwrap().parent().unwrap(), [3, 8, 8])
        });
        assert!(counts.refused > 100, "{format:?}");
    }
}

#[test]
fn a_damaged_table_is_refused_or_read() {
    let files = ["id,a,b,class\n1,0.5,-3e2,x\n2,1.5,4,y\n3,\"7\",8,x\n", "1,2,3,4\n5,6,7,8\n9,10,11,12\n"];
    let files = files.map(|text| text.as_bytes().to_vec());
    let counts = fuzz_other("table.csv", MUTATIONS, &files, |path| Csv::new(path).label(3).read());
    assert!(counts.refused > 1000 && counts.loaded > 1000);
}

#[test]
fn a_damaged_array_is_refused_or_read() {
    let folder = Folder::new("arrays");
    let (x, y) =
        (Array2::from_shape_fn((4, 6), |(i, j)| (i * j) as f32).into_dyn(), Array1::from(vec![0.0, 2.0, 1.0, 1.0]));
    let y = y.into_dyn();
    let array = |array| {
        write_npy(folder.file("a.npy"), array).unwrap();
        std::fs::read(folder.file("a.npy")).unwrap()
    };
    let files = [array(&x), array(&x.mapv(|value| -value))];
    let counts = fuzz_other("array.npy", MUTATIONS, &files, |path| Dataset::from_npy(path));
    assert!(counts.refused > 1000 && counts.loaded > 1000);
    write_npz(folder.file("a.npz"), [("x", &x), ("y", &y)]).unwrap();
    let files = [std::fs::read(folder.file("a.npz")).unwrap()];
    let counts = fuzz_other("arrays.npz", MUTATIONS, &files, |path| Dataset::from_npz(path, "x", "y"));
    assert!(counts.refused > 1000);
}

#[test]
fn a_damaged_cifar_file_is_refused_or_read() {
    let folder = Folder::new("cifar-whole");
    let record = |label: u8| [&[label, label][..], &[label; 3072]].concat();
    folder.write("test.bin", &record(3));
    let counts = fuzz_other("train.bin", MUTATIONS / 10, &[[record(1), record(99)].concat(), record(5)], |path| {
        std::fs::copy(folder.file("test.bin"), path.with_file_name("test.bin")).unwrap();
        Dataset::cifar100_from(path.parent().unwrap())
    });
    assert!(counts.refused > 100 && counts.loaded > 100);
}
