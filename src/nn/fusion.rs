//! What a layer does for its neighbours: passes over the steps of a [plan](super::plan), each of which joins a step
//! with the one after it where a rule says so. All rules are here; a layer only reads in
//! [`Fused`](super::plan::Fused) what it computes beside its own operation.

use std::sync::Arc;

use super::{
    layers::{Conv2d, Layer},
    plan::PlanStep,
    sequential::Sequential,
};

/// Batch normalisations become part of the weights before them: for predictions, where they are nothing but other
/// weights.
pub(super) fn fold_batch_norms(steps: Vec<PlanStep>, network: &Sequential) -> Vec<PlanStep> {
    joined(steps, |step, next| fold(step, next, network))
}

/// Whether [`fold_batch_norms`] changes anything.
pub(super) fn folds(steps: &[PlanStep]) -> bool {
    steps.windows(2).any(|pair| takes_batch_norm(&pair[0], &pair[1]))
}

/// All that changes no result but for rounding, in the order of a step: what comes before its layer, then what comes
/// after.
pub(super) fn fuse(steps: Vec<PlanStep>) -> Vec<PlanStep> {
    let steps = joined(steps, up_sampling);
    let steps = joined(steps, flattening);
    let steps = joined(steps, activation);
    let steps = joined(steps, pooling);
    let steps = joined(steps, dropout);
    with_moments(steps)
}

/// Joins each step with the one after it where `rule` has made it do both.
fn joined(steps: Vec<PlanStep>, rule: impl Fn(&mut PlanStep, &PlanStep) -> bool) -> Vec<PlanStep> {
    let mut all: Vec<PlanStep> = Vec::new();
    for step in steps {
        match all.last_mut().and_then(|last| rule(last, &step).then_some(last)) {
            Some(last) => last.append(step),
            None => all.push(step),
        }
    }
    all
}

fn takes_batch_norm(step: &PlanStep, next: &PlanStep) -> bool {
    matches!(step.layer, Layer::Conv2d(_) | Layer::ConvTranspose2d(_) | Layer::Dense(_))
        && matches!(next.layer, Layer::BatchNorm(_))
}

/// Takes scale · x + shift of each output channel into the weights and the bias.
fn fold(step: &mut PlanStep, next: &PlanStep, network: &Sequential) -> bool {
    let Layer::BatchNorm(layer) = &next.layer else { return false };
    if !takes_batch_norm(step, next) {
        return false;
    }
    let (scale, shift) = layer.line(&next.weights(network));
    let weights = step.weights(network);
    // The output channel of each weight.
    let channels: Box<dyn Iterator<Item = usize>> = match &step.layer {
        Layer::ConvTranspose2d(layer) => Box::new(layer.filters_of_weights(step.input[0])),
        _ => Box::new((0..scale.len()).cycle()),
    };
    let scaled = weights[0].iter().zip(channels).map(|(weight, channel)| weight * scale[channel]);
    // A layer without a bias gets one.
    let bias = weights.get(1).map_or(vec![0.0; scale.len()], |bias| bias.to_vec());
    let shifted = bias.iter().zip(&scale).zip(&shift).map(|((bias, scale), shift)| bias * scale + shift);
    step.fold([Arc::new(scaled.collect()), Arc::new(shifted.collect())].into());
    true
}

/// A convolution merges with the up-sampling before it: the enlarged feature map is never written.
fn up_sampling(step: &mut PlanStep, next: &PlanStep) -> bool {
    let (Layer::UpSample2d(up_sample), Layer::Conv2d(convolution)) = (&step.layer, &next.layer) else { return false };
    let Some(factor) = up_sample.repeats() else { return false };
    if !gains_from_merging(convolution, &next.input, factor) {
        return false;
    }
    step.become_part_of(next);
    step.fused.up_sample = factor;
    true
}

/// The two together have a kernel of factor + kernel − 1: beyond these limits it costs more memory than the enlarged
/// map.
fn gains_from_merging(convolution: &Conv2d, input: &[usize], factor: [usize; 2]) -> bool {
    const MOST_PHASES: usize = 1 << 10;
    const MOST_WEIGHTS: usize = 1 << 26;
    convolution.merged_with_up_sampling(input, factor).is_some_and(|merged| {
        let ([rows, columns], weights) = (merged.kernel, merged.large[2].saturating_mul(merged.small[2]));
        factor[0].saturating_mul(factor[1]) <= MOST_PHASES
            && rows.saturating_mul(columns).saturating_mul(weights) <= MOST_WEIGHTS
            && merged.check("").is_ok()
    })
}

/// A dense layer takes a feature map's values in the order that they have: the flattened one is never written.
fn flattening(step: &mut PlanStep, next: &PlanStep) -> bool {
    let [channels, height, width] = step.input[..] else { return false };
    if !matches!((&step.layer, &next.layer), (Layer::Flatten(_), Layer::Dense(_))) {
        return false;
    }
    step.become_part_of(next);
    step.fused.flattened = Some([channels, height, width]);
    true
}

/// A rectified linear unit is part of the product or of the batch normalisation before it.
fn activation(step: &mut PlanStep, next: &PlanStep) -> bool {
    use Layer::{BatchNorm, Conv2d, ConvTranspose2d, Dense};
    let Layer::Activation(activation) = &next.layer else { return false };
    let takes = matches!(step.layer, Dense(_) | Conv2d(_) | ConvTranspose2d(_) | BatchNorm(_));
    if !takes || step.fused.slope.is_some() || activation.slope().is_none() {
        return false;
    }
    step.fused.slope = activation.slope();
    true
}

/// A max-pooling is part of the batch normalisation before it: the feature maps before the pooling are never written.
fn pooling(step: &mut PlanStep, next: &PlanStep) -> bool {
    let Layer::MaxPool2d(pool) = &next.layer else { return false };
    if !matches!(step.layer, Layer::BatchNorm(_)) || step.fused.pool.is_some() {
        return false;
    }
    step.fused.pool = Some(pool.clone());
    true
}

/// A dropout works in place on what a dense layer has made.
fn dropout(step: &mut PlanStep, next: &PlanStep) -> bool {
    let Layer::Dropout(dropout) = next.layer else { return false };
    if !matches!(step.layer, Layer::Dense(_)) || step.fused.dropout.is_some() {
        return false;
    }
    step.fused.dropout = Some(dropout);
    true
}

/// A convolution takes the moments of its output for the batch normalisation after it, while they are in a cache.
fn with_moments(mut steps: Vec<PlanStep>) -> Vec<PlanStep> {
    for index in 1..steps.len() {
        let takes = matches!(steps[index - 1].layer, Layer::Conv2d(_) | Layer::ConvTranspose2d(_));
        steps[index - 1].fused.moments = takes && matches!(steps[index].layer, Layer::BatchNorm(_));
    }
    steps
}
