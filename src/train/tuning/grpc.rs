//! Calls of Optuna's gRPC server: HTTP/2 without encryption, one call at a time, by a thread of its own. Between the
//! calls it tells the server that this worker still has its trials.
//
// The protocol: grpc/grpc, doc/PROTOCOL-HTTP2.md.

use std::{
    cell::Cell,
    sync::{Arc, Mutex, Weak, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode, uri::Authority};
use prost::Message;
use tokio::{net::TcpStream, sync::mpsc as orders, time::timeout};

use super::messages::{Attribute, Id, Nothing, OneTrial};
use super::owner::{OWNER, Owner};
use super::space::wrong;
use super::study::locked;
use crate::error::{Error, ErrorKind, Result};

/// How long is waited for what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// For the first answer of all.
    pub first: Duration,
    /// For a server that has answered before: it may be started again meanwhile.
    pub later: Duration,
    /// For one answer.
    pub call: Duration,
    /// Between two signs of life of a worker.
    pub beat: Duration,
    /// Without a sign of life a worker has ended.
    pub silence: Duration,
}

impl Limits {
    pub(super) const USUAL: Self = Self {
        first: Duration::from_secs(10),
        later: Duration::from_secs(120),
        call: Duration::from_secs(20),
        beat: Duration::from_secs(5),
        silence: Duration::from_secs(30),
    };
}

/// More than any study needs.
const MOST_BYTES: usize = 1 << 30;
/// How much may be on the way, so that many trials come in few turns.
const WINDOW: u32 = 4 << 20;

/// Why a call has no answer.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// The server is away, or its database: the call may be repeated. `asked`: it may have been carried out, or may
    /// yet be.
    Away { asked: bool, why: String },
    /// The server refuses.
    Refused(Code, String),
    /// It is none of Optuna's.
    Foreign(String),
}

/// The codes of gRPC that Optuna's server answers with on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Code {
    NotFound,
    AlreadyExists,
    FailedPrecondition,
    Other,
}

fn away(asked: bool, why: impl ToString) -> Failure {
    Failure::Away { asked, why: why.to_string() }
}

/// The trials that this worker has.
#[derive(Default)]
pub(super) struct Held(Vec<HeldTrial>);

struct HeldTrial {
    id: i64,
    /// Dropped with the trial.
    token: Weak<()>,
    owner: Owner,
    /// The last sign of life.
    last: Instant,
}

impl Held {
    pub(super) fn add(&mut self, id: i64, token: Weak<()>, owner: Owner) {
        self.remove(id);
        self.0.push(HeldTrial { id, token, owner, last: Instant::now() });
    }

    pub(super) fn remove(&mut self, id: i64) {
        self.0.retain(|trial| trial.id != id && trial.token.strong_count() > 0);
    }
}

/// What the thread is asked to do.
struct Order {
    method: &'static str,
    body: Vec<u8>,
    limit: Duration,
    reply: mpsc::SyncSender<Result<Bytes, Failure>>,
}

pub(super) struct Client {
    /// `grpc://host:port`
    pub address: String,
    pub limits: Limits,
    pub held: Arc<Mutex<Held>>,
    /// Dropped, it ends the thread.
    orders: orders::UnboundedSender<Order>,
    has_answered: Cell<bool>,
    /// How often the server was away.
    outages: Cell<usize>,
}

impl Client {
    pub(super) fn new(address: &str, limits: Limits) -> Result<Self> {
        let expected = "grpc://HOST:PORT, as of optuna.storages.run_grpc_proxy_server";
        let wrong = |got: String| wrong("study", expected, got);
        let authority: Authority = address.parse().map_err(|error| wrong(format!("grpc://{address} ({error})")))?;
        if authority.port_u16().is_none() || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(wrong(format!("grpc://{address}")));
        }
        let failed = |error: std::io::Error| Error::new(ErrorKind::Io, address, format!("no thread for it ({error})"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let held = Arc::<Mutex<Held>>::default();
        let (sender, receiver) = orders::unbounded_channel();
        let wire = Wire { authority, connection: None };
        let serving = serve(wire, receiver, held.clone(), limits);
        // A thread of its own: the caller may be in a runtime, where one cannot wait for another.
        let run = move || runtime.block_on(serving);
        drop(thread::Builder::new().name("latentlab-grpc".into()).spawn(run).map_err(failed)?);
        let (has_answered, outages) = (Cell::new(false), Cell::new(0));
        Ok(Self { address: format!("grpc://{address}"), limits, held, orders: sender, has_answered, outages })
    }

    /// One call, once.
    pub(super) fn once<R: Message + Default>(&self, method: &'static str, call: &impl Message) -> Result<R, Failure> {
        let limit = if self.has_answered.get() { self.limits.call } else { self.limits.call.min(self.limits.first) };
        let (reply, answer) = mpsc::sync_channel(1);
        let order = Order { method, body: call.encode_to_vec(), limit, reply };
        let answer = match self.orders.send(order) {
            Ok(()) => answer.recv().unwrap_or_else(|_| Err(away(true, "its thread has ended"))),
            Err(_) => Err(away(false, "its thread has ended")),
        };
        match &answer {
            Ok(_) | Err(Failure::Refused(..)) => self.has_answered.set(true),
            Err(Failure::Away { .. }) => self.outages.set(self.outages.get() + 1),
            Err(Failure::Foreign(_)) => {}
        }
        R::decode(answer?).map_err(|error| Failure::Foreign(format!("{method} answers what cannot be read: {error}")))
    }

    /// How often the server was away.
    pub(super) fn outages(&self) -> usize {
        self.outages.get()
    }

    /// A call that may be carried out twice, until it succeeds or the time is up.
    pub(super) fn call<R: Message + Default>(&self, method: &'static str, call: &impl Message) -> Result<R, Failure> {
        self.repeat(|_| self.once(method, call))
    }

    /// Repeats what fails because the server is away. The attempt is told whether an earlier one may have been carried
    /// out.
    pub(super) fn repeat<T>(&self, mut attempt: impl FnMut(bool) -> Result<T, Failure>) -> Result<T, Failure> {
        let limit = if self.has_answered.get() { self.limits.later } else { self.limits.first };
        let (start, mut pause, mut attempts, mut asked_before) = (Instant::now(), limit / 400, 1, false);
        loop {
            match attempt(asked_before) {
                Err(Failure::Away { asked, .. }) if start.elapsed() + pause < limit => {
                    asked_before |= asked;
                    thread::sleep(pause);
                    pause = (pause * 2).min(limit / 100).max(Duration::from_millis(1));
                    attempts += 1;
                }
                Err(Failure::Away { asked, why }) => {
                    let seconds = start.elapsed().as_secs_f64();
                    let times = if attempts == 1 { "attempt" } else { "attempts" };
                    let why = format!("none in {seconds:.1} s and {attempts} {times} (the last: {why})");
                    return Err(Failure::Away { asked: asked || asked_before, why });
                }
                done => return done,
            }
        }
    }

    pub(super) fn error(&self, failure: Failure) -> Error {
        let error = |kind, expected: &str, got: String| Error::expected(kind, self.address.clone(), expected, got);
        match failure {
            Failure::Away { why, .. } => error(ErrorKind::Io, "an answer of Optuna's gRPC server", why)
                .hint("Is optuna.storages.run_grpc_proxy_server running there, and its database?"),
            Failure::Refused(_, why) => error(ErrorKind::Data, "what it was asked for", why),
            Failure::Foreign(why) => error(ErrorKind::Data, "Optuna's gRPC server, version 4.2 to 5", why)
                .hint("Is it another program's port? optuna.storages.run_grpc_proxy_server tells its own"),
        }
    }
}

/// The thread: calls in their order, and signs of life when it is time.
async fn serve(mut wire: Wire, mut orders: orders::UnboundedReceiver<Order>, held: Arc<Mutex<Held>>, limits: Limits) {
    let mut next = tokio::time::Instant::now() + limits.beat;
    loop {
        match tokio::time::timeout_at(next, orders.recv()).await {
            Ok(None) => return,
            Ok(Some(Order { method, body, limit, reply })) => {
                let _ = reply.send(wire.call(method, body, limit).await);
            }
            Err(_) => {
                beat(&mut wire, &held, limits).await;
                next = tokio::time::Instant::now() + limits.beat;
            }
        }
    }
}

/// Signs of life: a number that counts up in each trial that this worker has. After a longer silence another may have
/// the trial, which is left alone then. What fails is tried the next time.
async fn beat(wire: &mut Wire, held: &Mutex<Held>, limits: Limits) {
    let ids: Vec<i64> = {
        let mut held = locked(held);
        held.remove(-1);
        held.0.iter().map(|trial| trial.id).collect()
    };
    for id in ids {
        let Some((owner, last)) = ({
            let mut held = locked(held);
            held.0.iter_mut().find(|trial| trial.id == id).map(|trial| {
                trial.owner.beat += 1;
                (trial.owner.clone(), trial.last)
            })
        }) else {
            continue;
        };
        let limit = limits.call;
        if last.elapsed() > limits.silence / 2 {
            let answer = wire.call("GetTrial", Id { id }.encode_to_vec(), limit).await;
            let Some(OneTrial { trial: Some(now) }) = answer.ok().and_then(|bytes| OneTrial::decode(bytes).ok()) else {
                return;
            };
            if now.state != 0 || Owner::of(&now).is_none_or(|now| now.worker != owner.worker) {
                locked(held).remove(id);
                continue;
            }
        }
        let call = Attribute { id, key: OWNER.into(), value: owner.text() };
        if wire.call("SetTrialSystemAttribute", call.encode_to_vec(), limit).await.is_ok_and(|bytes| {
            // An answer that cannot be read is none.
            Nothing::decode(bytes).is_ok()
        }) && let Some(trial) = locked(held).0.iter_mut().find(|trial| trial.id == id)
        {
            trial.last = Instant::now();
        }
    }
}

/// A connection, and how to get it again.
struct Wire {
    authority: Authority,
    /// With whether an answer has come by it.
    connection: Option<(SendRequest<Bytes>, bool)>,
}

impl Wire {
    async fn call(&mut self, method: &str, body: Vec<u8>, limit: Duration) -> Result<Bytes, Failure> {
        let mut asked = false;
        let answer = match timeout(limit, self.attempt(method, body, limit, &mut asked)).await {
            Ok(answer) => answer,
            Err(_) => Err(away(asked, format!("no answer within {limit:?}"))),
        };
        match (&answer, &mut self.connection) {
            (Ok(_) | Err(Failure::Refused(..)), Some((_, proved))) => *proved = true,
            _ => self.connection = None,
        }
        answer
    }

    async fn attempt(
        &mut self,
        method: &str,
        body: Vec<u8>,
        limit: Duration,
        asked: &mut bool,
    ) -> Result<Bytes, Failure> {
        if self.connection.is_none() {
            self.connection = Some((self.connect().await?, false));
        }
        let Some((requests, proved)) = &self.connection else { return Err(away(false, "no connection")) };
        let failed = |asked: bool, error: h2::Error| match error.is_library() && !proved {
            true => Failure::Foreign(format!("what is not HTTP/2 ({error})")),
            false => away(asked, error),
        };
        let mut requests = requests.clone().ready().await.map_err(|error| failed(false, error))?;
        let request = Request::post(format!("http://{}/optuna.StorageService/{method}", self.authority))
            .header("te", "trailers")
            .header("content-type", "application/grpc")
            .header("user-agent", concat!("latentlab/", env!("CARGO_PKG_VERSION")))
            // The server forgets what nobody waits for any more.
            .header("grpc-timeout", format!("{}m", limit.as_millis()))
            .body(())
            .map_err(|error| Failure::Foreign(error.to_string()))?;
        let mut frame = vec![0];
        frame.extend((body.len() as u32).to_be_bytes());
        frame.extend(body);
        *asked = true;
        let (answer, mut stream) = requests.send_request(request, false).map_err(|error| failed(true, error))?;
        stream.send_data(frame.into(), true).map_err(|error| failed(true, error))?;
        let (head, mut body) = answer.await.map_err(|error| failed(true, error))?.into_parts();
        let mut message = BytesMut::new();
        let mut trailers = head.headers.clone();
        while let Some(data) = body.data().await {
            let data = data.map_err(|error| failed(true, error))?;
            let _ = body.flow_control().release_capacity(data.len());
            if message.len() + data.len() > MOST_BYTES {
                return Err(Failure::Foreign(format!("more than {MOST_BYTES} bytes as the answer of {method}")));
            }
            message.extend_from_slice(&data);
        }
        if let Some(end) = body.trailers().await.map_err(|error| failed(true, error))? {
            trailers.extend(end);
        }
        answered(method, head.status, &trailers, message.freeze())
    }

    async fn connect(&self) -> Result<SendRequest<Bytes>, Failure> {
        let failed = |error: &dyn std::error::Error| away(false, error);
        let stream = TcpStream::connect(self.authority.as_str()).await.map_err(|error| failed(&error))?;
        stream.set_nodelay(true).map_err(|error| failed(&error))?;
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
        let (requests, connection) = builder.handshake(stream).await.map_err(|error| failed(&error))?;
        // It ends with the last of its requests, or with the server.
        drop(tokio::spawn(connection));
        Ok(requests)
    }
}

/// The message of an answer, or what stands in for it.
fn answered(method: &str, status: StatusCode, trailers: &HeaderMap, mut message: Bytes) -> Result<Bytes, Failure> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    if !text("content-type").is_some_and(|kind| kind.starts_with("application/grpc")) {
        return Err(match status {
            // A proxy, whose server is away.
            StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
                away(true, format!("HTTP status {status}"))
            }
            _ => Failure::Foreign(format!("an answer that is not gRPC's (HTTP status {status})")),
        });
    }
    let why = || decoded(text("grpc-message").unwrap_or_default());
    match text("grpc-status").and_then(|code| code.parse().ok()) {
        Some(0) => {}
        Some(5) => return Err(Failure::Refused(Code::NotFound, why())),
        Some(6) => return Err(Failure::Refused(Code::AlreadyExists, why())),
        Some(9) => return Err(Failure::Refused(Code::FailedPrecondition, why())),
        Some(12) => return Err(Failure::Foreign(format!("one without {method} ({})", why()))),
        // Cancelled, unknown, deadline exceeded, resource exhausted, aborted, internal, unavailable: the server stops,
        // or its database is away (what Python raises arrives as unknown).
        Some(code @ (1 | 2 | 4 | 8 | 10 | 13 | 14)) => {
            return Err(away(true, format!("gRPC status {code}: {}", why())));
        }
        Some(code) => return Err(Failure::Refused(Code::Other, format!("gRPC status {code}: {}", why()))),
        None => return Err(away(true, "an answer without its end")),
    }
    let wrong = |what: String| Failure::Foreign(format!("{method} answers {what}"));
    if message.len() < 5 {
        return Err(wrong(format!("{} bytes, without a message", message.len())));
    }
    let (compressed, length) = (message.get_u8(), message.get_u32() as usize);
    match (compressed, length == message.len()) {
        (0, true) => Ok(message),
        (0, false) => Err(wrong(format!("{} bytes of a message of {length}", message.len()))),
        _ => Err(wrong("a compressed message".into())),
    }
}

/// A text in which bytes stand as `%20`.
fn decoded(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::new(), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => (bytes.push(byte), rest = &after[2..]).0,
            _ => (bytes.push(*first), rest = after).0,
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
