use std::{
    path::Path,
    sync::{Arc, OnceLock},
};

use ndarray::{ArrayD, IxDyn};
use rayon::prelude::*;

use super::{
    init::Init,
    layers::{Layer, Weights, channels_first, channels_last, shape_text},
    live::{self, Viewed},
    plan::{Compiled, Plan},
    summary::Summary,
    tape::{ParameterKey, Pass, Variable},
    weights::{ModelFile, read_model},
};
use crate::{
    engine::{self, Buffer, Reuse, copy_and_check, for_shards},
    error::{Error, ErrorKind, Result},
    finite::first_not_finite,
    limit, random,
};

/// A network as a value: layers one after the other, each with its weights.
///
/// It is built at run time, layer by layer; shapes are inferred as layers are added, and weights are drawn at once
/// ([`Init::GlorotUniform`], seed 0, unless said otherwise). A mistake does not stop the chain: the first one is kept
/// and returned by [`build`](Self::build) and by everything that takes a network, naming the layer.
///
/// ```
/// use latentlab::Sequential;
///
/// let encoder = Sequential::input([1, 28, 28]).flatten().dense(50).relu().dense(2).relu().build()?;
/// println!("{}", encoder.summary());
/// assert_eq!(encoder.parameter_count(), 39_352);
///
/// let error = Sequential::input([1, 28, 28]).dense(50).build().unwrap_err().to_string();
/// assert_eq!(error, "layer 1, dense: expected a flat input [k], got [1, 28, 28]; put .flatten() before it");
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Sequential {
    input: Vec<usize>,
    init: Init,
    seed: u64,
    nodes: Vec<Node>,
    mistake: Option<Error>,
    /// The layer that the mistake is in, as long as a modifier after it may fix it.
    failed: Option<Layer>,
    /// What runs it, from when it first runs.
    compiled: OnceLock<Compiled>,
    /// Who looks at its weights while they change.
    viewed: Viewed,
}

/// A layer in its place: its shapes are known and its weights drawn.
#[derive(Clone)]
pub(crate) struct Node {
    pub layer: Layer,
    pub input: Vec<usize>,
    pub output: Vec<usize>,
    pub parameters: Vec<LayerParameter>,
}

impl Node {
    /// How many values it has for one input.
    fn values(&self) -> usize {
        self.output.iter().product::<usize>().saturating_add(self.layer.operation().working_values(&self.input))
    }

    pub fn weights(&self) -> Vec<Weights> {
        self.parameters.iter().map(|parameter| Arc::clone(&parameter.values)).collect()
    }
}

/// A parameter's numbers, with their name and shape.
#[derive(Clone)]
pub(crate) struct LayerParameter {
    pub name: &'static str,
    pub shape: Vec<usize>,
    pub values: Weights,
    /// Whether training learns it; else it is a statistic, which training observes.
    pub trainable: bool,
}

/// Writes some rows of a network's input, from that one on.
pub(crate) type WriteRows<'a> = &'a (dyn Fn(usize, &mut [f32]) + Sync);

/// Those of an input of that width.
pub(crate) fn rows_of(values: &[f32], width: usize) -> impl Fn(usize, &mut [f32]) + Sync {
    move |first, rows| rows.copy_from_slice(&values[first * width..][..rows.len()])
}

/// What a network makes of rows of values, and whether none of it is NaN or infinite: the values were seen while they
/// were in a cache.
pub(crate) struct Outputs {
    pub values: Vec<f32>,
    pub are_finite: bool,
}

/// Rows that a task of a prediction takes at once, at most.
const PREDICTION_ROWS: usize = 256;

/// Values of a layer that a task of a prediction makes at once, at most, if there is more than one row: so few that the
/// next layer finds them in the second-level cache, or not far from it.
const PREDICTION_VALUES: usize = 1 << 20;

impl Sequential {
    /// Starts a network for inputs of that shape, without the batch: `[1, 28, 28]` for an image (channels, height,
    /// width), `[784]` for a row of values, `[2]` for a code.
    pub fn input(shape: impl AsRef<[usize]>) -> Self {
        Self::input_of(shape.as_ref().to_vec())
    }

    fn input_of(input: Vec<usize>) -> Self {
        let mistake = if input.is_empty() || input.contains(&0) {
            let expected = "a shape of positive sizes such as [1, 28, 28]";
            Some(Error::expected(ErrorKind::Shape, "input", expected, shape_text(&input)))
        } else {
            engine::count("input", "one sample", &input).err()
        };
        Self {
            input,
            init: Init::default(),
            seed: 0,
            nodes: Vec::new(),
            mistake,
            failed: None,
            compiled: OnceLock::new(),
            viewed: Viewed::default(),
        }
    }

    /// Draws all weights again from this seed (default 0): the same seed and layers give the same weights.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self.redraw();
        self
    }

    /// Draws all weights again in this way (default [`Init::GlorotUniform`]).
    pub fn init(mut self, init: Init) -> Self {
        self.init = init;
        self.redraw();
        self
    }

    /// The network, or the first mistake that was made in building it.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`](crate::ErrorKind::Shape) naming the layer's number and kind, what it expected and what
    /// came; [`ErrorKind::Argument`](crate::ErrorKind::Argument) for a layer whose weights, or whose values for one
    /// sample, are more than one result may have (4 GiB, or what the environment variable `LATENTLAB_MAX_BYTES` says).
    pub fn build(self) -> Result<Self> {
        self.check()?;
        Ok(self)
    }

    pub(crate) fn check(&self) -> Result<()> {
        match &self.mistake {
            Some(mistake) => Err(mistake.clone()),
            None => Ok(()),
        }
    }

    /// Adds a layer: checks its shapes and draws its weights.
    pub(crate) fn push(self, layer: impl Into<Layer>) -> Self {
        self.push_layer(layer.into())
    }

    fn push_layer(self, layer: Layer) -> Self {
        let (init, seed) = (self.init, self.seed);
        self.push_with(layer, |number, _, spec| spec.draw(init, parameter_seed(seed, number, spec.name)))
    }

    /// Adds a layer whose weights come from elsewhere: `values(layer's number, its name, the parameter)`.
    pub(crate) fn push_with(
        mut self,
        layer: Layer,
        mut values: impl FnMut(usize, &str, &super::init::ParameterSpec) -> Result<Vec<f32>>,
    ) -> Self {
        if self.mistake.is_some() {
            self.failed = None;
            return self;
        }
        (self.compiled, self.viewed) = (OnceLock::new(), Viewed::default());
        let (number, operation) = (self.nodes.len() + 1, layer.operation());
        let place = format!("layer {number}, {}", layer.name());
        let added = (|| {
            let output = operation
                .output_shape(self.output_shape())
                .map_err(|message| Error::new(ErrorKind::Shape, place.as_str(), message))?;
            let values_of_one = engine::count(&place, "one sample", &output)?;
            let all = self.values().saturating_add(values_of_one);
            limit::check(place.as_str(), "one sample in all layers up to this one", &[all])?;
            operation.check_sizes(&place, self.output_shape())?;
            let mut parameters = Vec::new();
            let mut weights = self.parameter_count();
            for spec in operation.parameters(self.output_shape()) {
                weights = weights.saturating_add(engine::count(&place, spec.name, &spec.shape)?);
                limit::check(place.as_str(), "all weights up to this layer", &[weights])?;
                limit::check(place.as_str(), "weights in whole vectors", &spec.packed_shape())?;
                let values = Arc::new(values(number, layer.name(), &spec)?);
                let trainable = spec.trainable();
                parameters.push(LayerParameter { name: spec.name, shape: spec.shape, values, trainable });
            }
            Ok((self.output_shape().to_vec(), output, parameters))
        })();
        match added {
            Ok((input, output, parameters)) => self.nodes.push(Node { layer, input, output, parameters }),
            Err(mistake) => (self.mistake, self.failed) = (Some(mistake), Some(layer)),
        }
        self
    }

    /// Applies a modifier to the last layer; `change` says whether it can be applied.
    pub(crate) fn amend(self, modifier: &str, applies_to: &str, change: impl Fn(&mut Layer) -> bool) -> Self {
        self.amend_by(modifier, applies_to, &change)
    }

    fn amend_by(mut self, modifier: &str, applies_to: &str, change: &dyn Fn(&mut Layer) -> bool) -> Self {
        let last = match &self.mistake {
            Some(_) => match self.failed.take() {
                Some(failed) => Some(failed),
                None => return self,
            },
            None => self.nodes.last().map(|node| node.layer.clone()),
        };
        let got = last.as_ref().map_or("nothing".into(), |layer| layer.name().to_string());
        match last.map(|mut layer| (change(&mut layer), layer)) {
            Some((true, layer)) => {
                if self.mistake.take().is_none() {
                    self.nodes.pop();
                }
                self.push(layer)
            }
            _ if self.mistake.is_some() => self,
            _ => {
                let place = format!("after layer {}, .{modifier}()", self.nodes.len());
                self.mistake = Some(Error::expected(ErrorKind::Shape, place, format!("{applies_to} before it"), got));
                self
            }
        }
    }

    fn redraw(&mut self) {
        let fresh = Self { init: self.init, seed: self.seed, ..Self::input(&self.input) };
        let (mistake, failed, viewed) = (self.mistake.take(), self.failed.take(), std::mem::take(&mut self.viewed));
        *self = self.nodes.drain(..).fold(fresh, |network, node| network.push(node.layer));
        if self.mistake.is_none() {
            (self.mistake, self.failed, self.viewed) = (mistake, failed, viewed);
            live::publish([&*self]);
        }
    }

    /// The shape of the input, without the batch.
    pub fn input_shape(&self) -> &[usize] {
        &self.input
    }

    /// The shape of the output, without the batch.
    pub fn output_shape(&self) -> &[usize] {
        self.nodes.last().map_or(&self.input, |node| &node.output)
    }

    /// "layer 3, relu": how messages name the last layer.
    pub(crate) fn last_layer(&self) -> String {
        self.nodes
            .last()
            .map_or("its input".into(), |node| format!("layer {}, {}", self.nodes.len(), node.layer.name()))
    }

    /// The first layers with their weights, or all of them when there are fewer: what the middle of an encoder makes of
    /// an image.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset};
    ///
    /// // The three convolutions and their ReLUs.
    /// let features = Autoencoder::strided([8, 16, 32], 64, 2)?.encoder().take(6);
    /// let digits = Dataset::built_in_digits(5, 0)?;
    /// assert_eq!(features.predict(&digits.images().clone().into_dyn())?.shape(), [5, 32, 3, 3]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn take(&self, layers: usize) -> Self {
        let nodes = self.nodes.iter().take(layers).cloned().collect();
        Self { nodes, compiled: OnceLock::new(), failed: None, ..self.clone() }
    }

    /// The layers of that range with their weights.
    pub(crate) fn part(&self, from: usize, to: usize) -> Self {
        let nodes: Vec<Node> = self.nodes.iter().take(to).skip(from).cloned().collect();
        let input = self.take(from).output_shape().to_vec();
        Self { input, nodes, compiled: OnceLock::new(), failed: None, ..self.clone() }
    }

    /// These layers and those of a network that fits behind them.
    pub(crate) fn joined(&self, other: &Self) -> Self {
        let nodes = self.nodes.iter().chain(&other.nodes).cloned().collect();
        Self { nodes, compiled: OnceLock::new(), failed: None, ..self.clone() }
    }

    /// With this mistake, if there is none yet.
    pub(crate) fn with_mistake(mut self, mistake: Error) -> Self {
        if self.mistake.is_none() {
            (self.mistake, self.failed) = (Some(mistake), None);
        }
        self
    }

    /// How many numbers all layers hold, moving statistics included.
    pub fn parameter_count(&self) -> usize {
        self.nodes.iter().flat_map(|node| &node.parameters).map(|parameter| parameter.values.len()).sum()
    }

    /// The layers, their output shapes and their parameters as Keras prints them.
    pub fn summary(&self) -> Summary {
        Summary::of("sequential", &[("", self)])
    }

    /// What the network makes of a batch of inputs: `(n, …input shape)` to `(n, …output shape)`. Dropout does nothing
    /// here.
    ///
    /// # Errors
    /// If the network was not built without mistakes, the input's shape is another one or a value of it is NaN or
    /// infinite, there are more outputs than one result may have, or a layer cannot take the values.
    ///
    /// ```
    /// use latentlab::{Sequential, ndarray::ArrayD};
    ///
    /// let network = Sequential::input([3]).dense(2).softmax().build()?;
    /// let y = network.predict(&ArrayD::zeros(vec![5, 3]))?;
    /// assert_eq!(y.shape(), [5, 2]);
    /// assert!((y[[0, 0]] - 0.5).abs() < 1e-6);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn predict(&self, input: &ArrayD<f32>) -> Result<ArrayD<f32>> {
        self.check()?;
        let shapes = [self.input_shape(), self.output_shape()];
        self.predict_with("predict", input, shapes, |values, rows| self.run(values, rows))
    }

    /// What `run` makes of rows of values of the first shape, as rows of the second; `place` begins every mistake.
    pub(super) fn predict_with(
        &self,
        place: &str,
        input: &ArrayD<f32>,
        [from, to]: [&[usize]; 2],
        run: impl FnOnce(&[f32], usize) -> Result<Vec<f32>>,
    ) -> Result<ArrayD<f32>> {
        if input.ndim() == 0 || input.shape()[1..] != *from {
            let expected = format!("an input of shape (n, {})", text_without_brackets(from));
            return Err(Error::expected(ErrorKind::Shape, place, expected, shape_text(input.shape())));
        }
        let contiguous = input.as_standard_layout();
        let values = contiguous.as_slice().unwrap_or_default();
        if let Some(index) = first_not_finite(values) {
            let width: usize = from.iter().product();
            let place = format!("{place}, row {}, value {}", index / width, index % width);
            return Err(Error::expected(ErrorKind::Argument, place, "a finite value", values[index]));
        }
        let rows = input.shape()[0];
        let shape = [&[rows], to].concat();
        limit::check(place, "outputs", &shape)?;
        let values = run(values, rows).map_err(|error| error.within(place))?;
        ArrayD::from_shape_vec(IxDyn(&shape), values)
            .map_err(|error| Error::new(ErrorKind::Shape, place, error.to_string()))
    }

    /// The prediction on plain rows of values; the error is a mistake of a layer.
    pub(crate) fn run(&self, values: &[f32], rows: usize) -> Result<Vec<f32>> {
        self.run_from(0, values, rows)
    }

    /// The same for rows of which the first one is that row of all.
    pub(crate) fn run_from(&self, first_row: usize, values: &[f32], rows: usize) -> Result<Vec<f32>> {
        Ok(self.run_on(first_row, rows, &rows_of(values, self.input_shape().iter().product()))?.values)
    }

    /// The same for rows that are written when they are needed.
    pub(crate) fn run_on(&self, first_row: usize, rows: usize, write: WriteRows<'_>) -> Result<Outputs> {
        self.pack(false, false);
        let shapes = [self.input_shape(), self.output_shape()];
        self.in_blocks(first_row, write, rows, shapes, |x, pass| self.forward_on(x, pass))
    }

    /// What `forward` makes of rows of values, block by block.
    pub(super) fn in_blocks(
        &self,
        first_row: usize,
        write: WriteRows<'_>,
        rows: usize,
        [from, to]: [&[usize]; 2],
        forward: impl Fn(Variable, &mut Pass) -> Variable + Sync,
    ) -> Result<Outputs> {
        let [width, out_width] = [from, to].map(|shape| shape.iter().product::<usize>());
        let mut values = engine::zeros(rows * out_width);
        let _reuse = Reuse::begin();
        let block = Self::rows_at_once(&[self]);
        let done = for_shards(values.par_chunks_mut(block * out_width).enumerate(), |(index, output)| {
            let pass = &mut Pass::prediction();
            pass.begin(0, first_row + index * block);
            let rows = output.len() / out_width;
            let mut x = Buffer::unset(rows * width);
            write(index * block, &mut x);
            let x = pass.input(Arc::new(x), rows);
            let x = channels_last(x, from, pass);
            let y = forward(x, pass);
            let y = channels_first(y, to, pass);
            let are_finite = copy_and_check(&y.values, output);
            pass.take_mistake().map_or(Ok(are_finite), Err)
        });
        let are_finite = done.into_iter().try_fold(true, |all, block| Ok(all & block?))?;
        Ok(Outputs { values, are_finite })
    }

    /// How many rows a task of a prediction takes through these networks at once.
    pub(crate) fn rows_at_once(networks: &[&Self]) -> usize {
        Self::rows_within(PREDICTION_VALUES, networks).min(PREDICTION_ROWS)
    }

    /// How many rows make no layer of these networks larger than so many values, but at least one.
    pub(crate) fn rows_within(values: usize, networks: &[&Self]) -> usize {
        (values / networks.iter().map(|network| network.widest()).max().unwrap_or(1)).max(1)
    }

    /// What runs the network.
    pub(crate) fn compiled(&self) -> &Compiled {
        self.compiled.get_or_init(|| Compiled::new(self))
    }

    /// Packs the weights for a step, see [`Plan::pack`](super::plan::Plan).
    pub(crate) fn pack(&self, backward: bool, input_gradient: bool) {
        let compiled = self.compiled();
        let plan = if backward { compiled.training() } else { compiled.prediction(self) };
        plan.pack(self, backward, input_gradient);
    }

    /// Packs networks that follow each other for a forward pass, or also for the backward pass, in which the gradient
    /// of the first one's input is not wanted.
    pub(crate) fn pack_all(networks: &[&Self], backward: bool) {
        networks.par_iter().enumerate().for_each(|(index, network)| network.pack(backward, index > 0));
    }

    /// Whether a layer needs to see all of a batch at once.
    pub(crate) fn needs_whole_batch(&self) -> bool {
        self.nodes.iter().any(|node| node.layer.operation().needs_whole_batch())
    }

    /// How many values all layers have for one input.
    pub(crate) fn values(&self) -> usize {
        self.nodes.iter().map(Node::values).sum()
    }

    /// How many weights have a gradient that each part of a batch sums by itself, see [`Pass::postpones`].
    pub(crate) fn summed_weights(&self) -> usize {
        let nodes = self.nodes.iter().filter(|node| !matches!(node.layer, Layer::Dense(_)));
        nodes.flat_map(|node| &node.parameters).map(|parameter| parameter.values.len()).sum()
    }

    /// How many values the largest layer has for one input, or the input itself.
    pub(crate) fn widest(&self) -> usize {
        self.nodes.iter().map(Node::values).chain([self.input.iter().product()]).max().unwrap_or(1)
    }

    /// The first batch normalisation that sees a single value of each channel for one input, if there is one: of a
    /// batch of one row it has nothing to take a variance of.
    pub(crate) fn needs_two_rows(&self) -> Option<String> {
        let index = self.nodes.iter().position(|node| node.layer.operation().needs_two_rows(&node.input))?;
        Some(format!("layer {}, {}", index + 1, self.nodes[index].layer.name()))
    }

    /// All layers, one after the other; feature maps are channels last inside.
    pub(crate) fn forward_on(&self, x: Variable, pass: &mut Pass) -> Variable {
        self.plan_for(pass).forward(self, x, pass)
    }

    /// All layers but a sigmoid at the end: the logits, for a loss that takes them.
    pub(crate) fn forward_to_logits(&self, x: Variable, pass: &mut Pass) -> Variable {
        self.plan_for(pass).forward_to_logits(self, x, pass)
    }

    fn plan_for(&self, pass: &Pass) -> &Plan {
        let trains = pass.training || pass.is_recording();
        if trains { self.compiled().training() } else { self.compiled().prediction(self) }
    }

    /// The name of the last layer that changes values, and the range that it makes, if it makes one.
    pub(crate) fn range(&self) -> Option<(&'static str, [f32; 2])> {
        let changes = |node: &&Node| !matches!(node.layer, Layer::Flatten(_) | Layer::Reshape(_));
        match self.nodes.iter().rev().find(changes)?.layer.name() {
            name @ ("sigmoid" | "hard_sigmoid") => Some((name, [0.0, 1.0])),
            name @ "tanh" => Some((name, [-1.0, 1.0])),
            _ => None,
        }
    }

    pub(crate) fn ends_in_sigmoid(&self) -> bool {
        self.nodes.last().is_some_and(|node| node.layer.name() == "sigmoid")
    }

    pub(super) fn viewed(&self) -> &Viewed {
        &self.viewed
    }

    pub(crate) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn initialisation(&self) -> (Init, u64) {
        (self.init, self.seed)
    }

    /// What training learns, in the order of the layers.
    pub(crate) fn trainable_mut(&mut self) -> impl Iterator<Item = &mut Weights> {
        self.all_mut().filter(|parameter| parameter.trainable).map(|parameter| &mut parameter.values)
    }

    /// What training observes, in the order of the layers.
    pub(crate) fn statistics_mut(&mut self) -> impl Iterator<Item = &mut Weights> {
        self.all_mut().filter(|parameter| !parameter.trainable).map(|parameter| &mut parameter.values)
    }

    /// All parameters in the order of the layers. Whoever changes them [publishes](live::publish) the network then.
    pub(crate) fn parameters_mut(&mut self) -> impl Iterator<Item = &mut Weights> {
        self.all_mut().map(|parameter| &mut parameter.values)
    }

    fn all_mut(&mut self) -> impl Iterator<Item = &mut LayerParameter> {
        self.viewed.withdraw();
        self.compiled.get_mut().into_iter().for_each(Compiled::forget_weights);
        self.nodes.iter_mut().flat_map(|node| &mut node.parameters)
    }

    /// The keys and lengths of what training learns, in the same order.
    pub(crate) fn trainable_keys(&self) -> impl Iterator<Item = (ParameterKey, usize)> {
        let all = self.keys().filter(|(_, parameter)| parameter.trainable);
        all.map(|(key, parameter)| (key, parameter.values.len()))
    }

    /// The keys of what training observes, in the same order.
    pub(crate) fn statistic_keys(&self) -> impl Iterator<Item = ParameterKey> {
        self.keys().filter(|(_, parameter)| !parameter.trainable).map(|(key, _)| key)
    }

    /// All parameters with their names and keys.
    pub(crate) fn named_parameters(&self) -> impl Iterator<Item = (String, ParameterKey, &LayerParameter)> {
        let layers = self.nodes.iter().enumerate();
        let layers = layers.flat_map(|(index, node)| node.parameters.iter().map(move |_| index + 1));
        layers.zip(self.keys()).map(|(layer, (key, parameter))| (format!("{layer}.{}", parameter.name), key, parameter))
    }

    /// The parameter of that name.
    pub(crate) fn named(&self, name: &str) -> Result<(ParameterKey, &LayerParameter)> {
        let found = self.named_parameters().find(|(known, ..)| known == name);
        let known = || self.weight_names().join(", ");
        let missing = || Error::argument("the name of weights", format!("one of {}", known()), name);
        found.map(|(_, key, parameter)| (key, parameter)).ok_or_else(missing)
    }

    /// The names of all weights and statistics: the layer's number, from 1, and what they are to it, as in "1.weight".
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([4]).dense(3).relu().dense(2);
    /// assert_eq!(network.weight_names(), ["1.weight", "1.bias", "3.weight", "3.bias"]);
    /// ```
    pub fn weight_names(&self) -> Vec<String> {
        self.named_parameters().map(|(name, ..)| name).collect()
    }

    fn keys(&self) -> impl Iterator<Item = (ParameterKey, &LayerParameter)> {
        let network = std::ptr::from_ref(self).addr();
        let parameters = self.nodes.iter().flat_map(|node| &node.parameters).enumerate();
        parameters.map(move |(number, parameter)| (ParameterKey { network, number }, parameter))
    }

    /// All parameters in the same order, shared.
    pub(crate) fn parameters(&self) -> impl Iterator<Item = &Weights> {
        self.nodes.iter().flat_map(|node| &node.parameters).map(|parameter| &parameter.values)
    }

    /// Whether the other has the same input and the same layers.
    pub(crate) fn is_built_like(&self, other: &Self) -> bool {
        let layers = self.nodes.iter().map(|node| &node.layer);
        self.input_shape() == other.input_shape() && layers.eq(other.nodes.iter().map(|node| &node.layer))
    }

    /// Writes architecture and weights to one [safetensors](https://github.com/huggingface/safetensors) file.
    ///
    /// The file is written beside its place and then renamed, so that an interrupted save leaves the old one.
    ///
    /// # Errors
    /// If the network was not built without mistakes, or the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_to(path.as_ref())
    }

    fn save_to(&self, path: &Path) -> Result<()> {
        self.check()?;
        let networks = vec![("network", self)];
        ModelFile { kind: "sequential", networks, settings: serde_json::Value::Null }.write(path, None)
    }

    /// Reads a network that [`save`](Self::save) has written: it predicts the same bits.
    ///
    /// # Errors
    /// If the file cannot be read, is damaged, or is not one of these.
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_from(path.as_ref())
    }

    fn load_from(path: &Path) -> Result<Self> {
        let ([network], ()) = read_model(path, "sequential", ["network"])?;
        Ok(network)
    }
}

impl std::fmt::Debug for Sequential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.summary())
    }
}

/// Every parameter has randomness of its own, so that adding a layer at the end leaves the others as they are.
fn parameter_seed(seed: u64, layer: usize, name: &str) -> u64 {
    name.bytes().fold(random::mix(seed, layer as u64), |seed, byte| random::mix(seed, u64::from(byte)))
}

pub(super) fn text_without_brackets(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}
