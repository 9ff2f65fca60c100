use ndarray::Array4;

use super::{
    autoencoder::{decoded_loss, prepared, reconstructed},
    config::TrainConfig,
    history::History,
    objective::{Batch, Data, Measures, Objective},
    run::train,
};
use crate::{
    data::Dataset,
    error::Result,
    model::Vae,
    nn::{Pass, Variable, reparametrise},
    random,
};

/// Trains a variational autoencoder: reconstruction + β · KL, with β the settings'
/// [`kl_weight`](TrainConfig::kl_weight).
///
/// The reconstruction is the settings' [`loss`](TrainConfig::loss), a mean over all *pixels* as everywhere. The KL
/// divergence of the codes' distributions from N(0, I) is summed over the numbers of a code, and divided by the number
/// of pixels, since the reconstruction is a mean over them: with 28×28 images the loss is reconstruction + β · KL /
/// 784. With binary cross-entropy and β = 1, 784 times the loss is the negative evidence lower bound. [`History`] holds
/// both parts; `kl` is in nats an image, not divided.
///
/// Validation draws the same ε in every epoch; snapshots decode the mean. Everything else is as with
/// [`train_ae`](crate::train_ae).
///
/// # Errors
/// As [`train_ae`](crate::train_ae).
///
/// ```
/// use latentlab::{Dataset, Loss, TrainConfig, Vae, sample, train_vae};
///
/// let digits = Dataset::built_in_digits(300, 0)?;
/// let mut vae = Vae::strided([4, 8, 16], 32, 2)?;
/// let config = TrainConfig::new().epochs(2).batch_size(50).loss(Loss::BinaryCrossEntropy);
/// let history = train_vae(&mut vae, &digits, &config)?;
/// assert!((history.reconstruction[1] + history.kl[1] / 784.0 - history.loss[1]).abs() < 1e-9);
/// assert_eq!(sample(&vae, 5, 0)?.dim(), (5, 1, 28, 28));
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn train_vae(vae: &mut Vae, images: &Dataset, config: &TrainConfig) -> Result<History> {
    train(vae, images, config.clone())
}

/// Reconstructs from drawn codes, whose distributions are held near N(0, I).
impl Objective for Vae {
    const MEASURES: &'static [&'static str] = &["reconstruction", "kl"];

    fn loss(&self, batch: &Batch, config: &TrainConfig, pass: &mut Pass) -> (Measures, Variable) {
        let pixels: usize = self.image_shape().iter().product();
        let kl_weight = config.kl_weight_used() / pixels as f64;
        let input = batch.input(&self.image_shape(), pass);
        let features = pass.within(|| "encoder".into(), |pass| self.encoder().forward_on(input, pass));
        let heads = pass.within(|| "heads".into(), |pass| self.heads().forward_on(features, pass));
        let epsilon = random::normal(batch.labels.len() * self.latent_dim(), pass.stream());
        let (kl, codes) = reparametrise(heads, epsilon, kl_weight, batch.share, pass);
        let (reconstruction, on_tape) = decoded_loss("decoder", self.decoder(), codes, batch, config, pass);
        ([reconstruction + kl_weight * kl, reconstruction, kl], on_tape)
    }

    fn name(&self, config: &TrainConfig) -> String {
        format!("{} + KL", config.loss_used().name())
    }

    fn prepare(&self, data: Data, config: &TrainConfig) -> Result<Data> {
        prepared(data, config, "vae", self.image_shape(), |images| self.check_images(images))
    }

    fn reconstruct(&self, images: &Dataset) -> Result<Option<Array4<f32>>> {
        reconstructed(&self.autoencoder(), images).map(Some)
    }
}
