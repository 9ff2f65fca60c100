use std::sync::Arc;

use ndarray::Array4;

use super::{
    batch::{gather, means, with_noise},
    check,
    config::TrainConfig,
    epochs::{Learner, train},
    history::History,
};
use crate::{
    data::Dataset,
    engine::Buffer,
    error::{Error, ErrorKind, Result},
    model::{Autoencoder, decoded},
    nn::{Loss, ModelFile, OptimizerState, Pass, Sequential, Variable, channels_first, channels_last, learn},
    random,
};

/// Trains an autoencoder to give back the images it gets, with [`TrainConfig`]'s settings.
///
/// The weights go on from where they are: calling it again continues (with a fresh optimizer and schedule).
/// The same seed, weights and images give the same bits, whatever the number of threads.
///
/// # Errors
/// - [`ErrorKind::Argument`](crate::ErrorKind::Argument) for a setting out of range,
///   [`ErrorKind::Shape`](crate::ErrorKind::Shape) for images of another shape than the encoder's input;
/// - [`ErrorKind::Argument`](crate::ErrorKind::Argument) also for a target outside \[0, 1\] with a binary cross-entropy, for single rows in
///   a batch normalisation that needs two (a last batch of 1 joins the one before it), and for a batch that takes too much memory;
/// - [`ErrorKind::Diverged`](crate::ErrorKind::Diverged) if the loss or the weights become NaN or infinite: the error says at
///   which epoch and step and what to try, and the weights are those of the last good epoch;
/// - [`ErrorKind::Io`](crate::ErrorKind::Io) and [`ErrorKind::Weights`](crate::ErrorKind::Weights) for a
///   [`checkpoint`](TrainConfig::checkpoint) that cannot be written, or one that it cannot go on from: then nothing has changed.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, TrainConfig, train_ae};
///
/// let (train, test) = Dataset::built_in_digits(600, 0)?.split(500, 100)?;
/// let mut autoencoder = Autoencoder::tiny(2)?;
/// let config = TrainConfig::new().epochs(3).batch_size(100).validation(&test);
/// let history = train_ae(&mut autoencoder, &train, &config)?;
/// assert_eq!(history.loss.len(), 3);
/// assert!(history.loss[2] < history.loss[0]);
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn train_ae(autoencoder: &mut Autoencoder, images: &Dataset, config: &TrainConfig) -> Result<History> {
    let (training, validation) = config.prepare(images)?;
    for set in [Some(&training), validation.as_ref(), config.snapshot_images.as_ref()].into_iter().flatten() {
        autoencoder.check_images(set)?;
    }
    config.check_targets(&training, validation.as_ref())?;
    let descent = OptimizerState::new(config.optimizer, config.learning_rate);
    let mut learner = Reconstruction { autoencoder, config, descent };
    train(&mut learner, (&training, validation.as_ref()), config, History::new(config.loss.name()))
}

/// The mean loss of the reconstructions of all images, without noise or dropout: Keras' `model.evaluate`.
///
/// # Errors
/// If there are no images, their shape is not that of the encoder's input, or a value is outside \[0, 1\] with a binary cross-entropy.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, Loss, evaluate};
///
/// let digits = Dataset::built_in_digits(100, 0)?;
/// let untrained = evaluate(&Autoencoder::tiny(2)?, &digits, Loss::MeanSquaredError)?;
/// assert!(untrained > 0.05 && untrained < 0.5);
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn evaluate(autoencoder: &Autoencoder, images: &Dataset, loss: Loss) -> Result<f64> {
    autoencoder.check_images(images)?;
    if images.is_empty() {
        return Err(Error::expected(ErrorKind::Data, "evaluate", "at least 1 image", "none"));
    }
    check::targets(images, "images", loss)?;
    Ok(mean_loss(autoencoder, images, loss, 0.0, 0))
}

/// An autoencoder that learns to give back what it gets.
struct Reconstruction<'a> {
    autoencoder: &'a mut Autoencoder,
    config: &'a TrainConfig,
    descent: OptimizerState,
}

impl Learner<1> for Reconstruction<'_> {
    fn networks(&self) -> Vec<&Sequential> {
        self.autoencoder.networks().into()
    }

    fn networks_mut(&mut self) -> Vec<&mut Sequential> {
        self.autoencoder.networks_mut().into()
    }

    fn descents(&mut self) -> Vec<&mut OptimizerState> {
        vec![&mut self.descent]
    }

    fn file(&self) -> ModelFile<'_> {
        self.autoencoder.file()
    }

    fn step(&mut self, images: &Dataset, rows: &[usize], seed: u64, learning_rate: f64) -> [f64; 1] {
        let networks = self.autoencoder.networks();
        let learned = learn(rows.len(), &networks, seed, |range, seed, pass| {
            let share = range.len() as f64 / rows.len() as f64;
            let target = gather(images, &rows[range]);
            let input = with_noise(&target, self.config.input_noise, seed);
            let (loss, on_tape) = reconstruction_loss(self.autoencoder, input, &target, share, self.config.loss, pass);
            ([loss], on_tape)
        });
        self.descent.learning_rate = learning_rate;
        learned.apply(&mut self.autoencoder.networks_mut(), &mut self.descent);
        learned.means
    }

    fn measure(&self, images: &Dataset) -> [f64; 1] {
        let TrainConfig { loss, input_noise, seed, .. } = *self.config;
        [mean_loss(self.autoencoder, images, loss, input_noise, seed)]
    }

    fn snapshot(&self) -> Result<Option<Array4<f32>>> {
        self.config.snapshot_images.as_ref().map(|images| reconstructed(self.autoencoder, images)).transpose()
    }
}

/// The images as they come back, for a snapshot.
pub(super) fn reconstructed(autoencoder: &Autoencoder, images: &Dataset) -> Result<Array4<f32>> {
    let codes = autoencoder.encoder().run(images.values(), images.len());
    decoded(autoencoder.decoder(), &codes, images.len(), autoencoder.image_shape())
}

fn mean_loss(autoencoder: &Autoencoder, images: &Dataset, loss: Loss, noise: f32, seed: u64) -> f64 {
    let [mean] = means(images.len(), &autoencoder.networks(), |block, rows| {
        let target = gather(images, rows);
        // Streams far from those of the steps, the same in every epoch.
        let input = with_noise(&target, noise, random::mix(!seed, block));
        let mut pass = Pass::prediction();
        [reconstruction_loss(autoencoder, input, &target, 1.0, loss, &mut pass).0]
    });
    mean
}

fn reconstruction_loss(
    autoencoder: &Autoencoder,
    input: Arc<Buffer>,
    target: &Arc<Buffer>,
    share: f64,
    loss: Loss,
    pass: &mut Pass,
) -> (f64, Variable) {
    let (encoder, decoder) = (autoencoder.encoder(), autoencoder.decoder());
    let rows = target.len() / encoder.input_shape().iter().product::<usize>();
    let input = pass.input(input, rows);
    let input = channels_last(input, encoder.input_shape(), pass);
    let codes = encoder.forward(input, pass);
    decoded_loss(decoder, codes, target, share, loss, pass)
}

/// The loss of what a decoder makes of codes; a sigmoid at its end and the cross-entropy are taken together.
pub(super) fn decoded_loss(
    decoder: &Sequential,
    codes: Variable,
    target: &Buffer,
    share: f64,
    loss: Loss,
    pass: &mut Pass,
) -> (f64, Variable) {
    if loss == Loss::BinaryCrossEntropy && decoder.ends_in_sigmoid() {
        let logits = decoder.forward_to_logits(codes, pass);
        let logits = channels_first(logits, decoder.output_shape(), pass);
        Loss::BinaryCrossEntropyWithLogits.record(logits, target, share, pass)
    } else {
        let output = decoder.forward(codes, pass);
        let output = channels_first(output, decoder.output_shape(), pass);
        loss.record(output, target, share, pass)
    }
}
