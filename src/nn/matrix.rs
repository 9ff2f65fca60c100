//! Matrix products: safe, row-major, each on the calling thread (the layers split the work between the threads).

use gemm::Parallelism;

/// A matrix in a slice, row by row or (transposed) column by column.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    transposed: bool,
    /// How far apart two neighbouring rows of the slice lie: more than its width if it is a block of a wider matrix.
    stride: usize,
}

impl<'a> Matrix<'a> {
    /// `values` as `(rows, columns)`, row by row.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::block(values, rows, columns, columns)
    }

    /// The `(rows, columns)` at the start of `values`, whose rows lie `stride` apart.
    pub fn block(values: &'a [f32], rows: usize, columns: usize, stride: usize) -> Self {
        assert!(stride >= columns && (rows == 0 || values.len() >= (rows - 1) * stride + columns));
        Self { values, rows, columns, transposed: false, stride }
    }

    /// The transposed matrix, without moving a number.
    pub fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    fn strides(&self) -> (isize, isize) {
        if self.transposed { (1, self.stride as isize) } else { (self.stride as isize, 1) }
    }
}

/// `out = left · right`, or `out += left · right` where `add` is set; `out` is `(left.rows, right.columns)`.
pub(crate) fn product(left: Matrix<'_>, right: Matrix<'_>, out: &mut [f32], add: bool) {
    assert!(left.columns == right.rows && out.len() == left.rows * right.columns);
    let ((left_row, left_column), (right_row, right_column)) = (left.strides(), right.strides());
    // SAFETY: `block` has checked that every element of the two views lies in its slice, and the assertion above that the
    // row-major result fills `out` exactly; `out` is borrowed mutably, so it overlaps neither.
    unsafe {
        gemm::gemm(
            left.rows,
            right.columns,
            left.columns,
            out.as_mut_ptr(),
            1,
            right.columns as isize,
            add,
            left.values.as_ptr(),
            left_column,
            left_row,
            right.values.as_ptr(),
            right_column,
            right_row,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_plain_blocked_and_transposed_views() {
        let a: Vec<f32> = (1..=6).map(|v| v as f32).collect(); // (2, 3)
        let b: Vec<f32> = (1..=12).map(|v| v as f32).collect(); // (3, 4)
        let mut out = vec![0.0; 8];
        product(Matrix::new(&a, 2, 3), Matrix::new(&b, 3, 4), &mut out, false);
        assert_eq!(out, [38.0, 44.0, 50.0, 56.0, 83.0, 98.0, 113.0, 128.0]);

        // The same through transposed storage, added to what is there.
        let a_by_columns = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
        product(Matrix::new(&a_by_columns, 3, 2).transposed(), Matrix::new(&b, 3, 4), &mut out, true);
        assert_eq!(out, [76.0, 88.0, 100.0, 112.0, 166.0, 196.0, 226.0, 256.0]);

        // Columns 1 and 2 of b only.
        let mut narrow = vec![0.0; 4];
        product(Matrix::new(&a, 2, 3), Matrix::block(&b[1..], 3, 2, 4), &mut narrow, false);
        assert_eq!(narrow, [44.0, 50.0, 98.0, 113.0]);
    }
}
