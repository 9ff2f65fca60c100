//! The reports' architectures, by name.

use super::{Autoencoder, Gan, Vae};
use crate::{
    error::Result,
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
        Self::new(
            Sequential::input([1, 28, 28]).flatten().dense(50).relu().dense(latent_dim).relu(),
            Sequential::input([latent_dim]).dense(784).relu().reshape([1, 28, 28]),
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
        let encoder = dropped(Sequential::input([1, 28, 28]).flatten(), [512, 256, 128, 64]);
        let decoder = dropped(Sequential::input([latent_dim]), [64, 128, 256, 512]);
        Self::new(encoder.dense(latent_dim).leaky_relu(0.2), decoder.dense(784).sigmoid().reshape([1, 28, 28]))
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
        let encoder = convolutional_encoder().dense(latent_dim).leaky_relu(0.2);
        Self::new(encoder, convolutional_decoder(latent_dim))
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
        Self::new(strided_encoder(filters, hidden).dense(latent_dim), strided_decoder(filters, hidden, latent_dim))
    }

    /// The wide, batch-normalised autoencoder of report S3 (Keras' conventions): convolutions of 112 filters, a code of
    /// 2 behind a ReLU, nearest up-sampling by 3 in the decoder, a sigmoid at the end. 306,699 parameters, of which
    /// 3,076 are running statistics.
    ///
    /// # Errors
    /// None: the architecture is fixed.
    pub fn wide() -> Result<Self> {
        Self::new(
            Sequential::input([1, 28, 28])
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
                .dense(1024)
                .relu()
                .batch_norm()
                .reshape([64, 4, 4])
                .batch_norm()
                .up_sample2d(3)
                .conv2d(112, 3)
                .relu()
                .batch_norm()
                .up_sample2d(3)
                .conv2d(112, 3)
                .relu()
                .batch_norm()
                .conv2d(1, 1)
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
        Self::new(strided_encoder(filters, hidden), strided_decoder(filters, hidden, latent_dim))
    }

    /// The variational form of [`Autoencoder::convolutional`], which report S0 names.
    ///
    /// # Errors
    /// If `latent_dim` is 0.
    pub fn convolutional(latent_dim: usize) -> Result<Self> {
        Self::new(convolutional_encoder(), convolutional_decoder(latent_dim))
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
        Self::new(
            Sequential::input([latent_dim])
                .init(Init::KaimingUniform)
                .dense(128 * 3 * 3)
                .selu()
                .reshape([128, 3, 3])
                .conv_transpose2d(64, 3)
                .stride(2)
                .selu()
                .conv_transpose2d(32, 3)
                .stride(2)
                .padding(1)
                .output_padding(1)
                .selu()
                .conv_transpose2d(1, 3)
                .stride(2)
                .padding(1)
                .output_padding(1)
                .sigmoid(),
            Sequential::input([1, 28, 28])
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

/// Report S0's, up to what the code is made of.
fn convolutional_encoder() -> Sequential {
    Sequential::input([1, 28, 28])
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

fn convolutional_decoder(latent_dim: usize) -> Sequential {
    Sequential::input([latent_dim])
        .dense(64 * 7 * 7)
        .leaky_relu(0.2)
        .reshape([64, 7, 7])
        .conv_transpose2d(64, 3)
        .stride(2)
        .same()
        .batch_norm()
        .leaky_relu(0.2)
        .conv_transpose2d(1, 3)
        .stride(2)
        .same()
        .batch_norm()
        .sigmoid()
}

/// Reports S1's and S2's, up to what the code is made of.
fn strided_encoder([first, second, third]: [usize; 3], hidden: usize) -> Sequential {
    Sequential::input([1, 28, 28])
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

fn strided_decoder([first, second, third]: [usize; 3], hidden: usize, latent_dim: usize) -> Sequential {
    Sequential::input([latent_dim])
        .init(Init::KaimingUniform)
        .dense(hidden)
        .relu()
        .dense(third.saturating_mul(9))
        .relu()
        .reshape([third, 3, 3])
        .conv_transpose2d(second, 3)
        .stride(2)
        .relu()
        .conv_transpose2d(first, 3)
        .stride(2)
        .padding(1)
        .output_padding(1)
        .relu()
        .conv_transpose2d(1, 3)
        .stride(2)
        .padding(1)
        .output_padding(1)
        .sigmoid()
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
}
