//! From images to codes and back, with a trained autoencoder.

use ndarray::{Array2, Array4};

use super::{Codes, codes::check_finite};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    limit,
    model::{Autoencoder, decoded, decoded_and_checked, encoded},
};

/// The codes of all images: (n, channels, height, width) to (n, latent_dim), with the images' labels.
///
/// # Errors
/// If the images' shape is not that of the encoder's input, a layer cannot take the values, a code is not finite, or
/// one result cannot hold the codes (4 GiB).
///
/// ```
/// use latentlab::{Autoencoder, Dataset, embed};
///
/// let digits = Dataset::built_in_digits(50, 0)?;
/// let codes = embed(&Autoencoder::tiny(2)?, &digits)?;
/// assert_eq!(codes.points().dim(), (50, 2));
/// assert_eq!(codes.labels(), digits.labels());
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn embed(autoencoder: &Autoencoder, images: &Dataset) -> Result<Codes> {
    autoencoder.check_images(images)?;
    limit::check("embed", "codes", &[images.len(), autoencoder.latent_dim()])?;
    let codes = encoded(autoencoder.encoder(), images, 0..images.len()).map_err(|error| error.within("embed"))?;
    let points = array(Array2::from_shape_vec((images.len(), autoencoder.latent_dim()), codes), "embed")?;
    Codes::new(points, images.labels().clone(), images.class_names().to_vec())
}

/// The decoder's images of codes: (n, latent_dim) to (n, channels, height, width).
///
/// Grey values are the network's output: without a final sigmoid some may lie outside \[0, 1\].
///
/// # Errors
/// If the codes have another number of values than [`latent_dim`](Autoencoder::latent_dim), a value is not finite, or
/// one result cannot hold the images (4 GiB).
///
/// ```
/// use latentlab::{Autoencoder, decode, ndarray::array};
///
/// let images = decode(&Autoencoder::tiny(2)?, &array![[12.0, 4.0], [2.0, 40.0], [1.5, 0.0]])?;
/// assert_eq!(images.dim(), (3, 1, 28, 28));
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn decode(autoencoder: &Autoencoder, codes: &Array2<f32>) -> Result<Array4<f32>> {
    let latent_dim = autoencoder.latent_dim();
    if codes.ncols() != latent_dim {
        let expected = format!("codes of {latent_dim} values, the decoder's input");
        return Err(Error::expected(ErrorKind::Shape, "decode", expected, codes.ncols()));
    }
    let (n, contiguous) = (codes.nrows(), codes.as_standard_layout());
    let codes = contiguous.as_slice().unwrap_or_default();
    check_finite("decode, code", codes, latent_dim)?;
    let [channels, height, width] = autoencoder.image_shape();
    limit::check("decode", "images", &[n, channels, height, width])?;
    decoded(autoencoder.decoder(), codes, n, autoencoder.image_shape())
}

/// The autoencoder's reconstruction of every image, with the same labels.
///
/// # Errors
/// If the images' shape is not that of the encoder's input, or a value is not finite.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, reconstruct};
///
/// let digits = Dataset::built_in_digits(50, 0)?;
/// let reconstructions = reconstruct(&Autoencoder::tiny(2)?, &digits)?;
/// assert_eq!(reconstructions.images().dim(), digits.images().dim());
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn reconstruct(autoencoder: &Autoencoder, images: &Dataset) -> Result<Dataset> {
    let codes = embed(autoencoder, images)?;
    let codes = codes.points().as_slice().unwrap_or_default(); // always in standard layout
    let shape = autoencoder.image_shape();
    let (decoded, are_finite) = decoded_and_checked(autoencoder.decoder(), codes, images.len(), shape)?;
    images.with_checked_images(decoded, are_finite)
}

/// A network's output has the size of its shape.
fn array<T>(shaped: std::result::Result<T, ndarray::ShapeError>, place: &str) -> Result<T> {
    shaped.map_err(|error| Error::new(ErrorKind::Shape, place, error.to_string()))
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::nn::Sequential;

    /// Reconstructs white images: each of the code's values is 4 · `weight`, and one pixel f32::MAX times that.
    fn reconstructed(weight: f32) -> Result<Dataset> {
        let mut encoder = Sequential::input([1, 2, 2]).flatten().dense(2).build()?;
        encoder.set_weights("2.weight", &Array2::from_elem((4, 2), weight))?;
        let mut decoder = Sequential::input([2]).dense(4).reshape([1, 2, 2]).build()?;
        decoder.set_weights("1.weight", &arr2(&[[0.0, 0.0, f32::MAX, 0.0], [1.0; 4]]))?;
        reconstruct(&Autoencoder::new(encoder, decoder)?, &Dataset::from_array(Array4::ones((300, 1, 2, 2)))?)
    }

    #[test]
    fn a_reconstruction_that_is_not_finite_is_refused_with_its_place() {
        assert_eq!(reconstructed(0.25).unwrap().values()[..4], [1.0, 1.0, f32::MAX, 1.0]);
        let error = reconstructed(1.0).unwrap_err().to_string();
        assert_eq!(error, "data set, image 0, channel 0, row 1, column 0: expected a finite value, got inf");
    }
}
