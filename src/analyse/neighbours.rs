//! Exact nearest neighbours. Points that lie near each other stand together in blocks: what a query skips are blocks
//! that cannot hold any of its neighbours.

use std::iter::once;

use ndarray::{Array2, Axis};
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

/// Points among which neighbours are searched.
#[derive(Clone)]
pub(super) struct KnownPoints {
    blocks: PointBlocks,
    /// The indices of the points in the blocks.
    order: Vec<u32>,
    dim: usize,
    /// The least and the greatest value along each axis, of each block.
    bounds: Vec<[f32; 2]>,
}

/// Queries that go through the blocks together, so that each block is read from memory once for all of them.
const TOGETHER: usize = 32;

/// Queries after which it is told how many are done.
const BAND: usize = 4096;

/// Below 1, so that rounding never makes a gap larger than a distance across it.
const GAP: f32 = 0.999;

impl KnownPoints {
    pub fn new(points: &Array2<f32>) -> Self {
        let mut order: Vec<u32> = (0..points.nrows() as u32).collect();
        bring_together(points, &mut order);
        let bounds = order.par_chunks(WIDTH).flat_map_iter(|block| bounds(points, block)).collect();
        let rows: Vec<usize> = order.iter().map(|&index| index as usize).collect();
        let blocks = PointBlocks::new(points.select(Axis(0), &rows).view());
        Self { blocks, order, dim: points.ncols(), bounds }
    }

    /// Searches the neighbours of some queries, the nearest ones of which may stand in block `start`.
    fn look_through(&self, start: usize, searches: &mut [Search], around: &[[f32; 2]]) {
        let count = self.blocks.all().len();
        let outwards = (1..count).flat_map(|away| [start.checked_sub(away), Some(start + away)]).flatten();
        let mut distances = [0.0; WIDTH];
        for block in once(start).chain(outwards).filter(|block| *block < count) {
            let bounds = &self.bounds[block * self.dim..][..self.dim];
            let farthest = searches.iter().map(|search| search.limit).fold(0.0, f32::max);
            if gap(bounds, around.iter().copied()) > farthest {
                continue;
            }
            let indices = &self.order[block * WIDTH..self.order.len().min((block + 1) * WIDTH)];
            for search in &mut *searches {
                if gap(bounds, search.point.iter().map(|&value| [value; 2])) <= search.limit {
                    squared_distances(self.blocks.get(block), &search.point, &mut distances);
                    search.look_at(indices, &distances);
                }
            }
        }
    }
}

/// Orders the points by halving them across their widest axis, down to a block.
fn bring_together(points: &Array2<f32>, order: &mut [u32]) {
    if order.len() <= WIDTH {
        return;
    }
    let width = |[low, high]: [f32; 2]| high - low;
    let widths = bounds(points, order).into_iter().map(width).enumerate();
    let axis = widths.max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(axis, _)| axis);
    let middle = (order.len() / 2).next_multiple_of(WIDTH);
    let value = |index: &u32| points[[*index as usize, axis]];
    order.select_nth_unstable_by(middle, |a, b| value(a).total_cmp(&value(b)).then(a.cmp(b)));
    let (left, right) = order.split_at_mut(middle);
    rayon::join(|| bring_together(points, left), || bring_together(points, right));
}

/// The least and the greatest value of some points along each axis.
fn bounds(points: &Array2<f32>, indices: &[u32]) -> Vec<[f32; 2]> {
    let mut bounds = vec![[f32::INFINITY, f32::NEG_INFINITY]; points.ncols()];
    for index in indices {
        for ([low, high], &value) in bounds.iter_mut().zip(points.row(*index as usize)) {
            (*low, *high) = (low.min(value), high.max(value));
        }
    }
    bounds
}

/// What the squared distances between two boxes reach at least.
fn gap(bounds: &[[f32; 2]], others: impl Iterator<Item = [f32; 2]>) -> f32 {
    let along = |(bounds, other): (&[f32; 2], [f32; 2])| (bounds[0] - other[1]).max(other[0] - bounds[1]).max(0.0);
    GAP * bounds.iter().zip(others).map(along).map(|gap| gap * gap).sum::<f32>()
}

impl Neighbours {
    /// The `count` nearest of the known points to each of `points`, of equally near ones the first.
    /// `among_themselves`: the points are the known ones, and none is a neighbour of itself. `tell` hears the number of
    /// points whose neighbours are found, now and then.
    pub fn find(
        points: &Array2<f32>,
        known: &KnownPoints,
        count: usize,
        among_themselves: bool,
        mut tell: impl FnMut(usize),
    ) -> Self {
        let n = points.nrows();
        let mut found = Self { count, indices: vec![0; n * count], distances: vec![0.0; n * count] };
        let queries = if among_themselves { known.order.clone() } else { (0..n as u32).collect() };
        for (band, queries) in queries.chunks(BAND).enumerate() {
            let groups = queries.par_chunks(TOGETHER).enumerate().flat_map_iter(|(group, queries)| {
                let start = if among_themselves { (band * BAND + group * TOGETHER) / WIDTH } else { 0 };
                let search = |&query: &u32| Search {
                    point: points.row(query as usize).to_vec(),
                    itself: if among_themselves { query } else { u32::MAX },
                    ..Search::new(count)
                };
                let mut searches: Vec<Search> = queries.iter().map(search).collect();
                known.look_through(start, &mut searches, &bounds(points, queries));
                queries.iter().zip(searches).map(|(query, search)| (*query as usize, search.finish()))
            });
            for (query, row) in groups.collect::<Vec<_>>() {
                let place = query * count..(query + 1) * count;
                let places = found.indices[place.clone()].iter_mut().zip(&mut found.distances[place]);
                places.zip(row).for_each(|((index, distance), nearest)| (*distance, *index) = nearest);
            }
            tell(n.min((band + 1) * BAND));
        }
        found
    }
}

/// The search for the neighbours of one point.
struct Search {
    count: usize,
    point: Vec<f32>,
    itself: u32,
    found: Vec<(f32, u32)>,
    /// Points farther than this cannot be neighbours.
    limit: f32,
}

impl Search {
    fn new(count: usize) -> Self {
        Self { count, point: Vec::new(), itself: u32::MAX, found: Vec::new(), limit: f32::INFINITY }
    }

    /// Looks at points at these distances.
    fn look_at(&mut self, indices: &[u32], distances: &[f32]) {
        if distances.iter().map(|&distance| u32::from(distance <= self.limit)).sum::<u32>() == 0 {
            return;
        }
        for (&index, &distance) in indices.iter().zip(distances) {
            if distance <= self.limit && index != self.itself {
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
        let known = KnownPoints::new(&points);
        let neighbours = Neighbours::find(&points, &known, 20, true, drop);
        let of_others = Neighbours::find(&points, &known, 21, false, drop);
        for (i, point) in points.rows().into_iter().enumerate() {
            let distance = |j: usize| (&point - &points.row(j)).mapv(|x| x * x).sum();
            let mut all: Vec<(f32, u32)> = (0..700).map(|j| (distance(j), j as u32)).collect();
            all.sort_by(nearer);
            let check = |all: &[(f32, u32)], neighbours: &Neighbours| {
                let (distances, indices): (Vec<f32>, Vec<u32>) = all[..neighbours.count].iter().copied().unzip();
                assert_eq!(&neighbours.indices[i * neighbours.count..][..neighbours.count], indices);
                assert_eq!(&neighbours.distances[i * neighbours.count..][..neighbours.count], distances);
            };
            check(&all, &of_others);
            all.retain(|(_, j)| *j as usize != i);
            check(&all, &neighbours);
        }
    }
}
