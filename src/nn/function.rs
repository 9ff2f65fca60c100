//! Layers and losses that are functions of tensors.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    init::ParameterSpec,
    layers::{LayerContext, Operation, channels_first, channels_last},
    loss::Loss,
    sequential::Sequential,
    tape::{Pass, Variable},
    tensor::Tensor,
};
use crate::{
    engine::{Buffer, count},
    error::{Error, ErrorKind, Result},
    panics::caught,
};

type LossFunction = fn(&Tensor, &Tensor) -> Tensor;

/// The value of a loss or a penalty of the user's, which gets this `input`; its panic is a mistake.
pub(super) fn single_value(place: &str, input: String, call: impl FnOnce() -> Tensor) -> Result<Tensor> {
    let value = caught(call).map_err(|panic| {
        Error::argument(place, "a function that gives a value", format!("a panic with {input}: {panic}"))
    })?;
    value.item().map_err(|error| error.within(place))?;
    Ok(value)
}

/// What a layer's function computes from: the input, or the input and the layer's weights.
#[derive(Clone, Copy)]
enum Function {
    OfInput(fn(&Tensor) -> Tensor),
    OfInputAndWeights(fn(&Tensor, &[Tensor]) -> Tensor),
}

impl Function {
    fn call(self, x: &Tensor, weights: &[Tensor]) -> Tensor {
        match self {
            Self::OfInput(function) => function(x),
            Self::OfInputAndWeights(function) => function(x, weights),
        }
    }
}

/// The functions of layers by name, for networks that are read from files.
static FUNCTIONS: Mutex<BTreeMap<&'static str, Function>> = Mutex::new(BTreeMap::new());

/// The function of a tensor that is known by this name.
pub(super) fn known(name: &str) -> Option<fn(&Tensor) -> Tensor> {
    match FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
        Some(Function::OfInput(function)) => Some(*function),
        _ => None,
    }
}

fn register(name: &'static str, function: Function) {
    FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner).insert(name, function);
}

/// The same text for as long as the program runs; each text is kept once.
pub(super) fn intern(text: &str) -> &'static str {
    static TEXTS: Mutex<BTreeMap<String, &'static str>> = Mutex::new(BTreeMap::new());
    let mut texts = TEXTS.lock().unwrap_or_else(PoisonError::into_inner);
    texts.entry(text.into()).or_insert_with(|| String::leak(text.into()))
}

impl Sequential {
    /// A layer of your own: a function of [tensors](Tensor) without weights. It gets (n, …input shape) and gives
    /// (n, …output shape), whatever n is, and must treat each row by itself: a batch goes through it in parts. Inside a
    /// function, feature maps are (n, channels, height, width).
    ///
    /// `name` is how summary and messages call it. The function is called once here, with two rows of zeros, to see
    /// what shape it makes. A network with such a layer is saved with the layer's name; to load it, the function must
    /// be known by that name in the program: because a network has been built with it, or by
    /// [`register_layer`](Self::register_layer).
    ///
    /// # Errors
    /// [`build`](Self::build) and all that takes a network return [`ErrorKind::Shape`] if the function panics, carries
    /// a mistake or does not keep the rows; so do predictions and trainings if it does so only then.
    ///
    /// ```
    /// use latentlab::{Sequential, Tensor};
    ///
    /// /// A smooth step between 0 and 1.
    /// fn soft_step(x: &Tensor) -> Tensor {
    ///     (x / (x.abs() + 1.0)) * 0.5 + 0.5
    /// }
    ///
    /// let network = Sequential::input([3]).dense(16).map("soft_step", soft_step).dense(2).build()?;
    /// assert_eq!(network.output_shape(), [2]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn map(self, name: &'static str, function: fn(&Tensor) -> Tensor) -> Self {
        let function = Function::OfInput(function);
        register(name, function);
        self.push(FunctionLayer { name, function: Some(function), weights: Vec::new() })
    }

    /// As [`map`](Self::map), with weights of its own, which the function gets in their order: names and shapes. They
    /// are drawn, trained and saved as those of any layer; for [`Init`](crate::Init), the last size of a shape counts
    /// the outputs, the others the inputs.
    ///
    /// ```
    /// use latentlab::{Sequential, Tensor};
    ///
    /// /// The squared distance of each code to each of ten centres (n, 10).
    /// fn distances(codes: &Tensor, weights: &[Tensor]) -> Tensor {
    ///     (codes.unsqueeze(1) - &weights[0]).square().sum_axis(-1)
    /// }
    ///
    /// let network = Sequential::input([784]).dense(2).map_with("distances", [("centres", vec![10, 2])], distances);
    /// assert_eq!(network.build()?.weight_names(), ["1.weight", "1.bias", "2.centres"]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn map_with(
        self,
        name: &'static str,
        weights: impl IntoIterator<Item = (&'static str, Vec<usize>)>,
        function: fn(&Tensor, &[Tensor]) -> Tensor,
    ) -> Self {
        let function = Function::OfInputAndWeights(function);
        register(name, function);
        let weights = weights.into_iter().map(|(name, shape)| (name.to_string(), shape)).collect();
        self.push(FunctionLayer { name, function: Some(function), weights })
    }

    /// Makes the function of [`map`](Self::map) known by its name, so that networks with such a layer can be loaded.
    pub fn register_layer(name: &'static str, function: fn(&Tensor) -> Tensor) {
        register(name, Function::OfInput(function));
    }

    /// Makes the function of [`map_with`](Self::map_with) known by its name.
    pub fn register_layer_with(name: &'static str, function: fn(&Tensor, &[Tensor]) -> Tensor) {
        register(name, Function::OfInputAndWeights(function));
    }
}

/// See [`Sequential::map`].
#[derive(Clone)]
pub(crate) struct FunctionLayer {
    name: &'static str,
    /// None if it came from a file and is not known here.
    function: Option<Function>,
    weights: Vec<(String, Vec<usize>)>,
}

/// How many rows a function is tried with.
const ROWS: usize = 2;

impl FunctionLayer {
    /// What the function makes of the input; its panic is a mistake.
    fn call(&self, x: &Tensor, weights: &[Tensor]) -> Result<Tensor, String> {
        let Some(function) = self.function else {
            let register = if self.weights.is_empty() { "register_layer" } else { "register_layer_with" };
            return Err(format!(
                "expected a function known by this name, got none; call Sequential::{register}({:?}, your function) \
                 before loading",
                self.name
            ));
        };
        caught(|| function.call(x, weights))
            .map_err(|panic| format!("its function panicked with an input of shape {:?}: {panic}", x.shape()))
    }
}

fn with_rows(rows: usize, shape: &[usize]) -> Vec<usize> {
    [&[rows], shape].concat()
}

impl Operation for FunctionLayer {
    fn name(&self) -> &'static str {
        self.name
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        if let Some((name, shape)) = self.weights.iter().find(|(_, shape)| shape.contains(&0)) {
            return Err(format!("expected weights {name} of positive sizes, got {shape:?}"));
        }
        let shapes = self.weights.iter().map(|(_, shape)| shape.clone()).chain([with_rows(ROWS, input)]);
        for shape in shapes {
            count("a tensor", "one of its arguments", &shape).map_err(|error| error.to_string())?;
        }
        let mut pass = Pass::prediction();
        let mut zeros = |shape: Vec<usize>| {
            let values = Arc::new(Buffer::zeros(shape.iter().product()));
            let variable = pass.input(values, shape.first().copied().unwrap_or(1));
            Tensor::of(variable, shape, &pass)
        };
        let weights: Vec<Tensor> = self.weights.iter().map(|(_, shape)| zeros(shape.clone())).collect();
        let output = self.call(&zeros(with_rows(ROWS, input)), &weights)?;
        output.check().map_err(|error| error.to_string())?;
        match output.shape() {
            [ROWS, rest @ ..] if !rest.is_empty() && !rest.contains(&0) => Ok(rest.to_vec()),
            shape => {
                let of = with_rows(ROWS, input);
                Err(format!("expected ({ROWS}, …) of its function for an input of shape {of:?}, got {shape:?}"))
            }
        }
    }

    fn parameters(&self, _input: &[usize]) -> Vec<ParameterSpec> {
        let spec = |(name, shape): &(String, Vec<usize>)| {
            let outputs = shape.last().copied().unwrap_or(1);
            let inputs = shape.iter().product::<usize>() / outputs;
            ParameterSpec::weight(intern(name), shape.clone(), inputs, outputs)
        };
        self.weights.iter().map(spec).collect()
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let rows = x.rows;
        let x = channels_first(x, context.input, pass);
        let x = Tensor::of(x, with_rows(rows, context.input), pass);
        let weights = self.weights.iter().enumerate().map(|(index, (_, shape))| {
            Tensor::learned(context.parameter(index, pass), &context.weights[index], shape, pass)
        });
        let weights: Vec<Tensor> = weights.collect();
        let output = self.call(&x, &weights).map_err(|message| Error::new(ErrorKind::Shape, "its output", message));
        let checked = output.and_then(|output| output.into_variable(pass)).and_then(|(variable, shape)| {
            let expected = with_rows(rows, context.output);
            if shape != expected {
                let (expected, got) =
                    (format!("shape {expected:?}"), format!("{shape:?} for an input of {:?}", x.shape()));
                return Err(Error::expected(ErrorKind::Shape, "its output", expected, got));
            }
            Ok(variable)
        });
        match checked {
            Ok(variable) => channels_last(variable, context.output, pass),
            Err(error) => pass.failed(error, rows, context.output.iter().product()),
        }
    }
}

impl fmt::Debug for FunctionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for FunctionLayer {
    fn eq(&self, other: &Self) -> bool {
        (self.name, &self.weights) == (other.name, &other.weights)
    }
}

/// A layer of functions in a file.
#[derive(Serialize, Deserialize)]
struct Saved {
    name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    weights: Vec<(String, Vec<usize>)>,
}

impl Serialize for FunctionLayer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Saved { name: self.name.into(), weights: self.weights.clone() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FunctionLayer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Saved { name, weights } = Saved::deserialize(deserializer)?;
        let name = intern(&name);
        let known = FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        let function = known.filter(|known| matches!(known, Function::OfInput(_)) == weights.is_empty());
        Ok(Self { name, function, weights })
    }
}

/// A loss made by [`Loss::of`].
#[derive(Clone, Copy)]
pub struct FunctionLoss {
    pub(super) name: &'static str,
    function: LossFunction,
    /// Whether it is no mean over rows.
    pub(super) whole_batch: bool,
}

impl Loss {
    /// A loss of your own: a function of the output and the target, both (n, …shape of a sample), to a single value. It
    /// must be a mean over the rows, because a batch goes through a network in parts, whose losses are weighted by
    /// their rows; see [`of_batch`](Self::of_batch) for one that is not. `name` is how figures call it.
    ///
    /// A plain `fn`, so that a [`TrainConfig`](crate::TrainConfig) stays a value. Before a training it is called once,
    /// with zeros: a mistake or a panic of it is an error of the training, and so it is later.
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, Loss, Tensor, TrainConfig, train_ae};
    ///
    /// /// The squared error where there is ink.
    /// fn masked(output: &Tensor, target: &Tensor) -> Tensor {
    ///     ((output - target) * target.sign()).square().mean()
    /// }
    ///
    /// let digits = Dataset::built_in_digits(200, 0)?;
    /// let config = TrainConfig::new().epochs(2).batch_size(50).loss(Loss::of("masked", masked));
    /// let history = train_ae(&mut Autoencoder::tiny(2)?, &digits, &config)?;
    /// assert!(history.loss[1] < history.loss[0]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn of(name: &'static str, function: fn(&Tensor, &Tensor) -> Tensor) -> Self {
        Self::Function(FunctionLoss { name, function, whole_batch: false })
    }

    /// As [`of`](Self::of), for a loss that needs to see the whole batch at once, such as one with statistics of it:
    /// the batch then goes through the network in one piece.
    pub fn of_batch(name: &'static str, function: fn(&Tensor, &Tensor) -> Tensor) -> Self {
        Self::Function(FunctionLoss { name, function, whole_batch: true })
    }

    /// Whether a batch may not be split for it.
    pub(crate) fn needs_whole_batch(self) -> bool {
        matches!(self, Self::Function(loss) if loss.whole_batch)
    }
}

impl FunctionLoss {
    /// Refuses a function that panics or makes a mistake with two rows of zeros of this shape.
    pub(crate) fn check(self, shape: &[usize]) -> Result<()> {
        let mut pass = Pass::prediction();
        let output = pass.input(Arc::new(Buffer::zeros(ROWS * shape.iter().product::<usize>())), ROWS);
        let target = output.values.clone();
        self.call(output, shape, target, &mut pass).map(|_| ())
    }

    fn call(self, output: Variable, shape: &[usize], target: Arc<Buffer>, pass: &mut Pass) -> Result<Tensor> {
        let shape = with_rows(output.rows, shape);
        let target = Tensor::of(pass.input(target, output.rows), shape.clone(), pass);
        let output = Tensor::of(output, shape.clone(), pass);
        let input = format!("an output and a target of shape {shape:?}");
        single_value(&format!("the loss, {}", self.name), input, || (self.function)(&output, &target))
    }

    /// See [`Loss::record`].
    pub(super) fn record(
        self,
        output: Variable,
        shape: &[usize],
        target: &Buffer,
        share: f64,
        pass: &mut Pass,
    ) -> (f64, Variable) {
        let loss = self
            .call(output, shape, Arc::new(target.clone()), pass)
            .and_then(|loss| (loss * share as f32).into_variable(pass));
        match loss {
            Ok((variable, _)) => (f64::from(variable.values[0]), variable),
            Err(error) => (f64::NAN, pass.failed(error, 1, 1)),
        }
    }
}

impl fmt::Debug for FunctionLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for FunctionLoss {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && std::ptr::fn_addr_eq(self.function, other.function)
    }
}

impl Eq for FunctionLoss {}
