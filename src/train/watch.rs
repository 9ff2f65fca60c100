//! What a training measures beside the loss, on request.

use ndarray::{ArrayD, Axis, IxDyn, Slice};

use super::{
    config::TrainConfig,
    history::{History, record_by_layer},
    objective::Learner,
};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    nn::{OptimizerState, Sequential},
};

/// What [`TrainConfig::watch`] shows and records while a training runs: how gradients and units fare, layer by layer.
///
/// Layers are named as in messages: "encoder, layer 3, relu".
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Watch {
    /// The norm of each layer's gradient, the root of the sum of squares over its weights and biases, as PyTorch's
    /// `clip_grad_norm_` measures it: that of the loss with its penalties, before any clipping. An epoch's value is the
    /// mean over up to 8 batches, spread evenly. [`History::gradient_norms`](crate::History::gradient_norms) keeps
    /// them, and [`History::plot_gradient_norms`](crate::History::plot_gradient_norms) draws them. Norms that shrink
    /// from layer to layer towards the input are the vanishing gradients of Hochreiter (1991).
    GradientNorms,
    /// The share of dead units in each `relu` layer after each epoch, in \[0, 1\]: units that are 0 for all images of a
    /// sample, and so learn nothing from them (Lu et al. 2019, "Dying ReLU and initialization"). A unit is a value of a
    /// dense layer, or a channel of a feature map. The sample is the same in each epoch: the first training images (for
    /// a [`Gan`](crate::Gan) noise), one of 40, but at least 32 and at most 128.
    /// [`History::dead_units`](crate::History::dead_units) keeps them, and
    /// [`History::plot_dead_units`](crate::History::plot_dead_units) draws them.
    DeadUnits,
    /// The learning rate of each epoch, which [`History::learning_rate`](crate::History::learning_rate) keeps in any
    /// case.
    LearningRate,
    /// What the model makes of the first 10 of these images, below the images themselves, several times a second: for
    /// models that reconstruct. [`TrainConfig::snapshots`] keeps reconstructions.
    Reconstructions(Dataset),
}

/// The most images that a live view reconstructs.
const IMAGES: usize = 10;

/// The most batches of an epoch whose gradients are measured.
const BATCHES: usize = 8;

/// The images on which units are found dead: one of so many, within these bounds.
const ONE_OF: usize = 40;
const SAMPLE: [usize; 2] = [32, 128];

impl TrainConfig {
    pub(super) fn watches_gradients(&self) -> bool {
        self.watch.iter().any(|watch| matches!(watch, Watch::GradientNorms))
    }

    pub(super) fn watches_dead_units(&self) -> bool {
        self.watch.iter().any(|watch| matches!(watch, Watch::DeadUnits))
    }

    pub(super) fn watches_learning_rate(&self) -> bool {
        self.watch.iter().any(|watch| matches!(watch, Watch::LearningRate))
    }

    /// The images that a live view reconstructs.
    pub(super) fn watched_images(&self) -> Option<Dataset> {
        let images = self.watch.iter().find_map(|watch| match watch {
            Watch::Reconstructions(images) => Some(images),
            _ => None,
        });
        images.map(|images| images.take(IMAGES))
    }

    /// Refuses images to reconstruct for a model that does not.
    pub(super) fn refuse_reconstructions(&self, settings: &str, kind: &str) -> Result<()> {
        if self.watched_images().is_none() {
            return Ok(());
        }
        let expected = format!("no Watch::Reconstructions: a {kind} does not reconstruct images");
        Err(Error::expected(ErrorKind::Argument, format!("{settings}::watch"), expected, "some"))
    }
}

/// Refuses to watch what a model does not have.
pub(super) fn check(model: &dyn Learner, config: &TrainConfig) -> Result<()> {
    let place = format!("{}::watch", model.settings());
    if config.watched_images().is_some_and(|images| images.is_empty()) {
        return Err(Error::argument(place, "at least 1 image to reconstruct", "none"));
    }
    let mut nodes = model.trained().into_iter().flat_map(Sequential::nodes);
    if config.watches_dead_units() && !nodes.any(|node| can_die(node.layer.name())) {
        return Err(Error::argument(place, "a model with a relu layer for Watch::DeadUnits", "none"));
    }
    Ok(())
}

/// The networks that are trained, with their names, in the order in which an image meets them.
fn trained(model: &dyn Learner) -> Vec<(&'static str, &Sequential)> {
    let (trained, mut networks) = (model.trained(), model.file().networks);
    networks.retain(|(_, network)| trained.iter().any(|trained| std::ptr::eq(*trained, *network)));
    networks
}

fn label(network: &str, number: usize, kind: &str) -> String {
    format!("{network}, layer {number}, {kind}")
}

/// The gradients of some batches of an epoch.
pub(super) struct Gradients {
    /// Those of every so many batches are measured; of none where it is 0.
    every: usize,
    /// Of each measured batch, the sum of squares of each parameter's gradient.
    squares: Vec<Vec<f64>>,
}

impl Gradients {
    pub fn of(config: &TrainConfig, batches: usize) -> Self {
        let every = if config.watches_gradients() { batches.div_ceil(BATCHES) } else { 0 };
        Self { every, squares: Vec::new() }
    }

    fn measures(&self, batch: usize) -> bool {
        self.every > 0 && batch.is_multiple_of(self.every)
    }

    /// Before a batch, numbered from 1.
    pub fn before(&self, batch: usize, optimizers: Vec<&mut OptimizerState>) {
        if self.measures(batch) {
            optimizers.into_iter().for_each(|optimizer| optimizer.squares = Some(Vec::new()));
        }
    }

    pub fn after(&mut self, batch: usize, optimizers: Vec<&mut OptimizerState>) {
        if self.measures(batch) {
            let squares = optimizers.into_iter().filter_map(|optimizer| optimizer.squares.take());
            self.squares.push(squares.flatten().collect());
        }
    }

    /// The mean norm of each layer's gradient.
    fn norms(&self, model: &dyn Learner) -> Vec<(String, f64)> {
        let (mut norms, mut first) = (Vec::new(), 0);
        for (name, network) in trained(model) {
            for (index, node) in network.nodes().iter().enumerate() {
                let parameters = node.parameters.iter().filter(|parameter| parameter.trainable).count();
                let range = first..first + parameters;
                first = range.end;
                let norm = |squares: &Vec<f64>| {
                    squares.get(range.clone()).map_or(f64::NAN, |of| of.iter().sum::<f64>().sqrt())
                };
                if parameters > 0 {
                    let mean = self.squares.iter().map(norm).sum::<f64>() / self.squares.len() as f64;
                    norms.push((label(name, index + 1, node.layer.name()), mean));
                }
            }
        }
        norms
    }
}

/// Records what is watched after the last batch of an epoch.
pub(super) fn record(
    model: &dyn Learner,
    config: &TrainConfig,
    gradients: &Gradients,
    training: &Dataset,
    history: &mut History,
) {
    let epoch = history.epochs();
    if config.watches_gradients() {
        record_by_layer(&mut history.gradient_norms, epoch, gradients.norms(model));
    }
    if config.watches_dead_units() {
        // A mistake of a function of the user's, which has made none in training, ends no training here.
        record_by_layer(&mut history.dead_units, epoch, dead_units(model, training).unwrap_or_default());
    }
}

fn can_die(kind: &str) -> bool {
    kind == "relu"
}

/// The share of units that are 0 for all of some images.
fn dead_units(model: &dyn Learner, images: &Dataset) -> Result<Vec<(String, f64)>> {
    let [least, most] = SAMPLE;
    let mut x = model.probe(images, (images.len() / ONE_OF).clamp(least, most).min(images.len()))?;
    let mut shares = Vec::new();
    for (name, network) in trained(model) {
        // Of the heads of a variational autoencoder, the decoder takes the mean.
        let (rows, width) = (x.shape()[0], network.input_shape().iter().product::<usize>());
        let all = x.len() / rows;
        x = rearranged(x, &[rows, all])?.slice_axis(Axis(1), Slice::from(..width.min(all))).to_owned();
        x = rearranged(x, &[&[rows], network.input_shape()].concat())?;
        for layer in network.activations(&x)? {
            if can_die(&layer.kind) {
                shares.push((label(name, layer.number, &layer.kind), share_of_dead(&layer.values)));
            }
            x = layer.values;
        }
    }
    Ok(shares)
}

pub(super) fn rearranged(values: ArrayD<f32>, shape: &[usize]) -> Result<ArrayD<f32>> {
    let values = values.as_standard_layout().into_owned();
    let rearranged = values.into_shape_with_order(IxDyn(shape));
    rearranged.map_err(|error| Error::new(ErrorKind::Shape, "watch", error.to_string()))
}

/// Of values (n, units), (n, time, units) or (n, units, height, width).
fn share_of_dead(values: &ArrayD<f32>) -> f64 {
    let units = if values.ndim() == 4 { Axis(1) } else { Axis(values.ndim() - 1) };
    let dead = values.axis_iter(units).filter(|unit| unit.iter().all(|value| *value == 0.0)).count();
    dead as f64 / values.len_of(units) as f64
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;

    #[test]
    fn a_unit_is_a_value_or_a_channel_and_dead_if_it_is_always_0() {
        let mut values = ArrayD::zeros(vec![2, 4]);
        values[[1, 2]] = 0.5;
        assert_eq!(share_of_dead(&values), 0.75);
        values[[0, 0]] = f32::NAN;
        assert_eq!(share_of_dead(&values), 0.5);
        let mut maps = ArrayD::zeros(vec![2, 4, 3, 3]);
        maps[[1, 3, 2, 2]] = 1.0;
        assert_eq!(share_of_dead(&maps), 0.75);
        let mut sequences = ArrayD::zeros(vec![2, 5, 2]);
        sequences[[1, 4, 0]] = 1.0;
        assert_eq!(share_of_dead(&sequences), 0.5);
    }
}
