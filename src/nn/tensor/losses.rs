//! The losses that most steps are made of.

use std::sync::Arc;

use super::{Tensor, Value, common_pass, mistake, numbers};
use crate::nn::{
    cross_entropy,
    loss::Loss,
    tape::{Pass, Variable},
};

/// A loss of the first of these tensors, which `record` puts on the tape.
fn loss_of(name: &str, inputs: &[&Tensor], record: impl FnOnce(Variable, &mut Pass) -> Variable) -> Tensor {
    let result = || {
        let inputs = inputs.iter().map(|tensor| tensor.value()).collect::<crate::Result<Vec<_>>>()?;
        let pass = common_pass(&inputs).map_err(|message| mistake(name, message))?;
        let mut run = pass.clone().map_or_else(Pass::prediction, |(pass, _)| pass);
        let variable = record(inputs[0].variable.clone(), &mut run);
        Ok(Value { variable, shape: vec![], pass, tracked: false })
    };
    Tensor(result())
}

impl Tensor {
    /// The mean of (y − t)² over all values.
    pub fn mean_squared_error(&self, target: &Self) -> Self {
        self.loss("mean_squared_error", Loss::MeanSquaredError, target)
    }

    /// The mean of −t·ln y − (1 − t)·ln(1 − y) over all values, for probabilities y; clipped as
    /// [`Loss::BinaryCrossEntropy`] says. No gradient flows to the target.
    pub fn binary_cross_entropy(&self, target: &Self) -> Self {
        self.loss("binary_cross_entropy", Loss::BinaryCrossEntropy, target)
    }

    /// [`binary_cross_entropy`](Self::binary_cross_entropy) of sigmoid(x), for logits x: stable for any.
    pub fn binary_cross_entropy_with_logits(&self, target: &Self) -> Self {
        self.loss("binary_cross_entropy_with_logits", Loss::BinaryCrossEntropyWithLogits, target)
    }

    /// One of the ready losses, if the target is a constant; the mean squared error of two that want a gradient.
    fn loss(&self, name: &str, loss: Loss, target: &Self) -> Self {
        if self.check().is_ok() && target.check().is_ok() && self.shape() != target.shape() {
            let message = format!("expected equal shapes, got {:?} and {:?}", self.shape(), target.shape());
            return Self(Err(mistake(name, message)));
        }
        if loss == Loss::MeanSquaredError && target.value().is_ok_and(|value| value.wants_gradient()) {
            return (self - target).square().mean();
        }
        let values = target.value().map(|value| Arc::clone(&value.variable.values)).unwrap_or_default();
        let of = |output, run: &mut Pass| loss.record(output, &values, 1.0, run).1;
        loss_of(name, &[self, target], of)
    }

    /// The mean of −ln softmax(x)ₗ over the rows of logits x (n, classes) and their labels l (PyTorch's
    /// `cross_entropy`).
    ///
    /// Another number of labels than rows, and a label that is no class, are mistakes.
    pub fn cross_entropy<'l>(&self, labels: impl IntoIterator<Item = &'l usize>) -> Self {
        self.cross_entropy_of(numbers(&mut labels.into_iter()))
    }

    fn cross_entropy_of(&self, labels: Vec<usize>) -> Self {
        let classes = self.shape().last().copied().unwrap_or(0);
        if self.check().is_ok() && self.shape() != [labels.len(), classes] {
            let got = format!("{:?} and {} labels", self.shape(), labels.len());
            let message = format!("expected logits (n, classes) and n labels, got {got}");
            return Self(Err(mistake("cross_entropy", message)));
        }
        if self.check().is_ok()
            && let Some((row, label)) = labels.iter().enumerate().find(|(_, label)| **label >= classes)
        {
            let message = format!("expected labels below {classes}, got {label} in row {row}");
            return Self(Err(mistake("cross_entropy", message)));
        }
        loss_of("cross_entropy", &[self], |logits, run| cross_entropy(logits, &labels, 1.0, run).1)
    }

    /// The Kullback–Leibler divergence of N(μ, σ²) from N(0, 1), −½ Σ (1 + ln σ² − μ² − σ²), summed over the last axis
    /// and averaged over the rows: `mu.kl_divergence(&log_variance)` (Kingma and Welling 2014, appendix B).
    pub fn kl_divergence(&self, log_variance: &Self) -> Self {
        let terms = log_variance + 1.0 - self.square() - log_variance.exp();
        terms.sum_axis(-1).mean() * -0.5
    }
}
