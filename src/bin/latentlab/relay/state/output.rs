//! What the cells print, gathered into fewer messages and limited to what a notebook can show.

use std::mem;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::super::message::Message;

/// Text is gathered for this time, or up to this number of bytes: Jupyter drops output above 1,000 messages a second.
pub const GATHERING: Duration = Duration::from_millis(20);
const GATHERED: usize = 1 << 20;

/// The bytes that may be printed at once, and in each second beyond. An endless loop would fill the memory of the
/// clients; if the relay blocked it instead, all other threads that print would be blocked with it.
const BURST: f64 = 256e6;
const RATE: f64 = 16e6;

struct Text {
    stream: &'static str,
    text: String,
    since: Instant,
}

pub struct Output {
    gathered: Option<Text>,
    /// The bytes that may be printed, at the time of the last call.
    allowed: f64,
    at: Option<Instant>,
    /// The bytes omitted since text was last passed on.
    omitted: usize,
    /// The header of the last cell's request: what is printed later belongs to that cell, too.
    pub parent: Value,
}

impl Default for Output {
    fn default() -> Self {
        Self { gathered: None, allowed: BURST, at: None, omitted: 0, parent: json!({}) }
    }
}

impl Output {
    /// A message on iopub that belongs to the last cell.
    pub fn message(&self, kind: &str, content: Value) -> Message {
        Message::new(kind, &self.parent, content)
    }

    pub fn stderr(&self, text: impl Into<String>) -> Message {
        self.message("stream", json!({ "name": "stderr", "text": text.into() }))
    }

    /// Whether the rate allows to print these bytes now; if not, they count as omitted.
    pub fn is_allowed(&mut self, bytes: usize, now: Instant) -> bool {
        let earned = self.at.map_or(0.0, |at| RATE * (now - at).as_secs_f64());
        (self.allowed, self.at) = ((self.allowed + earned).min(BURST), Some(now));
        let is_allowed = self.allowed >= bytes as f64;
        if is_allowed {
            self.allowed -= bytes as f64;
        } else {
            self.omit(bytes);
        }
        is_allowed
    }

    pub fn omit(&mut self, bytes: usize) {
        self.omitted += bytes;
    }

    /// The note in place of omitted text.
    pub fn take_omitted(&mut self) -> Option<String> {
        let megabytes = mem::take(&mut self.omitted).div_ceil(1_000_000);
        (megabytes > 0)
            .then(|| format!("\n… {megabytes} MB are left out here: they came faster than a notebook can show them.\n"))
    }

    /// Gathers text; returns the messages that are complete.
    pub fn push(&mut self, stream: &'static str, text: &str, now: Instant) -> Vec<Message> {
        let mut messages = Vec::new();
        match &mut self.gathered {
            Some(gathered) if gathered.stream == stream => gathered.text.push_str(text),
            _ => {
                messages.extend(self.flush());
                self.gathered = Some(Text { stream, text: text.to_owned(), since: now });
            }
        }
        if self.gathered.as_ref().is_some_and(|gathered| gathered.text.len() >= GATHERED) {
            messages.extend(self.flush());
        }
        messages
    }

    pub fn flush(&mut self) -> Option<Message> {
        let Text { stream, text, .. } = self.gathered.take()?;
        Some(self.message("stream", json!({ "name": stream, "text": text })))
    }

    /// When gathered text has to be flushed.
    pub fn deadline(&self) -> Option<Instant> {
        self.gathered.as_ref().map(|gathered| gathered.since + GATHERING)
    }
}
