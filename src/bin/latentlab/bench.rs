//! `bench`: how many images a second the reports' models train on, or reconstruct.

use std::time::Instant;

use latentlab::{Autoencoder, Dataset, TrainConfig, embed, ndarray::Array4, reconstruct, train_ae};

/// What to measure and for how long.
#[derive(clap::Args)]
pub struct Arguments {
    /// Seconds for each model
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Measure `reconstruct` and `embed` of 60,000 images instead of training
    #[arg(long)]
    inference: bool,
    /// s0-ae32, s0-cae32, s1-cae10, s2-cae2, s3-cae112, s4-ae4; all of them if none is named
    models: Vec<String>,
}

struct Model {
    name: &'static str,
    build: fn() -> latentlab::Result<Autoencoder>,
    batch_size: usize,
}

const MODELS: [Model; 6] = [
    Model { name: "s0-ae32", build: || Autoencoder::deep_dense(32), batch_size: 256 },
    Model { name: "s0-cae32", build: || Autoencoder::convolutional(32), batch_size: 256 },
    Model { name: "s1-cae10", build: || Autoencoder::strided([24, 48, 96], 128, 10), batch_size: 256 },
    Model { name: "s2-cae2", build: || Autoencoder::strided([12, 24, 48], 128, 2), batch_size: 256 },
    Model { name: "s3-cae112", build: Autoencoder::wide, batch_size: 100 },
    Model { name: "s4-ae4", build: || Autoencoder::tiny(4), batch_size: 8192 },
];

pub fn bench(arguments: &Arguments) -> Result<(), String> {
    let chosen = match &arguments.models[..] {
        [] => MODELS.iter().collect(),
        names => names.iter().map(|name| find(name)).collect::<Result<Vec<_>, _>>()?,
    };
    for model in chosen {
        let rate = if arguments.inference { inference(model) } else { training(model, arguments.seconds) };
        println!("{}", rate.map_err(|error| error.to_string())?);
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Model, String> {
    let names = MODELS.map(|model| model.name).join(", ");
    MODELS.iter().find(|model| model.name == name).ok_or_else(|| format!("expected one of {names}, got {name}"))
}

/// Steps of forward, backward and Adam on random images, as `train_ae` does them: order, gathering and all.
fn training(model: &Model, seconds: f64) -> latentlab::Result<String> {
    let mut autoencoder = (model.build)()?;
    let images = noise(4 * model.batch_size)?;
    let config = TrainConfig::new().batch_size(model.batch_size).progress_every(0);
    let mut epochs = 1;
    loop {
        let start = Instant::now();
        let history = train_ae(&mut autoencoder, &images, &config.clone().epochs(epochs))?;
        let rate = (epochs * images.len()) as f64 / history.total_seconds();
        let elapsed = start.elapsed().as_secs_f64();
        if elapsed > 0.8 * seconds {
            return Ok(format!("{} {rate:.0}", model.name));
        }
        epochs = (epochs as f64 * (1.1 * seconds / elapsed).clamp(2.0, 50.0)).ceil() as usize;
    }
}

fn inference(model: &Model) -> latentlab::Result<String> {
    let autoencoder = (model.build)()?;
    let images = noise(60_000)?;
    let rate = |work: &dyn Fn() -> latentlab::Result<()>| {
        let start = Instant::now();
        work()?;
        Ok::<_, latentlab::Error>(images.len() as f64 / start.elapsed().as_secs_f64())
    };
    let reconstructing = rate(&|| reconstruct(&autoencoder, &images).map(drop))?;
    let embedding = rate(&|| embed(&autoencoder, &images).map(drop))?;
    Ok(format!("{} {reconstructing:.0}  embed {embedding:.0}", model.name))
}

/// Images of uniform random grey values.
fn noise(count: usize) -> latentlab::Result<Dataset> {
    let mut state = 1u32;
    let images = Array4::from_shape_simple_fn((count, 1, 28, 28), || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    });
    Dataset::new(images, vec![0; count].into(), ["noise"])
}
