//! New points in a finished embedding, each independently.

use rayon::prelude::*;

use super::affinities::conditional;
use super::descent::pull;
use super::repulsion::{Potential, Repulsion};
use crate::analyse::neighbours::Neighbours;

const ITERATIONS: usize = 200;
const RATE: f32 = 0.5;
const MOMENTUM: f32 = 0.5;

/// Places each new point where the attraction to its neighbours in the embedding balances the repulsion from all of the
/// embedding; starts at the median of its neighbours.
pub(super) fn place(neighbours: Neighbours, perplexity: f64, embedding: &[[f32; 2]]) -> Vec<[f32; 2]> {
    let count = neighbours.count;
    let (indices, conditional) = conditional(neighbours, perplexity);
    let potential = Potential::of(embedding, None);
    // In the embedding, a point's affinities sum to about 1 / n, not to 1.
    let share = embedding.len() as f32 / Repulsion::of(embedding, None).total;
    let rows = indices.par_chunks(count).zip(conditional.par_chunks(count));
    let placed = rows.map(|(indices, values)| {
        let mut point = [0, 1].map(|axis| median(indices.iter().map(|&j| embedding[j as usize][axis]).collect()));
        let mut step = [0.0; 2];
        for _ in 0..ITERATIONS {
            let pull = pull((indices, values), point, embedding);
            let (_, push) = potential.at(point);
            for axis in 0..2 {
                step[axis] = MOMENTUM * step[axis] - RATE * (pull[axis] - share * push[axis]);
                point[axis] += step[axis];
            }
        }
        point
    });
    placed.collect()
}

fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}
