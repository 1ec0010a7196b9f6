//! Sessions: how decisions end them, what is known afterwards, and who may go on.

use rookery::domain::login_policy::{EndedBy, Known, LoginPolicy, Session};
use rookery::ids::{AppId, Incarnation, LoginNo, Platform, UserNo};
use rookery::store::logins::Entered;
use rookery::store::sessions::{self, Decided, Misfits, Which};
use rookery::store::{apps, users};

use super::base::{Base, NODE, device, entering, id};

fn numbers(all: &[Known]) -> Vec<i64> {
    all.iter().map(|known| known.login_no.get()).collect()
}

/// What is known of a session.
async fn state(base: &Base, user: &str, login_no: LoginNo) -> Session {
    let known = base.facts(user).await.known;
    known.iter().find(|known| known.login_no == login_no).unwrap().session
}

async fn end(base: &Base, user: UserNo, which: Which<'_>) -> Decided {
    sessions::end(&base.pool, user, which, EndedBy::Kick).await.unwrap()
}

#[tokio::test]
async fn a_kick_ends_the_device_wherever_it_is_in_and_marks_it_where_it_is_out() {
    let base = Base::start().await;
    let (user, tab) = base.login("alice", "tab").await;
    let (_, gone) = base.login("alice", "gone").await;
    sessions::over(&base.pool, user, Platform::Web, &device("gone"), gone).await.unwrap();
    let phone = entering(&base.facts("alice").await, Platform::Ios, "tab");
    base.enter(&[phone]).await;

    let none = Which::Device { device: &device("tab"), platform: Some(Platform::Macos) };
    let decided = end(&base, user, none).await;
    let standing = vec![tab, LoginNo::from_store(3)];
    let at = LoginNo::from_store(4);
    assert_eq!(decided, Decided { user, at, standing, ended: vec![] });

    let of_the_web = Which::Device { device: &device("tab"), platform: Some(Platform::Web) };
    let decided = end(&base, user, of_the_web).await;
    assert_eq!(decided.standing, [LoginNo::from_store(3)]);
    assert_eq!(numbers(&decided.ended), [tab.get()]);
    assert_eq!(decided.ended[0].session, Session::Ended(EndedBy::Kick));
    let everywhere = Which::Device { device: &device("tab"), platform: None };
    assert_eq!(numbers(&end(&base, user, everywhere).await.ended), [3], "once only");

    assert_eq!(state(&base, "alice", gone).await, Session::Over);
    let of_the_gone = Which::Device { device: &device("gone"), platform: None };
    let decided = end(&base, user, of_the_gone).await;
    assert_eq!((decided.standing, decided.ended), (vec![], vec![]));
    assert_eq!(state(&base, "alice", gone).await, Session::Ended(EndedBy::Kick));
    base.postgres.stop().await;
}

#[tokio::test]
async fn all_but_one_leaves_that_one_and_keeps_why_others_ended() {
    let base = Base::start().await;
    let (user, first) = base.login("alice", "first").await;
    sessions::revoke(&base.pool, user, i64::from(u32::MAX)).await.unwrap();
    sessions::revoke(&base.pool, user, 0).await.unwrap();
    let far = i64::from(u32::MAX);
    for name in ["second", "third"] {
        let mut login = entering(&base.facts("alice").await, Platform::Web, name);
        assert_eq!(base.enter(&[login.clone()]).await, [Entered::Moved], "it only rises");
        login.token_s = far;
        base.enter(&[login]).await;
    }
    let [second, third] = base.facts("alice").await.known[..2].to_vec().try_into().unwrap();

    let decided = end(&base, user, Which::AllBut(Some(second.login_no))).await;

    assert_eq!(decided.standing, [second.login_no]);
    assert_eq!(numbers(&decided.ended), numbers(&[third]));
    assert_eq!(state(&base, "alice", first).await, Session::Ended(EndedBy::Revocation));
    assert_eq!(numbers(&end(&base, user, Which::AllBut(None)).await.ended), numbers(&[second]));
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_revocation_ends_what_stands_on_older_tokens_and_a_renewed_session_stays() {
    let base = Base::start().await;
    let (user, old) = base.login("alice", "old").await;
    let (_, renewed) = base.login("alice", "renewed").await;
    let signed_s = super::base::now().get() / 1000 + 100;
    let renew = async |login_no, token_s| {
        sessions::renew_token(&base.pool, user, login_no, token_s).await.unwrap()
    };
    assert!(renew(renewed, signed_s).await);

    let decided = sessions::revoke(&base.pool, user, signed_s).await.unwrap();

    assert_eq!((decided.standing, numbers(&decided.ended)), (vec![renewed], vec![old.get()]));
    assert_eq!(decided.ended[0].session, Session::Ended(EndedBy::Revocation));
    assert!(!renew(old, signed_s).await, "it has ended");
    assert!(!renew(renewed, signed_s - 1).await, "that token is revoked");
    assert!(renew(renewed, signed_s).await);
    assert_eq!(base.facts("alice").await.not_before_s, signed_s);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_renewal_takes_turns_with_a_revocation() {
    let base = Base::start().await;
    let (user, login_no) = base.login("alice", "tab").await;
    let mut client = base.connector.open().await.unwrap();
    let revocation = client.transaction().await.unwrap();
    revocation.execute("select revoke_tokens($1, 5000000000)", &[&user.get()]).await.unwrap();

    let (renewed, ()) =
        tokio::join!(sessions::renew_token(&base.pool, user, login_no, 4_999_999_999), async {
            base.await_lock_waits(1).await;
            revocation.commit().await.unwrap();
        });

    assert_eq!(renewed, Ok(false));
    base.postgres.stop().await;
}

/// Alice's first login, in a transaction of one's own.
const ENTER: &str =
    "select enter_logins(7, 1, array[$1::bigint], array[0], array[0], array[9], array['web'],
    array['tab'], array[null], '{}', '{}', '{}', 100)";

#[tokio::test]
async fn a_decision_sees_who_came_in_while_it_waited() {
    let base = Base::start().await;
    let user = base.facts("alice").await.user;
    let mut client = base.connector.open().await.unwrap();
    let login = client.transaction().await.unwrap();
    login.execute(ENTER, &[&user.get()]).await.unwrap();

    let (decided, ()) = tokio::join!(end(&base, user, Which::AllBut(None)), async {
        base.await_lock_waits(1).await;
        login.commit().await.unwrap();
    });

    assert_eq!(numbers(&decided.ended), [1]);
    assert_eq!(decided.at, LoginNo::from_store(2));
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_policy_is_changed_when_those_who_come_in_by_the_former_one_are_seen() {
    let base = Base::start().await;
    let (pool, app) = (&base.pool, AppId::DEFAULT);
    let user = base.facts("alice").await.user;
    let mut client = base.connector.open().await.unwrap();
    let login = client.transaction().await.unwrap();
    login.execute(ENTER, &[&user.get()]).await.unwrap();

    let changed_and_read = async {
        assert!(apps::set_policy(pool, app, &LoginPolicy::default()).await.unwrap());
        sessions::online(pool, app, UserNo::from_store(0), 9).await.unwrap()
    };
    let (online, ()) = tokio::join!(changed_and_read, async {
        base.await_lock_waits(1).await;
        login.commit().await.unwrap();
    });

    assert_eq!(online.iter().map(|one| one.user).collect::<Vec<_>>(), [user]);
    base.postgres.stop().await;
}

#[tokio::test]
async fn one_who_is_deactivated_has_no_session_until_it_is_let_in_again() {
    let base = Base::start().await;
    let (user, login_no) = base.login("alice", "tab").await;
    let deactivate = async |on| sessions::set_deactivated(&base.pool, user, on).await.unwrap();
    let record = async || users::find(&base.pool, AppId::DEFAULT, &id("alice")).await.unwrap();
    assert!(record().await.unwrap().online);

    let decided = deactivate(true).await;

    assert_eq!((decided.standing, numbers(&decided.ended)), (vec![], vec![login_no.get()]));
    let after = record().await.unwrap();
    assert!(after.deactivated && !after.online);
    assert_eq!(deactivate(true).await.ended, []);
    let decided = deactivate(false).await;
    assert_eq!((decided.standing, decided.ended), (vec![], vec![]));
    assert!(!record().await.unwrap().deactivated);
    base.login("alice", "tab").await;
    let nobody = sessions::set_deactivated(&base.pool, UserNo::from_store(99), true).await;
    assert!(nobody.is_err());
    base.postgres.stop().await;
}

#[tokio::test]
async fn misfits_end_but_for_users_who_have_logged_in_since() {
    let base = Base::start().await;
    let mut misfits = Vec::new();
    for user in ["alice", "bob"] {
        base.login(user, "old").await;
        base.login(user, "new").await;
        let facts = base.facts(user).await;
        let devices = vec![(Platform::Web, device("old"))];
        misfits.push(Misfits { user: facts.user, expected: facts.login_no, devices });
    }
    base.login("bob", "newest").await;

    let decided = sessions::end_misfits(&base.pool, &misfits).await.unwrap();

    let [of_alice] = &decided[..] else { panic!("{decided:?}") };
    assert_eq!((of_alice.user, of_alice.at), (misfits[0].user, LoginNo::from_store(3)));
    assert_eq!(of_alice.standing, [LoginNo::from_store(2)]);
    assert_eq!(numbers(&of_alice.ended), [1]);
    assert_eq!(of_alice.ended[0].session, Session::Ended(EndedBy::Policy));
    assert_eq!(base.facts("bob").await.known.len(), 3);
    assert_eq!(state(&base, "bob", LoginNo::from_store(1)).await, Session::In);
    base.postgres.stop().await;
}

#[tokio::test]
async fn devices_and_those_online_are_read_by_page() {
    let base = Base::start().await;
    let mut users_online = Vec::new();
    for user in ["alice", "bob", "carol"] {
        for tab in ["one", "two", "three"] {
            base.login(user, tab).await;
        }
        users_online.push(base.facts(user).await);
    }
    let [alice, bob, carol] = &users_online[..] else { panic!() };
    let one = LoginNo::from_store(1);
    sessions::over(&base.pool, alice.user, Platform::Web, &device("one"), one).await.unwrap();
    end(&base, bob.user, Which::AllBut(None)).await;

    let page = async |before, limit| {
        let page = sessions::devices(&base.pool, alice.user, before, limit).await.unwrap();
        page.into_iter()
            .map(|record| (record.known.login_no.get(), record.ended_at.is_some()))
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, [(3, false), (2, false)]);
    assert_eq!(page(Some(LoginNo::from_store(2)), 2).await, [(1, true)]);
    let online = async |after: i64, limit| {
        let after = UserNo::from_store(after);
        let page = sessions::online(&base.pool, AppId::DEFAULT, after, limit).await.unwrap();
        page.iter().map(|one| (one.user, one.login_no, numbers(&one.known))).collect::<Vec<_>>()
    };
    assert_eq!(online(0, 1).await, [(alice.user, alice.login_no, vec![2, 3])]);
    let next = online(alice.user.get(), 5).await;
    assert_eq!(next, [(carol.user, carol.login_no, vec![1, 2, 3])]);
    let other = AppId::new(2).unwrap();
    let of_the_other = sessions::online(&base.pool, other, UserNo::from_store(0), 5).await;
    assert_eq!(of_the_other.unwrap(), []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn the_sessions_of_a_node_that_starts_again_are_over_and_may_be_gone_on_with() {
    let base = Base::start().await;
    let (user, first) = base.login("alice", "tab").await;
    let second = Incarnation::from_store(2);

    sessions::over_of_node(&base.pool, NODE, second).await.unwrap();

    assert_eq!(state(&base, "alice", first).await, Session::Over);
    assert!(!sessions::stands(&base.pool, user, first).await.unwrap());
    let (_, again) = base.login("alice", "tab").await;
    sessions::over(&base.pool, user, Platform::Web, &device("tab"), first).await.unwrap();
    assert_eq!(state(&base, "alice", again).await, Session::In, "a late goodbye of the first");
    base.postgres.stop().await;
}
