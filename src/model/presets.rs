//! The reports' architectures, by name.

use super::Autoencoder;
use crate::{error::Result, nn::Sequential};

impl Autoencoder {
    /// The tiny dense autoencoder of report S4: 28×28 → 50 ReLU → `latent_dim` ReLU → 784 **ReLU**, Glorot-uniform.
    ///
    /// 41,704 parameters with 2 latent values, 43,374 with 4. The ReLU at the end is the report's: an output whose
    /// unit starts or ends up negative everywhere stays dark for ever.
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
}
