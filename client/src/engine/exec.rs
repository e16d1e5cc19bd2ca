//! A command in a running container, with standard input and its exit code.

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use super::{Engine, EngineError};

/// More output than this is cut, bytes.
const MAX_OUTPUT: usize = 64 * 1024;

/// What a command said.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// Its exit code.
    pub code: i64,
    /// Standard output and standard error, as they came.
    pub text: String,
}

/// The output may hold secrets, so `Debug` leaves it out.
impl std::fmt::Debug for ExecOutput {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "ExecOutput(code {})", self.code)
    }
}

impl Engine {
    /// Runs `command` in a container and feeds it `stdin`.
    ///
    /// # Errors
    /// What the gateway answered. A command that fails is no error.
    pub async fn exec(
        &self,
        id: &str,
        command: &[String],
        stdin: &str,
    ) -> Result<ExecOutput, EngineError> {
        let config = ExecConfig {
            attach_stdin: Some(!stdin.is_empty()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            ..ExecConfig::default()
        };
        let created = self.docker.create_exec(id, config).await;
        let exec = created.map_err(|error| self.error(error))?.id;
        let started = self
            .docker
            .start_exec(&exec, None::<StartExecOptions>)
            .await
            .map_err(|error| self.error(error))?;
        let text = match started {
            StartExecResults::Attached {
                mut output,
                mut input,
            } => {
                // A command that ends early closes its input; its exit code tells why.
                let feed = async {
                    drop(input.write_all(stdin.as_bytes()).await);
                    drop(input.shutdown().await);
                };
                let collect = async {
                    let mut text = Vec::new();
                    while let Some(chunk) = output.next().await {
                        append(&mut text, &chunk.map_err(|error| self.error(error))?);
                    }
                    Ok::<_, EngineError>(text)
                };
                let ((), text) = futures_util::future::join(feed, collect).await;
                String::from_utf8_lossy(&text?).into_owned()
            }
            StartExecResults::Detached => String::new(),
        };
        let ended = self.docker.inspect_exec(&exec).await;
        let ended = ended.map_err(|error| self.error(error))?;
        Ok(ExecOutput {
            code: ended.exit_code.unwrap_or(-1),
            text,
        })
    }
}

fn append(text: &mut Vec<u8>, chunk: &LogOutput) {
    let room = MAX_OUTPUT.saturating_sub(text.len());
    let bytes = chunk.as_ref();
    text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
}
