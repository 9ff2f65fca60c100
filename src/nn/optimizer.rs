//! The optimizers as values: what a student chooses. Their steps are in `optimizer_state.rs`.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};

/// How the weights follow their gradients, with PyTorch's formulas and defaults.
///
/// In the formulas g is the gradient plus λ·w (the weight decay λ, but for AdamW), η the
/// [`learning_rate`](crate::TrainConfig::learning_rate), m̂ = m / (1 − β₁ᵗ) and v̂ = v / (1 − β₂ᵗ) at step t.
///
/// | optimizer | step | defaults | η in PyTorch, Keras |
/// |---|---|---|---|
/// | [`adam`](Self::adam), the default | m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², w ← w − η·m̂ / (√v̂ + ε) | β 0.9 and 0.999, ε 10⁻⁸, λ 0 | 0.001, 0.001 |
/// | [`adamw`](Self::adamw) | w ← (1 − ηλ)·w, then Adam's without λ in g | as Adam's, λ 0.01 | 0.001, 0.001 |
/// | [`adamax`](Self::adamax) | m as Adam's, u ← max(β₂u, \|g\| + ε), w ← w − η·m̂ / u | as Adam's | 0.002, 0.001 |
/// | [`adagrad`](Self::adagrad) | s ← s + g², w ← w − η·g / (√s + ε) | ε 10⁻¹⁰, λ 0 | 0.01, 0.001 |
/// | [`radam`](Self::radam) | Adam's, times r(t); w ← w − η·m̂ in the first steps | as Adam's | 0.001, none |
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
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Algorithm {
    Adam,
    AdamW,
    Adamax,
    Adagrad,
    RAdam,
    Sgd,
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
        Self { algorithm: Algorithm::Adam, betas, epsilon, momentum: None, nesterov: None, weight_decay: 0.0 }
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

    /// Stochastic gradient descent (Robbins and Monro 1951), without momentum.
    pub fn sgd() -> Self {
        let (momentum, nesterov) = (Some(0.0), Some(false));
        Self { algorithm: Algorithm::Sgd, betas: None, epsilon: None, momentum, nesterov, ..Self::adam() }
    }

    /// How much of the mean gradient and of the mean (for Adamax: largest) square stays from step to step, each in [0,
    /// 1). For the Adams. GANs are often trained with 0.5 and 0.999.
    pub fn betas(self, beta1: f64, beta2: f64) -> Self {
        Self { betas: Some([beta1, beta2]), ..self }
    }

    /// What keeps the division from dividing by zero, above 0. For all but SGD. Keras' default is 10⁻⁷.
    pub fn epsilon(self, epsilon: f64) -> Self {
        Self { epsilon: Some(epsilon), ..self }
    }

    /// How much of the last step's direction stays, in [0, 1). For SGD (Polyak 1964); 0.9 is usual.
    pub fn momentum(self, momentum: f64) -> Self {
        Self { momentum: Some(momentum), ..self }
    }

    /// Takes the gradient where the momentum is about to lead (Sutskever et al. 2013). For SGD with momentum.
    pub fn nesterov(self) -> Self {
        Self { nesterov: Some(true), ..self }
    }

    /// The pull λ of each weight towards 0, at least 0. It belongs to the gradient (an L2 penalty of ½λw²), but for
    /// AdamW, where it acts on the weight itself.
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        Self { weight_decay, ..self }
    }

    /// Its name as it is usually written: "Adam", "AdamW", "Adamax", "Adagrad", "RAdam", "SGD".
    pub fn name(&self) -> &'static str {
        match self.algorithm {
            Algorithm::Adam => "Adam",
            Algorithm::AdamW => "AdamW",
            Algorithm::Adamax => "Adamax",
            Algorithm::Adagrad => "Adagrad",
            Algorithm::RAdam => "RAdam",
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
        if self.algorithm == Algorithm::AdamW && learning_rate * self.weight_decay >= 1.0 {
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
        let has_betas = !matches!(self.algorithm, Algorithm::Adagrad | Algorithm::Sgd);
        let is_sgd = self.algorithm == Algorithm::Sgd;
        let belongs = [
            ("betas", self.betas.is_some(), has_betas, "Adam, AdamW, Adamax or RAdam"),
            ("epsilon", self.epsilon.is_some(), !is_sgd, "any optimizer but SGD"),
            ("momentum", self.momentum.is_some(), is_sgd, "SGD"),
            ("nesterov", self.nesterov.is_some(), is_sgd, "SGD"),
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
            (Optimizer::adam().momentum(0.9), "momentum: expected SGD, which has this setting, got Adam"),
            (Optimizer::adamax().nesterov(), "nesterov: expected SGD, which has this setting, got Adamax"),
            (
                Optimizer::sgd().epsilon(1e-8),
                "epsilon: expected any optimizer but SGD, which has this setting, got SGD",
            ),
            (
                Optimizer::adagrad().betas(0.9, 0.999),
                "betas: expected Adam, AdamW, Adamax or RAdam, which has this setting, got Adagrad",
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
            Optimizer::sgd().momentum(0.9).nesterov(),
        ] {
            optimizer.check().unwrap();
            let text = serde_json::to_string(&optimizer).unwrap();
            assert_eq!(serde_json::from_str::<Optimizer>(&text).unwrap(), optimizer, "{text}");
        }
    }
}
