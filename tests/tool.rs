//! The tool's commands, as a user meets them when something is missing.

mod refusal;

use std::path::PathBuf;
use std::process::{Command, Output};

use refusal::assert_refused;

/// The tool, with a folder for Jupyter's files that is this test's own.
struct Tool {
    folder: PathBuf,
}

impl Tool {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("latentlab-tool-{}-{test}", std::process::id()));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        Self { folder }
    }

    /// Runs it with nothing on the PATH but what `program` has put there.
    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_latentlab"))
            .args(arguments)
            .env("LATENTLAB_JUPYTER", self.folder.join("jupyter"))
            .env("PATH", self.folder.join("bin"))
            .output()
            .unwrap()
    }

    /// Puts a shell script on the PATH.
    #[cfg(unix)]
    fn program(self, name: &str, script: &str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let path = self.folder.join("bin").join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }
}

impl Drop for Tool {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

#[test]
fn wrong_arguments_are_explained() {
    let tool = Tool::new("arguments");
    for arguments in [
        &[][..],
        &["run"],
        &["run", "--timeout", "0", "a.ipynb"],
        &["run", "--jobs", "0", "a.ipynb"],
        &["run", "--timings", "--out", "x"],
        &["lab", "--port", "x"],
        &["bench", "s9"],
        &["bench", "--seconds", "0"],
        &["no"],
    ] {
        let output = tool.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--help"), "{arguments:?}");
    }
}

#[test]
fn a_missing_notebook_or_data_folder_is_named() {
    let tool = Tool::new("notebook");
    assert_refused(&tool.run(&["run", "nowhere.ipynb"]), &["nowhere.ipynb", "no such notebook"]);
    assert_refused(&tool.run(&["run", "Cargo.toml", "--data", "nowhere"]), &["nowhere", "no such folder", "built-in"]);
}

#[test]
fn a_smoke_setting_of_a_knob_that_is_not_there_is_named() {
    let tool = Tool::new("smoke");
    let notebook = tool.folder.join("lesson.ipynb");
    let setting = r#"{ "latentlab": { "smoke": { "epoch": "1" } } }"#;
    let cell = format!(r#"{{ "cell_type": "code", "metadata": {setting}, "source": ["let epochs = 9;"] }}"#);
    std::fs::write(&notebook, format!(r#"{{ "cells": [{cell}] }}"#)).unwrap();
    let run = |arguments: &[&str]| tool.run(&[&["run", notebook.to_str().unwrap()], arguments].concat());
    assert_refused(&run(&["--smoke"]), &["lesson.ipynb", "epoch", "let epoch = …;"]);
    // Without it, the next thing that is missing.
    assert_refused(&run(&[]), &["Python is missing"]);
}

#[test]
fn missing_python_is_named() {
    let tool = Tool::new("python");
    for command in [&["lab", "--no-open"][..], &["run", "Cargo.toml"], &["run", "--timings"]] {
        assert_refused(&tool.run(command), &["Python is missing", "3.10", "apt install", "brew install", "winget"]);
    }
}

#[test]
#[cfg(unix)]
fn an_old_python_is_refused() {
    let tool = Tool::new("old").program("python3", "echo 3.9.2");
    assert_refused(&tool.run(&["lab"]), &["Python 3.9.2 is too old", "3.10"]);
}

#[test]
#[cfg(unix)]
fn python_without_venv_is_refused() {
    let tool = Tool::new("venv").program("python3", "case \"$2\" in *venv*) exit 1;; *) echo 3.12.1;; esac");
    assert_refused(&tool.run(&["lab"]), &["Python 3.12.1", "venv", "apt install python3-venv"]);
}

/// Everything that is asked of Python succeeds, but for pip.
#[cfg(unix)]
const PYTHON_WITHOUT_NETWORK: &str = r#"case "$*" in
    *"-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python";;
    *"-m pip"*) echo "No matching distribution"; exit 1;;
    *) echo 3.12.1;;
esac"#;

#[test]
#[cfg(unix)]
fn what_pip_says_is_passed_on() {
    let tool = Tool::new("pip").program("python3", &format!("PATH=/usr/bin:/bin\n{PYTHON_WITHOUT_NETWORK}"));
    assert_refused(&tool.run(&["lab"]), &["network", "No matching distribution"]);
}

#[test]
#[cfg(unix)]
fn missing_rust_is_named() {
    let script = PYTHON_WITHOUT_NETWORK.replace("exit 1", "exit 0");
    let tool = Tool::new("rust").program("python3", &format!("PATH=/usr/bin:/bin\n{script}"));
    assert_refused(&tool.run(&["lab"]), &["Rust is missing", "rustup.rs"]);
    let tool = Tool::new("old-rust")
        .program("python3", &format!("PATH=/usr/bin:/bin\n{script}"))
        .program("rustc", "echo 'rustc 1.90.0 (abc 2025-09-14)'")
        .program("cargo", "echo 'cargo 1.90.0'");
    assert_refused(&tool.run(&["lab"]), &["Rust 1.90.0 is too old", "1.95", "rustup update"]);
}

#[test]
fn a_folder_with_a_space_is_refused() {
    let tool = Tool::new("with a space");
    assert_refused(&tool.run(&["lab"]), &["space", "LATENTLAB_JUPYTER"]);
}

#[test]
fn a_kernel_without_a_setup_says_so() {
    let tool = Tool::new("kernel");
    assert_refused(&tool.run(&["kernel", "--connection-file", "nowhere.json"]), &["cargo lab"]);
}

#[test]
fn bench_begins_each_row_with_the_model_and_its_rate() {
    let tool = Tool::new("bench");
    for arguments in
        [&["bench", "--seconds", "0.01", "s4-ae4"][..], &["bench", "--seconds", "0.01", "--inference", "s4-ae4"]]
    {
        let output = tool.run(arguments);
        let text = String::from_utf8_lossy(&output.stdout);
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        let [headline, row] = &rows[..] else { panic!("expected a headline and a row, got {text}") };
        assert!(headline.contains(&"GFLOP/s") && headline[0] != "s4-ae4", "{text}");
        assert_eq!(row[0], "s4-ae4");
        let rate: f64 = row[1].parse().unwrap();
        assert!(rate > 0.0 && row[2] == "img/s" && row[3] == "floor", "{text}");
        assert_eq!(row.contains(&"embed"), arguments.contains(&"--inference"), "{text}");
    }
}
