//! `latentlab worker`: runs a program for each trial of a study that many workers share.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use latentlab::{Error, ErrorKind, MedianPruner, Setting, Space, Study, Trial, TrialRecord, TrialState};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, sleep_until};

use crate::command::end_with_parent;

/// What stands in `--help` below the options.
const CONTRACT: &str = "\
The program is started once for each trial. In its arguments, {name} stands for the setting of the parameter
of that name, {trial} for the trial's number; the variable LATENTLAB_TRIAL has all of it as JSON:
{\"number\": 3, \"settings\": {\"hidden\": 32, \"learning_rate\": 0.01}}. It reports by lines on its standard output:

  latentlab report EPOCH VALUE   after an epoch, from 1; if the trial is worse than the others were then, the
                                 program is ended (SIGTERM, ten seconds later SIGKILL), and the trial is pruned
  latentlab result VALUE         the trial's value, the last one counts

and ends with exit code 0. Any other code, or no result, is a failure: the last line of its standard error
becomes the reason. All other lines are its own.

Parameters, each with its range (only the first worker needs them: they are kept in the study):

  -p learning_rate=1e-4..1e-1:log   a number between two, on a logarithmic scale
  -p x=0.0..1.0                     a number; with a point or an exponent in one of the two
  -p hidden=8..64                   a whole number, both ends included
  -p optimizer=adam,sgd             one of these

Workers end when the study has all its trials. SIGTERM and Ctrl-C hand the trial back, for any other worker;
so does the end of a worker that is killed. The exit code is then 143 or 130: a scheduler starts it again.

  latentlab worker --study study.log --trials 100 -p lr=1e-4..1e-1:log -p hidden=8..64 -- \\
      python train.py --lr {lr} --hidden {hidden}";

#[derive(clap::Args)]
#[command(after_help = CONTRACT)]
pub struct Arguments {
    /// The study's file, which all workers share (Optuna's journal); the first one makes it. Or grpc://HOST:PORT,
    /// Optuna's server in front of a database, if the tool was compiled with the feature `grpc`
    #[arg(long, value_name = "PATH")]
    study: PathBuf,
    /// The study's name there
    #[arg(long, default_value = "latentlab")]
    name: String,
    /// How many trials the study is to have in all, those of other workers included
    #[arg(long, value_name = "N")]
    trials: usize,
    /// A parameter and its range: see below
    #[arg(short, long = "parameter", value_name = "NAME=RANGE")]
    parameters: Vec<String>,
    /// Try all combinations in order instead of sampling
    #[arg(long, requires = "parameters")]
    grid: bool,
    /// Look for the highest value, not the lowest
    #[arg(long, requires = "parameters")]
    maximize: bool,
    /// The seed of the sampling
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A trial that takes longer fails
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    timeout: Option<f64>,
    /// How often a trial comes again whose worker was killed, before it fails
    #[arg(long, value_name = "N", default_value_t = 3)]
    retries: usize,
    /// End with an error after so many failures in a row, 0 for never: the program may be broken
    #[arg(long, value_name = "N", default_value_t = 5)]
    failures: usize,
    /// So many trials must be complete before any is pruned
    #[arg(long, value_name = "N", default_value_t = 5, help_heading = "Pruning")]
    startup_trials: usize,
    /// No trial is pruned before this epoch
    #[arg(long, value_name = "EPOCH", default_value_t = 0, help_heading = "Pruning")]
    warmup_epochs: usize,
    /// From then on, a trial is looked at once in so many epochs
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Pruning")]
    interval_epochs: usize,
    /// So many complete trials must have reported the same epoch
    #[arg(long, value_name = "N", default_value_t = 1, help_heading = "Pruning")]
    min_trials: usize,
    /// End when there is no trial left to begin, though other workers still run theirs (and may lose them)
    #[arg(long)]
    no_wait: bool,
    /// The program and its arguments
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "PROGRAM")]
    program: Vec<String>,
}

fn positive(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds: &f64| *seconds > 0.0 && *seconds <= 31_536_000.0);
    seconds.ok_or_else(|| "expected a number above 0, and at most 31536000 (a year)".into())
}

/// How long a program has after SIGTERM: schedulers give the worker 30 seconds.
const GRACE: Duration = Duration::from_secs(10);
/// How long what a program has printed at its end is waited for, should another process hold its output.
const DRAIN: Duration = Duration::from_secs(1);
/// How often a worker without a trial looks whether one has come back.
const POLL: Duration = Duration::from_millis(500);
/// The longest line that is looked at.
const LONGEST_LINE: usize = 1 << 16;
const PREFIX: &str = "latentlab ";

pub fn worker(arguments: &Arguments) -> Result<(), String> {
    let study = open(arguments).map_err(|error| error.to_string())?;
    check_placeholders(&arguments.program, &study.parameter_names())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    // The runtime runs here: what ends with the thread that started it must not end before.
    let ended = runtime.map_err(|error| error.to_string())?.block_on(work(&study, arguments))?;
    if let Some(signal) = ended {
        // What others know of this worker is removed first.
        drop(study);
        std::process::exit(128 + signal);
    }
    say(study.best().map_or_else(|error| error.to_string(), |best| format!("best: {best}")));
    Ok(())
}

fn open(arguments: &Arguments) -> latentlab::Result<Study> {
    let study = if arguments.parameters.is_empty() {
        Study::open(&arguments.study, &arguments.name)?
    } else {
        let space = space(arguments)?;
        let study = if arguments.maximize { Study::maximize(space)? } else { Study::minimize(space)? };
        study.optuna(&arguments.study, &arguments.name)?
    };
    let pruner = MedianPruner::new()
        .startup_trials(arguments.startup_trials)
        .warmup_epochs(arguments.warmup_epochs)
        .interval_epochs(arguments.interval_epochs)
        .min_trials(arguments.min_trials);
    let study = study.trials(arguments.trials).seed(arguments.seed).retries(arguments.retries).pruner(pruner)?;
    Ok(study.progress_every(0))
}

fn space(arguments: &Arguments) -> latentlab::Result<Space> {
    let mut space = Space::new();
    for text in &arguments.parameters {
        space = parameter(space, text).map_err(Error::other)?;
    }
    Ok(if arguments.grid { space.grid() } else { space })
}

/// `name=low..high`, `name=low..high:log` or `name=one,another`.
fn parameter(space: Space, text: &str) -> Result<Space, String> {
    let wrong = |got: &dyn Display| format!("-p: expected NAME=LOW..HIGH, NAME=LOW..HIGH:log or NAME=A,B,C, got {got}");
    let (name, range) = text.split_once('=').ok_or_else(|| wrong(&text))?;
    let Some((low, high)) = range.split_once("..") else {
        if range.is_empty() {
            return Err(wrong(&text));
        }
        return Ok(space.choice(name, range.split(',').map(setting)));
    };
    let (high, log) = high.strip_suffix(":log").map_or((high, false), |high| (high, true));
    let space = if format!("{low}{high}").contains(['.', 'e', 'E']) {
        match (low.parse(), high.parse()) {
            (Ok(low), Ok(high)) => space.float(name, low, high),
            _ => return Err(wrong(&text)),
        }
    } else {
        match (low.parse(), high.parse()) {
            (Ok(low), Ok(high)) => space.integer(name, low, high),
            _ => return Err(wrong(&format_args!("{text}: whole numbers begin at 0, others have a point"))),
        }
    };
    Ok(if log { space.log() } else { space })
}

/// A whole number, a number, or else a text.
fn setting(text: &str) -> Setting {
    match (text.parse::<usize>(), text.parse::<f64>()) {
        (Ok(number), _) => number.into(),
        (_, Ok(number)) if number.is_finite() => number.into(),
        _ => text.into(),
    }
}

/// A setting with all its digits.
fn exact(setting: &Setting) -> String {
    match setting {
        Setting::Float(number) => number.to_string(),
        other => other.to_string(),
    }
}

/// The names in braces in a program's arguments, without `{}` and what cannot be a name.
fn placeholders(argument: &str) -> impl Iterator<Item = &str> {
    let name = |part: &'_ str| -> Option<usize> {
        let end = part.find('}')?;
        let is_name = |c: char| c.is_alphanumeric() || "_-.".contains(c);
        (end > 0 && part[..end].chars().all(is_name)).then_some(end)
    };
    argument.split('{').skip(1).filter_map(move |part| name(part).map(|end| &part[..end]))
}

fn check_placeholders(program: &[String], names: &[String]) -> Result<(), String> {
    let known = |name: &&str| *name != "trial" && !names.iter().any(|other| other == name);
    match program.iter().flat_map(|argument| placeholders(argument)).find(known) {
        Some(unknown) => {
            Err(format!("{{{unknown}}}: expected a parameter of {} or {{trial}} in braces", names.join(", ")))
        }
        None => Ok(()),
    }
}

/// A program's argument for a trial. What a setting holds is not looked at again.
fn filled(argument: &str, trial: usize, settings: &BTreeMap<String, Setting>) -> String {
    let (mut text, mut rest) = (String::new(), argument);
    while let Some(start) = rest.find('{') {
        text += &rest[..start];
        rest = &rest[start..];
        let name = rest.find('}').map(|end| &rest[1..end]);
        let value = name.and_then(|name| match settings.get(name) {
            Some(setting) => Some(exact(setting)),
            None => (name == "trial").then(|| trial.to_string()),
        });
        let length = match (&value, name) {
            (Some(value), Some(name)) => {
                text += value;
                name.len() + 2
            }
            _ => {
                text.push('{');
                1
            }
        };
        rest = &rest[length..];
    }
    text + rest
}

/// Prints a line, also where the standard output is closed.
fn say(line: impl Display) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// The signals that end a worker.
struct Signals {
    #[cfg(unix)]
    all: [(tokio::signal::unix::Signal, i32); 2],
}

impl Signals {
    fn new() -> Result<Self, String> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let listen = |kind: SignalKind| match signal(kind) {
                Ok(signal) => Ok((signal, kind.as_raw_value())),
                Err(error) => Err(format!("signals cannot be waited for ({error})")),
            };
            Ok(Self { all: [listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?] })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Its number.
    async fn next(&mut self) -> i32 {
        #[cfg(unix)]
        {
            let [(first, a), (second, b)] = &mut self.all;
            tokio::select! {
                _ = first.recv() => *a,
                _ = second.recv() => *b,
            }
        }
        #[cfg(not(unix))]
        {
            let _ = tokio::signal::ctrl_c().await;
            2
        }
    }
}

/// Runs trials until the study has all of them. Returns the signal that ended it before.
async fn work(study: &Study, arguments: &Arguments) -> Result<Option<i32>, String> {
    let mut signals = Signals::new()?;
    let (mut failures, mut waiting) = (0, false);
    loop {
        let Some(trial) = study.ask().map_err(|error| error.to_string())? else {
            if arguments.no_wait || study.is_finished() {
                return Ok(None);
            }
            if !waiting {
                say("all trials have begun: waiting for those of other workers");
                waiting = true;
            }
            tokio::select! {
                () = sleep(POLL) => continue,
                signal = signals.next() => return Ok(Some(signal)),
            }
        };
        waiting = false;
        let (number, settings) = (trial.number(), trial.settings().clone());
        let shown: Vec<String> = settings.iter().map(|(name, setting)| format!("{name} {setting}")).collect();
        say(format_args!("trial {number}: {}", shown.join(", ")));
        let child = match start(&arguments.program, number, &settings) {
            Ok(child) => child,
            Err(error) => {
                study.hand_back(trial).map_err(|error| error.to_string())?;
                return Err(format!("{}: the program cannot be started ({error})", arguments.program[0]));
            }
        };
        let timeout = arguments.timeout.map(Duration::from_secs_f64);
        let group = child.id();
        let mut run = Run { child, group, result: None, end: None, errors: VecDeque::new() };
        let status = run.until_it_ends(&trial, timeout, &mut signals).await?;
        let signal = match run.end {
            Some(End::Signal(signal)) => Some(signal),
            _ => None,
        };
        let told = match run.outcome(status) {
            Outcome::Value(value) => study.tell(trial, value),
            Outcome::Failure(reason) => study.fail(trial, reason),
            Outcome::Back => study.hand_back(trial),
            Outcome::Gone(error) => {
                say(format_args!("trial {number}: {error}"));
                continue;
            }
        };
        match told {
            // A server has given it to another, because this worker was not heard of. What else is wrong shows again.
            Err(error) if error.kind() == ErrorKind::Data && signal.is_none() => {
                say(format_args!("trial {number}: {error}"));
                continue;
            }
            told => told.map_err(|error| error.to_string())?,
        }
        let records = study.records();
        let record = &records[number - 1];
        say(line(record, &records, study, arguments.trials));
        if signal.is_some() {
            return Ok(signal);
        }
        failures = if record.state == TrialState::Failed { failures + 1 } else { 0 };
        if failures == arguments.failures && failures > 0 {
            let reason = record.failure.as_deref().unwrap_or_default();
            return Err(format!("{failures} trials in a row have failed, the last because: {reason}"));
        }
    }
}

/// `trial 3: complete, 0.0274, 3.2 s (12 of 40 done, best 0.0262 in trial 7)`.
fn line(record: &TrialRecord, records: &[TrialRecord], study: &Study, trials: usize) -> String {
    let mut line = match (record.state, &record.failure) {
        (TrialState::Waiting, _) => format!("trial {}: handed back", record.number),
        (state, Some(reason)) => format!("trial {}: {state}: {reason}", record.number),
        (state, None) => format!("trial {}: {state}", record.number),
    };
    line += &record.value.map_or(String::new(), |value| format!(", {}", Setting::Float(value)));
    let open = [TrialState::Running, TrialState::Waiting];
    let done = records.iter().filter(|record| !open.contains(&record.state)).count();
    let best = study
        .best()
        .ok()
        .and_then(|best| Some(format!(", best {} in trial {}", Setting::Float(best.value?), best.number)));
    line + &format!(", {:.1} s ({done} of {trials} done{})", record.seconds, best.unwrap_or_default())
}

fn start(program: &[String], number: usize, settings: &BTreeMap<String, Setting>) -> std::io::Result<Child> {
    let filled = |argument: &String| filled(argument, number, settings);
    let mut command = std::process::Command::new(filled(&program[0]));
    command.args(program[1..].iter().map(filled));
    command.env("LATENTLAB_TRIAL", json!({ "number": number, "settings": settings }).to_string());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // Ctrl-C in a terminal is for the worker, and a signal for the program is for all that it has started.
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    end_with_parent(&mut command);
    Command::from(command).kill_on_drop(true).spawn()
}

/// A program that runs.
struct Run {
    child: Child,
    /// The number of its process group.
    group: Option<u32>,
    result: Option<f64>,
    /// Why it is being ended, if it is.
    end: Option<End>,
    /// The last lines of its standard error.
    errors: VecDeque<String>,
}

enum End {
    Signal(i32),
    Timeout(Duration),
    Pruned(f64),
    /// It said what cannot be.
    Wrong(String),
    /// The study has given the trial to another, or cannot be read.
    Gone(Error),
}

/// What becomes of its trial.
enum Outcome {
    Value(f64),
    Failure(String),
    Back,
    Gone(Error),
}

/// A pipe's lines.
struct Lines<R> {
    pipe: Option<R>,
    rest: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// Waits for bytes, passes them on to `to`, and returns the lines that they end. No line at the end of the file.
    async fn next(&mut self, to: &mut impl Write) -> Vec<String> {
        let mut bytes = [0; 8192];
        let Some(pipe) = &mut self.pipe else { return std::future::pending().await };
        let count = pipe.read(&mut bytes).await.unwrap_or(0);
        let _ = to.write_all(&bytes[..count]).and_then(|()| to.flush());
        self.rest.extend_from_slice(&bytes[..count]);
        if count == 0 {
            self.pipe = None;
            return self.take(self.rest.len());
        }
        match self.rest.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => self.take(end + 1),
            None if self.rest.len() > LONGEST_LINE => self.take(self.rest.len()),
            None => Vec::new(),
        }
    }

    fn take(&mut self, end: usize) -> Vec<String> {
        let lines: Vec<u8> = self.rest.drain(..end).collect();
        let lines = lines.split(|byte| *byte == b'\n').map(|line| String::from_utf8_lossy(line).trim_end().to_owned());
        lines.filter(|line| !line.is_empty()).collect()
    }
}

impl Run {
    async fn until_it_ends(
        &mut self,
        trial: &Trial,
        timeout: Option<Duration>,
        signals: &mut Signals,
    ) -> Result<ExitStatus, String> {
        let mut output = Lines { pipe: self.child.stdout.take(), rest: Vec::new() };
        let mut errors = Lines { pipe: self.child.stderr.take(), rest: Vec::new() };
        // Further than any program runs.
        let never = Instant::now() + Duration::from_secs(100 * 31_536_000);
        let mut deadline = timeout.map_or(never, |timeout| Instant::now() + timeout);
        let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
        let mut status = None;
        loop {
            let ended = status.is_some();
            if ended && output.pipe.is_none() && errors.pipe.is_none() {
                break;
            }
            let end = tokio::select! {
                lines = output.next(&mut out) => lines.iter().find_map(|line| self.hears(line, trial)),
                lines = errors.next(&mut err) => {
                    self.errors.extend(lines);
                    self.errors.drain(..self.errors.len().saturating_sub(20));
                    None
                }
                wait = self.child.wait(), if !ended => {
                    status = Some(wait.map_err(|error| error.to_string())?);
                    deadline = Instant::now() + DRAIN;
                    None
                }
                // A second one changes nothing: the program is being ended.
                signal = signals.next() => Some(End::Signal(signal)),
                () = sleep_until(deadline) => match timeout {
                    _ if ended => break,
                    Some(timeout) if self.end.is_none() => Some(End::Timeout(timeout)),
                    _ => {
                        self.signal(true);
                        deadline = never;
                        None
                    }
                },
            };
            match (end, &self.end) {
                // A program that has ended by itself meanwhile has done what it was asked for.
                (Some(end), None) => {
                    self.end = Some(end);
                    if !ended {
                        self.signal(false);
                        deadline = Instant::now() + GRACE;
                    }
                }
                (Some(End::Signal(signal)), Some(_)) => self.end = Some(End::Signal(signal)),
                _ => {}
            }
        }
        // What it has started and left.
        self.signal(true);
        status.ok_or_else(|| "the program's end was not seen".into())
    }

    /// What to do after a line of the program's output.
    fn hears(&mut self, line: &str, trial: &Trial) -> Option<End> {
        let words: Vec<&str> = line.strip_prefix(PREFIX)?.split_whitespace().collect();
        let said = match &words[..] {
            ["result", value] => value.parse().ok().map(|value| {
                self.result = Some(value);
                Ok(false)
            }),
            ["report", epoch, value] => match (epoch.parse(), value.parse()) {
                (Ok(epoch), Ok(value)) => Some(trial.report(epoch, value)),
                _ => None,
            },
            _ => None,
        };
        match said {
            Some(Ok(false)) => None,
            Some(Ok(true)) => Some(End::Pruned(words[2].parse().unwrap_or(f64::NAN))),
            Some(Err(error)) if error.kind() == ErrorKind::Argument => Some(End::Wrong(error.to_string())),
            Some(Err(error)) => Some(End::Gone(error)),
            None => {
                let expected = "`latentlab report EPOCH VALUE` or `latentlab result VALUE`";
                Some(End::Wrong(format!("expected {expected}, got `{line}`")))
            }
        }
    }

    /// Asks the program, and all that it has started, to end, or ends it.
    fn signal(&mut self, kill: bool) {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process_group};
            let signal = if kill { Signal::KILL } else { Signal::TERM };
            if let Some(group) = self.group.and_then(|group| Pid::from_raw(group as i32)) {
                let _ = kill_process_group(group, signal);
            }
        }
        #[cfg(not(unix))]
        let _ = (kill, self.group, self.child.start_kill());
    }

    fn outcome(self, status: ExitStatus) -> Outcome {
        match (self.end, self.result) {
            (Some(End::Gone(error)), _) => Outcome::Gone(error),
            (Some(End::Wrong(reason)), _) => Outcome::Failure(reason),
            (Some(End::Pruned(value)), _) if value.is_finite() => Outcome::Value(value),
            (Some(End::Pruned(value)), _) => Outcome::Failure(format!("it reported {value}")),
            (Some(End::Timeout(timeout)), _) => Outcome::Failure(format!("it took longer than {timeout:?}")),
            (Some(End::Signal(_)), result) if !status.success() || result.is_none() => Outcome::Back,
            (_, Some(value)) if status.success() && value.is_finite() => Outcome::Value(value),
            (_, Some(value)) if status.success() => Outcome::Failure(format!("its result is {value}")),
            (_, None) if status.success() => {
                Outcome::Failure("it ended without a line `latentlab result VALUE`".into())
            }
            _ => {
                let last = self.errors.back().map_or(String::new(), |line| format!(": {line}"));
                Outcome::Failure(format!("{status}{last}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_as_they_are_written() {
        let of = |texts: &[&str]| texts.iter().try_fold(Space::new(), |space, text| parameter(space, text));
        let expected = Space::new().float("rate", 1e-4, 0.1).log().float("x", -1.0, 1.0).integer("n", 8, 64);
        let expected = expected.integer("m", 1, 9).log().choice("c", ["adam".into(), Setting::Integer(3), 0.5.into()]);
        let all = ["rate=1e-4..1e-1:log", "x=-1.0..1", "n=8..64", "m=1..9:log", "c=adam,3,0.5"];
        assert_eq!(of(&all), Ok(expected));
        for wrong in ["", "x", "x=", "x=1..", "x=-1..1", "x=..", "x=a..b", "x=1..2:lin", "x=0.0..one"] {
            let error = of(&[wrong]).unwrap_err();
            assert!(error.starts_with("-p: expected NAME=LOW..HIGH") && error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn placeholders_are_filled_and_others_left_alone() {
        let settings = BTreeMap::from([("lr".into(), Setting::Float(1.0 / 3.0)), ("c".into(), "{lr}".into())]);
        for (argument, expected) in [
            ("--lr={lr},{trial}", "--lr=0.3333333333333333,7"),
            ("{c}{lr", "{lr}{lr"),
            ("{}{\"lr\": {lr}}}{", "{}{\"lr\": 0.3333333333333333}}{"),
        ] {
            assert_eq!(filled(argument, 7, &settings), expected);
        }
        let names = ["lr".to_string(), "c".into()];
        let check = |argument: &str| check_placeholders(&[argument.into()], &names);
        assert_eq!(check("{lr}{trial}{c}{}{\"a\": 1}"), Ok(()));
        assert_eq!(check("x{rate}").unwrap_err(), "{rate}: expected a parameter of lr, c or {trial} in braces");
    }
}
