"""Builds the Python package latentlab-kernel for this machine's system: a wheel with the kernel's programs, the library's
sources and the lessons.

    python3 .ci/wheel/build.py [--evcxr PATH] [--out DIR]

Needs Rust and Python 3.10 with `venv`. Without `--evcxr`, evcxr_jupyter is compiled (ten minutes).
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = ROOT / "target" / "wheel"
NAME = "latentlab_kernel"

METADATA = """\
Metadata-Version: 2.4
Name: latentlab-kernel
Version: {version}
Summary: Autoencoders in Rust, cell by cell in Jupyter: the Rust kernel with the library latentlab, and its lessons
License-Expression: MIT OR Apache-2.0
License-File: LICENSE-MIT
License-File: LICENSE-APACHE
Keywords: jupyter,rust,evcxr,autoencoder,deep-learning
Classifier: Framework :: Jupyter
Classifier: Programming Language :: Rust
Requires-Python: >=3.10
Requires-Dist: jupyterlab<5,>=4.6
Requires-Dist: jupyterlab-widgets<4,>=3.0.17
Requires-Dist: nbclient>=0.11
Requires-Dist: nbconvert>=7.17
Description-Content-Type: text/markdown

Rust notebooks in which you build, train and look at autoencoders, with the library
[latentlab](https://crates.io/crates/latentlab), and thirteen lessons.

```
pip install latentlab-kernel
latentlab-kernel setup       # once: compiles the library, for some minutes
latentlab-kernel lessons     # copies the lessons into ./latentlab
jupyter lab
```

Cells are compiled on your machine: it needs [Rust](https://rustup.rs/) {rust} or newer and a C linker. Without `setup`, the
kernel's first start takes these minutes. The wheel contains [evcxr_jupyter](https://github.com/evcxr/evcxr) {evcxr} (MIT or
Apache-2.0).
"""

WHEEL = """\
Wheel-Version: 1.0
Generator: latentlab
Root-Is-Purelib: false
Tag: py3-none-{platform}
"""

ENTRY_POINTS = f"""\
[console_scripts]
latentlab-kernel = {NAME}.__main__:main
"""

KERNEL = """\
{
  "argv": ["python", "-m", "latentlab_kernel", "kernel", "--connection-file", "{connection_file}"],
  "display_name": "Rust",
  "language": "rust",
  "interrupt_mode": "message"
}
"""

# The programs of the wheel.
TOOL = ["build", "--locked", "--profile", "tool", "--no-default-features", "--features", "tool", "--bin", "latentlab"]


def cargo(*arguments, **environment):
    subprocess.run(["cargo", *arguments], cwd=ROOT, check=True, env=os.environ | environment)


def constant(name):
    """A text that is written down in the setup."""
    text = (ROOT / "src/bin/latentlab/setup.rs").read_text(encoding="utf-8")
    return re.search(rf'^const {name}: &str = "(.+)";$', text, flags=re.MULTILINE).group(1)


def evcxr():
    root = TARGET / "evcxr"
    if not (root / "bin/evcxr_jupyter").is_file():
        arguments = ["install", "--locked", "--root", root, "--target-dir", TARGET / "target", constant("KERNEL")]
        cargo(*map(str, arguments), "--features", constant("KERNEL_FEATURE"), CARGO_PROFILE_RELEASE_LTO="off")
    return root / "bin/evcxr_jupyter"


def platform(programs):
    """The wheel's tag: on Linux, with the oldest C library that all programs work with."""
    if sys.platform == "darwin":
        return f"macosx_11_0_{os.uname().machine}"
    system = sysconfig.get_platform().replace("-", "_")
    versions = {(int(a), int(b)) for path in programs for a, b in re.findall(rb"GLIBC_(\d+)\.(\d+)", path.read_bytes())}
    return system.replace("linux", "manylinux_{}_{}".format(*max(versions)), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--evcxr", type=Path, help="an evcxr_jupyter with zeromq/ipc-transport")
    parser.add_argument("--out", type=Path, default=TARGET / "dist")
    arguments = parser.parse_args()

    cargo(*TOOL)
    cargo("package", "--locked", "--no-verify", "--allow-dirty")
    version = re.search(r'^version = "(.+)"$', (ROOT / "Cargo.toml").read_text(), flags=re.MULTILINE).group(1)

    staging = TARGET / "staging"
    shutil.rmtree(staging, ignore_errors=True)
    package = staging / NAME
    shutil.copytree(HERE / NAME, package, ignore=shutil.ignore_patterns("__pycache__"))
    with tarfile.open(ROOT / f"target/package/latentlab-{version}.crate") as crate:
        crate.extractall(package, filter="data")
    (package / f"latentlab-{version}").rename(package / "project")
    # It marks cargo's own copy of a package.
    (package / "project/.cargo_vcs_info.json").unlink(missing_ok=True)

    programs = package / "bin"
    programs.mkdir()
    for program in (ROOT / "target/tool/latentlab", arguments.evcxr or evcxr()):
        shutil.copy(program, programs)
        if shutil.which("strip"):
            subprocess.run(["strip", programs / program.name], check=True)

    information = staging / f"{NAME}-{version}.dist-info"
    (information / "licenses").mkdir(parents=True)
    for licence in ROOT.glob("LICENSE-*"):
        shutil.copy(licence, information / "licenses")
    (information / "METADATA").write_text(METADATA.format(version=version, rust=constant("KERNEL_RUST"),
                                                         evcxr=constant("KERNEL").split("@")[1]))
    (information / "WHEEL").write_text(WHEEL.format(platform=platform(programs.iterdir())))
    (information / "entry_points.txt").write_text(ENTRY_POINTS)

    settings = json.loads((ROOT / "binder/jupyter_server_config.json").read_text())
    # An environment may have other kernels: which one comes first is not this package's choice.
    del settings["MultiKernelManager"]
    (package / "jupyter_server_config.json").write_text(json.dumps(settings, indent=2) + "\n")

    # Where Jupyter looks: the kernel's name, and that this package has settings for the server.
    data = staging / f"{NAME}-{version}.data/data"
    extension = {"ServerApp": {"jpserver_extensions": {NAME: True}}}
    for path, content in [
        ("share/jupyter/kernels/rust/kernel.json", KERNEL),
        (f"etc/jupyter/jupyter_server_config.d/{NAME}.json", json.dumps(extension, indent=2) + "\n"),
        ("etc/jupyter/labconfig/default_setting_overrides.d/latentlab.json", constant("SETTINGS").encode().decode(
            "unicode_escape")),
    ]:
        (data / path).parent.mkdir(parents=True)
        (data / path).write_text(content)

    tools = TARGET / "tools"
    if not tools.exists():
        venv.create(tools, with_pip=True)
        subprocess.run([tools / "bin/pip", "install", "--quiet", "wheel==0.48.0"], check=True)
    arguments.out.mkdir(parents=True, exist_ok=True)
    subprocess.run([tools / "bin/python", "-m", "wheel", "pack", staging, "--dest-dir", arguments.out], check=True)


if __name__ == "__main__":
    sys.exit(main())
