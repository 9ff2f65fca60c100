//! The loop of the cell process, in place of evcxr's own.
//!
//! evcxr starts the process, and sends it a line on its standard input for each compiled cell to load and run; lines on
//! its standard output report that the cell has ended, panicked or failed, in the middle of whatever the cell prints.
//! So the first cell, the prelude, does not return: it moves evcxr's two pipes to other file descriptors and continues
//! with the same loop here.

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

use super::{protocol, socket};

/// A compiled cell.
type Cell = unsafe extern "C" fn(*mut c_void) -> *mut c_void;

/// Tells evcxr that the cell has ended.
const COMPLETE: &str = "EVCXR_EXECUTION_COMPLETE";
/// Tells evcxr that the cell has failed: it forgets the variables that the cell would have defined.
const FAILED: &str = "EVCXR_ERROR_OCCURRED";

/// The lines for evcxr at the end of this cell.
static MARKS: Mutex<String> = Mutex::new(String::new());

/// Records a line for evcxr; false without a relay, when evcxr reads the standard output itself.
pub(crate) fn tell_kernel(line: &str) -> bool {
    if socket::is_open() {
        let mut marks = MARKS.lock().unwrap_or_else(PoisonError::into_inner);
        marks.push_str(line);
        marks.push('\n');
    }
    socket::is_open()
}

/// If there is a relay and no channel yet, opens it and runs cells until the kernel ends.
pub(crate) fn serve() {
    let socket = env::var(protocol::VARIABLE).ok().and_then(|number| number.parse().ok());
    if let (Some(socket), false) = (socket, socket::is_open()) {
        // If that fails, the kernel continues as without a relay.
        if let Ok((requests, answers)) = take_over(socket) {
            run_cells(requests, answers);
        }
    }
}

/// Opens the channel; returns evcxr's two pipes, moved away from the standard input and output.
fn take_over(socket: i32) -> io::Result<(io::PipeReader, io::PipeWriter)> {
    // SAFETY: the kernel has inherited this file descriptor from the relay and never closes it; if the number is wrong,
    // the calls below fail.
    let socket = unsafe { BorrowedFd::borrow_raw(socket) };
    unix_io::fcntl_setfd(socket, unix_io::FdFlags::CLOEXEC)?;
    let requests = unix_io::fcntl_dupfd_cloexec(stdio::stdin(), 3)?;
    let answers = unix_io::fcntl_dupfd_cloexec(stdio::stdout(), 3)?;
    socket::open(socket)?;
    Ok((requests.into(), answers.into()))
}

fn run_cells(requests: io::PipeReader, mut answers: io::PipeWriter) -> ! {
    // For evcxr, the prelude ends here, and must not have defined any variables.
    let mut end = format!("{FAILED}\n{COMPLETE}\n");
    let mut variables = std::ptr::null_mut();
    let mut lines = BufReader::new(requests).lines();
    loop {
        if answers.write_all(end.as_bytes()).is_err() {
            process::exit(0);
        }
        let Some(Ok(line)) = lines.next() else { process::exit(0) };
        let run = load(&line).map(|cell| {
            // SAFETY: evcxr has compiled this function for this call; it takes and returns evcxr's store of variables,
            // which nothing else accesses.
            variables = unsafe { cell(variables) };
        });
        if let Err(error) = run {
            eprintln!("The cell cannot be run: {error} ({line:?})");
            process::exit(99);
        }
        super::cell_ends();
        socket::flush();
        end = std::mem::take(&mut *MARKS.lock().unwrap_or_else(PoisonError::into_inner)) + COMPLETE + "\n";
    }
}

/// The function of a compiled cell, as evcxr names it: `LOAD_AND_RUN file function`.
fn load(line: &str) -> Result<Cell, String> {
    let fields = line.strip_prefix("LOAD_AND_RUN ").and_then(|fields| fields.rsplit_once(' '));
    let (file, function) = fields.ok_or("not a known request of the kernel")?;
    // SAFETY: the file is a cell that evcxr has just compiled; loading it runs no other code.
    let library = unsafe { Library::new(file) }.map_err(|error| error.to_string())?;
    // SAFETY: all cells have this signature.
    let cell = unsafe { library.get::<Cell>(function) }.map_err(|error| error.to_string()).map(|cell| *cell);
    // Never unloaded: values and threads of the cell may use its code until the process ends.
    std::mem::forget(library);
    cell
}
