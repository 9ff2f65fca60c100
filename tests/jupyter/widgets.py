"""Tests Jupyter's widgets in the Rust kernel by messages, as a page exchanges them with it.

Run it with the Python of `.jupyter/python`, after `cargo latentlab run`. Arguments select checks, as in `kernel.py`.
"""

import contextlib
import os
import queue
import statistics
import time
import uuid

from jupyter_client import KernelManager
from kernel import NOTEBOOKS, SHARE, check

VIEW = "application/vnd.jupyter.widget-view+json"
ENDED = "These controls no longer move"
# A cell with a slider `x`, which shows its value as text.
TEXT = 'interact([slider("x", 0.0..=1.0)], |values| values.float("x").map(|x| format!("x is {x}")))?;'
# The decoder of a convolutional autoencoder, an image of 28 x 28.
DECODE = (
    "let shown = model.clone(); "
    'interact([slider("latent 1", -3.0..=3.0), slider("latent 2", -3.0..=3.0)], move |values| '
    "ImageGrid::new(&decode(&shown, &values.code())?, 1).figure())?;"
)


class Page:
    """A page of a browser: it keeps the widgets' models and the outputs as JupyterLab does."""

    def __init__(self, manager, is_later=False):
        self.is_later = is_later
        self.manager = manager
        # Each page has a session of its own.
        self.client = manager.client(session=manager.session.clone())
        self.client.session.session = uuid.uuid4().hex
        # With it, a client takes a kernel that has just been restarted for dead until its heart is heard.
        self.client.start_channels(hb=False)
        self.client.wait_for_ready(timeout=120)
        self.models, self.closed, self.outputs, self.figures, self.statuses = {}, [], {}, [], []

    def send(self, kind, content, metadata=None):
        message = self.client.session.msg(kind, content, metadata=metadata)
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def next(self, timeout=60):
        """Takes note of the next published message."""
        message = self.client.get_iopub_msg(timeout=timeout)
        self.note(message)
        return message

    def note(self, message):
        kind, content = message["msg_type"], message["content"]
        if kind == "comm_open":
            assert message["metadata"]["version"] == "2.1.0", message
            state = content["data"]["state"]
            for value in [*state.values(), *state.get("children", [])]:
                if isinstance(value, str) and value.startswith("IPY_MODEL_"):
                    assert value.removeprefix("IPY_MODEL_") in self.models, f"{value} is not open yet"
            self.models[content["comm_id"]] = state
        elif kind == "comm_msg" and content["data"]["method"] in ("update", "echo_update"):
            if content["comm_id"] in self.models:
                self.models[content["comm_id"]].update(content["data"]["state"])
        elif kind == "comm_close":
            self.closed.append(content["comm_id"])
        elif kind in ("display_data", "update_display_data"):
            name = content["transient"].get("display_id")
            # A page that is opened later does not know the displays of the cells before.
            if kind == "update_display_data" and name not in self.outputs:
                assert self.is_later, name
                return
            self.outputs[name] = content["data"]
            if name and name.endswith("-figure"):
                self.figures.append(content["data"])
        elif kind == "status":
            self.statuses.append(content["execution_state"])

    def until(self, condition, what, seconds=60):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, what
            try:
                self.next(timeout=1)
            except queue.Empty:
                pass

    def until_idle(self, request):
        while True:
            message = self.next()
            if message["msg_type"] == "status" and message["parent_header"].get("msg_id") == request:
                if message["content"]["execution_state"] == "idle":
                    return

    def start(self, code, cell="cell"):
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        return self.send("execute_request", content, {"cellId": cell})

    def reply(self, request):
        """The reply to a request, after everything that it publishes."""
        self.until_idle(request)
        while True:
            message = self.client.get_shell_msg(timeout=10)
            if message["parent_header"]["msg_id"] == request:
                return message["content"]

    def run(self, code, cell="cell"):
        reply = self.reply(self.start(code, cell))
        assert reply["status"] == "ok", (code, reply)

    def model(self, name):
        """The last model with this description."""
        return [id for id, state in self.models.items() if state.get("description") == name][-1]

    def change(self, name, state):
        """Sends what a control sends when it is moved."""
        data = {"method": "update", "state": state, "buffer_paths": []}
        return self.send("comm_msg", {"comm_id": self.model(name), "data": data})

    def text(self):
        return self.figures[-1]["text/plain"]

    def until_text(self, text):
        self.until(lambda: self.figures and self.text() == text, f"expected {text!r}, got {self.figures[-1:]}", 20)

    def states(self):
        """What a page asks for when it is opened."""
        self.send("comm_open", {"comm_id": "control", "target_name": "jupyter.widget.control", "data": {}})
        self.send("comm_msg", {"comm_id": "control", "data": {"method": "request_states"}})
        while True:
            content = self.next(timeout=4)["content"]
            if content.get("comm_id") == "control" and content["data"].get("method") == "update_states":
                return content["data"]["states"]


def comms_are_answered_also_without_widgets(page):
    reply = page.reply(page.send("comm_info_request", {"target_name": "jupyter.widget"}))
    assert reply == {"status": "ok", "comms": {}}, reply
    assert page.states() == {}
    page.until_idle(page.send("comm_open", {"comm_id": "other", "target_name": "matplotlib", "data": {}}))
    assert page.closed == ["other"], page.closed


def a_moved_slider_changes_the_figure(page):
    page.run(TEXT)
    view = [data for data in page.outputs.values() if VIEW in data][-1]
    root = page.models[view[VIEW]["model_id"]]
    assert root["_model_name"] == "VBoxModel" and len(root["children"]) == 1, root
    assert view["text/plain"] == "controls: x" and page.text() == "x is 0.5", (view, page.text())
    for value in [0.25, 0.75, 0]:
        request = page.change("x", {"value": value})
        page.until_idle(request)
        page.until_text(f"x is {value}")
    page.change("x", {"value": 1e300})
    page.until_text("x is 1")
    assert len(page.outputs) == 2, "one display for the controls, one for the figure"
    assert set(page.reply(page.send("comm_info_request", {}))["comms"]) == set(page.models)


def every_control_is_read(page):
    page.run(
        'interact([slider("a", 0.0..=1.0), int_slider("b", 1..=9), checkbox("c", true), dropdown("d", ["p", "q"]), '
        'text_input("e", "hi"), button("f")], |values| Ok::<_, Error>(format!("{} {} {} {} {} {}", values.float("a")?, '
        'values.integer("b")?, values.checked("c")?, values.text("d")?, values.text("e")?, values.clicks("f")?)))?;'
    )
    assert page.text() == "0.5 5 true p hi 0", page.text()
    page.change("a", {"value": 0.1})
    page.change("b", {"value": 7})
    page.change("c", {"value": False})
    page.change("d", {"index": 1})
    page.change("e", {"value": "é <b>"})
    page.send("comm_msg", {"comm_id": page.model("f"), "data": {"method": "custom", "content": {"event": "click"}}})
    page.until_text("0.1 7 false q é <b> 1")


def the_last_value_wins(page):
    page.run(
        'interact([slider("slow", 0.0..=1000.0)], |values| { '
        "std::thread::sleep(std::time::Duration::from_millis(100)); values.float(\"slow\") })?;"
    )
    before, start = len(page.figures), time.monotonic()
    for value in range(100):
        page.until_idle(page.change("slow", {"value": value}))
    page.until_text("99")
    assert len(page.figures) - before < 20, f"{len(page.figures) - before} figures for 100 moves"
    assert time.monotonic() - start < 5, "the figure lags behind"


def an_error_and_a_panic_are_shown(page):
    page.run(
        'interact([slider("x", -2.0..=2.0)], |values| { let x = values.float("x")?; '
        'if x < -1.0 { panic!("far {}", "left"); } if x > 1.0 { return values.float("y"); } Ok(x) })?;'
    )
    for value, text in [(2, 'Error: values: expected a control of x, got "y"'), (-2, "Panic: far left"), (1, "1")]:
        page.change("x", {"value": value})
        page.until_text(text)
    assert "latentlab-error" in page.figures[-2]["text/html"], page.figures[-2]
    page.run('println!("{}", 1 + 1);', "another")


def latencies(page, moves):
    """Seconds from a slider's message to the new figure."""
    times = []
    for number in range(moves):
        time.sleep(0.05)
        count, start = len(page.figures), time.monotonic()
        page.change("latent 1", {"value": -3 + 6 * (number + 0.5) / moves})
        page.until(lambda: len(page.figures) > count, "no figure", 10)
        times.append(time.monotonic() - start)
    assert len({figure["image/png"] for figure in page.figures[-moves:]}) > moves / 2, "the figures differ"
    percentile = statistics.quantiles(times, n=20)[-1]
    return f"median {1000 * statistics.median(times):.0f} ms, 95 % {1000 * percentile:.0f} ms"


def a_decoder_follows_the_hand_also_while_a_cell_trains(page):
    page.run(
        "let digits = Dataset::built_in_digits(1_000, 0)?; let mut model = Autoencoder::convolutional(2)?;", "setup"
    )
    page.run(DECODE, "sliders")
    idle = latencies(page, 30)
    count, start = len(page.figures), time.monotonic()
    for number in range(60):
        page.until_idle(page.change("latent 2", {"value": number / 60}))
        time.sleep(1 / 100)
    rate = (len(page.figures) - count) / (time.monotonic() - start)
    request = page.start("let history = train_ae(&mut model, &digits, &TrainConfig::new().epochs(100_000))?;", "train")
    page.until(lambda: any("epoch" in data.get("text/plain", "") for data in page.outputs.values()), "no progress")
    training = latencies(page, 30)
    page.until_idle(page.change("latent 2", {"value": 0.5}))
    # The kernel is still busy with the cell, and says so after each answer.
    page.until(lambda: page.statuses[-1] == "busy", "idle while a cell runs", 5)
    page.manager.interrupt_kernel()
    assert page.reply(request)["status"] == "ok", "the training stops"
    print(f"        to a new image: idle {idle}, {rate:.0f} a second; training {training}")


def a_live_view_shows_the_weights_while_a_cell_trains(page):
    page.run("let mut trained = Autoencoder::tiny(2)?; let live = trained.live();", "live")
    sum_of = lambda model: f'{model}.decoder().weights("1.weight").map(|weights| format!("{{:?}}", weights.sum()))'
    page.run(f'interact([slider("any", 0.0..=1.0)], move |_| {sum_of("live.model()")})?;', "sum")
    before = set(page.outputs)
    request = page.start("let _ = train_ae(&mut trained, &digits, &TrainConfig::new().epochs(100_000))?;", "train it")
    page.until(lambda: page.outputs.keys() - before, "no progress")
    seen = set()
    for number in range(10):
        count = len(page.figures)
        page.change("any", {"value": (number + 0.5) / 10})
        page.until(lambda: len(page.figures) > count, "no figure", 10)
        seen.add(page.text())
        time.sleep(0.1)
    assert len(seen) == 10, seen
    page.manager.interrupt_kernel()
    assert page.reply(request)["status"] == "ok", "the training stops"
    page.run(f'interact([slider("none", 0.0..=1.0)], move |_| {sum_of("trained")})?;', "its own")
    last = page.text()
    page.change("any", {"value": 1.0})
    page.until(lambda: page.text() == last, f"the view ends with {page.text()}, the model with {last}", 10)


def two_interacts_and_a_cell_that_runs_again(page):
    page.run(TEXT.replace('"x"', '"first"'), "one")
    page.run(TEXT.replace('"x"', '"second"'), "two")
    page.change("first", {"value": 0.1})
    page.until_text("x is 0.1")
    page.change("second", {"value": 0.2})
    page.until_text("x is 0.2")
    old, closed = page.model("first"), len(page.closed)
    page.run(TEXT.replace('"x"', '"first"'), "one")
    assert old in page.closed[closed:] and page.model("second") not in page.closed, page.closed[closed:]
    page.change("first", {"value": 0.3})
    page.until_text("x is 0.3")
    assert old not in page.states()


def a_page_that_is_opened_later_moves_the_same_widgets(page):
    page.run(TEXT, "shared")
    slider = page.model("x")
    later = Page(page.manager, is_later=True)
    states = later.states()
    later.models = {id: state["state"] for id, state in states.items()}
    root = slider.rsplit("-", 1)[0]
    assert len(later.models[root]["children"]) == 2 and len(page.models[root]["children"]) == 1
    figure = later.models[f"{root}-figure"]
    assert figure["value"].endswith("<pre>x is 0.5</pre>"), figure
    later.until_idle(later.send("comm_msg", {"comm_id": slider, "data": {"method": "update", "state": {"value": 0.9}}}))
    later.until(lambda: later.models[f"{root}-figure"]["value"].endswith("x is 0.9</pre>"), "no figure in the later page")
    page.until_text("x is 0.9")
    assert page.models[slider]["value"] == 0.9, "echoed to the first page"
    later.client.stop_channels()


def an_image_sets_the_sliders_of_a_traversal(page):
    page.run(
        "let mut small = Autoencoder::tiny(2)?; let few = digits.take(500); "
        "let _ = train_ae(&mut small, &few, &TrainConfig::new().epochs(20).batch_size(32))?;",
        "small",
    )
    page.run("traverse(&small, &few)?;", "traverse")
    latent = [page.models[page.model(name)] for name in ("latent 1", "latent 2")]
    values = lambda: [state["value"] for state in latent]
    before, count = values(), len(page.figures)
    page.change("image", {"value": 7})
    page.until(lambda: values() != before and len(page.figures) > count, "the sliders stay", 10)
    of_image, figure = values(), page.figures[-1]
    # The end that is farther away.
    end = max("min", "max", key=lambda name: abs(latent[0][name] - of_image[0]))
    page.change("latent 1", {"value": latent[0][end]})
    page.until(lambda: page.figures[-1] != figure, "no figure of the moved slider", 10)
    assert values() == [latent[0][end], of_image[1]], (values(), of_image)


def a_dead_process_leaves_the_figure_and_a_line(page):
    page.run(TEXT, "dies")
    view = [name for name, data in page.outputs.items() if VIEW in data][-1]
    # But for the box in which a page that was opened later is told.
    boxes = {id for id, state in page.models.items() if state["_model_name"] == "VBoxModel"}
    open_models = set(page.models) - set(page.closed) - boxes
    request = page.start('println!("loops"); loop {}', "loop")
    page.until(lambda: page.statuses[-1] == "busy", "not started")
    time.sleep(1)
    page.manager.interrupt_kernel()
    page.reply(request)
    assert open_models <= set(page.closed), open_models - set(page.closed)
    assert page.outputs[view]["text/plain"].startswith(ENDED) and page.text() == "x is 0.5", page.outputs[view]
    assert page.states() == {}
    page.run("use latentlab::*;", "again")
    page.run(TEXT, "again")
    view = [name for name, data in page.outputs.items() if VIEW in data][-1]
    page.manager.restart_kernel()
    page.until(lambda: page.outputs[view].get("text/plain", "").startswith(ENDED), "no line after the restart", 20)
    page.client.wait_for_ready(timeout=120)
    page.run("use latentlab::*;", "again")
    page.run(TEXT, "again")
    page.change("x", {"value": 0.125})
    page.until_text("x is 0.125")


@contextlib.contextmanager
def a_kernel():
    os.environ["JUPYTER_PATH"] = str(SHARE)
    os.environ["LATENTLAB_DATA"] = "built-in"
    manager = KernelManager(kernel_name="rust")
    manager.start_kernel(cwd=str(NOTEBOOKS))
    try:
        yield manager
    finally:
        manager.shutdown_kernel(now=True)


def main():
    with a_kernel() as manager:
        page = Page(manager)
        check(comms_are_answered_also_without_widgets, page)
        page.run("use latentlab::*;", "imports")
        for test in [
            a_moved_slider_changes_the_figure,
            every_control_is_read,
            the_last_value_wins,
            an_error_and_a_panic_are_shown,
            a_decoder_follows_the_hand_also_while_a_cell_trains,
            a_live_view_shows_the_weights_while_a_cell_trains,
            two_interacts_and_a_cell_that_runs_again,
            a_page_that_is_opened_later_moves_the_same_widgets,
            an_image_sets_the_sliders_of_a_traversal,
            a_dead_process_leaves_the_figure_and_a_line,
        ]:
            check(test, page)


if __name__ == "__main__":
    main()
