"""Tests Jupyter's widgets in the Rust kernel with other clients than JupyterLab: VS Code, by the messages that its
extension sends, clients that do not say which cell they run, nbclient; and what is left when a process is killed.

Run it with the Python of `.jupyter/python`, after `cargo latentlab run`. Arguments select checks, as in `kernel.py`.
Executed notebooks go to `target/tmp`, where the browser's tests open them.
"""

import os
import signal

import nbformat
from kernel import NOTEBOOKS, PROJECT, alive, check, command, processes, wait_until
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from widgets import ENDED, TEXT, VIEW, Page, a_kernel

SAVED = PROJECT / "target/tmp"
FIGURE = (
    "let few = Dataset::built_in_digits(20, 0)?; "
    'interact([int_slider("images", 1..=9)], move |values| few.plot_images(values.integer("images")?))?;'
)


class Editor(Page):
    """VS Code's Jupyter extension, as in its `cellExecution.ts`, `cellExecutionMessageHandler.ts` and
    `webview-side/ipywidgets/kernel`: it shows what has one of its own requests as parent, shows a widget whose model is
    there already, and never asks the kernel for the states of widgets."""

    def __init__(self, manager):
        self.requests = set()
        super().__init__(manager)

    def send(self, *arguments, **others):
        request = super().send(*arguments, **others)
        self.requests.add(request)
        return request

    def note(self, message):
        is_output = message["msg_type"] in ("display_data", "update_display_data", "stream", "error")
        if is_output and message["parent_header"].get("msg_id") not in self.requests:
            return
        view = message["content"].get("data", {}).get(VIEW)
        assert view is None or view["model_id"] in self.models, message
        super().note(message)

    def start(self, code, cell="cell"):
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": True, "stop_on_error": False}
        return self.send("execute_request", content, {"cellId": f"vscode-notebook-cell:/a%20b.ipynb#{cell}"})

    def control(self, kind, content):
        message = self.client.session.msg(kind, content)
        self.client.control_channel.send(message)
        while True:
            reply = self.client.get_control_msg(timeout=30)
            if reply["parent_header"]["msg_id"] == message["header"]["msg_id"]:
                return reply["content"]


class Plain(Page):
    """A client that does not say which cell it runs, as nbclient and consoles."""

    def start(self, code, cell="cell"):
        return self.send("execute_request", {"code": code, "silent": False, "allow_stdin": False})


def last_view(page):
    """The display's name of the widgets that were shown last."""
    return [name for name, data in page.outputs.items() if VIEW in data][-1]


def an_editor_edits(editor):
    """What it asks while one types, also before there are widgets."""
    assert editor.reply(editor.send("comm_info_request", {"target_name": "jupyter.widget"}))["comms"] == {}
    assert editor.reply(editor.send("is_complete_request", {"code": "let a = 1;"}))["status"] == "complete"
    reply = editor.reply(editor.send("complete_request", {"code": "inter", "cursor_pos": 5}))
    assert any(match.startswith("interact(") for match in reply["matches"]), reply
    inquiry = {"code": "interact(", "cursor_pos": 8, "detail_level": 0}
    assert editor.reply(editor.send("inspect_request", inquiry))["found"]


def an_editor_moves_a_slider_and_runs_the_cell_again(editor):
    editor.run(TEXT)
    old, view = editor.model("x"), last_view(editor)
    for value in [0.25, 0.75]:
        editor.until_idle(editor.change("x", {"value": value}))
        editor.until_text(f"x is {value}")
    assert editor.models[old]["value"] == 0.75
    editor.run(TEXT)
    assert old in editor.closed and last_view(editor) != view
    editor.change("x", {"value": 0.125})
    editor.until_text("x is 0.125")
    assert old not in editor.reply(editor.send("comm_info_request", {}))["comms"]


def an_editor_runs_the_cells_behind_an_error(editor):
    """It sends them one by one, and decides itself: `stop_on_error` is false."""
    requests = [editor.start(code, code) for code in ["Autoencoder::tiny(0)?;", "1 + 1"]]
    assert [editor.reply(request)["status"] for request in requests] == ["error", "ok"]


def an_editor_moves_a_slider_during_a_training_and_stops_it(editor):
    editor.run("let digits = Dataset::built_in_digits(300, 0)?; let mut model = Autoencoder::tiny(2)?;", "data")
    request = editor.start("train_ae(&mut model, &digits, &TrainConfig::new().epochs(1_000_000))?;", "train")
    editor.until(lambda: any("epoch" in data.get("text/plain", "") for data in editor.outputs.values()), "no progress")
    editor.change("x", {"value": 0.5})
    editor.until_text("x is 0.5")
    assert editor.control("interrupt_request", {}) == {"status": "ok"}
    assert editor.reply(request)["status"] == "ok", "the training stops"
    editor.run("model.summary();", "after")
    editor.change("x", {"value": 1})
    editor.until_text("x is 1")


def without_a_cells_id_the_sliders_of_all_runs_move(editor):
    """As those of ipywidgets do, which lasts until a widget is closed."""
    plain = Plain(editor.manager)
    plain.run(TEXT)
    old, figure = plain.model("x"), list(plain.outputs)[-1]
    plain.run(TEXT)
    assert not plain.closed and plain.model("x") != old
    plain.send("comm_msg", {"comm_id": old, "data": {"method": "update", "state": {"value": 0.25}, "buffer_paths": []}})
    plain.until_text("x is 0.25")
    assert plain.outputs[figure]["text/plain"] == "x is 0.25", "the figure of the first run"
    plain.client.stop_channels()


def kill_while_a_slider_moves(page, victim):
    """Kills a process between two positions of a slider; the name of the widgets' display."""
    page.run("use latentlab::*;", "imports")
    page.run(TEXT, "killed")
    for value in range(1, 20):
        page.change("x", {"value": value / 20})
        if value == 10:
            page.until_text("x is 0.5")
            os.kill(victim(page), signal.SIGKILL)
    return last_view(page)


def descendant(page, name):
    """The process of this name behind the relay."""
    return next(pid for pid in processes(page.manager.provisioner.pid) if name in command(pid))


def cells(page):
    """The process that runs the cells: the last one down."""
    kernel = descendant(page, "evcxr_jupyter")
    return next(pid for pid in processes(kernel) if pid != kernel)


def a_killed_process_of_the_cells_leaves_the_figure_and_a_line(editor):
    view = kill_while_a_slider_moves(editor, cells)
    editor.until(lambda: editor.outputs[view]["text/plain"].startswith(ENDED), "no line", 20)
    assert editor.text().startswith("x is "), editor.text()
    assert editor.model("x") in editor.closed
    moves_again(editor)


def a_killed_kernel_leaves_the_figure_and_a_line(editor):
    view = kill_while_a_slider_moves(editor, lambda page: descendant(page, "evcxr_jupyter"))
    editor.until(lambda: editor.outputs[view]["text/plain"].startswith(ENDED), "no line", 20)
    assert editor.text().startswith("x is "), editor.text()
    wait_until(lambda: not editor.manager.is_alive(), 15, "Jupyter does not see that the kernel is dead")
    restart(editor)


def a_killed_relay_leaves_the_figure(editor):
    """Nobody can tell the pages then but Jupyter, which sees that its process has ended."""
    family = processes(editor.manager.provisioner.pid)
    kill_while_a_slider_moves(editor, lambda page: page.manager.provisioner.pid)
    assert editor.text().startswith("x is "), editor.text()
    wait_until(lambda: not editor.manager.is_alive(), 15, "Jupyter does not see that the kernel is dead")
    wait_until(lambda: not alive(family), 15, f"left behind: {alive(family)}")
    restart(editor)


def restart(page):
    page.manager.restart_kernel()
    page.client.wait_for_ready(timeout=120)
    moves_again(page)


def moves_again(page):
    page.run("use latentlab::*;", "imports")
    page.run(TEXT, "killed")
    page.change("x", {"value": 0.0625})
    page.until_text("x is 0.0625")


def nbclient_saves_the_sliders_and_the_figure():
    sources = ["use latentlab::*;", FIGURE, "Autoencoder::tiny(2)?.summary()"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
    notebook.metadata["kernelspec"] = {"name": "rust", "display_name": "Rust", "language": "rust"}
    NotebookClient(notebook, kernel_name="rust", resources={"metadata": {"path": str(NOTEBOOKS)}}).execute()
    sliders, figure = notebook.cells[1].outputs
    state = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"]["state"]
    root = state[sliders.data[VIEW]["model_id"]]
    assert [name.removeprefix("IPY_MODEL_") in state for name in root["state"]["children"]] == [True], root
    image = figure.data["image/png"].strip()
    SAVED.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, SAVED / "sliders.ipynb")
    html, _ = HTMLExporter().from_notebook_node(notebook)
    (SAVED / "sliders.html").write_text(html)
    assert image in html.replace("\n", "") and sliders.data[VIEW]["model_id"] in html
    # Saved by a client that keeps no states.
    del notebook.metadata["widgets"]
    nbformat.write(notebook, SAVED / "figure.ipynb")
    html, _ = HTMLExporter().from_notebook_node(notebook)
    assert image in html.replace("\n", "") and "controls: images" in html


def main():
    with a_kernel() as manager:
        editor = Editor(manager)
        editor.run("use latentlab::*;", "imports")
        for test in [
            an_editor_edits,
            an_editor_moves_a_slider_and_runs_the_cell_again,
            an_editor_runs_the_cells_behind_an_error,
            an_editor_moves_a_slider_during_a_training_and_stops_it,
            without_a_cells_id_the_sliders_of_all_runs_move,
            a_killed_process_of_the_cells_leaves_the_figure_and_a_line,
            a_killed_kernel_leaves_the_figure_and_a_line,
            a_killed_relay_leaves_the_figure,
        ]:
            check(test, editor)
    check(nbclient_saves_the_sliders_and_the_figure)


if __name__ == "__main__":
    main()
