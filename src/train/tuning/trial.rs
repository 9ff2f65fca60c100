use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::operation::Attributes;
use super::space::{Setting, short, wrong};
use super::study::Shared;
use crate::{
    channel::Stoppable,
    error::{Error, Result},
    format::cell,
};

/// The settings to try next, handed out by [`Study::ask`](crate::Study::ask) and returned to
/// [`Study::tell`](crate::Study::tell). If it is dropped before (the training failed, the kernel was stopped), it is
/// handed out again.
pub struct Trial {
    pub(super) shared: Arc<Mutex<Shared>>,
    pub(super) number: usize,
    pub(super) settings: BTreeMap<String, Setting>,
    /// Whether the study would prune it, as of its last report.
    pub(super) pruned: Arc<AtomicBool>,
    pub(super) started: Instant,
    /// Dropped together with the trial, which is lost then.
    pub(super) _token: Arc<()>,
    pub(super) _stoppable: Stoppable,
}

impl Trial {
    /// Its number, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// All its settings by name.
    pub fn settings(&self) -> &BTreeMap<String, Setting> {
        &self.settings
    }

    /// Reports a value after an epoch (from 1); returns whether the trial should be pruned, by the study's
    /// [`pruner`](crate::Study::pruner): by default, whether its best value so far is worse than the median of the
    /// complete trials at the same epoch, once five are complete. Never in a grid.
    ///
    /// # Errors
    /// When the epoch is not above the last one reported, or the journal cannot be read or written.
    pub fn report(&self, epoch: usize, value: f64) -> Result<bool> {
        self.link().report(epoch, value)
    }

    /// What a training needs of the trial.
    pub(crate) fn link(&self) -> TrialLink {
        TrialLink { shared: self.shared.clone(), number: self.number, pruned: self.pruned.clone() }
    }
}

/// A trial's settings by name.
macro_rules! by_name {
    ($($type:ty),+) => {$(
        impl $type {
            /// A number among its settings.
            ///
            /// # Errors
            /// When the space has no such parameter, or it is a text.
            pub fn float(&self, name: &str) -> Result<f64> {
                match setting(self.number, &self.settings, name)? {
                    Setting::Float(number) => Ok(*number),
                    Setting::Integer(number) => Ok(*number as f64),
                    Setting::Text(text) => Err(unlike(self.number, name, "a number", text)),
                }
            }

            /// A whole number among its settings.
            ///
            /// # Errors
            /// When the space has no such parameter, or it is not a whole number.
            pub fn integer(&self, name: &str) -> Result<usize> {
                match setting(self.number, &self.settings, name)? {
                    Setting::Integer(number) => Ok(*number),
                    other => Err(unlike(self.number, name, "a whole number", other)),
                }
            }

            /// A text among its settings.
            ///
            /// # Errors
            /// When the space has no such parameter, or it is a number.
            pub fn text(&self, name: &str) -> Result<&str> {
                match setting(self.number, &self.settings, name)? {
                    Setting::Text(text) => Ok(text),
                    other => Err(unlike(self.number, name, "a text", other)),
                }
            }
        }
    )+};
}
by_name!(Trial, TrialRecord);

fn setting<'a>(trial: usize, settings: &'a BTreeMap<String, Setting>, name: &str) -> Result<&'a Setting> {
    settings.get(name).ok_or_else(|| {
        let names: Vec<&str> = settings.keys().map(String::as_str).collect();
        wrong(format!("trial {trial}"), format!("a parameter of {}", names.join(", ")), format!("{name:?}"))
    })
}

fn unlike(trial: usize, name: &str, expected: &str, got: &impl ToString) -> Error {
    wrong(format!("trial {trial}, {name:?}"), expected, cell(&got.to_string()))
}

/// A trial as a training uses it, without keeping it alive.
#[derive(Clone)]
pub(crate) struct TrialLink {
    shared: Arc<Mutex<Shared>>,
    number: usize,
    pruned: Arc<AtomicBool>,
}

impl TrialLink {
    /// Whether its study looks for the highest value.
    pub fn maximizes(&self) -> bool {
        super::study::locked(&self.shared).replay.maximize
    }

    /// [`Trial::report`].
    pub fn report(&self, epoch: usize, value: f64) -> Result<bool> {
        let pruned = super::study::locked(&self.shared).report(self.number, epoch, value)?;
        self.pruned.store(pruned, Ordering::Relaxed);
        Ok(pruned)
    }
}

impl fmt::Debug for TrialLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trial {}", self.number)
    }
}

/// A trial and its results so far.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrialRecord {
    /// Its number, from 1.
    pub number: usize,
    /// Its settings by name.
    pub settings: BTreeMap<String, Setting>,
    /// How it ended.
    pub state: TrialState,
    /// The value told at its end; `None` while it runs, and if it failed.
    pub value: Option<f64>,
    /// The reports: epoch and value; `None` for NaN or infinite ones.
    pub reports: Vec<(usize, Option<f64>)>,
    /// Why it failed, if that is known: as [`Study::fail`](crate::Study::fail) was told, or a worker of Optuna in the
    /// trial's user attribute `fail_reason`.
    pub failure: Option<String>,
    /// How long it took, in seconds; 0 while it runs.
    pub seconds: f64,
    /// Its number in the journal, which may hold several studies.
    pub(super) id: usize,
    /// The worker of this library that has it; `None` if it is one of Optuna's.
    pub(super) worker: Option<usize>,
    /// How often a worker of this library ended without telling its result.
    pub(super) losses: usize,
    /// When it began, in seconds since 1970.
    pub(super) started: Option<f64>,
    /// The settings that it was enqueued with.
    pub(super) fixed: Attributes,
}

impl TrialRecord {
    /// A trial that has just begun.
    pub(super) fn new(number: usize, id: usize, settings: BTreeMap<String, Setting>) -> Self {
        Self {
            number,
            settings,
            state: TrialState::Running,
            value: None,
            reports: Vec::new(),
            failure: None,
            seconds: 0.0,
            id,
            worker: None,
            losses: 0,
            started: None,
            fixed: Attributes::new(),
        }
    }
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrialState {
    /// Enqueued by one of Optuna's workers, and not begun.
    Waiting,
    /// Not yet.
    Running,
    /// With a value.
    Complete,
    /// Early, because it was worse than others at the same epoch.
    Pruned,
    /// With NaN or infinity, or without a value.
    Failed,
}

impl fmt::Display for TrialState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Complete => "complete",
            Self::Pruned => "pruned",
            Self::Failed => "failed",
        })
    }
}

impl fmt::Display for TrialRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "trial {} ({}", self.number, self.state)?;
        if let Some(value) = self.value {
            write!(f, ", {}", short(value))?;
        }
        let settings: Vec<String> = self
            .settings
            .iter()
            .map(|(name, setting)| format!("{} {}", cell(name), cell(&setting.to_string())))
            .collect();
        write!(f, "): {}", settings.join(", "))
    }
}
