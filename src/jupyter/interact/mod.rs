//! Sliders and other controls in a notebook that call a function when a user moves them.
//!
//! | file | what it holds |
//! |---|---|
//! | `control` | [`Control`], what it must be, its model as Jupyter's widgets describe it; the [`Values`] of controls |
//! | `shown` | what a function may return |
//!
//! Ready-made: `traverse` (an autoencoder's latent space), `compare` (several models on one image), `play` (a walk
//! through a GAN's noise), `threshold` (of an anomaly's score), `perplexity` (of t-SNE), `beta` (several VAEs).
//!
//! The relay is the kernel of the widgets: it shows their models, and tells this process what a user has moved. A
//! thread for each call of [`interact`] calls the function and sends what it returns through the channel, so that
//! nothing waits for a cell that runs.

mod beta;
mod compare;
mod control;
mod perplexity;
mod play;
mod shown;
mod threshold;
mod traverse;

use std::{
    collections::HashMap,
    sync::{
        Arc, Condvar, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc::{Sender, channel as handover},
    },
    thread,
    time::{Duration, Instant},
};

use rayon::{ThreadPool, ThreadPoolBuilder};
use serde_json::{Map, Value as Json, json};

pub use self::beta::compare_beta;
pub use self::compare::compare_models;
use self::control::check;
pub use self::control::{
    Control, Values, button, checkbox, dropdown, int_slider, selection_slider, slider, text_input,
};
pub use self::perplexity::tsne_perplexity;
pub(super) use self::shown::text_form;
pub use self::shown::{Content, Shown};
pub use self::threshold::anomaly_threshold;
pub use self::traverse::traverse;
use super::display::{Forms, metadata};
use super::errors::failure_forms;
use crate::{
    channel,
    data::Dataset,
    error::{Error, ErrorKind, Result},
    panics,
    show::{Figure, grid, row},
};

/// Shows controls in a notebook, and below them what a function of their values returns, at once and again whenever a
/// user moves one of them: ipywidgets' `interact`.
///
/// The function gets the [`Values`] and returns a [`Figure`], a table of this library, text or a number, or a
/// [`Result`] of these; an error or a panic is shown in its place. It runs on a thread of its own, also after the cell
/// has ended and while another cell trains. If the controls move faster than the function returns, it is called with
/// the last values only. The function owns what it uses: give it a clone of the model.
///
/// The controls are those of ipywidgets, and need the kernel that `cargo lab` sets up. A saved notebook shows the last
/// figure. Without that kernel, in a program or in evcxr's own kernel, the figure is shown for the initial values, and
/// for the lowest and the highest of each of the first four sliders.
///
/// # Errors
/// If there is no control or there are more than 100, two have the same name, or one cannot be: a slider needs a range
/// of finite numbers, a step above 0 and its start within the range, a dropdown an option.
///
/// ```
/// use latentlab::{Autoencoder, ImageGrid, decode, interact, slider};
///
/// let autoencoder = Autoencoder::tiny(2)?;
/// interact([slider("latent 1", 0.0..=30.0), slider("latent 2", 0.0..=30.0)], move |values| {
///     ImageGrid::new(&decode(&autoencoder, &values.code())?, 1).figure()
/// })?;
/// # Ok::<(), latentlab::Error>(())
/// ```
pub fn interact<S: Shown>(
    controls: impl IntoIterator<Item = Control>,
    mut function: impl FnMut(&Values) -> S + Send + 'static,
) -> Result<()> {
    start(controls.into_iter().collect(), Box::new(move |values, _| function(values).content()))
}

/// A user's function. It may change the values: then the controls move.
type Function = Box<dyn FnMut(&mut Values, &mut Show<'_>) -> Result<Content, String> + Send>;

/// Shows what a function has so far. `false`: it need not go on, because the values have changed or nobody sees the
/// controls any more.
type Show<'a> = dyn FnMut(&dyn Fn() -> Result<Figure>) -> bool + 'a;

/// The function of ready-made controls.
fn figures(mut figure: impl FnMut(&mut Values, &mut Show<'_>) -> Result<Figure> + Send + 'static) -> Function {
    Box::new(move |values, show| figure(values, show).content())
}

/// A slider that picks one of the images; see [`picked`].
fn image_slider(place: &str, images: &Dataset) -> Result<Control> {
    if images.is_empty() {
        return Err(Error::argument(format!("{place}, images"), "at least 1 image", "none"));
    }
    Ok(int_slider("image", 0..=(images.len() - 1).max(1)).start_at(0.0))
}

/// The number of the image that the [`image_slider`] picks.
fn picked(values: &Values, images: &Dataset) -> Result<usize> {
    Ok(values.integer("image")?.min(images.len() - 1))
}

/// How many images a row of a figure has space for, at most `most`.
fn columns([_, _, width]: [usize; 3], most: usize) -> usize {
    const WIDEST: usize = 800;
    (WIDEST / width.max(1)).clamp(1, most)
}

/// The shortest time between two figures, so that no page lags behind, and between two of one call.
const BETWEEN: Duration = Duration::from_millis(25);
const BETWEEN_FRAMES: Duration = Duration::from_millis(100);

/// The controls on a page and the thread that calls the function.
struct Interaction {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    values: Values,
    /// Whether the values have changed since the function was called.
    is_due: bool,
    /// Whether nobody sees the controls any more.
    is_closed: bool,
}

/// What runs now, by the id of the outermost model.
static RUNNING: LazyLock<Mutex<HashMap<String, Arc<Interaction>>>> = LazyLock::new(Mutex::default);

fn running() -> MutexGuard<'static, HashMap<String, Arc<Interaction>>> {
    RUNNING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(controls: Vec<Control>, function: Function) -> Result<()> {
    check(&controls)?;
    let values = Values::new(controls);
    if !channel::is_open() {
        return show_static(values, function);
    }
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let (process, call) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    let moment = std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos();
    let root = format!("latentlab-widgets-{process}-{call}-{moment}");
    let models = control::models(&root, &values);
    let text = format!("controls: {}", values.names().join(", "));
    let interaction = Arc::new(Interaction {
        state: Mutex::new(State { values, is_due: true, is_closed: false }),
        changed: Condvar::new(),
    });
    channel::receive_widgets_with(receive);
    running().insert(root.clone(), interaction.clone());
    channel::send(&json!({ "widgets": root, "models": models, "text": text }));
    let (first, shown) = handover();
    let worker = thread::Builder::new().name("interact".into());
    worker
        .spawn(move || interaction.work(&root, function, first))
        .map_err(|error| Error::new(ErrorKind::Io, "interact", format!("cannot start a thread ({error})")))?;
    // The cell ends with its first figure. If the thread is closed before, there is none.
    let _ = shown.recv();
    Ok(())
}

/// What a user has done, from the relay.
fn receive(event: &Json) {
    if let Some(root) = event["closed"].as_str() {
        if let Some(interaction) = running().remove(root) {
            interaction.change(|state| state.is_closed = true);
        }
        return;
    }
    let Some((root, index)) = event["model"].as_str().and_then(|model| model.rsplit_once('-')) else { return };
    let interaction = running().get(root).cloned();
    if let (Some(interaction), Ok(index)) = (interaction, index.parse()) {
        interaction.change(|state| state.is_due |= state.values.receive(index, event));
    }
}

impl Interaction {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    /// The values, as soon as they have changed; `None` when nobody sees the controls any more.
    fn next(&self) -> Option<Values> {
        let waiting = self.changed.wait_while(self.lock(), |state| !state.is_due && !state.is_closed);
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner);
        state.is_due = false;
        (!state.is_closed).then(|| state.values.clone())
    }

    /// Calls the function whenever the values have changed; tells of the first time.
    fn work(&self, root: &str, mut function: Function, first: Sender<()>) {
        let mut first = Some(first);
        while let Some(before) = self.next() {
            let begun = Instant::now();
            let mut values = before.clone();
            let mut last_frame = begun;
            let mut show = |figure: &dyn Fn() -> Result<Figure>| {
                if last_frame.elapsed() >= BETWEEN_FRAMES {
                    last_frame = Instant::now();
                    // A figure that cannot be drawn will be told of in the end.
                    if let Ok(forms) = figure().and_then(|figure| figure.forms_in_haste()) {
                        send_figure(root, forms);
                    }
                }
                self.is_current()
            };
            let forms = match &*THREADS {
                Some(threads) => threads.install(|| forms(&mut function, &mut values, &mut show)),
                None => forms(&mut function, &mut values, &mut show),
            };
            let moved = values.changes(&before);
            if !moved.is_empty() {
                self.lock().values.take_over(&moved, &values, &before);
                let models: Map<String, Json> =
                    moved.iter().map(|index| (format!("{root}-{index}"), values.state(*index))).collect();
                channel::send_aside(&json!({ "set": models }));
            }
            send_figure(root, forms);
            first.take();
            thread::sleep(BETWEEN.saturating_sub(begun.elapsed()));
        }
    }

    /// Whether the values are those that the function was called with, and somebody sees the controls.
    fn is_current(&self) -> bool {
        let state = self.lock();
        !state.is_due && !state.is_closed
    }
}

/// Shows this below the controls.
fn send_figure(root: &str, forms: Forms) {
    let texts: Vec<(&str, &str)> = forms.iter().map(|(media_type, content)| (*media_type, content.as_str())).collect();
    let metadata = metadata(&texts);
    let data: Map<String, Json> =
        forms.into_iter().map(|(media_type, content)| (media_type.to_owned(), content.into())).collect();
    channel::send_aside(&json!({ "figure": root, "data": data, "metadata": metadata }));
}

/// The threads of the functions: those of all other computations are busy while a cell trains.
static THREADS: LazyLock<Option<ThreadPool>> =
    LazyLock::new(|| ThreadPoolBuilder::new().thread_name(|index| format!("interact {index}")).build().ok());

/// What the function returns, or its failure.
fn forms(function: &mut Function, values: &mut Values, show: &mut Show<'_>) -> Forms {
    match panics::caught(|| function(values, show)?.forms()) {
        Ok(Ok(forms)) => forms,
        Ok(Err(error)) => failure_forms("Error", &error),
        Err(panic) => failure_forms("Panic", &panic),
    }
}

/// The sliders of which figures are shown where there are no widgets, and the greatest width of those of one slider,
/// side by side.
const STATIC: usize = 4;
const WIDEST: u32 = 2_000;

/// Without widgets: what the function returns for the initial values; and if these are figures, for the lowest and the
/// highest of each slider.
fn show_static(mut values: Values, mut function: Function) -> Result<()> {
    let rows = values.extremes(STATIC);
    if !rows.is_empty() {
        let mut titled = |(title, mut values): (String, Values)| {
            match panics::caught(|| function(&mut values, &mut |_| true)) {
                // Below its own title.
                Ok(Ok(Content::Figure(figure))) => Some(grid(1, [figure]).title(title)),
                _ => None,
            }
        };
        let of_slider = |values: Vec<(String, Values)>| {
            let figures = values.into_iter().map(&mut titled).collect::<Option<Vec<_>>>()?;
            let width = figures.iter().map(Figure::width).fold(0, u32::saturating_add);
            Some(if width > WIDEST { grid(1, figures) } else { row(figures) })
        };
        if let Some(rows) = rows.into_iter().map(of_slider).collect::<Option<Vec<_>>>() {
            return grid(1, rows).show();
        }
    }
    let forms = forms(&mut function, &mut values, &mut |_| true);
    if super::values::in_notebook() {
        super::display::display_forms(&forms);
    } else {
        let text = forms.iter().find(|(media_type, _)| *media_type == "text/plain");
        let text = text.map_or("interact: a figure", |(_, text)| text);
        super::display::print_at_once(&format!("{}\n", super::display::unmarked(text)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The figure of a function as SVG.
    pub fn svg(function: &mut Function, values: &mut Values) -> String {
        match function(values, &mut |_| true) {
            Ok(Content::Figure(figure)) => figure.to_svg().unwrap(),
            Ok(Content::Forms(_)) => panic!("not a figure"),
            Err(error) => panic!("{error}"),
        }
    }

    fn interaction(controls: Vec<Control>) -> Arc<Interaction> {
        let values = Values::new(controls);
        let state = Mutex::new(State { values, is_due: true, is_closed: false });
        Arc::new(Interaction { state, changed: Condvar::new() })
    }

    #[test]
    fn only_the_last_values_are_called_with() {
        let interaction = interaction(vec![slider("x", 0.0..=1.0)]);
        running().insert("last".into(), interaction.clone());
        assert_eq!(interaction.next().unwrap().float("x").unwrap(), 0.5);
        assert!(interaction.is_current());
        for value in 0..=100 {
            receive(&json!({ "model": "last-0", "state": { "value": f64::from(value) / 100.0 } }));
        }
        assert!(!interaction.is_current(), "a function that shows figures meanwhile need not go on");
        assert_eq!(interaction.next().unwrap().float("x").unwrap(), 1.0);
        for odd in [json!(null), json!({ "model": "last" }), json!({ "model": "last-1" }), json!({ "model": "a-0" })] {
            receive(&odd);
        }
        receive(&json!({ "model": "last-0", "state": { "value": "text" } }));
        assert!(!interaction.lock().is_due);
        assert!(interaction.is_current());
        receive(&json!({ "closed": "last" }));
        assert!(!interaction.is_current());
        assert!(interaction.next().is_none() && !running().contains_key("last"));
    }

    #[test]
    fn an_error_and_a_panic_are_shown() {
        let mut values = Values::new(vec![slider("x", 0.0..=1.0)]);
        let mut text = |function: fn(&mut Values) -> Result<Content, String>| {
            let mut function: Function = Box::new(move |values, _| function(values));
            forms(&mut function, &mut values, &mut |_| true).last().unwrap().1.clone()
        };
        assert_eq!(text(|values| values.float("x").content()), "0.5");
        let error = text(|values| values.float("y").content());
        assert_eq!(error, "Error: values: expected a control of x, got \"y\"");
        assert_eq!(text(|_| panic!("too {}", "far")), "Panic: too far");
    }

    #[test]
    fn a_program_gets_three_figures_for_each_slider() {
        let calls = Arc::new(Mutex::new(Vec::new()));
        let seen = calls.clone();
        interact([slider("x", 0.0..=1.0), int_slider("n", 1..=3), checkbox("c", true)], move |values| {
            seen.lock().unwrap().push((values.float("x")?, values.integer("n")?));
            crate::show::LineChart::new("x", "y").line("a", &[0.0, values.float("x")?]).figure()
        })
        .unwrap();
        let expected = [(0.0, 2), (0.5, 2), (1.0, 2), (0.5, 1), (0.5, 2), (0.5, 3)];
        assert_eq!(*calls.lock().unwrap(), expected);
    }
}
