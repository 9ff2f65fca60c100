use super::super::{message::Key, stream::Stream};
use super::output::GATHERING;
use super::*;
use crate::mutate;

fn message(kind: &str, id: &str, parent: &str, content: Value) -> Message {
    let mut message = Message::new(kind, &json!({ "msg_id": parent }), content);
    message.header["msg_id"] = id.into();
    message.with_identities(&[Bytes::from_static(b"client")])
}

/// Each action in a line: the socket, the message type and its text.
fn lines(actions: &mut Vec<Action>) -> Vec<String> {
    let message = |socket: &str, message: &Message| {
        let content = message.content();
        let text = ["text", "code", "execution_state", "status", "evalue"].iter();
        let text = text.clone().find_map(|key| content[key].as_str());
        let text = text.or(content["data"]["text/plain"].as_str()).unwrap_or_default();
        format!("{socket} {} {text}", message.kind()).trim_end_matches(' ').to_owned()
    };
    actions
        .drain(..)
        .map(|action| match action {
            Action::Ask(asked) => message("ask", &asked),
            Action::Interrupt(_) => "interrupt".to_owned(),
            Action::Shell(reply) => message("shell", &reply),
            Action::Control(reply) => message("control", &reply),
            Action::IoPub(published) => message("iopub", &published),
            Action::Sync => "sync".to_owned(),
            Action::Stop(on) => format!("stop {on}"),
            Action::Tell(what) => format!("tell {what}"),
        })
        .collect()
}

/// Client, kernel and cell process, with a fake clock.
struct Talk {
    state: State,
    stdout: Stream,
    now: Instant,
    actions: Vec<Action>,
    /// The last request to evcxr.
    asked: String,
    count: u64,
}

impl Talk {
    fn new() -> Self {
        Self {
            state: State::new(true),
            stdout: Stream::default(),
            now: Instant::now(),
            actions: Vec::new(),
            asked: String::new(),
            count: 0,
        }
    }

    fn lines(&mut self) -> Vec<String> {
        let asked = self.actions.iter().rev().find_map(|action| match action {
            Action::Ask(asked) => Some(asked.id().to_owned()),
            _ => None,
        });
        self.asked = asked.unwrap_or(mem::take(&mut self.asked));
        lines(&mut self.actions)
    }

    fn request(&mut self, kind: &str, id: &str, content: Value) -> Vec<String> {
        self.state.request(message(kind, id, "", content), &mut self.actions);
        self.lines()
    }

    /// A client executes a cell, and the kernel publishes it.
    fn run(&mut self, code: &str) -> Vec<String> {
        let seen = self.request(EXECUTE, code, json!({ "code": code }));
        if seen.iter().any(|line| line.starts_with("ask execute_request")) {
            self.count += 1;
            self.iopub("execute_input", json!({ "execution_count": self.count }));
        }
        seen
    }

    fn iopub(&mut self, kind: &str, content: Value) -> Vec<String> {
        self.state.iopub(message(kind, "k", &self.asked, content), self.now, &mut self.actions);
        self.lines()
    }

    fn print(&mut self, text: &str) -> Vec<String> {
        for piece in self.stdout.add(text.as_bytes()) {
            self.state.print("stdout", piece, self.now, &mut self.actions);
        }
        self.lines()
    }

    fn library_message(&mut self, message: Value) -> Vec<String> {
        self.state.library_message(message, self.now, &mut self.actions);
        self.lines()
    }

    /// The kernel's status `idle` and its reply, in the less convenient order.
    fn reply(&mut self, status: &str) -> Vec<String> {
        let mut seen = self.iopub("status", json!({ "execution_state": "idle" }));
        let content = json!({ "status": status, "execution_count": self.count });
        self.state.reply(message("execute_reply", "r", &self.asked, content), &mut self.actions);
        seen.extend(self.lines());
        seen
    }

    fn synced(&mut self) -> Vec<String> {
        self.state.synced(&mut self.actions);
        self.lines()
    }

    /// The end of a cell, and the kernel's list of variables for the relay.
    fn end(&mut self, variables: &str) -> Vec<String> {
        assert_eq!(self.reply("ok"), ["sync"]);
        let mut seen = self.synced();
        if seen.last().is_some_and(|last| last == "ask execute_request :vars") {
            seen.pop();
            seen.extend(self.variables(variables));
        }
        seen
    }

    fn variables(&mut self, text: &str) -> Vec<String> {
        assert!(self.iopub("execute_result", json!({ "data": { "text/plain": text } })).is_empty());
        assert_eq!(self.reply("ok"), ["sync"]);
        self.synced()
    }

    fn fail(&mut self, message: &str) -> Vec<String> {
        self.iopub("error", json!({ "ename": "Error", "evalue": message, "traceback": ["command_1"] }))
    }

    fn closed(&mut self) -> Vec<String> {
        self.state.closed(&mut self.actions);
        self.lines()
    }

    fn wait(&mut self, time: Duration) -> Vec<String> {
        self.now += time;
        self.state.tick(self.now, &mut self.actions);
        self.lines()
    }

    fn interrupt(&mut self) -> Vec<String> {
        self.state.interrupt(message("interrupt_request", "i", "", json!({})), self.now, &mut self.actions);
        self.lines()
    }
}

#[test]
fn text_is_published_before_what_follows_and_before_the_end() {
    let mut talk = Talk::new();
    assert_eq!(talk.run("a"), ["ask execute_request a"]);
    assert!(talk.print("one\n").is_empty() && talk.print("\u{1}latentlab {\"content\": 5}").is_empty());
    let shown = talk.library_message(json!({ "content": { "data": { "text/plain": "figure" } } }));
    assert_eq!(shown, ["iopub stream one\n\u{1}latentlab {\"content\": 5}", "iopub display_data figure"]);
    let updated = talk.library_message(json!({ "update": true, "content": { "data": {} } }));
    assert_eq!(updated, ["iopub update_display_data"]);
    assert_eq!(talk.reply("ok"), ["sync"]);
    assert!(talk.print("late").is_empty(), "what arrives before the sync belongs to the cell");
    let end = talk.synced();
    assert_eq!(end[..4], ["iopub stream late", "stop false", "shell execute_reply ok", "iopub status idle"]);
}

#[test]
fn the_last_value_is_the_result_and_others_are_displayed() {
    let mut talk = Talk::new();
    talk.run("a");
    let block = |text: &str| format!("EVCXR_BEGIN_CONTENT text/plain\n{text}\nEVCXR_END_CONTENT\n");
    assert!(talk.print(&block("1")).is_empty());
    assert_eq!(talk.print("then\n"), ["iopub display_data 1"]);
    assert_eq!(talk.print(&block("2")), ["iopub stream then\n"]);
    assert_eq!(talk.end("")[..2], ["iopub execute_result 2", "stop false"]);
}

#[test]
fn a_line_is_published_within_the_gathering_time() {
    let mut talk = Talk::new();
    talk.run("a");
    talk.print("one");
    assert_eq!(talk.state.deadline(), Some(talk.now + GATHERING));
    assert_eq!(talk.wait(GATHERING), ["iopub stream one"]);
    assert_eq!(talk.state.deadline(), None);
}

#[test]
fn a_flood_of_text_is_cut_with_a_note_and_its_values_are_kept() {
    let mut talk = Talk::new();
    talk.run("a");
    let megabytes = "x".repeat(10_000_000);
    let mut shown = 0;
    for _ in 0..30 {
        shown += talk.print(&megabytes).iter().map(String::len).sum::<usize>();
    }
    assert!((250_000_000..257_000_000).contains(&shown), "{shown}");
    talk.print("EVCXR_BEGIN_CONTENT text/plain\n2\nEVCXR_END_CONTENT\n");
    talk.now += Duration::from_secs(1);
    let after = talk.print("after\n");
    assert_eq!(after[..1], ["iopub display_data 2"]);
    assert!(after[1].contains("… 50 MB are left out here"), "{after:?}");
    assert_eq!(talk.end("")[0], "iopub stream after\n");
}

#[test]
fn requests_are_sent_one_at_a_time() {
    let mut talk = Talk::new();
    talk.run("a");
    assert!(talk.request(EXECUTE, "b", json!({ "code": "b" })).is_empty());
    assert_eq!(talk.end("").last().unwrap(), "ask execute_request b");
    // A request that the kernel never replies to does not block the next.
    talk.end("");
    assert_eq!(talk.request("history_request", "c", json!({})), ["ask history_request"]);
    assert_eq!(talk.iopub("status", json!({ "execution_state": "idle" })), ["iopub status idle"]);
    assert_eq!(talk.run("d"), ["ask execute_request d"]);
}

#[test]
fn a_failed_cell_aborts_those_that_wait() {
    for by_message in [true, false] {
        let mut talk = Talk::new();
        talk.run("a");
        talk.request(EXECUTE, "b", json!({ "code": "b" }));
        let data = json!({ ERROR_MEDIA_TYPE: { "kind": "error", "message": "no" }, "text/plain": "Error: no" });
        let shown = match by_message {
            true => talk.library_message(json!({ "content": { "data": data } })),
            false => talk.iopub("execute_result", json!({ "data": data })),
        };
        assert_eq!(shown, ["iopub error no"]);
        assert_eq!(talk.reply("ok"), ["sync"]);
        assert_eq!(talk.synced(), ["stop false", "ask execute_request :vars"]);
        let own = ["shell execute_reply error", "iopub status idle"];
        let aborted = ["iopub status busy", "shell execute_reply aborted", "iopub status idle"];
        assert_eq!(talk.variables(""), [&own[..], &aborted].concat());
        assert_eq!(talk.run("c"), ["ask execute_request c"]);
    }
}

#[test]
fn a_failed_cell_names_the_variables_that_are_lost() {
    let mut talk = Talk::new();
    talk.run("a");
    talk.end("model: Autoencoder\ndigits: Dataset\n");
    talk.run("b");
    talk.fail("no");
    assert_eq!(talk.reply("error"), ["sync"]);
    assert_eq!(talk.synced().last().unwrap(), "ask execute_request :vars");
    let end = talk.variables("digits: Dataset\n");
    assert!(end[0].starts_with("iopub stream Lost with this cell: `model`,"), "{end:?}");
    assert_eq!(end[1..], ["shell execute_reply error", "iopub status idle"]);
}

#[test]
fn the_relays_own_cells_are_not_counted() {
    let mut talk = Talk::new();
    talk.run("a");
    talk.end("");
    talk.count = 7;
    talk.state.request(message(EXECUTE, "b", "", json!({ "code": "b" })), &mut talk.actions);
    talk.lines();
    talk.state.iopub(message("execute_input", "k", "b", json!({ "execution_count": 8 })), talk.now, &mut talk.actions);
    let failed = json!({ "ename": "E", "evalue": "e", "traceback": ["in command_8:1"] });
    talk.state.iopub(message("error", "k", "b", failed), talk.now, &mut talk.actions);
    let published: Vec<Value> = talk
        .actions
        .drain(..)
        .map(|action| match action {
            Action::IoPub(message) => message.content().clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(published[0]["execution_count"], 2);
    assert_eq!(published[1]["traceback"][0], "in command_2:1");
}

#[test]
fn a_value_that_has_displayed_itself_is_not_printed_again() {
    let printed = |text: &str| format!("EVCXR_BEGIN_CONTENT text/plain\n{text}\nEVCXR_END_CONTENT\n");
    let mut talk = Talk::new();
    talk.run("a");
    assert!(talk.library_message(json!({ "shown": "Figure(images)" })).is_empty());
    talk.print(&printed("Some(Figure(images))"));
    assert_eq!(talk.print("\n"), ["iopub display_data Some(Figure(images))"]);
    assert_eq!(talk.print(&printed("Figure(images)")), ["iopub stream \n"]);
    assert_eq!(talk.end("")[0], "stop false");
    talk.run("b");
    talk.print(&printed("Figure(images)"));
    assert_eq!(talk.end("")[0], "iopub execute_result Figure(images)");
}

#[test]
fn an_error_in_another_thread_does_not_fail_the_cell() {
    let mut talk = Talk::new();
    talk.run("a");
    let error = json!({ "message": "no", "thread": "worker" });
    let data = json!({ ERROR_MEDIA_TYPE: error, "text/plain": "Panic in thread worker: no" });
    assert_eq!(
        talk.library_message(json!({ "content": { "data": data } })),
        ["iopub stream Panic in thread worker: no\n"]
    );
    assert!(talk.end("").contains(&"shell execute_reply ok".to_owned()));
}

#[test]
fn after_the_cell_process_dies_the_next_cell_has_a_new_one() {
    let mut talk = Talk::new();
    talk.run("a");
    talk.end("model: Autoencoder\n");
    talk.run("b");
    talk.print("last words");
    assert!(talk.closed().is_empty(), "the kernel has not noticed yet");
    talk.fail("Subprocess terminated with status: signal: 6 (SIGABRT)");
    let end = talk.reply("error");
    let lost = "iopub stream The process that runs the cells has ended: all variables are lost (model), \
                functions and imports are kept.";
    assert!(end.iter().any(|line| line.starts_with(lost)), "{end:?}");
    assert_eq!(
        end[end.len() - 3..],
        ["shell execute_reply error", "iopub status idle", &format!("ask execute_request {START}")]
    );
    // A client's request waits until the new process is ready.
    assert!(talk.request(EXECUTE, "c", json!({ "code": "c" })).is_empty());
    talk.state.opened();
    assert_eq!(talk.reply("ok"), ["sync"]);
    assert_eq!(talk.synced(), ["ask execute_request c"]);
}

#[test]
fn a_cell_process_that_dies_between_cells_is_replaced_and_the_next_cell_reports_it() {
    let mut talk = Talk::new();
    talk.run("a");
    talk.end("model: Autoencoder\n");
    assert_eq!(talk.closed(), [format!("ask execute_request {START}")]);
    // The kernel notices only now that the process has ended.
    assert!(talk.fail("Subprocess terminated").is_empty());
    assert_eq!(talk.reply("error"), [format!("ask execute_request {START}")]);
    talk.state.opened();
    assert_eq!(talk.reply("ok"), ["sync"]);
    assert!(talk.synced().is_empty());
    talk.run("b");
    let end = talk.end("");
    assert!(end[0].contains("ended between two cells: all variables are lost (model)"), "{end:?}");
    // Without the library there is a limit to the attempts.
    talk.closed();
    for _ in 1..STARTS {
        talk.fail("no latentlab");
        assert_eq!(talk.reply("error"), [format!("ask execute_request {START}")]);
    }
    talk.fail("no latentlab");
    assert!(talk.reply("error").is_empty());
    assert_eq!(talk.run("c"), ["ask execute_request c"]);
}

#[test]
fn a_run_that_can_be_stopped_is_stopped_and_other_code_is_interrupted() {
    let mut talk = Talk::new();
    assert_eq!(talk.interrupt(), ["control interrupt_reply ok"]);
    talk.wait(KILL_WINDOW);
    talk.run("a");
    talk.request(EXECUTE, "b", json!({ "code": "b" }));
    talk.library_message(json!({ "listens": true }));
    let stopped = talk.interrupt();
    assert_eq!(stopped[..3], ["iopub status busy", "shell execute_reply aborted", "iopub status idle"]);
    assert_eq!(stopped[3..], ["stop true", "control interrupt_reply ok"]);
    // A second interrupt within three seconds kills.
    talk.wait(KILL_WINDOW / 2);
    assert_eq!(talk.interrupt(), ["interrupt"]);
    talk.end("");

    talk.run("c");
    talk.library_message(json!({ "listens": true }));
    assert_eq!(talk.interrupt()[0], "stop true", "the earlier interrupts were for another cell");
    talk.library_message(json!({ "listens": false }));
    talk.wait(KILL_WINDOW);
    assert_eq!(talk.interrupt(), ["interrupt"], "nothing can be stopped");
    talk.wait(KILL_WINDOW);
    talk.library_message(json!({ "listens": true }));
    talk.library_message(json!({ "listens": false }));
    talk.wait(BETWEEN_RUNS / 2);
    assert_eq!(talk.interrupt()[0], "stop true", "another run may follow");
}

#[test]
fn damaged_messages_are_refused_or_handled() {
    let data = json!({ ERROR_MEDIA_TYPE: { "message": "no", "thread": "t" }, "text/plain": "Error: no" });
    let corpus = [
        (EXECUTE, json!({ "code": "1 + 1", "silent": false, "stop_on_error": true, "allow_stdin": true })),
        ("complete_request", json!({ "code": "\"e\u{301}👨‍👩‍👧\"; Auto", "cursor_pos": 5 })),
        ("interrupt_request", json!({})),
        ("execute_input", json!({ "execution_count": 3, "code": "1" })),
        ("execute_result", json!({ "data": data, "execution_count": 3, "metadata": {} })),
        ("error", json!({ "ename": "a", "evalue": "b", "traceback": ["command_3", "c"] })),
        ("stream", json!({ "name": "stderr", "text": "a\n" })),
        ("status", json!({ "execution_state": "idle" })),
        ("execute_reply", json!({ "status": "ok", "execution_count": 3 })),
        ("library", json!({ "update": true, "content": { "data": data }, "listens": true, "shown": "x" })),
    ];
    let (key, mut mutator) = (Key::new("key"), mutate::Mutator::new(20));
    let (mut read, mut refused) = (0, 0);
    let mut talk = Talk::new();
    for number in 0..10_000 {
        let (kind, content) = &corpus[mutator.below(corpus.len())];
        let whole = message(kind, "id", &talk.asked, content.clone());
        let header = json!({ "msg_id": "id", "msg_type": kind, "session": "s" });
        let mut parts = [&header, &whole.parent, &json!({}), content].map(|part| part.to_string().into_bytes());
        let damaged = [0, 1, 2, 3, 3, 3, 3][mutator.below(7)];
        parts[damaged] = mutator.damage(&parts[damaged], b"{\"a\": [{}, null, 1e308, \"\\ud800\"]}");
        for piece in talk.stdout.add(&parts[damaged]) {
            talk.state.print("stdout", piece, talk.now, &mut talk.actions);
        }
        let Some(message) = Message::read(key.signed(&parts.map(Bytes::from)), &key) else {
            refused += 1;
            continue;
        };
        read += 1;
        match *kind {
            EXECUTE | "complete_request" => talk.state.request(message, &mut talk.actions),
            "interrupt_request" => talk.state.interrupt(message, talk.now, &mut talk.actions),
            "execute_reply" => talk.state.reply(message, &mut talk.actions),
            "library" => talk.state.library_message(message.content().clone(), talk.now, &mut talk.actions),
            _ => talk.state.iopub(message, talk.now, &mut talk.actions),
        }
        if number % 7 == 0 {
            talk.synced();
        }
        if number % 501 == 0 {
            talk.closed();
            talk.state.opened();
        }
        talk.wait(GATHERING);
    }
    println!("10,000 damaged messages: {read} read, {refused} refused");
    assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
}

#[test]
fn the_cursor_position_counts_code_points() {
    let asked = |code: &str| {
        let mut talk = Talk::new();
        talk.request("complete_request", "a", json!({ "code": code, "cursor_pos": 3 }))
    };
    assert_eq!(asked("\"e\u{301}\"; Autoenc"), ["ask complete_request \"xx\"; Autoenc"]);
    assert_eq!(asked("// 👨‍👩‍👧\r\nAutoenc"), ["ask complete_request // xxxxx \nAutoenc"]);
    assert_eq!(asked("let é = 1; Auto"), ["ask complete_request let é = 1; Auto"]);
    let executed = Talk::new().request(EXECUTE, "a", json!({ "code": "\"e\u{301}\"" }));
    assert_eq!(executed, ["ask execute_request \"e\u{301}\""]);
}
