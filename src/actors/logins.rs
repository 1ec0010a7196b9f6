//! The node's logins: gathers them, reads what they need in one statement, has each decided by the pure rule, and writes
//! them in another.
//!
//! While one batch is under way the next one gathers, so that a wave of logins costs few statements. The store writes a
//! login only if no other one of its user came in since the facts were read; one that was overtaken is decided again.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

use actix::prelude::*;
use deadpool_postgres::Pool;
use tokio::sync::oneshot;

use super::engine::Writers;
use super::errors;
use super::holds::{Held, Holds, SessionKey};
use super::mailbox;
use super::registry::Directory;
use super::user::Decided;
use crate::domain::login_policy::{self, Decision, EndedBy, Known, Newcomer, Session};
use crate::ids::{AppId, DeviceId, LoginNo, NodeRun, Platform, UserId, UserNo};
use crate::limits;
use crate::protocol::{Code, Device, ErrorBody};
use crate::store::logins::{self, Ask, Entered, Entering, Facts, Standing};
use crate::store::{StoreError, sessions};

/// A login whose token was checked.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) app: AppId,
    pub(super) user: UserId,
    /// When its token was signed, in seconds since 1970.
    pub(super) token_s: i64,
    pub(super) newcomer: Newcomer,
    /// What people call the device.
    pub(super) device_name: Option<String>,
}

/// A login that was let in.
#[derive(Debug)]
pub(super) struct Admitted {
    pub(super) held: Held,
    /// The sessions of the user that stand from then on, this one included.
    pub(super) standing: Vec<LoginNo>,
}

/// What became of a login.
pub(super) type Outcome = Result<Admitted, ErrorBody>;

/// Asks for a login to be decided. Whoever has stopped waiting for the answer is left out.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct DecideLogin {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<Outcome>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct BatchDone {
    /// Those that were overtaken.
    again: Vec<Waiting>,
}

struct Waiting {
    ask: DecideLogin,
    tries: u32,
}

/// The gatherer of logins.
pub(super) struct LoginActor {
    pool: Pool,
    holds: Arc<Holds>,
    writers: Arc<Writers>,
    directory: Arc<Directory>,
    run: NodeRun,
    waiting: VecDeque<Waiting>,
    busy: bool,
}

impl LoginActor {
    /// Starts it on a thread.
    pub(super) fn start_on(
        arbiter: &ArbiterHandle,
        pool: Pool,
        holds: Arc<Holds>,
        writers: Arc<Writers>,
        directory: Arc<Directory>,
        run: NodeRun,
    ) -> Addr<Self> {
        mailbox::start_on(arbiter, limits::LOGIN_MAILBOX, move || Self {
            pool,
            holds,
            writers,
            directory,
            run,
            waiting: VecDeque::new(),
            busy: false,
        })
    }
}

impl Actor for LoginActor {
    type Context = Context<Self>;

    fn stopped(&mut self, _: &mut Self::Context) {
        self.writers.ended();
    }
}

impl Handler<DecideLogin> for LoginActor {
    type Result = ();

    fn handle(&mut self, ask: DecideLogin, ctx: &mut Self::Context) {
        if self.waiting.len() >= limits::LOGIN_QUEUE {
            return answer(ask, Err(busy()));
        }
        self.waiting.push_back(Waiting { ask, tries: 0 });
        self.decide_next(ctx);
    }
}

impl Handler<BatchDone> for LoginActor {
    type Result = ();

    fn handle(&mut self, BatchDone { again }: BatchDone, ctx: &mut Self::Context) {
        self.busy = false;
        for waiting in again.into_iter().rev() {
            self.waiting.push_front(waiting);
        }
        self.decide_next(ctx);
    }
}

impl LoginActor {
    fn decide_next(&mut self, ctx: &mut Context<Self>) {
        if self.busy {
            return;
        }
        let batch = self.take_batch();
        if batch.is_empty() {
            return;
        }
        self.busy = true;
        let (pool, holds) = (self.pool.clone(), self.holds.clone());
        let (directory, run) = (self.directory.clone(), self.run);
        let work = async move {
            BatchDone { again: perform(&pool, &holds, &directory, run, batch).await }
        };
        ctx.spawn(work.into_actor(self).map(|done, _, ctx| ctx.notify(done)));
    }

    /// The next ones, of each user one: what it leads to is what the user's next one is decided by.
    fn take_batch(&mut self) -> Vec<Waiting> {
        let mut users = HashSet::new();
        let (mut batch, mut rest) = (Vec::new(), VecDeque::new());
        while batch.len() < limits::LOGIN_BATCH
            && let Some(waiting) = self.waiting.pop_front()
        {
            if waiting.ask.answer.is_closed() {
                continue;
            }
            let Request { app, user, .. } = &waiting.ask.request;
            if users.insert((*app, user.clone())) {
                batch.push(waiting);
            } else {
                rest.push_back(waiting);
            }
        }
        rest.append(&mut self.waiting);
        self.waiting = rest;
        batch
    }
}

/// Decides a batch and answers it, but for those that were overtaken.
async fn perform(
    pool: &Pool,
    holds: &Arc<Holds>,
    directory: &Arc<Directory>,
    run: NodeRun,
    batch: Vec<Waiting>,
) -> Vec<Waiting> {
    let asks: Vec<Ask> = batch
        .iter()
        .map(|Waiting { ask, .. }| Ask { app: ask.request.app, user: ask.request.user.clone() })
        .collect();
    let facts = match bounded(logins::facts(pool, &asks)).await {
        Ok(facts) => facts,
        Err(error) => return refuse_all(batch, &error),
    };
    let (mut entering, mut waits) = (Vec::new(), Vec::new());
    for (waiting, facts) in batch.into_iter().zip(facts) {
        let may_be_in = facts.as_ref().is_some_and(|facts| may_be_in(&waiting.ask.request, facts));
        match decide(&waiting.ask.request, facts) {
            Ok(login) => {
                entering.push(login);
                waits.push((waiting, may_be_in));
            }
            Err(error) => answer(waiting.ask, Err(error)),
        }
    }
    if entering.is_empty() {
        return Vec::new();
    }
    let entered = logins::enter(pool, run.node, run.incarnation, &entering);
    let entered = match bounded(entered).await {
        Ok(entered) => entered,
        // If it was written after all, the store has a session that nobody holds, which the sweep finds.
        Err(error) => {
            return refuse_all(waits.into_iter().map(|(waiting, _)| waiting).collect(), &error);
        }
    };
    let mut again = Vec::new();
    for (((mut waiting, may_be_in), login), entered) in waits.into_iter().zip(entering).zip(entered)
    {
        match entered {
            Entered::In { login_no, standing } => {
                let Entering { user, platform, device, ends, .. } = login;
                let by = Some((platform, device.clone()));
                let own = (platform, device.clone());
                let held = holds.hold(SessionKey { user, platform, device, login_no });
                let admitted = Admitted { held, standing: standing.clone() };
                // Also while no other node is known here: one that has just begun may hold them.
                if directory.exchange_if_set().is_none() || (ends.is_empty() && !may_be_in) {
                    answer(waiting.ask, Ok(admitted));
                    continue;
                }
                let (pool, directory) = (pool.clone(), directory.clone());
                let decided = Decided { at: login_no, standing, why: EndedBy::Policy, by };
                actix::spawn(async move {
                    // Beside the next batch: those who held losers may take their time.
                    let ended = ends.into_iter().chain([own]);
                    let ended = ended.map(|(platform, device)| (user, platform, device));
                    let are_out =
                        end_elsewhere(&pool, &directory, run, decided, ended.collect(), user).await;
                    // What was let in is let go of; its client comes again.
                    answer(
                        waiting.ask,
                        are_out.then_some(admitted).ok_or_else(errors::unavailable),
                    );
                });
            }
            Entered::Moved if waiting.tries < limits::LOGIN_TRIES => {
                waiting.tries += 1;
                again.push(waiting);
            }
            Entered::Moved => answer(waiting.ask, Err(busy())),
        }
    }
    again
}

/// Whether there may be a session somewhere that must not go on: the device has one, which this login replaces; or a
/// kick or another login has ended one, and the node that holds it may not have heard of that yet.
fn may_be_in(request: &Request, facts: &Facts) -> bool {
    let Newcomer { platform, device, .. } = &request.newcomer;
    let same = |known: &Known| known.platform == *platform && known.device == *device;
    facts.known.iter().any(|known| match known.session {
        Session::In => same(known),
        Session::Ended(_) => true,
        Session::Over => false,
    })
}

/// Has sessions that were ended by a decision end at the nodes that hold them; resolves when they ack nothing any more, or
/// with false when that could not be made sure of in time. `ended` are those that are waited for, all of one user.
pub(super) async fn end_elsewhere(
    pool: &Pool,
    directory: &Directory,
    run: NodeRun,
    decided: Decided,
    ended: Vec<(UserNo, Platform, DeviceId)>,
    user: UserNo,
) -> bool {
    let Some(exchange) = directory.exchange_if_set() else { return true };
    let holders = match bounded(sessions::nodes_of(pool, run, &ended)).await {
        Ok(holders) => holders.into_iter().map(|(_, node)| node).collect(),
        Err(error) => {
            tracing::debug!(%error, "it could not be looked who held sessions that were ended");
            exchange.nodes()
        }
    };
    if sabotaged!(EarlyWinner) {
        let exchange = exchange.clone();
        actix::spawn(async move { exchange.decided(user, decided, holders).await });
        return true;
    }
    exchange.decided(user, decided, holders).await
}

/// What a login comes to by the facts: what is to be written, or why it was refused.
fn decide(request: &Request, facts: Option<Facts>) -> Result<Entering, ErrorBody> {
    // Its token was signed with a key of the app, so that the app has gone since.
    let facts = facts.ok_or_else(errors::bad_token)?;
    match facts.standing {
        Standing::Active => {}
        Standing::Deactivated => {
            return Err(ErrorBody::new(Code::Forbidden, "this user was deactivated"));
        }
        Standing::System => {
            let message = "the app's own user cannot log in";
            return Err(ErrorBody::new(Code::Forbidden, message));
        }
    }
    if request.token_s < facts.not_before_s {
        return Err(errors::revoked_token());
    }
    let Newcomer { platform, device, .. } = &request.newcomer;
    let ends = match login_policy::decide(&facts.policy, &facts.known, &request.newcomer) {
        Decision::In { ends } => ends,
        Decision::Lost => {
            let message = "the session was ended, or a later login took its place";
            return Err(ErrorBody::new(Code::Conflict, message).field("resume"));
        }
        Decision::Refused { by } => {
            let message = "this app lets the devices that are logged in stay";
            let mut error = ErrorBody::new(Code::Conflict, message).field("device");
            error.devices = Some(by.into_iter().map(device_of).collect());
            return Err(error);
        }
    };
    Ok(Entering {
        user: facts.user,
        expected: facts.login_no,
        policy_no: facts.policy_no,
        platform: *platform,
        device: device.clone(),
        device_name: request.device_name.clone(),
        token_s: request.token_s,
        ends: ends.into_iter().map(|it| (it.platform, it.device)).collect(),
    })
}

/// A device as others see it.
pub(super) fn device_of(known: Known) -> Device {
    Device { id: known.device, platform: known.platform, name: known.name }
}

async fn bounded<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    match tokio::time::timeout(limits::STATEMENT_WITHIN, work).await {
        Ok(outcome) => outcome,
        Err(_) => Err(StoreError::Unavailable { reason: "no answer in time".to_owned() }),
    }
}

fn refuse_all(batch: Vec<Waiting>, error: &StoreError) -> Vec<Waiting> {
    for waiting in batch {
        answer(waiting.ask, Err(errors::of_store(error)));
    }
    Vec::new()
}

fn answer(ask: DecideLogin, outcome: Outcome) {
    // Whoever asked may have gone since.
    let _ = ask.answer.send(outcome);
}

/// What is said when too many log in at once.
pub(super) fn busy() -> ErrorBody {
    ErrorBody::new(Code::Busy, "too many log in at once").retry_after(limits::RETRY_AFTER)
}
