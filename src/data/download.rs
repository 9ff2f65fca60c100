//! From a mirror to the disk: a file has its final name only once its checksum is right.

use std::error::Error as StdError;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::{StatusCode, header};

use super::collection::{Collection, KnownFile};
use crate::error::{Error, ErrorKind, Result};

/// More than any of the files: a server that sends on and on does not fill the disk.
const MOST_BYTES: u64 = 64 << 20;

/// Fetches those files of a collection that are not in `folder` yet.
pub(super) fn fetch(collection: &Collection, folder: &Path) -> Result<()> {
    let failed = |error: io::Error| {
        let message = format!("cannot write in {} ({error})", folder.display());
        Error::new(ErrorKind::Download, collection.name, message).source(error)
    };
    println!("Fetching {} into {}", collection.name, folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    // Two notebooks may start at the same time: the second one waits here, and then finds the files. Where the file
    // system has no locks, both fetch, and the checksum decides.
    let lock = File::create(folder.join(".lock")).map_err(failed)?;
    let _ = lock.lock();
    let agent = agent();
    for file in collection.files() {
        if file.find(folder).is_none() {
            fetch_file(&agent, collection, file, folder)?;
        }
    }
    Ok(())
}

fn agent() -> Agent {
    Agent::config_builder()
        .timeout_resolve(Some(Duration::from_secs(10)))
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_recv_response(Some(Duration::from_secs(30)))
        .timeout_per_read(Some(Duration::from_secs(30)))
        .build()
        .into()
}

/// The mirrors one after the other, until one has given the right bytes.
fn fetch_file(agent: &Agent, collection: &Collection, file: KnownFile, folder: &Path) -> Result<()> {
    let mut message = format!("not in {}, and {} could not be fetched", folder.display(), file.packed_name());
    for mirror in collection.mirrors {
        let url = format!("{mirror}{}", file.packed_name());
        match fetch_from(agent, &url, file, folder) {
            Ok(()) => return Ok(()),
            Err(reason) => message += &format!("\n  {url}: {reason}"),
        }
    }
    Err(Error::new(ErrorKind::Download, collection.name, message))
}

fn fetch_from(agent: &Agent, url: &str, file: KnownFile, folder: &Path) -> Result<(), Box<dyn StdError>> {
    let target = folder.join(file.packed_name());
    let part = folder.join(format!("{}.part", file.packed_name()));
    loop {
        let resumed = transfer(agent, url, &part)?;
        match file.read_unplaced(&part) {
            Ok(_) => return Ok(fs::rename(&part, &target)?),
            Err(damage) => {
                fs::remove_file(&part)?;
                // What was resumed may have been begun at another mirror, which packs differently: once more, whole.
                if !resumed {
                    return Err(damage.into());
                }
            }
        }
    }
}

/// Brings `url` into `part`, going on at its end if it is there. Whether it went on is returned.
/// A connection that breaks leaves what has come for the next time.
fn transfer(agent: &Agent, url: &str, part: &Path) -> Result<bool, Box<dyn StdError>> {
    let already = fs::metadata(part).map_or(0, |metadata| metadata.len());
    let mut request = agent.get(url);
    if already > 0 {
        request = request.header(header::RANGE, format!("bytes={already}-"));
    }
    let mut response = match request.call() {
        // Nothing comes after what is there: it may be whole, the checksum knows.
        Err(ureq::Error::StatusCode(416)) if already > 0 => return Ok(true),
        response => response?,
    };
    // A server that knows no ranges answers 200 and begins at the start.
    let resumed = already > 0 && response.status() == StatusCode::PARTIAL_CONTENT;
    let mut done = if resumed { already } else { 0 };
    let total = response.body().content_length().map(|length| done + length);

    let mut output = OpenOptions::new().create(true).write(true).append(resumed).truncate(!resumed).open(part)?;
    let mut input = response.body_mut().as_reader();
    let mut progress = Progress::new(url);
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
        if done > MOST_BYTES {
            fs::remove_file(part)?;
            return Err(format!("sent more than {MOST_BYTES} bytes").into());
        }
        progress.show(done, total);
    }
    progress.finish(done);
    Ok(resumed)
}

/// A line a second on standard output, and one at the end: whole lines, since a notebook rewrites none and waits for
/// the end of each.
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
        println!("{}: {:.1} MB{share}", self.url, megabytes(done));
    }

    fn finish(&self, done: u64) {
        println!("{}: {:.1} MB, done", self.url, megabytes(done));
    }
}

fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::super::collection::tests::tiny;
    use super::super::idx::tests::{Folder, gzip, stored};
    use super::*;

    const FIRST: &str = "train-images-idx3-ubyte.gz";

    /// What a server sends for a file, given where the client wants to go on.
    type Answer = fn(file: &[u8], from: Option<usize>) -> Vec<u8>;

    /// A mirror of the tiny collection that gives `answer` for its first file and the others as they are.
    struct Mirror {
        url: String,
        /// The requests for the first file: where each one wanted to go on.
        requests: Arc<Mutex<Vec<Option<usize>>>>,
    }

    impl Mirror {
        fn start(answer: Answer) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}/", listener.local_addr().unwrap());
            let requests = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&requests);
            std::thread::spawn(move || {
                let (collection, files) = tiny(&[]);
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let lines = BufReader::new(&stream).lines().map(Result::unwrap);
                    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                    let name = head[0].split_whitespace().nth(1).unwrap().trim_start_matches('/');
                    let from = head.iter().find_map(|line| {
                        line.to_lowercase().strip_prefix("range: bytes=")?.strip_suffix('-')?.parse().ok()
                    });
                    let index = collection.files().iter().position(|file| file.packed_name() == name).unwrap();
                    let file = gzip(&files[index]);
                    let reply = if name == FIRST {
                        log.lock().unwrap().push(from);
                        answer(&file, from)
                    } else {
                        whole(&file, from)
                    };
                    stream.write_all(&reply).unwrap();
                }
            });
            Self { url, requests }
        }

        fn requests(&self) -> Vec<Option<usize>> {
            self.requests.lock().unwrap().clone()
        }
    }

    fn reply(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        [head.as_bytes(), body].concat()
    }

    fn whole(file: &[u8], _: Option<usize>) -> Vec<u8> {
        reply("200 OK", file.len(), file)
    }

    fn ranges(file: &[u8], from: Option<usize>) -> Vec<u8> {
        match from {
            None => whole(file, None),
            Some(from) if from < file.len() => reply("206 Partial Content", file.len() - from, &file[from..]),
            Some(_) => reply("416 Range Not Satisfiable", 0, &[]),
        }
    }

    fn missing(_: &[u8], _: Option<usize>) -> Vec<u8> {
        reply("404 Not Found", 0, &[])
    }

    fn corrupt(file: &[u8], _: Option<usize>) -> Vec<u8> {
        let mut file = file.to_vec();
        let checksum = file.len() - 8;
        file[checksum] ^= 0xff;
        whole(&file, None)
    }

    /// Ends in the middle, but honours ranges: the second request gets the rest.
    fn breaking(file: &[u8], from: Option<usize>) -> Vec<u8> {
        match from {
            None => reply("200 OK", file.len(), &file[..20]),
            from => ranges(file, from),
        }
    }

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
    fn a_part_is_continued_or_begun_anew() {
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
    fn the_next_mirror_steps_in() {
        for (name, first) in [("missing", missing as Answer), ("corrupt", corrupt), ("breaking", breaking)] {
            let (first, second) = (Mirror::start(first), Mirror::start(ranges));
            let folder = Folder::new(&format!("download-second-{name}"));
            fetch_from_mirrors(&[&first, &second], &folder).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_complete(&folder);
            assert_eq!((first.requests().len(), second.requests().len()), (1, 1), "{name}");
        }
    }

    #[test]
    fn without_a_good_mirror_each_reason_is_told_and_nothing_is_left() {
        let mirrors = [Mirror::start(missing), Mirror::start(corrupt)];
        let folder = Folder::new("download-none");
        let error = fetch_from_mirrors(&[&mirrors[0], &mirrors[1]], &folder).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Download);
        let text = error.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], format!("Tiny: not in {}, and {FIRST} could not be fetched", folder.0.display()));
        assert_eq!(lines[1], format!("  {}{FIRST}: http status: 404", mirrors[0].url));
        assert!(lines[2].starts_with(&format!("  {}{FIRST}: ", mirrors[1].url)), "{text}");
        assert!(!text.contains("delete it"), "{text}");
        assert_eq!(folder.files(), [".lock"]);
    }

    #[test]
    fn a_broken_connection_leaves_a_part_to_continue() {
        let (mirror, folder) = (Mirror::start(breaking), Folder::new("download-broken"));
        let error = fetch_from_mirrors(&[&mirror], &folder).unwrap_err().to_string();
        assert!(error.contains("broke off after 20 "), "{error}");
        assert_eq!(folder.files(), [".lock".to_string(), format!("{FIRST}.part")]);
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
