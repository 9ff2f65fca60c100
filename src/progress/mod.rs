//! The progress of a run: lines in a file, a bar in a terminal, and in a notebook a bar with curves that are updated in
//! place.

mod time;

use std::{
    borrow::Borrow,
    env,
    io::{IsTerminal, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressStyle};
use ndarray::Array4;
use serde_json::json;

use crate::{channel, error::visible};

pub use time::duration_text;
pub(crate) use time::times;

/// The shortest time between two updates of a bar, and how many times as long as an update takes.
const BETWEEN: Duration = Duration::from_millis(200);
const REST: u32 = 50;

/// How a notebook draws a state, as HTML: set where the channel to the notebook is opened, because `show` comes after
/// this module.
static DRAW: OnceLock<fn(&State) -> String> = OnceLock::new();

/// Lets runs be drawn in a notebook.
pub(crate) fn draw_with(draw: fn(&State) -> String) {
    DRAW.get_or_init(|| draw);
}

/// Where a run is.
#[derive(Default)]
pub(crate) struct State {
    /// From 0 to 1.
    pub share: f64,
    /// One line.
    pub text: String,
    /// What the horizontal axis of the curves counts, and the curves by name.
    pub axes: [String; 2],
    pub curves: Vec<(String, Vec<f64>)>,
    /// More curves, each kind of them in a small chart.
    pub charts: Vec<Curves>,
    /// Images that the model makes at this moment, (n, channels, height, width), and how many of them in a row.
    pub images: Option<(usize, Array4<f32>)>,
}

/// Curves of one quantity.
pub(crate) struct Curves {
    pub quantity: &'static str,
    pub scale: Scale,
    /// By name; the name of one alone is empty.
    pub curves: Vec<(String, Vec<f64>)>,
}

pub(crate) enum Scale {
    Linear,
    Logarithmic,
    /// Of shares, from 0 on.
    Percent,
}

/// Shows how far a run is.
#[derive(Debug)]
pub(crate) struct Progress {
    screen: Screen,
    /// A line is printed after this number of units.
    every: usize,
    /// The time of the next update.
    due: Option<Instant>,
}

#[derive(Debug)]
enum Screen {
    Silent,
    Lines,
    Bar(ProgressBar),
    /// Whether something has been shown, and the display's name.
    Notebook(bool, String),
}

impl Progress {
    /// Shows progress after every `every` units (epochs, iterations), and if there is a bar also in between; nothing
    /// for 0.
    pub fn begin(every: usize) -> Self {
        static RUNS: AtomicU64 = AtomicU64::new(0);
        let screen = if every == 0 {
            Screen::Silent
        } else if channel::is_open() {
            let (process, run) = (std::process::id(), RUNS.fetch_add(1, Ordering::Relaxed));
            let moment = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
            Screen::Notebook(false, format!("latentlab-{process}-{run}-{moment}"))
        } else if std::io::stdout().is_terminal() && env::var_os("EVCXR_IS_RUNTIME").is_none() {
            let bar = ProgressBar::new(1000);
            bar.set_style(
                ProgressStyle::with_template("{bar:15} {wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
            );
            Screen::Bar(bar)
        } else {
            Screen::Lines
        };
        Self { screen, every, due: None }
    }

    /// Whether there is a bar, not only lines.
    pub fn is_live(&self) -> bool {
        matches!(self.screen, Screen::Bar(_) | Screen::Notebook(..))
    }

    /// Whether curves and images are drawn, not only a bar.
    pub fn is_drawn(&self) -> bool {
        matches!(self.screen, Screen::Notebook(..))
    }

    /// Whether nothing is shown.
    pub fn is_silent(&self) -> bool {
        matches!(self.screen, Screen::Silent)
    }

    /// Before the first unit: also where there are only lines.
    pub fn announce(&mut self, state: &State) {
        match &self.screen {
            Screen::Lines => print_line(state),
            Screen::Silent | Screen::Bar(_) | Screen::Notebook(..) => self.show(|| state),
        }
    }

    /// Within a unit.
    pub fn within(&mut self, state: impl FnOnce() -> State) {
        if self.is_live() && self.is_due() {
            self.show(state);
        }
    }

    fn is_due(&self) -> bool {
        self.due.is_none_or(|due| Instant::now() >= due)
    }

    /// After `done` units; `last` if no other follows.
    pub fn unit(&mut self, done: usize, last: bool, state: impl FnOnce() -> State) {
        match &self.screen {
            Screen::Silent => {}
            Screen::Lines if last || done == 1 || done.is_multiple_of(self.every) => print_line(&state()),
            Screen::Lines => {}
            Screen::Bar(_) | Screen::Notebook(..) if last || self.is_due() => self.show(state),
            Screen::Bar(_) | Screen::Notebook(..) => {}
        }
    }

    fn show<S: Borrow<State>>(&mut self, state: impl FnOnce() -> S) {
        let begun = Instant::now();
        let state = state();
        let state = state.borrow();
        match &mut self.screen {
            Screen::Bar(bar) => {
                bar.set_position((1000.0 * state.share) as u64);
                bar.set_message(visible(&state.text).into_owned());
            }
            Screen::Notebook(begun, name) => {
                let html = DRAW.get().map(|draw| draw(state)).unwrap_or_default();
                let data = json!({ "text/html": html, "text/plain": visible(&state.text) });
                let content = json!({ "data": data, "metadata": {}, "transient": { "display_id": name } });
                channel::send(&json!({ "update": *begun, "content": content }));
                *begun = true;
            }
            Screen::Silent | Screen::Lines => {}
        }
        self.due = Some(begun + BETWEEN.max(REST * begun.elapsed()));
    }
}

fn print_line(state: &State) {
    // A closed output must not end the run.
    let _ = writeln!(std::io::stdout(), "{}", visible(&state.text));
}

impl Drop for Progress {
    /// The bar stays as it is.
    fn drop(&mut self) {
        if let Screen::Bar(bar) = &self.screen {
            bar.abandon();
        }
    }
}
