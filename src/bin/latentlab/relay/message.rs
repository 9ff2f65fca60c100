//! Jupyter's messages, passed on as they came: only what the relay decides by is read.

use bytes::Bytes;
use jupyter_protocol::{Header, JupyterMessage, JupyterMessageContent, UnknownMessage};
use serde_json::Value;
use zeromq::ZmqMessage;

const DELIMITER: &[u8] = b"<IDS|MSG>";

/// A message as it came: the identities of who it is from or to, then the delimiter, the signature, header, parent header, metadata, content and buffers.
#[derive(Clone, Debug)]
pub struct Message {
    pub identities: Vec<Bytes>,
    parts: Vec<Bytes>,
    pub header: Value,
    pub parent: Value,
}

impl Message {
    /// None if it is not one of Jupyter's.
    pub fn read(message: ZmqMessage) -> Option<Self> {
        let mut identities = message.into_vec();
        let delimiter = identities.iter().position(|part| part == DELIMITER)?;
        let parts = identities.split_off(delimiter);
        let json = |part: usize| serde_json::from_slice(parts.get(part)?).ok();
        let (header, parent) = (json(2)?, json(3)?);
        parts.get(5)?;
        Some(Self { identities, parts, header, parent })
    }

    pub fn kind(&self) -> &str {
        self.header["msg_type"].as_str().unwrap_or_default()
    }

    /// The number of this message.
    pub fn id(&self) -> &str {
        self.header["msg_id"].as_str().unwrap_or_default()
    }

    /// The number of the message that this one answers.
    pub fn parent_id(&self) -> &str {
        self.parent["msg_id"].as_str().unwrap_or_default()
    }

    pub fn content(&self) -> Value {
        serde_json::from_slice(&self.parts[5]).unwrap_or_default()
    }

    /// The same message to or from others.
    pub fn with_identities(&self, identities: &[Bytes]) -> Self {
        Self { identities: identities.to_vec(), ..self.clone() }
    }

    pub fn into_frames(self) -> ZmqMessage {
        let frames: Vec<Bytes> = self.identities.into_iter().chain(self.parts).collect();
        // It has at least the parts.
        ZmqMessage::try_from(frames).unwrap_or_else(|_| ZmqMessage::from(Vec::new()))
    }

    /// A message that answers this one.
    pub fn answer(&self, kind: &str, content: Value) -> JupyterMessage {
        answer(&self.header, kind, content).with_zmq_identities(self.identities.clone())
    }
}

/// A message that answers the one with this header.
pub fn answer(parent: &Value, kind: &str, content: Value) -> JupyterMessage {
    let content = UnknownMessage { msg_type: kind.to_owned(), content };
    let mut message = JupyterMessage::new(JupyterMessageContent::UnknownMessage(content), None);
    message.parent_header = serde_json::from_value::<Header>(parent.clone()).ok();
    message
}
