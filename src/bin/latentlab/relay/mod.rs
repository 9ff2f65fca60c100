//! Stands between Jupyter and the Rust kernel, so that a notebook shows figures and progress while a cell runs, stops without losing its
//! variables, and knows an error from a success: all of which the kernel by itself does not do.

mod cells;
mod message;
#[allow(dead_code)]
mod zmtp;

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jupyter_protocol::{ConnectionInfo, JupyterMessage, KernelInfoRequest, connection_info::Transport};
use jupyter_zmq_client::{
    KernelIoPubConnection, RawMessage, RouterSendConnection, RuntimeError, create_client_control_connection,
    create_client_iopub_connection, create_client_shell_connection_with_identity,
    create_client_stdin_connection_with_identity, create_kernel_control_connection, create_kernel_iopub_connection,
    create_kernel_shell_connection, create_kernel_stdin_connection, peek_ports_with_listeners,
    peer_identity_for_session,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zeromq::{DealerSendHalf, RepSocket, Socket, SocketRecv, SocketSend, ZmqMessage};

use self::cells::{Action, Cells};
use self::message::Message;
use crate::project::Outcome;

/// Runs the kernel that `command` starts behind the sockets that Jupyter's connection file describes, until it ends; `folder` is for the relay's
/// own files.
pub fn run(command: Command, connection_file: &Path, folder: &Path) -> Outcome<()> {
    let text = fs::read(connection_file).map_err(|e| format!("{}: cannot read it ({e})", connection_file.display()))?;
    let jupyter: ConnectionInfo = serde_json::from_slice(&text)
        .map_err(|error| format!("{}: not a connection file ({error})", connection_file.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("the relay cannot start ({error})"))?;
    runtime.block_on(relay(command, jupyter, folder)).map_err(|error| format!("the relay stopped ({error})"))
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

type Result<T> = std::result::Result<T, RuntimeError>;

async fn relay(mut command: Command, jupyter: ConnectionInfo, folder: &Path) -> Result<()> {
    let session = format!("latentlab-relay-{}", std::process::id());
    // Jupyter's side first: its clients may ask before the kernel is there.
    let iopub = create_kernel_iopub_connection(&jupyter, &session).await?;
    let (shell, shell_in) = create_kernel_shell_connection(&jupyter, &session).await?.split();
    let (control, control_in) = create_kernel_control_connection(&jupyter, &session).await?.split();
    let (input, input_in) = create_kernel_stdin_connection(&jupyter, &session).await?.split();
    let mut heartbeat = RepSocket::new();
    heartbeat.bind(&jupyter.hb_url()).await?;
    tokio::spawn(async move {
        while let Ok(beat) = heartbeat.recv().await {
            if heartbeat.send(beat).await.is_err() {
                break;
            }
        }
    });

    let (kernel, listeners) = kernel_connection(&jupyter).await?;
    let control_file = folder.join("kernel.json");
    let stop_file = folder.join("stop");
    let _ = fs::remove_file(&stop_file);
    fs::write(&control_file, serde_json::to_vec(&kernel)?)?;
    command.arg("--control_file").arg(&control_file).env("LATENTLAB_RELAY", &stop_file);
    drop(listeners);
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;

    let (events, mut incoming) = unbounded_channel();
    let ended_at_start = |ended| Err(other(format!("the kernel ended at its start, {ended}")));
    let connected = tokio::select! {
        ended = child.wait() => return ended_at_start(ended?),
        connected = connect(&kernel, &session, &events) => connected,
    };
    let connected = match connected {
        Ok(connected) => connected,
        // Seldom the connection itself: a kernel that dies closes it before it is gone.
        Err(error) => match tokio::time::timeout(Duration::from_secs(1), child.wait()).await {
            Ok(ended) => return ended_at_start(ended?),
            Err(_) => return Err(error),
        },
    };
    let key = shell_in.mac.clone();
    let signed = move |frames: &ZmqMessage| RawMessage::from_multipart(frames.clone(), &key).is_ok();
    spawn_reader(shell_in.socket, events.clone(), signed.clone(), Event::Shell);
    spawn_reader(control_in.socket, events.clone(), signed.clone(), Event::Control);
    spawn_reader(input_in.socket, events, signed, Event::Input);

    let cells = Cells::default();
    let mut relay = Relay { iopub, shell, control, input, kernel: connected, cells, asked: HashMap::new(), stop_file };
    tokio::select! {
        ended = child.wait() => {
            let ended = ended?;
            // What it still had to say, above all that it ends.
            let _ = tokio::time::timeout(LAST_WORDS, relay.go_on(&mut incoming)).await;
            if ended.success() { Ok(()) } else { Err(other(format!("the kernel ended, {ended}"))) }
        }
        failed = relay.go_on(&mut incoming) => failed,
        () = orphaned() => Ok(()),
    }
}

/// How long the relay goes on after the kernel has ended.
const LAST_WORDS: Duration = Duration::from_millis(100);

fn other(message: String) -> RuntimeError {
    RuntimeError::ZmqMessageError(message)
}

/// Ends when the process that started this one has ended: without Jupyter there is no use in a kernel.
#[cfg(unix)]
async fn orphaned() {
    let parent = std::os::unix::process::parent_id();
    while std::os::unix::process::parent_id() == parent {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

#[cfg(not(unix))]
async fn orphaned() {
    std::future::pending::<()>().await;
}

/// A connection of our own for the kernel, with the same key: messages are passed on with their signatures.
async fn kernel_connection(jupyter: &ConnectionInfo) -> Result<(ConnectionInfo, Vec<tokio::net::TcpListener>)> {
    let local = Ipv4Addr::LOCALHOST;
    let (ports, listeners) = peek_ports_with_listeners(IpAddr::V4(local), 5).await?;
    let kernel = ConnectionInfo {
        ip: local.to_string(),
        transport: Transport::TCP,
        shell_port: ports[0],
        iopub_port: ports[1],
        stdin_port: ports[2],
        control_port: ports[3],
        hb_port: ports[4],
        ..jupyter.clone()
    };
    Ok((kernel, listeners))
}

/// The ways to the kernel.
struct Kernel {
    shell: DealerSendHalf,
    control: DealerSendHalf,
    input: DealerSendHalf,
}

/// Waits for the kernel, and for what it tells everybody to arrive.
async fn connect(kernel: &ConnectionInfo, session: &str, events: &UnboundedSender<Event>) -> Result<Kernel> {
    while tokio::net::TcpStream::connect((kernel.ip.as_str(), kernel.iopub_port)).await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let identity = peer_identity_for_session(session)?;
    let mut iopub = create_client_iopub_connection(kernel, "", session).await?;
    let shell = create_client_shell_connection_with_identity(kernel, session, identity.clone()).await?;
    let input = create_client_stdin_connection_with_identity(kernel, session, identity).await?;
    let control = create_client_control_connection(kernel, session).await?;
    let (mut shell, mut shell_in) = shell.split();
    let (control, control_in) = control.split();
    let (input, input_in) = input.split();
    loop {
        shell.send(JupyterMessage::new(KernelInfoRequest {}, None)).await?;
        shell_in.socket.recv().await?;
        if tokio::time::timeout(Duration::from_millis(100), iopub.socket.recv()).await.is_ok() {
            break;
        }
    }
    // The rest of what it said to these requests.
    while tokio::time::timeout(Duration::from_millis(20), iopub.socket.recv()).await.is_ok() {}
    let any = |_: &ZmqMessage| true;
    spawn_reader(iopub.socket, events.clone(), any, Event::KernelIoPub);
    spawn_reader(shell_in.socket, events.clone(), any, Event::KernelShell);
    spawn_reader(control_in.socket, events.clone(), any, Event::KernelControl);
    spawn_reader(input_in.socket, events.clone(), any, Event::KernelInput);
    Ok(Kernel { shell: shell.socket, control: control.socket, input: input.socket })
}

/// Reads a socket for ever; what is not signed is thrown away.
fn spawn_reader(
    mut socket: impl SocketRecv + Send + 'static,
    events: UnboundedSender<Event>,
    signed: impl Fn(&ZmqMessage) -> bool + Send + 'static,
    event: fn(Message) -> Event,
) {
    tokio::spawn(async move {
        while let Ok(frames) = socket.recv().await {
            let Some(message) = Some(frames).filter(&signed).and_then(Message::read) else { continue };
            if events.send(event(message)).is_err() {
                break;
            }
        }
    });
}

/// All ways out, and where things stand.
struct Relay {
    iopub: KernelIoPubConnection,
    shell: RouterSendConnection,
    control: RouterSendConnection,
    input: RouterSendConnection,
    kernel: Kernel,
    cells: Cells,
    /// Who has asked what of the kernel's control.
    asked: HashMap<String, Vec<Bytes>>,
    /// While it is there, what listens stops.
    stop_file: PathBuf,
}

impl Relay {
    /// Passes on what comes in, for ever.
    async fn go_on(&mut self, incoming: &mut UnboundedReceiver<Event>) -> Result<()> {
        loop {
            let deadline = self.cells.deadline();
            let due = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                    None => std::future::pending().await,
                }
            };
            let mut actions = Vec::new();
            tokio::select! {
                event = incoming.recv() => match event {
                    Some(event) => self.take(event, &mut actions).await?,
                    None => return Ok(()),
                },
                () = due => self.cells.tick(Instant::now(), &mut actions),
            }
            for action in actions {
                self.act(action).await?;
            }
        }
    }

    async fn take(&mut self, event: Event, actions: &mut Vec<Action>) -> Result<()> {
        let now = Instant::now();
        match event {
            Event::Shell(request) => self.cells.request(request, now, actions),
            Event::KernelShell(reply) => self.cells.reply(reply, now, actions),
            Event::KernelIoPub(message) => self.cells.iopub(message, now, actions),
            Event::Control(request) if request.kind() == "interrupt_request" => {
                self.cells.interrupt(request, now, actions);
            }
            Event::Control(request) => self.ask_control(request).await?,
            Event::KernelControl(reply) => {
                if let Some(asker) = self.asked.remove(reply.parent_id()) {
                    let reply = reply.with_identities(&asker);
                    passed(self.control.socket.send(reply.into_frames()).await)?;
                }
            }
            Event::Input(reply) => self.kernel.input.send(reply.with_identities(&[]).into_frames()).await?,
            Event::KernelInput(request) => {
                let asker = self.cells.asker(request.parent_id()).unwrap_or_default();
                passed(self.input.socket.send(request.with_identities(&asker).into_frames()).await)?;
            }
        }
        Ok(())
    }

    async fn act(&mut self, action: Action) -> Result<()> {
        match action {
            Action::Ask(request) => self.kernel.shell.send(request.into_frames()).await?,
            Action::Interrupt(request) => self.ask_control(request).await?,
            Action::Shell(reply) => passed(self.shell.socket.send(reply.into_frames()).await)?,
            Action::IoPub(message) => self.iopub.socket.send(message.into_frames()).await?,
            Action::OwnShell(reply) => own(self.shell.send(reply).await)?,
            Action::OwnControl(reply) => own(self.control.send(reply).await)?,
            Action::OwnIoPub(message) => self.iopub.send(message).await?,
            // A file that is there already, or no longer, is as it should be.
            Action::Stop(true) => drop(fs::write(&self.stop_file, "")),
            Action::Stop(false) => drop(fs::remove_file(&self.stop_file)),
        }
        Ok(())
    }

    async fn ask_control(&mut self, request: Message) -> Result<()> {
        self.asked.insert(request.id().to_owned(), request.identities.clone());
        Ok(self.kernel.control.send(request.with_identities(&[]).into_frames()).await?)
    }
}

/// A client that has gone away gets no answer: no reason to end.
fn passed(sent: zeromq::ZmqResult<()>) -> Result<()> {
    match sent {
        Err(zeromq::ZmqError::Other(_)) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn own(sent: Result<()>) -> Result<()> {
    match sent {
        Err(RuntimeError::ZmqError(zeromq::ZmqError::Other(_))) => Ok(()),
        sent => sent,
    }
}
