//! t-SNE: codes in the plane, close to each other where they are close in the latent space.
//!
//! Our own: linfa-tsne runs on one thread, its learning rate does not fit the number of points, and it gives another
//! result each time. Neighbours are exact, the repulsion is computed on a grid (see `repulsion.rs`), and every sum
//! has a fixed order.

mod affinities;
mod descent;
mod fourier;
mod linfa;
mod place;
mod repulsion;

use std::fmt;
use std::path::Path;
use std::time::Instant;

use ndarray::{Array1, Array2};
use rand::Rng;
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use self::affinities::Affinities;
use self::descent::{Descent, Rates, divergence, rehearse};
use self::linfa::LINFA_ITERATIONS;
use super::neighbours::{KnownPoints, Neighbours};
use super::{Codes, pca::pca, rescale::Rescale};
use crate::channel::Stoppable;
use crate::error::{Error, Result};
use crate::file::tensors::Fitted;
use crate::format::thousands;
use crate::limit;
use crate::progress::{Progress, State, duration_text, times};
use crate::random::{self, Random};
use crate::stop::StopHandle;

/// The settings of t-SNE (van der Maaten & Hinton, 2008).
///
/// | setting | default | range |
/// |---|---|---|
/// | [`perplexity`](Self::perplexity) | 30, at most a third of the other points | 1 to a third of the other points |
/// | [`iterations`](Self::iterations) | 1000 | at least 1 |
/// | [`early_exaggeration`](Self::early_exaggeration) | 12, for 250 iterations | at least 1 |
/// | [`exaggeration`](Self::exaggeration) | 1 | at least 1 |
/// | [`learning_rate`](Self::learning_rate) | n / exaggeration | above 0, at most 10⁹ |
/// | [`seed`](Self::seed) | 0 | |
/// | [`random_start`](Self::random_start), [`initial`](Self::initial) | the first two principal components | |
/// | [`method`](Self::method) | [`TsneMethod::Grid`] | |
/// | [`stop_handle`](Self::stop_handle) | none | |
/// | [`progress_every`](Self::progress_every) | 250 iterations | 0 for silence |
///
/// The defaults are openTSNE's (Poličar et al. 2024, after Belkina et al. 2019), but 1000 iterations in all instead of
/// 250 and 500; momentum is 0.5 with early exaggeration and 0.8 afterwards. Settings are checked by [`fit`](Self::fit).
#[derive(Clone, Debug)]
pub struct Tsne {
    perplexity: Option<f64>,
    iterations: usize,
    early_exaggeration: Option<(f64, usize)>,
    exaggeration: Option<f64>,
    learning_rate: Option<f64>,
    seed: Option<u64>,
    start: Start,
    method: TsneMethod,
    stop: Option<StopHandle>,
    progress_every: Option<usize>,
}

/// Where the points start.
#[derive(Clone, Debug, Default, PartialEq)]
enum Start {
    #[default]
    Components,
    Random,
    Given(Array2<f32>),
}

/// What follows the iterations.
type Watch<'a> = &'a mut dyn FnMut(usize, &[[f32; 2]]) -> bool;

/// How t-SNE is computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TsneMethod {
    /// Exact neighbours and repulsion on a grid, on all threads: the same seed gives the same bits.
    #[default]
    Grid,
    /// The crate linfa-tsne (Barnes-Hut, θ = 0.5): one thread, and another result each time. Only the perplexity and
    /// the number of iterations (at most 10,000) can be set; it starts at random, with a learning rate of 200 and an
    /// early exaggeration of 12, prints nothing and cannot be stopped. Codes need at least 2 values and must not all
    /// be equal.
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
        Self {
            perplexity: None,
            iterations: 1000,
            early_exaggeration: None,
            exaggeration: None,
            learning_rate: None,
            seed: None,
            start: Start::default(),
            method: TsneMethod::default(),
            stop: None,
            progress_every: None,
        }
    }

    /// About how many neighbours a point stays close to: small numbers show local structure, large ones global.
    pub fn perplexity(self, perplexity: f64) -> Self {
        Self { perplexity: Some(perplexity), ..self }
    }

    /// The number of iterations, those with early exaggeration included.
    pub fn iterations(self, iterations: usize) -> Self {
        Self { iterations, ..self }
    }

    /// The factor of the attraction in the first iterations, and their number (openTSNE's `early_exaggeration` and
    /// `early_exaggeration_iter`): clusters form before they spread. 1 or 0 iterations for none.
    pub fn early_exaggeration(self, factor: f64, iterations: usize) -> Self {
        Self { early_exaggeration: Some((factor, iterations)), ..self }
    }

    /// The factor of the attraction after the early exaggeration (openTSNE's `exaggeration`): above 1, clusters are
    /// denser and farther apart.
    pub fn exaggeration(self, factor: f64) -> Self {
        Self { exaggeration: Some(factor), ..self }
    }

    /// The learning rate of all iterations, in place of n / exaggeration (openTSNE's and scikit-learn's `"auto"`, which
    /// is at least 200 and 50 there).
    pub fn learning_rate(self, learning_rate: f64) -> Self {
        Self { learning_rate: Some(learning_rate), ..self }
    }

    /// The seed of the random start, or of the small jitter of the principal components.
    pub fn seed(self, seed: u64) -> Self {
        Self { seed: Some(seed), ..self }
    }

    /// Starts from random points instead of the principal components, which keep the global structure.
    pub fn random_start(self) -> Self {
        Self { start: Start::Random, ..self }
    }

    /// Starts from these points, shape `(n, 2)`, as they are (openTSNE's `initialization`): those of another embedding,
    /// say. They should be small, or early exaggeration changes little; a standard deviation of 10⁻⁴ is usual.
    pub fn initial(self, points: &Array2<f32>) -> Self {
        Self { start: Start::Given(points.clone()), ..self }
    }

    /// How it is computed.
    pub fn method(self, method: TsneMethod) -> Self {
        Self { method, ..self }
    }

    /// A handle that can stop it after any iteration; the points stay where they are then. See [`StopHandle`].
    pub fn stop_handle(self, handle: &StopHandle) -> Self {
        Self { stop: Some(handle.clone()), ..self }
    }

    /// Prints a line after this number of iterations each, and after the last one; 0 prints nothing.
    pub fn progress_every(self, iterations: usize) -> Self {
        Self { progress_every: Some(iterations), ..self }
    }

    /// Embeds codes in the plane: (n, latent_dim) to (n, 2). The same seed gives the same bits with any number of
    /// threads.
    ///
    /// The neighbours are exact: the time of their search grows with n² where the codes have no groups, with about
    /// n^1.4 where ten values form clusters; that of an iteration grows with n. If both together will take more than a
    /// minute, the first line of the progress says how long, a second or so after the start. Memory: about
    /// 100 · perplexity bytes a code, 3 kB with the default perplexity (3 GB for a million codes), and four times the
    /// codes themselves.
    ///
    /// # Errors
    /// If there are fewer than 4 codes, a setting is out of its range or unknown to the method, or one result cannot
    /// hold the affinities of the neighbours (4 GiB). With [`TsneMethod::Linfa`] also if the codes are all equal or
    /// have one value.
    ///
    /// ```
    /// use latentlab::{Codes, Dataset, Tsne};
    ///
    /// let (known, new) = Dataset::built_in_digits(200, 0)?.split(150, 50)?;
    /// let embedding = Tsne::new().perplexity(20.0).progress_every(0).fit(&Codes::of_pixels(&known))?;
    /// assert_eq!(embedding.codes().points().dim(), (150, 2));
    /// let placed = embedding.transform(&Codes::of_pixels(&new))?;
    /// assert_eq!(placed.points().dim(), (50, 2));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn fit(&self, codes: &Codes) -> Result<TsneEmbedding> {
        self.fit_watched(codes, &mut |_, _| true)
    }

    /// [`fit`](Self::fit) that tells `watch` each iteration and its points, until it says `false`; only with
    /// [`TsneMethod::Grid`].
    pub(crate) fn fit_watched(&self, codes: &Codes, watch: Watch<'_>) -> Result<TsneEmbedding> {
        let perplexity = self.check(codes)?;
        let clock = Instant::now();
        let scale = Rescale::fit(codes.points());
        let known = scale.apply(codes.points());
        let searched = KnownPoints::new(&known);
        let is_silent = self.method == TsneMethod::Linfa;
        let mut progress = Progress::begin(if is_silent { 0 } else { self.progress_every.unwrap_or(250) });
        let neighbours = self.neighbours(&known, &searched, (3.0 * perplexity) as usize, clock, &mut progress);
        let affinities = Affinities::new(neighbours, perplexity);
        let (points, iterations) = match self.method {
            TsneMethod::Grid => {
                let start = start(codes, &known, scale.unit, self)?;
                descend(&affinities, start, self, watch, clock, &mut progress)
            }
            TsneMethod::Linfa => (linfa::embed(&known, perplexity, self.iterations)?, self.iterations),
        };
        Ok(TsneEmbedding {
            divergence: divergence(&affinities, &points),
            codes: codes.moved(Array2::from(points), AXIS)?,
            known,
            scale,
            searched,
            perplexity,
            iterations,
            seconds: clock.elapsed().as_secs_f64(),
        })
    }

    /// Finds the `count` neighbours of each code, and tells how long everything will take.
    fn neighbours(
        &self,
        known: &Array2<f32>,
        searched: &KnownPoints,
        count: usize,
        clock: Instant,
        progress: &mut Progress,
    ) -> Neighbours {
        let (n, mut rehearsed) = (known.nrows(), None);
        Neighbours::find(known, searched, count, true, |done| {
            if done == n || progress.is_silent() {
                return;
            }
            let so_far = clock.elapsed().as_secs_f64();
            let is_first = rehearsed.is_none();
            let descent = *rehearsed.get_or_insert_with(|| self.iterations as f64 * rehearse(n, count));
            let search = so_far * n as f64 / done as f64;
            match announcement(n, search, self.iterations, descent).filter(|_| is_first) {
                Some(state) => progress.announce(&state),
                None => progress.within(|| {
                    let share = so_far / (search + descent);
                    let text = format!("neighbours of {done}/{n} codes  {}", times(so_far, share));
                    State { share, text, ..State::default() }
                }),
            }
        })
    }

    /// Refuses settings out of range, and gives the perplexity.
    fn check(&self, codes: &Codes) -> Result<f64> {
        let wrong =
            |what: &str, expected: String, got: String| Err(Error::argument(format!("tsne, {what}"), expected, got));
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
            // Rounded down, so that the bound itself is accepted.
            let (most, others) = ((100.0 * most).floor() / 100.0, n - 1);
            let range = format!("a number from 1 to {most} (a third of the other {others} points)");
            return wrong("perplexity", range, perplexity.to_string());
        }
        let (early, exaggeration) = (self.early_exaggeration.map(|(factor, _)| factor), self.exaggeration);
        for (name, factor) in [("early_exaggeration", early), ("exaggeration", exaggeration)] {
            if let Some(factor) = factor.filter(|factor| !(1.0..=MOST_EXAGGERATION).contains(factor)) {
                return wrong(name, format!("a factor from 1 to {MOST_EXAGGERATION}"), factor.to_string());
            }
        }
        if let Some(rate) = self.learning_rate.filter(|rate| !(*rate > 0.0 && *rate <= MOST_RATE)) {
            return wrong("learning_rate", format!("a number above 0, at most {MOST_RATE}"), rate.to_string());
        }
        if let Start::Given(points) = &self.start {
            if points.dim() != (n, 2) {
                return wrong("initial", format!("points of shape [{n}, 2]"), format!("{:?}", points.shape()));
            }
            if let Some(value) = points.iter().find(|value| value.is_nan() || value.abs() > FARTHEST_START) {
                return wrong("initial", format!("values of at most {FARTHEST_START}"), value.to_string());
            }
        }
        if self.method == TsneMethod::Linfa {
            let set = [
                ("early_exaggeration", early.is_some()),
                ("exaggeration", exaggeration.is_some()),
                ("learning_rate", self.learning_rate.is_some()),
                ("seed", self.seed.is_some()),
                ("initial", matches!(self.start, Start::Given(_))),
                ("stop_handle", self.stop.is_some()),
                ("progress_every", self.progress_every.is_some_and(|every| every > 0)),
            ];
            if let Some((name, _)) = set.iter().find(|(_, is_set)| *is_set) {
                return wrong(name, "TsneMethod::Grid".into(), "TsneMethod::Linfa, which has no such setting".into());
            }
            if self.iterations > LINFA_ITERATIONS {
                let range = format!("at most {LINFA_ITERATIONS} with TsneMethod::Linfa, which cannot be stopped");
                return wrong("iterations", range, self.iterations.to_string());
            }
        }
        // Neighbours and their affinities: of each point, the other way round, and joined.
        limit::check("tsne, perplexity", "affinities of 8 values each", &[n, (3.0 * perplexity) as usize, 8])?;
        Ok(perplexity)
    }

    fn rates(&self, n: usize) -> Rates {
        let (early_exaggeration, early_iterations) = self.early_exaggeration.unwrap_or((EXAGGERATION, EXAGGERATED));
        let exaggeration = [early_exaggeration, self.exaggeration.unwrap_or(1.0)].map(|factor| factor as f32);
        let learning_rate = exaggeration.map(|factor| self.learning_rate.map_or(n as f32 / factor, |rate| rate as f32));
        Rates { early_iterations, exaggeration, learning_rate }
    }
}

/// The early exaggeration of van der Maaten & Hinton (2008), and its iterations.
const EXAGGERATION: f64 = 12.0;
const EXAGGERATED: usize = 250;

/// Beyond these, steps overflow single precision.
const MOST_EXAGGERATION: f64 = 1e6;
const MOST_RATE: f64 = 1e9;

/// Embeddings are about 100 wide; far beyond, the grid's lines would be too far apart to compute with.
const FARTHEST_START: f32 = 1e4;

/// The names of an embedding's axes in a figure.
const AXIS: &str = "t-SNE";

/// `settings.fit(codes)`: embeds codes in the plane by [t-SNE](Tsne).
///
/// # Errors
/// As [`Tsne::fit`].
///
/// ```
/// use latentlab::{Codes, Dataset, Tsne, tsne};
///
/// let codes = Codes::of_pixels(&Dataset::built_in_digits(100, 0)?);
/// let embedding = tsne(&codes, &Tsne::new().perplexity(20.0).progress_every(0))?;
/// # assert_eq!(embedding.codes().points().dim(), (100, 2));
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn tsne(codes: &Codes, settings: &Tsne) -> Result<TsneEmbedding> {
    settings.fit(codes)
}

/// Where the points start: given, or within about 10⁻⁴ of zero (the usual initialisation). `known`: the codes,
/// rescaled.
fn start(codes: &Codes, known: &Array2<f32>, unit: f64, settings: &Tsne) -> Result<Vec<[f32; 2]>> {
    const SIZE: f32 = 1e-4;
    let mut random: Random = random::stream(settings.seed.unwrap_or(0), 0);
    let mut noise = |size: f32| [0, 1].map(|_| size * random.sample::<f32, _>(StandardNormal));
    match &settings.start {
        Start::Given(points) => return Ok(pairs(points)),
        Start::Random => return Ok((0..codes.len()).map(|_| noise(SIZE)).collect()),
        Start::Components => {}
    }
    // Coordinates of very large codes may overflow single precision: those of the rescaled ones do as well.
    let moderate = (1e-30..1e30).contains(&unit);
    let codes = if moderate { codes.clone() } else { codes.moved(known.clone(), "latent")? };
    let remedy = "Tsne::random_start needs no principal components";
    let components = pca(&codes, codes.latent_dim().min(2)).map_err(|error| error.within("tsne").hint(remedy))?;
    let coordinates = components.transform(&codes)?;
    let spread = components.explained_variance()[0].sqrt() as f32;
    let scale = if spread > 0.0 { SIZE / spread } else { 0.0 };
    // The jitter separates equal points, and codes of one value, which would stay on a line.
    let point = |row: ndarray::ArrayView1<f32>| {
        let jitter = noise(0.01 * SIZE);
        [0, 1].map(|axis| scale * row.get(axis).copied().unwrap_or(0.0) + jitter[axis])
    };
    Ok(coordinates.points().rows().into_iter().map(point).collect())
}

fn descend(
    affinities: &Affinities,
    start: Vec<[f32; 2]>,
    settings: &Tsne,
    watch: Watch<'_>,
    clock: Instant,
    progress: &mut Progress,
) -> (Vec<[f32; 2]>, usize) {
    let _stoppable = Stoppable::begin();
    let every = settings.progress_every.unwrap_or(250);
    // A handle of its own hears the notebook's stop button.
    let stop = settings.stop.clone().unwrap_or_default();
    let rates = settings.rates(start.len());
    let mut descent = Descent::new(affinities, start, rates);
    let search = clock.elapsed().as_secs_f64();
    let state = |iteration, divergence| {
        state(iteration, settings.iterations, divergence, search, clock.elapsed().as_secs_f64())
    };
    for iteration in 1..=settings.iterations {
        if stop.should_stop() {
            return (descent.points, iteration - 1);
        }
        descent.step();
        let last = iteration == settings.iterations;
        if iteration % every.max(1) == 0 || last {
            progress.unit(iteration, last, || state(iteration, Some(divergence(affinities, &descent.points))));
        } else {
            progress.within(|| state(iteration, None));
        }
        if !watch(iteration, &descent.points) {
            return (descent.points, iteration);
        }
    }
    (descent.points, settings.iterations)
}

/// `iteration  250/1000  KL divergence 4.4277  1.2 s so far, 3.6 s left`. The first `search` of these `seconds` were
/// spent before the first iteration.
fn state(iteration: usize, iterations: usize, divergence: Option<f64>, search: f64, seconds: f64) -> State {
    let width = iterations.to_string().len();
    let mut text = format!("iteration {iteration:>width$}/{iterations}");
    if let Some(divergence) = divergence {
        text += &format!("  KL divergence {divergence:.4}");
    }
    let all = search + (seconds - search) * iterations as f64 / iteration as f64;
    // Rounding must not leave a rest after the last iteration.
    let share = if iteration == iterations { 1.0 } else { seconds / all };
    text += &format!("  {}", times(seconds, share));
    State { share, text, ..State::default() }
}

/// What is said beforehand of an embedding that takes more than a minute:
/// `t-SNE of 1,000,000 codes takes about 22 min 5 s: 5 min 2 s for their neighbours, 17 min 3 s for 1000 iterations`.
fn announcement(n: usize, search: f64, iterations: usize, descent: f64) -> Option<State> {
    let [all, search_text, descent_text] = [search + descent, search, descent].map(duration_text);
    let text = format!(
        "t-SNE of {} codes takes about {all}: {search_text} for their neighbours, {descent_text} for {iterations} \
         iterations",
        thousands(n)
    );
    (search + descent > 60.0).then(|| State { text, ..State::default() })
}

fn pairs(points: &Array2<f32>) -> Vec<[f32; 2]> {
    points.rows().into_iter().map(|row| [row[0], row[1]]).collect()
}

/// New points are attracted by fewer neighbours: on codes of MNIST 86.3 % of them then lie among points of their class,
/// with a perplexity of 30 84.0 %.
const PLACING_PERPLEXITY: f64 = 5.0;

/// Codes embedded in the plane; [`transform`](Self::transform) embeds more. Comes from [`Tsne::fit`] or [`tsne`].
///
/// `Display` prints the number of codes, the perplexity, the iterations, the divergence and the time.
#[derive(Clone)]
pub struct TsneEmbedding {
    codes: Codes,
    divergence: f64,
    perplexity: f64,
    iterations: usize,
    seconds: f64,
    /// The embedded codes, rescaled, to find the neighbours of new ones.
    known: Array2<f32>,
    scale: Rescale,
    searched: KnownPoints,
}

/// What a file holds beside arrays.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    class_names: Vec<String>,
    divergence: f64,
    perplexity: f64,
    iterations: usize,
    seconds: f64,
    unit: f64,
}

const MODEL: &str = "t-SNE embedding";

impl TsneEmbedding {
    /// The embedded points, shape `(n, 2)`, with their labels.
    pub fn codes(&self) -> &Codes {
        &self.codes
    }

    /// The Kullback-Leibler divergence Σ pᵢⱼ ln(pᵢⱼ / qᵢⱼ), in nats: what t-SNE minimises. Comparable only between
    /// embeddings of the same codes with the same perplexity.
    pub fn divergence(&self) -> f64 {
        self.divergence
    }

    /// The perplexity.
    pub fn perplexity(&self) -> f64 {
        self.perplexity
    }

    /// The number of iterations: fewer than asked for if it was stopped.
    pub fn iterations(&self) -> usize {
        self.iterations
    }

    /// The time it took, in seconds.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// Embeds new codes among these, which stay where they are: (m, latent_dim) to (m, 2), with their labels
    /// (openTSNE's `transform`).
    ///
    /// Each new code is placed independently, by its nearest neighbours among the embedded codes (perplexity 5); also
    /// one that is far from all of them.
    ///
    /// # Errors
    /// If the new codes have another number of values than those of the embedding, or one result cannot hold their
    /// affinities (4 GiB).
    pub fn transform(&self, codes: &Codes) -> Result<Codes> {
        codes.check_width("TsneEmbedding::transform", self.known.ncols())?;
        let perplexity = self.perplexity.min(PLACING_PERPLEXITY);
        let count = (3.0 * perplexity) as usize;
        limit::check("TsneEmbedding::transform", "affinities of 3 values each", &[codes.len(), count, 3])?;
        let rescaled = self.scale.apply(codes.points());
        let neighbours = Neighbours::find(&rescaled, &self.searched, count, false, drop);
        codes.moved(place::place(neighbours, perplexity, &pairs(self.codes.points())).into(), AXIS)
    }

    /// Saves the embedding as a safetensors file with a SHA-256 of the whole, atomically: the points, and the codes
    /// that [`transform`](Self::transform) needs.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// ```
    /// use latentlab::{Codes, Dataset, Tsne, TsneEmbedding};
    /// # let path = std::env::temp_dir().join(format!("latentlab-embedding-{}.safetensors", std::process::id()));
    ///
    /// let codes = Codes::of_pixels(&Dataset::built_in_digits(50, 0)?);
    /// Tsne::new().iterations(50).progress_every(0).fit(&codes)?.save(&path)?; // "embedding.safetensors"
    /// assert_eq!(TsneEmbedding::load(&path)?.codes().len(), 50);
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        self.save_to(path.as_ref())
    }

    fn save_to(&self, path: &Path) -> Result<()> {
        let Self { divergence, perplexity, iterations, seconds, .. } = *self;
        let (class_names, unit) = (self.codes.class_names().to_vec(), self.scale.unit);
        Fitted::new(Saved { class_names, divergence, perplexity, iterations, seconds, unit })
            .with("points", self.codes.points())
            .with("labels", &self.codes.labels().mapv(|label| label as u64))
            .with("codes", &self.known)
            .with("mean", &self.scale.mean)
            .save(path, MODEL)
    }

    /// Loads an embedding that [`save`](Self::save) wrote.
    ///
    /// # Errors
    /// If the file cannot be read (an [`ErrorKind::Io`](crate::ErrorKind::Io)), or is damaged or of another kind (an
    /// [`ErrorKind::Weights`](crate::ErrorKind::Weights)).
    pub fn load(path: impl AsRef<Path>) -> Result<Self> {
        Self::load_from(path.as_ref())
    }

    fn load_from(path: &Path) -> Result<Self> {
        Fitted::<Saved>::load(path, MODEL, |saved| {
            let (points, known): (Array2<f32>, Array2<f32>) = (saved.array("points")?, saved.array("codes")?);
            let (labels, mean): (Array1<u64>, Array1<f64>) = (saved.array("labels")?, saved.array("mean")?);
            let Saved { class_names, divergence, perplexity, iterations, seconds, unit } = saved.settings;
            let ((n, dim), names) = (known.dim(), class_names);
            let is_sound = n >= 4
                && points.dim() == (n, 2)
                && dim > 0
                && mean.len() == dim
                && (1.0..=(n - 1) as f64 / 3.0).contains(&perplexity)
                && points.iter().all(|value| value.abs() < f32::MAX / 4.0)
                && known.iter().all(|value| value.is_finite())
                && seconds >= 0.0;
            let scale = Rescale::of(mean, unit).filter(|_| is_sound).ok_or("its embedding is damaged")?;
            let codes = Codes::new(points, labels.mapv(|label| label as usize), names);
            let codes = codes.map_err(|error| format!("its codes are damaged ({error})"))?.named(AXIS);
            let searched = KnownPoints::new(&known);
            Ok(Self { codes, divergence, perplexity, iterations, seconds, known, scale, searched })
        })
    }
}

impl fmt::Display for TsneEmbedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (n, time) = (self.codes.len(), duration_text(self.seconds));
        let Self { perplexity, iterations, divergence, .. } = self;
        write!(
            f,
            "t-SNE of {n} codes: perplexity {perplexity}, {iterations} iterations, \
             KL divergence {divergence:.4}, {time}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_long_is_announced() {
        let text = announcement(1_000_000, 302.0, 1000, 1023.0).unwrap().text;
        let expected = "t-SNE of 1,000,000 codes takes about 22 min 5 s: 5 min 2 s for their neighbours, \
                        17 min 3 s for 1000 iterations";
        assert_eq!(text, expected);
        assert!(announcement(60_000, 2.0, 1000, 50.0).is_none());
    }

    #[test]
    fn an_iteration_is_rehearsed() {
        let seconds = rehearse(2000, 9);
        assert!(seconds > 0.0 && seconds.is_finite(), "{seconds}");
    }

    #[test]
    fn the_time_left_is_that_of_the_iterations() {
        // 100 seconds of search, then 10 iterations of a second.
        let State { share, text, .. } = state(10, 1000, None, 100.0, 110.0);
        assert_eq!(text, "iteration   10/1000  1 min 50 s so far, 16 min 30 s left");
        assert!((share - 0.1).abs() < 1e-9);
        let State { share, text, .. } = state(1000, 1000, Some(1.5), 0.3, 9.1);
        assert_eq!((share, &text[..]), (1.0, "iteration 1000/1000  KL divergence 1.5000  9.1 s"));
    }
}
