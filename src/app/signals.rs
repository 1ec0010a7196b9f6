//! The signals that end the server: ours alone, since the HTTP server's own would drop sessions without a word.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::ServeError;

/// The signals that end the server.
pub(super) struct Signals {
    /// Cancelled by the first: stop in order.
    pub(super) stop: CancellationToken,
    /// Cancelled by the second: leave out what the next start can make up for.
    pub(super) hurry: CancellationToken,
}

impl Signals {
    pub(super) fn listen() -> Result<Self, ServeError> {
        let catch = |kind| {
            signal(kind)
                .map_err(|error| ServeError::System { what: "signals cannot be caught", error })
        };
        let mut interrupt = catch(SignalKind::interrupt())?;
        let mut terminate = catch(SignalKind::terminate())?;
        let mut hangup = catch(SignalKind::hangup())?;
        let (stop, hurry) = (CancellationToken::new(), CancellationToken::new());
        let (first, second) = (stop.clone(), hurry.clone());
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                if first.is_cancelled() {
                    second.cancel();
                } else {
                    first.cancel();
                }
            }
        });
        Ok(Self { stop, hurry })
    }

    /// Awaits `work`, which ends early, and in order, once `inner` is cancelled; a signal does that.
    pub(super) async fn pass_on_to<T>(
        &self,
        inner: &CancellationToken,
        work: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(work);
        tokio::select! {
            done = &mut work => return done,
            () = self.stop.cancelled() => inner.cancel(),
        }
        work.await
    }
}
