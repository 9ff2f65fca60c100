//! Journals of this library before it wrote Optuna's: read, to become one of these. There are two versions; the lines
//! of the second end with a check.

use std::{collections::BTreeMap, path::Path, time::SystemTime};

use serde::Deserialize;

use super::dates;
use super::lines::{self, Line, Parsed, Position, check_of, split_check};
use super::operation::{Number, Operation};
use super::replay::Replay;
use super::space::{Setting, Space};
use crate::error::{Error, ErrorKind, Result};

/// The first bytes of every one.
pub(super) const BEGINNING: &[u8] = br#"{"study""#;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Event {
    /// The first line.
    Study {
        maximize: bool,
        space: Space,
    },
    Ask {
        trial: usize,
        worker: usize,
        settings: BTreeMap<String, Setting>,
    },
    /// A value that is not finite is `null`.
    Report {
        trial: usize,
        epoch: usize,
        value: Option<f64>,
    },
    Tell {
        trial: usize,
        value: Option<f64>,
        pruned: bool,
        seconds: f64,
    },
}

/// The operations that make the same study. Its trials get the file's date: the old journal has none.
pub(super) fn operations(bytes: &[u8], path: &Path, mut study: Replay, date: SystemTime) -> Result<Vec<Operation>> {
    let (date, mut all) = (dates::text(date), Vec::new());
    for line in lines::split(bytes, &Position::default(), path, parse).0 {
        let Line { place, content: event, .. } = line?;
        let within = |error: Error| error.within(&place);
        let new = match event {
            Event::Study { maximize, space } => {
                if (maximize, &space) != (study.maximize, &study.space) {
                    return Err(within(study.another()));
                }
                study.beginning()
            }
            Event::Ask { trial, worker, settings } if trial == study.records.len() + 1 => {
                if !study.space.holds(&settings) {
                    let got = format!("another in trial {trial}");
                    return Err(within(wrong("a setting of each parameter, in its range", got)));
                }
                vec![study.new_trial(&settings, worker, date.clone())]
            }
            Event::Ask { trial, worker, settings } => {
                let record = study.running(trial).map_err(within)?;
                if record.settings != settings {
                    return Err(within(wrong(
                        "the settings that the trial had before",
                        format!("others of trial {trial}"),
                    )));
                }
                study.again(record, &settings, worker, date.clone())
            }
            Event::Report { trial, epoch, value } => {
                let trial_id = study.running(trial).map_err(within)?.id;
                let intermediate_value = Number(value.unwrap_or(f64::NAN));
                vec![Operation::Report { trial_id, step: epoch, intermediate_value }]
            }
            Event::Tell { trial, value, pruned, seconds } => {
                let record = study.running(trial).map_err(within)?;
                Replay::end(record, value.unwrap_or(f64::NAN), pruned, seconds, date.clone()).to_vec()
            }
        };
        for operation in &new {
            study.apply(operation, true).map_err(within)?;
        }
        all.extend(new);
    }
    if study.study.is_none() {
        return Err(Error::expected(ErrorKind::Data, path.display().to_string(), "a study's journal", "another file"));
    }
    Ok(all)
}

/// The event of a line and its check, or what is wrong with the line.
fn parse(text: &str, at: &Position) -> Parsed<Event> {
    let (body, noted) = split_check(text);
    // The first line decides whether there are checks.
    let check = match (at.lines, &at.check, noted) {
        (1.., None, _) | (0, _, None) => None,
        (_, before, noted) => {
            let check = check_of(before.as_deref().unwrap_or_default(), &body);
            if noted != Some(check.as_str()) {
                return Err("one that does not fit its check or the line before it".into());
            }
            Some(check)
        }
    };
    let event = serde_json::from_str(if check.is_some() { &body } else { text }).map_err(|error| error.to_string())?;
    if (at.lines == 0) != matches!(event, Event::Study { .. }) {
        return Err(if at.lines == 0 { "a trial before the study" } else { "a second study" }.into());
    }
    Ok((event, check))
}

fn wrong(expected: &str, got: String) -> Error {
    Error::expected(ErrorKind::Data, "study", expected, got)
}
