//! A new token for a session whose token runs out: asked for when the server says so, and told before anything else.
//!
//! From when the token has run out until the server has taken a new one nothing else is sent, so that what was refused
//! meanwhile is not overtaken by what comes behind it. Belongs to one connection.

use std::fmt;

use futures_util::future::BoxFuture;
use tokio::time::Instant;

use super::TokenSource;
use super::backoff::Backoff;
use crate::limits;

/// How far the session is with its next token.
#[derive(Debug)]
pub struct Renewal {
    source: TokenSource,
    state: State,
    /// Whether the server has refused something because the token ran out.
    is_out: bool,
    /// A token that is about to run out when it comes must not be asked for in a tight circle.
    not_before: Instant,
    backoff: Backoff,
}

enum State {
    /// None is needed.
    Holds,
    DueAt(Instant),
    Asking(BoxFuture<'static, Result<String, String>>),
    Has(String),
    UnderWay,
}

impl Renewal {
    /// The token that the session was logged in with holds, as far as is known.
    pub fn new(source: TokenSource, backoff: Backoff, now: Instant) -> Self {
        Self { source, state: State::Holds, is_out: false, not_before: now, backoff }
    }

    /// The token runs out soon.
    pub fn needed(&mut self) {
        if matches!(self.state, State::Holds) {
            self.state = State::DueAt(self.not_before);
        }
    }

    /// The token has run out.
    pub fn ran_out(&mut self) {
        self.is_out = true;
        self.needed();
    }

    /// Waits until there is a token to tell; for ever when none is needed. Nothing is lost when the future is dropped.
    pub async fn ready(&mut self) {
        loop {
            match &mut self.state {
                State::DueAt(at) => {
                    tokio::time::sleep_until(*at).await;
                    self.not_before = Instant::now() + limits::RETRY_AFTER;
                    self.state = State::Asking(self.source.asked());
                }
                State::Asking(asked) => match asked.await {
                    Ok(token) => return self.state = State::Has(token),
                    Err(error) => {
                        tracing::warn!(%error, "no token to go on with");
                        self.refused(Instant::now());
                    }
                },
                State::Holds | State::Has(_) | State::UnderWay => std::future::pending().await,
            }
        }
    }

    /// The token that shall be told now, if there is one; it counts as under way until its answer.
    pub fn take(&mut self) -> Option<String> {
        match std::mem::replace(&mut self.state, State::UnderWay) {
            State::Has(token) => Some(token),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// The server has taken the token.
    pub fn taken(&mut self) {
        self.state = State::Holds;
        self.is_out = false;
        self.backoff.reset();
    }

    /// The server has not taken the token, or there was none: another is asked for after a while.
    pub fn refused(&mut self, now: Instant) {
        let wait = self.backoff.next(rand::random());
        self.state = State::DueAt(self.not_before.max(now + wait));
    }

    /// Whether everything else has to wait.
    pub fn holds_back(&self) -> bool {
        self.is_out || matches!(self.state, State::UnderWay)
    }

    /// Whether the server has not been told the token that it wants.
    pub fn is_lacking(&self) -> bool {
        !matches!(self.state, State::Holds)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A token is in no log.
        f.write_str(match self {
            Self::Holds => "Holds",
            Self::DueAt(_) => "DueAt",
            Self::Asking(_) => "Asking",
            Self::Has(_) => "Has",
            Self::UnderWay => "UnderWay",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    /// A source that fails so many times before it has a token, and how often it was asked.
    fn failing(times: usize) -> (Renewal, Arc<AtomicUsize>) {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let source = TokenSource::new(move || {
            let nth = count.fetch_add(1, Ordering::SeqCst);
            let token = if nth < times { Err("down".to_owned()) } else { Ok(format!("t{nth}")) };
            std::future::ready(token)
        });
        let backoff = Backoff::new(Duration::from_millis(1), Duration::from_millis(1));
        (Renewal::new(source, backoff, Instant::now()), asked)
    }

    #[tokio::test]
    async fn a_source_that_fails_is_asked_again_and_its_token_told_once() {
        let (mut renewal, asked) = failing(1);

        renewal.needed();
        assert!(renewal.is_lacking() && !renewal.holds_back());
        renewal.ready().await;

        assert_eq!((renewal.take(), renewal.take()), (Some("t1".to_owned()), None));
        assert!(renewal.holds_back());
        renewal.taken();
        assert!(!renewal.holds_back() && !renewal.is_lacking());
        assert_eq!(asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn from_when_it_ran_out_until_another_was_taken_all_else_waits() {
        let (mut renewal, _) = failing(0);

        renewal.ran_out();
        assert!(renewal.holds_back());
        renewal.ready().await;
        renewal.take();
        renewal.refused(Instant::now());
        assert!(renewal.holds_back());
        renewal.ready().await;
        renewal.take();
        renewal.taken();

        assert!(!renewal.holds_back());
    }

    #[tokio::test]
    async fn tokens_that_run_out_at_once_are_asked_for_once_a_second() {
        let (mut renewal, asked) = failing(0);
        let began = Instant::now();

        for _ in 0..2 {
            renewal.needed();
            renewal.ready().await;
            renewal.take();
            renewal.taken();
        }

        assert_eq!(asked.load(Ordering::SeqCst), 2);
        assert!(began.elapsed() >= limits::RETRY_AFTER);
    }
}
