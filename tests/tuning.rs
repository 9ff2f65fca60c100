//! Studies: sampling, grids, pruning, journals that are stopped and shared.

use std::{
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Command, Stdio},
};

use latentlab::{ErrorKind, Result, Setting, Space, Study, Trial, TrialState};

fn space() -> Space {
    Space::new()
        .float("x", -1.0, 1.0)
        .float("rate", 1e-5, 1.0)
        .log()
        .integer("filters", 4, 64)
        .choice("optimizer", ["adam", "radam", "sgd"])
}

/// Lowest, 0, at x = 0.3, rate = 0.001, 20 filters, radam.
fn loss(trial: &Trial) -> Result<f64> {
    let optimizer = if trial.text("optimizer")? == "radam" { 0.0 } else { 0.5 };
    let rate = (trial.float("rate")?.log10() + 3.0) / 5.0;
    let filters = (trial.integer("filters")? as f64 - 20.0) / 60.0;
    Ok((trial.float("x")? - 0.3).powi(2) + rate.powi(2) + filters.powi(2) + optimizer)
}

/// Asks, reports three epochs and tells, until there is nothing left; returns the numbers of its trials.
fn run(study: &Study) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    while let Some(trial) = study.ask()? {
        numbers.push(trial.number());
        let loss = loss(&trial)?;
        let mut value = f64::NAN;
        for epoch in 1..=3 {
            value = loss + 1.0 / epoch as f64;
            if trial.report(epoch, value)? {
                break;
            }
        }
        study.tell(trial, value)?;
    }
    Ok(numbers)
}

/// Everything that must be the same in two runs of a study.
fn outcome(study: &Study) -> Vec<String> {
    let records = study.records();
    records
        .iter()
        .map(|r| format!("{} {:?} {:?} {:?} {:?}", r.number, r.settings, r.value, r.state, r.reports))
        .collect()
}

/// A path for a journal in a new folder.
fn journal(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("latentlab-tuning-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder.join("study.jsonl")
}

fn remove(journal: PathBuf) {
    std::fs::remove_dir_all(journal.parent().unwrap()).unwrap();
}

#[test]
fn sampling_beats_chance() {
    let (mut sampled, mut random) = (Vec::new(), Vec::new());
    for seed in 0..10 {
        let study = Study::minimize(space()).unwrap().seed(seed).trials(60);
        while let Some(trial) = study.ask().unwrap() {
            let loss = loss(&trial).unwrap();
            study.tell(trial, loss).unwrap();
        }
        sampled.push(study.best().unwrap().value.unwrap());
        // Each first trial of a study is random.
        let best = (0..60).map(|trial| {
            let study = Study::minimize(space()).unwrap().seed(1_000 + 60 * seed + trial);
            loss(&study.ask().unwrap().unwrap()).unwrap()
        });
        random.push(best.fold(f64::INFINITY, f64::min));
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[5]
    };
    let (sampled, random) = (median(&mut sampled), median(&mut random));
    println!("median of the best of 60: {sampled:.4} sampled, {random:.4} random");
    assert!(sampled < random / 2.0, "{sampled} against {random}");
}

#[test]
fn a_maximum_is_found_as_a_minimum_is() {
    let (low, high) = (Study::minimize(space()).unwrap().trials(25), Study::maximize(space()).unwrap().trials(25));
    for (study, sign) in [(&low, 1.0), (&high, -1.0)] {
        while let Some(trial) = study.ask().unwrap() {
            let loss = loss(&trial).unwrap();
            study.tell(trial, sign * loss).unwrap();
        }
    }
    let (low, high) = (low.best().unwrap(), high.best().unwrap());
    assert_eq!((low.settings, low.value.unwrap()), (high.settings, -high.value.unwrap()));
}

#[test]
fn the_seed_decides() {
    let outcome_of = |seed| {
        let study = Study::minimize(space()).unwrap().seed(seed).trials(20);
        run(&study).unwrap();
        outcome(&study)
    };
    assert_eq!(outcome_of(3), outcome_of(3));
    assert_ne!(outcome_of(3), outcome_of(4));
}

#[test]
fn a_grid_is_gone_through_in_order() {
    let space = Space::new()
        .choice("learning_rate", [0.001, 0.02])
        .choice("weight_decay", [0.0001, 0.005])
        .choice("latent_dim", [2, 10, 100])
        .grid();
    let study = Study::minimize(space.clone()).unwrap();
    let mut seen = Vec::new();
    while let Some(trial) = study.ask().unwrap() {
        seen.push((
            trial.float("learning_rate").unwrap(),
            trial.float("weight_decay").unwrap(),
            trial.integer("latent_dim").unwrap(),
        ));
        for epoch in 1..=2 {
            assert!(!trial.report(epoch, seen.len() as f64).unwrap(), "a grid is not pruned");
        }
        study.tell(trial, seen.len() as f64).unwrap();
    }
    assert_eq!(seen.len(), 12);
    assert_eq!(seen[..4], [(0.001, 0.0001, 2), (0.001, 0.0001, 10), (0.001, 0.0001, 100), (0.001, 0.005, 2)]);
    assert_eq!(seen[11], (0.02, 0.005, 100));
    assert_eq!(study.best().unwrap().number, 1);

    let first = Study::minimize(space).unwrap().trials(5);
    assert_eq!(std::iter::from_fn(|| first.ask().unwrap().map(|trial| first.tell(trial, 1.0).unwrap())).count(), 5);
    let integers = Study::minimize(Space::new().integer("a", 1, 3).choice("b", ["x", "y"]).grid()).unwrap();
    let trials: Vec<Trial> = std::iter::from_fn(|| integers.ask().unwrap()).collect();
    assert_eq!(trials.len(), 6);
    assert_eq!((trials[3].integer("a").unwrap(), trials[3].text("b").unwrap()), (2, "y"));
    let record = &integers.records()[3];
    assert_eq!((record.float("a").unwrap(), record.integer("a").unwrap(), record.text("b").unwrap()), (2.0, 2, "y"));
    assert!(record.integer("b").unwrap_err().to_string().contains("trial 4, \"b\": expected a whole number, got y"));
}

#[test]
fn a_trial_that_is_dropped_comes_again() {
    let study = Study::minimize(space()).unwrap().trials(2);
    let (first, second) = (study.ask().unwrap().unwrap(), study.ask().unwrap().unwrap());
    assert_eq!((first.number(), second.number()), (1, 2));
    assert!(study.ask().unwrap().is_none(), "both are held");
    let settings = first.settings().clone();
    drop(first);
    let again = study.ask().unwrap().unwrap();
    assert_eq!((again.number(), again.settings()), (1, &settings));
    study.tell(second, 1.0).unwrap();
    study.tell(again, f64::NAN).unwrap();
    assert_eq!(study.records()[0].state, TrialState::Failed);
    assert_eq!(study.best().unwrap().number, 2);
    assert!(study.ask().unwrap().is_none());
}

#[test]
fn what_is_worse_than_the_median_is_pruned() {
    let study = Study::minimize(Space::new().float("x", 0.0, 1.0)).unwrap();
    for loss in 1..=5 {
        let trial = study.ask().unwrap().unwrap();
        for epoch in 1..=2 {
            assert!(!trial.report(epoch, f64::from(loss)).unwrap(), "until five are complete");
        }
        study.tell(trial, f64::from(loss)).unwrap();
    }
    let trial = study.ask().unwrap().unwrap();
    assert!(!trial.report(1, 3.0).unwrap(), "the median itself");
    assert!(!trial.report(2, 9.0).unwrap(), "its best was as good");
    assert!(!trial.report(3, 9.0).unwrap(), "no other trial came that far");
    assert_eq!(trial.report(3, 1.0).unwrap_err().to_string(), "trial 6, report: expected an epoch above 3, got 3");
    study.tell(trial, 9.0).unwrap();
    let trial = study.ask().unwrap().unwrap();
    assert!(trial.report(1, 5.5).unwrap());
    study.tell(trial, 5.5).unwrap();
    let trial = study.ask().unwrap().unwrap();
    assert!(trial.report(1, f64::NAN).unwrap());
    study.tell(trial, f64::NAN).unwrap();
    let states: Vec<TrialState> = study.records()[5..].iter().map(|record| record.state).collect();
    assert_eq!(states, [TrialState::Complete, TrialState::Pruned, TrialState::Failed]);
}

#[test]
fn a_stopped_study_goes_on_to_the_same_end() {
    let whole = Study::minimize(space()).unwrap().seed(7).trials(30);
    run(&whole).unwrap();
    assert!(whole.records().iter().any(|record| record.state == TrialState::Pruned));

    let path = journal("stopped");
    let open = |trials| Study::minimize(space()).unwrap().seed(7).trials(trials).journal(&path).unwrap();
    let stopped = open(13);
    assert_eq!(run(&stopped).unwrap(), Vec::from_iter(1..=13));
    let stopped = stopped.trials(30);
    let trial = stopped.ask().unwrap().unwrap();
    trial.report(1, 5.0).unwrap();
    drop((trial, stopped));
    // The process was killed while it wrote a line.
    let torn = std::fs::read_to_string(&path).unwrap() + "{\"op_code\":6,\"worker_id\":\"laten";
    std::fs::write(&path, torn).unwrap();

    let resumed = open(30);
    assert_eq!(resumed.records().len(), 14);
    assert_eq!(run(&resumed).unwrap(), Vec::from_iter(14..=30));
    assert_eq!(outcome(&resumed), outcome(&whole));
    assert_eq!(outcome(&open(30)), outcome(&whole));
    drop(resumed);
    assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing but the journal is left");
    remove(path);
}

#[test]
fn a_lost_trial_is_handed_out_though_fewer_are_wanted_now() {
    let path = journal("fewer");
    let open = |trials| Study::minimize(space()).unwrap().seed(7).trials(trials).journal(&path).unwrap();
    run(&open(3)).unwrap();
    let study = open(4);
    drop((study.ask().unwrap().unwrap(), study));
    let fewer = open(2);
    let lost = fewer.ask().unwrap().unwrap();
    assert_eq!(lost.number(), 4);
    fewer.tell(lost, 1.0).unwrap();
    assert_eq!(fewer.records()[3].value, Some(1.0));
    assert!(fewer.ask().unwrap().is_none());
    drop(fewer);
    remove(path);
}

#[test]
fn several_share_a_journal() {
    let path = journal("shared");
    let open = || Study::minimize(space()).unwrap().trials(40).journal(&path).unwrap();
    let work = || {
        std::thread::spawn({
            let study = open();
            move || run(&study).unwrap()
        })
    };
    let workers: Vec<_> = (0..4).map(|_| work()).collect();
    let mut numbers: Vec<usize> = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, Vec::from_iter(1..=40), "each once");
    let study = open();
    assert!(study.records().iter().all(|record| record.value.is_some()));
    assert!(study.ask().unwrap().is_none());
    drop(study);
    remove(path);
}

/// Not a test of its own, but the other process of the one below: it takes a trial and keeps it.
#[test]
fn other_process() {
    if let Some(path) = std::env::var_os("LATENTLAB_TEST_JOURNAL") {
        let study = Study::minimize(space()).unwrap().journal(path).unwrap();
        let trial = study.ask().unwrap().unwrap();
        println!("\nholds trial {}", trial.number());
        std::thread::sleep(std::time::Duration::from_secs(600));
    }
}

#[test]
fn the_trial_of_a_killed_process_comes_again() {
    let path = journal("killed");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process", "--nocapture"])
        .env("LATENTLAB_TEST_JOURNAL", &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(|line| line.ok()).any(|line| line == "holds trial 1"));

    let study = Study::minimize(space()).unwrap().journal(&path).unwrap();
    let second = study.ask().unwrap().unwrap();
    assert_eq!(second.number(), 2, "the other process has trial 1");
    child.kill().unwrap();
    child.wait().unwrap();
    let first = study.ask().unwrap().unwrap();
    assert_eq!((first.number(), first.settings()), (1, &study.records()[0].settings));
    drop((first, second, study));
    remove(path);
}

#[test]
fn a_foreign_journal_is_refused_and_left_alone() {
    let path = journal("foreign");
    drop(Study::minimize(space()).unwrap().journal(&path).unwrap());
    for (study, line) in [(Study::maximize(space()), 1), (Study::minimize(space().integer("more", 1, 2)), 2)] {
        let error = study.unwrap().journal(&path).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Data);
        let expected = format!("line {line}, study: its space or direction is not that of the journal");
        assert!(error.to_string().contains(&expected), "{error}");
    }
    for text in [
        "important",
        "important\n",
        "{\"study\":3}\n",
        "{\"tell\":{\"trial\":1,\"value\":1.0,\"pruned\":false,\"seconds\":1}}\n",
    ] {
        std::fs::write(&path, text).unwrap();
        let error = Study::minimize(space()).unwrap().journal(&path).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    let absent = path.with_file_name("absent").join("study.jsonl");
    assert_eq!(Study::minimize(space()).unwrap().journal(absent).err().unwrap().kind(), ErrorKind::Io);
    remove(path);
}

#[test]
fn importance_is_where_the_variance_is() {
    let space = Space::new().float("much", 0.0, 1.0).float("little", 0.0, 1.0).choice("none", ["a", "b"]);
    let study = Study::minimize(space).unwrap().trials(40);
    assert_eq!(study.importance().unwrap_err().to_string(), "importance: expected at least 4 complete trials, got 0");
    while let Some(trial) = study.ask().unwrap() {
        let loss = 3.0 * (trial.float("much").unwrap() - 0.5).abs() + 0.5 * trial.float("little").unwrap();
        study.tell(trial, loss).unwrap();
    }
    let importance = study.importance().unwrap();
    println!("{importance:?}");
    let [(_, much), (_, little), (_, none)] = &importance[..] else { panic!("{importance:?}") };
    assert!((much + little + none - 1.0).abs() < 1e-9);
    assert!(*much > 0.5 && much > little && little > none && *none < 0.05, "{importance:?}");
}

#[test]
fn the_table_has_the_best_first() {
    let study =
        Study::minimize(Space::new().choice("rate", [0.1, 0.00123456]).choice("units", [64, 128]).grid()).unwrap();
    assert_eq!(study.to_string(), "0 trials");
    for value in [0.5, 0.25, f64::NAN] {
        let trial = study.ask().unwrap().unwrap();
        study.tell(trial, value).unwrap();
    }
    let _running = study.ask().unwrap().unwrap();
    let text = study.to_string();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(text.lines().next().unwrap(), "4 trials: 2 complete, 1 failed, 1 running");
    assert_eq!(rows[1], ["trial", "value", "rate", "units", "state", "seconds"]);
    assert_eq!(rows[2], ["2", "0.25", "0.1", "128", "complete", "0.0"]);
    assert_eq!(rows[4], ["3", "-", "0.001235", "64", "failed", "0.0"]);
    let html = study.to_html();
    assert!(html.starts_with("<p>4 trials: 2 complete, 1 failed, 1 running</p><table>"), "{html}");
    assert_eq!((html.matches("<tr>").count(), html.matches(">0.001235</td>").count()), (5, 2), "{html}");
    assert_eq!(study.best().unwrap().to_string(), "trial 2 (complete, 0.25): rate 0.1, units 128");
}

#[test]
fn each_mistake_is_named() {
    for (space, expected) in [
        (Space::new(), "space: expected at least 1 parameter, got none"),
        (
            Space::new().log().float("a", 0.1, 1.0),
            "space: expected log() after a float or an integer, got before the first parameter",
        ),
        (Space::new().float("a", 0.0, 1.0).integer("a", 1, 2), "space: expected each parameter once, got \"a\" twice"),
        (Space::new().float("a", 1.0, 1.0), "space, \"a\": expected a range from low to high, got 1 to 1"),
        (Space::new().float("a", f64::NAN, 1.0), "space, \"a\": expected a range from low to high, got NaN to 1"),
        (Space::new().float("a", f64::MIN, f64::MAX), "space, \"a\": expected a range from low to high, got -1797"),
        (Space::new().integer("a", 3, 2), "space, \"a\": expected a range from low to high (at most 2^53), got 3 to 2"),
        (Space::new().choice("a", [""; 0]), "space, \"a\": expected at least 1 setting to choose from, got none"),
        (Space::new().choice("a", [1.0, f64::INFINITY]), "space, \"a\": expected finite numbers, got inf"),
        (Space::new().float("a", 0.0, 1.0).log(), "space, \"a\": expected a range above 0 for its logarithm, got 0"),
        (Space::new().integer("a", 0, 1).log(), "space, \"a\": expected a range above 0 for its logarithm, got 0"),
        (
            Space::new().choice("a", [1]).log(),
            "space, \"a\": expected log() after a float or an integer, got after a choice",
        ),
        (
            Space::new().float("a", 0.0, 1.0).grid(),
            "space, \"a\": expected choices or integers in a grid, got a range of floats",
        ),
        (
            Space::new().integer("a", 1, 9).log().grid(),
            "space, \"a\": expected no log() in a grid, which tries all settings, got log()",
        ),
        (
            Space::new().integer("a", 1, 9_999_999).grid(),
            "space, grid: expected at most 1000000 combinations, got 9999999",
        ),
    ] {
        let error = Study::minimize(space).err().unwrap().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let study = Study::minimize(space()).unwrap();
    assert_eq!(study.best().unwrap_err().to_string(), "study: expected at least 1 complete trial, got none");
    let trial = study.ask().unwrap().unwrap();
    for (error, expected) in [
        (trial.float("y").unwrap_err(), "trial 1: expected a parameter of filters, optimizer, rate, x, got \"y\""),
        (trial.float("optimizer").unwrap_err(), "trial 1, \"optimizer\": expected a number, got "),
        (trial.integer("x").unwrap_err(), "trial 1, \"x\": expected a whole number, got "),
        (trial.text("filters").unwrap_err(), "trial 1, \"filters\": expected a text, got "),
        (
            Study::minimize(space()).unwrap().tell(trial, 1.0).unwrap_err(),
            "study: expected a trial of its own, got trial 1 of another study",
        ),
    ] {
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}

#[test]
fn narrow_and_wide_ranges_are_sampled() {
    let next = |x: f64| f64::from_bits(x.to_bits() + 1);
    let space = Space::new()
        .float("narrow", 1e10, next(1e10))
        .log()
        .float("wide", -8e307, 8e307)
        .integer("one", 5, 5)
        .log()
        .integer("many", 1, 1 << 53)
        .log()
        .choice("alone", [Setting::Integer(1)]);
    let study = Study::minimize(space).unwrap().trials(30);
    while let Some(trial) = study.ask().unwrap() {
        assert!((1e10..=next(1e10)).contains(&trial.float("narrow").unwrap()));
        assert!(trial.float("wide").unwrap().is_finite());
        assert_eq!(trial.integer("one").unwrap(), 5);
        let many = trial.integer("many").unwrap();
        study.tell(trial, many as f64).unwrap();
    }
}

#[test]
fn figures_show_the_trials_and_what_mattered() {
    let study = Study::minimize(space()).unwrap().seed(7).trials(30);
    for figure in [study.plot(), study.plot_importance()] {
        assert!(figure.unwrap_err().to_string().contains("complete trial"));
    }
    run(&study).unwrap();
    let svg = study.plot().unwrap().to_svg().unwrap();
    let best = format!("best: trial {}", study.best().unwrap().number);
    for text in ["complete", "pruned", "best so far", "trial", &best] {
        assert!(svg.contains(&format!("\n{text}\n")), "{text} in {svg}");
    }
    let complete = study.records().iter().filter(|record| record.state == TrialState::Complete).count();
    assert_eq!(svg.matches("<circle").count(), complete + 1, "and the legend's");
    let svg = study.plot_importance().unwrap().to_svg().unwrap();
    for name in study.parameter_names() {
        assert!(svg.contains(&format!("\n{name}\n")), "{name} in {svg}");
    }
}

#[test]
fn a_study_can_go_anywhere() {
    fn anywhere<T: Send + Sync + 'static>() {}
    anywhere::<(Study, Trial, Space)>();
}

#[test]
fn blank_lines_and_a_lost_line_end_are_read() {
    let path = journal("blank");
    let open = || Study::minimize(space()).unwrap().seed(7).trials(6).journal(&path).unwrap();
    run(&open()).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let expected = outcome(&open());
    for edited in [
        format!("{text}\n"),
        format!("{text}\n  \n\r\n"),
        text.replace('\n', "\r\n"),
        text.replacen('\n', "\n\n", 3),
        text.trim_end().to_string(),
    ] {
        std::fs::write(&path, edited).unwrap();
        assert_eq!(outcome(&open()), expected);
        let longer = open().trials(7);
        assert_eq!(run(&longer).unwrap(), [7]);
        assert_eq!(outcome(&open()), outcome(&longer), "and written to");
    }
    remove(path);
}

#[test]
fn a_value_outside_its_space_is_refused_with_its_line() {
    let path = journal("outside");
    let space = || Space::new().float("x", 0.0, 1.0).integer("n", 2, 4).choice("c", ["a", "b"]);
    let study = Study::minimize(space()).unwrap().journal(&path).unwrap();
    drop((study.ask().unwrap(), study));
    let text = std::fs::read_to_string(&path).unwrap();
    // Earlier journals of the first version have no checks: their values are looked at.
    let lines =
        [r#"{"study":{"maximize":false,"space":{"parameters":[{"name":"x","range":{"float":[0.0,1.0]},"log":false},
        {"name":"n","range":{"integer":[2,4]},"log":false},{"name":"c","range":{"choice":["a","b"]},"log":false}],
        "grid":false}}}"#
            .replace("\n        ", "")];
    let settings = |x: &str, n: &str, c: &str| {
        format!(r#"{{"ask":{{"trial":1,"worker":0,"settings":{{"x":{x},"n":{n},"c":{c}}}}}}}"#)
    };
    let ask = settings("0.5", "3", r#""a""#);
    let tell = r#"{"tell":{"trial":1,"value":0.5,"pruned":false,"seconds":1.0}}"#;
    for (line, third) in [
        (settings("1.5", "3", r#""a""#), tell),
        (settings("1e308", "3", r#""a""#), tell),
        (settings("-0.1", "3", r#""a""#), tell),
        (settings("1", "3", r#""a""#), tell),
        (settings("0.5", "5", r#""a""#), tell),
        (settings("0.5", "3", r#""z""#), tell),
        (settings("0.5", "3", "0"), tell),
        (settings("0.5", "3", r#""a","d":1"#), tell),
        (settings("0.5", "3.0", r#""a""#), tell),
        (ask.replace("\"trial\":1", "\"trial\":2"), tell),
        (ask.replace("\"trial\":1", "\"trial\":0"), tell),
        (ask.clone(), r#"{"tell":{"trial":1,"value":0.5,"pruned":false,"seconds":-1.0}}"#),
        (ask.clone(), r#"{"tell":{"trial":1,"valve":0.5,"pruned":false,"seconds":1.0}}"#),
        (ask.clone(), r#"{"tell":{"trial":1,"value":1e999,"pruned":false,"seconds":1.0}}"#),
        (ask.clone(), r#"{"tell":{"trial":18446744073709551615,"value":0.5,"pruned":false,"seconds":1.0}}"#),
        (ask.clone(), r#"{"report":{"trial":1,"epoch":0,"value":0.5}}"#),
        (ask.clone(), lines[0].as_str()),
    ] {
        let wrong = if line == ask { 3 } else { 2 };
        let text = format!("{}\n{line}\n{third}\n", lines[0]);
        std::fs::write(&path, &text).unwrap();
        let error = Study::minimize(space()).unwrap().journal(&path).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        assert!(error.to_string().contains(&format!("study.jsonl, line {wrong}")), "{line}: {error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    std::fs::write(&path, format!("{}\n{ask}\n{tell}\n", lines[0])).unwrap();
    assert_eq!(Study::minimize(space()).unwrap().journal(&path).unwrap().best().unwrap().number, 1);
    assert_eq!(
        std::fs::read_to_string(path.with_file_name("study.jsonl.old")).unwrap(),
        format!("{}\n{ask}\n{tell}\n", lines[0])
    );
    // Of a line with a check none before it is changed, lost, doubled or moved, and ours all have one.
    let text: Vec<&str> = text.lines().collect();
    let changed = text[2].replacen("\"trial", "\"Trial", 1).replacen("0.", "0.1", 1);
    let bare = format!("{}}}", text[2].split(",\"check\"").next().unwrap());
    for lines in [
        vec![text[0], text[1], text[2], text[2]],
        vec![text[0], text[2]],
        vec![text[1], text[0], text[2]],
        vec![text[0], text[1], &changed],
        vec![text[0], text[1], &bare],
    ] {
        let lines = lines.join("\n") + "\n";
        std::fs::write(&path, &lines).unwrap();
        let error = Study::minimize(space()).unwrap().journal(&path).err().unwrap().to_string();
        assert!(error.contains("one that does not fit its check or the line before it"), "{error}");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), lines);
    }
    remove(path);
}

#[test]
fn a_file_that_is_no_journal_is_left_alone() {
    let path = journal("no-journal");
    for text in
        ["{\"study\": 3}", "{\"study\":{\"maximize\":false}}", "{\"stud", "{\"study\"", "\u{feff}{\"study\"", "[]", "7"]
    {
        std::fs::write(&path, text).unwrap();
        let result = Study::minimize(space()).unwrap().journal(&path).map(|_| ());
        if let Err(error) = result {
            assert_eq!(error.kind(), ErrorKind::Data, "{error}");
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert!(std::fs::read_to_string(&path).unwrap().starts_with(text), "nothing of it is gone");
    }
    let folder = path.parent().unwrap();
    let error = Study::minimize(space()).unwrap().journal(folder).err().unwrap().to_string();
    assert!(error.contains("expected a study's journal or no file, got a folder or a device"), "{error}");
    remove(path);
}

#[test]
fn a_journal_that_was_replaced_or_cut_is_noticed() {
    let path = journal("replaced");
    let study = Study::minimize(space()).unwrap().journal(&path).unwrap();
    let trial = study.ask().unwrap().unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(50).unwrap();
    let error = study.ask().err().unwrap().to_string();
    assert!(error.contains("expected the lines that were there, got a shorter file"), "{error}");
    let copy = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, copy).unwrap();
    let error = study.tell(trial, 1.0).unwrap_err().to_string();
    assert!(error.contains("expected the journal that was opened, got another file or none"), "{error}");
    assert_eq!(study.records()[0].state, TrialState::Running);
    drop(study);
    remove(path);
}

#[cfg(unix)]
#[test]
fn two_links_to_a_journal_are_one_study() {
    let path = journal("links");
    let link = path.with_file_name("link.jsonl");
    std::os::unix::fs::symlink("study.jsonl", &link).unwrap();
    let [first, second] = [&link, &path].map(|path| Study::minimize(space()).unwrap().journal(path).unwrap());
    let trials = [first.ask().unwrap().unwrap(), second.ask().unwrap().unwrap()];
    assert_eq!([trials[0].number(), trials[1].number()], [1, 2]);
    drop((trials, first, second));
    remove(path);
}

#[test]
fn extreme_numbers_neither_hang_nor_overflow() {
    let next = |x: f64| f64::from_bits(x.to_bits() + 1);
    for space in [
        Space::new().float("x", 0.1, 0.1 + 1e-15),
        Space::new().float("x", 0.1, next(0.1)),
        Space::new().float("x", 1e308, 1.7e308),
        Space::new().float("x", 1e308, 1.7e308).log(),
        Space::new().float("x", 5e-324, 1e-323),
        Space::new().float("x", 5e-324, f64::MAX).log(),
        Space::new().float("x", -8e307, 8e307),
        Space::new().integer("x", (1 << 53) - 2, 1 << 53).log(),
    ] {
        for values in [[1e308, -1e308, 1.7e308, 0.0], [5e-324, 1e-323, 0.0, -0.0], [1.0, 2.0, 3.0, 4.0]] {
            let study = Study::minimize(space.clone()).unwrap().trials(30).progress_every(0);
            while let Some(trial) = study.ask().unwrap() {
                let value = values[trial.number() % 4];
                trial.report(1, value).unwrap();
                study.tell(trial, value).unwrap();
            }
            let importance = study.importance().unwrap();
            assert!(importance[0].1 == 0.0 || (importance[0].1 - 1.0).abs() < 1e-9, "{importance:?}");
            assert!(!study.to_string().contains("inf") && !study.to_html().contains("NaN"), "{study}");
        }
    }
}

#[test]
fn a_deep_forest_of_many_trials_is_no_overflow() {
    let study = Study::minimize(Space::new().integer("x", 1, 20_000).grid()).unwrap().progress_every(0);
    // Each split takes away most where it cuts off one end: the deepest trees.
    let run = || {
        for number in 1..=3000 {
            let trial = study.ask().unwrap().unwrap();
            study.tell(trial, 2f64.powi(number / 3)).unwrap();
        }
        assert_eq!(study.importance().unwrap(), [("x".to_string(), 1.0)]);
    };
    // On as little stack as a thread of the pool may have.
    std::thread::scope(|scope| {
        std::thread::Builder::new().stack_size(256 << 10).spawn_scoped(scope, run).unwrap().join().unwrap();
    });
}

#[test]
fn grids_are_counted_and_never_built() {
    for (space, got) in [
        (Space::new().integer("seed", 0, 1 << 50).grid(), "1125899906842625"),
        (Space::new().integer("a", 1, 100_000_000).grid(), "100000000"),
        (Space::new().integer("a", 0, 1 << 53).integer("b", 0, 1 << 53).grid(), "more than can be counted"),
        (Space::new().choice("a", 0..1_000_001usize).grid(), "1000001"),
    ] {
        let error = Study::minimize(space).err().unwrap().to_string();
        let expected = format!("space, grid: expected at most 1000000 combinations, got {got}. Leave grid() away");
        assert!(error.starts_with(&expected), "{error}");
    }
    let study = Study::minimize(Space::new().integer("a", 5, 1_000_004).grid()).unwrap();
    assert_eq!(study.ask().unwrap().unwrap().integer("a").unwrap(), 5);
    let many = Space::new().choice("a", 0..1_000_000usize);
    let study = Study::minimize(many).unwrap().trials(usize::MAX).progress_every(0);
    for value in 0..12 {
        let trial = study.ask().unwrap().unwrap();
        study.tell(trial, f64::from(value)).unwrap();
    }
    assert!(study.ask().unwrap().is_some());
    assert!(Study::minimize(space()).unwrap().trials(0).ask().unwrap().is_none());
}

#[test]
fn names_stay_on_their_line_and_in_their_column() {
    for (name, expected) in [
        ("", "a name of 1 to 200 letters, got 0"),
        (&"x".repeat(65_536), "a name of 1 to 200 letters, got 65536"),
        ("a\u{1}latentlab", "a name without control characters, got \"a\\u{1}latentlab\""),
        ("a\nb", "a name without control characters, got \"a\\nb\""),
    ] {
        let error = Study::minimize(Space::new().float(name, 0.0, 1.0)).err().unwrap().to_string();
        assert!(error.ends_with(expected) && error.len() < 200 && !error.contains('\n'), "{error}");
    }
    let texts = ["x".repeat(70_000), "two\nlines\u{1}".into(), "é".repeat(61), "short".into()];
    let study = Study::minimize(Space::new().choice(&*"n".repeat(200), texts).grid()).unwrap().progress_every(0);
    while let Some(trial) = study.ask().unwrap() {
        study.tell(trial, 1.0).unwrap();
    }
    let text = study.to_string();
    assert_eq!(text.lines().count(), 6);
    assert!(
        text.contains("two\\nlines\\u{1}") && text.contains(&format!("{}…{}", "é".repeat(30), "é".repeat(29))),
        "{text}"
    );
    assert!(text.lines().all(|line| line.chars().count() < 100), "{text}");
    let (html, best) = (study.to_html(), study.best().unwrap().to_string());
    assert!(!html.contains('\u{1}') && html.len() < 3000 && best.len() < 400, "{html} {best}");
}
