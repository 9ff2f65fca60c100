"""The Rust kernel of latentlab for Jupyter: the kernel's programs, the library's sources and the lessons.

For Jupyter's server it is an extension that does nothing but set what the kernel needs: time for its first start, and room
for figures.
"""

import json
from pathlib import Path


def _jupyter_server_extension_points():
    return [{"module": __name__}]


def _link_jupyter_server_extension(server):
    """Before the server makes what is set here. What the user has set stays."""
    from traitlets.config import Config

    settings = json.loads((Path(__file__).parent / "jupyter_server_config.json").read_text())
    for section, entries in settings.items():
        server.update_config(Config({section: entries | dict(server.config.get(section, {}))}))


def _load_jupyter_server_extension(server):
    """There is nothing to load; Jupyter asks for it."""
