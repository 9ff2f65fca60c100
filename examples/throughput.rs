//! Draws the two tables of docs/tuning.md, trials a second against workers: `cargo run --example throughput`.
//!
//! The tables are what `tests/reference/throughput.py` and `tests/reference/optuna_grpc.py --speed` print.

use latentlab::{Error, LineChart, Result, grid};

const PAGE: &str = "docs/tuning.md";

/// The rows of the tables that begin with the number of workers.
fn tables(text: &str) -> Vec<Vec<Vec<f64>>> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while lines.any(|line| line.starts_with("| workers |")) {
        let rows = lines.by_ref().skip(1).take_while(|line| line.starts_with('|'));
        let numbers = |line: &str| line.split('|').filter_map(|cell| cell.trim().parse().ok()).collect();
        found.push(rows.map(numbers).collect());
    }
    found
}

fn main() -> Result<()> {
    let text = std::fs::read_to_string(PAGE).map_err(|error| Error::other(format!("{PAGE}: {error}")))?;
    let [server, journal] = &tables(&text)[..] else {
        return Err(Error::other(format!("{PAGE}: expected two tables, got {}", tables(&text).len())));
    };
    let number = |row: &Vec<f64>, index: usize| row.get(index).copied().unwrap_or(f64::NAN);
    let column = |table: &[Vec<f64>], index: usize| table.iter().map(|row| number(row, index)).collect::<Vec<f64>>();
    let chart = |table: &[Vec<f64>], title: &str| {
        let workers = column(table, 0);
        let most: Vec<f64> = workers.iter().map(|workers| workers / 0.2).collect();
        LineChart::new("workers", "trials a second")
            .x_values(&workers)
            .log_x()
            .log_y()
            .line("trials that end at once", &column(table, 1))
            .line("trials of 0.2 s", &column(table, 2))
            .line("at most (workers / 0.2 s)", &most)
            .figure()
            .map(|figure| figure.title(title))
    };
    grid(2, [chart(journal, "Journal")?, chart(server, "Optuna's server, PostgreSQL")?]).save("docs/throughput.png")
}
