//! The loss of classifiers.

use std::sync::Arc;

use super::tape::{Pass, Variable};
use crate::engine::{Buffer, tiny_to_zero};

/// Softmax cross-entropy −ln(e^xₗ / Σⱼ e^xⱼ) of logits x, of shape (rows, classes), and a label l for each row: its
/// mean over the rows and the accuracy (the share of rows whose largest logit is that of the label), each as a `share`
/// of a batch's, and the loss on the tape.
///
/// Computed as ln Σⱼ e^(xⱼ − max x) − (xₗ − max x), stable for any x. Backward pass: ∂xⱼ = (e^xⱼ / Σ − \[j = l\]) /
/// rows.
pub(crate) fn cross_entropy(
    mut logits: Variable,
    labels: &[usize],
    share: f64,
    pass: &mut Pass,
) -> ([f64; 2], Variable) {
    let (rows, needs_gradient) = (logits.rows, logits.needs_gradient);
    let classes = logits.values.len() / rows.max(1);
    let scale = share / rows.max(1) as f64;
    // The derivative takes the place of the logits. Fewer values than in any other layer: not worth other threads.
    let mut values: Buffer = logits.take_values();
    let [mut loss, mut right] = [0.0; 2];
    for (row, &label) in values.chunks_mut(classes.max(1)).zip(labels) {
        let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let of_label = row[label];
        right += f64::from(u8::from(of_label == largest));
        row.iter_mut().for_each(|x| *x = (*x - largest).exp());
        let sum: f64 = row.iter().map(|e| f64::from(*e)).sum();
        loss += sum.ln() - f64::from(of_label - largest);
        row.iter_mut().for_each(|e| *e = tiny_to_zero((f64::from(*e) / sum * scale) as f32));
        row[label] -= scale as f32;
    }
    let [loss, accuracy] = [loss * scale, right * scale];
    let value = Arc::new(vec![loss as f32].into());
    let on_tape = pass.record(value, 1, needs_gradient, move |g, gradients| {
        values.iter_mut().for_each(|d| *d *= g[0]);
        gradients.add_to(&logits, values);
    });
    ([loss, accuracy], on_tape)
}
