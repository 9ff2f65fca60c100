//! What a training minimises, and the step and the measures that follow from it.

use std::sync::Arc;

use ndarray::{Array4, ArrayD, Axis, concatenate};
use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use super::{config::TrainConfig, watch::rearranged};
use crate::{
    data::Dataset,
    engine::{Buffer, OnThreads, for_shards},
    error::Result,
    model::{AHEAD, Model, write_image},
    nn::{OptimizerState, Pass, Penalty, Sequential, Variable, channels_last, learn},
    random,
};

/// Means over a batch: the loss, what [`Learner::measures`] names, and zeros.
pub(crate) type Measures = [f64; 3];

/// The images to train on, and those to validate on.
pub(crate) type Data = (Dataset, Option<Dataset>);

/// What a model minimises: its mathematics is [`loss`](Self::loss) alone.
pub(crate) trait Objective: Model + Sized {
    /// The measures of a batch, and its loss on the tape, both as a share of those of the batch that it is part of.
    fn loss(&self, batch: &Batch, config: &TrainConfig, pass: &mut Pass) -> (Measures, Variable);

    /// What it measures beside the loss: the names of [`History`](super::History)'s curves.
    const MEASURES: &'static [&'static str] = &[];

    /// The name of what is minimised.
    fn name(&self, config: &TrainConfig) -> String {
        config.loss_used().name().into()
    }

    /// Refuses images and settings that do not suit this model, and gives what its trained networks take.
    fn prepare(&self, data: Data, config: &TrainConfig) -> Result<Data>;

    /// Whether a batch may not be split.
    fn needs_whole_batch(&self, config: &TrainConfig) -> bool {
        config.loss_used().needs_whole_batch() || config.code_penalty.is_some_and(Penalty::needs_whole_batch)
    }

    /// Its reconstructions of images of its shape, if this model reconstructs.
    fn reconstruct(&self, _images: &Dataset) -> Result<Option<Array4<f32>>> {
        Ok(None)
    }
}

/// A model as the loop over the epochs sees it: what has an [`Objective`], and what makes steps of its own.
pub(crate) trait Learner: Model {
    /// The name of its settings.
    fn settings(&self) -> &'static str {
        "TrainConfig"
    }

    /// See [`Objective::MEASURES`].
    fn measures(&self) -> &'static [&'static str];

    /// See [`Objective::name`].
    fn objective(&self, config: &TrainConfig) -> String;

    /// See [`Objective::prepare`].
    fn prepare(&self, data: Data, config: &TrainConfig) -> Result<Data>;

    /// The states of the optimizers that change it: that of the run, unless it has its own.
    fn optimizers<'a>(&'a mut self, of_run: &'a mut OptimizerState) -> Vec<&'a mut OptimizerState> {
        vec![of_run]
    }

    /// Forward pass, backward pass and update for one batch. Returns its means; where one is not finite, nothing was
    /// updated. An error is a mistake of a function of the user's.
    fn step(
        &mut self,
        batch: (&Dataset, &[usize]),
        seed: u64,
        config: &TrainConfig,
        optimizer: &mut OptimizerState,
    ) -> Result<Measures>;

    /// The means over all images without dropout, with the same noise each time; for models that can be validated.
    fn measure(&self, _images: &Dataset, _targets: Option<&Dataset>, _config: &TrainConfig) -> Result<Measures> {
        Ok([f64::NAN; 3])
    }

    /// The images of a snapshot, if this model makes images.
    fn snapshot(&self, config: &TrainConfig) -> Result<Option<Array4<f32>>>;

    /// What a live view shows of the model, and how many images of it in a row.
    fn sample(&self, config: &TrainConfig) -> Result<Option<(usize, Array4<f32>)>>;

    /// Inputs of the first network that is trained, always the same, (n, …input shape): the first images.
    fn probe(&self, images: &Dataset, n: usize) -> Result<ArrayD<f32>> {
        let first = images.take(n).images().clone().into_dyn();
        rearranged(first, &[&[n], self.trained()[0].input_shape()].concat())
    }
}

/// Images that are measured at once, at most: for so many the noise of a validation is drawn.
const MEASURED_ROWS: usize = 128;

/// Values of a layer for the images that are measured at once, at most, if these are more than one.
const MEASURED_VALUES: usize = 1 << 26;

impl<O: Objective> Learner for O {
    fn measures(&self) -> &'static [&'static str] {
        O::MEASURES
    }

    fn objective(&self, config: &TrainConfig) -> String {
        self.name(config)
    }

    fn prepare(&self, data: Data, config: &TrainConfig) -> Result<Data> {
        Objective::prepare(self, data, config)
    }

    fn step(
        &mut self,
        (images, rows): (&Dataset, &[usize]),
        seed: u64,
        config: &TrainConfig,
        optimizer: &mut OptimizerState,
    ) -> Result<Measures> {
        let whole = self.needs_whole_batch(config);
        let mut learned = learn(rows.len(), &self.trained(), whole, seed, |range, seed, pass| {
            let share = range.len() as f64 / rows.len() as f64;
            let images = (images, config.targets.as_ref());
            self.loss(&Batch::of(images, &rows[range], config.input_noise, seed, share), config, pass)
        })
        .checked()?;
        if let Some(penalty) = config.weight_penalty {
            learned.means[0] += learned.penalise(&self.trained(), penalty)?;
        }
        learned.apply(&mut self.trained_mut(), optimizer, config.clip());
        Ok(learned.means)
    }

    fn measure(&self, images: &Dataset, targets: Option<&Dataset>, config: &TrainConfig) -> Result<Measures> {
        let networks = self.trained();
        Sequential::pack_all(&networks, false);
        let rows: Vec<usize> = (0..images.len()).collect();
        let block = Sequential::rows_within(MEASURED_VALUES, &networks).min(MEASURED_ROWS);
        let blocks = rows.par_chunks(block).enumerate();
        let sums = for_shards(blocks, |(block, rows)| {
            // Streams far from those of the steps, the same in every epoch.
            let seed = random::mix(!config.seed, block as u64);
            let mut pass = Pass::prediction();
            pass.begin(seed, rows[0]);
            let batch = Batch::of((images, targets), rows, config.input_noise, seed, 1.0);
            let (means, _) = self.loss(&batch, config, &mut pass);
            pass.take_mistake().map_or(Ok(means.map(|mean| mean * rows.len() as f64)), Err)
        });
        let sums = sums.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(std::array::from_fn(|index| sums.iter().map(|sums| sums[index]).sum::<f64>() / rows.len() as f64))
    }

    fn snapshot(&self, config: &TrainConfig) -> Result<Option<Array4<f32>>> {
        config.snapshots.images().map_or(Ok(None), |images| self.reconstruct(images))
    }

    fn sample(&self, config: &TrainConfig) -> Result<Option<(usize, Array4<f32>)>> {
        let Some(images) = config.watched_images() else { return Ok(None) };
        let reconstructions = self.reconstruct(&images)?;
        Ok(reconstructions.map(|made| (images.len(), concatenate![Axis(0), *images.images(), made])))
    }
}

/// Some images of a batch as networks take them.
pub(crate) struct Batch {
    /// The images with noise, if there is any.
    input: Arc<Buffer>,
    /// What the model is to make of them: the images as they are, unless there are other targets.
    pub target: Arc<Buffer>,
    pub labels: Vec<usize>,
    /// Which share of its batch it is.
    pub share: f64,
}

impl Batch {
    /// Rows of images, and of their targets if these are not the images.
    pub fn of(
        (images, targets): (&Dataset, Option<&Dataset>),
        rows: &[usize],
        noise: f32,
        seed: u64,
        share: f64,
    ) -> Self {
        let plain = gather(images, rows);
        let target = targets.map_or_else(|| Arc::clone(&plain), |targets| gather(targets, rows));
        let labels = rows.iter().map(|row| images.labels()[*row]).collect();
        Self { input: with_noise(&plain, noise, seed), target, labels, share }
    }

    /// The input of a network of this input shape.
    pub fn input(&self, shape: &[usize], pass: &mut Pass) -> Variable {
        let input = pass.input(Arc::clone(&self.input), self.labels.len());
        channels_last(input, shape, pass)
    }
}

/// The chosen images as rows of values.
pub(super) fn gather(images: &Dataset, rows: &[usize]) -> Arc<Buffer> {
    let width: usize = images.image_shape().iter().product();
    let mut batch = Buffer::unset(rows.len() * width);
    batch.par_chunks_mut(width).enumerate().on_threads().for_each(|(place, out)| {
        write_image(images, rows[place], rows.get(place + AHEAD).copied(), out);
    });
    Arc::new(batch)
}

/// The images with Gaussian noise of this standard deviation; the same images where it is 0.
fn with_noise(images: &Arc<Buffer>, standard_deviation: f32, seed: u64) -> Arc<Buffer> {
    const BLOCK: usize = 4096;
    if standard_deviation == 0.0 {
        return Arc::clone(images);
    }
    let mut noisy = Buffer::clone(images);
    noisy.par_chunks_mut(BLOCK).enumerate().on_threads().for_each(|(block, values)| {
        let mut random = random::stream(!seed, block as u64);
        values.iter_mut().for_each(|v| *v += standard_deviation * random.sample::<f32, _>(StandardNormal));
    });
    Arc::new(noisy)
}
