//! Atomic writes with several writers, killed writers, a full disk, links and permissions: a file is the old one or
//! the new.
#![cfg(target_os = "linux")]

mod folder;
#[allow(dead_code)]
mod mutate;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use folder::Folder;
use latentlab::{
    Autoencoder, Dataset, ErrorKind, Figure, Sequential, Space, StopHandle, Study, TrainConfig, TrialState,
    file::{create_whole, write_whole},
    train_ae,
};
use mutate::Mutator;

/// Networks of different sizes, so that a mixture of two files equals neither.
fn network(number: usize) -> Sequential {
    Sequential::input([8]).dense(20 + 40 * number).relu().dense(3).seed(number as u64).build().unwrap()
}

fn model() -> Autoencoder {
    let decoder = Sequential::input([1]).dense(784).sigmoid().reshape([1, 28, 28]);
    Autoencoder::new(Sequential::input([1, 28, 28]).flatten().dense(1), decoder).unwrap()
}

fn images() -> Dataset {
    Dataset::built_in_digits(8, 0).unwrap()
}

fn config() -> TrainConfig {
    TrainConfig::new().batch_size(8).progress_every(0)
}

fn figure() -> Figure {
    train_ae(&mut model(), &images(), &config().epochs(2)).unwrap().plot().unwrap()
}

fn study(path: &Path) -> Study {
    let space = Space::new().float("x", 0.0, 1.0).integer("n", 1, 9);
    Study::minimize(space).unwrap().trials(1_000_000).progress_every(0).journal(path).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

const TASK: &str = "LATENTLAB_TEST_TASK";
const PLACE: &str = "LATENTLAB_TEST_PLACE";

/// The other process of the tests below.
#[test]
fn other_process() {
    let (Ok(task), Some(place)) = (std::env::var(TASK), std::env::var_os(PLACE)) else { return };
    let place = PathBuf::from(place);
    let say = |text: String| {
        println!("\n{text}");
        std::io::stdout().flush().unwrap();
    };
    match task.as_str() {
        "save 100 times" => (0..100).for_each(|turn| network(turn % 4).save(&place).unwrap()),
        "save for ever" => {
            let networks = [0, 1].map(network);
            say("begins".into());
            for turn in 0.. {
                networks[turn % 2].save(&place).unwrap();
            }
        }
        "train for ever" => {
            say("begins".into());
            train_ae(&mut model(), &images(), &config().epochs(10_000_000).checkpoint(&place)).unwrap();
        }
        "tell for ever" => {
            let study = study(&place);
            say("begins".into());
            while let Some(trial) = study.ask().unwrap() {
                trial.report(1, 1.0).unwrap();
                let (number, x) = (trial.number(), trial.float("x").unwrap());
                study.tell(trial, x).unwrap();
                say(format!("told {number}"));
            }
        }
        "fill the disk" => fill_the_disk(&place),
        other => panic!("{other}"),
    }
}

fn start(task: &str, place: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process", "--nocapture"])
        .env(TASK, task)
        .env(PLACE, place)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Starts the task, kills it up to 40 ms after it has begun, and returns its last line.
fn start_and_kill(task: &str, place: &Path, mutator: &mut Mutator) -> String {
    let mut child = start(task, place);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(|line| line.ok());
    assert!(lines.any(|line| line == "begins"));
    let reader = thread::spawn(move || lines.filter(|line| line.starts_with("told")).last());
    thread::sleep(Duration::from_micros(mutator.below(40_000) as u64));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap().unwrap_or_default()
}

#[test]
fn threads_and_processes_save_to_one_path() {
    let folder = Folder::new("files-together");
    let path = folder.file("network.safetensors");
    let known = [0, 1, 2, 3].map(|number| {
        network(number).save(&path).unwrap();
        fs::read(&path).unwrap()
    });
    let done = AtomicBool::new(false);
    let mut children = [start("save 100 times", &path), start("save 100 times", &path)];
    thread::scope(|scope| {
        let saver = || (0..100).for_each(|turn| network(turn % 4).save(&path).unwrap());
        let savers = [scope.spawn(saver), scope.spawn(saver)];
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) {
                assert!(known.contains(&fs::read(&path).unwrap()), "a mixture");
                Sequential::load(&path).unwrap();
                reads += 1;
            }
            reads
        });
        savers.into_iter().for_each(|saver| saver.join().unwrap());
        let ends = children.each_mut().map(|child| child.wait().unwrap().success());
        done.store(true, Ordering::Relaxed);
        println!("400 saves, {} reads", reader.join().unwrap());
        assert_eq!(ends, [true; 2]);
    });
    assert_eq!(names(&folder.0), ["network.safetensors"]);
}

#[test]
fn a_killed_writer_leaves_the_old_or_the_new() {
    let folder = Folder::new("files-killed");
    let path = folder.file("network.safetensors");
    let known = [0, 1].map(|number| {
        network(number).save(&path).unwrap();
        fs::read(&path).unwrap()
    });
    let mut mutator = Mutator::new(1);
    let mut parts = 0;
    for _ in 0..30 {
        start_and_kill("save for ever", &path, &mut mutator);
        assert!(known.contains(&fs::read(&path).unwrap()));
        parts += names(&folder.0).len() - 1;
    }
    println!("30 kills, {parts} parts of killed writers seen");
    // What a writer leaves that is killed while it writes.
    fs::write(folder.file(".other.svg.latentlab-0123456789abcdef.part"), "half").unwrap();
    fs::write(folder.file(".network.safetensors.part"), "of somebody else").unwrap();
    network(0).save(&path).unwrap();
    assert_eq!(names(&folder.0), [".network.safetensors.part", "network.safetensors"]);
}

#[test]
fn a_part_that_is_being_written_is_left_alone() {
    let folder = Folder::new("files-making");
    let part = folder.file(".figure.svg.latentlab-0123456789abcdef.part");
    let writer = fs::File::create(&part).unwrap();
    writer.lock().unwrap();
    write_whole(&folder.file("figure.svg"), b"new").unwrap();
    assert!(part.exists());
    drop(writer);
    write_whole(&folder.file("figure.svg"), b"new").unwrap();
    assert_eq!(names(&folder.0), ["figure.svg"]);
}

#[test]
fn a_killed_training_resumes_from_its_checkpoint() {
    let folder = Folder::new("files-training");
    let path = folder.file("checkpoint.safetensors");
    train_ae(&mut model(), &images(), &config().epochs(1).checkpoint(&path)).unwrap();
    let (mut mutator, stop) = (Mutator::new(2), StopHandle::new());
    stop.stop();
    for _ in 0..20 {
        start_and_kill("train for ever", &path, &mut mutator);
        let resume = config().epochs(10_000_000).resume(&path).stop_handle(&stop);
        train_ae(&mut model(), &images(), &resume).unwrap();
    }
}

#[test]
fn a_killed_study_keeps_all_results() {
    let folder = Folder::new("files-study");
    let path = folder.file("study.jsonl");
    let mut mutator = Mutator::new(3);
    let mut told = 0;
    for _ in 0..25 {
        let last = start_and_kill("tell for ever", &path, &mut mutator);
        told = last.strip_prefix("told ").map_or(told, |number| number.parse().unwrap());
        let study = study(&path);
        let records = study.records();
        let complete = records.iter().filter(|record| record.state == TrialState::Complete).count();
        assert!((told..=told + 1).contains(&complete), "{complete} complete, {told} said");
        assert!(records[..complete].iter().all(|record| record.value == Some(record.float("x").unwrap())));
        told = complete;
    }
    println!("25 kills, {told} trials");
    drop(study(&path));
    assert_eq!(names(&folder.0), ["study.jsonl"], "no dead worker's file");
}

/// Limits the size of files; `None` restores the original limit.
fn limit_file_size(bytes: Option<u64>) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: system calls on local values.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit), 0);
        limit.rlim_cur = bytes.unwrap_or(limit.rlim_max);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
}

/// As on a full disk: no file can grow beyond 3,000 bytes.
fn fill_the_disk(folder: &Path) {
    let file = |name: &str| folder.join(name);
    let (figure, journal) = (figure(), study(&file("study.jsonl")));
    network(0).save(file("network.safetensors")).unwrap();
    for name in ["checkpoint.safetensors", "figure.svg", "figure.png"] {
        fs::write(file(name), "old").unwrap();
    }
    let old = fs::read(file("network.safetensors")).unwrap();

    limit_file_size(Some(3000));
    let (train, images) = (config().epochs(2).checkpoint(file("checkpoint.safetensors")), images());
    for (name, result) in [
        ("network.safetensors", network(3).save(file("network.safetensors"))),
        ("checkpoint.safetensors", train_ae(&mut model(), &images, &train).map(|_| ())),
        ("figure.svg", figure.save(file("figure.svg"))),
        ("figure.png", figure.save(file("figure.png"))),
        ("new.svg", figure.save(file("new.svg"))),
    ] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Io, "{error}");
        assert_eq!(
            error.to_string(),
            format!("{}: cannot write it (File too large (os error 27))", file(name).display())
        );
    }
    assert_eq!(fs::read(file("network.safetensors")).unwrap(), old);
    for name in ["checkpoint.safetensors", "figure.svg", "figure.png"] {
        assert_eq!(fs::read_to_string(file(name)).unwrap(), "old");
    }

    // Ask, report or tell fails, and changes neither the file nor the study.
    let fail = || -> latentlab::Error {
        loop {
            let told = journal.records().into_iter().filter(|record| record.value.is_some()).count();
            let trial = match journal.ask() {
                Ok(trial) => trial.unwrap(),
                Err(error) => return error,
            };
            assert_eq!(trial.number(), told + 1);
            if let Err(error) = trial.report(1, 0.5).and_then(|_| journal.tell(trial, 0.5)) {
                assert_eq!(journal.records().iter().filter(|record| record.value.is_some()).count(), told);
                return error;
            }
        }
    };
    let error = fail();
    assert!(error.to_string().contains("study.jsonl: cannot write it (File too large"), "{error}");
    let text = fs::read_to_string(file("study.jsonl")).unwrap();
    assert!(text.len() <= 3000 && text.ends_with('\n'), "{text}");
    assert!(fail().to_string().contains("cannot write it"), "and again");
    assert_eq!(fs::read_to_string(file("study.jsonl")).unwrap(), text);

    limit_file_size(None);
    let told = journal.records().into_iter().filter(|record| record.value.is_some()).count();
    let trial = journal.ask().unwrap().unwrap();
    assert_eq!(trial.number(), told + 1);
    journal.tell(trial, 0.25).unwrap();
    assert_eq!(study(&file("study.jsonl")).records(), journal.records());
    drop(journal);
    assert_eq!(
        names(folder),
        ["checkpoint.safetensors", "figure.png", "figure.svg", "network.safetensors", "study.jsonl"],
        "no part is left"
    );
}

#[test]
fn a_full_disk_leaves_the_old() {
    let folder = Folder::new("files-full");
    let output = start("fill the disk", &folder.0).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(names(&folder.0).len(), 5);
}

#[test]
fn links_permissions_and_names_are_handled() {
    let folder = Folder::new("files-links");
    let file = |name: &str| folder.file(name);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set_mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

    fs::create_dir(file("elsewhere")).unwrap();
    for (link, target) in [("link", "elsewhere/file"), ("chain", "link")] {
        symlink(target, file(link)).unwrap();
        write_whole(&file(link), link.as_bytes()).unwrap();
        assert!(fs::symlink_metadata(file(link)).unwrap().is_symlink(), "a link stays a link");
        assert_eq!(fs::read_to_string(file("elsewhere/file")).unwrap(), link);
    }
    assert_eq!(names(&file("elsewhere")), ["file"]);
    symlink("circle", file("circle")).unwrap();
    assert_eq!(write_whole(&file("circle"), b"").unwrap_err().kind(), ErrorKind::Io);

    for kept in [0o600, 0o640, 0o666, 0o755] {
        set_mode(&file("elsewhere/file"), kept);
        write_whole(&file("link"), b"new").unwrap();
        assert_eq!(mode(&file("elsewhere/file")), kept);
    }
    fs::write(file("plain"), "").unwrap();
    write_whole(&file("new"), b"").unwrap();
    assert_eq!(mode(&file("new")), mode(&file("plain")), "as any other new file");

    set_mode(&file("plain"), 0o444);
    let error = write_whole(&file("plain"), b"new").unwrap_err().to_string();
    assert!(error.contains("plain: cannot write it (it is read-only). Make it writable"), "{error}");

    for name in ["x".repeat(255), "ш".repeat(127), "ends in spaces  ".into(), "-rf *".into()] {
        write_whole(&file(&name), b"new").unwrap();
        assert_eq!(fs::read(file(&name)).unwrap(), b"new");
    }
    for (path, expected) in [
        (file("elsewhere"), "(expected a file, got a folder). Add a file's name"),
        (file("nothing/"), "(expected a file, got a folder). Add a file's name"),
        (PathBuf::from(".."), "(expected a file, got a folder). Add a file's name"),
        (PathBuf::from(""), "(expected a file, got a folder). Add a file's name"),
        (file("absent/file"), "absent: make it first"),
        (file("plain/file"), "cannot write it (Not a directory (os error 20))"),
    ] {
        let error = write_whole(&path, b"new").unwrap_err();
        assert!(error.kind() == ErrorKind::Io && error.to_string().ends_with(expected), "{error}");
    }
    write_whole(Path::new("/dev/null"), b"nothing").unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());

    create_whole(&file("created"), b"first").unwrap();
    for taken in ["created", "link", "circle", "elsewhere"] {
        let error = create_whole(&file(taken), b"second").unwrap_err();
        let source = std::error::Error::source(&error).unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(source.kind(), std::io::ErrorKind::AlreadyExists, "{error}");
    }
    assert_eq!(fs::read(file("created")).unwrap(), b"first");
    assert!(names(&folder.0).iter().all(|name| !name.ends_with(".part")));
}
