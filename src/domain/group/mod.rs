//! One group's log: who may post, which seq a post gets, which changes come when.
//!
//! The owner of the group. It numbers what it passes on to the journal and the store verifies the numbers; when the log is
//! not where it thought, everything under way is handed back, the head is loaded, and what is still to be stored is
//! numbered anew in the same order. While a change is on its way new posts wait, so that each is judged by the memberships
//! at its commit. A repeat is answered before rights are asked, from memory or from the store.
//!
//! Never touches a clock, a socket or the store: time is an argument, and the group's actor performs the effects.

mod changes;

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

use foldhash::{HashMap, HashMapExt, HashSet, HashSetExt};

pub use self::changes::{
    Authority, By, Change, ChangeRefused, Edit, Facts, Happened, Membership, NewGroup, Notice,
    Plan, Profile, Target,
};
use super::intake::{Ack, Intake, Outcome, Refusal, SendHash, Submitted, Waiter};
use super::journal::GroupPlace;
use super::order::Verdict;
use crate::ids::{
    AppId, ClientMsgId, ConversationNo, GroupId, Seq, ShardEpoch, UnixMs, UserId, UserNo,
};
use crate::limits;

/// A group as it was loaded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its number.
    pub no: ConversationNo,
    /// The claim of its shard under which it is ours; none when it is not.
    pub epoch: Option<ShardEpoch>,
    /// What the rules look at.
    pub profile: Profile,
    /// Its head.
    pub head: Seq,
    /// Messages in its log.
    pub counted: u64,
}

/// What was read about a sender who is not known to be a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderFacts {
    /// Its membership, present or former.
    pub membership: Option<Membership>,
    /// Where its send is stored, if it came before.
    pub stored: Option<(Seq, crate::ids::MessageId, SendHash)>,
}

/// What was read for a change; for one that makes the group also the number that it would have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// What the rules look at.
    pub facts: Facts,
    /// For a group to be made: its number, and the claim of its shard.
    pub new: Option<(ConversationNo, Option<ShardEpoch>)>,
}

/// A change that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<C> {
    /// Who asks.
    pub by: UserNo,
    /// The same, as others see it.
    pub by_id: UserId,
    /// By what right.
    pub authority: Authority,
    /// What for.
    pub change: Change,
    /// The key of its notice, minted for it alone.
    pub key: ClientMsgId,
    /// How the answer gets there.
    pub reply_to: C,
}

/// What came of a change: the notice's seq, if one was written, and whom it moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// None when everything was so already.
    pub seq: Option<Seq>,
    /// Who became or ceased to be a member.
    pub users: Vec<UserId>,
}

/// A new send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Post<P> {
    /// Who sends it.
    pub sender: UserNo,
    /// By what right.
    pub authority: Authority,
    /// Its key.
    pub key: ClientMsgId,
    /// What its content hashes to.
    pub hash: SendHash,
    /// What is to be stored.
    pub payload: P,
}

/// What happens to a group.
#[derive(Debug)]
pub enum Input<P, R, C> {
    /// A session passes a send on.
    Submitted {
        /// The session and the place.
        waiter: Waiter,
        /// How it is reached.
        reply_to: R,
        /// The send.
        post: Post<P>,
    },
    /// Somebody asks for a change.
    Asked(Asked<C>),
    /// The group was loaded; none when there is no such group.
    Loaded(Result<Option<Loaded>, Refusal>),
    /// A sender was looked up.
    LookedUp {
        /// Who.
        sender: UserNo,
        /// With the effect that asked.
        at: u64,
        /// What was found.
        found: Result<SenderFacts, Refusal>,
    },
    /// What a change needs was read.
    Found(Result<Found, Refusal>),
    /// The journal says what became of an entry.
    Settled {
        /// The place that it was given.
        seq: Seq,
        /// Its key.
        key: ClientMsgId,
        /// Who sent it.
        sender: UserNo,
        /// What became of it.
        outcome: Outcome,
    },
    /// An entry could not be handed to the journal, which has not seen it.
    NotHanded {
        /// The place that it was given.
        seq: Seq,
        /// Its key.
        key: ClientMsgId,
        /// Why not.
        why: Refusal,
    },
    /// The store has lost data: what it had is no longer proof.
    EpochChanged,
}

/// What the group's actor shall do.
#[derive(Debug, PartialEq)]
pub enum Effect<P, R, C> {
    /// Tell a session what became of a send.
    Tell {
        /// The session, and the place of the send there.
        waiter: Waiter,
        /// How it is reached.
        reply_to: R,
        /// Its key.
        key: ClientMsgId,
        /// What became of it.
        verdict: Verdict<Ack, Refusal>,
    },
    /// Answer a change.
    Answer {
        /// How the answer gets there.
        reply_to: C,
        /// What came of it.
        outcome: Result<Changed, ChangeRefused>,
    },
    /// Load the group: its head alone, no members.
    Load,
    /// Look up whether a sender is a member, and whether the store has this send.
    LookUp {
        /// The group.
        group: ConversationNo,
        /// Who.
        sender: UserNo,
        /// The send.
        key: ClientMsgId,
        /// To be given back.
        at: u64,
    },
    /// Read what a change needs; for one that makes the group, find a number for it.
    Find {
        /// The group; none when it is to be made.
        group: Option<ConversationNo>,
        /// Who asks.
        by: UserNo,
        /// The users that the change names.
        targets: Vec<UserId>,
    },
    /// Hand a message to the journal.
    Append {
        /// Its place.
        place: GroupPlace,
        /// The message.
        post: Post<P>,
    },
    /// Hand a change to the journal.
    Commit {
        /// The place of its notice.
        place: GroupPlace,
        /// Who makes it.
        by: UserNo,
        /// The same, as others see it.
        by_id: UserId,
        /// The notice's key.
        key: ClientMsgId,
        /// What is written with it.
        edit: Edit,
        /// What the log says.
        notice: Notice,
    },
    /// Tell the journal that rows that it handed back were heard of.
    Heard {
        /// The group.
        group: ConversationNo,
        /// Rows.
        refused: usize,
    },
}

enum Gate {
    /// The head is not known, and nobody has asked for it.
    Unloaded,
    /// It is being loaded.
    Loading,
    /// Posts are numbered as they come.
    Open,
    /// A change is on its way: posts wait.
    Changing,
}

enum Unsettled<P> {
    Post(Post<P>),
    /// The change that is under way, by the key of its notice.
    Change(ClientMsgId),
}

impl<P> Unsettled<P> {
    fn key(&self) -> ClientMsgId {
        match self {
            Self::Post(post) => post.key,
            Self::Change(key) => *key,
        }
    }
}

struct Looking<P> {
    /// Which look-up; what an earlier one found is about another send.
    at: u64,
    /// Changes that had been made when it began.
    changes: u64,
    posts: VecDeque<Post<P>>,
}

struct UnderWay<C> {
    asked: Asked<C>,
    /// Set once it was decided.
    planned: Option<(Edit, Notice)>,
}

struct Group {
    no: ConversationNo,
    epoch: ShardEpoch,
    profile: Profile,
    /// Of what was numbered, stored or not.
    head: Seq,
    counted: u64,
}

/// One group. `P` is what is to be stored, `R` how a sender is reached, `C` how one who asks for a change is.
pub struct GroupLog<P, R, C> {
    app: AppId,
    id: GroupId,
    intake: Intake<UserNo, R>,
    gate: Gate,
    /// None while it is not loaded, and when there is no such group.
    group: Option<Group>,
    /// Its number, once it was seen.
    no: Option<ConversationNo>,
    /// Senders who are known to be members.
    members: HashSet<UserNo>,
    /// The head and the claim under which the members are known: nobody else can have changed them.
    confirmed: Option<(ShardEpoch, Seq)>,
    /// Numbered and not answered, in the order of the log.
    unsettled: VecDeque<(Seq, Unsettled<P>)>,
    /// Handed back to be numbered anew, with the places that they had: those who bring them may overtake each other.
    again: BTreeMap<Seq, Post<P>>,
    /// The first place since the head was loaded of which the sender was told to try again: nothing behind it may be
    /// stored before that sender comes again.
    refused_from: Option<(Seq, Refusal)>,
    /// Posts that wait for the gate.
    waiting: VecDeque<Post<P>>,
    /// Posts whose sender is being looked up.
    looking: HashMap<UserNo, Looking<P>>,
    look_ups: u64,
    /// Rises with each change, of ours or another's, so that a look-up that began before is not believed.
    changes: u64,
    asked: VecDeque<Asked<C>>,
    /// On the heap: most groups, most of the time, have none, and it is a third of all that one holds.
    under_way: Option<Box<UnderWay<C>>>,
    /// Rows that the journal handed back, of which it is not yet told that they were heard of.
    unheard: usize,
    /// Whether somebody else owned it when it was loaded last.
    is_elsewhere: bool,
}

impl<P: Clone, R, C> GroupLog<P, R, C> {
    /// Not loaded yet. `window_ms` is the dedup window.
    pub fn new(app: AppId, id: GroupId, window_ms: i64) -> Self {
        Self {
            app,
            id,
            intake: Intake::new(window_ms, limits::GROUP_RUNS, limits::GROUP_RECENT_KEYS),
            gate: Gate::Unloaded,
            group: None,
            no: None,
            members: HashSet::new(),
            confirmed: None,
            unsettled: VecDeque::new(),
            again: BTreeMap::new(),
            refused_from: None,
            waiting: VecDeque::new(),
            looking: HashMap::new(),
            look_ups: 0,
            changes: 0,
            asked: VecDeque::new(),
            under_way: None,
            unheard: 0,
            is_elsewhere: false,
        }
    }

    /// Whether nothing waits and nothing is under way: the group can be put to sleep.
    pub fn is_settled(&self) -> bool {
        self.intake.is_settled()
            && self.unsettled.is_empty()
            && self.asked.is_empty()
            && self.under_way.is_none()
            // The journal would hand back what the next one sends, were it not told.
            && self.unheard == 0
            && !matches!(self.gate, Gate::Loading)
    }

    /// Gives back the room of what was under way; to be called when nothing is.
    pub fn rest(&mut self) {
        self.intake.rest();
        self.unsettled.shrink_to_fit();
        self.waiting.shrink_to_fit();
        self.looking.shrink_to_fit();
        self.asked.shrink_to_fit();
    }

    /// Whether it was looked for and is not there.
    pub fn is_absent(&self) -> bool {
        matches!(self.gate, Gate::Open) && self.group.is_none()
    }

    /// Whether somebody else owned it when it was loaded last.
    pub fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    /// Turns what happened into what is to be done.
    pub fn decide(
        &mut self,
        now: UnixMs,
        input: Input<P, R, C>,
        effects: &mut Vec<Effect<P, R, C>>,
    ) {
        match input {
            Input::Submitted { waiter, reply_to, post } => {
                self.submitted(now, waiter, reply_to, post, effects);
            }
            Input::Asked(asked) => self.asked(asked, effects),
            Input::Loaded(loaded) => self.loaded(loaded, effects),
            Input::LookedUp { sender, at, found } => self.looked_up(sender, at, found, effects),
            Input::Found(found) => self.found(found, effects),
            Input::Settled { seq, key, sender, outcome } => {
                self.settled(seq, key, sender, outcome, effects);
            }
            Input::NotHanded { seq, key, why } => {
                if let Some(row) = self.take_unsettled(seq, key) {
                    self.refused(seq, row, why, effects);
                }
            }
            Input::EpochChanged => self.epoch_changed(),
        }
        self.load_if_needed(effects);
    }

    fn submitted(
        &mut self,
        now: UnixMs,
        waiter: Waiter,
        reply_to: R,
        post: Post<P>,
        effects: &mut Vec<Effect<P, R, C>>,
    ) {
        let (sender, key, hash) = (post.sender, post.key, post.hash);
        match self.intake.submit(now, waiter, reply_to, &sender, key, hash) {
            Submitted::Answered(reply_to, verdict) => {
                effects.push(Effect::Tell { waiter, reply_to, key, verdict });
            }
            Submitted::Nothing => {}
            Submitted::New => self.take(post, effects),
        }
    }

    /// A new post: it waits, or is judged now.
    fn take(&mut self, post: Post<P>, effects: &mut Vec<Effect<P, R, C>>) {
        match self.gate {
            Gate::Open => self.judge(post, effects),
            Gate::Unloaded | Gate::Loading | Gate::Changing => self.wait(post, effects),
        }
    }

    fn wait(&mut self, post: Post<P>, effects: &mut Vec<Effect<P, R, C>>) {
        if self.has_room() {
            self.waiting.push_back(post);
        } else {
            self.settle(post.sender, post.key, Outcome::Refused(Refusal::Busy), effects);
        }
    }

    fn has_room(&self) -> bool {
        let looking: usize = self.looking.values().map(|it| it.posts.len()).sum();
        self.waiting.len() + self.again.len() + looking < limits::GROUP_WAITING
    }

    /// Numbers a member's post, and the app's; whoever is not known to be a member is looked up.
    fn judge(&mut self, post: Post<P>, effects: &mut Vec<Effect<P, R, C>>) {
        let Some(group) = &mut self.group else {
            let outcome = Outcome::Refused(Refusal::NotFound);
            return self.settle(post.sender, post.key, outcome, effects);
        };
        let by_app = post.authority == Authority::App && !group.profile.dissolved;
        if let Some(before) = self.looking.get_mut(&post.sender).filter(|_| !by_app) {
            // It must not overtake the sender's earlier ones.
            if before.posts.len() < limits::GROUP_WAITING {
                before.posts.push_back(post);
            } else {
                self.settle(post.sender, post.key, Outcome::Refused(Refusal::Busy), effects);
            }
            return;
        }
        if by_app || self.members.contains(&post.sender) {
            if self.intake.follows_refused(&post.sender, post.key) {
                // It became a member between the two.
                let key = post.key;
                self.intake.resubmit(&post.sender, key, |waiter, reply_to, verdict| {
                    effects.push(Effect::Tell { waiter, reply_to, key, verdict });
                });
                return;
            }
            group.head = group.head.next();
            group.counted += 1;
            let place = place(group);
            let kept = Post { payload: post.payload.clone(), ..post };
            self.unsettled.push_back((place.seq, Unsettled::Post(kept)));
            effects.push(Effect::Append { place, post });
            return;
        }
        self.look_up(post.sender, VecDeque::from([post]), effects);
    }

    fn looked_up(
        &mut self,
        sender: UserNo,
        at: u64,
        found: Result<SenderFacts, Refusal>,
        effects: &mut Vec<Effect<P, R, C>>,
    ) {
        if self.looking.get(&sender).is_none_or(|looking| looking.at != at) {
            return;
        }
        let Some(Looking { changes: then, mut posts, .. }) = self.looking.remove(&sender) else {
            return;
        };
        let Some(group) = self.group.as_ref().filter(|_| matches!(self.gate, Gate::Open)) else {
            // What was found may have changed meanwhile: they are judged anew, before those that came later.
            while let Some(post) = posts.pop_back() {
                self.waiting.push_front(post);
            }
            return;
        };
        let SenderFacts { membership, stored } = match found {
            Ok(facts) if then == self.changes => facts,
            Ok(_) => return self.look_up(sender, posts, effects),
            Err(why) => {
                for post in posts {
                    self.settle(sender, post.key, Outcome::Refused(why), effects);
                }
                return;
            }
        };
        let is_member = membership.is_some_and(|it| it.left_seq.is_none());
        let authority = posts.front().map(|first| first.authority);
        let refusal = match (authority, changes::unseen(&group.profile, membership)) {
            // Looked up for a repeat alone.
            (Some(Authority::App), _) => Refusal::Dissolved,
            (_, ChangeRefused::NoSuchGroup) => Refusal::NotFound,
            (_, _) => Refusal::NotAMember,
        };
        if let (Some((seq, message_id, hash)), Some(first)) = (stored, posts.front()) {
            let (key, outcome) = (first.key, Outcome::Known { seq, message_id, hash });
            posts.pop_front();
            self.settle(sender, key, outcome, effects);
        } else if !is_member && let Some(first) = posts.pop_front() {
            self.settle(sender, first.key, Outcome::Refused(refusal), effects);
        }
        if is_member {
            self.members.insert(sender);
            for post in posts {
                self.judge(post, effects);
            }
        } else {
            // The store is asked for each before it is refused: it may be the repeat of one that was stored.
            self.look_up(sender, posts, effects);
        }
    }

    fn look_up(
        &mut self,
        sender: UserNo,
        posts: VecDeque<Post<P>>,
        effects: &mut Vec<Effect<P, R, C>>,
    ) {
        if let (Some(first), Some(group)) = (posts.front(), &self.group) {
            self.look_ups += 1;
            let (group, key, at) = (group.no, first.key, self.look_ups);
            effects.push(Effect::LookUp { group, sender, key, at });
            self.looking.insert(sender, Looking { at, changes: self.changes, posts });
        }
    }

    fn settled(
        &mut self,
        seq: Seq,
        key: ClientMsgId,
        sender: UserNo,
        outcome: Outcome,
        effects: &mut Vec<Effect<P, R, C>>,
    ) {
        let Some(row) = self.take_unsettled(seq, key) else {
            match outcome {
                // Overtaken by word of what became of it after all: the journal waits to hear that this came too.
                Outcome::Refused(why) if why.is_curable() => self.unheard += 1,
                Outcome::Refused(_) => {}
                // Its sender was told that its outcome is not known; now it is, for when it comes again.
                outcome => self.settle(sender, key, outcome, effects),
            }
            // The head may have been loaded before, and members too.
            if matches!(self.gate, Gate::Open) {
                self.gate = Gate::Unloaded;
            }
            return;
        };
        if let (Outcome::Stored { seq, .. }, Some((_, confirmed))) = (outcome, &mut self.confirmed)
        {
            *confirmed = seq.max(*confirmed);
        }
        match (outcome, row) {
            (Outcome::Refused(why), row) => {
                // One that the store declined was not handed back: nothing of the group was behind it.
                if why.is_curable() {
                    self.unheard += 1;
                }
                self.refused(seq, row, why, effects);
            }
            (Outcome::Stored { seq, .. }, Unsettled::Change(_)) => self.changed(seq, effects),
            (Outcome::Known { .. }, row @ Unsettled::Change(_)) => {
                // A notice's key is minted for it alone; whatever this is, it is not the change.
                self.refused(seq, row, Refusal::Unavailable, effects);
            }
            (outcome, Unsettled::Post(post)) => {
                self.settle(post.sender, post.key, outcome, effects);
                if matches!(outcome, Outcome::Known { .. }) {
                    // It did not take the place that it was given.
                    self.gate = Gate::Unloaded;
                }
            }
        }
    }

    /// By its key too: a place is given out again, and what had it before may be heard of only then.
    fn take_unsettled(&mut self, seq: Seq, key: ClientMsgId) -> Option<Unsettled<P>> {
        let is_it = |(placed, row): &(Seq, Unsettled<P>)| *placed == seq && row.key() == key;
        let index = self.unsettled.iter().position(is_it)?;
        self.unsettled.remove(index).map(|(_, row)| row)
    }

    /// What was numbered was not stored in its place: the head has to be loaded before anything else is numbered.
    fn refused(
        &mut self,
        seq: Seq,
        row: Unsettled<P>,
        why: Refusal,
        effects: &mut Vec<Effect<P, R, C>>,
    ) {
        self.gate = Gate::Unloaded;
        let behind_refused = self.refused_from.filter(|(refused, _)| *refused < seq);
        match (row, why) {
            (Unsettled::Post(post), Refusal::Moved) => match behind_refused {
                // The journal had it when one before it was refused; it must not overtake that one, nor what came since it.
                Some((_, why)) => {
                    self.settle(post.sender, post.key, Outcome::Refused(why), effects);
                    self.refuse_what_came_since(why, effects);
                }
                None => drop(self.again.insert(seq, post)),
            },
            (Unsettled::Change(_), Refusal::Moved) => {
                if let Some(under_way) = self.under_way.take() {
                    self.asked.push_front(under_way.asked);
                }
            }
            (Unsettled::Post(post), why) => {
                self.settle(post.sender, post.key, Outcome::Refused(why), effects);
                if why.is_curable() {
                    if self.refused_from.is_none_or(|(refused, _)| seq < refused) {
                        self.refused_from = Some((seq, why));
                    }
                    // Its session answers all that followed itself, and sends it again in order.
                    self.refuse_all_that_waits(why, effects);
                }
            }
            (Unsettled::Change(_), why) => {
                if let Some(under_way) = self.under_way.take() {
                    let refused = match why {
                        Refusal::Taken => ChangeRefused::Taken,
                        Refusal::Full => ChangeRefused::TooManyGroups,
                        why => ChangeRefused::NotNow(why),
                    };
                    let reply_to = under_way.asked.reply_to;
                    effects.push(Effect::Answer { reply_to, outcome: Err(refused) });
                }
            }
        }
    }

    fn refuse_all_that_waits(&mut self, why: Refusal, effects: &mut Vec<Effect<P, R, C>>) {
        for post in std::mem::take(&mut self.again).into_values() {
            self.settle(post.sender, post.key, Outcome::Refused(why), effects);
        }
        self.refuse_what_came_since(why, effects);
    }

    /// Refuses what has no place yet; what was handed back came before it.
    fn refuse_what_came_since(&mut self, why: Refusal, effects: &mut Vec<Effect<P, R, C>>) {
        let looking =
            std::mem::take(&mut self.looking).into_values().flat_map(|looking| looking.posts);
        let waiting = std::mem::take(&mut self.waiting);
        for post in looking.chain(waiting).collect::<Vec<_>>() {
            self.settle(post.sender, post.key, Outcome::Refused(why), effects);
        }
    }

    fn settle(
        &mut self,
        sender: UserNo,
        key: ClientMsgId,
        outcome: Outcome,
        effects: &mut Vec<Effect<P, R, C>>,
    ) {
        self.intake.settle(&sender, key, outcome, |waiter, reply_to, verdict| {
            effects.push(Effect::Tell { waiter, reply_to, key, verdict });
        });
    }

    /// Loads the group when something waits for that and every number that was given out was answered.
    fn load_if_needed(&mut self, effects: &mut Vec<Effect<P, R, C>>) {
        let something_waits = !self.again.is_empty()
            || !self.waiting.is_empty()
            || !self.asked.is_empty()
            || self.unheard > 0;
        if matches!(self.gate, Gate::Unloaded) && self.unsettled.is_empty() && something_waits {
            self.gate = Gate::Loading;
            effects.push(Effect::Load);
        }
    }

    fn loaded(
        &mut self,
        loaded: Result<Option<Loaded>, Refusal>,
        effects: &mut Vec<Effect<P, R, C>>,
    ) {
        if !matches!(self.gate, Gate::Loading) {
            return;
        }
        let group = match loaded {
            Ok(None) => None,
            Ok(Some(Loaded { no, epoch: Some(epoch), profile, head, counted })) => {
                Some(Group { no, epoch, profile, head, counted })
            }
            Ok(Some(Loaded { epoch: None, .. })) => {
                self.is_elsewhere = true;
                return self.not_loaded(Refusal::Unavailable, effects);
            }
            Err(why) => return self.not_loaded(why, effects),
        };
        self.is_elsewhere = false;
        let confirmed = group.as_ref().map(|group| (group.epoch, group.head));
        if confirmed.is_none() || confirmed != self.confirmed {
            // Something was written here that we do not know of; it may have been about members.
            self.members.clear();
            self.changes += 1;
        }
        self.confirmed = confirmed;
        self.group = group;
        self.gate = Gate::Open;
        // Under the number that they were handed over with: one to be made may have been made elsewhere meanwhile.
        self.tell_heard(effects);
        self.no = self.group.as_ref().map(|group| group.no).or(self.no);
        self.release(effects);
    }

    fn tell_heard(&mut self, effects: &mut Vec<Effect<P, R, C>>) {
        self.refused_from = None;
        let refused = std::mem::take(&mut self.unheard);
        if let (Some(group), true) = (self.no, refused > 0) {
            effects.push(Effect::Heard { group, refused });
        }
    }

    /// The store is away, or the group is not ours now: whoever waits tries again later.
    fn not_loaded(&mut self, why: Refusal, effects: &mut Vec<Effect<P, R, C>>) {
        self.gate = Gate::Unloaded;
        self.group = None;
        self.refuse_all_that_waits(why, effects);
        for asked in std::mem::take(&mut self.asked) {
            let outcome = Err(ChangeRefused::NotNow(why));
            effects.push(Effect::Answer { reply_to: asked.reply_to, outcome });
        }
        // What was handed back is heard of all the same: nothing of it is under way any more.
        self.tell_heard(effects);
    }

    /// The gate is open: what waited goes on, in order.
    fn release(&mut self, effects: &mut Vec<Effect<P, R, C>>) {
        let again = std::mem::take(&mut self.again).into_values();
        for post in again.chain(std::mem::take(&mut self.waiting)) {
            self.judge(post, effects);
        }
        self.next_change(effects);
    }

    fn asked(&mut self, asked: Asked<C>, effects: &mut Vec<Effect<P, R, C>>) {
        if self.asked.len() >= limits::GROUP_CHANGES {
            let outcome = Err(ChangeRefused::NotNow(Refusal::Busy));
            effects.push(Effect::Answer { reply_to: asked.reply_to, outcome });
            return;
        }
        self.asked.push_back(asked);
        if matches!(self.gate, Gate::Open) {
            self.next_change(effects);
        }
    }

    fn next_change(&mut self, effects: &mut Vec<Effect<P, R, C>>) {
        while self.under_way.is_none()
            && let Some(asked) = self.asked.pop_front()
        {
            let refused = match (&self.group, &asked.change) {
                (None, Change::Create { .. }) => None,
                (None, _) => Some(ChangeRefused::NoSuchGroup),
                (Some(_), Change::Create { .. }) => Some(ChangeRefused::Taken),
                (Some(_), _) => None,
            };
            if let Some(refused) = refused {
                effects.push(Effect::Answer { reply_to: asked.reply_to, outcome: Err(refused) });
                continue;
            }
            effects.push(Effect::Find {
                group: self.group.as_ref().map(|group| group.no),
                by: asked.by,
                targets: asked.change.targets().to_vec(),
            });
            self.under_way = Some(Box::new(UnderWay { asked, planned: None }));
        }
    }

    fn found(&mut self, found: Result<Found, Refusal>, effects: &mut Vec<Effect<P, R, C>>) {
        let Some(under_way) = self.under_way.take() else { return };
        if !matches!(self.gate, Gate::Open) {
            // The group is being loaded anew; the facts may be of before.
            self.asked.push_front(under_way.asked);
            return;
        }
        let plan =
            found.map_err(ChangeRefused::NotNow).and_then(|found| self.plan(&under_way, found));
        match plan {
            Ok(Some((group, edit, notice))) => {
                let Asked { by, ref by_id, key, .. } = under_way.asked;
                let by_id = by_id.clone();
                self.confirmed.get_or_insert((group.epoch, group.head));
                self.no = Some(group.no);
                let group = self.group.insert(group);
                group.head = group.head.next();
                let place = place(group);
                self.unsettled.push_back((place.seq, Unsettled::Change(key)));
                self.gate = Gate::Changing;
                let planned = Some((edit.clone(), notice.clone()));
                self.under_way = Some(Box::new(UnderWay { planned, ..*under_way }));
                effects.push(Effect::Commit { place, by, by_id, key, edit, notice });
            }
            Ok(None) => {
                let changed = Changed { seq: None, users: Vec::new() };
                let reply_to = under_way.asked.reply_to;
                effects.push(Effect::Answer { reply_to, outcome: Ok(changed) });
                self.next_change(effects);
            }
            Err(refused) => {
                let reply_to = under_way.asked.reply_to;
                effects.push(Effect::Answer { reply_to, outcome: Err(refused) });
                self.next_change(effects);
            }
        }
    }

    /// The group as it is, or as it is to be made, with what is to be written.
    fn plan(
        &mut self,
        under_way: &UnderWay<C>,
        found: Found,
    ) -> Result<Option<(Group, Edit, Notice)>, ChangeRefused> {
        let Asked { by, by_id, authority, change, .. } = &under_way.asked;
        let who = By { no: *by, id: by_id, authority: *authority };
        let (group, plan) = match (self.group.take(), change, found.new) {
            (None, Change::Create { kind, name, .. }, Some((no, Some(epoch)))) => {
                let new = NewGroup { app: self.app, id: self.id.clone(), kind: *kind };
                let plan = changes::plan_creation(new, name, who, &found.facts)?;
                let profile = Profile { kind: *kind, name: name.clone(), dissolved: false };
                (Group { no, epoch, profile, head: Seq::ZERO, counted: 0 }, plan)
            }
            (None, Change::Create { .. }, _) => {
                return Err(ChangeRefused::NotNow(Refusal::Unavailable));
            }
            (None, _, _) => return Err(ChangeRefused::NoSuchGroup),
            (Some(group), change, _) => {
                let plan = changes::plan(&group.profile, who, change, &found.facts);
                match plan {
                    Ok(Plan::Write { .. }) => (group, plan?),
                    plan => {
                        self.group = Some(group);
                        return plan.map(|_| None);
                    }
                }
            }
        };
        match plan {
            Plan::Nothing => {
                self.group = Some(group);
                Ok(None)
            }
            Plan::Write { edit, notice } => Ok(Some((group, edit, notice))),
        }
    }

    /// The change that was under way is committed.
    fn changed(&mut self, seq: Seq, effects: &mut Vec<Effect<P, R, C>>) {
        self.changes += 1;
        let Some(UnderWay { asked, planned: Some((edit, notice)) }) =
            self.under_way.take().map(|under_way| *under_way)
        else {
            return;
        };
        self.members.extend(&edit.add);
        for user in &edit.remove {
            self.members.remove(user);
        }
        if let Some(group) = &mut self.group {
            if let Some(name) = edit.name {
                group.profile.name = name;
            }
            if edit.dissolve {
                group.profile.dissolved = true;
                self.members.clear();
            }
        }
        let changed = Changed { seq: Some(seq), users: notice.users };
        effects.push(Effect::Answer { reply_to: asked.reply_to, outcome: Ok(changed) });
        if matches!(self.gate, Gate::Changing) {
            self.gate = Gate::Open;
            self.release(effects);
        }
    }

    fn epoch_changed(&mut self) {
        self.intake.forget_stored();
        self.members.clear();
        self.confirmed = None;
        // What is under way finds out by itself: the store compares heads.
        if matches!(self.gate, Gate::Open) {
            self.gate = Gate::Unloaded;
        }
    }
}

fn place(group: &Group) -> GroupPlace {
    GroupPlace { group: group.no, epoch: group.epoch, seq: group.head, counted: group.counted }
}

#[cfg(test)]
mod tests;
