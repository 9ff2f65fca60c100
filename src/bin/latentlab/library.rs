//! The library for the notebooks: compiled once, into a shared library that all cells of a kernel load.
//!
//! ```text
//! .jupyter/build/library/         the workspace that compiles it, with the project's own Cargo.lock
//!                warm/latentlab/  the package that replaces it in the kernel
//!                    compiled/    the shared library, and the metadata of the crates in it
//!                    src/lib.rs   for the compiler, the shared library; for rust-analyzer, the sources
//!                    sources/     the library's sources
//!                rust/            the standard library's sources, without those that no notebook uses
//! ```
//!
//! If the library itself were a dependency of the cells, each cell would get its own copy, with its own threads and
//! settings, and rust-analyzer (which evcxr asks for the types of variables) would read all of the library's
//! dependencies at each start. Now it reads only ndarray, whose types are part of the interface.

use crate::command::{end_with_parent, narrate_lines, output_of, without_cargo_run};
use crate::project::{Outcome, Project, cannot, make_folder, remove_folder, write};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// As fast as a release build. Both workspaces use it, so that both compile the same crates. Not by
/// `package."*"`, which would also optimise the macros and build scripts: they run once, and were a third of the wait.
pub const PROFILE: &str = r#"[profile.dev]
opt-level = 3
debug = false
strip = "debuginfo"
rpath = true
codegen-units = 16
incremental = false
debug-assertions = false
overflow-checks = false
"#;

/// The same for cells, but for one unit with little optimisation, which is half of the compiler's work under evcxr's
/// own profile; that one is ignored by cargo, in a package that is not the root of its workspace.
pub const CELL_PROFILE: &str = r#"
[profile.dev.package.ctx]
opt-level = 1
codegen-units = 1
"#;

/// Crates of the library that are not optimised, because they take long to compile and hardly run: colour profiles,
/// which nothing uses, dfdx's products of numbers that are not real or of half precision, and the protocols of a
/// download.
const NOT_OPTIMISED: [&str; 11] = [
    "gemm-c32",
    "gemm-c64",
    "gemm-f16",
    "http",
    "moxcms",
    "pxfm",
    "rustls",
    "rustls-webpki",
    "typed-path",
    "ureq",
    "ureq-proto",
];

/// The dependency whose types are part of the library's interface.
const SHARED: &str = "ndarray";

/// The source of the kernel's package, for the compiler and for rust-analyzer.
const STANDS_FOR: &str = r#"#[cfg(not(rust_analyzer))]
pub use latentlab_library::*;
#[cfg(not(rust_analyzer))]
extern crate latentlab_library;
#[cfg(rust_analyzer)]
include!("../sources/lib.rs");
"#;

/// Finds the shared library relative to OUT_DIR, which cargo updates when the whole build is copied.
const BUILD_SCRIPT: &str = r#"fn main() {
    let mut folder = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets it"));
    while !folder.join("latentlab/compiled").is_dir() {
        folder.push("..");
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-search=all={}", folder.join("latentlab/compiled").display());
}
"#;

/// A compiled crate, with the files that its dependents need.
#[derive(Debug, PartialEq)]
struct Compiled {
    name: String,
    version: String,
    features: Vec<String>,
    /// From a registry, not from this project.
    is_published: bool,
    files: Vec<PathBuf>,
}

/// Compiles the library and writes the package that replaces it, with `stamp` in its source.
pub fn build(project: &Project, stamp: &str, package: &Path) -> Outcome<()> {
    let crates = compile(project)?;
    let lock = project.build().join("library/Cargo.lock");
    let lock = fs::read_to_string(&lock).map_err(cannot("read", &lock))?;
    let compiled = package.join("compiled");
    remove_folder(&compiled)?;
    make_folder(&compiled)?;
    for file in crates.iter().flat_map(|compiled| &compiled.files) {
        let Some(name) = file.file_name() else { continue };
        let copy = compiled.join(name);
        // A shared library is copied, because the linker may write into the existing file.
        let is_linked = file.extension().is_some_and(|kind| kind == "rmeta") && fs::hard_link(file, &copy).is_ok();
        if !is_linked {
            fs::copy(file, &copy).map_err(cannot("copy", file))?;
        }
    }
    copy_sources(&project.root.join("src"), &package.join("sources"))?;
    write(&package.join("Cargo.toml"), &manifest(&crates, &with_dependencies(SHARED, &lock, &crates)))?;
    write(&package.join("build.rs"), BUILD_SCRIPT)?;
    let sources = package.join("sources/lib.rs");
    let text = fs::read_to_string(&sources).map_err(cannot("read", &sources))?;
    // `include!` allows no inner documentation and attributes in the included file.
    write(&sources, &text.replace("#![cfg(feature = \"library\")]\n", ""))?;
    let documentation: String = text.split_inclusive('\n').take_while(|line| line.starts_with("//!")).collect();
    write(&package.join("src/lib.rs"), &format!("{documentation}// {stamp}\n{STANDS_FOR}"))
}

/// The manifest of the kernel's package. The shared dependencies have exactly their features in the library, to be the
/// same crates. The others are listed for no platform, only to stay in the lock file: cargo also resolves the
/// dependencies of the replaced project, and would query the registry at each cell for one that is not there.
fn manifest(crates: &[Compiled], shared: &[&Compiled]) -> String {
    let mut text = format!(
        "[package]\nname = \"latentlab\"\nversion = \"{}+kernel\"\nedition = \"2024\"\n\n[lints.rust]\n\
         unexpected_cfgs = {{ level = \"allow\" }}\n\n[dependencies]\n",
        env!("CARGO_PKG_VERSION")
    );
    let (named, others): (Vec<_>, Vec<_>) =
        crates.iter().filter(|compiled| compiled.is_published).partition(|compiled| shared.contains(compiled));
    for (index, Compiled { name, version, features, .. }) in named.iter().enumerate() {
        let key = if name == SHARED { name.clone() } else { format!("of_{SHARED}_{index}") };
        text += &format!(
            "{key} = {{ package = \"{name}\", version = \"={version}\", default-features = false, \
             features = {features:?} }}\n"
        );
    }
    text += "\n[target.'cfg(any())'.dependencies]\n";
    for (index, Compiled { name, version, .. }) in others.iter().enumerate() {
        text += &format!(
            "other_{index} = {{ package = \"{name}\", version = \"={version}\", default-features = false }}\n"
        );
    }
    text
}

/// Compiles the library into a shared library; returns all crates in it.
fn compile(project: &Project) -> Outcome<Vec<Compiled>> {
    let folder = project.build().join("library");
    // A JSON string is also a TOML string.
    let root = Value::from(project.root.to_string_lossy());
    let quick = NOT_OPTIMISED.map(|name| format!("\n[profile.dev.package.{name}]\nopt-level = 0\n")).concat();
    let manifest = format!(
        "[package]\nname = \"latentlab-library\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[lib]\n\
         crate-type = [\"dylib\"]\n\n\
         [dependencies]\nlatentlab = {{ path = {root} }}\n\n[workspace]\nresolver = \"3\"\n\n{PROFILE}{quick}"
    );
    write(&folder.join("Cargo.toml"), &manifest)?;
    write(&folder.join("src/lib.rs"), "pub use latentlab::*;\n")?;
    let lock = project.root.join("Cargo.lock");
    fs::copy(&lock, folder.join("Cargo.lock")).map_err(cannot("copy", &lock))?;
    let failed =
        |tail: &str| format!("The library could not be built for the notebooks. The last lines of cargo:\n{tail}");
    let host = host().ok_or_else(|| failed("rustc -vV names no host"))?;
    let (reader, writer) = std::io::pipe().map_err(|error| format!("No pipe can be made ({error})."))?;
    let narrator = std::thread::spawn(|| narrate_lines(reader));
    let mut command = Command::new("cargo");
    without_cargo_run(&mut command)
        .args(["build", "--message-format", "json-render-diagnostics", "--target", &host])
        .current_dir(&folder)
        // The same as when evcxr compiles cells.
        .env("CARGO_TARGET_DIR", "target")
        .env("CARGO_BUILD_BUILD_DIR", "target")
        .env("RUSTFLAGS", "-Cprefer-dynamic")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(writer);
    let mut child = end_with_parent(&mut command).spawn().map_err(|error| failed(&error.to_string()))?;
    // The command holds the writing end of the pipe; while it does, the reader sees no end of file.
    drop(command);
    let messages = child.stdout.take().map(BufReader::new).into_iter();
    let lines = messages.flat_map(BufRead::lines).map_while(Result::ok);
    let crates = lines.filter_map(|line| compiled(&serde_json::from_str(&line).ok()?, &folder, &host)).collect();
    let status = child.wait();
    let tail = narrator.join().unwrap_or_default();
    match status {
        Ok(status) if status.success() => Ok(crates),
        _ => Err(failed(&tail)),
    }
}

/// The compiled crate that a message of cargo reports, if it does.
fn compiled(message: &Value, folder: &Path, host: &str) -> Option<Compiled> {
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let texts = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|text| Some(text.as_str()?.to_owned())).collect()
    };
    // Of the crates that run in the compiler, only macros (shared libraries) are needed.
    let is_needed = |file: &Path| {
        let is = |kind: &str| file.extension().is_some_and(|extension| extension == kind);
        is(std::env::consts::DLL_EXTENSION)
            || is("lib")
            || is("rmeta") && file.starts_with(folder.join("target").join(host))
    };
    let files =
        texts(&message["filenames"]).into_iter().map(PathBuf::from).filter(|file| is_needed(file)).collect::<Vec<_>>();
    // `source#name@version`, or `source/name#version` where the folder has the package's name.
    let (source, rest) = message["package_id"].as_str()?.rsplit_once('#')?;
    let (name, version) = rest.split_once('@').unwrap_or_else(|| (source.rsplit('/').next().unwrap_or_default(), rest));
    let is_published = source.starts_with("registry+");
    (!files.is_empty()).then(|| Compiled {
        is_published,
        name: name.to_owned(),
        version: version.to_owned(),
        features: texts(&message["features"]),
        files,
    })
}

/// A crate and all its dependencies by the lock file, as far as they have been compiled.
fn with_dependencies<'a>(name: &str, lock: &str, crates: &'a [Compiled]) -> Vec<&'a Compiled> {
    let mut dependencies: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in lock.split("[[package]]") {
        let mut strings = package.lines().map(str::trim).skip_while(|line| !line.starts_with("name = "));
        let Some(name) = strings.next().and_then(|line| line.split('"').nth(1)) else { continue };
        let listed = strings.filter(|line| line.starts_with('"')).filter_map(|line| line.split(['"', ' ']).nth(1));
        dependencies.entry(name).or_default().extend(listed);
    }
    let (mut found, mut next) = (BTreeSet::new(), vec![name]);
    while let Some(name) = next.pop() {
        if found.insert(name) {
            next.extend(dependencies.get(name).into_iter().flatten());
        }
    }
    crates.iter().filter(|compiled| found.contains(compiled.name.as_str())).collect()
}

/// The library's sources, without the tool's.
fn copy_sources(from: &Path, to: &Path) -> Outcome<()> {
    remove_folder(to)?;
    copy_rust(from, to, &|path| path != from.join("bin")).map_err(cannot("copy", from))
}

/// Copies the standard library's sources for rust-analyzer, without the processors' instructions (half of it) and
/// without cargo's manifests, which it would resolve at each start: that is half of a bare kernel's start time. Copies
/// nothing if rustup has not installed the sources.
pub fn copy_standard_library(build: &Path) -> Outcome<()> {
    let folder = build.join("rust");
    let rustc = |arguments: &[&str]| output_of(Command::new("rustc").args(arguments)).unwrap_or_default();
    let (version, mark) = (rustc(&["-vV"]), folder.join("version"));
    if fs::read_to_string(&mark).is_ok_and(|copied| copied == version) {
        return Ok(());
    }
    let from = Path::new(&rustc(&["--print", "sysroot"])).join("lib/rustlib/src/rust/library");
    remove_folder(&folder)?;
    if !from.join("core/src/lib.rs").is_file() {
        return Ok(());
    }
    for name in ["core", "alloc", "std", "proc_macro"] {
        let (from, to) = (from.join(name).join("src"), folder.join(name).join("src"));
        copy_rust(&from, &to, &|_| true).map_err(cannot("copy", &from))?;
    }
    write(&mark, &version)
}

/// Copies the Rust files of a folder and of its `wanted` subfolders.
fn copy_rust(from: &Path, to: &Path, wanted: &impl Fn(&Path) -> bool) -> std::io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let path = entry?.path();
        let Some(name) = path.file_name() else { continue };
        if path.is_dir() && wanted(&path) {
            copy_rust(&path, &to.join(name), wanted)?;
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            fs::copy(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// The compiler's target triple of this machine.
fn host() -> Option<String> {
    let version = output_of(Command::new("rustc").arg("-vV"))?;
    version.lines().find_map(|line| Some(line.strip_prefix("host: ")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use serde_json::json;

    fn crates() -> Vec<Compiled> {
        let compiled = |name: &str, version: &str, features: &[&str], is_published| Compiled {
            name: name.to_owned(),
            version: version.to_owned(),
            features: features.iter().map(|name| (*name).to_owned()).collect(),
            is_published,
            files: vec![],
        };
        vec![
            compiled("rand", "0.8.8", &["std"], true),
            compiled("num-traits", "0.2.19", &["std", "libm"], true),
            compiled("ndarray", "0.16.1", &["std"], true),
            compiled("latentlab", "0.1.0", &[], false),
        ]
    }

    const LOCK: &str = "version = 4\n\n[[package]]\nname = \"ndarray\"\nversion = \"0.16.1\"\nsource = \"registry\"\n\
        dependencies = [\n \"num-traits 0.2.19\",\n \"portable-atomic\",\n]\n\n[[package]]\nname = \"num-traits\"\n\
        version = \"0.2.19\"\n\n[[package]]\nname = \"latentlab\"\nversion = \"0.1.0\"\n\
        dependencies = [\n \"ndarray\",\n \"rand\",\n]\n";

    #[test]
    fn the_crates_that_are_not_optimised_are_dependencies() {
        let lock = include_str!("../../../Cargo.lock");
        let unknown = NOT_OPTIMISED.into_iter().filter(|name| !lock.contains(&format!("name = \"{name}\"\n")));
        assert_eq!(unknown.collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn the_shared_crate_comes_with_its_dependencies() {
        let crates = crates();
        let names: Vec<&str> =
            with_dependencies("ndarray", LOCK, &crates).iter().map(|compiled| compiled.name.as_str()).collect();
        assert_eq!(names, ["num-traits", "ndarray"]);
    }

    #[test]
    fn the_kernels_package_pins_versions_and_features_and_lists_the_others_for_no_platform() {
        let crates = crates();
        let text = manifest(&crates, &with_dependencies("ndarray", LOCK, &crates));
        let (active, others) = text.split_once("[target.'cfg(any())'.dependencies]").unwrap();
        assert!(
            active.contains(
                "\nndarray = { package = \"ndarray\", version = \"=0.16.1\", default-features = false, \
                 features = [\"std\"] }\n"
            ),
            "{text}"
        );
        assert!(
            active.contains("package = \"num-traits\", version = \"=0.2.19\"") && !active.contains("rand"),
            "{text}"
        );
        assert!(others.contains("package = \"rand\", version = \"=0.8.8\"") && !others.contains("latentlab"), "{text}");
    }

    #[test]
    fn compiled_crates_are_read_from_cargos_messages() {
        let folder = Path::new("/library");
        let message = |id: &str, files: &[&str]| {
            let reason = "compiler-artifact";
            json!({ "reason": reason, "package_id": id, "features": ["std"], "filenames": files })
        };
        let read = |message: &Value| compiled(message, folder, "host");
        let id = "registry+https://example.org/index#rand@0.8.8";
        let rand = read(&message(id, &["/library/target/host/debug/deps/librand.rmeta", "/x/librand.rlib"])).unwrap();
        assert_eq!((rand.name.as_str(), rand.version.as_str(), rand.is_published), ("rand", "0.8.8", true));
        assert_eq!(rand.features, ["std"]);
        assert_eq!(rand.files, [folder.join("target/host/debug/deps/librand.rmeta")]);
        let macros = format!("/library/target/debug/deps/libmacros.{}", std::env::consts::DLL_EXTENSION);
        assert_eq!(read(&message(id, &[&macros])).unwrap().files, [PathBuf::from(macros)]);
        let own = read(&message("path+file:///a/latentlab#0.1.0", &["/library/target/host/x.rmeta"])).unwrap();
        assert_eq!((own.name.as_str(), own.version.as_str(), own.is_published), ("latentlab", "0.1.0", false));
        assert_eq!(read(&message(id, &["/library/target/debug/deps/libsyn.rmeta"])), None, "for the compiler only");
        assert_eq!(read(&json!({ "reason": "build-finished" })), None);
    }

    #[test]
    fn only_rust_files_are_copied_and_not_the_tools() {
        let folder = Folder::new("sources");
        for name in ["from/lib.rs", "from/model/mod.rs", "from/bin/tool.rs", "from/notes.txt", "to/old.rs"] {
            folder.write(name, b"");
        }
        copy_sources(&folder.file("from"), &folder.file("to")).unwrap();
        let there = |name: &str| folder.file("to").join(name).exists();
        assert!(there("lib.rs") && there("model/mod.rs"));
        assert!(!there("bin") && !there("notes.txt") && !there("old.rs"));
    }
}
