use std::sync::Arc;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Layer, LayerContext, Operation};
use crate::{
    engine::{Buffer, OnThreads},
    error::{ErrorKind, Result},
    nn::{
        function::intern,
        init::ParameterSpec,
        plan::{PlanStep, fused_steps},
        sequential::{Node, Sequential},
        tape::{Pass, Variable},
    },
};

/// Layers beside which their input is passed on: y = x + f(x), or x and f(x) side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Skip {
    merge: Merge,
    layers: Vec<Layer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Merge {
    Add,
    Concat,
}

impl Sequential {
    /// A residual connection: adds what the layers inside make of their input to the input itself, x + f(x) (He et al.
    /// 2016, "Deep residual learning"). Their output must have the shape of their input.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// let network = Sequential::input([8, 14, 14]).skip(|inner| inner.conv2d(8, 3).same().relu().conv2d(8, 3).same());
    /// assert_eq!(network.build()?.output_shape(), [8, 14, 14]);
    ///
    /// let error = Sequential::input([8]).skip(|inner| inner.dense(4)).build().unwrap_err().to_string();
    /// assert_eq!(error, "layer 1, skip: expected the layers inside to make [8] of [8], as it is added, got [4]");
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn skip(self, inner: impl FnOnce(Self) -> Self) -> Self {
        self.skip_with(Merge::Add, inner)
    }

    /// A skip connection as a U-Net has them: the input of the layers inside, and behind it what they make of it, as
    /// more channels (Ronneberger et al. 2015, "U-Net"). Height and width must stay; of a flat input the values are put
    /// together.
    ///
    /// ```
    /// use latentlab::Sequential;
    ///
    /// // Down to 7 × 7 and up again, with the details of the full size beside it.
    /// let network = Sequential::input([1, 28, 28])
    ///     .conv2d(8, 3).same().relu()
    ///     .skip_concat(|inner| inner.max_pool2d(2).conv2d(16, 3).same().relu().up_sample2d(2))
    ///     .conv2d(1, 3).same().sigmoid();
    /// assert_eq!(network.build()?.output_shape(), [1, 28, 28]);
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn skip_concat(self, inner: impl FnOnce(Self) -> Self) -> Self {
        self.skip_with(Merge::Concat, inner)
    }

    fn skip_with(self, merge: Merge, inner: impl FnOnce(Self) -> Self) -> Self {
        let inner = self.inside().map(inner);
        self.merge_with(merge, inner)
    }

    /// What the layers inside begin with; none after a mistake.
    fn inside(&self) -> Option<Self> {
        self.check().is_ok().then(|| Self::input(self.output_shape()))
    }

    fn merge_with(self, merge: Merge, inner: Option<Self>) -> Self {
        let Some(inner) = inner else {
            return self.push(Skip { merge, layers: Vec::new() });
        };
        let layers = inner.nodes().iter().map(|node| node.layer.clone()).collect();
        let skip = Skip { merge, layers };
        match inner.check() {
            Ok(()) => self.push(skip),
            Err(mistake) => {
                let place = format!("layer {}, {}, inside", self.nodes().len() + 1, skip.name());
                self.with_mistake(mistake.within(&place))
            }
        }
    }
}

impl Node {
    /// Of a skip connection, the network inside with its weights.
    pub(crate) fn inside(&self) -> Option<Sequential> {
        let Layer::Skip(skip) = &self.layer else { return None };
        let mut weights = self.parameters.iter();
        let mut next = || weights.next().map_or_else(Vec::new, |parameter| parameter.values.to_vec());
        let network = Sequential::input(&self.input);
        Some(skip.layers.iter().fold(network, |network, layer| network.push_with(layer.clone(), |_, _, _| Ok(next()))))
    }
}

/// A layer inside, with the shapes of its input and output.
type Inside<'a> = (&'a Layer, Vec<usize>, Vec<usize>);

impl Skip {
    /// The layers with the shapes of their inputs and outputs, for an input of that shape.
    fn shapes(&self, input: &[usize]) -> Result<Vec<Inside<'_>>, String> {
        let mut shape = input.to_vec();
        let each = |(index, layer): (usize, &'_ Layer)| {
            let input = std::mem::take(&mut shape);
            let inside = |message| format!("inside, layer {}, {}: {message}", index + 1, layer.name());
            shape = layer.operation().output_shape(&input).map_err(inside)?;
            Ok((index, input, shape.clone()))
        };
        let all: Result<Vec<_>, String> = self.layers.iter().enumerate().map(each).collect();
        Ok(all?.into_iter().map(|(index, input, output)| (&self.layers[index], input, output)).collect())
    }

    /// The steps that run the layers; the shapes have been checked.
    fn steps(&self, input: &[usize]) -> Vec<PlanStep> {
        let layers = self.shapes(input).expect("output_shape has checked them");
        fused_steps(layers.into_iter().map(|(layer, input, output)| {
            let parameters = layer.operation().parameters(&input).len();
            (layer.clone(), input, output, parameters)
        }))
    }
}

/// How many values of a feature map, or of a row, stand side by side.
fn channels(shape: &[usize]) -> usize {
    match shape {
        [channels, _, _] => *channels,
        _ => shape.last().copied().unwrap_or(1),
    }
}

impl Operation for Skip {
    fn name(&self) -> &'static str {
        match self.merge {
            Merge::Add => "skip",
            Merge::Concat => "skip_concat",
        }
    }

    fn output_shape(&self, input: &[usize]) -> Result<Vec<usize>, String> {
        let shapes = self.shapes(input)?;
        let output = shapes.last().map_or(input, |(_, _, output)| output);
        match self.merge {
            Merge::Add if output == input => Ok(input.to_vec()),
            Merge::Add => Err(format!(
                "expected the layers inside to make {input:?} of {input:?}, as it is added, got {output:?}"
            )),
            Merge::Concat => {
                let axis = if input.len() == 3 { 0 } else { input.len() - 1 };
                let mut joined = input.to_vec();
                joined[axis] += output.get(axis).copied().unwrap_or(0);
                let same = |(index, size): (usize, &usize)| index == axis || output.get(index) == Some(size);
                if output.len() != input.len() || !input.iter().enumerate().all(same) {
                    let kept = if axis == 0 { "height and width" } else { "all but the last size" };
                    return Err(format!("expected the layers inside to keep {kept} of {input:?}, got {output:?}"));
                }
                Ok(joined)
            }
        }
    }

    fn parameters(&self, input: &[usize]) -> Vec<ParameterSpec> {
        let shapes = self.shapes(input).unwrap_or_default();
        let specs = shapes.iter().enumerate().flat_map(|(index, (layer, input, _))| {
            let named = move |mut spec: ParameterSpec| {
                spec.name = intern(&format!("{}.{}", index + 1, spec.name));
                spec
            };
            layer.operation().parameters(input).into_iter().map(named)
        });
        specs.collect()
    }

    fn check_sizes(&self, place: &str, input: &[usize]) -> Result<()> {
        let shapes = self.shapes(input).map_err(|message| crate::Error::new(ErrorKind::Shape, place, message))?;
        for (index, (layer, input, output)) in shapes.iter().enumerate() {
            let place = format!("{place}, inside, layer {}, {}", index + 1, layer.name());
            crate::engine::count(&place, "one sample", output)?;
            layer.operation().check_sizes(&place, input)?;
        }
        Ok(())
    }

    fn needs_whole_batch(&self) -> bool {
        self.layers.iter().any(|layer| layer.operation().needs_whole_batch())
    }

    fn working_values(&self, input: &[usize]) -> usize {
        let shapes = self.shapes(input).unwrap_or_default();
        let inside = |(layer, input, output): &Inside<'_>| {
            output.iter().product::<usize>() + layer.operation().working_values(input)
        };
        shapes.iter().map(inside).sum()
    }

    fn needs_two_rows(&self, input: &[usize]) -> bool {
        let shapes = self.shapes(input).unwrap_or_default();
        shapes.iter().any(|(layer, input, _)| layer.operation().needs_two_rows(input))
    }

    fn multiply_adds(&self, input: &[usize], _up_sample: [usize; 2]) -> usize {
        self.steps(input).iter().map(PlanStep::multiply_adds).sum()
    }

    fn forward(&self, x: Variable, context: &LayerContext<'_>, pass: &mut Pass) -> Variable {
        let steps = self.steps(context.input);
        let caches = context.caches.inside(self.layers.len());
        let run =
            |x, pass: &mut Pass| steps.into_iter().fold(x, |x, step| step.forward_inside(context, &caches, x, pass));
        let inner = pass.within(|| "inside".into(), |pass| run(x.clone(), pass));
        let (rows, needs_gradient) = (x.rows, x.needs_gradient || inner.needs_gradient);
        match self.merge {
            Merge::Add => {
                let mut y = Buffer::clone(&x.values);
                add(&mut y, &inner.values);
                pass.record(Arc::new(y), rows, needs_gradient, move |g, gradients| {
                    if inner.needs_gradient {
                        gradients.add_to(&inner, g.clone());
                    }
                    gradients.add_to(&x, g);
                })
            }
            Merge::Concat => {
                let first = channels(context.input);
                let second = inner.values.len() / (x.values.len() / first).max(1);
                let mut y = Buffer::unset(x.values.len() + inner.values.len());
                let parts = x.values.par_chunks(first).zip(inner.values.par_chunks(second));
                y.par_chunks_mut(first + second).zip(parts).on_threads().for_each(|(y, (x, inner))| {
                    y[..first].copy_from_slice(x);
                    y[first..].copy_from_slice(inner);
                });
                pass.record(Arc::new(y), rows, needs_gradient, move |g, gradients| {
                    for (part, range) in [(&x, 0..first), (&inner, first..first + second)] {
                        if part.needs_gradient {
                            let mut gradient = Buffer::unset(part.values.len());
                            let rows = gradient.par_chunks_mut(range.len()).zip(g.par_chunks(first + second));
                            rows.on_threads().for_each(|(out, g)| out.copy_from_slice(&g[range.clone()]));
                            gradients.add_to(part, gradient);
                        }
                    }
                })
            }
        }
    }
}

fn add(sum: &mut [f32], values: &[f32]) {
    use crate::engine::BLOCK;
    let blocks = sum.par_chunks_mut(BLOCK).zip(values.par_chunks(BLOCK));
    blocks.on_threads().for_each(|(sum, values)| sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value));
}
