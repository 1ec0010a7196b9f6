//! The rules of a group's log, one sentence each. Never needs more than the rules: no actor, no store.

use super::*;
use crate::domain::intake::SessionNo;
use crate::domain::order::Place;
use crate::domain::policy::{Kind, Role};
use crate::ids::MessageId;

const NOW: UnixMs = UnixMs::new(1_700_000_000_000);
const ALICE: UserNo = UserNo::from_store(1);
const BOB: UserNo = UserNo::from_store(2);
const SYSTEM: UserNo = UserNo::from_store(9);
const NO: ConversationNo = ConversationNo::from_store(7);
const OURS: ShardEpoch = ShardEpoch::from_store(3);

type Effects = Vec<Effect<u8, UserNo, u8>>;

fn key(n: u8) -> ClientMsgId {
    ClientMsgId::mint(NOW, [n; 10])
}

fn user(no: UserNo) -> UserId {
    UserId::parse(if no == ALICE { "alice" } else { "bob" }).unwrap()
}

fn member(role: Role) -> Option<Membership> {
    Some(Membership { role, join_seq: Seq::new(1), left_seq: None })
}

fn loaded(head: u64) -> Input<u8, UserNo, u8> {
    let profile = Profile { kind: Kind::Work, name: "team".into(), dissolved: false };
    let (head, counted) = (Seq::new(head), head - 1);
    Input::Loaded(Ok(Some(Loaded { no: NO, epoch: Some(OURS), profile, head, counted })))
}

struct Team {
    log: GroupLog<u8, UserNo, u8>,
    sent: HashMap<UserNo, u64>,
    look_ups: u64,
}

impl Team {
    /// Awake at head 1, and known to have these members.
    fn of(members: &[UserNo]) -> Self {
        let id = GroupId::parse("team").unwrap();
        let log = GroupLog::new(AppId::DEFAULT, id, 7 * 86_400_000);
        let mut team = Self { log, sent: HashMap::new(), look_ups: 0 };
        team.log.gate = Gate::Loading;
        team.after(loaded(1));
        team.log.members.extend(members);
        team
    }

    fn after(&mut self, input: Input<u8, UserNo, u8>) -> Effects {
        let mut effects = Vec::new();
        self.log.decide(NOW, input, &mut effects);
        for effect in &effects {
            if let Effect::LookUp { at, .. } = effect {
                self.look_ups = *at;
            }
        }
        effects
    }

    /// The sender's session sends `n` as the next of its run.
    fn post(&mut self, sender: UserNo, n: u8) -> Effects {
        let next = self.sent.entry(sender).or_default();
        let place = Place { run: 1, n: *next };
        *next += 1;
        let waiter = Waiter { session: SessionNo(sender.get() as u64), place };
        let authority = Authority::Member;
        let post = Post { sender, authority, key: key(n), hash: [n; 16], payload: n };
        self.after(Input::Submitted { waiter, reply_to: sender, post })
    }

    /// The app sends `n` as its system user.
    fn post_of_app(&mut self, n: u8) -> Effects {
        let waiter = Waiter { session: SessionNo(100 + u64::from(n)), place: Place::ALONE };
        let authority = Authority::App;
        let post = Post { sender: SYSTEM, authority, key: key(n), hash: [n; 16], payload: n };
        self.after(Input::Submitted { waiter, reply_to: SYSTEM, post })
    }

    fn settle(&mut self, sender: UserNo, n: u8, seq: u64, outcome: Outcome) -> Effects {
        self.after(Input::Settled { seq: Seq::new(seq), key: key(n), sender, outcome })
    }

    fn found(&mut self, sender: UserNo, facts: SenderFacts) -> Effects {
        self.after(Input::LookedUp { sender, at: self.look_ups, found: Ok(facts) })
    }

    /// The owner asks to remove bob, and the facts are there.
    fn removal(&mut self) -> Effects {
        let change = Change::Remove(vec![user(BOB)]);
        let (by, by_id, key, reply_to) = (ALICE, user(ALICE), key(9), 9);
        let authority = Authority::Member;
        self.after(Input::Asked(Asked { by, by_id, authority, change, key, reply_to }));
        let bob = member(Role::Member);
        let target = Target { id: user(BOB), no: Some(BOB), membership: bob };
        let by = member(Role::Owner);
        let facts = Facts { by, members: 2, targets: vec![target], senior: None };
        self.after(Input::Found(Ok(Found { facts, new: None })))
    }
}

fn stored(n: u8, seq: u64) -> Outcome {
    let (seq, message_id) = (Seq::new(seq), MessageId::from_store(seq as i64));
    Outcome::Stored { seq, inbox: None, message_id, hash: [n; 16] }
}

fn known(n: u8, seq: u64) -> Outcome {
    let (seq, message_id) = (Seq::new(seq), MessageId::from_store(seq as i64));
    Outcome::Known { seq, message_id, hash: [n; 16] }
}

const MOVED: Outcome = Outcome::Refused(Refusal::Moved);
const AWAY: Outcome = Outcome::Refused(Refusal::Unavailable);

/// What was handed to the journal: at which seq, and what.
fn appended(effects: &Effects) -> Vec<(u64, u8)> {
    let appended = effects.iter().filter_map(|effect| match effect {
        Effect::Append { place, post } => Some((place.seq.get(), post.payload)),
        Effect::Commit { place, .. } => Some((place.seq.get(), 0)),
        _ => None,
    });
    appended.collect()
}

fn told(effects: &Effects) -> Vec<(UserNo, Verdict<Ack, Refusal>)> {
    let told = effects.iter().filter_map(|effect| match effect {
        Effect::Tell { reply_to, verdict, .. } => Some((*reply_to, *verdict)),
        _ => None,
    });
    told.collect()
}

fn acked(seq: u64, duplicate: bool) -> Verdict<Ack, Refusal> {
    let message_id = MessageId::from_store(seq as i64);
    Verdict::Stored(Ack { seq: Seq::new(seq), inbox: None, message_id, duplicate })
}

#[test]
fn posts_are_numbered_as_they_come_and_acked_when_the_store_has_them() {
    let mut team = Team::of(&[ALICE, BOB]);

    assert_eq!(appended(&team.post(ALICE, 1)), [(2, 1)]);
    assert_eq!(appended(&team.post(BOB, 2)), [(3, 2)]);

    assert_eq!(told(&team.settle(ALICE, 1, 2, stored(1, 2))), [(ALICE, acked(2, false))]);
    assert!(!team.log.is_settled());
    assert_eq!(told(&team.settle(BOB, 2, 3, stored(2, 3))), [(BOB, acked(3, false))]);
    assert!(team.log.is_settled());
}

#[test]
fn waking_loads_the_head_alone_and_a_sender_is_looked_up_once() {
    let id = GroupId::parse("team").unwrap();
    let mut team =
        Team { log: GroupLog::new(AppId::DEFAULT, id, 1), sent: HashMap::new(), look_ups: 0 };
    team.log.intake = Intake::new(7 * 86_400_000, 8, 8);

    assert_eq!(team.post(ALICE, 1), [Effect::Load]);
    assert_eq!(team.post(ALICE, 2), []);
    let woken = team.after(loaded(5));
    assert_eq!(woken, [Effect::LookUp { group: NO, sender: ALICE, key: key(1), at: 1 }]);
    let found = team.found(ALICE, SenderFacts { membership: member(Role::Member), stored: None });

    assert_eq!(appended(&found), [(6, 1), (7, 2)]);
    assert_eq!(appended(&team.post(ALICE, 3)), [(8, 3)]);
}

#[test]
fn one_who_is_not_a_member_is_refused_only_when_the_store_does_not_have_the_send() {
    let mut team = Team::of(&[ALICE]);
    team.post(BOB, 1);
    team.post(BOB, 2);
    let was_in = Membership { left_seq: Some(Seq::new(9)), ..member(Role::Member).unwrap() };
    let facts = |stored| SenderFacts { membership: Some(was_in), stored };

    let first = team.found(BOB, facts(Some((Seq::new(1), MessageId::from_store(1), [1; 16]))));
    let second = team.found(BOB, facts(None));

    assert_eq!(told(&first), [(BOB, acked(1, true))]);
    assert_eq!(told(&second), [(BOB, Verdict::Final(Refusal::NotAMember))]);
    team.post(BOB, 3);
    let stranger = team.found(BOB, SenderFacts { membership: None, stored: None });
    assert_eq!(told(&stranger), [(BOB, Verdict::Final(Refusal::NotFound))]);
}

#[test]
fn what_was_handed_back_is_numbered_anew_in_the_same_order_before_what_came_since() {
    let mut team = Team::of(&[ALICE, BOB]);
    team.post(ALICE, 1);
    team.post(BOB, 2);

    // Two letters of the journal, of which the later one came first.
    assert_eq!(team.settle(BOB, 2, 3, MOVED), []);
    assert_eq!(team.post(ALICE, 3), []);
    assert_eq!(team.settle(ALICE, 1, 2, MOVED), [Effect::Load]);
    let again = team.after(loaded(1));

    assert_eq!(again[0], Effect::Heard { group: NO, refused: 2 });
    assert_eq!(appended(&again), [(2, 1), (3, 2), (4, 3)]);
}

#[test]
fn when_somebody_else_wrote_nobody_is_known_to_be_a_member_any_more() {
    let mut team = Team::of(&[ALICE, BOB]);
    team.post(BOB, 1);
    team.settle(BOB, 1, 2, MOVED);

    let again = team.after(loaded(4));

    assert_eq!(appended(&again), []);
    assert!(matches!(again[1], Effect::LookUp { sender: BOB, .. }), "{again:?}");
}

#[test]
fn a_repeat_that_only_the_store_knows_burns_no_seq() {
    let mut team = Team::of(&[ALICE, BOB]);
    team.post(ALICE, 1);
    team.post(BOB, 2);

    assert_eq!(told(&team.settle(ALICE, 1, 2, known(1, 1))), [(ALICE, acked(1, true))]);
    assert_eq!(team.settle(BOB, 2, 3, MOVED), [Effect::Load]);
    let again = team.after(loaded(1));

    assert_eq!(appended(&again), [(2, 2)]);
}

#[test]
fn late_word_of_an_entry_is_not_taken_for_the_one_that_has_its_place_by_now() {
    let mut team = Team::of(&[ALICE, BOB]);
    team.post(ALICE, 1);
    let unknown = Refusal::OutcomeUnknown;
    let told_so = team.settle(ALICE, 1, 2, Outcome::Refused(unknown));
    assert_eq!(told(&told_so), [(ALICE, Verdict::Curable(unknown))]);
    team.after(loaded(1));
    assert_eq!(appended(&team.post(BOB, 2)), [(2, 2)]);

    assert_eq!(team.settle(ALICE, 1, 2, stored(1, 2)), []);
    assert_eq!(team.settle(BOB, 2, 2, MOVED), [Effect::Load]);
    let again = team.after(loaded(2));

    assert!(matches!(again[1], Effect::LookUp { sender: BOB, .. }), "{again:?}");
}

#[test]
fn word_that_was_overtaken_is_heard_of_all_the_same() {
    let mut team = Team::of(&[ALICE]);
    team.post(ALICE, 1);

    team.settle(ALICE, 1, 2, stored(1, 2));
    assert_eq!(team.settle(ALICE, 1, 2, AWAY), [Effect::Load]);

    assert_eq!(team.after(loaded(2)), [Effect::Heard { group: NO, refused: 1 }]);
}

#[test]
fn nothing_goes_again_that_was_behind_one_that_its_sender_has_to_send_again() {
    let mut team = Team::of(&[ALICE]);
    for n in 1..=3 {
        team.post(ALICE, n);
    }
    let why = Verdict::Curable(Refusal::Unavailable);

    assert_eq!(told(&team.settle(ALICE, 2, 3, AWAY)), [(ALICE, why)]);
    assert_eq!(team.settle(ALICE, 1, 2, MOVED), []);
    assert_eq!(told(&team.settle(ALICE, 3, 4, MOVED)), [(ALICE, why)]);
    let again = team.after(loaded(1));

    assert_eq!(appended(&again), [(2, 1)]);
}

#[test]
fn a_curable_refusal_refuses_all_that_waits_so_that_nothing_overtakes_what_comes_again() {
    let mut team = Team::of(&[ALICE]);
    team.post(ALICE, 1);
    team.post(ALICE, 2);
    team.settle(ALICE, 2, 3, MOVED);

    let refused = team.settle(ALICE, 1, 2, AWAY);

    let why = Verdict::Curable(Refusal::Unavailable);
    assert_eq!(told(&refused), [(ALICE, why), (ALICE, why)]);
    assert!(refused.contains(&Effect::Load), "to be heard again by the journal: {refused:?}");
    assert_eq!(team.post(ALICE, 3), [], "of a run that is over");
}

#[test]
fn nothing_overtakes_what_was_behind_one_that_its_sender_has_to_send_again() {
    let mut team = Team::of(&[ALICE, BOB]);
    team.post(BOB, 1);
    team.post(ALICE, 2);
    team.settle(BOB, 1, 2, AWAY);
    assert_eq!(team.post(ALICE, 3), [], "it waits until the head is known");

    let refused = team.settle(ALICE, 2, 3, MOVED);

    let why = Verdict::Curable(Refusal::Unavailable);
    assert_eq!(told(&refused), [(ALICE, why), (ALICE, why)]);
}

#[test]
fn posts_wait_while_a_change_is_on_its_way_and_are_judged_by_what_it_led_to() {
    let mut team = Team::of(&[ALICE, BOB]);
    assert_eq!(appended(&team.post(BOB, 1)), [(2, 1)]);
    assert_eq!(appended(&team.removal()), [(3, 0)]);
    assert_eq!(team.post(BOB, 2), []);
    assert_eq!(team.post(ALICE, 3), []);

    team.settle(BOB, 1, 2, stored(1, 2));
    let committed = team.settle(ALICE, 9, 3, stored(9, 3));

    let changed = Changed { seq: Some(Seq::new(3)), users: vec![user(BOB)] };
    assert_eq!(committed[0], Effect::Answer { reply_to: 9, outcome: Ok(changed) });
    assert!(matches!(committed[1], Effect::LookUp { sender: BOB, .. }), "{committed:?}");
    assert_eq!(appended(&committed), [(4, 3)]);
}

#[test]
fn a_look_up_that_began_before_a_change_is_not_believed() {
    let mut team = Team::of(&[ALICE]);
    team.post(BOB, 1);
    let before = team.look_ups;
    team.removal();
    team.settle(ALICE, 9, 2, stored(9, 2));

    let facts = SenderFacts { membership: member(Role::Member), stored: None };
    let late = team.after(Input::LookedUp { sender: BOB, at: before, found: Ok(facts) });

    assert!(matches!(late[..], [Effect::LookUp { sender: BOB, .. }]), "{late:?}");
}

#[test]
fn a_change_that_was_handed_back_is_decided_anew_and_one_that_was_refused_is_answered() {
    let mut team = Team::of(&[ALICE, BOB]);
    team.removal();
    assert_eq!(team.settle(ALICE, 9, 2, MOVED), [Effect::Load]);
    let again = team.after(loaded(6));
    assert!(again.iter().any(|it| matches!(it, Effect::Find { by: ALICE, .. })), "{again:?}");

    let facts = Facts { by: None, members: 1, targets: Vec::new(), senior: None };
    let found = team.after(Input::Found(Ok(Found { facts, new: None })));
    let outcome = Err(ChangeRefused::NoSuchGroup);
    assert_eq!(found, [Effect::Answer { reply_to: 9, outcome }]);

    team.removal();
    let refused = team.settle(ALICE, 9, 7, AWAY);
    let outcome = Err(ChangeRefused::NotNow(Refusal::Unavailable));
    assert_eq!(refused[0], Effect::Answer { reply_to: 9, outcome });
}

#[test]
fn a_group_that_is_not_ours_refuses_for_now_and_asks_again_with_the_next_send() {
    let mut team = Team::of(&[ALICE]);
    team.post(ALICE, 1);
    team.settle(ALICE, 1, 2, MOVED);
    let profile = Profile { kind: Kind::Work, name: "team".into(), dissolved: false };
    let theirs = Loaded { no: NO, epoch: None, profile, head: Seq::new(9), counted: 8 };

    let refused = team.after(Input::Loaded(Ok(Some(theirs))));

    assert_eq!(told(&refused), [(ALICE, Verdict::Curable(Refusal::Unavailable))]);
    team.sent.clear();
    let waiter = Waiter { session: SessionNo(1), place: Place { run: 2, n: 0 } };
    let authority = Authority::Member;
    let post = Post { sender: ALICE, authority, key: key(1), hash: [1; 16], payload: 1 };
    assert_eq!(team.after(Input::Submitted { waiter, reply_to: ALICE, post }), [Effect::Load]);
}

#[test]
fn a_group_that_does_not_exist_can_be_made_and_only_once() {
    let mut team = Team::of(&[]);
    team.log.gate = Gate::Loading;
    team.after(Input::Loaded(Ok(None)));
    assert!(team.log.is_absent());
    let create = |reply_to| {
        let change = Change::Create { kind: Kind::Work, name: "team".into(), members: vec![] };
        let (by, by_id, key) = (ALICE, user(ALICE), key(9));
        Input::Asked(Asked { by, by_id, authority: Authority::Member, change, key, reply_to })
    };
    assert_eq!(told(&team.post(BOB, 1)), [(BOB, Verdict::Final(Refusal::NotFound))]);
    team.after(create(1));
    team.after(create(2));
    let facts = Facts { by: None, members: 0, targets: vec![], senior: None };
    let made = team.after(Input::Found(Ok(Found { facts, new: Some((NO, Some(OURS))) })));
    assert_eq!(appended(&made), [(1, 0)]);

    let committed = team.settle(ALICE, 9, 1, stored(9, 1));

    let changed = Changed { seq: Some(Seq::new(1)), users: vec![user(ALICE)] };
    assert_eq!(committed[0], Effect::Answer { reply_to: 1, outcome: Ok(changed) });
    let outcome = Err(ChangeRefused::Taken);
    assert_eq!(committed[1], Effect::Answer { reply_to: 2, outcome });
    assert_eq!(appended(&team.post(ALICE, 2)), [(2, 2)], "the maker is a member");
}

#[test]
fn the_app_posts_without_being_a_member_and_needs_no_look_up() {
    let mut team = Team::of(&[ALICE]);

    assert_eq!(appended(&team.post_of_app(1)), [(2, 1)]);
    assert_eq!(appended(&team.post(ALICE, 2)), [(3, 2)]);

    assert_eq!(told(&team.settle(SYSTEM, 1, 2, stored(1, 2))), [(SYSTEM, acked(2, false))]);
    assert_eq!(told(&team.post_of_app(1)), [(SYSTEM, acked(2, true))]);
}

#[test]
fn the_app_waits_behind_a_change_like_everyone() {
    let mut team = Team::of(&[ALICE, BOB]);
    team.removal();

    assert_eq!(team.post_of_app(1), []);
    let committed = team.settle(ALICE, 9, 2, stored(9, 2));

    assert_eq!(appended(&committed), [(3, 1)]);
}

#[test]
fn the_app_is_told_that_a_group_has_ended_unless_it_repeats_what_was_stored() {
    let mut team = Team::of(&[ALICE]);
    if let Some(group) = &mut team.log.group {
        group.profile.dissolved = true;
    }
    let stored = |stored| SenderFacts { membership: None, stored };

    team.post_of_app(1);
    let refused = team.found(SYSTEM, stored(None));
    assert_eq!(told(&refused), [(SYSTEM, Verdict::Final(Refusal::Dissolved))]);

    team.post_of_app(2);
    let entry = (Seq::new(3), MessageId::from_store(3), [2; 16]);
    assert_eq!(told(&team.found(SYSTEM, stored(Some(entry)))), [(SYSTEM, acked(3, true))]);
}

#[test]
fn sends_that_come_alone_have_no_place_in_a_run_and_push_out_nobody_s() {
    let mut team = Team::of(&[ALICE]);
    team.post(ALICE, 1);
    let sends = limits::GROUP_RUNS as u64 + 1;

    for n in 0..sends {
        let mut random = [7; 10];
        random[..8].copy_from_slice(&n.to_be_bytes());
        let key = ClientMsgId::mint(NOW, random);
        let waiter = Waiter { session: SessionNo(100 + n), place: Place::ALONE };
        let authority = Authority::Member;
        let post = Post { sender: ALICE, authority, key, hash: [2; 16], payload: 2 };
        let taken = team.after(Input::Submitted { waiter, reply_to: ALICE, post });
        assert_eq!(appended(&taken), [(3 + n, 2)]);
    }

    let next = team.post(ALICE, 4);
    assert_eq!(appended(&next), [(3 + sends, 4)], "the next of its session's run");
}
