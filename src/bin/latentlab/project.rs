//! The project's folder, with the folder of everything that Jupyter needs in it.

use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A result whose error is a message for the user: what is missing, and how to get it.
pub type Outcome<T> = Result<T, String>;

pub struct Project {
    pub root: PathBuf,
    /// Everything that the setup creates: the project's `.jupyter`, or `$LATENTLAB_JUPYTER`; in an installation that
    /// many share, its folder.
    pub jupyter: PathBuf,
    /// Of an installation that many share.
    pub shared: Option<Shared>,
}

/// What an installation that many share was made with, in its file `latentlab.json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Shared {
    pub version: String,
    /// The toolchain's folder.
    pub rust: PathBuf,
    /// All that `rustc -vV` says.
    pub rustc: String,
    /// cargo's home. It must stay at this path: cargo compiles its crates again if they are found at another one.
    pub cargo: PathBuf,
}

impl Shared {
    pub const FILE: &str = "latentlab.json";

    /// `None` if there is no such file in the folder.
    pub fn read(folder: &Path) -> Outcome<Option<Self>> {
        let file = folder.join(Self::FILE);
        match fs::read(&file) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| format!("{}: not the description of an installation ({error})", file.display())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(cannot("read", &file)(error)),
        }
    }

    /// Where its compiler's own shared libraries lie, which the compiled cells load, too.
    pub fn libraries(&self) -> PathBuf {
        let host = self.rustc.lines().find_map(|line| line.strip_prefix("host: ")).unwrap_or_default();
        self.rust.join("lib/rustlib").join(host).join("lib")
    }
}

impl Project {
    /// `$LATENTLAB_PROJECT`, or the installation that this tool is part of, or the folder that it was built in, or else
    /// the closest parent of the current folder with `notebooks/evcxr.toml`.
    pub fn find() -> Outcome<Self> {
        let here = std::env::current_dir().map_err(|e| format!("The current folder cannot be read ({e})."))?;
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR"));
        let is_project = |folder: &&Path| folder.join("notebooks/evcxr.toml").is_file();
        let named = std::env::var_os("LATENTLAB_PROJECT").map(|folder| here.join(folder));
        if named.is_none()
            && let Some(folder) = std::env::current_exe().ok().as_deref().and_then(Path::parent).and_then(Path::parent)
            && let Some(shared) = Shared::read(folder)?
        {
            return Ok(Self::installed(folder, shared));
        }
        let root = match &named {
            Some(named) => Some(named.as_path())
                .filter(is_project)
                .ok_or_else(|| format!("LATENTLAB_PROJECT is {}, which has no notebooks/evcxr.toml.", named.display())),
            None => std::iter::once(built_in).chain(here.ancestors()).find(is_project).ok_or_else(|| {
                format!(
                    "Not inside the project: neither {} nor a folder above {} has notebooks/evcxr.toml. \
                     Go to the project's folder and use `cargo latentlab` there.",
                    built_in.display(),
                    here.display()
                )
            }),
        }?;
        let jupyter = match std::env::var_os("LATENTLAB_JUPYTER") {
            Some(folder) => here.join(folder),
            None => root.join(".jupyter"),
        };
        Ok(Self { root: root.to_owned(), jupyter, shared: None })
    }

    /// The installation in this folder.
    pub fn installed(folder: &Path, shared: Shared) -> Self {
        Self { root: folder.to_owned(), jupyter: folder.to_owned(), shared: Some(shared) }
    }

    pub fn notebooks(&self) -> PathBuf {
        self.root.join("notebooks")
    }

    pub fn build(&self) -> PathBuf {
        self.jupyter.join("build")
    }

    /// The Python of the virtual environment, isolated from the user's own Jupyter.
    pub fn python(&self) -> Command {
        let bin = if cfg!(windows) { "python/Scripts" } else { "python/bin" };
        let mut command = Command::new(self.jupyter.join(bin).join(program("python")));
        command.env("PYTHONNOUSERSITE", "1").env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        command.env("JUPYTER_PATH", self.jupyter.join("share/jupyter"));
        if self.shared.is_some() {
            command.env_remove("LATENTLAB_PROJECT").env_remove("LATENTLAB_JUPYTER");
            // What Jupyter writes goes into the user's own folders.
            command.env("JUPYTER_CONFIG_PATH", self.jupyter.join("config"));
            return command;
        }
        command
            .env("JUPYTER_CONFIG_DIR", self.jupyter.join("config"))
            .env("JUPYTER_DATA_DIR", self.jupyter.join("data"))
            .env("JUPYTER_RUNTIME_DIR", self.jupyter.join("runtime"));
        command
    }

    /// The Rust kernel that the setup has recorded, if its program is still the same.
    pub fn evcxr(&self) -> Option<PathBuf> {
        if self.shared.is_some() {
            return Some(self.jupyter.join("bin").join(program("evcxr_jupyter"))).filter(|program| program.is_file());
        }
        let record = fs::read_to_string(self.kernel_record()).ok()?;
        let program = PathBuf::from(record.lines().next()?);
        (record_of(&program)? == record).then_some(program)
    }

    /// The programs that may be a suitable kernel: the one that is installed in the project, and those on the PATH.
    pub fn kernels(&self) -> Vec<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::iter::once(self.jupyter.join("evcxr/bin"))
            .chain(std::env::split_paths(&path))
            .filter_map(|folder| folder.join(program("evcxr_jupyter")).canonicalize().ok())
            .collect()
    }

    /// Makes a program the kernel.
    pub fn record_kernel(&self, program: &Path) -> Outcome<()> {
        let record = record_of(program).ok_or_else(|| format!("{}: cannot be read", program.display()))?;
        write(&self.kernel_record(), &record)
    }

    fn kernel_record(&self) -> PathBuf {
        self.jupyter.join("evcxr/kernel")
    }
}

/// What tells a program from one that has replaced it: its path, size and time.
fn record_of(program: &Path) -> Option<String> {
    let found = fs::metadata(program).ok()?;
    let time = found.modified().ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(format!("{}\n{} {}\n", program.to_str()?, found.len(), time.as_nanos()))
}

fn program(name: &str) -> String {
    format!("{name}{}", std::env::consts::EXE_SUFFIX)
}

/// The message `path: cannot … it (…)`, for `map_err`.
pub fn cannot(doing: &str, path: &Path) -> impl FnOnce(std::io::Error) -> String {
    move |error| format!("{}: cannot {doing} it ({error})", path.display())
}

pub fn make_folder(path: &Path) -> Outcome<()> {
    fs::create_dir_all(path).map_err(cannot("create", path))
}

/// A folder that only its owner can open, also if it existed before with another mode: it holds keys and tokens.
pub fn make_private_folder(path: &Path) -> Outcome<()> {
    make_folder(path.parent().expect("the folder has a parent"))?;
    #[cfg_attr(not(unix), expect(unused_mut, reason = "other systems have no mode"))]
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(cannot("create", path)(error)),
        _ => {}
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let found = fs::metadata(path).map_err(cannot("read", path))?;
        if !found.is_dir() {
            return Err(format!("{}: expected a folder, got a file", path.display()));
        }
        if found.permissions().mode() & 0o777 != 0o700 {
            fs::set_permissions(path, fs::Permissions::from_mode(0o700)).map_err(cannot("make private", path))?;
        }
    }
    Ok(())
}

/// The largest file that is read: no notebook and no file of a run is larger.
const MOST_BYTES: u64 = 256 << 20;

/// The content of a file that is not too large. The error does not name the file.
pub fn read_bytes(path: &Path) -> Outcome<Vec<u8>> {
    let failed = |error: std::io::Error| format!("cannot read it ({error})");
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(MOST_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!("expected a file of at most {} MiB, got a larger one", MOST_BYTES >> 20));
    }
    Ok(bytes)
}

/// Writes a file atomically, unless it already has that content, and creates its parent folders.
pub fn write(path: &Path, content: &str) -> Outcome<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    make_folder(path.parent().expect("the file has a parent"))?;
    crate::whole::write_whole(path, content.as_bytes()).map_err(|error| error.to_string())
}

/// Removes a folder and its content, if it exists.
pub fn remove_folder(path: &Path) -> Outcome<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(cannot("remove", path)(error)),
        _ => Ok(()),
    }
}

/// A file to lock. The operating system releases the lock when the last process that holds the file ends.
pub fn open_lock(path: &Path) -> Outcome<File> {
    make_folder(path.parent().expect("the file has a parent"))?;
    File::options().create(true).truncate(false).write(true).open(path).map_err(cannot("open", path))
}

/// The numbers of a version, for comparison: `1.95.0-nightly` is 1, 95, 0.
pub fn numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("3.9.18") < numbers("3.10"));
        assert!(numbers("1.95.0") >= numbers("1.95"));
        assert!(numbers("1.96.0-nightly") >= numbers("1.95"));
        assert!(numbers("1.88.0") < numbers("1.95"));
    }
}
