//! What a training says of where it is.

use std::ops::ControlFlow;

use super::{BatchEnd, EpochEnd, Observer};
use crate::{
    error::Result,
    progress::{Curves, Progress, Scale, State, times},
    train::{
        config::TrainConfig,
        history::{History, StoppedBy},
        objective::Learner,
    },
};

/// Shows lines, a bar, or curves that grow.
pub(super) struct ProgressLine(Progress);

impl ProgressLine {
    pub fn new(every: usize) -> Self {
        Self(Progress::begin(every))
    }

    fn show(&mut self, at: &EpochEnd<'_>) {
        let (history, epochs) = (&*at.history, at.config.epochs);
        let epoch = history.epochs();
        let warning = history.warnings.last().filter(|warning| warning.starts_with(&format!("after epoch {epoch}:")));
        let last = epoch == epochs || history.stopped_by.is_some() || warning.is_some();
        let drawn = self.0.is_drawn();
        self.0.unit(epoch, last, || {
            let share = if history.stopped_by.is_some() { 1.0 } else { epoch as f64 / epochs as f64 };
            let mut text = line(history, epochs, share);
            if let Some(stopped_by) = history.stopped_by {
                text += &format!("  {stopped_by}");
            }
            warning.into_iter().for_each(|warning| text += &format!("  warning: {warning}"));
            let share = epoch as f64 / epochs as f64;
            state(share, text, history, (&*at.model, at.config), drawn)
        });
    }
}

impl Observer for ProgressLine {
    fn after_batch(&mut self, history: &History, config: &TrainConfig, end: &BatchEnd<'_>) {
        let drawn = self.0.is_drawn();
        self.0.within(|| {
            let (epochs, [batch, batches]) = (config.epochs, end.batch);
            let done = history.epochs() as f64 + batch as f64 / batches as f64;
            let total = history.total_seconds() + end.start.elapsed().as_secs_f64();
            let (epoch, share) = (history.epochs() + 1, done / epochs as f64);
            let (width, loss, times) = (epochs.to_string().len(), end.loss, times(total, share));
            let text = format!("epoch {epoch:>width$}/{epochs}  batch {batch}/{batches}  loss {loss:.4}  {times}");
            state(share, text, history, (end.model, config), drawn)
        });
    }

    fn after_epoch(&mut self, at: &mut EpochEnd<'_>) -> Result<ControlFlow<StoppedBy>> {
        self.show(at);
        Ok(ControlFlow::Continue(()))
    }

    fn stopped(&mut self, at: &EpochEnd<'_>) {
        self.show(at);
    }
}

/// The state of a training; with curves and images if they are drawn.
fn state(
    share: f64,
    text: String,
    history: &History,
    (model, config): (&dyn Learner, &TrainConfig),
    drawn: bool,
) -> State {
    if !drawn {
        return State { share, text, ..State::default() };
    }
    // A mistake in what only this view asks for ends no training.
    let images = model.sample(config).unwrap_or_default();
    let axes = ["epoch".into(), history.objective.clone()];
    State { share, text, axes, curves: curves(history), charts: charts(history, config), images }
}

/// What the settings ask to watch.
fn charts(history: &History, config: &TrainConfig) -> Vec<Curves> {
    let mut charts = Vec::new();
    let mut chart = |watched, quantity, scale, curves: &[(String, Vec<f64>)]| {
        if watched {
            charts.push(Curves { quantity, scale, curves: curves.to_vec() });
        }
    };
    chart(config.watches_gradients(), "gradient norm", Scale::Logarithmic, &history.gradient_norms);
    chart(config.watches_dead_units(), "dead units", Scale::Percent, &history.dead_units);
    let rate = [(String::new(), history.learning_rate.clone())];
    chart(config.watches_learning_rate(), "learning rate", Scale::Linear, &rate);
    charts
}

fn curves(history: &History) -> Vec<(String, Vec<f64>)> {
    let loss = if history.metrics.contains_key("discriminator_loss") { "generator" } else { "training" };
    let metrics = history.metrics.iter().map(|(name, values)| (name.trim_end_matches("_loss"), values));
    [(loss, &history.loss), ("validation", &history.validation_loss)]
        .into_iter()
        .chain(metrics)
        .filter(|(_, values)| !values.is_empty())
        .map(|(name, values)| (name.into(), values.clone()))
        .collect()
}

/// One whole line: `epoch  12/100  loss 0.0512  validation 0.0530  0.4 s so far, 35 s left`.
fn line(history: &History, epochs: usize, share: f64) -> String {
    let epoch = history.epochs();
    let width = epochs.to_string().len();
    let mut line = format!("epoch {epoch:>width$}/{epochs}  loss {:.4}", history.final_loss());
    if let Some(validation) = history.validation_loss.last() {
        line += &format!("  validation {validation:.4}");
    }
    if let Some(accuracy) = history.last_accuracy() {
        line += &format!("  accuracy {:.2} %", 100.0 * accuracy);
    }
    if let (Some(reconstruction), Some(kl)) = (history.reconstruction.last(), history.kl.last()) {
        line += &format!("  reconstruction {reconstruction:.4}  KL {kl:.2}");
    }
    for (name, values) in &history.metrics {
        line += &format!("  {} {:.4}", name.trim_end_matches("_loss"), values.last().copied().unwrap_or(f64::NAN));
    }
    line + "  " + &times(history.total_seconds(), share)
}
