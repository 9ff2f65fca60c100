//! What a training says of where it is.

use ndarray::Array4;

use super::history::History;
use crate::progress::State;

/// After an epoch.
pub(super) fn after_epoch(history: &History, epochs: usize, images: Option<Array4<f32>>) -> State {
    let share = match history.stopped_by {
        Some(_) => 1.0,
        None => history.epochs() as f64 / epochs as f64,
    };
    let text = match history.stopped_by {
        Some(stopped_by) => format!("{}  {stopped_by}", line(history, epochs)),
        None => line(history, epochs),
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
    let (epoch, left) = (history.epochs() + 1, total / done * (epochs as f64 - done));
    let width = epochs.to_string().len();
    let text = format!(
        "epoch {epoch:>width$}/{epochs}  batch {batch}/{batches}  loss {loss:.4}  {} so far, {} left",
        duration_text(total),
        duration_text(left)
    );
    State { share: done / epochs as f64, text, axes: axes(history), curves: curves(history), images: None }
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
fn line(history: &History, epochs: usize) -> String {
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
    let total = history.total_seconds();
    line += &format!("  {} so far", duration_text(total));
    if epoch < epochs {
        let left = total / epoch as f64 * (epochs - epoch) as f64;
        line += &format!(", {} left", duration_text(left));
    }
    line
}

/// Seconds as a person says them: "0.4 s", "12 s", "3 min 20 s", "1 h 5 min".
pub fn duration_text(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::duration_text;

    #[test]
    fn durations_read_well() {
        let texts = [0.04, 9.4, 9.96, 59.6, 200.2, 3900.0].map(duration_text);
        assert_eq!(texts, ["0.0 s", "9.4 s", "10 s", "1 min 0 s", "3 min 20 s", "1 h 5 min"]);
    }
}
