"""A class on one machine: JupyterHub, with an installation of latentlab that all users share (docs/hub.md).

    jupyterhub --config jupyterhub_config.py

Run by root: the users are those of the system, and what a user starts runs as himself.
"""

import os
import pwd
import subprocess

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
    # A kernel without a browser ends after an hour, and a server without a kernel after another.
    "--MappingKernelManager.cull_idle_timeout=3600",
    "--MappingKernelManager.cull_interval=300",
    "--ServerApp.shutdown_no_activity_timeout=3600",
]
# Many arrive at the same time.
c.JupyterHub.concurrent_spawn_limit = 10
c.Spawner.start_timeout = 300
c.Spawner.http_timeout = 300


def lessons(spawner):
    """Copies the lessons into the user's home, as the user; what is there stays."""
    user = pwd.getpwnam(spawner.user.name)
    subprocess.run(
        [f"{PREFIX}/bin/latentlab", "lessons", f"{user.pw_dir}/latentlab"],
        cwd=user.pw_dir,
        user=user.pw_uid,
        group=user.pw_gid,
        extra_groups=[],
        check=True,
        capture_output=True,
    )


c.Spawner.pre_spawn_hook = lessons
