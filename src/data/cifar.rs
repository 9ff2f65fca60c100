//! CIFAR-10 and CIFAR-100 in their binary form: records of one or two labels and 3,072 bytes, the red, green and blue
//! planes of 32 × 32 pixels.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ndarray::Array4;
use rayon::prelude::*;

use super::{Dataset, content, open};
use crate::error::{Error, ErrorKind, Result};
use crate::{format::thousands, limit};

impl Dataset {
    /// CIFAR-10 (Krizhevsky, 2009) from the folder of its binary version, `cifar-10-batches-bin`, or the folder around
    /// it: 60,000 images of shape \[3, 32, 32\] in \[0, 1\], the 50,000 for training first, then the 10,000 for
    /// testing.
    ///
    /// The files are `data_batch_1.bin` to `data_batch_5.bin` and `test_batch.bin` from
    /// <https://www.cs.toronto.edu/~kriz/cifar.html>. Nothing is downloaded.
    ///
    /// # Errors
    /// When a file is missing, is not a number of whole records, or has a label of 10 or more: the error names the file
    /// and the byte. When the images would be larger than one result may be.
    ///
    /// ```no_run
    /// use latentlab::Dataset;
    ///
    /// let (train, test) = Dataset::cifar10_from("cifar-10-batches-bin")?.split(50_000, 10_000)?;
    /// assert_eq!(train.image_shape(), [3, 32, 32]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn cifar10_from(folder: impl AsRef<Path>) -> Result<Self> {
        CIFAR_10.read(folder.as_ref())
    }

    /// CIFAR-100 (Krizhevsky, 2009) from the folder of its binary version, `cifar-100-binary`, or the folder around it:
    /// `train.bin` and `test.bin`, as [`cifar10_from`](Self::cifar10_from). The labels are the 100 fine ones.
    ///
    /// # Errors
    /// As [`cifar10_from`](Self::cifar10_from).
    pub fn cifar100_from(folder: impl AsRef<Path>) -> Result<Self> {
        CIFAR_100.read(folder.as_ref())
    }
}

struct Cifar {
    name: &'static str,
    folder: &'static str,
    /// Those for training, then that for testing.
    files: &'static [&'static str],
    /// The labels before each image, of which the last is meant.
    labels: usize,
    class_names: &'static str,
}

static CIFAR_10: Cifar = Cifar {
    name: "CIFAR-10",
    folder: "cifar-10-batches-bin",
    files: &[
        "data_batch_1.bin",
        "data_batch_2.bin",
        "data_batch_3.bin",
        "data_batch_4.bin",
        "data_batch_5.bin",
        "test_batch.bin",
    ],
    labels: 1,
    class_names: "airplane automobile bird cat deer dog frog horse ship truck",
};

static CIFAR_100: Cifar = Cifar {
    name: "CIFAR-100",
    folder: "cifar-100-binary",
    files: &["train.bin", "test.bin"],
    labels: 2,
    class_names: "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly \
                  camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup \
                  dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower \
                  leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid \
                  otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray \
                  road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar \
                  sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle \
                  wardrobe whale willow_tree wolf woman worm",
};

const SIDE: usize = 32;
const PIXELS: usize = 3 * SIDE * SIDE;

impl Cifar {
    fn read(&self, folder: &Path) -> Result<Dataset> {
        let record = self.labels + PIXELS;
        let inner = folder.join(self.folder);
        let folder = if inner.is_dir() { inner } else { folder.to_owned() };
        let mut files: Vec<(PathBuf, _, usize)> = Vec::new();
        for name in self.files {
            let path = folder.join(name);
            let (file, length) = open::file(&path).map_err(|error| error.hint(self.advice()))?;
            if length == 0 || !length.is_multiple_of(record as u64) {
                let mut beginning = Vec::new();
                let _ = file.take(content::BEGINNING as u64).read_to_end(&mut beginning); // only to say what it is
                let got = content::describe(&beginning).unwrap_or_else(|| format!("{length} bytes"));
                let expected = format!("records of {record} bytes");
                let place = format!("{}, byte {}", path.display(), length - length % record as u64);
                return Err(Error::expected(ErrorKind::Data, place, expected, got).hint(self.advice()));
            }
            let count = usize::try_from(length / record as u64).unwrap_or(usize::MAX);
            files.push((path, file.take(length), count));
        }
        let n = files.iter().fold(0, |sum: usize, (.., count)| sum.saturating_add(*count));
        let values = limit::check(folder.display().to_string(), "the images", &[n, 3, SIDE, SIDE])?;
        let class_names: Arc<[String]> = self.class_names.split(' ').map(String::from).collect();
        let (mut images, mut labels) = (vec![0.0; values], Vec::with_capacity(n));
        let mut rest = &mut images[..];
        for (path, mut file, count) in files {
            let mut bytes = Vec::with_capacity(count * record);
            file.read_to_end(&mut bytes).map_err(|error| Error::io(&path, "read", error))?;
            if bytes.len() != count * record {
                let place = format!("{}, byte {}", path.display(), bytes.len());
                return Err(Error::expected(ErrorKind::Data, place, format!("{count} records"), "the end of the file"));
            }
            for (index, record_bytes) in bytes.chunks(record).enumerate() {
                let label = usize::from(record_bytes[self.labels - 1]);
                if label >= class_names.len() {
                    let place = format!("{}, byte {}", path.display(), index * record + self.labels - 1);
                    let expected = format!("a label below {}", class_names.len());
                    return Err(Error::expected(ErrorKind::Data, place, expected, label).hint(self.advice()));
                }
                labels.push(label);
            }
            let (part, after) = rest.split_at_mut(count * PIXELS);
            rest = after;
            part.par_chunks_mut(PIXELS).zip(bytes.par_chunks(record)).for_each(|(image, record)| {
                let pixels = &record[self.labels..];
                image.iter_mut().zip(pixels).for_each(|(value, byte)| *value = f32::from(*byte) / 255.0);
            });
        }
        let images = Array4::from_shape_vec((n, 3, SIDE, SIDE), images);
        Ok(Dataset {
            images: images.map_err(|error| Error::new(ErrorKind::Shape, self.name, error.to_string()))?.into(),
            labels: Arc::new(labels.into()),
            class_names,
            source: format!("{}, {} images from {}", self.name, thousands(n), folder.display()).into(),
        })
    }

    fn advice(&self) -> String {
        let address = "https://www.cs.toronto.edu/~kriz/cifar.html";
        format!(
            "It must be the binary version of {} ({}, not the one for Python or Matlab): {address}",
            self.name, self.folder
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::folder::Folder;

    /// Records with these labels, whose pixels are the label, their channel and their place.
    fn records(labels: &[&[u8]]) -> Vec<u8> {
        let record = |label: &[u8]| {
            let last = label[label.len() - 1];
            let pixels = (0..PIXELS).map(move |at| last ^ (at / 1024 * 64) as u8 ^ (at % 64) as u8);
            label.iter().copied().chain(pixels).collect::<Vec<u8>>()
        };
        labels.iter().flat_map(|label| record(label)).collect()
    }

    fn cifar10(folder: &Folder) {
        for (index, name) in CIFAR_10.files.iter().enumerate() {
            folder.write(&format!("cifar-10-batches-bin/{name}"), &records(&[&[index as u8], &[9]]));
        }
    }

    #[test]
    fn the_binary_files_become_colour_images() {
        let folder = Folder::new("cifar");
        cifar10(&folder);
        for path in [folder.0.clone(), folder.0.join("cifar-10-batches-bin")] {
            let data = Dataset::cifar10_from(path).unwrap();
            assert_eq!(data.images().dim(), (12, 3, 32, 32));
            assert_eq!(data.labels().to_vec(), [0, 9, 1, 9, 2, 9, 3, 9, 4, 9, 5, 9]);
            assert_eq!(data.class_names()[9], "truck");
            assert_eq!(data.images()[[2, 2, 1, 3]], f32::from(1_u8 ^ 128 ^ 35) / 255.0);
            assert!(data.source().starts_with("CIFAR-10, 12 images from "), "{}", data.source());
        }
        folder.write("train.bin", &records(&[&[1, 99], &[0, 0], &[19, 42]]));
        folder.write("test.bin", &records(&[&[1, 7]]));
        let data = Dataset::cifar100_from(&folder.0).unwrap();
        assert_eq!(data.labels().to_vec(), [99, 0, 42, 7]);
        assert_eq!((data.class_names().len(), &data.class_names()[99][..]), (100, "worm"));
        assert_eq!(data.images()[[0, 0, 0, 0]], 99.0 / 255.0);
    }

    #[test]
    fn other_files_are_refused_at_their_byte() {
        let folder = Folder::new("cifar-bad");
        cifar10(&folder);
        let path = folder.file("cifar-10-batches-bin/data_batch_3.bin");
        let whole = records(&[&[2], &[10], &[1]]);
        for (bytes, expected) in [
            (whole.clone(), ", byte 3073: expected a label below 10, got 10. It must be the binary version"),
            (whole[..5000].to_vec(), ", byte 3073: expected records of 3073 bytes, got 5000 bytes. It must be"),
            (vec![], ", byte 0: expected records of 3073 bytes, got an empty file"),
            (b"\x80\x04\x95.....".to_vec(), ", byte 0: expected records of 3073 bytes, got a Python pickle"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = Dataset::cifar10_from(&folder.0).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
            let expected = format!("{}{expected}", path.display());
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
        std::fs::remove_file(&path).unwrap();
        let error = Dataset::cifar10_from(&folder.0).unwrap_err();
        assert!(error.kind() == ErrorKind::Io && error.to_string().contains("cs.toronto.edu"), "{error}");
        // A sparse file of four gigabytes, which is not read
        let file = std::fs::File::create(&path).unwrap();
        file.set_len(3073 * 1_400_000).unwrap();
        let error = Dataset::cifar10_from(&folder.0).unwrap_err().to_string();
        assert!(
            error.contains("expected at most 4 GiB for one result, got 16.0 GiB (the images: 1400010 × 3"),
            "{error}"
        );
    }
}
