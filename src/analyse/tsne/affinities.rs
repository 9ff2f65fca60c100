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

impl Affinities {
    /// pᵢⱼ = (pⱼ|ᵢ + pᵢ|ⱼ) / 2n, of all points' nearest neighbours.
    pub fn new(neighbours: &Neighbours, perplexity: f64) -> Self {
        let n = neighbours.indices.len() / neighbours.count;
        let conditional = conditional(neighbours, perplexity);
        // The points that have each point among their neighbours, in order.
        let mut ends = vec![0; n + 1];
        neighbours.indices.iter().for_each(|&j| ends[j as usize + 1] += 1);
        (0..n).for_each(|j| ends[j + 1] += ends[j]);
        let (mut next, mut back) = (ends.clone(), vec![(0, 0.0); neighbours.indices.len()]);
        for (entry, (&j, &p)) in neighbours.indices.iter().zip(&conditional).enumerate() {
            back[next[j as usize]] = ((entry / neighbours.count) as u32, p);
            next[j as usize] += 1;
        }
        let rows = neighbours.indices.par_chunks(neighbours.count).zip(conditional.par_chunks(neighbours.count));
        let rows = rows.enumerate().map(|(i, (indices, values))| {
            let mut row: Vec<(u32, f32)> = indices.iter().copied().zip(values.iter().copied()).collect();
            row.extend(&back[ends[i]..ends[i + 1]]);
            row.sort_unstable_by_key(|entry| entry.0);
            row.dedup_by(|later, first| {
                let same = later.0 == first.0;
                first.1 += if same { later.1 } else { 0.0 };
                same
            });
            row.iter_mut().for_each(|entry| entry.1 /= 2.0 * n as f32);
            row
        });
        let rows: Vec<Vec<(u32, f32)>> = rows.collect();
        let mut end = 0;
        let ends = rows.iter().map(|row| {
            end += row.len();
            end
        });
        let ends = ends.collect();
        let (indices, values) = rows.into_iter().flatten().unzip();
        Self { ends, indices, values }
    }

    /// The neighbours of a point and their pᵢⱼ.
    pub fn row(&self, i: usize) -> (&[u32], &[f32]) {
        let row = if i == 0 { 0 } else { self.ends[i - 1] }..self.ends[i];
        (&self.indices[row.clone()], &self.values[row])
    }
}

/// pⱼ|ᵢ for the neighbours of every point: a Gaussian of the distance with the width that gives the perplexity; each
/// row sums to 1.
pub(super) fn conditional(neighbours: &Neighbours, perplexity: f64) -> Vec<f32> {
    neighbours.rows().flat_map_iter(|(_, distances)| gaussian(distances, perplexity)).collect()
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
    use super::*;

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
