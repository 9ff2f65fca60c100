use std::fmt;

use super::space::short;
use super::study::Study;
use super::trial::TrialState;

/// So many trials are shown, the best first.
const ROWS: usize = 20;

/// How many trials there are, and a table of the best ones.
impl fmt::Display for Study {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut records = self.records();
        let states = [TrialState::Complete, TrialState::Pruned, TrialState::Failed, TrialState::Running];
        let counts: Vec<String> = (states.iter())
            .map(|state| (records.iter().filter(|record| record.state == *state).count(), state))
            .filter(|(count, _)| *count > 0)
            .map(|(count, state)| format!("{count} {state}"))
            .collect();
        let trials = if records.len() == 1 { "trial" } else { "trials" };
        write!(f, "{} {trials}", records.len())?;
        if records.is_empty() {
            return Ok(());
        }
        write!(f, ": {}", counts.join(", "))?;

        records.sort_by(|a, b| {
            let rank = |state| states.iter().position(|other| *other == state);
            let cost = |value: Option<f64>| value.map_or(f64::INFINITY, |value| self.cost(value));
            rank(a.state).cmp(&rank(b.state)).then(cost(a.value).total_cmp(&cost(b.value)))
        });
        let names = self.parameter_names();
        let mut rows = vec![["trial", "value"].map(String::from).to_vec()];
        rows[0].extend(names.iter().cloned().chain(["state", "seconds"].map(String::from)));
        for record in records.iter().take(ROWS) {
            let mut row = vec![record.number.to_string(), record.value.map_or("-".into(), short)];
            row.extend(names.iter().map(|name| record.settings[name].to_string()));
            row.extend([record.state.to_string(), format!("{:.1}", record.seconds)]);
            rows.push(row);
        }
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..names.len() + 4).map(width).collect();
        for row in &rows {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:>width$}")).collect();
            write!(f, "\n{}", cells.join("  "))?;
        }
        match records.len().saturating_sub(ROWS) {
            0 => Ok(()),
            more => write!(f, "\n… and {more} more"),
        }
    }
}
