//! Matrix products.

use std::sync::Arc;

use super::{Tensor, count, operation};
use crate::{
    engine::{Accumulate, Buffer, GatherLhs, PackedRhs, gemm_in_parallel, offsets},
    nn::tape::Gradients,
};

/// A matrix, row by row, or the transpose of one.
#[derive(Clone, Copy)]
struct Matrix<'a> {
    values: &'a [f32],
    /// Of the matrix itself, so after transposing.
    rows: usize,
    columns: usize,
    transposed: bool,
}

impl<'a> Matrix<'a> {
    fn new(values: &'a [f32], [rows, columns]: [usize; 2]) -> Self {
        Self { values, rows, columns, transposed: false }
    }

    fn transpose(self) -> Self {
        Self { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    /// How far apart rows lie, and columns.
    fn strides(self) -> [usize; 2] {
        if self.transposed { [1, self.rows] } else { [self.columns, 1] }
    }

    fn times(self, other: Self, out: &mut [f32]) {
        if self.columns == 0 || out.is_empty() {
            return out.fill(0.0);
        }
        let ([row, step], [other_step, column]) = (self.strides(), other.strides());
        let rows = offsets(self.rows, row);
        let steps = offsets(self.columns, step);
        let lhs = GatherLhs { values: self.values, rows: &rows, steps: &steps };
        let rhs = PackedRhs::pack(other.values, &offsets(other.rows, other_step), other.columns, column);
        gemm_in_parallel(lhs, &rhs, Accumulate::Zero, 1.0, out);
    }
}

impl Tensor {
    /// The matrix product of (…, n, k) and (k, m), or of (b, n, k) and (b, k, m) batch by batch.
    ///
    /// ```
    /// use latentlab::{Tensor, ndarray::array};
    ///
    /// let (a, b) = (Tensor::from(&array![[1.0f32, 2.0]]), Tensor::from(&array![[3.0f32], [4.0]]));
    /// assert_eq!(a.matmul(&b).to_array()?, array![[11.0]].into_dyn());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn matmul(&self, other: &Self) -> Self {
        operation("matmul", &[self, other], |inputs| {
            let [a_shape, b_shape] = [&inputs[0].shape[..], &inputs[1].shape[..]];
            let wrong = || Err(format!("expected (n, k) and (k, m), got {a_shape:?} and {b_shape:?}"));
            let (batch, [n, k, m]) = match (a_shape, b_shape) {
                ([batch, n, k], [other, steps, m]) if batch == other && k == steps => (*batch, [*n, *k, *m]),
                ([rows @ .., k], [steps, m]) if k == steps && !rows.is_empty() => (1, [rows.iter().product(), *k, *m]),
                _ => return wrong(),
            };
            let shape = [&a_shape[..a_shape.len() - 1], &[m]].concat();
            let mut product = Buffer::unset(count(&shape)?);
            let [a, b] = [0, 1].map(|index: usize| inputs[index].variable.clone());
            let each = move |index: usize, [a, b]: [usize; 2]| index * a * b..(index + 1) * a * b;
            for index in 0..batch {
                let [x, y] = [(&a, [n, k]), (&b, [k, m])]
                    .map(|(variable, shape)| Matrix::new(&variable.values[each(index, shape)], shape));
                x.times(y, &mut product[each(index, [n, m])]);
            }
            Ok((shape, Arc::new(product), move |g: Buffer, gradients: &mut Gradients| {
                for left in [true, false] {
                    let variable = if left { &a } else { &b };
                    if !variable.needs_gradient {
                        continue;
                    }
                    let mut gradient = Buffer::unset(variable.values.len());
                    for index in 0..batch {
                        let g = Matrix::new(&g[each(index, [n, m])], [n, m]);
                        if left {
                            let b = Matrix::new(&b.values[each(index, [k, m])], [k, m]);
                            g.times(b.transpose(), &mut gradient[each(index, [n, k])]);
                        } else {
                            let a = Matrix::new(&a.values[each(index, [n, k])], [n, k]);
                            a.transpose().times(g, &mut gradient[each(index, [k, m])]);
                        }
                    }
                    gradients.add_to(variable, gradient);
                }
            }))
        })
    }
}
