//! The lines of a journal: JSON as Python writes it, and the checks of our lines.

use std::{borrow::Cow, path::Path};

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::operation::{LAST_CODE, Operation};
use crate::error::{Error, ErrorKind, Result};

/// What precedes the check at the end of a line. The check is the beginning of the SHA-256 of the previous line's check
/// and of the line itself, so that lines that were changed, lost, doubled or moved are detected. Lines of Optuna's own
/// workers have none, but count for the next one that has. Optuna ignores the field.
const BEFORE_CHECK: &str = r#","check":""#;
const CHECK_DIGITS: usize = 16;

/// The workers of this library begin so; the number of the worker follows.
pub(super) const WORKER: &str = "latentlab-";

/// The position after a line.
#[derive(Clone, Default)]
pub(super) struct Position {
    pub bytes: u64,
    pub lines: usize,
    /// The last line's check; `None` before the first line and in a journal without checks.
    pub check: Option<String>,
}

/// What a line holds, with its place in the file.
pub(super) struct Line<T> {
    pub place: String,
    pub content: T,
    pub after: Position,
}

/// A line's content and its check, or what is wrong with the line.
pub(super) type Parsed<T> = Result<(T, Option<String>), String>;

/// The lines after a position, up to the first that is wrong, and whether the last has a line end: an editor may have
/// removed it. An incomplete last line, left by a process that was stopped while writing, is none.
pub(super) fn split<T>(
    bytes: &[u8],
    start: &Position,
    path: &Path,
    parse: impl Fn(&str, &Position) -> Parsed<T>,
) -> (Vec<Result<Line<T>>>, bool) {
    let (mut lines, mut at, mut ended) = (Vec::new(), start.clone(), true);
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let whole = piece.ends_with(b"\n");
        let text = piece.trim_ascii();
        if text.is_empty() {
            // A line end that an editor has added.
            at.bytes += piece.len() as u64;
            at.lines += usize::from(whole && at.lines > 0);
            if let Some(Ok(Line { after, .. })) = lines.last_mut() {
                *after = at.clone();
            }
            continue;
        }
        let place = format!("{}, line {}", path.display(), at.lines + 1);
        let parsed = std::str::from_utf8(text).map_err(|error| error.to_string()).and_then(|text| parse(text, &at));
        match parsed {
            Ok((content, check)) => {
                at = Position { bytes: at.bytes + piece.len() as u64, lines: at.lines + 1, check };
                lines.push(Ok(Line { place, content, after: at.clone() }));
                ended = whole;
            }
            Err(_) if !whole => break,
            Err(got) => {
                let error =
                    Error::expected(ErrorKind::Data, place, "a line of a study's journal, as it was written", got);
                lines.push(Err(error.hint("Delete this line and those after it to go on from there")));
                break;
            }
        }
    }
    (lines, ended)
}

/// An operation, and whether a worker of this library has written it.
pub(super) fn parse(text: &str, at: &Position) -> Parsed<(Operation, bool)> {
    let (body, noted) = split_check(text);
    let check = check_of(at.check.as_deref().unwrap_or_default(), &body);
    let mut fields: Map<String, Value> = serde_json::from_str(&quoted(text)).map_err(|error| error.to_string())?;
    let code = fields.remove("op_code").ok_or("one without op_code")?;
    let code = code.as_u64().ok_or_else(|| format!("op_code {code}"))?;
    if code > LAST_CODE {
        return Err(format!("op_code {code}, of a newer Optuna than version 5"));
    }
    let Some(Value::String(worker)) = fields.remove("worker_id") else { return Err("one without worker_id".into()) };
    let ours = worker.starts_with(WORKER);
    if noted.map_or(ours, |noted| noted != check) {
        return Err("one that does not fit its check or the line before it".into());
    }
    let operation = serde_json::from_value(Value::Object(Map::from_iter([(code.to_string(), Value::Object(fields))])));
    Ok(((operation.map_err(|error| format!("op_code {code}: {error}"))?, ours), Some(check)))
}

/// The line of an operation, without its line end, and its check.
pub(super) fn text(operation: &Operation, worker: usize, before: &str) -> Result<(String, String)> {
    let text =
        serde_json::to_string(operation).map_err(|error| Error::new(ErrorKind::Data, "study", error.to_string()))?;
    // `{"7":{"trial_id":0, … }}`
    let fields = text.split_once("\":{").and_then(|(code, fields)| Some((code.get(2..)?, fields.strip_suffix("}}")?)));
    let (code, fields) = fields.unwrap_or_default();
    let mut open = format!(r#"{{"op_code":{code},"worker_id":"{WORKER}{worker}",{fields}"#);
    if let Operation::Report { .. } = operation {
        for name in ["NaN", "Infinity", "-Infinity"] {
            open = open.replace(&format!(":\"{name}\""), &format!(":{name}"));
        }
    }
    let check = check_of(before, &format!("{open}}}"));
    Ok((format!("{open}{BEFORE_CHECK}{check}\"}}"), check))
}

/// Python writes NaN and infinite numbers bare, as JSON does not have them: here they are strings.
pub(super) fn quoted(text: &str) -> Cow<'_, str> {
    const NAMES: [&str; 3] = ["NaN", "Infinity", "-Infinity"];
    if !text.contains(NAMES[0]) && !text.contains(NAMES[1]) {
        return text.into();
    }
    let (mut result, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let name = NAMES.into_iter().find(|name| rest.starts_with(name));
        let length = match (first, name) {
            ('"', _) => string_length(rest),
            (_, Some(name)) => name.len(),
            _ => first.len_utf8(),
        };
        let (piece, after) = rest.split_at(length);
        match name {
            Some(name) => result.extend(["\"", name, "\""]),
            None => result.push_str(piece),
        }
        rest = after;
    }
    result.into()
}

/// The bytes of the string at a text's beginning, with its quotation marks.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    let end = text.bytes().skip(1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// A line without its check, and the check.
pub(super) fn split_check(text: &str) -> (String, Option<&str>) {
    let split = || {
        let rest = text.strip_suffix("\"}")?;
        let (body, check) = rest.split_at_checked(rest.len().checked_sub(CHECK_DIGITS)?)?;
        Some((format!("{}}}", body.strip_suffix(BEFORE_CHECK)?), check))
    };
    split().map_or((text.into(), None), |(body, check)| (body, Some(check)))
}

pub(super) fn check_of(before: &str, body: &str) -> String {
    let hash = Sha256::new_with_prefix(before).chain_update(body).finalize();
    crate::file::hex(&hash[..CHECK_DIGITS / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_json_does_not_have_are_read_and_names_left_alone() {
        for (text, expected) in [
            (r#"{"a":NaN,"b":[Infinity,-Infinity]}"#, r#"{"a":"NaN","b":["Infinity","-Infinity"]}"#),
            (r#"{"NaN":"-Infinity \" NaN","é":NaN}"#, r#"{"NaN":"-Infinity \" NaN","é":"NaN"}"#),
            (r#"{"a\\":NaN}"#, r#"{"a\\":"NaN"}"#),
            (r#"{"a":"NaN"#, r#"{"a":"NaN"#),
            ("[1, 2]", "[1, 2]"),
        ] {
            assert_eq!(quoted(text), expected);
        }
    }

    #[test]
    fn operations_are_written_as_optuna_writes_them() {
        let report = |value| Operation::Report { trial_id: 3, step: 2, intermediate_value: value };
        for (value, expected) in [(f64::NAN, "NaN"), (f64::NEG_INFINITY, "-Infinity"), (0.1, "0.1"), (3.0, "3.0")] {
            let (line, check) = text(&report(super::super::operation::Number(value)), 0, "").unwrap();
            let body = r#"{"op_code":7,"worker_id":"latentlab-0","trial_id":3,"step":2,"intermediate_value":"#;
            assert_eq!(line, format!("{body}{expected},\"check\":\"{check}\"}}"));
            let ((_, ours), again) = parse(&line, &Position::default()).unwrap();
            assert!(ours && again == Some(check));
        }
    }
}
