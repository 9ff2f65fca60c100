//! Downloads: a file gets its final name only after its checksum was verified.

use std::error::Error as StdError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{StatusCode, header};

use super::collection::{Collection, KnownFile};
use super::say;
use crate::error::{Error, ErrorKind, Result};

/// Time limits of a download: enough for a slow connection, but the lock is not held for ever.
#[derive(Clone, Copy)]
struct Limits {
    /// For resolving the name, and again for connecting.
    connect: Duration,
    /// Without a byte, and until the header has arrived.
    silence: Duration,
    /// For one file from one mirror.
    whole: Duration,
    /// In each window of this length at least `least` bytes must arrive.
    window: Duration,
    least: u64,
    /// For another process that downloads the same files.
    lock: Duration,
}

const LIMITS: Limits = Limits {
    connect: Duration::from_secs(10),
    silence: Duration::from_secs(30),
    whole: Duration::from_secs(3600),
    window: Duration::from_secs(30),
    least: 32 << 10,
    lock: Duration::from_secs(3600),
};

/// Downloads those files of a collection that are not in `folder` yet.
pub(super) fn fetch(collection: &Collection, folder: &Path) -> Result<()> {
    fetch_within(&LIMITS, collection, folder)
}

fn fetch_within(limits: &Limits, collection: &Collection, folder: &Path) -> Result<()> {
    let failed = |error: io::Error| {
        let message = format!("cannot write in {} ({error})", folder.display());
        Error::new(ErrorKind::Download, collection.name, message).source(error)
    };
    say(format_args!("Fetching {} into {}", collection.name, folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    let path = folder.join(".lock");
    // Held until all files are there; released when this process ends, however it ends.
    let lock = File::create(&path).map_err(failed)?;
    match locked(&lock, limits.lock) {
        Some(locked) => fetch_files(limits, collection, folder, locked),
        None => {
            let message = format!("another process has been downloading for {} s", limits.lock.as_secs());
            let hint = format!("If there is none, delete {}", path.display());
            Err(Error::new(ErrorKind::Download, collection.name, message).hint(hint))
        }
    }
}

/// Waits for the lock: of two notebooks that start at the same time the second one waits, then finds the files. `false`
/// where the file system has no locks: both download, and the checksum decides. `None` after too long a wait.
fn locked(lock: &File, wait: Duration) -> Option<bool> {
    let start = Instant::now();
    let mut announced = false;
    loop {
        match lock.try_lock() {
            Ok(()) => return Some(true),
            Err(TryLockError::Error(_)) => return Some(false),
            Err(TryLockError::WouldBlock) if start.elapsed() >= wait => return None,
            Err(TryLockError::WouldBlock) => {}
        }
        if !announced {
            say("Another process is downloading the same files: waiting for it");
            announced = true;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn fetch_files(limits: &Limits, collection: &Collection, folder: &Path, locked: bool) -> Result<()> {
    let agent = agent(limits);
    collection
        .files()
        .into_iter()
        .filter(|file| file.find(folder).is_none())
        .try_for_each(|file| fetch_file(&Source { agent: &agent, limits, file }, collection, folder, locked))
}

fn agent(limits: &Limits) -> Agent {
    Agent::config_builder()
        .timeout_resolve(Some(limits.connect))
        .timeout_connect(Some(limits.connect))
        .timeout_send_request(Some(limits.silence))
        .timeout_recv_response(Some(limits.silence))
        .timeout_per_read(Some(limits.silence))
        .timeout_per_write(Some(limits.silence))
        .timeout_global(Some(limits.whole))
        .max_redirects(5)
        .build()
        .into()
}

/// A file and how to download it.
struct Source<'a> {
    agent: &'a Agent,
    limits: &'a Limits,
    file: KnownFile,
}

/// Tries the mirrors in turn, until one has given the right bytes.
fn fetch_file(source: &Source, collection: &Collection, folder: &Path, locked: bool) -> Result<()> {
    let name = source.file.packed_name();
    let mut message = format!("not in {}, and {name} could not be downloaded", folder.display());
    let mut reasons: Vec<String> = Vec::new();
    match part_file(folder, &name, locked) {
        Err(error) => reasons.push(format!("{} ({error})", folder.display())),
        Ok(part) => {
            for mirror in collection.mirrors {
                let url = format!("{mirror}{name}");
                match source.fetch(&url, &part, &folder.join(&name)) {
                    Ok(()) => return Ok(()),
                    Err(reason) => reasons.push(format!("{url}: {reason}")),
                }
            }
            // Kept for the next attempt only with the lock: without it, two might append to it.
            if !locked || fs::metadata(&part).is_ok_and(|metadata| metadata.len() == 0) {
                let _ = fs::remove_file(&part);
            }
        }
    }
    reasons.iter().for_each(|reason| message += &format!("\n  {reason}"));
    Err(Error::new(ErrorKind::Download, collection.name, message))
}

/// A new file with a unique name. With the lock, it takes over what an earlier attempt has left.
fn part_file(folder: &Path, name: &str, locked: bool) -> io::Result<PathBuf> {
    let part = tempfile::Builder::new().prefix(&format!("{name}.")).suffix(".part").tempfile_in(folder)?;
    let part = part.into_temp_path().keep()?;
    if locked {
        let is_left = |path: &PathBuf| {
            let other = path.file_name().and_then(|other| other.to_str()).unwrap_or_default();
            path.file_name() != part.file_name() && other.starts_with(name) && other.ends_with(".part")
        };
        let mut left: Vec<PathBuf> =
            fs::read_dir(folder)?.flatten().map(|entry| entry.path()).filter(is_left).collect();
        left.sort_by_key(|path| fs::metadata(path).map_or(0, |metadata| metadata.len()));
        if let Some(longest) = left.pop() {
            fs::rename(longest, &part)?;
        }
        left.iter().try_for_each(fs::remove_file)?;
    }
    Ok(part)
}

impl Source<'_> {
    fn fetch(&self, url: &str, part: &Path, target: &Path) -> Result<(), Box<dyn StdError>> {
        loop {
            let resumed = self.transfer(url, part)?;
            match self.file.read_download(part) {
                Ok(_) => return Ok(fs::rename(part, target)?),
                Err(damage) => {
                    File::create(part)?;
                    // A resumed file may have been begun at another mirror, which packs differently: again from the
                    // start.
                    if !resumed {
                        return Err(damage.into());
                    }
                }
            }
        }
    }

    /// Downloads `url` into `part`, resuming at its end; returns whether it was resumed. When the connection breaks,
    /// what has arrived is kept for the next attempt.
    fn transfer(&self, url: &str, part: &Path) -> Result<bool, Box<dyn StdError>> {
        let most = self.file.most_packed_bytes();
        let mut output = OpenOptions::new().append(true).open(part)?;
        let already = output.metadata()?.len();
        let mut request = self.agent.get(url);
        if already > 0 {
            request = request.header(header::RANGE, format!("bytes={already}-"));
        }
        let mut response = match request.call() {
            // Nothing follows what is there: it may be complete, which the checksum decides.
            Err(ureq::Error::StatusCode(416)) if already > 0 => return Ok(true),
            response => response?,
        };
        // A server without ranges answers 200 and starts from the beginning.
        let resumed = already > 0 && response.status() == StatusCode::PARTIAL_CONTENT;
        let mut done = if resumed { already } else { 0 };
        let total = response.body().content_length().map(|length| done.saturating_add(length));
        if let Some(total) = total.filter(|total| *total > most) {
            return Err(format!("announces {total} bytes, the file has at most {most}").into());
        }
        if !resumed {
            output.set_len(0)?;
        }
        let mut input = response.body_mut().as_reader();
        let mut progress = Progress::new(url);
        let mut window = (Instant::now(), done);
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match input.read(&mut buffer) {
                Ok(count) => count,
                Err(error) => return Err(format!("broke off after {done} bytes ({error})").into()),
            };
            if count == 0 {
                break;
            }
            output.write_all(&buffer[..count])?;
            done += count as u64;
            if done > most {
                output.set_len(0)?;
                return Err(format!("sent more than {most} bytes, which the file has at most").into());
            }
            let (start, at_start) = window;
            if start.elapsed() >= self.limits.window {
                if done - at_start < self.limits.least {
                    let (bytes, seconds) = (done - at_start, start.elapsed().as_secs_f64());
                    return Err(
                        format!("broke off after {done} bytes (too slow: {bytes} bytes in {seconds:.1} s)").into()
                    );
                }
                window = (Instant::now(), done);
            }
            progress.show(done, total);
        }
        output.sync_all()?;
        progress.finish(done);
        Ok(resumed)
    }
}

/// A line per second on standard output, and one at the end: complete lines, since a notebook shows no partial ones and
/// rewrites none.
struct Progress<'a> {
    url: &'a str,
    last: Instant,
}

impl<'a> Progress<'a> {
    fn new(url: &'a str) -> Self {
        Self { url, last: Instant::now() }
    }

    fn show(&mut self, done: u64, total: Option<u64>) {
        if self.last.elapsed() < Duration::from_secs(1) {
            return;
        }
        self.last = Instant::now();
        let share = total
            .map_or(String::new(), |total| format!(" of {:.1} MB ({} %)", megabytes(total), 100 * done / total.max(1)));
        say(format_args!("{}: {:.1} MB{share}", self.url, megabytes(done)));
    }

    fn finish(&self, done: u64) {
        say(format_args!("{}: {:.1} MB, done", self.url, megabytes(done)));
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};

    use super::super::collection::tests::tiny;
    use super::super::idx::tests::{Folder, gzip, idx, stored};
    use super::*;

    const FIRST: &str = "train-images-idx3-ubyte.gz";

    /// A server's answer for a file, given where the client wants to resume.
    type Answer = fn(stream: &mut TcpStream, file: &[u8], from: Option<usize>) -> io::Result<()>;

    /// A mirror of the tiny collection with `answer` for its first file; the others are served normally.
    struct Mirror {
        url: String,
        /// The requests for the first file: where each one wanted to resume.
        requests: Arc<Mutex<Vec<Option<usize>>>>,
    }

    impl Mirror {
        fn start(answer: Answer) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let requests = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&requests);
            std::thread::spawn(move || {
                for stream in listener.incoming() {
                    let log = Arc::clone(&log);
                    // Clients disconnect in some tests.
                    std::thread::spawn(move || drop(serve(&mut stream.unwrap(), answer, &log)));
                }
            });
            Self { url, requests }
        }

        fn requests(&self) -> Vec<Option<usize>> {
            self.requests.lock().unwrap().clone()
        }
    }

    fn serve(stream: &mut TcpStream, answer: Answer, log: &Mutex<Vec<Option<usize>>>) -> io::Result<()> {
        let (collection, files) = tiny(&[]);
        let lines = BufReader::new(&*stream).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let path = head[0].split_whitespace().nth(1).unwrap().trim_start_matches('/');
        let name = path.trim_start_matches("moved/");
        let range = |line: &String| line.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok();
        let from = head.iter().find_map(range);
        let index = collection.files().iter().position(|file| file.packed_name() == name).unwrap();
        let file = gzip(&files[index]);
        if name != FIRST || path != name {
            return whole(stream, &file, from);
        }
        log.lock().unwrap().push(from);
        answer(stream, &file, from)
    }

    fn reply(stream: &mut TcpStream, status: &str, length: impl std::fmt::Display, body: &[u8]) -> io::Result<()> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        stream.write_all(&[head.as_bytes(), body].concat())
    }

    /// Sends nothing more, but keeps the connection open until the client closes it.
    fn hold(stream: &mut TcpStream) -> io::Result<()> {
        stream.read(&mut [0]).map(drop)
    }

    fn whole(stream: &mut TcpStream, file: &[u8], _: Option<usize>) -> io::Result<()> {
        reply(stream, "200 OK", file.len(), file)
    }

    fn ranges(stream: &mut TcpStream, file: &[u8], from: Option<usize>) -> io::Result<()> {
        match from {
            None => whole(stream, file, None),
            Some(from) if from < file.len() => reply(stream, "206 Partial Content", file.len() - from, &file[from..]),
            Some(_) => reply(stream, "416 Range Not Satisfiable", 0, &[]),
        }
    }

    fn missing(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        let page = b"<html>Not found</html>";
        reply(stream, "404 Not Found", page.len(), page)
    }

    fn corrupt(stream: &mut TcpStream, file: &[u8], _: Option<usize>) -> io::Result<()> {
        let mut file = file.to_vec();
        let checksum = file.len() - 8;
        file[checksum] ^= 0xff;
        whole(stream, &file, None)
    }

    /// Ends in the middle, but honours ranges: the second request gets the rest.
    fn breaking(stream: &mut TcpStream, file: &[u8], from: Option<usize>) -> io::Result<()> {
        match from {
            None => reply(stream, "200 OK", file.len(), &file[..20]),
            from => ranges(stream, file, from),
        }
    }

    /// Sends 20 bytes and no more, without an end; honours ranges.
    fn stalling(stream: &mut TcpStream, file: &[u8], from: Option<usize>) -> io::Result<()> {
        match from {
            None => reply(stream, "200 OK", file.len(), &file[..20]).and_then(|()| hold(stream)),
            from => ranges(stream, file, from),
        }
    }

    fn silent(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        hold(stream)
    }

    /// A byte every 10 ms, until the client disconnects.
    fn drip(stream: &mut TcpStream, head: &str, byte: u8) -> io::Result<()> {
        stream.write_all(head.as_bytes())?;
        loop {
            stream.write_all(&[byte])?;
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn dripping(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        drip(stream, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 0x1f)
    }

    fn dripping_head(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        drip(stream, "HTTP/1.1 200 OK\r\nX-Slow: ", b'x')
    }

    fn dripping_chunks(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        drip(stream, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b'0')
    }

    fn endless(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")?;
        loop {
            stream.write_all(&[7; 4096])?;
        }
    }

    fn endless_head(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
        loop {
            stream.write_all(b"X-More: of the same\r\n")?;
        }
    }

    fn terabytes(stream: &mut TcpStream, file: &[u8], _: Option<usize>) -> io::Result<()> {
        reply(stream, "200 OK", u64::MAX, file)
    }

    fn terabytes_more(stream: &mut TcpStream, file: &[u8], from: Option<usize>) -> io::Result<()> {
        match from {
            None => reply(stream, "200 OK", file.len(), &file[..20]),
            Some(_) => reply(stream, "206 Partial Content", u64::MAX, &file[20..]),
        }
    }

    fn too_few_announced(stream: &mut TcpStream, file: &[u8], _: Option<usize>) -> io::Result<()> {
        reply(stream, "200 OK", file.len() - 9, file)
    }

    fn no_length(stream: &mut TcpStream, file: &[u8], _: Option<usize>) -> io::Result<()> {
        reply(stream, "200 OK", "many", file)
    }

    fn bad_chunks(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n\x1f\x8b")
    }

    fn no_http(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n")
    }

    /// Disconnects before the header is read.
    fn gone(_: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        Ok(())
    }

    fn page(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        let page = b"<!DOCTYPE html><title>Log in to the network</title>";
        reply(stream, "200 OK", page.len(), page)
    }

    fn nothing(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        reply(stream, "200 OK", 0, &[])
    }

    /// A header of six gigabytes of zeros.
    fn bomb(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        let bomb = gzip(&[&idx(&[0x803, 7_653_061, 28, 28], &[])[..], &[0; 1 << 18]].concat());
        reply(stream, "200 OK", bomb.len(), &bomb)
    }

    fn circling(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        redirect(stream, &format!("/{FIRST}"))
    }

    fn to_a_file(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        redirect(stream, "file:///etc/hostname")
    }

    fn moved(stream: &mut TcpStream, _: &[u8], _: Option<usize>) -> io::Result<()> {
        redirect(stream, &format!("/moved/{FIRST}"))
    }

    fn redirect(stream: &mut TcpStream, to: &str) -> io::Result<()> {
        let head = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: ";
        stream.write_all(format!("{head}{to}\r\n\r\n").as_bytes())
    }

    /// Limits that a test can wait for.
    const SHORT: Limits = Limits {
        connect: Duration::from_secs(5),
        silence: Duration::from_millis(400),
        whole: Duration::from_secs(20),
        window: Duration::from_millis(300),
        least: 1000,
        lock: Duration::from_secs(60),
    };

    /// Fetches the tiny collection from these mirrors into `folder`.
    fn fetch_from_mirrors(mirrors: &[&Mirror], folder: &Folder) -> Result<()> {
        let urls: Vec<String> = mirrors.iter().map(|mirror| mirror.url.clone()).collect();
        fetch(tiny(&urls).0, &folder.0)
    }

    /// Nothing but the four files and the lock is there, and they are sound.
    fn assert_complete(folder: &Folder) {
        let (collection, files) = tiny(&[]);
        let mut names: Vec<String> = collection.files().iter().map(KnownFile::packed_name).collect();
        names.push(".lock".into());
        names.sort();
        assert_eq!(folder.files(), names);
        let read = collection.read(&folder.0).unwrap();
        assert_eq!(read[0].values(), &files[0][16..]);
    }

    #[test]
    fn a_whole_collection_is_fetched_once() {
        let (mirror, folder) = (Mirror::start(ranges), Folder::new("download-whole"));
        fetch_from_mirrors(&[&mirror], &folder).unwrap();
        assert_complete(&folder);
        fetch_from_mirrors(&[&mirror], &folder).unwrap();
        assert_eq!(mirror.requests(), [None]);
    }

    #[test]
    fn two_at_the_same_time_fetch_once() {
        let (mirror, folder) = (Mirror::start(ranges), Folder::new("download-twice"));
        rayon::join(
            || fetch_from_mirrors(&[&mirror], &folder).unwrap(),
            || fetch_from_mirrors(&[&mirror], &folder).unwrap(),
        );
        assert_complete(&folder);
        assert_eq!(mirror.requests(), [None]);
    }

    #[test]
    fn a_part_is_resumed_or_restarted() {
        let file = gzip(&tiny(&[]).1[0]);
        let foreign = &stored(&tiny(&[]).1[0])[..20];
        type Case<'a> = (&'a str, Answer, &'a [u8], &'a [Option<usize>]);
        let cases: [Case; 5] = [
            ("continued", ranges, &file[..20], &[Some(20)]),
            ("no ranges", whole, &file[..20], &[Some(20)]),
            ("complete already", ranges, &file, &[Some(file.len())]),
            ("begun at another mirror", ranges, foreign, &[Some(20), None]),
            ("too long", ranges, &[7; 100], &[Some(100), None]),
        ];
        for (name, answer, part, requests) in cases {
            let (mirror, folder) = (Mirror::start(answer), Folder::new(&format!("download-{name}")));
            folder.write(&format!("{FIRST}.part"), part);
            fetch_from_mirrors(&[&mirror], &folder).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_complete(&folder);
            assert_eq!(mirror.requests(), requests, "{name}");
        }
    }

    #[test]
    fn the_next_mirror_is_tried() {
        for (name, first) in [("missing", missing as Answer), ("corrupt", corrupt), ("breaking", breaking)] {
            let (first, second) = (Mirror::start(first), Mirror::start(ranges));
            let folder = Folder::new(&format!("download-second-{name}"));
            fetch_from_mirrors(&[&first, &second], &folder).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_complete(&folder);
            assert_eq!((first.requests().len(), second.requests().len()), (1, 1), "{name}");
        }
    }

    #[test]
    fn without_a_good_mirror_each_reason_is_reported_and_nothing_is_left() {
        let mirrors = [Mirror::start(missing), Mirror::start(corrupt)];
        let folder = Folder::new("download-none");
        let error = fetch_from_mirrors(&[&mirrors[0], &mirrors[1]], &folder).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Download);
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("Tiny: not in {}, and {FIRST} could not be downloaded", folder.0.display()));
        assert_eq!(lines[1], format!("  {}{FIRST}: http status: 404", mirrors[0].url));
        assert!(lines[2].starts_with(&format!("  {}{FIRST}: ", mirrors[1].url)), "{text}");
        assert!(!text.contains("delete it"), "{text}");
        assert_eq!(folder.files(), [".lock"]);
    }

    #[test]
    fn a_broken_connection_leaves_a_part_to_resume() {
        let (mirror, folder) = (Mirror::start(breaking), Folder::new("download-broken"));
        let error = fetch_from_mirrors(&[&mirror], &folder).unwrap_err().to_string();
        assert!(error.contains("broke off after 20 "), "{error}");
        let [_, part] = &folder.files()[..] else { panic!("a lock and a part: {:?}", folder.files()) };
        assert!(part.starts_with(FIRST) && part.ends_with(".part"), "{part}");
        fetch_from_mirrors(&[&mirror], &folder).unwrap();
        assert_complete(&folder);
        assert_eq!(mirror.requests(), [None, Some(20)]);
    }

    #[test]
    fn a_hostile_server_is_an_error_and_the_next_mirror_is_tried() {
        let cases: [(&str, Answer, &str); 21] = [
            ("silent", silent, "timeout"),
            ("dripping", dripping, "too slow"),
            ("dripping head", dripping_head, "timeout"),
            ("dripping chunks", dripping_chunks, ""),
            ("stalling", stalling, "broke off after 20 bytes (timeout"),
            ("endless", endless, "sent more than 1050 bytes"),
            ("endless head", endless_head, ""),
            ("terabytes", terabytes, "announces 18446744073709551615 bytes, the file has at most 1050"),
            ("terabytes more", terabytes_more, "broke off after 20 bytes"),
            ("too few announced", too_few_announced, "byte 26 (unpacked): expected more of the gzip stream"),
            ("no length", no_length, ""),
            ("bad chunks", bad_chunks, "broke off after 0 bytes"),
            ("no HTTP", no_http, ""),
            ("gone", gone, ""),
            ("page", page, "got an HTML page"),
            ("nothing", nothing, "got an empty file"),
            ("bomb", bomb, "expected the sizes [5, 1, 2], got [7653061, 28, 28]"),
            ("circling", circling, "redirect"),
            ("to a file", to_a_file, ""),
            ("missing", missing, "http status: 404"),
            ("breaking", breaking, "broke off after 20 bytes"),
        ];
        let good = Mirror::start(ranges);
        // In parallel, since some of them wait for their limit.
        std::thread::scope(|scope| {
            for (name, answer, reason) in cases {
                let good = &good;
                scope.spawn(move || {
                    let (hostile, folder) = (Mirror::start(answer), Folder::new(&format!("download-hostile-{name}")));
                    let alone = tiny(std::slice::from_ref(&hostile.url)).0;
                    let error = fetch_within(&SHORT, alone, &folder.0).expect_err(name);
                    assert_eq!(error.kind(), ErrorKind::Download, "{name}");
                    let text = error.to_string();
                    let told = format!("\n  {}{FIRST}: ", hostile.url);
                    assert!(text.contains(&told) && text.contains(reason), "{name}: {text}");
                    assert!(!folder.files().contains(&FIRST.to_string()), "{name}: {:?}", folder.files());

                    let both = tiny(&[hostile.url.clone(), good.url.clone()]).0;
                    fetch_within(&SHORT, both, &folder.0).unwrap_or_else(|error| panic!("{name}: {error}"));
                    assert_complete(&folder);
                });
            }
        });
    }

    #[test]
    fn redirects_are_followed() {
        let (mirror, folder) = (Mirror::start(moved), Folder::new("download-moved"));
        fetch_from_mirrors(&[&mirror], &folder).unwrap();
        assert_complete(&folder);
    }

    #[test]
    fn without_locks_all_download_and_nothing_is_torn_or_left() {
        let (mirror, folder) = (Mirror::start(ranges), Folder::new("download-unlocked"));
        let collection = tiny(std::slice::from_ref(&mirror.url)).0;
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| fetch_files(&SHORT, collection, &folder.0, false).unwrap());
            }
        });
        folder.write(".lock", b"");
        assert_complete(&folder);
    }

    #[test]
    fn the_wait_for_a_lock_ends() {
        let (mirror, folder) = (Mirror::start(ranges), Folder::new("download-locked"));
        let collection = tiny(std::slice::from_ref(&mirror.url)).0;
        let lock = File::create(folder.0.join(".lock")).unwrap();
        lock.lock().unwrap();
        let limits = Limits { lock: Duration::from_millis(50), ..SHORT };
        let error = fetch_within(&limits, collection, &folder.0).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Download);
        let text = error.to_string();
        assert!(text.contains("another process has been downloading") && text.contains(".lock"), "{text}");
        drop(lock);
        fetch_within(&limits, collection, &folder.0).unwrap();
        assert_complete(&folder);
    }

    /// What the processes of the two tests below do: this test alone, with a mirror and a folder in the environment.
    #[test]
    fn a_process_of_its_own() {
        let variables = ["MIRROR", "FOLDER"].map(|name| std::env::var(format!("LATENTLAB_TEST_{name}")));
        if let [Ok(mirror), Ok(folder)] = variables {
            fetch(tiny(&[mirror]).0, Path::new(&folder)).unwrap();
        }
    }

    fn process(mirror: &Mirror, folder: &Folder) -> std::process::Child {
        std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "data::download::tests::a_process_of_its_own"])
            .env("LATENTLAB_TEST_MIRROR", &mirror.url)
            .env("LATENTLAB_TEST_FOLDER", &folder.0)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    }

    #[test]
    fn processes_at_the_same_time_fetch_once() {
        let (mirror, folder) = (Mirror::start(ranges), Folder::new("download-processes"));
        let processes: Vec<_> = (0..3).map(|_| process(&mirror, &folder)).collect();
        for mut process in processes {
            assert!(process.wait().unwrap().success());
        }
        assert_complete(&folder);
        assert_eq!(mirror.requests(), [None]);
    }

    #[test]
    fn a_killed_process_leaves_no_lock_and_what_it_had() {
        let (mirror, folder) = (Mirror::start(stalling), Folder::new("download-killed"));
        let mut killed = process(&mirror, &folder);
        let has_twenty = || {
            let mut parts = folder.files().into_iter().filter(|name| name.ends_with(".part"));
            parts.any(|part| fs::metadata(folder.0.join(part)).is_ok_and(|metadata| metadata.len() == 20))
        };
        while !has_twenty() {
            assert!(killed.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(5));
        }
        killed.kill().unwrap();
        killed.wait().unwrap();
        fetch_from_mirrors(&[&mirror], &folder).unwrap();
        assert_complete(&folder);
        assert_eq!(mirror.requests(), [None, Some(20)]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_named() {
        let folder = Folder::new("download-file");
        let file = folder.write("file", b"in the way");
        let error = fetch(tiny(&[]).0, &file.join("tiny")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Download);
        assert!(error.to_string().starts_with(&format!("Tiny: cannot write in {}", file.display())), "{error}");
    }
}
