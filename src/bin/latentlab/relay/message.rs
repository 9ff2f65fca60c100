//! Jupyter's messages: parsed, verified, and signed again with the key of the other side.
//!
//! <https://jupyter-client.readthedocs.io/en/stable/messaging.html>

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

const DELIMITER: &[u8] = b"<IDS|MSG>";

/// The key that signs the messages of one connection; as in Jupyter, an empty key means no signatures.
#[derive(Clone)]
pub struct Key(Option<Hmac<Sha256>>);

impl Key {
    pub fn new(text: &str) -> Self {
        Self((!text.is_empty()).then(|| Hmac::new_from_slice(text.as_bytes()).expect("keys of any length are allowed")))
    }

    fn digest(&self, parts: &[Bytes]) -> Option<Hmac<Sha256>> {
        let mut digest = self.0.clone()?;
        parts.iter().for_each(|part| digest.update(part));
        Some(digest)
    }

    fn sign(&self, parts: &[Bytes]) -> String {
        self.digest(parts).map_or(String::new(), |digest| crate::whole::hex(&digest.finalize().into_bytes()))
    }

    /// The frames of a message with these parts.
    #[cfg(test)]
    pub fn signed(&self, parts: &[Bytes]) -> Vec<Bytes> {
        [&[Bytes::from_static(DELIMITER), self.sign(&parts[..4]).into()], parts].concat()
    }

    fn has_signed(&self, parts: &[Bytes], signature: &[u8]) -> bool {
        let Some(digest) = self.digest(parts) else { return true };
        let digit = |digit: u8| char::from(digit).to_digit(16).map(|digit| digit as u8);
        let byte = |pair: &[u8]| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?);
        let bytes: Option<Vec<u8>> = signature.chunks(2).map(byte).collect();
        bytes.is_some_and(|bytes| digest.verify_slice(&bytes).is_ok())
    }
}

/// A message: the identities that route it; header, parent header, metadata and content; buffers.
#[derive(Clone, Debug)]
pub struct Message {
    pub identities: Vec<Bytes>,
    /// The frames from the header on, as they arrived.
    parts: Vec<Bytes>,
    pub header: Value,
    pub parent: Value,
    content: Value,
}

/// Of all messages to clients.
fn session() -> String {
    format!("latentlab-relay-{}", std::process::id())
}

impl Message {
    /// `None` if it is malformed or not signed with the key.
    pub fn read(mut frames: Vec<Bytes>, key: &Key) -> Option<Self> {
        let delimiter = frames.iter().position(|part| part == DELIMITER)?;
        if frames.len() < delimiter + 6 {
            return None;
        }
        let parts = frames.split_off(delimiter + 2);
        if !key.has_signed(&parts[..4], &frames[delimiter + 1]) {
            return None;
        }
        frames.truncate(delimiter);
        let object = |part: usize| serde_json::from_slice(&parts[part]).ok().filter(Value::is_object);
        let (header, parent, _, content) = (object(0)?, object(1)?, object(2)?, object(3)?);
        let is_text = |name: &str| header[name].is_string();
        (is_text("msg_id") && is_text("msg_type")).then_some(Self {
            identities: frames,
            parts,
            header,
            parent,
            content,
        })
    }

    /// A message of the relay itself, with this parent header.
    pub fn new(kind: &str, parent: &Value, content: Value) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let session = session();
        let header = json!({
            "msg_id": format!("{session}-{}", COUNT.fetch_add(1, Ordering::Relaxed)),
            "msg_type": kind,
            "session": session,
            "username": "kernel",
            "date": humantime::format_rfc3339_micros(SystemTime::now()).to_string(),
            "version": "5.3",
        });
        let parts = [&header, parent, &json!({}), &content].map(|part| Bytes::from(part.to_string())).to_vec();
        Self { identities: Vec::new(), parts, header, parent: parent.clone(), content }
    }

    /// A message of the kernel as one of the relay's session. To JupyterLab, another session is another kernel: it
    /// drops what it has not handled yet of the one before, such as models of widgets while it loads their code.
    pub fn of_this_session(mut self) -> Self {
        self.header["session"] = session().into();
        self.parts[0] = self.header.to_string().into();
        self
    }

    pub fn kind(&self) -> &str {
        self.header["msg_type"].as_str().unwrap_or_default()
    }

    /// Its `msg_id`.
    pub fn id(&self) -> &str {
        self.header["msg_id"].as_str().unwrap_or_default()
    }

    /// When it was sent, if that is told in Jupyter's form.
    pub fn date(&self) -> Option<SystemTime> {
        humantime::parse_rfc3339_weak(self.header["date"].as_str()?).ok()
    }

    /// The `msg_id` of the message that it answers.
    pub fn parent_id(&self) -> &str {
        self.parent["msg_id"].as_str().unwrap_or_default()
    }

    pub fn content(&self) -> &Value {
        &self.content
    }

    /// The same message with another content.
    pub fn with_content(mut self, content: Value) -> Self {
        self.parts[3] = content.to_string().into();
        Self { content, ..self }
    }

    /// The same message with this metadata.
    pub fn with_metadata(mut self, metadata: &Value) -> Self {
        self.parts[2] = metadata.to_string().into();
        self
    }

    /// Its metadata, which the relay seldom needs.
    pub fn metadata(&self) -> Value {
        serde_json::from_slice(&self.parts[2]).unwrap_or_default()
    }

    /// The same message with other identities.
    pub fn with_identities(self, identities: &[Bytes]) -> Self {
        Self { identities: identities.to_vec(), ..self }
    }

    pub fn into_frames(self, key: &Key) -> Vec<Bytes> {
        let signature = Bytes::from(key.sign(&self.parts[..4]));
        let mut frames = self.identities;
        frames.extend([Bytes::from_static(DELIMITER), signature]);
        frames.extend(self.parts);
        frames
    }

    /// A reply to its sender.
    pub fn answer(&self, kind: &str, content: Value) -> Self {
        Self::new(kind, &self.header, content).with_identities(&self.identities)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_signed_messages_are_read() {
        let (key, other) = (Key::new("secret"), Key::new("another"));
        let message = Message::new("execute_request", &json!({}), json!({ "code": "1" }));
        let frames = message.with_identities(&[Bytes::from_static(b"client")]).into_frames(&key);
        let read = Message::read(frames.clone(), &key).unwrap();
        assert_eq!((read.kind(), &read.content()["code"], read.identities.len()), ("execute_request", &json!("1"), 1));
        assert!(Message::read(frames.clone(), &other).is_none());
        for damaged in 1..frames.len() {
            let mut frames = frames.clone();
            frames[damaged] = Bytes::from([&frames[damaged][..], b" "].concat());
            assert!(Message::read(frames, &key).is_none(), "part {damaged}");
        }
        for length in 0..frames.len() {
            assert!(Message::read(frames[..length].to_vec(), &key).is_none(), "{length} frames");
        }
    }

    #[test]
    fn malformed_messages_are_refused_though_signed() {
        let key = Key::new("secret");
        let good = json!({ "msg_id": "1", "msg_type": "execute_request" });
        let deep = format!("{{\"a\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
        let bad = ["[]", "1", "null", "", "{\"msg_id\": 1, \"msg_type\": \"a\"}", "\u{0}", &deep];
        for (place, text) in (0..4).flat_map(|place| bad.map(|text| (place, text))) {
            if place > 0 && text.starts_with("{\"msg_id\"") {
                continue;
            }
            let mut parts = [good.to_string(), "{}".into(), "{}".into(), "{}".into()].map(Bytes::from).to_vec();
            parts[place] = Bytes::from(text.to_owned());
            assert!(Message::read(key.signed(&parts), &key).is_none(), "part {place}: {:.60}", text);
        }
    }
}
