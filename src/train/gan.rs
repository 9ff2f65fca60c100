use std::{fmt, path::Path, sync::Arc};

use ndarray::Array4;
use rayon::prelude::*;

use super::{
    batch::gather,
    check,
    config::TrainConfig,
    epochs::{Learner, train},
    history::{History, Snapshot, StoppedBy},
};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    limit,
    model::{Gan, decoded},
    nn::{
        Buffer, Cut, Descent, Learned, Loss, ModelFile, NotRecording, Pass, Recording, Sequential, Variable,
        channels_first, channels_last, count_values, for_shards, learn,
    },
    progress::duration_text,
    random,
    stop::StopHandle,
};

/// The settings of a [`train_gan`]; those of the optimizers stand in the [`Gan`] itself.
///
/// | setting | default | range |
/// |---|---|---|
/// | [`epochs`](Self::epochs) | 15 | at least 1 |
/// | [`batch_size`](Self::batch_size) | 200 | at least 1 |
/// | [`seed`](Self::seed) | 0 | |
/// | [`snapshots`](Self::snapshots) | none | at least 1 image |
/// | [`checkpoint`](Self::checkpoint), [`resume`](Self::resume), [`stop_handle`](Self::stop_handle) | none | |
/// | [`progress_every`](Self::progress_every) | 1 epoch | 0 for silence |
#[derive(Clone, Debug)]
pub struct GanConfig {
    snapshot_count: usize,
    /// What it shares with the other trainings.
    common: TrainConfig,
}

impl Default for GanConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl GanConfig {
    /// The defaults in the table above: report S1's.
    pub fn new() -> Self {
        Self { snapshot_count: 0, common: TrainConfig::new().epochs(15).batch_size(200) }
    }

    /// How often training goes through all images.
    pub fn epochs(self, epochs: usize) -> Self {
        Self { common: self.common.epochs(epochs), ..self }
    }

    /// How many real images, and as many generated ones, make one step; the last, smaller batch of an epoch is used too.
    pub fn batch_size(self, batch_size: usize) -> Self {
        Self { common: self.common.batch_size(batch_size), ..self }
    }

    /// Decides the order of the images; the noise follows the seed of the [`Gan`] and its steps so far.
    pub fn seed(self, seed: u64) -> Self {
        Self { common: self.common.seed(seed), ..self }
    }

    /// Generates so many images after these epochs, 0 for before the first, of the same noise each time: those of [`generate`](crate::generate) with
    /// seed 0. [`GanHistory::plot_snapshots`] draws them. Epochs that do not come are left out.
    pub fn snapshots(self, count: usize, epochs: impl IntoIterator<Item = usize>) -> Self {
        Self { snapshot_count: count, common: self.common.snapshots_after(epochs) }
    }

    /// Writes a file before the first epoch and anew after each, from which [`resume`](Self::resume) goes on, and [`Gan::load`] reads the
    /// model. Its folder must exist.
    pub fn checkpoint(self, path: impl AsRef<Path>) -> Self {
        Self { common: self.common.checkpoint(path), ..self }
    }

    /// Goes on from a [`checkpoint`](Self::checkpoint) to the same bits: see [`TrainConfig::resume`].
    pub fn resume(self, path: impl AsRef<Path>) -> Self {
        Self { common: self.common.resume(path), ..self }
    }

    /// Lets this handle end the training after any step: see [`StopHandle`].
    pub fn stop_handle(self, handle: &StopHandle) -> Self {
        Self { common: self.common.stop_handle(handle), ..self }
    }

    /// Prints a line after the first epoch, every `epochs`-th and the last one; 0 prints nothing.
    pub fn progress_every(self, epochs: usize) -> Self {
        Self { common: self.common.progress_every(epochs), ..self }
    }
}

/// The losses of one [`gan_step`], each before the network it belongs to has moved.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct GanLosses {
    /// −ln D(G(z)), the mean over the generated images, judged by the discriminator that has just moved. At ln 2 = 0.69 it cannot tell.
    pub generator: f64,
    /// −ln D(x) − ln(1 − D(G(z))), the mean over the real images and that over the generated ones. At 2 ln 2 = 1.39 it cannot tell.
    pub discriminator: f64,
}

/// What happened in a [`train_gan`], epoch by epoch: the means over the steps, entry 0 for epoch 1.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct GanHistory {
    /// The generator's losses, see [`GanLosses`].
    pub generator_loss: Vec<f64>,
    /// The discriminator's losses.
    pub discriminator_loss: Vec<f64>,
    /// How long each epoch took, in seconds.
    pub seconds: Vec<f64>,
    /// What was asked for by [`GanConfig::snapshots`], in the order of the epochs.
    pub snapshots: Vec<Snapshot>,
    /// What ended the training before its last epoch; `None` if all ran.
    pub stopped_by: Option<StoppedBy>,
}

impl fmt::Display for GanHistory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (epochs, time) = (self.seconds.len(), duration_text(self.seconds.iter().sum()));
        let last = |losses: &[f64]| losses.last().copied().unwrap_or(f64::NAN);
        let (generator, discriminator) = (last(&self.generator_loss), last(&self.discriminator_loss));
        write!(f, "{epochs} epochs in {time}")?;
        if epochs > 0 {
            write!(f, ", generator {generator:.4}, discriminator {discriminator:.4}")?;
        }
        self.stopped_by.map_or(Ok(()), |stopped_by| write!(f, ", {stopped_by}"))
    }
}

/// One step of a generative adversarial network with a batch of real images: first the discriminator learns to tell them from as many generated
/// ones, then the generator, from the same noise, to be taken for real. Both losses are binary cross-entropies, computed from the logits.
///
/// # Errors
/// - [`ErrorKind::Argument`](crate::ErrorKind::Argument) for a setting out of range, [`ErrorKind::Shape`](crate::ErrorKind::Shape) for images
///   of another shape, [`ErrorKind::Data`](crate::ErrorKind::Data) for none;
/// - [`ErrorKind::Diverged`](crate::ErrorKind::Diverged) if a loss becomes NaN or infinite: its network has not moved.
///
/// ```
/// use latentlab::{Dataset, Gan, gan_step};
///
/// let mut gan = Gan::convolutional(16)?;
/// for batch in Dataset::built_in_digits(60, 0)?.batches(20)? {
///     let losses = gan_step(&mut gan, &batch)?;
///     println!("generator {:.3}, discriminator {:.3}", losses.generator, losses.discriminator);
/// }
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn gan_step(gan: &mut Gan, batch: &Dataset) -> Result<GanLosses> {
    gan.check(batch)?;
    if batch.is_empty() {
        return Err(Error::expected(ErrorKind::Data, "gan_step", "at least 1 image", "none"));
    }
    let networks = [("generator", gan.generator()), ("discriminator", gan.discriminator())];
    if let Some(layer) = check::needs_two_rows(&networks)
        && batch.len() == 1
    {
        return Err(check::one_row(ErrorKind::Data, "gan_step", &layer));
    }
    Cut::check("gan_step", batch.len(), &networks.map(|(_, network)| network))?;
    check_fakes("gan_step", gan, batch.len())?;
    let rows: Vec<usize> = (0..batch.len()).collect();
    let losses = rayon::scope(|_| step(gan, &gather(batch, &rows), batch.len()));
    if losses.generator.is_finite() && losses.discriminator.is_finite() {
        return Ok(losses);
    }
    let message = format!("the losses became {} and {}", losses.generator, losses.discriminator);
    Err(Error::new(ErrorKind::Diverged, "gan_step", message).hint("Try a lower learning rate: 0.0002 is usual"))
}

/// Trains a generative adversarial network, [`gan_step`] by step. It goes on from where it is, its optimizers too: two trainings of 5
/// epochs are (but for the order of the images) one of 10, with a look at what [`generate`](crate::generate) makes in between.
///
/// # Errors
/// As [`gan_step`]; after a divergence the weights are those of the last good epoch.
///
/// ```
/// use latentlab::{Dataset, Gan, GanConfig, generate, train_gan};
///
/// let digits = Dataset::built_in_digits(200, 0)?;
/// let mut gan = Gan::convolutional(16)?;
/// let history = train_gan(&mut gan, &digits, &GanConfig::new().epochs(2).batch_size(50))?;
/// assert_eq!(history.generator_loss.len(), 2);
/// let images = generate(&gan, 10, 0)?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn train_gan(gan: &mut Gan, images: &Dataset, config: &GanConfig) -> Result<GanHistory> {
    gan.check(images)?;
    for (setting, value) in [("epochs", config.common.epochs), ("batch_size", config.common.batch_size)] {
        if value == 0 {
            let place = format!("GanConfig::{setting}");
            return Err(Error::expected(ErrorKind::Argument, place, "at least 1", "0"));
        }
    }
    let [generator, discriminator] = gan.learning_rates();
    if config.snapshot_count == 0 && !config.common.snapshot_epochs.is_empty() {
        return Err(Error::expected(ErrorKind::Argument, "GanConfig::snapshots", "at least 1 image", "0"));
    }
    let snapshot = [&[config.snapshot_count][..], &gan.image_shape()].concat();
    check::snapshots("GanConfig::snapshots", &config.common, &snapshot)?;
    limit::check("GanConfig::snapshots", "noise", &[config.snapshot_count, gan.latent_dim()])?;
    let common = config.common.clone().learning_rate(generator.max(discriminator));
    let (images, _) = common.prepare(images)?;
    check_fakes("GanConfig::batch_size", gan, images.len().min(common.batch_size.saturating_add(1)))?;
    let mut learner = Adversaries { gan, snapshot_count: config.snapshot_count };
    match train(&mut learner, (&images, None), &common, History::new("adversarial")) {
        Ok(history) => Ok(GanHistory {
            generator_loss: history.loss,
            discriminator_loss: history.discriminator_loss,
            seconds: history.seconds,
            snapshots: history.snapshots,
            stopped_by: history.stopped_by,
        }),
        Err(error) => {
            if error.kind() == ErrorKind::Diverged {
                learner.gan.restart_optimizers(); // they have seen what is not finite
            }
            Err(error)
        }
    }
}

/// Both networks in training. They measure the generator's loss and the discriminator's.
struct Adversaries<'a> {
    gan: &'a mut Gan,
    snapshot_count: usize,
}

impl Learner<2> for Adversaries<'_> {
    const SETTINGS: &'static str = "GanConfig";

    fn networks(&self) -> Vec<&Sequential> {
        vec![self.gan.generator(), self.gan.discriminator()]
    }

    fn networks_mut(&mut self) -> Vec<&mut Sequential> {
        self.gan.networks_mut().into()
    }

    fn descents(&mut self) -> Vec<&mut Descent> {
        self.gan.descents_mut().into()
    }

    fn file(&self) -> ModelFile<'_> {
        self.gan.file()
    }

    fn step(&mut self, images: &Dataset, rows: &[usize], _seed: u64, _learning_rate: f64) -> [f64; 2] {
        let GanLosses { generator, discriminator } = step(self.gan, &gather(images, rows), rows.len());
        [generator, discriminator]
    }

    fn note(&mut self, history: &mut History, [_, discriminator]: [f64; 2], _validation: Option<[f64; 2]>) {
        history.discriminator_loss.push(discriminator);
    }

    fn snapshot(&self) -> Result<Option<Array4<f32>>> {
        self.generated(self.snapshot_count).map(Some)
    }

    fn sample(&self) -> Result<Option<Array4<f32>>> {
        self.generated(20).map(Some)
    }
}

impl Adversaries<'_> {
    /// So many images, always of the same noise.
    fn generated(&self, count: usize) -> Result<Array4<f32>> {
        let noise = random::normal(count * self.gan.latent_dim(), 0);
        decoded(self.gan.generator(), &noise, count, self.gan.image_shape())
    }
}

fn step(gan: &mut Gan, real: &Buffer, rows: usize) -> GanLosses {
    let seed = gan.step_seed();
    let noise = random::normal(rows * gan.latent_dim(), random::mix(seed, 0));
    step_with(gan, real, &noise, seed)
}

/// A step with this noise, (rows, latent_dim).
fn step_with(gan: &mut Gan, real: &Buffer, noise: &[f32], seed: u64) -> GanLosses {
    let real_target = gan.real_target();
    gan.generator().pack(true, false);
    let fake = fakes(gan, noise, random::mix(seed, 1));
    let mut learned = judge(gan, real, real_target, random::mix(seed, 2));
    learned.observe(&mut [gan.discriminator_mut().0]);
    learned.add(judge(gan, &fake, 0.0, random::mix(seed, 3)));
    let discriminator = learned.means[0];
    let (network, descent) = gan.discriminator_mut();
    learned.apply(&mut [network], descent);
    if !discriminator.is_finite() {
        return GanLosses { generator: f64::NAN, discriminator };
    }
    let learned = deceive(gan, noise, random::mix(seed, 4));
    let (network, descent) = gan.generator_mut();
    learned.apply(&mut [network], descent);
    GanLosses { generator: learned.means[0], discriminator }
}

/// Refuses a step with so many generated images that they, or what they are made of, are too large.
fn check_fakes(place: &str, gan: &Gan, rows: usize) -> Result<()> {
    limit::check(place, "noise", &[rows, gan.latent_dim()])?;
    let shard = Cut::new(rows, &[gan.generator()]).shard.min(rows);
    count_values(place, "generated images in the widest layer", &[shard, gan.generator().widest()])?;
    Ok(())
}

/// The images that the generator makes of noise in training.
fn fakes(gan: &Gan, noise: &[f32], seed: u64) -> Buffer {
    let (generator, latent_dim) = (gan.generator(), gan.latent_dim());
    let pixels: usize = gan.image_shape().iter().product();
    let rows = noise.len() / latent_dim;
    let shard = Cut::new(rows, &[generator]).shard;
    let mut images = Buffer::unset(rows * pixels);
    let shards = images.par_chunks_mut(shard * pixels).zip(noise.par_chunks(shard * latent_dim)).enumerate();
    for_shards(shards, |(index, (images, noise))| {
        let mut pass = Pass::training(random::mix(seed, index as u64));
        let noise = Variable::<NotRecording>::input(Arc::new(Buffer::from(noise)), noise.len() / latent_dim);
        let y = channels_first(generator.forward(noise, &mut pass), generator.output_shape());
        images.copy_from_slice(&y.values);
    });
    images
}

/// What the discriminator learns from images of which it is to say `target`.
fn judge(gan: &Gan, images: &Buffer, target: f32, seed: u64) -> Learned<1> {
    let discriminator = gan.discriminator();
    let pixels: usize = gan.image_shape().iter().product();
    let rows = images.len() / pixels;
    learn(rows, &[discriminator], seed, |range, _, pass| {
        let values = &images[range.start * pixels..range.end * pixels];
        let x = Variable::<Recording>::input(Arc::new(values.into()), range.len());
        let x = channels_last(x, discriminator.input_shape());
        verdict(discriminator, x, target, range.len() as f64 / rows as f64, pass)
    })
}

/// What the generator (and after it the discriminator, which then stays as it is) learns from being taken for real or not.
fn deceive(gan: &Gan, noise: &[f32], seed: u64) -> Learned<1> {
    let (generator, discriminator, latent_dim) = (gan.generator(), gan.discriminator(), gan.latent_dim());
    let rows = noise.len() / latent_dim;
    learn(rows, &[generator, discriminator], seed, |range, _, pass| {
        let values = &noise[range.start * latent_dim..range.end * latent_dim];
        let noise = Variable::<Recording>::input(Arc::new(values.into()), range.len());
        let images = generator.forward(noise, pass);
        verdict(discriminator, images, 1.0, range.len() as f64 / rows as f64, pass)
    })
}

fn verdict(
    discriminator: &Sequential,
    images: Variable<Recording>,
    target: f32,
    share: f64,
    pass: &mut Pass,
) -> ([f64; 1], Variable<Recording>) {
    let logits = discriminator.forward_to_logits(images, pass);
    let target = vec![target; logits.rows].into();
    let (loss, on_tape) = Loss::BinaryCrossEntropyWithLogits.record(logits, &target, share);
    ([loss], on_tape)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::nn::Optimizer;

    /// What tests/reference/steps.py writes.
    #[derive(Deserialize)]
    struct Steps {
        gan: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        real: Vec<f32>,
        noise: Vec<f32>,
        learning_rate: f64,
        label_smoothing: f32,
        /// Of the generator and then the discriminator, as all that follow.
        weights: Vec<Vec<f32>>,
        discriminator_loss: f64,
        generator_loss: f64,
        gradients: Vec<Vec<f32>>,
        after: Vec<Vec<f32>>,
    }

    #[test]
    fn a_step_agrees_with_pytorch() {
        let text = include_str!("../../tests/reference/steps.json");
        let Steps { gan: cases } = serde_json::from_str(text).unwrap();
        for case in cases {
            let generator = Sequential::input([3]).dense(5).relu().dense(9).sigmoid().reshape([1, 3, 3]);
            let discriminator = Sequential::input([1, 3, 3]).flatten().dense(4).leaky_relu(0.2).dense(1).sigmoid();
            let mut gan = Gan::new(generator, discriminator)
                .unwrap()
                .generator_optimizer(Optimizer::sgd(), case.learning_rate)
                .discriminator_optimizer(Optimizer::sgd(), case.learning_rate)
                .label_smoothing(case.label_smoothing);
            let parameters = gan.networks_mut().into_iter().flat_map(Sequential::parameters_mut);
            parameters.zip(&case.weights).for_each(|(to, from)| *to = Arc::new(from.clone()));

            let losses = step_with(&mut gan, &case.real.clone().into(), &case.noise, 0);
            assert!((losses.discriminator - case.discriminator_loss).abs() < 1e-6, "{losses:?}");
            assert!((losses.generator - case.generator_loss).abs() < 1e-6, "{losses:?}");
            let after = gan.networks_mut().into_iter().flat_map(Sequential::parameters_mut);
            for (index, after) in after.enumerate() {
                for (i, after) in after.iter().enumerate() {
                    let gradient = (case.weights[index][i] - after) / case.learning_rate as f32;
                    let (expected, expected_after) = (case.gradients[index][i], case.after[index][i]);
                    assert!((gradient - expected).abs() < 2e-6, "parameter {index}, {i}: {gradient}, not {expected}");
                    assert!((after - expected_after).abs() < 1e-6, "parameter {index}, {i}");
                }
            }
        }
    }
}
