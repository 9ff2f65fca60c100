//! What the library's values look like as a cell's last expression.

use super::{display, display_html};
use crate::{
    analyse::{Clustering, Codes, Confusion, Pca, Predictions, TsneEmbedding},
    data::Dataset,
    model::{Autoencoder, Classifier, Gan, Vae},
    nn::{Sequential, Summary},
    train::{GanHistory, History, Study, TrialRecord},
};

/// As monospaced text. The kernel would show the same through `Debug`, but compiles the cell twice to find out.
macro_rules! as_text {
    ($($type:ty: $text:expr),+ $(,)?) => {
        $(impl $type {
            /// What the Rust kernel calls for a cell's last expression: it prints the value for Jupyter.
            pub fn evcxr_display(&self) {
                let text: fn(&Self) -> String = $text;
                display(&[("text/plain", &text(self))]);
            }
        })+
    };
}

as_text! {
    Summary: ToString::to_string,
    Sequential: |network| network.summary().to_string(),
    Autoencoder: |autoencoder| autoencoder.summary().to_string(),
    Classifier: |classifier| classifier.summary().to_string(),
    Vae: |vae| vae.summary().to_string(),
    Gan: |gan| gan.summary().to_string(),
    GanHistory: ToString::to_string,
    History: ToString::to_string,
    Study: ToString::to_string,
    TrialRecord: ToString::to_string,
    Dataset: ToString::to_string,
    Codes: ToString::to_string,
    Pca: ToString::to_string,
    TsneEmbedding: ToString::to_string,
    Predictions: ToString::to_string,
}

impl Clustering {
    /// What the Rust kernel calls for a cell's last expression: it prints the tables for Jupyter.
    pub fn evcxr_display(&self) {
        display_html(&self.to_html(), &self.to_string());
    }
}

impl Confusion {
    /// What the Rust kernel calls for a cell's last expression: it prints the table for Jupyter.
    pub fn evcxr_display(&self) {
        display_html(&self.to_html(), &self.to_string());
    }
}
