//! Requests to the kernel, one at a time.

use serde_json::{Map, Value, json};
use unicode_segmentation::UnicodeSegmentation;

use super::super::message::Message;

pub const EXECUTE: &str = "execute_request";

/// The requests that evcxr replies to. For others it only publishes that it is busy and idle.
const ANSWERED: [&str; 5] =
    [EXECUTE, "kernel_info_request", "complete_request", "inspect_request", "is_complete_request"];

/// Why a request is sent to the kernel.
#[derive(Debug)]
pub enum Purpose {
    /// A client has sent it.
    Client,
    /// The cell process is new and has to open its channel.
    Start,
    /// Which variables are defined? With the answer for the client whose cell has failed, which waits for that.
    Variables(Option<Box<Answer>>),
}

/// The end of a client's request: the kernel's reply, and its status `idle`.
#[derive(Debug, Default)]
pub struct Answer {
    pub reply: Option<Message>,
    pub idle: Option<Message>,
    /// The cell has failed, and the cells that wait are not run.
    pub aborts: bool,
}

/// The request that the kernel is working on.
pub struct Current {
    pub request: Message,
    pub purpose: Purpose,
    pub answer: Answer,
    /// The content of the first `error` message.
    pub failure: Option<Value>,
    pub sync_sent: bool,
    /// Everything that the cell process printed before its end has arrived.
    pub synced: bool,
    /// The cell process has ended in the meantime.
    pub has_died: bool,
    /// The last value that evcxr has printed, by media type.
    pub value: Map<String, Value>,
}

impl Current {
    pub fn new(request: Message, purpose: Purpose) -> Self {
        Self {
            request,
            purpose,
            answer: Answer::default(),
            failure: None,
            sync_sent: false,
            synced: false,
            has_died: false,
            value: Map::new(),
        }
    }

    /// An execute request of the relay itself.
    pub fn own(code: &str, purpose: Purpose) -> Self {
        let content = json!({
            "code": code, "silent": true, "store_history": false, "user_expressions": {}, "allow_stdin": false,
            "stop_on_error": false,
        });
        Self::new(Message::new(EXECUTE, &json!({}), content), purpose)
    }

    pub fn is_clients(&self) -> bool {
        matches!(self.purpose, Purpose::Client)
    }

    pub fn is_clients_cell(&self) -> bool {
        self.is_clients() && self.request.kind() == EXECUTE
    }

    /// Whether the kernel has sent everything that it sends for requests of this type.
    pub fn is_answered(&self) -> bool {
        self.answer.idle.is_some() && (self.answer.reply.is_some() || !ANSWERED.contains(&self.request.kind()))
    }
}

/// Jupyter counts the cursor position in code points, evcxr in grapheme clusters. In code where these differ, clusters
/// of several code points are replaced by as many letters, which changes no identifier that evcxr can complete.
pub fn with_code_points(request: Message) -> Message {
    let has_cursor = matches!(request.kind(), "complete_request" | "inspect_request");
    match request.content()["code"].as_str() {
        Some(code) if has_cursor && (!code.is_ascii() || code.contains('\r')) => {
            let code: String = UnicodeSegmentation::graphemes(code, true)
                .flat_map(|cluster| match cluster.chars().count() {
                    1 => cluster.chars().collect(),
                    _ if cluster == "\r\n" => vec![' ', '\n'],
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
