//! The losses that most steps are made of.

use super::{Tensor, mistake};
use crate::nn::loss::Loss;

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
        let result = || {
            let (output, target) = (self.value()?, target.value()?);
            let pass = super::common_pass(&[output, target]).map_err(|message| mistake(name, message))?;
            let mut run = pass.clone().map_or_else(crate::nn::Pass::prediction, |(pass, _)| pass);
            let (_, variable) = loss.record(output.variable.clone(), &target.variable.values, 1.0, &mut run);
            Ok(super::Value { variable, shape: vec![], pass })
        };
        Self(result())
    }

    /// The mean of −ln softmax(x)ₗ over the rows of logits x (n, classes) and their labels l (PyTorch's
    /// `cross_entropy`).
    ///
    /// Another number of labels than rows, and a label that is no class, are mistakes.
    pub fn cross_entropy<'l>(&self, labels: impl IntoIterator<Item = &'l usize>) -> Self {
        let labels: Vec<usize> = labels.into_iter().copied().collect();
        let classes = self.shape().last().copied().unwrap_or(0);
        if self.check().is_ok() && self.shape() != [labels.len(), classes] {
            let got = format!("{:?} and {} labels", self.shape(), labels.len());
            let message = format!("expected logits (n, classes) and n labels, got {got}");
            return Self(Err(mistake("cross_entropy", message)));
        }
        -(self.log_softmax(-1) * Self::one_hot(&labels, classes)).sum() / labels.len() as f32
    }

    /// The Kullback–Leibler divergence of N(μ, σ²) from N(0, 1), −½ Σ (1 + ln σ² − μ² − σ²), summed over the last axis
    /// and averaged over the rows: `mu.kl_divergence(&log_variance)` (Kingma and Welling 2014, appendix B).
    pub fn kl_divergence(&self, log_variance: &Self) -> Self {
        let terms = log_variance + 1.0 - self.square() - log_variance.exp();
        terms.sum_axis(-1).mean() * -0.5
    }
}
