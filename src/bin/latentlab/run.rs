//! `latentlab run`: executes notebooks without a browser.

use crate::execute::{self, Event, Kernel, Task, failure_in, failure_of};
use crate::ipynb::{self, Outputs};
use crate::knobs::{self, Parameter};
use crate::project::{Outcome, Project, make_folder};
use crate::setup::set_up;
use crate::timings;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

#[derive(clap::Args)]
pub struct Arguments {
    /// The notebooks
    #[arg(required_unless_present = "timings", value_name = "NOTEBOOK")]
    notebooks: Vec<PathBuf>,
    /// Where the notebooks find data: a folder, or `built-in` for the built-in data (sets LATENTLAB_DATA)
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to write the executed notebooks (.ipynb and .html); by default `executed` next to each notebook
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Test quickly, with the small values that each notebook names for its knobs (metadata `latentlab.smoke`)
    #[arg(long)]
    smoke: bool,
    /// Set a knob of every notebook to a value, as Rust code: `--parameter epochs=5` replaces the value in the line
    /// `let epochs = …;` of the cell with the tag `parameters`; may be repeated
    #[arg(long = "parameter", short = 'p', value_name = "NAME=VALUE", value_parser = knobs::parameter)]
    parameters: Vec<Parameter>,
    /// How many notebooks to run at the same time, each in its own kernel
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    jobs: u16,
    /// Measure latencies instead of saving notebooks: from a kernel's start to its first result, next to a bare evcxr
    /// kernel; of a cell with one call of the library (median, 90th percentile and worst of 48); of the cells of the
    /// notebooks, if any are given; and count the kernel's processes and threads
    #[arg(long, conflicts_with_all = ["out", "jobs"])]
    timings: bool,
    /// The longest time that a cell may take
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=LONGEST))]
    timeout: u64,
}

/// The largest timeout, in seconds (eleven days): Python's smaller units would overflow.
const LONGEST: u64 = 1_000_000;

pub fn run(arguments: &Arguments) -> Outcome<()> {
    let project = Project::find()?;
    // Invalid arguments are refused before anything runs.
    if let Some(missing) = arguments.notebooks.iter().find(|notebook| !notebook.is_file()) {
        return Err(format!("{}: there is no such notebook.", missing.display()));
    }
    let data = arguments.data.as_deref().map(data_setting).transpose()?;
    let planned = match arguments.timings {
        true => Vec::new(),
        false => ipynb::outputs(&arguments.notebooks, arguments.out.as_deref())?,
    };
    let (mut sound, mut damaged) = (Vec::new(), 0);
    for (index, path) in arguments.notebooks.iter().enumerate() {
        match ipynb::read(path) {
            Ok(notebook) => {
                let changed = knobs::changed_cells(&notebook, arguments.smoke, &arguments.parameters);
                sound.push((index, changed.map_err(|error| format!("{}: {error}.", path.display()))?));
            }
            // The other notebooks are run nevertheless.
            Err(error) => {
                report_failure(path, &error);
                damaged += 1;
            }
        }
    }
    let count = arguments.notebooks.len();
    if damaged > 0 && (sound.is_empty() || arguments.timings) {
        return Err(format!("{damaged} of {count} notebooks cannot be run."));
    }
    set_up(&project)?;
    if arguments.timings {
        let timeout = Duration::from_secs(arguments.timeout);
        let changed_cells: Vec<_> = sound.into_iter().map(|(_, changed)| changed).collect();
        return timings::timings(&project, &arguments.notebooks, &changed_cells, data.as_deref(), timeout);
    }
    let tasks = Mutex::new(sound.iter().map(|&(index, _)| (&arguments.notebooks[index], &planned[index])));
    let failed = AtomicUsize::new(damaged);
    let next = || tasks.lock().ok()?.next();
    std::thread::scope(|scope| {
        for _ in 0..usize::from(arguments.jobs).min(sound.len()) {
            scope.spawn(|| {
                while let Some((notebook, (path, outputs))) = next() {
                    if let Err(message) = run_one(&project, notebook, path, outputs, arguments, data.as_deref()) {
                        report_failure(notebook, &message);
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    match failed.into_inner() {
        0 => Ok(()),
        failed => Err(format!("{failed} of {count} notebooks failed.")),
    }
}

fn report_failure(notebook: &Path, message: &str) {
    eprintln!("FAILED  {}: {message}", notebook.display());
}

/// The value of LATENTLAB_DATA: an absolute path, because the kernel has another working directory, or `built-in`.
pub fn data_setting(data: &Path) -> Outcome<PathBuf> {
    if data == Path::new("built-in") {
        return Ok(data.to_owned());
    }
    match data.canonicalize() {
        Ok(folder) if folder.is_dir() => Ok(folder),
        _ => Err(format!("{}: there is no such folder. For the built-in data: --data built-in", data.display())),
    }
}

/// Executes one notebook and prints a line for each cell; the error names the cell that failed.
fn run_one(
    project: &Project,
    notebook: &Path,
    path: &Path,
    outputs: &Outputs,
    arguments: &Arguments,
    data: Option<&Path>,
) -> Outcome<()> {
    let (Some(folder), Some(name), Some(out)) = (path.parent(), path.file_stem(), outputs.ipynb.parent()) else {
        unreachable!("a file has a name and a folder")
    };
    // Read again: it may have changed while others ran.
    let changed_cells = knobs::changed_cells(&ipynb::read(path)?, arguments.smoke, &arguments.parameters)?;
    make_folder(out)?;
    println!("{}", notebook.display());
    // If several notebooks run at the same time, each line names its notebook.
    let owner = if arguments.jobs > 1 { format!("{}: ", name.display()) } else { String::new() };
    let task = Task {
        notebook: path,
        folder,
        data,
        save: Some(outputs),
        changed_cells: &changed_cells,
        timeout: Duration::from_secs(arguments.timeout),
        kernel: Kernel::Usual,
        counts: false,
    };
    let start = Instant::now();
    let (mut current, mut failure) = (String::new(), None);
    let saved = execute::execute(project, &task, Stdio::inherit(), |event| match event {
        Event::Cell { number, source, skipped } => {
            current = format!("{number:>4}  {}", first_line(&source));
            if skipped {
                println!("{owner}  skipped {current}");
            } else if owner.is_empty() && std::io::stdout().is_terminal() {
                // On a terminal, the running cell is shown.
                print!("          {current}\r");
                let _ = std::io::stdout().flush();
            }
            true
        }
        Event::Result(result) => {
            let error = failure_of(&result);
            let fails = error.is_none() && failure_in(&result.reply, &result.outputs).is_some();
            let expected = if fails { "   (failed, as its tag raises-exception allows)" } else { "" };
            println!("{owner}{:>7.1} s {current}{expected}", result.seconds);
            failure = error.map(|error| format!("cell {}\n{error}", current.trim_start()));
            failure.is_none()
        }
    });
    match (saved, failure) {
        (Ok(()), failure) => {
            let (ipynb, html) = (outputs.ipynb.display(), outputs.html.display());
            println!("{owner}{:>7.1} s  {ipynb}, {html}", start.elapsed().as_secs_f64());
            failure.map_or(Ok(()), Err)
        }
        (Err(error), Some(failure)) => Err(format!("{failure}\n{error}")),
        (Err(error), None) => Err(error),
    }
}

/// The first line of code, without the comments and blank lines above it.
fn first_line(source: &str) -> &str {
    let mut lines = source.lines().map(str::trim);
    lines.find(|line| !line.is_empty() && !line.starts_with("//")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_named_by_its_first_line_of_code() {
        assert_eq!(first_line("// the data\n\n  let a = 1;\nlet b = 2;"), "let a = 1;");
        assert_eq!(first_line("// nothing"), "");
    }
}
