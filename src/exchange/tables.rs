//! Results as tables (CSV) and as NumPy's arrays (`.npz`).

use std::path::Path;

use ndarray::ArrayView1;

use crate::{
    analyse::Codes,
    data::{npy_bytes, write_members},
    error::{Error, Result},
    file::write_whole,
    train::{GanHistory, History, Setting, Study, TrialRecord},
};

macro_rules! histories {
    ($($history:ty),+) => {$(
        impl $history {
            /// Writes a table with a row for each epoch to a CSV file: `epoch`, from 1, and a column for each curve
            /// that has values, by the name of its field, those of layers as `gradient_norms/encoder, layer 1, conv2d`.
            /// What was not measured, and NaN, are empty cells.
            ///
            /// # Errors
            /// If the file cannot be written.
            pub fn save_csv(&self, path: impl AsRef<Path>) -> Result<()> {
                write_curves(path.as_ref(), &self.curves())
            }

            /// Writes the same curves to NumPy's `.npz` file, each as a `float64` array (epochs) by its name.
            ///
            /// # Errors
            /// If the file cannot be written, or two curves have the same name.
            pub fn save_npz(&self, path: impl AsRef<Path>) -> Result<()> {
                let member = |(name, values): (String, &[f64])| (name, npy_bytes(&ArrayView1::from(values).into_dyn()));
                write_members(path.as_ref(), &mut self.curves().into_iter().map(member))
            }
        }
    )+};
}
histories!(History, GanHistory);

impl Codes {
    /// Writes a table with a row for each code to a CSV file: its values (`latent_1`, `latent_2` …, after t-SNE
    /// `t-SNE_1` …), its `label` and the name of its `class`. [`Csv`](crate::Csv) reads it back as a data set.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// ```
    /// use latentlab::{Codes, Csv, ndarray::array};
    ///
    /// let names = vec!["zero".to_string(), "one".to_string()];
    /// let codes = Codes::new(array![[0.5, 1.0], [4.0, -2.0]], array![0, 1], names)?;
    /// let path = std::env::temp_dir().join("latentlab-doc-codes.csv");
    /// codes.save_csv(&path)?;
    /// let text = std::fs::read_to_string(&path).unwrap();
    /// assert_eq!(text, "latent_1,latent_2,label,class\n0.5,1.0,0,zero\n4.0,-2.0,1,one\n");
    /// assert_eq!(Csv::new(&path).without(["label"]).label("class").read()?.to_rows(), *codes.points());
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn save_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let names = (0..self.latent_dim()).map(|index| self.axis_name(index).replace(' ', "_"));
        let header = names.chain(["label".into(), "class".into()]).collect();
        let row = |(point, label): (ArrayView1<'_, f32>, &usize)| {
            let values = point.iter().map(|value| format!("{value:?}"));
            values.chain([label.to_string(), self.class_names()[*label].clone()]).collect()
        };
        write_table(path.as_ref(), header, self.points().rows().into_iter().zip(self.labels()).map(row))
    }

    /// Writes two arrays to NumPy's `.npz` file: `points`, `float32` (n, latent_dim), and `labels`, `int64` (n). In
    /// Python, `numpy.load(path)["points"]` reads it, here [`read_npz`](crate::read_npz).
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save_npz(&self, path: impl AsRef<Path>) -> Result<()> {
        let labels = self.labels().mapv(|label| label as i64);
        let members = [
            ("points".to_string(), npy_bytes(&self.points().view().into_dyn())),
            ("labels".to_string(), npy_bytes(&labels.view().into_dyn())),
        ];
        write_members(path.as_ref(), &mut members.into_iter())
    }
}

impl Study {
    /// Writes a table with a row for each trial to a CSV file: `number`, from 1, `value`, `state` (waiting, running,
    /// complete, pruned or failed), `seconds`, and its settings, `params_learning_rate` for example, as in Optuna's
    /// `trials_dataframe` (which counts from 0). What a trial does not have is an empty cell.
    ///
    /// # Errors
    /// If the file cannot be written.
    ///
    /// ```
    /// use latentlab::{Space, Study};
    ///
    /// let study = Study::minimize(Space::new().choice("latent_dim", [2, 10]).grid())?.progress_every(0);
    /// while let Some(trial) = study.ask()? {
    ///     let value = 1.0 / trial.float("latent_dim")?;
    ///     study.tell(trial, value)?;
    /// }
    /// let path = std::env::temp_dir().join("latentlab-doc-study.csv");
    /// study.save_csv(&path)?;
    /// let text = std::fs::read_to_string(&path).unwrap();
    /// assert!(text.starts_with("number,value,state,seconds,params_latent_dim\n1,0.5,complete,"));
    /// # std::fs::remove_file(path).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn save_csv(&self, path: impl AsRef<Path>) -> Result<()> {
        let records = self.records();
        let names = self.columns_of(&records);
        let fixed = ["number", "value", "state", "seconds"].map(String::from);
        let header = fixed.into_iter().chain(names.iter().map(|name| format!("params_{name}"))).collect();
        let rows = records.iter().map(|record| {
            let mut row = vec![record.number.to_string(), record.value.map_or_else(String::new, number)];
            row.extend([record.state.to_string(), number(record.seconds)]);
            row.extend(names.iter().map(|name| match record.settings.get(name) {
                Some(Setting::Float(value)) => number(*value),
                Some(setting) => setting.to_string(),
                None => String::new(),
            }));
            row
        });
        write_table(path.as_ref(), header, rows)
    }

    /// The names of all parameters of the trials.
    pub(super) fn columns_of(&self, records: &[TrialRecord]) -> Vec<String> {
        let mut names = self.parameter_names();
        // Optuna's workers may have more.
        for name in records.iter().flat_map(|record| record.settings.keys()) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        names
    }
}

/// The shortest text that gives the same number; none for NaN.
fn number(value: f64) -> String {
    if value.is_nan() { String::new() } else { format!("{value:?}") }
}

fn write_curves(path: &Path, curves: &[(String, &[f64])]) -> Result<()> {
    let header = ["epoch".to_string()].into_iter().chain(curves.iter().map(|(name, _)| name.clone())).collect();
    let epochs = curves.iter().map(|(_, values)| values.len()).max().unwrap_or(0);
    let rows = (0..epochs).map(|index| {
        let cell = |(_, values): &(String, &[f64])| values.get(index).map_or_else(String::new, |value| number(*value));
        [(index + 1).to_string()].into_iter().chain(curves.iter().map(cell)).collect()
    });
    write_table(path, header, rows)
}

fn write_table(path: &Path, header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Result<()> {
    let failed = |error: csv::Error| Error::io(path, "write", std::io::Error::other(error));
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in [header].into_iter().chain(rows) {
        writer.write_record(&row).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| Error::io(path, "write", error.into_error()))?;
    write_whole(path, &bytes)
}
