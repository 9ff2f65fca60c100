//! The constructors of [`Dataset`].

use std::path::Path;
use std::sync::Arc;

use ndarray::{Array1, Array4};

use super::collection::{Collection, FASHION_MNIST, MNIST};
use super::idx::{Idx, Kind};
use super::images::Images;
use super::search::Search;
use super::{Dataset, say, synthetic};
use crate::error::{Error, ErrorKind, Result};
use crate::{format::thousands, limit};

/// Real and built-in data. All real data have 70,000 images of shape \[1, 28, 28\]: the 60,000 for training first, then
/// the 10,000 for testing, in their original order.
///
/// They are looked for in the folder that the environment variable `LATENTLAB_DATA` names, else in the project's `data`
/// folder, into which they are downloaded if they are missing; `LATENTLAB_OFFLINE=1` forbids downloads.
/// `LATENTLAB_DATA=built-in` means: no search, no download, the built-in data. `data/README.md` says more.
impl Dataset {
    /// Handwritten digits: MNIST if it is there or can be downloaded, else 70,000 built-in ones, after a line that says
    /// so. [`source`](Self::source) tells which.
    ///
    /// # Errors
    /// When a file of MNIST is there but damaged, or `LATENTLAB_DATA` names a folder without MNIST.
    ///
    /// ```no_run
    /// use latentlab::Dataset;
    ///
    /// let (train, test) = Dataset::digits()?.split(60_000, 10_000)?;
    /// println!("{train}");
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn digits() -> Result<Self> {
        open_or_built_in(&MNIST, &Search::from_environment(), Self::built_in_digits)
    }

    /// Garments: Fashion-MNIST if it is there or can be downloaded, else 70,000 built-in ones, after a line that says
    /// so. [`source`](Self::source) tells which.
    ///
    /// # Errors
    /// When a file of Fashion-MNIST is there but damaged, or `LATENTLAB_DATA` names a folder without Fashion-MNIST.
    pub fn garments() -> Result<Self> {
        open_or_built_in(&FASHION_MNIST, &Search::from_environment(), Self::built_in_garments)
    }

    /// MNIST (LeCun, Cortes and Burges), and nothing else: handwritten digits, classes "0" to "9".
    ///
    /// # Errors
    /// When it is missing and cannot be downloaded, or is damaged, or `LATENTLAB_DATA` is `built-in`.
    pub fn mnist() -> Result<Self> {
        open(&MNIST, &Search::from_environment())
    }

    /// MNIST from this folder, whatever the environment variables: its four files, plain or gzip, in the folder or in
    /// one below it, under any of the names that libraries give them. Nothing is downloaded.
    ///
    /// # Errors
    /// When a file is missing or is not MNIST's to the last bit.
    ///
    /// ```no_run
    /// let digits = latentlab::Dataset::mnist_from("/home/ada/datasets")?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn mnist_from(folder: impl AsRef<Path>) -> Result<Self> {
        open(&MNIST, &Search::in_folder(folder.as_ref(), "mnist_from"))
    }

    /// Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017), and nothing else: garments, classes "T-shirt/top", "Trouser",
    /// "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot".
    ///
    /// # Errors
    /// When it is missing and cannot be downloaded, or is damaged, or `LATENTLAB_DATA` is `built-in`.
    pub fn fashion_mnist() -> Result<Self> {
        open(&FASHION_MNIST, &Search::from_environment())
    }

    /// Fashion-MNIST from this folder, as [`mnist_from`](Self::mnist_from).
    ///
    /// # Errors
    /// When a file is missing or is not Fashion-MNIST's to the last bit.
    pub fn fashion_mnist_from(folder: impl AsRef<Path>) -> Result<Self> {
        open(&FASHION_MNIST, &Search::in_folder(folder.as_ref(), "fashion_mnist_from"))
    }

    /// `n` drawn digits of shape \[1, 28, 28\] with the classes of MNIST. The same seed gives the same images; a larger
    /// `n` only adds some.
    ///
    /// ```
    /// use latentlab::Dataset;
    ///
    /// let digits = Dataset::built_in_digits(50, 7)?;
    /// assert_eq!(digits.image_shape(), [1, 28, 28]);
    /// assert_eq!(digits.source(), "built-in digits, seed 7");
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    ///
    /// # Errors
    /// When they would be larger than one result may be: 4 GiB, or what the environment variable `LATENTLAB_MAX_BYTES`
    /// says; 1.3 million images.
    pub fn built_in_digits(n: usize, seed: u64) -> Result<Self> {
        built_in(&MNIST, n, seed, synthetic::digits)
    }

    /// `n` drawn garments of shape \[1, 28, 28\] with the classes of Fashion-MNIST. The same seed gives the same
    /// images; a larger `n` only adds some.
    ///
    /// # Errors
    /// When they would be larger than one result may be: 4 GiB, or what the environment variable `LATENTLAB_MAX_BYTES`
    /// says; 1.3 million images.
    pub fn built_in_garments(n: usize, seed: u64) -> Result<Self> {
        built_in(&FASHION_MNIST, n, seed, synthetic::garments)
    }

    /// Any pair of IDX files, plain or gzip: images (n, height, width) and as many labels. Grey values become
    /// \[0, 1\]; the classes are named by their numbers, from "0" to the highest label, whether or not each of them has
    /// an image. [`of_classes`](Self::of_classes) keeps some, [`with_class_names`](Self::with_class_names) names them.
    ///
    /// # Errors
    /// When a file is missing, damaged or of another kind, or their counts differ; the error names the file, the byte,
    /// what was expected and what was found. When the images would be larger than one result may be (4 GiB, or what the
    /// environment variable `LATENTLAB_MAX_BYTES` says).
    pub fn from_idx(images_path: impl AsRef<Path>, labels_path: impl AsRef<Path>) -> Result<Self> {
        Self::read_idx(images_path.as_ref(), labels_path.as_ref())
    }

    fn read_idx(images_path: &Path, labels_path: &Path) -> Result<Self> {
        let images = Idx::read(images_path, Kind::Images)?;
        let labels = Idx::read(labels_path, Kind::Labels)?;
        if images.sizes[0] != labels.sizes[0] {
            let expected = format!("{} labels, one for each image in {}", images.sizes[0], images_path.display());
            let place = format!("{}, byte 4", labels_path.display());
            return Err(Error::expected(ErrorKind::Data, place, expected, labels.sizes[0]));
        }
        let highest = labels.values().iter().max().map_or(0, |&label| label.into());
        let source = format!("{} images from {}", thousands(images.sizes[0]), images_path.display());
        Ok(Self {
            labels: Arc::new(labels.labels(highest + 1)?.into()),
            images: Images::of_files(vec![images]),
            class_names: (0..=highest).map(|label| label.to_string()).collect(),
            source: source.into(),
        })
    }
}

/// A collection, with the test images after the training images.
fn open(collection: &Collection, search: &Search) -> Result<Dataset> {
    let folder = search.complete_folder(collection)?;
    let [train_images, train_labels, test_images, test_labels] = collection.read(&folder)?;
    let [n, height, width] =
        [train_images.sizes[0] + test_images.sizes[0], train_images.sizes[1], train_images.sizes[2]];
    limit::check(collection.name, "the images", &[n, height, width])?;
    let class_count = collection.class_names.len();
    let labels = [train_labels.labels(class_count)?, test_labels.labels(class_count)?].concat();
    // A path within the project is shown relative to it.
    let shown = folder.strip_prefix(env!("CARGO_MANIFEST_DIR")).unwrap_or(&folder);
    let source = format!("{}, {} images from {}", collection.name, thousands(labels.len()), shown.display());
    Ok(Dataset {
        images: Images::of_files(vec![train_images, test_images]),
        labels: Arc::new(labels.into()),
        class_names: collection.class_names.map(String::from).into(),
        source: source.into(),
    })
}

/// A collection, or the built-in data where it is unavailable. Damaged files, or a given folder without it, remain
/// errors: other data would hide the mistake.
fn open_or_built_in(
    collection: &Collection,
    search: &Search,
    built_in: fn(usize, u64) -> Result<Dataset>,
) -> Result<Dataset> {
    match open(collection, search) {
        Err(error) if error.kind() == ErrorKind::Download => {
            let reason = error.to_string();
            if !search.is_built_in() {
                say(format_args!("{reason}\nThe built-in {} take its place.", collection.built_in));
            }
            // As many as the collection has, so that a lesson's split works with both
            let data = built_in(70_000, 0)?;
            let source = format!("{} ({})", data.source, reason.lines().next().unwrap_or_default());
            Ok(Dataset { source: source.into(), ..data })
        }
        opened => opened,
    }
}

fn built_in(
    collection: &Collection,
    n: usize,
    seed: u64,
    draw: fn(usize, u64) -> (Array4<f32>, Array1<usize>),
) -> Result<Dataset> {
    let [height, width] = synthetic::SIZE;
    limit::check(format!("built-in {}", collection.built_in), "the images", &[n, height, width])?;
    let (images, labels) = draw(n, seed);
    Ok(Dataset {
        images: images.into(),
        labels: Arc::new(labels),
        class_names: collection.class_names.map(String::from).into(),
        source: format!("built-in {}, seed {seed}", collection.built_in).into(),
    })
}

#[cfg(test)]
mod tests {
    use ndarray::s;

    use super::super::collection::tests::tiny;
    use super::super::idx::tests::{Folder, gzip, idx};
    use super::super::search::tests::write_tiny;
    use super::*;

    #[test]
    fn a_collection_is_training_then_test() {
        let folder = Folder::new("source-open");
        write_tiny(&folder, "tiny/");
        let data = open(tiny(&[]).0, &Search::in_folder(&folder.0, "mnist_from")).unwrap();
        assert_eq!(data.images().dim(), (8, 1, 1, 2));
        assert_eq!(data.images().slice(s![0, 0, 0, ..]).to_vec(), [0.0, 1.0]);
        assert_eq!(data.images().slice(s![5, 0, 0, ..]).to_vec(), [0.2, 0.2]); // 51 of 255, the first test image
        assert_eq!(data.labels().to_vec(), [0, 1, 2, 3, 9, 5, 6, 7]);
        assert_eq!(data.class_names()[9], "9");
        assert_eq!(data.source(), format!("Tiny, 8 images from {}", folder.0.join("tiny").display()));
    }

    #[test]
    fn the_built_in_data_replace_only_unavailable_ones() {
        let few = |_, seed| Dataset::built_in_digits(3, seed); // 70,000 take a moment
        let tiny = tiny(&[]).0;
        let folder = Folder::new("source-stand-in");
        let data = open_or_built_in(tiny, &Search::built_in(), few).unwrap();
        let reason = "Tiny: not looked for, since LATENTLAB_DATA is \"built-in\"";
        assert_eq!(data.source(), format!("built-in digits, seed 0 ({reason})"));
        let data = open_or_built_in(tiny, &Search::offline(&folder.0), few).unwrap();
        assert!(data.source().contains("LATENTLAB_OFFLINE forbids"), "{}", data.source());

        assert!(open_or_built_in(tiny, &Search::asked(&folder.0), few).is_err());
        write_tiny(&folder, "tiny/");
        assert_eq!(open_or_built_in(tiny, &Search::offline(&folder.0), few).unwrap().len(), 8);
        folder.write("tiny/t10k-labels-idx1-ubyte", b"damaged");
        let error = open_or_built_in(tiny, &Search::offline(&folder.0), few).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Data);
    }

    #[test]
    fn built_in_data_have_the_classes_of_the_real_ones() {
        for n in [1_400_000, usize::MAX / 784, usize::MAX] {
            let error = Dataset::built_in_garments(n, 3).unwrap_err().to_string();
            assert!(error.starts_with("built-in garments: expected at most 4 GiB for one result, got "), "{error}");
            assert!(error.contains(&format!("(the images: {n} × 28 × 28 values)")), "{error}");
        }
        assert!(Dataset::built_in_digits(0, u64::MAX).unwrap().is_empty());
        let garments = Dataset::built_in_garments(20, 3).unwrap();
        assert_eq!(garments.images().dim(), (20, 1, 28, 28));
        assert_eq!(garments.class_names()[9], "Ankle boot");
        assert_eq!(garments.source(), "built-in garments, seed 3");
        assert!(garments.images().iter().all(|value| (0.0..=1.0).contains(value)));
        assert!(garments.labels().iter().all(|&label| label < 10));
    }

    #[test]
    fn from_idx_reads_any_pair_and_refuses_what_does_not_match() {
        let folder = Folder::new("source-idx");
        let images = folder.write("images", &gzip(&idx(&[0x803, 3, 1, 2], &[0, 51, 102, 153, 204, 255])));
        let labels = folder.write("labels", &idx(&[0x801, 3], &[0, 11, 1]));
        let data = Dataset::from_idx(&images, &labels).unwrap();
        assert_eq!(data.images().iter().copied().collect::<Vec<_>>(), [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
        assert_eq!(data.class_names().len(), 12);
        assert_eq!(data.source(), format!("3 images from {}", images.display()));

        let two = folder.write("two", &idx(&[0x801, 2], &[0, 1]));
        let error = Dataset::from_idx(&images, &two).unwrap_err().to_string();
        let images_path = images.display();
        assert_eq!(
            error,
            format!("{}, byte 4: expected 3 labels, one for each image in {images_path}, got 2", two.display())
        );
        assert_eq!(Dataset::from_idx(&images, folder.0.join("none")).unwrap_err().kind(), ErrorKind::Io);
        assert_eq!(Dataset::from_idx(&labels, &images).unwrap_err().kind(), ErrorKind::Data);
    }
}
