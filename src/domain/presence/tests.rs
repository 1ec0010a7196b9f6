use std::collections::HashMap;

use proptest::collection;
use proptest::prelude::*;

use super::*;

fn now() -> Now {
    Now { at: Instant::now(), time: UnixMs::new(1_000_000_000_000) }
}

fn after(now: Now, seconds: u64) -> Now {
    let time = UnixMs::new(now.time.get() + seconds as i64 * 1000);
    Now { at: now.at + Duration::from_secs(seconds), time }
}

fn device(name: &str) -> DeviceId {
    DeviceId::parse(name).unwrap()
}

fn login(n: i64) -> LoginNo {
    LoginNo::from_store(n)
}

fn minute(now: Now) -> Option<UnixMs> {
    Some(UnixMs::new(now.time.get() / LAST_SEEN_TO_MS * LAST_SEEN_TO_MS))
}

fn saying(version: i64, chosen: Chosen) -> Profile {
    Profile { version, status: Status { chosen, ..Status::NONE }, ..Profile::NONE }
}

/// On a phone since login 1, with nothing chosen.
fn on_a_phone(now: Now) -> Presence {
    let mut presence = Presence::default();
    presence.know(Profile::NONE, now);
    presence.begin(Platform::Ios, &device("phone"), login(1), now);
    presence
}

fn fronts(presence: &Presence, viewer: Viewer, now: Now) -> Vec<(Platform, Front)> {
    presence.seen_by(viewer, now).platforms
}

#[test]
fn a_late_goodbye_of_an_older_session_ends_nothing() {
    let now = now();
    let mut presence = on_a_phone(now);
    presence.begin(Platform::Ios, &device("phone"), login(2), now);

    presence.end(login(1), now);

    assert_eq!(fronts(&presence, Viewer::Stranger, now), [(Platform::Ios, Front::Online)]);
    presence.end(login(2), now);
    assert_eq!(presence.seen_by(Viewer::Stranger, now).front(), None);
}

#[test]
fn a_late_heartbeat_revives_nothing() {
    let now = now();
    let mut presence = on_a_phone(now);
    presence.end(login(1), now);

    presence.renew(login(1), now.at, now);
    presence.set_front(login(1), Front::Online, now);

    assert_eq!(fronts(&presence, Viewer::Own, now), []);
    assert!(presence.is_empty());
}

#[test]
fn a_lease_runs_out_a_minute_after_its_device_was_last_heard_of() {
    let now = now();
    let mut presence = on_a_phone(now);
    presence.renew(login(1), after(now, 10).at, after(now, 20));
    assert_eq!(presence.next_turn(after(now, 20)), Some(after(now, 70).at));

    assert_eq!(fronts(&presence, Viewer::Friend, after(now, 69)).len(), 1);
    assert_eq!(fronts(&presence, Viewer::Friend, after(now, 70)).len(), 0);
    // Whoever looks late finds out when that was.
    presence.tidy(after(now, 700));
    assert_eq!(presence.seen_by(Viewer::Friend, after(now, 700)).last_seen, minute(after(now, 10)));
    assert!(presence.is_empty());
}

#[test]
fn the_best_of_each_platform_is_shown_and_the_best_platform_first() {
    let now = now();
    let mut presence = on_a_phone(now);
    presence.begin(Platform::Web, &device("one"), login(2), now);
    presence.begin(Platform::Web, &device("other"), login(3), now);
    presence.set_front(login(1), Front::Background, now);
    presence.set_front(login(2), Front::Background, now);

    let seen = presence.seen_by(Viewer::Stranger, now);

    assert_eq!(seen.front(), Some(Front::Online));
    let expected = [(Platform::Web, Front::Online), (Platform::Ios, Front::Background)];
    assert_eq!(seen.platforms, expected);
    presence.end(login(3), now);
    assert_eq!(presence.seen_by(Viewer::Stranger, now).front(), Some(Front::Background));
}

#[test]
fn who_is_invisible_is_offline_to_all_others_since_then() {
    let now = now();
    let mut presence = on_a_phone(now);
    let offline = Seen { last_seen: minute(after(now, 200)), ..Seen::NOTHING };
    presence.renew(login(1), after(now, 30).at, after(now, 30));
    presence.renew(login(1), after(now, 80).at, after(now, 80));
    presence.renew(login(1), after(now, 130).at, after(now, 130));
    presence.renew(login(1), after(now, 180).at, after(now, 180));
    presence.know(saying(1, Chosen::Invisible), after(now, 200));

    for viewer in [Viewer::Friend, Viewer::Stranger] {
        assert_eq!(presence.seen_by(viewer, after(now, 210)), offline);
    }
    let own = presence.seen_by(Viewer::Own, after(now, 210));
    assert_eq!(own.status.map(|status| status.chosen), Some(Chosen::Invisible));
    assert_eq!(own.platforms, [(Platform::Ios, Front::Online)]);
    // That the device leaves is nothing that anyone saw.
    presence.end(login(1), after(now, 230));
    assert_eq!(presence.seen_by(Viewer::Friend, after(now, 230)), offline);
}

#[test]
fn nobody_sees_a_user_of_whom_the_store_was_not_asked_yet() {
    let now = now();
    let mut presence = Presence::default();
    presence.begin(Platform::Ios, &device("phone"), login(1), now);

    assert_eq!(presence.seen_by(Viewer::Friend, now), Seen::NOTHING);
    presence.know(saying(4, Chosen::Invisible), now);
    assert_eq!(presence.seen_by(Viewer::Friend, now), Seen::NOTHING);
}

#[test]
fn of_two_statuses_the_higher_version_holds_whichever_comes_last() {
    let now = now();
    let mut presence = on_a_phone(now);

    presence.know(saying(3, Chosen::Busy), now);
    presence.know(saying(2, Chosen::Away), now);

    let status = presence.seen_by(Viewer::Friend, now).status.unwrap();
    assert_eq!(status.chosen, Chosen::Busy);
}

#[test]
fn a_status_ends_by_itself_with_its_words() {
    let now = now();
    let mut presence = on_a_phone(now);
    let until = Some(after(now, 30).time);
    let status = Status { chosen: Chosen::Dnd, text: Some("in a film".into()), until };
    presence.know(Profile { version: 1, status: status.clone(), ..Profile::NONE }, now);
    assert_eq!(presence.next_turn(now), Some(after(now, 30).at));

    let at = |seconds| presence.seen_by(Viewer::Stranger, after(now, seconds)).status;

    assert_eq!(at(29), Some(status));
    assert_eq!(at(30), Some(Status::NONE));
}

#[test]
fn when_a_user_was_last_there_is_seen_by_whom_they_let() {
    let now = now();
    for (seen_to, friend, stranger) in [
        (SeenTo::Everyone, true, true),
        (SeenTo::Friends, true, false),
        (SeenTo::Nobody, false, false),
    ] {
        let mut presence = on_a_phone(now);
        presence.know(Profile { version: 1, seen_to, ..Profile::NONE }, now);
        presence.end(login(1), now);

        let sees = |viewer| presence.seen_by(viewer, now).last_seen;
        assert_eq!(sees(Viewer::Own), minute(now));
        assert_eq!(sees(Viewer::Friend), minute(now).filter(|_| friend));
        assert_eq!(sees(Viewer::Stranger), minute(now).filter(|_| stranger));
    }
}

#[test]
fn names_come_back_from_the_store() {
    assert!(Chosen::ALL.iter().all(|it| Chosen::from_store(it.as_str()) == Some(*it)));
    assert!(SeenTo::ALL.iter().all(|it| SeenTo::from_store(it.as_str()) == Some(*it)));
    assert_eq!(Chosen::from_store("asleep"), None);
}

#[derive(Debug, Clone)]
enum Step {
    /// A device logs in.
    Begin(usize),
    /// Something of one of the logins so far comes in, however late.
    End(usize),
    Renew(usize),
    SetFront(usize, bool),
    Pass(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0..3usize).prop_map(Step::Begin),
        2 => any::<usize>().prop_map(Step::End),
        3 => any::<usize>().prop_map(Step::Renew),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(n, front)| Step::SetFront(n, front)),
        2 => (1..40u64).prop_map(Step::Pass),
    ];
    collection::vec(step, 0..60)
}

proptest! {
    /// Each device is seen by what came of its last login alone, whatever comes late of earlier ones.
    #[test]
    fn only_the_last_login_of_a_device_counts(steps in steps()) {
        const PLATFORMS: [Platform; 3] = [Platform::Web, Platform::Ios, Platform::Linux];
        let mut now = now();
        let mut presence = Presence::default();
        presence.know(Profile::NONE, now);
        // For each device: its last login, whether it is in front, when it was heard of; and all logins so far.
        let mut model: HashMap<usize, (i64, Front, Instant)> = HashMap::new();
        let mut logins = 0i64;
        for step in steps {
            let nth = |n: usize| if logins == 0 { 0 } else { n as i64 % logins + 1 };
            let of = |model: &HashMap<usize, (i64, Front, Instant)>, n: i64| {
                model.iter().find(|(_, (login, _, _))| *login == n).map(|(device, _)| *device)
            };
            match step {
                Step::Begin(which) => {
                    logins += 1;
                    let name = device(&format!("d{which}"));
                    presence.begin(PLATFORMS[which], &name, login(logins), now);
                    model.insert(which, (logins, Front::Online, now.at));
                }
                Step::End(n) => {
                    presence.end(login(nth(n)), now);
                    if let Some(which) = of(&model, nth(n)) {
                        model.remove(&which);
                    }
                }
                Step::Renew(n) => {
                    presence.renew(login(nth(n)), now.at, now);
                    if let Some(which) = of(&model, nth(n)) {
                        model.get_mut(&which).unwrap().2 = now.at;
                    }
                }
                Step::SetFront(n, is_in_front) => {
                    let front = if is_in_front { Front::Online } else { Front::Background };
                    presence.set_front(login(nth(n)), front, now);
                    if let Some(which) = of(&model, nth(n)) {
                        model.get_mut(&which).unwrap().1 = front;
                    }
                }
                Step::Pass(seconds) => {
                    now = after(now, seconds);
                    model.retain(|_, (_, _, heard)| *heard + limits::PRESENCE_LEASE > now.at);
                }
            }
            let mut expected: Vec<_> =
                model.iter().map(|(which, (_, front, _))| (PLATFORMS[*which], *front)).collect();
            expected.sort_unstable_by_key(|(platform, front)| (*front, *platform));
            for viewer in [Viewer::Own, Viewer::Friend, Viewer::Stranger] {
                prop_assert_eq!(&fronts(&presence, viewer, now), &expected);
            }
            // Whoever was seen, and is not any more, was seen until some minute.
            let was_seen = logins > 0 && expected.is_empty();
            let mut looked = presence.clone();
            looked.tidy(now);
            prop_assert_eq!(looked.seen_by(Viewer::Own, now).last_seen.is_some(), was_seen);
            // Until the next turn nothing changes by itself.
            if let Some(turn) = presence.next_turn(now) {
                let ms = turn.duration_since(now.at).as_millis() as u64;
                let before = Now { at: turn - Duration::from_millis(1), time: UnixMs::new(now.time.get() + ms as i64 - 1) };
                prop_assert_eq!(&fronts(&presence, Viewer::Friend, before), &expected);
            }
        }
    }
}
