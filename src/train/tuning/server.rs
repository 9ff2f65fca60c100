//! A study at Optuna's gRPC server, which has a database behind it: hundreds of workers on many machines.
//!
//! Optuna's storage makes one call at a time whole, not several: a worker of ours that hands out a trial has a lock
//! meanwhile, so that a study gets as many trials as it should, and each its own settings. The lock is a trial that
//! waits in a study beside this one: of all that begin it, the server lets one. Should it fail, nothing is lost: a new
//! trial, the beginning of a waiting one and the end of one are a single call each.
//!
//! A call whose answer is lost may have been carried out: before it is repeated, the server is asked.

use std::{
    collections::BTreeMap,
    sync::Weak,
    thread,
    time::{Duration, Instant, SystemTime},
};

use rand::Rng;
use serde_json::Value;

use super::dates;
use super::grpc::{Client, Code, Failure, Limits};
use super::journal::Refusal;
use super::lines::quoted;
use super::messages::{
    Attribute, CreateNewStudy, CreateNewTrial, Directions, GetTrials, Id, Name, Nothing, OneTrial,
    SetTrialIntermediateValue, SetTrialParameter, SetTrialStateValues, StudyAttributes, TrialMessage, Trials, Updated,
};
use super::operation::{Attributes, Distribution, NewTrial, Number, Operation};
use super::owner::{OWNER, Owner};
use super::replay::{FAIL_REASON, Replay, SPACE, WORKER};
use super::space::{Space, wrong};
use super::study::locked;
use crate::error::{Error, ErrorKind, Result};

/// After this time the server's clock is looked at again: it may have been set to summer time.
const CLOCK: Duration = Duration::from_secs(600);
/// How exactly it is known, in seconds.
const TOLERANCE: f64 = 1.0;

const RUNNING: i32 = 0;
const FAILED: i32 = 3;
const WAITING: i32 = 4;

pub(super) struct Server {
    client: Client,
    name: String,
    study: Option<i64>,
    /// The trials in their order in the study.
    trials: Vec<Known>,
    /// This worker's number: at random, no other has it.
    pub(super) worker: usize,
    /// The study of the lock, and the trial in it that is the lock.
    lock: Option<(i64, i64)>,
    /// Since when this worker has the lock.
    locked: Option<Instant>,
    /// How much the server's clock is ahead, in seconds (most of all its time zone), and when that was seen.
    clock: Option<(f64, Instant)>,
    /// The outages before the last reading.
    outages: usize,
}

/// What was last seen of a trial.
struct Known {
    id: i64,
    state: i32,
    /// When it was begun, as the server says it.
    since: String,
    /// The mark of its owner, and since when it has been the same.
    mark: Option<String>,
    seen: Instant,
}

impl Server {
    pub(super) fn open(address: &str, name: &str, limits: Limits) -> Result<Self> {
        let client = Client::new(address, limits)?;
        // Python reads it as a whole number, JavaScript as a number of double precision.
        let worker = rand::thread_rng().gen_range(0..1usize << 53);
        let (study, trials, lock, locked, clock) = (None, Vec::new(), None, None, None);
        Ok(Self { client, name: name.into(), study, trials, worker, lock, locked, clock, outages: 0 })
    }

    /// Whether a study is maximized, and its space.
    pub(super) fn space_of(address: &str, name: &str) -> Result<(bool, Space)> {
        let mut server = Self::open(address, name, Limits::USUAL)?;
        let expected = |what: &str, got: &str| {
            Error::expected(ErrorKind::Data, format!("grpc://{address}"), format!("{what} of the name {name:?}"), got)
        };
        let found = server.find().map_err(|refusal| refusal.into_error())?;
        let (maximize, space) = found.ok_or_else(|| expected("a study", "a server without it"))?;
        let without =
            || expected("a study with a space", "one that only workers of Optuna have used").hint("Name its space");
        let space = space.and_then(|space| serde_json::from_value(space).ok());
        Ok((maximize, space.ok_or_else(without)?))
    }

    fn refusal(&self, failure: Failure) -> Refusal {
        let old =
            matches!(failure, Failure::Refused(Code::NotFound | Code::AlreadyExists | Code::FailedPrecondition, _));
        let error = self.client.error(failure);
        if old { Refusal::Disturbed(error) } else { Refusal::Failed(error) }
    }

    /// A call that may be carried out twice.
    fn call<R: prost::Message + Default>(
        &self,
        method: &'static str,
        call: &impl prost::Message,
    ) -> Result<R, Refusal> {
        self.client.call(method, call).map_err(|failure| self.refusal(failure))
    }

    fn study_id(&self, name: &str) -> Result<Option<i64>, Refusal> {
        match self.client.call::<Id>("GetStudyIdFromName", &Name { name: name.into() }) {
            Ok(found) => Ok(Some(found.id)),
            Err(Failure::Refused(Code::NotFound, _)) => Ok(None),
            Err(failure) => Err(self.refusal(failure)),
        }
    }

    /// Whether the study is maximized, and its space, if the server has it.
    fn find(&mut self) -> Result<Option<(bool, Option<Value>)>, Refusal> {
        let Some(id) = self.study_id(&self.name)? else { return Ok(None) };
        let directions = self.call::<Directions>("GetStudyDirections", &Id { id })?.directions;
        if directions.len() != 1 {
            let expected = "a study with one objective";
            return Err(self.data(expected, directions.len()).into());
        }
        let attributes = self.call::<StudyAttributes>("GetStudySystemAttributes", &Id { id })?.attributes;
        self.study = Some(id);
        Ok(Some((directions == [1], attributes.get(SPACE).map(|space| parsed(space)))))
    }

    fn data(&self, expected: &str, got: impl std::fmt::Display) -> Error {
        Error::expected(ErrorKind::Data, format!("{}, study {:?}", self.client.address, self.name), expected, got)
    }

    /// Waits for the lock.
    pub(super) fn lock(&mut self) -> Result<(), Refusal> {
        let limits = self.client.limits;
        let (start, outages) = (Instant::now(), self.client.outages());
        let mut pause = Duration::from_millis(2);
        // When the holder began, as the server says it, since when it has been the same one, and when that was asked.
        let mut holder: Option<(String, Instant)> = None;
        let mut asked = Instant::now();
        loop {
            let (_, trial_id) = self.lock_trial()?;
            let claim = SetTrialStateValues { trial_id, state: RUNNING, values: Vec::new() };
            match self.client.repeat(|asked_before| match asked_before {
                // It may be ours by now, which nobody can tell: see below.
                true => Ok(Updated { trial_updated: false }),
                false => self.client.once::<Updated>("SetTrialStateValues", &claim),
            }) {
                Ok(Updated { trial_updated: true }) => {
                    self.locked = Some(Instant::now());
                    return self.set_clock(trial_id).inspect_err(|_| self.unlock());
                }
                Ok(_) => {}
                // Another took it from one that had it too long, or deleted its study.
                Err(Failure::Refused(Code::FailedPrecondition | Code::NotFound, _)) => self.lock = None,
                Err(failure) => return Err(self.refusal(failure)),
            }
            if self.lock.is_some() && asked.elapsed() > limits.silence / 60 {
                asked = Instant::now();
                let now = self.call::<OneTrial>("GetTrial", &Id { id: trial_id })?.trial.unwrap_or_default();
                let same = holder.filter(|(before, _)| now.state == RUNNING && *before == now.datetime_start);
                let since = same.map_or_else(Instant::now, |(_, since)| since);
                // After an outage it may be this worker, or another, that began it, and whose answer was lost.
                let patience = limits.silence / if self.client.outages() > outages { 4 } else { 2 };
                if now.state == RUNNING && since.elapsed() > patience {
                    let broken = SetTrialStateValues { trial_id, state: FAILED, values: Vec::new() };
                    let _ = self.client.once::<Updated>("SetTrialStateValues", &broken);
                    self.lock = None;
                }
                holder = Some((now.datetime_start, since));
            }
            if start.elapsed() > limits.later {
                let expected = format!("the study's lock within {:?}", limits.later);
                return Err(self.data(&expected, "none").hint("Too many workers may wait for it").into());
            }
            thread::sleep(pause + Duration::from_micros(rand::thread_rng().gen_range(0..2000)));
            pause = (pause * 2).min(Duration::from_millis(60));
        }
    }

    /// The trial that is the lock: the first that has not ended, in a study of its own.
    fn lock_trial(&mut self) -> Result<(i64, i64), Refusal> {
        if let Some(lock) = self.lock {
            return Ok(lock);
        }
        let name = format!("latentlab:lock:{}", self.name);
        loop {
            let study_id = match self.study_id(&name)? {
                Some(there) => there,
                None => {
                    let call = CreateNewStudy { directions: vec![0], study_name: name.clone() };
                    match self.client.call::<Id>("CreateNewStudy", &call) {
                        Ok(made) => made.id,
                        Err(Failure::Refused(Code::AlreadyExists, _)) => continue,
                        Err(failure) => return Err(self.refusal(failure)),
                    }
                }
            };
            let call = GetTrials { study_id, included_trial_ids: Vec::new(), trial_id_greater_than: -1 };
            let trials = self.call::<Trials>("GetTrials", &call)?.trials;
            let open = trials.iter().filter(|trial| [RUNNING, WAITING].contains(&trial.state));
            if let Some(first) = open.min_by_key(|trial| trial.number) {
                return Ok(*self.lock.insert((study_id, first.trial_id)));
            }
            // Of several the first counts: the others are for later.
            let template = TrialMessage { state: WAITING, ..TrialMessage::default() };
            self.call::<Id>("CreateNewTrial", &CreateNewTrial::of(study_id, template))?;
        }
    }

    /// What the server's clock says, by the lock that it has just given.
    fn set_clock(&mut self, lock: i64) -> Result<(), Refusal> {
        if self.clock.is_none_or(|(_, seen)| seen.elapsed() > CLOCK) {
            let trial = self.call::<OneTrial>("GetTrial", &Id { id: lock })?.trial.unwrap_or_default();
            let ours = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
            self.clock = dates::seconds(&trial.datetime_start).map(|theirs| (theirs - ours, Instant::now()));
        }
        Ok(())
    }

    pub(super) fn unlock(&mut self) {
        if let (Some((_, trial_id)), Some(_)) = (self.lock, self.locked.take()) {
            let waits = SetTrialStateValues { trial_id, state: WAITING, values: Vec::new() };
            // If this fails, others take the lock after a time.
            let _ = self.client.once::<Updated>("SetTrialStateValues", &waits);
        }
    }

    /// Reads what is new. `is_held`: whether this process works on a trial. Only it writes reports then; those of an
    /// earlier attempt stay at the server, but do not count.
    pub(super) fn read(&mut self, study: &mut Replay, is_held: impl Fn(usize) -> bool) -> Result<(), Refusal> {
        if self.study.is_none() {
            let Some((maximize, space)) = self.find()? else { return Ok(()) };
            if maximize != study.maximize || space.as_ref().is_some_and(|space| !study.has(space)) {
                let error = self.data("the space and the direction that the study has there", "another");
                return Err(error.hint("Name another study, or delete that one to start again").into());
            }
            let directions = vec![1 + u8::from(maximize)];
            study.apply(&Operation::CreateStudy { study_name: self.name.clone(), directions }, false)?;
            if let Some(space) = space {
                let system_attr = Attributes::from_iter([(SPACE.into(), space)]);
                study.apply(&Operation::StudyAttribute { study_id: 0, system_attr }, false)?;
            }
        }
        let Some(study_id) = self.study else { return Ok(()) };
        let open = |known: &&Known| [RUNNING, WAITING].contains(&known.state);
        let included_trial_ids = self.trials.iter().filter(open).map(|known| known.id).collect();
        let trial_id_greater_than = self.last();
        let call = GetTrials { study_id, included_trial_ids, trial_id_greater_than };
        let mut trials = match self.client.call::<Trials>("GetTrials", &call) {
            Ok(found) => found.trials,
            Err(Failure::Refused(Code::NotFound, _)) => {
                let error = self.data("the study, which other workers share", "its deletion by one of them");
                return Err(error.hint("Open it again to begin anew").into());
            }
            Err(failure) => return Err(self.refusal(failure)),
        };
        if self.outages != self.client.outages() {
            // The others could not write either.
            self.outages = self.client.outages();
            self.trials.iter_mut().for_each(|known| known.seen = Instant::now());
        }
        trials.sort_by_key(|trial| trial.number);
        for trial in trials {
            self.see(&trial, study, &is_held)?;
        }
        Ok(())
    }

    fn see(&mut self, trial: &TrialMessage, study: &mut Replay, is_held: &impl Fn(usize) -> bool) -> Result<()> {
        let index = trial.number as usize;
        if index > self.trials.len() || self.trials.get(index).is_some_and(|known| known.id != trial.trial_id) {
            return Err(self.data(&format!("trial {} next", self.trials.len()), trial.number));
        }
        let place = || format!("{}, study {:?}, trial {index}", self.client.address, self.name);
        let new = new_trial(trial).map_err(|error| error.within(&place()))?;
        let owner = Owner::of(trial).filter(|_| trial.state == RUNNING);
        let failure = trial.user_attributes.get(FAIL_REASON).and_then(|text| Some(parsed(text).as_str()?.to_owned()));
        let put = study.put(index, &new, owner.map(|owner| owner.worker), failure, is_held(index));
        put.map_err(|error| error.within(&place()))?;
        let mark = trial.system_attributes.get(OWNER).cloned();
        let (id, state, since) = (trial.trial_id, trial.state, trial.datetime_start.clone());
        match self.trials.get_mut(index) {
            Some(known) => {
                if (&known.mark, known.state, &known.since) != (&mark, state, &since) {
                    (known.mark, known.seen) = (mark, Instant::now());
                }
                (known.state, known.since) = (state, since);
            }
            None => self.trials.push(Known { id, state, since, mark, seen: Instant::now() }),
        }
        Ok(())
    }

    fn last(&self) -> i64 {
        self.trials.last().map_or(-1, |known| known.id)
    }

    /// Whether the worker of a trial has ended: for a time there was no sign of it.
    pub(super) fn has_ended(&self, index: usize) -> bool {
        self.trials.get(index).is_some_and(|known| known.seen.elapsed() > self.client.limits.silence)
    }

    /// Gives signs of life for a trial as long as somebody has it.
    pub(super) fn hold(&self, index: usize, token: Weak<()>) {
        if let Some(known) = self.trials.get(index) {
            let owner = Owner { worker: self.worker, beat: 0, since: Some(known.since.clone()) };
            locked(&self.client.held).add(known.id, token, owner);
        }
    }

    /// Writes operations; returns whether the study must be read for their effect. After a failure some of them may
    /// have been written, which the next reading shows.
    pub(super) fn append(&mut self, operations: &[Operation]) -> Result<bool, Refusal> {
        let mut must_read = false;
        for operation in operations {
            match operation {
                Operation::CreateStudy { study_name, directions } => {
                    let directions = directions.iter().map(|direction| i32::from(*direction) - 1).collect();
                    let call = CreateNewStudy { directions, study_name: study_name.clone() };
                    // Also if an answer was lost it is there, and read again.
                    self.study = Some(self.call::<Id>("CreateNewStudy", &call)?.id);
                }
                Operation::StudyAttribute { system_attr, .. } => {
                    for (key, value) in system_attr {
                        let (id, key, value) = (self.study.unwrap_or(-1), key.clone(), value.to_string());
                        self.call::<Nothing>("SetStudySystemAttribute", &Attribute { id, key, value })?;
                    }
                }
                Operation::CreateTrial(trial) => {
                    self.create(trial)?;
                    must_read = true;
                }
                Operation::Attribute { trial_id, system_attr } => {
                    for (key, value) in system_attr {
                        let id = self.id(*trial_id);
                        let call = match key == WORKER {
                            true => self.mark(*trial_id)?,
                            false => Attribute { id, key: key.clone(), value: value.to_string() },
                        };
                        self.call::<Nothing>("SetTrialSystemAttribute", &call)?;
                    }
                }
                Operation::UserAttribute { trial_id, user_attr } => {
                    for (key, value) in user_attr {
                        let (id, key, value) = (self.id(*trial_id), key.clone(), value.to_string());
                        self.call::<Nothing>("SetTrialUserAttribute", &Attribute { id, key, value })?;
                    }
                }
                Operation::State { trial_id, state: 0, .. } => {
                    self.begin(*trial_id)?;
                    must_read = true;
                }
                Operation::State { trial_id, state, values, .. } => {
                    let values = values.iter().flatten().map(|value| value.0).collect();
                    self.end(*trial_id, i32::from(*state), values)?;
                }
                Operation::Parameter { trial_id, param_name, param_value_internal, distribution } => {
                    let (trial_id, param_name) = (self.id(*trial_id), param_name.clone());
                    let (param_value_internal, distribution) = (param_value_internal.0, distribution.clone().into());
                    self.parameter(&SetTrialParameter { trial_id, param_name, param_value_internal, distribution })?;
                }
                Operation::Report { trial_id, step, intermediate_value } => {
                    let (trial_id, step, intermediate_value) = (self.id(*trial_id), *step as i64, intermediate_value.0);
                    let call = SetTrialIntermediateValue { trial_id, step, intermediate_value };
                    self.call::<Nothing>("SetTrialIntermediateValue", &call)?;
                }
                Operation::DeleteStudy { .. } | Operation::StudyUserAttribute { .. } | Operation::Discard {} => {}
            }
        }
        Ok(must_read)
    }

    fn id(&self, index: usize) -> i64 {
        self.trials.get(index).map_or(-1, |known| known.id)
    }

    fn trial(&self, id: i64) -> Result<TrialMessage, Failure> {
        let answer = self.client.once::<OneTrial>("GetTrial", &Id { id })?;
        answer.trial.ok_or_else(|| Failure::Foreign("GetTrial answers no trial".into()))
    }

    /// A lock that was kept for long may be another's by now.
    fn still_locked(&self) -> Result<(), Refusal> {
        match self.locked {
            Some(since) if since.elapsed() < self.client.limits.silence / 3 => Ok(()),
            _ => Err(Refusal::Disturbed(self.data("the study's lock", "one that others may have taken meanwhile"))),
        }
    }

    /// Makes this worker the owner of a trial. If the trial waits, its beginning is known only later.
    fn mark(&self, index: usize) -> Result<Attribute, Refusal> {
        self.still_locked()?;
        let known = self.trials.get(index).filter(|known| known.state == RUNNING);
        let owner = Owner { worker: self.worker, beat: 0, since: known.map(|known| known.since.clone()) };
        Ok(Attribute { id: self.id(index), key: OWNER.into(), value: owner.text() })
    }

    /// A new trial, once, whatever becomes of the answers.
    fn create(&mut self, trial: &NewTrial) -> Result<(), Refusal> {
        self.still_locked()?;
        let owner = Owner { worker: self.worker, beat: 0, since: None };
        let mut system_attributes = texts(&trial.system_attrs);
        system_attributes.remove(WORKER);
        system_attributes.insert(OWNER.into(), owner.text());
        let study_id = self.study.unwrap_or(-1);
        let template = TrialMessage {
            state: RUNNING,
            datetime_start: self.now(0.0),
            params: trial.params.iter().map(|(name, value)| (name.clone(), value.0)).collect(),
            distributions: (trial.distributions.iter())
                .map(|(name, distribution)| (name.clone(), distribution.clone().into()))
                .collect(),
            system_attributes,
            ..TrialMessage::default()
        };
        let call = CreateNewTrial::of(study_id, template);
        let after = GetTrials { study_id, included_trial_ids: Vec::new(), trial_id_greater_than: self.last() };
        let pause = self.client.limits.later / 480;
        let made = self.client.repeat(|asked_before| {
            // The server may be at it still, if it was only the connection that broke.
            for look in 0..if asked_before { 4 } else { 0 } {
                thread::sleep(pause * look);
                let trials = self.client.once::<Trials>("GetTrials", &after)?.trials;
                let ours = |trial: &TrialMessage| Owner::of(trial).is_some_and(|owner| owner.worker == self.worker);
                if trials.iter().any(ours) {
                    return Ok(());
                }
            }
            self.client.once::<Id>("CreateNewTrial", &call).map(drop)
        });
        made.map_err(|failure| self.refusal(failure))
    }

    /// Now or a little later, by the server's clock on the wall.
    fn now(&self, later: f64) -> String {
        let (ahead, now) = (later + self.clock.map_or(0.0, |(ahead, _)| ahead), SystemTime::now());
        let by = Duration::try_from_secs_f64(ahead.abs()).unwrap_or_default();
        let there = if ahead < 0.0 { now.checked_sub(by) } else { now.checked_add(by) };
        dates::text(there.unwrap_or(now)).replace('T', " ").replace("+00:00", "")
    }

    /// Begins a trial that waits, and that has our mark, unless another does.
    fn begin(&self, index: usize) -> Result<(), Refusal> {
        let trial_id = self.id(index);
        let call = SetTrialStateValues { trial_id, state: RUNNING, values: Vec::new() };
        let mut broken = None;
        let begun = self.client.repeat(|asked_before| {
            if asked_before {
                let now = self.trial(trial_id)?;
                if now.state != WAITING {
                    // Not later than it was noticed that the answer is lost: it was us.
                    return Ok(
                        now.state == RUNNING && broken.as_ref().is_none_or(|broken| now.datetime_start <= *broken)
                    );
                }
            }
            let answer = self.client.once::<Updated>("SetTrialStateValues", &call);
            broken = Some(self.now(TOLERANCE));
            Ok(answer?.trial_updated)
        });
        if begun.map_err(|failure| self.refusal(failure))? {
            return Ok(());
        }
        // A worker of Optuna: it must not look like ours.
        let call = Attribute { id: trial_id, key: OWNER.into(), value: "null".into() };
        self.call::<Nothing>("SetTrialSystemAttribute", &call)?;
        Err(Refusal::Disturbed(self.data("a trial that waits", "one that another worker has begun")))
    }

    /// Ends a trial, or lets it wait.
    fn end(&self, index: usize, state: i32, values: Vec<f64>) -> Result<(), Refusal> {
        let (id, since) = (self.id(index), self.trials.get(index).map(|known| known.since.clone()));
        // No sign of life may come later.
        locked(&self.client.held).remove(id);
        if state == WAITING {
            // A worker of Optuna that begins it leaves this mark, which is not for its time.
            let owner = Owner { worker: self.worker, beat: 0, since: since.clone() };
            let call = Attribute { id, key: OWNER.into(), value: owner.text() };
            self.call::<Nothing>("SetTrialSystemAttribute", &call)?;
        }
        let call = SetTrialStateValues { trial_id: id, state, values: values.clone() };
        let ended = self.client.repeat(|asked_before| {
            if asked_before {
                let now = self.trial(id)?;
                let begun_again = state == WAITING && Some(now.datetime_start) != since;
                if begun_again || (now.state == state && (state == WAITING || now.values == values)) {
                    return Ok(());
                }
            }
            self.client.once::<Updated>("SetTrialStateValues", &call).map(drop)
        });
        ended.map_err(|failure| self.refusal(failure))
    }

    fn parameter(&self, call: &SetTrialParameter) -> Result<(), Refusal> {
        match self.client.call::<Nothing>("SetTrialParameter", call) {
            // A server that was started anew knows a trial only after it has read its study.
            Err(Failure::Refused(Code::NotFound, _)) => {
                let study_id = self.study.unwrap_or(-1);
                let read = GetTrials { study_id, included_trial_ids: Vec::new(), trial_id_greater_than: i64::MAX };
                self.call::<Trials>("GetTrials", &read)?;
                self.call::<Nothing>("SetTrialParameter", call).map(drop)
            }
            done => done.map(drop).map_err(|failure| self.refusal(failure)),
        }
    }
}

/// A trial as a journal has it.
fn new_trial(trial: &TrialMessage) -> Result<NewTrial> {
    let distribution = |(name, text): (&String, &String)| {
        let distribution = Distribution::try_from(text.clone());
        let error = |error| wrong(format!("distribution of {name:?}"), "one of Optuna's", error);
        Ok((name.clone(), distribution.map_err(error)?))
    };
    let date = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let attributes = trial.system_attributes.iter().filter(|(name, _)| ![OWNER, WORKER].contains(&name.as_str()));
    let reports = trial.intermediate_values.iter();
    Ok(NewTrial {
        study_id: 0,
        datetime_start: date(&trial.datetime_start),
        datetime_complete: date(&trial.datetime_complete),
        state: Some(u8::try_from(trial.state).unwrap_or(u8::MAX)),
        value: None,
        values: Some(trial.values.iter().copied().map(Number).collect()).filter(|values: &Vec<_>| !values.is_empty()),
        distributions: trial.distributions.iter().map(distribution).collect::<Result<_>>()?,
        params: trial.params.iter().map(|(name, value)| (name.clone(), Number(*value))).collect(),
        system_attrs: attributes.map(|(name, text)| (name.clone(), parsed(text))).collect(),
        intermediate_values: reports
            .filter_map(|(step, value)| Some((usize::try_from(*step).ok()?, Number(*value))))
            .collect(),
    })
}

/// Python's JSON; `null` for what is none.
fn parsed(text: &str) -> Value {
    serde_json::from_str(&quoted(text)).unwrap_or_default()
}

fn texts(attributes: &Attributes) -> BTreeMap<String, String> {
    attributes.iter().map(|(name, value)| (name.clone(), value.to_string())).collect()
}
