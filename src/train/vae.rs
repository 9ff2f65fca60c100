use std::sync::Arc;

use ndarray::Array4;

use super::{
    autoencoder::{decoded_loss, reconstructed},
    batch::{gather, means, with_noise},
    config::TrainConfig,
    epochs::{Learner, train},
    history::History,
};
use crate::{
    data::Dataset,
    engine::Buffer,
    error::Result,
    model::Vae,
    nn::{ModelFile, OptimizerState, Pass, Sequential, Variable, channels_last, learn, reparametrise},
    random,
};

/// Trains a variational autoencoder: reconstruction + β · KL, with β the settings' [`kl_weight`](TrainConfig::kl_weight).
///
/// The reconstruction is the settings' [`loss`](TrainConfig::loss), as everywhere the mean over all *pixels*. The KL divergence of the codes'
/// distributions from N(0, I) is summed over the numbers of a code, and to stand beside a mean over pixels it is divided by their
/// number: with 28×28 images the loss is reconstruction + β · KL / 784. With binary cross-entropy and β = 1, 784 times the loss
/// is the negative evidence lower bound. [`History`] holds both parts; `kl` is in nats an image, not divided.
///
/// Validation draws the same ε in every epoch; snapshots decode the mean. All else is as with [`train_ae`](crate::train_ae).
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
    let (training, validation) = config.prepare(images)?;
    for set in [Some(&training), validation.as_ref(), config.snapshot_images.as_ref()].into_iter().flatten() {
        vae.check_images(set)?;
    }
    config.check_targets(&training, validation.as_ref())?;
    let history = History::new(format!("{} + KL", config.loss.name()));
    let descent = OptimizerState::new(config.optimizer, config.learning_rate);
    let mut learner = Variational { vae, config, descent };
    train(&mut learner, (&training, validation.as_ref()), config, history)
}

/// A variational autoencoder that learns. It measures the loss, the reconstruction and the divergence.
struct Variational<'a> {
    vae: &'a mut Vae,
    config: &'a TrainConfig,
    descent: OptimizerState,
}

impl Learner<3> for Variational<'_> {
    fn networks(&self) -> Vec<&Sequential> {
        self.vae.networks().into()
    }

    fn networks_mut(&mut self) -> Vec<&mut Sequential> {
        self.vae.networks_mut().into()
    }

    fn descents(&mut self) -> Vec<&mut OptimizerState> {
        vec![&mut self.descent]
    }

    fn file(&self) -> ModelFile<'_> {
        self.vae.file()
    }

    fn step(&mut self, images: &Dataset, rows: &[usize], seed: u64, learning_rate: f64) -> [f64; 3] {
        let networks = self.vae.networks();
        let learned = learn(rows.len(), &networks, seed, |range, seed, pass| {
            let share = range.len() as f64 / rows.len() as f64;
            let target = gather(images, &rows[range]);
            let input = with_noise(&target, self.config.input_noise, seed);
            parts(self.vae, input, &target, share, self.config, pass)
        });
        self.descent.learning_rate = learning_rate;
        learned.apply(&mut self.vae.networks_mut(), &mut self.descent);
        learned.means
    }

    fn measure(&self, images: &Dataset) -> [f64; 3] {
        means(images.len(), &self.vae.networks(), |block, rows| {
            let target = gather(images, rows);
            let seed = random::mix(!self.config.seed, block);
            let input = with_noise(&target, self.config.input_noise, seed);
            let mut pass = Pass::prediction();
            pass.begin(seed);
            parts(self.vae, input, &target, 1.0, self.config, &mut pass).0
        })
    }

    fn snapshot(&self) -> Result<Option<Array4<f32>>> {
        let Some(images) = &self.config.snapshot_images else { return Ok(None) };
        reconstructed(&self.vae.autoencoder()?, images).map(Some)
    }

    fn note(&mut self, history: &mut History, [_, reconstruction, kl]: [f64; 3], validation: Option<[f64; 3]>) {
        history.reconstruction.push(reconstruction);
        history.kl.push(kl);
        history.validation_reconstruction.extend(validation.map(|[_, reconstruction, _]| reconstruction));
        history.validation_kl.extend(validation.map(|[_, _, kl]| kl));
    }
}

fn parts(
    vae: &Vae,
    input: Arc<Buffer>,
    target: &Buffer,
    share: f64,
    config: &TrainConfig,
    pass: &mut Pass,
) -> ([f64; 3], Variable) {
    let pixels: usize = vae.image_shape().iter().product();
    let rows = target.len() / pixels;
    let kl_weight = config.kl_weight / pixels as f64;
    let x = pass.input(input, rows);
    let x = channels_last(x, &vae.image_shape(), pass);
    let features = vae.encoder().forward(x, pass);
    let heads = vae.heads().forward(features, pass);
    let epsilon = random::normal(rows * vae.latent_dim(), pass.stream());
    let (kl, codes) = reparametrise(heads, epsilon, kl_weight, share, pass);
    let (reconstruction, on_tape) = decoded_loss(vae.decoder(), codes, target, share, config.loss, pass);
    ([reconstruction + kl_weight * kl, reconstruction, kl], on_tape)
}
