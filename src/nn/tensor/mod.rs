//! Tensors with a shape that is known when the program runs, on the tape of a pass.

mod elementwise;
mod losses;
mod product;
mod reduce;
mod shape;
mod update;

use std::{fmt, sync::Arc};

use ndarray::{Array, Array4, ArrayD, ArrayViewD, Dimension, IxDyn};
use rand::Rng;
use rayon::prelude::*;

pub use update::{Parameter, ParameterSet, Parameters, Step, StepGradients};

use super::{
    layers::{channels_first, channels_last},
    sequential::{Sequential, text_without_brackets},
    tape::{GradientSlot, Gradients, Pass, Variable},
};
use crate::{
    engine::{Buffer, OnThreads},
    error::{Error, ErrorKind, Result},
    limit, random,
};

/// Values of any shape, with the operations that a loss, a layer or a training step of your own is written in.
///
/// A tensor is made from an array or a number (`Tensor::from`), or comes as an argument of a function of yours
/// ([`Loss::of`](crate::Loss::of), [`Sequential::map`]), or from a [`Step`]. The last two are on a tape: what is
/// computed
/// from them is differentiated. The first axis of a batch is its rows; feature maps are (n, channels, height, width).
///
/// - **Shapes** follow NumPy and PyTorch: binary operations broadcast, axes count from the end where they are negative.
/// - **Mistakes** do not stop the arithmetic: a tensor of shapes that do not fit carries its error through everything
///   that is computed from it, and the error comes out where a value is asked for: at the end of the step, of
///   [`to_array`](Self::to_array), of [`check`](Self::check). The first mistake is the one that is told.
/// - **Cost**: every operation makes a new tensor (a clone does not copy). Nothing here is generic, so that a cell
///   compiles fast. Sums add in double precision, and give the same bits for any number of threads.
///
/// ```
/// use latentlab::{Tensor, ndarray::array};
///
/// let x = Tensor::from(&array![[1.0f32, 2.0], [3.0, 4.0]]);
/// let y = (&x - x.mean_axis(0)).square().sum();
/// assert_eq!(y.item()?, 4.0);
///
/// let wrong = &x + Tensor::from(&array![1.0f32, 2.0, 3.0]);
/// let error = wrong.exp().sum().item().unwrap_err().to_string();
/// assert_eq!(error, "tensor operation +: expected shapes that broadcast, got [2, 2] and [3]");
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor(Result<Value>);

#[derive(Clone)]
pub(super) struct Value {
    variable: Variable,
    shape: Vec<usize>,
    /// The pass that it was computed in, and the part of its batch; none for a constant.
    pass: Option<(Pass, u64)>,
    /// Whether it is an input whose gradient is kept.
    tracked: bool,
}

impl Value {
    fn values(&self) -> &[f32] {
        &self.variable.values
    }

    fn wants_gradient(&self) -> bool {
        self.variable.needs_gradient
    }
}

/// What an operation made: a shape, its values and its backward pass.
type Made<B> = Result<(Vec<usize>, Arc<Buffer>, B), String>;

/// The result of an operation, or its first mistake. `compute` gets the inputs' values; an error of its is a message
/// such as "expected …, got …".
fn operation<B: FnOnce(Buffer, &mut Gradients) + 'static>(
    name: &str,
    inputs: &[&Tensor],
    compute: impl FnOnce(&[&Value]) -> Made<B>,
) -> Tensor {
    let result = || {
        let inputs = inputs.iter().map(|tensor| tensor.0.as_ref().map_err(Clone::clone)).collect::<Result<Vec<_>>>()?;
        let pass = common_pass(&inputs).map_err(|message| mistake(name, message))?;
        let needs_gradient = inputs.iter().any(|value| value.wants_gradient());
        let (shape, values, backward) = compute(&inputs).map_err(|message| mistake(name, message))?;
        let rows = shape.first().copied().unwrap_or(1);
        let variable = match pass.clone() {
            Some((mut pass, _)) => pass.record(values, rows, needs_gradient, backward),
            None => Variable::constant(values, rows),
        };
        Ok(Value { variable, shape, pass, tracked: false })
    };
    Tensor(result())
}

fn mistake(name: &str, message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Shape, format!("tensor operation {name}"), message)
}

/// The pass of those that are not constants: one tape cannot go on from another's.
fn common_pass(inputs: &[&Value]) -> Result<Option<(Pass, u64)>, String> {
    let mut passes = inputs.iter().filter_map(|value| value.pass.as_ref());
    let Some((pass, part)) = passes.next() else { return Ok(None) };
    let current = pass.is(pass, *part) && passes.all(|(other, part)| pass.is(other, *part));
    if !current {
        let expected = "expected tensors of one training step, got some of another";
        return Err(format!("{expected}. Step::input takes them into this one, as constants"));
    }
    Ok(Some((pass.clone(), *part)))
}

/// How many values, refused with the operation's name if one result may not have so many.
fn count(shape: &[usize]) -> Result<usize, String> {
    // A size of 0 counts as 1, so that no product of some of the sizes overflows.
    let sizes: Vec<usize> = shape.iter().map(|size| *size.max(&1)).collect();
    let count = limit::check("its result", "values of a tensor", &sizes).map_err(|error| error.to_string())?;
    Ok(if shape.contains(&0) { 0 } else { count })
}

impl Tensor {
    /// A value of a pass: its feature maps are channels first.
    pub(super) fn of(variable: Variable, shape: Vec<usize>, pass: &Pass) -> Self {
        Self(Ok(Value { variable, shape, pass: Some((pass.clone(), pass.part())), tracked: false }))
    }

    fn constant(values: Buffer, shape: Vec<usize>) -> Self {
        let rows = shape.first().copied().unwrap_or(1);
        Self(Ok(Value { variable: Variable::constant(Arc::new(values), rows), shape, pass: None, tracked: false }))
    }

    fn of_array(array: ArrayViewD<f32>) -> Self {
        let standard = array.as_standard_layout();
        Self::constant(Buffer::from(standard.as_slice().unwrap_or_default()), array.shape().to_vec())
    }

    /// A constant, in the pass of this tensor if it has one.
    fn constant_like(&self, name: &str, shape: &[usize], fill: impl FnOnce(&mut Buffer, Option<Pass>)) -> Self {
        operation(name, &[self], |inputs| {
            let mut values = Buffer::unset(count(shape)?);
            fill(&mut values, inputs[0].pass.as_ref().map(|(pass, _)| pass.clone()));
            Ok((shape.to_vec(), Arc::new(values), |_: Buffer, _: &mut Gradients| {}))
        })
        .detach()
    }

    /// The value, or the mistake that its computation made.
    pub(super) fn value(&self) -> Result<&Value> {
        self.0.as_ref().map_err(Clone::clone)
    }

    /// The variable on the tape of this pass, and its shape.
    pub(super) fn into_variable(self, pass: &Pass) -> Result<(Variable, Vec<usize>)> {
        let value = self.0?;
        if value.pass.as_ref().is_some_and(|(other, part)| !pass.is(other, *part)) {
            return Err(mistake("result", "expected a tensor of this step, got one of another"));
        }
        Ok((value.variable, value.shape))
    }

    /// A network's weights by their name, to be learned.
    pub(super) fn weights(network: &Sequential, name: &str, pass: &Pass) -> Self {
        let result = || {
            network.check()?;
            let (key, parameter) = network.named(name)?;
            let place = pass.clone().parameter(key, parameter.values.len());
            Self::learned(place, &parameter.values, &parameter.shape, pass).0
        };
        Self(result())
    }

    /// A parameter as a tensor: its gradient goes to that place.
    pub(super) fn learned(place: GradientSlot, values: &[f32], shape: &[usize], pass: &Pass) -> Self {
        let rows = shape.first().copied().unwrap_or(1);
        let values: Arc<Buffer> = Arc::new(Buffer::from(values));
        let add = move |g, gradients: &mut Gradients| gradients.add_to_parameter(place, g);
        let variable = pass.clone().record(values, rows, true, add);
        Self::of(variable, shape.to_vec(), pass)
    }

    /// A constant of zeros.
    pub fn zeros(shape: impl AsRef<[usize]>) -> Self {
        Self::filled(shape.as_ref(), 0.0)
    }

    /// A constant of ones.
    pub fn ones(shape: impl AsRef<[usize]>) -> Self {
        Self::filled(shape.as_ref(), 1.0)
    }

    /// A constant, all of whose values are this one.
    pub fn full(shape: impl AsRef<[usize]>, value: f32) -> Self {
        Self::filled(shape.as_ref(), value)
    }

    fn filled(shape: &[usize], value: f32) -> Self {
        match count(shape) {
            Ok(count) => {
                let mut values = Buffer::unset(count);
                values.fill(value);
                Self::constant(values, shape.to_vec())
            }
            Err(message) => Self(Err(mistake("full", message))),
        }
    }

    /// A constant (n, classes) with a 1 in each row at its label and zeros elsewhere.
    ///
    /// A label that is no class is a mistake.
    ///
    /// ```
    /// use latentlab::{Tensor, ndarray::array};
    ///
    /// let y = Tensor::one_hot(&[2, 0], 3);
    /// assert_eq!(y.to_array()?, array![[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]].into_dyn());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn one_hot<'l>(labels: impl IntoIterator<Item = &'l usize>, classes: usize) -> Self {
        Self::of_labels(&numbers(&mut labels.into_iter()), classes)
    }

    fn of_labels(labels: &[usize], classes: usize) -> Self {
        let made = || {
            let mut values = Buffer::zeros(count(&[labels.len(), classes])?);
            for (row, label) in labels.iter().enumerate() {
                if *label >= classes {
                    return Err(format!("expected labels below {classes}, got {label} in row {row}"));
                }
                values[row * classes + label] = 1.0;
            }
            Ok(values)
        };
        match made() {
            Ok(values) => Self::constant(values, vec![labels.len(), classes]),
            Err(message) => Self(Err(mistake("one_hot", message))),
        }
    }

    /// Zeros in this tensor's shape.
    pub fn zeros_like(&self) -> Self {
        self.constant_like("zeros_like", self.shape(), |values, _| values.fill(0.0))
    }

    /// Ones in this tensor's shape.
    pub fn ones_like(&self) -> Self {
        self.constant_like("ones_like", self.shape(), |values, _| values.fill(1.0))
    }

    /// Random numbers from N(0, 1) in this tensor's shape, from the randomness of its step: other ones for each call
    /// and
    /// each step, the same for the same seed. For a constant, which belongs to no step, it is a mistake: see
    /// [`Step::normal`].
    pub fn normal_like(&self) -> Self {
        self.random_like("normal_like", |random| random.sample(rand_distr::StandardNormal))
    }

    /// As [`normal_like`](Self::normal_like), uniform in [0, 1).
    pub fn uniform_like(&self) -> Self {
        self.random_like("uniform_like", Rng::r#gen::<f32>)
    }

    fn random_like(&self, name: &str, draw: impl Fn(&mut random::Random) -> f32 + Sync) -> Self {
        if let Ok(Value { pass: None, .. }) = self.0 {
            let message = "expected a tensor of a training step, whose randomness it uses, got a constant";
            return Self(Err(mistake(name, message)));
        }
        self.constant_like(name, self.shape(), |values, pass| {
            let seed = pass.map_or(0, |mut pass| pass.stream());
            fill_randomly(values, seed, draw);
        })
    }

    /// The shape; of a tensor that carries a mistake, an empty one.
    pub fn shape(&self) -> &[usize] {
        self.0.as_ref().map_or(&[], |value| &value.shape)
    }

    /// The mistake that the computation of this tensor made, if it made one.
    ///
    /// # Errors
    /// [`ErrorKind::Shape`] with the operation and both shapes.
    pub fn check(&self) -> Result<()> {
        self.value().map(|_| ())
    }

    /// The values as an array.
    ///
    /// # Errors
    /// The mistake that its computation made.
    pub fn to_array(&self) -> Result<ArrayD<f32>> {
        let value = self.value()?;
        ArrayD::from_shape_vec(IxDyn(&value.shape), value.values().to_vec())
            .map_err(|error| mistake("to_array", error.to_string()))
    }

    /// The values as images (n, channels, height, width), as [`ImageGrid`](crate::ImageGrid) draws them.
    ///
    /// # Errors
    /// As [`to_array`](Self::to_array), and [`ErrorKind::Shape`] if there are not four dimensions.
    ///
    /// ```
    /// use latentlab::{ImageGrid, Tensor};
    ///
    /// let grey = Tensor::full([3, 784], 0.5);
    /// let figure = ImageGrid::new(&grey.reshape([3, 1, 28, 28]).to_images()?, 3).figure()?;
    ///
    /// let error = grey.to_images().unwrap_err().to_string();
    /// assert_eq!(error, "tensor operation to_images: expected (n, channels, height, width), got shape [3, 784]");
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn to_images(&self) -> Result<Array4<f32>> {
        self.to_array()?.into_dimensionality().map_err(|_| {
            let got = self.shape();
            mistake("to_images", format!("expected (n, channels, height, width), got shape {got:?}"))
        })
    }

    /// The value of a tensor that has one, such as a loss.
    ///
    /// # Errors
    /// The mistake that its computation made, or the shape of a tensor with more values than one, or none.
    pub fn item(&self) -> Result<f32> {
        match self.value()?.values() {
            [value] => Ok(*value),
            _ => Err(mistake("item", format!("expected a single value, got shape {:?}", self.shape()))),
        }
    }

    /// The same values, through which no gradient flows back (PyTorch's `detach`, TensorFlow's `stop_gradient`).
    pub fn detach(&self) -> Self {
        let mut same = self.clone();
        if let Ok(value) = &mut same.0 {
            value.variable = Variable::constant(Arc::clone(&value.variable.values), value.variable.rows);
            value.tracked = false;
        }
        same
    }
}

fn fill_randomly(values: &mut [f32], seed: u64, draw: impl Fn(&mut random::Random) -> f32 + Sync) {
    const BLOCK: usize = 4096;
    values.par_chunks_mut(BLOCK).enumerate().on_threads().for_each(|(block, values)| {
        let mut random = random::stream(seed, block as u64);
        values.iter_mut().for_each(|value| *value = draw(&mut random));
    });
}

/// Whole numbers from any collection of them.
fn numbers(each: &mut dyn Iterator<Item = &usize>) -> Vec<usize> {
    each.copied().collect()
}

impl<D: Dimension> From<&Array<f32, D>> for Tensor {
    fn from(array: &Array<f32, D>) -> Self {
        Self::of_array(array.view().into_dyn())
    }
}

impl<D: Dimension> From<Array<f32, D>> for Tensor {
    fn from(array: Array<f32, D>) -> Self {
        Self::from(&array)
    }
}

impl From<f32> for Tensor {
    fn from(value: f32) -> Self {
        Self::full([], value)
    }
}

impl From<&Tensor> for Tensor {
    fn from(tensor: &Tensor) -> Self {
        tensor.clone()
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to_array() {
            Ok(array) => write!(f, "Tensor of shape {:?}\n{array}", self.shape()),
            Err(error) => write!(f, "{error}"),
        }
    }
}

impl Sequential {
    /// What the network makes of a batch: (n, …input shape) to (n, …output shape), as a tensor that a loss of your own
    /// can go on from.
    ///
    /// Of a tensor of a [`Step`] it is recorded, with dropout and the batch's own statistics as in any training; the
    /// network then learns when the step is given it. Of a constant it is a prediction.
    ///
    /// Shapes that do not fit, and mistakes in the building of the network, are mistakes of the tensor.
    ///
    /// ```
    /// use latentlab::{Sequential, Tensor};
    ///
    /// let encoder = Sequential::input([1, 28, 28]).flatten().dense(16).relu().dense(2);
    /// assert_eq!(encoder.forward(&Tensor::zeros([5, 1, 28, 28])).shape(), [5, 2]);
    /// ```
    pub fn forward(&self, x: &Tensor) -> Tensor {
        self.forward_with(x, false)
    }

    /// As [`forward`](Self::forward), but that its weights get no gradient: what they would cost is saved. Through it,
    /// gradients reach what is before it; so a generator learns from a discriminator that stays as it is.
    pub fn forward_frozen(&self, x: &Tensor) -> Tensor {
        self.forward_with(x, true)
    }

    fn forward_with(&self, x: &Tensor, frozen: bool) -> Tensor {
        // Which of several networks it was, only its shapes can tell.
        let place = || format!("forward of the network from {:?} to {:?}", self.input_shape(), self.output_shape());
        let run = |values, rows| self.run(values, rows).map_err(|error| error.within(&place()));
        let result = || {
            let value = x.value()?;
            self.check()?;
            if value.shape.split_first().is_none_or(|(_, sample)| sample != self.input_shape()) {
                let expected = format!("(n, {})", text_without_brackets(self.input_shape()));
                let got = format!("{:?}", value.shape);
                return Err(Error::expected(ErrorKind::Shape, place(), expected, got));
            }
            let rows = value.shape[0];
            let shape = [&[rows], self.output_shape()].concat();
            limit::check("forward", "outputs", &shape)?;
            let Some((pass, part)) = common_pass(&[value]).map_err(|message| mistake("forward", message))? else {
                return Ok(Value {
                    variable: Variable::constant(Arc::new(run(value.values(), rows)?.into()), rows),
                    shape,
                    pass: None,
                    tracked: false,
                });
            };
            let mut run = if frozen { pass.clone().frozen() } else { pass.clone() };
            if frozen && !value.wants_gradient() {
                run = run.recording(false);
            }
            let x = channels_last(value.variable.clone(), self.input_shape(), &mut run);
            let (y, mistake) = run.attempt(|run| self.forward_on(x, run));
            if let Some(mistake) = mistake {
                return Err(mistake.within(&place()));
            }
            let mut variable = channels_first(y, self.output_shape(), &mut run);
            variable.moments = None;
            Ok(Value { variable, shape, pass: Some((pass, part)), tracked: false })
        };
        Tensor(result())
    }
}
