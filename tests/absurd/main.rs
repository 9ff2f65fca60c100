//! Absurd arguments for every public function: none may panic, abort, overflow, run for ever or allocate without
//! bounds.
//!
//! The public functions are read from the source (`interface.rs`), so a new function without a row fails here. The
//! rows run in processes of their own with a memory limit: an abort is attributed to its row, and the other rows
//! still run.

/// The row of a function that only the feature `parquet` has.
#[cfg(feature = "parquet")]
macro_rules! of_parquet {
    ($call:expr) => {
        Call(|| $call)
    };
}
#[cfg(not(feature = "parquet"))]
macro_rules! of_parquet {
    ($call:expr) => {
        Nothing("it is not there without the feature parquet")
    };
}

mod analyse;
mod arguments;
mod data;
mod exchange;
mod interact;
mod interface;
mod models;
mod networks;
mod own;
mod show;
mod tensors;
mod train;

use std::{
    collections::BTreeSet,
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    panic::{self, AssertUnwindSafe},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

/// How a function is tested.
pub enum Row {
    /// Calls it with absurd arguments; panics on a wrong result.
    Call(fn()),
    /// It has no argument that could be absurd: what it has.
    Nothing(&'static str),
}

/// `Type::function` or `function`, and its test.
pub type Table = Vec<(&'static str, Row)>;

fn table() -> Table {
    [
        analyse::rows(),
        data::rows(),
        exchange::rows(),
        interact::rows(),
        models::rows(),
        networks::rows(),
        own::rows(),
        show::rows(),
        tensors::rows(),
        train::rows(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[test]
fn a_row_for_every_function() {
    let functions = interface::functions();
    let rows: Vec<String> = table().iter().map(|(name, _)| name.to_string()).collect();
    let named = BTreeSet::from_iter(rows.iter().cloned());
    assert_eq!(named.len(), rows.len(), "a function has two rows");
    let without = Vec::from_iter(functions.difference(&named));
    assert!(without.is_empty(), "no row in tests/absurd for {without:#?}");
    let gone = Vec::from_iter(named.difference(&functions));
    assert!(gone.is_empty(), "rows for functions that are not public: {gone:#?}");
    assert!(
        functions.len() > 250,
        "only {} functions found: this test does not understand the source any more",
        functions.len()
    );
    for (name, row) in table() {
        assert!(!matches!(row, Row::Nothing("")), "{name}: no reason");
    }
}

/// Processes in parallel.
const WORKERS: usize = 2;
/// A row that takes longer fails.
const LONGEST: Duration = Duration::from_secs(60);
/// The address space of a process, and its limit of one result.
#[cfg(target_os = "linux")]
const MEMORY: u64 = 6 << 30;
const RESULT: &str = "268435456";
/// The prefix of a process's progress lines.
const MARK: &str = "absurd row: ";
/// The environment variable with a process's rows: the worker's number, and the first row.
const ROWS: &str = "LATENTLAB_ABSURD_ROWS";

#[test]
fn absurd_arguments_give_values_or_errors() {
    if let Ok(rows) = env::var(ROWS) {
        return run_rows(&rows);
    }
    let workers = Vec::from_iter((0..WORKERS).map(|worker| thread::spawn(move || watch(worker))));
    let (mut held, mut failures) = (Vec::new(), Vec::new());
    for worker in workers {
        let (more_held, more_failures) = worker.join().unwrap();
        held.extend(more_held);
        failures.extend(more_failures);
    }
    held.sort_by(|a, b| b.1.total_cmp(&a.1));
    println!("{} rows held; the longest: {:?}", held.len(), &held[..held.len().min(10)]);
    assert!(failures.is_empty(), "{} rows failed:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(held.len(), table().len(), "not every row has run");
}

/// Runs the rows of a worker in a process; if a row ends it, the following ones in another. Returns the rows that
/// passed, with their seconds, and the failures.
fn watch(worker: usize) -> (Vec<(String, f64)>, Vec<String>) {
    let rows = (table().len() - worker).div_ceil(WORKERS);
    let (mut from, mut held, mut failures) = (0, Vec::new(), Vec::new());
    let errors = env::temp_dir().join(format!("latentlab-absurd-{}-{worker}", std::process::id()));
    while from < rows {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["absurd_arguments_give_values_or_errors", "--exact", "--nocapture", "--test-threads=1"])
            .env(ROWS, format!("{worker} {from}"))
            .env("LATENTLAB_OFFLINE", "1")
            .env("LATENTLAB_MAX_BYTES", RESULT)
            .env("RAYON_NUM_THREADS", "2")
            .env_remove("LATENTLAB_DATA")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&errors).unwrap())
            .spawn()
            .unwrap();
        let (before, mut begun) = (from, None);
        for line in BufReader::new(child.stdout.take().unwrap()).split(b'\n') {
            let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
            let Some((event, rest)) = line.strip_prefix(MARK).and_then(|line| line.split_once(' ')) else { continue };
            if event == "begins" {
                begun = Some(rest.to_string());
                from += 1;
                continue;
            }
            begun = None;
            match (event, rest.split_once(' ')) {
                ("held", Some((name, seconds))) => held.push((name.to_string(), seconds.parse().unwrap())),
                _ => failures.push(rest.to_string()),
            }
        }
        let status = child.wait().unwrap();
        if begun.is_some() || from == before {
            let text = fs::read_to_string(&errors).unwrap_or_default();
            let last = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default().to_string();
            let name = begun.unwrap_or("before the first row".into());
            failures.push(format!("{name}: ended the process ({status}): {last}"));
        }
        if from == before {
            break;
        }
    }
    fs::remove_file(errors).ok();
    (held, failures)
}

fn say(what: &str) {
    println!("\n{MARK}{what}");
    std::io::stdout().flush().ok();
}

/// Panics of the current row, on any thread.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// The current row.
static RUNNING: Mutex<Option<(&str, Instant)>> = Mutex::new(None);

fn run_rows(rows: &str) {
    let (worker, from) = rows.split_once(' ').unwrap();
    let (worker, from): (usize, usize) = (worker.parse().unwrap(), from.parse().unwrap());
    limit_memory();
    panic::set_hook(Box::new(|info| PANICS.lock().unwrap().push(info.to_string().replace('\n', " "))));
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_millis(200));
            if let Some((name, start)) = *RUNNING.lock().unwrap()
                && start.elapsed() > LONGEST
            {
                say(&format!("failed {name}: has not ended within {LONGEST:?}"));
                std::process::exit(1);
            }
        }
    });
    for (name, row) in table().into_iter().skip(worker).step_by(WORKERS).skip(from) {
        say(&format!("begins {name}"));
        let start = Instant::now();
        *RUNNING.lock().unwrap() = Some((name, start));
        if let Row::Call(call) = row {
            let _ = panic::catch_unwind(AssertUnwindSafe(call));
        }
        *RUNNING.lock().unwrap() = None;
        let panics = std::mem::take(&mut *PANICS.lock().unwrap());
        match panics.first() {
            Some(panic) => say(&format!("failed {name}: {panic}")),
            None => say(&format!("held {name} {:.2}", start.elapsed().as_secs_f64())),
        }
    }
}

/// An allocation beyond this is unwarranted: it aborts.
fn limit_memory() {
    #[cfg(target_os = "linux")]
    {
        let limit = libc::rlimit { rlim_cur: MEMORY, rlim_max: MEMORY };
        // SAFETY: the limit is a value of its own, which the call only reads.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    }
}
