//! Histories of runs in which one promise was broken.

use std::time::Duration;

use rookery::ids::Platform;
use rookery::protocol::Code;

use super::chaos::checker::Rule;
use super::chaos::history::{
    Answer, Claims, Command, Conn, Entry, Heads, Log, Parting, Peer, Presence, Push, Stream, What,
};
use super::script::{Script, ack, entry};

/// alice with her phone and bob with his browser, and what alice says to bob.
struct Talk {
    script: Script,
    alice: Conn,
    bob: Conn,
    log: Log,
}

impl Talk {
    fn new() -> Self {
        let mut script = Script::new();
        let alice = script.log_in("alice", "phone", Platform::Ios);
        let bob = script.log_in("bob", "tab", Platform::Web);
        Self { script, alice, bob, log: Log::pair("alice", "bob") }
    }

    fn said(&self, seq: u64, body: &str) -> Entry {
        entry(&self.log, seq, "alice", body, body)
    }

    /// alice says something, is acked, and bob is shown it.
    fn say(&mut self, seq: u64, body: &str) -> Entry {
        let said = self.said(seq, body);
        self.script.store(self.alice, &said);
        self.script.show(self.bob, &said);
        said
    }

    fn read_back(&mut self, entries: &[Entry]) {
        self.script.read_back("n1", &self.log, entries);
    }
}

#[test]
fn a_command_that_is_never_answered() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    talk.script.send(talk.alice, &one);
    talk.read_back(&[]);
    let (mut history, _) = talk.script.judged();
    history.events.retain(|event| !matches!(event.what, What::Parted { .. }));

    let found = super::chaos::checker::check(&history);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].rule, found[0].witness.len()), (Rule::Answered, 1));
}

#[test]
fn a_command_that_is_passed_over_while_others_are_answered() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    talk.script.send(talk.alice, &one);
    talk.script.wait(Duration::from_secs(61));
    let ping = talk.script.ask(talk.alice, Command::Other { name: "ping".to_owned() });
    talk.script.answer(ping, Answer::Done);
    talk.read_back(&[]);

    assert_eq!(talk.script.breaks(Rule::Answered).witness.len(), 2);
}

#[test]
fn a_command_that_is_answered_twice() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    let sent = talk.script.send(talk.alice, &one);
    talk.script.answer(sent, ack(&one, false));
    talk.script.answer(sent, ack(&one, true));
    talk.read_back(&[one]);

    talk.script.breaks(Rule::Answered);
}

#[test]
fn a_send_that_is_answered_with_another_conversation() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");
    let elsewhere = entry(&Log::group("eng"), 1, "alice", "one", "one");

    let sent = talk.script.send(talk.alice, &one);
    talk.script.answer(sent, ack(&elsewhere, false));
    talk.script.read_back("n1", &elsewhere.log.clone(), &[]);

    let (_, found) = talk.script.judged();
    assert_eq!(found[0].rule, Rule::Answered);
}

#[test]
fn a_message_that_nobody_sent() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    talk.script.show(talk.bob, &one);

    assert_eq!(talk.script.breaks(Rule::NothingInvented).witness.len(), 1);
}

#[test]
fn a_message_that_is_shown_before_it_is_sent() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    talk.script.show(talk.bob, &one);
    talk.script.store(talk.alice, &one);
    talk.read_back(&[one]);

    talk.script.breaks(Rule::NothingInvented);
}

#[test]
fn a_message_with_another_body() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    talk.script.store(talk.alice, &one);
    talk.script.show(talk.bob, &Entry { body: "two".to_owned(), ..one.clone() });
    talk.read_back(&[one]);

    talk.script.breaks(Rule::NothingInvented);
}

#[test]
fn other_content_under_one_id_that_took_the_place_of_the_first() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let other = Entry { body: "two".to_owned(), ..one.clone() };

    let sent = talk.script.send(talk.alice, &other);
    talk.script.refuse(sent, Code::KeyReused);
    talk.read_back(&[other]);

    talk.script.breaks(Rule::RefusedIsAbsent);
}

#[test]
fn a_message_that_is_stored_though_it_was_refused() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    let sent = talk.script.send(talk.alice, &one);
    talk.script.refuse(sent, Code::NotAMember);
    talk.read_back(&[one]);

    talk.script.breaks(Rule::RefusedIsAbsent);
}

#[test]
fn a_message_that_is_shown_though_the_store_was_away_each_time() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    for _ in 0..3 {
        let sent = talk.script.send(talk.alice, &one);
        talk.script.refuse(sent, Code::Unavailable);
    }
    talk.script.show(talk.bob, &one);

    talk.script.breaks(Rule::RefusedIsAbsent);
}

#[test]
fn a_log_with_two_entries_at_one_seq() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let other = talk.said(1, "other");

    talk.script.send(talk.alice, &other);
    talk.read_back(&[one, other]);

    assert_eq!(talk.script.breaks(Rule::OnePlace).witness.len(), 1);
}

#[test]
fn two_messages_that_are_acked_with_one_seq() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let other = talk.said(1, "other");

    talk.script.store(talk.alice, &other);
    talk.read_back(&[one]);

    talk.script.breaks(Rule::OnePlace);
}

#[test]
fn a_message_that_is_stored_twice() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let again = Entry { message_id: 7, ..talk.said(2, "one") };

    talk.script.send(talk.alice, &one);
    talk.read_back(&[one, again]);

    talk.script.breaks(Rule::Once);
}

#[test]
fn a_repeat_that_is_answered_with_another_time() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");

    let again = talk.script.send(talk.alice, &one);
    talk.script.answer(again, ack(&Entry { sent_at_ms: 99, ..one.clone() }, true));
    talk.read_back(&[one]);

    talk.script.breaks(Rule::Once);
}

#[test]
fn a_repeat_that_is_answered_with_another_seq() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");

    let again = talk.script.send(talk.alice, &one);
    talk.script.answer(again, ack(&Entry { seq: 2, ..one.clone() }, true));
    talk.read_back(&[one]);

    talk.script.breaks(Rule::Once);
}

#[test]
fn a_repeat_that_is_acked_as_new() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");

    talk.script.store(talk.alice, &one);
    talk.read_back(&[one]);

    talk.script.breaks(Rule::Once);
}

#[test]
fn other_content_under_one_id_that_is_acked() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let other = Entry { body: "two".to_owned(), ..one.clone() };

    let sent = talk.script.send(talk.alice, &other);
    talk.script.answer(sent, ack(&other, true));
    talk.read_back(&[one]);

    talk.script.breaks(Rule::Once);
}

#[test]
fn an_id_that_is_refused_as_used_and_was_not() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");

    let again = talk.script.send(talk.alice, &one);
    talk.script.refuse(again, Code::KeyReused);
    talk.read_back(&[one]);

    talk.script.breaks(Rule::Once);
}

#[test]
fn two_messages_of_one_log_with_one_message_id() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let two = Entry { message_id: one.message_id, ..talk.said(2, "two") };

    talk.script.store(talk.alice, &two);
    talk.read_back(&[one, two]);

    talk.script.breaks(Rule::OneMessageId);
}

#[test]
fn messages_of_two_logs_with_one_message_id() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let eng = Log::group("eng");
    let two = Entry { message_id: one.message_id, ..entry(&eng, 1, "alice", "two", "two") };

    talk.script.store(talk.alice, &two);
    talk.read_back(&[one]);
    talk.script.read_back("n1", &eng, &[two]);

    talk.script.breaks(Rule::OneMessageId);
}

#[test]
fn an_acked_message_that_is_not_there() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let two = talk.said(2, "two");

    talk.script.store(talk.alice, &two);
    talk.read_back(&[one]);

    talk.script.breaks(Rule::AckedIsThere);
}

#[test]
fn an_acked_message_that_is_at_another_seq() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    talk.script.store(talk.alice, &one);
    let other = entry(&talk.log, 1, "bob", "other", "other");
    talk.script.send(talk.bob, &other);
    talk.read_back(&[other, Entry { seq: 2, ..one }]);

    talk.script.breaks(Rule::AckedIsThere);
}

#[test]
fn an_acked_message_with_another_message_id() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    talk.script.store(talk.alice, &one);
    talk.read_back(&[Entry { message_id: 7, ..one }]);

    talk.script.breaks(Rule::AckedIsThere);
}

#[test]
fn an_acked_message_that_another_is_said_to_have_sent() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    talk.script.store(talk.alice, &one);
    let of_bob = Entry { from: "bob".to_owned(), ..one };
    talk.script.send(talk.bob, &of_bob);
    talk.read_back(&[of_bob]);

    let (_, found) = talk.script.judged();
    assert!(found.iter().any(|it| it.rule == Rule::OneMessageId), "{found:?}");
}

#[test]
fn an_acked_message_of_a_log_that_nobody_read_back() {
    let mut talk = Talk::new();
    talk.say(1, "one");

    talk.script.breaks(Rule::AckedIsThere);
}

#[test]
fn a_message_that_was_acked_in_the_new_epoch_and_is_gone() {
    let mut talk = Talk::new();
    talk.say(1, "one");
    talk.script.part(talk.alice, Parting::Broken);

    "e2".clone_into(&mut talk.script.epoch);
    talk.script.see(What::StoreEpoch { epoch: "e2".to_owned() });
    talk.alice = talk.script.log_in("alice", "phone", Platform::Ios);
    let two = talk.said(1, "two");
    talk.script.store(talk.alice, &two);
    talk.read_back(&[]);

    talk.script.breaks(Rule::AckedIsThere);
}

#[test]
fn two_who_are_shown_different_entries_at_one_seq() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");
    let other = entry(&talk.log, 1, "bob", "other", "other");

    talk.script.send(talk.alice, &one);
    talk.script.send(talk.bob, &other);
    talk.script.show(talk.bob, &one);
    talk.script.show(talk.alice, &other);

    talk.script.breaks(Rule::OneLog);
}

#[test]
fn a_page_that_differs_from_the_log_in_the_end() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    talk.script.send(talk.alice, &one);
    let log = talk.log.clone();
    talk.script.page(talk.bob, &log, 0, &[Entry { sent_at_ms: 99, ..one.clone() }]);
    talk.read_back(&[one]);

    talk.script.breaks(Rule::OneLog);
}

#[test]
fn a_message_that_was_shown_and_is_gone() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    talk.script.send(talk.alice, &one);
    talk.script.show(talk.bob, &one);
    talk.read_back(&[]);

    talk.script.breaks(Rule::OneLog);
}

#[test]
fn nodes_that_read_different_logs() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let two = talk.said(2, "two");

    talk.script.send(talk.alice, &two);
    talk.read_back(&[one.clone(), two]);
    let log = talk.log.clone();
    talk.script.read_back("n2", &log, &[one]);

    talk.script.breaks(Rule::OneLog);
}

#[test]
fn an_inbox_that_is_shown_in_two_ways() {
    let mut talk = Talk::new();
    let one = Entry { inbox: Some(1), ..talk.said(1, "one") };
    let two = Entry { inbox: Some(1), ..talk.said(2, "two") };

    for said in [&one, &two] {
        talk.script.send(talk.alice, said);
        talk.script.show(talk.bob, said);
    }

    talk.script.breaks(Rule::OneLog);
}

#[test]
fn a_log_with_a_hole() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let three = talk.said(3, "three");

    talk.script.send(talk.alice, &three);
    talk.read_back(&[one, three]);

    assert_eq!(talk.script.breaks(Rule::NoHoles).witness.len(), 1);
}

#[test]
fn a_log_that_ends_before_its_head() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");

    talk.read_back(&[one]);
    let Some(What::ReadBack { head, .. }) =
        talk.script.history.events.last_mut().map(|event| &mut event.what)
    else {
        panic!("a log was read back");
    };
    *head = 2;

    talk.script.breaks(Rule::NoHoles);
}

#[test]
fn a_page_that_leaves_something_out() {
    let mut talk = Talk::new();
    let (one, two, three) = (talk.said(1, "one"), talk.said(2, "two"), talk.said(3, "three"));

    for said in [&one, &two, &three] {
        talk.script.send(talk.alice, said);
    }
    let log = talk.log.clone();
    talk.script.page(talk.bob, &log, 0, &[one, three]);

    talk.script.breaks(Rule::NoHoles);
}

#[test]
fn an_inbox_that_lacks_an_entry_of_a_pair() {
    let mut talk = Talk::new();
    let (one, two) = (talk.say(1, "one"), talk.say(2, "two"));

    talk.read_back(&[one.clone(), two]);
    talk.script.inbox_back("bob", &[Entry { inbox: Some(1), ..one }]);

    talk.script.breaks(Rule::NoHoles);
}

#[test]
fn a_device_that_was_never_shown_something() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let two = talk.said(2, "two");

    talk.script.store(talk.alice, &two);
    let of = Stream::Log(talk.log.clone());
    let (user, device) = ("bob".to_owned(), "tab".to_owned());
    talk.script.see(What::Position { user, device, of, from: 0, to: 2 });
    talk.read_back(&[one, two]);

    talk.script.breaks(Rule::NoHoles);
}

#[test]
fn a_device_that_never_heard_of_the_last_message() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let two = talk.said(2, "two");

    talk.script.store(talk.alice, &two);
    let of = Stream::Log(talk.log.clone());
    let (user, device) = ("bob".to_owned(), "tab".to_owned());
    talk.script.see(What::Position { user, device, of, from: 0, to: 1 });
    talk.read_back(&[one, two]);

    talk.script.breaks(Rule::NoHoles);
}

#[test]
fn a_message_that_overtook_one_sent_before_it() {
    let mut talk = Talk::new();
    let (one, two) = (talk.said(2, "one"), talk.said(1, "two"));

    let first = talk.script.send(talk.alice, &one);
    talk.script.store(talk.alice, &two);
    talk.script.answer(first, ack(&one, false));
    talk.read_back(&[two, one]);

    talk.script.breaks(Rule::OneOrder);
}

#[test]
fn a_message_that_overtook_a_refused_one() {
    let mut talk = Talk::new();
    let (one, two) = (talk.said(2, "one"), talk.said(1, "two"));

    let first = talk.script.send(talk.alice, &one);
    talk.script.refuse(first, Code::Unavailable);
    talk.script.store(talk.alice, &two);
    talk.script.store(talk.alice, &one);
    talk.read_back(&[two, one]);

    talk.script.breaks(Rule::OneOrder);
}

#[test]
fn messages_that_changed_places_when_a_node_died() {
    let mut talk = Talk::new();
    let (one, two) = (talk.said(2, "one"), talk.said(1, "two"));

    talk.script.send(talk.alice, &one);
    talk.script.send(talk.alice, &two);
    talk.script.part(talk.alice, Parting::Broken);
    let again = talk.script.come_back("alice", "phone", Platform::Ios, Some(1));
    for said in [&one, &two] {
        let sent = talk.script.send(again, said);
        talk.script.answer(sent, ack(said, true));
    }
    talk.read_back(&[two, one]);

    talk.script.breaks(Rule::OneOrder);
}

#[test]
fn a_repeat_from_elsewhere_when_all_was_stored_excuses_no_wrong_order() {
    let mut talk = Talk::new();
    let (one, two) = (talk.said(2, "one"), talk.said(1, "two"));

    let first = talk.script.send(talk.alice, &one);
    talk.script.store(talk.alice, &two);
    talk.script.answer(first, ack(&one, false));
    let laptop = talk.script.log_in("alice", "laptop", Platform::Linux);
    let again = talk.script.send(laptop, &two);
    talk.script.answer(again, ack(&two, true));
    talk.read_back(&[two, one]);

    talk.script.breaks(Rule::OneOrder);
}

fn read(talk: &mut Talk, seq: u64, stands: u64) {
    let log = talk.log.clone();
    let asked = talk.script.ask(talk.bob, Command::Read { log: log.clone(), seq });
    talk.script.answer(asked, Answer::Cursor { log, seq: stands });
}

#[test]
fn a_cursor_that_fell() {
    let mut talk = Talk::new();
    let all = [talk.say(1, "one"), talk.say(2, "two")];

    read(&mut talk, 2, 2);
    read(&mut talk, 1, 1);
    talk.read_back(&all);

    talk.script.breaks(Rule::Cursors);
}

#[test]
fn a_cursor_beyond_the_head() {
    let mut talk = Talk::new();
    let all = [talk.say(1, "one")];

    read(&mut talk, 9, 9);
    talk.read_back(&all);

    talk.script.breaks(Rule::Cursors);
}

#[test]
fn a_cursor_at_what_was_not_sent_yet() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");

    read(&mut talk, 2, 2);
    let two = talk.say(2, "two");
    talk.read_back(&[one, two]);

    talk.script.breaks(Rule::Cursors);
}

#[test]
fn a_delivery_of_which_a_page_knows_less_than_the_device_was_told() {
    let mut talk = Talk::new();
    let one = talk.say(1, "one");
    let log = talk.log.clone();

    let asked = talk.script.ask(talk.bob, Command::Received { log: log.clone(), seq: 1 });
    talk.script.answer(asked, Answer::Cursor { log: log.clone(), seq: 1 });
    let history = Command::History { log: log.clone(), after: Some(0), before: None };
    let asked = talk.script.ask(talk.alice, history);
    let peer = Some(Peer { delivered: 0, read: None });
    let (min_seq, head, has_more, entries) = (1, 1, false, vec![one.clone()]);
    talk.script.answer(asked, Answer::Page { log, min_seq, head, has_more, entries, peer });
    talk.read_back(&[one]);

    talk.script.breaks(Rule::Cursors);
}

#[test]
fn a_receipt_that_fell() {
    let mut talk = Talk::new();
    let all = [talk.say(1, "one"), talk.say(2, "two")];

    for seq in [2, 1] {
        let (log, user) = (talk.log.clone(), "bob".to_owned());
        talk.script.push(talk.alice, Push::Read { log, seq, user });
    }
    talk.read_back(&all);

    talk.script.breaks(Rule::Cursors);
}

#[test]
fn a_loser_that_is_acked_what_it_sent_when_the_winner_was_in() {
    let mut talk = Talk::new();

    let winner = talk.script.log_in("alice", "other-phone", Platform::Android);
    let one = talk.say(1, "one");
    talk.script.part(talk.alice, Parting::Server { code: 4501 });
    talk.script.part(winner, Parting::Client);
    talk.read_back(&[one]);

    assert_eq!(talk.script.breaks(Rule::OneWinner).witness.len(), 3);
}

#[test]
fn a_loser_that_is_acked_what_was_stored_when_the_winner_was_in() {
    let mut talk = Talk::new();
    let one = entry(&talk.log, 1, "bob", "one", "one");
    let two = talk.said(2, "two");

    let late = talk.script.send(talk.alice, &two);
    talk.script.log_in("alice", "other-phone", Platform::Android);
    talk.script.store(talk.bob, &one);
    talk.script.answer(late, ack(&two, false));
    talk.script.part(talk.alice, Parting::Server { code: 4501 });
    talk.read_back(&[one, two]);

    talk.script.breaks(Rule::OneWinner);
}

#[test]
fn two_who_stand_though_only_one_may() {
    let mut script = Script::in_mode("single");

    let phone = script.log_in("alice", "phone", Platform::Ios);
    script.log_in("alice", "tab", Platform::Web);
    script.wait(Duration::from_secs(31));
    let ping = script.ask(phone, Command::Other { name: "ping".to_owned() });
    script.answer(ping, Answer::Done);

    script.breaks(Rule::OneWinner);
}

#[test]
fn one_that_comes_back_by_itself_though_another_took_its_place() {
    let mut script = Script::new();

    let phone = script.log_in("alice", "phone", Platform::Ios);
    script.part(phone, Parting::Broken);
    let other = script.log_in("alice", "other-phone", Platform::Android);
    script.come_back("alice", "phone", Platform::Ios, Some(1));
    script.part(other, Parting::Server { code: 4501 });

    script.breaks(Rule::OneWinner);
}

#[test]
fn two_logins_of_one_number() {
    let mut script = Script::new();

    script.log_in("alice", "tab", Platform::Web);
    let other = script.open("alice", "other-tab", Platform::Web);
    let asked = script.ask(other, Command::Login { resume: None });
    let epoch = "e1".to_owned();
    script.answer(asked, Answer::LoggedIn { login_no: 1, epoch, heads: Heads::default() });

    script.breaks(Rule::OneWinner);
}

fn presence(state: &str) -> Presence {
    let (state, platforms) = (state.to_owned(), vec![format!("web:{state}")]);
    Presence { state, platforms, status: None, text: None }
}

fn seen(watcher: &str, user: &str, state: &str, asked: bool) -> What {
    let (watcher, user, node) = (watcher.to_owned(), user.to_owned(), "n1".to_owned());
    What::Seen { watcher, node, user, presence: presence(state), asked }
}

#[test]
fn a_watcher_who_was_not_told_how_it_ended() {
    let mut script = Script::new();

    script.see(What::Truth { user: "alice".to_owned(), presence: presence("online") });
    script.see(seen("bob", "alice", "online", false));
    script.see(seen("carol", "alice", "background", false));

    assert_eq!(script.breaks(Rule::Presence).witness, [1, 3]);
}

#[test]
fn one_who_asks_and_gets_what_is_no_longer_true() {
    let mut script = Script::new();

    script.see(What::Truth { user: "alice".to_owned(), presence: presence("online") });
    script.see(seen("bob", "alice", "online", true));
    script.see(What::Truth { user: "alice".to_owned(), presence: presence("background") });
    script.see(seen("bob", "alice", "online", true));

    assert_eq!(script.breaks(Rule::Presence).witness, [3, 4]);
}

/// An append under a claim that still stood when it was committed.
fn owned(seq: u64, shard_epoch: u64, node: &str) -> What {
    let (log, node) = (Log::group("eng"), Some(node.to_owned()));
    let under = Claims { shard_epoch, fence: 1 };
    What::Owned { log, shard: 7, seq, node, under, until: under }
}

fn claimed(shard_epoch: u64, node: &str) -> What {
    What::Claimed { shard: 7, shard_epoch, node: node.to_owned() }
}

#[test]
fn an_owner_that_appends_when_another_has_taken_over() {
    let mut script = Script::new();

    script.see(owned(1, 1, "n1"));
    script.see(owned(3, 1, "n1"));
    script.see(owned(2, 2, "n2"));

    script.breaks(Rule::OneOwner);
}

#[test]
fn two_owners_in_one_epoch() {
    let mut script = Script::new();

    script.see(owned(1, 1, "n1"));
    script.see(owned(2, 1, "n2"));

    script.breaks(Rule::OneOwner);
}

#[test]
fn one_that_appends_in_the_epoch_of_another() {
    let mut script = Script::new();

    script.see(claimed(1, "n1"));
    script.see(claimed(2, "n2"));
    script.see(owned(1, 1, "n1"));
    script.see(owned(2, 2, "n1"));

    assert_eq!(script.breaks(Rule::OneOwner).witness, [2, 4]);
}

#[test]
fn two_claims_under_one_epoch() {
    let mut script = Script::new();

    script.see(claimed(1, "n1"));
    script.see(claimed(1, "n2"));

    script.breaks(Rule::OneOwner);
}

#[test]
fn claims_that_do_not_wait_for_what_is_being_appended() {
    let before = Claims { shard_epoch: 1, fence: 1 };
    for until in [Claims { shard_epoch: 2, ..before }, Claims { fence: 2, ..before }] {
        let mut script = Script::new();
        let (log, node) = (Log::group("eng"), Some("n1".to_owned()));

        script.see(claimed(1, "n1"));
        script.see(What::Owned { log, shard: 7, seq: 1, node, under: before, until });

        assert_eq!(script.breaks(Rule::OneOwner).witness, [2]);
    }
}

impl Talk {
    /// Nothing was wrong all the while; what was said is in the log and in bob's inbox.
    fn ends_in_calm(mut self, all: &[Entry]) -> Script {
        self.script.be_calm(Duration::from_secs(15));
        self.read_back(all);
        self.script.inbox_back("bob", all);
        self.script
    }
}

#[test]
fn one_who_is_online_and_finds_out_only_by_looking() {
    let mut talk = Talk::new();
    let one = Entry { inbox: Some(1), ..talk.said(1, "one") };

    talk.script.store(talk.alice, &one);
    let log = talk.log.clone();
    talk.script.page(talk.bob, &log, 0, std::slice::from_ref(&one));

    assert_eq!(talk.ends_in_calm(&[one]).breaks(Rule::Pushed).witness.len(), 4);
}

#[test]
fn one_who_is_pushed_something_too_late() {
    let mut talk = Talk::new();
    let one = Entry { inbox: Some(1), ..talk.said(1, "one") };

    talk.script.store(talk.alice, &one);
    talk.script.wait(Duration::from_secs(11));
    talk.script.show(talk.bob, &one);

    talk.ends_in_calm(&[one]).breaks(Rule::Pushed);
}

#[test]
fn one_who_is_told_to_sync_only_before_it() {
    let mut talk = Talk::new();
    let one = Entry { inbox: Some(1), ..talk.said(1, "one") };

    talk.script.push(talk.bob, Push::SyncNeeded);
    let sync = talk.script.ask(talk.bob, Command::Other { name: "sync".to_owned() });
    let (epoch, heads) = ("e1".to_owned(), Heads::default());
    talk.script.answer(sync, Answer::Synced { epoch, heads });
    talk.script.store(talk.alice, &one);

    talk.ends_in_calm(&[one]).breaks(Rule::Pushed);
}

#[test]
fn one_who_logs_in_and_is_neither_told_of_a_head_nor_pushed_what_is_behind_it() {
    let mut talk = Talk::new();
    let eng = Log::group("eng");
    let one = entry(&eng, 1, "alice", "one", "one");

    talk.script.store(talk.alice, &one);
    talk.script.heads.groups.insert(eng.clone(), 0);
    talk.script.log_in("carol", "tab", Platform::Web);
    talk.script.be_calm(Duration::from_secs(15));
    talk.script.read_back("n1", &eng, std::slice::from_ref(&one));
    let Some(What::ReadBack { user, .. }) =
        talk.script.history.events.last_mut().map(|event| &mut event.what)
    else {
        panic!("a log was read back");
    };
    "carol".clone_into(user);

    talk.script.breaks(Rule::Pushed);
}
