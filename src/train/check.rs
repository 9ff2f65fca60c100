//! Checks before a training begins.

use super::config::{Snapshots, TrainConfig};
use crate::{
    data::Dataset,
    error::{Error, ErrorKind, Result},
    limit,
    model::outside,
    nn::{Loss, Sequential},
};

/// Refuses targets that do not suit the loss: with a target outside [0, 1] a cross-entropy has no minimum, and a
/// function of the user's must take rows of that width. `which` names the images.
pub(super) fn targets(images: &Dataset, which: &str, loss: Loss) -> Result<()> {
    match loss {
        Loss::Function(loss) => return loss.check(&images.image_shape()),
        Loss::MeanSquaredError => return Ok(()),
        Loss::Dfdx(loss) => return loss.check(images.image_shape().iter().product()),
        Loss::BinaryCrossEntropy | Loss::BinaryCrossEntropyWithLogits => {}
    }
    let Some((place, value)) = outside(images, [0.0, 1.0]) else { return Ok(()) };
    let place = format!("{which}, {place}");
    let expected = format!("a target in [0, 1] for the loss, {}", loss.name());
    Err(Error::expected(ErrorKind::Argument, place, expected, value).hint(
        "Take Loss::MeanSquaredError, or bring the images into [0, 1]: undo their normalisation, or divide grey \
         values by 255",
    ))
}

/// The first batch normalisation that needs two rows: "encoder, layer 3, batch_norm".
pub(super) fn needs_two_rows(networks: &[(&str, &Sequential)]) -> Option<String> {
    networks.iter().find_map(|(name, network)| Some(format!("{name}, {}", network.needs_two_rows()?)))
}

/// The error where that `layer` would get one row.
pub(super) fn one_row(kind: ErrorKind, place: impl Into<String>, layer: &str) -> Error {
    let expected = format!("at least 2 images, of which a batch normalisation takes mean and variance ({layer})");
    Error::expected(kind, place, expected, 1).hint(
        "From one value it computes only its β, whatever the image: take larger batches, or put it where feature maps \
         have more than one pixel",
    )
}

/// Refuses snapshots that are too many or too large; `values` are the factors of the size of each.
pub(super) fn snapshots(place: &str, config: &TrainConfig, values: &[usize]) -> Result<()> {
    if config.snapshots.epochs.len() > Snapshots::MOST {
        let expected = format!("at most {} epochs, such as 0..=20", Snapshots::MOST);
        return Err(Error::expected(ErrorKind::Argument, place, expected, "more"));
    }
    let mut epochs: Vec<_> = config.snapshots.epochs.iter().filter(|epoch| **epoch <= config.epochs).collect();
    epochs.sort_unstable();
    epochs.dedup();
    limit::check(place, "all snapshots", &[&[epochs.len()], values].concat())?;
    Ok(())
}
