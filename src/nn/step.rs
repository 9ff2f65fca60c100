//! The forward and the backward pass of a batch, on all threads.

use std::{ops::Range, sync::Arc};

use rayon::prelude::*;

use super::{
    clip::{Clip, squares},
    live,
    optimizer_state::OptimizerState,
    penalty::Penalty,
    sequential::Sequential,
    tape::{Gradient, Pass, Variable},
    tensor::Tensor,
};
use crate::{
    engine::{self, Accumulate, Buffer, SHARDS, add_by_units, add_parts, for_shards, transposed_gemm_in_parallel},
    error::{Error, Result},
    limit, random,
};

/// How a batch is split: into *shards*, which run through all layers side by side on the threads, and these into
/// *parts*, which run one after the other so that all that a thread works on stays in its cache. Fixed by the batch and
/// the networks alone, so that the same seed gives the same bits with any number of threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BatchSplit {
    /// Rows of a shard, but for the last.
    pub shard: usize,
    /// Rows of a part, but for the last of each shard.
    pub part: usize,
}

/// Rows of a shard, at least: each shard reads all weights, which pays off with that many rows.
const ROWS: usize = 64;

/// Values of all layers that a part may have: so few that much of them stays in a cache, so many that dense layers have
/// rows enough for the weights that they load.
const VALUES: usize = 1280 * 1024;

impl BatchSplit {
    /// Of a batch of that many rows through these networks: in one piece if one of them needs it.
    pub fn new(rows: usize, networks: &[&Sequential]) -> Self {
        if networks.iter().any(|network| network.needs_whole_batch()) {
            return Self { shard: rows, part: rows };
        }
        let values: usize = networks.iter().map(|network| network.values()).sum();
        let shard = rows.div_ceil(SHARDS).max(ROWS);
        let most = (VALUES / values.max(1)).max(1);
        Self { shard, part: shard.div_ceil(shard.div_ceil(most)) }
    }

    /// Refuses batches of that many rows if what these networks make of them in a step is too large; `place` is the
    /// setting to change.
    pub fn check(place: &str, rows: usize, networks: &[&Sequential]) -> Result<()> {
        let total = |count: fn(&Sequential) -> usize| networks.iter().map(|network| count(network)).sum::<usize>();
        // A copy to go back to, the gradients and two moments; of parts that are summed by themselves, a gradient each.
        limit::check(place, "weights, their copy, gradients and moments", &[5, total(Sequential::parameter_count)])?;
        let split = Self::new(rows, networks);
        let shards = rows.div_ceil(split.shard);
        if shards > 1 {
            limit::check(place, "gradients of the parts of a batch", &[shards, total(Sequential::summed_weights)])?;
        }
        // More than are in work at once on most machines, so that the limit does not depend on the machine.
        let at_once = split.part.min(rows).saturating_mul(shards);
        let values = networks.iter().map(|network| network.input_shape().iter().product::<usize>() + network.values());
        limit::check(place, "a batch in all layers", &[at_once, values.sum()])?;
        let widest = networks.iter().map(|network| network.widest()).max().unwrap_or(1);
        engine::count(place, "a batch in the widest layer", &[split.part.min(rows), widest])?;
        Ok(())
    }
}

/// What a training step learns from a batch.
pub(crate) struct Learned<const N: usize> {
    /// What was measured in the forward pass, the mean loss first.
    pub means: [f64; N],
    /// The gradient of every parameter of the networks, in their order; none if the loss is not finite.
    pub gradients: Vec<Buffer>,
    /// New values of the statistics that the networks observe, in the same order; none of those that were not observed.
    pub statistics: Vec<Option<Vec<f32>>>,
    /// The mistake that a layer or the loss has made.
    pub mistake: Option<Error>,
}

impl<const N: usize> Learned<N> {
    /// Refuses what was learned with a mistake.
    pub fn checked(mut self) -> Result<Self> {
        self.mistake.take().map_or(Ok(self), Err)
    }

    /// Updates the first of the networks that learned, in their order; not if the loss is not finite.
    pub fn apply(&mut self, networks: &mut [&mut Sequential], optimizer: &mut OptimizerState, clip: Option<Clip>) {
        if !self.means[0].is_finite() {
            return;
        }
        let trainable: Vec<_> = networks.iter_mut().flat_map(|network| network.trainable_mut()).collect();
        let gradients = &mut self.gradients[..trainable.len()];
        optimizer.squares.iter_mut().for_each(|of| *of = squares(gradients));
        clip.into_iter().for_each(|clip| clip.apply(gradients));
        optimizer.update(trainable.into_iter(), gradients);
        self.observe(networks);
    }

    /// Adds a penalty on the kernels of the networks to their gradients; returns it.
    pub fn penalise(&mut self, networks: &[&Sequential], penalty: Penalty) -> Result<f64> {
        let parameters = networks.iter().flat_map(|network| network.named_parameters());
        let trainable = parameters.map(|(.., parameter)| parameter).filter(|parameter| parameter.trainable);
        let pairs = trainable.zip(&mut self.gradients).filter(|(parameter, _)| parameter.shape.len() > 1);
        pairs.map(|(kernel, gradient)| penalty.of_weights(&kernel.values, &kernel.shape, gradient)).sum()
    }

    /// Gives the networks the new values of their statistics; the last change of a step.
    pub fn observe(&self, networks: &mut [&mut Sequential]) {
        let observed = networks.iter_mut().flat_map(|network| network.statistics_mut());
        for (running, new) in observed.zip(&self.statistics) {
            new.iter().for_each(|new| *running = Arc::new(new.clone()));
        }
        live::publish(networks.iter().map(|network| &**network));
    }

    /// Joins what the same networks learned from another batch: the sums of the means and of the gradients, and the
    /// newer statistics.
    pub fn add(&mut self, other: Self) {
        self.means.iter_mut().zip(other.means).for_each(|(sum, mean)| *sum += mean);
        for (sum, gradient) in self.gradients.iter_mut().zip(other.gradients) {
            sum.iter_mut().zip(gradient.iter()).for_each(|(sum, g)| *sum += g);
        }
        self.statistics = other.statistics;
    }
}

/// Forward and backward pass of a batch through networks, the first of which needs no gradient of its input: packs
/// their weights, splits the batch unless it is to stay whole, and see [`learn_in_parts`].
pub(crate) fn learn<const N: usize>(
    rows: usize,
    networks: &[&Sequential],
    whole: bool,
    seed: u64,
    forward: impl Fn(Range<usize>, u64, &mut Pass) -> ([f64; N], Variable) + Sync,
) -> Learned<N> {
    Sequential::pack_all(networks, true);
    let split = if whole { BatchSplit { shard: rows, part: rows } } else { BatchSplit::new(rows, networks) };
    learn_in_parts(rows, networks, split, seed, forward)
}

/// Forward and backward pass of a batch. `forward(rows, seed, pass)` measures some of its rows, the loss first, and
/// gives the loss on the tape as well, each as a share of the batch's; `seed` is the randomness of that part of the
/// batch. Gradients are those of the parameters of `networks`, whatever else the pass goes through.
pub(crate) fn learn_in_parts<const N: usize>(
    rows: usize,
    networks: &[&Sequential],
    split: BatchSplit,
    seed: u64,
    forward: impl Fn(Range<usize>, u64, &mut Pass) -> ([f64; N], Variable) + Sync,
) -> Learned<N> {
    let shards = rows.div_ceil(split.shard);
    let parts = split.shard.div_ceil(split.part);
    let shard = |shard: usize| {
        let mut pass = Pass::shard(shards, rows);
        let mut means = [0.0; N];
        let end = rows.min((shard + 1) * split.shard);
        for (part, start) in (shard * split.shard..end).step_by(split.part).enumerate() {
            let range = start..end.min(start + split.part);
            let seed = random::mix(seed, (shard * parts + part) as u64);
            pass.begin(seed, range.start);
            let (mut values, loss) = forward(range, seed, &mut pass);
            let loss = pass.penalised(loss, &mut values[0]);
            means.iter_mut().zip(values).for_each(|(mean, value)| *mean += value);
            if !means[0].is_finite() {
                break;
            }
            pass.backward(&loss);
        }
        let statistics = pass.take_statistics(networks.iter().flat_map(|network| network.statistic_keys()));
        let mistake = pass.take_mistake();
        let gradients = pass.into_gradients(networks.iter().flat_map(|network| network.trainable_keys()));
        (means, gradients, statistics, mistake)
    };
    let mut done = for_shards((0..shards).into_par_iter(), shard);
    let means = std::array::from_fn(|index| done.iter().map(|(means, ..)| means[index]).sum::<f64>());
    let mistake = done.iter_mut().find_map(|(.., mistake)| mistake.take());
    if !means[0].is_finite() {
        return Learned { means, gradients: Vec::new(), statistics: Vec::new(), mistake };
    }
    let statistics = std::mem::take(&mut done[0].2);
    let gradients: Vec<_> = done.into_iter().map(|(_, gradients, ..)| gradients).collect();
    Learned { means, gradients: sums(gradients), statistics, mistake }
}

impl Pass {
    /// The loss with the penalties that the pass has met, on the tape and as a value.
    pub fn penalised(&self, loss: Variable, value: &mut f64) -> Variable {
        let sum = self.with_penalties(Tensor::from(0.0));
        match sum.into_variable(self) {
            Ok((penalty, _)) if penalty.needs_gradient || penalty.values[0] != 0.0 => {
                *value += f64::from(penalty.values[0]);
                let values = Arc::new(vec![*value as f32].into());
                self.clone().record(values, 1, true, move |g, gradients| {
                    gradients.add_to(&loss, g.clone());
                    gradients.add_to(&penalty, g);
                })
            }
            Ok(_) => loss,
            Err(error) => {
                self.fail(error);
                *value = f64::NAN;
                loss
            }
        }
    }

    /// After the backward pass, the gradient of every parameter of these networks, in their order.
    pub fn gradients(self, networks: &[&Sequential]) -> Vec<Buffer> {
        sums(vec![self.into_gradients(networks.iter().flat_map(|network| network.trainable_keys()))])
    }
}

/// Each parameter's gradient over all shards.
fn sums(shards: Vec<Vec<Gradient>>) -> Vec<Buffer> {
    if shards.len() == 1 {
        let gradients = shards.into_iter().flatten();
        return gradients.map(|gradient| gradient.sum.unwrap_or_else(|| Buffer::zeros(gradient.length))).collect();
    }
    let parameters: Vec<usize> = (0..shards[0].len()).collect();
    parameters.into_par_iter().with_max_len(1).map(|index| sum(shards.iter().map(|shard| &shard[index]))).collect()
}

fn sum<'a>(shards: impl Iterator<Item = &'a Gradient> + Clone) -> Buffer {
    let length = shards.clone().map(|gradient| gradient.length).max().unwrap_or(0);
    let (mut sum, mut start) = (Buffer::unset(length), Accumulate::Zero);
    let factors: Vec<_> = shards.clone().flat_map(|gradient| &gradient.factors).collect();
    if let Some(first) = factors.first() {
        let pairs: Vec<_> = factors.iter().map(|factors| (&factors.x[..], &factors.g[..])).collect();
        transposed_gemm_in_parallel(&pairs, (&first.weight_rows, first.units), start, &mut sum);
        start = Accumulate::Output;
    }
    let by_units: Vec<_> = shards.clone().filter_map(|gradient| gradient.by_units.as_ref()).collect();
    if let Some(first) = by_units.first() {
        let mut total = Buffer::unset(length);
        add_parts(&by_units.iter().map(|part| &part.sum[..]).collect::<Vec<_>>(), Accumulate::Zero, &mut total);
        add_by_units(&total, (&first.weight_rows, first.units), start, &mut sum);
        start = Accumulate::Output;
    }
    // A function of the user's may have taken the weights too.
    let parts: Vec<&[f32]> = shards.filter_map(|gradient| gradient.sum.as_deref()).collect();
    add_parts(&parts, start, &mut sum);
    sum
}
