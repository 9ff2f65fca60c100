use std::{sync::Arc, time::Instant};

use rand::Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;

use super::{config::TrainConfig, history::History, progress::print_epoch};
use crate::{
    data::{Dataset, shuffled_indices},
    error::{Error, ErrorKind, Result},
    model::Autoencoder,
    nn::{
        Buffer, Cut, Descent, Loss, NotRecording, OnThreads, Pass, Reuse, Tape, Variable, Weights, channels_first,
        channels_last, for_shards, learn,
    },
    random,
};

/// Trains an autoencoder to give back the images it gets, with [`TrainConfig`]'s settings.
///
/// The weights go on from where they are: calling it again continues (with a fresh optimizer and schedule).
/// The same seed, weights and images give the same bits, whatever the number of threads.
///
/// # Errors
/// - [`ErrorKind::Argument`](crate::ErrorKind::Argument) for a setting out of range,
///   [`ErrorKind::Shape`](crate::ErrorKind::Shape) for images of another shape than the encoder's input;
/// - [`ErrorKind::Diverged`](crate::ErrorKind::Diverged) if the loss or the weights become NaN or infinite: the error says at
///   which epoch and step and what to try, and the weights are those of the last good epoch.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, TrainConfig, train_ae};
///
/// let (train, test) = Dataset::built_in_digits(600, 0)?.split(500, 100)?;
/// let mut autoencoder = Autoencoder::tiny(2)?;
/// let config = TrainConfig::new().epochs(3).batch_size(100).validation(&test);
/// let history = train_ae(&mut autoencoder, &train, &config)?;
/// assert_eq!(history.loss.len(), 3);
/// assert!(history.loss[2] < history.loss[0]);
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn train_ae(autoencoder: &mut Autoencoder, images: &Dataset, config: &TrainConfig) -> Result<History> {
    // On a worker of the pool from beginning to end: a step has dozens of parallel loops, each costs less from there.
    rayon::scope(|_| train(autoencoder, images, config))
}

fn train(autoencoder: &mut Autoencoder, images: &Dataset, config: &TrainConfig) -> Result<History> {
    let (training, validation) = config.prepare(images)?;
    for set in [Some(&training), validation.as_ref()].into_iter().flatten() {
        autoencoder.check_images(set)?;
    }
    let _reuse = Reuse::begin();
    let mut descent = Descent::new(config.optimizer, config.learning_rate);
    let mut history = History::new(config.loss);
    let mut best = (f64::INFINITY, snapshot(autoencoder));
    let mut last_good = snapshot(autoencoder);

    for epoch in 1..=config.epochs {
        let start = Instant::now();
        descent.learning_rate = config.schedule.rate(config.learning_rate, config.epochs, history.watched());
        history.learning_rate.push(descent.learning_rate);
        let diverged = |step: usize, what: String, autoencoder: &mut Autoencoder, good: &[Weights]| {
            restore(autoencoder, good);
            Err(diverged(epoch, step, what, config))
        };
        let order = shuffled_indices(training.len(), random::mix(config.seed, epoch as u64));
        let mut sum = 0.0;
        let mut steps = 0;
        for rows in order.chunks(config.batch_size) {
            steps += 1;
            let step_seed = random::mix(random::mix(config.seed, epoch as u64), steps as u64);
            let loss = step(autoencoder, &training, rows, config, step_seed, &mut descent);
            if !loss.is_finite() {
                return diverged(steps, format!("the loss became {loss}"), autoencoder, &last_good);
            }
            sum += loss * rows.len() as f64;
        }
        let now = snapshot(autoencoder);
        if !now.iter().all(|weights| weights.par_iter().all(|w| w.is_finite())) {
            return diverged(steps, "a weight became NaN or infinite".into(), autoencoder, &last_good);
        }
        history.loss.push(sum / training.len() as f64);
        if let Some(validation) = &validation {
            let loss = mean_loss(autoencoder, validation, config.loss, config.input_noise, config.seed);
            if !loss.is_finite() {
                return diverged(steps, format!("the validation loss became {loss}"), autoencoder, &last_good);
            }
            history.validation_loss.push(loss);
        }
        last_good = now;
        history.seconds.push(start.elapsed().as_secs_f64());

        let watched = history.validation_loss.last().unwrap_or(&history.loss[epoch - 1]);
        if *watched < best.0 {
            best = (*watched, last_good.clone());
            history.best_epoch = epoch;
        }
        history.stopped_early =
            epoch < config.epochs && config.patience.is_some_and(|patience| epoch - history.best_epoch >= patience);
        let last = epoch == config.epochs || history.stopped_early;
        if config.progress_every > 0 && (last || epoch == 1 || epoch.is_multiple_of(config.progress_every)) {
            print_epoch(&history, config.epochs);
        }
        if history.stopped_early {
            break;
        }
    }
    if config.patience.is_some() {
        restore(autoencoder, &best.1);
    }
    Ok(history)
}

/// The mean loss of the reconstructions of all images, without noise or dropout: Keras' `model.evaluate`.
///
/// # Errors
/// If there are no images, or their shape is not that of the encoder's input.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, Loss, evaluate};
///
/// let digits = Dataset::built_in_digits(100, 0)?;
/// let untrained = evaluate(&Autoencoder::tiny(2)?, &digits, Loss::MeanSquaredError)?;
/// assert!(untrained > 0.05 && untrained < 0.5);
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn evaluate(autoencoder: &Autoencoder, images: &Dataset, loss: Loss) -> Result<f64> {
    autoencoder.check_images(images)?;
    if images.is_empty() {
        return Err(Error::expected(ErrorKind::Data, "evaluate", "at least 1 image", "none"));
    }
    Ok(mean_loss(autoencoder, images, loss, 0.0, 0))
}

/// One batch: forward, backward, update. Returns the batch's mean loss; where it is not finite, nothing was updated.
fn step(
    autoencoder: &mut Autoencoder,
    images: &Dataset,
    rows: &[usize],
    config: &TrainConfig,
    seed: u64,
    descent: &mut Descent,
) -> f64 {
    let (encoder, decoder) = (autoencoder.encoder(), autoencoder.decoder());
    autoencoder.pack(true);
    let cut = Cut::new(rows.len(), &[encoder, decoder]);
    let learned = learn(rows.len(), cut, seed, |range, seed, pass| {
        let share = range.len() as f64 / rows.len() as f64;
        let target = gather(images, &rows[range]);
        let input = with_noise(&target, config.input_noise, seed);
        reconstruction_loss(autoencoder, input, &target, share, config.loss, pass)
    });
    if learned.loss.is_finite() {
        let (encoder, decoder) = autoencoder.halves_mut();
        descent.update(encoder.trainable_mut().chain(decoder.trainable_mut()), &learned.gradients);
        let observed = encoder.statistics_mut().chain(decoder.statistics_mut());
        observed.zip(learned.statistics).for_each(|(running, new)| *running = Arc::new(new));
    }
    learned.loss
}

fn reconstruction_loss<T: Tape>(
    autoencoder: &Autoencoder,
    input: Arc<Buffer>,
    target: &Arc<Buffer>,
    share: f64,
    loss: Loss,
    pass: &mut Pass,
) -> (f64, Variable<T>) {
    let (encoder, decoder) = (autoencoder.encoder(), autoencoder.decoder());
    let rows = target.len() / encoder.input_shape().iter().product::<usize>();
    let codes = encoder.forward(channels_last(Variable::<T>::input(input, rows), encoder.input_shape()), pass);
    if loss == Loss::BinaryCrossEntropy && decoder.ends_in_sigmoid() {
        let logits = channels_first(decoder.forward_to_logits(codes, pass), decoder.output_shape());
        Loss::BinaryCrossEntropyWithLogits.record(logits, target, share)
    } else {
        loss.record(channels_first(decoder.forward(codes, pass), decoder.output_shape()), target, share)
    }
}

fn mean_loss(autoencoder: &Autoencoder, images: &Dataset, loss: Loss, noise: f32, seed: u64) -> f64 {
    const ROWS: usize = 128;
    let all: Vec<usize> = (0..images.len()).collect();
    autoencoder.pack(false);
    let blocks = all.par_chunks(ROWS).enumerate();
    let sums = for_shards(blocks, |(block, rows)| {
        let target = gather(images, rows);
        // Streams far from those of the steps, the same in every epoch.
        let input = with_noise(&target, noise, random::mix(!seed, block as u64));
        let mut pass = Pass::prediction();
        let (mean, _) = reconstruction_loss::<NotRecording>(autoencoder, input, &target, 1.0, loss, &mut pass);
        mean * rows.len() as f64
    });
    sums.iter().sum::<f64>() / images.len() as f64
}

/// The chosen images as rows of values.
fn gather(images: &Dataset, rows: &[usize]) -> Arc<Buffer> {
    let width: usize = images.image_shape().iter().product();
    let all = images.values();
    let mut batch = Buffer::unset(rows.len() * width);
    batch
        .par_chunks_mut(width)
        .zip(rows)
        .on_threads()
        .for_each(|(out, row)| out.copy_from_slice(&all[row * width..][..width]));
    Arc::new(batch)
}

/// The images with Gaussian noise of this standard deviation; the same images where it is 0.
fn with_noise(images: &Arc<Buffer>, standard_deviation: f32, seed: u64) -> Arc<Buffer> {
    const BLOCK: usize = 4096;
    if standard_deviation == 0.0 {
        return Arc::clone(images);
    }
    let mut noisy = Buffer::clone(images);
    noisy.par_chunks_mut(BLOCK).enumerate().for_each(|(block, values)| {
        let mut random = random::stream(!seed, block as u64);
        values.iter_mut().for_each(|v| *v += standard_deviation * random.sample::<f32, _>(StandardNormal));
    });
    Arc::new(noisy)
}

/// The weights as they are now: shared, and copied only when the next step changes them.
fn snapshot(autoencoder: &Autoencoder) -> Vec<Weights> {
    autoencoder.encoder().parameters().chain(autoencoder.decoder().parameters()).cloned().collect()
}

fn restore(autoencoder: &mut Autoencoder, weights: &[Weights]) {
    let (encoder, decoder) = autoencoder.halves_mut();
    encoder.parameters_mut().chain(decoder.parameters_mut()).zip(weights).for_each(|(to, from)| *to = Arc::clone(from));
}

fn diverged(epoch: usize, step: usize, what: String, config: &TrainConfig) -> Error {
    let kept = match epoch {
        1 => "as they were before training".into(),
        _ => format!("those of the end of epoch {}", epoch - 1),
    };
    let rate = config.learning_rate;
    Error::new(ErrorKind::Diverged, format!("epoch {epoch}, step {step}"), what).hint(format!(
        "The weights are {kept}. Try a lower learning rate (it is {rate}; {} is a good next guess), and look for input \
         values far outside [0, 1]",
        if rate > 0.001 { 0.001 } else { rate / 10.0 },
    ))
}
