//! What a training says of where it is.

use ndarray::Array4;

use super::history::History;
use crate::progress::{State, times};

/// After an epoch.
pub(super) fn after_epoch(history: &History, epochs: usize, images: Option<Array4<f32>>) -> State {
    let share = history.epochs() as f64 / epochs as f64;
    let text = match history.stopped_by {
        Some(stopped_by) => format!("{}  {stopped_by}", line(history, epochs, 1.0)),
        None => line(history, epochs, share),
    };
    State { share, text, axes: axes(history), curves: curves(history), images }
}

/// After so many of an epoch's batches, with their mean loss and the seconds since the epoch's start.
pub(super) fn within_epoch(
    history: &History,
    epochs: usize,
    [batch, batches]: [usize; 2],
    loss: f64,
    seconds: f64,
) -> State {
    let done = history.epochs() as f64 + batch as f64 / batches as f64;
    let total = history.total_seconds() + seconds;
    let (epoch, share) = (history.epochs() + 1, done / epochs as f64);
    let width = epochs.to_string().len();
    let times = times(total, share);
    let text = format!("epoch {epoch:>width$}/{epochs}  batch {batch}/{batches}  loss {loss:.4}  {times}");
    State { share, text, axes: axes(history), curves: curves(history), images: None }
}

fn axes(history: &History) -> [String; 2] {
    ["epoch".into(), history.objective.clone()]
}

fn curves(history: &History) -> Vec<(String, Vec<f64>)> {
    let loss = if history.discriminator_loss.is_empty() { "training" } else { "generator" };
    [(loss, &history.loss), ("validation", &history.validation_loss), ("discriminator", &history.discriminator_loss)]
        .into_iter()
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
    if let Some(discriminator) = history.discriminator_loss.last() {
        line += &format!("  discriminator {discriminator:.4}");
    }
    line + "  " + &times(history.total_seconds(), share)
}
