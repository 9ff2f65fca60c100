//! Eigenvalues and eigenvectors of a symmetric matrix, in double precision: Householder's reflections to three diagonals, then the
//! implicit QL method (Golub & Van Loan, Matrix Computations, ch. 8).
//!
//! Our own, because a covariance of pictures (784 × 784) is to be a matter of a second: rows are rotated in vectors and on all threads.

use crate::engine::vectorized;
use rayon::prelude::*;

/// Coordinates that are rotated together.
const STRIP: usize = 64;

/// Rows that are worth a task of their own.
const ROWS: usize = 32;

/// More than any eigenvalue has been seen to need (two or three on average).
const MOST_SWEEPS: usize = 60;

/// The `count` greatest eigenvalues of a matrix (size, size), row by row, and their eigenvectors, each of length 1.
pub(super) fn greatest(matrix: Vec<f64>, size: usize, count: usize) -> Vec<(f64, Vec<f64>)> {
    let Tridiagonal { mut diagonal, mut beside, mirrors } = tridiagonal(matrix, size);
    let mut strips = identity(size);
    for first in 0..size {
        for _ in 0..MOST_SWEEPS {
            let last = (first..size - 1).find(|&i| is_negligible(&diagonal, &beside, i)).unwrap_or(size - 1);
            if last == first {
                break;
            }
            let turns = sweep(&mut diagonal, &mut beside, first, last);
            strips.par_iter_mut().for_each(|strip| rotate(strip, &turns));
        }
    }
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| diagonal[b].total_cmp(&diagonal[a]));
    let vector = |column: usize| {
        let mut vector: Vec<f64> = strips.iter().flat_map(|strip| strip[column]).take(size).collect();
        for (k, mirror) in mirrors.iter().enumerate().rev() {
            reflect(&mut vector[k + 1..], mirror);
        }
        vector
    };
    order[..count].iter().map(|&column| (diagonal[column], vector(column))).collect()
}

struct Tridiagonal {
    diagonal: Vec<f64>,
    /// The values beside the diagonal, and a last zero.
    beside: Vec<f64>,
    /// The unit vectors of the reflections; the k-th acts on the coordinates from k + 1 on.
    mirrors: Vec<Vec<f64>>,
}

fn tridiagonal(mut matrix: Vec<f64>, size: usize) -> Tridiagonal {
    let (mut beside, mut mirrors) = (vec![0.0; size], Vec::new());
    for k in 0..size.saturating_sub(2) {
        let mut mirror = matrix[k * size + k + 1..(k + 1) * size].to_vec();
        let length = dot(&mirror, &mirror).sqrt();
        beside[k] = if mirror[0] > 0.0 { -length } else { length };
        mirror[0] -= beside[k];
        let length = dot(&mirror, &mirror).sqrt();
        if length > 0.0 {
            mirror.iter_mut().for_each(|value| *value /= length);
        }
        let below = &mut matrix[(k + 1) * size..];
        let image = below.par_chunks(size).with_min_len(ROWS).map(|row| dot(&row[k + 1..], &mirror));
        let image: Vec<f64> = image.collect();
        let along = dot(&image, &mirror);
        let other: Vec<f64> = image.iter().zip(&mirror).map(|(image, mirror)| 2.0 * (image - along * mirror)).collect();
        below.par_chunks_mut(size).with_min_len(ROWS).enumerate().for_each(|(i, row)| {
            subtract(&mut row[k + 1..], mirror[i], &other, other[i], &mirror);
        });
        mirrors.push(mirror);
    }
    if size > 1 {
        beside[size - 2] = matrix[(size - 1) * size - 1];
    }
    Tridiagonal { diagonal: matrix.iter().copied().step_by(size + 1).collect(), beside, mirrors }
}

vectorized! {
    fn dot(a: &[f64], b: &[f64]) -> f64 {
        let ((fours, rest), (other_fours, other_rest)) = (a.as_chunks::<16>(), b.as_chunks::<16>());
        let mut sums = [0.0; 16];
        for (a, b) in fours.iter().zip(other_fours) {
            for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
                *sum += a * b;
            }
        }
        sums.iter().sum::<f64>() + rest.iter().zip(other_rest).map(|(a, b)| a * b).sum::<f64>()
    }

    /// row − a · x − b · y.
    fn subtract(row: &mut [f64], a: f64, x: &[f64], b: f64, y: &[f64]) {
        for ((value, x), y) in row.iter_mut().zip(x).zip(y) {
            *value -= a * x + b * y;
        }
    }

    /// Turns pairs of neighbouring columns.
    fn rotate(strip: &mut [[f64; STRIP]], turns: &[Turn]) {
        for &Turn { column, cos, sin } in turns {
            if let [left, right, ..] = &mut strip[column..] {
                for (left, right) in left.iter_mut().zip(right) {
                    (*left, *right) = (cos * *left - sin * *right, sin * *left + cos * *right);
                }
            }
        }
    }
}

fn reflect(vector: &mut [f64], mirror: &[f64]) {
    let twice = 2.0 * dot(vector, mirror);
    vector.iter_mut().zip(mirror).for_each(|(value, mirror)| *value -= twice * mirror);
}

/// The identity matrix in strips of 64 rows, each column by column: (strips, size, 64).
fn identity(size: usize) -> Vec<Vec<[f64; STRIP]>> {
    let strip = |first: usize| {
        let column = |column: usize| std::array::from_fn(|row| if first + row == column { 1.0 } else { 0.0 });
        (0..size).map(column).collect()
    };
    (0..size).step_by(STRIP).map(strip).collect()
}

fn is_negligible(diagonal: &[f64], beside: &[f64], i: usize) -> bool {
    beside[i].abs() <= f64::EPSILON * (diagonal[i].abs() + diagonal[i + 1].abs())
}

/// A rotation of a column and the next.
struct Turn {
    column: usize,
    cos: f64,
    sin: f64,
}

/// One implicit QL step with Wilkinson's shift on the rows from `first` to `last`.
fn sweep(diagonal: &mut [f64], beside: &mut [f64], first: usize, last: usize) -> Vec<Turn> {
    let ratio = (diagonal[first + 1] - diagonal[first]) / (2.0 * beside[first]);
    let root = ratio.hypot(1.0).copysign(ratio);
    let mut bulge = diagonal[last] - diagonal[first] + beside[first] / (ratio + root);
    let (mut sin, mut cos, mut shift) = (1.0, 1.0, 0.0);
    let mut turns = Vec::with_capacity(last - first);
    for column in (first..last).rev() {
        let (off, kept) = (sin * beside[column], cos * beside[column]);
        let length = off.hypot(bulge);
        beside[column + 1] = length;
        if length == 0.0 {
            // The matrix falls apart here.
            diagonal[column + 1] -= shift;
            beside[last] = 0.0;
            return turns;
        }
        (sin, cos) = (off / length, bulge / length);
        let next = diagonal[column + 1] - shift;
        let change = (diagonal[column] - next) * sin + 2.0 * cos * kept;
        shift = sin * change;
        diagonal[column + 1] = next + shift;
        bulge = cos * change - kept;
        turns.push(Turn { column, cos, sin });
    }
    diagonal[first] -= shift;
    beside[first] = bulge;
    beside[last] = 0.0;
    turns
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::random;

    #[test]
    fn a_matrix_stretches_its_eigenvectors() {
        let mut random = random::stream(0, 0);
        for size in [1, 2, 3, 10, 130] {
            let mut matrix = vec![0.0; size * size];
            for i in 0..size {
                for j in 0..=i {
                    let value = random.gen_range(-1.0..1.0);
                    (matrix[i * size + j], matrix[j * size + i]) = (value, value);
                }
            }
            let pairs = greatest(matrix.clone(), size, size);
            let trace: f64 = matrix.iter().step_by(size + 1).sum();
            assert!((pairs.iter().map(|pair| pair.0).sum::<f64>() - trace).abs() < 1e-10 * size as f64);
            for (k, (value, vector)) in pairs.iter().enumerate() {
                for (row, x) in matrix.chunks_exact(size).zip(vector) {
                    assert!((dot(row, vector) - value * x).abs() < 1e-10, "{size}");
                }
                for (other, (_, against)) in pairs.iter().enumerate() {
                    assert!((dot(vector, against) - f64::from(u8::from(k == other))).abs() < 1e-10, "{size}");
                }
            }
        }
    }

    #[test]
    fn zeros_and_equal_values_are_no_trouble() {
        assert_eq!(greatest(vec![0.0; 9], 3, 2).iter().map(|pair| pair.0).collect::<Vec<_>>(), [0.0, 0.0]);
        let equal = vec![2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0];
        assert_eq!(greatest(equal, 3, 3).iter().map(|pair| pair.0).collect::<Vec<_>>(), [2.0; 3]);
        let ones = greatest(vec![1.0; 100], 10, 2);
        assert!((ones[0].0 - 10.0).abs() < 1e-12 && ones[1].0.abs() < 1e-12);
    }
}
