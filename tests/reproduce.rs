//! `latentlab reproduce`: its results, and what happens when it is killed, resumed or asked for what cannot be.

mod folder;
mod refusal;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use folder::Folder;
use refusal::assert_refused;

/// On the built-in data.
fn reproduce(report: &str, folder: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_latentlab"));
    command.args(["reproduce", report, "--data", "built-in", "--out"]).arg(folder).args(options);
    command
}

fn results(folder: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(folder.join("results.json")).unwrap()).unwrap()
}

/// Without what depends on the machine.
fn without_times(mut results: Value) -> Value {
    results["seconds"].take();
    results["numbers"].as_array_mut().unwrap().iter_mut().for_each(|number| drop(number["seconds"].take()));
    results
}

#[test]
fn a_quick_run_writes_the_page_and_the_numbers() {
    let folder = Folder::new("reproduce-quick");
    let output = reproduce("s4", &folder.0, &["--quick"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let results = results(&folder.0);
    assert_eq!((&results["report"], &results["complete"]), (&"S4".into(), &true.into()));
    assert_eq!((&results["quick"], &results["data"]), (&true.into(), &"built-in digits, seed 0".into()));
    let numbers = results["numbers"].as_array().unwrap();
    for (name, report) in [("final training MSE, 2 numbers", 0.067), ("final training MSE, 4 numbers", 0.049)] {
        let number = numbers.iter().find(|number| number["name"] == name).unwrap();
        assert_eq!(number["report"], report);
        assert_eq!(number["condition"]["at_most"], report);
        assert_eq!(number["seed"], 29);
        let (ours, met) = (number["ours"].as_f64().unwrap(), number["met"].as_bool().unwrap());
        assert!(ours > 0.01 && ours < 1.0 && met == (ours <= report), "{number}");
        assert!(number["seconds"].as_f64().unwrap() > 0.0);
    }
    let page = std::fs::read_to_string(folder.file("report.html")).unwrap();
    for text in [
        "S4: tiny dense",
        "0.0670",
        "<svg",
        "data:image/png;base64,",
        "A quick run",
        "built-in drawings",
        "AE2: 4 numbers",
    ] {
        assert!(page.contains(text), "no {text:?}");
    }
    assert!(!page.contains("http://") || page.matches("http://").count() == page.matches("http://www.w3.org").count());
    assert!(Path::new(&folder.0.join("models/ae2.safetensors")).is_file());
}

#[test]
fn a_killed_run_ends_the_same_when_it_is_resumed() {
    let whole = Folder::new("reproduce-whole");
    assert!(reproduce("s2", &whole.0, &["--quick"]).output().unwrap().status.success());
    let killed = Folder::new("reproduce-killed");
    let mut child = reproduce("s2", &killed.0, &["--quick"]).stdout(Stdio::null()).spawn().unwrap();
    // In the middle: in the cross-validation, some tasks are done.
    let begun = killed.0.join("checkpoints/fold-2.safetensors");
    while !begun.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be killed");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(results(&killed.0)["complete"], false);
    let page = std::fs::read_to_string(killed.0.join("report.html")).unwrap();
    assert!(page.contains("Not complete: 4 of 10 parts are done."), "{}", &page[..2000]);

    let output = reproduce("s2", &killed.0, &["--quick", "--resume"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("Denoising: done before"), "{text}");
    assert_eq!(without_times(results(&killed.0)), without_times(results(&whole.0)));
    assert!(results(&whole.0)["numbers"].as_array().unwrap().len() >= 10);
}

#[test]
fn what_cannot_be_is_refused_in_a_sentence() {
    let folder = Folder::new("reproduce-refused");
    let file = folder.file("file");
    std::fs::write(&file, "mine").unwrap();
    let run = |report, out: &Path, options: &[&str]| reproduce(report, out, options).output().unwrap();
    assert_refused(&run("s4", &file, &["--quick"]), &["file", "--out takes a folder"]);
    assert_refused(&run("s4", &folder.0, &["--quick"]), &["holds other files"]);
    assert_refused(&run("s4", &folder.file("new"), &["--resume"]), &["no run to go on with", "Without --resume"]);
    assert_refused(&run("s4", &folder.file("new"), &["--epochs", "3"]), &["--epochs", "S4"]);
    assert_refused(&run("s4", &file.join("below"), &["--quick"]), &["below", "cannot create it"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");

    // A run of other settings stays as it is.
    let done = folder.file("s4");
    assert!(run("s4", &done, &["--quick"]).status.success());
    let before = results(&done);
    assert_refused(&run("s1", &done, &["--quick", "--resume"]), &["a run of report S4, quick", "one of report S1"]);
    assert_refused(&run("s4", &done, &["--resume"]), &["a run of report S4, quick", "one of report S4, on"]);
    assert_eq!(results(&done), before);
    // A full run is not lost by beginning anew, a quick one may be.
    assert!(run("s4", &done, &["--quick"]).status.success());
    let settings = std::fs::read_to_string(done.join("run.json")).unwrap().replace("true", "false");
    std::fs::write(done.join("run.json"), settings).unwrap();
    for options in [&[][..], &["--quick"]] {
        assert_refused(&run("s4", &done, options), &["with 5 finished tasks", "--resume", "--out", "delete"]);
    }
    std::fs::write(done.join("tasks/ae1.json"), "{").unwrap();
    assert_refused(&run("s4", &done, &["--resume"]), &["ae1.json", "not what `latentlab reproduce` wrote"]);
}
