# JupyterLab with the Rust kernel and the lessons, for one user at a time:
#
#     docker build --tag latentlab .
#     docker run --init --rm --publish 127.0.0.1:8888:8888 latentlab
#
# It is also the image of a JupyterHub on Kubernetes (examples/hub/values.yaml), and its first stage the development
# container (.devcontainer/devcontainer.json). docs/teaching.md says how, and what of this file has been run, and how.
ARG RUST=1.95.0

FROM rust:${RUST}-slim-bookworm AS tools
# Debian's security updates have other numbers.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates git python3 python3-venv \
    && rm -rf /var/lib/apt/lists/* \
    && rustup component add rust-src
# The user of Jupyter's own images. JupyterHub on Kubernetes mounts a volume over this home: nothing is installed in it.
RUN useradd --create-home --uid 1000 --shell /bin/bash jovyan \
    && install --directory --owner=jovyan --group=jovyan /opt/latentlab
# Its number, which Kubernetes compares with root's
USER 1000

FROM tools
WORKDIR /opt/latentlab
COPY --chown=jovyan:jovyan . .
# Installs everything, and shows that it works. Of the tool's build, only the program is needed.
RUN cargo latentlab run notebooks/00_start_here.ipynb --smoke --data built-in --out target/executed \
    && rm -r target/executed \
    && find target/tool -mindepth 1 -maxdepth 1 ! -name latentlab -exec rm -r {} +
# For a hub: its server for each user, in the series of the hub's own version, and links that fetch a course's notebooks.
ARG JUPYTERHUB=5.5.4
RUN .jupyter/python/bin/python -m pip install --no-cache-dir "jupyterhub==${JUPYTERHUB}" nbgitpuller==1.3.0

ENV PATH=/opt/latentlab/.jupyter/python/bin:$PATH \
    JUPYTER_PATH=/opt/latentlab/.jupyter/share/jupyter \
    JUPYTER_CONFIG_PATH=/opt/latentlab/.jupyter/config:/opt/latentlab/binder
WORKDIR /home/jovyan
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser", "--notebook-dir=/opt/latentlab/notebooks"]
