//! The tool's messages when something is missing or wrong.

mod refusal;

use std::path::PathBuf;
use std::process::{Command, Output};

use refusal::assert_refused;

/// The tool, with a folder for this test, also for Jupyter's files.
struct Tool {
    folder: PathBuf,
}

impl Tool {
    fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("latentlab-tool-{}-{test}", std::process::id()));
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        Self { folder }
    }

    /// With only the programs of `program` on the PATH.
    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latentlab"));
        command.env("LATENTLAB_JUPYTER", self.folder.join("jupyter")).env("PATH", self.folder.join("bin"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
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
fn invalid_arguments_are_explained() {
    let tool = Tool::new("arguments");
    for arguments in [
        &[][..],
        &["run"],
        &["run", "--timeout", "0", "a.ipynb"],
        &["run", "--jobs", "0", "a.ipynb"],
        &["run", "--timeout", "1000001", "a.ipynb"],
        &["run", "--timings", "--out", "x"],
        &["run", "--parameter", "epochs", "a.ipynb"],
        &["run", "-p", "=5", "a.ipynb"],
        &["lab", "--port", "x"],
        &["bench", "s9"],
        &["bench", "--seconds", "0"],
        &["bench", "--seconds", "1e300"],
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
    assert_refused(&tool.run(&["run", "Cargo.toml"]), &["FAILED", "Cargo.toml", "not a notebook", "1 of 1 notebooks"]);
}

/// A notebook of one code cell.
fn notebook(metadata: &str, source: &str) -> String {
    let cell = format!(r#"{{ "cell_type": "code", "metadata": {metadata}, "source": ["{source}"] }}"#);
    format!(r#"{{ "nbformat": 4, "nbformat_minor": 5, "metadata": {{}}, "cells": [{cell}] }}"#)
}

#[test]
fn unknown_knobs_are_named() {
    let tool = Tool::new("knobs");
    let path = tool.folder.join("lesson.ipynb");
    std::fs::write(&path, notebook(r#"{ "latentlab": { "smoke": { "epoch": "1" } } }"#, "let epochs = 9;")).unwrap();
    let run = |arguments: &[&str]| tool.run(&[&["run", path.to_str().unwrap()], arguments].concat());
    assert_refused(&run(&["--smoke"]), &["lesson.ipynb", "epoch", "let epoch = …;"]);
    assert_refused(&run(&["-p", "size=1"]), &["lesson.ipynb", "no knob size", "its knobs are epochs"]);
    // With a valid value, the next thing that is missing.
    assert_refused(&run(&["--parameter", "epochs=1"]), &["Python is missing"]);
    std::fs::write(&path, notebook("{}", "let epochs = 9;")).unwrap();
    assert_refused(&run(&["-p", "epochs=1"]), &["no knobs", "`parameters`"]);
}

#[test]
fn only_files_that_run_has_written_are_replaced() {
    let tool = Tool::new("replaced");
    let write = |name: &str, content: &str| {
        let path = tool.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path.into_os_string().into_string().unwrap()
    };
    let content = notebook("{}", "1");
    let [dotted, plain, upper] = ["v1.0.ipynb", "v1.ipynb", "other/V1.ipynb"].map(|name| write(name, &content));
    let folder = tool.folder.to_str().unwrap();
    let out = tool.folder.join("out").into_os_string().into_string().unwrap();
    // Not `v1.ipynb`.
    assert_refused(&tool.run(&["run", &dotted, "--out", folder]), &["v1.0.ipynb", "would replace"]);
    assert_refused(&tool.run(&["run", &dotted, "--out", &out]), &["Python is missing"]);
    assert_refused(
        &tool.run(&["run", &plain, &upper, "--out", &out]),
        &["v1.ipynb", "V1.ipynb", "would both be executed into"],
    );
    write("out/v1.ipynb", "mine");
    assert_refused(&tool.run(&["run", &plain, "--out", &out]), &["v1.ipynb", "has not written it", "--out"]);
    write("executed/v1.html", "mine");
    assert_refused(&tool.run(&["run", &plain]), &["executed", "v1.html", "has not written it"]);
    for (name, expected) in [("v1.ipynb", content.as_str()), ("out/v1.ipynb", "mine"), ("executed/v1.html", "mine")] {
        assert_eq!(std::fs::read_to_string(tool.folder.join(name)).unwrap(), expected);
    }
}

#[test]
fn a_damaged_notebook_is_reported_and_the_others_are_run() {
    let tool = Tool::new("damaged");
    let path = |name: &str, content: &str| {
        std::fs::write(tool.folder.join(name), content).unwrap();
        tool.folder.join(name).into_os_string().into_string().unwrap()
    };
    let good = path("good.ipynb", &notebook("{}", "1"));
    let old = path("old.ipynb", &notebook("{}", "1").replace("\"nbformat\": 4", "\"nbformat\": 3"));
    let page = path("page.ipynb", "<html>");
    let output = tool.run(&["run", &good, &old, &page]);
    assert_refused(
        &output,
        &[
            "FAILED",
            "old.ipynb: expected a notebook of nbformat 4, got 3",
            "page.ipynb: not a notebook",
            "Python is missing",
        ],
    );
    assert_refused(&tool.run(&["run", &old, &page]), &["2 of 2 notebooks cannot be run"]);
}

#[test]
#[cfg(unix)]
fn any_file_name_is_accepted() {
    use std::os::unix::ffi::OsStrExt;
    let tool = Tool::new("names");
    for name in [&b"..ipynb"[..], b"a\xff.ipynb", b"\xe3\x81\x8a b.ipynb", b"a\nb.ipynb", b"-p.ipynb"] {
        let path = tool.folder.join(std::ffi::OsStr::from_bytes(name));
        std::fs::write(&path, notebook("{}", "1")).unwrap();
        let output = tool.command().arg("run").arg(path).output().unwrap();
        assert_refused(&output, &["Python is missing"]);
    }
}

#[test]
#[cfg(unix)]
fn folders_with_secrets_are_made_private() {
    use std::os::unix::fs::PermissionsExt;
    let tool = Tool::new("private");
    let runtime = tool.folder.join("jupyter/runtime");
    std::fs::create_dir_all(&runtime).unwrap();
    std::fs::set_permissions(&runtime, PermissionsExt::from_mode(0o777)).unwrap();
    assert_refused(&tool.run(&["lab"]), &["Python is missing"]);
    for name in ["runtime", "config", "data"] {
        let mode = std::fs::metadata(tool.folder.join("jupyter").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
    std::fs::remove_dir(&runtime).unwrap();
    std::fs::write(&runtime, "").unwrap();
    assert_refused(&tool.run(&["lab"]), &["runtime", "expected a folder, got a file"]);
}

#[test]
fn a_closed_standard_output_is_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output =
        Tool::new("pipe").command().arg("data").env("LATENTLAB_DATA", "built-in").stdout(writer).output().unwrap();
    // A panic would end with exit code 101 and a message.
    assert!(output.status.code().is_some_and(|code| code <= 1), "{}", output.status);
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

#[test]
fn missing_python_is_named() {
    let tool = Tool::new("python");
    for command in [&["lab", "--no-open"][..], &["run", "notebooks/00_start_here.ipynb"], &["run", "--timings"]] {
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

/// A Python whose commands all succeed, except pip.
#[cfg(unix)]
const PYTHON_WITHOUT_NETWORK: &str = r#"case "$*" in
    *"-m venv"*) mkdir -p "$3/bin" && cp "$0" "$3/bin/python";;
    *"-m pip"*) echo "No matching distribution"; exit 1;;
    *) echo 3.12.1;;
esac"#;

#[test]
#[cfg(unix)]
fn the_output_of_pip_is_passed_on() {
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
fn a_kernel_before_the_setup_names_the_command() {
    let tool = Tool::new("kernel");
    assert_refused(&tool.run(&["kernel", "--connection-file", "nowhere.json"]), &["cargo lab"]);
}

#[test]
fn bench_starts_each_row_with_the_model_and_its_rate() {
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
        assert!(rate > 0.0 && row[2] == "img/s" && row[3] == "roofline", "{text}");
        assert_eq!(row.contains(&"embed"), arguments.contains(&"--inference"), "{text}");
    }
}
