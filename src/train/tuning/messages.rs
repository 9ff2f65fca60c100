//! The messages of Optuna's gRPC server, service `optuna.StorageService`, as Optuna 4.2 to 5.0 have them. One struct
//! stands for all messages of the same fields. Directions are 0 to minimize and 1 to maximize, states those of the
//! journal. Attributes and distributions are JSON; what is empty here is `None` there.

use std::collections::BTreeMap;

use prost::Message;

/// Of `GetStudyDirections`, `GetStudySystemAttributes`, `GetTrial`; the answers to what creates or finds.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Id {
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// Of `GetStudyIdFromName`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Name {
    #[prost(string, tag = "1")]
    pub name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateNewStudy {
    #[prost(int32, repeated, tag = "1")]
    pub directions: Vec<i32>,
    #[prost(string, tag = "2")]
    pub study_name: String,
}

/// Of `SetStudySystemAttribute`, `SetStudyUserAttribute`, `SetTrialSystemAttribute`, `SetTrialUserAttribute`.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Attribute {
    #[prost(int64, tag = "1")]
    pub id: i64,
    #[prost(string, tag = "2")]
    pub key: String,
    #[prost(string, tag = "3")]
    pub value: String,
}

/// The answer to what only writes.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Nothing {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Directions {
    #[prost(int32, repeated, tag = "1")]
    pub directions: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct StudyAttributes {
    #[prost(btree_map = "string, string", tag = "1")]
    pub attributes: BTreeMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateNewTrial {
    #[prost(int64, tag = "1")]
    pub study_id: i64,
    #[prost(message, optional, tag = "2")]
    pub template_trial: Option<TrialMessage>,
    #[prost(bool, tag = "3")]
    pub template_trial_is_none: bool,
}

impl CreateNewTrial {
    pub(super) fn of(study_id: i64, template: TrialMessage) -> Self {
        Self { study_id, template_trial: Some(template), template_trial_is_none: false }
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetTrialParameter {
    #[prost(int64, tag = "1")]
    pub trial_id: i64,
    #[prost(string, tag = "2")]
    pub param_name: String,
    #[prost(double, tag = "3")]
    pub param_value_internal: f64,
    #[prost(string, tag = "4")]
    pub distribution: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetTrialStateValues {
    #[prost(int64, tag = "1")]
    pub trial_id: i64,
    #[prost(int32, tag = "2")]
    pub state: i32,
    #[prost(double, repeated, tag = "3")]
    pub values: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Updated {
    #[prost(bool, tag = "1")]
    pub trial_updated: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SetTrialIntermediateValue {
    #[prost(int64, tag = "1")]
    pub trial_id: i64,
    #[prost(int64, tag = "2")]
    pub step: i64,
    #[prost(double, tag = "3")]
    pub intermediate_value: f64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OneTrial {
    #[prost(message, optional, tag = "1")]
    pub trial: Option<TrialMessage>,
}

/// The trials after one (−1: all), and some others.
#[derive(Clone, PartialEq, Message)]
pub(super) struct GetTrials {
    #[prost(int64, tag = "1")]
    pub study_id: i64,
    #[prost(int64, repeated, tag = "2")]
    pub included_trial_ids: Vec<i64>,
    #[prost(int64, tag = "3")]
    pub trial_id_greater_than: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Trials {
    #[prost(message, repeated, tag = "1")]
    pub trials: Vec<TrialMessage>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct TrialMessage {
    #[prost(int64, tag = "1")]
    pub trial_id: i64,
    #[prost(int64, tag = "2")]
    pub number: i64,
    #[prost(int32, tag = "3")]
    pub state: i32,
    #[prost(double, repeated, tag = "4")]
    pub values: Vec<f64>,
    /// `2026-11-26 17:09:57.764116` by the server's clock on the wall.
    #[prost(string, tag = "5")]
    pub datetime_start: String,
    #[prost(string, tag = "6")]
    pub datetime_complete: String,
    #[prost(btree_map = "string, double", tag = "7")]
    pub params: BTreeMap<String, f64>,
    #[prost(btree_map = "string, string", tag = "8")]
    pub distributions: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "9")]
    pub user_attributes: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "10")]
    pub system_attributes: BTreeMap<String, String>,
    #[prost(btree_map = "int64, double", tag = "11")]
    pub intermediate_values: BTreeMap<i64, f64>,
}
