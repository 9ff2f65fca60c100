//! Relays messages between Jupyter and the Rust kernel. With it, a notebook shows figures and progress while a cell
//! runs, can be interrupted without losing its variables, and marks failed cells as failed: evcxr alone does not.
//!
//! [`state`] decides what happens to each message; this file connects it to the sockets and to the processes.

#[cfg_attr(not(unix), path = "no_channel.rs", allow(dead_code))]
mod channel;
mod comms;
mod connection;
mod message;
#[cfg_attr(not(unix), path = "no_spare.rs")]
mod spare;
mod state;
#[cfg_attr(not(unix), allow(dead_code))]
mod stream;
mod version;
mod zmtp;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use crate::protocol;
use bytes::Bytes;
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use self::channel::{Channel, Handover};
pub use self::connection::Connection;
use self::connection::KernelConnection;
use self::message::{Key, Message};
pub use self::spare::{SESSION, Spare};
use self::state::{Action, State};
pub use self::version::{evcxr_in, version_of};
use self::zmtp::{Dealer, Heartbeat, Inbox, Limits, Publisher, Router, subscribe};
use crate::project::Outcome;

/// Starts the kernel and serves the sockets of Jupyter's connection file until the kernel ends. `slot` is a folder that
/// no other kernel uses.
pub fn run(command: Command, slot: &Path, connection: &Connection, spare: Option<&Spare>) -> Outcome<()> {
    in_runtime(async {
        // Jupyter's side first: clients may send requests before the kernel has started.
        let jupyter = Jupyter::listen(connection).await?;
        Started::new(command, slot).await?.serve(jupyter, spare, std::future::pending()).await
    })
}

fn in_runtime(relay: impl Future<Output = io::Result<()>>) -> Outcome<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the relay cannot start ({error})"))?;
    let done = runtime.block_on(relay).map_err(|error| format!("the relay stopped ({error})"));
    // Tasks that still wait for a client must not keep this process alive.
    runtime.shutdown_background();
    done
}

/// A message from a client or from the kernel.
enum Event {
    Shell(Message),
    Control(Message),
    Input(Message),
    KernelShell(Message),
    KernelControl(Message),
    KernelInput(Message),
    KernelIoPub(Message),
}

/// The messages that wait here to be handled; more wait in the sockets.
const WAITING: usize = 64;

/// How long a client waits for the ports of a kernel that Jupyter has just killed.
const RELEASE: Duration = Duration::from_secs(2);

/// The sockets of Jupyter's side.
struct Jupyter {
    key: Key,
    iopub: Publisher,
    shell: (Router, Inbox),
    control: (Router, Inbox),
    input: (Router, Inbox),
    heartbeat: Heartbeat,
    since: SystemTime,
}

impl Jupyter {
    async fn listen(connection: &Connection) -> io::Result<Self> {
        let start = Instant::now();
        loop {
            match Self::bind(connection) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && start.elapsed() < RELEASE => {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                bound => return bound,
            }
        }
    }

    fn bind(connection: &Connection) -> io::Result<Self> {
        let limits = Limits::default();
        let router = |port| Router::bind(&connection.endpoint(port)?, limits);
        Ok(Self {
            key: Key::new(&connection.key),
            iopub: Publisher::bind(&connection.endpoint(connection.iopub_port)?, limits)?,
            shell: router(connection.shell_port)?,
            control: router(connection.control_port)?,
            input: router(connection.stdin_port)?,
            heartbeat: Heartbeat::bind(&connection.endpoint(connection.hb_port)?, limits)?,
            since: SystemTime::now(),
        })
    }
}

/// What a spare kernel completes, to be warm: a call of the library whose type has to be found.
#[cfg(unix)]
const WARM_UP: &str = "let model = latentlab::Autoencoder::tiny(2)?; model.";

/// A kernel that has started, before it serves anyone.
struct Started {
    child: Child,
    kernel: Kernel,
    handover: Handover,
    events: Sender<Event>,
    incoming: Receiver<Event>,
}

impl Started {
    async fn new(mut command: Command, slot: &Path) -> io::Result<Self> {
        let (handover, inherited) = Handover::new(&mut command)?;
        let connection = KernelConnection::new(slot)?;
        let mut child = Child::start(command, &connection)?;
        drop(inherited);
        let (events, incoming) = channel(WAITING);
        let connected = tokio::select! {
            ended = child.wait() => return Err(ended_at_start(&ended?)),
            connected = connect(&connection, &events) => connected,
        };
        let kernel = match connected {
            Ok(connected) => connected,
            // Most often the kernel is dying, which closes its connections before its process ends.
            Err(error) => match timeout(Duration::from_secs(1), child.wait()).await {
                Ok(ended) => return Err(ended_at_start(&ended?)),
                Err(_) => return Err(error),
            },
        };
        // Dropping the connection removes the socket files: nobody else shall connect, and none shall be left behind.
        Ok(Self { child, kernel, handover, events, incoming })
    }

    /// Lets rust-analyzer read what the first cell needs.
    #[cfg(unix)]
    async fn warm_up(&mut self) -> io::Result<()> {
        let content = json!({ "code": WARM_UP, "cursor_pos": WARM_UP.len() });
        let request = Message::new("complete_request", &json!({}), content);
        let id = request.id().to_owned();
        self.kernel.shell.send(request.into_frames(&self.kernel.key))?;
        loop {
            match self.incoming.recv().await {
                Some(Event::KernelShell(reply)) if reply.parent_id() == id => return Ok(()),
                Some(_) => {}
                None => return Err(io::ErrorKind::ConnectionReset.into()),
            }
        }
    }

    /// An error if the kernel has ended in the meantime.
    #[cfg(unix)]
    fn check(&mut self) -> io::Result<()> {
        self.child.process.try_wait()?.map_or(Ok(()), |ended| Err(ended_at_start(&ended)))
    }

    /// Serves Jupyter's clients until the kernel ends, or until `gone` is ready.
    async fn serve(self, jupyter: Jupyter, spare: Option<&Spare>, gone: impl Future<Output = ()>) -> io::Result<()> {
        let Self { mut child, kernel, handover, events, mut incoming } = self;
        let Jupyter { key, iopub, shell, control, input, heartbeat, since } = jupyter;
        let ((shell, shell_inbox), (control, control_inbox), (input, input_inbox)) = (shell, control, input);
        spawn_reader(shell_inbox, events.clone(), key.clone(), Event::Shell);
        spawn_reader(control_inbox, events.clone(), key.clone(), Event::Control);
        spawn_reader(input_inbox, events, key.clone(), Event::Input);
        let channel = handover.try_next();
        let state = State::new(channel.is_some());
        let control_requests = HashMap::new();
        let mut relay =
            Relay { iopub, shell, control, input, key, since, kernel, state, control_requests, handover, channel };
        let done = tokio::select! {
            ended = child.wait() => {
                let ended = ended?;
                if ended.success() { Ok(()) } else { Err(io::Error::other(format!("the kernel ended, {ended}"))) }
            }
            done = relay.run(&mut incoming, spare) => done,
            () = gone => Ok(()),
        };
        relay.say_last_words().await;
        child.end().await;
        relay.flush().await;
        drop(heartbeat);
        done
    }
}

fn ended_at_start(ended: &std::process::ExitStatus) -> io::Error {
    io::Error::other(format!("the kernel ended at its start, {ended}"))
}

/// The time for sending the last messages.
const FLUSH: Duration = Duration::from_secs(1);

/// The kernel and the processes that it starts: a process group, which is killed as a whole.
struct Child {
    process: tokio::process::Child,
    group: channel::Group,
    /// Kept as long as the kernel may read it.
    _connection: Option<channel::ConnectionFile>,
}

impl Child {
    fn start(mut command: Command, kernel: &KernelConnection) -> io::Result<Self> {
        let (path, connection) = channel::ConnectionFile::new(&serde_json::to_vec(&kernel.connection)?)?;
        command.arg("--control_file").arg(path);
        channel::end_together(&mut command);
        let process = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        Ok(Self { group: channel::Group::of(&process), process, _connection: connection.after_start() })
    }

    async fn wait(&mut self) -> io::Result<std::process::ExitStatus> {
        self.process.wait().await
    }

    async fn end(&mut self) {
        self.group.kill();
        let _ = self.process.kill().await;
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.group.kill();
    }
}

/// The sockets to the kernel.
struct Kernel {
    key: Key,
    shell: Dealer,
    control: Dealer,
    input: Dealer,
}

/// Connects to the kernel, and waits until what it publishes arrives here.
async fn connect(kernel: &KernelConnection, events: &Sender<Event>) -> io::Result<Kernel> {
    let limits = Limits::kernel();
    let key = Key::new(&kernel.connection.key);
    let ports = &kernel.connection;
    let iopub_endpoint = kernel.endpoint(ports.iopub_port)?;
    let mut iopub = loop {
        match subscribe(&iopub_endpoint, limits).await {
            Ok(iopub) => break iopub,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    // The kernel sends an input request to the identity that the execute request came from: both sockets need one.
    let identity = Some(Bytes::from_static(b"latentlab-relay"));
    let (shell, mut shell_inbox) =
        Dealer::connect(&kernel.endpoint(ports.shell_port)?, identity.clone(), limits).await?;
    let (input, input_inbox) = Dealer::connect(&kernel.endpoint(ports.stdin_port)?, identity, limits).await?;
    let (control, control_inbox) = Dealer::connect(&kernel.endpoint(ports.control_port)?, None, limits).await?;
    // A subscription takes effect some time after it is sent: send requests until the status of one is published here.
    loop {
        let request = Message::new("kernel_info_request", &json!({}), json!({}));
        let id = request.id().to_owned();
        shell.send(request.into_frames(&key))?;
        shell_inbox.recv().await.ok_or(io::ErrorKind::ConnectionReset)?;
        let idle = async {
            loop {
                let frames = iopub.recv().await.ok_or(io::ErrorKind::ConnectionReset)?;
                let message = Message::read(frames, &key);
                if message
                    .is_some_and(|message| message.parent_id() == id && message.content()["execution_state"] == "idle")
                {
                    return Ok::<_, io::Error>(());
                }
            }
        };
        if let Ok(idle) = timeout(Duration::from_millis(100), idle).await {
            idle?;
            break;
        }
    }
    spawn_reader(iopub, events.clone(), key.clone(), |message| Event::KernelIoPub(message.of_this_session()));
    spawn_reader(shell_inbox, events.clone(), key.clone(), |message| Event::KernelShell(message.of_this_session()));
    spawn_reader(control_inbox, events.clone(), key.clone(), |message| Event::KernelControl(message.of_this_session()));
    spawn_reader(input_inbox, events.clone(), key.clone(), |message| Event::KernelInput(message.of_this_session()));
    Ok(Kernel { key, shell, control, input })
}

/// Reads an inbox until it ends; messages that are malformed or not signed are dropped.
fn spawn_reader(mut inbox: Inbox, events: Sender<Event>, key: Key, event: fn(Message) -> Event) {
    tokio::spawn(async move {
        while let Some(frames) = inbox.recv().await {
            let Some(message) = Message::read(frames, &key) else { continue };
            if events.send(event(message)).await.is_err() {
                break;
            }
        }
    });
}

/// How long a request may have waited in Jupyter's socket and here, from when the kernel is served.
const STALE: Duration = Duration::from_secs(3);

/// After a pause of this length the next spare kernel is started.
const QUIET: Duration = Duration::from_secs(2);

/// The sockets of both sides and the state between them.
struct Relay {
    iopub: Publisher,
    shell: Router,
    control: Router,
    input: Router,
    key: Key,
    /// When the sockets were opened.
    since: SystemTime,
    kernel: Kernel,
    state: State,
    /// The clients of the control requests that the kernel has not answered yet.
    control_requests: HashMap<String, Vec<Bytes>>,
    handover: Handover,
    /// The channel from the cell process.
    channel: Option<Channel>,
}

impl Relay {
    /// Handles what arrives, until a client requests the shutdown. Starts the next spare kernel once.
    async fn run(&mut self, incoming: &mut Receiver<Event>, mut spare: Option<&Spare>) -> io::Result<()> {
        let start = Instant::now();
        loop {
            let is_idle = self.state.is_idle();
            let quiet = async {
                match &spare {
                    Some(_) if is_idle => tokio::time::sleep(QUIET).await,
                    _ => std::future::pending().await,
                }
            };
            let deadline = self.state.deadline();
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            let from_cells = async {
                match &mut self.channel {
                    Some(channel) => channel.next().await,
                    None => std::future::pending().await,
                }
            };
            let mut actions = Vec::new();
            tokio::select! {
                event = incoming.recv() => match event {
                    Some(Event::Control(request)) if request.kind() == "shutdown_request" => {
                        // One that was sent before was to a kernel that had died, whose ports these are. Later, the
                        // clock of a client on another computer may be slow.
                        let is_stale = request.date().is_some_and(|date| date < self.since);
                        if !is_stale || start.elapsed() > STALE {
                            return self.shut_down(&request).await;
                        }
                    }
                    Some(event) => self.handle(event, &mut actions)?,
                    None => return Ok(()),
                },
                event = from_cells => self.handle_cells(event, &mut actions),
                channel = self.handover.next() => self.open(channel),
                () = due => self.state.tick(Instant::now(), &mut actions),
                () = quiet => if let Some(spare) = spare.take() {
                    // Without one, a restart takes longer.
                    let _ = spare.start();
                },
            }
            for action in actions {
                self.act(action).await?;
            }
        }
    }

    fn handle(&mut self, event: Event, actions: &mut Vec<Action>) -> io::Result<()> {
        let now = Instant::now();
        match event {
            Event::Shell(request) => self.state.request(request, actions),
            Event::KernelShell(reply) => {
                // A cell process that this cell has started has handed over its channel before the reply.
                if let Some(channel) = self.handover.try_next() {
                    self.open(channel);
                }
                self.state.reply(reply, actions);
            }
            Event::KernelIoPub(message) => self.state.iopub(message, now, actions),
            Event::Control(request) if request.kind() == "interrupt_request" => {
                self.state.interrupt(request, now, actions);
            }
            Event::Control(request) => self.send_control(request)?,
            Event::KernelControl(reply) => {
                if let Some(client) = self.control_requests.remove(reply.parent_id()) {
                    self.control.send(reply.with_identities(&client).into_frames(&self.key));
                }
            }
            Event::Input(reply) => self.kernel.input.send(reply.with_identities(&[]).into_frames(&self.kernel.key))?,
            Event::KernelInput(request) => {
                let client = self.state.client_of(request.parent_id()).unwrap_or_default();
                self.input.send(request.with_identities(&client).into_frames(&self.key));
            }
        }
        Ok(())
    }

    fn handle_cells(&mut self, event: stream::Event, actions: &mut Vec<Action>) {
        let now = Instant::now();
        match event {
            stream::Event::Printed(stream, piece) => self.state.print(stream, piece, now, actions),
            stream::Event::Omitted(bytes) => self.state.omit(bytes),
            stream::Event::Message(message) => self.state.library_message(message, now, actions),
            stream::Event::Synced => self.state.synced(actions),
            stream::Event::Closed => {
                self.channel = None;
                self.state.closed(actions);
            }
        }
    }

    fn open(&mut self, channel: Channel) {
        self.channel = Some(channel);
        self.state.opened();
    }

    async fn act(&mut self, action: Action) -> io::Result<()> {
        match action {
            Action::Ask(request) => self.kernel.shell.send(request.into_frames(&self.kernel.key))?,
            Action::Interrupt(request) => self.send_control(request)?,
            Action::Shell(reply) => self.shell.send(reply.into_frames(&self.key)),
            Action::Control(reply) => self.control.send(reply.into_frames(&self.key)),
            Action::IoPub(message) => self.iopub.publish(message.into_frames(&self.key)).await,
            Action::Sync => self.ask_cells(protocol::SYNC),
            Action::Tell(what) => {
                if let Some(channel) = &mut self.channel {
                    channel.tell(&what);
                }
            }
            Action::Stop(true) => self.ask_cells(protocol::STOP),
            Action::Stop(false) => self.ask_cells(protocol::GO_ON),
        }
        Ok(())
    }

    fn ask_cells(&mut self, request: u8) {
        if let Some(channel) = &mut self.channel {
            channel.ask(request);
        }
    }

    fn send_control(&mut self, request: Message) -> io::Result<()> {
        self.control_requests.insert(request.id().to_owned(), request.identities.clone());
        self.kernel.control.send(request.with_identities(&[]).into_frames(&self.kernel.key))
    }

    /// Answers in place of the kernel, which would answer only after the running cell.
    async fn shut_down(&mut self, request: &Message) -> io::Result<()> {
        self.say_last_words().await;
        let content = json!({ "status": "ok", "restart": request.content()["restart"] == true });
        self.control.send(request.answer("shutdown_reply", content.clone()).into_frames(&self.key));
        let published = Message::new("shutdown_reply", &request.header, content);
        let _ = timeout(FLUSH, self.iopub.publish(published.into_frames(&self.key))).await;
        Ok(())
    }

    /// Tells the pages, once, that the kernel ends; at a shutdown before the reply, after which they forget displays.
    async fn say_last_words(&mut self) {
        for message in self.state.last_words() {
            let _ = timeout(FLUSH, self.iopub.publish(message.into_frames(&self.key))).await;
        }
    }

    /// Waits until the last messages are sent.
    async fn flush(&self) {
        tokio::join!(self.iopub.flush(FLUSH), self.shell.flush(FLUSH), self.control.flush(FLUSH));
    }
}
