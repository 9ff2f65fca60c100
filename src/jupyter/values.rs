//! What the library's values do as a cell's last expression.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;

use super::display::{Forms, display_forms, print_at_once};
use super::errors::show_failure;
use super::interact::{Content, Shown, text_form};
use crate::{
    analyse::{Clustering, Codes, Confusion, Predictions, PrincipalComponents, RocCurve, TsneEmbedding},
    channel,
    data::Dataset,
    error::Result,
    model::{Autoencoder, Classifier, Gan, Vae},
    nn::{Sequential, Summary},
    show::{Explorer, Figure},
    train::{GanHistory, History, Study, TrialRecord},
};

/// What a cell shows of its last expression, and [`interact`](crate::interact) below its controls.
macro_rules! shown_by_the_kernel {
    ($($type:ty),+: |$self:ident| $forms:expr, $what:literal) => {$(
        impl $type {
            #[doc = "What the Rust kernel calls for a cell's last expression:"]
            #[doc = concat!("it prints the ", $what, " for Jupyter.")]
            pub fn evcxr_display(&$self) {
                display_forms(&$forms);
            }
        }

        impl Shown for $type {
            fn content(&$self) -> Result<Content, String> {
                Ok(Content::Forms($forms))
            }
        }
    )+};
}

// The kernel would show some of them by `Debug` too, but compiles the cell twice to find out.
shown_by_the_kernel!(Clustering, Confusion, Dataset, GanHistory, History, Study, Summary:
    |self| html_forms(self.to_html(), self), "value");
shown_by_the_kernel!(Explorer: |self| html_forms(self.to_html().into(), self), "value");
shown_by_the_kernel!(Autoencoder, Classifier, Gan, Sequential, Vae:
    |self| html_forms(self.summary().to_html(), &self.summary()), "summary");
shown_by_the_kernel!(Codes, PrincipalComponents, Predictions, RocCurve, TrialRecord, TsneEmbedding:
    |self| text_form(self), "value");

fn html_forms(html: String, text: &impl fmt::Display) -> Forms {
    vec![("text/html", html), ("text/plain", text.to_string())]
}

/// The same text as `Display`: a notebook may print either.
macro_rules! debug_as_display {
    ($($type:ty),+) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )+};
}
debug_as_display!(Clustering, Codes, Confusion, Predictions, PrincipalComponents, RocCurve, TsneEmbedding);

impl Figure {
    /// What the Rust kernel calls for a cell's last expression: it prints the figure for Jupyter.
    pub fn evcxr_display(&self) {
        if let Err(error) = self.show() {
            show_failure("Error", &error.to_string());
        }
    }

    /// Shows the figure in a notebook, among the lines that the cell prints: in the middle of a cell or in a loop, any
    /// number of figures. A kernel without `latentlab kernel`'s relay shows only the last one of a cell, at its end.
    /// Outside a notebook this prints a line about the figure.
    ///
    /// # Errors
    /// If the figure cannot be drawn.
    ///
    /// ```
    /// use latentlab::LineChart;
    ///
    /// for power in 1..=3 {
    ///     let values: Vec<f64> = (0..10).map(|x| f64::from(x).powi(power)).collect();
    ///     LineChart::new("x", "y").line(format!("power {power}"), &values).figure()?.show()?;
    /// }
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn show(&self) -> Result<()> {
        if !in_notebook() {
            print_at_once(&format!("{}\n", self.describe()));
            return Ok(());
        }
        display_forms(&self.forms()?);
        Ok(())
    }

    pub(super) fn forms(&self) -> Result<Forms> {
        self.forms_with(Self::to_png)
    }

    /// Of a figure that moves.
    pub(super) fn forms_in_haste(&self) -> Result<Forms> {
        self.forms_with(Self::to_png_in_haste)
    }

    fn forms_with(&self, png: fn(&Self) -> Result<Vec<u8>>) -> Result<Forms> {
        Ok(vec![match self.prefers_svg() {
            true => ("image/svg+xml", self.to_svg()?.trim_end().to_owned()),
            // Without the relay nothing tells Jupyter the size at which a denser file is shown.
            false if channel::is_open() => ("image/png", STANDARD.encode(png(self)?)),
            false => ("image/png", STANDARD.encode(png(&self.clone().density(1))?)),
        }])
    }
}

impl Explorer {
    /// Shows the explorer in a notebook, among the lines that the cell prints, as [`Figure::show`](crate::Figure::show)
    /// does. Outside a notebook this prints a line about it.
    pub fn show(&self) {
        if in_notebook() {
            self.evcxr_display();
        } else {
            print_at_once(&format!("{self}\n"));
        }
    }
}

/// In a notebook a figure is shown also where it is only printed. The kernel does so with a cell's last expression if
/// that uses up a variable of the same cell, as in `let chart = …; row([chart])`.
impl fmt::Debug for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, &self.describe(), || self.evcxr_display())
    }
}

/// As for a [`Figure`]: in a notebook it is shown also where it is only printed.
impl fmt::Debug for Explorer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        debug(f, &self.to_string(), || self.evcxr_display())
    }
}

/// Writes `text` for `Debug`. In a notebook the value is shown first, and the relay drops the text where it is all that
/// follows.
fn debug(f: &mut fmt::Formatter<'_>, text: &str, show: impl FnOnce()) -> fmt::Result {
    if in_notebook() {
        show();
        channel::send(&json!({ "shown": text }));
    }
    f.write_str(text)
}

pub(super) fn in_notebook() -> bool {
    std::env::var_os("EVCXR_IS_RUNTIME").is_some()
}
