//! What happens to the messages between Jupyter and the kernel: the decisions, without sockets or clocks of its own.
//!
//! Requests go to the kernel one at a time, so that those behind a failed one can be taken back. A request is done when the kernel has answered
//! it and is idle, and the cells' process has said that all that was printed before has come: it comes by another way than the answer.
//!
//! Some requests are the relay's own: they let a new cells' process take up the channel, and ask which variables there are.

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use bytes::Bytes;
use latentlab::jupyter::ERROR_MEDIA_TYPE;
use serde_json::{Map, Value, json};
use unicode_segmentation::UnicodeSegmentation;

use super::message::Message;
use super::text::Piece;

/// How long printed lines are gathered, and how many bytes: Jupyter drops what comes by more than a thousand messages a second.
const GATHERING: Duration = Duration::from_millis(20);
const GATHERED: usize = 1 << 20;

/// How many bytes may be printed at once, and how many a second beyond: an endless loop would fill the memory of whoever shows them. To let the
/// printer wait instead would let all others wait, who print, too.
const AT_ONCE: f64 = 256e6;
const RATE: f64 = 16e6;

/// A second interrupt within this time kills what runs.
const KILL_WINDOW: Duration = Duration::from_secs(3);

/// How long after the last run that listens another one may begin, as in a loop over several trainings.
const BETWEEN_RUNS: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Send to the kernel's shell.
    Ask(Message),
    /// Interrupt the kernel, by this request.
    Interrupt(Message),
    /// Send to Jupyter's clients.
    Shell(Message),
    Control(Message),
    IoPub(Message),
    /// Ask the cells' process whether all that was printed has come.
    Sync,
    /// Set or clear the request that what runs in the cells' process stops.
    Stop(bool),
}

/// Why the kernel is asked.
#[derive(Debug)]
enum Purpose {
    /// A client has asked.
    Client,
    /// The cells' process is new, and has to take up the channel.
    Start,
    /// Which variables there are; with what a failed cell is waiting for.
    Variables(Option<Box<Answer>>),
}

/// The answer to a client's request, and the message that the kernel is idle.
#[derive(Debug, Default)]
struct Answer {
    reply: Option<Message>,
    idle: Option<Message>,
    /// The cells that wait are not run: this one has failed.
    takes_back: bool,
}

/// A request that the kernel works on.
struct Current {
    request: Message,
    purpose: Purpose,
    answer: Answer,
    failure: Option<Failure>,
    /// Whether the cells' process has been asked if all has come, and has answered.
    sync: [bool; 2],
    /// The cells' process has ended meanwhile.
    has_died: bool,
    /// The forms of the value that has been printed last.
    value: Map<String, Value>,
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

/// Text that is gathered, and since when.
struct Printed {
    stream: &'static str,
    text: String,
    since: Instant,
}

/// What may still be printed, at this time.
struct Flow {
    allowed: f64,
    at: Option<Instant>,
}

impl Flow {
    fn passes(&mut self, bytes: usize, now: Instant) -> bool {
        let earned = self.at.map_or(0.0, |at| RATE * (now - at).as_secs_f64());
        (self.allowed, self.at) = ((self.allowed + earned).min(AT_ONCE), Some(now));
        let passes = self.allowed >= bytes as f64;
        self.allowed -= if passes { bytes as f64 } else { 0.0 };
        passes
    }
}

/// The process in which the kernel runs the cells.
#[derive(Clone, Copy, PartialEq)]
enum Process {
    /// It has taken up the channel.
    Open,
    /// It is new, and has been asked so often to take it up.
    New(usize),
    /// It has none: the kernel runs without our library.
    Stock,
}

pub struct Cells {
    process: Process,
    waiting: VecDeque<Message>,
    current: Option<Current>,
    printed: Option<Printed>,
    flow: Flow,
    /// How many bytes have not been shown since the last that were.
    left_out: usize,
    /// The header of the last execution: what is printed belongs to it, also later.
    executed: Value,
    /// How many cells have been executed, and as how many the kernel counts them.
    count: u64,
    kernel_count: Value,
    /// The variables after the last cell, and whether there may be others now.
    variables: BTreeSet<String>,
    are_stale: bool,
    /// What the next cell has to say first.
    news: Option<String>,
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

const EXECUTE: &str = "execute_request";

/// What lets a new cells' process take up the channel: the prelude's own line. A line that begins with a colon would be a command of evcxr's.
const START: &str = "latentlab::jupyter::install_error_display();";
const STARTS: usize = 3;

impl Cells {
    /// `is_open`: whether the cells' process has taken up the channel.
    pub fn new(is_open: bool) -> Self {
        Self {
            process: if is_open { Process::Open } else { Process::Stock },
            waiting: VecDeque::new(),
            current: None,
            printed: None,
            flow: Flow { allowed: AT_ONCE, at: None },
            left_out: 0,
            executed: json!({}),
            count: 0,
            kernel_count: Value::Null,
            variables: BTreeSet::new(),
            are_stale: false,
            news: None,
            shown: None,
            listening: 0,
            listened_until: None,
            interrupted: None,
        }
    }

    /// A client's request.
    pub fn request(&mut self, request: Message, actions: &mut Vec<Action>) {
        self.waiting.push_back(request);
        self.advance(actions);
    }

    /// Who has sent the request that the kernel works on, if it is this one.
    pub fn asker(&self, id: &str) -> Option<Vec<Bytes>> {
        let current = self.current.as_ref().filter(|current| current.request.id() == id)?;
        Some(current.request.identities.clone())
    }

    /// The kernel's answer to a request.
    pub fn reply(&mut self, reply: Message, actions: &mut Vec<Action>) {
        if let Some(current) = self.current.as_mut().filter(|current| current.request.id() == reply.parent_id()) {
            current.answer.reply = Some(reply);
            self.advance(actions);
        }
    }

    /// What the kernel itself tells everybody.
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
            // Without the channel, or before it was there.
            "stream" => {
                let text = message.content()["text"].as_str().unwrap_or_default();
                let stream = if message.content()["name"] == "stderr" { "stderr" } else { "stdout" };
                return self.gather(stream, text, now, actions);
            }
            "execute_input" => {
                self.kernel_count = message.content()["execution_count"].clone();
                actions.push(Action::IoPub(self.counted(message)));
                if let Some(news) = self.news.take() {
                    self.gather("stderr", &news, now, actions);
                }
                return;
            }
            "error" => {
                let message = self.counted(message);
                let content = message.content();
                let text = |name: &str| content[name].as_str().unwrap_or_default().to_owned();
                let lines = content["traceback"].as_array().map(Vec::as_slice).unwrap_or_default();
                let traceback = lines.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                self.fail(Failure { name: text("ename"), value: text("evalue"), traceback });
                self.flush(actions);
                return actions.push(Action::IoPub(message));
            }
            "execute_result" | "display_data" => {
                self.flush(actions);
                let data = &message.content()["data"];
                if data.get(ERROR_MEDIA_TYPE).is_some() {
                    return self.failure_box(&data.clone(), actions);
                }
            }
            _ => {}
        }
        self.flush(actions);
        actions.push(Action::IoPub(self.counted(message)));
    }

    /// The message with the number that the cell has for the client: the kernel counts the relay's own cells, too.
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

    /// What the cells, or what they have started, have printed.
    pub fn print(&mut self, stream: &'static str, piece: Piece, now: Instant, actions: &mut Vec<Action>) {
        match piece {
            Piece::Text(text) if self.flow.passes(text.len(), now) => {
                self.tell_left_out(now, actions);
                self.gather(stream, &text, now, actions);
            }
            Piece::Text(text) => self.leave_out(text.len()),
            Piece::Block { media_type, content } => {
                self.flush_text(actions);
                let value = match media_type.contains("json") {
                    true => serde_json::from_str(&content).unwrap_or_else(|_| content.into()),
                    false => content.into(),
                };
                match &mut self.current {
                    Some(current) => drop(current.value.insert(media_type, value)),
                    None => {
                        let content = json!({ "data": { media_type: value }, "metadata": {} });
                        actions.push(self.display("display_data", content));
                    }
                }
            }
        }
    }

    /// So many bytes of what was printed have not been passed on.
    pub fn leave_out(&mut self, bytes: usize) {
        self.left_out += bytes;
    }

    fn tell_left_out(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.left_out > 0 {
            let megabytes = mem::take(&mut self.left_out).div_ceil(1_000_000);
            let text =
                format!("\n… {megabytes} MB are left out here: they came faster than a notebook can show them.\n");
            self.gather("stderr", &text, now, actions);
        }
    }

    fn gather(&mut self, stream: &'static str, text: &str, now: Instant, actions: &mut Vec<Action>) {
        self.flush_value("display_data", actions);
        match &mut self.printed {
            Some(printed) if printed.stream == stream => printed.text.push_str(text),
            _ => {
                self.flush_text(actions);
                self.printed = Some(Printed { stream, text: text.to_owned(), since: now });
            }
        }
        if self.printed.as_ref().is_some_and(|printed| printed.text.len() >= GATHERED) {
            self.flush_text(actions);
        }
    }

    /// A message of the library.
    pub fn told(&mut self, mut message: Value, now: Instant, actions: &mut Vec<Action>) {
        if let Some(listens) = message["listens"].as_bool() {
            self.listening = if listens { self.listening + 1 } else { self.listening.saturating_sub(1) };
            self.listened_until = (self.listening == 0).then_some(now);
            return;
        }
        if let Some(text) = message["shown"].as_str() {
            self.shown = Some(text.to_owned());
            return;
        }
        self.flush(actions);
        let content = message["content"].take();
        if content["data"].get(ERROR_MEDIA_TYPE).is_some() {
            return self.failure_box(&content["data"], actions);
        }
        let kind = if message["update"] == true { "update_display_data" } else { "display_data" };
        actions.push(self.display(kind, content));
    }

    fn display(&self, kind: &str, content: Value) -> Action {
        Action::IoPub(Message::new(kind, &self.executed, content))
    }

    /// A `?` or a panic becomes an error as Jupyter knows it; what another thread says is no failure of the cell.
    fn failure_box(&mut self, data: &Value, actions: &mut Vec<Action>) {
        let (mark, text) = (&data[ERROR_MEDIA_TYPE], data["text/plain"].as_str().unwrap_or_default());
        if mark["thread"].is_string() {
            return actions.push(self.display("stream", json!({ "name": "stderr", "text": format!("{text}\n") })));
        }
        let (title, rest) = text.split_once(": ").unwrap_or(("Error", text));
        let traceback = format!("\u{1b}[1;31m{title}\u{1b}[0m: {rest}").lines().map(str::to_owned).collect();
        let message = mark["message"].as_str().unwrap_or(rest);
        let failure = Failure { name: title.to_owned(), value: message.to_owned(), traceback };
        actions.push(self.display("error", failure.to_json()));
        self.fail(failure);
    }

    fn fail(&mut self, failure: Failure) {
        if let Some(current) = &mut self.current {
            current.failure.get_or_insert(failure);
        }
    }

    fn flush(&mut self, actions: &mut Vec<Action>) {
        self.flush_text(actions);
        self.flush_value("display_data", actions);
    }

    fn flush_text(&mut self, actions: &mut Vec<Action>) {
        if let Some(Printed { stream, text, .. }) = self.printed.take() {
            actions.push(self.display("stream", json!({ "name": stream, "text": text })));
        }
    }

    /// The last value, unless it is the text of one that has shown itself.
    fn flush_value(&mut self, kind: &str, actions: &mut Vec<Action>) {
        let Some(current) = self.current.as_mut().filter(|current| current.is_clients()) else { return };
        let data = Value::from(mem::take(&mut current.value));
        if data.as_object().is_none_or(Map::is_empty) {
            return;
        }
        if data.get(ERROR_MEDIA_TYPE).is_some() {
            return self.failure_box(&data, actions);
        }
        if self.shown.is_some() && data["text/plain"].as_str().map(str::trim_end) == self.shown.as_deref() {
            return;
        }
        let mut content = json!({ "data": data, "metadata": {} });
        if kind == "execute_result" {
            content["execution_count"] = self.count.into();
        }
        actions.push(self.display(kind, content));
    }

    /// When there may be something to do without a message.
    pub fn deadline(&self) -> Option<Instant> {
        self.printed.as_ref().map(|printed| printed.since + GATHERING)
    }

    /// What is due.
    pub fn tick(&mut self, now: Instant, actions: &mut Vec<Action>) {
        if self.deadline().is_some_and(|deadline| now >= deadline) {
            self.flush_text(actions);
        }
    }

    /// The cells' process has taken up the channel.
    pub fn opened(&mut self) {
        self.process = Process::Open;
    }

    /// All that was printed before the question has come.
    pub fn synced(&mut self, actions: &mut Vec<Action>) {
        if let Some(current) = &mut self.current {
            current.sync[1] = true;
            self.advance(actions);
        }
    }

    /// The cells' process has ended.
    pub fn closed(&mut self, actions: &mut Vec<Action>) {
        self.process = Process::New(0);
        let executing = self.current.as_mut().filter(|current| current.request.kind() == EXECUTE);
        match executing.filter(|current| current.is_clients()) {
            Some(current) => current.has_died = true,
            None => {
                let variables = self.lose_variables();
                self.news =
                    Some(format!("The process of the cells had ended while no cell ran: {variables}. {AGAIN}\n"));
            }
        }
        self.advance(actions);
    }

    /// What is lost with the cells' process.
    fn lose_variables(&mut self) -> String {
        let names: Vec<String> = mem::take(&mut self.variables).into_iter().collect();
        let names = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
        format!("all variables are lost{names}, functions and imports are kept")
    }

    /// Goes on as far as it goes.
    fn advance(&mut self, actions: &mut Vec<Action>) {
        loop {
            let Some(current) = &mut self.current else {
                match self.next() {
                    Some(current) => {
                        actions.push(Action::Ask(current.request.clone().with_identities(&[])));
                        self.current = Some(current);
                    }
                    None => return,
                }
                continue;
            };
            if !current.is_answered() {
                return;
            }
            if self.process == Process::Open && current.request.kind() == EXECUTE && current.sync != [true, true] {
                if !mem::replace(&mut current.sync[0], true) {
                    actions.push(Action::Sync);
                }
                return;
            }
            if let Some(current) = self.current.take() {
                self.finish(current, actions);
            }
        }
    }

    /// The next request for the kernel.
    fn next(&mut self) -> Option<Current> {
        match self.process {
            Process::New(STARTS) => self.process = Process::Stock,
            Process::New(tries) => {
                self.process = Process::New(tries + 1);
                return Some(Current::of_relay(START, Purpose::Start));
            }
            Process::Open if mem::take(&mut self.are_stale) => {
                return Some(Current::of_relay(":vars", Purpose::Variables(None)));
            }
            _ => {}
        }
        let request = self.waiting.pop_front()?;
        if request.kind() == EXECUTE {
            self.executed = request.header.clone();
            self.count += u64::from(request.content()["silent"] != true);
        }
        Some(Current::new(with_code_points(request), Purpose::Client))
    }

    fn finish(&mut self, mut current: Current, actions: &mut Vec<Action>) {
        let is_execution = current.request.kind() == EXECUTE;
        match mem::replace(&mut current.purpose, Purpose::Client) {
            Purpose::Start => {}
            Purpose::Variables(answer) => {
                let text = current.value["execute_result"]["data"]["text/plain"].as_str().unwrap_or_default();
                let names = text.lines().filter_map(|line| line.split_once(": "));
                let names: BTreeSet<String> =
                    names.map(|(name, _)| name.to_owned()).filter(|name| !name.starts_with('_')).collect();
                let before = mem::replace(&mut self.variables, names);
                if let Some(answer) = answer {
                    let lost: Vec<String> =
                        before.difference(&self.variables).map(|name| format!("`{name}`")).collect();
                    if !lost.is_empty() {
                        let text = format!(
                            "Lost with this cell: {}, which it had moved or declared again before it failed.\n",
                            lost.join(", ")
                        );
                        actions.push(self.display("stream", json!({ "name": "stderr", "text": text })));
                    }
                    self.answer(*answer, actions);
                }
            }
            Purpose::Client if is_execution => self.finish_cell(current, actions),
            Purpose::Client => {
                let identities = current.request.identities;
                let reply = current.answer.reply.map(|reply| reply.with_identities(&identities));
                self.answer(Answer { reply, ..current.answer }, actions);
            }
        }
    }

    fn finish_cell(&mut self, mut current: Current, actions: &mut Vec<Action>) {
        let stops = current.request.content()["stop_on_error"] != false;
        current.has_died |=
            current.failure.as_ref().is_some_and(|failure| failure.value.contains("Subprocess terminated"));
        let (request, reply) = (current.request.clone(), current.answer.reply.take());
        let (failure, has_died) = (current.failure.clone(), current.has_died);
        let idle = current.answer.idle.take();
        self.current = Some(current);
        self.tell_left_out(Instant::now(), actions);
        self.flush_text(actions);
        self.flush_value("execute_result", actions);
        self.current = None;
        if has_died {
            let how = if self.interrupted.is_some() {
                "The kernel was interrupted"
            } else {
                "The process of the cells has ended"
            };
            let variables = self.lose_variables();
            let text = format!("{how}: {variables}. {AGAIN}\n");
            actions.push(self.display("stream", json!({ "name": "stderr", "text": text })));
        }
        let reply = reply.map(|reply| match &failure {
            Some(failure) => {
                let mut content = failure.to_json();
                content["status"] = "error".into();
                content["execution_count"] = self.count.into();
                request.answer("execute_reply", content)
            }
            None => self.counted(reply).with_identities(&request.identities),
        });
        (self.shown, self.listening, self.listened_until, self.interrupted) = (None, 0, None, None);
        actions.push(Action::Stop(false));
        let answer = Answer { reply, idle, takes_back: failure.is_some() && stops };
        if failure.is_none() {
            self.are_stale = true;
            return self.answer(answer, actions);
        }
        if has_died || self.process != Process::Open {
            return self.answer(answer, actions);
        }
        // Which variables the failed cell has cost is said before its end.
        let question = Current::of_relay(":vars", Purpose::Variables(Some(Box::new(answer))));
        actions.push(Action::Ask(question.request.clone()));
        self.current = Some(question);
    }

    fn answer(&mut self, answer: Answer, actions: &mut Vec<Action>) {
        actions.extend(answer.reply.map(Action::Shell));
        actions.extend(answer.idle.map(Action::IoPub));
        if answer.takes_back {
            self.take_back(actions);
        }
    }

    /// Answers the cells that wait: they are not run.
    fn take_back(&mut self, actions: &mut Vec<Action>) {
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

    /// Jupyter's stop button. A run that listens stops by itself, and the cell goes on; else the kernel is interrupted as it
    /// always is, and its variables are lost.
    pub fn interrupt(&mut self, request: Message, now: Instant, actions: &mut Vec<Action>) {
        let done = |request: &Message| Action::Control(request.answer("interrupt_reply", json!({ "status": "ok" })));
        self.take_back(actions);
        let is_execution = |current: &&Current| current.request.kind() == EXECUTE && current.is_clients();
        if self.current.as_ref().filter(is_execution).is_none() {
            return actions.push(done(&request)); // an idle kernel would fail at its next cell
        }
        let again = self.interrupted.replace(now).is_some_and(|last| now < last + KILL_WINDOW);
        let listens = self.listening > 0 || self.listened_until.is_some_and(|until| now < until + BETWEEN_RUNS);
        if listens && !again {
            return actions.extend([Action::Stop(true), done(&request)]);
        }
        actions.push(Action::Interrupt(request));
    }
}

const AGAIN: &str = "Run the cells from the top again.";

impl Current {
    fn new(request: Message, purpose: Purpose) -> Self {
        let answer = Answer::default();
        Self { request, purpose, answer, failure: None, sync: [false; 2], has_died: false, value: Map::new() }
    }

    fn of_relay(code: &str, purpose: Purpose) -> Self {
        let content = json!({
            "code": code, "silent": true, "store_history": false, "user_expressions": {}, "allow_stdin": false,
            "stop_on_error": false,
        });
        Self::new(Message::new(EXECUTE, &json!({}), content), purpose)
    }

    fn is_clients(&self) -> bool {
        matches!(self.purpose, Purpose::Client)
    }

    /// Whether the kernel has said all that it says to requests of this kind.
    fn is_answered(&self) -> bool {
        self.answer.idle.is_some() && (self.answer.reply.is_some() || !ANSWERED.contains(&self.request.kind()))
    }
}

/// Jupyter counts a cursor's place in code points, the kernel in what a reader sees as characters. Where that is not the same, code points
/// that are not a character by themselves are others of which each is one: that changes no word that the kernel can complete.
fn with_code_points(request: Message) -> Message {
    let is_placed = matches!(request.kind(), "complete_request" | "inspect_request");
    match request.content()["code"].as_str() {
        Some(code) if is_placed && (!code.is_ascii() || code.contains('\r')) => {
            let code: String = UnicodeSegmentation::graphemes(code, true)
                .flat_map(|seen| match seen.chars().count() {
                    1 => seen.chars().collect(),
                    _ if seen == "\r\n" => vec![' ', '\n'],
                    count => vec!['x'; count],
                })
                .collect();
            let mut content = request.content().clone();
            content["code"] = code.into();
            request.with_content(content)
        }
        _ => request,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{message::Key, text::Stream};
    use super::*;
    use crate::mutate;

    fn message(kind: &str, id: &str, parent: &str, content: Value) -> Message {
        let mut message = Message::new(kind, &json!({ "msg_id": parent }), content);
        message.header["msg_id"] = id.into();
        message.with_identities(&[Bytes::from_static(b"client")])
    }

    /// What a test sees of the actions: who gets which kind of message with which text.
    fn seen(actions: &mut Vec<Action>) -> Vec<String> {
        let message = |way: &str, message: &Message| {
            let content = message.content();
            let text = ["text", "code", "execution_state", "status", "evalue"].iter();
            let text = text.clone().find_map(|key| content[key].as_str());
            let text = text.or(content["data"]["text/plain"].as_str()).unwrap_or_default();
            format!("{way} {} {text}", message.kind()).trim_end_matches(' ').to_owned()
        };
        actions
            .drain(..)
            .map(|action| match action {
                Action::Ask(asked) => message("ask", &asked),
                Action::Interrupt(_) => "interrupt".to_owned(),
                Action::Shell(reply) => message("shell", &reply),
                Action::Control(reply) => message("control", &reply),
                Action::IoPub(told) => message("iopub", &told),
                Action::Sync => "sync".to_owned(),
                Action::Stop(on) => format!("stop {on}"),
            })
            .collect()
    }

    /// A conversation with a clock of its own.
    struct Talk {
        cells: Cells,
        stdout: Stream,
        now: Instant,
        actions: Vec<Action>,
        /// What evcxr has been asked last.
        asked: String,
        count: u64,
    }

    impl Talk {
        fn new() -> Self {
            Self {
                cells: Cells::new(true),
                stdout: Stream::default(),
                now: Instant::now(),
                actions: Vec::new(),
                asked: String::new(),
                count: 0,
            }
        }

        fn seen(&mut self) -> Vec<String> {
            let asked = self.actions.iter().rev().find_map(|action| match action {
                Action::Ask(asked) => Some(asked.id().to_owned()),
                _ => None,
            });
            self.asked = asked.unwrap_or(mem::take(&mut self.asked));
            seen(&mut self.actions)
        }

        fn request(&mut self, kind: &str, id: &str, content: Value) -> Vec<String> {
            self.cells.request(message(kind, id, "", content), &mut self.actions);
            self.seen()
        }

        /// A client's cell; the kernel says that it has it.
        fn run(&mut self, code: &str) -> Vec<String> {
            let seen = self.request(EXECUTE, code, json!({ "code": code }));
            if seen.iter().any(|line| line.starts_with("ask execute_request")) {
                self.count += 1;
                self.iopub("execute_input", json!({ "execution_count": self.count }));
            }
            seen
        }

        fn iopub(&mut self, kind: &str, content: Value) -> Vec<String> {
            self.cells.iopub(message(kind, "k", &self.asked, content), self.now, &mut self.actions);
            self.seen()
        }

        fn print(&mut self, text: &str) -> Vec<String> {
            for piece in self.stdout.add(text.as_bytes()) {
                self.cells.print("stdout", piece, self.now, &mut self.actions);
            }
            self.seen()
        }

        fn told(&mut self, message: Value) -> Vec<String> {
            self.cells.told(message, self.now, &mut self.actions);
            self.seen()
        }

        /// The kernel's reply and its being idle, in the worse order.
        fn reply(&mut self, status: &str) -> Vec<String> {
            let mut seen = self.iopub("status", json!({ "execution_state": "idle" }));
            let content = json!({ "status": status, "execution_count": self.count });
            self.cells.reply(message("execute_reply", "r", &self.asked, content), &mut self.actions);
            seen.extend(self.seen());
            seen
        }

        fn synced(&mut self) -> Vec<String> {
            self.cells.synced(&mut self.actions);
            self.seen()
        }

        /// The end of a cell, and the relay's question after its variables, with these.
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
            self.cells.closed(&mut self.actions);
            self.seen()
        }

        fn wait(&mut self, time: Duration) -> Vec<String> {
            self.now += time;
            self.cells.tick(self.now, &mut self.actions);
            self.seen()
        }

        fn interrupt(&mut self) -> Vec<String> {
            self.cells.interrupt(message("interrupt_request", "i", "", json!({})), self.now, &mut self.actions);
            self.seen()
        }
    }

    #[test]
    fn text_of_any_kind_comes_before_what_follows_and_before_the_end() {
        let mut talk = Talk::new();
        assert_eq!(talk.run("a"), ["ask execute_request a"]);
        assert!(talk.print("one\n").is_empty() && talk.print("\u{1}latentlab {\"content\": 5}").is_empty());
        let shown = talk.told(json!({ "content": { "data": { "text/plain": "figure" } } }));
        assert_eq!(shown, ["iopub stream one\n\u{1}latentlab {\"content\": 5}", "iopub display_data figure"]);
        let updated = talk.told(json!({ "update": true, "content": { "data": {} } }));
        assert_eq!(updated, ["iopub update_display_data"]);
        assert_eq!(talk.reply("ok"), ["sync"]);
        assert!(
            talk.print("late").is_empty(),
            "what comes before the answer of the cells' process belongs to the cell"
        );
        let end = talk.synced();
        assert_eq!(end[..4], ["iopub stream late", "stop false", "shell execute_reply ok", "iopub status idle"]);
    }

    #[test]
    fn a_value_is_the_cells_result_and_one_in_the_middle_is_shown() {
        let mut talk = Talk::new();
        talk.run("a");
        let block = |text: &str| format!("EVCXR_BEGIN_CONTENT text/plain\n{text}\nEVCXR_END_CONTENT\n");
        assert!(talk.print(&block("1")).is_empty());
        assert_eq!(talk.print("then\n"), ["iopub display_data 1"]);
        assert_eq!(talk.print(&block("2")), ["iopub stream then\n"]);
        assert_eq!(talk.end("")[..2], ["iopub execute_result 2", "stop false"]);
    }

    #[test]
    fn a_line_waits_no_longer_than_it_must() {
        let mut talk = Talk::new();
        talk.run("a");
        talk.print("one");
        assert_eq!(talk.cells.deadline(), Some(talk.now + GATHERING));
        assert_eq!(talk.wait(GATHERING), ["iopub stream one"]);
        assert_eq!(talk.cells.deadline(), None);
    }

    #[test]
    fn a_flood_is_cut_with_a_word_and_values_in_it_are_kept() {
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
    fn requests_go_one_by_one() {
        let mut talk = Talk::new();
        talk.run("a");
        assert!(talk.request(EXECUTE, "b", json!({ "code": "b" })).is_empty());
        assert_eq!(talk.end("").last().unwrap(), "ask execute_request b");
        // One that the kernel never answers does not hold up the next.
        talk.end("");
        assert_eq!(talk.request("comm_info_request", "c", json!({})), ["ask comm_info_request"]);
        assert_eq!(talk.iopub("status", json!({ "execution_state": "idle" })), ["iopub status idle"]);
        assert_eq!(talk.run("d"), ["ask execute_request d"]);
    }

    #[test]
    fn a_failure_is_an_error_and_takes_back_what_waits() {
        for by_message in [true, false] {
            let mut talk = Talk::new();
            talk.run("a");
            talk.request(EXECUTE, "b", json!({ "code": "b" }));
            let data = json!({ ERROR_MEDIA_TYPE: { "kind": "error", "message": "no" }, "text/plain": "Error: no" });
            let shown = match by_message {
                true => talk.told(json!({ "content": { "data": data } })),
                false => talk.iopub("execute_result", json!({ "data": data })),
            };
            assert_eq!(shown, ["iopub error no"]);
            assert_eq!(talk.reply("ok"), ["sync"]);
            assert_eq!(talk.synced(), ["stop false", "ask execute_request :vars"]);
            let own = ["shell execute_reply error", "iopub status idle"];
            let taken = ["iopub status busy", "shell execute_reply aborted", "iopub status idle"];
            assert_eq!(talk.variables(""), [&own[..], &taken].concat());
            assert_eq!(talk.run("c"), ["ask execute_request c"]);
        }
    }

    #[test]
    fn a_failed_cell_says_which_variables_it_has_cost() {
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
    fn cells_are_counted_without_the_relays_own() {
        let mut talk = Talk::new();
        talk.run("a");
        talk.end("");
        talk.count = 7;
        talk.cells.request(message(EXECUTE, "b", "", json!({ "code": "b" })), &mut talk.actions);
        talk.seen();
        talk.cells.iopub(
            message("execute_input", "k", "b", json!({ "execution_count": 8 })),
            talk.now,
            &mut talk.actions,
        );
        let failed = json!({ "ename": "E", "evalue": "e", "traceback": ["in command_8:1"] });
        talk.cells.iopub(message("error", "k", "b", failed), talk.now, &mut talk.actions);
        let told: Vec<Value> = talk
            .actions
            .drain(..)
            .map(|action| match action {
                Action::IoPub(message) => message.content().clone(),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told[0]["execution_count"], 2);
        assert_eq!(told[1]["traceback"][0], "in command_2:1");
    }

    #[test]
    fn a_value_that_debug_has_shown_is_not_said_again() {
        let said = |text: &str| format!("EVCXR_BEGIN_CONTENT text/plain\n{text}\nEVCXR_END_CONTENT\n");
        let mut talk = Talk::new();
        talk.run("a");
        assert!(talk.told(json!({ "shown": "Figure(images)" })).is_empty());
        talk.print(&said("Some(Figure(images))"));
        assert_eq!(talk.print("\n"), ["iopub display_data Some(Figure(images))"]);
        assert_eq!(talk.print(&said("Figure(images)")), ["iopub stream \n"]);
        assert_eq!(talk.end("")[0], "stop false");
        talk.run("b");
        talk.print(&said("Figure(images)"));
        assert_eq!(talk.end("")[0], "iopub execute_result Figure(images)");
    }

    #[test]
    fn what_another_thread_says_is_no_failure_of_the_cell() {
        let mut talk = Talk::new();
        talk.run("a");
        let data = json!({ ERROR_MEDIA_TYPE: { "message": "no", "thread": "worker" }, "text/plain": "Panic in thread worker: no" });
        assert_eq!(talk.told(json!({ "content": { "data": data } })), ["iopub stream Panic in thread worker: no\n"]);
        assert!(talk.end("").contains(&"shell execute_reply ok".to_owned()));
    }

    #[test]
    fn a_cell_whose_process_dies_says_what_is_lost_and_the_next_has_everything() {
        let mut talk = Talk::new();
        talk.run("a");
        talk.end("model: Autoencoder\n");
        talk.run("b");
        talk.print("last words");
        assert!(talk.closed().is_empty(), "the kernel has not noticed yet");
        talk.fail("Subprocess terminated with status: signal: 6 (SIGABRT)");
        let end = talk.reply("error");
        let lost = "iopub stream The process of the cells has ended: all variables are lost (model), functions and imports are kept.";
        assert!(end.iter().any(|line| line.starts_with(lost)), "{end:?}");
        assert_eq!(
            end[end.len() - 3..],
            ["shell execute_reply error", "iopub status idle", &format!("ask execute_request {START}")]
        );
        // A request of a client waits until the new process is ready.
        assert!(talk.request(EXECUTE, "c", json!({ "code": "c" })).is_empty());
        talk.cells.opened();
        assert_eq!(talk.reply("ok"), ["sync"]);
        assert_eq!(talk.synced(), ["ask execute_request c"]);
    }

    #[test]
    fn a_process_that_dies_between_cells_is_replaced_and_the_next_cell_tells() {
        let mut talk = Talk::new();
        talk.run("a");
        talk.end("model: Autoencoder\n");
        assert_eq!(talk.closed(), [format!("ask execute_request {START}")]);
        // The kernel notices only now that it is gone.
        assert!(talk.fail("Subprocess terminated").is_empty());
        assert_eq!(talk.reply("error"), [format!("ask execute_request {START}")]);
        talk.cells.opened();
        assert_eq!(talk.reply("ok"), ["sync"]);
        assert!(talk.synced().is_empty());
        talk.run("b");
        let end = talk.end("");
        assert!(end[0].contains("had ended while no cell ran: all variables are lost (model)"), "{end:?}");
        // Without the library nothing is tried for ever.
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
    fn what_listens_is_stopped_and_the_rest_is_interrupted() {
        let mut talk = Talk::new();
        assert_eq!(talk.interrupt(), ["control interrupt_reply ok"]);
        talk.wait(KILL_WINDOW);
        talk.run("a");
        talk.request(EXECUTE, "b", json!({ "code": "b" }));
        talk.told(json!({ "listens": true }));
        let stopped = talk.interrupt();
        assert_eq!(stopped[..3], ["iopub status busy", "shell execute_reply aborted", "iopub status idle"]);
        assert_eq!(stopped[3..], ["stop true", "control interrupt_reply ok"]);
        // Twice within three seconds kills.
        talk.wait(KILL_WINDOW / 2);
        assert_eq!(talk.interrupt(), ["interrupt"]);
        talk.end("");

        talk.run("c");
        talk.told(json!({ "listens": true }));
        assert_eq!(talk.interrupt()[0], "stop true", "the presses were meant for another cell");
        talk.told(json!({ "listens": false }));
        talk.wait(KILL_WINDOW);
        assert_eq!(talk.interrupt(), ["interrupt"], "nothing listens");
        talk.wait(KILL_WINDOW);
        talk.told(json!({ "listens": true }));
        talk.told(json!({ "listens": false }));
        talk.wait(BETWEEN_RUNS / 2);
        assert_eq!(talk.interrupt()[0], "stop true", "another run may follow");
    }

    #[test]
    fn ten_thousand_damaged_messages_upset_nothing() {
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
            ("told", json!({ "update": true, "content": { "data": data }, "listens": true, "shown": "x" })),
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
                talk.cells.print("stdout", piece, talk.now, &mut talk.actions);
            }
            let Some(message) = Message::read(key.signed(&parts.map(Bytes::from)), &key) else {
                refused += 1;
                continue;
            };
            read += 1;
            match *kind {
                EXECUTE | "complete_request" => talk.cells.request(message, &mut talk.actions),
                "interrupt_request" => talk.cells.interrupt(message, talk.now, &mut talk.actions),
                "execute_reply" => talk.cells.reply(message, &mut talk.actions),
                "told" => talk.cells.told(message.content().clone(), talk.now, &mut talk.actions),
                _ => talk.cells.iopub(message, talk.now, &mut talk.actions),
            }
            if number % 7 == 0 {
                talk.synced();
            }
            if number % 501 == 0 {
                talk.closed();
                talk.cells.opened();
            }
            talk.wait(GATHERING);
        }
        println!("10,000 damaged messages: {read} are some, {refused} are refused");
        assert!(read > 1_000 && refused > 1_000, "{read} read, {refused} refused");
    }

    #[test]
    fn a_cursors_place_counts_code_points() {
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
}
