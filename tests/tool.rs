//! The tool's messages when something is missing or wrong.

mod refusal;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use refusal::assert_refused;
use serde_json::{Value, json};

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

    /// Writes a file in the folder.
    fn write(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
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
        &["setup", "--no-jupyter"],
        &["setup", "--prefix"],
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
    let smoke = notebook(r#"{ "latentlab": { "smoke": { "epoch": "1" } } }"#, "let epochs = 9;");
    let path = tool.write("lesson.ipynb", &smoke);
    let run = |arguments: &[&str]| tool.run(&[&["run", path.to_str().unwrap()], arguments].concat());
    assert_refused(&run(&["--smoke"]), &["lesson.ipynb", "epoch", "let epoch = …;"]);
    assert_refused(&run(&["-p", "size=1"]), &["lesson.ipynb", "no knob size", "its knobs are epochs"]);
    // With a valid value, the next thing that is missing.
    assert_refused(&run(&["--parameter", "epochs=1"]), &["Python is missing"]);
    tool.write("lesson.ipynb", &notebook("{}", "let epochs = 9;"));
    assert_refused(&run(&["-p", "epochs=1"]), &["no knobs", "`parameters`"]);
}

#[test]
fn only_files_that_run_has_written_are_replaced() {
    let tool = Tool::new("replaced");
    let write = |name: &str, content: &str| tool.write(name, content).into_os_string().into_string().unwrap();
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
fn outputs_of_the_same_name_or_that_replace_a_notebook_are_refused() {
    let tool = Tool::new("plan");
    let text = notebook("{}", "1");
    let [a, big, other, dotted, below] =
        ["a.ipynb", "b/A.ipynb", "c/a.json", "a.0.ipynb", "executed/a.ipynb"].map(|name| tool.write(name, &text));
    let out = tool.folder.join("out");
    let refused = |notebooks: &[&PathBuf], out: Option<&Path>, words: &[&str]| {
        let mut command = tool.command();
        command.arg("run").args(notebooks);
        if let Some(out) = out {
            command.arg("--out").arg(out);
        }
        assert_refused(&command.output().unwrap(), words);
    };
    let same = ["would both be executed into", "--out"];
    refused(&[&a, &big], Some(&out), &same);
    refused(&[&a, &other], Some(&out), &same);
    refused(&[&a, &a], None, &same);
    assert!(!out.exists(), "nothing has been created");
    refused(&[&a], Some(&tool.folder), &["would replace", "a.ipynb"]);
    refused(&[&a, &below], None, &["would replace", "executed/a.ipynb"]);
    refused(&[&a], Some(&a), &["it is a file", "a.ipynb"]);
    // These are not, and the next thing that is missing is named; by default, each goes into the folder next to it.
    refused(&[&a, &dotted], Some(&out), &["Python is missing"]);
    refused(&[&big, &other], None, &["Python is missing"]);
    #[cfg(unix)]
    for (name, link) in
        [("soft", std::os::unix::fs::symlink as fn(PathBuf, PathBuf) -> _), ("hard", std::fs::hard_link)]
    {
        let out = tool.folder.join(name);
        std::fs::create_dir(&out).unwrap();
        link(big.clone(), out.join("A.html")).unwrap();
        refused(&[&big], Some(&out), &["would replace", "A.html"]);
    }
}

#[test]
fn malformed_notebooks_are_refused_with_a_reason() {
    let tool = Tool::new("malformed");
    let with = |change: &dyn Fn(&mut Value)| {
        let mut changed = serde_json::from_str(&notebook("{}", "1")).unwrap();
        change(&mut changed);
        changed.to_string().into_bytes()
    };
    let deep = |depth: usize| format!("{{\"nbformat\": 4, \"cells\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    for (bytes, expected) in [
        (vec![], "cannot be read as JSON"),
        (b"<!DOCTYPE html>".to_vec(), "cannot be read as JSON"),
        (b"\xff\xfe{\0}\0".to_vec(), "not UTF-8"),
        (b"[]".to_vec(), "expected an object with nbformat and cells, got a list of 0"),
        (b"{}".to_vec(), "nbformat: expected the number 4, got nothing"),
        (deep(5_000_000).into_bytes(), "recursion limit"),
        (with(&|n| n["nbformat"] = json!(3)), "expected a notebook of nbformat 4, got 3. Open it in JupyterLab"),
        (with(&|n| n["nbformat"] = json!("4")), "nbformat: expected the number 4, got a text"),
        (with(&|n| n["nbformat"] = json!(-4)), "nbformat 4, got -4"),
        (with(&|n| n["nbformat_minor"] = json!(1e300)), "nbformat_minor"),
        (with(&|n| n["metadata"] = json!([])), "the notebook's metadata: expected an object, got a list of 0"),
        (with(&|n| n["cells"] = json!({})), "cells: expected a list, got an object"),
        (with(&|n| n["cells"] = json!([1])), "cell 1: expected an object, got 1"),
        (
            with(&|n| n["cells"][0]["cell_type"] = json!("heading")),
            "cell 1, cell_type: expected code, markdown or raw, got \"heading\"",
        ),
        (
            with(&|n| n["cells"][0]["source"].take().as_null().unwrap_or(())),
            "cell 1, source: expected text or a list of lines, got nothing",
        ),
        (with(&|n| n["cells"][0]["source"] = json!(["a", 1])), "cell 1, source"),
        (with(&|n| n["cells"][0]["metadata"] = json!("x")), "cell 1, metadata"),
        (with(&|n| n["cells"][0]["metadata"]["tags"] = json!("skip-execution")), "cell 1, tags"),
        (with(&|n| n["cells"][0]["outputs"] = json!([{}])), "cell 1, outputs"),
        (with(&|n| n["cells"][0]["execution_count"] = json!("1")), "cell 1, execution_count"),
    ] {
        let path = tool.folder.join("a.ipynb");
        std::fs::write(&path, bytes).unwrap();
        let output = tool.command().arg("run").arg(&path).output().unwrap();
        assert_refused(&output, &["1 of 1 notebooks cannot be run"]);
        let message = String::from_utf8_lossy(&output.stderr);
        let error = message.lines().next().and_then(|line| line.split_once("a.ipynb: ")).unwrap().1;
        assert!(error.contains(expected) && error.len() < 200, "expected {expected}, got {error}");
    }
}

#[test]
fn a_huge_file_is_not_read() {
    let tool = Tool::new("huge");
    let path = tool.write("a.ipynb", "");
    std::fs::File::options().write(true).open(&path).unwrap().set_len(1 << 42).unwrap();
    let output = tool.command().arg("run").arg(&path).output().unwrap();
    assert_refused(&output, &["a.ipynb: expected a file of at most 256 MiB, got a larger one"]);
}

#[test]
fn a_damaged_notebook_is_reported_and_the_others_are_run() {
    let tool = Tool::new("damaged");
    let path = |name: &str, content: &str| tool.write(name, content).into_os_string().into_string().unwrap();
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
#[cfg(unix)]
fn a_kernel_that_does_not_start_is_named_and_one_is_compiled() {
    let script = PYTHON_WITHOUT_NETWORK.replace("exit 1", "exit 0");
    let tool = Tool::new("kernels")
        .program("python3", &format!("PATH=/usr/bin:/bin\n{script}"))
        .program("rustc", "echo 'rustc 1.95.0 (abc 2026-03-21)'")
        .program("cargo", "test \"$1\" = --version || { echo \"got $*\"; exit 1; }")
        .program("evcxr_jupyter", "exit 3");
    let output = tool.run(&["lab"]);
    let printed = String::from_utf8_lossy(&output.stdout);
    let reason = ["bin/evcxr_jupyter is not used", "exit status: 3", "zeromq/ipc-transport"];
    assert!(reason.iter().all(|part| printed.contains(part)), "{printed}");
    assert_refused(&output, &["could not be installed", "got install --locked", "evcxr_jupyter@0.22.0"]);
}

#[test]
fn a_folder_that_is_named_as_the_project_and_is_none_is_refused() {
    let tool = Tool::new("project");
    let folder = tool.folder.to_str().unwrap();
    let output = tool.command().env("LATENTLAB_PROJECT", folder).arg("lab").output().unwrap();
    assert_refused(&output, &["LATENTLAB_PROJECT", folder, "notebooks/evcxr.toml"]);
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
#[cfg(unix)]
fn a_folder_that_cannot_be_an_installation_is_refused() {
    let tool = Tool::new("prefix");
    let prefix = |folder: &Path| tool.run(&["setup", "--prefix", folder.to_str().unwrap()]);
    let new = tool.folder.join("new");
    assert_refused(&prefix(&tool.folder), &["empty folder", "got a folder with other files"]);
    assert_refused(&prefix(&tool.folder.join("a b")), &["space", "a b"]);
    let file = tool.write("file", "");
    assert_refused(&prefix(&file.join("below")), &["below: cannot create it", "a folder that you may write"]);
    assert_refused(&prefix(&new), &["Rust is missing", "all users can read"]);
    tool.write("new/latentlab.json", r#"{ "version": "0.0.1", "rust": "/r", "rustc": "", "cargo": "/c" }"#);
    assert_refused(&prefix(&new), &["new: latentlab 0.0.1 is installed there", "remove that one"]);
    tool.write("new/latentlab.json", "{");
    assert_refused(&prefix(&new), &["latentlab.json: not the description of an installation"]);
}

/// What a user is told whose administrator has to act, or who has no folder of his own.
#[test]
#[cfg(unix)]
fn a_kernel_of_a_shared_installation_says_what_is_missing() {
    let tool = Tool::new("shared").program("rustc", "echo 'rustc 1.95.0 (abc 2026-04-14)\nhost: x'");
    let connection = json!({
        "transport": "tcp", "ip": "127.0.0.1", "shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4,
        "hb_port": 5, "key": "secret"
    });
    let connection = tool.write("connection.json", &connection.to_string());
    let describe = |rust: &Path, version: &str| {
        let rustc = format!("rustc {version} (abc 2026-04-14)\nhost: x");
        let text = json!({ "version": "0.1.0", "rust": rust, "rustc": rustc, "cargo": "/nowhere" }).to_string();
        tool.write("latentlab.json", &text);
    };
    let program = tool.folder.join("bin/latentlab");
    let original = env!("CARGO_BIN_EXE_latentlab");
    std::fs::hard_link(original, &program).or_else(|_| std::fs::copy(original, &program).map(drop)).unwrap();
    let kernel = |cache: &str| {
        let mut command = Command::new(&program);
        command.args(["kernel", "--connection-file"]).arg(&connection).env("XDG_CACHE_HOME", cache);
        command.env("PATH", "/usr/bin:/bin").output().unwrap()
    };
    let cache = tool.folder.join("cache");
    let cache = cache.to_str().unwrap();
    describe(&tool.folder, "1.95.0");
    assert_refused(&kernel(cache), &["The Rust kernel is not installed"]);
    tool.write("bin/evcxr_jupyter", "");
    let again = format!("run `latentlab setup --prefix {}` again", tool.folder.display());
    assert_refused(&kernel(cache), &["is not complete", &again]);
    describe(&tool.folder.join("gone"), "1.95.0");
    assert_refused(&kernel(cache), &["gone: the Rust that the kernel", "is not there, or you may not use it", &again]);
    describe(&tool.folder, "1.94.0");
    assert_refused(&kernel(cache), &["was built with rustc 1.94.0", "rustc 1.95.0", "is there", &again]);
    describe(&tool.folder, "1.95.0");
    tool.write("build/warm/stamp", "a digest");
    assert_refused(&kernel("/dev/null/cache"), &["/dev/null/cache: cannot create it", "XDG_CACHE_HOME"]);
    assert_refused(&kernel(&format!("{cache} of mine")), &["space", "XDG_CACHE_HOME"]);
    // Then it goes on, with a folder that is this user's alone.
    assert_refused(&kernel(cache), &["The warm build cannot be copied to"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(format!("{cache}/latentlab")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn lessons_are_copied_and_those_that_are_there_stay() {
    let tool = Tool::new("lessons");
    let mine = tool.write("course/01_tiny_autoencoder.ipynb", "mine");
    let output = tool.run(&["lessons", tool.folder.join("course").to_str().unwrap()]);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && printed.contains("1 were there with changes"), "{printed}");
    assert_eq!(std::fs::read_to_string(mine).unwrap(), "mine");
    assert!(tool.folder.join("course/00_start_here.ipynb").is_file());
    assert!(!tool.folder.join("course/evcxr.toml").exists());
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
        for word in ["embed", "memory"] {
            assert_eq!(row.contains(&word), arguments.contains(&"--inference"), "{text}");
        }
    }
}
