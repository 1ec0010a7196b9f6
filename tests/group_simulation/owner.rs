//! The groups' owners: what their actors do around the rules.

use std::collections::VecDeque;

use rookery::domain::group::{
    Asked, Authority, Change, ChangeRefused, Edit, Effect, Found, GroupLog, Input, Loaded, Post,
    SenderFacts,
};
use rookery::domain::intake::{Outcome, Refusal, Waiter};
use rookery::domain::journal::{GroupPlace, Life, Owner as RowOwner, Row, Target};
use rookery::ids::{AppId, ClientMsgId, ConversationNo, Seq, ShardEpoch, UnixMs, UserNo};

use super::line::ToJournal;
use super::{NOW, Room, WINDOW_MS, World, group_id, index, user_id};

/// How one who asked for a change is answered: the device, and which of its changes.
pub(super) type ReplyTo = (usize, usize);

#[derive(Debug)]
pub(super) struct Settled {
    pub(super) seq: Seq,
    pub(super) key: ClientMsgId,
    pub(super) sender: UserNo,
    pub(super) outcome: Outcome,
}

pub(super) enum ToOwner {
    Submit { waiter: Waiter, post: Post<()> },
    Change { by: usize, change: Change, key: ClientMsgId, reply_to: ReplyTo },
    Settled(Vec<Settled>),
    StoreChanged,
    Loaded(Result<Option<Loaded>, Refusal>),
    LookedUp { sender: UserNo, at: u64, found: Result<SenderFacts, Refusal> },
    Found(Result<Found, Refusal>),
}

pub(super) struct Owner {
    pub(super) log: GroupLog<(), (), ReplyTo>,
    pub(super) life: Life,
    pub(super) mailbox: VecDeque<ToOwner>,
    pub(super) waiting: Vec<ToOwner>,
    pub(super) room: Room,
}

impl Owner {
    pub(super) fn new(slot: usize, life: u64) -> Self {
        Self {
            log: GroupLog::new(AppId::DEFAULT, group_id(slot), WINDOW_MS),
            life: Life(life),
            mailbox: VecDeque::new(),
            waiting: Vec::new(),
            room: Room::default(),
        }
    }

    pub(super) fn may_sleep(&self) -> bool {
        self.log.is_settled() && self.mailbox.is_empty() && self.waiting.is_empty()
    }
}

/// A read of an owner, which runs at one time and comes back at another.
pub(super) struct Read {
    pub(super) slot: usize,
    life: Life,
    asks: Asks,
    pub(super) answer: Option<ToOwner>,
}

enum Asks {
    Load,
    LookUp { sender: UserNo, key: ClientMsgId, at: u64 },
    Find { group: Option<ConversationNo>, by: UserNo, targets: Vec<usize> },
}

impl World {
    pub(super) fn try_owner(&mut self, slot: usize, message: ToOwner) -> Result<(), ToOwner> {
        let owner = &mut self.owners[slot];
        if owner.room.take() {
            owner.mailbox.push_back(message);
            return Ok(());
        }
        Err(message)
    }

    pub(super) fn insist_owner(&mut self, slot: usize, message: ToOwner) {
        if let Err(message) = self.try_owner(slot, message) {
            self.owners[slot].waiting.push(message);
        }
    }

    pub(super) fn owner_hears(&mut self, slot: usize) {
        let Some(message) = self.owners[slot].mailbox.pop_front() else { return };
        match message {
            ToOwner::Submit { waiter, post } => {
                self.decide(slot, Input::Submitted { waiter, reply_to: (), post });
            }
            ToOwner::Change { by, change, key, reply_to } => {
                let (by, by_id) = (super::no(by), user_id(by));
                let authority = Authority::Member;
                let asked = Asked { by, by_id, authority, change, key, reply_to };
                self.decide(slot, Input::Asked(asked));
            }
            ToOwner::Settled(letter) => {
                for Settled { seq, key, sender, outcome } in letter {
                    self.decide(slot, Input::Settled { seq, key, sender, outcome });
                }
            }
            ToOwner::StoreChanged => self.decide(slot, Input::EpochChanged),
            ToOwner::Loaded(loaded) => self.decide(slot, Input::Loaded(loaded)),
            ToOwner::LookedUp { sender, at, found } => {
                self.decide(slot, Input::LookedUp { sender, at, found });
            }
            ToOwner::Found(found) => self.decide(slot, Input::Found(found)),
        }
    }

    fn decide(&mut self, slot: usize, input: Input<(), (), ReplyTo>) {
        let mut effects = Vec::new();
        let now = UnixMs::new(NOW.get() + self.elapsed.as_millis() as i64);
        self.owners[slot].log.decide(now, input, &mut effects);
        let mut not_handed = Vec::new();
        for effect in effects {
            match effect {
                Effect::Tell { waiter, reply_to: (), key, verdict } => {
                    let session = &mut self.sessions[waiter.session.0 as usize];
                    if session.alive {
                        session.verdicts.push_back((slot, waiter.place, key, verdict));
                    }
                }
                Effect::Answer { reply_to, outcome } => self.change_done(reply_to, outcome),
                Effect::Load => self.ask(slot, Asks::Load),
                Effect::LookUp { sender, key, at, .. } => {
                    self.ask(slot, Asks::LookUp { sender, key, at });
                }
                Effect::Find { group, by, targets } => {
                    let targets = targets.iter().map(index).collect();
                    self.ask(slot, Asks::Find { group, by, targets });
                }
                Effect::Append { place, post } => {
                    let row = self.row(slot, Target::Post(place), post.sender, post.key, post.hash);
                    self.hand_over(place, row, &mut not_handed);
                }
                Effect::Commit { place, by, key, edit, .. } => {
                    let target = Target::Change { place, edit: Box::new(edit) };
                    let row = self.row(slot, target, by, key, [0; 16]);
                    self.hand_over(place, row, &mut not_handed);
                }
                Effect::Heard { group, refused } => {
                    let (owner, life) = (RowOwner::Group(group), self.owners[slot].life);
                    self.insist_journal(ToJournal::Heard { owner, life, refused });
                }
            }
        }
        for (seq, key) in not_handed {
            self.decide(slot, Input::NotHanded { seq, key, why: Refusal::Busy });
        }
    }

    fn row(
        &self,
        slot: usize,
        target: Target,
        sender: UserNo,
        key: ClientMsgId,
        hash: [u8; 16],
    ) -> Row<usize> {
        let life = self.owners[slot].life;
        Row { target, sender, life, key, hash, body_bytes: 1, payload: slot }
    }

    fn hand_over(
        &mut self,
        place: GroupPlace,
        row: Row<usize>,
        not_handed: &mut Vec<(Seq, ClientMsgId)>,
    ) {
        let (follows_refused, key) = (!not_handed.is_empty(), row.key);
        if follows_refused || !self.try_journal(ToJournal::Append(row)) {
            not_handed.push((place.seq, key));
        }
    }

    fn ask(&mut self, slot: usize, asks: Asks) {
        let life = self.owners[slot].life;
        self.reads.push(Read { slot, life, asks, answer: None });
    }

    pub(super) fn read_runs(&mut self, read: usize) {
        let (slot, store) = (self.reads[read].slot, &mut self.store);
        let answer = match &self.reads[read].asks {
            Asks::Load => ToOwner::Loaded(Ok(store.load(slot))),
            Asks::LookUp { sender, key, at } => {
                let found = Ok(store.sender(slot, *sender, *key));
                ToOwner::LookedUp { sender: *sender, at: *at, found }
            }
            Asks::Find { group, by, targets } => {
                let facts = store.facts(slot, *group, *by, targets);
                let new = group.is_none().then(|| (store.next_number(), self.ours));
                ToOwner::Found(Ok(Found { facts, new }))
            }
        };
        self.reads[read].answer = Some(answer);
    }

    pub(super) fn read_returns(&mut self, read: usize) {
        let Read { slot, life, answer, .. } = self.reads.remove(read);
        let Some(mut answer) = answer else { return };
        if let ToOwner::Loaded(Ok(Some(loaded))) = &mut answer {
            // What the node believes counts when the store has answered.
            if self.ours != loaded.epoch {
                self.ours = None;
            }
            loaded.epoch = self.ours;
        }
        if self.owners[slot].life == life {
            // A note to itself: it waits in no mailbox.
            self.owners[slot].mailbox.push_back(answer);
        }
    }

    pub(super) fn read_fails(&mut self, read: usize) {
        let Read { slot, life, asks, .. } = self.reads.remove(read);
        let why = Refusal::Unavailable;
        let answer = match asks {
            Asks::Load => ToOwner::Loaded(Err(why)),
            Asks::LookUp { sender, at, .. } => ToOwner::LookedUp { sender, at, found: Err(why) },
            Asks::Find { .. } => ToOwner::Found(Err(why)),
        };
        if self.owners[slot].life == life {
            self.owners[slot].mailbox.push_back(answer);
        }
    }

    /// The actor is replaced by one that knows nothing; whoever waits for it is not told.
    pub(super) fn replace_owner(&mut self, slot: usize) {
        self.lives += 1;
        self.owners[slot] = Owner::new(slot, self.lives);
    }

    /// The node renews its lease: it takes back what another had, and learns what is its own.
    pub(super) fn renew(&mut self) {
        if !self.store.ours {
            self.store.epoch += 1;
            self.store.ours = true;
        }
        self.ours = Some(ShardEpoch::from_store(self.store.epoch));
    }

    /// Whether what a change was answered with is true.
    pub(super) fn check_change(
        &self,
        slot: usize,
        by: usize,
        key: ClientMsgId,
        change: &Change,
        outcome: &Result<rookery::domain::group::Changed, ChangeRefused>,
    ) {
        let entry = self.store.entry(slot, super::no(by), key);
        match outcome {
            Ok(changed) => {
                assert_eq!(changed.seq, entry.map(|(seq, _)| seq), "{change:?} is elsewhere");
                if let Some((_, entry)) = entry {
                    let edit = entry.edit.as_ref().expect("a change is a notice");
                    assert!(does(change, edit), "{change:?} did {edit:?}");
                }
            }
            Err(ChangeRefused::NotNow(Refusal::OutcomeUnknown)) => {}
            Err(why) => assert!(entry.is_none(), "{change:?} was refused and stored: {why:?}"),
        }
    }
}

fn does(change: &Change, edit: &Edit) -> bool {
    match change {
        Change::Create { .. } => edit.create.is_some(),
        Change::Rename(name) => edit.name.as_ref() == Some(name),
        Change::Invite(_) | Change::Join => !edit.add.is_empty(),
        Change::Leave | Change::Remove(_) => !edit.remove.is_empty(),
        Change::Dissolve => edit.dissolve,
    }
}
