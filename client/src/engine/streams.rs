//! Long answers: logs, events, statistics.

use std::collections::HashMap;

use bollard::container::LogOutput;
use bollard::models::ContainerStatsResponse;
use bollard::query_parameters::{EventsOptions, LogsOptions, StatsOptions};
use bytes::BytesMut;
use futures_util::{Stream, StreamExt};

use super::{Engine, EngineError};

/// Which lines of a container's log.
#[derive(Debug, Clone, Default)]
pub struct LogQuery {
    /// Follow the output.
    pub follow: bool,
    /// Only the last lines; `None` for all.
    pub tail: Option<u32>,
    /// Not before this Unix time, seconds.
    pub since: Option<i32>,
    /// Not after this Unix time, seconds.
    pub until: Option<i32>,
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// RFC 3339 with nanoseconds, as Docker writes it.
    pub time: String,
    /// The line, without its end.
    pub text: String,
    /// Whether it was written to standard error.
    pub stderr: bool,
}

/// Something happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Full id.
    pub container: String,
    /// Docker's word, e.g. `health_status: healthy`.
    pub action: String,
}

/// What a container uses at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Usage {
    /// Per cent of one CPU.
    pub cpu_percent: f64,
    /// Bytes, without the page cache.
    pub memory: u64,
    /// Bytes it may use.
    pub memory_limit: u64,
}

impl Engine {
    /// The lines of a container's log.
    pub fn logs(
        &self,
        id: &str,
        query: &LogQuery,
    ) -> impl Stream<Item = Result<LogLine, EngineError>> + use<'_> {
        let options = LogsOptions {
            follow: query.follow,
            stdout: true,
            stderr: true,
            since: query.since.unwrap_or_default(),
            until: query.until.unwrap_or_default(),
            timestamps: true,
            tail: query
                .tail
                .map_or_else(|| "all".to_owned(), |lines| lines.to_string()),
        };
        let mut lines = Lines::default();
        self.docker
            .logs(id, Some(options))
            .map(Some)
            .chain(futures_util::stream::once(std::future::ready(None)))
            .map(move |chunk| {
                let found = match chunk {
                    Some(Ok(chunk)) => lines.push(&chunk).into_iter().map(Ok).collect::<Vec<_>>(),
                    Some(Err(error)) => vec![Err(self.error(error))],
                    None => lines.finish().into_iter().map(Ok).collect(),
                };
                futures_util::stream::iter(found)
            })
            .flatten()
    }

    /// The last `count` lines of a log, for a report. What cannot be read is left out.
    pub async fn last_log_lines(&self, id: &str, count: u32) -> Vec<String> {
        let query = LogQuery {
            tail: Some(count),
            ..LogQuery::default()
        };
        self.logs(id, &query)
            .filter_map(|line| std::future::ready(line.ok().map(|line| line.text)))
            .collect()
            .await
    }

    /// Starts, exits and changes of health of the caller's containers, from now on.
    pub fn events(&self) -> impl Stream<Item = Result<Event, EngineError>> + use<'_> {
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect();
        let options = EventsOptions {
            filters: Some(HashMap::from([
                ("type".to_owned(), words(&["container"])),
                (
                    "event".to_owned(),
                    words(&["health_status", "start", "die"]),
                ),
            ])),
            ..EventsOptions::default()
        };
        self.docker
            .events(Some(options))
            .filter_map(move |message| {
                let event = match message {
                    Ok(message) => message
                        .actor
                        .and_then(|actor| actor.id)
                        .zip(message.action)
                        .map(|(container, action)| Ok(Event { container, action })),
                    Err(error) => Some(Err(self.error(error))),
                };
                std::future::ready(event)
            })
    }

    /// What a container uses. Takes a second or two: CPU needs two samples.
    ///
    /// # Errors
    /// What the gateway answered.
    pub async fn usage(&self, id: &str) -> Result<Usage, EngineError> {
        let options = StatsOptions {
            stream: false,
            one_shot: false,
        };
        match self.docker.stats(id, Some(options)).next().await {
            Some(Ok(sample)) => Ok(usage(&sample)),
            Some(Err(error)) => Err(self.error(error)),
            None => Ok(Usage::default()),
        }
    }
}

/// Puts the chunks of a log together to lines, for each of the two streams.
#[derive(Default)]
struct Lines {
    stdout: BytesMut,
    stderr: BytesMut,
}

/// A line longer than this is cut where a chunk ends.
const MAX_LINE: usize = 1024 * 1024;

impl Lines {
    fn push(&mut self, chunk: &LogOutput) -> Vec<LogLine> {
        let stderr = matches!(chunk, LogOutput::StdErr { .. });
        let buffer = if stderr {
            &mut self.stderr
        } else {
            &mut self.stdout
        };
        buffer.extend_from_slice(chunk.as_ref());
        let mut lines = Vec::new();
        while let Some(end) = buffer.iter().position(|&byte| byte == b'\n') {
            let line = buffer.split_to(end + 1);
            lines.push(log_line(&line, stderr));
        }
        if buffer.len() > MAX_LINE {
            let line = buffer.split();
            lines.push(log_line(&line, stderr));
        }
        lines
    }

    /// What is left when the log ends without the end of a line.
    fn finish(&mut self) -> Vec<LogLine> {
        [(self.stdout.split(), false), (self.stderr.split(), true)]
            .into_iter()
            .filter(|(line, _)| !line.is_empty())
            .map(|(line, stderr)| log_line(&line, stderr))
            .collect()
    }
}

fn log_line(line: &[u8], stderr: bool) -> LogLine {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end_matches(['\n', '\r']);
    let (time, text) = line.split_once(' ').unwrap_or((line, ""));
    LogLine {
        time: time.to_owned(),
        text: text.to_owned(),
        stderr,
    }
}

/// As `docker stats` reckons it: CPU over the time between the samples, memory without cache.
#[expect(
    clippy::cast_precision_loss,
    reason = "a percentage for people needs no 64 bits"
)]
fn usage(sample: &ContainerStatsResponse) -> Usage {
    let total = |stats: &Option<bollard::models::ContainerCpuStats>| {
        let stats = stats.as_ref()?;
        Some((
            stats.cpu_usage.as_ref()?.total_usage?,
            stats.system_cpu_usage?,
            stats.online_cpus.unwrap_or(1),
        ))
    };
    let cpu_percent = match (total(&sample.precpu_stats), total(&sample.cpu_stats)) {
        (Some((used_before, system_before, _)), Some((used, system, cpus)))
            if system > system_before =>
        {
            let share = used.saturating_sub(used_before) as f64 / (system - system_before) as f64;
            share * f64::from(cpus) * 100.0
        }
        _ => 0.0,
    };
    let memory = sample.memory_stats.clone().unwrap_or_default();
    let stats = memory.stats.unwrap_or_default();
    let cache = ["inactive_file", "total_inactive_file"]
        .iter()
        .find_map(|key| stats.get(*key))
        .copied()
        .unwrap_or_default();
    Usage {
        cpu_percent,
        memory: memory.usage.unwrap_or_default().saturating_sub(cache),
        memory_limit: memory.limit.unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn stdout(text: &'static str) -> LogOutput {
        LogOutput::StdOut {
            message: Bytes::from_static(text.as_bytes()),
        }
    }

    #[test]
    fn chunks_become_lines_and_streams_do_not_mix() {
        let mut lines = Lines::default();
        assert!(lines.push(&stdout("2026-01-01T00:00:00Z hel")).is_empty());
        let other = LogOutput::StdErr {
            message: Bytes::from_static(b"2026-01-01T00:00:01Z oops\n"),
        };
        assert_eq!(lines.push(&other)[0].text, "oops");
        let found = lines.push(&stdout("lo\r\n2026-01-01T00:00:02Z \n"));
        let texts: Vec<&str> = found.iter().map(|line| line.text.as_str()).collect();
        assert_eq!(texts, ["hello", ""]);
        assert_eq!(found[0].time, "2026-01-01T00:00:00Z");
        assert!(lines.push(&stdout("2026-01-01T00:00:03Z last")).is_empty());
        assert_eq!(lines.finish()[0].text, "last");
    }
}
