//! The one error type: what went wrong, where, what was expected and what came instead.

use std::{borrow::Cow, fmt, sync::Arc};

/// The crate's `Result`.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What every fallible function of this crate returns: a sentence with the place, what was expected and what came.
///
/// `Display` and `Debug` print the same whole text, so that a notebook shows it well either way.
///
/// ```
/// use latentlab::{ErrorKind, Sequential};
///
/// let error = Sequential::input([784]).dense(0).build().unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Shape);
/// assert_eq!(error.to_string(), "layer 1, dense: expected at least 1 unit, got 0");
/// ```
#[derive(Clone)]
pub struct Error(Arc<Parts>);

#[derive(Clone)]
struct Parts {
    kind: ErrorKind,
    place: String,
    message: String,
    hint: Option<String>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

/// What an [`Error`] is about, for code that wants to react to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// An argument or a setting is out of its range.
    Argument,
    /// Shapes do not fit: of a layer, of two networks, of images and labels.
    Shape,
    /// A data file is damaged, or not what it should be.
    Data,
    /// Data could not be fetched.
    Download,
    /// A saved file (weights, a checkpoint, a fitted clustering or projection) is damaged, foreign, or of another
    /// model.
    Weights,
    /// The loss became NaN or infinite.
    Diverged,
    /// A file could not be read or written.
    Io,
    /// A figure could not be drawn.
    Figure,
    /// A notebook's stop button ended what gives no result of a part.
    Stopped,
    /// A function of yours failed: [`Error::other`].
    Other,
}

impl Error {
    /// `place`: where it happened ("layer 7, reshape", "train-images-idx3-ubyte, byte 16"); `message`: what.
    pub(crate) fn new(kind: ErrorKind, place: impl Into<String>, message: impl Into<String>) -> Self {
        let place: String = place.into();
        // Only a path can be empty.
        let place = if place.is_empty() { "an empty path".into() } else { visible(&place).into_owned() };
        let message = visible_lines(&message.into());
        Self(Arc::new(Parts { kind, place, message, hint: None, source: None }))
    }

    /// The most common form: `place: expected …, got …`.
    pub(crate) fn expected(
        kind: ErrorKind,
        place: impl Into<String>,
        expected: impl fmt::Display,
        got: impl fmt::Display,
    ) -> Self {
        let message = format!("expected {expected}, got {got}");
        Self::new(kind, place, visible(&message))
    }

    /// [`expected`](Self::expected) for an argument or a setting out of its range.
    pub(crate) fn argument(place: impl Into<String>, expected: impl fmt::Display, got: impl fmt::Display) -> Self {
        Self::expected(ErrorKind::Argument, place, expected, got)
    }

    /// An operating-system error at a file: `place` is the path, `doing` what was tried ("read", "create").
    pub(crate) fn io(path: &std::path::Path, doing: &str, source: std::io::Error) -> Self {
        Self::new(ErrorKind::Io, path.display().to_string(), format!("cannot {doing} it ({source})")).source(source)
    }

    /// What to try, as a sentence of its own.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        Arc::make_mut(&mut self.0).hint = Some(visible_lines(&hint.into()));
        self
    }

    /// The error below this one.
    pub(crate) fn source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.0).source = Some(Arc::new(source));
        self
    }

    /// The place inside a larger one: `within("encoder")` turns "layer 3, dense" into "encoder, layer 3, dense".
    pub(crate) fn within(mut self, outer: &str) -> Self {
        let parts = Arc::make_mut(&mut self.0);
        parts.place = format!("{}, {}", visible(outer), parts.place);
        self
    }

    /// Any error, or a text, as this one: for a function of yours that has to return it, as
    /// [`TrainConfig::after_epoch`](crate::TrainConfig::after_epoch)'s does.
    ///
    /// ```
    /// use latentlab::{Error, Result};
    ///
    /// fn log(line: &str) -> Result<()> {
    ///     std::fs::write("no such folder/log.txt", line).map_err(Error::other)
    /// }
    /// assert!(log("epoch 1").unwrap_err().to_string().starts_with("your function: "));
    /// assert_eq!(Error::other("enough").to_string(), "your function: enough");
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let error = error.into();
        let mut other = Self::new(ErrorKind::Other, "your function", error.to_string());
        Arc::make_mut(&mut other.0).source = Some(error.into());
        other
    }

    /// What the error is about.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where it happened: the layer's number and kind, the file and byte, the argument.
    pub fn place(&self) -> &str {
        &self.0.place
    }
}

/// What evcxr acts on in a line that a cell prints, some of it anywhere in the line.
const KERNEL_MARKS: [&str; 6] = [
    "EVCXR_BEGIN_CONTENT",
    "EVCXR_END_CONTENT",
    "EVCXR_EXECUTION_COMPLETE",
    "EVCXR_PANIC_NOTIFICATION",
    "EVCXR_VARIABLE_CHANGED_TYPE",
    "EVCXR_ERROR_OCCURRED",
];

/// Text on one line with nothing hidden: control characters of a terminal, a page or the kernel, marks that change the
/// direction of writing, line ends and noncharacters are escaped as in Rust (`\n`, `\u{1b}`). Idempotent.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let is_hidden = |c: char| {
        c.is_control()
            || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || matches!(c, '\u{fff9}'..='\u{fffb}' | '\u{fdd0}'..='\u{fdef}')
            || u32::from(c) & 0xfffe == 0xfffe
    };
    let mut shown = Cow::from(text);
    if text.contains(is_hidden) {
        let escaped = |c: char| if is_hidden(c) { c.escape_default().to_string() } else { c.to_string() };
        shown = text.chars().map(escaped).collect();
    }
    for mark in KERNEL_MARKS.iter().filter(|mark| text.contains(**mark)) {
        shown = shown.replace(mark, &mark.replacen('_', "\\u{5f}", 1)).into();
    }
    shown
}

/// The same for text of several lines: line breaks and tabs stay.
pub(crate) fn visible_lines(text: &str) -> String {
    text.split_inclusive(['\n', '\t'])
        .flat_map(|part| {
            let inside = part.trim_end_matches(['\n', '\t']);
            [visible(inside), part[inside.len()..].into()]
        })
        .collect()
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.place, self.0.message)?;
        match &self.0.hint {
            Some(hint) => write!(f, ". {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|e| e as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_hidden_stands_in_an_error() {
        let hostile =
            "a\n\u{1}latentlab {}\r\u{1b}[2J\u{0}\u{202e}\u{2028}\u{fffe}\u{85}\nEVCXR_BEGIN_CONTENT text/html";
        let shown =
            r"a\n\u{1}latentlab {}\r\u{1b}[2J\u{0}\u{202e}\u{2028}\u{fffe}\u{85}\nEVCXR\u{5f}BEGIN_CONTENT text/html";
        let error =
            Error::expected(ErrorKind::Argument, hostile, hostile, hostile).within(hostile).hint("EVCXR_END_CONTENT");
        let hint = r"EVCXR\u{5f}END_CONTENT";
        assert_eq!(error.to_string(), format!("{shown}, {shown}: expected {shown}, got {shown}. {hint}"));
        assert_eq!(visible(shown), shown, "idempotent");
        assert_eq!(visible("お \u{301} 👨‍👩‍👧 עברית naïve"), "お \u{301} 👨‍👩‍👧 עברית naïve");
    }

    #[test]
    fn the_librarys_own_lines_stay() {
        let error = Error::new(ErrorKind::Download, "digits", "no mirror\n  a: \u{1}b\r\tc\n\n");
        assert_eq!(error.to_string(), "digits: no mirror\n  a: \\u{1}b\\r\tc\n\n");
    }
}
