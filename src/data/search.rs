//! Where the real data are looked for: the folder that `LATENTLAB_DATA` names, else the project's `data`, which is also
//! where they are fetched to.

use std::path::{Path, PathBuf};
use std::{env, fs};

use rayon::prelude::*;

use super::collection::{Collection, FASHION_MNIST, KnownFile, MNIST};
use super::download;
use crate::error::{Error, ErrorKind, Result};

/// What the environment asks for.
pub(super) struct Search {
    place: Place,
    offline: bool,
}

enum Place {
    /// `LATENTLAB_DATA=built-in`: nowhere.
    BuiltIn,
    /// `LATENTLAB_DATA=<folder>`: there or not at all.
    Asked(PathBuf),
    /// The project's own folder, which may be filled.
    Project(PathBuf),
}

impl Search {
    pub fn from_environment() -> Self {
        let offline = env::var_os("LATENTLAB_OFFLINE").is_some_and(|value| !value.is_empty() && value != "0");
        let place = match env::var_os("LATENTLAB_DATA").filter(|value| !value.is_empty()) {
            Some(value) if value == "built-in" => Place::BuiltIn,
            Some(folder) => Place::Asked(folder.into()),
            None => Place::Project(project_folder()),
        };
        Self { place, offline }
    }

    pub fn is_built_in(&self) -> bool {
        matches!(self.place, Place::BuiltIn)
    }

    /// The folder where the files of a collection should be, if there is to be one.
    fn folder(&self, collection: &Collection) -> Option<PathBuf> {
        match &self.place {
            Place::BuiltIn => None,
            Place::Project(root) => Some(root.join(collection.folder)),
            Place::Asked(root) => {
                let below = root.join(collection.folder);
                let itself = !below.is_dir() && collection.files().iter().any(|file| file.find(root).is_some());
                Some(if itself { root.clone() } else { below })
            }
        }
    }

    /// The folder that holds all files of a collection, after fetching what is missing if that is allowed.
    /// An error of the kind `Download` means that the collection is not to be had.
    pub fn complete_folder(&self, collection: &Collection) -> Result<PathBuf> {
        let absent = |message: String| Error::new(ErrorKind::Download, collection.name, message);
        let Some(folder) = self.folder(collection) else {
            return Err(absent("not looked for, since LATENTLAB_DATA is \"built-in\"".into()));
        };
        let missing = collection.files().into_iter().find(|file| file.find(&folder).is_none());
        match (missing, &self.place) {
            (None, _) => {}
            (Some(file), Place::Asked(root)) => return Err(not_as_asked(collection, file, root, &folder)),
            (Some(_), _) if self.offline => {
                return Err(absent(format!("not in {}, and LATENTLAB_OFFLINE forbids to fetch it", folder.display())));
            }
            (Some(_), _) => download::fetch(collection, &folder)?,
        }
        Ok(folder)
    }

    fn files(&self) -> Vec<DataFile> {
        let known = [&MNIST, &FASHION_MNIST].into_iter().filter_map(|collection| {
            let folder = self.folder(collection)?;
            Some(collection.files().map(|file| (collection, file, folder.clone())))
        });
        let known: Vec<_> = known.flatten().collect();
        known.into_par_iter().map(|(collection, file, folder)| DataFile::look(collection, file, &folder)).collect()
    }
}

/// The `data` folder of the project that this library was built from; where that is gone, the one below the working
/// directory.
fn project_folder() -> PathBuf {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    if built_from.is_dir() { built_from } else { "data".into() }
}

fn not_as_asked(collection: &Collection, file: KnownFile, root: &Path, folder: &Path) -> Error {
    let expected = format!("a folder that holds {}, itself or in {}/", collection.name, collection.folder);
    let got = if root.is_dir() {
        format!("{}, where {} is missing", folder.display(), file.packed_name())
    } else {
        format!("{}, which is not a folder", root.display())
    };
    Error::expected(ErrorKind::Data, "LATENTLAB_DATA", expected, got)
        .hint("Without LATENTLAB_DATA it is looked for in the project's data folder, and fetched if need be")
}

/// A file of MNIST or Fashion-MNIST, as [`data_files`] found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// "MNIST" or "Fashion-MNIST".
    pub collection: String,
    /// Where it is, or where it would be fetched to.
    pub path: PathBuf,
    /// What was found there.
    pub state: DataFileState,
}

/// What is at a [`DataFile`]'s place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataFileState {
    /// The file, with the right checksum.
    Sound {
        /// Its size on disk in bytes.
        bytes: u64,
    },
    /// Something else; the text says what was expected and what was found.
    Damaged(String),
    /// Nothing.
    Missing,
}

impl DataFile {
    fn look(collection: &Collection, file: KnownFile, folder: &Path) -> Self {
        let (path, state) = match file.find(folder) {
            None => (folder.join(file.packed_name()), DataFileState::Missing),
            Some(path) => {
                let bytes = fs::metadata(&path).map_or(0, |metadata| metadata.len());
                let state = match file.read(&path) {
                    Ok(_) => DataFileState::Sound { bytes },
                    Err(error) => DataFileState::Damaged(error.to_string()),
                };
                (path, state)
            }
        };
        Self { collection: collection.name.into(), path, state }
    }
}

/// Looks at each file of MNIST and Fashion-MNIST, where [`Dataset::digits`](crate::Dataset::digits) would look, and
/// checks what is there. Nothing is fetched. There is nothing to look at, and the list empty, when `LATENTLAB_DATA` is
/// `built-in`.
pub fn data_files() -> Vec<DataFile> {
    Search::from_environment().files()
}

/// Fetches those files of MNIST and Fashion-MNIST that are missing, with a line of progress each second on standard
/// output, and checks all of them. Files that are there stay as they are, damaged ones too.
///
/// # Errors
/// When a file is damaged, or is missing and no mirror has it, or nothing may be fetched: `LATENTLAB_OFFLINE` is set,
/// or `LATENTLAB_DATA` names another place.
pub fn fetch_data() -> Result<()> {
    let search = Search::from_environment();
    let fetch = |collection: &Collection| collection.read(&search.complete_folder(collection)?).map(drop);
    // The second is fetched even if the first is not to be had.
    [&MNIST, &FASHION_MNIST].map(fetch).into_iter().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::collection::tests::tiny;
    use super::super::idx::tests::{Folder, gzip};
    use super::*;

    impl Search {
        pub fn asked(folder: &Path) -> Self {
            Self { place: Place::Asked(folder.into()), offline: false }
        }

        pub fn offline(project: &Path) -> Self {
            Self { place: Place::Project(project.into()), offline: true }
        }

        pub fn built_in() -> Self {
            Self { place: Place::BuiltIn, offline: false }
        }
    }

    /// Writes the tiny collection below `at` ("" or "tiny/"), two files plain and two packed.
    pub fn write_tiny(folder: &Folder, at: &str) {
        let (collection, contents) = tiny(&[]);
        for (i, (file, content)) in collection.files().iter().zip(&contents).enumerate() {
            match i {
                0 | 3 => folder.write(&format!("{at}{}", file.name), content),
                _ => folder.write(&format!("{at}{}", file.packed_name()), &gzip(content)),
            };
        }
    }

    #[test]
    fn an_asked_folder_holds_the_files_itself_or_in_a_folder() {
        let tiny = tiny(&[]).0;
        let folder = Folder::new("search-itself");
        write_tiny(&folder, "");
        assert_eq!(Search::asked(&folder.0).complete_folder(tiny).unwrap(), folder.0);
        let folder = Folder::new("search-below");
        write_tiny(&folder, "tiny/");
        assert_eq!(Search::asked(&folder.0).complete_folder(tiny).unwrap(), folder.0.join("tiny"));
        assert_eq!(Search::offline(&folder.0).complete_folder(tiny).unwrap(), folder.0.join("tiny"));
    }

    #[test]
    fn an_asked_folder_without_the_files_is_an_error_that_is_not_passed_over() {
        let tiny = tiny(&[]).0;
        let folder = Folder::new("search-incomplete");
        write_tiny(&folder, "tiny/");
        fs::remove_file(folder.0.join("tiny/t10k-images-idx3-ubyte.gz")).unwrap();
        let nowhere = folder.0.join("nowhere");
        let cases = [
            (&folder.0, format!("{}, where t10k-images-idx3-ubyte.gz is missing", folder.0.join("tiny").display())),
            (&nowhere, format!("{}, which is not a folder", nowhere.display())),
        ];
        for (asked, got) in cases {
            let error = Search::asked(asked).complete_folder(tiny).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
            let expected = format!("LATENTLAB_DATA: expected a folder that holds Tiny, itself or in tiny/, got {got}");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn what_is_not_to_be_had_is_a_download_error() {
        let tiny = tiny(&["http://127.0.0.1:1/".into()]).0;
        let folder = Folder::new("search-absent");
        let place = folder.0.join("tiny").display().to_string();
        let online = Search { offline: false, ..Search::offline(&folder.0) };
        let cases = [
            (Search::built_in(), "Tiny: not looked for, since LATENTLAB_DATA is \"built-in\"".to_string()),
            (Search::offline(&folder.0), format!("Tiny: not in {place}, and LATENTLAB_OFFLINE forbids to fetch it")),
            (
                online,
                format!(
                    "Tiny: not in {place}, and train-images-idx3-ubyte.gz could not be fetched\n  http://127.0.0.1:1/"
                ),
            ),
        ];
        for (search, expected) in cases {
            let error = search.complete_folder(tiny).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Download);
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }

    #[test]
    fn files_are_listed_as_sound_damaged_or_missing() {
        let folder = Folder::new("search-files");
        let damaged = folder.write("mnist/train-labels-idx1-ubyte", b"damaged");
        let files = Search::offline(&folder.0).files();
        assert_eq!(files.len(), 8);
        assert_eq!(files[0].path, folder.0.join("mnist/train-images-idx3-ubyte.gz"));
        assert_eq!((files[0].collection.as_str(), files[4].collection.as_str()), ("MNIST", "Fashion-MNIST"));
        assert!(files.iter().enumerate().all(|(i, file)| i == 1 || file.state == DataFileState::Missing));
        assert_eq!(files[1].path, damaged);
        assert!(matches!(&files[1].state, DataFileState::Damaged(reason) if reason.contains("magic number")));
        assert_eq!(Search::built_in().files(), []);

        let (tiny, contents) = tiny(&[]);
        write_tiny(&folder, "");
        let bytes = contents[0].len() as u64;
        assert_eq!(DataFile::look(tiny, tiny.files()[0], &folder.0).state, DataFileState::Sound { bytes });
    }
}
