use std::{
    collections::{BTreeMap, HashSet},
    fmt,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::operation::{Distribution, Kind, Number, same};
use crate::{
    error::{Error, ErrorKind, Result},
    format::cell,
};

/// The hyper-parameters that a [`Study`](crate::Study) chooses, each with its range.
///
/// ```
/// use latentlab::Space;
///
/// let sampled = Space::new()
///     .float("learning_rate", 1e-4, 8e-3).log()
///     .integer("filters", 8, 16)
///     .choice("optimizer", ["adam", "radam"]);
///
/// // Report S1's grid: 2 × 2 × 3 = 12 runs, the last parameter changing fastest.
/// let grid = Space::new()
///     .choice("learning_rate", [0.001, 0.02])
///     .choice("weight_decay", [0.0001, 0.005])
///     .choice("latent_dim", [2, 10, 100])
///     .grid();
/// ```
///
/// A mistake in it is reported by [`Study::minimize`](crate::Study::minimize).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Space {
    pub(super) parameters: Vec<Parameter>,
    pub(super) grid: bool,
    /// Whether `log()` came before any parameter.
    #[serde(skip)]
    log_of_nothing: bool,
}

/// The value of one hyper-parameter in one trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Setting {
    /// A whole number.
    Integer(usize),
    /// A number.
    Float(f64),
    /// A name.
    Text(String),
}

/// More combinations than a grid search can run.
const MOST_COMBINATIONS: usize = 1_000_000;

/// Names appear in tables and figures.
const LONGEST_NAME: usize = 200;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Parameter {
    pub(super) name: String,
    pub(super) range: Range,
    log: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Range {
    Float(f64, f64),
    Integer(usize, usize),
    Choice(Vec<Setting>),
}

impl Space {
    /// A space without parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// A number between two others.
    pub fn float(self, name: impl Into<String>, low: f64, high: f64) -> Self {
        self.with(name.into(), Range::Float(low, high))
    }

    /// A whole number from `low` to `high`, both included.
    pub fn integer(self, name: impl Into<String>, low: usize, high: usize) -> Self {
        self.with(name.into(), Range::Integer(low, high))
    }

    /// One of several numbers or names, without an order.
    pub fn choice<S: Into<Setting>>(self, name: impl Into<String>, settings: impl IntoIterator<Item = S>) -> Self {
        self.with(name.into(), Range::Choice(settings.into_iter().map(Into::into).collect()))
    }

    /// Draws the last parameter on a logarithmic scale, as suits a learning rate: as often between 0.0001 and 0.001 as
    /// between 0.001 and 0.01. Its range must begin above 0.
    pub fn log(mut self) -> Self {
        match self.parameters.last_mut() {
            Some(last) => last.log = true,
            None => self.log_of_nothing = true,
        }
        self
    }

    /// Goes through all combinations in order instead of sampling, as nested loops would, the last parameter changing
    /// fastest. No trial is pruned. All parameters must be choices or integers, without [`log`](Self::log).
    pub fn grid(mut self) -> Self {
        self.grid = true;
        self
    }

    fn with(mut self, name: String, range: Range) -> Self {
        self.parameters.push(Parameter { name, range, log: false });
        self
    }

    pub(super) fn check(&self) -> Result<()> {
        if self.parameters.is_empty() {
            return Err(wrong("space", "at least 1 parameter", "none"));
        }
        if self.log_of_nothing {
            return Err(wrong("space", "log() after a float or an integer", "before the first parameter"));
        }
        let mut names = HashSet::new();
        for parameter in &self.parameters {
            parameter.check(self.grid)?;
            if !names.insert(&parameter.name) {
                return Err(wrong("space", "each parameter once", format!("{:?} twice", parameter.name)));
            }
        }
        match self.combinations() {
            Some(count) if count > MOST_COMBINATIONS => {
                let got = if count == usize::MAX { "more than can be counted".into() } else { count.to_string() };
                Err(wrong("space, grid", format!("at most {MOST_COMBINATIONS} combinations"), got)
                    .hint("Leave grid() away: then settings are sampled"))
            }
            _ => Ok(()),
        }
    }

    /// How many combinations a grid has, or `usize::MAX` if there are more; `None` for a space that is sampled.
    pub(super) fn combinations(&self) -> Option<usize> {
        let counts = self.parameters.iter().filter_map(Parameter::count);
        self.grid.then(|| counts.fold(1, usize::saturating_mul))
    }

    /// The settings of a grid's combination, counted from 0.
    pub(super) fn combination(&self, index: usize) -> BTreeMap<String, Setting> {
        let mut rest = index;
        let digits = self.parameters.iter().rev().filter_map(|parameter| {
            let count = parameter.count()?;
            let setting = match &parameter.range {
                Range::Integer(low, _) => Setting::Integer(low + rest % count),
                Range::Choice(settings) => settings[rest % count].clone(),
                Range::Float(..) => return None,
            };
            rest /= count;
            Some((parameter.name.clone(), setting))
        });
        digits.collect()
    }

    /// Which of a grid's combinations these are; `None` if they are none of it.
    pub(super) fn index(&self, settings: &BTreeMap<String, Setting>) -> Option<usize> {
        let holds = self.holds(settings);
        self.parameters
            .iter()
            .filter(|_| holds)
            .try_fold(0, |index: usize, parameter| {
                let digit = match (&parameter.range, settings.get(&parameter.name)?) {
                    (Range::Integer(low, _), Setting::Integer(number)) => number - low,
                    (Range::Choice(choices), setting) => choices.iter().position(|choice| choice == setting)?,
                    _ => return None,
                };
                Some(index * parameter.count()? + digit)
            })
            .filter(|_| holds)
    }

    /// The parameter of a name, and its place among all.
    pub(super) fn parameter(&self, name: &str) -> Option<(usize, &Parameter)> {
        self.parameters.iter().enumerate().find(|(_, parameter)| parameter.name == name)
    }

    /// Whether these are settings of all parameters and of nothing else, each in its range.
    pub(super) fn holds(&self, settings: &BTreeMap<String, Setting>) -> bool {
        let fits =
            |parameter: &Parameter| settings.get(&parameter.name).is_some_and(|setting| parameter.holds(setting));
        settings.len() == self.parameters.len() && self.parameters.iter().all(fits)
    }
}

impl Parameter {
    fn check(&self, grid: bool) -> Result<()> {
        let place = format!("space, {:?}", cell(&self.name));
        check_name(&place, &self.name)?;
        match &self.range {
            Range::Float(low, high) if !(low < high && (high - low).is_finite()) => {
                return Err(wrong(place, "a range from low to high", format!("{low} to {high}")));
            }
            Range::Integer(low, high) if low > high || *high > 1 << 53 => {
                return Err(wrong(place, "a range from low to high (at most 2^53)", format!("{low} to {high}")));
            }
            Range::Choice(settings) if settings.is_empty() => {
                return Err(wrong(place, "at least 1 setting to choose from", "none"));
            }
            Range::Choice(settings) => {
                if let Some(Setting::Float(number)) =
                    settings.iter().find(|setting| matches!(setting, Setting::Float(number) if !number.is_finite()))
                {
                    return Err(wrong(place, "finite numbers", number));
                }
            }
            Range::Float(..) if grid => {
                let error = wrong(place, "choices or integers in a grid", "a range of floats");
                return Err(error.hint("Name the numbers to try: choice(\"learning_rate\", [0.001, 0.02])"));
            }
            _ => {}
        }
        match self.range {
            Range::Choice(_) if self.log => Err(wrong(place, "log() after a float or an integer", "after a choice")),
            Range::Float(low, _) if self.log && low <= 0.0 => {
                Err(wrong(place, "a range above 0 for its logarithm", low))
            }
            Range::Integer(0, _) if self.log => Err(wrong(place, "a range above 0 for its logarithm", 0)),
            _ if self.log && grid => Err(wrong(place, "no log() in a grid, which tries all settings", "log()")),
            _ => Ok(()),
        }
    }

    /// How many settings it has; `None` for floats.
    fn count(&self) -> Option<usize> {
        match &self.range {
            Range::Float(..) => None,
            Range::Integer(low, high) => Some((high - low).saturating_add(1)),
            Range::Choice(settings) => Some(settings.len()),
        }
    }

    pub(super) fn holds(&self, setting: &Setting) -> bool {
        match (&self.range, setting) {
            (Range::Float(low, high), Setting::Float(number)) => (low..=high).contains(&number),
            (Range::Integer(low, high), Setting::Integer(number)) => (low..=high).contains(&number),
            (Range::Choice(settings), setting) => settings.contains(setting),
            _ => false,
        }
    }

    /// Its range in Optuna's terms.
    pub(super) fn distribution(&self) -> Distribution {
        Distribution(match &self.range {
            Range::Float(low, high) => Kind::Float { step: None, low: *low, high: *high, log: self.log },
            Range::Integer(low, high) => Kind::Int { log: self.log, step: 1, low: *low as i64, high: *high as i64 },
            Range::Choice(settings) => {
                Kind::Categorical { choices: settings.iter().map(|setting| json!(setting)).collect() }
            }
        })
    }

    /// What stands for a setting in Optuna's journal: the number, or the index of the choice.
    pub(super) fn internal(&self, setting: &Setting) -> Number {
        Number(match (&self.range, setting) {
            (Range::Float(..) | Range::Integer(..), Setting::Float(number)) => *number,
            (Range::Float(..) | Range::Integer(..), Setting::Integer(number)) => *number as f64,
            (_, _) => self.place(setting),
        })
    }

    /// The setting that Python gives as this value, if it is in the range.
    pub(super) fn given(&self, value: &Value) -> Option<Setting> {
        let setting = match &self.range {
            Range::Float(..) => Setting::Float(value.as_f64()?),
            Range::Integer(..) => {
                Setting::Integer(value.as_f64().filter(|number| *number >= 0.0 && number.fract() == 0.0)? as usize)
            }
            Range::Choice(settings) => settings.iter().find(|setting| same(&json!(setting), value))?.clone(),
        };
        Some(setting).filter(|setting| self.holds(setting))
    }

    /// A setting as a number on the scale on which it is sampled: its logarithm or itself; for a choice, its index.
    pub(super) fn place(&self, setting: &Setting) -> f64 {
        let scale = |number: f64| if self.log { number.ln() } else { number };
        match (&self.range, setting) {
            (Range::Choice(settings), _) => settings.iter().position(|other| other == setting).unwrap_or(0) as f64,
            (_, Setting::Integer(number)) => scale(*number as f64),
            (_, Setting::Float(number)) => scale(*number),
            (_, Setting::Text(_)) => 0.0,
        }
    }

    /// The interval from which numbers are sampled. An integer has the numbers that round to it, half a step to both
    /// sides.
    pub(super) fn line(&self) -> (f64, f64) {
        let (low, high) = match self.range {
            Range::Float(low, high) => (low, high),
            Range::Integer(low, high) => (low as f64 - 0.5, high as f64 + 0.5),
            Range::Choice(_) => (0.0, 0.0),
        };
        if self.log { (low.ln(), high.ln()) } else { (low, high) }
    }

    /// The setting for a number of that interval.
    pub(super) fn at(&self, place: f64) -> Setting {
        let number = if self.log { place.exp() } else { place };
        match self.range {
            Range::Integer(low, high) => Setting::Integer((number.round() as usize).clamp(low, high)),
            Range::Float(low, high) => Setting::Float(number.clamp(low, high)),
            Range::Choice(ref settings) => settings[(place as usize).min(settings.len() - 1)].clone(),
        }
    }

    /// The part of the interval that rounds to the same integer; `None` for others.
    pub(super) fn step(&self, place: f64) -> Option<(f64, f64)> {
        let Range::Integer(low, high) = self.range else { return None };
        let number = if self.log { place.exp() } else { place };
        let number = number.round().clamp(low as f64, high as f64);
        Some(if self.log { ((number - 0.5).ln(), (number + 0.5).ln()) } else { (number - 0.5, number + 0.5) })
    }
}

/// Numbers in at most four digits.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => f.write_str(&short(*number)),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A number in at most four digits, without zeros at its end.
pub(super) fn short(number: f64) -> String {
    // The largest number rounds to infinity.
    let rounded = format!("{number:.3e}").parse().ok().filter(|rounded: &f64| rounded.is_finite()).unwrap_or(number);
    if (1e-5..1e7).contains(&rounded.abs()) || rounded == 0.0 { rounded.to_string() } else { format!("{rounded:e}") }
}

macro_rules! setting_from {
    ($($type:ty: $kind:ident),+) => {$(
        impl From<$type> for Setting {
            fn from(value: $type) -> Self {
                Self::$kind(value.into())
            }
        }
    )+};
}
setting_from!(usize: Integer, f64: Float, &str: Text, String: Text);

pub(super) fn check_name(place: &str, name: &str) -> Result<()> {
    let letters = name.chars().count();
    if letters == 0 || letters > LONGEST_NAME {
        return Err(wrong(place, format!("a name of 1 to {LONGEST_NAME} letters"), letters));
    }
    if name.chars().any(char::is_control) {
        return Err(wrong(place, "a name without control characters", format!("{name:?}")));
    }
    Ok(())
}

pub(super) fn wrong(place: impl Into<String>, expected: impl fmt::Display, got: impl fmt::Display) -> Error {
    Error::expected(ErrorKind::Argument, place, expected, got)
}
