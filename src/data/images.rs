//! The images of a data set: an array, or bytes of IDX files that become numbers when an array is first asked for. A
//! lesson reads 70,000 images, shuffles them and keeps 6,000: only these are ever converted. Networks take images one
//! by one, and need no array: the bytes are a quarter of the memory, and of what is read of it in each epoch.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use ndarray::{Array4, s};
use rayon::prelude::*;

use super::idx::Idx;

/// A clone shares the values.
#[derive(Clone)]
pub(super) struct Images(Arc<Values>);

struct Values {
    /// (n, channels, height, width) in standard layout.
    array: OnceLock<Array4<f32>>,
    /// Where the array comes from.
    bytes: Option<Rows>,
}

/// Some images of files that agree in height and width.
struct Rows {
    files: Arc<[Idx]>,
    /// Each counted from the first image of the first file.
    rows: Vec<usize>,
}

/// How many images one thread copies at least: starting another takes as long.
const IN_A_PIECE: usize = 512;

impl Images {
    /// All images of files that agree in height and width, one file after the other: (n, 1, height, width) in \[0, 1\].
    pub fn of_files(files: Vec<Idx>) -> Self {
        let rows = (0..files.iter().map(|file| file.sizes[0]).sum()).collect();
        Self::of_rows(Rows { files: files.into(), rows })
    }

    fn of_rows(rows: Rows) -> Self {
        Self(Arc::new(Values { array: OnceLock::new(), bytes: Some(rows) }))
    }

    pub fn array(&self) -> &Array4<f32> {
        match (self.0.array.get(), &self.0.bytes) {
            // Not in the initialisation itself: a thread of the pool that waits for the other threads there may be
            // given work that asks for these images too, and would wait for itself.
            (None, Some(rows)) => {
                let array = rows.array();
                self.0.array.get_or_init(|| array)
            }
            _ => self.0.array.get_or_init(Default::default),
        }
    }

    /// The bytes of an image, which exists, if they are bytes of files: 255 times its values.
    pub fn bytes(&self, index: usize) -> Option<&[u8]> {
        self.0.bytes.as_ref().map(|rows| rows.image(rows.rows[index]))
    }

    /// \[channels, height, width\].
    pub fn image_shape(&self) -> [usize; 3] {
        if let Some(rows) = &self.0.bytes {
            return [1, rows.files[0].sizes[1], rows.files[0].sizes[2]];
        }
        let (_, channels, height, width) = self.array().dim();
        [channels, height, width]
    }

    /// Those with these indices, which are in range.
    pub fn select(&self, indices: &[usize]) -> Self {
        if let Some(Rows { files, rows }) = &self.0.bytes {
            return Self::of_rows(Rows { files: files.clone(), rows: indices.iter().map(|at| rows[*at]).collect() });
        }
        let size: usize = self.image_shape().iter().product();
        let values = self.array().as_slice().unwrap_or_default();
        gathered(indices, self.image_shape(), |index, image| image.copy_from_slice(&values[index * size..][..size]))
            .into()
    }

    /// Those of a range, which exist.
    pub fn range(&self, range: Range<usize>) -> Self {
        match &self.0.bytes {
            Some(Rows { files, rows }) => Self::of_rows(Rows { files: files.clone(), rows: rows[range].to_vec() }),
            None => self.array().slice(s![range, .., .., ..]).to_owned().into(),
        }
    }

    /// Whether both are the same values in memory.
    #[cfg(test)]
    pub fn shares_with(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// In standard layout.
impl From<Array4<f32>> for Images {
    fn from(array: Array4<f32>) -> Self {
        Self(Arc::new(Values { array: array.into(), bytes: None }))
    }
}

impl Rows {
    /// Grey values from 0 to 1.
    fn array(&self) -> Array4<f32> {
        let [height, width] = [self.files[0].sizes[1], self.files[0].sizes[2]];
        gathered(&self.rows, [1, height, width], |row, image| {
            image.iter_mut().zip(self.image(row)).for_each(|(value, byte)| *value = f32::from(*byte) / 255.0);
        })
    }

    fn image(&self, mut row: usize) -> &[u8] {
        for file in &*self.files {
            let size = file.sizes[1] * file.sizes[2];
            match row.checked_sub(file.sizes[0]) {
                Some(after) => row = after,
                None => return &file.values()[row * size..][..size],
            }
        }
        &[]
    }
}

/// An image for each row, by several threads.
fn gathered(rows: &[usize], shape: [usize; 3], write: impl Fn(usize, &mut [f32]) + Sync) -> Array4<f32> {
    let [channels, height, width] = shape;
    let size = channels * height * width;
    let mut values = vec![0.0; rows.len() * size];
    let images = values.par_chunks_mut(size.max(1)).with_min_len(IN_A_PIECE).zip(rows);
    images.for_each(|(image, row)| write(*row, image));
    // As many values as the shape has
    Array4::from_shape_vec((rows.len(), channels, height, width), values).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::idx::{
        Kind,
        tests::{Folder, idx},
    };

    #[test]
    fn bytes_become_numbers_only_where_they_are_asked_for() {
        let folder = Folder::new("images");
        let read = |name: &str, header: &[u32], values: &[u8]| {
            Idx::read(&folder.write(name, &idx(header, values)), Kind::Images).unwrap()
        };
        let files =
            vec![read("train", &[0x803, 2, 1, 2], &[0, 51, 102, 153]), read("test", &[0x803, 1, 1, 2], &[204, 255])];
        let all = Images::of_files(files);
        let some = all.select(&[2, 0, 2]).range(1..3);
        assert!(some.image_shape() == [1, 1, 2] && some.bytes(1) == Some(&[204, 255]) && some.0.array.get().is_none());
        assert_eq!(some.array().iter().copied().collect::<Vec<_>>(), [0.0, 0.2, 0.8, 1.0]);
        assert!(all.0.array.get().is_none() && some.0.array.get().is_some());
        let of_array = Images::from(all.array().clone());
        assert_eq!(of_array.select(&[2, 0, 2]).range(1..3).array(), some.array());
        assert!(of_array.bytes(1).is_none());
        assert_eq!((all.range(3..3).array().dim(), all.select(&[]).array().dim()), ((0, 1, 1, 2), (0, 1, 1, 2)));
    }
}
