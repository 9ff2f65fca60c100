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
//!
//! In an installation that many share, `warm` is read-only, and each user has his slots in a folder of his own
//! ([`user::slots`]). There they name the installation by the path at which it is found: it may have been moved.

use crate::command::{narrate_lines, output_of};
use crate::execute::{self, Event, Kernel, Task, notebook_of};
use crate::library::{self, CELL_PROFILE, PROFILE};
use crate::project::{Outcome, Project, Shared, cannot, make_folder, open_lock, remove_folder, write};
use crate::user;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
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
    if lock.try_lock().is_err() {
        println!("Waiting for another build of the library to end …");
        lock.lock().map_err(|error| format!("The lock of the warm build cannot be taken ({error})."))?;
        if stamp_of(&warm).as_ref() == Some(&stamp) {
            return Ok(stamp);
        }
    }
    if project.build().join("library/target").is_dir() {
        println!("The library or its tools have changed: building it for the notebooks (a minute or more) …");
    } else {
        println!("Building the library for the notebooks (once; one to four minutes) …");
    }
    outdate(project)?;
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
    write(&warm.join("stamp"), &stamp)?;
    println!("The library is built.");
    Ok(stamp)
}

/// Marks the warm build as one that no kernel may start from.
pub fn outdate(project: &Project) -> Outcome<()> {
    let mark = project.build().join("warm/stamp");
    if mark.exists() {
        fs::remove_file(&mark).map_err(cannot("remove", &mark))?;
    }
    Ok(())
}

/// Whether the library has been built for the kernel from what there is now.
pub fn is_up_to_date(project: &Project) -> bool {
    stamp(project).is_ok_and(|stamp| stamp_of(&project.build().join("warm")) == Some(stamp))
}

fn write_workspace(project: &Project, warm: &Path) -> Outcome<()> {
    name_project(project, warm)?;
    write(&warm.join("ctx/src/lib.rs"), "")?;
    // If this folder exists, the cargo that rust-analyzer calls caches rustc's answers in it.
    make_folder(&warm.join("target"))?;
    let lock = project.root.join("Cargo.lock");
    let text = fs::read_to_string(&lock).map_err(cannot("read", &lock))?;
    write(&warm.join("Cargo.lock"), &without_project(&text))
}

/// Writes the files of a workspace in which the project's path stands.
fn name_project(project: &Project, workspace: &Path) -> Outcome<()> {
    let root = project.root.canonicalize().map_err(cannot("find", &project.root))?;
    let manifest = format!(
        "[workspace]\nmembers = [\"ctx\", \"latentlab\"]\nresolver = \"3\"\n\n\
         [patch.{}]\nlatentlab = {{ path = \"latentlab\" }}\n\n{PROFILE}{CELL_PROFILE}",
        Value::from(file_url(&root))
    );
    write(&workspace.join("Cargo.toml"), &manifest)?;
    // For notebooks in other folders than evcxr.toml, whose relative paths are resolved against the notebook's folder.
    let settings = project.notebooks().join("evcxr.toml");
    let text = fs::read_to_string(&settings).map_err(cannot("read", &settings))?;
    // A JSON string is also a TOML string.
    write(
        &workspace.join("evcxr.toml"),
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
    // An installation that many share may be moved, and has its own evcxr.
    let shared = project.shared.is_some();
    let evcxr = project.evcxr().filter(|_| !shared);
    add("evcxr", evcxr.unwrap_or_default().to_string_lossy().as_bytes());
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
        let name = if shared { file.strip_prefix(&project.root).unwrap_or(file) } else { file };
        add(&name.to_string_lossy(), &fs::read(file).map_err(cannot("read", file))?);
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

/// The stamp of an installation that many share, if it is whole and its Rust is still the one that it was built with.
pub fn ready(project: &Project, shared: &Shared) -> Outcome<String> {
    let again = || format!("Its owner has to run `latentlab setup --prefix {}` again.", project.root.display());
    let rustc = output_of(Command::new(shared.rust.join("bin/rustc")).arg("-vV"));
    let rustc = rustc.ok_or_else(|| {
        format!(
            "{}: the Rust that the kernel in {} was built with is not there, or you may not use it. {}",
            shared.rust.display(),
            project.root.display(),
            again()
        )
    })?;
    if rustc != shared.rustc {
        let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
        let (now, then) = (first(&rustc), first(&shared.rustc));
        return Err(format!("The kernel was built with {then}, and {now} is there. {}", again()));
    }
    stamp_of(&project.build().join("warm"))
        .ok_or_else(|| format!("The installation in {} is not complete. {}", project.root.display(), again()))
}

/// The first free slot, created or updated from the warm build.
pub fn claim(project: &Project) -> Outcome<Slot> {
    let build = project.build();
    if project.shared.is_some() {
        // Without the lock, which a user could hold for ever. The setup removes the stamp before it changes anything.
        let before = stamp_of(&build.join("warm"));
        let slot = claim_in(&build.join("warm"), &user::slots(project)?, Some(project))?;
        let same = before == stamp_of(&build.join("warm"));
        return same.then_some(slot).ok_or_else(|| "The installation is being changed. Try again.".to_owned());
    }
    // Not while the setup rebuilds it.
    let warm_lock = warm_lock(&build)?;
    warm_lock.lock_shared().map_err(|error| format!("The warm build cannot be locked ({error})."))?;
    claim_in(&build.join("warm"), &build, None)
}

/// A slot in the folder `slots`. In those of a `shared` installation stands its path.
fn claim_in(warm: &Path, slots: &Path, shared: Option<&Project>) -> Outcome<Slot> {
    let stamp = stamp_of(warm).ok_or("The library is not built for the notebooks yet. Run `cargo lab` once.")?;
    let stamp = shared.map_or(stamp.clone(), |shared| format!("{stamp} {}", shared.root.display()));
    let mut number = 0;
    let slot = loop {
        if let Some(slot) = try_slot(slots, number)? {
            break slot;
        }
        number += 1;
    };
    refresh(warm, &slot.folder, &stamp, shared)?;
    // Free slots of an older build are no longer needed.
    for number in number + 1.. {
        if !lock_path(slots, number).exists() {
            break;
        }
        if let Some(other) = try_slot(slots, number)?
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
fn refresh(warm: &Path, slot: &Path, stamp: &str, shared: Option<&Project>) -> Outcome<()> {
    if stamp_of(slot).as_deref() == Some(stamp) {
        return Ok(());
    }
    remove_folder(slot)?;
    make_folder(slot)?;
    let failed = |error| format!("The warm build cannot be copied to {} ({error}).", slot.display());
    for name in ["Cargo.toml", "Cargo.lock", "evcxr.toml", "latentlab", "ctx", "target"] {
        let copy = if shared.is_some() { copy_of_others } else { copy };
        copy(&warm.join(name), &slot.join(name)).map_err(failed)?;
    }
    if let Some(project) = shared {
        // A file that all users share is also in memory only once.
        link_folder(&warm.join(COMPILED), &slot.join(COMPILED)).map_err(failed)?;
        name_project(project, slot)?;
        set_times(slot).map_err(failed)?;
    }
    // The stamp comes last, to mark the copy as complete.
    write(&slot.join("stamp"), stamp)
}

/// The compiled library, by far the largest part of a warm build.
const COMPILED: &str = "latentlab/compiled";

#[cfg(unix)]
fn link_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(from, to)
}

#[cfg(not(unix))]
fn link_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    copy(from, to)
}

/// The times by which cargo takes everything compiled as up to date, whatever happened to them when the installation
/// was copied: the sources are older.
fn set_times(slot: &Path) -> std::io::Result<()> {
    let now = SystemTime::now();
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for entry in WalkDir::new(slot) {
        let entry = entry?;
        if entry.file_type().is_file() {
            let compiled = entry.path().strip_prefix(slot).is_ok_and(|path| path.starts_with("ctx/target"));
            let file = File::options().write(true).open(entry.path())?;
            file.set_modified(if compiled { now } else { old })?;
        }
    }
    Ok(())
}

/// Copies a file or a folder with the modification times, from which cargo tells what is up to date.
///
/// Compiled libraries, nearly all of the size, are hard links instead: the compiler does not write into an existing
/// library, but replaces it by a new file.
pub fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
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

/// Copies what another user owns, who may have made it read-only, without the compiled library.
fn copy_of_others(from: &Path, to: &Path) -> std::io::Result<()> {
    if !from.is_dir() {
        fs::copy(from, to)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(to)?.permissions().mode() | 0o600;
            fs::set_permissions(to, PermissionsExt::from_mode(mode))?;
        }
        return Ok(());
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let from = entry?.path();
        if let Some(name) = from.file_name().filter(|_| !from.ends_with(COMPILED)) {
            copy_of_others(&from, &to.join(name))?;
        }
    }
    Ok(())
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

    fn claim(build: &Path) -> Outcome<Slot> {
        claim_in(&build.join("warm"), build, None)
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

    /// Where files are links to others of another user, and times are those of a copy.
    #[test]
    #[cfg(unix)]
    fn slots_of_a_shared_installation_lie_elsewhere_and_follow_it_when_it_moves() {
        let folder = Folder::new("shared");
        let installed = |name: &str| {
            let root = folder.file(name);
            let text = "version = 4\n\n[[package]]\nname = \"latentlab\"\nversion = \"0.1.0\"\n";
            write(&root.join("Cargo.lock"), text).unwrap();
            write(&root.join("notebooks/evcxr.toml"), "latentlab = { path = \"..\" }\n").unwrap();
            write_warm(&root.join("build"), "one");
            let shared = Shared { version: "1".into(), rust: "/r".into(), rustc: String::new(), cargo: "/c".into() };
            Project::installed(&root, shared)
        };
        let (project, slots) = (installed("here"), folder.file("ada"));
        let claim = |project: &Project| claim_in(&project.build().join("warm"), &slots, Some(project)).unwrap();
        let slot = claim(&project).folder;
        assert_eq!(slot, slots.join("slot0"));
        assert_eq!(fs::read_dir(project.build()).unwrap().count(), 1, "nothing is written there");
        let compiled = slot.join("latentlab/compiled");
        assert_eq!(fs::read_link(&compiled).unwrap(), project.build().join("warm/latentlab/compiled"));
        assert_eq!(fs::read_to_string(compiled.join("library")).unwrap(), "one");
        let time = |name: &str| fs::metadata(slot.join(name)).unwrap().modified().unwrap();
        assert!(time("Cargo.toml") < time("ctx/target/built"));
        let names = |root: &str| {
            let root = folder.file(root).canonicalize().unwrap().display().to_string();
            ["Cargo.toml", "evcxr.toml"]
                .iter()
                .all(|name| fs::read_to_string(slot.join(name)).unwrap().contains(&format!("{root}\"")))
        };
        assert!(names("here"));
        let own = folder.write("ada/slot0/ctx/own", b"");
        claim(&project);
        assert!(own.exists(), "a slot is used again");
        claim(&installed("there"));
        assert!(names("there") && !own.exists());
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
