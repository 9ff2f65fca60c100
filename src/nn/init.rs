//! How the weights of a new network are drawn.

use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{
    engine::{BLOCK, OnThreads, vectorized},
    error::{Error, ErrorKind, Result},
    random::{self, Random},
};

/// How weights and biases are drawn before training.
///
/// "Inputs" and "outputs" are those of one unit: k and units for [`dense`](crate::Sequential::dense), kernel · channels
/// and kernel · filters for [`conv2d`](crate::Sequential::conv2d), the other way round for
/// [`conv_transpose2d`](crate::Sequential::conv_transpose2d), as both frameworks count them.
/// [`batch_norm`](crate::Sequential::batch_norm) starts from γ = 1 and β = 0 in any case.
///
/// The normal distributions, but for [`Normal`](Self::Normal), are cut at two standard deviations, and what lies beyond
/// is drawn again: Keras' way, under Keras' names. σ is the standard deviation that is left after the cut, but for
/// [`TruncatedNormal`](Self::TruncatedNormal), where it is that of the whole distribution. (PyTorch's `kaiming_normal_`
/// and `xavier_normal_` do not cut.) All of these set biases to 0.
///
/// ```
/// use latentlab::{Init, Sequential};
///
/// let network = Sequential::input([784]).init(Init::HeNormal).dense(100).relu().dense(10).build()?;
/// let gan = Sequential::input([100]).init(Init::Normal { std: 0.02 }).dense(784).tanh().build()?;
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Init {
    /// Weights uniform in ±√(6 / (inputs + outputs)), biases 0: Keras' default (Glorot and Bengio 2010). The default
    /// here.
    #[default]
    GlorotUniform,
    /// Weights and biases uniform in ±1/√inputs: PyTorch's default (`kaiming_uniform_` with a = √5; He et al. 2015).
    KaimingUniform,
    /// Weights normal with σ = √(2 / (inputs + outputs)) (Glorot and Bengio 2010).
    GlorotNormal,
    /// Weights normal with σ = √(2 / inputs), for layers with a ReLU after them (He et al. 2015).
    HeNormal,
    /// Weights uniform in ±√(6 / inputs) (He et al. 2015).
    HeUniform,
    /// Weights normal with σ = √(1 / inputs), for layers with a SELU after them (LeCun et al. 1998, Klambauer et al.
    /// 2017).
    LecunNormal,
    /// Weights uniform in ±√(3 / inputs) (LeCun et al. 1998).
    LecunUniform,
    /// Weights whose columns are orthogonal and of length 1, or their rows where there are fewer of these (Saxe et al.
    /// 2014): a matrix with a column for each unit, or filter, and a row for each of its inputs, drawn evenly among all
    /// such matrices. In both frameworks, with a gain of 1. Takes inputs · units · min(inputs, units) multiply-adds: a
    /// second for a thousand of each.
    Orthogonal,
    /// Weights normal with this standard deviation before the cut, above 0, whatever the layer's size; Keras' default
    /// is 0.05.
    TruncatedNormal {
        /// The standard deviation σ before the cut.
        std: f32,
    },
    /// Weights normal with this standard deviation, above 0, whatever the layer's size, and not cut: PyTorch's
    /// `normal_`, Keras' `RandomNormal`. DCGAN (Radford et al. 2016) takes 0.02.
    Normal {
        /// The standard deviation σ.
        std: f32,
    },
}

/// A standard deviation that is no number is refused, and so equals nothing in a network.
impl Eq for Init {}

/// What is left of a normal distribution's standard deviation when it is cut at two of them.
const LEFT_BY_CUT: f64 = 0.879_625_661_034_239_8;

/// From what distribution weights are drawn.
enum Distribution {
    Constant(f32),
    /// In plus or minus this.
    Uniform(f64),
    /// With this standard deviation, before the cut at two of them.
    CutNormal(f64),
    /// With this standard deviation.
    Normal(f64),
    Orthogonal,
}

/// A parameter that a layer asks for.
pub(crate) struct ParameterSpec {
    pub name: &'static str,
    pub shape: Vec<usize>,
    role: Role,
    inputs: usize,
    outputs: usize,
}

#[derive(Clone, Copy)]
enum Role {
    Weight,
    Bias,
    /// Starts from this value.
    Constant(f32),
    /// Starts from this value; observed, not learned.
    Statistic(f32),
}

impl ParameterSpec {
    pub fn weight(name: &'static str, shape: impl Into<Vec<usize>>, inputs: usize, outputs: usize) -> Self {
        Self { name, shape: shape.into(), role: Role::Weight, inputs, outputs }
    }

    pub fn bias(name: &'static str, shape: impl Into<Vec<usize>>, inputs: usize) -> Self {
        Self { name, shape: shape.into(), role: Role::Bias, inputs, outputs: 0 }
    }

    pub fn constant(name: &'static str, shape: impl Into<Vec<usize>>, value: f32) -> Self {
        Self { name, shape: shape.into(), role: Role::Constant(value), inputs: 0, outputs: 0 }
    }

    pub fn statistic(name: &'static str, shape: impl Into<Vec<usize>>, value: f32) -> Self {
        Self { name, shape: shape.into(), role: Role::Statistic(value), inputs: 0, outputs: 0 }
    }

    /// Whether training learns it.
    pub fn trainable(&self) -> bool {
        !matches!(self.role, Role::Statistic(_))
    }

    /// Its shape as products take it, at most: its rows and its columns in whole vectors.
    pub fn packed_shape(&self) -> Vec<usize> {
        const LANES: usize = 16;
        let mut shape = self.shape.clone();
        if let (Role::Weight, [.., rows, columns]) = (self.role, &mut shape[..]) {
            [rows, columns].into_iter().for_each(|n| *n = n.div_ceil(LANES).saturating_mul(LANES));
        }
        shape
    }

    /// Draws the values; block by block from streams of their own, so that threads make no difference.
    pub fn draw(&self, init: Init, seed: u64) -> Result<Vec<f32>> {
        let mut values = vec![0.0; self.shape.iter().product()];
        match self.distribution(init)? {
            Distribution::Constant(value) => values.fill(value),
            Distribution::Uniform(bound) => {
                let bound = bound as f32;
                if bound > 0.0 {
                    fill(&mut values, seed, |random| random.gen_range(-bound..bound));
                }
            }
            Distribution::CutNormal(std) => fill(&mut values, seed, |random| (std * within_two(random)) as f32),
            Distribution::Normal(std) => {
                fill(&mut values, seed, |random| (std * random.sample::<f64, _>(StandardNormal)) as f32);
            }
            Distribution::Orthogonal => orthogonal(&mut values, self.shape.last().copied().unwrap_or(1), seed),
        }
        Ok(values)
    }

    fn distribution(&self, init: Init) -> Result<Distribution> {
        let (inputs, both) = (self.inputs as f64, self.inputs as f64 + self.outputs as f64);
        let uniform = |variance: f64| Distribution::Uniform((variance * 3.0).sqrt());
        let normal = |variance: f64| Distribution::CutNormal(variance.sqrt() / LEFT_BY_CUT);
        Ok(match (init, self.role) {
            (_, Role::Constant(value) | Role::Statistic(value)) => Distribution::Constant(value),
            (Init::TruncatedNormal { std } | Init::Normal { std }, _) if !(std > 0.0 && std <= 1e30) => {
                let is_cut = matches!(init, Init::TruncatedNormal { .. });
                let place = if is_cut { "Init::TruncatedNormal" } else { "Init::Normal" };
                return Err(Error::expected(
                    ErrorKind::Argument,
                    place,
                    "a standard deviation above 0, and at most 1e30",
                    std,
                ));
            }
            (Init::KaimingUniform, _) => Distribution::Uniform((1.0 / inputs).sqrt()),
            (_, Role::Bias) => Distribution::Constant(0.0),
            (Init::GlorotUniform, Role::Weight) => Distribution::Uniform((6.0 / both).sqrt()),
            (Init::GlorotNormal, Role::Weight) => normal(2.0 / both),
            (Init::HeNormal, Role::Weight) => normal(2.0 / inputs),
            (Init::HeUniform, Role::Weight) => uniform(2.0 / inputs),
            (Init::LecunNormal, Role::Weight) => normal(1.0 / inputs),
            (Init::LecunUniform, Role::Weight) => uniform(1.0 / inputs),
            (Init::TruncatedNormal { std }, Role::Weight) => Distribution::CutNormal(f64::from(std)),
            (Init::Normal { std }, Role::Weight) => Distribution::Normal(f64::from(std)),
            (Init::Orthogonal, Role::Weight) => Distribution::Orthogonal,
        })
    }
}

fn fill(values: &mut [f32], seed: u64, draw: impl Fn(&mut Random) -> f32 + Sync) {
    values.par_chunks_mut(BLOCK).enumerate().on_threads().for_each(|(block, values)| {
        let mut random = random::stream(seed, block as u64);
        values.iter_mut().for_each(|v| *v = draw(&mut random));
    });
}

/// From N(0, 1), drawn again where it is beyond 2.
fn within_two(random: &mut Random) -> f64 {
    loop {
        let value: f64 = random.sample(StandardNormal);
        if value.abs() <= 2.0 {
            return value;
        }
    }
}

/// Fills a matrix of so many columns with an orthogonal one: the Q of a normal matrix' QR decomposition with a positive
/// diagonal of R (Mezzadri 2007, "How to generate random matrices from the classical compact groups"), by the modified
/// Gram-Schmidt process in double precision.
fn orthogonal(matrix: &mut [f32], columns: usize, seed: u64) {
    let rows = matrix.len() / columns;
    let (length, count) = (rows.max(columns), rows.min(columns));
    let mut random = random::stream(seed, 0);
    let mut vectors: Vec<Vec<f64>> =
        (0..count).map(|_| (0..length).map(|_| random.sample(StandardNormal)).collect()).collect();
    for done in 0..count {
        let (first, rest) = vectors[done..].split_at_mut(1);
        let size = dot(&first[0], &first[0]).sqrt();
        first[0].iter_mut().for_each(|value| *value /= size);
        rest.par_iter_mut().on_threads().for_each(|vector| {
            let along = dot(vector, &first[0]);
            subtract(vector, along, &first[0]);
        });
    }
    for (index, value) in matrix.iter_mut().enumerate() {
        let (row, column) = (index / columns, index % columns);
        *value = if rows >= columns { vectors[column][row] } else { vectors[row][column] } as f32;
    }
}

vectorized! {
    fn dot(a: &[f64], b: &[f64]) -> f64 {
        let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<32>(), b.as_chunks::<32>());
        let mut sums = [0.0; 32];
        for (a, b) in a.iter().zip(b) {
            sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
        }
        sums.iter().sum::<f64>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f64>()
    }

    fn subtract(from: &mut [f64], factor: f64, what: &[f64]) {
        from.iter_mut().zip(what).for_each(|(value, what)| *value -= factor * what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(values: &[f32]) -> (f64, f64) {
        let largest = values.iter().fold(0.0f32, |a, v| a.max(v.abs()));
        let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / values.len() as f64;
        (f64::from(largest), mean)
    }

    #[test]
    fn bounds_are_those_of_keras_and_pytorch() {
        let weight = ParameterSpec::weight("weight", [784, 50], 784, 50);
        let bias = ParameterSpec::bias("bias", [50_000], 784);
        for (init, bound) in [(Init::GlorotUniform, (6.0 / 834.0f64).sqrt()), (Init::KaimingUniform, 1.0 / 28.0)] {
            let (largest, mean) = spread(&weight.draw(init, 1).unwrap());
            assert!(largest <= bound && largest > 0.999 * bound, "{init:?}: {largest} for {bound}");
            assert!(mean.abs() < 0.02 * bound, "{init:?}: mean {mean}");
        }
        assert!(bias.draw(Init::GlorotUniform, 1).unwrap().iter().all(|b| *b == 0.0));
        let (largest, _) = spread(&bias.draw(Init::KaimingUniform, 1).unwrap());
        assert!(largest <= 1.0 / 28.0 && largest > 0.999 / 28.0);
    }

    #[test]
    fn the_seed_decides() {
        let weight = ParameterSpec::weight("weight", [784, 50], 784, 50);
        for init in ALL {
            let draw = |seed| weight.draw(init, seed).unwrap();
            assert_eq!(draw(1), draw(1));
            assert_ne!(draw(1), draw(2), "{init:?}");
        }
    }

    const ALL: [Init; 9] = [
        Init::GlorotUniform,
        Init::KaimingUniform,
        Init::GlorotNormal,
        Init::HeNormal,
        Init::HeUniform,
        Init::LecunNormal,
        Init::LecunUniform,
        Init::Orthogonal,
        Init::TruncatedNormal { std: 0.02 },
    ];

    /// Files hold the weights, but a network that is built anew is to begin as ever.
    #[test]
    fn what_was_drawn_before_is_drawn_again() {
        let weight = ParameterSpec::weight("weight", [784, 50], 784, 50);
        for (init, bound) in [
            (Init::GlorotUniform, (6.0 / 834.0f64).sqrt() as f32),
            (Init::KaimingUniform, (1.0 / 784.0f64).sqrt() as f32),
        ] {
            let (values, mut random) = (weight.draw(init, 7).unwrap(), random::stream(7, 1));
            let second_block: Vec<f32> =
                values[BLOCK..2 * BLOCK].iter().map(|_| random.gen_range(-bound..bound)).collect();
            assert_eq!(values[BLOCK..2 * BLOCK], second_block, "{init:?}");
        }
    }

    /// A distribution cut at c has its largest value there, and one that is as wide as its variance says.
    #[test]
    fn deviations_and_largest_values_are_those_of_the_formulas() {
        let (inputs, outputs) = (400, 600);
        let weight = ParameterSpec::weight("weight", [inputs, outputs], inputs, outputs);
        let bias = ParameterSpec::bias("bias", [outputs], inputs);
        let (cut, third) = (2.0 / LEFT_BY_CUT, 3.0f64.sqrt());
        for (init, variance, largest_deviations) in [
            (Init::GlorotNormal, 2.0 / 1000.0, cut),
            (Init::HeNormal, 2.0 / 400.0, cut),
            (Init::HeUniform, 2.0 / 400.0, third),
            (Init::LecunNormal, 1.0 / 400.0, cut),
            (Init::LecunUniform, 1.0 / 400.0, third),
            (Init::TruncatedNormal { std: 0.05 }, (0.05 * LEFT_BY_CUT).powi(2), cut),
        ] {
            let values = weight.draw(init, 3).unwrap();
            let count = values.len() as f64;
            let ((largest, mean), deviation) = (spread(&values), f64::sqrt(variance));
            let squares = values.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
            assert!(mean.abs() < 5.0 * deviation / count.sqrt(), "{init:?}: mean {mean}");
            assert!((squares.sqrt() / deviation - 1.0).abs() < 0.005, "{init:?}: deviation {}", squares.sqrt());
            let bound = largest_deviations * deviation;
            assert!(largest <= bound * (1.0 + 1e-6) && largest > 0.999 * bound, "{init:?}: {largest} for {bound}");
            // A normal distribution has 68.3 % within one of its deviations, of the 95.4 % before the cut.
            let within = values.iter().filter(|v| f64::from(v.abs()) < deviation / LEFT_BY_CUT).count() as f64 / count;
            let expected = if largest_deviations == cut { 0.682_689 / 0.954_500 } else { 1.0 / (third * LEFT_BY_CUT) };
            assert!((within - expected).abs() < 0.005, "{init:?}: {within} for {expected}");
            assert!(bias.draw(init, 3).unwrap().iter().all(|b| *b == 0.0));
        }
    }

    #[test]
    fn orthogonal_weights_are_orthogonal() {
        for shape in [vec![60, 20], vec![20, 60], vec![33, 33], vec![3, 3, 4, 8], vec![1, 5], vec![5, 1]] {
            let columns = *shape.last().unwrap();
            let weight = ParameterSpec::weight("weight", shape.clone(), 1, 1);
            let values = weight.draw(Init::Orthogonal, 5).unwrap();
            let rows = values.len() / columns;
            let at = |vector: usize, place: usize| {
                f64::from(if rows >= columns {
                    values[place * columns + vector]
                } else {
                    values[vector * columns + place]
                })
            };
            for (a, b) in (0..rows.min(columns)).flat_map(|a| (0..=a).map(move |b| (a, b))) {
                let product: f64 = (0..rows.max(columns)).map(|place| at(a, place) * at(b, place)).sum();
                assert!((product - f64::from(u8::from(a == b))).abs() < 1e-6, "{shape:?}: {a} · {b} = {product}");
            }
        }
        // Either sign is as likely.
        let weight = ParameterSpec::weight("weight", [1, 1], 1, 1);
        let positive = (0..200).filter(|seed| weight.draw(Init::Orthogonal, *seed).unwrap()[0] > 0.0).count();
        assert!((60..140).contains(&positive), "{positive}");
    }

    #[test]
    fn a_standard_deviation_of_nothing_is_refused() {
        let weight = ParameterSpec::weight("weight", [2, 2], 2, 2);
        for std in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            for (init, place) in [(Init::TruncatedNormal { std }, "TruncatedNormal"), (Init::Normal { std }, "Normal")]
            {
                let error = weight.draw(init, 1).unwrap_err().to_string();
                let expected = format!("Init::{place}: expected a standard deviation above 0, and at most 1e30");
                assert_eq!(error, format!("{expected}, got {std}"));
            }
        }
    }

    /// Moments and tails: of n values, that many lie beyond two and three standard deviations, and none are cut.
    #[test]
    fn a_plain_normal_distribution_is_not_cut() {
        let values = ParameterSpec::weight("weight", [500, 500], 500, 500).draw(Init::Normal { std: 0.02 }, 3).unwrap();
        let (largest, mean) = spread(&values);
        let count = values.len() as f64;
        let beyond = |deviations: f32| values.iter().filter(|v| v.abs() > deviations * 0.02).count() as f64 / count;
        let square = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / count;
        assert!(mean.abs() < 5.0 * 0.02 / count.sqrt() && (square.sqrt() / 0.02 - 1.0).abs() < 0.005, "{square}");
        assert!((beyond(2.0) - 0.0455).abs() < 0.0015 && (beyond(3.0) - 0.0027).abs() < 0.0005, "{}", beyond(2.0));
        assert!(largest > 0.08);
        let bias = ParameterSpec::bias("bias", [5], 500).draw(Init::Normal { std: 0.02 }, 3).unwrap();
        assert_eq!(bias, [0.0; 5]);
    }
}
