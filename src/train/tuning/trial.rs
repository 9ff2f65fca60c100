use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::space::{Setting, short, wrong};
use super::study::Shared;
use crate::{error::Result, format::cell, relay::Listening};

/// What to try next, handed out by [`Study::ask`](crate::Study::ask) and given back to [`Study::tell`](crate::Study::tell). Dropped
/// without that (the training failed, the kernel was stopped), it is handed out again.
pub struct Trial {
    pub(super) shared: Arc<Mutex<Shared>>,
    pub(super) number: usize,
    pub(super) settings: BTreeMap<String, Setting>,
    /// Whether the study would prune it, as of its last report.
    pub(super) pruned: Arc<AtomicBool>,
    pub(super) started: Instant,
    /// As long as it lives, so does the trial.
    pub(super) _token: Arc<()>,
    pub(super) _listening: Listening,
}

impl Trial {
    /// Its number, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// A number among its settings.
    ///
    /// # Errors
    /// When the space has no such parameter, or it is a text.
    pub fn float(&self, name: &str) -> Result<f64> {
        self.named().float(name)
    }

    /// A whole number among its settings.
    ///
    /// # Errors
    /// When the space has no such parameter, or it is not a whole number.
    pub fn integer(&self, name: &str) -> Result<usize> {
        self.named().integer(name)
    }

    /// A text among its settings.
    ///
    /// # Errors
    /// When the space has no such parameter, or it is a number.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.named().text(name)
    }

    fn named(&self) -> Named<'_> {
        Named { number: self.number, settings: &self.settings }
    }

    /// All its settings by name.
    pub fn settings(&self) -> &BTreeMap<String, Setting> {
        &self.settings
    }

    /// Notes what was reached after an epoch (from 1), and says whether the trial should be pruned: whether its best value so far
    /// is worse than the median of the finished trials at the same epoch, once five have finished (the median stopping rule of
    /// Golovin et al., "Google Vizier", KDD 2017). In a grid it never should.
    ///
    /// # Errors
    /// When the epoch is not above the last one reported, or the journal cannot be read or written.
    pub fn report(&self, epoch: usize, value: f64) -> Result<bool> {
        self.link().report(epoch, value)
    }

    /// What a training needs of it.
    pub(crate) fn link(&self) -> TrialLink {
        TrialLink { shared: self.shared.clone(), number: self.number, pruned: self.pruned.clone() }
    }
}

/// A trial's settings, to be asked for by name.
struct Named<'a> {
    number: usize,
    settings: &'a BTreeMap<String, Setting>,
}

impl<'a> Named<'a> {
    fn float(&self, name: &str) -> Result<f64> {
        match self.setting(name)? {
            Setting::Float(number) => Ok(*number),
            Setting::Integer(number) => Ok(*number as f64),
            other => Err(self.unlike(name, "a number", other)),
        }
    }

    fn integer(&self, name: &str) -> Result<usize> {
        match self.setting(name)? {
            Setting::Integer(number) => Ok(*number),
            other => Err(self.unlike(name, "a whole number", other)),
        }
    }

    fn text(&self, name: &str) -> Result<&'a str> {
        match self.setting(name)? {
            Setting::Text(text) => Ok(text),
            other => Err(self.unlike(name, "a text", other)),
        }
    }

    fn setting(&self, name: &str) -> Result<&'a Setting> {
        self.settings.get(name).ok_or_else(|| {
            let names: Vec<&str> = self.settings.keys().map(String::as_str).collect();
            wrong(format!("trial {}", self.number), format!("a parameter of {}", names.join(", ")), format!("{name:?}"))
        })
    }

    fn unlike(&self, name: &str, expected: &str, got: &Setting) -> crate::error::Error {
        wrong(format!("trial {}, {name:?}", self.number), expected, cell(&got.to_string()))
    }
}

/// A trial as a training sees it, which does not keep it alive.
#[derive(Clone)]
pub(crate) struct TrialLink {
    shared: Arc<Mutex<Shared>>,
    number: usize,
    pruned: Arc<AtomicBool>,
}

impl TrialLink {
    /// Whether its study looks for the highest value.
    pub fn maximizes(&self) -> bool {
        super::study::locked(&self.shared).maximize
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

/// What is known of a trial.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TrialRecord {
    /// Its number, from 1.
    pub number: usize,
    /// Its settings by name.
    pub settings: BTreeMap<String, Setting>,
    /// How it ended.
    pub state: TrialState,
    /// What was told at its end; `None` while it runs, and if it failed.
    pub value: Option<f64>,
    /// What was reported: epoch and value; `None` for NaN or infinite ones.
    pub reports: Vec<(usize, Option<f64>)>,
    /// How long it took, in seconds; 0 while it runs.
    pub seconds: f64,
    /// The worker that has it.
    pub(super) worker: usize,
}

impl TrialRecord {
    /// A number among its settings.
    ///
    /// # Errors
    /// When the space has no such parameter, or it is a text.
    pub fn float(&self, name: &str) -> Result<f64> {
        self.named().float(name)
    }

    /// A whole number among its settings.
    ///
    /// # Errors
    /// When the space has no such parameter, or it is not a whole number.
    pub fn integer(&self, name: &str) -> Result<usize> {
        self.named().integer(name)
    }

    /// A text among its settings.
    ///
    /// # Errors
    /// When the space has no such parameter, or it is a number.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.named().text(name)
    }

    fn named(&self) -> Named<'_> {
        Named { number: self.number, settings: &self.settings }
    }
}

/// How a trial ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TrialState {
    /// Not yet.
    Running,
    /// With a value.
    Complete,
    /// Early, because it was worse than others at the same epoch.
    Pruned,
    /// With NaN or infinity.
    Failed,
}

impl fmt::Display for TrialState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
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
