use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, atomic::Ordering},
    time::{Instant, SystemTime},
};

use super::dates;
use super::importance::importance;
use super::journal::Refusal;
use super::operation::{Number, Operation};
use super::pruning::MedianPruner;
use super::replay::Replay;
use super::space::{Setting, Space, check_name, short, wrong};
use super::storage::{Guard, Storage};
use super::tree_parzen::suggest;
use super::trial::{Trial, TrialRecord, TrialState};
use crate::{
    channel::Stoppable,
    error::{Error, ErrorKind, Result},
    progress::{Progress, State, times},
    random::mix,
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
/// Settings are sampled by the multivariate tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011), the
/// default of Optuna 5, and until ten trials have ended at random; a [`grid`](Space::grid) is tried in order. Trials
/// that run count as bad ones, so that those at the same time differ. With a [`journal`](Self::journal) a study can be
/// stopped at any time and resumed, and several processes can share it, also with workers and the dashboard of
/// [Optuna](Self::optuna).
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
    pub(super) replay: Replay,
    /// The trials handed out here.
    held: HashMap<usize, Weak<()>>,
    /// How often a trial is handed out again that its worker has lost.
    retries: usize,
    pruner: MedianPruner,
    storage: Storage,
}

/// How often an operation is tried that other workers disturb.
const ATTEMPTS: usize = 5;

/// The name of a study whose journal is to hold no other.
const NAME: &str = "latentlab";

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
        let (replay, held) = (Replay::new(NAME, maximize, space), HashMap::new());
        let pruner = MedianPruner::new();
        let storage = Storage::Process;
        let mut shared = Shared { replay, held, retries: usize::MAX, pruner, storage };
        shared.together(true, |shared, guard| shared.begin(guard))?;
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
        self.trials = locked(&self.shared).replay.space.combinations().map_or(count, |all| all.min(count));
        self
    }

    /// How often a trial is handed out again whose process ended before it told the result: one that ends its process
    /// each time (it needs more memory than there is, say) would come again for ever. After that it has failed.
    /// Default: without end. A trial that was [handed back](Self::hand_back) was not lost.
    pub fn retries(self, count: usize) -> Self {
        locked(&self.shared).retries = count;
        self
    }

    /// When trials end early. A grid's trials never do. Default: [`MedianPruner::new`].
    ///
    /// # Errors
    /// When its interval or its number of trials is 0.
    pub fn pruner(self, pruner: MedianPruner) -> Result<Self> {
        pruner.check()?;
        locked(&self.shared).pruner = pruner;
        Ok(self)
    }

    /// A study that is in a journal already, with the space and the direction that it has there:
    /// [`optuna`](Self::optuna) for a worker that does not know them.
    ///
    /// ```
    /// use latentlab::{Space, Study};
    ///
    /// let path = std::env::temp_dir().join("latentlab-doc-open.log");
    /// # let _ = std::fs::remove_file(&path);
    /// let space = Space::new().float("x", 0.0, 1.0);
    /// drop(Study::maximize(space)?.optuna(&path, "digits")?);
    /// let study = Study::open(&path, "digits")?.trials(30);
    /// assert!(study.maximizes() && study.parameter_names() == ["x"]);
    /// # drop(study);
    /// # std::fs::remove_file(&path).unwrap();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the file cannot be read, is not a journal, or has no study of this name with a space, which
    /// [`optuna`](Self::optuna) writes; and as those of [`optuna`](Self::optuna).
    pub fn open(path: impl AsRef<Path>, name: impl AsRef<str>) -> Result<Self> {
        check_name("study", name.as_ref())?;
        let (maximize, space) = Storage::space_of(path.as_ref(), name.as_ref())?;
        Self::new(space, maximize)?.join(name.as_ref(), |study| Storage::open(path.as_ref(), name.as_ref(), study))
    }

    /// Keeps the study in a file: [`optuna`](Self::optuna) with the name `latentlab`.
    ///
    /// A journal that an earlier version of this library has written becomes one of Optuna's; the old file is kept
    /// beside it as `study.jsonl.old`.
    ///
    /// # Errors
    /// As those of [`optuna`](Self::optuna).
    pub fn journal(self, path: impl AsRef<Path>) -> Result<Self> {
        self.optuna(path, NAME)
    }

    /// Keeps the study in a file, or [at a server](#at-a-server): a journal as [Optuna](https://optuna.org) 5 writes
    /// it, which may hold several studies of different names. If it has one of this name, the study continues from it:
    /// a trial that was running when its process ended is handed out again with the same settings and number. Several
    /// processes (or several studies in the threads of one) may use the same file at the same time and share the
    /// trials.
    ///
    /// Optuna's workers may be among them, and its dashboard shows the study:
    ///
    /// ```python
    /// storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend("study.log"))
    /// study = optuna.load_study(study_name="digits", storage=storage)
    /// study.optimize(objective, n_trials=20)
    /// ```
    ///
    /// - [`float`](Space::float) is Optuna's `suggest_float`, [`integer`](Space::integer) its `suggest_int`,
    ///   [`choice`](Space::choice) its `suggest_categorical`. Trials with other parameters, or values outside the
    ///   space, stand in [`records`](Self::records), but neither the sampler nor the pruner learns from them.
    /// - Optuna numbers trials from 0, here they begin at 1. An epoch is a `step`.
    /// - Trials that Optuna has enqueued (`study.enqueue_trial`) come first, with the given settings that the space
    ///   has; the others are sampled. Running trials of Optuna's workers are left to them.
    /// - Optuna locks the file by another beside it, `study.log.lock`, and so does this. All must name the same file,
    ///   not a link to it.
    ///
    /// Lines of this library end with a checksum over themselves and all lines before them: lines that were changed,
    /// lost or moved are refused, and so are values outside their range. An incomplete last line, left by a process
    /// that was killed, is cut off.
    ///
    /// # At a server
    /// With the crate's feature `grpc` the path may also be `grpc://HOST:PORT`, the address of Optuna's server
    /// (`optuna.storages.run_grpc_proxy_server`) in front of PostgreSQL or another database, for hundreds of workers:
    ///
    /// ```no_run
    /// # let space = latentlab::Space::new().float("x", 0.0, 1.0);
    /// let study = latentlab::Study::minimize(space)?.optuna("grpc://tuning.example.org:13000", "digits")?;
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    ///
    /// - Python's workers take it as `GrpcStorageProxy(host="tuning.example.org", port=13000)`.
    /// - A process that has a trial tells the server every 5 seconds. The trial of one that is not heard of for 30
    ///   seconds is handed out again; should that process live after all, its [`report`](Trial::report) and
    ///   [`tell`](Self::tell) are errors, and its result does not count.
    /// - A server that does not answer is tried for 10 seconds at the beginning, and for two minutes later, when it may
    ///   be started again. A call whose answer was lost is not made twice: no trial is lost, none begun twice.
    /// - Beside the study there is one named `latentlab:lock:NAME`, by whose only trial the workers of this library
    ///   keep each other out while one hands out a trial.
    /// - The server keeps a setting once it has it: waiting trials with settings outside the space are left to Optuna.
    /// - The connection is not encrypted, and the server asks for no password: keep it in a network that you trust.
    ///
    /// # Errors
    /// When the name is empty, longer than 200 letters or has control characters; when the file cannot be opened or
    /// locked, is not a journal (it is left unchanged), is damaged (the error names the line), or has a study of this
    /// name with another space or direction, or a parameter of another kind; when the server does not answer in time
    /// or is none of Optuna's (the error names its address), or the feature `grpc` is missing.
    pub fn optuna(self, path: impl AsRef<Path>, name: impl AsRef<str>) -> Result<Self> {
        check_name("study", name.as_ref())?;
        self.join(name.as_ref(), |study| Storage::open(path.as_ref(), name.as_ref(), study))
    }

    pub(super) fn join(self, name: &str, storage: impl FnOnce(&Replay) -> Result<Storage>) -> Result<Self> {
        {
            let mut shared = locked(&self.shared);
            if !shared.replay.records.is_empty() {
                return Err(wrong("study", "a journal before the first trial", "one after it"));
            }
            shared.replay = Replay::new(name, shared.replay.maximize, shared.replay.space.clone());
            shared.storage = storage(&shared.replay)?;
            shared.together(true, |shared, guard| shared.begin(guard))?;
        }
        Ok(self)
    }

    /// The next trial; `None` if all have been handed out, also while other processes still work on theirs.
    ///
    /// # Errors
    /// When the journal cannot be read or written, or the server does not answer.
    pub fn ask(&self) -> Result<Option<Trial>> {
        if self.stop.should_stop() {
            return Ok(None);
        }
        let mut shared = locked(&self.shared);
        // A server's lock takes calls: none for a study that was full, and still is.
        let was_full = shared.storage.is_server() && shared.count() >= self.trials;
        if was_full && !shared.together(false, |shared, _| Ok(shared.has_work(self.trials)))? {
            return Ok(None);
        }
        let Some((number, token)) =
            shared.together(true, |shared, guard| shared.hand_out(self.trials, self.seed, guard))?
        else {
            return Ok(None);
        };
        self.say(&shared, None);
        Ok(Some(Trial {
            settings: shared.replay.records[number - 1].settings.clone(),
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
        let open = [TrialState::Running, TrialState::Waiting];
        let done = shared.replay.records.iter().filter(|record| !open.contains(&record.state)).count();
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
        let (pruned, seconds) = (trial.pruned.load(Ordering::Relaxed), trial.started.elapsed().as_secs_f64());
        self.end(trial, |record| Replay::end(record, value, pruned, seconds, now()).to_vec())
    }

    /// Tells that a trial has failed, and why: the study avoids its settings, and goes on. The reason stands in
    /// [`TrialRecord::failure`], and in optuna-dashboard as the trial's user attribute `fail_reason`.
    ///
    /// ```
    /// use latentlab::{Space, Study, TrialState};
    ///
    /// let study = Study::minimize(Space::new().float("x", 0.0, 1.0))?;
    /// if let Some(trial) = study.ask()? {
    ///     study.fail(trial, "out of memory")?;
    /// }
    /// let record = &study.records()[0];
    /// assert_eq!((record.state, record.failure.as_deref()), (TrialState::Failed, Some("out of memory")));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    ///
    /// # Errors
    /// As those of [`tell`](Self::tell). Of a longer reason the first 2,000 characters are kept.
    pub fn fail(&self, trial: Trial, reason: impl AsRef<str>) -> Result<()> {
        let (reason, seconds) = (reason.as_ref(), trial.started.elapsed().as_secs_f64());
        self.end(trial, |record| Replay::failure(record, reason, seconds, now()))
    }

    /// Gives a trial back without a result, as a worker does that has to end: it waits, with its number and settings,
    /// for the next that asks, also one of Optuna's workers. (A trial that is only dropped comes again, too, but
    /// workers of Optuna and its dashboard see it running until then.)
    ///
    /// ```
    /// use latentlab::{Space, Study, TrialState};
    ///
    /// let study = Study::minimize(Space::new().float("x", 0.0, 1.0))?;
    /// if let Some(trial) = study.ask()? {
    ///     study.hand_back(trial)?;
    /// }
    /// assert_eq!(study.records()[0].state, TrialState::Waiting);
    /// assert_eq!(study.ask()?.map(|trial| trial.number()), Some(1));
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    ///
    /// # Errors
    /// As those of [`tell`](Self::tell).
    pub fn hand_back(&self, trial: Trial) -> Result<()> {
        self.end(trial, |record| vec![Replay::back(record)])
    }

    /// Writes how a trial ends here.
    fn end(&self, trial: Trial, operations: impl Fn(&TrialRecord) -> Vec<Operation>) -> Result<()> {
        if !Arc::ptr_eq(&self.shared, &trial.shared) {
            return Err(wrong("study", "a trial of its own", format!("trial {} of another study", trial.number)));
        }
        if self.stop.should_stop() {
            return Ok(());
        }
        let mut shared = locked(&self.shared);
        shared.together(false, |shared, guard| {
            let operations = operations(shared.here(trial.number)?);
            shared.write(&operations, guard)
        })?;
        shared.held.remove(&trial.number);
        self.say(&shared, Some(trial.number));
        Ok(())
    }

    /// Whether nothing is left to do, as of the last ask, report or tell: the study has all its trials, none of them
    /// waits, and no process of this library works on one, which would come again if that process ended. Trials that
    /// run at workers of Optuna do not count.
    ///
    /// ```
    /// use latentlab::{Space, Study};
    ///
    /// let study = Study::minimize(Space::new().float("x", 0.0, 1.0))?.trials(1);
    /// let trial = study.ask()?.unwrap();
    /// assert!(study.ask()?.is_none() && !study.is_finished());
    /// study.tell(trial, 0.5)?;
    /// assert!(study.is_finished());
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn is_finished(&self) -> bool {
        let shared = locked(&self.shared);
        let open = |record: &TrialRecord| match record.state {
            TrialState::Waiting => shared.takes(record),
            TrialState::Running => record.worker.is_some(),
            _ => false,
        };
        shared.count() >= self.trials && !shared.replay.records.iter().any(open)
    }

    /// All trials in their order; with a journal, as of this study's last ask, report or tell.
    pub fn records(&self) -> Vec<TrialRecord> {
        locked(&self.shared).replay.records.clone()
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
        let complete = shared.replay.known().filter(|record| record.state == TrialState::Complete).count();
        if complete < 4 {
            return Err(wrong("importance", "at least 4 complete trials", complete));
        }
        let names = shared.replay.space.parameters.iter().map(|parameter| parameter.name.clone());
        Ok(names.zip(importance(&shared.replay.space, shared.replay.known())).collect())
    }

    /// The names of the parameters, in the space's order.
    pub fn parameter_names(&self) -> Vec<String> {
        locked(&self.shared).replay.space.parameters.iter().map(|parameter| parameter.name.clone()).collect()
    }

    /// Whether higher values are better.
    pub fn maximizes(&self) -> bool {
        locked(&self.shared).replay.maximize
    }

    /// A value turned so that lower is better.
    pub(super) fn cost(&self, value: f64) -> f64 {
        locked(&self.shared).cost(value)
    }
}

impl Shared {
    fn cost(&self, value: f64) -> f64 {
        if self.replay.maximize { -value } else { value }
    }

    /// `trial 12 (complete, 0.0274), 12/30 done, best 0.0262  40 s so far, 1 min 0 s left`.
    fn progress(&self, [done, trials]: [usize; 2], told: Option<usize>, times: &str) -> State {
        let complete = |record: &&TrialRecord| record.state == TrialState::Complete;
        let values: Vec<f64> = self.replay.records.iter().filter(complete).filter_map(|record| record.value).collect();
        let better = |best: &mut f64, value: &f64| {
            *best = if self.cost(*value) < self.cost(*best) { *value } else { *best };
            Some(*best)
        };
        let first = self.cost(f64::INFINITY);
        let best: Vec<f64> = values.iter().scan(first, better).collect();
        let mut text = match told.and_then(|trial| self.replay.records.get(trial.checked_sub(1)?)) {
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

    /// Runs an action under the storage's lock, after what others have written has been applied; again, if another
    /// worker disturbs it, since nothing has been written then.
    fn together<T>(
        &mut self,
        handing_out: bool,
        mut action: impl FnMut(&mut Self, &Guard) -> Result<T, Refusal>,
    ) -> Result<T> {
        let mut attempt = 1;
        loop {
            let done = self.storage.lock(handing_out).and_then(|guard| {
                let is_held = |index| is_held(&self.held, index);
                let read = self.storage.read(&mut self.replay, &guard, is_held);
                let done = read.and_then(|()| action(self, &guard));
                self.storage.unlock(guard);
                done
            });
            match done {
                Ok(done) => return Ok(done),
                Err(Refusal::Disturbed(_)) if attempt < ATTEMPTS => attempt += 1,
                Err(Refusal::Disturbed(error)) => {
                    let hint = format!("Nothing was written in {ATTEMPTS} attempts: call it again");
                    return Err(error.hint(hint));
                }
                Err(Refusal::Failed(error)) => return Err(error),
            }
        }
    }

    fn begin(&mut self, guard: &Guard) -> Result<(), Refusal> {
        let beginning = self.replay.beginning();
        self.write(&beginning, guard)
    }

    fn write(&mut self, operations: &[Operation], guard: &Guard) -> Result<(), Refusal> {
        self.storage.write(operations, &mut self.replay, guard, |index| is_held(&self.held, index))
    }

    /// A running trial, if it is still this worker's.
    fn here(&self, number: usize) -> Result<&TrialRecord> {
        let record = self.replay.running(number)?;
        if self.storage.is_server() && record.worker != Some(self.storage.worker()) {
            let error = Error::expected(
                ErrorKind::Data,
                "study",
                "a trial that this worker has",
                format!("trial {number}, which another has begun again"),
            );
            return Err(error.hint("This one was silent for too long: it was suspended, or could not reach the server"));
        }
        Ok(record)
    }

    /// Whether a trial that is there can be handed out: a server keeps settings outside the space.
    fn takes(&self, record: &TrialRecord) -> bool {
        let holds = |(name, setting): (&String, &Setting)| {
            self.replay.space.parameter(name).is_none_or(|(_, own)| own.holds(setting))
        };
        !self.storage.is_server() || record.settings.iter().all(holds)
    }

    /// A grid's combinations that a trial has.
    fn used(&self) -> HashSet<usize> {
        let records = self.replay.records.iter();
        records.filter_map(|record| self.replay.space.index(&record.settings)).collect()
    }

    /// How many of the trials that are wanted there are.
    fn count(&self) -> usize {
        if self.replay.space.grid { self.used().len() } else { self.replay.records.len() }
    }

    /// Whether there is a trial to hand out.
    fn has_work(&self, trials: usize) -> bool {
        let waits = |record: &TrialRecord| record.state == TrialState::Waiting && self.takes(record);
        self.count() < trials || self.replay.records.iter().any(|record| waits(record) || self.is_lost(record))
    }

    /// A trial whose worker has ended, one that waits, or a new one.
    fn hand_out(&mut self, trials: usize, seed: u64, guard: &Guard) -> Result<Option<(usize, Arc<()>)>, Refusal> {
        let too_often = |record: &&TrialRecord| record.losses >= self.retries && self.is_lost(record);
        let given_up: Vec<Operation> = (self.replay.records.iter().filter(too_often))
            .flat_map(|record| {
                let reason = format!("its worker ended {} times without a result", record.losses + 1);
                Replay::failure(record, &reason, 0.0, now())
            })
            .collect();
        if !given_up.is_empty() {
            self.write(&given_up, guard)?;
        }
        let records = &self.replay.records;
        let lost = records.iter().find(|record| self.is_lost(record));
        let waits = |record: &&TrialRecord| record.state == TrialState::Waiting && self.takes(record);
        let there = lost.or_else(|| records.iter().find(waits));
        let worker = self.storage.worker();
        let number = there.map_or(records.len() + 1, |record| record.number);
        let given = there.map(|record| self.replay.given(record)).unwrap_or_default();
        if there.is_none() && self.count() >= trials {
            return Ok(None);
        }
        let used = if self.replay.space.grid { self.used() } else { HashSet::new() };
        let settings = self.settings(given, &used, mix(seed, number as u64 - 1));
        let operations = match there {
            Some(record) => self.replay.again(record, &settings, worker, now()),
            None => vec![self.replay.new_trial(&settings, worker, now())],
        };
        let is_new = there.is_none();
        self.write(&operations, guard)?;
        // Workers of Optuna may have begun some meanwhile, without a server's lock.
        let own = |record: &&TrialRecord| record.state == TrialState::Running && record.worker == Some(worker);
        let number = match is_new {
            true => self.replay.records.iter().rfind(own).map_or(number, |record| record.number),
            false => number,
        };
        let token = Arc::new(());
        let record = &mut self.replay.records[number - 1];
        // At a server those of an earlier attempt stay.
        record.reports.clear();
        self.storage.hold(record, &token);
        self.held.insert(number, Arc::downgrade(&token));
        Ok(Some((number, token)))
    }

    /// What to try next with the settings that are given; `used`: a grid's combinations that a trial has.
    fn settings(
        &self,
        given: BTreeMap<String, Setting>,
        used: &HashSet<usize>,
        seed: u64,
    ) -> BTreeMap<String, Setting> {
        let space = &self.replay.space;
        if given.len() == space.parameters.len() {
            return given;
        }
        let mut settings = match space.combinations() {
            None => suggest(space, self.replay.known(), |value| self.cost(value), seed),
            Some(all) => {
                let fits = |index: &usize| {
                    let combination = space.combination(*index);
                    given.iter().all(|(name, setting)| combination.get(name) == Some(setting))
                };
                let next = (0..all).find(|index| !used.contains(index) && fits(index)).or_else(|| (0..all).find(fits));
                space.combination(next.unwrap_or_default())
            }
        };
        settings.extend(given);
        settings
    }

    /// Whether a trial runs nowhere, though it has not ended.
    fn is_lost(&self, record: &TrialRecord) -> bool {
        match record.worker {
            None => false,
            _ if record.state != TrialState::Running => false,
            Some(worker) if self.storage.worker() != worker => self.storage.has_ended(record, worker),
            _ => self.held.get(&record.number).is_none_or(|token| token.strong_count() == 0),
        }
    }

    /// Records a value at an epoch; returns whether the trial should be pruned.
    pub(super) fn report(&mut self, trial: usize, epoch: usize, value: f64) -> Result<bool> {
        self.together(false, |shared, guard| {
            let record = shared.here(trial)?;
            let last = record.reports.last().map_or(0, |report| report.0);
            if epoch <= last {
                return Err(wrong(format!("trial {trial}, report"), format!("an epoch above {last}"), epoch).into());
            }
            let (trial_id, intermediate_value) = (record.id, Number(value));
            shared.write(&[Operation::Report { trial_id, step: epoch, intermediate_value }], guard)?;
            let (replay, record) = (&shared.replay, &shared.replay.records[trial - 1]);
            let prunes = || shared.pruner.should_prune(record, replay.known(), |value| shared.cost(value));
            Ok(!replay.space.grid && prunes())
        })
    }
}

fn is_held(held: &HashMap<usize, Weak<()>>, index: usize) -> bool {
    held.get(&(index + 1)).is_some_and(|token| token.strong_count() > 0)
}

fn now() -> String {
    dates::text(SystemTime::now())
}

/// No event is left half applied by a panic elsewhere.
pub(super) fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    #[test]
    fn what_another_worker_disturbs_is_tried_again_a_few_times() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("study.log");
        let study = Study::minimize(Space::new().float("x", 0.0, 1.0)).unwrap().progress_every(0);
        let study = study.optuna(&path, "digits").unwrap();
        let take_the_lock = || fs::remove_file(folder.path().join("study.log.lock")).unwrap();
        let write_without = || {
            let mut file = fs::File::options().append(true).open(&path).unwrap();
            file.write_all(b"{\"op_code\":10,\"worker_id\":\"w\"}\n").unwrap();
        };
        let disturbances: [(&dyn Fn(), &str); 2] = [
            (&take_the_lock, "expected the journal's lock, got none: another worker took it away"),
            (&write_without, "as it was read under the lock, got "),
        ];
        let mut trials = 0;
        for (disturb, message) in disturbances {
            for (times, attempts) in [(1, 2), (ATTEMPTS - 1, ATTEMPTS), (ATTEMPTS, ATTEMPTS)] {
                let mut calls = 0;
                let result = locked(&study.shared).together(true, |shared, guard| {
                    calls += 1;
                    if calls <= times {
                        disturb();
                    }
                    shared.hand_out(100, 0, guard)
                });
                assert_eq!(calls, attempts);
                match result {
                    Ok(handed_out) => {
                        // The trial before was dropped at once: it comes again.
                        assert_eq!(handed_out.unwrap().0, 1);
                        trials = 1;
                    }
                    Err(error) => {
                        let error = error.to_string();
                        assert!(times == ATTEMPTS && error.contains(message), "{error}");
                        assert!(error.contains("Nothing was written in 5 attempts"), "{error}");
                    }
                }
            }
        }
        assert_eq!((trials, study.records().len()), (1, 1));
        let again = Study::open(&path, "digits").unwrap();
        assert_eq!(again.records(), study.records());
        // Of four attempts that succeeded the first began the trial, the others took it over.
        assert_eq!(again.records()[0].losses, 3);
    }
}
