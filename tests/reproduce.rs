//! `latentlab reproduce`: its results, and what happens when it is killed, resumed or asked for what cannot be.

mod folder;
mod refusal;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

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
    // A full run is not lost by starting again, a quick one may be.
    std::fs::write(done.join("models/notes.txt"), "mine").unwrap();
    assert!(run("s4", &done, &["--quick"]).status.success());
    assert_eq!(std::fs::read_to_string(done.join("models/notes.txt")).unwrap(), "mine");
    edit(&done.join("run.json"), |header| header["settings"]["quick"] = false.into());
    let written = std::fs::read_to_string(done.join("results.json")).unwrap();
    std::fs::write(done.join("results.json"), written.replace("\"quick\": true", "\"quick\": false")).unwrap();
    for options in [&[][..], &["--quick"]] {
        assert_refused(&run("s4", &done, options), &["with 5 finished tasks", "--resume", "--out", "delete"]);
    }
}

/// Changes a file of a run, as it might have been written.
fn edit(path: &Path, change: impl Fn(&mut Value)) {
    let mut sealed: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    change(&mut sealed["content"]);
    let sum = Sha256::digest(sealed["content"].to_string());
    sealed["sha256"] = sum.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    std::fs::write(path, sealed.to_string()).unwrap();
}

#[test]
fn damaged_files_and_those_of_another_run_are_refused() {
    let folder = Folder::new("reproduce-damaged");
    let resume = || reproduce("s4", &folder.0, &["--quick", "--resume"]).output().unwrap();
    assert!(reproduce("s4", &folder.0, &["--quick"]).output().unwrap().status.success());
    let whole = results(&folder.0);
    let refused = |name: &str, content: &[u8], words: &[&str]| {
        let path = folder.file(name);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, content).unwrap();
        assert_refused(&resume(), words);
        assert_eq!(std::fs::read(&path).unwrap(), content, "nothing is written over it");
        std::fs::write(&path, before).unwrap();
    };
    let text = |name: &str| std::fs::read_to_string(folder.file(name)).unwrap();
    for name in ["run.json", "tasks/ae1.json"] {
        let wrong = [name.rsplit('/').next().unwrap(), "not what `latentlab reproduce` wrote"];
        refused(name, b"{", &wrong);
        refused(name, b"", &wrong);
        refused(name, b"\xff", &wrong);
        // One character, as a bad disk does it.
        refused(name, text(name).replacen("\"S4\"", "\"S1\"", 1).as_bytes(), &[wrong[0], "checksum"]);
    }
    refused("tasks/ae1.json", text("tasks/ae2.json").as_bytes(), &["ae1.json", "of another task", "ae2.json"]);
    for other in ["{", "[]", &text("results.json").replace("\"S4\"", "\"S0\"")] {
        refused("results.json", other.as_bytes(), &["results.json", "not of the run in this folder", "report S4"]);
    }
    assert!(resume().status.success());
    assert_eq!(without_times(results(&folder.0)), without_times(whole.clone()));

    // One run at a time.
    let lock = std::fs::File::options().write(true).open(folder.file("run.lock")).unwrap();
    lock.lock().unwrap();
    assert_refused(&resume(), &["another run is at work"]);
    drop(lock);
    // Killed while it was clearing away what an earlier run had left, it begins.
    edit(&folder.file("run.json"), |header| header["begun"] = false.into());
    let output = resume();
    assert!(output.status.success() && !String::from_utf8_lossy(&output.stdout).contains("done before"));
    assert_eq!(without_times(results(&folder.0)), without_times(whole));
    // Killed before it had said whose folder this is, too.
    let begun = Folder::new("reproduce-begun");
    for name in ["run.lock", ".run.json.latentlab-0123456789abcdef.part"] {
        std::fs::write(begun.file(name), "").unwrap();
    }
    assert!(reproduce("s4", &begun.0, &["--quick"]).output().unwrap().status.success());
    // Folders of such names are anybody's.
    let others = Folder::new("reproduce-others");
    std::fs::create_dir(others.file("models")).unwrap();
    assert_refused(&reproduce("s4", &others.0, &["--quick"]).output().unwrap(), &["holds other files"]);
}

/// Every file of a run is whole at any moment: JSON that can be read, and pages with their end.
fn assert_whole(folder: &Path) {
    for part in ["", "tasks"] {
        for entry in std::fs::read_dir(folder.join(part)).into_iter().flatten() {
            let path = entry.unwrap().path();
            let is_part = path.file_name().unwrap().to_string_lossy().starts_with('.');
            if path.extension().is_some_and(|kind| kind == "json") && !is_part {
                let _: Value = serde_json::from_slice(&std::fs::read(&path).unwrap())
                    .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
        }
    }
}

/// The names and sizes of all files.
fn listing(folder: &Path) -> Vec<(std::path::PathBuf, u64)> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(found) if found.is_dir() => files.extend(listing(&entry.path())),
            Ok(found) => files.push((entry.path(), found.len())),
            Err(_) => {}
        }
    }
    files.sort();
    files
}

#[test]
fn killed_again_and_again_it_ends_the_same() {
    let whole = Folder::new("reproduce-once");
    assert!(reproduce("s4", &whole.0, &["--quick"]).output().unwrap().status.success());
    let killed = Folder::new("reproduce-often");
    let mut kills = 0;
    loop {
        // As soon as something has changed, a little later each time.
        let before = listing(&killed.0);
        let begun = killed.file("run.json").exists();
        let options: &[&str] = if begun { &["--quick", "--resume"] } else { &["--quick"] };
        let mut child = reproduce("s4", &killed.0, options).stdout(Stdio::null()).spawn().unwrap();
        let mut changes = 0;
        let mut last = before;
        let ended = loop {
            let now = listing(&killed.0);
            changes += usize::from(now != last);
            last = now;
            if let Some(status) = child.try_wait().unwrap() {
                break Some(status);
            }
            if changes > kills {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            std::thread::sleep(Duration::from_micros(200));
        };
        assert_whole(&killed.0);
        if let Some(status) = ended {
            assert!(status.success());
            break;
        }
        kills += 1;
    }
    println!("killed {kills} times");
    assert!(kills >= 5, "{kills}");
    assert_eq!(without_times(results(&killed.0)), without_times(results(&whole.0)));
}

/// A process that may write no file above some size meets what a full disk does: writing fails in the middle of a file.
#[test]
#[cfg(unix)]
fn a_full_disk_is_said_and_loses_nothing() {
    let whole = Folder::new("reproduce-room");
    assert!(reproduce("s4", &whole.0, &["--quick"]).output().unwrap().status.success());
    let full = Folder::new("reproduce-full");
    let limited = |blocks: usize| {
        let begun = full.file("run.json").exists();
        let inner = reproduce("s4", &full.0, if begun { &["--quick", "--resume"] } else { &["--quick"] });
        let mut limited = Command::new("sh");
        limited.args(["-c", &format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\""), "sh"]);
        let output = limited.arg(inner.get_program()).args(inner.get_args()).output().unwrap();
        assert_whole(&full.0);
        output
    };
    for blocks in [0, 1, 64] {
        assert_refused(&limited(blocks), &["cannot write it (File too large"]);
    }
    // Enough for a model, and too little for a checkpoint with the optimizer's moments: trainings go on without one.
    let output = limited(400);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("warning: after epoch 1: "), "{text}");
    assert!(text.contains("cannot write it (File too large") && text.contains("The training goes on"), "{text}");
    assert_eq!(without_times(results(&full.0)), without_times(results(&whole.0)));
}
