//! Codes for the Embedding Projector of TensorBoard.

use std::{fmt::Write, path::Path};

use crate::{
    analyse::Codes,
    error::{Error, Result, visible},
    file::{make_folder, write_whole},
};

/// What TensorBoard finds the two tables by.
const CONFIG: &str = r#"embeddings {
  tensor_name: "codes"
  tensor_path: "vectors.tsv"
  metadata_path: "metadata.tsv"
}
"#;

impl Codes {
    /// Writes the codes for the Embedding Projector into a folder, which is made if there is none: `vectors.tsv` with a
    /// row for each code, and `metadata.tsv` with its class and its label.
    ///
    /// On [projector.tensorflow.org](https://projector.tensorflow.org), *Load* takes the two files. `tensorboard
    /// --logdir FOLDER` shows them on its page *Projector* by itself, without a network: `projector_config.pbtxt`
    /// tells it.
    ///
    /// # Errors
    /// If there are no codes, or the files cannot be written.
    ///
    /// ```
    /// use latentlab::{Codes, Dataset};
    ///
    /// let folder = std::env::temp_dir().join("latentlab-doc-projector");
    /// Codes::of_pixels(&Dataset::built_in_digits(20, 0)?).save_projector(&folder)?;
    /// assert_eq!(std::fs::read_to_string(folder.join("vectors.tsv")).unwrap().lines().count(), 20);
    /// # std::fs::remove_dir_all(folder).ok();
    /// # Ok::<(), latentlab::Error>(())
    /// ```
    pub fn save_projector(&self, folder: impl AsRef<Path>) -> Result<()> {
        self.write_projector(folder.as_ref())
    }

    fn write_projector(&self, folder: &Path) -> Result<()> {
        if self.is_empty() {
            return Err(Error::argument("save_projector, codes", "at least 1", "none"));
        }
        let (mut vectors, mut metadata) = (String::new(), "class\tlabel\n".to_string());
        for (point, label) in self.points().rows().into_iter().zip(self.labels()) {
            for (index, value) in point.iter().enumerate() {
                let tab = if index == 0 { "" } else { "\t" };
                // A `String` takes all that is written.
                let _ = write!(vectors, "{tab}{value:?}");
            }
            vectors.push('\n');
            // A tab or a line end would be another cell or row.
            let _ = writeln!(metadata, "{}\t{label}", visible(&self.class_names()[*label]));
        }
        make_folder(folder)?;
        write_whole(&folder.join("vectors.tsv"), vectors.as_bytes())?;
        write_whole(&folder.join("metadata.tsv"), metadata.as_bytes())?;
        write_whole(&folder.join("projector_config.pbtxt"), CONFIG.as_bytes())
    }
}
