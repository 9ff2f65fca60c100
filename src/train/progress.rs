//! The line that a training prints.

use std::io::Write;

use super::history::History;

/// Prints where the training is, one whole line: `epoch  12/100  loss 0.0512  validation 0.0530  0.4 s  35 s left`.
pub(super) fn print_epoch(history: &History, epochs: usize) {
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
    // Nobody may be listening any more: no reason to lose a training.
    let _ = writeln!(std::io::stdout(), "{line}");
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
