//! The process that runs the cells, taken over from the kernel's own loop.
//!
//! evcxr starts it, and tells it by a line on its standard input which compiled cell to load and to run; by lines on its standard output it hears
//! that the cell has ended, panicked or failed. They share that output with whatever the cell prints. So the first cell, the prelude, does not
//! return: it moves the kernel's two pipes out of the cells' way and goes on with the same loop in here.

use std::{
    env,
    ffi::c_void,
    io::{self, BufRead, BufReader, Write},
    os::fd::BorrowedFd,
    process,
    sync::{Mutex, PoisonError},
};

use libloading::Library;
use rustix::{io as unix_io, stdio};

use super::{channel, frame};

/// What evcxr calls a cell's function.
type Cell = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// What evcxr reads at the end of a cell.
const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE";
/// It forgets the variables that the cell was about to define.
const FAILED: &str = "EVCXR_ERROR_OCCURRED";

/// What this cell has to tell evcxr at its end.
static MARKS: Mutex<String> = Mutex::new(String::new());

/// Notes a line for evcxr; false if evcxr reads the standard output itself.
pub(crate) fn mark(line: &str) -> bool {
    if channel::is_there() {
        let mut marks = MARKS.lock().unwrap_or_else(PoisonError::into_inner);
        marks.push_str(line);
        marks.push('\n');
    }
    channel::is_there()
}

/// Runs cells for the relay until the kernel ends, if there is a relay that this process does not yet know.
pub(crate) fn serve() {
    let socket = env::var(frame::VARIABLE).ok().and_then(|number| number.parse().ok());
    if let (Some(socket), false) = (socket, channel::is_there()) {
        // What cannot be opened leaves everything as it was: a kernel without a relay.
        if let Ok((requests, answers)) = take_over(socket) {
            run_cells(requests, answers);
        }
    }
}

/// The kernel's two pipes, out of the cells' way.
fn take_over(socket: i32) -> io::Result<(io::PipeReader, io::PipeWriter)> {
    // SAFETY: the relay left this number open for its kernel, and it stays open; where it is something else, the calls on it fail.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    unix_io::fcntl_setfd(socket, unix_io::FdFlags::CLOEXEC)?;
    let requests = unix_io::fcntl_dupfd_cloexec(stdio::stdin(), 3)?;
    let answers = unix_io::fcntl_dupfd_cloexec(stdio::stdout(), 3)?;
    channel::open(socket)?;
    Ok((requests.into(), answers.into()))
}

fn run_cells(requests: io::PipeReader, mut answers: io::PipeWriter) -> ! {
    // This cell ends here for evcxr, and must not have defined anything.
    let mut end = format!("{FAILED}\n{COMPLETE}\n");
    let mut variables = std::ptr::null_mut();
    let mut lines = BufReader::new(requests).lines();
    loop {
        if answers.write_all(end.as_bytes()).is_err() {
            process::exit(0);
        }
        let Some(Ok(line)) = lines.next() else { process::exit(0) };
        let run = load(&line).map(|cell| {
            // SAFETY: evcxr has compiled this function for this call: it takes and returns its store of variables, which only it looks into.
            variables = unsafe { cell(variables) };
        });
        if let Err(error) = run {
            eprintln!("The cell cannot be run: {error} ({line:?})");
            process::exit(99);
        }
        channel::flush();
        end = std::mem::take(&mut *MARKS.lock().unwrap_or_else(PoisonError::into_inner)) + COMPLETE + "\n";
    }
}

/// The function of a compiled cell, as evcxr names it: `LOAD_AND_RUN file function`.
fn load(line: &str) -> Result<Cell, String> {
    let words = line.strip_prefix("LOAD_AND_RUN ").and_then(|words| words.rsplit_once(' '));
    let (file, function) = words.ok_or("not a request that the kernel is known to make")?;
    // SAFETY: the file is a cell that evcxr has just compiled; nothing else runs when it is loaded.
    let library = unsafe { Library::new(file) }.map_err(|error| error.to_string())?;
    // SAFETY: its signature is that of every cell.
    let cell = unsafe { library.get::<Cell>(function) }.map_err(|error| error.to_string()).map(|cell| *cell);
    // Values and threads of the cell may use its code as long as the process lives.
    std::mem::forget(library);
    cell
}
