//! Studies at a server of our own in this process, which behaves like Optuna's and fails as it is told to.
//! tests/reference/optuna_grpc.py has Optuna's.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, OnceLock},
    thread,
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use tokio::task::AbortHandle;

use super::dates;
use super::grpc::Limits;
use super::messages::*;
use super::owner::OWNER;
use super::server::Server;
use super::space::Space;
use super::storage::Storage;
use super::study::{Study, locked};
use super::trial::TrialState;
use crate::error::{Error, ErrorKind, Result};

/// Its clock on the wall shows another time zone's.
const ZONE: Duration = Duration::from_secs(9 * 3600);

/// What becomes of a call.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The connection breaks, before or after it is carried out.
    Before,
    After,
    /// The connection breaks, and later it is carried out.
    Late,
    Silent,
    Status(u8),
    /// The answer's bytes, with what precedes a message.
    Bytes(&'static [u8]),
    NotGrpc,
}

/// As the database: it stays when the server is killed.
#[derive(Default)]
struct Database {
    studies: Vec<(String, Vec<i32>, BTreeMap<String, String>)>,
    /// With their studies' numbers. A trial's own number is its place here, after many of other studies.
    trials: Vec<(i64, TrialMessage)>,
    calls: Vec<String>,
    /// By the number of the call.
    faults: BTreeMap<usize, Fault>,
    /// For each call of a name.
    always: Option<(&'static str, Fault)>,
}

const FIRST: i64 = 1000;

type Answer = Result<Vec<u8>, (u8, &'static str)>;

impl Database {
    fn trial(&mut self, id: i64) -> Result<&mut TrialMessage, (u8, &'static str)> {
        let trial = usize::try_from(id - FIRST).ok().and_then(|index| self.trials.get_mut(index));
        trial.map(|trial| &mut trial.1).ok_or((5, "No such trial"))
    }

    fn open_trial(&mut self, id: i64) -> Result<&mut TrialMessage, (u8, &'static str)> {
        let trial = self.trial(id)?;
        if [0, 4].contains(&trial.state) { Ok(trial) } else { Err((9, "It has ended")) }
    }

    fn answer(&mut self, method: &str, body: &[u8]) -> Answer {
        fn read<M: Message + Default>(body: &[u8]) -> M {
            M::decode(body).unwrap()
        }
        let now = || dates::text(SystemTime::now() + ZONE).replace('T', " ").replace("+00:00", "");
        let nothing = Ok(Vec::new());
        match method {
            "CreateNewStudy" => {
                let CreateNewStudy { directions, study_name } = read(body);
                if self.studies.iter().any(|study| study.0 == study_name) {
                    return Err((6, "There is one"));
                }
                self.studies.push((study_name, directions, BTreeMap::new()));
                Ok(Id { id: self.studies.len() as i64 }.encode_to_vec())
            }
            "GetStudyIdFromName" => {
                let name = read::<Name>(body).name;
                let index = self.studies.iter().position(|study| study.0 == name).ok_or((5, "No such study"))?;
                Ok(Id { id: index as i64 + 1 }.encode_to_vec())
            }
            "GetStudyDirections" => {
                let directions = self.studies[read::<Id>(body).id as usize - 1].1.clone();
                Ok(Directions { directions }.encode_to_vec())
            }
            "GetStudySystemAttributes" => {
                let attributes = self.studies[read::<Id>(body).id as usize - 1].2.clone();
                Ok(StudyAttributes { attributes }.encode_to_vec())
            }
            "SetStudySystemAttribute" => {
                let Attribute { id, key, value } = read(body);
                self.studies[id as usize - 1].2.insert(key, value);
                nothing
            }
            "CreateNewTrial" => {
                let call: CreateNewTrial = read(body);
                let mut trial = call.template_trial.unwrap_or_default();
                trial.trial_id = FIRST + self.trials.len() as i64;
                trial.number = self.trials.iter().filter(|other| other.0 == call.study_id).count() as i64;
                let id = trial.trial_id;
                self.trials.push((call.study_id, trial));
                Ok(Id { id }.encode_to_vec())
            }
            "GetTrial" => {
                let trial = Some(self.trial(read::<Id>(body).id)?.clone());
                Ok(OneTrial { trial }.encode_to_vec())
            }
            "GetTrials" => {
                let GetTrials { study_id, included_trial_ids, trial_id_greater_than } = read(body);
                if self.studies.get(study_id as usize - 1).is_none_or(|study| study.0.is_empty()) {
                    return Err((5, "No such study"));
                }
                let wanted = |id| id > trial_id_greater_than || included_trial_ids.contains(&id);
                let trials = self.trials.iter().filter(|trial| trial.0 == study_id && wanted(trial.1.trial_id));
                Ok(Trials { trials: trials.map(|trial| trial.1.clone()).collect() }.encode_to_vec())
            }
            "SetTrialStateValues" => {
                let SetTrialStateValues { trial_id, state, values } = read(body);
                let trial = self.open_trial(trial_id)?;
                if state == 0 && trial.state != 4 {
                    return Ok(Updated { trial_updated: false }.encode_to_vec());
                }
                trial.state = state;
                match state {
                    0 => trial.datetime_start = now(),
                    1..=3 => (trial.datetime_complete, trial.values) = (now(), values),
                    _ => {}
                }
                Ok(Updated { trial_updated: true }.encode_to_vec())
            }
            "SetTrialParameter" => {
                let call: SetTrialParameter = read(body);
                let trial = self.open_trial(call.trial_id)?;
                trial.params.entry(call.param_name.clone()).or_insert(call.param_value_internal);
                trial.distributions.entry(call.param_name).or_insert(call.distribution);
                nothing
            }
            "SetTrialIntermediateValue" => {
                let call: SetTrialIntermediateValue = read(body);
                self.open_trial(call.trial_id)?.intermediate_values.insert(call.step, call.intermediate_value);
                nothing
            }
            "SetTrialSystemAttribute" => {
                let Attribute { id, key, value } = read(body);
                self.open_trial(id)?.system_attributes.insert(key, value);
                nothing
            }
            "SetTrialUserAttribute" => {
                let Attribute { id, key, value } = read(body);
                self.open_trial(id)?.user_attributes.insert(key, value);
                nothing
            }
            _ => Err((12, "Method not found!")),
        }
    }

    /// The trials of the study, not those of its lock.
    fn of_study(&self) -> Vec<TrialMessage> {
        let study = self.studies.iter().position(|study| study.0 == "digits").map_or(0, |index| index as i64 + 1);
        self.trials.iter().filter(|trial| trial.0 == study).map(|trial| trial.1.clone()).collect()
    }
}

struct Fake {
    database: Arc<Mutex<Database>>,
    address: SocketAddr,
    /// Its thread, which ends with the sender.
    running: Option<(tokio::sync::oneshot::Sender<()>, thread::JoinHandle<()>)>,
}

impl Fake {
    fn start() -> Self {
        let mut fake = Self { database: Arc::default(), address: SocketAddr::from(([127, 0, 0, 1], 0)), running: None };
        fake.start_again();
        fake
    }

    fn start_again(&mut self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind(self.address)).unwrap();
        self.address = listener.local_addr().unwrap();
        let database = self.database.clone();
        drop(runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (database, whole) = (database.clone(), Arc::<OnceLock<AbortHandle>>::default());
                let connection = tokio::spawn({
                    let whole = whole.clone();
                    async move {
                        let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                        while let Some(Ok((request, respond))) = connection.accept().await {
                            drop(tokio::spawn(call(database.clone(), request, respond, whole.clone())));
                        }
                    }
                });
                let _ = whole.set(connection.abort_handle());
            }
        }));
        let (sender, ended) = tokio::sync::oneshot::channel();
        self.running = Some((sender, thread::spawn(move || drop(runtime.block_on(ended)))));
    }

    fn kill(&mut self) {
        let (sender, thread) = self.running.take().unwrap();
        drop(sender);
        thread.join().unwrap();
    }

    fn database(&self) -> std::sync::MutexGuard<'_, Database> {
        locked(&self.database)
    }

    fn study(&self, limits: Limits) -> Result<Study> {
        open(&self.address.to_string(), limits)
    }
}

async fn call(
    database: Arc<Mutex<Database>>,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    connection: Arc<OnceLock<AbortHandle>>,
) {
    let (head, mut stream) = request.into_parts();
    assert_eq!(
        (&head.headers["content-type"], &head.headers["te"]),
        (&"application/grpc".parse().unwrap(), &"trailers".parse().unwrap())
    );
    let method = head.uri.path().strip_prefix("/optuna.StorageService/").unwrap().to_string();
    let mut body = Vec::new();
    while let Some(Ok(data)) = stream.data().await {
        body.extend_from_slice(&data);
    }
    let body = body.split_off(5);
    let fault = {
        let mut database = locked(&database);
        database.calls.push(method.clone());
        let number = database.calls.len() - 1;
        let always = database.always.filter(|(name, _)| *name == method).map(|(_, fault)| fault);
        database.faults.remove(&number).or(always)
    };
    let carry_out = || locked(&database).answer(&method, &body);
    let broken = || connection.get().unwrap().abort();
    let (answer, kind): (Answer, _) = match fault {
        None => (carry_out(), "application/grpc"),
        Some(Fault::Before) => return broken(),
        Some(Fault::After) => {
            let _ = carry_out();
            return broken();
        }
        Some(Fault::Late) => {
            broken();
            tokio::time::sleep(Duration::from_millis(60)).await;
            let _ = carry_out();
            return;
        }
        Some(Fault::Silent) => return tokio::time::sleep(Duration::from_secs(600)).await,
        Some(Fault::Status(code)) => (Err((code, "Exception%20calling application: %C3%A9")), "application/grpc"),
        Some(Fault::Bytes(bytes)) => (Ok(bytes.to_vec()), ""),
        Some(Fault::NotGrpc) => (Ok(b"<html>".to_vec()), "text/html"),
    };
    let mut head = Response::builder().status(200);
    let grpc = if kind.is_empty() { "application/grpc" } else { kind };
    head = head.header("content-type", grpc);
    match answer {
        Ok(message) => {
            let mut bytes = message;
            if kind == "application/grpc" {
                let length = (bytes.len() as u32).to_be_bytes();
                bytes.splice(0..0, [0].into_iter().chain(length));
            }
            let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
            stream.send_data(bytes.into(), false).unwrap();
            let trailers = HeaderMap::from_iter([("grpc-status".parse().unwrap(), HeaderValue::from_static("0"))]);
            stream.send_trailers(trailers).unwrap();
        }
        Err((code, text)) => {
            let head = head.header("grpc-status", code.to_string()).header("grpc-message", text);
            respond.send_response(head.body(()).unwrap(), true).unwrap();
        }
    }
}

/// Long enough for a slow machine, short enough for tests.
const SHORT: Limits = Limits {
    first: Duration::from_millis(800),
    later: Duration::from_secs(5),
    call: Duration::from_millis(800),
    beat: Duration::from_millis(100),
    silence: Duration::from_secs(2),
};

fn open(address: &str, limits: Limits) -> Result<Study> {
    let space = Space::new().float("x", 0.0, 1.0).integer("n", 2, 8).choice("c", ["a", "b"]);
    let study = Study::minimize(space)?.progress_every(0).trials(100);
    study.join("digits", |_| Ok(Storage::Server(Box::new(Server::open(address, "digits", limits)?))))
}

fn states(study: &Study) -> Vec<TrialState> {
    study.records().iter().map(|record| record.state).collect()
}

use TrialState::{Complete, Failed, Pruned, Running, Waiting};

#[test]
fn two_workers_share_a_study() {
    let fake = Fake::start();
    let (a, b) = (fake.study(SHORT).unwrap(), fake.study(SHORT).unwrap());
    let (first, second, third) = (a.ask().unwrap().unwrap(), b.ask().unwrap().unwrap(), a.ask().unwrap().unwrap());
    assert_eq!([first.number(), second.number(), third.number()], [1, 2, 3]);
    assert!(first.report(1, f64::NAN).unwrap() && !second.report(3, 0.5).unwrap());
    assert!(second.report(3, 0.5).unwrap_err().to_string().contains("expected an epoch above 3, got 3"));
    let settings = third.settings().clone();
    a.hand_back(third).unwrap();
    b.fail(second, "no room").unwrap();
    a.tell(first, 0.25).unwrap();
    let again = b.ask().unwrap().unwrap();
    assert_eq!((again.number(), again.settings()), (3, &settings));
    b.tell(again, f64::INFINITY).unwrap();
    assert!(a.ask().unwrap().is_some());
    let records = a.records();
    // A report of NaN prunes.
    assert_eq!(states(&a), [Pruned, Failed, Failed, Running]);
    assert_eq!(records[1].failure.as_deref(), Some("no room"));
    assert_eq!((records[0].value, &records[0].reports[..]), (Some(0.25), &[(1, None)][..]));
    assert_eq!(records[1].reports, [(3, Some(0.5))]);
    assert!(records.iter().all(|record| record.seconds < 60.0 && record.losses == 0), "{records:?}");
    // The server's time, also where it was written here.
    for trial in fake.database().of_study() {
        let server = (SystemTime::now() + ZONE).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        assert!((dates::seconds(&trial.datetime_start).unwrap() - server).abs() < 60.0, "{trial:?}");
    }
    let path = format!("grpc://{}", fake.address);
    let opened = Study::open(&path, "digits").unwrap();
    assert_eq!(opened.parameter_names(), ["x", "n", "c"]);
    let error = |result: Result<Study>| result.err().unwrap().to_string();
    let expected = format!("{path}: expected a study of the name \"another\", got a server without it");
    assert_eq!(error(Study::open(&path, "another")), expected);
    let other = || Space::new().float("x", 0.0, 2.0);
    for study in [Study::minimize(other()), Study::maximize(other())] {
        let message = error(study.unwrap().optuna(&path, "digits"));
        assert!(
            message.contains("expected the space and the direction that the study has there, got another"),
            "{message}"
        );
    }
}

/// Whatever call breaks, carried out or not: the same trials, each once.
#[test]
fn no_broken_connection_loses_a_trial_or_makes_a_second() {
    let limits = Limits { beat: Duration::from_secs(600), ..SHORT };
    let run = |fault: Option<(usize, Fault)>| {
        let fake = Fake::start();
        fake.database().faults.extend(fault);
        let study = fake.study(limits).unwrap();
        let trials: Vec<_> = (0..3).map(|_| study.ask().unwrap().unwrap()).collect();
        let [first, second, third] = <[_; 3]>::try_from(trials).ok().unwrap();
        first.report(1, 0.5).unwrap();
        study.tell(first, 0.25).unwrap();
        study.hand_back(second).unwrap();
        study.fail(third, "no room").unwrap();
        let again = study.ask().unwrap().unwrap();
        assert_eq!(again.number(), 2, "{fault:?}");
        study.tell(again, 0.75).unwrap();
        // One that Optuna has enqueued, with one of its settings.
        let fixed = BTreeMap::from([("fixed_params".to_string(), r#"{"n": 5}"#.to_string())]);
        let template = TrialMessage { state: 4, system_attributes: fixed, ..TrialMessage::default() };
        let enqueue = CreateNewTrial::of(2, template).encode_to_vec();
        fake.database().answer("CreateNewTrial", &enqueue).unwrap();
        let enqueued = study.ask().unwrap().unwrap();
        assert_eq!((enqueued.number(), enqueued.integer("n").unwrap()), (4, 5), "{fault:?}");
        study.tell(enqueued, 1.0).unwrap();
        let database = fake.database();
        let trials = database.of_study();
        let told: Vec<(i32, Vec<f64>)> = trials.iter().map(|trial| (trial.state, trial.values.clone())).collect();
        let expected = [(1, vec![0.25]), (1, vec![0.75]), (3, vec![]), (1, vec![1.0])];
        assert_eq!(told, expected, "{fault:?}: {:?}", database.calls);
        assert!(trials.iter().all(|trial| trial.params.len() == 3), "{fault:?}");
        let losses: Vec<usize> = study.records().iter().map(|record| record.losses).collect();
        assert_eq!(losses, [0; 4], "{fault:?}");
        database.calls.len()
    };
    let calls = run(None);
    assert!(calls > 40, "{calls}");
    let cases: Vec<(usize, Fault)> = (0..calls)
        .flat_map(|call| [Fault::Before, Fault::After, Fault::Status(2)].map(|fault| (call, fault)))
        .collect();
    let next = std::sync::atomic::AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    run(Some(*case));
                }
            });
        }
    });
}

#[test]
fn what_is_carried_out_late_makes_no_second_trial() {
    let fake = Fake::start();
    let study = fake.study(Limits { later: Duration::from_secs(30), ..SHORT }).unwrap();
    fake.database().always = Some(("CreateNewTrial", Fault::Late));
    let trial = study.ask().unwrap().unwrap();
    fake.database().always = None;
    study.tell(trial, 0.5).unwrap();
    assert_eq!((states(&study), fake.database().of_study().len()), (vec![Complete], 1));
}

#[test]
fn a_server_that_is_started_again_is_waited_for() {
    let mut fake = Fake::start();
    let study = fake.study(SHORT).unwrap();
    let trial = study.ask().unwrap().unwrap();
    fake.kill();
    thread::scope(|scope| {
        let told = scope.spawn(|| study.tell(trial, 0.5));
        thread::sleep(Duration::from_millis(500));
        fake.start_again();
        told.join().unwrap().unwrap();
    });
    let trial = study.ask().unwrap().unwrap();
    fake.kill();
    let start = Instant::now();
    let error = study.tell(trial, 0.5).unwrap_err();
    assert!((4..10).contains(&start.elapsed().as_secs()), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("grpc://{}: expected an answer of Optuna's gRPC server, got none in ", fake.address))
    );
    assert!(text.contains(" attempts (the last: ") && text.contains("run_grpc_proxy_server"), "{text}");
    // Nothing was told: it comes again.
    fake.start_again();
    let again = study.ask().unwrap().unwrap();
    assert_eq!(again.number(), 2);
    study.tell(again, 0.75).unwrap();
    assert_eq!(study.records()[1].value, Some(0.75));
}

#[test]
fn a_worker_that_is_not_heard_of_loses_its_trial_and_is_told() {
    let fake = Fake::start();
    let silent = fake.study(Limits { beat: Duration::from_secs(600), ..SHORT }).unwrap();
    let alive = fake.study(SHORT).unwrap();
    let (lost, kept) = (silent.ask().unwrap().unwrap(), alive.ask().unwrap().unwrap());
    let settings = lost.settings().clone();
    let other = fake.study(SHORT).unwrap().trials(2);
    assert!(other.ask().unwrap().is_none() && !other.is_finished());
    let start = Instant::now();
    let again = loop {
        match other.ask().unwrap() {
            Some(trial) => break trial,
            None => thread::sleep(Duration::from_millis(100)),
        }
        assert!(start.elapsed() < Duration::from_secs(60));
    };
    assert!(start.elapsed() > SHORT.silence / 2);
    assert_eq!((again.number(), again.settings()), (1, &settings));
    for result in [lost.report(1, 0.5).map(drop), silent.tell(lost, 0.5)] {
        let error = result.unwrap_err();
        assert!(
            error.to_string().contains("a trial that this worker has, got trial 1, which another has begun again"),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::Data);
    }
    other.tell(again, 0.75).unwrap();
    alive.tell(kept, 0.5).unwrap();
    let records = other.records();
    assert_eq!((records[0].value, records[0].losses, records[1].losses), (Some(0.75), 1, 0));
    assert!(other.ask().unwrap().is_none() && other.is_finished());
}

#[test]
fn a_trial_that_optuna_takes_is_left_to_it() {
    let fake = Fake::start();
    let study = fake.study(SHORT).unwrap();
    let trial = study.ask().unwrap().unwrap();
    thread::sleep(SHORT.beat * 3);
    study.hand_back(trial).unwrap();
    let id = fake.database().of_study()[0].trial_id;
    let begin = SetTrialStateValues { trial_id: id, state: 0, values: Vec::new() }.encode_to_vec();
    fake.database().answer("SetTrialStateValues", &begin).unwrap();
    let other = fake.study(SHORT).unwrap().trials(1);
    let start = Instant::now();
    while start.elapsed() < SHORT.silence * 2 {
        assert!(other.ask().unwrap().is_none() && other.is_finished());
        thread::sleep(Duration::from_millis(50));
    }
    assert!(!fake.database().of_study()[0].system_attributes[OWNER].is_empty());
    assert_eq!((states(&other), other.records()[0].worker), (vec![Running], None));
    // One with a setting outside the space: the server would keep it.
    let float = r#"{"name": "FloatDistribution", "attributes": {"step": null, "low": 0.0, "high": 9.0, "log": false}}"#;
    let template = TrialMessage {
        state: 4,
        params: BTreeMap::from([("x".into(), 5.0)]),
        distributions: BTreeMap::from([("x".into(), float.into())]),
        ..TrialMessage::default()
    };
    fake.database().answer("CreateNewTrial", &CreateNewTrial::of(2, template).encode_to_vec()).unwrap();
    assert!(other.ask().unwrap().is_none() && other.is_finished());
    assert_eq!(states(&other), [Running, Waiting]);
}

/// What a program that is not Optuna's does with a connection.
fn stranger(act: impl Fn(std::net::TcpStream) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(thread::spawn(move || listener.incoming().flatten().for_each(&act)));
    address
}

fn refused(address: &str, limits: Limits) -> Error {
    let start = Instant::now();
    let error = open(address, limits).err().unwrap();
    assert!(start.elapsed() < Duration::from_secs(30), "{error}");
    assert_eq!(error.place(), format!("grpc://{address}"), "{error}");
    error
}

#[test]
fn what_is_not_optunas_server_is_said_at_once_or_after_a_time() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = refused(&nobody, SHORT).to_string();
    assert!(error.contains("expected an answer of Optuna's gRPC server, got none in 0.") && error.contains("refused"));
    let http = stranger(|mut stream| {
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
        thread::sleep(Duration::from_millis(200));
    });
    let error = refused(&http, SHORT);
    assert_eq!(error.kind(), ErrorKind::Data, "{error}");
    assert!(error.to_string().contains("version 4.2 to 5, got what is not HTTP/2 ("), "{error}");
    let closes = stranger(drop);
    assert_eq!(refused(&closes, SHORT).kind(), ErrorKind::Io);
    let silent = stranger(|stream| {
        thread::spawn(move || (thread::sleep(Duration::from_secs(60)), drop(stream)));
    });
    let error = refused(&silent, SHORT).to_string();
    assert!(error.contains("attempt (the last: no answer within 800ms)"), "{error}");
    for wrong in ["localhost", "", ":13000", "user@host:1", "a b:1", "host:99999", "host:1/path"] {
        let error = open(wrong, SHORT).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Argument);
        assert!(error.to_string().starts_with("study: expected grpc://HOST:PORT, as of optuna."), "{error}");
    }
}

#[test]
fn answers_that_cannot_be_are_refused_with_what_came() {
    let cases: [(Fault, &str); 9] = [
        (Fault::Status(12), "got one without GetTrials (Exception calling application: é)"),
        (Fault::Status(16), "got gRPC status 16: Exception calling application: é"),
        (Fault::Bytes(b"\0\0\0\0\x02\xff\xff"), "got GetTrials answers what cannot be read: "),
        (Fault::Bytes(b"\x01\0\0\0\0"), "got GetTrials answers a compressed message"),
        (Fault::Bytes(b"\0\0\0\0\x05ab"), "got GetTrials answers 2 bytes of a message of 5"),
        (Fault::Bytes(b"\0"), "got GetTrials answers 1 bytes, without a message"),
        // A second trial with the number 3; one in the state 7.
        (Fault::Bytes(b"\0\0\0\0\x04\x0a\x02\x10\x03"), "study \"digits\": expected trial 1 next, got 3"),
        (Fault::Bytes(b"\0\0\0\0\x06\x0a\x04\x10\x01\x18\x07"), "study: expected a state from 0 to 4, got 7"),
        (Fault::NotGrpc, "got an answer that is not gRPC's (HTTP status 200 OK)"),
    ];
    let fake = Fake::start();
    let study = fake.study(SHORT).unwrap();
    let trial = study.ask().unwrap().unwrap();
    for (fault, expected) in cases {
        fake.database().always = Some(("GetTrials", fault));
        let error = study.ask().err().unwrap();
        assert!(error.place().starts_with(&format!("grpc://{}", fake.address)), "{error}");
        assert!(error.to_string().contains(expected), "{expected}: {error}");
        assert_eq!(error.kind(), ErrorKind::Data, "{error}");
        fake.database().always = None;
    }
    study.tell(trial, 0.5).unwrap();
    // The database is away, and comes back.
    let trial = study.ask().unwrap().unwrap();
    fake.database().always = Some(("SetTrialIntermediateValue", Fault::Status(2)));
    thread::scope(|scope| {
        let reported = scope.spawn(|| trial.report(1, 0.5));
        thread::sleep(Duration::from_millis(300));
        fake.database().always = None;
        assert!(!reported.join().unwrap().unwrap());
    });
    fake.database().always = Some(("SetTrialIntermediateValue", Fault::Silent));
    let error = trial.report(2, 0.5).unwrap_err().to_string();
    assert!(error.contains("no answer within 800ms") && error.contains("got none in "), "{error}");
    fake.database().studies[1].0.clear();
    let error = study.ask().err().unwrap().to_string();
    let expected = "study \"digits\": expected the study, which other workers share, got its deletion by one of them";
    assert!(error.contains(expected), "{error}");
}

#[test]
fn the_lock_of_a_worker_that_has_ended_is_taken_away() {
    let fake = Fake::start();
    let study = fake.study(SHORT).unwrap();
    // As if it had been killed while it had the lock.
    let begin = SetTrialStateValues { trial_id: FIRST, state: 0, values: Vec::new() }.encode_to_vec();
    fake.database().answer("SetTrialStateValues", &begin).unwrap();
    let start = Instant::now();
    let trial = study.ask().unwrap().unwrap();
    assert!(start.elapsed() > SHORT.silence / 2);
    study.tell(trial, 0.5).unwrap();
    let start = Instant::now();
    study.ask().unwrap().unwrap();
    assert!(start.elapsed() < SHORT.silence / 2);
}

#[test]
fn many_workers_make_as_many_trials_as_they_should() {
    let fake = Fake::start();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let study = fake.study(Limits { silence: Duration::from_secs(30), ..SHORT }).unwrap().trials(40);
                while let Some(trial) = study.ask().unwrap() {
                    let x = trial.float("x").unwrap();
                    study.tell(trial, x).unwrap();
                }
            });
        }
    });
    let trials = fake.database().of_study();
    assert_eq!(trials.len(), 40);
    assert!(trials.iter().all(|trial| trial.values == [trial.params["x"]]));
    let different: std::collections::BTreeSet<u64> = trials.iter().map(|trial| trial.params["x"].to_bits()).collect();
    assert_eq!(different.len(), 40);
}
