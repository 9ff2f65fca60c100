//! Journals that workers of Optuna have written, alone or together with ours: lines as Optuna 5.0.0 writes them.
//! tests/reference/optuna_journal.py runs both against each other.

mod folder;

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, Instant},
};

use folder::Folder;
use latentlab::{ErrorKind, Result, Setting, Space, Study, TrialState};
use sha2::{Digest, Sha256};

fn space() -> Space {
    let choices = [Setting::from("a"), Setting::from("b"), Setting::from(2)];
    Space::new().float("x", 0.0, 1.0).integer("n", 2, 8).choice("c", choices)
}

fn open(path: &Path, space: Space) -> Result<Study> {
    Study::minimize(space)?.progress_every(0).optuna(path, "digits")
}

/// What tests/reference/optuna_journal.py writes, in a new folder.
fn written_by_optuna(name: &str) -> (Folder, std::path::PathBuf) {
    let folder = Folder::new(name);
    let bytes = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/optuna_journal.log")).unwrap();
    let path = folder.write("study.log", &bytes);
    (folder, path)
}

const CREATE: &str = r#"{"op_code":0,"worker_id":"w","study_name":"digits","directions":[1]}"#;

/// A new trial as Optuna begins it.
const TRIAL: &str = r#"{"op_code":4,"worker_id":"w","study_id":0,"datetime_start":"2026-11-26T17:20:40.665397+00:00"}"#;

fn parameter(trial: usize, name: &str, value: &str, distribution: &str, attributes: &str) -> String {
    let distribution = format!(r#"{{"name": "{distribution}Distribution", "attributes": {{{attributes}}}}}"#);
    let distribution = distribution.replace('"', "\\\"");
    let of = format!(r#"{{"op_code":5,"worker_id":"w","trial_id":{trial},"param_name":"{name}""#);
    format!(r#"{of},"param_value_internal":{value},"distribution":"{distribution}"}}"#)
}

const FLOAT: &str = r#""step": null, "low": 0.0, "high": 1.0, "log": false"#;

fn write(path: &Path, lines: &[&str]) -> String {
    let text = lines.join("\n") + "\n";
    fs::write(path, &text).unwrap();
    text
}

#[test]
fn what_optuna_wrote_is_read() {
    let (_folder, path) = written_by_optuna("optuna-read");
    let study = open(&path, space()).unwrap();
    let records = study.records();
    let x = |number: usize| records[number - 1].float("x").unwrap();
    assert_eq!((x(1), x(2), x(3), x(8)), (5.0, 0.7151893663724195, 0.4375872112626925, 0.26455561210462697));
    assert_eq!(records[0].settings["c"], Setting::from("b"));
    assert_eq!(records[1].settings["c"], Setting::from(2));
    assert_eq!(records[5].settings["more"], Setting::from("True"));
    assert_eq!(records[5].settings["negative"], Setting::from(-4.0));
    let states: Vec<TrialState> = records.iter().map(|record| record.state).collect();
    use TrialState::{Complete, Failed, Pruned, Running, Waiting};
    // Trial 3 is complete with infinity: that is a failure here.
    assert_eq!(states, [Complete, Pruned, Failed, Failed, Complete, Complete, Complete, Running, Waiting, Waiting]);
    let values: Vec<Option<f64>> = records.iter().map(|record| record.value).collect();
    let [first, second] = [Some(2.7151893663724196), Some(7.020218397440326)];
    assert_eq!(values[..5], [Some(10.0), first, None, None, second]);
    assert_eq!(records[0].reports, [(0, Some(10.0)), (1, None), (2, None)]);
    assert_eq!(records[6].reports, [(0, Some(3.0)), (1, Some(2.0))]);
    assert!((0.01..10.0).contains(&records[0].seconds) && records[7].seconds == 0.0, "{records:?}");
    // Optuna's best_trial has number 6.
    assert_eq!(study.best().unwrap().number, 7);
    assert!(
        study.to_string().starts_with("10 trials: 4 complete, 1 pruned, 2 failed, 1 running, 2 waiting"),
        "{study}"
    );
    assert_eq!(study.importance().unwrap_err().to_string(), "importance: expected at least 4 complete trials, got 1");
}

#[test]
fn enqueued_trials_come_first_with_the_settings_that_the_space_has() {
    let (_folder, path) = written_by_optuna("optuna-enqueued");
    let study = open(&path, space()).unwrap().trials(11);
    let enqueued = study.ask().unwrap().unwrap();
    assert_eq!((enqueued.number(), enqueued.float("x").unwrap(), enqueued.integer("n").unwrap()), (9, 1.0, 3));
    assert_eq!(enqueued.settings().len(), 3, "c is sampled, and what the space has not is left away");
    let retried = study.ask().unwrap().unwrap();
    assert_eq!((retried.number(), retried.float("x").unwrap(), retried.integer("c").unwrap()), (10, 0.25, 2));
    let other = open(&path, space()).unwrap().trials(11);
    let new = other.ask().unwrap().unwrap();
    assert_eq!(new.number(), 11, "the running trial is Optuna's");
    assert!(other.ask().unwrap().is_none());
    study.tell(enqueued, 0.5).unwrap();
    // One that its process has lost comes again.
    let settings = retried.settings().clone();
    drop((retried, study));
    let again = other.ask().unwrap().unwrap();
    assert_eq!((again.number(), again.settings()), (10, &settings));
    other.tell(again, 0.25).unwrap();
    other.tell(new, f64::NAN).unwrap();
    let records = open(&path, space()).unwrap().records();
    assert_eq!(records, other.records());
    assert_eq!(records[8..].iter().map(|record| record.value).collect::<Vec<_>>(), [Some(0.5), Some(0.25), None]);
}

#[test]
fn a_study_is_found_by_its_name() {
    let (_folder, path) = written_by_optuna("optuna-names");
    let study = |name: &str| Study::maximize(space()).unwrap().progress_every(0).trials(2).optuna(&path, name);
    let error = study("digits").err().unwrap().to_string();
    assert!(error.contains("study.log, line 2, study: its space or direction is not that of the journal"), "{error}");
    // The name of the deleted study is free, though that had two objectives.
    for name in ["other", "third"] {
        let new = study(name).unwrap();
        assert!(new.records().is_empty());
        let trial = new.ask().unwrap().unwrap();
        new.tell(trial, 3.0).unwrap();
    }
    assert_eq!(study("other").unwrap().records().len(), 1);
    assert_eq!(open(&path, space()).unwrap().records().len(), 10);
    let wider = space().float("y", 0.0, 1.0);
    let error = open(&path, wider).err().unwrap().to_string();
    assert!(error.contains("study: its space or direction is not that of the journal"), "{error}");
    for name in ["", "a\nb"] {
        assert_eq!(study(name).err().unwrap().kind(), ErrorKind::Argument);
    }
}

#[test]
fn what_cannot_be_is_refused_with_its_line_and_the_file_left_alone() {
    let folder = Folder::new("optuna-refused");
    let path = folder.file("study.log");
    let end = |state: &str| format!(r#"{{"op_code":6,"worker_id":"w","trial_id":0,{state}}}"#);
    let complete = end(r#""state":1,"values":[1.0],"datetime_complete":"2026-11-26T17:20:41.665397+00:00""#);
    let many = CREATE.replace("[1]", "[1,2]");
    let choices = |choices: &str| parameter(0, "c", "1", "Categorical", &format!("\"choices\": [{choices}]"));
    for (lines, expected) in [
        (vec![CREATE, "[1]"], "line 2: expected a line of a study's journal, as it was written, got invalid type"),
        (vec![CREATE, "{\"op_code\":4", TRIAL], "line 2: expected a line"),
        (
            vec![CREATE, "{\"op_code\":4,\"worker_id\":\"w\"}"],
            "line 2: expected a line of a study's journal, as it was ",
        ),
        (vec![CREATE, "{\"op_code\":11,\"worker_id\":\"w\"}"], "got op_code 11, of a newer Optuna than version 5"),
        (vec![CREATE, "{\"op_code\":-1,\"worker_id\":\"w\"}"], "got op_code -1"),
        (vec![CREATE, "{\"worker_id\":\"w\"}"], "got one without op_code"),
        (vec![CREATE, "{\"op_code\":10}"], "got one without worker_id"),
        (vec![&many], "line 1, study: expected a study with one objective, got 2"),
        (
            vec![CREATE, &TRIAL.replace("_id\":0", "_id\":1")],
            "line 2, study: expected one of the journal's 1 studies, got",
        ),
        (vec![CREATE, &complete], "line 2, study: expected one of the journal's 0 trials, got trial 0"),
        (vec![CREATE, TRIAL, &end(r#""state":5,"values":null"#)], "line 3, study: expected a state from 0 to 4, got 5"),
        (
            vec![CREATE, TRIAL, &end(r#""state":1,"values":null"#)],
            "line 3, study: expected one value of a complete trial",
        ),
        (vec![CREATE, TRIAL, &end(r#""state":1,"values":[1e999]"#)], "line 3: expected a line"),
        (
            vec![CREATE, TRIAL, &parameter(0, "c", "3", "Categorical", r#""choices": ["a", "b", 2]"#)],
            "line 3, study: expected an index of a choice",
        ),
        (
            vec![CREATE, TRIAL, &choices(r#""b", "a", 2"#)],
            "expected a choice of \"a\", \"b\", 2 for \"c\", as in the space, got a choice of \"b\", \"a\", 2",
        ),
        (
            vec![CREATE, TRIAL, &parameter(0, "x", "1.0", "Int", r#""log": false, "step": 1, "low": 0, "high": 1"#)],
            "expected a float for \"x\", as in the space, got an integer",
        ),
        (
            vec![CREATE, TRIAL, &parameter(0, "x", "0.5", "Float", &FLOAT.replace("false", "true"))],
            "got a float with log()",
        ),
        (vec![CREATE, TRIAL, &parameter(0, "x", "0.5", "Discrete", FLOAT)], "line 3: expected a line"),
        (
            vec![
                CREATE,
                TRIAL,
                r#"{"op_code":9,"worker_id":"w","trial_id":0,"system_attr":{"latentlab:worker":"me"}}"#,
            ],
            "line 3, study: expected the number of a worker, got \"me\"",
        ),
        (
            vec![CREATE, TRIAL, &complete.replace("\"w\"", "\"latentlab-0\"")],
            "line 3: expected a line of a study's journal, as it was written, got one that does not fit its check",
        ),
    ] {
        let text = write(&path, &lines);
        let error = open(&path, space()).err().unwrap_or_else(|| panic!("{text}"));
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    // A choice is the same for Python if its number is a float.
    write(&path, &[CREATE, TRIAL, &choices(r#""a", "b", 2.0"#), &complete, &complete]);
    assert_eq!(open(&path, space()).unwrap().records()[0].seconds, 1.0);
}

#[test]
fn torn_lines_are_cut_off_and_a_lost_line_end_is_put_back() {
    let (_folder, path) = written_by_optuna("optuna-torn");
    let whole = fs::read_to_string(&path).unwrap();
    fs::write(&path, format!("{whole}{}", &TRIAL[..50])).unwrap();
    drop(open(&path, space()).unwrap());
    let mended = fs::read_to_string(&path).unwrap();
    assert!(mended.starts_with(&whole) && mended.lines().count() == whole.lines().count() + 1, "and the space");
    fs::write(&path, mended.trim_end()).unwrap();
    assert_eq!(open(&path, space()).unwrap().records().len(), 10);
    assert_eq!(fs::read_to_string(&path).unwrap(), mended);
}

#[test]
fn a_grid_goes_on_with_what_no_trial_has() {
    let folder = Folder::new("optuna-grid");
    let path = folder.file("study.log");
    let space = || Space::new().integer("a", 1, 2).choice("b", ["x", "y"]).grid();
    let a = |trial, value| parameter(trial, "a", value, "Int", r#""log": false, "step": 1, "low": 0, "high": 9"#);
    let b = |trial, index| parameter(trial, "b", index, "Categorical", r#""choices": ["x", "y"]"#);
    let waiting = TRIAL.replace('}', r#","state":4,"system_attrs":{"fixed_params":{"b":"y"}}}"#);
    write(
        &path,
        &[
            CREATE,
            TRIAL,
            &a(0, "1"),
            &b(0, "0"),
            TRIAL,
            &a(1, "9"),
            &b(1, "0"),
            TRIAL,
            &a(2, "2"),
            &b(2, "1"),
            &waiting,
        ],
    );
    let study = open(&path, space()).unwrap();
    let next = || study.ask().unwrap().map(|trial| (trial.number(), trial.settings().clone(), trial));
    let found: Vec<_> = std::iter::from_fn(next).collect();
    let shown: Vec<_> = found.iter().map(|(number, settings, _)| (*number, format!("{settings:?}"))).collect();
    let settings = |a: usize, b: &str| format!("{{\"a\": Integer({a}), \"b\": Text({b:?})}}");
    // (1, x) and (2, y) are tried, (9, x) is none of the grid's.
    assert_eq!(shown, [(4, settings(1, "y")), (5, settings(2, "x"))]);
}

#[test]
fn the_sampler_learns_from_optunas_trials() {
    let folder = Folder::new("optuna-learns");
    let path = folder.file("study.log");
    let float = |low: &str| FLOAT.replace("0.0", low);
    let mut lines = vec![CREATE.to_string()];
    for trial in 0..40 {
        // The best are near 0.3; without them, only those outside the space would be left.
        let x = f64::from(trial) / 40.0;
        let value = (x - 0.3).abs();
        let end = format!(r#"{{"op_code":6,"worker_id":"w","trial_id":{trial},"state":1,"values":[{value}]}}"#);
        lines.extend([TRIAL.into(), parameter(trial as usize, "x", &x.to_string(), "Float", &float("-1.0")), end]);
    }
    write(&path, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let study = open(&path, Space::new().float("x", 0.0, 1.0)).unwrap();
    let trials: Vec<_> = (0..10).map(|_| study.ask().unwrap().unwrap()).collect();
    let near = trials.iter().filter(|trial| (trial.float("x").unwrap() - 0.3).abs() < 0.15).count();
    assert!(near >= 8, "{near} of 10 near the best");
    assert_eq!(study.importance().unwrap()[0].1, 1.0);
}

#[test]
fn a_deleted_study_is_an_error_and_its_records_stay() {
    let folder = Folder::new("optuna-deleted");
    let path = folder.file("study.log");
    let study = open(&path, space()).unwrap();
    let trial = study.ask().unwrap().unwrap();
    let deleted = fs::read_to_string(&path).unwrap() + "{\"op_code\":1,\"worker_id\":\"w\",\"study_id\":0}\n";
    fs::write(&path, &deleted).unwrap();
    for _ in 0..2 {
        let error = study.ask().err().unwrap().to_string();
        let expected = "line 4, study: expected the study, which other workers share, got its deletion by one of them";
        assert!(error.contains(expected), "{error}");
    }
    assert!(study.tell(trial, 1.0).is_err());
    assert_eq!((study.records().len(), fs::read_to_string(&path).unwrap()), (1, deleted));
    drop(study);
    assert!(open(&path, space()).unwrap().records().is_empty(), "begun anew");
}

#[test]
fn optunas_lock_is_waited_for() {
    let folder = Folder::new("optuna-lock");
    let (path, lock) = (folder.file("study.log"), folder.file("study.log.lock"));
    let study = open(&path, space()).unwrap();
    let wait = Duration::from_millis(300);
    let lock_by_file = || drop(File::options().write(true).create_new(true).open(&lock).unwrap());
    let take: [&dyn Fn(); 2] = [&lock_by_file, &|| {
        #[cfg(unix)]
        std::os::unix::fs::symlink(&path, &lock).unwrap();
        #[cfg(not(unix))]
        lock_by_file();
    }];
    for take in take {
        take();
        let start = Instant::now();
        let release = std::thread::spawn({
            let lock = lock.clone();
            move || {
                std::thread::sleep(wait);
                fs::remove_file(lock).unwrap();
            }
        });
        let trial = study.ask().unwrap().unwrap();
        assert!(start.elapsed() >= wait, "{:?}", start.elapsed());
        release.join().unwrap();
        study.tell(trial, 1.0).unwrap();
        assert!(fs::symlink_metadata(&lock).is_err(), "released");
    }
    assert_eq!(study.records().len(), 2);
}

/// The journal of the second version with the lines of the first: each with its check.
fn with_checks(text: &str) -> String {
    let mut before = String::new();
    let line = |body: &str| {
        let hash = Sha256::new_with_prefix(&before).chain_update(body).finalize();
        before = hash[..8].iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{},\"check\":\"{before}\"}}\n", body.strip_suffix('}').unwrap())
    };
    text.lines().map(line).collect()
}

#[test]
fn journals_of_earlier_versions_become_optunas() {
    let first = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference/version1/study.jsonl");
    let first = fs::read_to_string(first).unwrap();
    let lost = r#"{"ask":{"trial":31,"worker":7,"settings":{"filters":9,"optimizer":"sgd","rate":0.5,"x":0.25}}}
{"report":{"trial":31,"epoch":4,"value":null}}
"#;
    let second = with_checks(&format!("{first}{lost}"));
    let torn = format!("{first}{lost}{{\"tell\":{{\"tri");
    let space = || {
        let space = Space::new().float("x", -1.0, 1.0).float("rate", 1e-5, 1.0).log().integer("filters", 4, 64);
        space.choice("optimizer", ["adam", "radam", "sgd"])
    };
    let open = |path: &Path| Study::minimize(space())?.progress_every(0).trials(31).journal(path);
    let folder = Folder::new("optuna-earlier");
    let path = folder.file("study.jsonl");
    let mut outcomes = Vec::new();
    for (number, old) in [second, torn].into_iter().enumerate() {
        fs::write(&path, &old).unwrap();
        let study = open(&path).unwrap();
        let kept = if number == 0 { "study.jsonl.old" } else { "study.jsonl.old2" };
        assert_eq!(fs::read_to_string(folder.file(kept)).unwrap(), old);
        assert!(fs::read_to_string(&path).unwrap().starts_with("{\"op_code\":0,"));
        let best = study.best().unwrap();
        assert_eq!((best.number, study.records().len()), (30, 31));
        assert_eq!(study.records()[30].reports, [(4, None)]);
        let trial = study.ask().unwrap().unwrap();
        assert_eq!((trial.number(), trial.float("x").unwrap()), (31, 0.25), "the lost one");
        trial.report(1, 0.5).unwrap();
        study.tell(trial, 0.5).unwrap();
        assert!(study.ask().unwrap().is_none());
        assert_eq!(open(&path).unwrap().records(), study.records());
        let mut records = study.records();
        records[30].seconds = 0.0;
        outcomes.push(records.iter().map(|r| format!("{r} {:?} {}", r.reports, r.seconds)).collect::<Vec<_>>());
    }
    assert_eq!(outcomes[0], outcomes[1]);
    // A damaged one is refused, and nothing is written.
    let damaged = with_checks(&first).replacen("0.3", "0.4", 1);
    fs::write(&path, &damaged).unwrap();
    let error = open(&path).err().unwrap().to_string();
    assert!(error.contains("one that does not fit its check or the line before it"), "{error}");
    assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    assert!(!folder.file("study.jsonl.old3").exists());
    let error = Study::maximize(space()).unwrap().journal(&path).err().unwrap().to_string();
    assert!(error.contains("line 1, study: its space or direction is not that of the journal"), "{error}");
}
