//! The affinities p of neighbours, from their distances.

use rayon::prelude::*;

use crate::analyse::neighbours::Neighbours;

/// The joint probabilities pᵢⱼ = pⱼᵢ of neighbours, row by row; they sum to 1.
pub(super) struct Affinities {
    /// The end of each row, where the next one starts.
    ends: Vec<usize>,
    indices: Vec<u32>,
    values: Vec<f32>,
}

/// Rows that are joined at a time: enough for all threads, few enough to need little memory.
const BAND: usize = 4096;

impl Affinities {
    /// pᵢⱼ = (pⱼ|ᵢ + pᵢ|ⱼ) / 2n, of all points' nearest neighbours.
    pub fn new(neighbours: Neighbours, perplexity: f64) -> Self {
        let count = neighbours.count;
        let n = neighbours.indices.len() / count;
        let (forth, conditional) = conditional(neighbours, perplexity);
        // The points that have each point among their neighbours, in order.
        let mut starts = vec![0; n + 1];
        forth.iter().for_each(|&j| starts[j as usize + 1] += 1);
        (0..n).for_each(|j| starts[j + 1] += starts[j]);
        let (mut next, mut back) = (starts.clone(), vec![(0, 0.0); forth.len()]);
        for (entry, (&j, &p)) in forth.iter().zip(&conditional).enumerate() {
            back[next[j as usize]] = ((entry / count) as u32, p);
            next[j as usize] += 1;
        }
        let joined = |i: usize| {
            let own = i * count..(i + 1) * count;
            let own = forth[own.clone()].iter().copied().zip(conditional[own].iter().copied());
            let mut row: Vec<(u32, f32)> = own.chain(back[starts[i]..starts[i + 1]].iter().copied()).collect();
            row.sort_unstable_by_key(|entry| entry.0);
            row.dedup_by(|later, first| {
                let same = later.0 == first.0;
                first.1 += if same { later.1 } else { 0.0 };
                same
            });
            row.iter_mut().for_each(|entry| entry.1 /= 2.0 * n as f32);
            row
        };
        // Room for the case that no two points are each other's neighbours: what is not written costs no memory.
        let most = 2 * forth.len();
        let (mut ends, mut indices, mut values) =
            (Vec::with_capacity(n), Vec::with_capacity(most), Vec::with_capacity(most));
        for band in (0..n).step_by(BAND) {
            let rows: Vec<_> = (band..n.min(band + BAND)).into_par_iter().map(joined).collect();
            for row in rows {
                indices.extend(row.iter().map(|entry| entry.0));
                values.extend(row.iter().map(|entry| entry.1));
                ends.push(indices.len());
            }
        }
        indices.shrink_to_fit();
        values.shrink_to_fit();
        Self { ends, indices, values }
    }

    /// The neighbours of a point and their pᵢⱼ.
    pub fn row(&self, i: usize) -> (&[u32], &[f32]) {
        let row = if i == 0 { 0 } else { self.ends[i - 1] }..self.ends[i];
        (&self.indices[row.clone()], &self.values[row])
    }
}

/// The neighbours of every point and their pⱼ|ᵢ: a Gaussian of the distance with the width that gives the perplexity;
/// each row sums to 1.
pub(super) fn conditional(neighbours: Neighbours, perplexity: f64) -> (Vec<u32>, Vec<f32>) {
    let Neighbours { count, indices, mut distances } = neighbours;
    distances.par_chunks_mut(count).for_each(|row| row.copy_from_slice(&gaussian(row, perplexity)));
    (indices, distances)
}

/// Finds the β at which exp(−β d²), normalised, has the entropy ln(perplexity).
fn gaussian(distances: &[f32], perplexity: f64) -> Vec<f32> {
    const TOLERANCE: f64 = 1e-5;
    let nearest = f64::from(distances[0]);
    let distances: Vec<f64> = distances.iter().map(|&distance| f64::from(distance) - nearest).collect();
    let mean = distances.iter().sum::<f64>() / distances.len() as f64;
    if mean == 0.0 {
        return vec![1.0 / distances.len() as f32; distances.len()];
    }
    let (mut beta, mut low, mut high) = (1.0 / mean, 0.0, f64::INFINITY);
    let mut weights = vec![0.0; distances.len()];
    // 200 bisections reach any number; equal nearest distances bound the entropy from below.
    for _ in 0..200 {
        let (mut sum, mut weighted) = (0.0, 0.0);
        for (weight, distance) in weights.iter_mut().zip(&distances) {
            *weight = (-beta * distance).exp();
            sum += *weight;
            weighted += *weight * distance;
        }
        let excess = sum.ln() + beta * weighted / sum - perplexity.ln();
        weights.iter_mut().for_each(|weight| *weight /= sum);
        if excess.abs() < TOLERANCE {
            break;
        }
        if excess > 0.0 {
            low = beta;
            beta = if high.is_finite() { 0.5 * (low + high) } else { 2.0 * beta };
        } else {
            high = beta;
            beta = 0.5 * (low + high);
        }
        if !beta.is_finite() {
            break;
        }
    }
    // Smaller weights change no sum, and products with them would be subnormal, which is slow.
    weights.into_iter().map(|weight| if weight < 1e-30 { 0.0 } else { weight as f32 }).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use rand::Rng;

    use super::*;
    use crate::analyse::neighbours::KnownPoints;
    use crate::random;

    #[test]
    fn affinities_are_those_of_the_definition() {
        const N: usize = BAND + 100; // more than are joined at a time
        let mut random = random::stream(5, 0);
        let points = Array2::from_shape_simple_fn((N, 2), || random.r#gen::<f32>());
        let find = || Neighbours::find(&points, &KnownPoints::new(&points), 6, true, drop);
        let (indices, conditional) = conditional(find(), 2.0);
        let mut joint = std::collections::BTreeMap::<(usize, usize), f32>::new();
        for (entry, (&j, p)) in indices.iter().zip(&conditional).enumerate() {
            let (i, j) = (entry / 6, j as usize);
            *joint.entry((i, j)).or_default() += p;
            *joint.entry((j, i)).or_default() += p;
        }
        let affinities = Affinities::new(find(), 2.0);
        let rows = (0..N).flat_map(|i| {
            let (indices, values) = affinities.row(i);
            indices.iter().zip(values).map(move |(&j, &p)| ((i, j as usize), p))
        });
        assert!(rows.eq(joint.into_iter().map(|(place, p)| (place, p / (2.0 * N as f32)))));
        assert_eq!(affinities.ends.last(), Some(&affinities.values.len()));
    }

    #[test]
    fn gaussians_have_the_perplexity() {
        let distances: Vec<f32> = (1..=30).map(|i| (i * i) as f32).collect();
        for perplexity in [1.5, 5.0, 10.0] {
            let weights = gaussian(&distances, perplexity);
            let entropy: f64 = weights.iter().filter(|p| **p > 0.0).map(|&p| -f64::from(p) * f64::from(p).ln()).sum();
            assert!((entropy.exp() / perplexity - 1.0).abs() < 1e-4, "{}", entropy.exp());
        }
        assert_eq!(gaussian(&[0.0; 4], 2.0), [0.25; 4]);
        assert_eq!(gaussian(&[1.0, 1.0, 1.0, 9.0], 2.0)[3], 0.0); // three nearest: no Gaussian has a perplexity below 3
    }
}
