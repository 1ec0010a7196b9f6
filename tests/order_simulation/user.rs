//! The users: what their actors do around the rules.

use std::collections::{HashSet, VecDeque};

use rookery::domain::intake::{Outcome, Refusal, SendHash, SessionNo, Waiter};
use rookery::domain::journal::{Life, Owner, Row, Target};
use rookery::domain::sends::{Effect, Input, Pair, Sends};
use rookery::ids::{ClientMsgId, UnixMs, UserId};

use super::line::ToJournal;
use super::{NOW, Room, WINDOW_MS, World, no};

pub(super) enum ToUser {
    Submit { waiter: Waiter, to: UserId, key: ClientMsgId, hash: SendHash },
    LookedUp { to: UserId, found: Result<Option<Pair>, Refusal> },
    Written(Vec<(UserId, ClientMsgId, Life, Outcome)>),
    Ended(SessionNo),
}

pub(super) struct User {
    pub(super) sends: Sends<()>,
    pub(super) life: Life,
    pub(super) sessions: HashSet<SessionNo>,
    pub(super) mailbox: VecDeque<ToUser>,
    pub(super) waiting: Vec<ToUser>,
    pub(super) room: Room,
}

impl World {
    pub(super) fn try_user(&mut self, user: usize, message: ToUser) -> bool {
        let user = &mut self.users[user];
        let has_room = user.room.take();
        if has_room {
            user.mailbox.push_back(message);
        }
        has_room
    }

    pub(super) fn insist_user(&mut self, user: usize, message: ToUser) {
        let user = &mut self.users[user];
        if user.room.take() {
            user.mailbox.push_back(message);
        } else {
            user.waiting.push(message);
        }
    }

    pub(super) fn user_hears(&mut self, user: usize) {
        let Some(message) = self.users[user].mailbox.pop_front() else { return };
        match message {
            ToUser::Submit { waiter, to, key, hash } => {
                self.decide(user, Input::Submitted { waiter, to, key, hash, payload: () });
            }
            ToUser::LookedUp { to, found: Ok(pair) } => {
                self.decide(user, Input::Found { to, pair })
            }
            ToUser::LookedUp { to, found: Err(why) } => {
                self.decide(user, Input::NotLookedUp { to, why });
            }
            ToUser::Ended(session) => {
                self.users[user].sessions.remove(&session);
                self.decide(user, Input::Ended(session));
            }
            ToUser::Written(settlements) => {
                let mine = self.users[user].life;
                let mut refused = 0;
                for (to, key, life, outcome) in settlements {
                    if matches!(outcome, Outcome::Refused(_)) {
                        if life != mine {
                            continue;
                        }
                        refused += 1;
                    }
                    self.decide(user, Input::Settled { to, key, outcome });
                }
                if refused > 0 {
                    let heard =
                        ToJournal::Heard { owner: Owner::User(no(user)), life: mine, refused };
                    self.insist_journal(heard);
                }
            }
        }
    }

    pub(super) fn decide(&mut self, user: usize, input: Input<()>) {
        let mut effects = Vec::new();
        let now = UnixMs::new(NOW.get() + self.elapsed.as_millis() as i64);
        self.users[user].sends.decide(now, input, &mut effects);
        let mut refused: Vec<(UserId, ClientMsgId)> = Vec::new();
        for effect in effects {
            match effect {
                Effect::Tell { waiter, to, key, verdict } => {
                    let session = &mut self.sessions[waiter.session.0 as usize];
                    if self.users[user].sessions.contains(&waiter.session) && session.alive {
                        session.verdicts.push_back((to, waiter.place, key, verdict));
                    }
                }
                Effect::LookUp(to) => self.look_ups.push((user, self.users[user].life, to)),
                Effect::Append { pair, to, key, hash, payload: () } => {
                    let row = Row {
                        target: Target::Pair {
                            conversation: pair.no,
                            low: no(user).min(pair.peer),
                            high: no(user).max(pair.peer),
                        },
                        sender: no(user),
                        life: self.users[user].life,
                        key,
                        hash,
                        body_bytes: 1,
                        payload: to.clone(),
                    };
                    let follows_refused = refused.iter().any(|(other, _)| *other == to);
                    if follows_refused || !self.try_journal(ToJournal::Append(row)) {
                        refused.push((to, key));
                    }
                }
            }
        }
        for (to, key) in refused {
            let outcome = Outcome::Refused(Refusal::Busy);
            self.decide(user, Input::Settled { to, key, outcome });
        }
    }

    pub(super) fn looked_up(
        &mut self,
        user: usize,
        life: Life,
        to: UserId,
        found: Result<Option<Pair>, Refusal>,
    ) {
        if self.users[user].life == life {
            // A note to itself: it waits in no mailbox.
            self.users[user].mailbox.push_back(ToUser::LookedUp { to, found });
        }
    }

    pub(super) fn replace_user(&mut self, user: usize) {
        self.lives += 1;
        let it = &mut self.users[user];
        it.sends = Sends::new(WINDOW_MS);
        it.life = Life(self.lives);
        it.sessions.clear();
        it.mailbox.clear();
        it.waiting.clear();
        for session in &mut self.sessions {
            if self.devices[session.device].user == user {
                session.alive = false;
            }
        }
        for device in self.devices.iter_mut().filter(|device| device.user == user) {
            device.session = None;
            device.replies.clear();
        }
    }
}
