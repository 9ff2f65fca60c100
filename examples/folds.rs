//! One fold of a cross-validation, for a job of its own: the array index of Slurm or Kubernetes says which.
//!
//! ```sh
//! cargo run --release --example folds -- results 5 0     # the first of five folds: results/fold-0.csv
//! cargo run --release --example folds -- results 5       # the fold of the array index, where a scheduler sets one
//! cargo run --release --example folds -- results 5 mean  # when all are there
//! ```

use std::{env, fs, path::Path};

use latentlab::*;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (Some(folder), Some(Ok(count))) = (arguments.first(), arguments.get(1).map(|count| count.parse::<usize>()))
    else {
        return Err(Error::other("expected a folder, the number of folds, and perhaps a fold or `mean`"));
    };
    let folder = Path::new(folder);
    match arguments.get(2) {
        Some(word) if word == "mean" => mean(folder, count),
        fold => run(folder, count, index(fold, count)?),
    }
}

/// The fold that was named, or that of the job. Both schedulers count from 0 here.
fn index(named: Option<&String>, count: usize) -> Result<usize> {
    let of_the_job =
        || ["SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX"].into_iter().find_map(|name| env::var(name).ok());
    let text = named.cloned().or_else(of_the_job);
    let text = text.ok_or_else(|| Error::other("expected a fold, or SLURM_ARRAY_TASK_ID or JOB_COMPLETION_INDEX"))?;
    let index = text.parse().ok().filter(|index| *index < count);
    index.ok_or_else(|| Error::other(format!("expected a fold from 0 to {}, got {text:?}", count.saturating_sub(1))))
}

fn path(folder: &Path, fold: usize) -> std::path::PathBuf {
    folder.join(format!("fold-{fold}.csv"))
}

fn run(folder: &Path, count: usize, fold: usize) -> Result<()> {
    // The seed decides what is in which fold: it must be the same in all jobs.
    let digits = Dataset::built_in_digits(500, 0)?;
    let pair = digits.folds(count, 0)?.progress_every(0).nth(fold);
    let (train, validation) = pair.ok_or_else(|| Error::other("the fold was stopped"))?;
    let config = TrainConfig::new().epochs(5).validation(&validation).progress_every(0);
    let history = train_ae(&mut Autoencoder::tiny(4)?, &train, &config)?;
    let loss = history.final_validation_loss();
    println!("fold {fold} of {count}: {} images, validation loss {loss:.4}", train.len());
    fs::create_dir_all(folder).map_err(Error::other)?;
    history.save_csv(path(folder, fold))
}

/// Mean and standard deviation of the folds' last validation losses.
fn mean(folder: &Path, count: usize) -> Result<()> {
    let loss = |fold| {
        let path = path(folder, fold);
        let text = fs::read_to_string(&path).map_err(|error| Error::other(format!("{}: {error}", path.display())))?;
        let (head, last) = (text.lines().next(), text.lines().last());
        let column = head.and_then(|head| head.split(',').position(|name| name == "validation_loss"));
        let value = column.and_then(|column| last?.split(',').nth(column)?.parse::<f64>().ok());
        value.ok_or_else(|| Error::other(format!("{}: no validation loss", path.display())))
    };
    let losses = (0..count).map(loss).collect::<Result<Vec<f64>>>()?;
    let mean = losses.iter().sum::<f64>() / count as f64;
    let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / (count as f64 - 1.0);
    println!("{mean:.4} ± {:.4} over {count} folds", variance.sqrt());
    Ok(())
}
