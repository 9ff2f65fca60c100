//! Gradient descent on an embedding.

use std::time::Instant;

use rand::Rng;
use rayon::prelude::*;

use super::affinities::Affinities;
use super::repulsion::Repulsion;
use crate::random;

/// How strong attraction is, and how long the steps are: in the early iterations, and afterwards.
pub(super) struct Rates {
    pub early_iterations: usize,
    pub exaggeration: [f32; 2],
    pub learning_rate: [f32; 2],
}

/// Momentum in the early iterations, and afterwards (van der Maaten & Hinton, 2008).
const MOMENTUM: [f32; 2] = [0.5, 0.8];

/// The longest step of a point (openTSNE's `max_step_norm`): one pushed far by a near neighbour would enlarge the grid.
const LONGEST: f32 = 5.0;

/// An embedding during gradient descent.
pub(super) struct Descent<'a> {
    affinities: &'a Affinities,
    pub points: Vec<[f32; 2]>,
    motions: Vec<Motion>,
    repulsion: Option<Repulsion>,
    iteration: usize,
    rates: Rates,
}

/// The last step of a point's coordinates, and the gains of their learning rates (Jacobs' delta-bar-delta).
#[derive(Clone)]
struct Motion {
    step: [f32; 2],
    gain: [f32; 2],
}

impl<'a> Descent<'a> {
    pub fn new(affinities: &'a Affinities, points: Vec<[f32; 2]>, rates: Rates) -> Self {
        let motions = vec![Motion { step: [0.0; 2], gain: [1.0; 2] }; points.len()];
        Self { affinities, points, motions, repulsion: None, iteration: 0, rates }
    }

    /// One iteration.
    pub fn step(&mut self) {
        let phase = usize::from(self.iteration >= self.rates.early_iterations);
        let (exaggeration, rate) = (self.rates.exaggeration[phase], self.rates.learning_rate[phase]);
        let momentum = MOMENTUM[phase];
        let (affinities, points) = (self.affinities, &self.points);
        let repulsion = Repulsion::of(points, self.repulsion.take());
        let moved = self.motions.par_iter_mut().zip(&repulsion.forces).enumerate().map(|(i, (motion, push))| {
            let pull = pull(affinities.row(i), points[i], points);
            let gradient = [0, 1].map(|axis| exaggeration * pull[axis] - push[axis] / repulsion.total);
            motion.advance(gradient, rate, momentum);
            [0, 1].map(|axis| points[i][axis] + motion.step[axis])
        });
        self.points = moved.collect();
        self.repulsion = Some(repulsion);
        self.iteration += 1;
    }
}

/// About how many seconds an iteration takes with `n` points that have `count` neighbours each: measured on random
/// points that lie as far apart as those of an embedding halfway.
pub(super) fn rehearse(n: usize, count: usize) -> f64 {
    /// The points whose neighbours are looked at.
    const PULLED: usize = 4096;
    /// In the end 10,000 points reach 96 from the middle and 40,000 reach 109.
    const RADIUS: f32 = 80.0;
    let mut random = random::stream(0, 0);
    let mut coordinate = || random.gen_range(-RADIUS..RADIUS);
    let points: Vec<[f32; 2]> = (0..n).map(|_| [coordinate(), coordinate()]).collect();
    // About half of a point's neighbours do not have it among theirs.
    let affinities: Vec<(u32, f32)> =
        (0..3 * count / 2 * PULLED).map(|_| (random.gen_range(0..n as u32), 1.0)).collect();
    let (indices, values): (Vec<u32>, Vec<f32>) = affinities.into_iter().unzip();
    let planned = Repulsion::of(&points, None);
    let clock = Instant::now();
    std::hint::black_box(Repulsion::of(&points, Some(planned)));
    let repulsion = clock.elapsed().as_secs_f64();
    let clock = Instant::now();
    let rows = indices.par_chunks(indices.len() / PULLED).zip(values.par_chunks(values.len() / PULLED));
    let pulls: Vec<[f32; 2]> = rows.map(|row| pull(row, [0.0; 2], &points)).collect();
    std::hint::black_box(pulls);
    repulsion + clock.elapsed().as_secs_f64() * n as f64 / PULLED as f64
}

/// The Kullback-Leibler divergence Σ pᵢⱼ ln(pᵢⱼ / qᵢⱼ) of an embedding.
pub(super) fn divergence(affinities: &Affinities, points: &[[f32; 2]]) -> f64 {
    let rows = (0..points.len()).into_par_iter().map(|i| {
        let (indices, values) = affinities.row(i);
        let terms = indices.iter().zip(values).filter(|(_, p)| **p > 0.0).map(|(&j, &p)| {
            let [dx, dy] = difference(points[i], points[j as usize]).map(f64::from);
            f64::from(p) * (f64::from(p).ln() + (dx * dx + dy * dy).ln_1p())
        });
        terms.sum::<f64>()
    });
    let rows: Vec<f64> = rows.collect();
    rows.iter().sum::<f64>() + f64::from(Repulsion::of(points, None).total).ln()
}

impl Motion {
    fn advance(&mut self, gradient: [f32; 2], rate: f32, momentum: f32) {
        for ((gradient, step), gain) in gradient.iter().zip(&mut self.step).zip(&mut self.gain) {
            let same_direction = (*gradient > 0.0) != (*step > 0.0);
            *gain = if same_direction { *gain + 0.2 } else { (0.8 * *gain).max(0.01) };
            *step = momentum * *step - rate * *gain * gradient;
        }
        let length = self.step[0].hypot(self.step[1]);
        if length > LONGEST {
            self.step = self.step.map(|step| step * LONGEST / length);
        }
    }
}

fn difference(a: [f32; 2], b: [f32; 2]) -> [f32; 2] {
    [a[0] - b[0], a[1] - b[1]]
}

/// Σⱼ pⱼ (y − yⱼ) / (1 + |y − yⱼ|²).
pub(super) fn pull((indices, values): (&[u32], &[f32]), point: [f32; 2], points: &[[f32; 2]]) -> [f32; 2] {
    let mut sum = [0.0; 2];
    for (&j, &p) in indices.iter().zip(values) {
        let [dx, dy] = difference(point, points[j as usize]);
        let strength = p / (1.0 + dx * dx + dy * dy);
        sum[0] += strength * dx;
        sum[1] += strength * dy;
    }
    sum
}
