//! Logins: what they are decided by, who wins, and what stands afterwards.

use std::collections::BTreeSet;

use rookery::domain::login_policy::{EndedBy, LoginPolicy, Session};
use rookery::ids::{AppId, LoginNo, Platform};
use rookery::limits;
use rookery::store::logins::{self, Ask, Entered, Entering, Standing};
use rookery::store::sessions::{self, Which};
use rookery::store::{apps, users};

use super::base::{Base, device, entering, id};

fn login_no(entered: &Entered) -> Option<LoginNo> {
    match entered {
        Entered::In { login_no, .. } => Some(*login_no),
        Entered::Moved => None,
    }
}

#[tokio::test]
async fn logins_at_once_get_numbers_of_their_own_and_a_user_is_made_once() {
    let base = Base::start().await;

    let logins = tokio::join!(
        base.login("alice", "phone"),
        base.login("alice", "phone"),
        base.login("alice", "tablet"),
        base.login("alice", "laptop"),
    );

    let all = [logins.0, logins.1, logins.2, logins.3];
    assert_eq!(all.iter().map(|(user, _)| user).collect::<BTreeSet<_>>().len(), 1);
    let numbers: BTreeSet<i64> = all.iter().map(|(_, login_no)| login_no.get()).collect();
    assert_eq!(numbers, BTreeSet::from([1, 2, 3, 4]));
    let inboxes =
        "select count(*) from inbox_heads join users on user_no = owner_no where id = 'alice'";
    assert_eq!(base.count(inboxes).await, 1);
    let of_the_phone = "select login_no from user_sessions where device = 'phone'";
    assert_eq!(base.count(of_the_phone).await, all[0].1.max(all[1].1).get());
    base.postgres.stop().await;
}

#[tokio::test]
async fn of_logins_decided_by_the_same_facts_one_comes_in_wherever_they_are_entered() {
    let base = Base::start().await;

    for round in 1..=50 {
        let facts = base.facts("alice").await;
        let phone = entering(&facts, Platform::Ios, "phone");
        let tablet = entering(&facts, Platform::Ios, "tablet");
        let both = [tablet.clone(), phone.clone()];
        let (one, other, together) = tokio::join!(
            base.enter(std::slice::from_ref(&phone)),
            base.enter(std::slice::from_ref(&tablet)),
            base.enter(&both),
        );

        let entered = [one, other, together].concat();
        let winners: Vec<_> = entered.iter().filter_map(login_no).collect();
        assert_eq!(winners, [LoginNo::from_store(round)], "{entered:?}");
    }
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_login_enters_only_by_facts_that_still_hold_and_keeps_no_other_from_entering() {
    let base = Base::start().await;
    let (pool, app) = (&base.pool, AppId::DEFAULT);
    let names = ["newer", "kicked", "revoked", "deactivated", "fine"];
    let mut logins: Vec<Entering> = Vec::new();
    for name in names {
        logins.push(entering(&base.facts(name).await, Platform::Web, "tab"));
    }
    let system = base.facts("system").await;
    logins.push(entering(&system, Platform::Web, "tab"));
    let [newer, kicked, revoked, deactivated, ..] = &logins[..] else { panic!() };
    base.login("newer", "other").await;
    sessions::end(pool, kicked.user, Which::AllBut(None), EndedBy::Kick).await.unwrap();
    sessions::revoke(pool, revoked.user, revoked.token_s + 1).await.unwrap();
    sessions::set_deactivated(pool, deactivated.user, true).await.unwrap();
    // Only what was decided about these two, not their number, is in the way.
    let again = |login: &Entering, by: LoginNo| Entering { expected: by, ..login.clone() };
    let revoked = again(revoked, base.facts("revoked").await.login_no);
    let deactivated = again(deactivated, base.facts("deactivated").await.login_no);
    let logins = [vec![revoked, deactivated, newer.clone(), kicked.clone()], logins[4..].to_vec()];

    let entered = base.enter(&logins.concat()).await;

    let came_in: Vec<bool> = entered.iter().map(|entered| login_no(entered).is_some()).collect();
    assert_eq!(came_in, [false, false, false, false, true, false]);
    assert_eq!(base.count("select count(*) from user_sessions where device = 'tab'").await, 1);
    assert_eq!(system.standing, Standing::System);
    assert_eq!(base.facts("deactivated").await.standing, Standing::Deactivated);

    let login = entering(&base.facts("fine").await, Platform::Web, "tab");
    apps::set_policy(pool, app, &LoginPolicy::default()).await.unwrap();
    assert_eq!(base.enter(&[login]).await, [Entered::Moved], "the policy was set anew");
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_login_ends_those_it_was_decided_to_end_and_says_who_is_in() {
    let base = Base::start().await;
    let (user, tab) = base.login("alice", "tab").await;
    let (_, other_tab) = base.login("alice", "other-tab").await;
    let mut login = entering(&base.facts("alice").await, Platform::Ios, "phone");
    login.device_name = Some("Alice's phone".to_owned());
    base.enter(&[login.clone()]).await;

    let mut newcomer = entering(&base.facts("alice").await, Platform::Android, "phone");
    newcomer.ends = vec![(Platform::Ios, login.device), (Platform::Web, device("tab"))];
    let entered = base.enter(&[newcomer]).await;

    let last = LoginNo::from_store(4);
    assert_eq!(entered, [Entered::In { login_no: last, standing: vec![other_tab, last] }]);
    let known = base.facts("alice").await.known;
    let of = |login_no: i64| known.iter().find(|known| known.login_no.get() == login_no).unwrap();
    assert_eq!(of(3).session, Session::Ended(EndedBy::Policy));
    assert_eq!(of(3).name.as_deref(), Some("Alice's phone"));
    assert_eq!(of(tab.get()).session, Session::Ended(EndedBy::Policy));
    assert_eq!(of(4).session, Session::In);
    for (ended, still) in [(tab, false), (other_tab, true), (last, true)] {
        assert_eq!(sessions::stands(&base.pool, user, ended).await.unwrap(), still);
    }

    // The same device again: its older session is gone, whatever ended it.
    let (_, again) = base.login("alice", "tab").await;
    let known = base.facts("alice").await.known;
    assert_eq!(known.len(), 4);
    let tab = known.iter().find(|known| known.login_no == again).unwrap();
    assert_eq!(tab.session, Session::In);
    base.postgres.stop().await;
}

#[tokio::test]
async fn of_more_devices_than_are_kept_those_that_were_ended_first_are_forgotten() {
    let base = Base::start().await;
    let (user, first) = base.login("alice", "0").await;
    for n in 1..limits::DEVICES_KEPT {
        let (_, login_no) = base.login("alice", &n.to_string()).await;
        let name = device(&n.to_string());
        sessions::over(&base.pool, user, Platform::Web, &name, login_no).await.unwrap();
    }
    assert_eq!(base.facts("alice").await.known.len(), limits::DEVICES_KEPT);

    base.login("alice", "one-more").await;

    let known = base.facts("alice").await.known;
    assert_eq!(known.len(), limits::DEVICES_KEPT);
    let kept: BTreeSet<i64> = known.iter().map(|known| known.login_no.get()).collect();
    assert!(kept.contains(&first.get()), "who is in is not forgotten, however old");
    assert!(!kept.contains(&2) && kept.contains(&3), "{kept:?}");
    let rows = "select count(*) from user_sessions";
    assert_eq!(base.count(rows).await, limits::DEVICES_KEPT as i64);
    base.postgres.stop().await;
}

#[tokio::test]
async fn facts_come_in_the_order_of_the_logins_and_make_whom_they_are_about() {
    let base = Base::start().await;
    let bob = base.user("bob").await;
    let ask = |app, user: &str| Ask { app, user: id(user) };
    let nowhere = AppId::new(77).unwrap();
    let app = AppId::DEFAULT;
    let asks = [ask(app, "zoe"), ask(nowhere, "bob"), ask(app, "bob"), ask(app, "zoe")];

    let (facts, at_once) =
        tokio::join!(logins::facts(&base.pool, &asks), logins::facts(&base.pool, &asks));

    let facts = facts.unwrap();
    assert_eq!(facts, at_once.unwrap());
    let [Some(zoe), None, Some(of_bob), Some(zoe_again)] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(zoe, zoe_again);
    assert_eq!((zoe.known.len(), zoe.login_no.get(), zoe.standing), (0, 0, Standing::Active));
    assert_eq!((of_bob.user, of_bob.known.len()), (bob, 1));
    let record = users::find(&base.pool, app, &id("zoe")).await.unwrap().unwrap();
    assert_eq!(record.no, zoe.user);
    assert_eq!(users::find(&base.pool, nowhere, &id("bob")).await.unwrap(), None);
    base.postgres.stop().await;
}
