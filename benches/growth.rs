//! How time and memory grow with the number of images, with their size, with the batch and with the threads:
//! `cargo bench --bench growth`.
//!
//! ```sh
//! cargo bench --bench growth                                   # up to 60,000 images: some minutes
//! cargo bench --bench growth -- --largest 1000000 k-means pca  # only these, up to a million codes
//! cargo bench --bench growth -- threads                        # only this series
//! ```
//! Each point is measured in a process of its own: the least time of several runs, and the most memory that the process
//! ever held, its data included. `target/growth/growth.csv` keeps the points of earlier runs too; beside it stands a
//! figure of each series. For neighbouring points the exponents are printed with which time and memory grow, beside the
//! greatest that the method has.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use std::{env, error, fs, thread};

use latentlab::ndarray::{Array1, Array2, Array4};
use latentlab::{Autoencoder, Codes, Dataset, KMeans, LineChart, TrainConfig, Tsne, embed, pca, row, train_ae, tsne};
use rand::{Rng, SeedableRng};
use rand_distr::StandardNormal;
use rand_xoshiro::Xoshiro256PlusPlus;

type Outcome<T> = Result<T, Box<dyn error::Error>>;

/// What a point is measured with.
#[derive(Clone, Copy)]
struct Setting {
    images: usize,
    shape: [usize; 3],
    batch: usize,
    threads: usize,
}

/// Measurements of which one thing grows from point to point.
struct Series {
    name: &'static str,
    axis: &'static str,
    works: Vec<Work>,
    settings: Vec<Setting>,
    /// Where a setting lies on the axis.
    x: fn(&Setting) -> usize,
}

/// What is timed.
#[derive(Clone, Copy)]
struct Work {
    name: &'static str,
    /// The seconds that it takes.
    run: fn(&Setting) -> Outcome<f64>,
    /// The greatest exponents of time and memory that its method has.
    exponents: [f64; 2],
}

const WORKS: [Work; 5] = [
    Work { name: "training", run: training, exponents: [1.0, 1.0] },
    Work { name: "embed", run: embedding, exponents: [1.0, 1.0] },
    // It searches the neighbours among all pairs.
    Work { name: "tsne", run: plane, exponents: [2.0, 1.0] },
    Work { name: "k-means", run: clustering, exponents: [1.0, 1.0] },
    Work { name: "pca", run: components, exponents: [1.0, 1.0] },
];

fn all_series(largest: usize) -> [Series; 4] {
    let all_threads = thread::available_parallelism().map_or(1, usize::from);
    let usual = Setting { images: largest.min(10_000), shape: [1, 28, 28], batch: 256, threads: all_threads };
    let mut threads: Vec<usize> = (0..).map(|power| 1 << power).take_while(|count| *count < all_threads).collect();
    threads.push(all_threads);
    let below = |count: &usize| *count < largest;
    let counts = [1_000, 10_000, 60_000, 1_000_000].into_iter().filter(below).chain([largest]);
    let batches = [1, 8, 64, 512, 4_096, 8_192].into_iter().filter(below);
    let shapes = [[1, 28, 28], [3, 32, 32], [3, 64, 64], [3, 128, 128]];
    let with = |exponents| WORKS.map(|work| Work { exponents, ..work });
    [
        Series {
            name: "images",
            axis: "images (training, embed), codes of 10 values (tsne, k-means, pca)",
            works: WORKS.to_vec(),
            settings: counts.map(|images| Setting { images, ..usual }).collect(),
            x: |setting| setting.images,
        },
        Series {
            name: "pixels",
            axis: "values of an image, from 28² to 3 × 128²",
            works: WORKS[..2].to_vec(),
            settings: shapes.map(|shape| Setting { shape, images: largest.min(2_000), ..usual }).to_vec(),
            x: |setting| setting.shape.iter().product(),
        },
        Series {
            name: "batches",
            axis: "images of a batch",
            // An epoch is the same work, however it is divided.
            works: with([0.0, 1.0])[..1].to_vec(),
            settings: batches.map(|batch| Setting { batch, images: largest.min(16_384), ..usual }).collect(),
            x: |setting| setting.batch,
        },
        Series {
            name: "threads",
            axis: "threads",
            works: with([0.0, 1.0]).to_vec(),
            settings: threads.into_iter().map(|threads| Setting { threads, ..usual }).collect(),
            x: |setting| setting.threads,
        },
    ]
}

/// An epoch of the autoencoder of report S2.
fn training(setting: &Setting) -> Outcome<f64> {
    let (images, mut autoencoder) = (noise(setting)?, autoencoder(setting)?);
    let config = TrainConfig::new().epochs(1).batch_size(setting.batch).progress_every(0);
    least_seconds(|| Ok(train_ae(&mut autoencoder, &images, &config).map(drop)?))
}

fn embedding(setting: &Setting) -> Outcome<f64> {
    let (images, autoencoder) = (noise(setting)?, autoencoder(setting)?);
    least_seconds(|| Ok(embed(&autoencoder, &images).map(drop)?))
}

fn plane(setting: &Setting) -> Outcome<f64> {
    let codes = clouds(setting.images)?;
    least_seconds(|| Ok(tsne(&codes, &Tsne::new().progress_every(0)).map(drop)?))
}

fn clustering(setting: &Setting) -> Outcome<f64> {
    let codes = clouds(setting.images)?;
    least_seconds(|| Ok(KMeans::new(10).fit(&codes).map(drop)?))
}

fn components(setting: &Setting) -> Outcome<f64> {
    let codes = clouds(setting.images)?;
    least_seconds(|| Ok(pca(&codes, 2).map(drop)?))
}

/// The least time of runs that together take at least a second.
fn least_seconds(mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let (start, mut least) = (Instant::now(), f64::INFINITY);
    while start.elapsed().as_secs_f64() < 1.0 {
        let begin = Instant::now();
        work()?;
        least = least.min(begin.elapsed().as_secs_f64());
    }
    Ok(least)
}

fn autoencoder(setting: &Setting) -> Outcome<Autoencoder> {
    Ok(Autoencoder::strided_for(setting.shape, [12, 24, 48], 128, 10)?)
}

/// Images of uniform random values.
fn noise(setting: &Setting) -> Outcome<Dataset> {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let [channels, height, width] = setting.shape;
    let images = Array4::from_shape_simple_fn((setting.images, channels, height, width), || random.r#gen());
    Ok(Dataset::new(images, vec![0; setting.images].into(), ["noise"])?)
}

/// Ten clouds of codes that touch each other, as those of ten digits do.
fn clouds(n: usize) -> Outcome<Codes> {
    const DIM: usize = 10;
    let mut random = Xoshiro256PlusPlus::seed_from_u64(0);
    let centers = Array2::from_shape_fn((10, DIM), |_| 2.0 * random.sample::<f32, _>(StandardNormal));
    let point = |(i, j)| centers[[i % 10, j]] + random.sample::<f32, _>(StandardNormal);
    let points = Array2::from_shape_fn((n, DIM), point);
    let names = (0..10).map(|class| class.to_string()).collect();
    Ok(Codes::new(points, Array1::from_iter((0..n).map(|i| i % 10)), names)?)
}

/// Seconds, and the process's peak memory in MB where the operating system tells it (Linux).
type Measured = [f64; 2];

/// Measures in this process, and prints it for the one that started it.
fn measure_here(arguments: &[String]) -> Outcome<()> {
    let work = WORKS.iter().find(|work| work.name == arguments[0]).ok_or("no such work")?;
    let numbers = arguments[1..].iter().map(|number| number.parse()).collect::<Result<Vec<usize>, _>>()?;
    let [images, channels, height, width, batch, threads] = numbers[..] else { return Err("not a setting".into()) };
    let seconds = (work.run)(&Setting { images, shape: [channels, height, width], batch, threads })?;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
    println!("{seconds},{}", peak.map_or(f64::NAN, |kibibytes: f64| kibibytes * 1.024e-3));
    Ok(())
}

/// Measures in a process of its own.
fn measure(work: &Work, setting: &Setting) -> Outcome<Measured> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("--point").args(key(work, setting).split(',')).env("RAYON_NUM_THREADS", setting.threads.to_string());
    let output = command.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    measured(String::from_utf8_lossy(&output.stdout).trim()).ok_or_else(|| "no measurement".into())
}

fn measured(text: &str) -> Option<Measured> {
    let (seconds, peak) = text.split_once(',')?;
    Some([seconds.parse().ok()?, peak.parse().ok()?])
}

/// All points measured so far, in a table of comma-separated values.
struct Points {
    path: PathBuf,
    points: BTreeMap<String, Measured>,
}

const COLUMNS: &str = "work,images,channels,height,width,batch,threads,seconds,peak MB";

fn key(work: &Work, Setting { images, shape: [channels, height, width], batch, threads }: &Setting) -> String {
    format!("{},{images},{channels},{height},{width},{batch},{threads}", work.name)
}

impl Points {
    fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(&path).unwrap_or_default();
        let point = |line: &str| {
            let (at, _) = line.match_indices(',').nth(6)?;
            Some((line[..at].to_owned(), measured(&line[at + 1..])?))
        };
        let points = text.lines().skip(1).filter_map(point).collect();
        Self { path, points }
    }

    fn add(&mut self, key: String, measured: Measured) -> Outcome<()> {
        self.points.insert(key, measured);
        let rows = self.points.iter().map(|(key, [seconds, peak])| format!("{key},{seconds},{peak}\n"));
        Ok(fs::write(&self.path, format!("{COLUMNS}\n{}", rows.collect::<String>()))?)
    }
}

/// The exponents with which time and memory grow between neighbouring points.
fn print_exponents(series: &Series, points: &Points) {
    for work in &series.works {
        for pair in series.settings.windows(2) {
            let [Some(before), Some(after)] =
                [0, 1].map(|of| &pair[of]).map(|setting| points.points.get(&key(work, setting)))
            else {
                continue;
            };
            let [low, high] = [0, 1].map(|of| (series.x)(&pair[of]));
            let exponent = |of: usize| (after[of] / before[of]).ln() / (high as f64 / low as f64).ln();
            let [time, memory] = work.exponents;
            println!(
                "{:<8} {:<8} {low:>9} → {high:>9}: time to the power of {:>5.2} (its method's at most {time}), memory \
                 {:>5.2} (at most {memory})",
                series.name,
                work.name,
                exponent(0),
                exponent(1)
            );
        }
    }
}

/// Time and memory of a series beside each other, as SVG and as PNG.
fn draw(series: &Series, points: &Points, folder: &Path) -> Outcome<()> {
    let x_values: Vec<f64> = series.settings.iter().map(|setting| (series.x)(setting) as f64).collect();
    let chart = |name: &str, of: usize| {
        let mut lines = Vec::new();
        for work in &series.works {
            let values = series.settings.iter().map_while(|setting| points.points.get(&key(work, setting)));
            lines.push((work.name, values.map(|measured| measured[of]).collect::<Vec<f64>>()));
        }
        let longest = lines.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
        let chart = LineChart::new(series.axis, name).x_values(&x_values[..longest]).log_x().log_y();
        let lines = lines.into_iter().filter(|(_, values)| values.iter().any(|value| value.is_finite()));
        lines.fold(chart, |chart, (name, values)| chart.line(name, &values)).figure()
    };
    let figure = row([chart("time (s)", 0)?.title("Time"), chart("peak memory (MB)", 1)?.title("Memory")]);
    for ending in ["svg", "png"] {
        figure.save(folder.join(format!("growth-{}.{ending}", series.name)))?;
    }
    Ok(())
}

fn main() -> Outcome<()> {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == "--point") {
        return measure_here(&arguments[1..]);
    }
    // What `cargo bench` adds; `cargo test --benches` does not, and only looks whether all works.
    let is_bench = arguments.iter().any(|argument| argument == "--bench");
    arguments.retain(|argument| argument != "--bench");
    let mut largest = if is_bench { 60_000 } else { 300 };
    if let Some(at) = arguments.iter().position(|argument| argument == "--largest") {
        let number = arguments.drain(at..arguments.len().min(at + 2)).nth(1);
        let number = number.and_then(|number| number.replace('_', "").parse().ok()).filter(|number| *number >= 10);
        largest = number.ok_or("--largest: expected a number of images, at least 10")?;
    }
    let all = all_series(largest);
    let names: Vec<&str> = WORKS.iter().map(|work| work.name).chain(all.iter().map(|series| series.name)).collect();
    if let Some(other) = arguments.iter().find(|argument| !names.contains(&argument.as_str())) {
        return Err(format!("{other}: expected --largest N, or some of {}", names.join(", ")).into());
    }
    // No name of a kind means all of that kind.
    let is_chosen = |name: &str, of_its_kind: &[&str]| {
        let mut named = arguments.iter().filter(|argument| of_its_kind.contains(&argument.as_str())).peekable();
        named.peek().is_none() || named.any(|argument| argument == name)
    };
    let folder = PathBuf::from(env::var_os("CARGO_TARGET_DIR").unwrap_or("target".into())).join("growth");
    fs::create_dir_all(&folder)?;
    let mut points = Points::read(folder.join("growth.csv"));
    for series in all.iter().filter(|series| is_chosen(series.name, &names[WORKS.len()..])) {
        for work in series.works.iter().filter(|work| is_chosen(work.name, &names[..WORKS.len()])) {
            for setting in &series.settings {
                let [seconds, peak] = measure(work, setting)?;
                let x = (series.x)(setting);
                println!("{:<8} {:<8} {x:>9}: {seconds:>10.4} s, {peak:>8.1} MB", series.name, work.name);
                points.add(key(work, setting), [seconds, peak])?;
            }
        }
        print_exponents(series, &points);
        draw(series, &points, &folder)?;
    }
    println!("{}", folder.display());
    Ok(())
}
