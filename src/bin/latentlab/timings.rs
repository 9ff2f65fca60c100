//! `latentlab run --timings`: the latency of the notebooks' kernel, next to evcxr alone in the same run.

use crate::execute::{self, CellResult, Event, Kernel, Task, failure_of, notebook_of};
use crate::project::{Outcome, Project, cannot, write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// How often each kernel is started, alternating, so that other load on the machine affects both.
const STARTS: usize = 3;

/// The first cell of the bare kernel, and of the notebooks' kernel: a call of the library, which later cells use.
const BARE_CELL: &str = "println!(\"{}\", 1 + 1);";
const FIRST_CELL: &str = "let autoencoder = latentlab::Autoencoder::tiny(2)?;";
const IMPORT: &str = "use latentlab::*;";

/// Cells that compute next to nothing, so that their time is the kernel's: name and code.
const CELLS: [(&str, &str); 4] = [
    ("println!(…);", "println!(\"a line\");"),
    ("a call", "println!(\"{}\", autoencoder.encoder().summary());"),
    ("a figure", "LineChart::new(\"epoch\", \"loss\").line(\"training\", &[3.0, 2.0, 1.0]).figure()?"),
    ("let x = f()?;", "let (train, test) = Dataset::built_in_digits(20, 0)?.split(10, 10)?;"),
];

/// How often all of these are executed: with the two cells before them, fifty.
const ROUNDS: usize = 12;

/// Measures and prints. `changed_cells` are the cells of each notebook that its smoke settings change.
pub fn timings(
    project: &Project,
    notebooks: &[PathBuf],
    changed_cells: &[Vec<(usize, String)>],
    data: Option<&Path>,
    timeout: Duration,
) -> Outcome<()> {
    let file = project.build().join("timings.ipynb");
    let execute = |kernel, notebook: &Path, folder: &Path, changed_cells| {
        let task = Task { notebook, folder, data, save: None, changed_cells, timeout, kernel, counts: true };
        results_of(project, &task)
    };
    let measure = |kernel, cells: &[&str]| {
        write(&file, &notebook_of(cells))?;
        execute(kernel, &file, &project.notebooks(), &[])
    };
    println!("From a kernel's start to its first cell's result, {STARTS} times, alternating");
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        bare.extend(measure(Kernel::Bare, &[BARE_CELL])?.first().map(|cell| cell.since_start));
        ours.extend(measure(Kernel::Usual, &[FIRST_CELL])?.first().map(|cell| cell.since_start));
    }
    println!("{}", start_line("evcxr alone", &bare));
    println!("{}", start_line("the notebooks' kernel, with a call of the library", &ours));
    println!("  {:<50}{:>6.1} s", "difference of the medians", percentile(&ours, 50) - percentile(&bare, 50));

    let cells: Vec<&str> =
        [FIRST_CELL, IMPORT].into_iter().chain((0..ROUNDS).flat_map(|_| CELLS.map(|(_, code)| code))).collect();
    let results = measure(Kernel::Usual, &cells)?;
    let seconds: Vec<f64> = results.iter().skip(2).map(|cell| cell.seconds).collect();
    println!("\nSeconds for a cell with a call of the library that computes next to nothing");
    println!("  {:<50}{:>6}  {:>8}  {:>6}", "", "median", "90 % in", "worst");
    for (index, (name, _)) in CELLS.iter().enumerate() {
        let of_kind: Vec<f64> = seconds.iter().copied().skip(index).step_by(CELLS.len()).collect();
        println!("{}", cells_line(name, &of_kind));
    }
    println!("{}", cells_line(&format!("all {}", seconds.len()), &seconds));

    println!("\nThe kernel's processes and threads");
    for (when, cell) in [("after its first cell", results.first()), ("after 50 cells", results.last())] {
        let Some(CellResult { processes, threads, .. }) = cell.filter(|cell| cell.threads > 0) else { continue };
        println!("  {when:<50}{processes:>6} processes, {threads} threads");
    }
    if !notebooks.is_empty() {
        println!(
            "\nSeconds for the cells of notebooks, with what they compute; `first`: from the kernel's start to the \
             first result"
        );
        println!("  {:<42}{:>6}  {:>6}  {:>8}  {:>6}", "", "first", "median", "90 % in", "worst");
    }
    for (notebook, changed_cells) in notebooks.iter().zip(changed_cells) {
        let path = notebook.canonicalize().map_err(cannot("find", notebook))?;
        let folder = path.parent().unwrap_or(&project.root);
        let results = execute(Kernel::Usual, &path, folder, changed_cells)?;
        let seconds: Vec<f64> = results.iter().map(|cell| cell.seconds).collect();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let first = results.first().map_or(f64::NAN, |cell| cell.since_start);
        println!("  {name:<42}{first:>6.1}{}", numbers(&seconds));
    }
    Ok(())
}

fn start_line(name: &str, seconds: &[f64]) -> String {
    let each: Vec<String> = seconds.iter().map(|seconds| format!("{seconds:.1}")).collect();
    format!("  {name:<50}{:>6.1} s   ({})", percentile(seconds, 50), each.join(", "))
}

fn cells_line(name: &str, seconds: &[f64]) -> String {
    format!("  {name:<48}{}", numbers(seconds))
}

/// Median, 90th percentile and worst.
fn numbers(seconds: &[f64]) -> String {
    let [median, most, worst] = [50, 90, 100].map(|percent| percentile(seconds, percent));
    format!("  {median:>6.2}  {most:>8.2}  {worst:>6.2}")
}

/// The smallest value that at least `percent` % of the values do not exceed.
fn percentile(values: &[f64], percent: usize) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get((values.len() * percent).div_ceil(100).saturating_sub(1)).copied().unwrap_or(f64::NAN)
}

/// The results of all cells; the first failed cell is an error.
fn results_of(project: &Project, task: &Task) -> Outcome<Vec<CellResult>> {
    let (mut results, mut failure, mut current) = (Vec::new(), None, String::new());
    execute::execute(project, task, Stdio::inherit(), |event| {
        match event {
            Event::Cell { source, .. } => current = source,
            Event::Result(cell) => {
                failure = failure_of(&cell).map(|error| format!("{current}\n{error}"));
                results.push(cell);
            }
        }
        failure.is_none()
    })?;
    failure.map_or(Ok(results), Err)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values() {
        let values = [5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!([50, 90, 100].map(|percent| percentile(&values, percent)), [3.0, 5.0, 5.0]);
        assert_eq!(percentile(&[1.0, 2.0], 50), 1.0);
        assert!(percentile(&[], 50).is_nan());
    }

    #[test]
    fn lines_are_aligned_in_columns() {
        assert_eq!(start_line("a", &[2.0, 1.0, 4.25]), format!("  {:<50}   2.0 s   (2.0, 1.0, 4.2)", "a"));
        assert_eq!(cells_line("b", &[0.5, 0.25]), format!("  {:<48}    0.25      0.50    0.50", "b"));
    }

    #[test]
    fn fifty_cells_are_executed() {
        assert_eq!(2 + ROUNDS * CELLS.len(), 50);
    }
}
