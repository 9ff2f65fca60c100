//! Eigenvalues and eigenvectors of a symmetric matrix, in double precision, by the crate nalgebra.
//!
//! A parallel solver of our own that was here took the same processor time for 784 values (0.26 s) and five times as
//! much for 112; nalgebra uses one thread. linfa-linalg's `eigh` takes three times as long for the whole PCA; faer
//! takes less, but 40 crates that compile for 108 s of processor time before a notebook starts, where nalgebra has 5
//! crates and 14 s.

use nalgebra::{DMatrix, SymmetricEigen};

use crate::error::{Error, Result};

/// Iterations for one eigenvalue; two or three are usual.
const MOST_ITERATIONS: usize = 60;

/// The `count` greatest eigenvalues of a matrix (size, size) and their eigenvectors, each of length 1.
pub(super) fn greatest(matrix: Vec<f64>, size: usize, count: usize) -> Result<Vec<(f64, Vec<f64>)>> {
    let failed = || {
        let error = Error::argument("pca, codes", "codes whose covariance's eigenvalues are found", "others");
        error.hint("Divide the codes by a number, or take PcaMethod::Linfa")
    };
    let matrix = DMatrix::from_vec(size, size, matrix);
    let found = SymmetricEigen::try_new(matrix, f64::EPSILON, MOST_ITERATIONS * size).ok_or_else(failed)?;
    let mut order: Vec<usize> = (0..size).collect();
    order.sort_by(|&a, &b| found.eigenvalues[b].total_cmp(&found.eigenvalues[a]));
    let vector = |column: usize| found.eigenvectors.column(column).iter().copied().collect();
    Ok(order[..count].iter().map(|&column| (found.eigenvalues[column], vector(column))).collect())
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::random;

    fn dot(a: &[f64], b: &[f64]) -> f64 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn eigenvectors_are_scaled_by_their_eigenvalues() {
        let mut random = random::stream(0, 0);
        for size in [1, 2, 3, 10, 130] {
            let mut matrix = vec![0.0; size * size];
            for i in 0..size {
                for j in 0..=i {
                    let value = random.gen_range(-1.0..1.0);
                    (matrix[i * size + j], matrix[j * size + i]) = (value, value);
                }
            }
            let pairs = greatest(matrix.clone(), size, size).unwrap();
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
    fn zeros_and_equal_values_are_handled() {
        assert_eq!(greatest(vec![0.0; 9], 3, 2).unwrap().iter().map(|pair| pair.0).collect::<Vec<_>>(), [0.0, 0.0]);
        let equal = vec![2.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 2.0];
        assert_eq!(greatest(equal, 3, 3).unwrap().iter().map(|pair| pair.0).collect::<Vec<_>>(), [2.0; 3]);
        let ones = greatest(vec![1.0; 100], 10, 2).unwrap();
        assert!((ones[0].0 - 10.0).abs() < 1e-12 && ones[1].0.abs() < 1e-12);
    }
}
