//! MNIST and Fashion-MNIST: two collections of the same four files.

use std::path::{Path, PathBuf};

use super::idx::{Idx, Kind};
use crate::error::{Error, ErrorKind, Result};

/// A public data set of four files, of which every byte is known.
pub(super) struct Collection {
    pub name: &'static str,
    /// The folder that holds its files, below a data folder.
    pub folder: &'static str,
    /// What is drawn when it is not to be had.
    pub built_in: &'static str,
    pub class_names: [&'static str; 10],
    /// The SHA-256 of each file when unpacked: the same however a mirror has packed it.
    checksums: [&'static str; 4],
    /// Where it can be fetched from, the first one first: to each the file's name is added.
    pub mirrors: &'static [&'static str],
}

/// The four files, in the order of a collection's checksums.
const FILES: [(&str, Kind); 4] = [
    ("train-images-idx3-ubyte", Kind::Images),
    ("train-labels-idx1-ubyte", Kind::Labels),
    ("t10k-images-idx3-ubyte", Kind::Images),
    ("t10k-labels-idx1-ubyte", Kind::Labels),
];

pub(super) static MNIST: Collection = Collection {
    name: "MNIST",
    folder: "mnist",
    built_in: "digits",
    class_names: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
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
    checksums: [
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ],
    mirrors: &[
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ],
};

/// One file of a collection.
#[derive(Clone, Copy)]
pub(super) struct KnownFile {
    pub name: &'static str,
    kind: Kind,
    checksum: &'static str,
}

impl Collection {
    pub fn files(&self) -> [KnownFile; 4] {
        std::array::from_fn(|i| KnownFile { name: FILES[i].0, kind: FILES[i].1, checksum: self.checksums[i] })
    }

    /// The four files in `folder`, read at the same time.
    pub fn read(&self, folder: &Path) -> Result<[Idx; 4]> {
        let [a, b, c, d] = self.files();
        let read = |file: KnownFile| file.read(&file.find(folder).unwrap_or_else(|| folder.join(file.packed_name())));
        let ((a, b), (c, d)) = rayon::join(|| (read(a), read(b)), || (read(c), read(d)));
        Ok([a?, b?, c?, d?])
    }
}

impl KnownFile {
    /// Where the file is in `folder`, plain or packed.
    pub fn find(&self, folder: &Path) -> Option<PathBuf> {
        [folder.join(self.name), folder.join(self.packed_name())].into_iter().find(|path| path.is_file())
    }

    pub fn packed_name(&self) -> String {
        format!("{}.gz", self.name)
    }

    /// The content of `path`, which was found in a data folder, if it is this file to the last bit.
    pub fn read(&self, path: &Path) -> Result<Idx> {
        self.read_unplaced(path).map_err(|error| match error.kind() {
            ErrorKind::Data => error.hint("If it is a damaged download, delete it, so that it can be fetched again"),
            _ => error,
        })
    }

    /// The same for a file that has not got its place yet.
    pub fn read_unplaced(&self, path: &Path) -> Result<Idx> {
        let file = Idx::read(path, self.kind)?;
        let checksum = file.sha256();
        if checksum == self.checksum {
            return Ok(file);
        }
        // The collections share their file names, so a folder may simply hold the other one.
        let other = [&MNIST, &FASHION_MNIST].into_iter().find(|other| other.checksums.contains(&&*checksum));
        let owner = other.map_or(String::new(), |other| format!(", a file of {}", other.name));
        let (place, expected) = (path.display().to_string(), format!("the SHA-256 {}", self.checksum));
        Err(Error::expected(ErrorKind::Data, place, expected, format!("{checksum}{owner}")))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::idx::tests::{Folder, gzip, idx};
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
        let collection = Collection { name: "Tiny", folder: "tiny", checksums, mirrors: mirrors.leak(), ..MNIST };
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
}
