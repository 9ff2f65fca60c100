//! Labelled images: loading, splitting, normalising.
//!
//! | file | what is there |
//! |---|---|
//! | `mod` | [`Dataset`] itself |
//! | `images` | the images in memory: an array, or bytes that become one |
//! | `arrays` | from arrays of any number of axes, and to arrays |
//! | `subset` | parts of a data set: split, take, shuffle, batches, classes |
//! | `batches` | shuffled batches for a training loop of one's own |
//! | `folds` | k-fold cross-validation |
//! | `noise` | noisy copies |
//! | `augmentation` | randomly changed copies |
//! | `normalisation` | mean, standard deviation, [`Normalisation`], [`Scaler`] |
//! | `source` | the constructors: real data, and built-in data in their absence |
//! | `search` | where real data are looked for |
//! | `collection` | MNIST and Fashion-MNIST: files, checksums, mirrors |
//! | `download` | from a mirror to the disk |
//! | `idx` | the file format |
//! | `content` | what a file is that is not one of these |
//! | `pictures` | folders of PNG and JPEG files |
//! | `cifar` | CIFAR-10 and CIFAR-100 |
//! | `table` | CSV |
//! | `npy` | NumPy's arrays |
//! | `open` | opening a file |
//! | `synthetic` | the built-in digits and garments |

mod arrays;
mod augmentation;
mod batches;
mod cifar;
mod collection;
mod content;
mod download;
#[cfg(test)]
#[path = "../../tests/folder/mod.rs"]
mod folder;
mod folds;
mod idx;
mod images;
#[cfg(test)]
#[path = "../../tests/mutate/mod.rs"]
mod mutate;
mod noise;
mod normalisation;
mod npy;
mod open;
mod pictures;
mod search;
mod source;
mod subset;
mod synthetic;
mod table;

use std::fmt;
use std::io::Write;
use std::sync::Arc;

use ndarray::{Array1, Array4};

use crate::error::{Error, ErrorKind, Result, visible, visible_lines};
use crate::finite::first_not_finite;
use crate::format::{cell, thousands};

use images::Images;

pub use augmentation::Augmentation;
pub use batches::Batches;
pub use folds::Folds;
pub use noise::Noise;
pub use normalisation::{Normalisation, Scaler};
pub(crate) use npy::{half_precision, npy_bytes, write_members};
pub use npy::{read_npy, read_npz, write_npy, write_npz};
pub(crate) use subset::shuffled_indices;
pub use table::Csv;

pub use search::{DataFile, DataFileState, data_files, fetch_data};

/// Images with their labels, the names of the classes, and where they came from.
///
/// A data set is immutable: every operation gives a new one. A clone shares the pixels.
///
/// ```
/// use latentlab::Dataset;
///
/// let digits = Dataset::built_in_digits(100, 0)?;
/// let (train, test) = digits.split(80, 20)?;
/// assert_eq!(train.images().dim(), (80, 1, 28, 28));
/// assert_eq!(test.labels().len(), 20);
/// assert_eq!(test.class_names()[3], "3");
/// println!("{digits}");
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Dataset {
    images: Images,
    labels: Arc<Array1<usize>>,
    class_names: Arc<[String]>,
    source: Arc<str>,
}

impl Dataset {
    /// A data set from arrays: `images` of shape (n, channels, height, width), one label for each image, and a name
    /// for each class (label 0 has the first name).
    ///
    /// # Errors
    /// When an image has no pixels, the numbers of images and labels differ, a label has no class name, there are more
    /// than 1,000,000 class names, or a value is NaN or infinite.
    ///
    /// ```
    /// use latentlab::Dataset;
    /// use latentlab::ndarray::{Array4, arr1};
    ///
    /// let stripes = Dataset::new(Array4::zeros((2, 1, 8, 8)), arr1(&[0, 1]), ["upright", "level"])?;
    /// assert_eq!(stripes.image_shape(), [1, 8, 8]);
    ///
    /// let error = Dataset::new(Array4::zeros((2, 1, 8, 8)), arr1(&[0, 5]), ["upright", "level"]).unwrap_err();
    /// let error = error.to_string();
    /// assert_eq!(error, "data set, label 1: expected a number below 2 (the number of class names), got 5");
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn new(
        images: Array4<f32>,
        labels: Array1<usize>,
        class_names: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<Self> {
        Self::of_arrays(images, labels, collected_names(class_names)?)
    }

    fn of_arrays(images: Array4<f32>, labels: Array1<usize>, class_names: Arc<[String]>) -> Result<Self> {
        let labels = checked_labels(labels, &class_names)?;
        let images = checked_images(images, labels.len(), false)?;
        Ok(Self { images, labels, class_names, source: "arrays".into() })
    }

    /// The same labels with other images, for reconstructions or noisy copies. The images may have another shape
    /// (channels, height, width), but there must be as many.
    ///
    /// # Errors
    /// When the number of images differs, an image has no pixels, or a value is NaN or infinite.
    pub fn with_images(&self, images: Array4<f32>) -> Result<Self> {
        self.with_checked_images(images, false)
    }

    /// The same for images of which it may be known that no value is NaN or infinite.
    pub(crate) fn with_checked_images(&self, images: Array4<f32>, are_finite: bool) -> Result<Self> {
        Ok(Self { images: checked_images(images, self.len(), are_finite)?, ..self.clone() })
    }

    /// The same images and labels with other names of the classes, one for each.
    ///
    /// # Errors
    /// When there are more or fewer names than classes.
    ///
    /// ```
    /// use latentlab::Dataset;
    ///
    /// let digits = Dataset::built_in_digits(100, 0)?;
    /// let named = digits.with_class_names("zero one two three four five six seven eight nine".split(' '))?;
    /// assert_eq!(named.class_names()[3], "three");
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn with_class_names(&self, class_names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self> {
        self.renamed(collected_names(class_names)?)
    }

    fn renamed(&self, class_names: Arc<[String]>) -> Result<Self> {
        if class_names.len() != self.class_names.len() {
            let expected = format!("{} names, one for each class", self.class_names.len());
            let error = Error::argument("with_class_names", expected, class_names.len());
            return Err(error.hint("of_classes drops classes, and renumbers the others"));
        }
        Ok(Self { class_names, ..self.clone() })
    }

    /// The images, of shape (n, channels, height, width): grey values in \[0, 1\] as read from a file, anything finite
    /// after a normalisation.
    pub fn images(&self) -> &Array4<f32> {
        self.images.array()
    }

    /// The values of all images, one image after the other.
    pub(crate) fn values(&self) -> &[f32] {
        self.images().as_slice().unwrap_or_default() // always in standard layout
    }

    /// The bytes of an image, which exists, if all images are bytes of files: 255 times its values.
    pub(crate) fn bytes(&self, index: usize) -> Option<&[u8]> {
        self.images.bytes(index)
    }

    /// The label of each image, of shape (n): its place in [`class_names`](Self::class_names).
    pub fn labels(&self) -> &Array1<usize> {
        &self.labels
    }

    /// The name of each class, in the order of the labels.
    pub fn class_names(&self) -> &[String] {
        &self.class_names
    }

    /// Where the data came from, as a sentence: "MNIST, 70,000 images from data/mnist", "built-in digits, seed 0".
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The shape of one image: \[channels, height, width\].
    pub fn image_shape(&self) -> [usize; 3] {
        self.images.image_shape()
    }

    /// "70,000 images of shape 1×28×28", or "150 rows of 4 features" for a table.
    pub(crate) fn size_text(&self) -> String {
        let count = thousands(self.len());
        match self.image_shape() {
            [1, 1, features] if features > 1 => format!("{count} rows of {features} features"),
            [channels, height, width] => format!("{count} images of shape {channels}×{height}×{width}"),
        }
    }

    /// The number of images of each class.
    pub(crate) fn class_counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.class_names.len()];
        for &label in self.labels.iter() {
            counts[label] += 1;
        }
        counts
    }
}

/// The number of classes that a data set shows.
pub(crate) const CLASSES_SHOWN: usize = 64;

/// The names of the classes; the iterator may be endless.
fn collected_names(names: impl IntoIterator<Item = impl Into<String>>) -> Result<Arc<[String]>> {
    collected(&mut names.into_iter().map(Into::into))
}

fn collected(names: &mut dyn Iterator<Item = String>) -> Result<Arc<[String]>> {
    const MOST: usize = 1_000_000;
    let names: Arc<[String]> = names.take(MOST + 1).collect();
    if names.len() > MOST {
        let expected = format!("at most {} class names", thousands(MOST));
        return Err(Error::argument("data set", expected, "more"));
    }
    Ok(names)
}

/// Labels that all have a class name.
fn checked_labels(labels: Array1<usize>, class_names: &[String]) -> Result<Arc<Array1<usize>>> {
    if let Some((index, label)) = labels.indexed_iter().find(|&(_, &label)| label >= class_names.len()) {
        let expected = format!("a number below {} (the number of class names)", class_names.len());
        return Err(Error::argument(format!("data set, label {index}"), expected, label));
    }
    Ok(Arc::new(labels))
}

/// Prints a line; does not panic where standard output is closed.
fn say(line: impl fmt::Display) {
    let _ = writeln!(std::io::stdout(), "{}", visible_lines(&line.to_string()));
}

/// Images as a [`Dataset`] holds them: one for each label, with pixels, all finite, in standard layout. It may be known
/// that they are finite.
fn checked_images(images: Array4<f32>, label_count: usize, are_finite: bool) -> Result<Images> {
    let (n, channels, height, width) = images.dim();
    if n != label_count {
        let got = format!("{n} images and {label_count} labels");
        return Err(Error::expected(ErrorKind::Shape, "data set", "one label for each image", got));
    }
    if channels * height * width == 0 {
        let got = format!("channels, height and width {:?}", [channels, height, width]);
        return Err(Error::expected(ErrorKind::Shape, "data set", "images with at least one pixel", got));
    }
    let images = if images.is_standard_layout() { images } else { images.as_standard_layout().into_owned() };
    let values = images.as_slice().unwrap_or_default();
    if !are_finite && let Some(at) = first_not_finite(values) {
        let image = at / (channels * height * width);
        let (channel, row, column) = (at / (height * width) % channels, at / width % height, at % width);
        let place = format!("data set, image {image}, channel {channel}, row {row}, column {column}");
        return Err(Error::argument(place, "a finite value", values[at]));
    }
    Ok(images.into())
}

/// The number and shape of the images, the number of each class, and where they came from.
impl fmt::Display for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.size_text())?;
        let counts = self.class_names.iter().zip(self.class_counts());
        let counts = counts.take(CLASSES_SHOWN).map(|(name, count)| format!("{} ({})", cell(name), thousands(count)));
        let mut counts: Vec<String> = counts.collect();
        if let Some(more) = self.class_names.len().checked_sub(CLASSES_SHOWN + 1) {
            counts.push(format!("and {} more", thousands(more + 1)));
        }
        writeln!(f, "{} classes: {}", thousands(self.class_names.len()), counts.join(", "))?;
        write!(f, "source: {}", visible(&self.source))
    }
}

/// The same text as [`Display`](fmt::Display), without the pixels.
impl fmt::Debug for Dataset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array4, arr1};

    use super::*;

    #[test]
    fn new_refuses_what_does_not_fit() {
        let images = || Array4::<f32>::zeros((3, 2, 4, 5));
        let invalid = |value| {
            let mut images = images();
            images[[1, 1, 2, 3]] = value;
            images
        };
        let labels = || arr1(&[0, 1, 1]);
        let cases = [
            (images(), arr1(&[0, 1]), "data set: expected one label for each image, got 3 images and 2 labels"),
            (
                images(),
                arr1(&[0, 2, 1]),
                "data set, label 1: expected a number below 2 (the number of class names), got 2",
            ),
            (
                Array4::zeros((3, 2, 0, 5)),
                labels(),
                "data set: expected images with at least one pixel, got channels, height and width [2, 0, 5]",
            ),
            (
                invalid(f32::NAN),
                labels(),
                "data set, image 1, channel 1, row 2, column 3: expected a finite value, got NaN",
            ),
            (
                invalid(f32::NEG_INFINITY),
                labels(),
                "data set, image 1, channel 1, row 2, column 3: expected a finite value, got -inf",
            ),
        ];
        for (images, labels, expected) in cases {
            assert_eq!(Dataset::new(images, labels, ["a", "b"]).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn images_come_back_in_standard_layout() {
        let upright = Array4::from_shape_fn((2, 1, 3, 4), |(n, _, y, x)| (n * 100 + y * 10 + x) as f32);
        let turned = upright.clone().permuted_axes([0, 1, 3, 2]); // (2, 1, 4, 3)
        let data = Dataset::new(turned.clone(), arr1(&[0, 0]), ["a"]).unwrap();
        assert!(data.images().is_standard_layout());
        assert_eq!(data.images(), &turned);
    }

    #[test]
    fn with_images_keeps_labels_and_checks_the_count() {
        let data = Dataset::new(Array4::zeros((3, 1, 4, 4)), arr1(&[2, 0, 1]), ["a", "b", "c"]).unwrap();
        let other = data.with_images(Array4::ones((3, 1, 2, 2))).unwrap();
        assert_eq!(other.image_shape(), [1, 2, 2]);
        assert_eq!(other.labels(), data.labels());
        assert!(data.with_images(Array4::ones((2, 1, 4, 4))).is_err());
        assert!(data.with_images(Array4::from_elem((3, 1, 4, 4), f32::NAN)).is_err());
    }

    #[test]
    fn display_counts_and_debug_never_prints_pixels() {
        let labels = Array1::from_shape_fn(1234, |i| usize::from(i == 7));
        let data = Dataset::new(Array4::zeros((1234, 1, 2, 2)), labels, ["cat", "dog"]).unwrap();
        let text = "1,234 images of shape 1×2×2\n2 classes: cat (1,233), dog (1)\nsource: arrays";
        assert_eq!(data.to_string(), text);
        assert_eq!(format!("{data:?}"), text);
    }

    #[test]
    fn any_number_of_classes_is_held_and_the_first_are_shown() {
        let many = |count: usize| {
            let names = (0..count).map(|class| format!("class {class}"));
            Dataset::new(Array4::zeros((2, 1, 2000, 2000)), arr1(&[0, count - 1]), names)
        };
        let text = many(64).unwrap().to_string();
        assert!(text.contains("64 classes: class 0 (1), ") && text.contains("class 63 (1)\n"), "{text}");
        let text = many(1066).unwrap().to_string();
        assert!(
            text.contains("1,066 classes: class 0 (1), ") && text.contains("class 63 (0), and 1,002 more\n"),
            "{text}"
        );
        let error = many(1_000_001).unwrap_err().to_string();
        assert_eq!(error, "data set: expected at most 1,000,000 class names, got more");
        let endless = Dataset::new(Array4::zeros((0, 1, 1, 1)), arr1(&[]), std::iter::repeat("a"));
        assert!(endless.is_err());
    }

    #[test]
    fn class_names_are_exchanged_one_for_one() {
        let data = Dataset::new(Array4::zeros((2, 1, 2, 2)), arr1(&[0, 1]), ["0", "1"]).unwrap();
        let named = data.with_class_names(["cat", "dog"]).unwrap();
        assert_eq!((named.class_names(), named.labels()), (&["cat".to_string(), "dog".to_string()][..], data.labels()));
        for names in [vec![], vec!["cat"], vec!["cat", "dog", "cow"]] {
            let error = data.with_class_names(names.clone()).unwrap_err().to_string();
            let expected =
                format!("with_class_names: expected 2 names, one for each class, got {}. of_classes", names.len());
            assert!(error.starts_with(&expected), "{error}");
        }
        assert!(data.with_class_names(std::iter::repeat("a")).is_err());
    }

    #[test]
    fn a_clone_shares_the_pixels() {
        let data = Dataset::new(Array4::zeros((2, 1, 2, 2)), arr1(&[0, 0]), ["a"]).unwrap();
        assert!(std::ptr::eq(data.images(), data.clone().images()));
    }
}
