//! A command in a container, joined to the caller's own standard streams.

use std::io::{Read, Write};

use bollard::container::LogOutput;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::{Engine, EngineError};

/// Standard input is read in pieces of this size, bytes.
const PIECE: usize = 32 * 1024;
/// Pieces that may wait for a slow command; reading stops then.
const WAITING: usize = 4;

/// How a command is joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Joined {
    /// Columns and rows of the terminal that it gets; none for three plain streams.
    pub terminal: Option<(u16, u16)>,
}

impl Engine {
    /// Runs a command in a container with the standard streams of this process, in constant memory;
    /// `sizes` says when the terminal's size has changed. Returns its exit code.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn attach(
        &self,
        id: &str,
        command: &[String],
        joined: Joined,
        mut sizes: mpsc::Receiver<(u16, u16)>,
    ) -> Result<i64, EngineError> {
        let tty = joined.terminal.is_some();
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(tty),
            cmd: Some(command.to_vec()),
            ..ExecConfig::default()
        };
        let created = self.docker.create_exec(id, config).await;
        let exec = created.map_err(|error| self.error(error))?.id;
        let options = StartExecOptions {
            tty,
            ..StartExecOptions::default()
        };
        let started = self.docker.start_exec(&exec, Some(options)).await;
        let StartExecResults::Attached {
            mut output,
            mut input,
        } = started.map_err(|error| self.error(error))?
        else {
            return self.exit_code(&exec).await;
        };
        if let Some(size) = joined.terminal {
            self.resize(&exec, size).await;
        }
        let mut pieces = read_input();
        let mut open = true;
        loop {
            tokio::select! {
                chunk = output.next() => match chunk {
                    Some(chunk) => write_output(&chunk.map_err(|error| self.error(error))?)
                        .map_err(|error| self.error(error.into()))?,
                    None => break,
                },
                piece = pieces.recv(), if open => {
                    let sent = match piece {
                        Some(piece) => input.write_all(&piece).await.is_ok() && input.flush().await.is_ok(),
                        None => false,
                    };
                    if !sent {
                        // A command that has ended takes no more; its exit code tells why.
                        drop(input.shutdown().await);
                        open = false;
                    }
                }
                Some(size) = sizes.recv() => self.resize(&exec, size).await,
            }
        }
        self.exit_code(&exec).await
    }

    /// The terminal's size is a comfort: what fails here fails nothing.
    async fn resize(&self, exec: &str, (width, height): (u16, u16)) {
        let options = ResizeExecOptions { width, height };
        drop(self.docker.resize_exec(exec, options).await);
    }

    async fn exit_code(&self, exec: &str) -> Result<i64, EngineError> {
        let ended = self.docker.inspect_exec(exec).await;
        let ended = ended.map_err(|error| self.error(error))?;
        Ok(ended.exit_code.unwrap_or(-1))
    }
}

/// Standard input, read by a thread of its own that ends with the process: a read of a terminal
/// cannot be broken off.
fn read_input() -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut buffer = vec![0; PIECE];
        while let Ok(read @ 1..) = stdin.read(&mut buffer) {
            let piece = buffer.get(..read).unwrap_or_default().to_vec();
            if sender.blocking_send(piece).is_err() {
                return;
            }
        }
    });
    receiver
}

fn write_output(chunk: &LogOutput) -> std::io::Result<()> {
    match chunk {
        LogOutput::StdErr { message } => {
            let mut stderr = std::io::stderr().lock();
            stderr.write_all(message)?;
            stderr.flush()
        }
        LogOutput::StdOut { message }
        | LogOutput::Console { message }
        | LogOutput::StdIn { message } => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(message)?;
            stdout.flush()
        }
    }
}
