use std::{fmt, ops::ControlFlow, path::Path, sync::Arc};

use ndarray::{Array1, Array4, ArrayD};
use rayon::prelude::*;

use super::{
    check,
    config::{SnapshotOf, Snapshots, TrainConfig},
    history::{Snapshot, StoppedBy, curves_by_layer},
    objective::{Data, Learner, Measures, gather},
    observers::Epoch,
    run::train,
    training::{LearnerMut, Trainable},
    watch::{Watch, rearranged},
};
use crate::{
    data::Dataset,
    engine::{self, Buffer, for_shards},
    error::{Error, ErrorKind, Result},
    limit,
    model::{Gan, decoded},
    nn::{
        BatchSplit, Clip, Learned, Loss, OptimizerState, Pass, Sequential, Variable, channels_first, channels_last,
        learn,
    },
    progress::duration_text,
    random,
    stop::StopHandle,
};

/// The settings of a [`train_gan`]; the optimizers belong to the [`Gan`] itself.
///
/// | setting | default | range |
/// |---|---|---|
/// | [`epochs`](Self::epochs) | 15 | at least 1 |
/// | [`batch_size`](Self::batch_size) | 200 | at least 1 |
/// | [`seed`](Self::seed) | 0 | |
/// | [`clip_norm`](Self::clip_norm) or [`clip_value`](Self::clip_value) | none | above 0 |
/// | [`snapshots`](Self::snapshots) | none | at least 1 image |
/// | [`watch`](Self::watch) | nothing | see [`Watch`] |
/// | [`after_epoch`](Self::after_epoch) | none | |
/// | [`checkpoint`](Self::checkpoint), [`resume`](Self::resume), [`stop_handle`](Self::stop_handle) | none | |
/// | [`tensorboard`](Self::tensorboard) | none | |
/// | [`progress_every`](Self::progress_every) | 1 epoch | 0 for silence |
#[derive(Clone, Debug)]
pub struct GanConfig(TrainConfig);

impl Default for GanConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl GanConfig {
    /// The defaults in the table above: report S1's.
    pub fn new() -> Self {
        Self(TrainConfig::new().epochs(15).batch_size(200))
    }

    /// The number of passes over all images.
    pub fn epochs(self, epochs: usize) -> Self {
        Self(self.0.epochs(epochs))
    }

    /// The number of real images, and of generated ones, in one step; the last, smaller batch of an epoch is included.
    pub fn batch_size(self, batch_size: usize) -> Self {
        Self(self.0.batch_size(batch_size))
    }

    /// Decides the order of the images; the noise follows the seed of the [`Gan`] and its steps so far.
    pub fn seed(self, seed: u64) -> Self {
        Self(self.0.seed(seed))
    }

    /// Scales the gradients of generator and discriminator, each network's by themselves, as
    /// [`TrainConfig::clip_norm`] does.
    pub fn clip_norm(self, largest: f64) -> Self {
        Self(self.0.clip_norm(largest))
    }

    /// Clips each value of the gradients of both networks: see [`TrainConfig::clip_value`].
    pub fn clip_value(self, largest: f32) -> Self {
        Self(self.0.clip_value(largest))
    }

    /// Generates `count` images after these epochs, 0 for before the first, from the same noise each time: those of
    /// [`generate`](crate::generate) with seed 0. [`GanHistory::plot_snapshots`] draws them. Epochs that are never
    /// reached are left out.
    pub fn snapshots(mut self, count: usize, epochs: impl IntoIterator<Item = usize>) -> Self {
        self.0.snapshots = Snapshots::new(SnapshotOf::Samples(count), epochs);
        self
    }

    /// Measures this too, of both networks: see [`TrainConfig::watch`]. There are no reconstructions to watch: the live
    /// view always shows what the generator makes.
    pub fn watch(self, what: impl IntoIterator<Item = Watch>) -> Self {
        Self(self.0.watch(what))
    }

    /// Calls this function after each epoch: see [`TrainConfig::after_epoch`].
    pub fn after_epoch(self, call: impl Fn(&Epoch<'_>) -> Result<ControlFlow<()>> + Send + Sync + 'static) -> Self {
        Self(self.0.after_epoch(call))
    }

    /// Writes a file before the first epoch and again after each, from which [`resume`](Self::resume) continues and
    /// [`Gan::load`] reads the model: see [`TrainConfig::checkpoint`].
    pub fn checkpoint(self, path: impl AsRef<Path>) -> Self {
        Self(self.0.checkpoint(path))
    }

    /// Continues from a [`checkpoint`](Self::checkpoint) to the same bits: see [`TrainConfig::resume`].
    pub fn resume(self, path: impl AsRef<Path>) -> Self {
        Self(self.0.resume(path))
    }

    /// Writes event files for TensorBoard into this folder: see [`TrainConfig::tensorboard`]. `epoch_loss` is the
    /// generator's loss.
    pub fn tensorboard(self, folder: impl AsRef<Path>) -> Self {
        Self(self.0.tensorboard(folder))
    }

    /// Lets this handle end the training after any step: see [`StopHandle`].
    pub fn stop_handle(self, handle: &StopHandle) -> Self {
        Self(self.0.stop_handle(handle))
    }

    /// Prints a line after the first epoch, every `epochs`-th and the last one; 0 prints nothing.
    pub fn progress_every(self, epochs: usize) -> Self {
        Self(self.0.progress_every(epochs))
    }
}

/// The losses of one [`gan_step`], each before the update of its network.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct GanLosses {
    /// −ln D(G(z)), the mean over the generated images, with the discriminator after its update. At ln 2 = 0.69 it
    /// cannot tell real from generated.
    pub generator: f64,
    /// −ln D(x) − ln(1 − D(G(z))), the mean over the real images and that over the generated ones. At 2 ln 2 = 1.39 it
    /// cannot tell real from generated.
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
    /// The norm of the gradient of each layer of both networks: see
    /// [`History::gradient_norms`](crate::History::gradient_norms).
    pub gradient_norms: Vec<(String, Vec<f64>)>,
    /// The share of dead units in each `relu` layer of both networks: see
    /// [`History::dead_units`](crate::History::dead_units).
    pub dead_units: Vec<(String, Vec<f64>)>,
    /// How long each epoch took, in seconds.
    pub seconds: Vec<f64>,
    /// What went wrong without ending the training, with the epoch: a checkpoint that could not be written.
    pub warnings: Vec<String>,
    /// The images that [`GanConfig::snapshots`] asked for, in the order of the epochs.
    pub snapshots: Vec<Snapshot>,
    /// What ended the training before its last epoch; `None` if all ran.
    pub stopped_by: Option<StoppedBy>,
}

impl GanHistory {
    /// As [`History::curves`](crate::History::curves).
    pub(crate) fn curves(&self) -> Vec<(String, &[f64])> {
        let named = [
            ("generator_loss", &self.generator_loss),
            ("discriminator_loss", &self.discriminator_loss),
            ("seconds", &self.seconds),
        ];
        let mut all: Vec<_> = named.into_iter().map(|(name, values)| (name.to_string(), &values[..])).collect();
        all.extend(curves_by_layer("gradient_norms", &self.gradient_norms));
        all.extend(curves_by_layer("dead_units", &self.dead_units));
        all.retain(|(_, values)| !values.is_empty());
        all
    }
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
        if let Some(stopped_by) = self.stopped_by {
            write!(f, ", {stopped_by}")?;
        }
        self.warnings.iter().try_for_each(|warning| write!(f, "; warning: {warning}"))
    }
}

/// One step of a generative adversarial network with a batch of real images: first the discriminator learns to
/// distinguish them from the same number of generated ones, then the generator, from the same noise, to be classified
/// as real. Both losses are binary cross-entropies, computed from the logits.
///
/// # Errors
/// - [`ErrorKind::Argument`](crate::ErrorKind::Argument) for a setting out of range,
///   [`ErrorKind::Shape`](crate::ErrorKind::Shape) for images of another shape,
///   [`ErrorKind::Data`](crate::ErrorKind::Data) for none;
/// - [`ErrorKind::Diverged`](crate::ErrorKind::Diverged) if a loss becomes NaN or infinite, and the mistake of a layer
///   that cannot take the values: its network was not updated.
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
    BatchSplit::check("gan_step", batch.len(), &networks.map(|(_, network)| network))?;
    check_fakes("gan_step", gan, batch.len())?;
    let rows: Vec<usize> = (0..batch.len()).collect();
    let losses = rayon::scope(|_| step(gan, &gather(batch, &rows), batch.len(), None))?;
    if losses.generator.is_finite() && losses.discriminator.is_finite() {
        return Ok(losses);
    }
    let message = format!("the losses became {} and {}", losses.generator, losses.discriminator);
    Err(Error::new(ErrorKind::Diverged, "gan_step", message).hint("Try a lower learning rate: 0.0002 is usual"))
}

/// Trains a generative adversarial network, [`gan_step`] by step. Weights and optimizers continue from their present
/// state: two trainings of 5 epochs are (but for the order of the images) one of 10, and [`generate`](crate::generate)
/// shows the progress in between.
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
    let config = gan.train_config(images, config)?;
    let mut history = train(gan, images, config)?;
    Ok(GanHistory {
        discriminator_loss: std::mem::take(history.curve(DISCRIMINATOR_LOSS, false)),
        generator_loss: history.loss,
        gradient_norms: history.gradient_norms,
        dead_units: history.dead_units,
        seconds: history.seconds,
        warnings: history.warnings,
        snapshots: history.snapshots,
        stopped_by: history.stopped_by,
    })
}

const DISCRIMINATOR_LOSS: &str = "discriminator_loss";

impl Trainable for Gan {
    type Config = GanConfig;

    fn train_config(&self, images: &Dataset, GanConfig(config): &GanConfig) -> Result<TrainConfig> {
        self.check(images)?;
        let [generator, discriminator] = self.learning_rates();
        Ok(config.clone().learning_rate(generator.max(discriminator)))
    }

    fn learner(&mut self) -> LearnerMut<'_> {
        LearnerMut(self)
    }
}

/// Two networks with an optimizer each, whose losses are opposed: no single objective, and steps of its own.
impl Learner for Gan {
    fn settings(&self) -> &'static str {
        "GanConfig"
    }

    fn measures(&self) -> &'static [&'static str] {
        &[DISCRIMINATOR_LOSS]
    }

    fn objective(&self, _config: &TrainConfig) -> String {
        "adversarial".into()
    }

    fn prepare(&self, data: Data, config: &TrainConfig) -> Result<Data> {
        config.refuse_reconstructions("GanConfig", "GAN")?;
        let count = match config.snapshots.of {
            SnapshotOf::Samples(count) => count,
            SnapshotOf::Nothing | SnapshotOf::Images(_) => 0,
        };
        if count == 0 && !config.snapshots.epochs.is_empty() {
            return Err(Error::expected(ErrorKind::Argument, "GanConfig::snapshots", "at least 1 image", "0"));
        }
        check::snapshots("GanConfig::snapshots", config, &[&[count][..], &self.image_shape()].concat())?;
        limit::check("GanConfig::snapshots", "noise", &[count, self.latent_dim()])?;
        check_fakes("GanConfig::batch_size", self, data.0.len().min(config.batch_size.saturating_add(1)))?;
        Ok(data)
    }

    fn optimizers<'a>(&'a mut self, _of_run: &'a mut OptimizerState) -> Vec<&'a mut OptimizerState> {
        self.descents_mut().into()
    }

    fn step(
        &mut self,
        (images, rows): (&Dataset, &[usize]),
        _seed: u64,
        config: &TrainConfig,
        _optimizer: &mut OptimizerState,
    ) -> Result<Measures> {
        let images = gather(images, rows);
        let GanLosses { generator, discriminator } = step(self, &images, rows.len(), config.clip())?;
        Ok([generator, discriminator, 0.0])
    }

    fn snapshot(&self, config: &TrainConfig) -> Result<Option<Array4<f32>>> {
        match config.snapshots.of {
            SnapshotOf::Samples(count) => generated(self, count).map(Some),
            SnapshotOf::Nothing | SnapshotOf::Images(_) => Ok(None),
        }
    }

    fn sample(&self, _config: &TrainConfig) -> Result<Option<(usize, Array4<f32>)>> {
        Ok(Some((10, generated(self, 20)?)))
    }

    fn probe(&self, _images: &Dataset, n: usize) -> Result<ArrayD<f32>> {
        rearranged(Array1::from(random::normal(n * self.latent_dim(), 0)).into_dyn(), &[n, self.latent_dim()])
    }
}

/// `count` images, always from the same noise.
fn generated(gan: &Gan, count: usize) -> Result<Array4<f32>> {
    let noise = random::normal(count * gan.latent_dim(), 0);
    decoded(gan.generator(), &noise, count, gan.image_shape())
}

fn step(gan: &mut Gan, real: &Buffer, rows: usize, clip: Option<Clip>) -> Result<GanLosses> {
    let seed = gan.step_seed();
    let noise = random::normal(rows * gan.latent_dim(), random::mix(seed, 0));
    step_with(gan, real, &noise, seed, clip)
}

/// A step with this noise, (rows, latent_dim).
fn step_with(gan: &mut Gan, real: &Buffer, noise: &[f32], seed: u64, clip: Option<Clip>) -> Result<GanLosses> {
    let real_target = gan.real_target();
    gan.generator().pack(true, false);
    let fake = fakes(gan, noise, random::mix(seed, 1))?;
    let mut learned = discriminator_step(gan, real, real_target, random::mix(seed, 2)).checked()?;
    learned.observe(&mut [gan.discriminator_mut().0]);
    learned.add(discriminator_step(gan, &fake, 0.0, random::mix(seed, 3)).checked()?);
    let discriminator = learned.means[0];
    let (network, descent) = gan.discriminator_mut();
    learned.apply(&mut [network], descent, clip);
    if !discriminator.is_finite() {
        return Ok(GanLosses { generator: f64::NAN, discriminator });
    }
    let mut learned = generator_step(gan, noise, random::mix(seed, 4)).checked()?;
    let (network, descent) = gan.generator_mut();
    learned.apply(&mut [network], descent, clip);
    Ok(GanLosses { generator: learned.means[0], discriminator })
}

/// Refuses steps whose generated images, or the noise for them, would be too large.
fn check_fakes(place: &str, gan: &Gan, rows: usize) -> Result<()> {
    limit::check(place, "noise", &[rows, gan.latent_dim()])?;
    let shard = BatchSplit::new(rows, &[gan.generator()]).shard.min(rows);
    engine::count(place, "generated images in the widest layer", &[shard, gan.generator().widest()])?;
    Ok(())
}

/// The images that the generator makes from noise in training.
fn fakes(gan: &Gan, noise: &[f32], seed: u64) -> Result<Buffer> {
    let (generator, latent_dim) = (gan.generator(), gan.latent_dim());
    let pixels: usize = gan.image_shape().iter().product();
    let rows = noise.len() / latent_dim;
    let shard = BatchSplit::new(rows, &[generator]).shard;
    let mut images = Buffer::unset(rows * pixels);
    let shards = images.par_chunks_mut(shard * pixels).zip(noise.par_chunks(shard * latent_dim)).enumerate();
    let done = for_shards(shards, |(index, (images, noise))| {
        let pass = &mut Pass::training(0).recording(false);
        pass.begin(random::mix(seed, index as u64), index * shard);
        let noise = pass.input(Arc::new(Buffer::from(noise)), noise.len() / latent_dim);
        let y = pass.within(|| "generator".into(), |pass| generator.forward_on(noise, pass));
        let y = channels_first(y, generator.output_shape(), pass);
        images.copy_from_slice(&y.values);
        pass.take_mistake().map_or(Ok(()), Err)
    });
    done.into_iter().collect::<Result<()>>()?;
    Ok(images)
}

/// The discriminator's gradients from images with this target.
fn discriminator_step(gan: &Gan, images: &Buffer, target: f32, seed: u64) -> Learned<1> {
    let discriminator = gan.discriminator();
    let pixels: usize = gan.image_shape().iter().product();
    let rows = images.len() / pixels;
    learn(rows, &[discriminator], false, seed, |range, _, pass| {
        let values = &images[range.start * pixels..range.end * pixels];
        let x = pass.input(Arc::new(values.into()), range.len());
        let x = channels_last(x, discriminator.input_shape(), pass);
        adversarial_loss(discriminator, x, target, range.len() as f64 / rows as f64, pass)
    })
}

/// The gradients of the generator, whose images are to be classified as real; the discriminator is not updated.
fn generator_step(gan: &Gan, noise: &[f32], seed: u64) -> Learned<1> {
    let (generator, discriminator, latent_dim) = (gan.generator(), gan.discriminator(), gan.latent_dim());
    let rows = noise.len() / latent_dim;
    learn(rows, &[generator, discriminator], false, seed, |range, _, pass| {
        let values = &noise[range.start * latent_dim..range.end * latent_dim];
        let noise = pass.input(Arc::new(values.into()), range.len());
        let images = pass.within(|| "generator".into(), |pass| generator.forward_on(noise, pass));
        let pass = &mut pass.clone().frozen();
        adversarial_loss(discriminator, images, 1.0, range.len() as f64 / rows as f64, pass)
    })
}

fn adversarial_loss(
    discriminator: &Sequential,
    images: Variable,
    target: f32,
    share: f64,
    pass: &mut Pass,
) -> ([f64; 1], Variable) {
    let logits = pass.within(|| "discriminator".into(), |pass| discriminator.forward_to_logits(images, pass));
    let target = vec![target; logits.rows].into();
    let (loss, on_tape) = Loss::BinaryCrossEntropyWithLogits.record(logits, &target, share, pass);
    ([loss], on_tape)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::{model::Model, nn::Optimizer};

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
            let parameters = gan.trained_mut().into_iter().flat_map(Sequential::parameters_mut);
            parameters.zip(&case.weights).for_each(|(to, from)| *to = Arc::new(from.clone()));

            let losses = step_with(&mut gan, &case.real.clone().into(), &case.noise, 0, None).unwrap();
            assert!((losses.discriminator - case.discriminator_loss).abs() < 1e-6, "{losses:?}");
            assert!((losses.generator - case.generator_loss).abs() < 1e-6, "{losses:?}");
            let after = gan.trained_mut().into_iter().flat_map(Sequential::parameters_mut);
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
