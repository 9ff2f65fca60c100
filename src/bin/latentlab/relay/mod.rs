//! Stands between Jupyter and the Rust kernel, so that a notebook shows figures and progress while a cell runs, stops without losing its
//! variables, and knows an error from a success: all of which the kernel by itself does not do.

mod cells;
#[cfg_attr(not(unix), path = "no_channel.rs", allow(dead_code))]
mod channel;
mod connection;
mod message;
#[cfg_attr(not(unix), allow(dead_code))]
mod text;
mod zmtp;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use latentlab::jupyter::frame;
use serde_json::json;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;

use self::cells::{Action, Cells};
use self::channel::{Channel, Reception};
use self::connection::{Connection, KernelConnection, SCHEME};
use self::message::{Key, Message};
use self::zmtp::{
    Dealer, DealerReceiver, DealerSender, Limits, Publisher, Router, RouterReceiver, RouterSender, Subscriber,
    heartbeat,
};
use crate::project::Outcome;

/// Runs the kernel that `command` starts behind the sockets that Jupyter's connection file describes, until it ends. `slot` is a folder
/// that the kernel has for itself.
pub fn run(command: Command, slot: &Path, connection_file: &Path) -> Outcome<()> {
    let text = fs::read(connection_file).map_err(|e| format!("{}: cannot read it ({e})", connection_file.display()))?;
    let jupyter: Connection = serde_json::from_slice(&text)
        .map_err(|error| format!("{}: not a connection file ({error})", connection_file.display()))?;
    if jupyter.signature_scheme != SCHEME {
        return Err(format!(
            "{}: expected messages signed by {SCHEME}, got {:?}",
            connection_file.display(),
            jupyter.signature_scheme
        ));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the relay cannot start ({error})"))?;
    let done = runtime.block_on(relay(command, slot, &jupyter)).map_err(|error| format!("the relay stopped ({error})"));
    // Nothing that still waits for a client keeps this process.
    runtime.shutdown_background();
    done
}

/// What comes in.
enum Event {
    Shell(Message),
    Control(Message),
    Input(Message),
    KernelShell(Message),
    KernelControl(Message),
    KernelInput(Message),
    KernelIoPub(Message),
}

/// How many messages wait to be looked at; more wait where they come from.
const WAITING: usize = 64;

async fn relay(mut command: Command, slot: &Path, jupyter: &Connection) -> io::Result<()> {
    // Jupyter's side first: its clients may ask before the kernel is there.
    let limits = Limits::default();
    let iopub = Publisher::bind(&jupyter.endpoint(jupyter.iopub_port)?, limits)?;
    let (shell, shell_in) = Router::bind(&jupyter.endpoint(jupyter.shell_port)?, limits)?;
    let (control, control_in) = Router::bind(&jupyter.endpoint(jupyter.control_port)?, limits)?;
    let (input, input_in) = Router::bind(&jupyter.endpoint(jupyter.stdin_port)?, limits)?;
    let _heartbeat = heartbeat(&jupyter.endpoint(jupyter.hb_port)?, limits)?;

    let (reception, of_kernel) = Reception::new(&mut command)?;
    let kernel = KernelConnection::new(slot)?;
    let mut child = Child::start(command, &kernel)?;
    drop(of_kernel);

    let (events, mut incoming) = channel(WAITING);
    let connected = tokio::select! {
        ended = child.wait() => return Err(ended_at_start(&ended?)),
        connected = connect(&kernel, &events) => connected,
    };
    let kernel_side = match connected {
        Ok(connected) => connected,
        // Seldom the connection itself: a kernel that dies closes it before it is gone.
        Err(error) => match timeout(Duration::from_secs(1), child.wait()).await {
            Ok(ended) => return Err(ended_at_start(&ended?)),
            Err(_) => return Err(error),
        },
    };
    // Nobody else is to connect, and no file stays behind.
    drop(kernel);
    let key = Key::new(&jupyter.key);
    spawn_reader(shell_in, events.clone(), key.clone(), Event::Shell);
    spawn_reader(control_in, events.clone(), key.clone(), Event::Control);
    spawn_reader(input_in, events, key.clone(), Event::Input);

    let cells_process = reception.try_next();
    let cells = Cells::new(cells_process.is_some());
    let asked = HashMap::new();
    let mut relay =
        Relay { iopub, shell, control, input, key, kernel: kernel_side, cells, asked, reception, cells_process };
    let done = tokio::select! {
        ended = child.wait() => {
            let ended = ended?;
            if ended.success() { Ok(()) } else { Err(io::Error::other(format!("the kernel ended, {ended}"))) }
        }
        done = relay.go_on(&mut incoming) => done,
    };
    child.end().await;
    relay.flush().await;
    done
}

fn ended_at_start(ended: &std::process::ExitStatus) -> io::Error {
    io::Error::other(format!("the kernel ended at its start, {ended}"))
}

/// How long the last messages may take to their clients.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The kernel, and all that it starts: a group of processes that ends as one.
struct Child {
    process: tokio::process::Child,
    group: channel::Group,
    /// What has to live as long: a file with the connection, where it cannot be inherited.
    _connection: channel::ConnectionFile,
}

impl Child {
    fn start(mut command: Command, kernel: &KernelConnection) -> io::Result<Self> {
        let (path, connection) = channel::ConnectionFile::new(&serde_json::to_vec(&kernel.connection)?)?;
        command.arg("--control_file").arg(path);
        channel::end_together(&mut command);
        let process = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        Ok(Self { group: channel::Group::of(&process), process, _connection: connection })
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

/// The ways to the kernel.
struct Kernel {
    key: Key,
    shell: DealerSender,
    control: DealerSender,
    input: DealerSender,
}

/// Waits for the kernel, and for what it tells everybody to arrive.
async fn connect(kernel: &KernelConnection, events: &Sender<Event>) -> io::Result<Kernel> {
    let limits = Limits::kernel();
    let key = Key::new(&kernel.connection.key);
    let ports = &kernel.connection;
    let iopub_endpoint = kernel.endpoint(ports.iopub_port)?;
    let mut iopub = loop {
        match Subscriber::connect(&iopub_endpoint, limits).await {
            Ok(iopub) => break iopub,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    // The kernel asks for input whom it knows by the name of who asked for the cell.
    let identity = Some(Bytes::from_static(b"latentlab-relay"));
    let (shell, mut shell_in) = Dealer::connect(&kernel.endpoint(ports.shell_port)?, identity.clone(), limits).await?;
    let (input, input_in) = Dealer::connect(&kernel.endpoint(ports.stdin_port)?, identity, limits).await?;
    let (control, control_in) = Dealer::connect(&kernel.endpoint(ports.control_port)?, None, limits).await?;
    // A subscription is heeded some time after it is sent: ask until what the kernel says of a question has been heard to its end.
    loop {
        let question = Message::new("kernel_info_request", &json!({}), json!({}));
        let id = question.id().to_owned();
        shell.send(question.into_frames(&key))?;
        shell_in.recv().await.ok_or(io::ErrorKind::ConnectionReset)?;
        let heard = async {
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
        if let Ok(heard) = timeout(Duration::from_millis(100), heard).await {
            heard?;
            break;
        }
    }
    spawn_reader(iopub, events.clone(), key.clone(), Event::KernelIoPub);
    spawn_reader(shell_in, events.clone(), key.clone(), Event::KernelShell);
    spawn_reader(control_in, events.clone(), key.clone(), Event::KernelControl);
    spawn_reader(input_in, events.clone(), key.clone(), Event::KernelInput);
    Ok(Kernel { key, shell, control, input })
}

/// A socket that gives messages.
trait MessageSource {
    fn receive(&mut self) -> impl Future<Output = Option<Vec<Bytes>>> + Send;
}

macro_rules! receives {
    ($($socket:ty),+) => {
        $(impl MessageSource for $socket {
            async fn receive(&mut self) -> Option<Vec<Bytes>> {
                self.recv().await
            }
        })+
    };
}

receives!(RouterReceiver, DealerReceiver, Subscriber);

/// Reads a socket for ever; what is no message or not signed is thrown away.
fn spawn_reader(
    mut socket: impl MessageSource + Send + 'static,
    events: Sender<Event>,
    key: Key,
    event: fn(Message) -> Event,
) {
    tokio::spawn(async move {
        while let Some(frames) = socket.receive().await {
            let Some(message) = Message::read(frames, &key) else { continue };
            if events.send(event(message)).await.is_err() {
                break;
            }
        }
    });
}

/// All ways out, and where things stand.
struct Relay {
    iopub: Publisher,
    shell: RouterSender,
    control: RouterSender,
    input: RouterSender,
    key: Key,
    kernel: Kernel,
    cells: Cells,
    /// Who has asked what of the kernel's control.
    asked: HashMap<String, Vec<Bytes>>,
    reception: Reception,
    /// The channel from the process that runs the cells.
    cells_process: Option<Channel>,
}

impl Relay {
    /// Passes on what comes in, until a client asks for the end.
    async fn go_on(&mut self, incoming: &mut Receiver<Event>) -> io::Result<()> {
        loop {
            let deadline = self.cells.deadline();
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            let said = async {
                match &mut self.cells_process {
                    Some(channel) => channel.next().await,
                    None => std::future::pending().await,
                }
            };
            let mut actions = Vec::new();
            tokio::select! {
                event = incoming.recv() => match event {
                    Some(Event::Control(request)) if request.kind() == "shutdown_request" => return self.shut_down(&request).await,
                    Some(event) => self.take(event, &mut actions)?,
                    None => return Ok(()),
                },
                event = said => self.hear(event, &mut actions),
                channel = self.reception.next() => self.open(channel),
                () = due => self.cells.tick(Instant::now(), &mut actions),
            }
            for action in actions {
                self.act(action).await?;
            }
        }
    }

    fn take(&mut self, event: Event, actions: &mut Vec<Action>) -> io::Result<()> {
        let now = Instant::now();
        match event {
            Event::Shell(request) => self.cells.request(request, actions),
            Event::KernelShell(reply) => {
                // A process that the answered cell has started handed over its ends before that.
                if let Some(channel) = self.reception.try_next() {
                    self.open(channel);
                }
                self.cells.reply(reply, actions);
            }
            Event::KernelIoPub(message) => self.cells.iopub(message, now, actions),
            Event::Control(request) if request.kind() == "interrupt_request" => {
                self.cells.interrupt(request, now, actions);
            }
            Event::Control(request) => self.ask_control(request)?,
            Event::KernelControl(reply) => {
                if let Some(asker) = self.asked.remove(reply.parent_id()) {
                    self.control.send(reply.with_identities(&asker).into_frames(&self.key));
                }
            }
            Event::Input(reply) => self.kernel.input.send(reply.with_identities(&[]).into_frames(&self.kernel.key))?,
            Event::KernelInput(request) => {
                let asker = self.cells.asker(request.parent_id()).unwrap_or_default();
                self.input.send(request.with_identities(&asker).into_frames(&self.key));
            }
        }
        Ok(())
    }

    fn hear(&mut self, event: channel::Event, actions: &mut Vec<Action>) {
        let now = Instant::now();
        match event {
            channel::Event::Printed(stream, piece) => self.cells.print(stream, piece, now, actions),
            channel::Event::LeftOut(bytes) => self.cells.leave_out(bytes),
            channel::Event::Told(message) => self.cells.told(message, now, actions),
            channel::Event::Synced => self.cells.synced(actions),
            channel::Event::Closed => {
                self.cells_process = None;
                self.cells.closed(actions);
            }
        }
    }

    fn open(&mut self, channel: Channel) {
        self.cells_process = Some(channel);
        self.cells.opened();
    }

    async fn act(&mut self, action: Action) -> io::Result<()> {
        match action {
            Action::Ask(request) => self.kernel.shell.send(request.into_frames(&self.kernel.key))?,
            Action::Interrupt(request) => self.ask_control(request)?,
            Action::Shell(reply) => self.shell.send(reply.into_frames(&self.key)),
            Action::Control(reply) => self.control.send(reply.into_frames(&self.key)),
            Action::IoPub(message) => self.iopub.publish(message.into_frames(&self.key)).await,
            Action::Sync => self.ask_cells(frame::SYNC),
            Action::Stop(true) => self.ask_cells(frame::STOP),
            Action::Stop(false) => self.ask_cells(frame::GO_ON),
        }
        Ok(())
    }

    fn ask_cells(&mut self, request: u8) {
        if let Some(channel) = &mut self.cells_process {
            channel.ask(request);
        }
    }

    fn ask_control(&mut self, request: Message) -> io::Result<()> {
        self.asked.insert(request.id().to_owned(), request.identities.clone());
        self.kernel.control.send(request.with_identities(&[]).into_frames(&self.kernel.key))
    }

    /// Answers for the kernel, which would wait for the cell that runs.
    async fn shut_down(&mut self, request: &Message) -> io::Result<()> {
        let content = json!({ "status": "ok", "restart": request.content()["restart"] == true });
        self.control.send(request.answer("shutdown_reply", content.clone()).into_frames(&self.key));
        let told = Message::new("shutdown_reply", &request.header, content);
        let _ = timeout(LAST_WORDS, self.iopub.publish(told.into_frames(&self.key))).await;
        Ok(())
    }

    /// Lets the last messages leave.
    async fn flush(&self) {
        tokio::join!(self.iopub.flush(LAST_WORDS), self.shell.flush(LAST_WORDS), self.control.flush(LAST_WORDS));
    }
}
