//! A training step written by hand: its tape, its gradients, and the update of what it trains.

use std::{collections::BTreeMap, sync::Arc};

use ndarray::{Array, ArrayD, ArrayViewD, Dimension, IxDyn};
use rand::Rng;

use super::{Tensor, Value, count, fill_randomly, mistake};
use crate::{
    channel,
    engine::{Buffer, Reuse},
    error::{Error, ErrorKind, Result},
    nn::{
        layers::Weights,
        live,
        optimizer::Optimizer,
        optimizer_state::OptimizerState,
        sequential::Sequential,
        tape::{ParameterKey, Pass},
    },
};

/// A training step of your own: what is computed from its tensors is recorded, and then differentiated at once.
///
/// A step runs any number of networks, each as often as you like ([`Sequential::forward`]), and free
/// [parameters](Self::parameter). An [`OptimizerState`] then minimises a loss of it ([`OptimizerState::minimize`]), or
/// [`backward`](Self::backward) gives the gradients to look at, to clip and to use.
///
/// ```
/// use latentlab::{Dataset, Optimizer, Sequential, Step};
///
/// // A variational autoencoder that is told the digit.
/// let mut encoder = Sequential::input([784 + 10]).dense(64).relu().dense(2 * 4).build()?;
/// let mut decoder = Sequential::input([4 + 10]).dense(64).relu().dense(784).sigmoid().build()?;
/// let mut adam = Optimizer::adam().init(0.001)?;
/// let digits = Dataset::built_in_digits(256, 0)?;
///
/// for number in 0..2 {
///     let step = Step::new(number);
///     if step.should_stop() {
///         break;
///     }
///     let x = step.input(digits.images()).flatten();
///     let y = step.one_hot(digits.labels(), 10);
///     let [mu, log_variance] = encoder.forward(&step.concat([&x, &y])).halves();
///     let z = &mu + (&log_variance * 0.5).exp() * mu.normal_like();
///     let output = decoder.forward(&step.concat([&z, &y]));
///     let losses = [output.binary_cross_entropy(&x) * 784.0, mu.kl_divergence(&log_variance)];
///     let [entropy, divergence] = adam.minimize(step, losses, [&mut encoder, &mut decoder])?;
///     println!("{entropy:.1} + {divergence:.1}");
/// }
/// # Ok::<(), latentlab::Error>(())
/// ```
pub struct Step {
    pass: Pass,
    _reuse: Reuse,
}

impl Step {
    /// A step; `seed` is its randomness, of dropout, [`normal`](Self::normal) and the like: give each step of a
    /// training
    /// another one, such as its number.
    pub fn new(seed: u64) -> Self {
        Self { pass: Pass::training(seed), _reuse: Reuse::begin() }
    }

    /// Whether the notebook's stop button has been pressed while this cell runs. Ask once in every step of a loop, and
    /// leave the loop: the first time that it is asked, the button stops interrupting the kernel, which would lose all
    /// variables.
    pub fn should_stop(&self) -> bool {
        channel::listen_until_the_cell_ends();
        channel::stop_requested()
    }

    /// An array, or a constant, as an input of this step: no gradient flows into it.
    pub fn input(&self, values: impl Into<Tensor>) -> Tensor {
        self.adopt(values.into(), false)
    }

    /// An input whose gradient is wanted: [`StepGradients::of_input`] has it.
    pub fn tracked_input(&self, values: impl Into<Tensor>) -> Tensor {
        self.adopt(values.into(), true)
    }

    fn adopt(&self, tensor: Tensor, tracked: bool) -> Tensor {
        let Tensor(Ok(Value { variable, shape, .. })) = tensor else { return tensor };
        let mut pass = self.pass.clone();
        let variable = match tracked {
            true => pass.tracked(variable.values, variable.rows),
            false => pass.input(variable.values, variable.rows),
        };
        let mut input = Tensor::of(variable, shape, &self.pass);
        if let Ok(value) = &mut input.0 {
            value.tracked = tracked;
        }
        input
    }

    /// [`Tensor::one_hot`] as an input of this step.
    pub fn one_hot<'l>(&self, labels: impl IntoIterator<Item = &'l usize>, classes: usize) -> Tensor {
        self.adopt(Tensor::one_hot(labels, classes), false)
    }

    /// Random numbers from N(0, 1).
    pub fn normal(&self, shape: impl AsRef<[usize]>) -> Tensor {
        self.random(shape.as_ref(), &|random| random.sample(rand_distr::StandardNormal))
    }

    /// Random numbers, uniform in [0, 1).
    pub fn uniform(&self, shape: impl AsRef<[usize]>) -> Tensor {
        self.random(shape.as_ref(), &Rng::r#gen::<f32>)
    }

    fn random(&self, shape: &[usize], draw: &(dyn Fn(&mut crate::random::Random) -> f32 + Sync)) -> Tensor {
        let made = || {
            let mut values = Buffer::unset(count(shape).map_err(|message| mistake("random numbers", message))?);
            fill_randomly(&mut values, self.pass.clone().stream(), draw);
            Ok(values)
        };
        match made() {
            Ok(values) => self.input(Tensor::constant(values, shape.to_vec())),
            Err(error) => Tensor(Err(error)),
        }
    }

    /// A free parameter, to be learned.
    pub fn parameter(&self, parameter: &Parameter) -> Tensor {
        let place = self.pass.clone().parameter(parameter.key(), parameter.values.len());
        Tensor::learned(place, &parameter.values, &parameter.shape, &self.pass)
    }

    /// A network's weights by their name in [`Sequential::weight_names`], such as "1.weight", as a tensor to be
    /// learned: for a penalty on them, or to tie a layer of a decoder to one of an encoder.
    pub fn weights(&self, network: &Sequential, name: &str) -> Tensor {
        Tensor::weights(network, name, &self.pass)
    }

    /// Differentiates a loss, a single value, by everything that it was computed from.
    ///
    /// # Errors
    /// - [`ErrorKind::Shape`]: the first mistake on the way to the loss, or its shape if it is not a single value;
    /// - [`ErrorKind::Argument`] for a loss that depends on nothing that is learned;
    /// - [`ErrorKind::Diverged`] if the loss is NaN or infinite.
    pub fn backward(self, loss: &Tensor) -> Result<StepGradients> {
        if let Some(mistake) = self.pass.take_mistake() {
            return Err(mistake);
        }
        let loss = &self.pass.with_penalties(loss.clone());
        let value = loss.item()?;
        let Value { variable, pass, .. } = &loss.value()?;
        let is_of_this_step = pass.as_ref().is_some_and(|(pass, part)| self.pass.is(pass, *part));
        if !is_of_this_step || !variable.needs_gradient {
            let got = match pass {
                None => "a constant",
                Some(_) if is_of_this_step => "one that depends on nothing that is learned",
                Some(_) => "one of another step",
            };
            return Err(Error::argument("the loss", "a loss of this step, computed from what is learned", got));
        }
        if !value.is_finite() {
            let hint = "Nothing was changed. Try a lower learning rate, and look for values far outside [0, 1], \
                        logarithms of 0 and divisions by 0";
            return Err(Error::expected(ErrorKind::Diverged, "the loss", "a finite value", value).hint(hint));
        }
        let mut pass = self.pass.clone();
        pass.backward(variable);
        pass.take_mistake().map_or(Ok(()), Err)?;
        let (sums, statistics) = pass.learned();
        Ok(StepGradients { loss: value, sums, statistics, pass })
    }

    /// [`Tensor::concat`] along the last axis.
    pub fn concat<'a>(&self, tensors: impl IntoIterator<Item = &'a Tensor>) -> Tensor {
        Tensor::concat_each(&mut tensors.into_iter(), -1)
    }
}

/// A tensor that is learned and belongs to no network: a codebook, cluster centres, a temperature.
///
/// ```
/// use latentlab::{Optimizer, Parameter, Step, ndarray::array};
///
/// let mut centre = Parameter::new(&array![3.0f32, -2.0]);
/// let mut sgd = Optimizer::sgd().init(0.5)?;
/// let step = Step::new(0);
/// let distance = step.parameter(&centre).square().sum();
/// let [loss] = sgd.minimize(step, [distance], &mut centre)?;
/// assert_eq!((loss, centre.to_array()), (13.0, array![0.0, 0.0].into_dyn()));
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Parameter {
    shape: Vec<usize>,
    values: Weights,
}

impl Parameter {
    /// With these values at the beginning.
    pub fn new<D: Dimension>(values: &Array<f32, D>) -> Self {
        Self::of(values.view().into_dyn())
    }

    fn of(values: ArrayViewD<f32>) -> Self {
        Self { shape: values.shape().to_vec(), values: Arc::new(values.iter().copied().collect()) }
    }

    /// The values as they are now.
    pub fn to_array(&self) -> ArrayD<f32> {
        array(&self.shape, &self.values)
    }

    fn key(&self) -> ParameterKey {
        ParameterKey { network: std::ptr::from_ref(self).addr(), number: 0 }
    }
}

fn array(shape: &[usize], values: &[f32]) -> ArrayD<f32> {
    ArrayD::from_shape_vec(IxDyn(shape), values.to_vec()).unwrap_or_default()
}

/// The gradients of a [`Step`].
pub struct StepGradients {
    loss: f32,
    sums: BTreeMap<ParameterKey, Buffer>,
    statistics: BTreeMap<ParameterKey, Vec<f32>>,
    pass: Pass,
}

impl StepGradients {
    /// The loss that was differentiated.
    pub fn loss(&self) -> f64 {
        self.loss.into()
    }

    /// The root of the sum of squares over all gradients.
    pub fn norm(&self) -> f64 {
        let squares = self.sums.values().flat_map(|sum| sum.iter()).map(|g| f64::from(*g) * f64::from(*g));
        squares.sum::<f64>().sqrt()
    }

    /// Scales all gradients alike, so that their [norm](Self::norm) is at most `largest`; returns what it was
    /// (PyTorch's
    /// `clip_grad_norm_`). A negative `largest` counts as 0.
    pub fn clip_norm(&mut self, largest: f64) -> f64 {
        let norm = self.norm();
        let largest = largest.max(0.0);
        if norm > largest {
            let scale = (largest / norm) as f32;
            self.sums.values_mut().for_each(|sum| sum.iter_mut().for_each(|g| *g *= scale));
        }
        norm
    }

    /// Clips each value of each gradient to [−`largest`, `largest`] (PyTorch's `clip_grad_value_`). A negative
    /// `largest`
    /// counts as 0.
    pub fn clip_value(&mut self, largest: f32) {
        let largest = largest.max(0.0);
        let clip = |g: &mut f32| *g = if g.abs() > largest { largest.copysign(*g) } else { *g };
        self.sums.values_mut().for_each(|sum| sum.iter_mut().for_each(clip));
    }

    /// The gradients of a network's weights, with their [names](Sequential::weight_names): zeros where the loss does
    /// not depend on one.
    pub fn of(&self, network: &Sequential) -> Vec<(String, ArrayD<f32>)> {
        let all = network.named_parameters().filter(|(_, _, parameter)| parameter.trainable);
        all.map(|(name, key, parameter)| (name, self.array(key, &parameter.shape))).collect()
    }

    /// The gradient of a free parameter.
    pub fn of_parameter(&self, parameter: &Parameter) -> ArrayD<f32> {
        self.array(parameter.key(), &parameter.shape)
    }

    /// The gradient of a [tracked input](Step::tracked_input): zeros if the loss does not depend on it.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for any other tensor: what was computed from one has no gradient any more.
    pub fn of_input(&self, input: &Tensor) -> Result<ArrayD<f32>> {
        let value = input.value()?;
        if !value.pass.as_ref().is_some_and(|(pass, part)| self.pass.is(pass, *part)) || !value.tracked {
            return Err(Error::argument("of_input", "a tracked input of this step", "another tensor"));
        }
        Ok(array(&value.shape, &self.pass.gradient(&value.variable)))
    }

    fn array(&self, key: ParameterKey, shape: &[usize]) -> ArrayD<f32> {
        self.sums.get(&key).map_or_else(|| ArrayD::zeros(IxDyn(shape)), |sum| array(shape, sum))
    }
}

/// What a step trains: networks, free [parameters](Parameter) and models, by mutable reference; several of them in an
/// array, a `Vec` or a tuple.
pub trait Parameters<'a> {
    #[doc(hidden)]
    fn collect(self, all: &mut Vec<ParameterSet<'a>>);
}

/// What [`Parameters`] is made of: other crates can neither make nor use it.
pub struct ParameterSet<'a>(Set<'a>);

enum Set<'a> {
    Network(&'a mut Sequential),
    Free(&'a mut Parameter),
}

impl<'a> Parameters<'a> for &'a mut Sequential {
    fn collect(self, all: &mut Vec<ParameterSet<'a>>) {
        all.push(ParameterSet(Set::Network(self)));
    }
}

impl<'a> Parameters<'a> for &'a mut Parameter {
    fn collect(self, all: &mut Vec<ParameterSet<'a>>) {
        all.push(ParameterSet(Set::Free(self)));
    }
}

impl<'a, P: Parameters<'a>, const N: usize> Parameters<'a> for [P; N] {
    fn collect(self, all: &mut Vec<ParameterSet<'a>>) {
        self.into_iter().for_each(|part| part.collect(all));
    }
}

impl<'a, P: Parameters<'a>> Parameters<'a> for Vec<P> {
    fn collect(self, all: &mut Vec<ParameterSet<'a>>) {
        self.into_iter().for_each(|part| part.collect(all));
    }
}

macro_rules! tuples {
    ($(($($part:ident),+)),+) => {$(
        impl<'a, $($part: Parameters<'a>),+> Parameters<'a> for ($($part,)+) {
            fn collect(self, all: &mut Vec<ParameterSet<'a>>) {
                #[expect(non_snake_case, reason = "types and values share their names")]
                let ($($part,)+) = self;
                $($part.collect(all);)+
            }
        }
    )+};
}
tuples!((A, B), (A, B, C), (A, B, C, D));

impl ParameterSet<'_> {
    /// The keys of what it learns, with the numbers of values.
    fn keys(&self) -> Vec<(ParameterKey, usize)> {
        match &self.0 {
            Set::Network(network) => network.trainable_keys().collect(),
            Set::Free(parameter) => vec![(parameter.key(), parameter.values.len())],
        }
    }

    /// The keys of what it observes.
    fn observed(&self) -> Vec<ParameterKey> {
        match &self.0 {
            Set::Network(network) => network.statistic_keys().collect(),
            Set::Free(_) => Vec::new(),
        }
    }

    fn network(&self) -> Option<&Sequential> {
        match &self.0 {
            Set::Network(network) => Some(network),
            Set::Free(_) => None,
        }
    }

    fn trainable_mut(&mut self) -> Vec<&mut Weights> {
        match &mut self.0 {
            Set::Network(network) => network.trainable_mut().collect(),
            Set::Free(parameter) => vec![&mut parameter.values],
        }
    }

    fn observe(&mut self, keys: &[ParameterKey], statistics: &BTreeMap<ParameterKey, Vec<f32>>) {
        if let Set::Network(network) = &mut self.0 {
            for (running, key) in network.statistics_mut().zip(keys) {
                statistics.get(key).into_iter().for_each(|new| *running = Arc::new(new.clone()));
            }
        }
    }
}

impl Optimizer {
    /// The optimizer at its beginning, for [training steps](Step) of your own; the learning rate above 0.
    /// Until it is dropped, the memory of a step is kept for the next one.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for settings out of range, and those that this optimizer does not have.
    pub fn init(self, learning_rate: f64) -> Result<OptimizerState> {
        self.check_with("Optimizer::init", learning_rate)?;
        Ok(OptimizerState::new(self, learning_rate))
    }
}

impl OptimizerState {
    /// Minimises the sum of some losses of a step: differentiates it and [applies](Self::apply) the gradients to what
    /// is trained. Returns the values of the losses.
    ///
    /// # Errors
    /// Those of [`Step::backward`] and [`apply`](Self::apply); nothing has changed then.
    pub fn minimize<'a, const N: usize>(
        &mut self,
        step: Step,
        losses: [Tensor; N],
        trained: impl Parameters<'a>,
    ) -> Result<[f64; N]> {
        let (mut values, mut sets) = ([0.0; N], Vec::new());
        trained.collect(&mut sets);
        self.minimize_sum(step, &losses, sets, &mut values)?;
        Ok(values)
    }

    fn minimize_sum(
        &mut self,
        step: Step,
        losses: &[Tensor],
        trained: Vec<ParameterSet>,
        values: &mut [f64],
    ) -> Result<()> {
        for (value, loss) in values.iter_mut().zip(losses) {
            *value = loss.item()?.into();
        }
        let zero = step.input(0.0);
        let total = losses.iter().fold(zero, |total, loss| total + loss);
        self.apply_to(&step.backward(&total)?, trained)
    }

    /// Moves everything that is trained against its gradient ([`Optimizer`] has the formulas), and gives networks the
    /// statistics that their batch normalisations have observed.
    ///
    /// What an optimizer has been used for first it must be used for again: it keeps means of past gradients.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for what the step did not use, or the optimizer was not used for before;
    /// [`ErrorKind::Diverged`] for a gradient that is NaN or infinite. Nothing has changed then.
    pub fn apply<'a>(&mut self, gradients: &StepGradients, trained: impl Parameters<'a>) -> Result<()> {
        let mut sets = Vec::new();
        trained.collect(&mut sets);
        self.apply_to(gradients, sets)
    }

    fn apply_to(&mut self, gradients: &StepGradients, mut sets: Vec<ParameterSet>) -> Result<()> {
        self.reuse.get_or_insert_with(|| Arc::new(Reuse::begin()));
        for (index, set) in sets.iter().enumerate() {
            let keys = set.keys();
            let used = |(key, length): &(_, usize)| gradients.sums.get(key).is_some_and(|sum| sum.len() == *length);
            if !keys.is_empty() && !keys.iter().any(used) {
                let place = format!("apply, number {} of what is trained", index + 1);
                let got = "one that the loss does not depend on, or that was moved in memory since";
                return Err(Error::argument(place, "a network or parameter that the step has used", got));
            }
        }
        let keys: Vec<_> = sets.iter().map(ParameterSet::keys).collect();
        let of_key = |(key, length): &(ParameterKey, usize)| match gradients.sums.get(key) {
            Some(sum) if sum.len() == *length => sum.clone(),
            _ => Buffer::zeros(*length),
        };
        let sums: Vec<Buffer> = keys.iter().flatten().map(of_key).collect();
        if let Some(value) = sums.iter().flat_map(|sum| sum.iter()).find(|value| !value.is_finite()) {
            let hint = "Nothing was changed. Try a lower learning rate, or clip_norm";
            return Err(Error::expected(ErrorKind::Diverged, "a gradient", "finite values", value).hint(hint));
        }
        let lengths = |state: &Self| state.moments.iter().map(|[first, ..]| first.len()).collect::<Vec<_>>();
        let known = lengths(self);
        let fits = known.iter().zip(&sums).all(|(known, sum)| *known == 0 || *known == sum.len());
        if !known.is_empty() && (known.len() != sums.len() || !fits) {
            let expected = "the networks and parameters that the optimizer was used for first, in the same order";
            let hint = "Give each set of networks an optimizer of its own";
            return Err(Error::argument("apply", expected, "others").hint(hint));
        }
        let observed: Vec<_> = sets.iter().map(ParameterSet::observed).collect();
        self.update(sets.iter_mut().flat_map(ParameterSet::trainable_mut), &sums);
        sets.iter_mut().zip(&observed).for_each(|(set, keys)| set.observe(keys, &gradients.statistics));
        live::publish(sets.iter().filter_map(ParameterSet::network));
        Ok(())
    }

    /// How many updates it has made: a seed for the next [`Step`].
    pub fn steps(&self) -> u64 {
        u64::from(self.steps.unsigned_abs())
    }

    /// The learning rate of the steps to come.
    pub fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    /// Sets the learning rate of the steps to come.
    ///
    /// # Errors
    /// [`ErrorKind::Argument`] for one that [`Optimizer::init`] refuses.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<()> {
        self.optimizer.check_with("OptimizerState::set_learning_rate", learning_rate)?;
        self.learning_rate = learning_rate;
        Ok(())
    }
}

impl std::fmt::Debug for OptimizerState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (name, steps) = (self.optimizer.name(), self.steps);
        write!(f, "{name}, learning rate {}, after {steps} steps", self.learning_rate)
    }
}

impl std::fmt::Debug for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a training step")
    }
}

impl std::fmt::Debug for StepGradients {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "gradients of {} parameters, norm {:.6}, of the loss {}", self.sums.len(), self.norm(), self.loss)
    }
}
