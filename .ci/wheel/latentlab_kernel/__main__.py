"""The kernel `rust`, as Jupyter starts it, and what a user may call: `latentlab-kernel setup` and `latentlab-kernel lessons`.

The wheel holds programs and sources. What is compiled of them, with the user's own Rust, lies in a folder of the user, one
for each version and environment: $LATENTLAB_JUPYTER, or `latentlab` in $XDG_DATA_HOME (~/.local/share).
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).resolve().parent
PROJECT = HERE / "project"
TOOL = HERE / "bin" / "latentlab"
EVCXR = HERE / "bin" / "evcxr_jupyter"
VERSION = version("latentlab-kernel")


def state():
    """The folder of what is compiled. Paths stand in it, so that each environment has its own."""
    if folder := os.environ.get("LATENTLAB_JUPYTER"):
        return Path(folder).absolute()
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    place = hashlib.sha256(os.fsencode(HERE)).hexdigest()[:8]
    return data / "latentlab" / f"{VERSION}-{place}"


def prepare():
    """Writes what `cargo lab` would install, with this environment's Jupyter and the wheel's programs."""
    # Jupyter may have been started by something that does not know rustup's folder.
    if shutil.which("cargo") is None:
        os.environ["PATH"] += os.pathsep + str(Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo") / "bin")
    missing = [program for program in ("cargo", "rustc", "cc") if shutil.which(program) is None]
    if missing:
        sys.exit(f"latentlab-kernel: {' and '.join(missing)} not found. The notebooks' cells are compiled on your machine: "
                 "install Rust from https://rustup.rs/, and a linker (Debian, Ubuntu: sudo apt install build-essential; "
                 "macOS: xcode-select --install).")
    folder = state()
    if any(map(str.isspace, str(folder))):
        sys.exit(f"latentlab-kernel: the kernel cannot work in {folder}, whose path has a space in it. Set LATENTLAB_JUPYTER "
                 "to another folder.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    python = folder / "python"
    if not python.exists():
        python.unlink(missing_ok=True)
        python.symlink_to(sys.prefix, target_is_directory=True)
    found = EVCXR.stat()
    write(folder / "evcxr" / "kernel", f"{EVCXR}\n{found.st_size} {found.st_mtime_ns}\n")
    spec = {
        "argv": [str(TOOL), "kernel", "--connection-file", "{connection_file}"],
        "display_name": "Rust",
        "language": "rust",
        "interrupt_mode": "message",
    }
    write(folder / "share/jupyter/kernels/rust/kernel.json", json.dumps(spec))
    os.environ["LATENTLAB_PROJECT"] = str(PROJECT)
    os.environ["LATENTLAB_JUPYTER"] = str(folder)


def write(path, content):
    """Two kernels may start at once: the file is there whole, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != content:
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_text(content)
        part.replace(path)


def setup():
    """Starts the kernel once: at its first start it compiles the library."""
    from jupyter_client.manager import KernelManager

    start = time.monotonic()
    manager = KernelManager(kernel_name="rust")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=3600)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    print(f"The kernel is ready, after {time.monotonic() - start:.0f} s.")


def lessons(folder):
    """Copies the lessons; what is there already is not touched."""
    folder.mkdir(parents=True, exist_ok=True)
    copied = []
    for path in sorted((PROJECT / "notebooks").glob("*.ipynb")):
        if not (folder / path.name).exists():
            shutil.copyfile(path, folder / path.name)
            copied.append(folder / path.name)
    # JupyterLab shows no SVG figure of other notebooks until their cells have run. Without a path, nbformat.sign waits for a
    # notebook from the terminal.
    if copied:
        subprocess.run([sys.executable, "-m", "nbformat.sign", *copied], stdout=subprocess.DEVNULL, check=False)
    print(f"{len(copied)} notebooks copied. Open {folder / '00_start_here.ipynb'} in JupyterLab.")


def main():
    parser = argparse.ArgumentParser(prog="latentlab-kernel", description="Rust notebooks with latentlab.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("kernel", add_help=False)
    commands.add_parser("setup", help="compile the library now, not at the kernel's first start")
    copy = commands.add_parser("lessons", help="copy the lessons into a folder")
    copy.add_argument("folder", nargs="?", type=Path, default=Path("latentlab"))
    arguments, rest = parser.parse_known_args()
    if arguments.command == "lessons":
        return lessons(arguments.folder)
    prepare()
    if arguments.command == "setup":
        return setup()
    os.execv(TOOL, [str(TOOL), "kernel", *rest])


if __name__ == "__main__":
    main()
