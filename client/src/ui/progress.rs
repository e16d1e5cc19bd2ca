//! Progress of a long command: a live table on a terminal, a line for each change elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::{Paint, Printer, Tone, clean, seconds, size};
use crate::args::Mode;
use crate::engine::PullProgress;

/// What a service is doing; the word stands in every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// For what it needs.
    Waiting,
    /// Something that it needs is made inside another service.
    Provisioning,
    /// Its container is stopped.
    Stopping,
    /// Its container is made.
    Creating,
    /// It runs and is not healthy yet.
    Starting,
    /// `validate` asks it.
    Asking,
    /// It answered `validate` as it should.
    Answered,
    /// Done.
    Healthy,
    /// It was as desired already.
    Unchanged,
    /// Its container is gone.
    Removed,
    /// It did not become healthy.
    Failed,
    /// Not tried: something that it needs failed.
    Skipped,
    /// What ran before is brought back.
    Restoring,
    /// It runs no more.
    Stopped,
}

impl Word {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Provisioning => "provisioning",
            Self::Stopping => "stopping",
            Self::Creating => "creating",
            Self::Starting => "starting",
            Self::Asking => "asking",
            Self::Answered => "answered",
            Self::Healthy => "healthy",
            Self::Unchanged => "unchanged",
            Self::Removed => "removed",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
            Self::Restoring => "restoring",
            Self::Stopped => "stopped",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Answered | Self::Healthy => Tone::Good,
            Self::Failed => Tone::Bad,
            Self::Waiting | Self::Unchanged | Self::Removed | Self::Skipped => Tone::Faint,
            _ => Tone::Notice,
        }
    }

    fn is_final(self) -> bool {
        matches!(
            self,
            Self::Answered
                | Self::Healthy
                | Self::Unchanged
                | Self::Removed
                | Self::Failed
                | Self::Skipped
        )
    }
}

/// Shows how a command gets on. Cheap to clone; all clones show in one place.
#[derive(Clone)]
pub struct Progress {
    shared: Arc<Shared>,
}

struct Shared {
    printer: Printer,
    began: Instant,
    bars: MultiProgress,
    lines: Mutex<BTreeMap<String, ProgressBar>>,
}

/// The live table that is shown, if one is.
static SHOWN: Mutex<Option<MultiProgress>> = Mutex::new(None);

/// Writes to the terminal while no live table is on it.
pub(super) fn make_room(write: impl FnOnce()) {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shown {
        Some(bars) => bars.suspend(write),
        None => write(),
    }
}

impl Progress {
    /// Progress that starts now.
    #[must_use]
    pub fn new(printer: Printer) -> Self {
        let target = match printer.progress {
            Mode::Tty => ProgressDrawTarget::stderr_with_hz(10),
            _ => ProgressDrawTarget::hidden(),
        };
        let bars = MultiProgress::with_draw_target(target);
        *SHOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(bars.clone());
        Self {
            shared: Arc::new(Shared {
                printer,
                began: Instant::now(),
                bars,
                lines: Mutex::new(BTreeMap::new()),
            }),
        }
    }

    /// Time since the start.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.began.elapsed()
    }

    /// A heading or a remark.
    pub fn note(&self, text: &str) {
        match self.shared.printer.progress {
            Mode::Tty => self.shared.bars.suspend(|| self.shared.printer.note(text)),
            Mode::Plain => self.shared.printer.note(text),
            Mode::Json => self.shared.printer.event(json!({
                "event": "note", "text": text, "elapsed_ms": self.milliseconds(),
            })),
            Mode::Quiet => {}
        }
    }

    /// A service does something else now. `detail` may be empty.
    pub fn service(&self, service: &str, word: Word, detail: &str) {
        let printer = &self.shared.printer;
        let space = if detail.is_empty() { "" } else { " " };
        match printer.progress {
            Mode::Tty => {
                let line = self.line(service, SERVICE_LINE);
                // A live line is drawn beside the printer.
                let detail = clean(detail);
                let state = printer.err.paint(word.tone(), word.as_str());
                let text = format!("{state}{space}{detail}");
                if word.is_final() {
                    line.set_style(style(FINAL_LINE));
                    line.finish_with_message(text);
                } else {
                    line.set_message(text);
                }
            }
            Mode::Plain if !matches!(word, Word::Waiting | Word::Asking) => printer.note(&format!(
                "{service:<14} {}{space}{detail}",
                printer.err.paint(word.tone(), word.as_str())
            )),
            Mode::Json => printer.event(json!({
                "event": "service", "service": service, "state": word.as_str().to_lowercase(),
                "detail": detail, "elapsed_ms": self.milliseconds(),
            })),
            Mode::Plain | Mode::Quiet => {}
        }
    }

    /// An image is on its way; plain lines are left to [`Progress::note`].
    pub fn pull(&self, image: &str, progress: PullProgress) {
        match self.shared.printer.progress {
            Mode::Tty => {
                let line = self.line(image, SERVICE_LINE);
                let (done, total) = (size(progress.done), size(progress.total));
                line.set_message(format!("pulling {done} of {total}"));
            }
            Mode::Json => self.shared.printer.event(json!({
                "event": "pull", "image": image, "done": progress.done, "total": progress.total,
                "elapsed_ms": self.milliseconds(),
            })),
            Mode::Plain | Mode::Quiet => {}
        }
    }

    /// An image is here, or will not come: its line goes.
    pub fn pull_ended(&self, image: &str) {
        let mut lines = self
            .shared
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.remove(image) {
            line.finish_and_clear();
        }
    }

    /// Takes the live table away where it is not at its end.
    pub fn close(&self) {
        let mut lines = self
            .shared
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (_, line) in std::mem::take(&mut *lines) {
            if !line.is_finished() {
                line.abandon();
            }
        }
    }

    /// Takes the live table away altogether, before the result is printed.
    pub fn clear(&self) {
        self.close();
        // A terminal that is gone needs no clearing.
        drop(self.shared.bars.clear());
    }

    /// `Healthy` with the time it took.
    pub fn healthy(&self, service: &str, took: Duration) {
        self.service(service, Word::Healthy, &seconds(took));
    }

    /// A service is as desired already; shown with `--verbose`.
    pub fn unchanged(&self, service: &str) {
        if self.shared.printer.verbose {
            self.service(service, Word::Unchanged, "");
        }
    }

    /// How text looks here.
    #[must_use]
    pub fn paint(&self) -> Paint {
        self.shared.printer.err
    }

    fn milliseconds(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn line(&self, name: &str, template: &str) -> ProgressBar {
        let mut lines = self
            .shared
            .lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lines
            .entry(name.to_owned())
            .or_insert_with(|| {
                let line = ProgressBar::new_spinner().with_style(style(template));
                let line = self.shared.bars.add(line.with_prefix(name.to_owned()));
                line.enable_steady_tick(Duration::from_millis(100));
                line
            })
            .clone()
    }
}

const SERVICE_LINE: &str = "  {spinner} {prefix:14} {msg} {elapsed:.dim}";
const FINAL_LINE: &str = "    {prefix:14} {msg}";

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .tick_chars("-\\|/ ")
}

impl Drop for Shared {
    fn drop(&mut self) {
        let lines = self.lines.get_mut().unwrap_or_else(PoisonError::into_inner);
        for line in lines.values() {
            if !line.is_finished() {
                line.abandon();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_templates_are_valid() {
        for template in [SERVICE_LINE, FINAL_LINE] {
            ProgressStyle::with_template(template).unwrap();
        }
    }
}
