//! `latentlab setup`, and with `--prefix` an installation that many users share: one folder that they need only read.
//!
//! ```text
//! DIR/latentlab.json     what it was made with: version, Rust, cargo's home
//!     bin/               the tool and the Rust kernel
//!     Cargo.toml, src/   the library's sources
//!     notebooks/         the lessons, and the kernel's settings
//!     build/             the library for the kernel (warm.rs)
//!     python/            Jupyter
//!     share/jupyter/     the kernelspec, for JUPYTER_PATH
//!     config/            Jupyter's settings, for JUPYTER_CONFIG_PATH
//! ```
//!
//! No file of these names another by its path, so that the folder can be moved. What kernels write lies in a folder of
//! their user (user.rs).

use crate::command::output_of;
use crate::project::{Outcome, Project, Shared, cannot, make_folder, open_lock, remove_folder, write};
use crate::setup::{set_up, set_up_kernel, set_up_kernelspec, set_up_python, set_up_settings};
use crate::warm;
use serde_json::json;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use walkdir::WalkDir;

#[derive(clap::Args)]
pub struct Arguments {
    /// Install into this folder, which all users of the machine can then share
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
    /// Leave out Jupyter, where there is one already
    #[arg(long, requires = "prefix")]
    no_jupyter: bool,
}

pub fn setup(arguments: &Arguments) -> Outcome<()> {
    let source = Project::find()?;
    match &arguments.prefix {
        None => {
            set_up(&source)?;
            println!("Everything is set up in {}.", source.jupyter.display());
            Ok(())
        }
        Some(_) if !cfg!(unix) => Err("An installation for many users needs Linux or macOS.".to_owned()),
        Some(prefix) => install(&source, prefix, !arguments.no_jupyter),
    }
}

/// What the installation takes while it is made, in bytes.
const ROOM: u64 = 1_300_000_000;

fn install(source: &Project, prefix: &Path, with_jupyter: bool) -> Outcome<()> {
    let prefix = std::path::absolute(prefix).map_err(cannot("find", prefix))?;
    check(&prefix)?;
    // What is made here is for all, whatever this user's other files are.
    #[cfg(unix)]
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let hint = |error| format!("{error}. Name a folder that you may write, or run this as its owner.");
    make_folder(&prefix).map_err(hint)?;
    let prefix = prefix.canonicalize().map_err(cannot("find", &prefix))?;
    let lock = private_lock(&prefix.join("setup.lock")).map_err(hint)?;
    lock.try_lock().map_err(|_| format!("Another setup of {} is running.", prefix.display()))?;
    let shared = shared()?;
    let project = Project::installed(&prefix, shared.clone());
    if Shared::read(&prefix)?.as_ref() != Some(&shared) {
        // What was built with another Rust is of no use with this one.
        warm::outdate(&project)?;
        write(&prefix.join(Shared::FILE), &format!("{:#}\n", json!(shared)))?;
    }
    if !project.build().is_dir() {
        check_room(&prefix)?;
    }
    copy_programs(source, &project)?;
    copy_sources(&source.root, &prefix)?;
    let is_new = !warm::is_up_to_date(&project);
    set_up_settings(&project)?;
    set_up_kernelspec(&project)?;
    write(&prefix.join("config/jupyter_server_config.json"), &format!("{:#}\n", server_settings()))?;
    // The library is built for the kernel by starting it, which Jupyter does.
    if with_jupyter || is_new {
        set_up_python(&project)?;
    }
    if is_new {
        reuse(&source.build(), &project.build());
        warm::set_up(&project, true)?;
        remove_folder(&project.build().join("library"))?;
    }
    if !with_jupyter {
        remove_folder(&prefix.join("python"))?;
    }
    make_readable(&prefix)?;
    report(&project, with_jupyter);
    Ok(())
}

/// An error if this folder must not become the installation.
fn check(prefix: &Path) -> Outcome<()> {
    if prefix.to_str().is_none_or(|text| text.contains(char::is_whitespace)) {
        return Err(format!(
            "The Rust kernel cannot work in a folder whose path has a space in it, or is not Unicode: {}.",
            prefix.display()
        ));
    }
    let ours = env!("CARGO_PKG_VERSION");
    match Shared::read(prefix)? {
        Some(there) if there.version != ours => Err(format!(
            "{}: latentlab {} is installed there, and this is {ours}. Its users' kernels may be running: name another \
             folder, or remove that one first.",
            prefix.display(),
            there.version
        )),
        Some(_) => Ok(()),
        None if fs::read_dir(prefix).is_ok_and(|mut entries| entries.next().is_some()) => Err(format!(
            "{}: expected a new or an empty folder, or an installation of latentlab, got a folder with other files.",
            prefix.display()
        )),
        None => Ok(()),
    }
}

/// No user can hold this lock, and so keep the owner from a setup.
fn private_lock(path: &Path) -> Outcome<fs::File> {
    let lock = open_lock(path)?;
    #[cfg(unix)]
    lock.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600)).map_err(cannot("make private", path))?;
    Ok(lock)
}

#[cfg(unix)]
fn check_room(prefix: &Path) -> Outcome<()> {
    let disk = rustix::fs::statvfs(prefix).map_err(|error| cannot("read", prefix)(error.into()))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    if free >= ROOM {
        return Ok(());
    }
    let megabytes = |bytes| bytes / 1_000_000;
    Err(format!(
        "{}: there is too little room on its disk: expected {} MB, got {} MB.",
        prefix.display(),
        megabytes(ROOM),
        megabytes(free)
    ))
}

#[cfg(not(unix))]
fn check_room(_: &Path) -> Outcome<()> {
    Ok(())
}

/// The Rust of this user, which will be that of all.
fn shared() -> Outcome<Shared> {
    let missing = "Rust is missing: the kernel needs `cargo` and `rustc` on the PATH. Install them from \
                   https://rustup.rs/, into a folder that all users can read.";
    let rustc = |arguments: &[&str]| output_of(Command::new("rustc").args(arguments)).ok_or(missing);
    let home = || Some(env::home_dir()?.join(".cargo"));
    let cargo = env::var_os("CARGO_HOME").map(PathBuf::from).or_else(home).ok_or(missing)?;
    Ok(Shared {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        rust: rustc(&["--print", "sysroot"])?.into(),
        rustc: rustc(&["-vV"])?,
        cargo: std::path::absolute(&cargo).map_err(cannot("find", &cargo))?,
    })
}

fn copy_programs(source: &Project, project: &Project) -> Outcome<()> {
    let bin = project.jupyter.join("bin");
    make_folder(&bin)?;
    let tool = env::current_exe().map_err(|error| format!("The tool cannot find itself ({error})."))?;
    replace(&tool, &bin.join("latentlab"))?;
    let evcxr = match source.evcxr().or_else(|| project.evcxr()) {
        Some(program) => program,
        None => {
            let scratch = Project { root: source.root.clone(), jupyter: project.build(), shared: None };
            set_up_kernel(&scratch)?;
            scratch.evcxr().ok_or("The Rust kernel could not be installed.")?
        }
    };
    replace(&evcxr, &bin.join("evcxr_jupyter"))?;
    remove_folder(&project.build().join("evcxr"))
}

/// Copies a program over one that may be running.
fn replace(from: &Path, to: &Path) -> Outcome<()> {
    let (new, old) = (fs::read(from).map_err(cannot("read", from))?, fs::read(to).unwrap_or_default());
    if new == old {
        return Ok(());
    }
    let part = to.with_extension("part");
    fs::copy(from, &part).and_then(|_| fs::rename(&part, to)).map_err(cannot("write", to))
}

/// What of the project is part of the installation.
const SOURCES: [&str; 5] = ["Cargo.lock", "LICENSE-APACHE", "LICENSE-MIT", "notebooks", "src"];

fn copy_sources(from: &Path, to: &Path) -> Outcome<()> {
    if from == to {
        return Ok(());
    }
    for name in SOURCES {
        mirror(&from.join(name), &to.join(name))?;
    }
    let manifest = from.join("Cargo.toml");
    let text = fs::read_to_string(&manifest).map_err(cannot("read", &manifest))?;
    write(&to.join("Cargo.toml"), &library_alone(&text))
}

/// The manifest without programs, tests and benches, whose files are not part of the installation.
fn library_alone(manifest: &str) -> String {
    let is_kept = |section: &&str| {
        let left_out = ["[[bin]]", "[[test]]", "[[bench]]", "[[example]]", "[dev-dependencies"];
        !left_out.iter().any(|start| section.starts_with(start))
    };
    let mut starts: Vec<usize> = manifest.match_indices("\n[").map(|(index, _)| index + 1).collect();
    starts.insert(0, 0);
    let ends = starts.iter().skip(1).copied().chain([manifest.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &manifest[start..end]).filter(is_kept).collect()
}

/// Makes `to` a copy of `from`, of files that have changed, without the tool's sources and what Jupyter leaves.
fn mirror(from: &Path, to: &Path) -> Outcome<()> {
    let is_hidden = |name: &Path| name.components().any(|part| part.as_os_str().as_encoded_bytes().starts_with(b"."));
    let is_wanted = |name: &Path| !name.starts_with("bin") && !name.starts_with("executed") && !is_hidden(name);
    // Of a file, the name below itself is empty.
    let place = |folder: &Path, name: &Path| match name.as_os_str().is_empty() {
        true => folder.to_owned(),
        false => folder.join(name),
    };
    let files = |folder: &Path| -> Vec<PathBuf> {
        let entries = WalkDir::new(folder).into_iter().flatten().filter(|entry| entry.file_type().is_file());
        entries.filter_map(|entry| Some(entry.path().strip_prefix(folder).ok()?.to_owned())).collect()
    };
    for name in files(to).iter().filter(|name| !place(from, name).is_file()) {
        let file = place(to, name);
        fs::remove_file(&file).map_err(cannot("remove", &file))?;
    }
    for name in files(from).iter().filter(|name| is_wanted(name)) {
        let (from, to) = (place(from, name), place(to, name));
        let content = fs::read(&from).map_err(cannot("read", &from))?;
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        to.parent().map_or(Ok(()), make_folder)?;
        fs::write(&to, content).map_err(cannot("write", &to))?;
    }
    Ok(())
}

/// What has been compiled for a project's own notebooks need not be compiled again.
fn reuse(from: &Path, to: &Path) {
    let [from, to] = [from, to].map(|build| build.join("library/target"));
    if from != to && from.is_dir() && !to.exists() {
        // Without it, cargo compiles.
        let _ = warm::copy(&from, &to);
    }
}

/// As `cargo lab` starts its server.
fn server_settings() -> serde_json::Value {
    json!({
        "KernelSpecManager": { "ensure_native_kernel": false },
        "MultiKernelManager": { "default_kernel_name": "rust" },
        "MappingKernelManager": { "kernel_info_timeout": 600 },
        "ZMQChannelsWebsocketConnection": { "iopub_data_rate_limit": 1e10, "iopub_msg_rate_limit": 1e4 },
    })
}

const LOCKS: [&str; 2] = ["setup.lock", "warm.lock"];

/// Whatever the modes of the copied files were, all users can read, and only the owner can write.
#[cfg(unix)]
fn make_readable(prefix: &Path) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in WalkDir::new(prefix).min_depth(1) {
        let entry = entry.map_err(|error| cannot("read", prefix)(error.into()))?;
        let mode = entry.metadata().map_err(|error| cannot("read", entry.path())(error.into()))?.permissions().mode();
        let owner = mode & 0o700;
        let wanted = owner | (owner & 0o500) >> 3 | (owner & 0o500) >> 6;
        // A user who could open a lock could hold it.
        let wanted = if LOCKS.iter().any(|lock| entry.path().ends_with(lock)) { 0o600 } else { wanted };
        if !entry.path_is_symlink() && mode & 0o777 != wanted {
            fs::set_permissions(entry.path(), PermissionsExt::from_mode(wanted))
                .map_err(cannot("open", entry.path()))?;
        }
    }
    Ok(())
}

#[cfg(not(unix))]
fn make_readable(_: &Path) -> Outcome<()> {
    Ok(())
}

fn report(project: &Project, with_jupyter: bool) {
    let prefix = project.root.display();
    println!("The installation in {prefix} is ready: its users need only read it.");
    println!("Jupyter finds the kernel with JUPYTER_PATH={prefix}/share/jupyter, and its settings with");
    println!("JUPYTER_CONFIG_PATH={prefix}/config. `{prefix}/bin/latentlab lessons` copies the lessons.");
    let mut used = vec![("the installation", project.root.clone())];
    used.extend(
        project
            .shared
            .iter()
            .flat_map(|shared| [("Rust", shared.rust.clone()), ("cargo's registry", shared.cargo.join("registry"))]),
    );
    if with_jupyter {
        let base = output_of(project.python().args(["-c", "import sys; print(sys.base_prefix)"]));
        used.extend(base.map(|base| ("Python", base.into())));
    }
    for (what, folder) in used {
        if let Some(closed) = closed_to_others(&folder) {
            println!(
                "Other users cannot use it: {what} is in {}, and {} is closed to them. docs/hub.md tells how to \
                 install Rust for all.",
                folder.display(),
                closed.display()
            );
        }
    }
}

/// The folder on the way that other users cannot open.
#[cfg(unix)]
fn closed_to_others(folder: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    let is_closed = |path: &&Path| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o001 == 0);
    folder.ancestors().filter(is_closed).last().map(Path::to_owned)
}

#[cfg(not(unix))]
fn closed_to_others(_: &Path) -> Option<PathBuf> {
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use std::os::unix::fs::PermissionsExt;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_installations_manifest_is_that_of_the_library_alone() {
        let text = library_alone(include_str!("../../../Cargo.toml"));
        for kept in ["[package]", "[features]", "[lib]", "[dependencies]\n", "[profile.tool]", "dfdx = {"] {
            assert!(text.contains(kept), "{kept}");
        }
        for gone in ["[[", "[dev-dependencies", "criterion"] {
            assert!(!text.contains(&format!("\n{gone}")), "{gone} in {text}");
        }
        // As cargo writes it into a package.
        let packed = "# written by cargo\n[package]\nname = \"a\"\n\n[[test]]\nname = \"t\"\n\n[dev-dependencies.syn]\n\
                      version = \"2\"\n\n[lints.rust]\n";
        assert_eq!(library_alone(packed), "# written by cargo\n[package]\nname = \"a\"\n\n[lints.rust]\n");
    }

    #[test]
    fn a_mirror_has_the_files_of_the_project_and_no_others() {
        let folder = Folder::new("mirror");
        for name in
            ["from/lib.rs", "from/show/font.ttf", "from/bin/tool.rs", "from/a/.ipynb_checkpoints/b", "to/old.rs"]
        {
            folder.write(name, name.as_bytes());
        }
        let (from, to) = (folder.file("from"), folder.file("to"));
        mirror(&from, &to).unwrap();
        let there = |name: &str| to.join(name).exists();
        assert!(there("lib.rs") && there("show/font.ttf"));
        assert!(!there("bin/tool.rs") && !there("a/.ipynb_checkpoints/b") && !there("old.rs"));
        let time = || fs::metadata(to.join("lib.rs")).unwrap().modified().unwrap();
        let before = time();
        mirror(&from, &to).unwrap();
        assert_eq!(time(), before, "what is equal is left");
        mirror(&from.join("lib.rs"), &folder.file("one.rs")).unwrap();
        assert_eq!(fs::read(folder.file("one.rs")).unwrap(), b"from/lib.rs");
    }

    #[test]
    fn all_can_read_an_installation_and_only_its_owner_can_write() {
        let folder = Folder::new("modes");
        let (private, program, lock) =
            (folder.write("a/b", b""), folder.write("bin/tool", b""), folder.write("setup.lock", b""));
        set_mode(&private, 0o600);
        set_mode(&program, 0o777);
        set_mode(&lock, 0o600);
        set_mode(&folder.file("a"), 0o700);
        make_readable(&folder.0).unwrap();
        assert_eq!([&private, &program, &lock, &folder.file("a")].map(|path| mode(path)), [0o644, 0o755, 0o600, 0o755]);
    }

    #[test]
    fn a_folder_that_others_cannot_enter_is_named() {
        let folder = Folder::new("closed");
        let inner = folder.file("home/rust");
        fs::create_dir_all(&inner).unwrap();
        set_mode(&folder.0, 0o755);
        set_mode(&folder.file("home"), 0o700);
        assert_eq!(closed_to_others(&inner), Some(folder.file("home")));
        set_mode(&folder.file("home"), 0o711);
        assert_eq!(closed_to_others(&inner), None);
    }

    #[test]
    fn a_folder_with_other_files_or_another_version_is_refused() {
        let folder = Folder::new("prefix");
        check(&folder.0).unwrap();
        check(&folder.file("new")).unwrap();
        let file = folder.write(Shared::FILE, b"{}");
        assert!(check(&folder.0).unwrap_err().contains("not the description of an installation"));
        let shared = Shared { version: "0.0.1".into(), rust: "/r".into(), rustc: String::new(), cargo: "/c".into() };
        fs::write(&file, json!(shared).to_string()).unwrap();
        let error = check(&folder.0).unwrap_err();
        assert!(error.contains("latentlab 0.0.1 is installed there") && error.contains("another folder"), "{error}");
        let ours = Shared { version: env!("CARGO_PKG_VERSION").to_owned(), ..shared };
        fs::write(&file, json!(ours).to_string()).unwrap();
        check(&folder.0).unwrap();
        assert_eq!(Shared::read(&folder.0).unwrap(), Some(ours));
        fs::rename(&file, folder.file("notes")).unwrap();
        assert!(check(&folder.0).unwrap_err().contains("empty folder"));
        assert!(check(&folder.file("a b")).unwrap_err().contains("space"));
    }
}
