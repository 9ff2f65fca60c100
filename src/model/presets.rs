//! The reports' architectures, by name: for the reports' images of \[1, 28, 28\], and for images of any shape.

/// The shape of the reports' images.
const REPORTS: [usize; 3] = [1, 28, 28];

use super::{Autoencoder, Classifier, Gan, Vae};
use crate::{
    error::{Error, ErrorKind, Result},
    nn::{Init, Sequential},
};

impl Autoencoder {
    /// The tiny dense autoencoder of report S4: 28×28 → 50 ReLU → `latent_dim` ReLU → 784 **ReLU**, Glorot-uniform.
    ///
    /// 41,704 parameters with 2 latent values, 43,374 with 4. The ReLU at the end is the report's: an output whose
    /// unit starts or ends up negative everywhere stays 0.
    ///
    /// # Errors
    /// If `latent_dim` is 0.
    pub fn tiny(latent_dim: usize) -> Result<Self> {
        Self::tiny_for(REPORTS, latent_dim)
    }

    /// [`tiny`](Self::tiny) for images of any shape \[channels, height, width\].
    ///
    /// # Errors
    /// If one of the sizes is 0.
    pub fn tiny_for(image_shape: [usize; 3], latent_dim: usize) -> Result<Self> {
        Self::new(
            Sequential::input(image_shape).flatten().dense(50).relu().dense(latent_dim).relu(),
            Sequential::input([latent_dim]).dense(values(image_shape)).relu().reshape(image_shape),
        )
    }
}

/// Dense layers of these widths, each with leaky ReLU and dropout, as report S0 has them.
fn dropped(network: Sequential, widths: [usize; 4]) -> Sequential {
    widths.iter().fold(network, |network, width| network.dense(*width).leaky_relu(0.2).dropout(0.5))
}

impl Autoencoder {
    /// The deep dense autoencoder of report S0: 784 → 512 → 256 → 128 → 64 → `latent_dim` and back, leaky ReLU 0.2
    /// after each layer and dropout 0.5 after all but the code, a sigmoid at the end.
    ///
    /// 1,149,842 parameters with 2 latent values, 1,153,712 with 32.
    ///
    /// # Errors
    /// If `latent_dim` is 0.
    pub fn deep_dense(latent_dim: usize) -> Result<Self> {
        Self::deep_dense_for(REPORTS, latent_dim)
    }

    /// [`deep_dense`](Self::deep_dense) for images of any shape \[channels, height, width\].
    ///
    /// # Errors
    /// If one of the sizes is 0.
    pub fn deep_dense_for(image_shape: [usize; 3], latent_dim: usize) -> Result<Self> {
        let encoder = dropped(Sequential::input(image_shape).flatten(), [512, 256, 128, 64]);
        let decoder = dropped(Sequential::input([latent_dim]), [64, 128, 256, 512]);
        let decoder = decoder.dense(values(image_shape)).sigmoid().reshape(image_shape);
        Self::new(encoder.dense(latent_dim).leaky_relu(0.2), decoder)
    }

    /// The convolutional autoencoder of report S0 (Keras' conventions): two 3×3 convolutions of 32 and 64 filters, each
    /// with batch normalisation, leaky ReLU 0.2 and max-pooling, and a dense code of `latent_dim`; back with two
    /// transposed convolutions, a sigmoid at the end.
    ///
    /// 72,647 parameters with 2 latent values, 260,837 with 32, the running statistics among them.
    ///
    /// # Errors
    /// If `latent_dim` is 0.
    pub fn convolutional(latent_dim: usize) -> Result<Self> {
        Self::convolutional_for(REPORTS, latent_dim)
    }

    /// [`convolutional`](Self::convolutional) for images of another shape \[channels, height, width\].
    ///
    /// # Errors
    /// If height and width are not multiples of 4 (max-pooling halves them twice), or one of the sizes is 0.
    ///
    /// ```
    /// use latentlab::Autoencoder;
    ///
    /// let autoencoder = Autoencoder::convolutional_for([3, 32, 32], 16)?;
    /// assert_eq!(autoencoder.image_shape(), [3, 32, 32]);
    /// let error = Autoencoder::convolutional_for([3, 30, 32], 16).unwrap_err().to_string();
    /// assert!(error.contains("multiples of 4, got 30 × 32. The nearest is 28 × 32"), "{error}");
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn convolutional_for(image_shape: [usize; 3], latent_dim: usize) -> Result<Self> {
        check_quarters("Autoencoder::convolutional_for", image_shape)?;
        let encoder = convolutional_encoder(image_shape).dense(latent_dim).leaky_relu(0.2);
        Self::new(encoder, convolutional_decoder(image_shape, latent_dim))
    }

    /// The autoencoder of strided convolutions of reports S1 and S2 (PyTorch's conventions): three 3×3 convolutions
    /// with stride 2 (28 → 14 → 7 → 3 pixels), a dense layer of `hidden` and a dense code of `latent_dim`, all with
    /// ReLU but the code; back the same way, a sigmoid at the end.
    ///
    /// S1 has filters \[24, 48, 96\], hidden 128 and a code of 2, 10 or 100; the winner of S2's search \[12, 24, 48\],
    /// hidden 128 and a code of 2.
    ///
    /// # Errors
    /// If one of the sizes is 0.
    pub fn strided(filters: [usize; 3], hidden: usize, latent_dim: usize) -> Result<Self> {
        Self::strided_for(REPORTS, filters, hidden, latent_dim)
    }

    /// [`strided`](Self::strided) for images of any shape \[channels, height, width\] from 9 × 9 pixels.
    ///
    /// # Errors
    /// If the images are smaller, or one of the sizes is 0.
    ///
    /// ```
    /// use latentlab::Autoencoder;
    ///
    /// let autoencoder = Autoencoder::strided_for([3, 45, 64], [24, 48, 96], 128, 10)?;
    /// assert_eq!(autoencoder.image_shape(), [3, 45, 64]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn strided_for(image_shape: [usize; 3], filters: [usize; 3], hidden: usize, latent_dim: usize) -> Result<Self> {
        check_strided("Autoencoder::strided_for", image_shape)?;
        let encoder = strided_encoder(image_shape, filters, hidden).dense(latent_dim);
        Self::new(encoder, strided_decoder(image_shape, filters, hidden, latent_dim))
    }

    /// The wide, batch-normalised autoencoder of report S3 (Keras' conventions): convolutions of 112 filters, a code of
    /// 2 behind a ReLU, nearest up-sampling by 3 in the decoder, a sigmoid at the end. 306,699 parameters, of which
    /// 3,076 are running statistics.
    ///
    /// # Errors
    /// None: the architecture is fixed.
    pub fn wide() -> Result<Self> {
        Self::wide_for(REPORTS)
    }

    /// [`wide`](Self::wide) for images of another shape \[channels, height, width\]: its decoder, which begins with
    /// \[64, s, s\] and up-samples by 3 twice, makes 9·s − 8 pixels of s, so 10, 19, 28, 37, 46, 55, 64 …
    ///
    /// # Errors
    /// If height or width is another number, or there are no channels.
    pub fn wide_for(image_shape: [usize; 3]) -> Result<Self> {
        let [channels, sides @ ..] = image_shape;
        let is_possible = |side: &usize| *side >= 10 && (side - 1).is_multiple_of(9);
        if !sides.iter().all(is_possible) {
            let nearest = sides.map(|side| (side.saturating_sub(1).saturating_add(4) / 9).max(1) * 9 + 1);
            let expected = "a height and width of 10, 19, 28, 37 and so on (9·s − 8)";
            return Err(refused("Autoencoder::wide_for", expected, sides, nearest));
        }
        let [rows, columns] = sides.map(|side| side / 9 + 1);
        Self::new(
            Sequential::input(image_shape)
                .conv2d(112, 3)
                .relu()
                .batch_norm()
                .max_pool2d(2)
                .conv2d(112, 3)
                .relu()
                .batch_norm()
                .max_pool2d(2)
                .flatten()
                .dense(2)
                .relu()
                .batch_norm(),
            Sequential::input([2])
                .dense(values([64, rows, columns]))
                .relu()
                .batch_norm()
                .reshape([64, rows, columns])
                .batch_norm()
                .up_sample2d(3)
                .conv2d(112, 3)
                .relu()
                .batch_norm()
                .up_sample2d(3)
                .conv2d(112, 3)
                .relu()
                .batch_norm()
                .conv2d(channels, 1)
                .sigmoid(),
        )
    }
}

impl Vae {
    /// The variational form of [`Autoencoder::strided`], for report S2: filters \[16, 32, 64\], hidden 64 and a code of
    /// 2 or 3.
    ///
    /// # Errors
    /// If one of the sizes is 0.
    pub fn strided(filters: [usize; 3], hidden: usize, latent_dim: usize) -> Result<Self> {
        Self::strided_for(REPORTS, filters, hidden, latent_dim)
    }

    /// [`strided`](Self::strided) for images of any shape \[channels, height, width\] from 9 × 9 pixels.
    ///
    /// # Errors
    /// If the images are smaller, or one of the sizes is 0.
    pub fn strided_for(image_shape: [usize; 3], filters: [usize; 3], hidden: usize, latent_dim: usize) -> Result<Self> {
        check_strided("Vae::strided_for", image_shape)?;
        let encoder = strided_encoder(image_shape, filters, hidden);
        Self::new(encoder, strided_decoder(image_shape, filters, hidden, latent_dim))
    }

    /// The variational form of [`Autoencoder::convolutional`], which report S0 names.
    ///
    /// # Errors
    /// If `latent_dim` is 0.
    pub fn convolutional(latent_dim: usize) -> Result<Self> {
        Self::convolutional_for(REPORTS, latent_dim)
    }

    /// [`convolutional`](Self::convolutional) for images of another shape \[channels, height, width\].
    ///
    /// # Errors
    /// If height and width are not multiples of 4 (max-pooling halves them twice), or one of the sizes is 0.
    pub fn convolutional_for(image_shape: [usize; 3], latent_dim: usize) -> Result<Self> {
        check_quarters("Vae::convolutional_for", image_shape)?;
        Self::new(convolutional_encoder(image_shape), convolutional_decoder(image_shape, latent_dim))
    }
}

impl Classifier {
    /// A plain convolutional network for 28×28 images, to be trained from scratch: two 3×3 convolutions of 32 and
    /// 64 filters with ReLU and max-pooling, dense 128 with ReLU and dropout 0.5, `classes`.
    ///
    /// On MNIST its test accuracy is above 98 % after one epoch: good enough to evaluate generated digits. 421,642
    /// parameters with 10 classes.
    ///
    /// # Errors
    /// If `classes` is 0.
    pub fn convolutional(classes: usize) -> Result<Self> {
        Self::convolutional_for(REPORTS, classes)
    }

    /// [`convolutional`](Self::convolutional) for images of any shape \[channels, height, width\] from 4 × 4 pixels;
    /// max-pooling drops what is left over of a side that is not a multiple of 4.
    ///
    /// # Errors
    /// If the images are smaller, or one of the sizes is 0.
    pub fn convolutional_for(image_shape: [usize; 3], classes: usize) -> Result<Self> {
        Self::new(
            Sequential::input(image_shape)
                .conv2d(32, 3)
                .same()
                .relu()
                .max_pool2d(2)
                .conv2d(64, 3)
                .same()
                .relu()
                .max_pool2d(2)
                .flatten()
                .dense(128)
                .relu()
                .dropout(0.5),
            Sequential::input([128]).dense(classes),
        )
    }
}

impl Gan {
    /// The convolutional one of report S1 (PyTorch's conventions), there with `latent_dim` 100. Generator: dense 1152,
    /// 128×3×3, three transposed convolutions (→ 7 → 14 → 28 pixels) with SELU between, sigmoid. Discriminator: three
    /// 3×3 convolutions with stride 2 of 64, 128 and 256 filters with leaky ReLU 0.2, dense 1, sigmoid.
    ///
    /// S1 writes a learning rate of 0.02, with which Adam does not settle; the default is the usual 0.0002.
    ///
    /// # Errors
    /// If `latent_dim` is 0.
    pub fn convolutional(latent_dim: usize) -> Result<Self> {
        Self::convolutional_for(REPORTS, latent_dim)
    }

    /// [`convolutional`](Self::convolutional) for images of any shape \[channels, height, width\] from 9 × 9 pixels.
    ///
    /// # Errors
    /// If the images are smaller, or one of the sizes is 0.
    pub fn convolutional_for(image_shape: [usize; 3], latent_dim: usize) -> Result<Self> {
        check_strided("Gan::convolutional_for", image_shape)?;
        let smallest = strided_shape(image_shape, 128);
        let generator =
            Sequential::input([latent_dim]).init(Init::KaimingUniform).dense(values(smallest)).selu().reshape(smallest);
        Self::new(
            strided_back(generator, image_shape, [64, 32], Sequential::selu).sigmoid(),
            Sequential::input(image_shape)
                .init(Init::KaimingUniform)
                .conv2d(64, 3)
                .stride(2)
                .padding(1)
                .leaky_relu(0.2)
                .conv2d(128, 3)
                .stride(2)
                .padding(1)
                .leaky_relu(0.2)
                .conv2d(256, 3)
                .stride(2)
                .leaky_relu(0.2)
                .flatten()
                .dense(1)
                .sigmoid(),
        )
    }
}

/// The number of values of a shape; [`Sequential`] refuses what is too large.
fn values(shape: [usize; 3]) -> usize {
    shape.iter().fold(1, |product: usize, side| product.saturating_mul(*side))
}

/// Images of a size that an architecture cannot give back, and the nearest that it can.
fn refused(place: &str, expected: &str, got: [usize; 2], nearest: [usize; 2]) -> Error {
    let text = |[height, width]: [usize; 2]| format!("{height} × {width}");
    let error = Error::expected(ErrorKind::Shape, place, expected, text(got));
    error.hint(format!("The nearest is {}; strided_for takes any size from 9 × 9", text(nearest)))
}

/// Report S0's pooling must halve the sides twice without a rest.
fn check_quarters(place: &str, [_, sides @ ..]: [usize; 3]) -> Result<()> {
    if sides.iter().all(|side| side.is_multiple_of(4)) {
        return Ok(()); // a 0 is refused by the network
    }
    let nearest = sides.map(|side| (side.saturating_add(1) / 4).max(1) * 4);
    Err(refused(place, "a height and width that are multiples of 4", sides, nearest))
}

/// Report S0's, up to what the code is made of.
fn convolutional_encoder(image_shape: [usize; 3]) -> Sequential {
    Sequential::input(image_shape)
        .conv2d(32, 3)
        .same()
        .batch_norm()
        .leaky_relu(0.2)
        .max_pool2d(2)
        .conv2d(64, 3)
        .same()
        .batch_norm()
        .leaky_relu(0.2)
        .max_pool2d(2)
        .flatten()
}

fn convolutional_decoder([channels, height, width]: [usize; 3], latent_dim: usize) -> Sequential {
    let smallest = [64, height / 4, width / 4];
    Sequential::input([latent_dim])
        .dense(values(smallest))
        .leaky_relu(0.2)
        .reshape(smallest)
        .conv_transpose2d(64, 3)
        .stride(2)
        .same()
        .batch_norm()
        .leaky_relu(0.2)
        .conv_transpose2d(channels, 3)
        .stride(2)
        .same()
        .batch_norm()
        .sigmoid()
}

/// A side before and after each of reports S1's and S2's three convolutions with stride 2, of which the last has no
/// padding: 28, 14, 7, 3.
fn halved(side: usize) -> [usize; 4] {
    let (half, quarter) = (side.div_ceil(2), side.div_ceil(2).div_ceil(2));
    [side, half, quarter, quarter.saturating_sub(1) / 2]
}

/// The last convolution needs a 3×3 window.
fn check_strided(place: &str, [_, height, width]: [usize; 3]) -> Result<()> {
    if height.min(width) >= 9 {
        return Ok(());
    }
    let error = Error::expected(ErrorKind::Shape, place, "at least 9 × 9 pixels", format!("{height} × {width}"));
    Err(error.hint("tiny_for and deep_dense_for take any size"))
}

/// The smallest feature maps of the three convolutions.
fn strided_shape([_, height, width]: [usize; 3], filters: usize) -> [usize; 3] {
    [filters, halved(height)[3], halved(width)[3]]
}

/// Reports S1's and S2's, up to what the code is made of.
fn strided_encoder(image_shape: [usize; 3], [first, second, third]: [usize; 3], hidden: usize) -> Sequential {
    Sequential::input(image_shape)
        .init(Init::KaimingUniform)
        .conv2d(first, 3)
        .stride(2)
        .padding(1)
        .relu()
        .conv2d(second, 3)
        .stride(2)
        .padding(1)
        .relu()
        .conv2d(third, 3)
        .stride(2)
        .relu()
        .flatten()
        .dense(hidden)
        .relu()
}

fn strided_decoder(
    image_shape: [usize; 3],
    [first, second, third]: [usize; 3],
    hidden: usize,
    latent_dim: usize,
) -> Sequential {
    let smallest = strided_shape(image_shape, third);
    let network = Sequential::input([latent_dim])
        .init(Init::KaimingUniform)
        .dense(hidden)
        .relu()
        .dense(values(smallest))
        .relu()
        .reshape(smallest);
    strided_back(network, image_shape, [second, first], Sequential::relu).sigmoid()
}

/// The three convolutions' way back, with an activation between: the output padding makes up for what a side had more
/// than its halves say.
fn strided_back(
    network: Sequential,
    [channels, height, width]: [usize; 3],
    [second, first]: [usize; 2],
    activation: fn(Sequential) -> Sequential,
) -> Sequential {
    let sides = [halved(height), halved(width)];
    let missing = |step: usize, padding: usize| sides.map(|side| side[step] - 2 * (side[step + 1] - padding) - 1);
    let network = network.conv_transpose2d(second, 3).stride(2).output_padding(missing(2, 0));
    let network = activation(network).conv_transpose2d(first, 3).stride(2).padding(1).output_padding(missing(1, 1));
    activation(network).conv_transpose2d(channels, 3).stride(2).padding(1).output_padding(missing(0, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiny_has_the_reports_parameters() {
        assert_eq!(Autoencoder::tiny(2).unwrap().parameter_count(), 41_704);
        assert_eq!(Autoencoder::tiny(4).unwrap().parameter_count(), 43_374);
        let error = Autoencoder::tiny(0).unwrap_err().to_string();
        assert_eq!(error, "encoder, layer 4, dense: expected at least 1 unit, got 0");
    }

    #[test]
    fn the_others_have_the_reports_parameters_too() {
        for (latent_dim, dense, convolutional) in [(2, 1_149_842, 72_647), (32, 1_153_712, 260_837)] {
            assert_eq!(Autoencoder::deep_dense(latent_dim).unwrap().parameter_count(), dense);
            assert_eq!(Autoencoder::convolutional(latent_dim).unwrap().parameter_count(), convolutional);
        }
        let wide = Autoencoder::wide().unwrap().summary();
        assert_eq!((wide.total(), wide.trainable(), wide.non_trainable()), (306_699, 303_623, 3_076));
        let layers: Vec<usize> =
            wide.rows().iter().filter(|row| row.kind != "input").map(|row| row.parameters).collect();
        let with_parameters: Vec<usize> = layers.into_iter().filter(|parameters| *parameters > 0).collect();
        let report = [1120, 448, 113_008, 448, 5602, 8, 3072, 4096, 256, 64_624, 448, 113_008, 448, 113];
        assert_eq!(with_parameters, report);
    }

    /// The shapes of what the networks of every architecture make.
    #[test]
    fn images_of_every_size_come_back_or_are_refused_with_the_nearest() {
        for channels in [1, 3] {
            for height in 9..=40 {
                for width in [9, 10, 11, 12, 28, 33] {
                    let shape = [channels, height, width];
                    let strided = Autoencoder::strided_for(shape, [2, 3, 4], 5, 2).unwrap();
                    assert_eq!(strided.decoder().output_shape(), shape);
                    assert_eq!(Vae::strided_for(shape, [2, 3, 4], 5, 2).unwrap().decoder().output_shape(), shape);
                    assert_eq!(Autoencoder::tiny_for(shape, 2).unwrap().image_shape(), shape);
                    let quarters = Autoencoder::convolutional_for(shape, 2).map(|model| model.image_shape());
                    assert_eq!(quarters.is_ok(), height % 4 == 0 && width % 4 == 0, "{quarters:?}");
                }
            }
            let shape = [channels, 17, 26];
            assert_eq!(Gan::convolutional_for(shape, 4).unwrap().generator().output_shape(), shape);
            assert_eq!(Autoencoder::deep_dense_for(shape, 4).unwrap().image_shape(), shape);
            assert_eq!(Classifier::convolutional_for(shape, 4).unwrap().image_shape(), shape);
            assert_eq!(Vae::convolutional_for([channels, 8, 12], 4).unwrap().image_shape(), [channels, 8, 12]);
            assert_eq!(Autoencoder::wide_for([channels, 10, 37]).unwrap().image_shape(), [channels, 10, 37]);
        }
        for (error, expected) in [
            (
                Autoencoder::wide_for([3, 32, 33]),
                "Autoencoder::wide_for: expected a height and width of 10, 19, 28, 37 and so on (9·s − 8), \
                 got 32 × 33. The nearest is 28 × 37; strided_for takes any size from 9 × 9",
            ),
            (
                Autoencoder::convolutional_for([3, 1, 31], 2),
                "Autoencoder::convolutional_for: expected a height and width that are multiples of 4, got 1 × 31. \
                 The nearest is 4 × 32; strided_for takes any size from 9 × 9",
            ),
            (
                Autoencoder::strided_for([3, 8, 31], [1; 3], 2, 2),
                "Autoencoder::strided_for: expected at least 9 × 9 pixels, got 8 × 31. \
                 tiny_for and deep_dense_for take any size",
            ),
        ] {
            assert_eq!(error.unwrap_err().to_string(), expected);
        }
        let sizes = [0, 1, 3, 9, 28, 1 << 31, 1 << 32, usize::MAX / 2, usize::MAX - 3, usize::MAX];
        for [height, width] in sizes.iter().flat_map(|height| sizes.map(|width| [*height, width])) {
            for channels in [0, usize::MAX] {
                let shape = [channels, height, width];
                assert!(Autoencoder::strided_for(shape, [2; 3], 2, 2).is_err());
                assert!(Autoencoder::convolutional_for(shape, 2).is_err() && Autoencoder::wide_for(shape).is_err());
                assert!(Gan::convolutional_for(shape, 2).is_err() && Autoencoder::tiny_for(shape, 2).is_err());
            }
        }
    }
}
