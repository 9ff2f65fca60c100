//! What runs a network: compiled from it once, into steps of which each is a layer with what is [fused](super::fusion)
//! with it.

use std::{
    fmt, ptr,
    sync::{Arc, OnceLock},
};

use rayon::prelude::*;

use super::{
    fusion,
    layers::{Dropout, Layer, LayerContext, MaxPool2d, Weights},
    sequential::Sequential,
    tape::{ParameterKey, Pass, Variable, WeightRows},
};
use crate::{
    engine::{Buffer, PackedWeights, PreparedConvolution},
    error::Result,
    format::thousands,
};

/// The steps that run a network, in order: what is fused with what, and what each step costs.
///
/// A network is a value; it is compiled into a plan when it first runs. Layers are *fused* where one can do the work of
/// its neighbours while the values are at hand: an activation after a product, a dropout after a dense layer, a
/// max-pooling after a batch normalisation, a convolution after an up-sampling, a dense layer after a flatten; and a
/// convolution takes the moments (mean and variance) for a batch normalisation after it. For predictions, batch
/// normalisations are *folded* into the weights before them.
///
/// Multiply-adds are those of matrix products and convolutions, in the forward pass for one input. A convolution counts
/// its weights for each place of the smaller of its two feature maps, as far as they see the map and not the padding
/// around it; one that is fused with an up-sampling counts what is left when equal pixels are taken together.
///
/// ```
/// use latentlab::Sequential;
///
/// let network = Sequential::input([1, 28, 28]).conv2d(8, 3).batch_norm().relu().max_pool2d(2).flatten().dense(2);
/// println!("{}", network.plan()?);
/// // Plan for an input of [1, 28, 28]
/// // Layers  Step                                            Output              Multiply-adds
/// // 1       conv2d + moments                                [8, 26, 26]                48,672
/// // 2-4     batch_norm + relu + max_pool2d                  [8, 13, 13]                     0
/// // 5-6     flatten + dense                                 [2]                         2,704
/// // Total                                                                              51,376
/// assert_eq!(network.plan()?.multiply_adds(), 26 * 26 * 9 * 8 + 1352 * 2);
/// assert!(network.prediction_plan()?.to_string().contains("conv2d + folded batch_norm + relu"));
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Plan {
    input: Vec<usize>,
    steps: Vec<PlanStep>,
}

/// A layer, and what is fused with it.
#[derive(Clone)]
pub(crate) struct PlanStep {
    pub layer: Layer,
    /// The shape of the layer's own input, without the batch; where an up-sampling is fused, what that would make.
    pub input: Vec<usize>,
    output: Vec<usize>,
    pub fused: Fused,
    /// Which of the network's layers it is, and the number of its first parameter.
    index: usize,
    first_parameter: usize,
    parameters: usize,
    /// The names of all layers that it does the work of, and the index of the first.
    names: Vec<&'static str>,
    first_index: usize,
    /// Weights of its own, in place of the network's.
    folded: Option<Vec<Weights>>,
    caches: Caches,
}

/// What a layer computes beside its own operation: before it, and in this order after it.
#[derive(Clone)]
pub(crate) struct Fused {
    /// How many times its input is enlarged, by rows and columns.
    pub up_sample: [usize; 2],
    /// The shape of its input, if that are feature maps that it takes as a flat row.
    pub flattened: Option<[usize; 3]>,
    /// The slope below 0 of a rectified linear unit: 0 for a plain one.
    pub slope: Option<f32>,
    pub pool: Option<MaxPool2d>,
    pub dropout: Option<Dropout>,
    /// In training, the moments of the output.
    pub moments: bool,
}

impl Default for Fused {
    fn default() -> Self {
        Self { up_sample: [1, 1], flattened: None, slope: None, pool: None, dropout: None, moments: false }
    }
}

/// What a step computes once: for its shapes, and for its weights until they change.
#[derive(Clone, Default)]
pub(crate) struct Caches {
    pub convolution: Arc<OnceLock<Arc<PreparedConvolution>>>,
    /// Of a dense layer.
    pub weight_rows: Arc<OnceLock<WeightRows>>,
    pub packed: Arc<PackedWeights>,
    /// Of the layers inside a layer.
    inside: Arc<OnceLock<Vec<Caches>>>,
}

impl Caches {
    /// Those of the layers inside a layer.
    pub fn inside(&self, layers: usize) -> Vec<Self> {
        self.inside.get_or_init(|| vec![(); layers].into_iter().map(|()| Self::default()).collect()).clone()
    }

    /// Without what depends on weights that are about to change.
    fn forget_weights(&mut self) {
        self.packed = Arc::default();
        if let Some(mut inside) = self.inside.get().cloned() {
            inside.iter_mut().for_each(Self::forget_weights);
            self.inside = Arc::new(OnceLock::from(inside));
        }
    }
}

impl PlanStep {
    /// A layer by itself.
    pub fn new(layer: &Layer, input: &[usize], output: &[usize]) -> Self {
        Self {
            layer: layer.clone(),
            input: input.to_vec(),
            output: output.to_vec(),
            fused: Fused::default(),
            index: 0,
            first_parameter: 0,
            parameters: 0,
            names: vec![layer.name()],
            first_index: 0,
            folded: None,
            caches: Caches::default(),
        }
    }

    pub fn weights(&self, network: &Sequential) -> Vec<Weights> {
        self.folded.clone().unwrap_or_else(|| network.nodes()[self.index].weights())
    }

    /// Takes other weights than the network's.
    pub fn fold(&mut self, weights: Vec<Weights>) {
        self.folded = Some(weights);
        self.caches.forget_weights();
    }

    /// Becomes the step that follows it, for which it does something first.
    pub fn become_part_of(&mut self, next: &Self) {
        let (names, first_index) = (std::mem::take(&mut self.names), self.first_index);
        *self = Self { names, first_index, ..next.clone() };
    }

    /// Notes that it also does what the next step did.
    pub fn append(&mut self, next: Self) {
        self.names.extend(next.names);
        self.output = next.output;
    }

    /// The forward pass; parameters have keys of the network at that address.
    pub fn forward(&self, weights: &[Weights], network: usize, x: Variable, pass: &mut Pass) -> Variable {
        let moments = self.fused.moments && pass.training;
        let place = || format!("layer {}, {}", self.index + 1, self.layer.name());
        pass.within(place, |pass| self.layer.operation().forward(x, &self.context(weights, network, moments), pass))
    }

    fn pack(&self, network: &Sequential, backward: bool) {
        let weights = self.weights(network);
        self.layer.operation().pack(&self.context(&weights, 0, false), backward);
    }

    fn context<'a>(&'a self, weights: &'a [Weights], network: usize, moments: bool) -> LayerContext<'a> {
        let first = ParameterKey { network, number: self.first_parameter };
        LayerContext {
            input: &self.input,
            output: &self.output,
            weights,
            fused: &self.fused,
            moments,
            caches: &self.caches,
            first,
        }
    }

    /// The forward pass as a part of the layer with that context, of whose layers the caches are.
    pub fn forward_inside(
        &self,
        outer: &LayerContext<'_>,
        caches: &[Caches],
        x: Variable,
        pass: &mut Pass,
    ) -> Variable {
        let step = Self {
            first_parameter: outer.first.number + self.first_parameter,
            caches: caches[self.index].clone(),
            ..self.clone()
        };
        let weights = &outer.weights[self.first_parameter..self.first_parameter + self.parameters];
        step.forward(weights, outer.first.network, x, pass)
    }

    /// Whether what it makes of a feature map in a prediction depends on that map alone, and not on its row.
    fn takes_maps_one_by_one(&self) -> bool {
        use Layer::{Activation, AvgPool2d, BatchNorm, Conv2d, ConvTranspose2d, MaxPool2d, UpSample2d};
        let pools = matches!(self.layer, AvgPool2d(_) | MaxPool2d(_) | UpSample2d(_));
        let others = matches!(self.layer, Activation(_) | BatchNorm(_) | Conv2d(_) | ConvTranspose2d(_));
        self.input.len() == 3 && (pools || others)
    }

    pub fn multiply_adds(&self) -> usize {
        self.layer.operation().multiply_adds(&self.input, self.fused.up_sample)
    }

    fn label(&self) -> String {
        let name = |name: &&str| match (*name, &self.folded) {
            ("batch_norm", Some(_)) => "folded batch_norm".to_string(),
            (name, _) => name.to_string(),
        };
        let mut parts: Vec<String> = self.names.iter().map(name).collect();
        parts.extend(self.fused.moments.then(|| "moments".into()));
        parts.join(" + ")
    }

    /// The numbers of its layers in the network, from 1 as messages have them.
    fn numbers(&self) -> String {
        match (self.first_index + 1, self.first_index + self.names.len()) {
            (first, last) if first == last => first.to_string(),
            (first, last) => format!("{first}-{last}"),
        }
    }
}

impl Plan {
    /// How training runs it.
    fn training(network: &Sequential) -> Self {
        Self { input: network.input_shape().to_vec(), steps: fusion::fuse(steps_of(network)) }
    }

    /// How predictions run it: the same, but for batch normalisations that are folded first. What does not depend on
    /// them is cached once for both plans.
    fn prediction(network: &Sequential, training: &Self) -> Self {
        let mut steps = steps_of(network);
        for step in &mut steps {
            let same = training.steps.iter().find(|other| other.index == step.index);
            same.into_iter().for_each(|same| step.caches = same.caches.clone());
        }
        Self { input: training.input.clone(), steps: fusion::fuse(fusion::fold_batch_norms(steps, network)) }
    }

    /// All steps, one after the other; feature maps are channels last inside.
    pub(crate) fn forward(&self, network: &Sequential, x: Variable, pass: &mut Pass) -> Variable {
        run(&self.steps, network, x, pass)
    }

    /// All steps but a sigmoid at the end: the logits, for a loss that takes them.
    pub(crate) fn forward_to_logits(&self, network: &Sequential, x: Variable, pass: &mut Pass) -> Variable {
        let last = usize::from(network.ends_in_sigmoid());
        run(&self.steps[..self.steps.len() - last], network, x, pass)
    }

    /// Packs the weights of all steps, on all threads; for the backward pass those of steps that have a gradient to
    /// give: of all, if the gradient of the input is wanted, else of those after the first one with weights.
    pub(crate) fn pack(&self, network: &Sequential, backward: bool, input_gradient: bool) {
        let mut wanted = input_gradient;
        let mut steps = Vec::new();
        for step in &self.steps {
            steps.push((step, backward && wanted));
            wanted |= step.parameters > 0;
        }
        steps.into_par_iter().for_each(|(step, backward)| step.pack(network, backward));
    }

    /// How many multiply-adds the forward pass needs for one input: those of matrix products and convolutions.
    pub fn multiply_adds(&self) -> usize {
        self.steps.iter().map(PlanStep::multiply_adds).sum()
    }

    /// Of its first step with weights, of whose input training wants no gradient.
    pub(crate) fn multiply_adds_of_first(&self) -> Option<usize> {
        self.steps.iter().find(|step| step.parameters > 0).map(PlanStep::multiply_adds)
    }
}

/// Values of a layer that a prediction makes of feature maps at once, at most, if there is more than one map: so few
/// that the next layer finds them in the second-level cache.
const MAP_VALUES: usize = 1 << 16;

fn run(steps: &[PlanStep], network: &Sequential, x: Variable, pass: &mut Pass) -> Variable {
    let address = ptr::from_ref(network).addr();
    let all = |steps: &[PlanStep], x, pass: &mut Pass| {
        steps.iter().fold(x, |x, step| step.forward(&step.weights(network), address, x, pass))
    };
    if pass.training || pass.is_recording() {
        return all(steps, x, pass);
    }
    // Layers of feature maps take a few maps through all of them; others many rows, since they load all weights each
    // time.
    let chains = steps.chunk_by(|step, next| step.takes_maps_one_by_one() && next.takes_maps_one_by_one());
    chains.fold(x, |x, steps| {
        let sizes = steps.iter().flat_map(|step| [&step.input, &step.output]).map(|shape| shape.iter().product());
        let rows = (MAP_VALUES / sizes.max().unwrap_or(1)).max(1);
        if !steps[0].takes_maps_one_by_one() || x.rows <= rows {
            return all(steps, x, pass);
        }
        let [width, out_width] = [x.values.len() / x.rows, steps[steps.len() - 1].output.iter().product()];
        let mut joined = Buffer::unset(x.rows * out_width);
        for (some, out) in x.values.chunks(rows * width).zip(joined.chunks_mut(rows * out_width)) {
            let some = pass.input(Arc::new(some.into()), some.len() / width);
            out.copy_from_slice(&all(steps, some, pass).values);
        }
        pass.input(Arc::new(joined), x.rows)
    })
}

/// One step for each layer.
pub(crate) fn steps_of(network: &Sequential) -> Vec<PlanStep> {
    let nodes = network.nodes().iter();
    steps(nodes.map(|node| (node.layer.clone(), node.input.clone(), node.output.clone(), node.parameters.len())))
}

/// One step for each layer, given with the shapes of its input and output and its number of parameters.
fn steps(layers: impl Iterator<Item = (Layer, Vec<usize>, Vec<usize>, usize)>) -> Vec<PlanStep> {
    let mut first_parameter = 0;
    let step = |(index, (layer, input, output, parameters)): (usize, (Layer, Vec<usize>, Vec<usize>, usize))| {
        let first = first_parameter;
        first_parameter += parameters;
        let step = PlanStep::new(&layer, &input, &output);
        PlanStep { index, first_index: index, first_parameter: first, parameters, ..step }
    };
    layers.enumerate().map(step).collect()
}

/// The steps that run the layers inside a layer.
pub(crate) fn fused_steps(layers: impl Iterator<Item = (Layer, Vec<usize>, Vec<usize>, usize)>) -> Vec<PlanStep> {
    fusion::fuse(steps(layers))
}

/// The plans of a network.
#[derive(Clone)]
pub(crate) struct Compiled {
    training: Plan,
    /// Where it differs; it depends on the weights.
    prediction: OnceLock<Plan>,
    folds: bool,
}

impl Compiled {
    pub fn new(network: &Sequential) -> Self {
        let folds = fusion::folds(&steps_of(network));
        Self { training: Plan::training(network), prediction: OnceLock::new(), folds }
    }

    pub fn training(&self) -> &Plan {
        &self.training
    }

    pub fn prediction(&self, network: &Sequential) -> &Plan {
        if !self.folds {
            return &self.training;
        }
        self.prediction.get_or_init(|| Plan::prediction(network, &self.training))
    }

    /// Drops what was cached of the weights, which are about to change.
    pub fn forget_weights(&mut self) {
        self.training.steps.iter_mut().for_each(|step| step.caches.forget_weights());
        self.prediction = OnceLock::new();
    }
}

impl Sequential {
    /// How training runs the network: its steps, what is fused with what, and their multiply-adds.
    ///
    /// # Errors
    /// If the network was not built without mistakes.
    pub fn plan(&self) -> Result<Plan> {
        self.check()?;
        Ok(self.compiled().training().clone())
    }

    /// How predictions run the network: as [`plan`](Self::plan), with batch normalisations folded into the weights
    /// before them.
    ///
    /// # Errors
    /// If the network was not built without mistakes.
    pub fn prediction_plan(&self) -> Result<Plan> {
        self.check()?;
        Ok(self.compiled().prediction(self).clone())
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "Plan for an input of {:?}", self.input)?;
        let mut line = |numbers: &str, label: &str, output: &str, multiply_adds: &str, end: &str| {
            write!(f, "{}{end}", format!("{numbers:<7} {label:<47} {output:<17} {multiply_adds:>15}").trim_end())
        };
        line("Layers", "Step", "Output", "Multiply-adds", "\n")?;
        for step in &self.steps {
            let (output, multiply_adds) = (format!("{:?}", step.output), thousands(step.multiply_adds()));
            line(&step.numbers(), &step.label(), &output, &multiply_adds, "\n")?;
        }
        line("Total", "", "", &thousands(self.multiply_adds()), "")
    }
}

/// The same text as `Display`: a notebook may print either.
impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
