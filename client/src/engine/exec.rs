//! A command in a running container, with standard input and its exit code.

use std::time::Duration;

use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::{Engine, EngineError};
use crate::desired::Secrets;

/// More output than this is cut, bytes.
const MAX_OUTPUT: usize = 64 * 1024;

/// A host that has not run an empty command by then is as slow as that.
const EMPTY_COMMAND: Duration = Duration::from_mins(1);

/// What a command said.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecOutput {
    /// Its exit code.
    pub code: i64,
    /// Standard output and standard error, as they came.
    pub text: String,
    /// What must not be quoted of it.
    secrets: Secrets,
}

/// The output may hold secrets, so `Debug` leaves it out.
impl std::fmt::Debug for ExecOutput {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "ExecOutput(code {})", self.code)
    }
}

impl ExecOutput {
    /// Why a command that was fed `stdin` failed: its code and its last line. Standard input may
    /// hold secrets, and a command may repeat it, so a line with a piece of it is left out.
    #[must_use]
    pub fn why(&self, stdin: &str) -> String {
        let said = self.text.lines().last().unwrap_or_default();
        if said.is_empty() || repeats(said, stdin) {
            format!("exit code {}", self.code)
        } else {
            let said = self.secrets.mask_quoted(said);
            format!("exit code {}: {said}", self.code)
        }
    }
}

/// True when `said` holds a word of `stdin` that is long enough to be a secret.
fn repeats(said: &str, stdin: &str) -> bool {
    stdin
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() >= 16)
        .any(|word| said.contains(word))
}

impl Engine {
    /// How long this host takes to run nothing in a container: what cannot be run goes the same way up
    /// to the last step, and needs nothing that an image may lack.
    pub async fn empty_command(&self, id: &str) -> Duration {
        let began = Instant::now();
        let command = ["/".to_owned()];
        let nothing = self.exec(id, &command, "");
        // That it fails is what it does.
        drop(timeout(EMPTY_COMMAND, nothing).await);
        began.elapsed()
    }

    /// Runs `command` in a container and feeds it `stdin`.
    ///
    /// # Errors
    /// What the gateway answered. A command that fails is not an error.
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
        // One that nobody starts does nothing.
        let create = || self.docker.create_exec(id, config.clone());
        let exec = self.ask(create).await?.id;
        let start = || self.docker.start_exec(&exec, None::<StartExecOptions>);
        let started = self.ask_once(start).await?;
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
        let ended = self.ask(|| self.docker.inspect_exec(&exec)).await?;
        Ok(ExecOutput {
            code: ended.exit_code.unwrap_or(-1),
            text,
            secrets: self.secrets(),
        })
    }
}

fn append(text: &mut Vec<u8>, chunk: &LogOutput) {
    let room = MAX_OUTPUT.saturating_sub(text.len());
    let bytes = chunk.as_ref();
    text.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_in_a_commands_last_line_is_left_out() {
        let stdin = "ALTER ROLE n8n PASSWORD '0123456789abcdef0123';";
        let why = |text: &str| {
            let mut secrets = Secrets::default();
            secrets.add("abc@def-ghi/jkl");
            let output = ExecOutput {
                code: 1,
                text: text.to_owned(),
                secrets,
            };
            output.why(stdin)
        };
        assert_eq!(why("a\nerror near 0123456789abcdef0123\n"), "exit code 1");
        assert_eq!(why("a\nno role n8n\n"), "exit code 1: no role n8n");
        // It is too short to be noticed in standard input, where it may be written otherwise too.
        assert_eq!(
            why("syntax error at or near \"def-ghi/jkl\""),
            "exit code 1: (***: a line with a piece of a secret)"
        );
    }
}
