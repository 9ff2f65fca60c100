//! Layers and losses that are functions of dfdx's own tensors, with dfdx's backward pass.

use std::{fmt, sync::Arc};

use dfdx::{
    shapes::{HasShape, Shape},
    tensor::{Cpu, NoneTape, OwnedTape, PutTape, SplitTape, Tape, Tensor, TensorFromVec},
    tensor_ops::Backward,
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    layers::{LayerContext, Operation, shape_text},
    loss::Loss,
    sequential::Sequential,
    tape::{Pass, Variable},
};
use crate::{
    engine::Buffer,
    error::{Error, ErrorKind, Result},
    panics::caught,
};

/// dfdx's tensor as it goes through a function of [`Sequential::dfdx`] or [`Loss::dfdx`]: (rows, values of a row) with
/// dfdx's tape, or with another shape (`DfdxTensor<()>` is a single value) or without a tape (`DfdxTensor<(usize,
/// usize), NoneTape>`).
pub type DfdxTensor<S = (usize, usize), T = OwnedTape<f32, Cpu>> = Tensor<S, f32, Cpu, T>;

type LayerFunction = fn(DfdxTensor) -> DfdxTensor;
type LossFunction = fn(DfdxTensor, DfdxTensor<(usize, usize), NoneTape>) -> DfdxTensor<()>;

impl Sequential {
    /// A layer that is a function of dfdx's tensors, differentiated by dfdx: `[k]` values a row to as many as the
    /// function makes of them. It must treat each row by itself: a batch goes through it in parts. `name` is how the
    /// summary calls it.
    ///
    /// The function is called once here, with two rows of zeros, to see what shape it makes. It runs on one thread for
    /// each part of a batch and copies its input and output, so it is slower than the layers of this crate. It is a
    /// plain `fn`, so that a network stays a value; such a network cannot be saved, because a file cannot hold a
    /// function.
    ///
    /// # Errors
    /// [`build`](Self::build) and all that takes a network return [`ErrorKind::Shape`](crate::ErrorKind::Shape) if the
    /// input is not flat, or the function panics or does not give two rows; so do predictions and trainings if it
    /// panics, or gives another shape, only then.
    ///
    /// ```
    /// use latentlab::{DfdxTensor, Sequential, dfdx::tensor::WithEmptyTape};
    ///
    /// /// x · sigmoid(x)
    /// fn swish(x: DfdxTensor) -> DfdxTensor {
    ///     x.with_empty_tape().sigmoid() * x
    /// }
    ///
    /// let network = Sequential::input([1, 28, 28]).flatten().dense(16).dfdx("swish", swish).dense(2).build()?;
    /// assert_eq!(network.output_shape(), [2]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn dfdx(self, name: &'static str, function: fn(DfdxTensor) -> DfdxTensor) -> Self {
        self.push(DfdxLayer { name, function })
    }
}

impl Loss {
    /// A loss that is a function of the output and the target, both (rows, values of a row), differentiated by dfdx. It
    /// must be a mean over the rows: a batch goes through the network in parts, whose losses are weighted by their
    /// rows. `name` is how figures call it. Before a training the function is called once, with zeros: one that panics
    /// is an error of the training.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, DfdxTensor, Loss, TrainConfig, train_ae};
    /// use latentlab::dfdx::{tensor::NoneTape, tensor_ops::MeanTo};
    ///
    /// fn absolute_error(output: DfdxTensor, target: DfdxTensor<(usize, usize), NoneTape>) -> DfdxTensor<()> {
    ///     (output - target).abs().mean()
    /// }
    ///
    /// let digits = Dataset::built_in_digits(200, 0)?;
    /// let config = TrainConfig::new().epochs(2).batch_size(50).loss(Loss::dfdx("absolute error", absolute_error));
    /// let history = train_ae(&mut Autoencoder::tiny(2)?, &digits, &config)?;
    /// assert!(history.loss[1] < history.loss[0]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    #[expect(clippy::type_complexity, reason = "a reader sees what to write")]
    pub fn dfdx(
        name: &'static str,
        function: fn(DfdxTensor, DfdxTensor<(usize, usize), NoneTape>) -> DfdxTensor<()>,
    ) -> Self {
        Self::Dfdx(DfdxLoss { name, function })
    }
}

/// See [`Sequential::dfdx`].
#[derive(Clone, Copy)]
pub(crate) struct DfdxLayer {
    name: &'static str,
    function: LayerFunction,
}

/// A loss made by [`Loss::dfdx`].
#[derive(Clone, Copy)]
pub struct DfdxLoss {
    pub(super) name: &'static str,
    function: LossFunction,
}

impl DfdxLoss {
    /// Refuses a function that panics with two rows of zeros of this width.
    pub(crate) fn check(self, width: usize) -> Result<()> {
        let zeros = || tensor(vec![0.0; ROWS * width], ROWS, width);
        let loss = || (self.function)(zeros().put_tape(OwnedTape::default()), zeros());
        caught(loss).map(drop).map_err(|panic| self.panicked([ROWS, width], &panic))
    }

    fn panicked(self, [rows, width]: [usize; 2], panic: &str) -> Error {
        let got = format!("a panic with an output and a target of shape ({rows}, {width}): {panic}");
        Error::argument(format!("the loss, {}", self.name), "a function that gives a value", got)
    }

    /// See [`Loss::record`].
    pub(super) fn record(self, output: Variable, target: &Buffer, share: f64, pass: &mut Pass) -> (f64, Variable) {
        let columns = output.values.len() / output.rows.max(1);
        let target = tensor(target.to_vec(), output.rows, columns);
        let run = || run(&output, columns, move |output| (self.function)(output, target));
        let (loss, _, backward) = match caught(run) {
            Ok(made) => made,
            Err(panic) => {
                let error = self.panicked([output.rows, columns], &panic);
                return (f64::NAN, pass.failed(error, 1, 1));
            }
        };
        let mean = share * f64::from(loss[0]);
        let needs_gradient = output.needs_gradient;
        let loss =
            pass.record(Arc::new(vec![mean as f32].into()), 1, needs_gradient, move |g, gradients| {
                match backward(&[g[0] * share as f32]) {
                    Ok(gradient) => gradients.add_to(&output, gradient),
                    Err(panic) => {
                        gradients.fail(self.panicked([output.rows, columns], &format!("(backwards) {panic}")))
                    }
                }
            });
        (mean, loss)
    }
}

impl Operation for DfdxLayer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let [columns] = *input else {
            return Err(format!("expected a flat input [k], got {}; put .flatten() before it", shape_text(input)));
        };
        let zeros = tensor(vec![0.0; ROWS * columns], ROWS, columns).put_tape(OwnedTape::default());
        let output = caught(|| (self.function)(zeros))
            .map_err(|panic| format!("its function panicked with an input of shape ({ROWS}, {columns}): {panic}"))?;
        match *output.shape() {
            (ROWS, outputs) if outputs > 0 => Ok(vec![outputs]),
            shape => Err(format!("expected ({ROWS}, k) of its function for an input of {ROWS} rows, got {shape:?}")),
        }
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let (rows, needs_gradient) = (x.rows, x.needs_gradient);
        let (columns, outputs) = (context.input[0], context.output[0]);
        let made = caught(|| run(&x, columns, self.function))
            .map_err(|panic| format!("a panic with an input of shape ({rows}, {columns}): {panic}"));
        let made =
            made.and_then(|made| if made.1 == (rows, outputs) { Ok(made) } else { Err(format!("{:?}", made.1)) });
        let (y, _, backward) = match made {
            Ok(made) => made,
            Err(got) => {
                let expected = format!("shape ({rows}, {outputs})");
                return pass.failed(Error::expected(ErrorKind::Shape, "its output", expected, got), rows, outputs);
            }
        };
        let name = self.name;
        pass.record(Arc::new(y.into()), rows, needs_gradient, move |g, gradients| match backward(&g) {
            Ok(gradient) => gradients.add_to(&x, gradient),
            Err(panic) => {
                let place = format!("the layer {name}, its backward pass");
                let got = format!("a panic with an input of shape ({rows}, {columns}): {panic}");
                gradients.fail(Error::expected(ErrorKind::Shape, place, "a gradient", got));
            }
        })
    }
}

/// How many rows a function is tried with.
const ROWS: usize = 2;

fn tensor(values: Vec<f32>, rows: usize, columns: usize) -> DfdxTensor<(usize, usize), NoneTape> {
    Cpu::default().tensor_from_vec(values, (rows, columns))
}

/// From the gradient of a result to that of the input, or to what its panic says.
type BackwardPass = Box<dyn FnOnce(&[f32]) -> Result<Buffer, String>>;

/// What a function makes of the values, its shape, and the backward pass. The function has a tape of its own, so that
/// nothing that it does with it can harm ours.
fn run<S: Shape, F: FnOnce(DfdxTensor) -> DfdxTensor<S>>(
    x: &Variable,
    columns: usize,
    function: F,
) -> (Vec<f32>, S, BackwardPass) {
    let input = tensor(x.values.to_vec(), x.rows, columns);
    let (output, mut tape) = function(input.clone().put_tape(OwnedTape::default())).split_tape();
    let (values, shape) = (output.as_vec(), *output.shape());
    let backward: BackwardPass = Box::new(move |g| {
        let g = g.to_vec();
        // Recorded last, run first.
        tape.add_backward_op(move |gradients| {
            **gradients.get_or_alloc_mut(&output)? = g;
            Ok(())
        });
        let scalar: DfdxTensor<(), _> = Cpu::default().tensor_from_vec(vec![0.0], ());
        let run = || {
            scalar.put_tape(tape).try_backward().and_then(|mut gradients| {
                // Zeros if the function has dropped its tape.
                gradients.get_or_alloc_mut(&input).map(|gradient| std::mem::take(&mut **gradient))
            })
        };
        caught(run)?.map(Buffer::from).map_err(|error| format!("{error:?}"))
    });
    (values, shape, backward)
}

macro_rules! by_name {
    ($type:ty) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name)
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &Self) -> bool {
                self.name == other.name && std::ptr::fn_addr_eq(self.function, other.function)
            }
        }
    };
}
by_name!(DfdxLayer);
by_name!(DfdxLoss);
impl Eq for DfdxLoss {}

impl Serialize for DfdxLayer {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        let name = self.name;
        Err(serde::ser::Error::custom(format!(
            "the layer {name} is a function (Sequential::dfdx), which a file cannot hold; build the network from the \
             layers of the crate to save it"
        )))
    }
}

impl<'de> Deserialize<'de> for DfdxLayer {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("a layer that is a function cannot be read"))
    }
}
