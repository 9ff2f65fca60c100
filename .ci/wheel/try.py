"""Installs the wheel as a student does, into an empty environment, and uses it: no checkout, no settings, an empty home.

    python3 .ci/wheel/try.py DIST [--home DIR]

Prints how long the first start takes, and the second. Needs Rust and a linker.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

LESSON = """
import sys, time, nbformat
from nbclient import NotebookClient
start = time.monotonic()
notebook = nbformat.read(sys.argv[1], as_version=4)
NotebookClient(notebook, kernel_name="rust", timeout=900, startup_timeout=600).execute()
cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
shown = [cell for cell in cells if any("image/" in kind for output in cell.outputs for kind in output.get("data", {}))]
assert len(shown) == len(cells) == 2, [cell.outputs for cell in cells]
print(f"{time.monotonic() - start:.1f} s for the notebook 00_start_here, kernel included")
"""

# What the server has made of the package's settings, and of one that a user has set otherwise.
SETTINGS = """
from jupyterlab.labapp import LabApp
user = "--ZMQChannelsWebsocketConnection.iopub_msg_rate_limit=5"
server = LabApp.initialize_server(["--no-browser", "--allow-root", user])
assert server.kernel_manager.kernel_info_timeout == 600, server.kernel_manager.kernel_info_timeout
rates = server.config.ZMQChannelsWebsocketConnection
assert (rates.iopub_data_rate_limit, rates.iopub_msg_rate_limit) == (1e10, 5), rates
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dist", type=Path)
    parser.add_argument("--home", type=Path, help="a folder for everything, which is left there")
    arguments = parser.parse_args()
    folder = arguments.home or Path(tempfile.mkdtemp(prefix="latentlab-wheel-"))
    try:
        use(arguments.dist.resolve(), folder.absolute())
    finally:
        if arguments.home is None:
            shutil.rmtree(folder)
    print("4 passed, 0 failed")


def use(dist, home):
    home.mkdir(parents=True, exist_ok=True)
    cargo = os.environ.get("CARGO_HOME", str(Path.home() / ".cargo"))
    rustup = os.environ.get("RUSTUP_HOME", str(Path.home() / ".rustup"))
    # What a machine has, without this one's latentlab, Jupyter and evcxr.
    path = os.pathsep.join([str(home / "venv/bin"), str(Path(cargo) / "bin"), "/usr/bin", "/bin"])
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "CARGO_HTTP", "http"))}
    environment = kept | {"HOME": str(home), "PATH": path, "CARGO_HOME": cargo, "RUSTUP_HOME": rustup, "LANG": "C.UTF-8",
                          "LATENTLAB_DATA": "built-in"}

    def run(*command):
        start = time.monotonic()
        subprocess.run(command, cwd=home, env=environment, check=True)
        return time.monotonic() - start

    run(sys.executable, "-m", "venv", "venv")
    seconds = run("venv/bin/pip", "install", "--quiet", "--find-links", str(dist), "latentlab-kernel")
    print(f"{seconds:.0f} s to install", flush=True)
    kernels = subprocess.run(["venv/bin/jupyter", "kernelspec", "list", "--json"], cwd=home, env=environment,
                             check=True, capture_output=True).stdout
    folder = json.loads(kernels)["kernelspecs"]["rust"]["resource_dir"]
    assert Path(folder) == home / "venv/share/jupyter/kernels/rust", folder

    print(f"{run('venv/bin/latentlab-kernel', 'setup'):.0f} s for the kernel's first start", flush=True)
    print(f"{run('venv/bin/latentlab-kernel', 'setup'):.1f} s for its second", flush=True)
    run("venv/bin/latentlab-kernel", "lessons", "lessons")
    run("venv/bin/python", "-c", LESSON, "lessons/00_start_here.ipynb")
    lab_knows_the_kernel(home, environment)


def lab_knows_the_kernel(home, environment):
    """`jupyter lab` offers Rust, and waits for its first start."""
    command = ["venv/bin/jupyter", "lab", "--no-browser", "--port=18763", "--ServerApp.port_retries=0",
               "--IdentityProvider.token=secret", "--allow-root"]
    with subprocess.Popen(command, cwd=home, env=environment, stderr=subprocess.DEVNULL) as server:
        try:
            address = "http://127.0.0.1:18763/api/kernelspecs?token=secret"
            for _ in range(60):
                try:
                    found = json.load(urllib.request.urlopen(address))
                    break
                except OSError:
                    time.sleep(1)
            else:
                raise AssertionError("JupyterLab does not answer")
            assert "rust" in found["kernelspecs"], found
        finally:
            server.terminate()
    subprocess.run(["venv/bin/python", "-c", SETTINGS], cwd=home, env=environment, check=True)


if __name__ == "__main__":
    main()
