//! A command in a container, joined to the caller's own standard streams.

use std::io::{ErrorKind, Read, Write};
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{ResizeExecOptions, StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Engine, EngineError};

/// Standard input is read in pieces of this size, bytes.
const PIECE: usize = 32 * 1024;
/// Pieces that may wait for a slow command; reading stops then.
const WAITING: usize = 4;
/// How long a command may live on after it has closed its output.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked at in that time.
const AGAIN: Duration = Duration::from_millis(50);

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
        sizes: mpsc::Receiver<(u16, u16)>,
    ) -> Result<i64, EngineError> {
        let streams = (std::io::stdin(), std::io::stdout(), std::io::stderr());
        self.attach_to(id, command, joined, sizes, streams).await
    }

    /// The same with other streams: input, output and errors.
    ///
    /// # Errors
    /// What the gateway answered, and output that cannot be written.
    pub async fn attach_to(
        &self,
        id: &str,
        command: &[String],
        joined: Joined,
        mut sizes: mpsc::Receiver<(u16, u16)>,
        (stdin, mut stdout, mut stderr): (impl Read + Send + 'static, impl Write, impl Write),
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
        let create = self.docker.create_exec(id, config);
        let created = self.in_time(Duration::ZERO, create).await;
        let exec = created.map_err(|error| self.error(error))?.id;
        let options = StartExecOptions {
            tty,
            ..StartExecOptions::default()
        };
        let start = self.docker.start_exec(&exec, Some(options));
        let started = self.in_time(Duration::ZERO, start).await;
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
        // Beside the output, not in turn with it: a command may stop reading until what it wrote is
        // taken.
        let feed = async move {
            let mut pieces = read_input(stdin);
            while let Some(piece) = pieces.recv().await {
                if input.write_all(&piece).await.is_err() || input.flush().await.is_err() {
                    // A command that has ended takes no more; its exit code tells why.
                    break;
                }
            }
            drop(input.shutdown().await);
            std::future::pending::<()>().await;
        };
        let sized = async {
            while let Some(size) = sizes.recv().await {
                self.resize(&exec, size).await;
            }
            std::future::pending::<()>().await;
        };
        let show = async {
            while let Some(chunk) = output.next().await {
                let chunk = chunk.map_err(|error| self.error(error))?;
                match write_output(&chunk, &mut stdout, &mut stderr) {
                    Ok(()) => {}
                    // Nobody reads any more, as in `| head`, which is not a failure anywhere here.
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(false),
                    Err(error) => {
                        let message = format!("cannot write the output: {error}");
                        return Err(EngineError::Failed { message });
                    }
                }
            }
            Ok(true)
        };
        let all = tokio::select! {
            shown = show => shown?,
            () = feed => true,
            () = sized => true,
        };
        if all {
            self.exit_code(&exec).await
        } else {
            Ok(0)
        }
    }

    /// The terminal's size is a comfort: what fails here fails nothing.
    async fn resize(&self, exec: &str, (width, height): (u16, u16)) {
        let options = ResizeExecOptions { width, height };
        drop(self.docker.resize_exec(exec, options).await);
    }

    async fn exit_code(&self, exec: &str) -> Result<i64, EngineError> {
        let patience = Instant::now() + PATIENCE;
        loop {
            let inspect = self.docker.inspect_exec(exec);
            let ended = self.in_time(Duration::ZERO, inspect).await;
            let ended = ended.map_err(|error| self.error(error))?;
            // The streams may end a moment before the command does.
            match ended.exit_code {
                Some(code) if ended.running != Some(true) => return Ok(code),
                _ if Instant::now() >= patience => return Ok(ended.exit_code.unwrap_or(-1)),
                _ => tokio::time::sleep(AGAIN).await,
            }
        }
    }
}

/// The input, read by a thread of its own that ends with the process: a read of a terminal
/// cannot be interrupted.
fn read_input(mut stdin: impl Read + Send + 'static) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel(WAITING);
    std::thread::spawn(move || {
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

fn write_output(
    chunk: &LogOutput,
    stdout: &mut impl Write,
    stderr: &mut impl Write,
) -> std::io::Result<()> {
    match chunk {
        LogOutput::StdErr { message } => {
            stderr.write_all(message)?;
            stderr.flush()
        }
        LogOutput::StdOut { message }
        | LogOutput::Console { message }
        | LogOutput::StdIn { message } => {
            stdout.write_all(message)?;
            stdout.flush()
        }
    }
}
