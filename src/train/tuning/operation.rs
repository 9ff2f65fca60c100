//! The operations of Optuna's journal, with the names that their fields have in its lines.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Map, Value};

use super::lines::quoted;
use super::space::Setting;

/// Attributes by name.
pub(super) type Attributes = Map<String, Value>;

/// Studies and trials are numbered from 0 in the order in which the file creates them. The names are the codes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Operation {
    /// The directions: 1 to minimize, 2 to maximize.
    #[serde(rename = "0")]
    CreateStudy { study_name: String, directions: Vec<u8> },
    #[serde(rename = "1")]
    DeleteStudy { study_id: usize },
    #[serde(rename = "2")]
    StudyUserAttribute { study_id: usize },
    #[serde(rename = "3")]
    StudyAttribute { study_id: usize, system_attr: Attributes },
    #[serde(rename = "4")]
    CreateTrial(Box<NewTrial>),
    #[serde(rename = "5")]
    Parameter { trial_id: usize, param_name: String, param_value_internal: Number, distribution: Distribution },
    #[serde(rename = "6")]
    State {
        trial_id: usize,
        state: u8,
        values: Option<Vec<Number>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        datetime_start: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        datetime_complete: Option<String>,
    },
    #[serde(rename = "7")]
    Report { trial_id: usize, step: usize, intermediate_value: Number },
    #[serde(rename = "8")]
    UserAttribute {
        trial_id: usize,
        #[serde(default)]
        user_attr: Attributes,
    },
    #[serde(rename = "9")]
    Attribute { trial_id: usize, system_attr: Attributes },
    #[serde(rename = "10")]
    Discard {},
}

/// The highest code that Optuna 5 knows.
pub(super) const LAST_CODE: u64 = 10;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct NewTrial {
    pub study_id: usize,
    pub datetime_start: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datetime_complete: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Number>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Number>>,
    #[serde(default)]
    pub distributions: BTreeMap<String, Distribution>,
    #[serde(default)]
    pub params: BTreeMap<String, Number>,
    #[serde(default)]
    pub system_attrs: Attributes,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub intermediate_values: BTreeMap<usize, Number>,
}

/// A number that may be NaN or infinite.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number(pub f64);

impl Number {
    pub(super) fn finite(self) -> Option<f64> {
        Some(self.0).filter(|number| number.is_finite())
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            number if number.is_finite() => serializer.serialize_f64(number),
            number if number.is_nan() => serializer.serialize_str("NaN"),
            number => serializer.serialize_str(if number > 0.0 { "Infinity" } else { "-Infinity" }),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::String(name) if name == "NaN" => Some(f64::NAN),
            Value::String(name) if name == "Infinity" => Some(f64::INFINITY),
            Value::String(name) if name == "-Infinity" => Some(f64::NEG_INFINITY),
            other => other.as_f64(),
        }
        .map(Self)
        .ok_or_else(|| D::Error::custom("expected a number"))
    }
}

/// Where a parameter's values come from. Its text is JSON inside a JSON string.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct Distribution(pub Kind);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "name", content = "attributes")]
pub(super) enum Kind {
    #[serde(rename = "FloatDistribution")]
    Float { step: Option<f64>, low: f64, high: f64, log: bool },
    #[serde(rename = "IntDistribution")]
    Int { log: bool, step: i64, low: i64, high: i64 },
    #[serde(rename = "CategoricalDistribution")]
    Categorical { choices: Vec<Value> },
}

impl From<Distribution> for String {
    fn from(distribution: Distribution) -> Self {
        serde_json::to_string(&distribution.0).unwrap_or_default()
    }
}

impl TryFrom<String> for Distribution {
    type Error = serde_json::Error;

    fn try_from(text: String) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&quoted(&text)).map(Self)
    }
}

impl Distribution {
    /// Whether one parameter may have both, by Optuna's rule.
    pub(super) fn fits(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Float { log, .. }, Kind::Float { log: other, .. }) => log == other,
            (Kind::Int { log, .. }, Kind::Int { log: other, .. }) => log == other,
            (Kind::Categorical { choices }, Kind::Categorical { choices: others }) => {
                choices.len() == others.len() && choices.iter().zip(others).all(|(choice, other)| same(choice, other))
            }
            _ => false,
        }
    }

    /// The setting that a value in the journal stands for: a choice by its index, a number by itself.
    pub(super) fn setting(&self, internal: f64) -> Option<Setting> {
        let whole = |number: f64| number >= 0.0 && number.fract() == 0.0 && number <= (1u64 << 53) as f64;
        Some(match &self.0 {
            Kind::Float { .. } => Setting::Float(internal),
            Kind::Int { .. } if whole(internal) => Setting::Integer(internal as usize),
            Kind::Int { .. } => Setting::Float(internal),
            Kind::Categorical { choices } if whole(internal) => match choices.get(internal as usize)? {
                Value::Null => Setting::Text("None".into()),
                Value::Bool(choice) => Setting::Text(if *choice { "True" } else { "False" }.into()),
                choice => serde_json::from_value(choice.clone()).unwrap_or_else(|_| Setting::Text(choice.to_string())),
            },
            Kind::Categorical { .. } => return None,
        })
    }

    /// In words, for an error.
    pub(super) fn described(&self) -> String {
        let scale = |log: &bool| if *log { " with log()" } else { "" };
        match &self.0 {
            Kind::Float { log, .. } => format!("a float{}", scale(log)),
            Kind::Int { log, .. } => format!("an integer{}", scale(log)),
            Kind::Categorical { choices } => {
                let shown: Vec<String> = choices.iter().take(5).map(ToString::to_string).collect();
                format!("a choice of {}{}", shown.join(", "), if choices.len() > 5 { ", …" } else { "" })
            }
        }
    }
}

/// Whether Python takes two values as equal: 1 and 1.0 are.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a, b), (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64())
}
