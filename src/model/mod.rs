//! Models: networks with a task, and the reports' architectures by name.

mod autoencoder;
mod classifier;
mod gan;
mod presets;
mod vae;

#[cfg(test)]
mod tests;

pub use autoencoder::Autoencoder;
pub use classifier::Classifier;
pub use gan::Gan;
pub use vae::Vae;

use std::{any::Any, fmt, ops::Range, path::Path};

use ndarray::Array4;

use crate::{
    data::Dataset,
    engine::{prefetch, write_grey_levels},
    error::{Error, ErrorKind, Result},
    limit,
    nn::{ModelFile, Outputs, Sequential, Summary, rows_of},
};

/// What files and trainings need of every model.
pub(crate) trait Model: Any + Send + Sync {
    /// What is written into a file.
    fn file(&self) -> ModelFile<'_>;

    /// The networks that training changes, in the order in which an image meets them.
    fn trained(&self) -> Vec<&Sequential>;

    /// The same, to be changed.
    fn trained_mut(&mut self) -> Vec<&mut Sequential>;

    /// All networks, in the order of the [file](Self::file).
    fn networks_mut(&mut self) -> Vec<&mut Sequential> {
        self.trained_mut()
    }
}

/// A network by itself.
impl Model for Sequential {
    fn file(&self) -> ModelFile<'_> {
        ModelFile { kind: "sequential", networks: vec![("network", self)], settings: serde_json::Value::Null }
    }

    fn trained(&self) -> Vec<&Sequential> {
        vec![self]
    }

    fn trained_mut(&mut self) -> Vec<&mut Sequential> {
        vec![self]
    }
}

macro_rules! common {
    ($($model:ty),+) => {$(
        impl $model {
            /// The number of values in all parameters, running statistics included.
            pub fn parameter_count(&self) -> usize {
                self.file().networks.iter().map(|(_, network)| network.parameter_count()).sum()
            }

            /// The layers, their output shapes and their parameters as Keras prints them.
            pub fn summary(&self) -> Summary {
                let ModelFile { kind, networks, .. } = self.file();
                Summary::of(kind, &networks)
            }

            /// Writes architecture, weights and settings to one safetensors file; an interrupted save leaves the old
            /// file as it was.
            ///
            /// # Errors
            /// If the file cannot be written.
            pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
                self.save_to(path.as_ref())
            }

            fn save_to(&self, path: &Path) -> Result<()> {
                self.file().write(path, None)
            }
        }

        impl fmt::Debug for $model {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.summary())
            }
        }
    )+};
}
common!(Autoencoder, Classifier, Gan, Vae);

/// A network's shape as that of images: features are \[1, 1, features\], sequences \[1, time, features\], as in
/// [`Dataset::from_array`]. `side` names the network and its side.
fn image_shape(shape: &[usize], model: &str, side: &str) -> Result<[usize; 3]> {
    match *shape {
        [features] => Ok([1, 1, features]),
        [time, features] => Ok([1, time, features]),
        [channels, height, width] => Ok([channels, height, width]),
        _ => {
            let message = format!("{side} is {shape:?}, but images are [channels, height, width]");
            Err(Error::new(ErrorKind::Shape, model, message))
        }
    }
}

/// Refuses images whose shape is not that of `side`.
fn check_images(images: &Dataset, shape: [usize; 3], side: &str) -> Result<()> {
    if images.image_shape() == shape {
        return Ok(());
    }
    let got = format!("{:?} ({})", images.image_shape(), images.source());
    Err(Error::expected(ErrorKind::Shape, "images", format!("{shape:?}, {side}"), got))
}

/// The first value outside of a range, and where it is: "image 3, channel 0, row 5, column 7". Rounding errors of a
/// normalisation that was undone are not outside.
pub(crate) fn outside(images: &Dataset, [lowest, highest]: [f32; 2]) -> Option<(String, f32)> {
    const ROUNDING: f32 = 1e-5;
    if !images.is_empty() && images.bytes(0).is_some() && lowest <= 0.0 && highest >= 1.0 {
        return None;
    }
    let inside = |value: &f32| (lowest - ROUNDING..=highest + ROUNDING).contains(value);
    let at = images.values().iter().position(|value| !inside(value))?;
    let [channels, height, width] = images.image_shape();
    let (image, pixel) = (at / (channels * height * width), at % (height * width));
    let channel = at / (height * width) % channels;
    let place = format!("image {image}, channel {channel}, row {}, column {}", pixel / width, pixel % width);
    Some((place, images.values()[at]))
}

/// How many images are on their way from memory at once.
pub(crate) const AHEAD: usize = 4;

/// Writes the values of an image, which exists; bytes of files without making an array of them all. Meanwhile those of
/// a `later` one come from memory.
pub(crate) fn write_image(images: &Dataset, index: usize, later: Option<usize>, values: &mut [f32]) {
    later.and_then(|later| images.bytes(later)).into_iter().for_each(prefetch);
    match images.bytes(index) {
        Some(bytes) => write_grey_levels(bytes, values),
        None => values.copy_from_slice(&images.values()[index * values.len()..][..values.len()]),
    }
}

/// What an encoder makes of those images of a data set, one after the other.
pub(crate) fn encoded(encoder: &Sequential, dataset: &Dataset, range: Range<usize>) -> Result<Vec<f32>> {
    let width: usize = dataset.image_shape().iter().product();
    let write = |first, values: &mut [f32]| {
        for (values, image) in values.chunks_exact_mut(width).zip(range.start + first..) {
            let later = Some(image + AHEAD).filter(|later| *later < range.end);
            write_image(dataset, image, later, values);
        }
    };
    Ok(encoder.run_on(range.start, range.len(), &write)?.values)
}

/// The images that a network decodes from n codes: (n, channels, height, width).
pub(crate) fn decoded(decoder: &Sequential, codes: &[f32], n: usize, shape: [usize; 3]) -> Result<Array4<f32>> {
    decoded_and_checked(decoder, codes, n, shape).map(|(images, _)| images)
}

/// The same, and whether none of their values is NaN or infinite.
pub(crate) fn decoded_and_checked(
    decoder: &Sequential,
    codes: &[f32],
    n: usize,
    shape: [usize; 3],
) -> Result<(Array4<f32>, bool)> {
    let [channels, height, width] = shape;
    limit::check("decode", "images", &[n, channels, height, width])?;
    let write = rows_of(codes, decoder.input_shape().iter().product());
    let Outputs { values, are_finite } = decoder.run_on(0, n, &write).map_err(|error| error.within("decode"))?;
    let images = Array4::from_shape_vec((n, channels, height, width), values)
        .map_err(|error| Error::new(ErrorKind::Shape, "decode", error.to_string()))?;
    Ok((images, are_finite))
}
