//! Exact nearest neighbours: every distance is computed.

use ndarray::Array2;
use rayon::prelude::*;

use super::point_blocks::{PointBlocks, WIDTH, squared_distances};

/// The nearest points of some points, nearest first.
pub(super) struct Neighbours {
    pub count: usize,
    /// Their indices, `count` for each point.
    pub indices: Vec<u32>,
    /// Their squared distances.
    pub distances: Vec<f32>,
}

/// Queries that go through the blocks together, so that each block is read from memory once for all of them.
const TOGETHER: usize = 32;

/// Queries after which it is told how many are done: on two cores a second's work among a million points.
const BAND: usize = 4096;

impl Neighbours {
    /// The `count` nearest of the first `n` points in `blocks` to each of `points`, of equally near ones the first.
    /// `among_themselves`: the points are those in the blocks, and none is a neighbour of itself. `tell` hears the
    /// number of points whose neighbours are found, now and then.
    pub fn find(
        points: &Array2<f32>,
        blocks: &PointBlocks,
        n: usize,
        count: usize,
        among_themselves: bool,
        mut tell: impl FnMut(usize),
    ) -> Self {
        let mut found =
            Self { count, indices: vec![0; points.nrows() * count], distances: vec![0.0; points.nrows() * count] };
        let bands = found.indices.chunks_mut(BAND * count).zip(found.distances.chunks_mut(BAND * count));
        for (band, (indices, distances)) in bands.enumerate() {
            let groups = indices.par_chunks_mut(TOGETHER * count).zip(distances.par_chunks_mut(TOGETHER * count));
            groups.enumerate().for_each(|(group, (indices, distances))| {
                let first = band * BAND + group * TOGETHER;
                let search = |query| {
                    let itself = if among_themselves { query as u32 } else { u32::MAX };
                    Search { point: points.row(query).to_vec(), itself, ..Search::new(count) }
                };
                let mut searches: Vec<Search> = (first..first + indices.len() / count).map(search).collect();
                look_through(blocks, n, &mut searches);
                let rows = indices.chunks_mut(count).zip(distances.chunks_mut(count));
                for (search, (indices, distances)) in searches.into_iter().zip(rows) {
                    let row = indices.iter_mut().zip(distances).zip(search.finish());
                    row.for_each(|((index, distance), nearest)| (*distance, *index) = nearest);
                }
            });
            tell(points.nrows().min((band + 1) * BAND));
        }
        found
    }
}

/// Shows all points to the searches.
fn look_through(blocks: &PointBlocks, n: usize, searches: &mut [Search]) {
    let mut distances = [0.0; WIDTH];
    for (number, block) in blocks.all().enumerate() {
        let first = number * WIDTH;
        for search in &mut *searches {
            squared_distances(block, &search.point, &mut distances);
            search.look_at(first, &distances[..WIDTH.min(n - first)]);
        }
    }
}

/// The search for the neighbours of one point.
struct Search {
    count: usize,
    point: Vec<f32>,
    itself: u32,
    found: Vec<(f32, u32)>,
    /// Only points nearer than this can be neighbours.
    limit: f32,
}

impl Search {
    fn new(count: usize) -> Self {
        Self { count, point: Vec::new(), itself: u32::MAX, found: Vec::new(), limit: f32::INFINITY }
    }

    fn look_at(&mut self, first: usize, distances: &[f32]) {
        if distances.iter().map(|&distance| u32::from(distance < self.limit)).sum::<u32>() == 0 {
            return;
        }
        for (index, &distance) in (first as u32..).zip(distances) {
            if distance < self.limit && index != self.itself {
                self.found.push((distance, index));
            }
        }
        if self.found.len() > 3 * self.count + WIDTH {
            self.keep_nearest();
        }
    }

    fn keep_nearest(&mut self) {
        if self.found.len() > self.count {
            self.found.select_nth_unstable_by(self.count - 1, nearer);
            self.found.truncate(self.count);
            self.limit = self.found[self.count - 1].0;
        }
    }

    fn finish(mut self) -> Vec<(f32, u32)> {
        self.keep_nearest();
        self.found.sort_unstable_by(nearer);
        self.found
    }
}

fn nearer(a: &(f32, u32), b: &(f32, u32)) -> std::cmp::Ordering {
    a.0.total_cmp(&b.0).then(a.1.cmp(&b.1))
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;
    use crate::random;

    #[test]
    fn neighbours_are_those_of_sorting_all() {
        let mut random = random::stream(1, 0);
        let points = Array2::from_shape_fn((700, 3), |_| random.gen_range(0_i32..12) as f32); // with many ties
        let neighbours = Neighbours::find(&points, &PointBlocks::new(points.view()), 700, 20, true, drop);
        for (i, point) in points.rows().into_iter().enumerate() {
            let distance = |j: usize| (&point - &points.row(j)).mapv(|x| x * x).sum();
            let mut all: Vec<(f32, u32)> = (0..700).filter(|j| *j != i).map(|j| (distance(j), j as u32)).collect();
            all.sort_by(nearer);
            let (distances, indices): (Vec<f32>, Vec<u32>) = all[..20].iter().copied().unzip();
            assert_eq!(&neighbours.indices[i * 20..][..20], indices);
            assert_eq!(&neighbours.distances[i * 20..][..20], distances);
        }
    }
}
