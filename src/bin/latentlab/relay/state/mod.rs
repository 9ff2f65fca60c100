//! The state between Jupyter and the kernel: what happens to each message, without sockets and without a clock.
//!
//! The kernel gets one request at a time, so that those behind a failed cell can be aborted. A request ends when the
//! kernel has replied and is idle, and when the cell process has confirmed that everything printed before has arrived,
//! for that comes through another socket than the reply.
//!
//! Some requests are the relay's own: they open the channel of a new cell process, and list the variables.

mod output;
mod request;

#[cfg(test)]
mod tests;

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use crate::protocol::ERROR_MEDIA_TYPE;
use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::comms::Comms;
use super::message::Message;
use super::stream::Piece;

use self::output::Output;
use self::request::{Answer, Current, EXECUTE, Purpose, with_code_points};

/// A second interrupt within this time interrupts the kernel, also during a run that can be stopped.
const KILL_WINDOW: Duration = Duration::from_secs(3);

/// For this time after a run that can be stopped another one may begin, as in a loop over several trainings.
const BETWEEN_RUNS: Duration = Duration::from_secs(1);

/// What the relay has to do.
#[derive(Debug)]
pub enum Action {
    /// Send to the kernel's shell socket.
    Ask(Message),
    /// Send to the kernel's control socket: an interrupt request.
    Interrupt(Message),
    /// Send to Jupyter's clients.
    Shell(Message),
    Control(Message),
    IoPub(Message),
    /// Ask the cell process to confirm that everything printed has been sent.
    Sync,
    /// Set or clear the stop request in the cell process.
    Stop(bool),
    /// Tell the cell process what a user has done with a widget.
    Tell(Value),
}

/// The process in which evcxr runs the cells.
#[derive(Clone, Copy, Default, PartialEq)]
enum CellProcess {
    /// Its channel is open.
    Open,
    /// It is new, and has been asked this many times to open its channel.
    New(usize),
    /// It has no channel: the kernel runs without the library.
    #[default]
    Stock,
}

#[derive(Default)]
pub struct State {
    cell_process: CellProcess,
    waiting: VecDeque<Message>,
    current: Option<Current>,
    output: Output,
    comms: Comms,
    /// The last cell's id, if the client has told one.
    cell_id: Value,
    /// The number of cells that clients have executed, and the kernel's own count.
    count: u64,
    kernel_count: Value,
    /// The variables after the last cell, and whether they may have changed since they were listed.
    variables: BTreeSet<String>,
    is_stale: bool,
    /// What the next cell prints first.
    notice: Option<String>,
    /// The `Debug` text of the value that this cell has displayed last.
    displayed: Option<String>,
    /// The number of runs that can be stopped, and when the last of them ended.
    stoppable: usize,
    stoppable_until: Option<Instant>,
    /// The last interrupt of this cell.
    interrupted: Option<Instant>,
}

/// Opens the channel of a new cell process: a line of the prelude. (Code that begins with a colon is a command of
/// evcxr.)
const START: &str = "latentlab::jupyter::install_error_display();";
const STARTS: usize = 3;

const VARIABLES: &str = ":vars";

const RUN_AGAIN: &str = "Run the cells from the top again.";

impl State {
    /// `is_open`: whether the cell process has opened its channel.
    pub fn new(is_open: bool) -> Self {
        let cell_process = if is_open { CellProcess::Open } else { CellProcess::Stock };
        Self { cell_process, ..Self::default() }
    }

    /// A client's request.
    pub fn request(&mut self, request: Message, actions: &mut Vec<Action>) {
        if self.comms.answer(&request, actions) {
            // Jupyter takes the last status for the kernel's.
            if let Some(running) = self.current.as_ref().filter(|current| current.is_clients_cell()) {
                let busy = json!({ "execution_state": "busy" });
                actions.push(Action::IoPub(Message::new("status", &running.request.header, busy)));
            }
            return;
        }
        self.waiting.push_back(request);
        self.advance(actions);
    }

    /// Whether no request is being worked on or waits.
    pub fn is_idle(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty()
    }

    /// The client whose request the kernel is working on, if it is this request.
    pub fn client_of(&self, id: &str) -> Option<Vec<Bytes>> {
        let current = self.current.as_ref().filter(|current| current.request.id() == id)?;
        Some(current.request.identities.clone())
    }

    /// The kernel's reply to a request.
    pub fn reply(&mut self, reply: Message, actions: &mut Vec<Action>) {
        if let Some(current) = self.current.as_mut().filter(|current| current.request.id() == reply.parent_id()) {
            current.answer.reply = Some(reply);
            self.advance(actions);
        }
    }

    /// What the kernel publishes.
    pub fn iopub(&mut self, message: Message, now: Instant, actions: &mut Vec<Action>) {
        let current = self.current.as_mut().filter(|current| current.request.id() == message.parent_id());
        if let Some(current) = current {
            if message.kind() == "status" && message.content()["execution_state"] == "idle" {
                current.answer.idle = Some(message);
                return self.advance(actions);
            }
            if !current.is_clients() {
                if matches!(message.kind(), "execute_result" | "error") {
                    current.value.insert(message.kind().to_owned(), message.content().clone());
                }
                return;
            }
        }
        match message.kind() {
            // Printed without the channel, or before it was open.
            "stream" => {
                let text = message.content()["text"].as_str().unwrap_or_default();
                let stream = if message.content()["name"] == "stderr" { "stderr" } else { "stdout" };
                return self.print_text(stream, text, now, actions);
            }
            "execute_input" => {
                self.kernel_count = message.content()["execution_count"].clone();
                actions.push(Action::IoPub(self.counted(message)));
                if let Some(notice) = self.notice.take() {
                    self.print_text("stderr", &notice, now, actions);
                }
                return;
            }
            "error" => {
                let message = self.counted(message);
                self.fail(message.content());
                self.flush(actions);
                return actions.push(Action::IoPub(message));
            }
            "execute_result" | "display_data" => {
                self.flush(actions);
                let data = &message.content()["data"];
                if data.get(ERROR_MEDIA_TYPE).is_some() {
                    return self.library_error(&data.clone(), actions);
                }
            }
            _ => {}
        }
        self.flush(actions);
        actions.push(Action::IoPub(self.counted(message)));
    }

    /// The message with the client's execution count: the kernel's count includes the relay's own cells.
    fn counted(&self, message: Message) -> Message {
        let mut content = message.content().clone();
        if content.get("execution_count").is_some_and(|count| *count == self.kernel_count) {
            content["execution_count"] = self.count.into();
        } else if message.kind() == "error" {
            let (kernels, ours) = (format!("command_{}", self.kernel_count), format!("command_{}", self.count));
            for line in content["traceback"].as_array_mut().into_iter().flatten() {
                if let Some(text) = line.as_str().filter(|text| text.contains(&kernels)) {
                    *line = text.replace(&kernels, &ours).into();
                }
            }
        } else {
            return message;
        }
        message.with_content(content)
    }

    /// What the cells, or processes that they have started, have printed.
    pub fn print(&mut self, stream: &'static str, piece: Piece, now: Instant, actions: &mut Vec<Action>) {
        match piece {
            Piece::Text(text) if self.output.is_allowed(text.len(), now) => {
                self.print_omitted(now, actions);
                self.print_text(stream, &text, now, actions);
            }
            Piece::Text(_) => {}
            Piece::Block { media_type, content } => {
                actions.extend(self.output.flush().map(Action::IoPub));
                let value = match media_type.contains("json") {
                    true => serde_json::from_str(&content).unwrap_or_else(|_| content.into()),
                    false => content.into(),
                };
                match &mut self.current {
                    Some(current) => drop(current.value.insert(media_type, value)),
                    None => {
                        let content = json!({ "data": { media_type: value }, "metadata": {} });
                        actions.push(Action::IoPub(self.output.message("display_data", content)));
                    }
                }
            }
        }
    }

    /// This number of printed bytes did not arrive here.
    pub fn omit(&mut self, bytes: usize) {
        self.output.omit(bytes);
    }

    fn print_omitted(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if let Some(note) = self.output.take_omitted() {
            self.print_text("stderr", &note, now, actions);
        }
    }

    fn print_text(&mut self, stream: &'static str, text: &str, now: Instant, actions: &mut Vec<Action>) {
        self.flush_value("display_data", actions);
        actions.extend(self.output.push(stream, text, now).into_iter().map(Action::IoPub));
    }

    /// A message of the library.
    pub fn library_message(&mut self, mut message: Value, now: Instant, actions: &mut Vec<Action>) {
        if let Some(begins) = message["listens"].as_bool() {
            self.stoppable = if begins { self.stoppable + 1 } else { self.stoppable.saturating_sub(1) };
            self.stoppable_until = (self.stoppable == 0).then_some(now);
            return;
        }
        if let Some(text) = message["shown"].as_str() {
            self.displayed = Some(text.to_owned());
            return;
        }
        if message["figure"].is_string() {
            return self.comms.show_figure(&message, actions);
        }
        if message["set"].is_object() {
            return self.comms.set(&message["set"], actions);
        }
        self.flush(actions);
        if message["widgets"].is_string() {
            return self.comms.open(&message, &self.output.parent, &self.cell_id, actions);
        }
        let content = message["content"].take();
        if content["data"].get(ERROR_MEDIA_TYPE).is_some() {
            return self.library_error(&content["data"], actions);
        }
        let kind = if message["update"] == true { "update_display_data" } else { "display_data" };
        actions.push(Action::IoPub(self.output.message(kind, content)));
    }

    /// A `?` or a panic becomes an `error` message. In another thread than the cell's it is only printed: the cell has
    /// not failed.
    fn library_error(&mut self, data: &Value, actions: &mut Vec<Action>) {
        let (error, text) = (&data[ERROR_MEDIA_TYPE], data["text/plain"].as_str().unwrap_or_default());
        if error["thread"].is_string() {
            return actions.push(Action::IoPub(self.output.stderr(format!("{text}\n"))));
        }
        let (title, rest) = text.split_once(": ").unwrap_or(("Error", text));
        let traceback = format!("\u{1b}[1;31m{title}\u{1b}[0m: {rest}");
        let traceback: Vec<&str> = traceback.lines().collect();
        let message = error["message"].as_str().unwrap_or(rest);
        let failure = json!({ "ename": title, "evalue": message, "traceback": traceback });
        self.fail(&failure);
        actions.push(Action::IoPub(self.output.message("error", failure)));
    }

    fn fail(&mut self, content: &Value) {
        if let Some(current) = &mut self.current {
            current.failure.get_or_insert_with(|| content.clone());
        }
    }

    fn flush(&mut self, actions: &mut Vec<Action>) {
        actions.extend(self.output.flush().map(Action::IoPub));
        self.flush_value("display_data", actions);
    }

    /// Publishes the last value, unless it is the `Debug` text of one that has been displayed.
    fn flush_value(&mut self, kind: &str, actions: &mut Vec<Action>) {
        let Some(current) = self.current.as_mut().filter(|current| current.is_clients()) else { return };
        let data = Value::from(mem::take(&mut current.value));
        if data.as_object().is_none_or(Map::is_empty) {
            return;
        }
        if data.get(ERROR_MEDIA_TYPE).is_some() {
            return self.library_error(&data, actions);
        }
        if self.displayed.is_some() && data["text/plain"].as_str().map(str::trim_end) == self.displayed.as_deref() {
            return;
        }
        let mut content = json!({ "data": data, "metadata": {} });
        if kind == "execute_result" {
            content["execution_count"] = self.count.into();
        }
        actions.push(Action::IoPub(self.output.message(kind, content)));
    }

    /// When [`tick`](Self::tick) has to be called if no message arrives before.
    pub fn deadline(&self) -> Option<Instant> {
        self.output.deadline()
    }

    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            actions.extend(self.output.flush().map(Action::IoPub));
        }
    }

    /// The cell process has opened its channel.
    pub fn opened(&mut self) {
        self.cell_process = CellProcess::Open;
    }

    /// Everything printed before the sync request has arrived.
    pub fn synced(&mut self, actions: &mut Vec<Action>) {
        if let Some(current) = &mut self.current {
            current.synced = true;
            self.advance(actions);
        }
    }

    /// The cell process has ended.
    pub fn closed(&mut self, actions: &mut Vec<Action>) {
        self.cell_process = CellProcess::New(0);
        self.comms.end(actions);
        match self.current.as_mut().filter(|current| current.is_clients_cell()) {
            Some(current) => current.has_died = true,
            None => {
                let lost = self.lose_variables();
                self.notice = Some(format!("The process that runs the cells ended between two cells: {lost}"));
            }
        }
        self.advance(actions);
    }

    /// What the pages are told when the kernel is about to end.
    pub fn last_words(&mut self) -> Vec<Message> {
        let mut actions = Vec::new();
        self.comms.end(&mut actions);
        let published = |action| match action {
            Action::IoPub(message) => Some(message),
            _ => None,
        };
        actions.into_iter().filter_map(published).collect()
    }

    /// The end of a sentence about what is lost with the cell process.
    fn lose_variables(&mut self) -> String {
        let names: Vec<String> = mem::take(&mut self.variables).into_iter().collect();
        let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        format!("all variables are lost{names}, functions and imports are kept. {RUN_AGAIN}\n")
    }

    /// Ends the current request if it is complete, and sends the next ones.
    fn advance(&mut self, actions: &mut Vec<Action>) {
        loop {
            let Some(current) = &mut self.current else {
                let Some(next) = self.next() else { return };
                if next.is_clients_cell() {
                    self.comms.cell_begins(&self.cell_id, actions);
                }
                actions.push(Action::Ask(next.request.clone().with_identities(&[])));
                self.current = Some(next);
                continue;
            };
            if !current.is_answered() {
                return;
            }
            if self.cell_process == CellProcess::Open && current.request.kind() == EXECUTE && !current.synced {
                if !mem::replace(&mut current.sync_sent, true) {
                    actions.push(Action::Sync);
                }
                return;
            }
            if current.is_clients_cell() {
                self.print_omitted(Instant::now(), actions);
                actions.extend(self.output.flush().map(Action::IoPub));
                self.flush_value("execute_result", actions);
            }
            if let Some(current) = self.current.take() {
                self.finish(current, actions);
            }
        }
    }

    /// The next request for the kernel.
    fn next(&mut self) -> Option<Current> {
        match self.cell_process {
            CellProcess::New(STARTS) => self.cell_process = CellProcess::Stock,
            CellProcess::New(tries) => {
                self.cell_process = CellProcess::New(tries + 1);
                return Some(Current::own(START, Purpose::Start));
            }
            CellProcess::Open if mem::take(&mut self.is_stale) => {
                return Some(Current::own(VARIABLES, Purpose::Variables(None)));
            }
            _ => {}
        }
        let request = self.waiting.pop_front()?;
        if request.kind() == EXECUTE {
            self.output.parent = request.header.clone();
            self.cell_id = request.metadata()["cellId"].take();
            self.count += u64::from(request.content()["silent"] != true);
        }
        Some(Current::new(with_code_points(request), Purpose::Client))
    }

    fn finish(&mut self, current: Current, actions: &mut Vec<Action>) {
        if current.is_clients_cell() {
            return self.finish_cell(current, actions);
        }
        let Current { request, purpose, answer, value, .. } = current;
        match purpose {
            Purpose::Start => {}
            Purpose::Variables(failed) => {
                let text = value["execute_result"]["data"]["text/plain"].as_str().unwrap_or_default();
                let names = text.lines().filter_map(|line| line.split_once(": "));
                let names = names.map(|(name, _)| name.to_owned()).filter(|name| !name.starts_with('_')).collect();
                let before = mem::replace(&mut self.variables, names);
                let Some(failed) = failed else { return };
                let lost: Vec<String> = before.difference(&self.variables).map(|name| format!("`{name}`")).collect();
                if !lost.is_empty() {
                    let lost = lost.join(", ");
                    actions.push(Action::IoPub(self.output.stderr(format!(
                        "Lost with this cell: {lost}, which it had moved or declared again before it failed.\n"
                    ))));
                }
                self.answer(*failed, actions);
            }
            Purpose::Client => {
                let reply = answer.reply.map(|reply| reply.with_identities(&request.identities));
                self.answer(Answer { reply, ..answer }, actions);
            }
        }
    }

    fn finish_cell(&mut self, current: Current, actions: &mut Vec<Action>) {
        let Current { request, answer: Answer { reply, idle, .. }, failure, has_died, .. } = current;
        let evalue = failure.as_ref().and_then(|failure| failure["evalue"].as_str());
        let has_died = has_died || evalue.is_some_and(|evalue| evalue.contains("Subprocess terminated"));
        if has_died {
            let how = match self.interrupted {
                Some(_) => "The kernel was interrupted",
                None => "The process that runs the cells has ended",
            };
            let lost = self.lose_variables();
            actions.push(Action::IoPub(self.output.stderr(format!("{how}: {lost}"))));
        }
        let reply = reply.map(|reply| match &failure {
            Some(failure) => {
                let mut content = failure.clone();
                content["status"] = "error".into();
                content["execution_count"] = self.count.into();
                request.answer("execute_reply", content)
            }
            None => self.counted(reply).with_identities(&request.identities),
        });
        (self.displayed, self.stoppable, self.stoppable_until, self.interrupted) = (None, 0, None, None);
        actions.push(Action::Stop(false));
        let aborts = failure.is_some() && request.content()["stop_on_error"] != false;
        let answer = Answer { reply, idle, aborts };
        self.is_stale |= failure.is_none();
        if failure.is_none() || has_died || self.cell_process != CellProcess::Open {
            return self.answer(answer, actions);
        }
        // Before the end of a failed cell, the variables that were lost with it are named.
        let question = Current::own(VARIABLES, Purpose::Variables(Some(Box::new(answer))));
        actions.push(Action::Ask(question.request.clone()));
        self.current = Some(question);
    }

    fn answer(&mut self, answer: Answer, actions: &mut Vec<Action>) {
        actions.extend(answer.reply.map(Action::Shell));
        actions.extend(answer.idle.map(Action::IoPub));
        if answer.aborts {
            self.abort_waiting(actions);
        }
    }

    /// Replies `aborted` to the cells that wait: they are not run.
    fn abort_waiting(&mut self, actions: &mut Vec<Action>) {
        for request in mem::take(&mut self.waiting) {
            if request.kind() != EXECUTE {
                self.waiting.push_back(request);
                continue;
            }
            let status =
                |state| Action::IoPub(Message::new("status", &request.header, json!({ "execution_state": state })));
            let aborted = Action::Shell(request.answer("execute_reply", json!({ "status": "aborted" })));
            actions.extend([status("busy"), aborted, status("idle")]);
        }
    }

    /// Jupyter's stop button. A run that can be stopped ends by itself, and the cell continues; otherwise the kernel is
    /// interrupted, which loses all variables.
    pub fn interrupt(&mut self, request: Message, now: Instant, actions: &mut Vec<Action>) {
        let reply = |request: &Message| Action::Control(request.answer("interrupt_reply", json!({ "status": "ok" })));
        self.abort_waiting(actions);
        if !self.current.as_ref().is_some_and(Current::is_clients_cell) {
            // Not passed on: after an interrupt while idle, evcxr's next cell fails.
            return actions.push(reply(&request));
        }
        let again = self.interrupted.replace(now).is_some_and(|last| now < last + KILL_WINDOW);
        let stops = self.stoppable > 0 || self.stoppable_until.is_some_and(|until| now < until + BETWEEN_RUNS);
        if stops && !again {
            return actions.extend([Action::Stop(true), reply(&request)]);
        }
        actions.push(Action::Interrupt(request));
    }
}
