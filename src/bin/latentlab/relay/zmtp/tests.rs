use std::collections::HashSet;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex, split};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::listen::serve;
use super::peers::{Peer, Peers};
use super::transport::halves;
use super::wire::{Decoder, GREETING, Item, VERSION, check_mechanism, check_ready, check_version, frame_header, ready};
use super::*;
use crate::mutate;

/// Whatever takes longer than this hangs.
const LONG: Duration = Duration::from_secs(60);

fn any() -> Endpoint {
    Endpoint::Tcp("127.0.0.1:0".parse().unwrap())
}

fn frames(parts: &[&[u8]]) -> Vec<Bytes> {
    parts.iter().map(|part| Bytes::copy_from_slice(part)).collect()
}

/// A message or a command on the wire.
fn encoded(command: bool, parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        bytes.extend(frame_header(command, place + 1 < parts.len(), part.len()));
        bytes.extend_from_slice(part);
    }
    bytes
}

/// A client that sends any bytes.
struct Raw(TcpStream, Decoder);

impl Raw {
    async fn connect(endpoint: &Endpoint) -> Self {
        let Endpoint::Tcp(address) = endpoint else { panic!("no TCP") };
        let mut decoder = Decoder::new();
        decoder.allow(1 << 30, 100);
        Self(TcpStream::connect(address).await.unwrap(), decoder)
    }

    /// One that has done the handshake.
    async fn known(endpoint: &Endpoint, socket: SocketType) -> Self {
        let mut raw = Self::connect(endpoint).await;
        raw.send_bytes(&GREETING).await;
        raw.send_bytes(&encoded(true, &[&ready(socket, b"")])).await;
        let mut greeting = [0; 64];
        raw.0.read_exact(&mut greeting).await.unwrap();
        assert_eq!(greeting, GREETING);
        assert!(matches!(raw.receive().await, Some(Item::Command(ready)) if ready.starts_with(b"\x05READY")));
        raw
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        // The other side may have closed.
        let _ = self.0.write_all(bytes).await;
    }

    /// `None` when the other side has closed.
    async fn receive(&mut self) -> Option<Item> {
        loop {
            if let Some(item) = self.1.next().unwrap() {
                return Some(item);
            }
            let arrived = timeout(LONG, self.0.read_buf(&mut self.1.space())).await.expect("nothing arrives");
            if arrived.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// Waits until the other side has closed.
    async fn closed(mut self) {
        while self.receive().await.is_some() {}
    }
}

/// Sends a question to the router and receives it back as the answer.
async fn answered(endpoint: &Endpoint, sender: &Router, receiver: &mut Inbox) {
    let (client, mut answers) = Dealer::connect(endpoint, None, Limits::default()).await.unwrap();
    client.send(frames(&[b"question"])).unwrap();
    let question = timeout(LONG, async {
        loop {
            let message = receiver.recv().await.unwrap();
            if message[1..] == frames(&[b"question"]) {
                break message;
            }
        }
    });
    sender.send(question.await.unwrap());
    assert_eq!(timeout(LONG, answers.recv()).await.unwrap().unwrap(), frames(&[b"question"]));
}

async fn beats(endpoint: &Endpoint) {
    let mut client = Raw::known(endpoint, SocketType::Dealer).await;
    client.send_bytes(&encoded(false, &[b"", b"ping"])).await;
    assert_eq!(client.receive().await, Some(Item::Message(frames(&[b"", b"ping"]))));
}

#[tokio::test]
async fn messages_of_all_sizes_arrive_complete_and_in_order() {
    let (sender, mut receiver) = Router::bind(&any(), Limits::default()).unwrap();
    let identity = Some(Bytes::from("me"));
    let (client, mut answers) = Dealer::connect(&sender.0.endpoint, identity, Limits::kernel()).await.unwrap();
    let sizes = [0, 1, 255, 256, 1023, 1024, 65_535, 65_536, 300_000, 5_000_000];
    let sent: Vec<Vec<Bytes>> = (0..200)
        .map(|number: usize| {
            let size = |place: usize| sizes[(number + place) % if number.is_multiple_of(20) { 10 } else { 8 }];
            (0..1 + number % 9).map(|place| Bytes::from(vec![number as u8; size(place)])).collect()
        })
        .collect();
    let owner = async {
        for _ in 0..sent.len() {
            let message = receiver.recv().await.unwrap();
            assert_eq!(message[0], "me");
            sender.send(message);
        }
    };
    let requests = async {
        for message in &sent {
            client.send(message.clone()).unwrap();
        }
        for message in &sent {
            assert!(answers.recv().await.unwrap() == *message);
        }
    };
    timeout(LONG, async { tokio::join!(owner, requests) }).await.unwrap();
    let (unknown, no_one) = (frames(&[b"stranger", b"x"]), frames(&[b"me"]));
    sender.send(unknown);
    sender.send(no_one);
    sender.send(Vec::new());
    drop((sender, receiver));
    assert_eq!(timeout(LONG, answers.recv()).await.unwrap(), None);
    assert!(client.send(frames(&[b"x"])).is_err());
}

#[tokio::test]
async fn the_latest_client_with_an_identity_gets_the_answers() {
    let (sender, mut receiver) = Router::bind(&any(), Limits::default()).unwrap();
    let identity = || Some(Bytes::from("same"));
    let (first, mut first_answers) = Dealer::connect(&sender.0.endpoint, identity(), Limits::default()).await.unwrap();
    first.send(frames(&[b"first"])).unwrap();
    assert_eq!(receiver.recv().await.unwrap(), frames(&[b"same", b"first"]));
    let (second, mut second_answers) =
        Dealer::connect(&sender.0.endpoint, identity(), Limits::default()).await.unwrap();
    second.send(frames(&[b"second"])).unwrap();
    assert_eq!(receiver.recv().await.unwrap(), frames(&[b"same", b"second"]));
    sender.send(frames(&[b"same", b"for the second"]));
    assert_eq!(second_answers.recv().await.unwrap(), frames(&[b"for the second"]));
    first.send(frames(&[b"first again"])).unwrap();
    let again = receiver.recv().await.unwrap();
    assert!(again[0] != "same" && again[1] == "first again");
    sender.send(again);
    assert_eq!(first_answers.recv().await.unwrap(), frames(&[b"first again"]));
    // That the earlier client closes changes nothing for the later one.
    drop((first, first_answers));
    answered(&sender.0.endpoint, &sender, &mut receiver).await;
    sender.send(frames(&[b"same", b"still"]));
    assert_eq!(second_answers.recv().await.unwrap(), frames(&[b"still"]));
}

#[tokio::test]
async fn subscribers_receive_their_topics() {
    let publisher = Publisher::bind(&any(), Limits::default()).unwrap();
    let mut all = subscribe(&publisher.0.endpoint, Limits::kernel()).await.unwrap();
    let mut by_message = Raw::known(&publisher.0.endpoint, SocketType::Subscriber).await;
    by_message.send_bytes(&encoded(false, &[b"\x01ab"])).await;
    let mut by_command = Raw::known(&publisher.0.endpoint, SocketType::Subscriber).await;
    by_command.send_bytes(&encoded(true, &[b"\x09SUBSCRIBEab"])).await;
    by_command.send_bytes(&encoded(true, &[b"\x09SUBSCRIBEx"])).await;
    by_command.send_bytes(&encoded(true, &[b"\x06CANCELx"])).await;
    // Commands and messages are handled in their order.
    for subscriber in [&mut by_message, &mut by_command] {
        subscriber.send_bytes(&encoded(true, &[b"\x04PING\0\0here"])).await;
        assert_eq!(subscriber.receive().await, Some(Item::Command(Bytes::from("\x04PONGhere"))));
    }
    let subscribed = async { while all.recv().await.unwrap() != frames(&[b"begin"]) {} };
    let asks = async {
        loop {
            publisher.publish(frames(&[b"begin"])).await;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! { () = subscribed => {}, () = asks => {} }
    for topic in ["a", "ab", "x", "abc"] {
        publisher.publish(frames(&[topic.as_bytes(), b"body"])).await;
    }
    for subscriber in [&mut by_message, &mut by_command] {
        assert_eq!(subscriber.receive().await, Some(Item::Message(frames(&[b"ab", b"body"]))));
        assert_eq!(subscriber.receive().await, Some(Item::Message(frames(&[b"abc", b"body"]))));
    }
    for topic in ["a", "ab", "x", "abc"] {
        let next = async {
            loop {
                let message = all.recv().await.unwrap();
                if message[0] != "begin" {
                    break message;
                }
            }
        };
        assert_eq!(timeout(LONG, next).await.unwrap(), frames(&[topic.as_bytes(), b"body"]));
    }
    by_message.send_bytes(&encoded(false, &[b"\0ab"])).await;
    by_message.send_bytes(&encoded(true, &[b"\x04PING\0\0"])).await;
    assert_eq!(by_message.receive().await, Some(Item::Command(Bytes::from("\x04PONG"))));
    publisher.publish(frames(&[b"ab"])).await;
    by_message.send_bytes(&encoded(true, &[b"\x04PING\0\0"])).await;
    assert_eq!(by_message.receive().await, Some(Item::Command(Bytes::from("\x04PONG"))));
}

#[tokio::test]
async fn a_malformed_message_ends_only_its_own_connection() {
    let (sender, mut receiver) = Router::bind(&any(), Limits::default()).unwrap();
    let publisher = Publisher::bind(&any(), Limits::default()).unwrap();
    let heart = Heartbeat::bind(&any(), Limits::default()).unwrap();
    let huge = [&[2][..], &(1_u64 << 45).to_be_bytes()].concat();
    let over = [&[2][..], &((64_u64 << 20) + 1).to_be_bytes()].concat();
    let together = [&[1, 1, 0, 2][..], &(64_u64 << 20).to_be_bytes()].concat();
    let many = [1, 0].repeat(1025);
    let long_command = [&[6][..], &8193_u64.to_be_bytes()].concat();
    let malformed: [&[u8]; 13] = [
        &huge,
        &[2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        &over,
        &together,
        &many,
        &long_command,
        &[0x08, 0],
        &[0xff, 0xff],
        &[0x05, 0],
        &[0x04, 0],
        &[0x04, 2, 5, b'R'],
        &[0x04, 6, 4, b'P', b'I', b'N', b'G', 0],
        b"\x04\x06\x05ERROR",
    ];
    for (endpoint, socket) in [
        (&sender.0.endpoint, SocketType::Dealer),
        (&publisher.0.endpoint, SocketType::Subscriber),
        (&heart.0.endpoint, SocketType::Dealer),
    ] {
        for bytes in malformed {
            let mut client = Raw::known(endpoint, socket).await;
            client.send_bytes(bytes).await;
            client.closed().await;
        }
        // Half a frame, then a reset.
        let mut client = Raw::known(endpoint, socket).await;
        client.send_bytes(&[0, 100, 1, 2, 3]).await;
        #[allow(deprecated, reason = "with 0 seconds it never blocks")]
        client.0.set_linger(Some(Duration::ZERO)).unwrap();
    }
    // An unknown command is ignored.
    let mut client = Raw::known(&heart.0.endpoint, SocketType::Dealer).await;
    client.send_bytes(&encoded(true, &[b"\x03NEWthings"])).await;
    client.send_bytes(&encoded(false, &[b"", b"ping"])).await;
    assert_eq!(client.receive().await, Some(Item::Message(frames(&[b"", b"ping"]))));
    beats(&heart.0.endpoint).await;
    answered(&sender.0.endpoint.clone(), &sender, &mut receiver).await;
}

#[tokio::test]
async fn a_client_without_a_handshake_is_refused() {
    let limits = Limits { handshake: Duration::from_millis(200), ..Limits::default() };
    let (sender, mut receiver) = Router::bind(&any(), limits).unwrap();
    let endpoint = sender.0.endpoint.clone();
    let with = |changes: &[(usize, u8)]| {
        let mut greeting = GREETING;
        changes.iter().for_each(|&(at, byte)| greeting[at] = byte);
        greeting.to_vec()
    };
    let with_command = |command: &[u8]| [&GREETING[..], &encoded(true, &[command])].concat();
    let mut long = b"\x05READY".to_vec();
    long.extend_from_slice(b"\x0bSocket-Type\0\0\0\x06DEALER\x08Identity\0\0\x01\0");
    long.extend_from_slice(&[b'i'; 256]);
    let openings = [
        Vec::new(),
        GREETING[..10].to_vec(),
        GREETING.to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        // ZMTP 1 and 2, another mechanism
        vec![1, 0],
        with(&[(10, 1)])[..VERSION].to_vec(),
        with(&[(12, b'P'), (13, b'L'), (14, b'A'), (15, b'I'), (16, b'N')]),
        // A message first, malformed READY commands, one without a socket type, another command
        [&GREETING[..], &encoded(false, &[b"early"])].concat(),
        with_command(b"\x05READY\x0bSocket-Type\0\0\0\x99DEALER"),
        with_command(b"\x05READY\x0bSocket-Type\xff\xff\xff\xffDEALER"),
        with_command(b"\x05READY\x0bSocket"),
        with_command(b"\x05READY"),
        with_command(b"\x05HELLO"),
        with_command(&long),
        [&GREETING[..], &[6], &(1_u64 << 45).to_be_bytes()].concat(),
    ];
    for opening in openings {
        let mut client = Raw::connect(&endpoint).await;
        client.send_bytes(&opening).await;
        let mut rest = Vec::new();
        timeout(LONG, client.0.read_to_end(&mut rest)).await.expect("it stays open").unwrap_or_default();
    }
    let mut client = Raw::connect(&endpoint).await;
    client.send_bytes(&with_command(&ready(SocketType::Subscriber, b""))).await;
    let mut rest = Vec::new();
    client.0.read_to_end(&mut rest).await.unwrap();
    let why = b"a ROUTER socket cannot talk to a SUB socket";
    assert!(rest.windows(why.len()).any(|window| window == why), "{}", rest.escape_ascii());
    assert!(subscribe(&endpoint, limits).await.is_err());
    answered(&endpoint, &sender, &mut receiver).await;
}

#[tokio::test]
async fn a_message_must_arrive_in_time() {
    let limits = Limits { patience: Duration::from_millis(200), ..Limits::default() };
    let (sender, mut receiver) = Router::bind(&any(), limits).unwrap();
    // A header, a frame but no more, part of a frame
    for beginning in [&[1][..], &[1, 1, b'a'], &[0, 100, 1, 2, 3]] {
        let mut client = Raw::known(&sender.0.endpoint, SocketType::Dealer).await;
        client.send_bytes(beginning).await;
        client.closed().await;
    }
    // One that arrives byte by byte.
    let mut client = Raw::known(&sender.0.endpoint, SocketType::Dealer).await;
    client.send_bytes(&[2, 0, 0, 0, 0, 3, 0, 0, 0]).await;
    let trickle = async {
        loop {
            if client.0.write_all(&[0]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, trickle).await.expect("it is never closed");
    // Between messages there is no limit.
    let mut idle = Raw::known(&sender.0.endpoint, SocketType::Dealer).await;
    idle.send_bytes(&encoded(false, &[b"one"])).await;
    assert_eq!(receiver.recv().await.unwrap()[1], "one");
    tokio::time::sleep(2 * limits.patience).await;
    idle.send_bytes(&encoded(false, &[b"two"])).await;
    assert_eq!(receiver.recv().await.unwrap()[1], "two");
}

#[tokio::test]
async fn large_messages_wait_for_each_other_and_small_ones_do_not() {
    let limits = Limits { patience: Duration::from_millis(500), ..Limits::default() };
    let (sender, mut receiver) = Router::bind(&any(), limits).unwrap();
    let mut greedy = Vec::new();
    for _ in 0..20 {
        let mut client = Raw::known(&sender.0.endpoint, SocketType::Dealer).await;
        client.send_bytes(&[2, 0, 0, 0, 0, 3, 0, 0, 0]).await;
        greedy.push(client);
    }
    answered(&sender.0.endpoint.clone(), &sender, &mut receiver).await;
    // They time out, four at a time.
    let (client, _answers) = Dealer::connect(&sender.0.endpoint, None, Limits::default()).await.unwrap();
    client.send(vec![Bytes::from(vec![1; 30 << 20])]).unwrap();
    let message = timeout(LONG, receiver.recv()).await.unwrap().unwrap();
    assert_eq!(message[1].len(), 30 << 20);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected() {
    let limits = Limits { queue: 20 << 20, ..Limits::default() };
    let (sender, mut receiver) = Router::bind(&any(), limits).unwrap();
    let mut deaf = Raw::known(&sender.0.endpoint, SocketType::Dealer).await;
    deaf.send_bytes(&encoded(false, &[b"hello"])).await;
    let identity = receiver.recv().await.unwrap().remove(0);
    for _ in 0..100 {
        sender.send(vec![identity.clone(), Bytes::from(vec![0; 1 << 20])]);
    }
    answered(&sender.0.endpoint.clone(), &sender, &mut receiver).await;
    deaf.closed().await;
    // So is one that sends heartbeats without end.
    let heart = Heartbeat::bind(&any(), Limits::default()).unwrap();
    let mut deaf = Raw::known(&heart.0.endpoint, SocketType::Dealer).await;
    let beat = encoded(false, &[b"", &[0; 8000]]);
    let send = async { while deaf.0.write_all(&beat).await.is_ok() {} };
    timeout(LONG, send).await.expect("it is never disconnected");
    beats(&heart.0.endpoint).await;
}

#[tokio::test]
async fn a_slow_subscriber_loses_nothing_and_a_stalled_one_is_disconnected() {
    let limits = Limits { queue: 4 << 20, stall: Duration::from_millis(500), ..Limits::default() };
    let publisher = Publisher::bind(&any(), limits).unwrap();
    let mut slow = Raw::known(&publisher.0.endpoint, SocketType::Subscriber).await;
    let mut stalled = Raw::known(&publisher.0.endpoint, SocketType::Subscriber).await;
    for client in [&mut slow, &mut stalled] {
        client.send_bytes(&encoded(false, &[b"\x01"])).await;
        client.send_bytes(&encoded(true, &[b"\x04PING\0\0"])).await;
        assert!(client.receive().await.is_some());
    }
    let count = 100;
    let reads = async {
        for number in 0..count {
            let message = slow.receive().await;
            let Some(Item::Message(frames)) = message else { panic!("{number}: {message:?}") };
            assert!(frames[0] == number.to_string() && frames[1].len() == 1 << 20);
            if number % 10 == 0 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    };
    let body = Bytes::from(vec![0; 1 << 20]);
    let publishes = async {
        for number in 0..count {
            publisher.publish(vec![Bytes::from(number.to_string()), body.clone()]).await;
        }
    };
    timeout(LONG, async { tokio::join!(reads, publishes) }).await.unwrap();
    stalled.closed().await;
    // A message larger than the queue is sent, too.
    let large = Bytes::from(vec![0; 10 << 20]);
    publisher.publish(vec![large]).await;
    assert!(matches!(slow.receive().await, Some(Item::Message(frames)) if frames[0].len() == 10 << 20));
    publisher.flush(LONG).await;
}

#[tokio::test]
async fn a_flood_of_connections_disconnects_no_active_client() {
    let limits = Limits { connections: 8, ..Limits::default() };
    let (sender, mut receiver) = Router::bind(&any(), limits).unwrap();
    let endpoint = sender.0.endpoint.clone();
    let identity = Some(Bytes::from("worker"));
    let (worker, mut answers) = Dealer::connect(&endpoint, identity, Limits::default()).await.unwrap();
    worker.send(frames(&[b"hello"])).unwrap();
    sender.send(receiver.recv().await.unwrap());
    assert!(answers.recv().await.is_some());
    let (mut silent, mut known) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        silent.push(Raw::connect(&endpoint).await);
    }
    answered(&endpoint, &sender, &mut receiver).await;
    for _ in 0..50 {
        known.push(Raw::known(&endpoint, SocketType::Dealer).await);
    }
    answered(&endpoint, &sender, &mut receiver).await;
    worker.send(frames(&[b"still here"])).unwrap();
    assert_eq!(receiver.recv().await.unwrap(), frames(&[b"worker", b"still here"]));
    // All but eight are closed.
    let mut open = 0;
    for mut client in silent.into_iter().chain(known) {
        let mut rest = Vec::new();
        open += usize::from(timeout(Duration::from_millis(20), client.0.read_to_end(&mut rest)).await.is_err());
    }
    assert!(open <= 7, "{open} are open");
    let heart = Heartbeat::bind(&any(), limits).unwrap();
    let mut floods = Vec::new();
    for _ in 0..50 {
        floods.push(Raw::known(&heart.0.endpoint, SocketType::Dealer).await);
        beats(&heart.0.endpoint).await;
    }
}

#[tokio::test]
async fn a_dropped_socket_leaves_nothing_behind() {
    let (sender, receiver) = Router::bind(&any(), Limits::default()).unwrap();
    let endpoint = sender.0.endpoint.clone();
    let (_client, mut answers) = Dealer::connect(&endpoint, None, Limits::default()).await.unwrap();
    drop(sender);
    assert!(Dealer::connect(&endpoint, None, Limits::default()).await.is_ok());
    drop(receiver);
    assert_eq!(timeout(LONG, answers.recv()).await.unwrap(), None);
    let gone = async { while Dealer::connect(&endpoint, None, Limits::default()).await.is_ok() {} };
    timeout(LONG, gone).await.expect("it is still listening");
    // The port is free again.
    let again = async {
        while Publisher::bind(&endpoint, Limits::default()).is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, again).await.expect("the port is not free");
}

#[cfg(unix)]
#[tokio::test]
async fn socket_files_are_private_and_removed() {
    use std::os::unix::fs::PermissionsExt;
    let folder = crate::folder::Folder::new("zmtp");
    let endpoint = Endpoint::Ipc(folder.file("kernel-1"));
    let (sender, mut receiver) = Router::bind(&endpoint, Limits::default()).unwrap();
    assert_eq!(std::fs::metadata(folder.file("kernel-1")).unwrap().permissions().mode() & 0o777, 0o600);
    answered(&endpoint, &sender, &mut receiver).await;
    let taken = Heartbeat::bind(&endpoint, Limits::default()).err().unwrap();
    assert_eq!(taken.kind(), io::ErrorKind::AddrInUse);
    answered(&endpoint, &sender, &mut receiver).await;
    drop((sender, receiver));
    assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 0);
    // The socket of a killed process is replaced, any other file is kept.
    drop(std::os::unix::net::UnixListener::bind(folder.file("kernel-1")).unwrap());
    let (sender, mut receiver) = Router::bind(&endpoint, Limits::default()).unwrap();
    answered(&endpoint, &sender, &mut receiver).await;
    let notes = folder.write("notes", b"mine");
    assert!(Heartbeat::bind(&Endpoint::Ipc(notes.clone()), Limits::default()).is_err());
    assert_eq!(std::fs::read_to_string(notes).unwrap(), "mine");
}

#[test]
fn memory_grows_with_what_has_arrived() {
    let mut decoder = Decoder::new();
    decoder.allow(1 << 40, 10);
    let arrives = |decoder: &mut Decoder, mut bytes: &[u8]| {
        while !bytes.is_empty() {
            let mut space = decoder.space();
            let now = bytes.len().min(bytes::BufMut::remaining_mut(&space));
            bytes::BufMut::put_slice(&mut space, &bytes[..now]);
            bytes = &bytes[now..];
            assert_eq!(decoder.next().unwrap(), None);
        }
    };
    arrives(&mut decoder, &[2]);
    arrives(&mut decoder, &(1_u64 << 39).to_be_bytes());
    let mut arrived = 0;
    for _ in 0..300 {
        arrives(&mut decoder, &[7; 50_000]);
        arrived += 50_000;
        assert!(decoder.memory() <= 2 * arrived + (256 << 10), "{} of {arrived}", decoder.memory());
    }
}

/// Everything that a client of this type may send.
fn conversation(socket: SocketType) -> Vec<u8> {
    let mut said = GREETING.to_vec();
    said.extend(encoded(true, &[&ready(socket, b"9d1f-session")]));
    said.extend(encoded(true, &[b"\x04PING\0\x0acontext"]));
    match socket {
        SocketType::Subscriber => {
            said.extend(encoded(false, &[b"\x01"]));
            said.extend(encoded(true, &[b"\x09SUBSCRIBEkernel."]));
            said.extend(encoded(true, &[b"\x06CANCELkernel."]));
            said.extend(encoded(false, &[b"\0"]));
        }
        _ => {
            let header = br#"{"msg_id":"1","msg_type":"execute_request","session":"s","version":"5.3"}"#;
            let content = br#"{"code":"let digits = Dataset::digits()?;","silent":false}"#;
            said.extend(encoded(false, &[b"<IDS|MSG>", &[b'f'; 64], header, b"{}", b"{}", content, &[9; 700]]));
            said.extend(encoded(false, &[b"", b"ping"]));
        }
    }
    said.extend(encoded(true, &[b"\x04PONGcontext"]));
    said
}

/// The bytes of the decoded messages, or `None` if something was refused.
fn decode(bytes: &[u8], socket: SocketType, mutator: &mut mutate::Mutator, limits: &Limits) -> Option<usize> {
    let start = bytes.first_chunk::<VERSION>()?;
    check_version(start).ok()?;
    let (greeting, mut rest) = bytes.split_first_chunk::<64>()?;
    check_mechanism(greeting).ok()?;
    let mut decoder = Decoder::new();
    let (mut is_ready, mut out) = (false, 0);
    let mut arrived = 0;
    while !rest.is_empty() {
        let mut space = decoder.space();
        let most = [4, 40, 4000][mutator.below(3)];
        let now = (1 + mutator.below(most)).min(rest.len());
        let now = now.min(bytes::BufMut::remaining_mut(&space));
        assert!(now > 0);
        bytes::BufMut::put_slice(&mut space, &rest[..now]);
        rest = &rest[now..];
        arrived += now;
        loop {
            let item = decoder.next();
            assert!(decoder.memory() <= 2 * arrived + (256 << 10));
            match item.ok()? {
                None => break,
                Some(Item::Command(command)) if !is_ready => {
                    check_ready(&command, socket).ok()?;
                    decoder.allow(limits.message, limits.frames);
                    is_ready = true;
                }
                Some(Item::Command(_)) => {}
                Some(Item::Message(frames)) => {
                    let size: usize = frames.iter().map(Bytes::len).sum();
                    assert!(is_ready && (1..=limits.frames).contains(&frames.len()) && size <= limits.message);
                    out += size;
                }
            }
        }
    }
    assert!(out <= arrived);
    Some(out)
}

/// 10,000 damaged conversations, for the decoder in pieces of all sizes, and for each type of listening socket.
#[tokio::test]
async fn damaged_conversations_are_refused_and_leave_nothing_behind() {
    let limits = Limits { message: 4096, frames: 8, ..Limits::default() };
    let mut mutator = mutate::Mutator::new(13);
    let conversations = [conversation(SocketType::Dealer), conversation(SocketType::Subscriber)];
    let kinds = [SocketType::Router, SocketType::Publisher];
    let whole = [0, 1].map(|which| decode(&conversations[which], kinds[which], &mut mutator, &limits));
    assert_eq!(whole, [Some(9 + 64 + 73 + 4 + 58 + 700 + 4), Some(2)]);
    let sockets =
        [SocketType::Router, SocketType::Heartbeat, SocketType::Publisher].map(|socket| Peers::new(socket, limits));
    let (mut refused, mut taken, mut messages, mut seen) = (0, 0, 0, HashSet::new());
    for number in 0..10_000 {
        let which = number % 2;
        let bytes = mutator.damage(&conversations[which], &conversations[1 - which]);
        match decode(&bytes, kinds[which], &mut mutator, &limits) {
            None => refused += 1,
            Some(_) => taken += 1,
        }
        let peers = if which == 1 { &sockets[2] } else { &sockets[number / 2 % 2] };
        let (client, server) = duplex(1 << 20);
        let (peer, outbox) = Peer::new();
        let (sender, mut inbox) = mpsc::channel(10_000);
        let (mut reader, mut writer) = split(client);
        let served = tokio::spawn(serve(peers.clone(), peer, halves(split(server)), outbox, sender));
        let talk = async {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at((1 + mutator.below(2000)).min(rest.len()));
                if writer.write_all(now).await.is_err() {
                    break;
                }
                tokio::task::yield_now().await;
                rest = later;
            }
            let _ = writer.shutdown().await;
            let mut answers = Vec::new();
            reader.read_to_end(&mut answers).await.unwrap();
            answers
        };
        let (served, answers) = timeout(LONG, async { tokio::join!(served, talk) }).await.expect("it hangs");
        served.expect("a panic");
        assert!(answers.len() <= 64 + 2 * bytes.len() + 300);
        while let Ok(held) = inbox.try_recv() {
            let size: usize = held.frames[1..].iter().map(Bytes::len).sum();
            assert!(held.frames.len() <= 9 && size <= 4096);
            messages += 1;
        }
        seen.insert(answers.len());
    }
    println!("10000 damaged conversations: {refused} refused, {taken} taken, {messages} messages delivered");
    assert!(refused > 1000 && taken > 100 && messages > 1000 && seen.len() > 3);
    for peers in sockets {
        assert!(peers.is_idle(), "something is left of a connection");
    }
}
