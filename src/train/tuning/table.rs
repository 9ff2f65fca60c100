use std::fmt;

use super::space::short;
use super::study::Study;
use super::trial::TrialState;
use crate::format::cell;

/// The number of trials that are shown, the best first.
const ROWS: usize = 20;

/// In the order of the table.
const STATES: [TrialState; 5] =
    [TrialState::Complete, TrialState::Pruned, TrialState::Failed, TrialState::Running, TrialState::Waiting];

impl Study {
    pub(crate) fn count(&self) -> String {
        let records = self.records();
        let counts: Vec<String> = (STATES.iter())
            .map(|state| (records.iter().filter(|record| record.state == *state).count(), state))
            .filter(|(count, _)| *count > 0)
            .map(|(count, state)| format!("{count} {state}"))
            .collect();
        let trials = if records.len() == 1 { "trial" } else { "trials" };
        let colon = if records.is_empty() { "" } else { ": " };
        format!("{} {trials}{colon}{}", records.len(), counts.join(", "))
    }

    /// What the table leaves out.
    pub(crate) fn rest(&self) -> String {
        match self.records().len().saturating_sub(ROWS) {
            0 => String::new(),
            more => format!("… and {more} more"),
        }
    }

    /// The table with its head.
    pub(crate) fn cells(&self) -> Vec<Vec<String>> {
        let mut records = self.records();
        records.sort_by(|a, b| {
            let rank = |state| STATES.iter().position(|other| *other == state);
            let cost = |value: Option<f64>| value.map_or(f64::INFINITY, |value| self.cost(value));
            rank(a.state).cmp(&rank(b.state)).then(cost(a.value).total_cmp(&cost(b.value)))
        });
        let names = self.parameter_names();
        let mut rows = vec![["trial", "value"].map(String::from).to_vec()];
        rows[0].extend(names.iter().map(|name| cell(name)).chain(["state", "seconds"].map(String::from)));
        for record in records.iter().take(ROWS) {
            let mut row = vec![record.number.to_string(), record.value.map_or("-".into(), short)];
            row.extend(
                names
                    .iter()
                    .map(|name| record.settings.get(name).map_or("-".into(), |setting| cell(&setting.to_string()))),
            );
            row.extend([record.state.to_string(), format!("{:.1}", record.seconds)]);
            rows.push(row);
        }
        rows
    }
}

/// How many trials there are, and a table of the best ones.
impl fmt::Display for Study {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.count())?;
        if self.records().is_empty() {
            return Ok(());
        }
        let rows = self.cells();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        for row in &rows {
            let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:>width$}")).collect();
            write!(f, "\n{}", cells.join("  "))?;
        }
        match self.rest() {
            rest if rest.is_empty() => Ok(()),
            rest => write!(f, "\n{rest}"),
        }
    }
}
