//! `latentlab worker`: several at once, killed, ended by a signal; programs that fail, hang and say what cannot be.
#![cfg(unix)]

mod folder;
mod refusal;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use folder::Folder;
use latentlab::{Study, TrialRecord, TrialState};
use refusal::assert_refused;
use serde_json::Value;

/// A study and a shell script for its trials, which is given the trial's number and the parameter x.
struct Site {
    folder: Folder,
    script: &'static str,
}

impl Site {
    fn new(name: &str, script: &'static str) -> Self {
        Self { folder: Folder::new(&format!("worker-{name}")), script }
    }

    fn study(&self) -> PathBuf {
        self.folder.file("study.log")
    }

    /// A worker with these options. The folder is the script's working directory.
    fn worker(&self, options: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latentlab"));
        command.current_dir(&self.folder.0).args(["worker", "--study", "study.log", "-p", "x=0.0..1.0"]);
        command.args(options).args(["--", "sh", "-c", self.script, "{trial}", "{x}"]);
        command
    }

    fn start(&self, options: &[&str]) -> Child {
        self.worker(options).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    fn run(&self, options: &[&str]) -> Output {
        self.worker(options).output().unwrap()
    }

    fn records(&self) -> Vec<TrialRecord> {
        Study::open(self.study(), "latentlab").unwrap().records()
    }

    /// The lines of a file that the scripts have written.
    fn lines(&self, name: &str) -> Vec<String> {
        let text = fs::read_to_string(self.folder.file(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// Waits until a script has written so many lines.
    fn wait_for(&self, name: &str, lines: usize) {
        let start = Instant::now();
        while self.lines(name).len() < lines {
            assert!(start.elapsed() < Duration::from_secs(300), "{name}: {:?}", self.lines(name));
            thread::sleep(Duration::from_millis(10));
        }
    }
}

/// How often each trial ended, by the journal itself.
fn ends(journal: &Path) -> BTreeMap<u64, usize> {
    let mut ends = BTreeMap::new();
    for line in fs::read_to_string(journal).unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        if line["op_code"] == 6 && [1, 2, 3].map(Value::from).contains(&line["state"]) {
            *ends.entry(line["trial_id"].as_u64().unwrap()).or_default() += 1;
        }
    }
    ends
}

/// Whether all of a study's trials are complete with the value x, and each ended once.
fn assert_complete(site: &Site, trials: usize) {
    let records = site.records();
    assert_eq!(records.len(), trials);
    for record in &records {
        assert_eq!(record.state, TrialState::Complete, "{record}");
        assert_eq!(record.value, Some(record.float("x").unwrap()), "all digits arrive and come back");
    }
    assert_eq!(ends(&site.study()), (0..trials as u64).map(|trial| (trial, 1)).collect());
    let left: Vec<_> = fs::read_dir(&site.folder.0).unwrap().map(|file| file.unwrap().file_name()).collect();
    let workers = left.iter().filter(|name| name.to_string_lossy().contains(".worker")).count();
    assert_eq!(workers, 0, "{left:?}");
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Whether a process runs, and is no zombie.
fn runs(process: &str) -> bool {
    let output = Command::new("ps").args(["-o", "stat=", "-p", process]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().starts_with(|state| state != 'Z')
}

#[test]
fn several_workers_share_a_study_and_end_with_it() {
    let site = Site::new("several", "echo $0 >> begun; echo latentlab report 1 0; echo latentlab result $1");
    let mut workers: Vec<Child> = (0..4).map(|_| site.start(&["--trials", "24"])).collect();
    assert!(workers.iter_mut().all(|worker| worker.wait().unwrap().success()));
    let mut begun: Vec<usize> = site.lines("begun").iter().map(|line| line.parse().unwrap()).collect();
    begun.sort_unstable();
    assert_eq!(begun, Vec::from_iter(1..=24), "none twice");
    assert!(site.records().iter().all(|record| record.reports.len() == 1));
    assert_complete(&site, 24);
    // The study is done: there is nothing to do, with its space or without.
    let output = site.run(&["--trials", "24"]);
    assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).starts_with("best: trial "));
    assert_eq!(site.lines("begun").len(), 24);
    let mut command = Command::new(env!("CARGO_BIN_EXE_latentlab"));
    command.args(["worker", "--study"]).arg(site.study()).args([
        "--trials",
        "25",
        "echo",
        "latentlab",
        "result",
        "{x}",
    ]);
    assert!(command.output().unwrap().status.success());
    assert_complete(&site, 25);
}

#[test]
fn what_killed_workers_had_comes_again() {
    let site = Site::new("killed", "echo $0 >> begun; sleep 0.1; echo latentlab result $1");
    let options = ["--trials", "40", "--retries", "100"];
    let mut workers: Vec<Child> = (0..4).map(|_| site.start(&options)).collect();
    let mut kills = 0;
    for round in 1..=6 {
        site.wait_for("begun", 4 * round);
        let worker = &mut workers[round % 4];
        // The last ones may have ended by themselves.
        kills += usize::from(worker.try_wait().unwrap().is_none());
        let _ = worker.kill();
        worker.wait().unwrap();
        *worker = site.start(&options);
    }
    assert!(workers.iter_mut().all(|worker| worker.wait().unwrap().success()));
    assert!(kills >= 4, "{kills}");
    assert_complete(&site, 40);
    let begun: BTreeSet<String> = site.lines("begun").into_iter().collect();
    assert_eq!(begun.len(), 40);
    assert!(site.lines("begun").len() <= 40 + kills, "only what a killed worker had began again");
}

#[test]
fn a_signal_hands_the_trial_back() {
    let site = Site::new("signal", "echo $$ $1 >> begun; exec sleep 600");
    for (name, code) in [("-TERM", 143), ("-INT", 130)] {
        let before = site.lines("begun").len();
        let mut worker = site.start(&["--trials", "1"]);
        site.wait_for("begun", before + 1);
        signal(&worker, name);
        assert_eq!(worker.wait().unwrap().code(), Some(code));
        let [record] = &site.records()[..] else { panic!("{:?}", site.records()) };
        assert_eq!(record.state, TrialState::Waiting);
    }
    let begun: Vec<Vec<String>> =
        site.lines("begun").iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
    assert!(begun.len() == 2 && begun[0][1] == begun[1][1], "the same settings: {begun:?}");
    assert!(!begun.iter().any(|line| runs(&line[0])), "the programs have ended");
    // Handed back, not lost: with no retries it comes again all the same, here to one that ends at the signal with a
    // result.
    let script = "trap 'echo latentlab result 0.5; exit 0' TERM; echo >> ready; sleep 600 & wait";
    let site = Site { folder: site.folder, script };
    let mut worker = site.start(&["--trials", "1", "--retries", "0"]);
    site.wait_for("ready", 1);
    signal(&worker, "-TERM");
    assert_eq!(worker.wait().unwrap().code(), Some(143));
    assert_eq!(site.records()[0].value, Some(0.5));
}

#[test]
fn a_program_ends_with_its_killed_worker() {
    let site = Site::new("orphan", "echo $$ >> begun; exec sleep 600");
    let mut worker = site.start(&["--trials", "1"]);
    site.wait_for("begun", 1);
    worker.kill().unwrap();
    worker.wait().unwrap();
    let start = Instant::now();
    while cfg!(target_os = "linux") && runs(&site.lines("begun")[0]) {
        assert!(start.elapsed() < Duration::from_secs(10));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn failures_are_told_with_their_reason() {
    for (script, reason) in [
        ("echo boom >&2; exit 3", "exit status: 3: boom"),
        ("kill -KILL $$", "signal: 9 (SIGKILL)"),
        ("echo latentlab result 0.5; exit 1", "exit status: 1"),
        ("echo all is well", "it ended without a line `latentlab result VALUE`"),
        ("echo latentlab result nan", "its result is NaN"),
        ("echo latentlab report 1 inf; sleep 600", "it reported inf"),
        (
            "echo latentlab result 0,5; sleep 600",
            "expected `latentlab report EPOCH VALUE` or `latentlab result VALUE`, got `latentlab result 0,5`",
        ),
        (
            "echo latentlab report 2 1; echo latentlab report 2 1; exec sleep 600",
            "trial 1, report: expected an epoch above 2, got 2",
        ),
    ] {
        let site = Site::new("failures", script);
        let output = site.run(&["--trials", "1"]);
        assert!(output.status.success(), "{script}: one failure is no reason to end");
        let [record] = &site.records()[..] else { panic!("{script}") };
        assert_eq!((record.state, record.failure.as_deref()), (TrialState::Failed, Some(reason)), "{script}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains(&format!("trial 1: failed: {reason}")), "{text}");
    }
}

#[test]
fn a_broken_program_does_not_use_the_study_up() {
    let site = Site::new("broken", "echo no module named torch >&2; exit 1");
    let words = ["4 trials in a row have failed", "exit status: 1: no module named torch"];
    assert_refused(&site.run(&["--trials", "30", "--failures", "4"]), &words);
    assert_eq!(site.records().len(), 4);
    assert!(site.run(&["--trials", "12", "--failures", "0"]).status.success());
    assert_eq!(site.records().len(), 12);
    // Nor one that is not there.
    let mut command = Command::new(env!("CARGO_BIN_EXE_latentlab"));
    command.args(["worker", "--study"]).arg(site.study()).args(["--trials", "14", "./no-such-program"]);
    assert_refused(&command.output().unwrap(), &["./no-such-program", "cannot be started"]);
    assert_eq!(site.records()[12].state, TrialState::Waiting);
}

#[test]
fn a_journal_that_cannot_grow_loses_nothing() {
    let site = Site::new("full", "echo latentlab result $1");
    let mut limited = Command::new("sh");
    limited.current_dir(&site.folder.0).args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh"]);
    let worker = site.worker(&["--trials", "40"]);
    limited.arg(worker.get_program()).args(worker.get_args());
    assert_refused(&limited.output().unwrap(), &["study.log", "cannot write it"]);
    let before = site.records();
    assert!((1..40).contains(&before.len()), "{}", before.len());
    assert!(site.run(&["--trials", "40"]).status.success());
    let records = site.records();
    assert!(records.len() == 40 && records.iter().all(|trial| trial.state == TrialState::Complete));
    assert!(before.iter().zip(&records).all(|(before, after)| before.value.is_none() || before.value == after.value));
}

#[test]
fn what_is_worse_than_the_others_or_too_slow_is_ended() {
    // Its value is its number; the sixth is worse than the median of five, and would go on.
    let site = Site::new("pruned", "echo latentlab report 1 $0; [ $0 -lt 6 ] || sleep 600; echo latentlab result $0");
    let start = Instant::now();
    assert!(site.run(&["--trials", "6"]).status.success());
    assert!(start.elapsed() < Duration::from_secs(60));
    let records = site.records();
    assert_eq!((records[5].state, records[5].value), (TrialState::Pruned, Some(6.0)));
    // With other settings the third is the first that can be, and only at its second epoch.
    let script = "echo latentlab report 1 $0; echo latentlab report 2 $0; sleep 1; echo latentlab result $0";
    let site = Site::new("pruning", script);
    assert!(site.run(&["--trials", "4", "--startup-trials", "2", "--warmup-epochs", "2"]).status.success());
    let pruned: Vec<_> = site.records().iter().filter(|trial| trial.state == TrialState::Pruned).cloned().collect();
    assert_eq!(pruned.iter().map(|trial| trial.number).collect::<Vec<_>>(), [3, 4]);
    assert!(pruned.iter().all(|trial| trial.reports.len() == 2));
    let options = ["--trials", "4", "--startup-trials", "2", "--interval-epochs", "0"];
    assert_refused(&site.run(&options), &["interval_epochs", "at least 1", "got 0"]);
    // A program that does not heed SIGTERM is killed, with what it has started.
    let site = Site::new("slow", "trap '' TERM; echo $$ >> begun; sleep 600; sleep 600");
    assert!(site.run(&["--trials", "1", "--timeout", "0.5"]).status.success());
    assert_eq!(site.records()[0].failure.as_deref(), Some("it took longer than 500ms"));
    assert!(!runs(&site.lines("begun")[0]));
}

#[test]
fn a_trial_that_kills_its_worker_comes_again_only_so_often() {
    let site = Site::new("retries", "echo $0 >> begun; [ $0 -ne 1 ] || kill -KILL $PPID; echo latentlab result $1");
    for _ in 0..3 {
        assert!(!site.run(&["--trials", "3", "--retries", "2"]).status.success());
    }
    assert!(site.run(&["--trials", "3", "--retries", "2"]).status.success());
    let records = site.records();
    assert_eq!(records[0].failure.as_deref(), Some("its worker ended 3 times without a result"));
    assert_eq!(site.lines("begun"), ["1", "1", "1", "2", "3"]);
    assert!(records[1..].iter().all(|record| record.state == TrialState::Complete));
}

#[test]
fn the_trial_is_in_the_environment_too() {
    let site = Site::new("environment", "printf '%s' \"$LATENTLAB_TRIAL\" > trial; echo latentlab result $1");
    assert!(site.run(&["--trials", "1"]).status.success());
    let trial: Value = serde_json::from_str(&fs::read_to_string(site.folder.file("trial")).unwrap()).unwrap();
    assert_eq!(trial["number"], 1);
    assert_eq!(trial["settings"]["x"].as_f64(), Some(site.records()[0].float("x").unwrap()));
}

#[test]
fn a_worker_that_does_not_wait_ends_when_all_trials_have_begun() {
    let site = Site::new("no-wait", "echo >> begun; sleep 600");
    let mut busy = site.start(&["--trials", "1"]);
    site.wait_for("begun", 1);
    assert!(site.run(&["--trials", "1", "--no-wait"]).status.success());
    let mut waiting = site.start(&["--trials", "1"]);
    thread::sleep(Duration::from_secs(1));
    assert!(waiting.try_wait().unwrap().is_none());
    busy.kill().unwrap();
    busy.wait().unwrap();
    site.wait_for("begun", 2);
    signal(&waiting, "-TERM");
    assert_eq!(waiting.wait().unwrap().code(), Some(143));
    assert_eq!(site.records()[0].state, TrialState::Waiting);
}

#[test]
fn mistakes_are_named() {
    let site = Site::new("mistakes", "true");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_latentlab"));
        command.current_dir(&site.folder.0).args(["worker", "--study", "study.log"]).args(arguments);
        command.output().unwrap()
    };
    for arguments in [
        &["true"][..],
        &["--trials", "3"],
        &["--trials", "x", "true"],
        &["--trials", "3", "--grid", "true"],
        &["--trials", "3", "--timeout", "0", "true"],
    ] {
        assert_eq!(run(arguments).status.code(), Some(2), "{arguments:?}");
    }
    assert_refused(&run(&["--trials", "3", "true"]), &["study.log", "cannot read it", "No such file"]);
    assert_refused(&run(&["--trials", "3", "-p", "x=1", "-p", "x=2", "true"]), &["space", "\"x\" twice"]);
    assert_refused(&run(&["--trials", "3", "-p", "x=-1..1", "true"]), &["-p: expected NAME=LOW..HIGH", "x=-1..1"]);
    assert_refused(&run(&["--trials", "3", "-p", "x=0.0..1.0", "--grid", "true"]), &["\"x\"", "in a grid"]);
    assert_refused(
        &run(&["--trials", "3", "-p", "lr=0.0..1.0", "--", "train", "--lr={rate}"]),
        &["{rate}: expected a parameter of lr or {trial} in braces"],
    );
    let other = run(&["--trials", "3", "-p", "x=0.0..1.0", "true"]);
    assert_refused(&other, &["study: its space or direction is not that of the journal"]);
    assert_refused(&run(&["--trials", "3", "--name", "b", "true"]), &["a study of the name \"b\"", "without it"]);
}
