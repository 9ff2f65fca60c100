//! Executes a notebook through Jupyter: this side of `execute.py`.

use crate::project::{Outcome, Project};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

const SCRIPT: &str = include_str!("execute.py");

/// A notebook to execute.
pub struct Task<'a> {
    pub notebook: &'a Path,
    /// The kernel's working directory.
    pub folder: &'a Path,
    /// LATENTLAB_DATA for the kernel; without it, the surrounding one.
    pub data: Option<&'a Path>,
    /// The .ipynb and the .html file to write.
    pub save: Option<(&'a Path, &'a Path)>,
    /// Cells that are changed before: their place among all cells, and their new source.
    pub changed_cells: &'a [(usize, String)],
    /// The longest that a cell may take.
    pub timeout: Duration,
    pub kernel: Kernel,
    /// Whether to count the kernel's processes and threads after each cell.
    pub counts: bool,
}

/// Which kernel executes it.
#[derive(Clone, Copy, PartialEq)]
pub enum Kernel {
    /// The one of the notebooks.
    Usual,
    /// It makes the warm build instead of using a copy.
    WarmUp,
    /// evcxr alone, to compare with: without the library, the relay and any settings.
    Bare,
}

/// What happens meanwhile.
pub enum Event {
    /// A cell starts: its number among the code cells, from 1, and its code.
    Cell { number: u64, source: String },
    /// It has ended.
    Result(CellResult),
}

pub struct CellResult {
    pub seconds: f64,
    /// Since the kernel's start began.
    pub since_start: f64,
    /// `ok`, `error`, or what kept the kernel from answering.
    pub reply: String,
    /// Jupyter's.
    pub outputs: Value,
    /// How many processes the kernel has, and how many threads in all of them; 0 where they are not counted.
    pub processes: u64,
    pub threads: u64,
}

/// A notebook of these cells.
pub fn notebook_of(cells: &[&str]) -> String {
    let cell = |(index, source): (usize, &&str)| {
        json!({ "cell_type": "code", "id": format!("cell-{index}"), "source": source, "metadata": {}, "outputs": [],
            "execution_count": null })
    };
    let cells: Vec<Value> = cells.iter().enumerate().map(cell).collect();
    json!({ "cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5 }).to_string()
}

/// Executes a notebook, cell by cell, as long as `go_on` says so. What has been executed is saved in any case.
pub fn execute(project: &Project, task: &Task, errors: Stdio, mut go_on: impl FnMut(Event) -> bool) -> Outcome<()> {
    let broken = |error: std::io::Error| format!("The connection to Jupyter broke ({error}).");
    let mut python = project.python();
    if let Some(data) = task.data {
        python.env("LATENTLAB_DATA", data);
    }
    let mut child = python
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(errors)
        .spawn()
        .map_err(|error| format!("Jupyter's Python could not be started ({error})."))?;
    // It holds the other end of `errors`.
    drop(python);
    let (Some(mut answers), Some(events)) = (child.stdin.take(), child.stdout.take()) else {
        unreachable!("both are pipes");
    };
    let start = json!({
        "notebook": task.notebook,
        "folder": task.folder,
        "ipynb": task.save.map(|(ipynb, _)| ipynb),
        "html": task.save.map(|(_, html)| html),
        "changed_cells": task.changed_cells,
        "timeout": task.timeout.as_secs(),
        "counts": task.counts,
        "kernel_arguments": match task.kernel {
            Kernel::Usual => vec![],
            Kernel::WarmUp => vec!["--warm-up"],
            Kernel::Bare => vec!["--bare"],
        },
    });
    writeln!(answers, "{start}").map_err(broken)?;
    for line in BufReader::new(events).lines() {
        let mut event: Value = serde_json::from_str(&line.map_err(broken)?)
            .map_err(|error| format!("Jupyter sent something that is not JSON ({error})."))?;
        if event["event"] == "cell" {
            let source = event["source"].as_str().unwrap_or_default().to_owned();
            go_on(Event::Cell { number: event["number"].as_u64().unwrap_or_default(), source });
        } else {
            let number = |name: &str| event[name].as_f64().unwrap_or_default();
            let (processes, threads) = (number("processes") as u64, number("threads") as u64);
            let (seconds, since_start) = (number("seconds"), number("since_start"));
            let reply = event["reply"].as_str().unwrap_or_default().to_owned();
            let outputs = event["outputs"].take();
            let answer = go_on(Event::Result(CellResult { seconds, since_start, reply, outputs, processes, threads }));
            writeln!(answers, "{}", if answer { "go on" } else { "stop" }).map_err(broken)?;
        }
    }
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        _ => Err("Jupyter could not execute the notebook (its own message is above).".to_owned()),
    }
}
