//! The warm build, which has everything compiled that a kernel needs at its start, and a copy of it for each running
//! kernel.
//!
//! evcxr compiles cells as a package `ctx` in its own folder, with the library as a dependency. By default it starts
//! with an empty folder (one or two minutes of compiling before the first cell; Jupyter gives up after one) and
//! resolves the dependencies' versions again each time. So `ctx` is part of a small workspace here:
//!
//! ```text
//! .jupyter/build/warm/   the warm build, compiled by evcxr itself at setup
//!                slot0/  a copy for a running kernel, slot1/ for a second one: kernels that share a folder run
//!                        each other's code
//!     Cargo.toml   the workspace and its profile, with `latentlab/` as a patch for the project
//!     Cargo.lock   a copy of the project's, so that the kernel uses the same versions
//!     latentlab/   the compiled library (library.rs)
//!     ctx/         evcxr's folder
//!     stamp        a digest of everything it was built from
//! ```

use crate::command::{narrate_lines, output_of};
use crate::execute::{self, Event, Kernel, Task, notebook_of};
use crate::library::{self, CELL_PROFILE, PROFILE};
use crate::project::{Outcome, Project, cannot, make_folder, open_lock, remove_folder, write};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use walkdir::{DirEntry, WalkDir};

/// The second cell is wrong on purpose: for the first variable whose type evcxr cannot infer, it runs `cargo check`,
/// which checks all dependencies.
const WARM_UP: [&str; 2] = ["latentlab::ndarray::array![1, 2].sum()", "let unknown = Default::default();"];
const WARM_UP_RESULT: &str = "3";

/// Builds the library for the kernel, unless the build is up to date; returns its stamp. If it `may_build` nothing, a
/// build that is out of date is an error.
pub fn set_up(project: &Project, may_build: bool) -> Outcome<String> {
    let stamp = stamp(project)?;
    let warm = project.build().join("warm");
    if stamp_of(&warm).as_ref() == Some(&stamp) {
        return Ok(stamp);
    }
    if !may_build {
        return Err("the library has changed".to_owned());
    }
    let lock = warm_lock(&project.build())?;
    lock.lock().map_err(|error| format!("The lock of the warm build cannot be taken ({error})."))?;
    if project.build().join("library/target").is_dir() {
        println!("The library or its tools have changed: building it for the notebooks (a minute or more) …");
    } else {
        println!("Building the library for the notebooks (once; one to four minutes) …");
    }
    let mark = warm.join("stamp");
    if mark.exists() {
        fs::remove_file(&mark).map_err(cannot("remove", &mark))?;
    }
    library::build(project, &stamp, &warm.join("latentlab"))?;
    library::copy_standard_library(&project.build())?;
    write_workspace(project, &warm)?;
    warm_up(project)?;
    let read = |path: PathBuf| fs::read_to_string(&path).map_err(cannot("read", &path));
    let others = versions_apart(&read(warm.join("Cargo.lock"))?, &read(project.root.join("Cargo.lock"))?);
    if !others.is_empty() {
        return Err(format!(
            "The notebooks' kernel uses other versions than the project's Cargo.lock: {}.",
            others.into_iter().collect::<Vec<_>>().join(", ")
        ));
    }
    write(&mark, &stamp)?;
    Ok(stamp)
}

fn write_workspace(project: &Project, warm: &Path) -> Outcome<()> {
    let root = project.root.canonicalize().map_err(cannot("find", &project.root))?;
    let workspace = format!(
        "[workspace]\nmembers = [\"ctx\", \"latentlab\"]\nresolver = \"3\"\n\n\
         [patch.{}]\nlatentlab = {{ path = \"latentlab\" }}\n\n{PROFILE}{CELL_PROFILE}",
        Value::from(file_url(&root))
    );
    write(&warm.join("Cargo.toml"), &workspace)?;
    write(&warm.join("ctx/src/lib.rs"), "")?;
    // If this folder exists, the cargo that rust-analyzer calls caches rustc's answers in it.
    make_folder(&warm.join("target"))?;
    let lock = project.root.join("Cargo.lock");
    let text = fs::read_to_string(&lock).map_err(cannot("read", &lock))?;
    write(&warm.join("Cargo.lock"), &without_project(&text))?;
    // For notebooks in other folders than evcxr.toml, whose relative paths are resolved against the notebook's folder.
    let settings = project.notebooks().join("evcxr.toml");
    let text = fs::read_to_string(&settings).map_err(cannot("read", &settings))?;
    // A JSON string is also a TOML string.
    write(
        &warm.join("evcxr.toml"),
        &text.replace("path = \"..\"", &format!("path = {}", Value::from(root.to_string_lossy()))),
    )
}

/// The project's lock file without the project itself, which cargo would use instead of the patch.
fn without_project(lock: &str) -> String {
    let packages = lock.split("[[package]]").filter(|package| !package.starts_with("\nname = \"latentlab\"\n"));
    packages.collect::<Vec<_>>().join("[[package]]")
}

/// A folder's URL, as a source of packages for cargo, which escapes all other characters itself.
fn file_url(folder: &Path) -> String {
    let path = folder.to_string_lossy().replace('%', "%25").replace('#', "%23").replace('?', "%3F").replace('\\', "/");
    format!("file://{}{path}", if path.starts_with('/') { "" } else { "/" })
}

/// Lets evcxr itself build what it needs.
fn warm_up(project: &Project) -> Outcome<()> {
    let notebook = project.build().join("warm-up.ipynb");
    write(&notebook, &notebook_of(&WARM_UP))?;
    let (reader, writer) = std::io::pipe().map_err(|error| format!("No pipe can be made ({error})."))?;
    let narrator = std::thread::spawn(|| narrate_lines(reader));
    let hour = Duration::from_secs(3600);
    let task = Task {
        notebook: &notebook,
        folder: &project.notebooks(),
        data: None,
        save: None,
        changed_cells: &[],
        timeout: hour,
        kernel: Kernel::WarmUp,
        counts: false,
    };
    let mut result = String::new();
    let done = execute::execute(project, &task, Stdio::from(writer), |event| {
        if let Event::Result(cell) = event {
            result += cell.outputs[0]["data"]["text/plain"].as_str().unwrap_or_default();
        }
        true
    });
    let tail = narrator.join().unwrap_or_default();
    match done {
        Ok(()) if result == WARM_UP_RESULT => Ok(()),
        _ => Err(format!("The kernel could not be started with the library. Its last lines:\n{tail}")),
    }
}

/// A digest of everything the warm build depends on: compiler, kernel, settings, versions, and the library's sources.
fn stamp(project: &Project) -> Outcome<String> {
    let mut sum = Sha256::new();
    let mut add = |name: &str, content: &[u8]| {
        sum.update(format!("{name} {}\n", content.len()));
        sum.update(content);
    };
    add("rustc", output_of(Command::new("rustc").arg("-vV")).unwrap_or_default().as_bytes());
    add("evcxr", project.evcxr().unwrap_or_default().to_string_lossy().as_bytes());
    add("tool", concat!(include_str!("warm.rs"), include_str!("library.rs")).as_bytes());
    let mut files: Vec<PathBuf> =
        ["Cargo.toml", "Cargo.lock", "notebooks/evcxr.toml"].map(|name| project.root.join(name)).into();
    let sources = project.root.join("src");
    for entry in WalkDir::new(&sources).into_iter().filter_entry(|entry| entry.path() != sources.join("bin")) {
        let entry = entry.map_err(|error| cannot("read", &sources)(error.into()))?;
        files.extend(Some(entry).filter(|entry| entry.file_type().is_file()).map(DirEntry::into_path));
    }
    files.sort();
    for file in &files {
        add(&file.to_string_lossy(), &fs::read(file).map_err(cannot("read", file))?);
    }
    Ok(crate::whole::hex(&sum.finalize()))
}

/// The packages of the kernel's lock file that are not in the project's, as `name version`. Local packages do not
/// count.
fn versions_apart(kernel: &str, project: &str) -> BTreeSet<String> {
    fn packages(lock: &str) -> BTreeSet<String> {
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
            line.map(|value| value.trim_matches('"').to_owned())
        };
        lock.split("[[package]]")
            .filter(|text| field(text, "source").is_some())
            .filter_map(|text| Some(format!("{} {}", field(text, "name")?, field(text, "version")?)))
            .collect()
    }
    packages(kernel).difference(&packages(project)).cloned().collect()
}

/// A build folder for one kernel, reserved as long as the lock is held.
pub struct Slot {
    pub folder: PathBuf,
    pub lock: File,
}

/// The first free slot, created or updated from the warm build.
pub fn claim(build: &Path) -> Outcome<Slot> {
    // Not while the setup rebuilds it.
    let warm_lock = warm_lock(build)?;
    warm_lock.lock_shared().map_err(|error| format!("The warm build cannot be locked ({error})."))?;
    let warm = build.join("warm");
    let stamp = stamp_of(&warm).ok_or("The library is not built for the notebooks yet. Run `cargo lab` once.")?;
    let mut number = 0;
    let slot = loop {
        if let Some(slot) = try_slot(build, number)? {
            break slot;
        }
        number += 1;
    };
    refresh(&warm, &slot.folder, &stamp)?;
    // Free slots of an older build are no longer needed.
    for number in number + 1.. {
        if !lock_path(build, number).exists() {
            break;
        }
        if let Some(other) = try_slot(build, number)?
            && stamp_of(&other.folder).as_ref() != Some(&stamp)
        {
            remove_folder(&other.folder)?;
        }
    }
    Ok(slot)
}

fn try_slot(build: &Path, number: usize) -> Outcome<Option<Slot>> {
    let path = lock_path(build, number);
    let lock = open_lock(&path)?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(Slot { folder: build.join(format!("slot{number}")), lock })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(cannot("lock", &path)(error)),
    }
}

/// Copies the warm build, unless the slot is a copy of the same build already.
fn refresh(warm: &Path, slot: &Path, stamp: &str) -> Outcome<()> {
    if stamp_of(slot).as_deref() == Some(stamp) {
        return Ok(());
    }
    remove_folder(slot)?;
    make_folder(slot)?;
    // The stamp comes last, to mark the copy as complete.
    for name in ["Cargo.toml", "Cargo.lock", "evcxr.toml", "latentlab", "ctx", "target", "stamp"] {
        copy(&warm.join(name), &slot.join(name))
            .map_err(|error| format!("The warm build cannot be copied ({error})."))?;
    }
    Ok(())
}

/// Copies a file or a folder with the modification times, from which cargo tells what is up to date.
///
/// Compiled libraries, nearly all of the size, are hard links instead: the compiler does not write into an existing
/// library, but replaces it by a new file.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    let is_library = from.extension().is_some_and(|kind| kind == "rlib" || kind == "rmeta")
        || from.parent().is_some_and(|folder| folder.ends_with("latentlab/compiled"));
    if is_library && fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    fs::copy(from, to)?;
    File::options().write(true).open(to)?.set_modified(fs::metadata(from)?.modified()?)
}

fn warm_lock(build: &Path) -> Outcome<File> {
    open_lock(&build.join("warm.lock"))
}

fn lock_path(build: &Path, number: usize) -> PathBuf {
    build.join(format!("slot{number}.lock"))
}

fn stamp_of(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join("stamp")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;

    /// A build folder for a test, with a fake warm build.
    fn folder() -> Folder {
        let folder = Folder::new("build");
        write_warm(&folder.0, "one");
        folder
    }

    fn write_warm(build: &Path, stamp: &str) {
        let compiled = ["latentlab/compiled/library", "ctx/target/built", "target/known"];
        for name in ["Cargo.toml", "Cargo.lock", "evcxr.toml", "stamp"].iter().chain(&compiled) {
            write(&build.join("warm").join(name), stamp).unwrap();
        }
    }

    #[test]
    fn two_kernels_get_two_slots_and_a_free_one_is_used_again() {
        let folder = folder();
        let build = &folder.0;
        let (first, second) = (claim(build).unwrap(), claim(build).unwrap());
        assert_eq!(first.folder, build.join("slot0"));
        assert_eq!(second.folder, build.join("slot1"));
        drop(first);
        assert_eq!(claim(build).unwrap().folder, build.join("slot0"));
    }

    #[test]
    fn a_slot_is_updated_with_the_warm_build_and_otherwise_keeps_its_files() {
        let folder = folder();
        let build = &folder.0;
        let built = build.join("slot0/ctx/target/built");
        let own = build.join("slot0/ctx/target/own");
        let times = |path: &Path| fs::metadata(path).unwrap().modified().unwrap();
        drop(claim(build).unwrap());
        assert_eq!(fs::read_to_string(&built).unwrap(), "one");
        assert_eq!(times(&built), times(&build.join("warm/ctx/target/built")));
        fs::write(&own, "").unwrap();
        drop(claim(build).unwrap());
        assert!(own.exists());
        write_warm(build, "two");
        drop(claim(build).unwrap());
        assert_eq!(fs::read_to_string(&built).unwrap(), "two");
        assert!(!own.exists());
    }

    #[test]
    fn free_slots_of_an_older_build_are_removed() {
        let folder = folder();
        let build = &folder.0;
        let [first, second, third] = [0; 3].map(|_| claim(build).unwrap());
        drop((first, third));
        write_warm(build, "two");
        let again = claim(build).unwrap();
        assert_eq!(again.folder, build.join("slot0"));
        assert!(second.folder.exists(), "its kernel runs");
        assert!(!build.join("slot2").exists());
    }

    #[test]
    fn without_a_warm_build_there_is_no_slot() {
        let folder = folder();
        let build = &folder.0;
        fs::remove_file(build.join("warm/stamp")).unwrap();
        let error = claim(build).err().unwrap();
        assert!(error.contains("cargo lab"), "{error}");
    }

    #[test]
    fn other_versions_than_the_projects_are_found() {
        let package = |name: &str, version: &str, source: &str| {
            format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n{source}\n")
        };
        let registry = "source = \"registry+https://example.org\"";
        let project = package("rand", "0.8.8", registry) + &package("png", "0.18.1", registry);
        let kernel = package("ctx", "1.0.0", "") + &package("rand", "0.8.8", registry);
        assert!(versions_apart(&kernel, &project).is_empty());
        let kernel = kernel + &package("png", "0.18.2", registry);
        assert_eq!(versions_apart(&kernel, &project).into_iter().collect::<Vec<_>>(), ["png 0.18.2"]);
    }

    #[test]
    fn only_the_project_is_removed_from_the_lock_file() {
        let lock =
            "version = 4\n\n[[package]]\nname = \"latentlab\"\nversion = \"0.1.0\"\n\n[[package]]\nname = \"rand\"\n";
        assert_eq!(without_project(lock), "version = 4\n\n[[package]]\nname = \"rand\"\n");
    }

    #[test]
    fn special_characters_in_a_url_are_escaped() {
        assert_eq!(file_url(Path::new("/a b/c#1")), "file:///a b/c%231");
        assert_eq!(file_url(Path::new("C:/x")), "file:///C:/x");
    }
}
