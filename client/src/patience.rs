//! Waiting for a daemon: with a word when its answer takes long, and again when it says "later".

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::time::seconds;

/// How long a change waits for a Docker Engine that is away: a package's upgrade stops every container, and
/// some have a minute for that.
pub const DOCKER_RESTARTS: Duration = Duration::from_mins(2);

/// What is waited for how long.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// An answer that is not there by then is reported as waited for.
    long: Duration,
    /// Waiting for one's turn is reported when it takes longer than this, all together.
    untold: Duration,
    /// How long one request waits for its turn, all together.
    longest: Duration,
    /// The same where the daemon does not say that there will be a turn.
    hung_up: Duration,
    /// The same for a Docker Engine that is away.
    away: Duration,
}

const TIMES: Times = Times {
    long: Duration::from_secs(5),
    untold: Duration::from_secs(2),
    longest: Duration::from_mins(1),
    hung_up: Duration::from_secs(15),
    away: Duration::from_secs(30),
};

/// Why a daemon is to be queried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Again {
    /// It got too many requests; it names the time.
    TooOften(Duration),
    /// It does something else for the caller first.
    Busy,
    /// It closed the connection before it answered, as it does with one too many.
    HungUp,
    /// It answers, and the Docker Engine behind it does not. Nothing was done.
    DockerAway,
}

impl Again {
    /// How long to wait before the next try, the `nth`. Whoever was turned away together does not
    /// come back together.
    fn wait(&self, nth: u32) -> Duration {
        let wait = match self {
            Self::TooOften(wait) => *wait,
            Self::Busy => Duration::from_secs(1),
            Self::HungUp => Duration::from_millis(50) * nth.min(10),
            Self::DockerAway => Duration::from_millis(250) * nth.min(4),
        };
        let mut byte = [0];
        // Without random numbers they do.
        let _ = getrandom::fill(&mut byte);
        wait + wait.mul_f64(f64::from(byte[0]) / 255.0) / 2
    }

    fn sentence(&self) -> &'static str {
        match self {
            Self::TooOften(_) => "your commands send more requests than one user may",
            Self::Busy => "another operation of yours is still running",
            Self::HungUp => "it closed the connection; you may have too many open",
            Self::DockerAway => {
                "the host's Docker Engine does not answer and may be restarting; press Ctrl-C to stop"
            }
        }
    }
}

/// The milliseconds that a refusal names: `try again in 120 ms`.
#[must_use]
pub fn named_wait(text: &str) -> Option<Duration> {
    let (_, rest) = text.rsplit_once("try again in ")?;
    let (number, _) = rest.split_once(" ms")?;
    number.parse().ok().map(Duration::from_millis)
}

/// Tells the user what is waited for.
pub trait Notify: std::fmt::Debug + Send + Sync {
    /// One line, in the middle of whatever is shown.
    fn interject(&self, text: &str);
}

/// Waits for one daemon. Clones tell each thing once, together.
#[derive(Debug, Clone)]
pub struct Patience {
    daemon: &'static str,
    socket: PathBuf,
    notify: Option<Arc<dyn Notify>>,
    notified: Arc<[AtomicBool; 2]>,
    times: Times,
    /// How many times as long as usual an answer may take.
    slowness: Arc<AtomicU32>,
}

impl Patience {
    /// For `daemon`, e.g. `the helper`. Without `notify` nothing is reported.
    #[must_use]
    pub fn with(daemon: &'static str, socket: &Path, notify: Option<Arc<dyn Notify>>) -> Self {
        Self {
            daemon,
            socket: socket.to_owned(),
            notify,
            notified: Arc::default(),
            times: TIMES,
            slowness: Arc::new(AtomicU32::new(1)),
        }
    }

    /// Gives every answer so many times as long from now on, for all clones.
    pub fn slow_down(&self, times: u32) {
        self.slowness.store(times, Ordering::Relaxed);
    }

    /// How long an answer may take that takes at most `usual` on a machine that is not slow.
    #[must_use]
    pub fn limit(&self, usual: Duration) -> Duration {
        usual.saturating_mul(self.slowness.load(Ordering::Relaxed))
    }

    /// The same with another time for a Docker Engine that is away; with none, it is reported at once.
    #[must_use]
    pub fn waiting_for_docker(mut self, time: Duration) -> Self {
        self.times.away = time;
        self
    }

    /// Waits for an answer that may take `usual`, and tells when it takes longer by five seconds.
    pub async fn answer<T>(&self, usual: Duration, request: impl Future<Output = T>) -> T {
        let mut request = std::pin::pin!(request);
        tokio::select! {
            answer = &mut request => return answer,
            () = sleep(usual.saturating_add(self.times.long)) => {}
        }
        let (daemon, socket) = (self.daemon, self.socket.display());
        self.tell(0, || {
            format!(
                "waiting for {daemon}: no answer on {socket} for {}; run `aistack doctor` in \
                 another terminal, or press Ctrl-C to stop",
                seconds(self.times.long)
            )
        });
        request.await
    }

    /// Tries until the answer is one, for at most a minute. `again` says whether an error is none.
    ///
    /// # Errors
    /// The last error.
    pub async fn turn<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        ask: impl FnMut() -> F,
        again: impl Fn(&E) -> Option<Again>,
    ) -> Result<T, E> {
        self.long_turn(Duration::ZERO, ask, again).await
    }

    /// The same for answers that may take `usual`.
    ///
    /// # Errors
    /// The last error.
    pub async fn long_turn<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        usual: Duration,
        mut ask: impl FnMut() -> F,
        again: impl Fn(&E) -> Option<Again>,
    ) -> Result<T, E> {
        let began = Instant::now();
        let mut tries = 0;
        loop {
            // Boxed: the request would otherwise be a part of every future above.
            let answer = Box::pin(self.answer(usual, ask())).await;
            let Some(why) = answer.as_ref().err().and_then(&again) else {
                return answer;
            };
            tries += 1;
            let wait = why.wait(tries);
            let longest = match why {
                Again::HungUp => self.times.hung_up,
                Again::DockerAway => self.times.away,
                Again::TooOften(_) | Again::Busy => self.times.longest,
            };
            if began.elapsed() + wait > longest {
                return answer;
            }
            if began.elapsed() + wait > self.times.untold {
                let (daemon, why) = (self.daemon, why.sentence());
                self.tell(1, || format!("waiting for {daemon}: {why}"));
            }
            sleep(wait).await;
        }
    }

    fn tell(&self, which: usize, text: impl FnOnce() -> String) {
        let notified = self.notified.get(which);
        let notified = notified.is_none_or(|notified| notified.swap(true, Ordering::Relaxed));
        if let (false, Some(notify)) = (notified, &self.notify) {
            notify.interject(&text());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// One that is impatient.
    fn patience() -> Patience {
        Patience {
            times: Times {
                long: Duration::from_millis(200),
                untold: Duration::from_millis(100),
                longest: Duration::from_millis(500),
                hung_up: Duration::from_millis(250),
                away: Duration::from_millis(500),
            },
            ..Patience::with("the helper", Path::new("/run/x.sock"), None)
        }
    }

    fn notified(patience: &Patience, which: usize) -> bool {
        patience.notified[which].load(Ordering::Relaxed)
    }

    #[test]
    fn the_milliseconds_of_a_refusal_are_read() {
        let wait = |text| named_wait(text).map(|wait| wait.as_millis());
        let gateway = "too many requests [builtin.rate-limit]; try again in 12 ms";
        assert_eq!(wait(gateway), Some(12));
        let helper = "too many requests, try again in 100 ms";
        assert_eq!(wait(helper), Some(100));
        assert_eq!(wait("too many requests"), None);
        assert_eq!(wait("try again in a ms"), None);
    }

    #[tokio::test]
    async fn whoever_is_turned_away_comes_again_after_the_time_that_was_named() {
        let patience = patience();
        let (named, request) = (Duration::from_millis(40), Cell::new(0));
        let began = Instant::now();
        let ask = async || {
            request.set(request.get() + 1);
            if request.get() < 4 { Err("no") } else { Ok(()) }
        };
        let answer = patience.turn(ask, |_| Some(Again::TooOften(named)));
        assert_eq!(answer.await, Ok(()));
        assert_eq!(request.get(), 4);
        assert!(began.elapsed() >= named * 3, "{:?}", began.elapsed());
        assert!(
            notified(&patience, 1),
            "it took long, and that was not reported"
        );
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_and_another_error_is_reported_at_once() {
        let patience = patience();
        let request = Cell::new(0);
        let never = async || {
            request.set(request.get() + 1);
            Err::<(), _>("no")
        };
        let named = Duration::from_millis(90);
        let answer = patience.turn(never, |_| Some(Again::TooOften(named)));
        assert_eq!(answer.await, Err("no"));
        assert!(
            (2..=6).contains(&request.get()),
            "sent {} times",
            request.get()
        );
        request.set(0);
        assert_eq!(patience.turn(never, |_| None).await, Err("no"));
        assert_eq!(request.get(), 1);
    }

    /// As when it is being upgraded, and comes back; or not at all.
    #[tokio::test]
    async fn a_docker_engine_that_is_away_is_waited_for() {
        let request = Cell::new(0);
        let comes_back = async || {
            request.set(request.get() + 1);
            if request.get() < 2 { Err("no") } else { Ok(()) }
        };
        let again = |_: &_| Some(Again::DockerAway);
        let waits = patience();
        assert_eq!(waits.turn(comes_back, again).await, Ok(()));
        assert!(
            notified(&waits, 1),
            "it was away, and that was not reported"
        );
        let began = Instant::now();
        let at_once = patience().waiting_for_docker(Duration::ZERO);
        let never = async || Err::<(), _>("no");
        assert_eq!(at_once.turn(never, again).await, Err("no"));
        assert!(began.elapsed() < Duration::from_millis(250));
        let began = Instant::now();
        assert_eq!(patience().turn(never, again).await, Err("no"));
        assert!(began.elapsed() >= Duration::from_millis(250));
    }

    #[test]
    fn every_clone_gives_a_slow_machine_more_time() {
        let patience = patience();
        let minute = Duration::from_mins(1);
        assert_eq!(patience.limit(minute), minute);
        patience.clone().slow_down(20);
        assert_eq!(patience.limit(minute), minute * 20);
    }

    #[tokio::test]
    async fn an_answer_that_takes_long_is_reported() {
        let patience = patience();
        let long = patience.times.long;
        patience.answer(Duration::ZERO, async {}).await;
        // As long as it may take is not long.
        let minute = Duration::from_mins(1);
        patience.answer(minute, sleep(long * 2)).await;
        assert!(!notified(&patience, 0));
        patience.answer(Duration::ZERO, sleep(long * 2)).await;
        assert!(notified(&patience, 0));
    }
}
