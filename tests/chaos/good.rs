//! Histories of runs in which much went wrong, and nothing that was promised.

use std::time::Duration;

use rookery::ids::Platform;
use rookery::protocol::Code;

use super::chaos::history::{
    Answer, Command, Conn, Entry, Heads, History, Log, Parting, Push, Stream, What,
};
use super::script::{Script, ack, entry};

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

    fn send_and_refuse(&mut self, said: &Entry, code: Code) {
        let sent = self.script.send(self.alice, said);
        self.script.refuse(sent, code);
    }

    fn read_back(&mut self, entries: &[Entry]) {
        for node in ["n1", "n2"] {
            self.script.read_back(node, &self.log, entries);
        }
    }

    fn alice_comes_back(&mut self, login_no: u64) {
        self.script.part(self.alice, Parting::Broken);
        self.alice = self.script.come_back("alice", "phone", Platform::Ios, Some(login_no));
    }
}

#[test]
fn a_talk_in_which_all_goes_well() {
    let mut talk = Talk::new();
    let one = Entry { inbox: Some(1), ..talk.said(1, "one") };
    let two = Entry { inbox: Some(2), ..entry(&talk.log, 2, "bob", "two", "two") };
    let log = talk.log.clone();

    talk.script.store(talk.alice, &one);
    talk.script.show(talk.bob, &one);
    let asked = talk.script.ask(talk.bob, Command::Received { log: log.clone(), seq: 1 });
    talk.script.answer(asked, Answer::Cursor { log: log.clone(), seq: 1 });
    let (user, by) = ("bob".to_owned(), "device".to_owned());
    talk.script.push(talk.alice, Push::Delivered { log: log.clone(), seq: 1, user, by });
    talk.script.store(talk.bob, &two);
    talk.script.show(talk.alice, &two);
    let (user, device, of) = ("bob".to_owned(), "tab".to_owned(), Stream::Inbox);
    talk.script.see(What::Position { user, device, of, from: 0, to: 2 });
    talk.read_back(&[one.clone(), two.clone()]);
    for user in ["alice", "bob"] {
        talk.script.inbox_back(user, &[one.clone(), two.clone()]);
    }

    talk.script.holds();
}

#[test]
fn a_send_without_an_answer_may_be_stored_or_not() {
    for is_stored in [false, true] {
        let mut talk = Talk::new();
        let one = talk.said(1, "one");

        talk.script.send(talk.alice, &one);
        talk.script.part(talk.alice, Parting::Broken);
        talk.read_back(if is_stored { std::slice::from_ref(&one) } else { &[] });

        talk.script.holds();
    }
}

#[test]
fn a_send_of_unknown_outcome_may_be_stored_or_not_and_so_may_what_came_behind_it() {
    for stored in 0..=2 {
        let mut talk = Talk::new();
        let all = [talk.said(1, "one"), talk.said(2, "two")];

        let sent = [talk.script.send(talk.alice, &all[0]), talk.script.send(talk.alice, &all[1])];
        talk.script.refuse(sent[0], Code::OutcomeUnknown);
        talk.script.refuse(sent[1], Code::OrderBroken);
        talk.script.part(talk.alice, Parting::Server { code: 4001 });
        talk.read_back(&all[..stored]);

        talk.script.holds();
    }
}

#[test]
fn what_the_store_refused_comes_again_in_order() {
    let mut talk = Talk::new();
    let (one, two) = (talk.said(1, "one"), talk.said(2, "two"));

    talk.send_and_refuse(&one, Code::Unavailable);
    talk.send_and_refuse(&two, Code::OrderBroken);
    talk.send_and_refuse(&one, Code::OutcomeUnknown);
    talk.script.wait(Duration::from_secs(5));
    talk.alice_comes_back(1);
    for said in [&one, &two] {
        let sent = talk.script.send(talk.alice, said);
        talk.script.answer(sent, ack(said, said.seq == 1));
        talk.script.show(talk.bob, said);
    }
    talk.read_back(&[one, two]);

    talk.script.holds();
}

#[test]
fn what_was_refused_and_sent_again_in_order_may_come_in_another_order_on_the_next_connection() {
    let mut talk = Talk::new();
    let (one, two) = (talk.said(1, "one"), talk.said(2, "two"));

    talk.send_and_refuse(&one, Code::Unavailable);
    talk.send_and_refuse(&two, Code::OrderBroken);
    talk.script.send(talk.alice, &one);
    talk.script.send(talk.alice, &two);
    talk.script.show(talk.bob, &one);
    talk.script.show(talk.bob, &two);
    talk.alice_comes_back(1);
    talk.script.send(talk.alice, &two);
    talk.script.send(talk.alice, &one);

    talk.read_back(&[one, two]);
    talk.script.holds();
}

#[test]
fn a_message_whose_place_was_given_up_may_come_late() {
    let mut talk = Talk::new();
    let (one, two) = (talk.said(2, "one"), talk.said(1, "two"));

    talk.send_and_refuse(&one, Code::Unavailable);
    talk.script.wait(Duration::from_secs(31));
    talk.script.store(talk.alice, &two);
    talk.script.store(talk.alice, &one);
    talk.read_back(&[two, one]);

    talk.script.holds();
}

#[test]
fn a_message_that_comes_again_stays_before_one_that_was_told_to_wait_for_it() {
    let mut talk = Talk::new();
    let (one, two) = (talk.said(1, "one"), talk.said(2, "two"));

    talk.send_and_refuse(&one, Code::Unavailable);
    talk.send_and_refuse(&two, Code::OrderBroken);
    talk.script.store(talk.alice, &one);
    talk.alice_comes_back(1);
    talk.script.store(talk.alice, &two);
    let again = talk.script.send(talk.alice, &one);
    talk.script.answer(again, ack(&one, true));
    talk.read_back(&[one, two]);

    talk.script.holds();
}

#[test]
fn a_message_that_was_refused_for_good_holds_nobody_up() {
    let mut talk = Talk::new();
    let (one, two) = (talk.said(2, "one"), talk.said(1, "two"));

    talk.send_and_refuse(&one, Code::Forbidden);
    talk.script.store(talk.alice, &two);
    talk.script.store(talk.alice, &one);
    talk.read_back(&[two, one]);

    talk.script.holds();
}

#[test]
fn two_devices_have_no_order_between_them() {
    let mut talk = Talk::new();
    let (one, two) = (talk.said(2, "one"), talk.said(1, "two"));

    let first = talk.script.send(talk.alice, &one);
    let laptop = talk.script.log_in("alice", "laptop", Platform::Linux);
    talk.script.store(laptop, &two);
    talk.script.answer(first, ack(&one, false));
    talk.read_back(&[two, one]);

    talk.script.holds();
}

#[test]
fn an_old_message_that_is_sent_again_stays_where_it_is() {
    let mut talk = Talk::new();
    let (one, two) = (talk.said(1, "one"), talk.said(2, "two"));

    talk.script.store(talk.alice, &one);
    talk.alice_comes_back(1);
    let sent = talk.script.send(talk.alice, &two);
    let again = talk.script.send(talk.alice, &one);
    talk.script.answer(again, ack(&one, true));
    talk.script.answer(sent, ack(&two, false));
    talk.script.show(talk.bob, &one);
    let other = Entry { body: "other".to_owned(), ..one.clone() };
    talk.send_and_refuse(&other, Code::KeyReused);
    talk.read_back(&[one, two]);

    talk.script.holds();
}

#[test]
fn an_ack_on_its_way_to_a_loser_may_arrive_behind_the_winners_login() {
    let mut talk = Talk::new();
    let one = talk.said(1, "one");

    let sent = talk.script.send(talk.alice, &one);
    let winner = talk.script.log_in("alice", "other-phone", Platform::Android);
    talk.script.answer(sent, ack(&one, false));
    talk.script.push(talk.alice, Push::Kicked { reason: "policy".to_owned() });
    talk.script.part(talk.alice, Parting::Server { code: 4501 });
    let again = talk.script.send(winner, &one);
    talk.script.answer(again, ack(&one, true));
    talk.read_back(&[one]);

    talk.script.holds();
}

#[test]
fn simultaneous_logins_of_which_one_is_turned_away_and_one_stands() {
    let mut script = Script::in_mode("single");
    let opened = [
        script.open("alice", "phone", Platform::Ios),
        script.open("alice", "tab", Platform::Web),
        script.open("alice", "laptop", Platform::Linux),
    ];

    let asked = opened.map(|conn| script.ask(conn, Command::Login { resume: None }));
    for (nth, login_no) in [(2, 3), (0, 1)] {
        let epoch = "e1".to_owned();
        script.answer(asked[nth], Answer::LoggedIn { login_no, epoch, heads: Heads::default() });
    }
    script.push(opened[0], Push::Kicked { reason: "policy".to_owned() });
    script.part(opened[0], Parting::Server { code: 4501 });
    script.refuse(asked[1], Code::Conflict);
    script.part(opened[1], Parting::Server { code: 4501 });
    script.wait(Duration::from_secs(60));
    let ping = script.ask(opened[2], Command::Other { name: "ping".to_owned() });
    script.answer(ping, Answer::Done);

    script.holds();
}

#[test]
fn what_was_acked_before_the_store_lost_data_may_be_missing_and_come_again() {
    let mut talk = Talk::new();
    let (one, two, three) = (talk.said(1, "one"), talk.said(2, "two"), talk.said(2, "three"));

    for said in [&one, &two] {
        talk.script.store(talk.alice, said);
        talk.script.show(talk.bob, said);
    }
    "e2".clone_into(&mut talk.script.epoch);
    talk.script.see(What::StoreEpoch { epoch: "e2".to_owned() });
    talk.script.part(talk.bob, Parting::Server { code: 4000 });
    talk.alice_comes_back(1);
    talk.script.store(talk.alice, &three);
    let again = Entry { message_id: 5, ..talk.said(3, "two") };
    talk.script.store(talk.alice, &again);
    talk.read_back(&[one, three, again]);

    talk.script.holds();
}

#[test]
fn a_cursor_that_is_asked_for_twice_at_once_may_be_shown_in_either_order() {
    let mut talk = Talk::new();
    let all = [talk.said(1, "one"), talk.said(2, "two")];
    let log = talk.log.clone();

    for said in &all {
        talk.script.store(talk.alice, said);
    }
    let asked =
        [1, 2].map(|seq| talk.script.ask(talk.bob, Command::Read { log: log.clone(), seq }));
    talk.script.answer(asked[1], Answer::Cursor { log: log.clone(), seq: 2 });
    talk.script.answer(asked[0], Answer::Cursor { log, seq: 1 });
    talk.read_back(&all);

    talk.script.holds();
}

#[test]
fn who_was_told_to_sync_or_was_told_of_heads_behind_it_need_not_be_pushed_anything() {
    let mut talk = Talk::new();
    let log = talk.log.clone();
    let all = [1, 2].map(|seq| Entry { inbox: Some(seq), ..talk.said(seq, &seq.to_string()) });

    talk.script.store(talk.alice, &all[0]);
    talk.script.push(talk.bob, Push::SyncNeeded);
    let sync = talk.script.ask(talk.bob, Command::Other { name: "sync".to_owned() });
    talk.script.store(talk.alice, &all[1]);
    let (epoch, heads) = ("e1".to_owned(), Heads { inbox: 2, ..Heads::default() });
    talk.script.heads = heads.clone();
    talk.script.answer(sync, Answer::Synced { epoch, heads });
    talk.script.log_in("bob", "laptop", Platform::Linux);
    talk.script.be_calm(Duration::from_secs(15));
    talk.script.read_back("n1", &log, &all);
    talk.script.inbox_back("bob", &all);

    talk.script.holds();
}

#[test]
fn who_leaves_before_a_push_is_late_is_not_owed_it() {
    let mut talk = Talk::new();
    let log = talk.log.clone();
    let one = Entry { inbox: Some(1), ..talk.said(1, "one") };

    talk.script.store(talk.alice, &one);
    talk.script.wait(Duration::from_secs(2));
    talk.script.part(talk.bob, Parting::Broken);
    talk.script.be_calm(Duration::from_secs(15));
    talk.script.read_back("n1", &log, std::slice::from_ref(&one));
    talk.script.inbox_back("bob", &[one]);

    talk.script.holds();
}

#[test]
fn who_is_let_in_while_a_node_does_not_answer_may_have_to_look() {
    let mut talk = Talk::new();
    let log = talk.log.clone();
    let one = Entry { inbox: Some(1), ..talk.said(1, "one") };

    let tab = talk.script.open("bob", "other-tab", Platform::Web);
    let asked = talk.script.ask(tab, Command::Login { resume: None });
    talk.script.store(talk.alice, &one);
    talk.script.show(talk.bob, &one);
    talk.script.wait(Duration::from_secs(2));
    talk.script.logged_in(asked, "bob");
    talk.script.be_calm(Duration::from_secs(15));
    talk.script.read_back("n1", &log, std::slice::from_ref(&one));
    talk.script.inbox_back("bob", &[one]);

    talk.script.holds();
}

#[test]
fn what_is_acked_right_before_something_goes_wrong_may_come_late() {
    let mut talk = Talk::new();
    let log = talk.log.clone();
    let one = Entry { inbox: Some(1), ..talk.said(1, "one") };

    talk.script.store(talk.alice, &one);
    talk.script.be_calm(Duration::from_secs(5));
    talk.script.read_back("n1", &log, std::slice::from_ref(&one));
    talk.script.inbox_back("bob", &[one]);

    talk.script.holds();
}

#[test]
fn a_history_comes_back_from_its_lines_as_it_was() {
    let mut talk = Talk::new();
    let one = Entry { inbox: Some(1), ..talk.said(1, "one\n\"two\"") };
    talk.script.store(talk.alice, &one);
    talk.script.show(talk.bob, &one);
    talk.send_and_refuse(&one, Code::OutcomeUnknown);
    let of = Stream::Log(talk.log.clone());
    let (user, device) = ("bob".to_owned(), "tab".to_owned());
    talk.script.see(What::Position { user, device, of, from: 0, to: 1 });
    talk.read_back(&[one]);
    talk.script.part(talk.bob, Parting::Server { code: 4001 });
    let history = talk.script.history;

    let lines = history.to_lines();

    assert_eq!(lines.lines().count(), history.events.len());
    assert_eq!(History::from_lines(&lines).unwrap(), history);
}
