"""A class on one machine: JupyterHub, with an installation of latentlab that all users share (docs/hub.md).

    jupyterhub --config jupyterhub_config.py

Run by root: the users are those of the system, and what a user starts runs as himself.
"""

import os
import pwd
import subprocess
from pathlib import Path

# What `latentlab setup --prefix` has made, with JupyterHub in its Python.
PREFIX = os.environ.get("LATENTLAB_PREFIX", "/opt/latentlab")

c = get_config()  # noqa: F821

c.JupyterHub.spawner_class = "jupyterhub.spawner.LocalProcessSpawner"
# Behind a web server with a certificate.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"

# With the password of the system, for the members of a group.
c.JupyterHub.authenticator_class = "jupyterhub.auth.PAMAuthenticator"
c.PAMAuthenticator.allowed_groups = {"students"}

# By its module: the programs in `bin` name the folder that they were installed in, which may have been moved.
c.Spawner.cmd = [f"{PREFIX}/python/bin/python", "-m", "jupyterhub.singleuser"]
c.Spawner.notebook_dir = "~"
c.Spawner.default_url = "/lab/tree/latentlab/00_start_here.ipynb"
c.Spawner.environment = {
    "JUPYTER_PATH": f"{PREFIX}/share/jupyter",
    "JUPYTER_CONFIG_PATH": f"{PREFIX}/config",
    # As many threads for each user; by default, one for each core of the machine.
    "RAYON_NUM_THREADS": "2",
    # No second kernel waits in memory.
    "LATENTLAB_SPARE_KERNEL": "0",
}
# The folder with MNIST and Fashion-MNIST, once for all. Without it, each user's kernel downloads its own.
if "LATENTLAB_DATA" in os.environ:
    c.Spawner.environment["LATENTLAB_DATA"] = os.environ["LATENTLAB_DATA"]
c.Spawner.args = [
    # Files, to which no other user can connect. To a port, which is Jupyter's default, every user of the machine can, and
    # the one for what cells print asks for no key.
    "--KernelManager.transport=ipc",
    # A kernel without a browser ends after an hour, and a server without a kernel after another.
    "--MappingKernelManager.cull_idle_timeout=3600",
    "--MappingKernelManager.cull_interval=300",
    "--ServerApp.shutdown_no_activity_timeout=3600",
]
# Many arrive at the same time.
c.JupyterHub.concurrent_spawn_limit = 10
c.Spawner.start_timeout = 300
c.Spawner.http_timeout = 300


# The name of a socket has at most 107 bytes, too few in a long home; and some network's file systems have no sockets.
RUNTIME = Path("/run/latentlab")


def prepare(spawner):
    """Makes the folder of the user's sockets, and copies the lessons into his home, as he; what is there stays."""
    user = pwd.getpwnam(spawner.user.name)
    RUNTIME.mkdir(mode=0o755, exist_ok=True)
    runtime = RUNTIME / str(user.pw_uid)
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.chown(runtime, user.pw_uid, user.pw_gid)
    spawner.environment = {**spawner.environment, "JUPYTER_RUNTIME_DIR": str(runtime)}
    subprocess.run(
        [f"{PREFIX}/bin/latentlab", "lessons", f"{user.pw_dir}/latentlab"],
        cwd=user.pw_dir,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        check=True,
        capture_output=True,
    )


c.Spawner.pre_spawn_hook = prepare
