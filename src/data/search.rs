//! Where real data are looked for: a given folder, that of `LATENTLAB_DATA`, or the project's `data`, into which they
//! are downloaded.

use std::path::{Path, PathBuf};
use std::{env, fs};

use rayon::prelude::*;

use super::collection::{Collection, FASHION_MNIST, KnownFile, MNIST};
use super::download;
use crate::error::{Error, ErrorKind, Result};

const VARIABLE: &str = "LATENTLAB_DATA";

/// Where to look, and whether to download.
pub(super) struct Search {
    place: Place,
    offline: bool,
}

enum Place {
    /// `LATENTLAB_DATA=built-in`: nowhere.
    BuiltIn,
    /// This folder only, given by the function or variable of that name.
    Given(PathBuf, &'static str),
    /// The project's own folder, into which files may be downloaded.
    Project(PathBuf),
}

impl Search {
    pub fn from_environment() -> Self {
        let offline = env::var_os("LATENTLAB_OFFLINE").is_some_and(|value| !value.is_empty() && value != "0");
        let place = match env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
            Some(value) if value.eq_ignore_ascii_case("built-in") => Place::BuiltIn,
            Some(folder) => Place::Given(folder.into(), VARIABLE),
            None => Place::Project(project_folder()),
        };
        Self { place, offline }
    }

    /// `function`: that was called with the folder.
    pub fn in_folder(folder: &Path, function: &'static str) -> Self {
        Self { place: Place::Given(folder.into(), function), offline: true }
    }

    pub fn is_built_in(&self) -> bool {
        matches!(self.place, Place::BuiltIn)
    }

    /// The folder of a collection's files, whether or not they are there.
    fn folder(&self, collection: &Collection) -> Option<PathBuf> {
        match &self.place {
            Place::BuiltIn => None,
            Place::Given(root, _) | Place::Project(root) => Some(folder_in(root, collection)),
        }
    }

    /// The folder with all files of a collection, after downloading what is missing if that is allowed.
    /// An error of the kind `Download` means that the collection is unavailable.
    pub fn complete_folder(&self, collection: &Collection) -> Result<PathBuf> {
        let absent = |message: String| Error::new(ErrorKind::Download, collection.name, message);
        let Some(folder) = self.folder(collection) else {
            return Err(absent("not looked for, since LATENTLAB_DATA is \"built-in\"".into()));
        };
        let missing = collection.files().into_iter().find(|file| file.find(&folder).is_none());
        match (missing, &self.place) {
            (None, _) => {}
            (Some(file), Place::Given(root, by)) => return Err(not_in(root, by, collection, file, &folder)),
            (Some(file), _) if self.offline => {
                let got = match contents(&folder) {
                    Some(contents) => {
                        format!("not whole in {} ({} is missing; there: {contents})", folder.display(), file.name)
                    }
                    None => format!("not in {}", folder.display()),
                };
                return Err(absent(format!("{got}, and LATENTLAB_OFFLINE forbids to fetch it")));
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

/// The `data` folder of the project that this library was built from; if it is gone, that of the working directory.
fn project_folder() -> PathBuf {
    let built_from = Path::new(env!("CARGO_MANIFEST_DIR")).join("data");
    if built_from.is_dir() { built_from } else { "data".into() }
}

/// Folders between a collection's and its files: torchvision's `raw`, the `data` of a repository.
const BETWEEN: [&str; 5] = ["raw", "data", "dataset", "datasets", "gzip"];

/// How far below a data folder the files may be: `MNIST_data/MNIST/raw`.
const DEPTH: usize = 3;

/// The folder below `root`, or `root` itself, with all of a collection's files, else with some of them, else the one
/// where they should be. A folder with the collection's name comes before one without.
fn folder_in(root: &Path, collection: &Collection) -> PathBuf {
    let own = root.join(collection.folder);
    let (mut named, mut unnamed) = (vec![own.clone()], vec![root.to_owned()]);
    let mut level = vec![(root.to_owned(), false)];
    for _ in 0..DEPTH {
        let below = level.iter().flat_map(|(folder, is_named)| {
            subfolders(folder).into_iter().filter_map(|(name, path)| {
                let between = BETWEEN.contains(&&*name.to_lowercase());
                (between || collection.is_named(&name)).then_some((path, *is_named || !between))
            })
        });
        level = below.collect();
        for (path, is_named) in &level {
            if *is_named { named.push(path.clone()) } else { unnamed.push(path.clone()) }
        }
    }
    // The collections share their file names: where the folder's name does not tell them apart, the content does.
    let may_be_ours = |folder: &PathBuf| Collection::of(folder).is_none_or(|found| found.name == collection.name);
    let count = |folder: &Path| collection.files().iter().filter(|file| file.find(folder).is_some()).count();
    let some =
        |folders: Vec<PathBuf>| folders.into_iter().map(|path| (count(&path), path)).filter(|(count, _)| *count > 0);
    let found: Vec<(usize, PathBuf)> = some(named).chain(some(unnamed).filter(|(_, path)| may_be_ours(path))).collect();
    let whole = found.iter().find(|(count, _)| *count == collection.files().len());
    whole.or(found.first()).map_or(own, |(_, path)| path.clone())
}

/// Name and path of each folder in `folder`, the shortest name first.
fn subfolders(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    let mut folders: Vec<_> = named.filter(|(_, path)| path.is_dir()).collect();
    folders.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
    folders
}

/// The first names in a folder; `None` if it is empty.
fn contents(folder: &Path) -> Option<String> {
    const SHOWN: usize = 6;
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().escape_debug().to_string());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    let more = names.len().saturating_sub(SHOWN);
    names.truncate(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!names.is_empty()).then(|| format!("{}{more}", names.join(", ")))
}

/// `root`, given by `by`, has no `file` in its `folder`.
fn not_in(root: &Path, by: &str, collection: &Collection, file: KnownFile, folder: &Path) -> Error {
    let expected = format!("a folder that holds {}, itself or in {}/", collection.name, collection.folder);
    // A notebook does not show its working directory.
    let whole = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string();
    let other = Collection::of(root).filter(|other| other.name != collection.name);
    let got = match fs::metadata(root) {
        Err(error) => format!("{}, which is not a folder ({error})", whole(root)),
        Ok(metadata) if !metadata.is_dir() => format!("{}, which is not a folder but a file", whole(root)),
        Ok(_) => {
            let there = match (other, contents(folder).or_else(|| contents(root))) {
                (Some(other), _) => format!("there: the files of {}", other.name),
                (None, Some(contents)) => format!("there: {contents}"),
                (None, None) => "it is empty".to_string(),
            };
            let folder = if folder.is_dir() { folder } else { root };
            format!("{}, where {} is missing ({there})", whole(folder), file.packed_name())
        }
    };
    let tilde = if root.starts_with("~") { "Only a shell makes a home folder of ~. " } else { "" };
    let otherwise = match by {
        VARIABLE => "Without LATENTLAB_DATA it is looked for",
        _ => "Dataset::mnist and Dataset::fashion_mnist look",
    };
    Error::expected(ErrorKind::Data, by, expected, got).hint(format!(
        "{tilde}{otherwise} in the project's data folder, and downloaded if need be; \
         Dataset::from_idx reads any other pair of IDX files"
    ))
}

/// A file of MNIST or Fashion-MNIST, as [`data_files`] found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataFile {
    /// "MNIST" or "Fashion-MNIST".
    pub collection: String,
    /// Where it is, or where it would be downloaded to.
    pub path: PathBuf,
    /// What was found there.
    pub state: DataFileState,
}

/// What is at a [`DataFile`]'s path.
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

/// Checks each file of MNIST and Fashion-MNIST where [`Dataset::digits`](crate::Dataset::digits) would look for it.
/// Nothing is downloaded. The list is empty when `LATENTLAB_DATA` is `built-in`.
pub fn data_files() -> Vec<DataFile> {
    Search::from_environment().files()
}

/// Downloads the missing files of MNIST and Fashion-MNIST, with a line of progress each second on standard output, and
/// checks all of them. Existing files stay as they are, damaged ones too.
///
/// # Errors
/// When a file is damaged, or is missing and no mirror has it, or downloads are forbidden: `LATENTLAB_OFFLINE` is
/// set, or `LATENTLAB_DATA` names another folder.
pub fn fetch_data() -> Result<()> {
    let search = Search::from_environment();
    let fetch = |collection: &Collection| collection.read(&search.complete_folder(collection)?).map(drop);
    // The second is downloaded even if the first is unavailable.
    [&MNIST, &FASHION_MNIST].map(fetch).into_iter().collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::collection::tests::tiny;
    use super::super::idx::tests::{Folder, gzip};
    use super::*;

    impl Search {
        pub fn asked(folder: &Path) -> Self {
            Self { place: Place::Given(folder.into(), VARIABLE), offline: false }
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
    fn a_given_folder_holds_the_files_itself_or_in_a_folder() {
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
    fn folders_are_found_as_libraries_nest_them() {
        let tiny = tiny(&[]).0;
        for below in ["TINY/raw/", "Tiny/", "tiny_data/Tiny/raw/", "data/", "raw/", "tiny-master/data/"] {
            let folder = Folder::new("search-nested");
            write_tiny(&folder, below);
            for search in [Search::asked(&folder.0), Search::offline(&folder.0)] {
                assert_eq!(search.complete_folder(tiny).unwrap(), folder.0.join(below), "{below}");
            }
        }
        let folder = Folder::new("search-nested");
        // A complete folder comes before an earlier one, the exact name before another.
        write_tiny(&folder, "Tiny/raw/");
        folder.write("tiny/train-images-idx3-ubyte", b"");
        assert_eq!(folder_in(&folder.0, tiny), folder.0.join("Tiny/raw"));
        write_tiny(&folder, "tiny/");
        assert_eq!(folder_in(&folder.0, tiny), folder.0.join("tiny"));
        // Other collections' are ignored.
        let folder = Folder::new("search-others");
        write_tiny(&folder, "KTiny/raw/");
        assert_eq!(folder_in(&folder.0, tiny), folder.0.join("tiny"));
    }

    #[test]
    fn a_given_folder_without_the_files_is_an_error() {
        let tiny = tiny(&[]).0;
        let folder = Folder::new("search-incomplete");
        write_tiny(&folder, "tiny/");
        fs::remove_file(folder.0.join("tiny/t10k-images-idx3-ubyte.gz")).unwrap();
        let nowhere = folder.0.join("nowhere");
        let (file, empty, foreign) = (folder.0.join("a.zip"), folder.0.join("empty"), folder.0.join("foreign"));
        fs::write(&file, b"PK").unwrap();
        fs::create_dir(&empty).unwrap();
        for name in ["a.npz", "b.npz", "c.npz", "d.npz", "emnist-letters-train-images-idx3-ubyte.gz", "f.npz", "g.npz"]
        {
            folder.write(&format!("foreign/{name}"), b"");
        }
        let cases = [
            (
                &folder.0,
                format!(
                    "{}, where t10k-images-idx3-ubyte.gz is missing (there: t10k-labels-idx1-ubyte, \
                     train-images-idx3-ubyte, train-labels-idx1-ubyte.gz)",
                    folder.0.join("tiny").display()
                ),
            ),
            (&nowhere, format!("{}, which is not a folder (No such", nowhere.display())),
            (&file, format!("{}, which is not a folder but a file", file.display())),
            (&empty, format!("{}, where train-images-idx3-ubyte.gz is missing (it is empty)", empty.display())),
            (
                &foreign,
                format!(
                    "{}, where train-images-idx3-ubyte.gz is missing (there: a.npz, b.npz, c.npz, d.npz, \
                     emnist-letters-train-images-idx3-ubyte.gz, f.npz and 1 more)",
                    foreign.display()
                ),
            ),
        ];
        for (asked, got) in cases {
            let error = Search::asked(asked).complete_folder(tiny).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Data);
            let expected = format!("LATENTLAB_DATA: expected a folder that holds Tiny, itself or in tiny/, got {got}");
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
        let error = Search::in_folder(&nowhere, "mnist_from").complete_folder(tiny).unwrap_err().to_string();
        assert!(error.starts_with("mnist_from: expected a folder that holds Tiny"), "{error}");
        assert!(error.contains("Dataset::mnist and Dataset::fashion_mnist look in the project's"), "{error}");
        let error = Search::asked(Path::new("~/data")).complete_folder(tiny).unwrap_err().to_string();
        assert!(error.contains("Only a shell"), "{error}");
        // Where downloads are forbidden, the error lists what is there.
        let error = Search::offline(&folder.0).complete_folder(tiny).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Download);
        let told = "tiny (t10k-images-idx3-ubyte is missing; there: t10k-labels-idx1-ubyte, train-images";
        assert!(error.to_string().contains(told), "{error}");
    }

    #[test]
    fn unavailable_data_are_a_download_error() {
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
                    "Tiny: not in {place}, and train-images-idx3-ubyte.gz could not be downloaded\n  \
                     http://127.0.0.1:1/"
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
