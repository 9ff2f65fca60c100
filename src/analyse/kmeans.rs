//! k-means on codes.
//!
//! Our own, because it is several times as fast as linfa-clustering's, which computes distances one by one in double
//! precision; that one is the reference in a test.

use std::cmp::Ordering;
use std::iter::zip;

use ndarray::Array2;
use rand::Rng;
use rayon::prelude::*;

use super::point_blocks::{Lane, PointBlocks, WIDTH, nearest, squared_distances};
use super::{Clustering, Codes, clustering::check_counts, rescale::Rescale};
use crate::channel::Stoppable;
use crate::error::{Error, Result};
use crate::limit;
use crate::random::{self, Random};
use crate::stop::StopHandle;

/// `KMeans::new(clusters).fit(codes)`: clusters the codes by [k-means](KMeans) with its default settings and compares
/// clusters with classes.
///
/// ```
/// use latentlab::ndarray::array;
/// use latentlab::{Codes, kmeans_accuracy};
///
/// let points = array![[0.0, 0.1], [0.1, 0.0], [9.0, 9.1], [9.1, 9.0], [9.0, 9.0]];
/// let names = vec!["zero".to_string(), "one".to_string()];
/// let codes = Codes::new(points, array![0, 0, 1, 1, 0], names)?;
///
/// let clustering = kmeans_accuracy(&codes, 2)?;
/// assert_eq!(clustering.accuracy(), 0.8);
/// assert_eq!(clustering.recognised(), [true, true, true, true, false]);
/// # Ok::<(), latentlab::Error>(())
/// ```
///
/// # Errors
/// If `clusters` is 0 or greater than the number of codes.
pub fn kmeans_accuracy(codes: &Codes, clusters: usize) -> Result<Clustering> {
    KMeans::new(clusters).fit(codes)
}

/// The settings of k-means: k-means++ initialisation (Arthur & Vassilvitskii, 2007), then Lloyd's iterations; the run
/// with the least inertia is kept.
///
/// A run ends when no point changes its cluster, when the centroids together move by no more than √(10⁻⁴ · v), where v
/// is the mean variance of the coordinates (scikit-learn's criterion), or after the maximum number of iterations. A
/// cluster that loses all its points keeps its centroid. The same seed gives the same bits with any number of threads.
///
/// Defaults: 10 runs, seed 0, at most 300 iterations a run, no stop handle.
///
/// ```
/// use latentlab::{Codes, Dataset, KMeans};
///
/// let (train, test) = Dataset::built_in_digits(300, 0)?.split(200, 100)?;
/// let clustering = KMeans::new(10).runs(3).fit(&Codes::of_pixels(&train))?;
/// let clusters = clustering.predict(&Codes::of_pixels(&test))?; // the nearest centroid of each new code
/// assert_eq!(clusters.len(), 100);
/// # Ok::<(), latentlab::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct KMeans {
    clusters: usize,
    runs: usize,
    seed: u64,
    max_iterations: usize,
    stop: StopHandle,
}

impl KMeans {
    /// k-means with `clusters` clusters, from 1 to the number of codes.
    pub fn new(clusters: usize) -> Self {
        Self { clusters, runs: 10, seed: 0, max_iterations: 300, stop: StopHandle::new() }
    }

    /// The number of runs from different random starts (scikit-learn's `n_init`); at least 1.
    pub fn runs(mut self, runs: usize) -> Self {
        self.runs = runs;
        self
    }

    /// The seed of the random starts.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The maximum number of iterations of one run; at least 1.
    pub fn max_iterations(mut self, max_iterations: usize) -> Self {
        self.max_iterations = max_iterations;
        self
    }

    /// A handle that can stop all runs after any iteration; the best clusters so far are kept. See [`StopHandle`].
    pub fn stop_handle(mut self, handle: &StopHandle) -> Self {
        self.stop = handle.clone();
        self
    }

    /// Clusters the codes and compares the clusters with the labels.
    ///
    /// # Errors
    /// If a setting is out of its range, or the sums of the clusters need more memory than one result may
    /// have (4 GiB).
    pub fn fit(&self, codes: &Codes) -> Result<Clustering> {
        self.check(codes)?;
        let scale = Rescale::fit(codes.points());
        let points = scale.apply(codes.points());
        let _stoppable = Stoppable::begin();
        let search = Search::new(&points, self);
        // Only the best one is kept, of equally good ones the first. Once stopped, no further run begins.
        let runs = (1..self.runs as u64).into_par_iter().take_any_while(|_| !self.stop.should_stop());
        let better = |a: &(u64, Run), b: &(u64, Run)| a.1.inertia.total_cmp(&b.1.inertia).then(a.0.cmp(&b.0));
        let numbered = |run: u64| (run, search.run(random::stream(self.seed, run)));
        let (first, others) = rayon::join(|| numbered(0), || runs.map(numbered).min_by(better));
        let best =
            others.into_iter().fold(first, |first, other| if better(&other, &first).is_lt() { other } else { first }).1;
        let assignments = best.assignments[..codes.len()].iter().map(|&cluster| cluster as usize).collect();
        let inertia = best.inertia * scale.unit * scale.unit;
        let (labels, class_names) = (codes.labels().clone(), codes.class_names().to_vec());
        Ok(Clustering::new(best.centroids, scale, inertia, assignments, labels, class_names))
    }

    fn check(&self, codes: &Codes) -> Result<()> {
        let expected = |name, range: &str, got: usize| Err(Error::argument(format!("KMeans, {name}"), range, got));
        if codes.is_empty() {
            return expected("codes", "at least 1 point", 0);
        }
        if self.clusters == 0 || self.clusters > codes.len() {
            let range = format!("a number from 1 to {} (the number of points)", codes.len());
            return expected("clusters", &range, self.clusters);
        }
        if self.runs == 0 {
            return expected("runs", "at least 1", 0);
        }
        if self.max_iterations == 0 {
            return expected("max_iterations", "at least 1", 0);
        }
        check_counts(self.clusters, codes.class_names().len())?;
        let at_once = self.runs.min(rayon::current_num_threads());
        let shards = codes.len().div_ceil(SHARD * WIDTH);
        let sums = [at_once, shards, self.clusters, codes.latent_dim() + 1, size_of::<f64>() / size_of::<f32>()];
        limit::check("KMeans, clusters", "sums of two values each", &sums)?;
        Ok(())
    }
}

/// Blocks in a shard, which one thread sums: its size is fixed, so the sums do not depend on the number of threads.
const SHARD: usize = 64;

/// What the runs share.
struct Search<'a> {
    points: &'a Array2<f32>,
    blocks: PointBlocks,
    clusters: usize,
    max_iterations: usize,
    tolerance: f64,
    stop: &'a StopHandle,
}

/// The result of a run.
struct Run {
    centroids: Array2<f32>,
    /// The cluster of each point, and of the padding of the last block.
    assignments: Vec<u32>,
    inertia: f64,
}

/// The sums over a shard.
struct Sums {
    /// Of the points of each cluster, (clusters, dim).
    points: Vec<f64>,
    counts: Vec<usize>,
    inertia: f64,
    changed: bool,
}

impl<'a> Search<'a> {
    fn new(points: &'a Array2<f32>, settings: &'a KMeans) -> Self {
        // The points are centred: the mean square is the variance.
        let variance = points.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>() / points.len() as f64;
        Self {
            points,
            blocks: PointBlocks::new(points.view()),
            clusters: settings.clusters,
            max_iterations: settings.max_iterations,
            tolerance: 1e-4 * variance,
            stop: &settings.stop,
        }
    }

    fn run(&self, random: Random) -> Run {
        let mut centroids = self.start(random);
        let mut assignments = vec![u32::MAX; self.blocks.all().len() * WIDTH];
        for _ in 0..self.max_iterations {
            if self.stop.should_stop() {
                break;
            }
            let sums = self.assign(&centroids, &mut assignments);
            if !sums.changed || self.update(&mut centroids, &sums) <= self.tolerance {
                break;
            }
        }
        let inertia = self.assign(&centroids, &mut assignments).inertia;
        Run { centroids, assignments, inertia }
    }

    /// Greedy k-means++: several points are drawn with a probability proportional to the squared distance from the
    /// nearest centroid; the one that lowers the sum of these distances most is taken.
    fn start(&self, mut random: Random) -> Array2<f32> {
        let n = self.points.nrows();
        let trials = 2 + (self.clusters as f64).ln() as usize;
        let mut chosen = vec![random.gen_range(0..n)];
        let mut state = self.with_center(&vec![f32::INFINITY; self.blocks.all().len() * WIDTH], chosen[0]);
        while chosen.len() < self.clusters {
            if self.stop.should_stop() {
                chosen.push(random.gen_range(0..n)); // any point will do: nothing follows
                continue;
            }
            let draws: Vec<usize> = (0..trials).map(|_| state.draw(random.r#gen(), n)).collect();
            let tried = draws.into_par_iter().map(|point| (point, self.with_center(&state.distances, point)));
            let tried: Vec<(usize, Start)> = tried.collect();
            let by_total = |a: &(usize, Start), b: &(usize, Start)| -> Ordering { a.1.total().total_cmp(&b.1.total()) };
            if let Some((point, best)) = tried.into_iter().min_by(by_total) {
                chosen.push(point);
                state = best;
            }
        }
        self.points.select(ndarray::Axis(0), &chosen)
    }

    /// The distances with one more centre.
    fn with_center(&self, before: &[f32], center: usize) -> Start {
        let n = self.points.nrows();
        let center = self.points.row(center).to_vec();
        let mut distances = before.to_vec();
        let shards = distances.par_chunks_mut(SHARD * WIDTH).enumerate().map(|(shard, distances)| {
            let mut sums = Vec::with_capacity(SHARD);
            for (lane, block) in zip(distances.as_chunks_mut::<WIDTH>().0, shard * SHARD..) {
                let mut after = [0.0; WIDTH];
                squared_distances(self.blocks.get(block), &center, &mut after);
                zip(lane.iter_mut(), after).for_each(|(before, now)| *before = before.min(now));
                let inside = n.min((block + 1) * WIDTH) - block * WIDTH;
                sums.push(lane[..inside].iter().map(|&x| f64::from(x)).sum());
            }
            sums
        });
        let sums = shards.collect::<Vec<Vec<f64>>>().concat();
        Start { distances, sums }
    }

    /// Finds the nearest centroid of each point.
    fn assign(&self, centroids: &Array2<f32>, assignments: &mut [u32]) -> Sums {
        let centers: Vec<f32> = centroids.iter().copied().collect();
        let shards = assignments.par_chunks_mut(SHARD * WIDTH).enumerate();
        let shards: Vec<Sums> =
            shards.map(|(shard, assignments)| self.assign_shard(&centers, shard, assignments)).collect();
        let mut total = Sums::zero(self.clusters, self.points.ncols());
        for shard in shards {
            zip(&mut total.points, shard.points).for_each(|(total, sum)| *total += sum);
            zip(&mut total.counts, shard.counts).for_each(|(total, count)| *total += count);
            total.inertia += shard.inertia;
            total.changed |= shard.changed;
        }
        total
    }

    fn assign_shard(&self, centers: &[f32], shard: usize, assignments: &mut [u32]) -> Sums {
        let (n, dim) = self.points.dim();
        let mut sums = Sums::zero(self.clusters, dim);
        let (mut which, mut least): (Lane<u32>, Lane) = ([0; WIDTH], [0.0; WIDTH]);
        for (before, block) in zip(assignments.as_chunks_mut::<WIDTH>().0, shard * SHARD..) {
            nearest(self.blocks.get(block), centers, &mut which, &mut least);
            let points = block * WIDTH..n.min((block + 1) * WIDTH);
            sums.changed |= *before != which;
            *before = which;
            sums.inertia += least[..points.len()].iter().map(|&x| f64::from(x)).sum::<f64>();
            for (point, &cluster) in zip(points, &which) {
                let sum = &mut sums.points[cluster as usize * dim..][..dim];
                zip(sum, self.points.row(point)).for_each(|(sum, &value)| *sum += f64::from(value));
                sums.counts[cluster as usize] += 1;
            }
        }
        sums
    }

    /// Moves the centroids to the means of their points; returns the sum of their squared shifts.
    fn update(&self, centroids: &mut Array2<f32>, sums: &Sums) -> f64 {
        let mut shift = 0.0;
        let clusters = sums.points.chunks_exact(self.points.ncols()).zip(&sums.counts);
        for (mut centroid, (sum, &count)) in centroids.rows_mut().into_iter().zip(clusters) {
            if count > 0 {
                for (old, sum) in zip(&mut centroid, sum) {
                    let mean = (sum / count as f64) as f32;
                    shift += f64::from(mean - *old).powi(2);
                    *old = mean;
                }
            }
        }
        shift
    }
}

impl Sums {
    fn zero(clusters: usize, dim: usize) -> Self {
        Self { points: vec![0.0; clusters * dim], counts: vec![0; clusters], inertia: 0.0, changed: false }
    }
}

/// The squared distance of each point from the nearest of the centres so far, and their sum over each block.
struct Start {
    distances: Vec<f32>,
    sums: Vec<f64>,
}

impl Start {
    fn total(&self) -> f64 {
        self.sums.iter().sum()
    }

    /// The point at which the cumulative sum reaches this share (0 to 1) of the total.
    fn draw(&self, share: f64, points: usize) -> usize {
        let mut rest = share * self.total();
        for (block, sum) in self.sums.iter().enumerate() {
            if rest < *sum {
                let first = block * WIDTH;
                for (point, &distance) in (first..points.min(first + WIDTH)).zip(&self.distances[first..]) {
                    rest -= f64::from(distance);
                    if rest < 0.0 {
                        return point;
                    }
                }
            }
            rest = (rest - sum).max(0.0);
        }
        points - 1
    }
}
