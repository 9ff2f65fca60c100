//! Errors in a notebook: one box under the cell, for a `?` as for a panic.
//!
//! Stock evcxr prints the error of a `?` and the message of a panic on the standard error, where they may arrive late,
//! in pieces or under the next cell, and reports such a cell as successful. The prelude of `evcxr.toml` fixes that:
//!
//! ```text
//! use latentlab::notebook_eprintln as eprintln;
//! latentlab::jupyter::install_error_display();
//! ```
//!
//! The first line catches a `?`, which evcxr turns into an `eprintln!` in code that it writes around each cell; the
//! second a panic. evcxr prints errors by `Display`, or by `Debug` where it cannot find out that they have it: this
//! library's errors look the same in both.

use std::fmt;
use std::panic::PanicHookInfo;
use std::path::Path;
use std::sync::OnceLock;
use std::thread::{self, ThreadId};

use serde_json::{Value, json};

use super::display::{Forms, display, print_at_once, unmarked};
use crate::{
    channel::{self, protocol::ERROR_MEDIA_TYPE},
    error::visible_lines,
    panics, progress,
    show::{escape_html, progress_html},
};

/// Makes panics appear as a box under the cell. Does nothing outside a notebook, and nothing when called again.
///
/// Call it on the thread that runs the cells, in a cell that defines no variable: panics of other threads are marked as
/// such, and with the relay of `latentlab kernel` it does not return, but runs the cells that follow.
pub fn install_error_display() {
    static CELLS: OnceLock<ThreadId> = OnceLock::new();
    if std::env::var_os("EVCXR_IS_RUNTIME").is_some() {
        CELLS.get_or_init(|| {
            let cells = thread::current().id();
            std::panic::set_hook(Box::new(move |info| show_panic(info, cells)));
            cells
        });
        progress::draw_with(progress_html);
        channel::serve();
    }
}

/// Shows a failure as a box under the cell, as text where there is no HTML, and as JSON for programs
/// ([`ERROR_MEDIA_TYPE`]).
///
/// `title` is what happened ("Error"), `message` the whole text.
pub fn show_failure(title: &str, message: &str) {
    show(&Failure { kind: "error", title, message, location: None, thread: None });
}

/// A failure that does not fail the cell: a box, and text where there is no HTML.
pub(super) fn failure_forms(title: &str, message: &str) -> Forms {
    let failure = Failure { kind: "error", title, message, location: None, thread: None };
    vec![("text/html", failure.html()), ("text/plain", failure.text())]
}

fn show_panic(info: &PanicHookInfo<'_>, cells: ThreadId) {
    let message = panics::message(info.payload());
    // A cell's own code is in a file that evcxr writes, with a relative name: its line numbers mean nothing to a
    // reader.
    let location = info.location().filter(|place| Path::new(place.file()).is_absolute()).map(ToString::to_string);
    let current = thread::current();
    let thread = (current.id() != cells).then(|| current.name().unwrap_or("without a name"));
    show(&Failure { kind: "panic", title: "Panic", message, location: location.as_deref(), thread });
}

struct Failure<'a> {
    kind: &'a str,
    title: &'a str,
    message: &'a str,
    location: Option<&'a str>,
    /// The name of the thread, if it is not the cells' own.
    thread: Option<&'a str>,
}

fn show(failure: &Failure) {
    // A stock kernel shows only a cell's last box: a thread's panic must not be lost when the cell panics because of
    // it.
    if failure.thread.is_some() && !channel::is_open() {
        print_at_once(&unmarked(&format!("{}\n", failure.text())));
    }
    let (html, text, mark) = (failure.html(), failure.text(), failure.mark());
    display(&[("text/html", &html), ("text/plain", &text), (ERROR_MEDIA_TYPE, &mark.to_string())]);
}

impl Failure<'_> {
    fn title(&self) -> String {
        match self.thread {
            Some(name) => format!("{} in thread {}", self.title, visible_lines(name)),
            None => self.title.to_owned(),
        }
    }

    fn place(&self) -> Option<String> {
        self.location.map(|location| format!("at {location}"))
    }

    fn text(&self) -> String {
        let place = self.place().map(|place| format!("\n{place}")).unwrap_or_default();
        format!("{}: {}{place}", self.title(), visible_lines(self.message))
    }

    fn html(&self) -> String {
        let place = self.place().map(|place| format!("<small>{}</small>", escape_html(&place)));
        format!(
            "<div class=\"latentlab-error\" style=\"border-left: 4px solid #c4314b; \
             background: rgba(196, 49, 75, 0.10); padding: 8px 12px; margin: 4px 0\"><b>{}</b>\
             <div style=\"white-space: pre-wrap; font-family: monospace; margin-top: 4px\">{}</div>{}</div>",
            escape_html(&self.title()),
            escape_html(self.message),
            place.unwrap_or_default(),
        )
    }

    /// For programs.
    fn mark(&self) -> Value {
        json!({ "kind": self.kind, "message": self.message, "location": self.location, "thread": self.thread })
    }
}

/// `eprintln!` for notebooks: see [`jupyter`](crate::jupyter). It shows the error of a `?` as a box and is otherwise
/// the standard one.
#[macro_export]
macro_rules! notebook_eprintln {
    ($($argument:tt)*) => {{
        // evcxr calls this in the `From` of its error type, which is part of the name of a function defined here.
        fn here() {}
        if ::std::any::type_name_of_val(&here).contains("EvcxrUserCodeError") {
            $crate::jupyter::show_failure("Error", &::std::format!($($argument)*));
        } else {
            ::std::eprintln!($($argument)*);
        }
    }};
}

/// `println!` for notebooks: see [`jupyter`](crate::jupyter). It recognises the lines by which the kernel reports how a
/// cell has ended, from where they are printed, and is otherwise the standard one.
#[macro_export]
macro_rules! notebook_println {
    ($text:literal) => {{
        fn here() {}
        $crate::jupyter::print_line(::std::any::type_name_of_val(&here), ::std::format_args!($text));
    }};
    ("{}", evcxr_internal_runtime::USER_ERROR_OCCURRED) => {{
        fn here() {}
        let text = evcxr_internal_runtime::USER_ERROR_OCCURRED;
        $crate::jupyter::print_line(::std::any::type_name_of_val(&here), ::std::format_args!("{text}"));
    }};
    ($($argument:tt)*) => { ::std::println!($($argument)*) };
}

/// What [`notebook_println!`](crate::notebook_println) does. `place` is the path of a function at the call: the user's
/// code is in a closure, a function or a module.
#[doc(hidden)]
pub fn print_line(place: &str, text: fmt::Arguments<'_>) {
    if !(is_kernels(place) && channel::tell_kernel(&text.to_string())) {
        println!("{text}");
    }
}

fn is_kernels(place: &str) -> bool {
    let mut names = place.split("::").skip(1);
    match (names.next(), names.next()) {
        (Some(cell), Some("here")) => cell.starts_with("run_user_code_"),
        (Some("evcxr_internal_runtime"), _) => true,
        _ => place.contains("EvcxrUserCodeError"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_a_box_a_text_and_a_mark() {
        let failure = Failure {
            kind: "panic",
            title: "Panic",
            message: "index <5> out of \"range\"",
            location: Some("src/nn.rs:3:9"),
            thread: None,
        };
        assert!(failure.html().contains("index &lt;5&gt; out of &quot;range&quot;"), "{}", failure.html());
        assert_eq!(failure.text(), "Panic: index <5> out of \"range\"\nat src/nn.rs:3:9");
        let mark = failure.mark();
        assert_eq!(mark["kind"], "panic");
        assert_eq!(mark["message"], "index <5> out of \"range\"");
        assert_eq!(mark["thread"], Value::Null);
        let elsewhere = Failure { thread: Some("worker 3"), location: None, ..failure };
        assert_eq!(elsewhere.text(), "Panic in thread worker 3: index <5> out of \"range\"");
    }

    #[test]
    fn lines_of_the_kernel_are_recognised_by_their_place() {
        for place in [
            "ctx::run_user_code_3::here",
            "ctx::evcxr_internal_runtime::VariableStore::check_variable::here",
            "<ctx::run_user_code_3::EvcxrUserCodeError as core::convert::From<T>>::from::here",
        ] {
            assert!(is_kernels(place), "{place}");
        }
        for place in ["ctx::run_user_code_3::{{closure}}::here", "ctx::show::here", "ctx::show::run_user_code_3::here"]
        {
            assert!(!is_kernels(place), "{place}");
        }
    }

    #[test]
    fn only_a_call_by_the_kernel_is_an_error() {
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
