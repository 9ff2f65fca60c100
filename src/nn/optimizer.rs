//! The optimizers as values: what a student chooses. Their steps are in `optimizer_state.rs`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// How the weights follow their gradients, with PyTorch's formulas and defaults.
///
/// In the formulas g is the gradient plus λ·w (the weight decay λ, but for AdamW and Lion), η the
/// [`learning_rate`](crate::TrainConfig::learning_rate), m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) at step t.
///
/// | optimizer | step | defaults | η in PyTorch, Keras |
/// |---|---|---|---|
/// | [`adam`](Self::adam), the default | m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − η·m̂ / (√v̂ + ε) | β 0.9 and 0.999, ε 10⁻⁸, λ 0 | 0.001, 0.001 |
/// | [`adamw`](Self::adamw) | w ← (1 − ηλ)·w, then Adam's without λ in g | as Adam's, λ 0.01 | 0.001, 0.001 |
/// | [`adamax`](Self::adamax) | m as Adam's, u ← max(β₂u, \|g\| + ε), w ← w − η·m̂ / u | as Adam's | 0.002, 0.001 |
/// | [`adagrad`](Self::adagrad) | s ← s + g², w ← w − η·g / (√s + ε) | ε 10⁻¹⁰, λ 0 | 0.01, 0.001 |
/// | [`radam`](Self::radam) | Adam's, times r(t); w ← w − η·m̂ in the first steps | as Adam's | 0.001, none |
/// | [`nadam`](Self::nadam) | Adam's, with Nesterov's momentum in m̂ | as Adam's, momentum decay 0.004 | 0.002, 0.001 |
/// | [`rmsprop`](Self::rmsprop) | v ← αv + (1−α)g², b ← μb + g / (√v + ε), w ← w − η·b | α 0.99, ε 10⁻⁸, μ 0, λ 0 | 0.01, 0.001 |
/// | [`lion`](Self::lion) | w ← w − η·(sign(β₁m + (1−β₁)g) + λ·w), m ← β₂m + (1−β₂)g | β 0.9 and 0.99, λ 0 | none, 0.001 |
/// | [`sgd`](Self::sgd) | b ← μb + g, w ← w − η·b; with Nesterov's momentum w ← w − η·(g + μb) | μ 0, λ 0 | 0.001, 0.01 |
///
/// The learning rate stays in [`TrainConfig`](crate::TrainConfig), 0.001 unless it is set: change it together with the
/// optimizer. Weight decay acts on all weights that are learned, biases too, as in PyTorch. Settings are checked when
/// training starts.
///
/// ```
/// use latentlab::{Optimizer, TrainConfig};
///
/// let config = TrainConfig::new().optimizer(Optimizer::adam().weight_decay(1e-5));
/// let config = TrainConfig::new().optimizer(Optimizer::sgd().momentum(0.9)).learning_rate(0.1);
/// ```
#[derive(Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Optimizer {
    pub(super) algorithm: Algorithm,
    // `None` where the algorithm has no such setting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) betas: Option<[f64; 2]>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) epsilon: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) momentum: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) nesterov: Option<bool>,
    pub(super) weight_decay: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) alpha: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) centered: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) momentum_decay: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Algorithm {
    Adam,
    AdamW,
    Adamax,
    Adagrad,
    RAdam,
    Nadam,
    RmsProp,
    Lion,
    Sgd,
}

/// A checkpoint compares this text with that of its own optimizer: settings that older versions did not know stand in
/// it only where there are any.
impl fmt::Debug for Optimizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("Optimizer");
        text.field("algorithm", &self.algorithm).field("betas", &self.betas).field("epsilon", &self.epsilon);
        text.field("momentum", &self.momentum).field("nesterov", &self.nesterov);
        text.field("weight_decay", &self.weight_decay);
        self.alpha.iter().for_each(|alpha| _ = text.field("alpha", alpha));
        self.centered.iter().for_each(|centered| _ = text.field("centered", centered));
        self.momentum_decay.iter().for_each(|decay| _ = text.field("momentum_decay", decay));
        text.finish()
    }
}

impl Default for Optimizer {
    /// Adam.
    fn default() -> Self {
        Self::adam()
    }
}

impl Optimizer {
    /// Adam (Kingma and Ba 2015, "Adam: a method for stochastic optimization", algorithm 1).
    pub fn adam() -> Self {
        let (betas, epsilon) = (Some([0.9, 0.999]), Some(1e-8));
        Self {
            algorithm: Algorithm::Adam,
            betas,
            epsilon,
            momentum: None,
            nesterov: None,
            weight_decay: 0.0,
            alpha: None,
            centered: None,
            momentum_decay: None,
        }
    }

    /// Adam with decoupled weight decay, 0.01 (Loshchilov and Hutter 2019, "Decoupled weight decay regularization",
    /// algorithm 2).
    pub fn adamw() -> Self {
        Self { algorithm: Algorithm::AdamW, weight_decay: 0.01, ..Self::adam() }
    }

    /// Adam that divides by the largest gradient, slowly forgotten, instead of the root of the mean square (Kingma and
    /// Ba 2015, algorithm 2).
    pub fn adamax() -> Self {
        Self { algorithm: Algorithm::Adamax, ..Self::adam() }
    }

    /// Adagrad (Duchi, Hazan and Singer 2011, "Adaptive subgradient methods for online learning and stochastic
    /// optimization"): its steps only become smaller.
    pub fn adagrad() -> Self {
        Self { algorithm: Algorithm::Adagrad, betas: None, epsilon: Some(1e-10), ..Self::adam() }
    }

    /// Rectified Adam (Liu et al. 2020, "On the variance of the adaptive learning rate and beyond", algorithm 2): as
    /// Adam, but careful while there are few gradients to estimate v from. With ρ∞ = 2 / (1−β₂) − 1 and ρ = ρ∞ − 2tβ₂ᵗ
    /// / (1−β₂ᵗ) the step is multiplied by r = √((ρ−4)(ρ−2)ρ∞ / ((ρ∞−4)(ρ∞−2)ρ)); up to ρ = 5 it is η·m̂. ε is added to
    /// √v, as PyTorch does.
    pub fn radam() -> Self {
        Self { algorithm: Algorithm::RAdam, ..Self::adam() }
    }

    /// Adam with Nesterov's momentum (Dozat 2016, "Incorporating Nesterov momentum into Adam"): PyTorch's `NAdam`. With
    /// μ(t) = β₁(1 − ½·0.96^(t·ψ)), ψ the [`momentum_decay`](Self::momentum_decay), and P(t) the product of μ(1) to
    /// μ(t), its step is η / (√v̂ + ε) times (1 − μ(t))·g / (1 − P(t)) + μ(t+1)·m / (1 − P(t+1)).
    pub fn nadam() -> Self {
        Self { algorithm: Algorithm::Nadam, momentum_decay: Some(0.004), ..Self::adam() }
    }

    /// Divides the gradient by the root of its mean square (Tieleman and Hinton 2012, "Lecture 6.5: RMSProp"), as
    /// PyTorch does: α 0.99, ε 10⁻⁸ added to the root. [`momentum`](Self::momentum) sums these steps, and
    /// [`centered`](Self::centered) divides by the standard deviation. Keras' defaults are `alpha(0.9)`,
    /// `epsilon(1e-7)` and a learning rate of 0.001; it adds ε to the square.
    pub fn rmsprop() -> Self {
        let (alpha, momentum, centered) = (Some(0.99), Some(0.0), Some(false));
        Self { algorithm: Algorithm::RmsProp, betas: None, alpha, momentum, centered, ..Self::adam() }
    }

    /// Steps of equal size for all weights, the sign of a mean gradient (Chen et al. 2023, "Symbolic discovery of
    /// optimization algorithms", algorithm 2). As its steps are larger than Adam's, the paper recommends a learning
    /// rate 3 to 10 times lower than AdamW's, 10⁻⁴ where that has 0.001, and a weight decay as many times higher.
    pub fn lion() -> Self {
        Self { algorithm: Algorithm::Lion, betas: Some([0.9, 0.99]), epsilon: None, ..Self::adam() }
    }

    /// Stochastic gradient descent (Robbins and Monro 1951), without momentum.
    pub fn sgd() -> Self {
        let (momentum, nesterov) = (Some(0.0), Some(false));
        Self { algorithm: Algorithm::Sgd, betas: None, epsilon: None, momentum, nesterov, ..Self::adam() }
    }

    /// How much of the mean gradient and of the mean (for Adamax: largest) square stays from step to step, each in [0,
    /// 1). For the Adams; for Lion, of the mean gradient in its step and in what it keeps. GANs are often trained with
    /// 0.5 and 0.999.
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        Self { betas: Some([beta1, beta2]), ..self }
    }

    /// What keeps the division from dividing by zero, above 0. For all but SGD and Lion. Keras' default is 10⁻⁷.
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon: Some(epsilon), ..self }
    }

    /// How much of the last step's direction stays, in [0, 1). For SGD (Polyak 1964) and RMSprop; 0.9 is usual.
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum: Some(momentum), ..self }
    }

    /// Takes the gradient where the momentum is about to lead (Sutskever et al. 2013). For SGD with momentum.
    pub fn nesterov(self) -> Self {
        Self { nesterov: Some(true), ..self }
    }

    /// How much of the mean square stays from step to step, in [0, 1). For RMSprop; Keras' `rho`.
    pub fn alpha(self, alpha: f64) -> Self {
        Self { alpha: Some(alpha), ..self }
    }

    /// Divides by the standard deviation of the gradient, √(v − ⟨g⟩²) with ⟨g⟩ its mean, instead of the root of its
    /// mean square (Graves 2013, "Generating sequences with recurrent neural networks"). For RMSprop.
    pub fn centered(self) -> Self {
        Self { centered: Some(true), ..self }
    }

    /// How fast the momentum grows from ½β₁ to β₁, at least 0. For Nadam: 0.004 is PyTorch's, 1 is Keras'.
    pub fn momentum_decay(self, decay: f64) -> Self {
        Self { momentum_decay: Some(decay), ..self }
    }

    /// The pull λ of each weight towards 0, at least 0. It belongs to the gradient (an L2 penalty of ½λw²), but for
    /// AdamW and Lion, where it acts on the weight itself.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// Its name as it is usually written: "Adam", "AdamW", "Adamax", "Adagrad", "RAdam", "Nadam", "RMSprop", "Lion",
    /// "SGD".
    pub fn name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Adam => "Adam",
            Algorithm::AdamW => "AdamW",
            Algorithm::Adamax => "Adamax",
            Algorithm::Adagrad => "Adagrad",
            Algorithm::RAdam => "RAdam",
            Algorithm::Nadam => "Nadam",
            Algorithm::RmsProp => "RMSprop",
            Algorithm::Lion => "Lion",
            Algorithm::Sgd => "SGD",
        }
    }

    /// Refuses settings out of range, those that the optimizer does not have, and a learning rate that moves nothing or
    /// cannot go with them; `place` is the rate's.
    pub(crate) fn check_with(&self, place: &str, learning_rate: f64) -> Result<()> {
        let wrong = |expected: &str| {
            let error = Error::expected(ErrorKind::Argument, place, expected, learning_rate);
            Err(error.hint("0.001 suits Adam; what suits the others stands at Optimizer"))
        };
        if !(learning_rate > 0.0 && learning_rate.is_finite()) {
            return wrong("a number above 0");
        }
        if !(f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX)).contains(&learning_rate) {
            return wrong("a number from 1.2e-38 to 3.4e38, as single precision holds them");
        }
        self.check()?;
        if matches!(self.algorithm, Algorithm::AdamW | Algorithm::Lion) && learning_rate * self.weight_decay >= 1.0 {
            let expected =
                format!("a number below 1 / the learning rate of {learning_rate}: 1 leaves nothing of a weight");
            return Err(Error::expected(ErrorKind::Argument, "Optimizer::weight_decay", expected, self.weight_decay));
        }
        Ok(())
    }

    /// Refuses settings out of range, and those that the optimizer does not have.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |setting: &str, expected: &str, got: String| {
            Err(Error::expected(ErrorKind::Argument, format!("Optimizer::{setting}"), expected, got))
        };
        use Algorithm::{Adagrad, Lion, Nadam, RmsProp, Sgd};
        let is = |algorithm| self.algorithm == algorithm;
        let has_betas = !(is(Adagrad) || is(RmsProp) || is(Sgd));
        let belongs = [
            ("betas", self.betas.is_some(), has_betas, "Adam, AdamW, Adamax, RAdam, Nadam or Lion"),
            ("epsilon", self.epsilon.is_some(), !(is(Sgd) || is(Lion)), "any optimizer but SGD and Lion"),
            ("momentum", self.momentum.is_some(), is(Sgd) || is(RmsProp), "SGD or RMSprop"),
            ("nesterov", self.nesterov.is_some(), is(Sgd), "SGD"),
            ("alpha", self.alpha.is_some(), is(RmsProp), "RMSprop"),
            ("centered", self.centered.is_some(), is(RmsProp), "RMSprop"),
            ("momentum_decay", self.momentum_decay.is_some(), is(Nadam), "Nadam"),
        ];
        for (setting, given, wanted, owners) in belongs {
            match (given, wanted) {
                (true, false) => {
                    return wrong(setting, &format!("{owners}, which has this setting"), self.name().into());
                }
                (false, true) => return wrong(setting, &format!("a value for {}", self.name()), "none".into()),
                _ => {}
            }
        }
        for beta in self.betas.into_iter().flatten() {
            if !(0.0..1.0).contains(&beta) {
                return wrong("betas", "two numbers in [0, 1)", format!("{beta}"));
            }
        }
        if let Some(epsilon) = self.epsilon
            && !(epsilon as f32 > 0.0 && (epsilon as f32).is_finite())
        {
            return wrong("epsilon", "a number above 0, in single precision", epsilon.to_string());
        }
        let momentum = self.momentum.unwrap_or_default();
        if !(0.0..1.0).contains(&momentum) {
            return wrong("momentum", "a number in [0, 1)", momentum.to_string());
        }
        let alpha = self.alpha.unwrap_or_default();
        if !(0.0..1.0).contains(&alpha) {
            return wrong("alpha", "a number in [0, 1)", alpha.to_string());
        }
        let decay = self.momentum_decay.unwrap_or_default();
        if !(decay >= 0.0 && decay.is_finite()) {
            return wrong("momentum_decay", "a number of at least 0", decay.to_string());
        }
        if self.nesterov == Some(true) && momentum == 0.0 {
            return wrong("nesterov", "a momentum above 0", "0".into());
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return wrong("weight_decay", "a number of at least 0", self.weight_decay.to_string());
        }
        if !(self.weight_decay as f32).is_finite() {
            return wrong("weight_decay", "a number below 3.4e38", self.weight_decay.to_string());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_settings_are_refused() {
        let table = [
            (Optimizer::adam().betas(1.0, 0.999), "betas: expected two numbers in [0, 1), got 1"),
            (Optimizer::radam().betas(0.9, -0.1), "betas: expected two numbers in [0, 1), got -0.1"),
            (Optimizer::adam().epsilon(0.0), "epsilon: expected a number above 0, in single precision, got 0"),
            (Optimizer::adagrad().epsilon(1e-60), "epsilon: expected a number above 0, in single precision, got 0.000"),
            (Optimizer::sgd().momentum(1.0), "momentum: expected a number in [0, 1), got 1"),
            (Optimizer::sgd().momentum(f64::NAN), "momentum: expected a number in [0, 1), got NaN"),
            (Optimizer::sgd().nesterov(), "nesterov: expected a momentum above 0, got 0"),
            (Optimizer::adamw().weight_decay(-0.1), "weight_decay: expected a number of at least 0, got -0.1"),
            (Optimizer::adamw().weight_decay(f64::INFINITY), "weight_decay: expected a number of at least 0, got inf"),
            (Optimizer::adam().momentum(0.9), "momentum: expected SGD or RMSprop, which has this setting, got Adam"),
            (Optimizer::adamax().nesterov(), "nesterov: expected SGD, which has this setting, got Adamax"),
            (
                Optimizer::sgd().epsilon(1e-8),
                "epsilon: expected any optimizer but SGD and Lion, which has this setting, got SGD",
            ),
            (
                Optimizer::adagrad().betas(0.9, 0.999),
                "betas: expected Adam, AdamW, Adamax, RAdam, Nadam or Lion, which has this setting, got Adagrad",
            ),
            (Optimizer::rmsprop().alpha(1.0), "alpha: expected a number in [0, 1), got 1"),
            (Optimizer::rmsprop().momentum(-0.1), "momentum: expected a number in [0, 1), got -0.1"),
            (Optimizer::rmsprop().nesterov(), "nesterov: expected SGD, which has this setting, got RMSprop"),
            (Optimizer::rmsprop().epsilon(0.0), "epsilon: expected a number above 0, in single precision, got 0"),
            (Optimizer::adam().alpha(0.9), "alpha: expected RMSprop, which has this setting, got Adam"),
            (Optimizer::sgd().centered(), "centered: expected RMSprop, which has this setting, got SGD"),
            (Optimizer::nadam().momentum_decay(-1.0), "momentum_decay: expected a number of at least 0, got -1"),
            (
                Optimizer::radam().momentum_decay(0.1),
                "momentum_decay: expected Nadam, which has this setting, got RAdam",
            ),
            (Optimizer::lion().betas(0.9, 1.0), "betas: expected two numbers in [0, 1), got 1"),
            (
                Optimizer::lion().epsilon(1e-8),
                "epsilon: expected any optimizer but SGD and Lion, which has this setting, got Lion",
            ),
            (
                serde_json::from_str(r#"{"algorithm": "sgd", "nesterov": false, "weight_decay": 0.0}"#).unwrap(),
                "momentum: expected a value for SGD, got none",
            ),
        ];
        for (optimizer, expected) in table {
            let error = optimizer.check().unwrap_err().to_string();
            assert!(error.starts_with(&format!("Optimizer::{expected}")), "expected {expected}, got {error}");
        }
    }

    #[test]
    fn the_same_value_comes_back_from_json() {
        for optimizer in [
            Optimizer::adam().weight_decay(1e-5).epsilon(1e-7),
            Optimizer::adamw().betas(0.5, 0.99),
            Optimizer::adamax(),
            Optimizer::adagrad(),
            Optimizer::radam(),
            Optimizer::nadam().momentum_decay(1.0),
            Optimizer::rmsprop().alpha(0.9).momentum(0.5).centered(),
            Optimizer::lion().weight_decay(0.1),
            Optimizer::sgd().momentum(0.9).nesterov(),
        ] {
            optimizer.check().unwrap();
            let text = serde_json::to_string(&optimizer).unwrap();
            assert_eq!(serde_json::from_str::<Optimizer>(&text).unwrap(), optimizer, "{text}");
        }
    }
    /// Checkpoints of older versions hold such texts.
    #[test]
    fn its_text_is_that_of_older_versions() {
        assert_eq!(
            format!("{:?}", Optimizer::adam()),
            "Optimizer { algorithm: Adam, betas: Some([0.9, 0.999]), epsilon: Some(1e-8), momentum: None, \
             nesterov: None, weight_decay: 0.0 }"
        );
        let (text, centered) =
            (format!("{:?}", Optimizer::rmsprop()), format!("{:?}", Optimizer::rmsprop().centered()));
        assert!(text.ends_with("alpha: 0.99, centered: false }") && centered != text, "{text}");
    }
}
