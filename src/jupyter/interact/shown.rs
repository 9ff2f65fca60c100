//! What a function for `interact` may return.

use std::fmt::Display;

use crate::{error::Result, show::Figure};

use super::super::display::Forms;

/// What [`interact`](crate::interact) can show below its controls: a [`Figure`], the tables and models of this library,
/// text, numbers, and a `Result` of these.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be shown below controls",
    note = "return a `Figure`, text (`format!(…)`), or a `Result` of these"
)]
pub trait Shown {
    /// The value, or an error's text.
    #[doc(hidden)]
    fn content(&self) -> Result<Content, String>;
}

#[doc(hidden)]
pub enum Content {
    Figure(Figure),
    Forms(Forms),
}

impl Content {
    pub(super) fn forms(self) -> Result<Forms, String> {
        match self {
            Self::Figure(figure) => figure.forms_in_haste().map_err(|error| error.to_string()),
            Self::Forms(forms) => Ok(forms),
        }
    }
}

pub fn text_form(text: &dyn Display) -> Forms {
    vec![("text/plain", text.to_string())]
}

impl Shown for Figure {
    fn content(&self) -> Result<Content, String> {
        Ok(Content::Figure(self.clone()))
    }
}

impl<T: Shown, E: Display> Shown for Result<T, E> {
    fn content(&self) -> Result<Content, String> {
        self.as_ref().map_err(ToString::to_string)?.content()
    }
}

macro_rules! shown_as_text {
    ($($type:ty),+) => {$(
        impl Shown for $type {
            fn content(&self) -> Result<Content, String> {
                Ok(Content::Forms(text_form(self)))
            }
        }
    )+};
}
shown_as_text!(String, &str, f32, f64, i32, u64, usize, bool);
