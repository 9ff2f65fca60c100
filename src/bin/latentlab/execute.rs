//! Executes a notebook through Jupyter, by `execute.py`.

use crate::command::end_with_parent;
use crate::ipynb::{self, Outputs};
use crate::project::{Outcome, Project};
use crate::protocol::ERROR_MEDIA_TYPE;
use console::strip_ansi_codes;
use serde::Deserialize;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

const SCRIPT: &str = include_str!("execute.py");

/// A notebook to execute.
pub struct Task<'a> {
    pub notebook: &'a Path,
    /// The kernel's working directory.
    pub folder: &'a Path,
    /// LATENTLAB_DATA for the kernel; `None` keeps the current value.
    pub data: Option<&'a Path>,
    /// The files to write.
    pub save: Option<&'a Outputs>,
    /// Cells to change first: index and new source.
    pub changed_cells: &'a [(usize, String)],
    /// For each cell.
    pub timeout: Duration,
    pub kernel: Kernel,
    /// Whether to count the kernel's processes and threads after each cell.
    pub counts: bool,
}

/// The kernel that executes a notebook.
#[derive(Clone, Copy, PartialEq)]
pub enum Kernel {
    /// The notebooks' kernel.
    Usual,
    /// The notebooks' kernel, in the warm build itself instead of a copy.
    WarmUp,
    /// evcxr alone, for comparison: without the library, the relay and any settings.
    Bare,
}

/// What happens during the execution.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// A cell starts: its number among the code cells, from 1, and its code. A skipped cell has no result.
    Cell { number: u64, source: String, skipped: bool },
    /// The cell has ended.
    Result(CellResult),
}

/// What `execute.py` sends.
#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Sent {
    Executed(Value),
    Refused {
        reason: String,
    },
    #[serde(untagged)]
    Event(Event),
}

#[derive(Deserialize)]
pub struct CellResult {
    pub seconds: f64,
    /// Seconds since the start of the kernel was requested.
    pub since_start: f64,
    /// `ok`, `error`, or why there is no reply.
    pub reply: String,
    /// It has the tag `raises-exception`.
    pub may_fail: bool,
    /// The cell's outputs, in the notebook format.
    pub outputs: Value,
    /// The kernel's processes and their threads; 0 if they are not counted.
    pub processes: u64,
    pub threads: u64,
}

/// A notebook with these code cells.
pub fn notebook_of(cells: &[&str]) -> String {
    let cell = |(index, source): (usize, &&str)| {
        json!({ "cell_type": "code", "id": format!("cell-{index}"), "source": source, "metadata": {}, "outputs": [],
            "execution_count": null })
    };
    let cells: Vec<Value> = cells.iter().enumerate().map(cell).collect();
    json!({ "cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5 }).to_string()
}

/// Executes a notebook cell by cell, as long as `go_on` returns true. The executed part is saved in any case.
pub fn execute(project: &Project, task: &Task, errors: Stdio, go_on: impl FnMut(Event) -> bool) -> Outcome<()> {
    let mut notebook = ipynb::read(task.notebook)?;
    for (index, source) in task.changed_cells {
        let cell = notebook["cells"].get_mut(index).ok_or("it has been changed in the meantime")?;
        cell["source"] = source.as_str().into();
    }
    let mut python = project.python();
    if let Some(data) = task.data {
        python.env("LATENTLAB_DATA", data);
    }
    // As an argument, because JSON cannot hold a path that is not Unicode.
    python.args(["-c", SCRIPT]).arg(task.folder);
    python.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
    end_with_parent(&mut python);
    let mut child = python.spawn().map_err(|error| format!("Jupyter's Python could not be started ({error})."))?;
    // It holds the writing end of `errors`.
    drop(python);
    let start = json!({
        "notebook": notebook.to_string(),
        "name": task.notebook.file_stem().unwrap_or_default().to_string_lossy(),
        "mark": task.save.map(|outputs| ipynb::mark(&notebook, task.notebook, &outputs.ipynb)),
        "timeout": task.timeout.as_secs(),
        "counts": task.counts,
        "kernel_arguments": match task.kernel {
            Kernel::Usual => vec![],
            Kernel::WarmUp => vec!["--warm-up"],
            Kernel::Bare => vec!["--bare"],
        },
    });
    let done = follow(&mut child, &start, task, go_on);
    // The pipes are closed now, at which `execute.py` ends.
    match (done, child.wait()) {
        (Ok(()), Ok(status)) if status.success() => Ok(()),
        (Ok(()), _) => Err("Jupyter could not execute the notebook (its own message is above).".to_owned()),
        (Err(message), _) => Err(message),
    }
}

/// Passes on the events until `execute.py` ends.
fn follow(child: &mut Child, start: &Value, task: &Task, mut go_on: impl FnMut(Event) -> bool) -> Outcome<()> {
    let broken = |error: std::io::Error| format!("The connection to Jupyter broke ({error}).");
    let (Some(mut answers), Some(events)) = (child.stdin.take(), child.stdout.take()) else {
        unreachable!("both are pipes");
    };
    writeln!(answers, "{start}").map_err(broken)?;
    let mut done = Ok(());
    for line in BufReader::new(events).lines() {
        let sent = serde_json::from_str(&line.map_err(broken)?)
            .map_err(|error| format!("Jupyter sent something that is not JSON ({error})."))?;
        match sent {
            Sent::Executed(executed) => {
                done = task.save.map_or(Ok(()), |outputs| outputs.write(task.notebook, &executed));
            }
            Sent::Refused { reason } => return Err(reason),
            Sent::Event(event) => {
                let is_result = matches!(event, Event::Result(_));
                let answer = if go_on(event) { "go on" } else { "stop" };
                if is_result {
                    writeln!(answers, "{answer}").map_err(broken)?;
                }
            }
        }
    }
    done
}

/// The error of a cell that ends the execution. A cell that may fail by its tag ends it only if the kernel dies.
pub fn failure_of(result: &CellResult) -> Option<String> {
    let answered = result.reply == "ok" || result.reply == "error";
    if result.may_fail && answered { None } else { failure_in(&result.reply, &result.outputs) }
}

/// The error of a failed cell. Stock evcxr replies `ok` after a panic or a `?`, too: the prelude in the notebooks'
/// evcxr.toml adds an output to these, and without it a panic is recognised by its text.
pub fn failure_in(reply: &str, outputs: &Value) -> Option<String> {
    let outputs = outputs.as_array().map(Vec::as_slice).unwrap_or_default();
    let mark = outputs.iter().find_map(|output| output["data"][ERROR_MEDIA_TYPE].as_object());
    if let Some(mark) = mark {
        let mut text = mark["message"].as_str().unwrap_or_default().to_owned();
        if let Some(location) = mark["location"].as_str() {
            text += &format!("\nat {location}");
        }
        return Some(text);
    }
    let errors: Vec<&str> = outputs
        .iter()
        .filter(|output| output["output_type"] == "error")
        .flat_map(|output| output["traceback"].as_array().map(Vec::as_slice).unwrap_or_default())
        .filter_map(Value::as_str)
        .collect();
    if !errors.is_empty() {
        return Some(strip_ansi_codes(&errors.join("\n")).into_owned());
    }
    if reply != "ok" {
        return Some(reply.to_owned());
    }
    let stderr: String = outputs.iter().filter(|o| o["name"] == "stderr").filter_map(|o| o["text"].as_str()).collect();
    (stderr.contains("thread '") && stderr.contains("panicked at")).then_some(stderr)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(name: &str, text: &str) -> Value {
        json!({ "output_type": "stream", "name": name, "text": text })
    }

    #[test]
    fn a_cell_without_an_error_has_not_failed() {
        let result = json!({ "output_type": "execute_result", "data": { "text/plain": "error panicked at" } });
        for outputs in [json!([]), json!([result]), json!([stream("stdout", "Error: thread 'a' panicked at b")])] {
            assert_eq!(failure_in("ok", &outputs), None);
        }
        assert_eq!(failure_in("ok", &json!([stream("stderr", "a note")])), None);
    }

    #[test]
    fn every_kind_of_failure_is_found() {
        let mark = |value: Value| json!({ "output_type": "execute_result", "data": { ERROR_MEDIA_TYPE: value } });
        let traceback = ["\u{1b}[31m[E0425]\u{1b}[0m Error", "x"];
        let error = json!({ "output_type": "error", "evalue": "cannot find value", "traceback": traceback });
        let panic = "thread '<unnamed>' (77) panicked at src/lib.rs:3:1:\nno\n";
        let table = [
            ("ok", mark(json!({ "kind": "error", "message": "bad", "location": null })), "bad"),
            ("ok", mark(json!({ "kind": "panic", "message": "no", "location": "a.rs:1:2" })), "no\nat a.rs:1:2"),
            ("error", error, "[E0425] Error\nx"),
            ("error", stream("stdout", "so far"), "error"),
            ("the kernel died", stream("stdout", "so far"), "the kernel died"),
            ("ok", stream("stderr", panic), panic),
        ];
        for (reply, output, expected) in table {
            assert_eq!(failure_in(reply, &json!([stream("stdout", "1"), output])).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_cell_that_may_fail_counts_as_failed_only_if_the_kernel_dies() {
        let result = |may_fail, reply: &str, outputs| CellResult {
            seconds: 1.0,
            since_start: 1.0,
            reply: reply.to_owned(),
            may_fail,
            outputs,
            processes: 0,
            threads: 0,
        };
        let error = json!([{ "output_type": "error", "traceback": ["no"] }]);
        let dead = "the kernel died";
        for (may_fail, reply, expected) in
            [(true, "ok", None), (true, "error", None), (true, dead, Some("no")), (false, "error", Some("no"))]
        {
            assert_eq!(failure_of(&result(may_fail, reply, error.clone())).as_deref(), expected);
        }
        assert_eq!(failure_of(&result(true, dead, json!([]))).as_deref(), Some(dead));
    }
}
