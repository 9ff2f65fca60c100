use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering},
    time::Instant,
};

use super::importance::importance;
use super::journal::{Event, Journal, Line};
use super::pruning::should_prune;
use super::space::{Space, short, wrong};
use super::tree_parzen::suggest;
use super::trial::{Trial, TrialRecord, TrialState};
use crate::{
    channel::Stoppable,
    error::{Error, ErrorKind, Result},
    progress::{Progress, State, times},
    stop::StopHandle,
};

/// A search for the best settings in a [`Space`]: ask for a trial, train with its settings, tell the result.
///
/// ```
/// use latentlab::{Autoencoder, Dataset, Space, Study, TrainConfig, train_ae};
///
/// let (train, test) = Dataset::built_in_digits(300, 0)?.split(200, 100)?;
/// let space = Space::new().float("learning_rate", 1e-4, 1e-1).log().choice("latent_dim", [2, 4]);
/// let study = Study::minimize(space)?.trials(3);
/// while let Some(trial) = study.ask()? {
///     let mut autoencoder = Autoencoder::tiny(trial.integer("latent_dim")?)?;
///     let config = TrainConfig::new().epochs(2).learning_rate(trial.float("learning_rate")?).validation(&test);
///     // Ends early if the study prunes the trial.
///     let history = train_ae(&mut autoencoder, &train, &config.trial(&trial))?;
///     study.tell(trial, history.final_validation_loss())?;
/// }
/// println!("{study}\nbest: {}", study.best()?);
/// # Ok::<(), latentlab::Error>(())
/// ```
///
/// Settings are sampled by the tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), the first ten at
/// random; a [`grid`](Space::grid) is tried in order. With a [`journal`](Self::journal) a study can be stopped at any
/// time and resumed, and several processes can share it.
pub struct Study {
    seed: u64,
    trials: usize,
    stop: StopHandle,
    progress_every: usize,
    /// Set at the first trial, with the time and the number of trials that were done by then.
    progress: Mutex<Option<(Progress, Instant, usize)>>,
    shared: Arc<Mutex<Shared>>,
}

/// The state that a study and its trials share.
pub(super) struct Shared {
    pub(super) maximize: bool,
    space: Space,
    records: Vec<TrialRecord>,
    /// The trials handed out here.
    held: HashMap<usize, Weak<()>>,
    journal: Option<Journal>,
}

impl Study {
    /// A study that looks for the lowest value: a loss.
    ///
    /// # Errors
    /// When the space has no parameters, or one has an invalid range or a name that is used twice.
    pub fn minimize(space: Space) -> Result<Self> {
        Self::new(space, false)
    }

    /// A study that looks for the highest value: an accuracy.
    ///
    /// # Errors
    /// When the space has no parameters, or one has an invalid range or a name that is used twice.
    pub fn maximize(space: Space) -> Result<Self> {
        Self::new(space, true)
    }

    fn new(space: Space, maximize: bool) -> Result<Self> {
        space.check()?;
        let trials = space.combinations().unwrap_or(100);
        let shared = Shared { maximize, space, records: Vec::new(), held: HashMap::new(), journal: None };
        let (stop, progress, shared) = (StopHandle::new(), Mutex::default(), Arc::new(Mutex::new(shared)));
        Ok(Self { seed: 0, trials, stop, progress_every: 1, progress, shared })
    }

    /// The seed of the sampling, which also depends on the trials so far. Default: 0.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// After how many trials a line with the result is printed, 0 for silence. Default: 1.
    pub fn progress_every(mut self, trials: usize) -> Self {
        self.progress_every = trials;
        self
    }

    /// Lets this handle end the study, as a notebook's stop button does: [`ask`](Self::ask) then hands out no more
    /// trials, and [`tell`](Self::tell) ignores the result, which may come from a training that was cut short as well.
    /// That trial is handed out again when the study is resumed.
    pub fn stop_handle(mut self, handle: &StopHandle) -> Self {
        self.stop = handle.clone();
        self
    }

    /// The number of trials, those in the journal included. Default: 100; for a grid all combinations, which are also
    /// the maximum.
    pub fn trials(mut self, count: usize) -> Self {
        self.trials = locked(&self.shared).space.combinations().map_or(count, |all| all.min(count));
        self
    }

    /// Keeps the study in a file, a line of JSON for each event. If the file exists, the study continues from it: a
    /// trial that was running when its process ended is handed out again with the same settings. Several processes (or
    /// several studies in the threads of one) may use the same file at the same time and share the trials.
    ///
    /// Each line ends with a checksum over itself and the line before it: lines that were changed, lost or moved are
    /// refused, and so are values outside their range. An incomplete last line, left by a process that was killed, is
    /// cut off.
    ///
    /// # Errors
    /// When the file cannot be opened or locked, is not a journal (it is left unchanged), is damaged (the error names
    /// the line), or belongs to another space or direction.
    pub fn journal(self, path: impl AsRef<Path>) -> Result<Self> {
        self.journal_at(path.as_ref())
    }

    fn journal_at(self, path: &Path) -> Result<Self> {
        let journal = Journal::open(path)?;
        {
            let mut shared = locked(&self.shared);
            if !shared.records.is_empty() {
                return Err(wrong("study", "a journal before the first trial", "one after it"));
            }
            shared.journal = Some(journal);
            shared.together(|_| Ok(()))?;
        }
        Ok(self)
    }

    /// The next trial; `None` if all have been handed out, also while other processes still work on theirs.
    ///
    /// # Errors
    /// When the journal cannot be read or written.
    pub fn ask(&self) -> Result<Option<Trial>> {
        if self.stop.should_stop() {
            return Ok(None);
        }
        let mut shared = locked(&self.shared);
        let Some((number, token)) = shared.together(|shared| shared.hand_out(self.trials, self.seed))? else {
            return Ok(None);
        };
        self.say(&shared, None);
        Ok(Some(Trial {
            settings: shared.records[number - 1].settings.clone(),
            shared: self.shared.clone(),
            number,
            pruned: Arc::default(),
            started: Instant::now(),
            _token: token,
            _stoppable: Stoppable::begin(),
        }))
    }

    /// Shows how far the study is, and the result of a trial.
    fn say(&self, shared: &Shared, told: Option<usize>) {
        let done = shared.records.iter().filter(|record| record.state != TrialState::Running).count();
        let mut progress = locked(&self.progress);
        let (progress, start, before) =
            progress.get_or_insert_with(|| (Progress::begin(self.progress_every), Instant::now(), done));
        let state = || {
            // A lost trial of a journal is handed out even if the journal has more trials than are wanted now: then
            // nothing, or less, is left.
            let share = done.saturating_sub(*before) as f64 / (self.trials as f64 - *before as f64);
            let times = times(start.elapsed().as_secs_f64(), share);
            shared.progress([done, self.trials], told, &times)
        };
        match told {
            Some(_) => progress.unit(done, done == self.trials, state),
            None => progress.within(state),
        }
    }

    /// Tells a trial's result: its value at the end, or where it was pruned. With NaN or infinity the trial has failed,
    /// and the study avoids its settings.
    ///
    /// # Errors
    /// When the trial belongs to another study, or the journal cannot be read or written: then nothing is recorded, and
    /// the trial is handed out again.
    pub fn tell(&self, trial: Trial, value: f64) -> Result<()> {
        if !Arc::ptr_eq(&self.shared, &trial.shared) {
            return Err(wrong("study", "a trial of its own", format!("trial {} of another study", trial.number)));
        }
        if self.stop.should_stop() {
            return Ok(());
        }
        let (value, seconds) = (Some(value).filter(|value| value.is_finite()), trial.started.elapsed().as_secs_f64());
        let event = Event::Tell { trial: trial.number, value, pruned: trial.pruned.load(Ordering::Relaxed), seconds };
        let mut shared = locked(&self.shared);
        shared.together(|shared| shared.note(event))?;
        self.say(&shared, Some(trial.number));
        Ok(())
    }

    /// All trials in their order; with a journal, as of this study's last ask, report or tell.
    pub fn records(&self) -> Vec<TrialRecord> {
        locked(&self.shared).records.clone()
    }

    /// The complete trial with the best value, the first one if several are equal.
    ///
    /// # Errors
    /// When no trial is complete.
    pub fn best(&self) -> Result<TrialRecord> {
        let complete = self.records().into_iter().filter(|record| record.state == TrialState::Complete);
        let cost = |record: &TrialRecord| record.value.map_or(f64::INFINITY, |value| self.cost(value));
        let best = complete.min_by(|a, b| cost(a).total_cmp(&cost(b)));
        best.ok_or_else(|| wrong("study", "at least 1 complete trial", "none"))
    }

    /// How much each parameter matters, by name in the space's order: shares that sum to 1, of the variance of the
    /// complete trials' values that a random forest's splits by it explain (mean decrease in impurity; Breiman, 2001).
    /// A hint, not a measurement: pruned trials do not count, and good settings are sampled more often than bad ones.
    ///
    /// # Errors
    /// When fewer than four trials are complete.
    pub fn importance(&self) -> Result<Vec<(String, f64)>> {
        let shared = locked(&self.shared);
        let complete = shared.records.iter().filter(|record| record.state == TrialState::Complete).count();
        if complete < 4 {
            return Err(wrong("importance", "at least 4 complete trials", complete));
        }
        let names = shared.space.parameters.iter().map(|parameter| parameter.name.clone());
        Ok(names.zip(importance(&shared.space, &shared.records)).collect())
    }

    /// The names of the parameters, in the space's order.
    pub fn parameter_names(&self) -> Vec<String> {
        locked(&self.shared).space.parameters.iter().map(|parameter| parameter.name.clone()).collect()
    }

    /// Whether higher values are better.
    pub fn maximizes(&self) -> bool {
        locked(&self.shared).maximize
    }

    /// A value turned so that lower is better.
    pub(super) fn cost(&self, value: f64) -> f64 {
        locked(&self.shared).cost(value)
    }
}

impl Shared {
    fn cost(&self, value: f64) -> f64 {
        if self.maximize { -value } else { value }
    }

    /// `trial 12 (complete, 0.0274), 12/30 done, best 0.0262  40 s so far, 1 min 0 s left`.
    fn progress(&self, [done, trials]: [usize; 2], told: Option<usize>, times: &str) -> State {
        let complete = |record: &&TrialRecord| record.state == TrialState::Complete;
        let values: Vec<f64> = self.records.iter().filter(complete).filter_map(|record| record.value).collect();
        let better = |best: &mut f64, value: &f64| {
            *best = if self.cost(*value) < self.cost(*best) { *value } else { *best };
            Some(*best)
        };
        let first = self.cost(f64::INFINITY);
        let best: Vec<f64> = values.iter().scan(first, better).collect();
        let mut text = match told.and_then(|trial| self.records.get(trial.checked_sub(1)?)) {
            Some(record) => {
                let value = record.value.map_or(String::new(), |value| format!(", {}", short(value)));
                format!("trial {} ({}{value}), {done}/{trials} done", record.number, record.state)
            }
            None => format!("{done}/{trials} trials done"),
        };
        if let Some(best) = best.last() {
            text += &format!(", best {}", short(*best));
        }
        text += &format!("  {times}");
        let curves = vec![("each".into(), values), ("best so far".into(), best)];
        State {
            share: done as f64 / trials.max(1) as f64,
            text,
            axes: ["complete trial".into(), "value".into()],
            curves,
            ..State::default()
        }
    }

    /// Runs an action under the journal's lock, after all its lines have been applied.
    fn together<T>(&mut self, action: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let _locked = self.journal.as_ref().map(Journal::lock).transpose()?;
        self.catch_up()?;
        action(self)
    }

    fn catch_up(&mut self) -> Result<()> {
        let first = self.journal.as_ref().filter(|journal| journal.is_new()).map(|_| self.beginning());
        let Some(journal) = &mut self.journal else { return Ok(()) };
        for line in journal.new_lines(first.as_ref())? {
            let Line { place, event, after } = line?;
            self.check(&event).map_err(|error| error.within(&place))?;
            self.apply(event);
            if let Some(journal) = &mut self.journal {
                journal.advance(after);
            }
        }
        match (&mut self.journal, first) {
            (Some(journal), Some(first)) if journal.is_new() => journal.append(&first),
            _ => Ok(()),
        }
    }

    /// The first line of this study's journal.
    fn beginning(&self) -> Event {
        Event::Study { maximize: self.maximize, space: self.space.clone() }
    }

    /// Writes an event and applies it: an event that cannot be written is not applied, and one that cannot be applied
    /// is not written.
    fn note(&mut self, event: Event) -> Result<()> {
        self.check(&event)?;
        if let Some(journal) = &mut self.journal {
            journal.append(&event)?;
        }
        self.apply(event);
        Ok(())
    }

    /// Whether an event can follow those before it.
    fn check(&self, event: &Event) -> Result<()> {
        let wrong = |expected: &str, got: String| Err(Error::expected(ErrorKind::Data, "study", expected, got));
        match event {
            Event::Study { maximize, space } => {
                if (*maximize, space) != (self.maximize, &self.space) {
                    let error =
                        Error::new(ErrorKind::Data, "study", "its space or direction is not that of the journal");
                    return Err(error.hint("Name another file, or delete this one to start again"));
                }
            }
            Event::Ask { trial, settings, .. } => {
                let next = *trial == self.records.len() + 1;
                if !next && self.running(*trial)?.settings != *settings {
                    return wrong("the settings that the trial had before", format!("others of trial {trial}"));
                }
                if next && !self.space.holds(settings) {
                    return wrong("a setting of each parameter, in its range", format!("another in trial {trial}"));
                }
                if self.space.grid && self.space.combination(trial - 1) != *settings {
                    return wrong("the grid's combinations in their order", format!("another in trial {trial}"));
                }
            }
            Event::Report { trial, epoch, value } => {
                let last = self.running(*trial)?.reports.last().map_or(0, |report| report.0);
                if *epoch <= last || value.is_some_and(|value| !value.is_finite()) {
                    return wrong(&format!("a report of an epoch above {last}"), format!("of epoch {epoch}"));
                }
            }
            Event::Tell { trial, value, seconds, .. } => {
                self.running(*trial)?;
                if value.is_some_and(|value| !value.is_finite()) || !(*seconds >= 0.0 && seconds.is_finite()) {
                    return wrong("finite numbers", format!("others for trial {trial}"));
                }
            }
        }
        Ok(())
    }

    /// Applies an event that has been checked.
    fn apply(&mut self, event: Event) {
        match event {
            Event::Study { .. } => {}
            Event::Ask { trial: number, worker, settings } => {
                let (state, reports) = (TrialState::Running, Vec::new());
                let record = TrialRecord { number, settings, state, value: None, reports, seconds: 0.0, worker };
                match self.record(number) {
                    Some(before) => *before = record,
                    None => self.records.push(record),
                }
            }
            Event::Report { trial, epoch, value } => {
                if let Some(record) = self.record(trial) {
                    record.reports.push((epoch, value));
                }
            }
            Event::Tell { trial, value, pruned, seconds } => {
                self.held.remove(&trial);
                if let Some(record) = self.record(trial) {
                    (record.value, record.seconds) = (value, seconds);
                    record.state = match (value, pruned) {
                        (None, _) => TrialState::Failed,
                        (Some(_), true) => TrialState::Pruned,
                        (Some(_), false) => TrialState::Complete,
                    };
                }
            }
        }
    }

    /// Trials are numbered from 1, without gaps.
    fn record(&mut self, trial: usize) -> Option<&mut TrialRecord> {
        self.records.get_mut(trial.checked_sub(1)?)
    }

    fn running(&self, trial: usize) -> Result<&TrialRecord> {
        let record = trial.checked_sub(1).and_then(|index| self.records.get(index));
        record.filter(|record| record.state == TrialState::Running).ok_or_else(|| {
            Error::expected(ErrorKind::Data, "study", "a trial that is running", format!("trial {trial}"))
        })
    }

    /// A trial whose worker has ended, or a new one.
    fn hand_out(&mut self, trials: usize, seed: u64) -> Result<Option<(usize, Arc<()>)>> {
        let lost = self.records.iter().find(|record| record.state == TrialState::Running && self.is_lost(record));
        let (trial, settings) = match lost {
            Some(record) => (record.number, record.settings.clone()),
            None if self.records.len() >= trials => return Ok(None),
            None if self.space.grid => (self.records.len() + 1, self.space.combination(self.records.len())),
            None => (self.records.len() + 1, suggest(&self.space, &self.records, |value| self.cost(value), seed)),
        };
        let worker = self.journal.as_ref().map_or(0, |journal| journal.worker);
        self.note(Event::Ask { trial, worker, settings })?;
        let token = Arc::new(());
        self.held.insert(trial, Arc::downgrade(&token));
        Ok(Some((trial, token)))
    }

    fn is_lost(&self, record: &TrialRecord) -> bool {
        match &self.journal {
            Some(journal) if journal.worker != record.worker => journal.has_ended(record.worker),
            _ => self.held.get(&record.number).is_none_or(|token| token.strong_count() == 0),
        }
    }

    /// Records a value at an epoch; returns whether the trial should be pruned.
    pub(super) fn report(&mut self, trial: usize, epoch: usize, value: f64) -> Result<bool> {
        self.together(|shared| {
            let last = shared.running(trial)?.reports.last().map_or(0, |report| report.0);
            if epoch <= last {
                return Err(wrong(format!("trial {trial}, report"), format!("an epoch above {last}"), epoch));
            }
            let value = Some(value).filter(|value| value.is_finite());
            shared.note(Event::Report { trial, epoch, value })?;
            let record = &shared.records[trial - 1];
            Ok(!shared.space.grid && should_prune(record, &shared.records, |value| shared.cost(value)))
        })
    }
}

/// No event is left half applied by a panic elsewhere.
pub(super) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
