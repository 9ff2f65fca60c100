//! `latentlab bench`: how many images a second the reports' models train on, or reconstruct, beside what arithmetic
//! allows.

use std::{error::Error, fs, time::Instant};

use clap::builder::PossibleValuesParser;
use latentlab::measure::{self, MemoryRate};
use latentlab::{Autoencoder, Dataset, TrainConfig, embed, reconstruct, train_ae};

use crate::project::cannot;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What stands in `--help` below the options.
const COLUMNS: &str = "\
Each row begins with the model and its images a second. The roofline beside it is the most that arithmetic
allows: the rate of a program that does nothing but the multiply-adds of the model's matrix products and
convolutions, as fast as this machine multiplies matrices in its cache (measured first, in the headline).
With --inference, memory's bound stands beside it: the rate of a program that does nothing but read the images
and write the reconstructions, as fast as this machine reads and copies large arrays; the share is that of the
lower of the two. The images are bytes, as in MNIST's files.
Peak memory (Linux) is that of the process so far: name one model to see its own.";

#[derive(clap::Args)]
#[command(after_help = COLUMNS)]
pub struct Arguments {
    /// How long each measurement takes, warm-up aside
    #[arg(long, default_value_t = 3.0, value_parser = positive)]
    seconds: f64,
    /// Measure `reconstruct` and `embed` of 60,000 images instead of training
    #[arg(long)]
    inference: bool,
    /// The models; all of them if none is named
    #[arg(value_name = "MODEL", value_parser = PossibleValuesParser::new(MODELS.map(|model| model.name)))]
    models: Vec<String>,
}

fn positive(text: &str) -> std::result::Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0 && *seconds <= 86_400.0);
    seconds.ok_or_else(|| "expected a number above 0, and at most 86400 (a day)".into())
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

pub fn bench(arguments: &Arguments) -> Result<()> {
    let multiply_adds = measure::gemm_rate();
    let (threads, gigaflops) = (rayon::current_num_threads(), 2e-9 * multiply_adds);
    print!("{threads} threads, {gigaflops:.0} GFLOP/s in matrix products (two operations a multiply-add)");
    let memory = arguments.inference.then(measure::memory_rate);
    if let Some(MemoryRate { read, copy }) = &memory {
        print!(", memory {:.1} GB/s read and {:.1} GB/s copied (read + written)", read * 1e-9, copy * 1e-9);
    }
    println!();
    let chosen = |model: &&Model| arguments.models.is_empty() || arguments.models.iter().any(|name| name == model.name);
    for model in MODELS.iter().filter(chosen) {
        let autoencoder = (model.build)()?;
        let columns = match &memory {
            Some(memory) => inference(&autoencoder, arguments.seconds, multiply_adds, memory)?,
            None => {
                let roofline = multiply_adds / measure::training_multiply_adds(&autoencoder) as f64;
                let rate = training(autoencoder, model.batch_size, arguments.seconds)?;
                beside_bounds(rate, roofline, None)
            }
        };
        println!("{:<10} {columns}{}", model.name, peak_memory());
    }
    Ok(())
}

/// Images a second of `train_ae`, on random images: order, gathering, forward, backward, Adam.
fn training(mut autoencoder: Autoencoder, batch_size: usize, seconds: f64) -> Result<f64> {
    // An epoch of several steps, as in real training, so that work that is done once an epoch hardly counts.
    let images = noise(batch_size * (32_768 / batch_size).clamp(4, 16))?;
    let config = TrainConfig::new().batch_size(batch_size).progress_every(0);
    let mut epoch_seconds = |epochs| -> Result<f64> {
        // The first epoch is the warm-up: threads start, memory comes from the operating system.
        let history = train_ae(&mut autoencoder, &images, &config.clone().epochs(1 + epochs))?;
        Ok(history.seconds[1..].iter().sum::<f64>() / epochs as f64)
    };
    let epochs = seconds / epoch_seconds(1)?;
    Ok(images.len() as f64 / epoch_seconds(epochs.ceil() as usize)?)
}

/// Images a second of `reconstruct` and `embed`, on 60,000 random images.
fn inference(autoencoder: &Autoencoder, seconds: f64, multiply_adds: f64, memory: &MemoryRate) -> Result<String> {
    let images = noise(60_000)?;
    let rate = |work: &dyn Fn(&Dataset) -> latentlab::Result<()>| -> latentlab::Result<f64> {
        work(&images.take(5_000))?; // the warm-up
        let (start, mut count) = (Instant::now(), 0);
        while start.elapsed().as_secs_f64() < seconds {
            work(&images)?;
            count += images.len();
        }
        Ok(count as f64 / start.elapsed().as_secs_f64())
    };
    let encoding = measure::prediction_multiply_adds(autoencoder.encoder());
    let decoding = measure::prediction_multiply_adds(autoencoder.decoder());
    let image_bytes = autoencoder.image_shape().iter().product::<usize>();
    let reconstruction_bytes = size_of::<f32>() * image_bytes;
    let code_bytes = size_of::<f32>() * autoencoder.latent_dim();
    let reconstructing = rate(&|images| reconstruct(autoencoder, images).map(drop))?;
    let embedding = rate(&|images| embed(autoencoder, images).map(drop))?;
    let row = |rate, work: usize, memory, bytes: usize| {
        beside_bounds(rate, multiply_adds / work as f64, Some(memory / bytes as f64))
    };
    let reconstructing = row(reconstructing, encoding + decoding, memory.copy, image_bytes + reconstruction_bytes);
    Ok(format!("{reconstructing}   embed {}", row(embedding, encoding, memory.read, image_bytes + code_bytes)))
}

/// The rate, what arithmetic and memory allow, and the share of the lower of them that it reaches.
fn beside_bounds(rate: f64, roofline: f64, memory: Option<f64>) -> String {
    let memory_text = memory.map(|memory| format!(", memory {memory:>8.0} img/s")).unwrap_or_default();
    let share = 100.0 * rate / memory.map_or(roofline, |memory| memory.min(roofline));
    format!("{rate:>8.0} img/s   roofline {roofline:>8.0} img/s{memory_text}, {share:>3.0} % reached")
}

/// The most memory that the process has held so far, where the operating system says it (Linux).
fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kibibytes =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    kibibytes.map_or(String::new(), |kibibytes: f64| format!("   peak {:.0} MB", kibibytes * 1.024e-3))
}

/// Images of uniform random grey values, in bytes as MNIST's files have them.
fn noise(count: usize) -> Result<Dataset> {
    let mut state = 1u32;
    let pixels = (0..count * 784).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    });
    let folder = tempfile::tempdir()?;
    let write = |name: &str, header: &[u32], values: Vec<u8>| {
        let header = header.iter().flat_map(|number| number.to_be_bytes());
        let path = folder.path().join(name);
        fs::write(&path, header.chain(values).collect::<Vec<_>>()).map_err(cannot("write", &path))?;
        Ok::<_, String>(path)
    };
    let images = write("images", &[0x803, count as u32, 28, 28], pixels.collect())?;
    let labels = write("labels", &[0x801, count as u32], vec![0; count])?;
    Ok(Dataset::from_idx(images, labels)?)
}
