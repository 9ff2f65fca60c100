//! MNIST and Fashion-MNIST: two collections of the same four files.

use std::fs;
use std::path::{Path, PathBuf};

use super::idx::{Idx, Kind};
use crate::error::{Error, ErrorKind, Result};

/// A public data set of four files with known checksums.
pub(super) struct Collection {
    pub name: &'static str,
    /// The folder that holds its files, below a data folder.
    pub folder: &'static str,
    /// The built-in data that replace it when it is unavailable.
    pub built_in: &'static str,
    pub class_names: [&'static str; 10],
    /// The sizes in each file's header.
    sizes: [&'static [usize]; 4],
    /// The SHA-256 of each unpacked file: independent of how a mirror has packed it.
    checksums: [&'static str; 4],
    /// Base addresses, in order of preference; the file's name is appended.
    pub mirrors: &'static [&'static str],
}

/// The four files, in the order of a collection's checksums.
const FILES: [(&str, Kind); 4] = [
    ("train-images-idx3-ubyte", Kind::Images),
    ("train-labels-idx1-ubyte", Kind::Labels),
    ("t10k-images-idx3-ubyte", Kind::Images),
    ("t10k-labels-idx1-ubyte", Kind::Labels),
];

const SIZES: [&[usize]; 4] = [&[60_000, 28, 28], &[60_000], &[10_000, 28, 28], &[10_000]];

pub(super) static MNIST: Collection = Collection {
    name: "MNIST",
    folder: "mnist",
    built_in: "digits",
    class_names: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    sizes: SIZES,
    checksums: [
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ],
    mirrors: &["https://storage.googleapis.com/cvdf-datasets/mnist/", "https://ossci-datasets.s3.amazonaws.com/mnist/"],
};

pub(super) static FASHION_MNIST: Collection = Collection {
    name: "Fashion-MNIST",
    folder: "fashion-mnist",
    built_in: "garments",
    class_names: [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
    sizes: SIZES,
    checksums: [
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ],
    mirrors: &[
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        // The authors' own mirror has no https; the checksum decides.
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ],
};

/// One file of a collection.
#[derive(Clone, Copy)]
pub(super) struct KnownFile {
    pub name: &'static str,
    kind: Kind,
    sizes: &'static [usize],
    checksum: &'static str,
}

impl Collection {
    pub fn files(&self) -> [KnownFile; 4] {
        std::array::from_fn(|i| KnownFile {
            name: FILES[i].0,
            kind: FILES[i].1,
            sizes: self.sizes[i],
            checksum: self.checksums[i],
        })
    }

    /// The four files in `folder`, read at the same time.
    pub fn read(&self, folder: &Path) -> Result<[Idx; 4]> {
        let [a, b, c, d] = self.files();
        let read = |file: KnownFile| file.read(&file.find(folder).unwrap_or_else(|| folder.join(file.packed_name())));
        let ((a, b), (c, d)) = rayon::join(|| (read(a), read(b)), || (read(c), read(d)));
        Ok([a?, b?, c?, d?])
    }

    /// Whether a folder of this name holds this collection, by the names in use: `MNIST`, `MNIST_data`, `FashionMNIST`,
    /// `fashion`. EMNIST, KMNIST and QMNIST are other collections.
    pub fn is_named(&self, folder: &str) -> bool {
        let folder = letters(folder);
        let fashion = folder.starts_with("fashion") || folder.starts_with("fmnist") || folder.contains("mnistfashion");
        match letters(self.folder) {
            own if folder == own => true,
            own if own == letters(FASHION_MNIST.folder) => fashion,
            own => folder.starts_with(&own) && !fashion,
        }
    }

    /// The collection of the files in `folder`, by the checksum of the shortest; `None` if it is unknown.
    pub fn of(folder: &Path) -> Option<&'static Collection> {
        let labels = MNIST.files().into_iter().filter(|file| file.kind == Kind::Labels);
        let path = labels.filter_map(|file| file.find(folder)).next_back()?;
        owner(&Idx::read(&path, Kind::Labels).ok()?.sha256())
    }
}

/// The letters and digits of a name, in lower case: the same for `Fashion-MNIST` and `fashion_mnist`.
fn letters(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The collection that has a file with this checksum.
fn owner(checksum: &str) -> Option<&'static Collection> {
    [&MNIST, &FASHION_MNIST].into_iter().find(|collection| collection.checksums.contains(&checksum))
}

impl KnownFile {
    /// The file's path in `folder`, plain or packed, under its own name or another one in use (see
    /// [`goes_by`](Self::goes_by)), or in a folder of such a name. It may be a broken link: reading it reports that.
    pub fn find(&self, folder: &Path) -> Option<PathBuf> {
        let own = [folder.join(self.name), folder.join(self.packed_name())].into_iter().find(|path| path.is_file());
        own.or_else(|| {
            let (folders, files): (Vec<_>, Vec<_>) = self.named_in(folder).into_iter().partition(|path| path.is_dir());
            files.into_iter().next().or_else(|| {
                folders.iter().find_map(|folder| self.named_in(folder).into_iter().find(|path| !path.is_dir()))
            })
        })
    }

    /// What is in `folder` under one of the file's names, in alphabetical order.
    fn named_in(&self, folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut named: Vec<PathBuf> = entries
            .filter(|entry| entry.file_name().to_str().is_some_and(|name| self.goes_by(name)))
            .map(|entry| entry.path())
            .collect();
        named.sort();
        named
    }

    /// Whether `name` is in use for the file: with dots or underscores for hyphens, in capitals, without its format,
    /// with `.gzip`, `test` for `t10k`, or with the number that a browser adds to a second download. The checksum
    /// decides.
    fn goes_by(&self, name: &str) -> bool {
        let name = name.to_lowercase();
        let mut words = name.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let mut own = self.name.split('-');
        let part = match own.next() {
            Some("t10k") => ["t10k", "test"],
            _ => ["train", "training"],
        };
        words.next().is_some_and(|word| part.contains(&word))
            && words.next() == own.next()
            && words.all(|word| {
                ["idx", "ubyte", "gz", "gzip"].contains(&word)
                    || self.name.split('-').any(|own| own == word)
                    || word.parse::<u8>().is_ok()
            })
    }

    pub fn packed_name(&self) -> String {
        format!("{}.gz", self.name)
    }

    /// An upper bound of the packed file's size, for any gzip.
    pub fn most_packed_bytes(&self) -> u64 {
        let unpacked = self.sizes.iter().product::<usize>() as u64 + 16;
        unpacked + unpacked / 1000 + 1024
    }

    /// The content of `path` in a data folder, if its checksum is this file's.
    pub fn read(&self, path: &Path) -> Result<Idx> {
        self.read_download(path).map_err(|error| match error.kind() {
            ErrorKind::Data => error.hint("If it is a damaged download, delete it, so that it can be downloaded again"),
            _ => error,
        })
    }

    /// The same for a download that is not in its place yet.
    pub fn read_download(&self, path: &Path) -> Result<Idx> {
        let file = Idx::read_sized(path, self.kind, Some(self.sizes))?;
        let checksum = file.sha256();
        if checksum == self.checksum {
            return Ok(file);
        }
        // The collections share their file names, so a folder may simply hold the other one.
        let owner = owner(&checksum).map_or(String::new(), |other| format!(", a file of {}", other.name));
        let (place, expected) = (path.display().to_string(), format!("the SHA-256 {}", self.checksum));
        Err(Error::expected(ErrorKind::Data, place, expected, format!("{checksum}{owner}")))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::idx::tests::{Folder, gzip, idx, stored};
    use super::*;

    /// A collection of four tiny files (5 + 3 images of 1 × 2 pixels) and their unpacked bytes.
    pub fn tiny(mirrors: &[String]) -> (&'static Collection, [Vec<u8>; 4]) {
        let files = [
            idx(&[0x803, 5, 1, 2], &[0, 255, 1, 1, 2, 2, 3, 3, 4, 4]),
            idx(&[0x801, 5], &[0, 1, 2, 3, 9]),
            idx(&[0x803, 3, 1, 2], &[51, 51, 6, 6, 7, 7]),
            idx(&[0x801, 3], &[5, 6, 7]),
        ];
        let checksums = [
            "3d33d1fe4967a826e1ecb68a2977aaad1de25f7ccb60f90dbc8974fb114632f2",
            "40f5e2ea35dd802e0be51bbd2c19b64e4222572bd4fac11f7546efcfe6f1a9f0",
            "38e3593bb9fa58985acdf3aab48f1c45dce312ae08ab4bf163009ff72265f704",
            "556f559c1bb3573339d8a4b97d8cd29d779f89008fc0e49b5ed62d85dff159b0",
        ];
        let mirrors: Vec<&'static str> = mirrors.iter().map(|mirror| &*mirror.clone().leak()).collect();
        let sizes: [&[usize]; 4] = [&[5, 1, 2], &[5], &[3, 1, 2], &[3]];
        let collection =
            Collection { name: "Tiny", folder: "tiny", sizes, checksums, mirrors: mirrors.leak(), ..MNIST };
        (Box::leak(Box::new(collection)), files)
    }

    #[test]
    fn a_file_is_read_plain_or_packed_and_refused_when_it_is_another() {
        let (tiny, contents) = tiny(&[]);
        let folder = Folder::new("collection");
        let [images, labels, ..] = tiny.files();
        assert_eq!(labels.find(&folder.0), None);

        let packed = folder.write("train-labels-idx1-ubyte.gz", &gzip(&contents[1]));
        assert_eq!(labels.find(&folder.0), Some(packed.clone()));
        assert_eq!(labels.read(&packed).unwrap().values(), [0, 1, 2, 3, 9]);
        let plain = folder.write("train-images-idx3-ubyte", &contents[0]);
        assert_eq!(images.find(&folder.0), Some(plain.clone()));
        assert_eq!(images.read(&plain).unwrap().sizes, [5, 1, 2]);

        // One value changed: sound as a file, but not the file.
        let other = folder.write("train-labels-idx1-ubyte", &idx(&[0x801, 5], &[0, 1, 2, 3, 8]));
        let error = labels.read(&other).unwrap_err().to_string();
        let expected = format!("{}: expected the SHA-256 {}, got ", other.display(), tiny.checksums[1]);
        assert!(error.starts_with(&expected) && error.contains("delete it"), "{error}");
        // Cut short: the place, and the same advice.
        let short = folder.write("train-labels-idx1-ubyte", &contents[1][..10]);
        let error = labels.read(&short).unwrap_err().to_string();
        assert!(error.contains("byte 10: expected 13 bytes") && error.contains("delete it"), "{error}");
    }

    #[test]
    fn files_are_found_under_all_names_in_use() {
        let (tiny, contents) = tiny(&[]);
        let [images, labels, test_images, _] = tiny.files();
        let packed = gzip(&contents[0]);
        for (name, bytes) in [
            ("train-images.idx3-ubyte", &contents[0]),
            ("train-images.idx3-ubyte.gz", &packed),
            ("train-images-idx3-ubyte.gzip", &packed),
            ("train-images-idx3-ubyte.GZ", &packed),
            ("TRAIN-IMAGES-IDX3-UBYTE", &contents[0]),
            ("train_images_idx3_ubyte", &contents[0]),
            ("train-images-idx3-ubyte (1).gz", &packed),
            ("train-images.gz", &packed),
            ("train-images", &contents[0]),
            ("training-images.idx", &contents[0]),
            ("train-images-idx3-ubyte/train-images-idx3-ubyte", &contents[0]),
            ("train-images-idx3-ubyte/train-images.idx3-ubyte", &contents[0]),
            ("train-images.idx3-ubyte.gz/train-images-idx3-ubyte.gz", &packed),
        ] {
            let folder = Folder::new("collection-names");
            let path = folder.write(name, bytes);
            assert_eq!(images.find(&folder.0), Some(path.clone()), "{name}");
            assert_eq!(images.read(&path).unwrap().values(), &contents[0][16..]);
            assert_eq!([labels, test_images].map(|file| file.find(&folder.0)), [None, None], "{name}");
        }
        assert!(test_images.goes_by("test-images.idx3-ubyte"));
        for other in [
            "train-images-idx1-ubyte",
            "train-images-idx3-ubyte.gz.17-5f-0.part",
            "train-images-idx3-ubyte.gz.sha256",
            "emnist-mnist-train-images-idx3-ubyte",
            "qmnist-train-images-idx3-ubyte.gz",
            "train-images.csv",
            "train",
            "train-images-idx3-ubyte.npz",
            "train-images-idx3-ubyte-2021",
            "",
        ] {
            assert!(!images.goes_by(other), "{other}");
        }
    }

    #[test]
    fn the_exact_name_comes_first_and_a_folder_last() {
        let (tiny, _) = tiny(&[]);
        let folder = Folder::new("collection-order");
        let names = [
            "train-images-idx3-ubyte",
            "train-images-idx3-ubyte.gz",
            "train-images.idx3-ubyte",
            "train-images.gz/train-images",
        ];
        for name in names {
            folder.write(name, b"");
        }
        for name in names {
            let path = folder.0.join(name);
            assert_eq!(tiny.files()[0].find(&folder.0), Some(path.clone()));
            fs::remove_file(path).unwrap();
        }
        assert_eq!(tiny.files()[0].find(&folder.0), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_broken_link_is_not_skipped() {
        let folder = Folder::new("collection-link");
        let link = folder.0.join("train-images.idx3-ubyte");
        std::os::unix::fs::symlink("/nowhere/annex", &link).unwrap();
        let images = tiny(&[]).0.files()[0];
        assert_eq!(images.find(&folder.0), Some(link.clone()));
        let error = images.read(&link).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: cannot open it", link.display())), "{error}");
    }

    #[test]
    fn folders_are_recognised_by_name() {
        for name in ["mnist", "MNIST", "MNIST_data", "mnist-dataset", "mnist_original"] {
            assert!(MNIST.is_named(name) && !FASHION_MNIST.is_named(name), "{name}");
        }
        for name in [
            "fashion-mnist",
            "FashionMNIST",
            "fashion_mnist",
            "fashion",
            "Fashion-MNIST-master",
            "fmnist",
            "MNIST-fashion",
        ] {
            assert!(FASHION_MNIST.is_named(name) && !MNIST.is_named(name), "{name}");
        }
        for name in ["EMNIST", "kmnist", "QMNIST", "raw", "data", ""] {
            assert!(!FASHION_MNIST.is_named(name) && !MNIST.is_named(name), "{name}");
        }
    }

    #[test]
    fn mirrors_are_asked_over_https_first() {
        for collection in [&MNIST, &FASHION_MNIST] {
            let https = collection.mirrors.iter().take_while(|mirror| mirror.starts_with("https://")).count();
            assert!(https >= 2, "{}", collection.name);
            assert!(collection.mirrors.iter().all(|mirror| mirror.ends_with('/')));
        }
    }

    #[test]
    fn other_files_are_named_with_a_remedy() {
        let (tiny, _) = tiny(&[]);
        let folder = Folder::new("collection-not");
        let images = tiny.files()[0];
        for (bytes, got) in [
            (b"version https://git-lfs.github.com/spec/v1\n".to_vec(), "got a Git LFS pointer (`git lfs pull`"),
            (b"<!doctype html><p>Quota exceeded".to_vec(), "got an HTML page"),
            (gzip(b"PK\x03\x04\x14\0\0\0"), "got a zip archive (unpack it first)"),
            (gzip(&gzip(b"0123")), "got a gzip file inside the gzip file"),
            (vec![], "got an empty file"),
            (gzip(&[]), "got an empty file"),
            (gzip(&idx(&[0x803, 60_000, 28, 28], &[0; 1 << 16])), "expected the sizes [5, 1, 2], got [60000, 28, 28]"),
        ] {
            let error = images.read(&folder.write("train-images.idx3-ubyte", &bytes)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
            assert!(error.to_string().contains(got), "{error}");
        }
    }

    #[test]
    fn a_damaged_file_is_the_known_one_or_refused() {
        const MUTATIONS: usize = 10_000;
        let (tiny, contents) = tiny(&[]);
        let folder = Folder::new("collection-damaged");
        let mut mutator = crate::data::mutate::Mutator::new(7);
        let (mut refused, mut same) = (0, 0);
        for i in 0..MUTATIONS {
            let which = i % 4;
            let packed = [gzip(&contents[which]), stored(&contents[which]), contents[which].clone()];
            let other = [gzip(&contents[(which + 2) % 4]), contents[(which + 2) % 4].clone()];
            let damaged = mutator.damage(&packed[i / 4 % 3], &other[i / 12 % 2]);
            let path = folder.write("damaged", &damaged);
            match tiny.files()[which].read(&path) {
                Ok(idx) => {
                    assert_eq!(idx.sizes, tiny.sizes[which]);
                    assert!(contents[which].ends_with(idx.values()), "{damaged:?}");
                    same += 1;
                }
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Data, "{error}: {damaged:?}");
                    refused += 1;
                }
            }
        }
        println!("{MUTATIONS} damaged files of a known collection: {refused} refused, {same} loaded equal");
        assert!(refused > MUTATIONS / 2 && same > 0);
    }
}
