//! `latentlab reproduce`: a report's protocol from beginning to end, its numbers beside ours.

mod page;
mod reference_classifier;
mod results;
mod run;
mod s0;
mod s1;
mod s2;
mod s3;
mod s4;
mod store;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use clap::ValueEnum;
use latentlab::{Dataset, Result};

use self::{
    results::Finished,
    run::Run,
    store::{Settings, Store},
};
use crate::project::{Outcome, Project};
use crate::run::data_setting;

#[derive(clap::Args)]
pub struct Arguments {
    /// The report
    #[arg(value_enum)]
    report: Report,
    /// The same with few images and epochs, in under a minute, to see that it works
    #[arg(long)]
    quick: bool,
    /// Where the data are: a folder, or `built-in` for the built-in data (in place of LATENTLAB_DATA)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where report.html and results.json go; without it target/reproduce/s0 …, of a quick run
    /// target/reproduce/s0-quick …
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the run that was interrupted there
    #[arg(long)]
    resume: bool,
    /// For how long s3 trains: 25 without it, 100 in the report; with --resume it goes on from 25 to 100
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    epochs: Option<u32>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Report {
    /// MNIST: dense against convolutional autoencoder
    S0,
    /// MNIST: denoising, classifier, latent space, GAN
    S1,
    /// Fashion-MNIST: tuning, fine-tuning, variational autoencoder
    S2,
    /// Fashion-MNIST: the wide convolutional autoencoder
    S3,
    /// MNIST: tiny dense autoencoders and their codes
    S4,
}

/// What a report did, as a list of tasks.
struct Protocol {
    /// "S1"
    name: &'static str,
    title: &'static str,
    /// What the homework asked for, in sentences.
    asked: &'static str,
    /// The training images before the test images.
    data: Data,
    /// The default number of epochs; `None` if the user cannot choose it.
    epochs: Option<usize>,
    /// In their order; later ones use the models that earlier ones have saved.
    tasks: Vec<Task>,
}

#[derive(Clone, Copy)]
enum Data {
    Digits,
    Garments,
}

impl Data {
    /// From a folder, or built-in; `None`: as the environment variables say.
    fn load(self, place: Option<&Path>) -> Result<Dataset> {
        let is_built_in = place == Some(Path::new("built-in"));
        match (self, place) {
            (Self::Digits, None) => Dataset::digits(),
            (Self::Garments, None) => Dataset::garments(),
            (Self::Digits, Some(_)) if is_built_in => Dataset::built_in_digits(70_000, 0),
            (Self::Garments, Some(_)) if is_built_in => Dataset::built_in_garments(70_000, 0),
            (Self::Digits, Some(folder)) => Dataset::mnist_from(folder),
            (Self::Garments, Some(folder)) => Dataset::fashion_mnist_from(folder),
        }
    }
}

/// A part of a protocol; its results are stored once it is finished.
struct Task {
    /// The name of its file.
    key: &'static str,
    title: &'static str,
    work: fn(&mut Run) -> Result<()>,
}

pub fn reproduce(arguments: &Arguments) -> Outcome<()> {
    let place = arguments.data.as_deref().map(data_setting).transpose()?;
    let protocol = match arguments.report {
        Report::S0 => s0::protocol(),
        Report::S1 => s1::protocol(),
        Report::S2 => s2::protocol(),
        Report::S3 => s3::protocol(),
        Report::S4 => s4::protocol(),
    };
    let epochs = match (protocol.epochs, arguments.epochs) {
        (None, Some(_)) => return Err(format!("--epochs: {} always trains as its report did.", protocol.name)),
        (usual, asked) => asked.map(|asked| asked as usize).or(usual),
    };
    let name = protocol.name.to_lowercase() + if arguments.quick { "-quick" } else { "" };
    let folder = match &arguments.out {
        Some(folder) => folder.clone(),
        None => Project::find()?.root.join("target/reproduce").join(name),
    };
    // Before the data are loaded: a wrong folder should be reported at once.
    Store::look(&folder, arguments.resume)?;
    let data = protocol.data.load(place.as_deref()).map_err(|error| error.to_string())?;
    println!("{}: {}\n{data}", protocol.name, protocol.title);
    let settings = Settings::new(protocol.name, arguments.quick, &data);
    let store = Store::open(&folder, settings, epochs, arguments.resume)?;
    let mut run = Run::new(&store, &data, epochs.unwrap_or_default()).map_err(|error| error.to_string())?;
    drop(data);
    work(&protocol, &store, &mut run)?;
    println!("{}", store.page().display());
    Ok(())
}

/// Does the tasks that are not done yet; page and results are written again after each.
fn work(protocol: &Protocol, store: &Store, run: &mut Run) -> Outcome<()> {
    let (count, mut finished) = (protocol.tasks.len(), Vec::<Finished>::new());
    for (index, Task { key, title, work }) in protocol.tasks.iter().enumerate() {
        let place = format!("[{}/{count}] {title}", index + 1);
        if let Some(task) = store.finished(key)? {
            println!("{place}: done before");
            finished.push(task);
            continue;
        }
        println!("{place}");
        let start = Instant::now();
        let kept =
            |error: String| format!("{error}\nThe tasks before \"{title}\" are kept; `--resume` goes on from there.");
        work(run).map_err(|error| kept(error.to_string()))?;
        let seconds = start.elapsed().as_secs_f64();
        let task = Finished { title: (*title).into(), seconds, items: run.take_items() };
        finished.push(store.finish(key, task).map_err(kept)?);
        page::write(protocol, store, &finished)?;
    }
    page::write(protocol, store, &finished)
}
