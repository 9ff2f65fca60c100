//! Figures made directly from data, models and results.

use ndarray::{Array4, Axis, s};

use super::axis::range;
use super::{BarChart, Figure, Heatmap, ImageGrid, LineChart, RocChart, Scatter};
use crate::{
    analyse::{Codes, Confusion, RocCurve, TsneEmbedding, reconstruct},
    data::Dataset,
    error::{Error, Result},
    model::Autoencoder,
    train::{GanHistory, History, Snapshot, Study, TrialRecord, TrialState},
};

/// The most images in a row that can still be made out.
const COLUMNS: usize = 16;

impl Dataset {
    /// The first `n` images with their class names, in rows of ten.
    ///
    /// # Errors
    /// If there are no images, or they are neither grey (one channel) nor in colour (three).
    pub fn plot_images(&self, n: usize) -> Result<Figure> {
        let some = self.take(n);
        let names = some.labels().iter().map(|label| self.class_names()[*label].clone());
        ImageGrid::new(some.images(), some.len().min(10)).captions(names).figure()
    }
}

/// The first images (at most 16) above their reconstructions by the autoencoder.
///
/// # Errors
/// If there are no images, or their shape is not that of the encoder's input.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, reconstructions};
///
/// let digits = Dataset::built_in_digits(16, 0)?;
/// let figure = reconstructions(&Autoencoder::tiny(2)?, &digits)?;
/// assert!(figure.to_svg()?.contains("reconstruction"));
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn reconstructions(autoencoder: &Autoencoder, images: &Dataset) -> Result<Figure> {
    let originals = images.take(COLUMNS);
    let reconstructions = reconstruct(autoencoder, &originals)?;
    ImageGrid::rows([("original", originals.images()), ("reconstruction", reconstructions.images())]).figure()
}

impl History {
    /// The loss curves: training, and validation if there was one, with the best epoch marked.
    ///
    /// # Errors
    /// If no epoch has run.
    pub fn plot(&self) -> Result<Figure> {
        let chart = LineChart::new("epoch", &self.objective).line("training", &self.loss);
        if self.validation_loss.is_empty() {
            return chart.figure();
        }
        let chart = chart.line("validation", &self.validation_loss);
        chart.mark(self.best_epoch as f64, format!("best epoch: {}", self.best_epoch)).figure()
    }
}

impl History {
    /// The images of the [`snapshots`](crate::TrainConfig::snapshots): the originals, and below them a row for each
    /// epoch. At most 16 images.
    ///
    /// # Errors
    /// If there are no snapshots.
    pub fn plot_snapshots(&self) -> Result<Figure> {
        let originals = self.originals.iter().map(|images| ("original".into(), images));
        snapshots(originals.chain(self.snapshots.iter().map(labelled)), self.snapshots.len())
    }

    /// The norm of each layer's gradient, epoch by epoch, with a logarithmic scale unless one is 0.
    ///
    /// # Errors
    /// If the training did not watch them ([`Watch::GradientNorms`](crate::Watch::GradientNorms)).
    pub fn plot_gradient_norms(&self) -> Result<Figure> {
        gradient_norms(&self.gradient_norms)
    }

    /// The share of dead units in each `relu` layer, epoch by epoch.
    ///
    /// # Errors
    /// If the training did not watch them ([`Watch::DeadUnits`](crate::Watch::DeadUnits)).
    pub fn plot_dead_units(&self) -> Result<Figure> {
        by_layer("plot_dead_units", "share of dead units", &self.dead_units)?.figure()
    }

    /// A classifier's accuracy: in training, and on the validation images if there were any.
    ///
    /// # Errors
    /// If no epoch has run, or the model was not a classifier.
    pub fn plot_accuracy(&self) -> Result<Figure> {
        if self.accuracy.is_empty() {
            return Err(Error::argument("plot_accuracy", "the training of a classifier", &self.objective));
        }
        let chart = LineChart::new("epoch", "accuracy").line("training", &self.accuracy);
        if self.validation_accuracy.is_empty() {
            return chart.figure();
        }
        chart.line("validation", &self.validation_accuracy).figure()
    }
}

impl GanHistory {
    /// The losses of generator and discriminator.
    ///
    /// # Errors
    /// If no epoch has run.
    pub fn plot(&self) -> Result<Figure> {
        let chart = LineChart::new("epoch", "binary cross-entropy").line("generator", &self.generator_loss);
        chart.line("discriminator", &self.discriminator_loss).figure()
    }

    /// The norm of the gradient of each layer of both networks: see [`History::plot_gradient_norms`].
    ///
    /// # Errors
    /// If the training did not watch them.
    pub fn plot_gradient_norms(&self) -> Result<Figure> {
        gradient_norms(&self.gradient_norms)
    }

    /// The share of dead units in each `relu` layer of both networks: see [`History::plot_dead_units`].
    ///
    /// # Errors
    /// If the training did not watch them.
    pub fn plot_dead_units(&self) -> Result<Figure> {
        by_layer("plot_dead_units", "share of dead units", &self.dead_units)?.figure()
    }

    /// The images of the [`snapshots`](crate::GanConfig::snapshots), a row for each epoch. At most 16 images.
    ///
    /// # Errors
    /// If there are no snapshots.
    pub fn plot_snapshots(&self) -> Result<Figure> {
        snapshots(self.snapshots.iter().map(labelled), self.snapshots.len())
    }
}

/// A line for each layer.
fn by_layer(place: &str, quantity: &str, curves: &[(String, Vec<f64>)]) -> Result<LineChart> {
    if curves.is_empty() {
        return Err(Error::argument(place, "a training with TrainConfig::watch", "one without"));
    }
    let chart = LineChart::new("epoch", quantity);
    Ok(curves.iter().fold(chart, |chart, (layer, values)| chart.line_with_gaps(layer, values)))
}

fn gradient_norms(curves: &[(String, Vec<f64>)]) -> Result<Figure> {
    let chart = by_layer("plot_gradient_norms", "gradient norm", curves)?;
    let is_positive = curves.iter().flat_map(|(_, values)| values).all(|value| value.is_nan() || *value > 0.0);
    if is_positive { chart.log_y().figure() } else { chart.figure() }
}

fn labelled(snapshot: &Snapshot) -> (String, &Array4<f32>) {
    (format!("epoch {}", snapshot.epoch), &snapshot.images)
}

fn snapshots<'a>(rows: impl Iterator<Item = (String, &'a Array4<f32>)>, count: usize) -> Result<Figure> {
    if count == 0 {
        return Err(Error::argument("plot_snapshots", "a training with snapshots", "one without"));
    }
    let few: Vec<(String, Array4<f32>)> = rows
        .map(|(label, images)| (label, images.slice(s![..COLUMNS.min(images.len_of(Axis(0))), .., .., ..]).to_owned()))
        .collect();
    ImageGrid::rows(few.iter().map(|(label, images)| (label.as_str(), images))).figure()
}

impl Study {
    /// The value of each trial, pruned ones marked as ×, and the best value so far.
    ///
    /// # Errors
    /// If no trial is complete.
    pub fn plot(&self) -> Result<Figure> {
        let (records, best) = (self.records(), self.best()?);
        let values = |state| {
            let value = |record: &TrialRecord| record.value.filter(|_| record.state == state).unwrap_or(f64::NAN);
            records.iter().map(value).collect::<Vec<f64>>()
        };
        let (complete, pruned) = (values(TrialState::Complete), values(TrialState::Pruned));
        let better = |best: f64, value: f64| if self.maximizes() { best.max(value) } else { best.min(value) };
        let best_so_far = complete.iter().scan(f64::NAN, |best, value| {
            *best = better(*best, *value);
            Some(*best)
        });
        let mut chart = LineChart::new("trial", "value").dots("complete", &complete);
        chart = chart.steps("best so far", &best_so_far.collect::<Vec<f64>>());
        if pruned.iter().any(|value| value.is_finite()) {
            chart = chart.crosses("pruned", &pruned);
        }
        let (low, high) = range(complete.iter().chain(&pruned).copied().filter(|value| value.is_finite()));
        if low > 0.0 && high > 10.0 * low {
            chart = chart.log_y();
        }
        chart.mark(best.number as f64, format!("best: trial {}", best.number)).figure()
    }

    /// The [`importance`](Study::importance) of the parameters, the largest first.
    ///
    /// # Errors
    /// When fewer than four trials are complete.
    pub fn plot_importance(&self) -> Result<Figure> {
        let mut importance = self.importance()?;
        importance.sort_by(|a, b| b.1.total_cmp(&a.1));
        importance.into_iter().fold(BarChart::new("importance"), |chart, (name, share)| chart.bar(name, share)).figure()
    }
}

impl Codes {
    /// Two-dimensional codes as points, coloured by label. [`Scatter::of`] gives the chart to add to.
    ///
    /// # Errors
    /// If the codes do not have two values each, or there are none.
    pub fn scatter(&self) -> Result<Figure> {
        Scatter::of(self).figure()
    }
}

impl Confusion {
    /// The counts as a heatmap: a row for each true class, a column for each predicted one.
    ///
    /// # Errors
    /// If there are more than 500 classes.
    ///
    /// ```
    /// use latentlab::{Confusion, ndarray::arr1};
    ///
    /// let names = vec!["cat".to_string(), "dog".to_string()];
    /// let confusion = Confusion::new(&arr1(&[0, 0, 1, 1]), &arr1(&[0, 1, 1, 1]), names)?;
    /// confusion.plot()?.save(std::env::temp_dir().join("confusion.svg"))?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn plot(&self) -> Result<Figure> {
        Heatmap::new(self.counts()).names(self.class_names()).figure()
    }
}

impl RocCurve {
    /// The curve, with the area under it. [`RocChart`] draws several.
    ///
    /// # Errors
    /// None: one curve can always be drawn.
    pub fn plot(&self) -> Result<Figure> {
        RocChart::new().curve("", self).figure()
    }
}

impl TsneEmbedding {
    /// The embedded points, coloured by label.
    ///
    /// # Errors
    /// If there are no points.
    pub fn scatter(&self) -> Result<Figure> {
        self.codes().scatter()
    }
}

impl Scatter {
    /// A scatter of two-dimensional codes, with the names of their classes and [equal axes](Self::equal_axes).
    ///
    /// ```
    /// use latentlab::{Codes, Scatter, ndarray::array};
    ///
    /// let names = vec!["zero".to_string(), "one".to_string()];
    /// let codes = Codes::new(array![[0.0, 1.0], [4.0, 4.0]], array![0, 1], names)?;
    /// let figure = Scatter::of(&codes).annotate([2.0, 2.0], "A").figure()?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn of(codes: &Codes) -> Self {
        let scatter = Self::new(codes.points(), codes.labels()).names(codes.class_names());
        scatter.axis_names(codes.axis_name(0), codes.axis_name(1)).equal_axes(true)
    }
}
