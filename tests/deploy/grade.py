"""A lesson's exercises through nbgrader: released, handed in by three students, marked by the machine.

    python3 -m venv target/nbgrader && target/nbgrader/bin/pip install nbgrader==0.9.6
    JUPYTER_PATH=$PWD/.jupyter/share/jupyter target/nbgrader/bin/python tests/deploy/grade.py [LESSON]

Started by hand. The kernel is that of `cargo lab`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat
from nbgrader.api import Gradebook

ROOT = Path(__file__).resolve().parent.parent.parent
LESSON = sys.argv[1] if len(sys.argv) > 1 else "05_denoising"


def main():
    with tempfile.TemporaryDirectory() as folder:
        course = Path(folder)
        make = [sys.executable, ROOT / "examples/nbgrader/make_course.py", course]
        subprocess.run(make, check=True)
        name = f"{LESSON}.ipynb"
        with_quick_settings(course / "source" / LESSON / name)
        nbgrader(course, "generate_assignment", LESSON)

        source, release = (course / part / LESSON / name for part in ("source", "release"))
        code = "".join(cell.source for cell in nbformat.read(release, as_version=4).cells)
        for word in ("BEGIN SOLUTION", "BEGIN HIDDEN TESTS"):
            assert word in source.read_text() and word not in code, f"{word} is in the students' copy"
        assert 'todo!("your code here")' in code, "nothing stands for the solutions"

        hand_in(course, "has_solved_all", source)
        hand_in(course, "has_done_nothing", release)
        hand_in(course, "has_changed_the_checks", release, with_harmless_checks)
        nbgrader(course, "autograde", LESSON)
        with Gradebook(f"sqlite:///{course}/gradebook.db") as book:
            scores = {}
            for submission in book.assignment_submissions(LESSON):
                checks = [grade for notebook in submission.notebooks for grade in notebook.grades
                          if grade.name.endswith("-check")]
                assert all(grade.auto_score is not None for grade in checks), "a check has no score"
                scores[submission.student.id] = [grade.auto_score / grade.max_score for grade in checks]
        print(scores)
        assert len(scores["has_solved_all"]) > 0 and set(scores["has_solved_all"]) == {1.0}
        assert set(scores["has_done_nothing"]) == {0.0} and set(scores["has_changed_the_checks"]) == {0.0}
        print("3 passed, 0 failed")


def with_quick_settings(path):
    """The values that `latentlab run --smoke` takes."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        for name, value in cell.metadata.get("latentlab", {}).get("smoke", {}).items():
            cell.source = re.sub(rf"(?m)^(let {re.escape(name)}\b[^=]*= )[^;]*;", rf"\g<1>{value};", cell.source)
    nbformat.write(notebook, path)


def nbgrader(course, *command):
    # Not the grader's own Jupyter settings, and the built-in data, which are the same everywhere.
    # nbgrader starts `alembic` from the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = {"JUPYTER_CONFIG_DIR": str(course / "config"), "LATENTLAB_DATA": "built-in", "PATH": path}
    done = subprocess.run([sys.executable, "-m", "nbgrader", *command],
                          cwd=course, env=os.environ | settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def hand_in(course, student, notebook, change=None):
    folder = course / "submitted" / student / LESSON
    folder.mkdir(parents=True)
    shutil.copy(notebook, folder)
    if change is not None:
        change(folder / notebook.name)


def with_harmless_checks(path):
    """What a student writes who would like to pass: nbgrader puts the checks back."""
    notebook = nbformat.read(path, as_version=4)
    changed = [cell for cell in notebook.cells if re.search("-check$", cell.metadata.nbgrader.grade_id)]
    assert changed
    for cell in changed:
        cell.source = "println!(\"all is well\");"
    nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
