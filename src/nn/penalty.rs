//! Penalties on codes, activations and weights: what is added to a loss.

use std::fmt;

use ndarray::{ArrayD, IxDyn};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    function::{intern, known, single_value},
    layers::{Activation, Layer, LayerContext, Operation, channels_first},
    sequential::Sequential,
    tape::{Pass, Variable},
    tensor::{Step, Tensor},
};
use crate::error::{Error, ErrorKind, Result};

/// What is added to a loss to keep codes, activations or weights small or sparse: for
/// [`TrainConfig::code_penalty`](crate::TrainConfig::code_penalty),
/// [`TrainConfig::weight_penalty`](crate::TrainConfig::weight_penalty) and
/// [`Sequential::activity_penalty`](crate::Sequential::activity_penalty).
///
/// λ is its weight. Of codes and activations a, sums go over the values of a row, and are averaged over the rows of the
/// batch, as Keras' regularizers do; of weights w, sums go over all kernels, not over biases.
///
/// | penalty | of codes and activations | of weights |
/// |---|---|---|
/// | [`l1`](Self::l1) | λ Σ \|a\| | λ Σ \|w\| |
/// | [`l2`](Self::l2) | λ Σ a² | λ Σ w² |
/// | [`kl_sparsity`](Self::kl_sparsity) | λ Σ KL(ρ ‖ mean of a unit over the batch) | – |
/// | [`contractive`](Self::contractive) | λ ‖∂code/∂input‖² | – |
/// | [`of`](Self::of) | a function of yours | a function of yours, of each kernel |
///
/// ```
/// use latentlab::{Autoencoder, Dataset, Penalty, TrainConfig, train_ae};
///
/// let digits = Dataset::built_in_digits(200, 0)?;
/// let config = TrainConfig::new().epochs(1).code_penalty(Penalty::l1(1e-4)).weight_penalty(Penalty::l2(1e-5));
/// train_ae(&mut Autoencoder::tiny(2)?, &digits, &config)?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Penalty {
    kind: Kind,
    weight: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    L1,
    L2,
    KlSparsity { target: f64 },
    Contractive,
    Function(FunctionPenalty),
}

impl Penalty {
    /// A penalty of your own: a function of codes or activations (n, …shape of a row), feature maps as
    /// (n, channels, height, width), or of each kernel by itself, to a single value. Unlike λ above, its weight belongs
    /// into it. It sees a whole batch at once, which therefore goes through the network in one piece.
    ///
    /// A plain `fn`, so that it stays a value; `name` is how messages call it. A network with an
    /// [`activity_penalty`](Sequential::activity_penalty) of it is saved with that name, as one with a
    /// [`map`](Sequential::map) is: to load it, the function must be known, because a network has been built with it
    /// or by [`register_layer`](Sequential::register_layer).
    ///
    /// ```
    /// use latentlab::{Autoencoder, Dataset, Penalty, Tensor, TrainConfig, train_ae};
    ///
    /// /// Codes whose numbers vary independently: the squares of their covariances.
    /// fn covariance(codes: &Tensor) -> Tensor {
    ///     let centred = codes - codes.mean_axis(0);
    ///     let covariance = centred.transpose().matmul(&centred) / codes.shape()[0] as f32;
    ///     (&covariance * (1.0 - Tensor::one_hot(&[0, 1, 2, 3], 4))).square().sum() * 0.01
    /// }
    ///
    /// let digits = Dataset::built_in_digits(200, 0)?;
    /// let config = TrainConfig::new().epochs(1).code_penalty(Penalty::of("covariance", covariance));
    /// train_ae(&mut Autoencoder::tiny(4)?, &digits, &config)?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn of(name: &'static str, function: fn(&Tensor) -> Tensor) -> Self {
        Sequential::register_layer(name, function);
        Self { kind: Kind::Function(FunctionPenalty { name, function: Some(function) }), weight: 1.0 }
    }

    /// λ Σ |a|: many values become 0.
    pub fn l1(weight: f64) -> Self {
        Self { kind: Kind::L1, weight }
    }

    /// λ Σ a².
    pub fn l2(weight: f64) -> Self {
        Self { kind: Kind::L2, weight }
    }

    /// λ Σⱼ ρ ln(ρ / ρ̂ⱼ) + (1 − ρ) ln((1 − ρ) / (1 − ρ̂ⱼ)), ρ̂ⱼ being the mean of unit j over the batch and ρ the
    /// `target` in (0, 1), usually 0.05 (Ng 2011, "Sparse autoencoder", CS294A). For activations in (0, 1), as a
    /// sigmoid makes them; means outside [10⁻⁶, 1 − 10⁻⁶] are clipped. The batch goes through the network in one piece.
    pub fn kl_sparsity(target: f64, weight: f64) -> Self {
        Self { kind: Kind::KlSparsity { target }, weight }
    }

    /// λ times the squared Frobenius norm of the Jacobian of the code by the input, averaged over the rows (Rifai et
    /// al. 2011, "Contractive auto-encoders", equation 7). For codes of an encoder that is one dense layer with at most
    /// an activation after it (linear, sigmoid, tanh, ReLU or leaky ReLU): there the Jacobian is known in closed form,
    /// as the paper uses it. Deeper encoders need second derivatives, and are refused.
    pub fn contractive(weight: f64) -> Self {
        Self { kind: Kind::Contractive, weight }
    }

    /// Refuses a weight or a target out of range; `place` is the setting.
    pub(crate) fn check(self, place: &str) -> Result<()> {
        if !(self.weight >= 0.0 && self.weight.is_finite()) {
            return Err(Error::argument(place, "a weight of at least 0", self.weight));
        }
        match self.kind {
            Kind::KlSparsity { target } if !(target > 0.0 && target < 1.0) => {
                Err(Error::argument(place, "a target activation in (0, 1)", target))
            }
            _ => Ok(()),
        }
    }

    /// Refuses what cannot be a penalty on weights.
    pub(crate) fn check_for_weights(self, place: &str) -> Result<()> {
        self.check(place)?;
        match self.kind {
            Kind::L1 | Kind::L2 | Kind::Function(_) => Ok(()),
            Kind::KlSparsity { .. } => Err(Error::argument(place, "l1 or l2", "kl_sparsity, which is for activations")),
            Kind::Contractive => Err(Error::argument(place, "l1 or l2", "contractive, which is for codes")),
        }
    }

    /// Refuses a contractive penalty on the codes of an encoder whose Jacobian is not known in closed form.
    pub(crate) fn check_for_codes(self, place: &str, encoder: &Sequential) -> Result<()> {
        self.check(place)?;
        if self.kind == Kind::Contractive && Jacobian::of(encoder).is_none() {
            let got = "another one, whose Jacobian needs second derivatives";
            let expected = "an encoder of one dense layer and at most a sigmoid, tanh, relu or leaky_relu after it";
            return Err(Error::expected(ErrorKind::Shape, place, expected, got));
        }
        self.check_function(encoder.output_shape())
    }

    /// Refuses a function that panics or makes a mistake with two rows of zeros of this shape.
    fn check_function(self, shape: &[usize]) -> Result<()> {
        self.of_rows(&Tensor::zeros([&[2], shape].concat())).map(|_| ())
    }

    /// Whether it is no mean over rows.
    pub(crate) fn needs_whole_batch(self) -> bool {
        matches!(self.kind, Kind::KlSparsity { .. } | Kind::Function(_))
    }

    /// The penalty on a batch (n, …) of activations.
    fn of_rows(self, activations: &Tensor) -> Result<Tensor> {
        let rows = activations.flatten();
        let penalty = match self.kind {
            Kind::L1 => rows.abs().sum_axis(-1).mean(),
            Kind::L2 => rows.square().sum_axis(-1).mean(),
            Kind::KlSparsity { target } => {
                let (target, mean) = (target as f32, rows.mean_axis(0).clamp(1e-6, 1.0 - 1e-6));
                let entropy = target * target.ln() + (1.0 - target) * (1.0 - target).ln();
                (entropy - mean.ln() * target - (1.0 - &mean).ln() * (1.0 - target)).sum()
            }
            // Of activations without an encoder: refused before.
            Kind::Contractive => Tensor::from(0.0),
            Kind::Function(function) => return function.call(activations),
        };
        Ok(penalty * self.weight as f32)
    }

    /// Adds the penalty on these activations, for rows of this shape, to the loss of the pass.
    pub(crate) fn add(self, activations: &Variable, shape: &[usize], pass: &mut Pass) {
        let share = pass.share(activations.rows) as f32;
        let activations = match self.kind {
            Kind::Function(_) => channels_first(activations.clone(), shape, pass),
            _ => activations.clone(),
        };
        let shape = [&[activations.rows], shape].concat();
        match self.of_rows(&Tensor::of(activations, shape, pass)) {
            Ok(penalty) => pass.add_penalty(penalty * share),
            Err(error) => pass.fail(error),
        }
    }

    /// The same on codes, of which a contractive one needs the encoder.
    pub(crate) fn add_of_codes(self, codes: &Variable, encoder: &Sequential, pass: &mut Pass) {
        match Jacobian::of(encoder) {
            Some(jacobian) if self.kind == Kind::Contractive => {
                let scale = pass.share(codes.rows) * self.weight;
                let shape = vec![codes.rows, encoder.output_shape()[0]];
                let norm = jacobian.squared_norm(&Tensor::of(codes.clone(), shape, pass), encoder, pass);
                pass.add_penalty(norm * scale as f32);
            }
            _ => self.add(codes, encoder.output_shape(), pass),
        }
    }

    /// The penalty on weights of this shape, and what it adds to their gradient.
    pub(crate) fn of_weights(self, weights: &[f32], shape: &[usize], gradient: &mut [f32]) -> Result<f64> {
        let scale = self.weight as f32;
        let pairs = gradient.iter_mut().zip(weights);
        let sum = match self.kind {
            Kind::Function(function) => return function.of_weights(weights, shape, gradient),
            Kind::L1 => pairs
                .map(|(g, w)| {
                    *g += scale * if *w == 0.0 { 0.0 } else { w.signum() };
                    f64::from(w.abs())
                })
                .sum::<f64>(),
            _ => pairs
                .map(|(g, w)| {
                    *g += 2.0 * scale * w;
                    f64::from(*w).powi(2)
                })
                .sum::<f64>(),
        };
        Ok(self.weight * sum)
    }
}

/// See [`Penalty::of`].
#[derive(Clone, Copy)]
struct FunctionPenalty {
    name: &'static str,
    /// None if it came from a file and is not known here.
    function: Option<fn(&Tensor) -> Tensor>,
}

impl FunctionPenalty {
    fn call(self, x: &Tensor) -> Result<Tensor> {
        let place = format!("the penalty, {}", self.name);
        let Some(function) = self.function else {
            let error = Error::expected(ErrorKind::Weights, place, "a function known by this name", "none");
            let name = self.name;
            return Err(error.hint(format!("Call Sequential::register_layer({name:?}, your function) before loading")));
        };
        single_value(&place, format!("a tensor of shape {:?}", x.shape()), || function(x))
    }

    fn of_weights(self, weights: &[f32], shape: &[usize], gradient: &mut [f32]) -> Result<f64> {
        let step = Step::new(0);
        let array = ArrayD::from_shape_vec(IxDyn(shape), weights.to_vec()).map_err(Error::other)?;
        let weights = step.tracked_input(&array);
        let gradients = step.backward(&self.call(&weights)?);
        let gradients = gradients.map_err(|error| error.within(&format!("the penalty, {}", self.name)))?;
        let added = gradients.of_input(&weights)?;
        gradient.iter_mut().zip(&added).for_each(|(sum, g)| *sum += g);
        Ok(gradients.loss())
    }
}

impl fmt::Debug for FunctionPenalty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for FunctionPenalty {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Serialize for FunctionPenalty {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.name.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for FunctionPenalty {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = intern(&String::deserialize(deserializer)?);
        Ok(Self { name, function: known(name) })
    }
}

/// The Jacobian of an encoder of one dense layer, in closed form: ∂hⱼ/∂xᵢ = f′(hⱼ) · Wᵢⱼ.
struct Jacobian {
    /// The name of the weights W.
    weights: String,
    activation: Option<Activation>,
}

impl Jacobian {
    fn of(encoder: &Sequential) -> Option<Self> {
        let mut layers =
            encoder.nodes().iter().enumerate().filter(|(_, node)| !matches!(node.layer, Layer::Flatten(_)));
        let (index, dense) = layers.next()?;
        let activation = match layers.next().map(|(_, node)| &node.layer) {
            None => None,
            Some(Layer::Activation(activation)) => Some(*activation),
            Some(_) => return None,
        };
        let known = activation.is_none_or(Activation::has_slope_by_output);
        let fits = matches!(dense.layer, Layer::Dense(_)) && layers.next().is_none() && known;
        fits.then(|| Self { weights: format!("{}.weight", index + 1), activation })
    }

    /// ‖∂h/∂x‖² averaged over the rows.
    fn squared_norm(&self, h: &Tensor, encoder: &Sequential, pass: &Pass) -> Tensor {
        let squares = Tensor::weights(encoder, &self.weights, pass).square().sum_axis(0);
        let slope = match self.activation {
            None => h.ones_like(),
            Some(Activation::Sigmoid) => h * (1.0 - h),
            Some(Activation::Tanh) => 1.0 - h.square(),
            Some(activation) => {
                let below = activation.slope().unwrap_or(0.0);
                h.greater(&Tensor::from(0.0)) * (1.0 - below) + below
            }
        };
        (slope.square() * squares).sum_axis(-1).mean()
    }
}

impl Sequential {
    /// Adds a [`Penalty`] on what comes out of the layer before it to the loss of every training; values and shapes
    /// stay as they are (Keras' `ActivityRegularization`).
    ///
    /// ```
    /// use latentlab::{Penalty, Sequential};
    ///
    /// let sparse = Penalty::kl_sparsity(0.05, 0.1);
    /// let encoder = Sequential::input([784]).dense(64).sigmoid().activity_penalty(sparse).build()?;
    /// assert_eq!(encoder.output_shape(), [64]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn activity_penalty(self, penalty: Penalty) -> Self {
        self.push(ActivityPenalty { penalty })
    }
}

/// See [`Sequential::activity_penalty`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ActivityPenalty {
    penalty: Penalty,
}

impl Operation for ActivityPenalty {
    fn name(&self) -> &'static str {
        "activity_penalty"
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        if self.penalty.kind == Kind::Contractive {
            return Err("expected l1, l2 or kl_sparsity, got contractive, which is for codes: take \
                        TrainConfig::code_penalty"
                .into());
        }
        let checked = self.penalty.check("its penalty").and_then(|()| self.penalty.check_function(input));
        checked.map_err(|error| error.to_string())?;
        Ok(input.to_vec())
    }

    fn needs_whole_batch(&self) -> bool {
        self.penalty.needs_whole_batch()
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        if pass.training {
            self.penalty.add(&x, context.input, pass);
        }
        x
    }
}
