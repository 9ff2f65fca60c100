"""Tests the Rust kernel behind its relay, as a client of Jupyter.

Run it with the Python of `.jupyter/python`, after `cargo latentlab run`. Each check prints a line; the first failure
ends the program with an error. Arguments select the checks whose names contain one of them. With
`--endurance CELLS INTERRUPTS RESTARTS` it prints the resources of the kernel before and after as many cells, interrupts
and restarts instead.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import hostile
import nbformat
from jupyter_client import BlockingKernelClient, KernelManager
from jupyter_client.connect import write_connection_file

PROJECT = Path(__file__).resolve().parents[2]
NOTEBOOKS = PROJECT / "notebooks"
JUPYTER = PROJECT / ".jupyter"
SHARE = JUPYTER / "share/jupyter"
OUTPUTS = ("display_data", "update_display_data", "execute_result", "stream", "error")
# The message to the user.
LOST = "all variables are lost"


class Session:
    """A client of a kernel."""

    def __init__(self, manager):
        self.manager = manager
        self.client = manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=120)

    def reply(self, request, timeout=60):
        while True:
            message = self.client.get_shell_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") == request:
                return message["content"]

    def run(self, code, on_output=None, timeout=120):
        """The reply to a cell and its outputs in order, each with its time since the start."""
        start = time.monotonic()
        request = self.client.execute(code)
        outputs = []
        while True:
            message = self.client.get_iopub_msg(timeout=timeout)
            if message["parent_header"].get("msg_id") != request:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind in OUTPUTS:
                outputs.append((kind, content, time.monotonic() - start))
                if on_output:
                    on_output(outputs)
            if kind == "status" and content["execution_state"] == "idle":
                return self.reply(request), outputs

    def ok(self, code):
        reply, outputs = self.run(code)
        assert reply["status"] == "ok", (code, reply["evalue"])
        return outputs

    def text(self, code):
        return printed(self.ok(code))


def printed(outputs):
    """The text that the cell has printed, and its value."""
    text = ""
    for kind, content, _ in outputs:
        text += content["text"] if kind == "stream" else content.get("data", {}).get("text/plain", "")
    return text


def processes(pid):
    """A process and its descendants."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    children = {}
    for line in listing.splitlines():
        child, parent = map(int, line.split())
        children.setdefault(parent, []).append(child)
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def alive(pids):
    """Those that run and are no zombies."""
    listing = subprocess.run(["ps", "-eo", "pid=,stat="], capture_output=True, text=True, check=True).stdout
    there = {int(pid) for pid, state in map(str.split, listing.splitlines()) if not state.startswith("Z")}
    return [pid for pid in pids if pid in there]


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.1)


def all_figures_appear_at_once(session):
    outputs = session.ok(
        'for power in 1..=3 { LineChart::new("x", "y").line("a", &[0.0, f64::from(power)]).figure()?.show()?; '
        'println!("after {power}"); std::thread::sleep(std::time::Duration::from_millis(300)); } digits.plot_images(5)?'
    )
    kinds = [("figure" if kind != "stream" else content["text"].strip()) for kind, content, _ in outputs]
    assert kinds == ["figure", "after 1", "figure", "after 2", "figure", "after 3", "figure"], kinds
    times = [at for kind, _, at in outputs if kind != "stream"]
    assert times[2] - times[0] > 0.5, f"the figures came together: {times}"


def all_messages_are_of_one_session(session):
    """Else JupyterLab drops what it has not handled yet, such as the models of widgets."""
    request = session.client.execute("digits.plot_images(5)?")
    messages = [session.client.get_shell_msg(timeout=60)]
    while messages[-1]["content"].get("execution_state") != "idle":
        message = session.client.get_iopub_msg(timeout=60)
        messages += [message] if message["parent_header"].get("msg_id") == request else []
    assert "display_data" in {message["msg_type"] for message in messages}, messages
    assert len({message["header"]["session"] for message in messages}) == 1, messages


def the_debug_text_of_a_displayed_figure_is_not_printed(session):
    for code in ["let few = digits.plot_images(5)?; row([few])", "let few = digits.plot_images(5)?; Some(few)"]:
        kinds = [(kind, *sorted(content["data"])) for kind, content, _ in session.ok(code)]
        text = [("execute_result", "text/plain")] if "Some" in code else []
        assert kinds == [("display_data", "image/png"), *text], kinds


def a_training_updates_one_output(session):
    reply, outputs = session.run(
        "let history = train_ae(&mut model, &digits, &TrainConfig::new().epochs(400).batch_size(32))?;"
    )
    assert reply["status"] == "ok", reply
    kinds = [kind for kind, _, _ in outputs]
    assert kinds[0] == "display_data" and set(kinds[1:]) == {"update_display_data"}, kinds
    names = {content["transient"]["display_id"] for _, content, _ in outputs}
    assert len(names) == 1, names
    assert len(outputs) > 3, f"only {len(outputs)} updates"
    seconds = outputs[-1][2] - outputs[0][2]
    assert len(outputs) - 2 <= 5 * seconds + 1, f"{len(outputs)} states in {seconds:.1f} s"
    last = outputs[-1][1]["data"]
    assert "epoch 400/400" in last["text/plain"], last
    assert "<svg" in last["text/html"] and "width: 100.0%" in last["text/html"], last


def other_runs_show_progress(session):
    runs = {
        "KL divergence": "let map = tsne(&embed(&model, &digits)?, &Tsne::new())?;",
        "3/3 folds": "for (part, _) in digits.folds(3, 0)? { let _ = part.len(); };",
        "3/3 done, best": 'let study = Study::minimize(Space::new().float("x", 0.0, 1.0))?.trials(3); '
        'while let Some(trial) = study.ask()? { let x = trial.float("x")?; study.tell(trial, x)?; };',
        "discriminator": "let mut gan = Gan::convolutional(8)?; "
        "let gan_history = train_gan(&mut gan, &digits.take(200), &GanConfig::new().epochs(1))?;",
    }
    for words, code in runs.items():
        last = session.ok(code)[-1][1]["data"]
        assert words in last["text/plain"], (words, last["text/plain"])
        assert ("<img" in last["text/html"]) == (words == "discriminator"), last["text/html"][:500]


def the_stop_button_keeps_the_variables(session):
    def press(outputs):
        if len(outputs) == 4:
            session.manager.interrupt_kernel()

    for code in [
        "let stopped = train_ae(&mut model, &digits, &TrainConfig::new().epochs(1_000_000))?;",
        "let endless = tsne(&embed(&model, &digits)?, &Tsne::new().iterations(100_000_000))?;",
        'let search = Study::minimize(Space::new().float("rate", 1e-5, 1e-3))?.trials(1_000_000); '
        "while let Some(trial) = search.ask()? { let config = TrainConfig::new().epochs(30).progress_every(0)"
        '.learning_rate(trial.float("rate")?); '
        "let loss = train_ae(&mut Autoencoder::tiny(2)?, &digits, &config)?.final_loss(); "
        "search.tell(trial, loss)?; };",
        "let mut network = Sequential::input([1, 28, 28]).flatten().dense(8).relu().dense(784).build()?; "
        "let mut adam = Optimizer::adam().init(0.001)?; let mut steps = 0u64; "
        "loop { let step = Step::new(steps); if step.should_stop() { break; } let x = step.input(digits.images()); "
        "let loss = network.forward(&x).mean_squared_error(&x.flatten()); "
        'adam.minimize(step, [loss], &mut network)?; steps += 1; println!("step {steps}"); };',
    ]:
        reply, outputs = session.run(code, press)
        assert reply["status"] == "ok", (code, reply)
        assert LOST not in printed(outputs), printed(outputs)
        time.sleep(0.1)
    text = session.text(
        'println!("{:?} {} {} {} {}", stopped.stopped_by, history.epochs(), endless.iterations() > 0, '
        "search.records().len() > 1, steps > 0 && adam.steps() == steps);"
    )
    assert text == "Some(Handle) 400 true true true\n", text
    text = session.text("train_ae(&mut model, &digits, &TrainConfig::new().epochs(2))?.epochs()")
    assert text.endswith("2"), text


def an_error_fails_the_cell(session):
    for code, words in [
        ("Autoencoder::tiny(0)?;", "expected"),
        ('panic!("a panic {}", 42);', "a panic 42"),
        ("Autoencoder::tny(2)", "no function or associated item named `tny`"),
    ]:
        reply, outputs = session.run(code)
        assert reply["status"] == "error", (code, reply)
        shown = "\n".join(line for kind, content, _ in outputs if kind == "error" for line in content["traceback"])
        assert words in shown, (words, shown)
        assert session.text("history.epochs()") == "400"


def cells_that_wait_behind_an_error_are_aborted(session):
    requests = [session.client.execute(code) for code in ["Autoencoder::tiny(0)?;", 'println!("not run");', "1 + 1"]]
    states = [session.reply(request)["status"] for request in requests]
    assert states == ["error", "aborted", "aborted"], states


def completion_and_documentation_work(session):
    matches = session.reply(session.client.complete("Autoenc"))["matches"]
    assert "Autoencoder" in matches, matches
    found = session.reply(session.client.inspect("train_ae(", 8))
    assert found["found"] and "Errors" in json.dumps(found["data"]), found
    assert session.reply(session.client.kernel_info())["language_info"]["name"] == "Rust"
    for before in ["// 👨‍👩‍👧 e\u0301\n", 'let a = "👨‍👩‍👧";\r\n', "// é お\n"]:
        reply = session.reply(session.client.complete(before + "Autoenc"))
        assert "Autoencoder" in reply["matches"], (before, reply)
        assert (reply["cursor_start"], reply["cursor_end"]) == (len(before), len(before) + 7), (before, reply)


def nothing_is_lost_or_reordered(session):
    start = time.monotonic()
    outputs = session.ok('for line in 0..50_000 { println!("line {line}"); };')
    lines = printed(outputs).splitlines()
    assert lines == [f"line {line}" for line in range(50_000)], f"{len(lines)} lines"
    displays = session.ok(
        'let large = "x".repeat(20_000); for number in 0..3_000 { '
        'jupyter::display(&[("text/plain", &format!("{number} {large}"))]); '
        'if number % 10 == 0 { println!("after {number}"); } };'
    )
    expected = []
    for number in range(3_000):
        expected.append(f"{number} " + "x" * 20_000)
        if number % 10 == 0:
            expected.append(f"after {number}")
    got = [
        content["text"].strip() if kind == "stream" else content["data"]["text/plain"] for kind, content, _ in displays
    ]
    assert got == expected, f"{len(got)} of {len(expected)} outputs"
    huge = session.ok('jupyter::display(&[("text/html", &"y".repeat(30_000_000))]); println!("after");')
    assert [kind for kind, _, _ in huge] == ["display_data", "stream"]
    assert len(huge[0][1]["data"]["text/html"]) == 30_000_000
    seconds = time.monotonic() - start
    print(f"        50,000 lines in {len(outputs)} messages, 3,300 outputs of 60 MB, one of 30 MB: {seconds:.1f} s")


def everything_printed_is_text(session):
    """Without a newline, binary, from other processes, and in the form of evcxr's own markers."""
    marks = "EVCXR_EXECUTION_COMPLETE EVCXR_PANIC_NOTIFICATION EVCXR_ERROR_OCCURRED".split()
    marks.append("EVCXR_VARIABLE_CHANGED_TYPE:history")
    for code, expected in [
        ('print!("unfinished");', "unfinished"),
        ('print!("flushed"); std::io::Write::flush(&mut std::io::stdout())?;', "flushed"),
        ('std::io::Write::write_all(&mut std::io::stdout(), b"caf\\xe9\\n")?;', "caf\ufffd\n"),
        ('println!("\\u{1}latentlab {{\\"content\\": 5}}");', '\x01latentlab {"content": 5}\n'),
        ("; ".join(f'println!("{mark}")' for mark in marks) + "; let kept = 7;", "\n".join(marks) + "\n"),
        ('println!("EVCXR_BEGIN_CONTENT text/html\\n<b>");', "EVCXR_BEGIN_CONTENT text/html\n<b>\n"),
        ('println!("EVCXR_INPUT_REQUEST:name");', "EVCXR_INPUT_REQUEST:name\n"),
        ('std::process::Command::new("echo").arg("a child").status()?;', "a child\n"),
        ('let mut line = String::new(); println!("{}", std::io::stdin().read_line(&mut line)?);', "0\n"),
        ('print!("before "); 1 + 1', "before 2"),
        ('println!("{kept} {}", history.epochs());', "7 400\n"),
    ]:
        text = session.text(code)
        assert text == expected, (code, text)
    kinds = [kind for kind, _, _ in session.ok('print!("before "); digits.plot_images(5)?')]
    assert kinds == ["stream", "display_data"], kinds


def an_error_after_text_without_a_newline_is_found(session):
    for code in ["Autoencoder::tiny(0)?;", 'panic!("x");', "let a: Vec<u8> = vec![]; a[1];"]:
        reply, outputs = session.run(f'print!("checking "); {code}')
        assert reply["status"] == "error", (code, reply)
        assert printed(outputs) == "checking ", printed(outputs)
        assert [kind for kind, _, _ in outputs] == ["stream", "error"], outputs
    assert session.text('println!("next");') == "next\n"


def large_outputs_are_complete(session):
    start = time.monotonic()
    for size in [1_000_000] * 15 + [10_000_000] * 3 + [100_000_000]:
        text = session.text(f'print!("{{}}", "x".repeat({size}));')
        assert len(text) == size, f"{len(text)} of {size} bytes"
    print(f"        145 MB printed: {time.monotonic() - start:.1f} s")


def threads_that_print_block_nothing(session):
    """One prints a thousand lines a second to the standard error, the other prints without a pause."""
    # Variables, because each cell has its own statics.
    session.ok(
        "use std::sync::{Arc, atomic::{AtomicBool, Ordering}}; "
        "let lines_go = Arc::new(AtomicBool::new(true)); let flood_goes = Arc::new(AtomicBool::new(true)); "
        "let go = lines_go.clone(); let lines = std::thread::spawn(move || while go.load(Ordering::Relaxed) { "
        'eprintln!("w"); std::thread::sleep(std::time::Duration::from_millis(1)); }); '
        "let go = flood_goes.clone(); let flood = std::thread::spawn(move || while go.load(Ordering::Relaxed) { "
        'println!("{}", "y".repeat(1_000)); });'
    )
    for _ in range(3):
        # If a thread prints after the value, it becomes a display_data message instead of the result.
        outputs = session.ok("1 + 1")
        value = [content["data"] for kind, content, _ in outputs if kind in ("execute_result", "display_data")]
        assert value == [{"text/plain": "2"}], value
    session.ok("flood_goes.store(false, Ordering::Relaxed); let _ = flood.join();")
    bars = []

    def press(outputs):
        if outputs[-1][0] != "stream":
            bars.append(outputs[-1])
            if len(bars) == 2:
                session.manager.interrupt_kernel()

    reply, _ = session.run("let _ = train_ae(&mut model, &digits, &TrainConfig::new().epochs(1_000_000))?;", press)
    assert reply["status"] == "ok", reply
    session.ok("lines_go.store(false, Ordering::Relaxed); let _ = lines.join();")
    assert session.text('println!("quiet");') == "quiet\n"


def a_failed_cell_names_the_variables_that_are_lost(session):
    session.ok("let mut scratch = Autoencoder::tiny(2)?; let other = 1;")
    reply, outputs = session.run("let mut scratch = Autoencoder::tiny(3)?; Autoencoder::tiny(0)?;")
    assert reply["status"] == "error" and "Lost with this cell: `scratch`" in printed(outputs), printed(outputs)
    reply, outputs = session.run("let unknown_word = not_there;")
    assert reply["status"] == "error" and "Lost" not in printed(outputs), printed(outputs)
    assert session.text('println!("{other}");') == "1\n"
    session.ok("struct Point; let point = Point;")
    text = session.text('struct Point { x: u8 } println!("{other} again");')
    assert "point" in text and "1 again" in text, text
    # All this in the library's store of variables, which cells have in place of evcxr's.
    cells = sorted(JUPYTER.glob("build/slot*/ctx/src/lib.rs"), key=lambda path: path.stat().st_mtime)
    assert "use ::latentlab::jupyter::variables as evcxr_internal_runtime;" in cells[-1].read_text(), cells[-1]


def cells_are_counted_from_one_without_gaps(session):
    counts = [session.run(code)[0]["execution_count"] for code in ["1", "Autoencoder::tiny(0)?;", "2"]]
    assert counts[1] == counts[0] + 1 and counts[2] == counts[0] + 2, counts


DEATHS = {
    "abort": "std::process::abort();",
    "exit": "std::process::exit(3);",
    "stack overflow": "fn deep(n: u64) -> u64 { if n == u64::MAX { 0 } else { "
    "std::hint::black_box(deep(std::hint::black_box(n + 1))) + 1 } } deep(0);",
    # More than the 128 TiB of addresses that a process has.
    "no memory": "std::hint::black_box(Vec::<u8>::with_capacity(1 << 47));",
    "killed": "std::process::Command::new(\"kill\").args([\"-9\", &std::process::id().to_string()]).status()?;",
}


def after_the_cell_process_dies_the_next_cell_works(session):
    for name, code in DEATHS.items():
        session.ok("let model = 1;")
        reply, outputs = session.run(f'println!("last words of {name}"); {code}')
        text = printed(outputs)
        assert reply["status"] == "error", (name, reply)
        assert f"last words of {name}" in text and LOST in text and "model" in text, (name, text)
        failures = [('panic!("a panic {}", 1);', "a panic 1"), ("latentlab::Autoencoder::tiny(0)?;", "expected")]
        for code, words in failures:
            reply, outputs = session.run(code)
            contents = json.dumps([content for _, content, _ in outputs])
            assert reply["status"] == "error" and words in contents, (name, outputs)
        assert session.text('println!("here");') == "here\n"
    session.ok(
        "let model = 1; std::thread::spawn(|| { std::thread::sleep(std::time::Duration::from_millis(300)); "
        "std::process::abort() });"
    )
    time.sleep(2)
    text = session.text('println!("here");')
    assert LOST in text and "model" in text and text.endswith("here\n"), text


def other_code_is_interrupted(session):
    def press(outputs):
        if len(outputs) == 2:
            session.manager.interrupt_kernel()

    code = "let mut number = 0u64; loop { number += 1; if number % 100_000_000 == 0 { println!(\"{number}\"); } }"
    _, outputs = session.run(code, press)
    assert LOST in printed(outputs), printed(outputs)
    assert session.text('println!("here");') == "here\n"
    reply, _ = session.run("history.epochs()")
    assert reply["status"] == "error", reply


def a_second_interrupt_kills_the_run(session):
    session.ok("use latentlab::*; let digits = Dataset::built_in_digits(300, 0)?; let kept = 1;")

    def press(outputs):
        if len(outputs) == 2:
            session.manager.interrupt_kernel()
            time.sleep(0.3)
            session.manager.interrupt_kernel()

    # Each training can be stopped, but the loop around them continues for ever.
    code = "loop { train_ae(&mut Autoencoder::tiny(2)?, &digits, &TrainConfig::new().epochs(5))?; }"
    _, outputs = session.run(code, press)
    assert LOST in printed(outputs), printed(outputs)
    assert session.text('println!("here");') == "here\n"


def jupyter_notices_a_dead_kernel(session):
    kernels = [pid for pid in processes(session.manager.provisioner.pid) if "evcxr_jupyter" in command(pid)]
    assert kernels, "the kernel behind the relay is not there"
    family = processes(session.manager.provisioner.pid)
    for pid in kernels:
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not session.manager.is_alive(), 15, "Jupyter does not see that the kernel is dead")
    wait_until(lambda: not alive(family), 15, f"left behind: {alive(family)}")


def a_shutdown_of_the_kernel_before_is_ignored():
    """Jupyter asks a dead kernel to shut down when a user restarts it, and ZeroMQ tells the next one."""
    manager = KernelManager(kernel_name="rust")
    manager.start_kernel(cwd=str(NOTEBOOKS))
    client = manager.client()
    client.start_channels(hb=False)
    request = client.session.msg("shutdown_request", {"restart": False})
    request["header"]["date"] -= timedelta(seconds=30)
    client.session.send(client.control_channel.socket, request)
    session = Session(manager)
    assert session.text('println!("here");') == "here\n"
    client.stop_channels()
    manager.shutdown_kernel()


def command(pid):
    return subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True).stdout


def hostile_clients_harm_nobody():
    manager = KernelManager(kernel_name="rust")
    manager.start_kernel(cwd=str(NOTEBOOKS))
    session = Session(manager)
    hostile.attack_all(json.loads(Path(manager.connection_file).read_text()), manager.provisioner.pid)
    assert session.text('println!("whole");') == "whole\n"
    manager.shutdown_kernel(now=True)


def nothing_outlives_the_relay():
    """Killed while it starts, while it is idle and while a cell runs, with a child process of the cell."""
    for moment in ["start", "idle", "cell"]:
        manager = KernelManager(kernel_name="rust")
        manager.start_kernel(cwd=str(NOTEBOOKS))
        if moment == "start":
            time.sleep(1)
            family = processes(manager.provisioner.pid)
        else:
            session = Session(manager)
            session.ok('let child = std::process::Command::new("sleep").arg("1000").spawn()?;')
            if moment == "cell":
                session.client.execute("loop {}")
                time.sleep(1)
            family = processes(manager.provisioner.pid)
            assert any("sleep 1000" in command(pid) for pid in family), family
        os.kill(manager.provisioner.pid, signal.SIGKILL)
        left = lambda: [command(pid) for pid in alive(family)]
        wait_until(lambda: not alive(family), 15, f"left behind at {moment}: {left()}")
        manager.cleanup_resources()


def nothing_outlives_its_parent():
    """A program that starts a kernel as Jupyter does and is killed: also when there is a spare kernel."""
    code = (
        "from jupyter_client import KernelManager; import os, time; manager = KernelManager(kernel_name='rust'); "
        "manager.start_kernel(env=os.environ); print(manager.provisioner.pid, flush=True); time.sleep(1000)"
    )
    for seconds in [0, 2, "spare"]:
        environment = {**os.environ, "TEST_OF": "parent", **({"JPY_SESSION_NAME": "a"} if seconds == "spare" else {})}
        arguments = dict(stdout=subprocess.PIPE, text=True, cwd=NOTEBOOKS, env=environment)
        starter = subprocess.Popen([sys.executable, "-c", code], **arguments)
        kernel = [int(starter.stdout.readline())]
        if seconds == "spare":
            kernel = [*kernel, new_spare(set(), "parent")]
            time.sleep(2)
            kernel = [pid for process in kernel for pid in processes(process)]
        else:
            time.sleep(seconds)
        starter.kill()
        starter.wait()
        wait_until(lambda: not alive(kernel), 15, f"outlives its parent: {alive(kernel)}")


SEARCH = """
import os, sys
from pathlib import Path
found = []
for root in sys.argv[1:]:
    files = [Path(folder) / name for folder, _, names in os.walk(root) for name in names]
    for file in files + [Path(root)]:
        try:
            if file.is_dir() or file.stat().st_size > 1_000_000:
                continue
            with file.open("rb", buffering=0) as opened:
                # Of a file, the first byte tells whether it can be a connection file.
                start = opened.read(1)
                content = start + opened.readall() if start == b"{" or root.startswith("/proc") else b""
        except OSError:
            continue
        if b'"key"' in content and b'"shell_port"' in content:
            found.append(str(file))
print(*found, sep="\\n")
"""


def cells_are_compiled_without_cargo(session):
    """As long as nothing but the cell has changed; a package that may be edited is built by cargo."""
    folder = Path(session.text('println!("{}", std::env::var("EVCXR_TMPDIR")?);').strip())

    def cargos_traces():
        traces = [*folder.glob("target/*/debug/.fingerprint/ctx-*/*"), folder / "target/cell.json"]
        assert len(traces) > 1, traces
        return {trace: trace.stat().st_mtime_ns for trace in traces}

    before = cargos_traces()
    assert session.text("let seven = 7; seven + 1") == "8"
    reply, outputs = session.run("let wrong: usize = model;")
    assert reply["status"] == "error" and "mismatched types" in printed(outputs) + reply["evalue"], (reply, outputs)
    assert session.text("seven") == "7"
    # evcxr has asked `cargo check` about the mistake.
    assert cargos_traces().items() >= before.items(), "cargo has built a cell"
    with tempfile.TemporaryDirectory() as package:
        source = Path(package, "src/lib.rs")
        source.parent.mkdir()
        Path(package, "Cargo.toml").write_text('[package]\nname = "edited"\nedition = "2024"\n')
        for version in [1, 2]:
            source.write_text(f"pub fn version() -> i32 {{ {version} }}")
            assert session.text(f':dep edited = {{ path = "{package}" }}\nedited::version()') == str(version)
        # Not a dependency of the cells to come.
        session.manager.restart_kernel(now=True)
        session.client.wait_for_ready(timeout=120)
    session.ok("use latentlab::*;")
    session.ok("let digits = Dataset::built_in_digits(1_000, 0)?; let mut model = Autoencoder::tiny(2)?;")


def another_user_finds_no_key(session):
    """Neither in files nor in the command lines and environments of the processes."""
    family = processes(session.manager.provisioner.pid)
    kernel = next(pid for pid in family if "evcxr_jupyter" in command(pid))
    assert "--control_file /dev/fd/" in command(kernel), command(kernel)
    roots = [JUPYTER, Path(session.manager.connection_file).parent]
    roots += [f"/proc/{pid}/{name}" for pid in family for name in ("environ", "cmdline")]
    # Root can search as another user. Any other user searches its own files, and checks their permissions below.
    other = {"user": 65534, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
    python = "/usr/bin/python3" if other else sys.executable
    search = subprocess.run([python, "-c", SEARCH, *map(str, roots)], capture_output=True, text=True, **other)
    assert search.returncode == 0, search.stderr
    own = [] if other else [session.manager.connection_file]
    assert search.stdout.split() == own, search.stdout
    for path in search.stdout.split():
        assert Path(path).stat().st_mode & 0o77 == 0, path


def listening(pid):
    """The TCP addresses (in hexadecimal digits) and socket files that a process listens on."""
    sockets = {os.readlink(end) for end in Path(f"/proc/{pid}/fd").iterdir() if end.is_symlink()}
    rows = lambda name: [line.split() for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]]
    # The state of a listening TCP socket is 0A, the flag of a listening Unix socket __SO_ACCEPTCON.
    tcp = [row for row in rows("tcp") + rows("tcp6") if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    files = [row for row in rows("unix") if len(row) > 7 and row[3] == "00010000" and f"socket:[{row[6]}]" in sockets]
    return [row[1] for row in tcp], [row[7] for row in files]


def nobody_else_can_connect_to_the_kernel(session):
    """The relay listens on loopback; evcxr on socket files, which are removed once the relay has connected."""
    relay, *others = processes(session.manager.provisioner.pid)
    tcp, files = listening(relay)
    assert len(tcp) == 5 and all(address.startswith("0100007F:") for address in tcp) and not files, (tcp, files)
    for pid in others:
        tcp, files = listening(pid)
        assert not tcp, f"{command(pid)} listens on {tcp}"
        assert not [path for path in files if Path(path).exists()], f"{command(pid)} can be reached at {files}"
    kernel = next(pid for pid in others if "evcxr_jupyter" in command(pid))
    assert len(listening(kernel)[1]) == 5, listening(kernel)
    left = [*JUPYTER.glob("build/*/sockets*"), *Path(tempfile.gettempdir()).glob("sockets*")]
    assert not left, left


def restart_and_shutdown_leave_nothing_behind(session):
    manager = session.manager
    first = processes(manager.provisioner.pid)
    assert len(first) >= 3, f"relay, kernel and the cells' process: {first}"
    manager.restart_kernel()
    session.client.wait_for_ready(timeout=120)
    wait_until(lambda: not alive(first), 15, f"left behind by the restart: {alive(first)}")
    assert session.text('println!("again");') == "again\n"
    session.client.execute('std::thread::spawn(|| loop { println!("y") }); loop {}')
    time.sleep(1)
    looping = processes(manager.provisioner.pid)
    start = time.monotonic()
    manager.restart_kernel()
    session.client.wait_for_ready(timeout=120)
    print(f"        a restart out of an endless cell: {time.monotonic() - start:.1f} s")
    wait_until(lambda: not alive(looping), 15, f"left behind by the restart: {alive(looping)}")
    second = processes(manager.provisioner.pid)
    manager.shutdown_kernel(now=True)
    wait_until(lambda: not alive(second), 15, f"left behind by the shutdown: {alive(second)}")


def of_server(notebook, **environment):
    """A kernel as Jupyter's server starts it for a notebook."""
    manager = KernelManager(kernel_name="rust")
    manager.start_kernel(cwd=str(NOTEBOOKS), env={**os.environ, "JPY_SESSION_NAME": notebook, **environment})
    return manager


def spares():
    """The processes of this project's spare kernels, and of those that have been taken."""
    listing = subprocess.run(["ps", "-eo", "pid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listing.splitlines()]
    tool = json.loads((SHARE / "kernels/rust/kernel.json").read_text())["argv"][0]
    return {int(pid) for pid, state, args in rows if args.strip() == f"{tool} kernel --spare" and state[0] != "Z"}


def new_spare(others, starter):
    """The process of the spare kernel that appears beside others."""
    wait_until(lambda: spares() - others, 60, "no spare kernel")
    (spare,) = spares() - others
    variables = Path(f"/proc/{spare}/environ").read_bytes().split(b"\0")
    assert f"TEST_OF={starter}".encode() in variables, variables
    return spare


def without_other_spares(pid):
    """A kernel's processes, but not the next spare kernel, which it has started."""
    return set(processes(pid)) - {process for spare in spares() - {pid} for process in processes(spare)}


def a_restart_takes_the_spare_kernel():
    """A kernel of a server has one, started ahead, unless a setting says no; other kernels have none."""
    assert not spares(), spares()
    plain = KernelManager(kernel_name="rust")
    plain.start_kernel(cwd=str(NOTEBOOKS))
    without = of_server("none.ipynb", LATENTLAB_SPARE_KERNEL="0", TEST_OF="without")
    others = [Session(plain), Session(without)]
    manager = of_server("first.ipynb", TEST_OF="first")
    session = Session(manager)
    session.ok("use latentlab::*; let secret = 1;")
    spare = new_spare(set(), "first")
    for other in others:
        other.manager.shutdown_kernel(now=True)
    old = without_other_spares(manager.provisioner.pid)
    start = time.monotonic()
    manager.restart_kernel()
    session.client.wait_for_ready(timeout=120)
    cells = int(session.text('println!("{}", std::process::id());'))
    print(f"        a restart while the spare kernel starts, to the first result: {time.monotonic() - start:.1f} s")
    assert cells in processes(spare), f"{cells} is not of the spare {spare}"
    wait_until(lambda: not alive(old), 15, f"left behind: {alive(old)}")
    reply, _ = session.run("secret")
    assert reply["status"] == "error", "a variable of the kernel before"
    text = session.text('println!("{:?} {}", std::env::current_dir()?, std::env::var("JPY_SESSION_NAME").is_ok());')
    assert text == f'"{NOTEBOOKS}" false\n', text
    what_works_in_any_kernel(session)

    # The next one is taken by another notebook.
    new = new_spare({spare}, "first")
    second = of_server("second.ipynb", TEST_OF="first")
    cells = int(Session(second).text('println!("{}", std::process::id());'))
    assert cells in processes(new), f"{cells} is not of the spare {new}"
    for running, taken in [(manager, spare), (second, new)]:
        # As by Jupyter, when a kernel does not shut down in time.
        family = without_other_spares(taken)
        os.kill(running.provisioner.pid, signal.SIGKILL)
        wait_until(lambda: not alive(family), 15, f"left behind of {family}")
        running.cleanup_resources()


def what_works_in_any_kernel(session):
    """Figures, the stop button and interrupts."""

    def press(outputs):
        if len(outputs) == 3:
            session.manager.interrupt_kernel()

    session.ok("use latentlab::*; let digits = Dataset::built_in_digits(300, 0)?; let mut model = Autoencoder::tiny(2)?;")
    outputs = session.ok('digits.plot_images(5)?.show()?; println!("after");')
    assert [kind for kind, _, _ in outputs] == ["display_data", "stream"], outputs
    reply, outputs = session.run("train_ae(&mut model, &digits, &TrainConfig::new().epochs(1_000_000))?;", press)
    assert reply["status"] == "ok" and LOST not in printed(outputs), outputs
    _, outputs = session.run('loop { println!("y"); std::thread::sleep(std::time::Duration::from_millis(200)); }', press)
    assert LOST in printed(outputs) and "model" in printed(outputs), printed(outputs)
    assert session.text('println!("here");') == "here\n"


def vs_code_starts_it_by_its_kernelspec():
    """As an editor that knows only kernel.json: its own connection file and ports, another working directory."""
    spec = json.loads((SHARE / "kernels/rust/kernel.json").read_text())
    assert spec["interrupt_mode"] == "message", spec
    with tempfile.TemporaryDirectory() as folder:
        file, _ = write_connection_file(os.path.join(folder, "kernel-v3.json"))
        arguments = [file if word == "{connection_file}" else word for word in spec["argv"]]
        kernel = subprocess.Popen(arguments, cwd=folder, start_new_session=True)
        client = BlockingKernelClient(connection_file=file)
        client.load_connection_file()
        client.start_channels()
        client.wait_for_ready(timeout=120)
        code = "latentlab::Autoencoder::tiny(2)?.summary()"
        reply = client.execute_interactive(code, output_hook=lambda _: None, timeout=60)
        assert reply["content"]["status"] == "ok", reply["content"]
        family = processes(kernel.pid)
        client.shutdown()
        kernel.wait(timeout=10)
        wait_until(lambda: not alive(family), 15, f"left behind: {alive(family)}")


def nbconvert_fails_if_a_cell_fails():
    with tempfile.TemporaryDirectory() as folder:
        for name, last, expected in [("good", "1 + 1", 0), ("bad", "latentlab::Autoencoder::tiny(0)?;", 1)]:
            cells = [nbformat.v4.new_code_cell(code) for code in ["let a = 1;", last, "a"]]
            notebook = nbformat.v4.new_notebook(cells=cells)
            notebook.metadata["kernelspec"] = {"name": "rust", "display_name": "Rust", "language": "rust"}
            path = Path(folder) / f"{name}.ipynb"
            nbformat.write(notebook, path)
            arguments = [sys.executable, "-m", "nbconvert", "--execute", "--to", "notebook", "--inplace", path]
            done = subprocess.run(arguments, capture_output=True, text=True)
            assert (done.returncode != 0) == (expected != 0), (name, done.stderr[-2000:])
        assert "expected" in done.stderr, done.stderr[-2000:]


def a_console_client_runs_code():
    arguments = [sys.executable, "-m", "jupyter_client.runapp", "--kernel", "rust"]
    code = 'println!("from {}", "a console");'
    done = subprocess.run(arguments, input=code, capture_output=True, text=True, timeout=180)
    assert "from a console" in done.stdout, (done.stdout, done.stderr[-2000:])


def resources(manager):
    """The resources of a kernel: processes, memory, open files and threads."""
    family = processes(manager.provisioner.pid)
    read = lambda pid: Path(f"/proc/{pid}/status").read_text().splitlines()
    status = [dict(line.split(":", 1) for line in read(pid)) for pid in family]
    memory = sum(int(lines["VmRSS"].split()[0]) for lines in status) // 1000
    files = sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in family)
    threads = sum(int(lines["Threads"]) for lines in status)
    return f"{len(family)} processes, {memory} MB, {files} open files, {threads} threads"


def endurance(cells, interrupts, restarts):
    manager = KernelManager(kernel_name="rust")
    manager.start_kernel(cwd=str(NOTEBOOKS))
    session = Session(manager)
    session.ok("use latentlab::*;")
    print(f"after one cell: {resources(manager)}", flush=True)
    times = []
    for number in range(cells):
        start = time.monotonic()
        assert session.text(f'println!("{number}");') == f"{number}\n"
        times.append(time.monotonic() - start)
    tenth = max(cells // 10, 1)
    median = lambda values: sorted(values)[len(values) // 2]
    medians = f"{median(times[:tenth]):.2f}, {median(times[-tenth:]):.2f} s"
    print(f"after {cells} cells: {resources(manager)}; median of the first and the last {tenth}: {medians}", flush=True)

    def press(outputs):
        if len(outputs) == 1:
            manager.interrupt_kernel()

    for number in range(interrupts):
        _, outputs = session.run('println!("loops"); loop {}', press)
        assert LOST in printed(outputs), outputs
        assert session.text(f'println!("{number}");') == f"{number}\n"
    print(f"after {interrupts} interrupts: {resources(manager)}", flush=True)
    for number in range(restarts):
        manager.restart_kernel()
        session.client.wait_for_ready(timeout=120)
        assert session.text(f'println!("{number}");') == f"{number}\n"
    print(f"after {restarts} restarts: {resources(manager)}", flush=True)
    family = processes(manager.provisioner.pid)
    manager.shutdown_kernel(now=True)
    wait_until(lambda: not alive(family), 15, f"left behind: {alive(family)}")


def check(test, *arguments):
    if not any(word in test.__name__ for word in sys.argv[1:] or [""]):
        return
    start = time.monotonic()
    test(*arguments)
    print(f"{time.monotonic() - start:7.1f} s  {test.__name__.replace('_', ' ')}", flush=True)


def main():
    os.environ["JUPYTER_PATH"] = str(SHARE)
    os.environ["LATENTLAB_DATA"] = "built-in"
    if sys.argv[1:2] == ["--endurance"]:
        return endurance(*map(int, sys.argv[2:5]))
    # Connection files and all that the kernel writes are in a folder of their own, which others may enter: they are
    # searched, and /tmp may hold a hundred thousand files of other programs.
    folder = tempfile.TemporaryDirectory()
    os.chmod(folder.name, 0o755)
    os.environ["TMPDIR"] = tempfile.tempdir = folder.name
    manager = KernelManager(kernel_name="rust")
    manager.start_kernel(cwd=str(NOTEBOOKS))
    try:
        session = Session(manager)
        session.ok("use latentlab::*;")
        session.ok("let digits = Dataset::built_in_digits(1_000, 0)?; let mut model = Autoencoder::tiny(2)?;")
        for test in [
            all_figures_appear_at_once,
            all_messages_are_of_one_session,
            the_debug_text_of_a_displayed_figure_is_not_printed,
            a_training_updates_one_output,
            other_runs_show_progress,
            the_stop_button_keeps_the_variables,
            an_error_fails_the_cell,
            cells_that_wait_behind_an_error_are_aborted,
            completion_and_documentation_work,
            nothing_is_lost_or_reordered,
            everything_printed_is_text,
            an_error_after_text_without_a_newline_is_found,
            large_outputs_are_complete,
            threads_that_print_block_nothing,
            a_failed_cell_names_the_variables_that_are_lost,
            cells_are_counted_from_one_without_gaps,
            cells_are_compiled_without_cargo,
            another_user_finds_no_key,
            nobody_else_can_connect_to_the_kernel,
            other_code_is_interrupted,
            a_second_interrupt_kills_the_run,
            after_the_cell_process_dies_the_next_cell_works,
            restart_and_shutdown_leave_nothing_behind,
        ]:
            check(test, session)
        manager = KernelManager(kernel_name="rust")
        manager.start_kernel(cwd=str(NOTEBOOKS))
        check(jupyter_notices_a_dead_kernel, Session(manager))
    finally:
        if manager.has_kernel:
            manager.shutdown_kernel(now=True)
    check(a_shutdown_of_the_kernel_before_is_ignored)
    check(hostile_clients_harm_nobody)
    for test in [nothing_outlives_the_relay, nothing_outlives_its_parent, a_restart_takes_the_spare_kernel]:
        check(test)
    for test in [vs_code_starts_it_by_its_kernelspec, nbconvert_fails_if_a_cell_fails, a_console_client_runs_code]:
        check(test)


if __name__ == "__main__":
    main()
