//! What the library's values look like as a cell's last expression.

use super::{display, display_html};
use crate::{
    analyse::{Clustering, Codes, Confusion, Predictions, PrincipalComponents, TsneEmbedding},
    data::Dataset,
    error::Result,
    model::{Autoencoder, Classifier, Gan, Vae},
    nn::{Sequential, Summary},
    show::Explorer,
    train::{GanHistory, History, Study, TrialRecord},
};

/// As HTML and as the text of `Display`. The kernel would show some of them through `Debug`, but compiles the cell twice to find out.
macro_rules! as_html {
    ($($type:ty),+ $(,)?) => {
        $(impl $type {
            /// What the Rust kernel calls for a cell's last expression: it prints the value for Jupyter.
            pub fn evcxr_display(&self) {
                display_html(&self.to_html(), &self.to_string());
            }
        })+
    };
}

/// By the summary of its layers.
macro_rules! as_summary {
    ($($type:ty),+ $(,)?) => {
        $(impl $type {
            /// What the Rust kernel calls for a cell's last expression: it prints the summary for Jupyter.
            pub fn evcxr_display(&self) {
                self.summary().evcxr_display();
            }
        })+
    };
}

/// As monospaced text.
macro_rules! as_text {
    ($($type:ty),+ $(,)?) => {
        $(impl $type {
            /// What the Rust kernel calls for a cell's last expression: it prints the value for Jupyter.
            pub fn evcxr_display(&self) {
                display(&[("text/plain", &self.to_string())]);
            }
        })+
    };
}

as_html!(Clustering, Confusion, Dataset, Explorer, GanHistory, History, Study, Summary);
as_summary!(Autoencoder, Classifier, Gan, Sequential, Vae);
as_text!(Codes, Predictions, PrincipalComponents, TrialRecord, TsneEmbedding);

impl Explorer {
    /// Shows the explorer in a notebook, at its place among the lines that the cell prints, as [`Figure::show`](crate::Figure::show) does.
    /// Elsewhere it prints a line about it.
    ///
    /// # Errors
    /// None: what could go wrong has done so when the explorer was made.
    pub fn show(&self) -> Result<()> {
        match std::env::var_os("EVCXR_IS_RUNTIME") {
            Some(_) => self.evcxr_display(),
            None => super::display::print_at_once(&format!("{self}\n")),
        }
        Ok(())
    }
}

/// As for a [`Figure`](crate::Figure): in a notebook it shows itself also where it is only printed.
impl std::fmt::Debug for Explorer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        super::display::debug(f, &self.to_string(), || self.evcxr_display())
    }
}
