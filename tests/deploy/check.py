"""The files by which others start: Dockerfile, .devcontainer, binder, the hub's values, the cluster's jobs, nbgrader's course,
workflows.

    .jupyter/python/bin/python tests/deploy/check.py

What can be said without building an image: versions that must agree do, what the files name exists, settings are those of
`cargo lab`, and shells, hadolint and actionlint (where they are installed) find no mistake. Needs what `cargo lab` installs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
import yaml

ROOT = Path(__file__).resolve().parent.parent.parent
TOOL = ROOT / "src/bin/latentlab"


def read(path):
    return (ROOT / path).read_text(encoding="utf-8")


def one(pattern, text):
    found = re.findall(pattern, text, flags=re.MULTILINE)
    assert len(found) == 1, f"{pattern!r} is there {len(found)} times"
    return found[0]


def instructions():
    """The Dockerfile's instructions, one a line, without comments."""
    lines = [line for line in read("Dockerfile").splitlines() if line.strip() and not line.startswith("#")]
    return "\n".join(lines).replace("\\\n", " ").splitlines()


def runs():
    return [line.removeprefix("RUN ") for line in instructions() if line.startswith("RUN ")]


def devcontainer():
    return json.loads(read(".devcontainer/devcontainer.json"))


def crate_version():
    return one(r'^version = "(.+)"$', read("Cargo.toml").split("\n[")[0])


def values():
    return yaml.safe_load(read("examples/hub/values.yaml"))


CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


@check
def rust_is_new_enough_for_the_kernel_and_the_same_everywhere():
    rust = one(r"^ARG RUST=(\S+)$", read("Dockerfile"))
    assert rust == one(r"^rustup default (\S+)$", read("binder/postBuild"))
    kernel = one(r'^const KERNEL_RUST: &str = "(.+)";$', (TOOL / "setup.rs").read_text())
    assert rust.startswith(f"{kernel}."), f"Rust {rust}, but the kernel is compiled with {kernel}"


@check
def python_packages_have_the_versions_that_the_setup_installs():
    installed = (TOOL / "requirements.txt").read_text().splitlines()
    lines = [line for line in read("binder/requirements.txt").splitlines() if not line.startswith("#")]
    assert lines and all(line in installed for line in lines), lines


@check
def the_hub_and_its_users_have_jupyterhub_of_one_series():
    users = one(r"^ARG JUPYTERHUB=(\S+)$", read("Dockerfile"))
    hub = one(r"\(JupyterHub (\d+\.\d+)\)", read("examples/hub/values.yaml"))
    assert users.startswith(f"{hub}."), (users, hub)


@check
def versions_are_those_of_the_crate():
    version = crate_version()
    assert values()["singleuser"]["image"]["tag"] == version
    assert one(r"^version: (\S+)$", read("CITATION.cff")) == version


@check
def jupyter_has_the_settings_of_cargo_lab():
    flags = dict(re.findall(r'"?--([A-Z]\w+\.\w+)=([^"\s]+)"', (TOOL / "lab.rs").read_text()))
    settings = json.loads(read("binder/jupyter_server_config.json"))
    for section, entries in settings.items():
        for name, value in entries.items():
            flag = flags[f"{section}.{name}"]
            assert (float(flag) if isinstance(value, (int, float)) else flag) == value, (section, name, flag, value)
    folder = one(r'^install -D -m 644 binder/jupyter_server_config\.json -t "\$environment/(\S+)"$', read("binder/postBuild"))
    with tempfile.TemporaryDirectory() as environment:
        place = Path(environment) / folder
        place.mkdir(parents=True)
        shutil.copy(ROOT / "binder/jupyter_server_config.json", place)
        command = [sys.executable, "-m", "jupyter_server", "--show-config-json"]
        used = subprocess.run(command, env=os.environ | {"JUPYTER_CONFIG_PATH": str(place)}, check=True, capture_output=True)
        used = json.loads(used.stdout)
    assert {section: used.get(section) for section in settings} == settings, used


@check
def what_the_files_name_is_there():
    container = devcontainer()
    build = container["build"]
    folder = ROOT / ".devcontainer"
    assert (folder / build["dockerfile"]).resolve() == ROOT / "Dockerfile" and (folder / build["context"]).resolve() == ROOT
    assert any(re.fullmatch(rf"FROM \S+ AS {build['target']}", line) for line in instructions())
    user = container["remoteUser"]
    assert any(f"useradd --create-home --uid 1000 --shell /bin/bash {user}" in run for run in runs())
    texts = [*runs(), read("binder/postBuild"), container["updateContentCommand"], container["postCreateCommand"]]
    # Those that the build makes are there after `cargo latentlab run`.
    paths = {path for text in texts for path in re.findall(r"(?<![\w/])(?:notebooks|binder|\.jupyter)/[\w./-]+", text)}
    paths.add("target/tool/latentlab")
    missing = [path for path in paths if not (ROOT / path).exists()]
    assert len(paths) > 5 and not missing, missing
    environment = next(line for line in instructions() if line.startswith("ENV "))
    inside = re.findall(r"/opt/latentlab/([\w./-]+)", environment)
    assert len(inside) == 4 and all((ROOT / path).is_dir() for path in inside), inside
    hook = values()["singleuser"]["lifecycleHooks"]["postStart"]["exec"]["command"][-1]
    assert "/opt/latentlab/notebooks" in hook and (ROOT / "notebooks/00_start_here.ipynb").is_file()
    assert values()["singleuser"]["defaultUrl"].endswith("latentlab/00_start_here.ipynb")


@check
def nothing_that_was_built_gets_into_the_image():
    ignored = read(".dockerignore").splitlines()
    for line in read(".gitignore").splitlines():
        assert line.startswith(("*", "!", ".ipynb", "tests/")) or line.lstrip("/") in ignored, line


@check
def shells_read_the_steps():
    steps = [*runs(), read("binder/postBuild"), devcontainer()["updateContentCommand"]]
    for step in steps:
        subprocess.run(["bash", "-n"], input=step, text=True, check=True)


CLUSTER = ROOT / "examples/cluster"
# Where `cargo test --features tool` has built the programs that the jobs run.
BUILT = ROOT / "target/debug"


def jobs():
    """The Kubernetes jobs by name, with their only container."""
    documents = [document for file in CLUSTER.glob("*.yaml") for document in yaml.safe_load_all(file.read_text())]
    found = [document for document in documents if document["kind"] == "Job"]
    return {job["metadata"]["name"]: (job["spec"], job["spec"]["template"]["spec"]["containers"][0]) for job in found}


def results(folder):
    return sorted(path.name for path in Path(folder).glob("**/fold-*.csv"))


def run_job(command, **variables):
    done = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout[-500:], done.stderr[-500:])
    return done.stdout


@check
def jobs_of_the_cluster_say_what_they_must():
    version, options = crate_version(), re.findall(r"^    (\w+): \S+,$", (TOOL / "worker.rs").read_text(), flags=re.MULTILINE)
    assert one(r"^ARG RUST=(\S+)$", read("examples/cluster/Dockerfile")) == one(r"^ARG RUST=(\S+)$", read("Dockerfile"))
    images = set()
    for name, (spec, container) in jobs().items():
        template = spec["template"]["spec"]
        images.add(container["image"])
        assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"], name
        # `backoffLimitPerIndex` wants it.
        assert template["restartPolicy"] == "Never" and spec["backoffLimitPerIndex"] > 0, name
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        assert mounts == {volume["name"] for volume in template["volumes"]}, name
        threads = next(value["value"] for value in container["env"] if value["name"] == "RAYON_NUM_THREADS")
        assert threads == container["resources"]["limits"]["cpu"], name
    assert images == {one(r"--tag (\S+) \.$", read("examples/cluster/Dockerfile"))}
    assert images.pop().endswith(f":{version}")
    folds, fold = jobs()["folds"]
    assert fold["command"][-1] == str(folds["completions"])
    last = int(one(r"^#SBATCH --array=0-(\d+)$", read("examples/cluster/folds.sbatch")))
    assert last + 1 == folds["completions"], "the same number of folds in both"
    _, worker = jobs()["tune"]
    words = " ".join([*worker["command"], *worker["args"], read("examples/cluster/tune.sbatch").split("exec", 2)[2]])
    named = re.findall(r"(?<=--)[a-z]+", words)
    assert "timeout" in named and set(named) <= set(options), (named, options)


@check
def jobs_run_with_the_index_that_a_scheduler_sets():
    if not all((BUILT / path).is_file() for path in ["latentlab", "examples/trial", "examples/folds"]):
        print("the programs of the jobs are not built: left out")
        return
    here = {"PROGRAMS": str(BUILT), "PATH": f"{BUILT}:{BUILT / 'examples'}:{os.environ['PATH']}"}
    with tempfile.TemporaryDirectory() as folder:
        slurm = here | {"SLURM_CPUS_PER_TASK": "1", "RESULTS": f"{folder}/results", "SLURM_ARRAY_TASK_COUNT": "5"}
        for index in "042":
            run_job(["bash", CLUSTER / "folds.sbatch"], **slurm, SLURM_ARRAY_TASK_ID=index)
        spec, container = jobs()["folds"]
        at = {argument: argument.replace("/study", folder, 1) for argument in container["command"]}
        for index in "13":
            run_job(list(at.values()), **here, JOB_COMPLETION_INDEX=index)
        assert len(results(folder)) == spec["completions"] == 5, results(folder)
        mean = run_job([BUILT / "examples/folds", f"{folder}/results", "5", "mean"])
        assert re.fullmatch(r"0\.\d{4} ± 0\.\d{4} over 5 folds\n", mean), mean
    with tempfile.TemporaryDirectory() as folder:
        slurm = here | {"SLURM_CPUS_PER_TASK": "1", "STUDY": f"{folder}/study.log", "TRIALS": "3"}
        first = run_job(["bash", CLUSTER / "tune.sbatch"], **slurm, SLURM_ARRAY_TASK_ID="0")
        assert "3 of 3 done" in first and "best: trial " in first, first
        _, container = jobs()["tune"]
        command = [argument.replace("/study", folder, 1) for argument in container["command"] + container["args"]]
        # One more in the same study, by the other scheduler's worker.
        command[command.index("--trials") + 1] = "4"
        second = run_job(command, **here, JOB_COMPLETION_INDEX="0")
        assert "trial 4: " in second and "4 of 4 done" in second, second


@check
def shells_read_the_jobs():
    for script in CLUSTER.glob("*.sbatch"):
        subprocess.run(["bash", "-n", script], check=True)
        settings = re.findall(r"^#SBATCH (\S+)$", script.read_text(), flags=re.MULTILINE)
        # Slurm stops reading them at the first command.
        assert len(settings) > 5 and len(settings) == script.read_text().split("set -euo")[0].count("#SBATCH"), script
        if shutil.which("shellcheck"):
            subprocess.run(["shellcheck", "--shell=bash", script], check=True)


@check
def every_lesson_is_an_assignment_in_nbgraders_format():
    with tempfile.TemporaryDirectory() as folder:
        make = [sys.executable, ROOT / "examples/nbgrader/make_course.py", folder]
        subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        lessons = [path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*_solutions.ipynb")]
        assert len(lessons) > 10
        checks = 0
        for name in (lesson.removesuffix("_solutions") for lesson in lessons):
            notebook = nbformat.read(Path(folder) / "source" / name / f"{name}.ipynb", as_version=4)
            nbformat.validate(notebook)
            cells = [cell.metadata.nbgrader for cell in notebook.cells]
            assert len({cell.grade_id for cell in cells}) == len(cells), f"{name}: a grade_id is there twice"
            assert all(("points" in cell) == cell.grade and cell.locked != cell.solution for cell in cells), name
            solved = [cell.source for cell in notebook.cells if cell.metadata.nbgrader.solution and cell.cell_type == "code"]
            assert solved and all("// BEGIN SOLUTION\n" in source for source in solved), name
            checks += sum("// BEGIN HIDDEN TESTS\n" in cell.source for cell in notebook.cells)
        assert checks > 10, checks


@check
def the_crate_has_all_sources_and_lessons_and_is_small_enough_for_crates_io():
    package = ["cargo", "package", "--locked", "--no-verify", "--allow-dirty", "--quiet"]
    listed = set(subprocess.run([*package, "--list"], cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n"))
    wanted = [*(ROOT / "src").rglob("*.*"), *(ROOT / "notebooks").glob("*.*"), ROOT / "Cargo.lock"]
    left_out = {path.relative_to(ROOT).as_posix() for path in wanted if path.is_file()} - listed
    assert len(wanted) > 200 and not left_out, left_out
    assert "data/README.md" not in listed, "the library would take the registry's folder for the project"
    subprocess.run(package, cwd=ROOT, check=True, capture_output=True)
    size = (ROOT / f"target/package/latentlab-{crate_version()}.crate").stat().st_size
    assert size < 10_000_000, f"{size} bytes"


@check
def workflows_are_yaml():
    files = list((ROOT / ".github/workflows").glob("*.yml"))
    assert len(files) >= 3 and all(yaml.safe_load(file.read_text())["jobs"] for file in files)


@check
def linters_find_nothing():
    for command in (["hadolint", "Dockerfile", "examples/cluster/Dockerfile"], ["actionlint"]):
        if shutil.which(command[0]):
            subprocess.run(command, cwd=ROOT, check=True)
        else:
            print(f"{command[0]} is not installed: left out")


def main():
    failed = 0
    for function in CHECKS:
        name = function.__name__.replace("_", " ")
        try:
            function()
            print(f"ok      {name}")
        except Exception as error:
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {error}")
    print(f"{len(CHECKS) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
