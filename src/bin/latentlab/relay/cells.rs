//! What happens to the messages between Jupyter and the kernel: the decisions, without sockets or clocks of its own.
//!
//! Requests go to the kernel one at a time, so that those behind a failed one can be taken back. A request is done when the kernel has answered
//! it, is idle again, and has printed nothing for a moment: what a cell prints comes by another way than its result, and may come later.

use std::collections::VecDeque;
use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jupyter_protocol::JupyterMessage;
use latentlab::jupyter::{ERROR_MEDIA_TYPE, RELAY_MARK};
use serde_json::{Value, json};

use super::message::{Message, answer};

/// How long a cell's output must have been silent for the cell to be done.
const SILENCE: Duration = Duration::from_millis(8);

/// How long printed lines are gathered: Jupyter drops what comes by more than a thousand messages a second.
const GATHERING: Duration = Duration::from_millis(20);

/// A second interrupt within this time is meant in earnest.
const EARNEST: Duration = Duration::from_secs(3);

/// How long after the last run that listens another one may begin, as in a loop over several trainings.
const BETWEEN_RUNS: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Send to the kernel's shell.
    Ask(Message),
    /// Interrupt the kernel, by this request.
    Interrupt(Message),
    /// Send on to whom it may concern.
    Shell(Message),
    IoPub(Message),
    /// Send what the relay itself has to say.
    OwnShell(JupyterMessage),
    OwnControl(JupyterMessage),
    OwnIoPub(JupyterMessage),
    /// Ask what listens to stop, or no longer.
    Stop(bool),
}

/// A request that the kernel works on.
struct Current {
    request: Message,
    reply: Option<Message>,
    idle: Option<Message>,
    failure: Option<Failure>,
    last_output: Instant,
}

/// What an `error` message says.
#[derive(Clone)]
struct Failure {
    name: String,
    value: String,
    traceback: Vec<String>,
}

impl Failure {
    fn to_json(&self) -> Value {
        json!({ "ename": self.name, "evalue": self.value, "traceback": self.traceback })
    }
}

#[derive(Default)]
pub struct Cells {
    waiting: VecDeque<Message>,
    current: Option<Current>,
    /// Printed lines that are gathered: the stream's name, the text, since when, and the header of the request.
    printed: Option<(String, String, Instant, Value)>,
    /// What `Debug` says of the value that this cell has shown last.
    shown: Option<String>,
    /// How many runs listen for an interrupt, and since when none does.
    listening: usize,
    listened_until: Option<Instant>,
    /// When the last interrupt of this cell came.
    interrupted: Option<Instant>,
}

/// These the kernel answers; others it ignores, but for being busy and idle.
const ANSWERED: [&str; 5] =
    ["execute_request", "kernel_info_request", "complete_request", "inspect_request", "is_complete_request"];

impl Cells {
    /// A client's request.
    pub fn request(&mut self, request: Message, now: Instant, actions: &mut Vec<Action>) {
        self.waiting.push_back(request);
        self.next(now, actions);
    }

    fn next(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.current.is_some() {
            return;
        }
        if let Some(request) = self.waiting.pop_front() {
            actions.push(Action::Ask(request.with_identities(&[])));
            self.current = Some(Current { request, reply: None, idle: None, failure: None, last_output: now });
        }
    }

    /// Who has sent the request that the kernel works on, if it is this one.
    pub fn asker(&self, id: &str) -> Option<Vec<Bytes>> {
        let current = self.current.as_ref().filter(|current| current.request.id() == id)?;
        Some(current.request.identities.clone())
    }

    /// The kernel's answer to a request.
    pub fn reply(&mut self, reply: Message, now: Instant, actions: &mut Vec<Action>) {
        if let Some(current) = self.current.as_mut().filter(|current| current.request.id() == reply.parent_id()) {
            current.reply = Some(reply);
            self.tick(now, actions);
        }
    }

    /// What the kernel tells everybody.
    pub fn iopub(&mut self, message: Message, now: Instant, actions: &mut Vec<Action>) {
        let current = self.current.as_mut().filter(|current| current.request.id() == message.parent_id());
        if let Some(current) = current {
            current.last_output = now;
        }
        match message.kind() {
            "stream" => return self.print(&message, now, actions),
            "status" if message.content()["execution_state"] == "idle" => {
                if let Some(current) = self.current.as_mut().filter(|c| c.request.id() == message.parent_id()) {
                    current.idle = Some(message);
                    return self.tick(now, actions);
                }
            }
            "error" => {
                let content = message.content();
                let text = |name: &str| content[name].as_str().unwrap_or_default().to_owned();
                let lines = content["traceback"].as_array().map(Vec::as_slice).unwrap_or_default();
                self.fail(Failure {
                    name: text("ename"),
                    value: text("evalue"),
                    traceback: lines.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
                });
            }
            "execute_result" | "display_data" => {
                self.flush(actions);
                let data = &message.content()["data"];
                if let Some(mark) = data.get(ERROR_MEDIA_TYPE) {
                    let text = data["text/plain"].as_str().unwrap_or_default();
                    return self.failure_box(mark, text, &message.parent, actions);
                }
                let text = data["text/plain"].as_str().map(|text| text.trim_end().to_owned());
                if text.is_some() && text == self.shown {
                    return;
                }
            }
            _ => {}
        }
        self.flush(actions);
        actions.push(Action::IoPub(message));
    }

    /// A line that a cell has printed.
    fn print(&mut self, message: &Message, now: Instant, actions: &mut Vec<Action>) {
        let content = message.content();
        let text = content["text"].as_str().unwrap_or_default();
        if let Some(mark) = text.strip_prefix(RELAY_MARK).and_then(|mark| serde_json::from_str(mark).ok()) {
            return self.obey(mark, &message.parent, now, actions);
        }
        let name = content["name"].as_str().unwrap_or_default();
        match &mut self.printed {
            Some((stream, lines, _, parent)) if stream == name && *parent == message.parent => lines.push_str(text),
            _ => {
                self.flush(actions);
                self.printed = Some((name.to_owned(), text.to_owned(), now, message.parent.clone()));
            }
        }
    }

    /// What the library asks for, by a marked line.
    fn obey(&mut self, mut mark: Value, parent: &Value, now: Instant, actions: &mut Vec<Action>) {
        if let Some(listens) = mark["listens"].as_bool() {
            self.listening = if listens { self.listening + 1 } else { self.listening.saturating_sub(1) };
            self.listened_until = (self.listening == 0).then_some(now);
            return;
        }
        if let Some(text) = mark["shown"].as_str() {
            self.shown = Some(text.to_owned());
            return;
        }
        self.flush(actions);
        let content = mark["content"].take();
        if let Some(failure) = content["data"].get(ERROR_MEDIA_TYPE) {
            let text = content["data"]["text/plain"].as_str().unwrap_or_default();
            return self.failure_box(failure, text, parent, actions);
        }
        let kind = if mark["update"] == true { "update_display_data" } else { "display_data" };
        actions.push(Action::OwnIoPub(answer(parent, kind, content)));
    }

    /// A `?` or a panic becomes an error as Jupyter knows it; what another thread says is no failure of the cell.
    fn failure_box(&mut self, mark: &Value, text: &str, parent: &Value, actions: &mut Vec<Action>) {
        if mark["thread"].is_string() {
            let content = json!({ "name": "stderr", "text": format!("{text}\n") });
            return actions.push(Action::OwnIoPub(answer(parent, "stream", content)));
        }
        let (title, rest) = text.split_once(": ").unwrap_or(("Error", text));
        let traceback = format!("\u{1b}[1;31m{title}\u{1b}[0m: {rest}").lines().map(str::to_owned).collect();
        let message = mark["message"].as_str().unwrap_or(rest);
        let failure = Failure { name: title.to_owned(), value: message.to_owned(), traceback };
        actions.push(Action::OwnIoPub(answer(parent, "error", failure.to_json())));
        self.fail(failure);
    }

    fn fail(&mut self, failure: Failure) {
        if let Some(current) = &mut self.current {
            current.failure.get_or_insert(failure);
        }
    }

    fn flush(&mut self, actions: &mut Vec<Action>) {
        if let Some((name, text, _, parent)) = self.printed.take() {
            actions.push(Action::OwnIoPub(answer(&parent, "stream", json!({ "name": name, "text": text }))));
        }
    }

    /// When there may be something to do without a message.
    pub fn deadline(&self) -> Option<Instant> {
        let gathered = self.printed.as_ref().map(|(_, _, since, _)| *since + GATHERING);
        let done = self.current.as_ref().filter(|c| c.is_answered()).map(|c| c.last_output + SILENCE);
        gathered.into_iter().chain(done).min()
    }

    /// What is due.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.printed.as_ref().is_some_and(|(_, _, since, _)| now >= *since + GATHERING) {
            self.flush(actions);
        }
        let silent =
            |current: &Current| current.request.kind() != "execute_request" || now >= current.last_output + SILENCE;
        if !self.current.as_ref().is_some_and(|current| current.is_answered() && silent(current)) {
            return;
        }
        self.flush(actions);
        let Some(Current { request, reply, idle, failure, .. }) = self.current.take() else { return };
        let executed = request.kind() == "execute_request";
        if let Some(reply) = reply {
            match &failure {
                Some(failure) if executed => {
                    let mut content = failure.to_json();
                    content["status"] = "error".into();
                    content["execution_count"] = reply.content()["execution_count"].clone();
                    actions.push(Action::OwnShell(request.answer("execute_reply", content)));
                }
                _ => actions.push(Action::Shell(reply.with_identities(&request.identities))),
            }
        }
        actions.extend(idle.map(Action::IoPub));
        if executed {
            (self.shown, self.listening, self.listened_until, self.interrupted) = (None, 0, None, None);
            actions.push(Action::Stop(false));
            if failure.is_some() && request.content()["stop_on_error"] != false {
                self.take_back(actions);
            }
        }
        self.next(now, actions);
    }

    /// Answers the cells that wait: they are not run.
    fn take_back(&mut self, actions: &mut Vec<Action>) {
        for request in mem::take(&mut self.waiting) {
            if request.kind() != "execute_request" {
                self.waiting.push_back(request);
                continue;
            }
            let status =
                |state| Action::OwnIoPub(answer(&request.header, "status", json!({ "execution_state": state })));
            let aborted = Action::OwnShell(request.answer("execute_reply", json!({ "status": "aborted" })));
            actions.extend([status("busy"), aborted, status("idle")]);
        }
    }

    /// Jupyter's stop button. A run that listens stops by itself, and the cell goes on; else the kernel is interrupted as it
    /// always is, and its variables are lost.
    pub fn interrupt(&mut self, request: Message, now: Instant, actions: &mut Vec<Action>) {
        let done = |request: &Message| Action::OwnControl(request.answer("interrupt_reply", json!({ "status": "ok" })));
        self.take_back(actions);
        let Some(current) = self.current.as_ref().filter(|current| current.request.kind() == "execute_request") else {
            return actions.push(done(&request)); // an idle kernel would fail at its next cell
        };
        let earnest = self.interrupted.replace(now).is_some_and(|last| now < last + EARNEST);
        let listens = self.listening > 0 || self.listened_until.is_some_and(|until| now < until + BETWEEN_RUNS);
        if listens && !earnest {
            return actions.extend([Action::Stop(true), done(&request)]);
        }
        let lost = "The kernel was interrupted: all variables are lost, functions and imports are kept. Run the cells from the top again.\n";
        actions.push(Action::Interrupt(request));
        actions.push(Action::OwnIoPub(answer(
            &current.request.header,
            "stream",
            json!({ "name": "stderr", "text": lost }),
        )));
    }
}

impl Current {
    /// Whether the kernel has said all that it says to requests of this kind.
    fn is_answered(&self) -> bool {
        self.idle.is_some() && (self.reply.is_some() || !ANSWERED.contains(&self.request.kind()))
    }
}

#[cfg(test)]
mod tests {
    use jupyter_protocol::JupyterMessageContent;
    use zeromq::ZmqMessage;

    use super::*;

    fn message(kind: &str, id: &str, parent: &str, content: Value) -> Message {
        let json = |value: Value| Bytes::from(value.to_string());
        let header = json!({
            "msg_id": id, "msg_type": kind, "session": "s", "username": "u", "date": "2026-01-01T00:00:00Z", "version": "5.3"
        });
        let mut parent_header = header.clone();
        parent_header["msg_id"] = parent.into();
        let frames = vec![
            Bytes::from_static(b"client"),
            Bytes::from_static(b"<IDS|MSG>"),
            Bytes::new(),
            json(header),
            json(parent_header),
            json(json!({})),
            json(content),
        ];
        Message::read(ZmqMessage::try_from(frames).unwrap()).unwrap()
    }

    /// What a test sees of the actions: who gets which kind of message with which text.
    fn seen(actions: &mut Vec<Action>) -> Vec<String> {
        let own = |way: &str, message: &JupyterMessage| {
            let JupyterMessageContent::UnknownMessage(unknown) = &message.content else { unreachable!() };
            let content = &unknown.content;
            let text = ["text", "execution_state", "status", "evalue"].iter().find_map(|key| content[key].as_str());
            let text = text.unwrap_or(if content["data"].is_object() { "data" } else { "" });
            format!("{way} {} {text}", message.header.msg_type)
        };
        let passed = |way: &str, message: &Message| format!("{way} {} of {}", message.kind(), message.id());
        actions
            .drain(..)
            .map(|action| match action {
                Action::Ask(message) => passed("ask", &message),
                Action::Interrupt(message) => passed("interrupt", &message),
                Action::Shell(message) => passed("shell", &message),
                Action::IoPub(message) => passed("iopub", &message),
                Action::OwnShell(message) => own("own shell", &message),
                Action::OwnControl(message) => own("own control", &message),
                Action::OwnIoPub(message) => own("own iopub", &message),
                Action::Stop(on) => format!("stop {on}"),
            })
            .collect()
    }

    /// A conversation with a clock of its own.
    struct Talk {
        cells: Cells,
        now: Instant,
        actions: Vec<Action>,
    }

    impl Talk {
        fn new() -> Self {
            Self { cells: Cells::default(), now: Instant::now(), actions: Vec::new() }
        }

        fn run(&mut self, id: &str) -> Vec<String> {
            let request = message("execute_request", id, "", json!({ "code": "", "stop_on_error": true }));
            self.cells.request(request, self.now, &mut self.actions);
            seen(&mut self.actions)
        }

        fn iopub(&mut self, kind: &str, parent: &str, content: Value) -> Vec<String> {
            self.cells.iopub(message(kind, "k", parent, content), self.now, &mut self.actions);
            seen(&mut self.actions)
        }

        fn print(&mut self, parent: &str, text: &str) -> Vec<String> {
            self.iopub("stream", parent, json!({ "name": "stdout", "text": format!("{text}\n") }))
        }

        fn mark(&mut self, parent: &str, mark: Value) -> Vec<String> {
            self.print(parent, &format!("{RELAY_MARK}{mark}"))
        }

        /// The kernel's reply and its being idle, in the worse order; then silence.
        fn end(&mut self, parent: &str) -> Vec<String> {
            assert!(self.iopub("status", parent, json!({ "execution_state": "idle" })).is_empty());
            let reply = message("execute_reply", "r", parent, json!({ "status": "ok", "execution_count": 3 }));
            self.cells.reply(reply, self.now, &mut self.actions);
            assert!(self.actions.is_empty(), "it waits for what is still printed");
            self.wait(SILENCE)
        }

        fn wait(&mut self, time: Duration) -> Vec<String> {
            self.now += time;
            self.cells.tick(self.now, &mut self.actions);
            seen(&mut self.actions)
        }

        fn interrupt(&mut self) -> Vec<String> {
            self.cells.interrupt(message("interrupt_request", "i", "", json!({})), self.now, &mut self.actions);
            seen(&mut self.actions)
        }
    }

    #[test]
    fn lines_are_gathered_and_come_before_what_follows() {
        let mut talk = Talk::new();
        assert_eq!(talk.run("a"), ["ask execute_request of a"]);
        assert!(talk.print("a", "one").is_empty() && talk.print("a", "two").is_empty());
        let shown = talk.mark("a", json!({ "content": { "data": { "text/plain": "figure" } } }));
        assert_eq!(shown, ["own iopub stream one\ntwo\n", "own iopub display_data data"]);
        let updated = talk.mark("a", json!({ "update": true, "content": { "data": {} } }));
        assert_eq!(updated, ["own iopub update_display_data data"]);
        assert!(talk.print("a", "late").is_empty());
        assert_eq!(
            talk.end("a"),
            ["own iopub stream late\n", "shell execute_reply of r", "iopub status of k", "stop false"]
        );
    }

    #[test]
    fn a_line_waits_no_longer_than_it_must() {
        let mut talk = Talk::new();
        talk.run("a");
        talk.print("a", "one");
        assert_eq!(talk.cells.deadline(), Some(talk.now + GATHERING));
        assert_eq!(talk.wait(GATHERING), ["own iopub stream one\n"]);
        assert_eq!(talk.cells.deadline(), None);
    }

    #[test]
    fn requests_go_one_by_one() {
        let mut talk = Talk::new();
        talk.run("a");
        assert!(talk.run("b").is_empty());
        assert_eq!(talk.end("a").last().unwrap(), "ask execute_request of b");
        // One that the kernel never answers does not hold up the next.
        talk.end("b");
        talk.cells.request(message("comm_info_request", "c", "", json!({})), talk.now, &mut talk.actions);
        assert_eq!(seen(&mut talk.actions), ["ask comm_info_request of c"]);
        assert_eq!(talk.iopub("status", "c", json!({ "execution_state": "idle" })), ["iopub status of k"]);
        assert_eq!(talk.run("d"), ["ask execute_request of d"]);
    }

    #[test]
    fn a_failure_is_an_error_and_takes_back_what_waits() {
        for by_mark in [true, false] {
            let mut talk = Talk::new();
            talk.run("a");
            talk.run("b");
            let data = json!({ ERROR_MEDIA_TYPE: { "kind": "error", "message": "no" }, "text/plain": "Error: no" });
            let shown = match by_mark {
                true => talk.mark("a", json!({ "content": { "data": data } })),
                false => talk.iopub("execute_result", "a", json!({ "data": data })),
            };
            assert_eq!(shown, ["own iopub error no"]);
            let end = talk.end("a");
            let own = ["own shell execute_reply error", "iopub status of k", "stop false"];
            let taken = ["own iopub status busy", "own shell execute_reply aborted", "own iopub status idle"];
            assert_eq!(end, [own, taken].concat());
            assert_eq!(talk.run("c"), ["ask execute_request of c"]);
        }
    }

    #[test]
    fn a_value_that_debug_has_shown_is_not_said_again() {
        let mut talk = Talk::new();
        let said = json!({ "data": { "text/plain": "Figure(images)\n" } });
        talk.run("a");
        assert!(talk.mark("a", json!({ "shown": "Figure(images)" })).is_empty());
        assert!(talk.iopub("execute_result", "a", said.clone()).is_empty());
        let more = json!({ "data": { "text/plain": "Some(Figure(images))" } });
        assert_eq!(talk.iopub("execute_result", "a", more), ["iopub execute_result of k"]);
        talk.end("a");
        talk.run("b");
        assert_eq!(talk.iopub("execute_result", "b", said), ["iopub execute_result of k"]);
    }

    #[test]
    fn what_another_thread_says_is_no_failure_of_the_cell() {
        let mut talk = Talk::new();
        talk.run("a");
        let data = json!({ ERROR_MEDIA_TYPE: { "message": "no", "thread": "worker" }, "text/plain": "Panic in thread worker: no" });
        let shown = talk.mark("a", json!({ "content": { "data": data } }));
        assert_eq!(shown, ["own iopub stream Panic in thread worker: no\n"]);
        assert_eq!(talk.end("a")[0], "shell execute_reply of r");
    }

    #[test]
    fn what_listens_is_stopped_and_the_rest_is_interrupted() {
        let mut talk = Talk::new();
        assert_eq!(talk.interrupt(), ["own control interrupt_reply ok"]);
        talk.wait(EARNEST);
        talk.run("a");
        talk.run("b");
        talk.mark("a", json!({ "listens": true }));
        let stopped = talk.interrupt();
        assert_eq!(stopped[..3], ["own iopub status busy", "own shell execute_reply aborted", "own iopub status idle"]);
        assert_eq!(stopped[3..], ["stop true", "own control interrupt_reply ok"]);
        // Twice within three seconds is meant in earnest.
        talk.wait(EARNEST / 2);
        let killed = talk.interrupt();
        assert_eq!(killed[0], "interrupt interrupt_request of i");
        assert!(
            killed[1].starts_with("own iopub stream The kernel was interrupted: all variables are lost"),
            "{killed:?}"
        );
        talk.end("a");

        talk.run("c");
        talk.mark("c", json!({ "listens": true }));
        assert_eq!(talk.interrupt()[0], "stop true", "the presses were meant for another cell");
        talk.mark("c", json!({ "listens": false }));
        talk.wait(EARNEST);
        assert_eq!(talk.interrupt()[0], "interrupt interrupt_request of i", "nothing listens");
        talk.wait(EARNEST);
        talk.mark("c", json!({ "listens": true }));
        talk.mark("c", json!({ "listens": false }));
        talk.wait(BETWEEN_RUNS / 2);
        assert_eq!(talk.interrupt()[0], "stop true", "another run may follow");
    }
}
