//! Which evcxr a program is: it is started as for a notebook and asked, because how it was installed tells neither its
//! version nor whether it was compiled with socket files.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::time::{sleep, timeout};

use super::connection::KernelConnection;
use super::message::{Key, Message};
use super::zmtp::{Dealer, Limits};
use super::{Child, ended_at_start};
use crate::command::without_cargo_run;

/// A command that starts evcxr with all its files in this folder.
pub fn evcxr_in(folder: &Path, program: &Path) -> Command {
    let mut command = Command::new(program);
    without_cargo_run(&mut command)
        .env("EVCXR_TMPDIR", folder.join("ctx"))
        .env("EVCXR_CONFIG_DIR", folder)
        // At its start, evcxr overwrites a kernelspec `rust` that it finds on this path or in the user's home.
        .env("JUPYTER_PATH", folder)
        .stdout(Stdio::null());
    command
}

/// The version of evcxr that the program tells. An error if it is another program, does not open the sockets that the
/// relay uses (on Windows TCP, elsewhere files, a feature that evcxr must be compiled with), or is too slow.
pub fn version_of(program: &Path, folder: &Path, patience: Duration) -> io::Result<String> {
    // Removed when this returns.
    let folder = tempfile::Builder::new().prefix("kernel").tempdir_in(folder)?;
    let mut command = evcxr_in(folder.path(), program);
    command.current_dir(folder.path()).stdin(Stdio::null()).stderr(Stdio::null());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let version = runtime.block_on(async {
        let kernel = KernelConnection::new(folder.path())?;
        let mut child = Child::start(command, &kernel)?;
        let version = tokio::select! {
            ended = child.wait() => Err(ended_at_start(&ended?)),
            version = timeout(patience, ask(&kernel)) => version.unwrap_or(Err(io::ErrorKind::TimedOut.into())),
        };
        child.end().await;
        version
    });
    runtime.shutdown_background();
    version
}

async fn ask(kernel: &KernelConnection) -> io::Result<String> {
    let (key, limits) = (Key::new(&kernel.connection.key), Limits::kernel());
    let endpoint = kernel.endpoint(kernel.connection.shell_port)?;
    let (shell, mut inbox) = loop {
        match Dealer::connect(&endpoint, None, limits).await {
            Ok(connected) => break connected,
            Err(_) => sleep(Duration::from_millis(20)).await,
        }
    };
    shell.send(Message::new("kernel_info_request", &json!({}), json!({})).into_frames(&key))?;
    let frames = inbox.recv().await.ok_or(io::ErrorKind::ConnectionReset)?;
    let reply = Message::read(frames, &key).ok_or(io::ErrorKind::InvalidData)?;
    match (reply.content()["implementation"].as_str(), reply.content()["implementation_version"].as_str()) {
        (Some("evcxr_jupyter"), Some(version)) => Ok(version.to_owned()),
        _ => Err(io::Error::other("it is another kernel")),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use crate::folder::Folder;
    use crate::relay::zmtp::Router;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Instant;

    /// What a program is taken for that answers with this content.
    fn asked(content: serde_json::Value) -> io::Result<String> {
        let folder = Folder::new("asked");
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            let kernel = KernelConnection::new(&folder.0)?;
            let key = Key::new(&kernel.connection.key);
            let answer = async {
                // Later than the first attempt to connect.
                sleep(Duration::from_millis(50)).await;
                let endpoint = kernel.endpoint(kernel.connection.shell_port)?;
                let (shell, mut inbox) = Router::bind(&endpoint, Limits::kernel())?;
                let request = Message::read(inbox.recv().await.unwrap(), &key).unwrap();
                assert_eq!(request.kind(), "kernel_info_request");
                shell.send(request.answer("kernel_info_reply", content).into_frames(&key));
                std::future::pending::<io::Result<String>>().await
            };
            tokio::select! { version = ask(&kernel) => version, failed = answer => failed }
        })
    }

    #[test]
    fn the_version_is_what_the_program_says() {
        let version = asked(json!({ "implementation": "evcxr_jupyter", "implementation_version": "0.22.3" }));
        assert_eq!(version.unwrap(), "0.22.3");
        for content in [json!({ "implementation": "ipython", "implementation_version": "0.22.0" }), json!({})] {
            assert_eq!(asked(content).unwrap_err().to_string(), "it is another kernel");
        }
    }

    #[test]
    fn a_program_that_does_not_answer_is_given_up_and_nothing_is_left_of_it() {
        let folder = Folder::new("version");
        let program = folder.0.join("evcxr_jupyter");
        let version = |script: &str, patience| {
            fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
            let version = version_of(&program, &folder.0, Duration::from_millis(patience));
            assert_eq!(fs::read_dir(&folder.0).unwrap().count(), 1, "only the program");
            version.unwrap_err().to_string()
        };
        let start = Instant::now();
        assert!(version("exit 3", 60_000).contains("ended at its start"));
        assert!(version("sleep 60", 200).contains("timed out"));
        assert!(start.elapsed() < Duration::from_secs(30));
        assert!(version_of(&folder.0.join("missing"), &folder.0, Duration::from_secs(60)).is_err());
    }
}
