//! Errors in a notebook: one box under the cell, for a `?` as for a panic.
//!
//! Stock evcxr prints the error of a `?` and the message of a panic on the standard error, where they may arrive late,
//! in pieces or under the next cell, and reports such a cell as successful. The prelude of `evcxr.toml` mends it:
//!
//! ```text
//! use latentlab::notebook_eprintln as eprintln;
//! latentlab::jupyter::install_error_display();
//! ```
//!
//! The first line catches a `?`, which evcxr turns into an `eprintln!` in code that it writes around each cell; the
//! second a panic. Of errors evcxr prints `Display`, and `Debug` where it could not find out that there is one: those of this library are the same in both.

use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

use super::display::{print_at_once, shown};
use crate::{error::visible_lines, html::escape_html};

/// The media type of an output that means "this cell failed": no other output carries it. Its content is JSON with
/// `kind` (`"error"` for a `?`, `"panic"`), `message` and, for a panic, `location` and `thread`.
pub const ERROR_MEDIA_TYPE: &str = "application/vnd.latentlab.error+json";

/// Makes panics appear as a box under the cell. Does nothing outside a notebook, and nothing when called again.
///
/// Call it on the thread that runs the cells: what another thread says is marked as such.
pub fn install_error_display() {
    static CELLS: OnceLock<ThreadId> = OnceLock::new();
    if std::env::var_os("EVCXR_IS_RUNTIME").is_some() {
        CELLS.get_or_init(|| {
            let cells = thread::current().id();
            std::panic::set_hook(Box::new(move |info| show_panic(info, cells)));
            cells
        });
    }
}

/// Shows a failure as a box under the cell, with text for where there is no HTML, and with a mark for programs
/// ([`ERROR_MEDIA_TYPE`]).
///
/// `title` is what happened ("Error"), `message` the whole text.
pub fn show_failure(title: &str, message: &str) {
    print_at_once(&failure("error", title, message, None, None));
}

fn show_panic(info: &PanicHookInfo<'_>, cells: ThreadId) {
    let payload = info.payload();
    let message = (payload.downcast_ref::<&str>().copied())
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("(a panic without a message)");
    // A cell's own code stands in a file that evcxr wrote, named relative to it: its lines would tell a reader nothing.
    let location = info.location().filter(|place| Path::new(place.file()).is_absolute()).map(ToString::to_string);
    let current = thread::current();
    let thread = (current.id() != cells).then(|| current.name().unwrap_or("without a name"));
    print_at_once(&failure("panic", "Panic", message, location.as_deref(), thread));
}

/// The box, its plain text and its mark. Of the boxes in one cell Jupyter shows the last; what a thread has to say must
/// not be lost when the cell panics because of it, so it is printed as a line as well.
fn failure(kind: &str, title: &str, message: &str, location: Option<&str>, thread: Option<&str>) -> String {
    let message = &*visible_lines(message);
    let title = match thread {
        Some(name) => format!("{title} in thread {}", visible_lines(name)),
        None => title.to_owned(),
    };
    let place = location.map(|location| format!("at {location}"));
    let text = match &place {
        Some(place) => format!("{title}: {message}\n{place}"),
        None => format!("{title}: {message}"),
    };
    let html = format!(
        "<div class=\"latentlab-error\" style=\"border-left: 4px solid #c4314b; background: rgba(196, 49, 75, 0.10); \
         padding: 8px 12px; margin: 4px 0\"><b>{}</b><div style=\"white-space: pre-wrap; font-family: monospace; \
         margin-top: 4px\">{}</div>{}</div>",
        escape_html(&title),
        escape_html(message),
        place.map(|place| format!("<small>{}</small>", escape_html(&place))).unwrap_or_default(),
    );
    let mark = serde_json::json!({ "kind": kind, "message": message, "location": location, "thread": thread });
    let line = if thread.is_some() { format!("{text}\n") } else { String::new() };
    line + &shown(&[("text/html", &html), ("text/plain", &text), (ERROR_MEDIA_TYPE, &mark.to_string())])
}

/// `eprintln!` for notebooks: see [`jupyter`](crate::jupyter). It shows the error of a `?` as a box and is otherwise the
/// standard one.
#[macro_export]
macro_rules! notebook_eprintln {
    ($($argument:tt)*) => {{
        // evcxr's own call stands in its error type's `From`; the name of a function in there says so.
        fn here() {}
        if ::std::any::type_name_of_val(&here).contains("EvcxrUserCodeError") {
            $crate::jupyter::show_failure("Error", &::std::format!($($argument)*));
        } else {
            ::std::eprintln!($($argument)*);
        }
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_box_a_text_and_a_mark() {
        let shown = failure("panic", "Panic", "index <5> out of \"range\"", Some("src/nn.rs:3:9"), None);
        let contents: Vec<&str> = shown.lines().filter(|line| !line.starts_with("EVCXR_END")).collect();
        assert_eq!(contents[0], "EVCXR_BEGIN_CONTENT text/html");
        assert!(contents[1].contains("index &lt;5&gt; out of &quot;range&quot;"), "{shown}");
        assert_eq!(
            contents[2..5],
            ["EVCXR_BEGIN_CONTENT text/plain", "Panic: index <5> out of \"range\"", "at src/nn.rs:3:9"]
        );
        assert_eq!(contents[5], format!("EVCXR_BEGIN_CONTENT {ERROR_MEDIA_TYPE}"));
        let mark: serde_json::Value = serde_json::from_str(contents[6]).unwrap();
        assert_eq!(mark["kind"], "panic");
        assert_eq!(mark["message"], "index <5> out of \"range\"");
        assert_eq!(mark["thread"], serde_json::Value::Null);
    }

    #[test]
    fn what_a_thread_says_is_also_a_line() {
        let shown = failure("panic", "Panic", "no", None, Some("worker 3"));
        assert!(shown.starts_with("Panic in thread worker 3: no\nEVCXR_BEGIN_CONTENT text/html\n"), "{shown}");
    }

    #[test]
    fn only_the_kernels_own_call_is_an_error() {
        struct EvcxrUserCodeError(&'static str);
        impl<T: std::fmt::Display> From<T> for EvcxrUserCodeError {
            fn from(_: T) -> Self {
                fn here() {}
                Self(std::any::type_name_of_val(&here))
            }
        }
        assert!(EvcxrUserCodeError::from(1).0.contains("EvcxrUserCodeError"));
    }
}
