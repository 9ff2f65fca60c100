"""Makes a course for nbgrader of the lessons' questions and exercises: an assignment a lesson.

    python3 examples/nbgrader/make_course.py COURSE

writes COURSE/nbgrader_config.py and COURSE/source/NN_name/NN_name.ipynb, an instructor's version with solutions, checks
and points. `nbgrader generate_assignment` makes the students' version of it. Needs Python 3.10 and nothing else.
"""

import json
import re
import shutil
import sys
from pathlib import Path

from checks import CHECKS

HERE = Path(__file__).resolve().parent
NOTEBOOKS = HERE.parent.parent / "notebooks"
# The points of a question, of a text or a figure that the teacher marks, and of a check.
QUESTION, BY_HAND, BY_CHECK = 1, 2, 2


def cells_of(name):
    content = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
    return [(cell["cell_type"], "".join(cell["source"]), cell["metadata"]) for cell in content["cells"]]


def cell(kind, source, grade_id=None, points=None, solution=False, metadata=None):
    """A cell; with `grade_id`, in nbgrader's format. What is not the student's to write is locked."""
    metadata = dict(metadata or {})
    if grade_id is not None:
        graded = points is not None
        metadata["nbgrader"] = {
            "grade": graded,
            "grade_id": grade_id,
            "locked": not solution,
            "schema_version": 3,
            "solution": solution,
            "task": False,
        }
        if graded:
            metadata["nbgrader"]["points"] = points
    made = {"cell_type": kind, "id": None, "metadata": metadata, "source": source.strip("\n").splitlines(keepends=True)}
    if kind == "code":
        made |= {"execution_count": None, "outputs": []}
    return made


def numbered(text):
    """The entries of a numbered list."""
    return [entry.strip() for entry in re.split(r"^\d+\. ", text, flags=re.MULTILINE)[1:]]


def part(cells, heading):
    """The text below a heading, to the next one or the cell's end."""
    text = "\n\n".join(source for kind, source, _ in cells if kind == "markdown")
    return re.search(rf"^## {heading}\n(.*?)(?=^## |^Solutions: |\Z)", text, flags=re.MULTILINE | re.DOTALL).group(1)


def exercises_of(cells):
    """The cells before the first exercise, and those of each exercise."""
    before, exercises = [], []
    for kind, source, metadata in cells:
        pieces = [source]
        if kind == "markdown":
            pieces = [piece for piece in re.split(r"^(?=## \d)", source, flags=re.MULTILINE) if piece.strip()]
        for piece in pieces:
            if heading := re.match(r"## \d+\. .*\n*", piece):
                exercises.append([])
                piece = piece[heading.end() :]
            if piece.strip():
                (exercises[-1] if exercises else before).append((kind, piece, metadata))
    return before, exercises


def region(code, before=None):
    """Code that only the instructor's version has. `before` is given to the student."""
    given = ""
    if before is not None:
        code = code.replace(before, "", 1)
        given = before + "\n"
    return f"{given}// BEGIN SOLUTION\n{code.strip()}\n// END SOLUTION"


def assignment(name):
    lesson, solutions = cells_of(name), cells_of(f"{name}_solutions")
    title = lesson[0][1].splitlines()[0]
    before, solved = exercises_of(solutions)
    tasks, checks = numbered(part(lesson, "Exercises")), CHECKS.get(name, {})
    assert len(tasks) == len(solved), f"{name}: {len(tasks)} exercises, {len(solved)} solutions"
    questions, answers = numbered(part(lesson, "Questions")), part(solutions, "Questions").strip()
    assert len(questions) == len(numbered(answers)), f"{name}: {len(questions)} questions"

    listed = "\n".join(f"{number}. {question}" for number, question in enumerate(questions, 1))
    made = [
        cell("markdown", f"{title}: exercises\n\nWork through the lesson first. Each exercise tells what to call the "
             "results that are checked. Run everything from the top before you hand it in.", "title"),
        cell("markdown", f"## Questions\n\n{listed}", "questions"),
        cell("markdown", answers, "answers", QUESTION * len(questions), solution=True),
        cell("markdown", "## Exercises\n\nWhat they start from.", "start"),
    ]
    setup = 0
    for kind, source, metadata in before:
        if kind == "code":
            setup += 1
            made.append(cell(kind, source, f"setup-{setup}", metadata=metadata))
    for number, (task, solution) in enumerate(zip(tasks, solved), 1):
        check = checks.get(number)
        names = f"\n\n{check['names']}" if check else ""
        made.append(cell("markdown", f"### {number}. {task}{names}", f"exercise-{number}"))
        code = [(source, metadata) for kind, source, metadata in solution if kind == "code"]
        if check and "solution" in check:
            code = [(check["solution"], {})]
        for index, (source, metadata) in enumerate(code, 1):
            points = BY_HAND if not check and index == len(code) else None
            before = check.get("before") if check else None
            grade_id = f"exercise-{number}-code-{index}"
            made.append(cell("code", region(source, before), grade_id, points, solution=True, metadata=metadata))
        if check:
            made.append(cell("code", check["test"], f"exercise-{number}-check", BY_CHECK))
        text = "\n\n".join(source.strip() for kind, source, _ in solution if kind == "markdown")
        if text and not task.startswith("*Fix.*"):
            made.append(cell("markdown", text, f"exercise-{number}-text", BY_HAND, solution=True))
    for index, each in enumerate(made):
        each["id"] = f"cell-{index}"
    rust = {
        "kernelspec": {"display_name": "Rust", "language": "rust", "name": "rust"},
        "language_info": {"file_extension": ".rs", "name": "rust", "pygments_lexer": "rust"},
    }
    return {"cells": made, "metadata": rust, "nbformat": 4, "nbformat_minor": 5}


def lessons():
    return sorted(path.stem for path in NOTEBOOKS.glob("[0-9][0-9]_*.ipynb") if path.stem[:2] != "00" and not
                  path.stem.endswith("_solutions"))


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__.strip())
    course = Path(sys.argv[1])
    for name in lessons():
        folder = course / "source" / name
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(assignment(name), ensure_ascii=False, indent=1)
        (folder / f"{name}.ipynb").write_text(text + "\n", encoding="utf-8")
    shutil.copy(HERE / "nbgrader_config.py", course)
    print(f"{len(lessons())} assignments in {course / 'source'}")


if __name__ == "__main__":
    main()
