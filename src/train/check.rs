//! What is refused before a training begins, so that it does not waste its time.

use super::config::TrainConfig;
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    limit,
    model::outside,
    nn::{Loss, Sequential},
};

/// Refuses targets that the loss is not made for: of a target outside [0, 1] a cross-entropy has no lowest value. `which` images they are.
pub(super) fn targets(images: &Dataset, which: &str, loss: Loss) -> Result<()> {
    match loss {
        Loss::MeanSquaredError | Loss::Dfdx(_) => return Ok(()),
        Loss::BinaryCrossEntropy | Loss::BinaryCrossEntropyWithLogits => {}
    }
    let Some((place, value)) = outside(images, [0.0, 1.0]) else { return Ok(()) };
    let place = format!("{which}, {place}");
    let expected = format!("a target in [0, 1] for the loss, {}", loss.name());
    Err(Error::expected(ErrorKind::Argument, place, expected, value).hint(
        "Take Loss::MeanSquaredError, or bring the images into [0, 1]: undo their normalisation, or divide grey values by 255",
    ))
}

/// The first batch normalisation of some networks that needs two rows: "encoder, layer 3, batch_norm".
pub(super) fn needs_two_rows(networks: &[(&str, &Sequential)]) -> Option<String> {
    networks.iter().find_map(|(name, network)| Some(format!("{name}, {}", network.needs_two_rows()?)))
}

/// What to say where that `layer` would get one.
pub(super) fn one_row(kind: ErrorKind, place: impl Into<String>, layer: &str) -> Error {
    let expected = format!("at least 2 images, of which a batch normalisation takes mean and variance ({layer})");
    Error::expected(kind, place, expected, 1).hint(
        "Of one it makes nothing but its β, whatever the image: take larger batches, or put it where there are pictures of more than one pixel",
    )
}

/// Refuses snapshots that are too many or too large: `values` of each, after the chosen ones of so many epochs.
pub(super) fn snapshots(place: &str, config: &TrainConfig, values: &[usize]) -> Result<()> {
    if config.snapshot_epochs.len() > TrainConfig::MOST_SNAPSHOTS {
        let expected = format!("at most {} epochs, such as 0..=20", TrainConfig::MOST_SNAPSHOTS);
        return Err(Error::expected(ErrorKind::Argument, place, expected, "more"));
    }
    let mut epochs: Vec<_> = config.snapshot_epochs.iter().filter(|epoch| **epoch <= config.epochs).collect();
    epochs.sort_unstable();
    epochs.dedup();
    limit::check(place, "all snapshots", &[&[epochs.len()], values].concat())?;
    Ok(())
}
