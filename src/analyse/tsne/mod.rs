//! t-SNE: codes in the plane, near each other where they are near each other in the latent space.
//!
//! Our own: linfa-tsne runs on one thread, its learning rate does not fit the number of points, and it gives another result each time. Neighbours are
//! exact, the repulsion is computed on a grid (see `repulsion.rs`), and every sum has a fixed order.

mod affinities;
mod descent;
mod fourier;
mod linfa;
mod place;
mod repulsion;

use std::fmt;
use std::time::Instant;

use ndarray::Array2;
use rand::Rng;
use rand_distr::StandardNormal;

use self::affinities::Affinities;
use self::descent::{Descent, divergence};
use self::linfa::LINFA_ITERATIONS;
use super::{Codes, blocks::Blocks, neighbours::Neighbours, pca::pca, scaled::Scaled};
use crate::error::{Error, ErrorKind, Result};
use crate::limit;
use crate::progress::{Progress, State, duration_text, times};
use crate::random::{self, Random};
use crate::relay::Listening;
use crate::stop::StopHandle;

/// The settings of t-SNE (van der Maaten & Hinton, 2008).
///
/// | setting | default | range |
/// |---|---|---|
/// | [`perplexity`](Self::perplexity) | 30, or a third of the other points if that is less | 1 to a third of the other points |
/// | [`iterations`](Self::iterations) | 1000 | at least 1; with [`TsneMethod::Linfa`] at most 10,000 |
/// | [`seed`](Self::seed) | 0 | |
/// | [`random_start`](Self::random_start) | no: from the first two principal components | |
/// | [`method`](Self::method) | [`TsneMethod::Grid`] | |
/// | [`stop_handle`](Self::stop_handle) | none | |
/// | [`progress_every`](Self::progress_every) | 250 iterations | 0 for silence |
///
/// In the first 250 iterations attraction is 12 times as strong; momentum is 0.5 there and 0.8 afterwards, and the learning rate
/// n / 12 and n (Belkina et al. 2019). Settings are checked when [`tsne`] starts.
#[derive(Clone, Debug)]
pub struct Tsne {
    perplexity: Option<f64>,
    iterations: usize,
    seed: u64,
    random_start: bool,
    method: TsneMethod,
    stop: StopHandle,
    progress_every: usize,
}

/// How t-SNE is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TsneMethod {
    /// Exact neighbours and repulsion on a grid, on all threads: the same bits for the same seed.
    #[default]
    Grid,
    /// The crate linfa-tsne (Barnes-Hut, θ = 0.5, learning rate 200): one thread, always a random start, no progress, and another result
    /// each time, whatever the seed. Codes need at least 2 values and must not all be equal; nothing can stop it before its end.
    Linfa,
}

impl Default for Tsne {
    fn default() -> Self {
        Self::new()
    }
}

impl Tsne {
    /// The defaults in the table above.
    pub fn new() -> Self {
        let method = TsneMethod::Grid;
        let stop = StopHandle::new();
        Self { perplexity: None, iterations: 1000, seed: 0, random_start: false, method, stop, progress_every: 250 }
    }

    /// About how many neighbours a point is to keep near it: small numbers show small groups, large ones the whole.
    pub fn perplexity(self, perplexity: f64) -> Self {
        Self { perplexity: Some(perplexity), ..self }
    }

    /// How many steps to take, the 250 with stronger attraction among them.
    pub fn iterations(self, iterations: usize) -> Self {
        Self { iterations, ..self }
    }

    /// Decides the random start, and the slight jitter of the other one.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Starts from points drawn at random instead of the principal components, which keep the large picture.
    pub fn random_start(self) -> Self {
        Self { random_start: true, ..self }
    }

    /// How it is computed.
    pub fn method(self, method: TsneMethod) -> Self {
        Self { method, ..self }
    }

    /// Lets this handle end it after any iteration, with the points where they are: see [`StopHandle`]. [`TsneMethod::Linfa`] goes on to its end.
    pub fn stop_handle(self, handle: &StopHandle) -> Self {
        Self { stop: handle.clone(), ..self }
    }

    /// Prints a line after every so many iterations and the last one; 0 prints nothing.
    pub fn progress_every(self, iterations: usize) -> Self {
        Self { progress_every: iterations, ..self }
    }

    /// Refuses settings out of range, and gives the perplexity.
    fn check(&self, codes: &Codes) -> Result<f64> {
        let wrong = |what: &str, expected: String, got: String| {
            Err(Error::expected(ErrorKind::Argument, format!("tsne, {what}"), expected, got))
        };
        let n = codes.len();
        if n < 4 {
            return wrong("codes", "at least 4".into(), n.to_string());
        }
        if self.iterations == 0 {
            return wrong("iterations", "at least 1".into(), "0".into());
        }
        let most = (n - 1) as f64 / 3.0;
        let perplexity = self.perplexity.unwrap_or(most.min(30.0));
        if !(1.0..=most).contains(&perplexity) {
            // Rounded down: what the error offers is taken.
            let (most, others) = ((100.0 * most).floor() / 100.0, n - 1);
            let range = format!("a number from 1 to {most} (a third of the other {others} points)");
            return wrong("perplexity", range, perplexity.to_string());
        }
        if self.method == TsneMethod::Linfa && self.iterations > LINFA_ITERATIONS {
            let range = format!("at most {LINFA_ITERATIONS} with TsneMethod::Linfa, which cannot be stopped");
            return wrong("iterations", range, self.iterations.to_string());
        }
        // Neighbours with their distances and affinities, these once more in both directions.
        limit::check("tsne, perplexity", "affinities of 13 values each", &[n, (3.0 * perplexity) as usize, 13])?;
        Ok(perplexity)
    }
}

/// Embeds codes in the plane by t-SNE: (n, latent_dim) to (n, 2).
///
/// The same seed gives the same bits with any number of threads.
///
/// ```
/// use latentlab::{Codes, Dataset, Tsne, tsne};
///
/// let digits = Dataset::built_in_digits(200, 0)?;
/// let (known, new) = digits.split(150, 50)?;
/// let embedding = tsne(&Codes::of_pixels(&known)?, &Tsne::new().perplexity(20.0).progress_every(0))?;
/// assert_eq!(embedding.codes().points().dim(), (150, 2));
/// let placed = embedding.place(&Codes::of_pixels(&new)?)?;
/// assert_eq!(placed.points().dim(), (50, 2));
/// # Ok::<(), latentlab::Error>(())
/// ```
///
/// # Errors
/// If there are fewer than 4 codes, a setting is out of its range, or one result cannot hold the affinities of so many neighbours (4 GiB). With
/// [`TsneMethod::Linfa`] also if the codes are all equal or have one value.
pub fn tsne(codes: &Codes, settings: &Tsne) -> Result<TsneEmbedding> {
    let perplexity = settings.check(codes)?;
    let clock = Instant::now();
    let scaled = Scaled::new(codes.points());
    let blocks = Blocks::new(scaled.points.view());
    let neighbours = Neighbours::find(&scaled.points, &blocks, codes.len(), (3.0 * perplexity) as usize, true);
    let affinities = Affinities::new(&neighbours, perplexity);
    let (points, iterations) = match settings.method {
        TsneMethod::Grid => descend(&affinities, start(codes, &scaled, settings)?, settings, clock),
        TsneMethod::Linfa => (linfa::embed(&scaled.points, perplexity, settings)?, settings.iterations),
    };
    Ok(TsneEmbedding {
        divergence: divergence(&affinities, &points),
        codes: labelled(codes, points)?,
        scaled,
        blocks,
        perplexity,
        iterations,
        seconds: clock.elapsed().as_secs_f64(),
    })
}

/// Where the points begin: within about 10⁻⁴ of zero, as far from a finished embedding as can be.
fn start(codes: &Codes, scaled: &Scaled, settings: &Tsne) -> Result<Vec<[f32; 2]>> {
    const SIZE: f32 = 1e-4;
    let mut random: Random = random::stream(settings.seed, 0);
    let mut noise = |size: f32| [0, 1].map(|_| size * random.sample::<f32, _>(StandardNormal));
    if settings.random_start {
        return Ok((0..codes.len()).map(|_| noise(SIZE)).collect());
    }
    // Where single precision may not hold coordinates along other axes, the scaled points have them too.
    let moderate = (1e-30..1e30).contains(&scaled.unit);
    let codes = if moderate { codes.clone() } else { codes.moved(scaled.points.clone(), "latent")? };
    let remedy = "Tsne::random_start needs no principal components";
    let components = pca(&codes, codes.latent_dim().min(2)).map_err(|error| error.within("tsne").hint(remedy))?;
    let coordinates = components.transform(&codes)?;
    let spread = components.explained_variance()[0].sqrt() as f32;
    let scale = if spread > 0.0 { SIZE / spread } else { 0.0 };
    // The jitter parts equal points, and leaves the line on which codes of one value begin.
    let point = |row: ndarray::ArrayView1<f32>| {
        let jitter = noise(0.01 * SIZE);
        [0, 1].map(|axis| scale * row.get(axis).copied().unwrap_or(0.0) + jitter[axis])
    };
    Ok(coordinates.points().rows().into_iter().map(point).collect())
}

fn descend(affinities: &Affinities, start: Vec<[f32; 2]>, settings: &Tsne, clock: Instant) -> (Vec<[f32; 2]>, usize) {
    let _listening = Listening::begin();
    let mut progress = Progress::begin(settings.progress_every);
    let mut descent = Descent::new(affinities, start);
    for iteration in 1..=settings.iterations {
        if settings.stop.should_stop() {
            return (descent.points, iteration - 1);
        }
        descent.step();
        let last = iteration == settings.iterations;
        if iteration % settings.progress_every.max(1) == 0 || last {
            progress.unit(iteration, last, || {
                let now = divergence(affinities, &descent.points);
                state(iteration, settings.iterations, Some(now), clock)
            });
        } else {
            progress.within(|| state(iteration, settings.iterations, None, clock));
        }
    }
    (descent.points, settings.iterations)
}

/// `iteration  250/1000  KL divergence 4.4277  1.2 s so far, 3.6 s left`.
fn state(iteration: usize, iterations: usize, divergence: Option<f64>, clock: Instant) -> State {
    let (width, seconds) = (iterations.to_string().len(), clock.elapsed().as_secs_f64());
    let mut text = format!("iteration {iteration:>width$}/{iterations}");
    if let Some(divergence) = divergence {
        text += &format!("  KL divergence {divergence:.4}");
    }
    let share = iteration as f64 / iterations as f64;
    text += &format!("  {}", times(seconds, share));
    State { share, text, ..State::default() }
}

/// Points of the plane as codes with the labels of others.
fn labelled(codes: &Codes, points: Vec<[f32; 2]>) -> Result<Codes> {
    codes.moved(Array2::from(points), "t-SNE")
}

/// New points follow fewer neighbours: on codes of MNIST 86.3 % of them then lie among points of their class, with a perplexity of 30 84.0 %.
const PLACING_PERPLEXITY: f64 = 5.0;

/// Codes in the plane, and what is needed to place more of them. Comes from [`tsne`].
///
/// `Display` says how many there are, the perplexity, the iterations, the divergence and the time.
#[derive(Clone)]
pub struct TsneEmbedding {
    codes: Codes,
    divergence: f64,
    perplexity: f64,
    iterations: usize,
    seconds: f64,
    /// The codes that were embedded, to find the neighbours of new ones.
    scaled: Scaled,
    blocks: Blocks,
}

impl TsneEmbedding {
    /// The points of the plane, shape `(n, 2)`, with their labels.
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// The Kullback-Leibler divergence Σ pᵢⱼ ln(pᵢⱼ / qᵢⱼ), in nats: what t-SNE minimises. Compares embeddings of the same codes with the
    /// same perplexity only.
    pub fn divergence(&self) -> f64 {
        self.divergence
    }

    /// The perplexity it was made with.
    pub fn perplexity(&self) -> f64 {
        self.perplexity
    }

    /// How many iterations it took: fewer than asked for if its handle stopped it.
    pub fn iterations(&self) -> usize {
        self.iterations
    }

    /// How long it took, in seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Places new codes into the embedding, which stays as it is: (m, latent_dim) to (m, 2), with their labels.
    ///
    /// Each is placed by itself, by its nearest neighbours among the codes of the embedding (perplexity 5); so what lies far from all of these finds a place among
    /// them all the same.
    ///
    /// # Errors
    /// If the new codes have another number of values than those of the embedding, or one result cannot hold the affinities of so many (4 GiB).
    pub fn place(&self, codes: &Codes) -> Result<Codes> {
        let dim = self.scaled.mean.len();
        if codes.latent_dim() != dim {
            let expected = format!("codes of {dim} values");
            return Err(Error::expected(ErrorKind::Shape, "TsneEmbedding::place", expected, codes.latent_dim()));
        }
        let perplexity = self.perplexity.min(PLACING_PERPLEXITY);
        let count = (3.0 * perplexity) as usize;
        limit::check("TsneEmbedding::place", "affinities of 3 values each", &[codes.len(), count, 3])?;
        let scaled = self.scaled.apply(codes.points());
        let neighbours = Neighbours::find(&scaled, &self.blocks, self.codes.len(), count, false);
        let points: Vec<[f32; 2]> = self.codes.points().rows().into_iter().map(|row| [row[0], row[1]]).collect();
        labelled(codes, place::place(&neighbours, perplexity, &points))
    }
}

/// The same text as `Display`: a notebook may print either.
impl fmt::Debug for TsneEmbedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for TsneEmbedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, time) = (self.codes.len(), duration_text(self.seconds));
        let Self { perplexity, iterations, divergence, .. } = self;
        write!(
            f,
            "t-SNE of {n} codes: perplexity {perplexity}, {iterations} iterations, KL divergence {divergence:.4}, {time}"
        )
    }
}

#[cfg(test)]
mod tests;
