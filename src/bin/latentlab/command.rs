//! Commands that the tool runs: Python, pip, cargo, rustc and the kernel.

use std::io::{BufRead, BufReader, PipeReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// What a command prints, if it can be run and succeeds.
pub fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs a long command, printing a line of its output every few seconds. The error is its last lines.
pub fn narrate(mut command: Command) -> Result<(), String> {
    let spawn = |command: &mut Command| {
        let (reader, writer) = std::io::pipe()?;
        command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
        let child = end_with_parent(command).spawn()?;
        Ok((reader, child))
    };
    let (reader, mut child) =
        spawn(&mut command).map_err(|error: std::io::Error| format!("{:?}: {error}", command.get_program()))?;
    // The command holds the writing end of the pipe; while it does, the reader sees no end of file.
    drop(command);
    let tail = narrate_lines(reader);
    match child.wait() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(tail),
    }
}

/// Prints a line every few seconds, less often the longer it takes; returns the last twenty.
pub fn narrate_lines(reader: PipeReader) -> String {
    let start = Instant::now();
    let mut next = Duration::from_secs(2);
    let mut lines = Vec::new();
    for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        if start.elapsed() > next && !line.trim().is_empty() {
            let short: String = line.trim().chars().take(100).collect();
            println!("{:>5} s  {short}", start.elapsed().as_secs());
            next = start.elapsed() + Duration::from_secs(4).max(start.elapsed() / 5);
        }
        lines.push(line);
    }
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Removes the variables that `cargo run` sets for the tool itself: in a build that inherits them, the crates that
/// depend on them would be compiled again.
pub fn without_cargo_run(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let starts_with = |prefix| name.to_string_lossy().starts_with(prefix);
        if name == "CARGO"
            || ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"].into_iter().any(starts_with)
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Has a command that the tool waits for terminated when the tool ends, however it ends. Elsewhere than on Linux, the
/// command ends only at Ctrl-C, or when it next uses its pipes.
pub fn end_with_parent(command: &mut Command) -> &mut Command {
    #[cfg(target_os = "linux")]
    signal_when_parent_ends(command, rustix::process::Signal::TERM);
    command
}

/// The operating system sends the command that signal when this process ends.
#[cfg(target_os = "linux")]
pub fn signal_when_parent_ends(command: &mut Command, signal: rustix::process::Signal) {
    use std::os::unix::process::{CommandExt, parent_id};
    let parent = std::process::id();
    let arrange = move || {
        rustix::process::set_parent_process_death_signal(Some(signal))?;
        // The parent may have ended before the call above.
        if parent_id() == parent { Ok(()) } else { Err(std::io::ErrorKind::BrokenPipe.into()) }
    };
    // SAFETY: only two system calls between fork and exec; nothing allocates or locks.
    unsafe { command.pre_exec(arrange) };
}

/// Replaces this process by the program, so that Jupyter's signals and Ctrl-C reach it. Returns only if that fails.
#[cfg(unix)]
pub fn become_program(mut command: Command) -> std::io::Error {
    use std::os::unix::process::CommandExt;
    command.exec()
}

/// Waits for the program and exits with its code. Returns only if it cannot be started.
#[cfg(not(unix))]
pub fn become_program(mut command: Command) -> std::io::Error {
    match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    }
}
