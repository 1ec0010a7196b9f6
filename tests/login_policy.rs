//! Which devices of one user may be logged in together, decided by real logins.
//!
//! `cargo test --test login_policy -- --nocapture` prints the table.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

mod common;

use std::fmt::Write;

use common::chat::{App, Raw, patience};
use common::node::Node;
use common::policy::{self, parts, rules};
use futures_util::future::join_all;
use rookery::domain::login_policy::{Caps, LoginPolicy, Mode, OnConflict};
use rookery::limits;
use rookery::protocol::Platform;
use serde_json::{Value, json};

/// What became of a login beside one that was in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Both,
    Ended,
    Refused,
}

impl Came {
    fn word(self) -> &'static str {
        match self {
            Self::Both => "both",
            Self::Ended => "ends it",
            Self::Refused => "refused",
        }
    }

    fn expected(policy: &LoginPolicy, new: Platform, old: Platform) -> Self {
        match (parts(policy.mode, new, old), policy.on_conflict) {
            (false, _) => Self::Both,
            (true, OnConflict::NewestWins) => Self::Ended,
            (true, OnConflict::RefuseNewcomer) => Self::Refused,
        }
    }
}

/// Whether a session is in; if not, it was closed with 4501.
async fn is_in(raw: &mut Raw) -> bool {
    match patience("an answer or the end", raw.0.call("ping", json!({}))).await {
        Ok(_) => true,
        Err(parted) => {
            assert_eq!(parted.code(), Some(4501), "{parted}");
            false
        }
    }
}

/// Ended by policy, told so, and closed.
async fn assert_kicked(raw: &mut Raw, by: &str) {
    let kicked = raw.event("session.kicked").await;
    assert_eq!((&kicked["reason"], &kicked["by"]), (&json!("policy"), &json!(by)), "{kicked}");
    assert!(kicked["at_ms"].is_i64(), "{kicked}");
    assert_eq!(raw.event("session.closing").await["code"], 4501);
}

/// Turned away, told who is in, and closed.
async fn assert_refused(mut raw: Raw, reply: &Value, by: &[(Platform, &str)]) {
    assert_eq!(reply["error"]["code"], "conflict", "{reply}");
    let devices: Vec<(Value, Value)> = reply["error"]["devices"]
        .as_array()
        .unwrap_or_else(|| panic!("it does not say who is in: {reply}"))
        .iter()
        .map(|device| (device["platform"].clone(), device["id"].clone()))
        .collect();
    let by: Vec<(Value, Value)> = by.iter().map(|(on, id)| (json!(on), json!(id))).collect();
    assert_eq!(devices, by, "{reply}");
    assert_eq!(raw.closed().await, 4501);
}

/// A device logs in while another is in.
async fn meet(app: &App, user: &str, new: Platform, old: Platform) -> Came {
    let mut there = app.raw_from(user, old, "old").await;
    let mut newcomer = app.connect().await;
    let login = app.login_from(user, new, "new");
    let reply = patience("a login", newcomer.0.call("login", login)).await.unwrap();

    let old_is_in = is_in(&mut there).await;
    if reply.get("ok").is_none() {
        assert!(old_is_in, "{new:?} was refused, and {old:?} ended: {reply}");
        assert_refused(newcomer, &reply, &[(old, "old")]).await;
        return Came::Refused;
    }
    assert!(is_in(&mut newcomer).await);
    let devices = newcomer.ok("device.list", json!({})).await;
    let online = |row: &&Value| row["online"] == true;
    let online = devices["devices"].as_array().unwrap().iter().filter(online).count();
    assert_eq!(online, 1 + usize::from(old_is_in), "{devices}");
    if old_is_in {
        return Came::Both;
    }
    assert_kicked(&mut there, "new").await;
    Came::Ended
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_mode_lets_in_and_ends_as_its_row_of_the_table_says() {
    let node = Node::start();
    let app = App::of(&node);
    let mut table = String::new();

    for mode in Mode::ALL {
        for on_conflict in OnConflict::ALL {
            let policy = rules(mode, on_conflict);
            policy::set(&node, policy).await;
            let heading = format!("{}, {}", mode.as_str(), on_conflict.as_str());
            writeln!(table, "\n{heading}: a login from the left while the device above is in")
                .unwrap();
            let head = Platform::ALL.map(|old| format!("{:>9}", old.as_str())).concat();
            writeln!(table, "{:8}{head}", "").unwrap();
            for new in Platform::ALL {
                let row = join_all(Platform::ALL.map(|old| {
                    let app = &app;
                    async move {
                        let (mode, rule) = (mode.as_str(), on_conflict.as_str());
                        let user = format!("{mode}-{rule}-{}-{}", new.as_str(), old.as_str());
                        meet(app, &user, new, old).await
                    }
                }))
                .await;
                let words = row.iter().map(|came| format!("{:>9}", came.word()));
                writeln!(table, "{:8}{}", new.as_str(), words.collect::<String>()).unwrap();
                for (old, came) in Platform::ALL.into_iter().zip(row) {
                    let expected = Came::expected(&policy, new, old);
                    assert_eq!(came, expected, "{heading}: {new:?} beside {old:?}");
                }
            }
        }
    }
    println!("{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_platform_has_as_many_sessions_as_its_cap_and_the_oldest_goes_for_one_more() {
    let node = Node::start();
    let app = App::of(&node);
    let wider = Caps::default().with(Platform::Web, 12).and_then(|it| it.with(Platform::Ios, 1));
    let mut table = String::from("\nsessions on a platform, mode all\n");

    for (name, caps) in [("default", Caps::default()), ("changed", wider.unwrap())] {
        for on_conflict in OnConflict::ALL {
            let policy = LoginPolicy { mode: Mode::All, on_conflict, caps };
            policy::set(&node, policy).await;
            for platform in Platform::ALL {
                let user = format!("{name}-{}-{}", on_conflict.as_str(), platform.as_str());
                let cap = caps.of(platform);
                let mut sessions = Vec::new();
                for nth in 1..=cap {
                    sessions.push(app.raw_from(&user, platform, &format!("d{nth}")).await);
                }
                // Other platforms have places of their own.
                let other = if platform == Platform::Web { Platform::Api } else { Platform::Web };
                let mut elsewhere = app.raw_from(&user, other, "elsewhere").await;

                let mut newcomer = app.connect().await;
                let login = app.login_from(&user, platform, "one-more");
                let reply = patience("a login", newcomer.0.call("login", login)).await.unwrap();

                let mut oldest = sessions.remove(0);
                match on_conflict {
                    OnConflict::NewestWins => {
                        assert!(is_in(&mut newcomer).await, "{reply}");
                        assert_kicked(&mut oldest, "one-more").await;
                    }
                    OnConflict::RefuseNewcomer => {
                        assert_refused(newcomer, &reply, &[(platform, "d1")]).await;
                        sessions.push(oldest);
                    }
                }
                for raw in sessions.iter_mut().chain([&mut elsewhere]) {
                    assert!(is_in(raw).await, "{platform:?} beyond {cap}");
                }
                let next = match on_conflict {
                    OnConflict::NewestWins => "ends the oldest",
                    OnConflict::RefuseNewcomer => "is refused",
                };
                let platform = platform.as_str();
                writeln!(table, "{platform:8} {cap:2} are in, one more {next}").unwrap();
            }
        }
    }
    println!("{table}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_caps_let_in_more_sessions_than_a_user_may_have() {
    let node = Node::start();
    let app = App::of(&node);
    let most = limits::SESSIONS_PER_USER;
    let caps = Caps::default().with(Platform::Web, most).unwrap();
    policy::set(&node, LoginPolicy { mode: Mode::All, caps, ..LoginPolicy::default() }).await;
    let mut phone = app.raw_from("alice", Platform::Ios, "phone").await;
    let mut tabs = Vec::new();
    for nth in 1..most {
        tabs.push(app.raw("alice", &format!("tab{nth}")).await);
    }
    assert!(is_in(&mut phone).await);

    tabs.push(app.raw("alice", "one-more").await);

    assert_kicked(&mut phone, "one-more").await;
    for tab in &mut tabs {
        assert!(is_in(tab).await);
    }
}

/// Devices that can only be in one at a time under these rules, several of them.
fn rivals(mode: Mode) -> (LoginPolicy, [Platform; 4]) {
    use Platform::{Android, Ios, Linux, Macos, Web};
    let rules = rules(mode, OnConflict::NewestWins);
    match mode {
        Mode::Single => (rules, [Web, Ios, Linux, Web]),
        Mode::NativeAndWeb => (rules, [Ios, Macos, Android, Linux]),
        Mode::PerClass => (rules, [Ios, Android, Ios, Android]),
        Mode::All => {
            let caps = rules.caps.with(Web, 1).unwrap();
            (LoginPolicy { caps, ..rules }, [Web; 4])
        }
    }
}

/// Several devices log in at once, perhaps while another is in; what each was told.
async fn rush(app: &App, user: &str, platforms: &[Platform], incumbent: bool) -> Vec<(Raw, Value)> {
    let mut contenders = Vec::new();
    if incumbent {
        let raw = app.raw_from(user, platforms[0], "incumbent").await;
        contenders.push((raw, json!({"ok": {"login_no": "0"}})));
    }
    let mut newcomers = Vec::new();
    for (nth, platform) in platforms.iter().enumerate() {
        newcomers.push((app.connect().await, app.login_from(user, *platform, &format!("d{nth}"))));
    }
    let rush = newcomers.into_iter().map(|(mut raw, login)| async move {
        let reply = match patience("a login", raw.0.call("login", login)).await {
            Ok(reply) => reply,
            // One that lost before it was answered is closed instead.
            Err(parted) => {
                assert_eq!(parted.code(), Some(4501), "{parted}");
                Value::Null
            }
        };
        (raw, reply)
    });
    contenders.extend(join_all(rush).await);
    contenders
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_logins_at_once_exactly_one_wins_a_thousand_times() {
    const AT_ONCE: usize = 5;
    const WAVES: usize = 25;
    let node = Node::start();
    let app = App::of(&node);
    let mut rounds = 0;

    for mode in Mode::ALL {
        for on_conflict in OnConflict::ALL {
            let (rules, platforms) = rivals(mode);
            policy::set(&node, LoginPolicy { on_conflict, ..rules }).await;
            for wave in 0..WAVES {
                let round = |nth: usize| {
                    let user = format!("{}-{}-{wave}-{nth}", mode.as_str(), on_conflict.as_str());
                    let (app, platforms) = (&app, &platforms[..2 + nth % 3]);
                    async move {
                        let mut all = rush(app, &user, platforms, nth.is_multiple_of(2)).await;
                        let mut winners = Vec::new();
                        for (place, (raw, reply)) in all.iter_mut().enumerate() {
                            if !reply.is_null() && is_in(raw).await {
                                winners.push(place);
                            }
                        }
                        let told: Vec<&Value> = all.iter().map(|(_, reply)| reply).collect();
                        assert_eq!(winners.len(), 1, "{user}: {winners:?} of {told:?}");
                        let winner = winners[0];
                        if on_conflict == OnConflict::NewestWins {
                            let newest = told.iter().map(|reply| login_no(reply)).max();
                            assert_eq!(Some(login_no(told[winner])), newest, "{told:?}");
                        }
                        assert!(told[winner].get("ok").is_some(), "{told:?}");
                        let devices = all[winner].0.ok("device.list", json!({})).await;
                        let rows = devices["devices"].as_array().unwrap();
                        let online = rows.iter().filter(|row| row["online"] == true);
                        assert_eq!(online.count(), 1, "{devices}");
                    }
                };
                join_all((0..AT_ONCE).map(round)).await;
                rounds += AT_ONCE;
            }
        }
    }
    println!("{rounds} rounds of 2 to 5 devices, one winner in each");
    assert_eq!(rounds, 1000);
}

fn login_no(reply: &Value) -> u64 {
    reply["ok"]["login_no"].as_str().unwrap_or("0").parse().unwrap()
}
