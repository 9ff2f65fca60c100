//! Whose a trial at a server is. The server shows states, not how they came about: a worker of Optuna that begins a
//! trial which one of ours has handed back leaves our mark in it. So a mark also says when its trial was begun, and
//! counts up while its worker lives.

use serde_json::{Value, json};

use super::messages::TrialMessage;
use super::replay::WORKER;

/// The attribute of a trial with its owner.
pub(super) const OWNER: &str = "latentlab:owner";

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Owner {
    pub worker: usize,
    pub beat: u64,
    /// When the trial was begun, as the server says it; `None` until the worker knows.
    pub since: Option<String>,
}

impl Owner {
    pub(super) fn text(&self) -> String {
        json!([self.worker, self.beat, self.since]).to_string()
    }

    /// The worker of ours that has a trial which is running, if it is one of ours.
    pub(super) fn of(trial: &TrialMessage) -> Option<Self> {
        let attribute = |name| serde_json::from_str(trial.system_attributes.get(name)?).ok();
        let owner = match attribute(OWNER) {
            Some(Value::Array(parts)) => match &parts[..] {
                [worker, beat, since] => Self {
                    worker: worker.as_u64()? as usize,
                    beat: beat.as_u64()?,
                    since: since.as_str().map(String::from),
                },
                _ => return None,
            },
            // Of a journal that was copied into the database.
            None => Self { worker: attribute(WORKER)?.as_u64()? as usize, beat: 0, since: None },
            Some(_) => return None,
        };
        Some(owner).filter(|owner| owner.since.as_ref().is_none_or(|since| *since == trial.datetime_start))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_mark_counts_for_the_time_that_it_was_made_for() {
        let trial = |attributes: &[(&str, &str)]| TrialMessage {
            datetime_start: "2026-11-26 17:09:57.764116".into(),
            system_attributes: attributes
                .iter()
                .map(|(name, text)| ((*name).into(), (*text).into()))
                .collect::<BTreeMap<_, _>>(),
            ..TrialMessage::default()
        };
        let known = Owner { worker: 7, beat: 3, since: Some("2026-11-26 17:09:57.764116".into()) };
        let text = known.text();
        assert_eq!(text, r#"[7,3,"2026-11-26 17:09:57.764116"]"#);
        assert_eq!(Owner::of(&trial(&[(OWNER, &text), (WORKER, "9")])), Some(known));
        assert_eq!(Owner::of(&trial(&[(OWNER, "[7,0,null]")])).unwrap().worker, 7);
        assert_eq!(Owner::of(&trial(&[(WORKER, "9")])).unwrap().worker, 9);
        for other in [r#"[7,3,"2026-11-26 17:09:58.000000"]"#, "null", "[7]", "7", "", "[-1,0,null]"] {
            assert_eq!(Owner::of(&trial(&[(OWNER, other)])), None, "{other}");
        }
    }
}
