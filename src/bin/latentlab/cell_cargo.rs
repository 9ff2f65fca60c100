//! What evcxr finds in place of cargo: it compiles a cell by the very call of rustc that cargo has made for the cell
//! before, as long as nothing but the cell has changed. To find that out takes cargo a quarter of the time of most
//! cells.
//!
//! Everything else goes on to cargo: the first cell, one with `:dep` or `:opt`, and what a cell itself asks of cargo.

use crate::cell_compiler::{self, link};
use crate::command::become_program;
use crate::project::{Outcome, make_folder};
use crate::whole::hex;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// evcxr 0.22 asks rustup, where there is one, and else takes what it finds first.
const NAMES: [&str; 2] = ["cargo", "rustup"];

/// Where evcxr's own wrapper of rustc writes the path of a compiled cell.
const COMPILED_PATH: &str = "EVCXR_EXECUTION_SO_PATH";

/// The [`key`] of what cargo has been asked, for the rustc that it calls.
const KEY: &str = "LATENTLAB_CELL_KEY";

/// Where the system looks for shared libraries.
pub const SHARED_LIBRARIES: &str = if cfg!(windows) {
    "PATH"
} else if cfg!(target_vendor = "apple") {
    "DYLD_LIBRARY_PATH"
} else {
    "LD_LIBRARY_PATH"
};

/// The folder with the links, for the kernel's path.
pub fn install(folder: &Path) -> Outcome<PathBuf> {
    let links = folder.join("cargo");
    make_folder(&links)?;
    NAMES.iter().try_for_each(|name| link(&links, name).map(drop))?;
    Ok(links)
}

/// Whether this process has been started by one of the links.
pub fn is_called(arguments: &[OsString]) -> bool {
    name(arguments).is_some()
}

fn name(arguments: &[OsString]) -> Option<&'static str> {
    let stem = Path::new(arguments.first()?).file_stem()?;
    NAMES.into_iter().find(|name| stem == *name)
}

/// Becomes rustc, cargo or rustup; returns only if that fails.
pub fn run(arguments: &[OsString]) -> io::Error {
    let name = name(arguments).unwrap_or(NAMES[0]);
    let Ok(own) = env::current_exe() else { return io::ErrorKind::NotFound.into() };
    if arguments[1..] == ["which", "cargo"]
        && name == "rustup"
        && let Some(link) = link_to(&own, NAMES[0])
    {
        println!("{}", link.display());
        std::process::exit(0);
    }
    let Some(program) = program(name, &own) else {
        return io::Error::new(io::ErrorKind::NotFound, format!("{name} is not on the path"));
    };
    let mut command = Command::new(program);
    command.args(&arguments[1..]);
    let variables = env::vars_os().collect();
    let key = workspace().and_then(|workspace| Some((key(&arguments[1..], &workspace, &variables)?, workspace)));
    if let Some((key, workspace)) = key {
        if let Some(call) = Call::of(&workspace, &key) {
            return call.run(&workspace);
        }
        command.env(KEY, key);
    }
    become_program(command)
}

/// The program of that name which would be called without the links: beside the rustc that evcxr has chosen, or the
/// first one on the path.
fn program(name: &str, own: &Path) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    let beside = env::var_os("RUSTC").map(|rustc| Path::new(&rustc).with_file_name(&file));
    let is_other = |program: &PathBuf| program.is_file() && program.canonicalize().ok() != own.canonicalize().ok();
    beside.into_iter().chain(on_path(&file)).find(is_other)
}

/// The link of that name to this program, which the operating system does not tell.
fn link_to(own: &Path, name: &str) -> Option<PathBuf> {
    let file = format!("{name}{}", env::consts::EXE_SUFFIX);
    on_path(&file).into_iter().find(|link| same_file::is_same_file(link, own).unwrap_or(false))
}

/// Where that file would be in the folders of the path.
fn on_path(file: &str) -> Vec<PathBuf> {
    let folders = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&folders).map(|folder| folder.join(file)).collect()
}

/// The workspace of the kernel's build, if this is called in its package.
fn workspace() -> Option<PathBuf> {
    let package = env::current_dir().ok()?;
    Some(package.parent().filter(|_| package.ends_with(PACKAGE))?.to_owned())
}

/// evcxr's folder in the workspace.
const PACKAGE: &str = "ctx";

/// The environment.
type Variables = BTreeMap<OsString, OsString>;

/// A digest of what cargo decides by when evcxr has it build a cell; the same in a copy of the workspace. `None` if it
/// is asked something else, or if another package may have been edited since it was built.
fn key(arguments: &[OsString], workspace: &Path, variables: &Variables) -> Option<String> {
    let is_build = arguments.iter().any(|argument| argument == "build");
    let has = |name: &str| variables.contains_key(OsStr::new(name));
    if !is_build || !has(COMPILED_PATH) || has("EVCXR_CACHE_ENABLED") {
        return None;
    }
    let read = |file| fs::read_to_string(workspace.join(PACKAGE).join(file)).ok();
    let manifest = read("Cargo.toml")?;
    let (_, dependencies) = manifest.split_once("[dependencies]")?;
    if dependencies.lines().any(|line| line.contains("path") && !line.starts_with("latentlab =")) {
        return None;
    }
    let here = workspace.to_str()?;
    let mut sum = Sha256::new();
    let mut add = |text: &str| {
        let text = text.replace(here, HERE);
        sum.update(text.len().to_le_bytes());
        sum.update(text);
    };
    add(&manifest);
    add(&read(".cargo/config.toml")?);
    arguments.iter().for_each(|argument| add(&argument.to_string_lossy()));
    for (name, value) in variables.iter().filter(|(name, _)| is_cargos(name)) {
        add(&name.to_string_lossy());
        add(&value.to_string_lossy());
    }
    Some(hex(&sum.finalize()))
}

/// Variables that cargo reads, or sets for rustc; not the one that names open files of its own.
fn is_cargos(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let starts_with = |prefix| name.starts_with(prefix);
    (["CARGO", "RUST", "EVCXR"].into_iter().any(starts_with) || name == SHARED_LIBRARIES) && name != "CARGO_MAKEFLAGS"
}

/// What stands for the workspace in a [`Call`] that has been written down.
const HERE: &str = "\0";

/// How cargo has called rustc for a cell, in the folder of the workspace.
#[derive(Deserialize, Serialize)]
struct Call {
    key: String,
    /// rustc's path first.
    arguments: Vec<String>,
    variables: BTreeMap<String, String>,
}

impl Call {
    fn file(workspace: &Path) -> PathBuf {
        workspace.join(PACKAGE).join("target/cell.json")
    }

    /// The last one in the workspace, if it has that key.
    fn of(workspace: &Path, key: &str) -> Option<Self> {
        let call: Self = serde_json::from_slice(&fs::read(Self::file(workspace)).ok()?).ok()?;
        let here = workspace.to_str()?;
        (call.key == key).then(|| call.replace(HERE, here))
    }

    fn replace(mut self, from: &str, to: &str) -> Self {
        for text in self.arguments.iter_mut().chain(self.variables.values_mut()) {
            *text = text.replace(from, to);
        }
        self
    }

    /// Becomes rustc. Its messages are in the form that evcxr also finds inside of cargo's.
    fn run(&self, workspace: &Path) -> io::Error {
        let mut folders = self.arguments.iter().skip_while(|argument| *argument != "--out-dir").skip(1);
        let (Some(folder), Some(path)) = (folders.next(), env::var_os(COMPILED_PATH)) else {
            return io::ErrorKind::InvalidData.into();
        };
        let library = format!("{}{PACKAGE}{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
        let library = Path::new(folder).join(library);
        // evcxr reads it once rustc has succeeded.
        if let Err(error) =
            fs::write(path, library.as_os_str().as_encoded_bytes()).and_then(|()| env::set_current_dir(workspace))
        {
            return error;
        }
        let arguments: Vec<_> = self.arguments.iter().map(OsString::from).collect();
        cell_compiler::compile(&arguments, &self.variables)
    }
}

/// Keeps what cargo calls for a cell: rustc's path, and then its arguments.
pub fn remember(arguments: &[OsString]) {
    let remembered = || {
        let key = env::var(KEY).ok()?;
        let workspace = env::current_dir().ok()?;
        let text = |text: OsString| text.into_string().ok();
        let arguments = arguments.iter().cloned().map(text).collect::<Option<Vec<_>>>()?;
        if !arguments.windows(2).any(|pair| pair == ["--crate-name", PACKAGE]) {
            return None;
        }
        let variables = env::vars_os().filter(|(name, _)| is_cargos(name));
        let variables = variables.map(|(name, value)| Some((text(name)?, text(value)?))).collect::<Option<_>>()?;
        let call = Call { key, arguments, variables }.replace(workspace.to_str()?, HERE);
        crate::project::write(&Call::file(&workspace), &serde_json::to_string(&call).ok()?).ok()
    };
    // Without it, cargo is asked again.
    let _: Option<()> = remembered();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use crate::project::write;

    const MANIFEST: &str = "[package]\n[dependencies]\nlatentlab = { path = \"/lab\" }\n";

    /// A workspace with a package of that manifest.
    fn workspace(manifest: &str) -> Folder {
        let folder = Folder::new("cell_cargo");
        write(&folder.0.join("ctx/Cargo.toml"), manifest).unwrap();
        write(&folder.0.join("ctx/.cargo/config.toml"), "[net]\noffline = false\n").unwrap();
        folder
    }

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    fn variables(workspace: &Path) -> Variables {
        let path = |name: &str| workspace.join(name).into_os_string();
        [(COMPILED_PATH, path("ctx/path")), ("RUSTFLAGS", "-Cprefer-dynamic".into()), ("HOME", "/home/ada".into())]
            .map(|(name, value)| (name.into(), value))
            .into()
    }

    #[test]
    fn the_key_is_that_of_what_cargo_decides_by() {
        let [one, other] = [MANIFEST; 2].map(workspace);
        let build = words("build --target x");
        let key_of = |arguments: &[OsString], folder: &Folder, change: &dyn Fn(&mut Variables)| {
            let mut variables = variables(&folder.0);
            change(&mut variables);
            key(arguments, &folder.0, &variables)
        };
        let set = |name: &'static str, value: &'static str| {
            move |all: &mut Variables| drop(all.insert(name.into(), value.into()))
        };
        let first = key_of(&build, &one, &|_| ());
        assert!(first.is_some());
        assert_eq!(first, key_of(&build, &other, &|_| ()), "a copy");
        assert_eq!(first, key_of(&build, &one, &set("HOME", "/home/eve")));
        assert_ne!(first, key_of(&build, &one, &set("RUSTFLAGS", "-O")));
        assert_ne!(first, key_of(&words("build --target y"), &one, &|_| ()));
        write(&other.0.join("ctx/Cargo.toml"), &MANIFEST.replace("[dep", "opt-level = 2\n[dep")).unwrap();
        assert_ne!(first, key_of(&build, &other, &|_| ()));
        assert_eq!(None, key_of(&words("check --target x"), &one, &|_| ()));
        assert_eq!(None, key_of(&build, &one, &|all| drop(all.remove(OsStr::new(COMPILED_PATH)))));
        assert_eq!(None, key_of(&build, &one, &set("EVCXR_CACHE_ENABLED", "1")));
        let local = workspace(&format!("{MANIFEST}mine = {{ path = \"../mine\" }}\n"));
        assert_eq!(None, key_of(&build, &local, &|_| ()), "it may be edited");
    }

    #[test]
    fn a_call_holds_in_a_copy_of_its_workspace() {
        let [from, to] = [MANIFEST; 2].map(workspace);
        let file = |folder: &Path| format!("{}/ctx/target", folder.display());
        let call = Call {
            key: "key".to_owned(),
            arguments: vec!["rustc".to_owned(), "--out-dir".to_owned(), file(&from.0)],
            variables: [("CARGO_MANIFEST_DIR".to_owned(), file(&from.0))].into(),
        };
        let text = serde_json::to_string(&call.replace(from.0.to_str().unwrap(), HERE)).unwrap();
        write(&Call::file(&to.0), &text).unwrap();
        let call = Call::of(&to.0, "key").unwrap();
        assert_eq!(call.arguments[2], file(&to.0));
        assert_eq!(call.variables["CARGO_MANIFEST_DIR"], file(&to.0));
        assert!(Call::of(&to.0, "another key").is_none());
        for damaged in ["", "{", "[1]", &text[..text.len() / 2]] {
            fs::write(Call::file(&to.0), damaged).unwrap();
            assert!(Call::of(&to.0, "key").is_none());
        }
    }

    #[test]
    fn it_is_called_by_its_names() {
        for path in ["cargo", "rustup", "/kernels/slot0/cargo/cargo"] {
            assert!(is_called(&[path.into(), "build".into()]), "{path}");
        }
        assert!(!is_called(&["/bin/latentlab".into(), "cargo".into()]) && !is_called(&[]));
    }
}
