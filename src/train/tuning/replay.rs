//! What the operations of a journal make of a study, by Optuna's rules.
//!
//! Optuna's workers write first and look afterwards: of two that start one waiting trial the later is ignored, and so
//! is what comes for a trial that has ended, or for a study that was deleted. Ours look first, under the journal's
//! lock: such a line of ours was damaged. A trial of ours that is handed out again begins anew: its earlier reports
//! stay in the file, but count no more.

use std::collections::BTreeMap;

use serde_json::Value;

use super::dates;
use super::operation::{Attributes, Distribution, NewTrial, Number, Operation};
use super::space::{Parameter, Setting, Space};
use super::trial::{TrialRecord, TrialState};
use crate::error::{Error, ErrorKind, Result};

/// The attribute of a trial with the number of the worker of ours that has it.
pub(super) const WORKER: &str = "latentlab:worker";
/// The attribute of a trial with the seconds that it took: Optuna's dates tell when it began first.
pub(super) const SECONDS: &str = "latentlab:seconds";
/// The attribute of a trial with the number of workers of ours that ended without telling its result.
const LOSSES: &str = "latentlab:losses";
/// The attribute of a study with its space.
pub(super) const SPACE: &str = "latentlab:space";
/// The user attribute of a trial with the reason of its failure: optuna-dashboard shows it.
pub(super) const FAIL_REASON: &str = "fail_reason";
/// A reason's longest text, in characters.
const LONGEST_REASON: usize = 2000;

/// The codes of Optuna's states.
const STATES: [TrialState; 5] =
    [TrialState::Running, TrialState::Complete, TrialState::Pruned, TrialState::Failed, TrialState::Waiting];

/// Whether a study among a journal's operations is maximized, and its space, if a worker of this library has written
/// it.
pub(super) fn study_of<'a>(all: impl Iterator<Item = &'a Operation>, name: &str) -> Option<(bool, Option<&'a Value>)> {
    let mut studies: Vec<(Option<&str>, bool, Option<&Value>)> = Vec::new();
    for operation in all {
        match operation {
            Operation::CreateStudy { study_name, directions }
                if !studies.iter().any(|study| study.0 == Some(study_name)) =>
            {
                studies.push((Some(study_name), directions[..] == [2], None));
            }
            Operation::DeleteStudy { study_id } => {
                studies.get_mut(*study_id).into_iter().for_each(|study| study.0 = None);
            }
            Operation::StudyAttribute { study_id, system_attr } => {
                studies.get_mut(*study_id).into_iter().for_each(|study| study.2 = system_attr.get(SPACE).or(study.2));
            }
            _ => {}
        }
    }
    studies.into_iter().find(|study| study.0 == Some(name)).map(|study| (study.1, study.2))
}

#[derive(Clone)]
pub(super) struct Replay {
    pub name: String,
    pub maximize: bool,
    pub space: Space,
    pub records: Vec<TrialRecord>,
    /// The study's number in the journal, once it is created.
    pub study: Option<usize>,
    /// The number that it has or will have: studies of its name before it were deleted.
    number: usize,
    /// The names of all studies by their numbers; `None` if deleted.
    names: Vec<Option<String>>,
    /// Of each trial of all studies its place in `records`; `None` if it is of another study.
    trials: Vec<Option<usize>>,
    /// Whether the journal has the space.
    has_space: bool,
    /// The distributions of the space's parameters.
    own: Vec<Distribution>,
    /// The first distribution of each name.
    first: BTreeMap<String, Distribution>,
}

impl Replay {
    pub(super) fn new(name: &str, maximize: bool, space: Space) -> Self {
        let own = space.parameters.iter().map(|parameter| parameter.distribution()).collect();
        let (name, records, names, trials) = (name.into(), Vec::new(), Vec::new(), Vec::new());
        let (study, number, has_space, first) = (None, 0, false, BTreeMap::new());
        Self { name, maximize, space, records, study, number, names, trials, has_space, own, first }
    }

    /// Finds the study by its name among all operations of a journal.
    pub(super) fn find<'a>(&mut self, all: impl Iterator<Item = &'a Operation>) {
        let mut names: Vec<Option<&str>> = Vec::new();
        for operation in all {
            match operation {
                Operation::CreateStudy { study_name, .. } if !names.contains(&Some(study_name)) => {
                    names.push(Some(study_name));
                }
                Operation::DeleteStudy { study_id } if *study_id < names.len() => names[*study_id] = None,
                _ => {}
            }
        }
        self.number = names.iter().position(|name| *name == Some(&self.name)).unwrap_or(names.len());
    }

    /// What is missing in the journal before the first trial.
    pub(super) fn beginning(&self) -> Vec<Operation> {
        let directions = vec![self.direction()];
        let create = Operation::CreateStudy { study_name: self.name.clone(), directions };
        let study_id = self.study.unwrap_or(self.names.len());
        let space = serde_json::to_value(&self.space).unwrap_or_default();
        let space = Operation::StudyAttribute { study_id, system_attr: Attributes::from_iter([(SPACE.into(), space)]) };
        let create = self.study.is_none().then_some(create);
        create.into_iter().chain((!self.has_space).then_some(space)).collect()
    }

    /// Whether a study's attribute is the space.
    pub(super) fn has(&self, space: &Value) -> bool {
        serde_json::from_value(space.clone()).ok().as_ref() == Some(&self.space)
    }

    fn direction(&self) -> u8 {
        1 + u8::from(self.maximize)
    }

    /// A new trial of ours with these settings.
    pub(super) fn new_trial(&self, settings: &BTreeMap<String, Setting>, worker: usize, date: String) -> Operation {
        let parameters = || self.space.parameters.iter().zip(&self.own);
        let params = parameters().filter_map(|(parameter, _)| {
            Some((parameter.name.clone(), parameter.internal(settings.get(&parameter.name)?)))
        });
        Operation::CreateTrial(Box::new(NewTrial {
            study_id: self.study.unwrap_or_default(),
            datetime_start: Some(date),
            distributions: parameters().map(|(parameter, own)| (parameter.name.clone(), own.clone())).collect(),
            params: params.collect(),
            system_attrs: Attributes::from_iter([(WORKER.into(), worker.into())]),
            ..NewTrial::default()
        }))
    }

    /// Hands a trial out that is there, with the settings that it lacks.
    pub(super) fn again(
        &self,
        record: &TrialRecord,
        settings: &BTreeMap<String, Setting>,
        worker: usize,
        date: String,
    ) -> Vec<Operation> {
        let trial_id = record.id;
        // Whose it is comes first: a process that is killed between two lines must not leave it to nobody.
        // One attribute at a time: Optuna refuses to read more.
        let attribute = |name: &str, value: usize| Operation::Attribute {
            trial_id,
            system_attr: Attributes::from_iter([(name.into(), value.into())]),
        };
        let mut operations = vec![attribute(WORKER, worker)];
        if record.state == TrialState::Running {
            operations.push(attribute(LOSSES, record.losses + 1));
        }
        if record.state == TrialState::Waiting {
            let (values, datetime_start, datetime_complete) = (None, Some(date), None);
            operations.push(Operation::State { trial_id, state: 0, values, datetime_start, datetime_complete });
        }
        for (parameter, own) in self.space.parameters.iter().zip(&self.own) {
            if let Some(setting) = settings.get(&parameter.name)
                && record.settings.get(&parameter.name) != Some(setting)
            {
                operations.push(Operation::Parameter {
                    trial_id,
                    param_name: parameter.name.clone(),
                    param_value_internal: parameter.internal(setting),
                    distribution: own.clone(),
                });
            }
        }
        operations
    }

    /// The end of a trial of ours; a value that is not finite is a failure.
    pub(super) fn end(record: &TrialRecord, value: f64, pruned: bool, seconds: f64, date: String) -> [Operation; 2] {
        let values = Some(value).filter(|value| value.is_finite()).map(|value| vec![Number(value)]);
        let state = match (&values, pruned) {
            (None, _) => 3,
            (Some(_), true) => 2,
            (Some(_), false) => 1,
        };
        let (trial_id, datetime_start, datetime_complete) = (record.id, None, Some(date));
        let system_attr = Attributes::from_iter([(SECONDS.into(), seconds.into())]);
        [
            Operation::Attribute { trial_id, system_attr },
            Operation::State { trial_id, state, values, datetime_start, datetime_complete },
        ]
    }

    /// The failure of a trial of ours.
    pub(super) fn failure(record: &TrialRecord, reason: &str, seconds: f64, date: String) -> Vec<Operation> {
        let reason: String = reason.chars().take(LONGEST_REASON).collect();
        let user_attr = Attributes::from_iter([(FAIL_REASON.into(), reason.into())]);
        let reason = Operation::UserAttribute { trial_id: record.id, user_attr };
        [reason].into_iter().chain(Self::end(record, f64::NAN, false, seconds, date)).collect()
    }

    /// Lets a trial of ours wait, for any worker.
    pub(super) fn back(record: &TrialRecord) -> Operation {
        let (values, datetime_start, datetime_complete) = (None, None, None);
        Operation::State { trial_id: record.id, state: 4, values, datetime_start, datetime_complete }
    }

    /// Applies an operation. `ours`: a worker of this library has written it. After an error nothing is changed.
    pub(super) fn apply(&mut self, operation: &Operation, ours: bool) -> Result<()> {
        match operation {
            Operation::CreateStudy { study_name, directions } => self.create_study(study_name, directions, ours),
            Operation::DeleteStudy { study_id } => {
                if self.is_ours(*study_id)? {
                    let error = wrong("the study, which other workers share", "its deletion by one of them");
                    return Err(error.hint("Open it again to begin anew"));
                }
                self.names[*study_id] = None;
                Ok(())
            }
            Operation::StudyUserAttribute { study_id } => self.is_ours(*study_id).map(drop),
            Operation::StudyAttribute { study_id, system_attr } => match system_attr.get(SPACE) {
                Some(space) if self.is_ours(*study_id)? => {
                    if !self.has(space) {
                        return Err(self.another());
                    }
                    self.has_space = true;
                    Ok(())
                }
                _ => self.is_ours(*study_id).map(drop),
            },
            Operation::CreateTrial(trial) => self.create_trial(trial, ours),
            Operation::Parameter { trial_id, param_name, param_value_internal, distribution } => {
                let Some(index) = self.unfinished(*trial_id, ours)? else { return Ok(()) };
                if self.first.get(param_name).is_some_and(|first| !first.fits(distribution)) && !ours {
                    return Ok(());
                }
                let setting = self.setting(param_name, *param_value_internal, distribution)?;
                let held = |(_, parameter): (usize, &Parameter)| parameter.holds(&setting);
                if ours && !self.space.parameter(param_name).is_some_and(held) {
                    return Err(wrong("a setting in its range", format!("{setting} for {param_name:?}")));
                }
                self.first.entry(param_name.clone()).or_insert_with(|| distribution.clone());
                self.records[index].settings.insert(param_name.clone(), setting);
                Ok(())
            }
            Operation::State { trial_id, state, values, datetime_start, datetime_complete } => {
                let Some(index) = self.unfinished(*trial_id, ours)? else { return Ok(()) };
                let record = &mut self.records[index];
                let before = record.state;
                let state = state_of(*state)?;
                if ours && (state == TrialState::Running) == (before == TrialState::Running) {
                    return Err(wrong("a trial that was handed out", format!("trial {}, {before}", record.number)));
                }
                if (state, before) == (TrialState::Running, TrialState::Running) {
                    return Ok(());
                }
                let value = value_of(state, values.as_deref(), None)?;
                record.end(state, value);
                // Not one of ours, or nobody's: so nobody waits for the worker that had it before.
                if state == TrialState::Waiting || (state == TrialState::Running && !ours) {
                    record.worker = None;
                }
                if state == TrialState::Running {
                    record.started = datetime_start.as_deref().and_then(dates::seconds);
                }
                record.took(datetime_complete.as_deref());
                Ok(())
            }
            Operation::Report { trial_id, step, intermediate_value } => {
                let Some(index) = self.unfinished(*trial_id, ours)? else { return Ok(()) };
                let record = &mut self.records[index];
                let last = record.reports.last().map_or(0, |report| report.0);
                if ours && *step <= last {
                    return Err(wrong(format!("a report of an epoch above {last}"), format!("of epoch {step}")));
                }
                record.report(*step, intermediate_value.finite());
                Ok(())
            }
            Operation::UserAttribute { trial_id, user_attr } => {
                let Some(index) = self.unfinished(*trial_id, ours)? else { return Ok(()) };
                if let Some(Value::String(reason)) = user_attr.get(FAIL_REASON) {
                    self.records[index].failure = Some(reason.clone());
                }
                Ok(())
            }
            Operation::Attribute { trial_id, system_attr } => {
                let Some(index) = self.unfinished(*trial_id, ours)? else { return Ok(()) };
                let mut record = self.records[index].clone();
                record.attributes(system_attr)?;
                self.records[index] = record;
                Ok(())
            }
            Operation::Discard {} => Ok(()),
        }
    }

    fn create_study(&mut self, name: &str, directions: &[u8], ours: bool) -> Result<()> {
        if self.names.iter().flatten().any(|other| other == name) {
            return if ours { Err(wrong("a study of another name", format!("a second {name:?}"))) } else { Ok(()) };
        }
        if name == self.name && self.names.len() == self.number {
            match directions {
                [direction] if *direction == self.direction() => {}
                [1 | 2] => return Err(self.another()),
                [_, _, ..] => return Err(wrong("a study with one objective", format!("{}", directions.len()))),
                other => return Err(wrong("direction 1 or 2", format!("{other:?}"))),
            }
            self.study = Some(self.names.len());
        }
        self.names.push(Some(name.into()));
        Ok(())
    }

    fn create_trial(&mut self, trial: &NewTrial, ours: bool) -> Result<()> {
        if !self.is_ours(trial.study_id)? {
            // A deleted study gets no trial, and the next one that number.
            if self.names[trial.study_id].is_some() {
                self.trials.push(None);
            }
            return Ok(());
        }
        let record = self.record(self.records.len() + 1, self.trials.len(), trial)?;
        let running = record.state == TrialState::Running;
        if ours && (!running || record.worker.is_none() || !self.space.holds(&record.settings)) {
            let got = format!("another in trial {}", record.number);
            return Err(wrong("a setting of each parameter, in its range", got));
        }
        self.add(record, trial);
        Ok(())
    }

    fn record(&self, number: usize, id: usize, trial: &NewTrial) -> Result<TrialRecord> {
        let mut settings = BTreeMap::new();
        for (name, value) in &trial.params {
            let distribution = trial.distributions.get(name);
            let distribution = distribution.ok_or_else(|| wrong("a distribution", format!("none for {name:?}")))?;
            settings.insert(name.clone(), self.setting(name, *value, distribution)?);
        }
        let state = trial.state.map_or(Ok(TrialState::Running), state_of)?;
        let mut record = TrialRecord::new(number, id, settings);
        record.started = trial.datetime_start.as_deref().and_then(dates::seconds);
        trial.intermediate_values.iter().for_each(|(step, value)| record.report(*step, value.finite()));
        record.end(state, value_of(state, trial.values.as_deref(), trial.value)?);
        // What begins a trial anew comes first in it: its reports belong to it.
        let reports = std::mem::take(&mut record.reports);
        record.attributes(&trial.system_attrs)?;
        record.reports = reports;
        record.took(trial.datetime_complete.as_deref());
        Ok(record)
    }

    fn add(&mut self, record: TrialRecord, trial: &NewTrial) {
        for (name, distribution) in &trial.distributions {
            self.first.entry(name.clone()).or_insert_with(|| distribution.clone());
        }
        self.trials.push(Some(self.records.len()));
        self.records.push(record);
    }

    /// Sets a trial, new or not, to what a server has of it: of the worker of ours that has it, and with the reason of
    /// its failure. `held`: the reports are this process's, not the server's.
    #[cfg(feature = "grpc")]
    pub(super) fn put(
        &mut self,
        index: usize,
        trial: &NewTrial,
        worker: Option<usize>,
        failure: Option<String>,
        held: bool,
    ) -> Result<()> {
        let mut record = self.record(index + 1, index, trial)?;
        (record.worker, record.failure) = (worker, failure);
        match self.records.get_mut(index) {
            Some(old) => {
                if held {
                    record.reports = std::mem::take(&mut old.reports);
                }
                *old = record;
            }
            None => self.add(record, trial),
        }
        Ok(())
    }

    /// The setting of a parameter of any study, if its range does not contradict the space.
    fn setting(&self, name: &str, value: Number, distribution: &Distribution) -> Result<Setting> {
        let own = self.space.parameter(name).map(|(index, _)| &self.own[index]);
        if let Some(own) = own.filter(|own| !own.fits(distribution)) {
            let error = wrong(format!("{} for {name:?}, as in the space", own.described()), distribution.described());
            return Err(error.hint("Name the parameter differently, or give it the same kind and choices everywhere"));
        }
        let setting = own.unwrap_or(distribution).setting(value.0);
        setting.ok_or_else(|| wrong(format!("an index of {}", distribution.described()), value.0))
    }

    /// Whether a study is this one; an error if the journal has none of this number.
    fn is_ours(&self, study: usize) -> Result<bool> {
        if study >= self.names.len() {
            return Err(wrong(format!("one of the journal's {} studies", self.names.len()), format!("study {study}")));
        }
        Ok(self.study == Some(study))
    }

    /// Where a trial of this study stands in the records; `None` if the operation does not concern it.
    fn unfinished(&self, trial: usize, ours: bool) -> Result<Option<usize>> {
        let all = self.trials.len();
        let index = self.trials.get(trial);
        let index =
            index.ok_or_else(|| wrong(format!("one of the journal's {all} trials"), format!("trial {trial}")))?;
        let Some(record) = index.map(|index| &self.records[index]) else { return Ok(None) };
        match record.state {
            TrialState::Running | TrialState::Waiting => Ok(*index),
            _ if ours => Err(wrong("a trial that is running", format!("trial {}", record.number))),
            _ => Ok(None),
        }
    }

    /// The trials that have a setting of each parameter, in its range: those that the space knows.
    pub(super) fn known(&self) -> impl Iterator<Item = &TrialRecord> {
        self.records.iter().filter(|record| record.state != TrialState::Waiting && self.space.holds(&record.settings))
    }

    /// The settings that a trial which is not new must have: its own, or else those that it was enqueued with.
    pub(super) fn given(&self, record: &TrialRecord) -> BTreeMap<String, Setting> {
        let given = |parameter: &Parameter| {
            let own = record.settings.get(&parameter.name).filter(|setting| parameter.holds(setting)).cloned();
            Some((parameter.name.clone(), own.or_else(|| parameter.given(record.fixed.get(&parameter.name)?))?))
        };
        self.space.parameters.iter().filter_map(given).collect()
    }

    pub(super) fn running(&self, number: usize) -> Result<&TrialRecord> {
        let record = number.checked_sub(1).and_then(|index| self.records.get(index));
        record.filter(|record| record.state == TrialState::Running).ok_or_else(|| {
            Error::expected(ErrorKind::Data, "study", "a trial that is running", format!("trial {number}"))
        })
    }

    pub(super) fn another(&self) -> Error {
        let error = Error::new(ErrorKind::Data, "study", "its space or direction is not that of the journal");
        error.hint("Name another file or study, or delete the file to start again")
    }
}

impl TrialRecord {
    fn end(&mut self, state: TrialState, value: Option<f64>) {
        (self.state, self.value) = (state, value);
        // As for trials of ours; Optuna lets a trial be complete with an infinite value.
        if state == TrialState::Complete && value.is_none() {
            self.state = TrialState::Failed;
        }
    }

    /// How long it took by its dates, unless it says so itself.
    fn took(&mut self, completed: Option<&str>) {
        if let (Some(start), Some(end)) = (self.started, completed.and_then(dates::seconds))
            && self.seconds == 0.0
        {
            self.seconds = (end - start).max(0.0);
        }
    }

    /// In the order of the epochs, the last value of each.
    fn report(&mut self, epoch: usize, value: Option<f64>) {
        match self.reports.binary_search_by_key(&epoch, |report| report.0) {
            Ok(index) => self.reports[index].1 = value,
            Err(index) => self.reports.insert(index, (epoch, value)),
        }
    }

    fn attributes(&mut self, attributes: &Attributes) -> Result<()> {
        if let Some(worker) = attributes.get(WORKER) {
            let worker = worker.as_u64().ok_or_else(|| wrong("the number of a worker", worker))?;
            (self.worker, self.seconds, self.failure) = (Some(worker as usize), 0.0, None);
            self.reports.clear();
        }
        if let Some(losses) = attributes.get(LOSSES) {
            self.losses = losses.as_u64().ok_or_else(|| wrong("a number of workers", losses))? as usize;
        }
        if let Some(seconds) = attributes.get(SECONDS) {
            let finite = seconds.as_f64().filter(|seconds| *seconds >= 0.0 && seconds.is_finite());
            self.seconds = finite.ok_or_else(|| wrong("finite seconds", seconds))?;
        }
        if let Some(Value::Object(fixed)) = attributes.get("fixed_params") {
            self.fixed = fixed.clone();
        }
        Ok(())
    }
}

fn state_of(code: u8) -> Result<TrialState> {
    STATES.get(usize::from(code)).copied().ok_or_else(|| wrong("a state from 0 to 4", code))
}

/// The finite value of a trial that has ended.
fn value_of(state: TrialState, values: Option<&[Number]>, value: Option<Number>) -> Result<Option<f64>> {
    match (state, values, value) {
        (TrialState::Complete | TrialState::Pruned, Some([value]), _) => Ok(value.finite()),
        (TrialState::Complete | TrialState::Pruned, None, Some(value)) => Ok(value.finite()),
        (TrialState::Complete, ..) => Err(wrong("one value of a complete trial", "none or several")),
        _ => Ok(None),
    }
}

fn wrong(expected: impl std::fmt::Display, got: impl std::fmt::Display) -> Error {
    Error::expected(ErrorKind::Data, "study", expected, got)
}
