//! A socket that others connect to.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedReceiver};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::peers::{ACTIVE, CONNECTED, KNOWN, Limits, Outgoing, Peer, Peers, Received};
use super::transport::{Endpoint, Listener, Reader, SocketFile, Writer};
use super::wire::SocketType;

/// The messages that the inbox of a socket holds.
pub const INBOX: usize = 64;

/// Ends, with all its connections, when it is dropped.
pub struct Listening {
    pub peers: Arc<Peers>,
    #[cfg_attr(not(test), expect(dead_code, reason = "only tests let the system choose a port"))]
    pub endpoint: Endpoint,
    task: JoinHandle<()>,
    _file: Option<SocketFile>,
}

impl Listening {
    pub fn bind(endpoint: &Endpoint, socket: SocketType, limits: Limits) -> io::Result<(Self, Receiver<Received>)> {
        let peers = Peers::new(socket, limits);
        let (sender, received) = mpsc::channel(INBOX);
        let (listener, endpoint, _file) = Listener::bind(endpoint)?;
        let task = tokio::spawn(listen(listener, peers.clone(), sender));
        Ok((Self { peers, endpoint, task, _file }, received))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Accepts connections for ever, whatever happens to them.
async fn listen(listener: Listener, peers: Arc<Peers>, inbox: Sender<Received>) {
    let mut connected: Vec<Arc<Peer>> = Vec::new();
    let mut tasks = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
        if accepted.as_ref().is_err_and(|e| matches!(e.kind(), ConnectionAborted | ConnectionReset | Interrupted)) {
            continue;
        }
        while tasks.try_join_next().is_some() {}
        if connected.len() >= peers.limits.connections {
            // The task of a connection that has ended no longer holds its peer.
            connected.retain(|peer| Arc::strong_count(peer) > 1);
        }
        // Any other error means that this process, or the machine, has too many files open.
        if accepted.is_err() || tasks.len() >= peers.limits.connections {
            evict(&peers, &mut connected);
            let _ = timeout(Duration::from_millis(100), tasks.join_next()).await;
        }
        match accepted {
            Ok(halves) => {
                let (peer, outbox) = Peer::new();
                connected.push(peer.clone());
                tasks.spawn(serve(peers.clone(), peer, halves, outbox, inbox.clone()));
            }
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    }
}

/// Closes the connection that is least likely to be in use.
fn evict(peers: &Peers, connected: &mut Vec<Arc<Peer>>) {
    let stage = |peer: &Arc<Peer>| peer.stage.load(Relaxed);
    let oldest_new = connected.iter().position(|peer| stage(peer) == CONNECTED);
    let youngest = |wanted| connected.iter().rposition(|peer| stage(peer) == wanted);
    if let Some(at) = oldest_new.or_else(|| youngest(KNOWN)).or_else(|| youngest(ACTIVE)) {
        peers.close(&connected.remove(at));
    }
}

/// One connection from handshake to end.
pub async fn serve(
    peers: Arc<Peers>,
    peer: Arc<Peer>,
    halves: (Reader, Writer),
    outbox: UnboundedReceiver<Arc<Outgoing>>,
    inbox: Sender<Received>,
) {
    let connection = tokio::select! {
        connection = timeout(peers.limits.handshake, peers.handshake(halves, &[])) => connection,
        () = peer.close.notified() => return,
    };
    if let Ok(Ok(connection)) = connection {
        peers.add(&peer, &connection.identity);
        peers.traffic(&peer, connection, outbox, inbox).await;
    }
}
