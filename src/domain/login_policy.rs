//! Who may be logged in together: the app's modes, caps and conflict rule, as one decision over a user's sessions.
//!
//! Pure: the store orders the logins of a user, and writes what was decided only if no other login came in between.

use crate::ids::{DeviceId, LoginNo, Platform};
use crate::limits;
use serde::{Deserialize, Serialize};

/// Which devices of one user may be online together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One device of any kind.
    Single,
    /// One native device, phone or desktop, beside web and programs.
    NativeAndWeb,
    /// One phone and one desktop, beside web and programs.
    PerClass,
    /// All.
    All,
}

impl Mode {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Single, Self::NativeAndWeb, Self::PerClass, Self::All];

    /// The name under which the mode travels and is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::NativeAndWeb => "native_and_web",
            Self::PerClass => "per_class",
            Self::All => "all",
        }
    }

    /// Reads the name under which a mode is stored.
    pub fn from_store(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == raw)
    }

    /// Whether two different devices of these platforms may not be online together.
    fn parts(self, one: Platform, other: Platform) -> bool {
        match (self, Class::of(one), Class::of(other)) {
            (Self::Single, _, _) => true,
            (Self::All, _, _) => false,
            (_, None, _) | (_, _, None) => false,
            (Self::NativeAndWeb, Some(_), Some(_)) => true,
            (Self::PerClass, Some(one), Some(other)) => one == other,
        }
    }
}

/// The classes of native devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Mobile,
    Desktop,
}

impl Class {
    fn of(platform: Platform) -> Option<Self> {
        match platform {
            Platform::Ios | Platform::Android => Some(Self::Mobile),
            Platform::Windows | Platform::Macos | Platform::Linux => Some(Self::Desktop),
            Platform::Web | Platform::Api => None,
        }
    }
}

/// Who gives way when a login meets sessions that it may not be online with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnConflict {
    /// Those that are in.
    NewestWins,
    /// The one that wants to come in.
    RefuseNewcomer,
}

impl OnConflict {
    /// Both.
    pub const ALL: [Self; 2] = [Self::NewestWins, Self::RefuseNewcomer];

    /// The name under which the rule travels and is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewestWins => "newest_wins",
            Self::RefuseNewcomer => "refuse_newcomer",
        }
    }

    /// Reads the name under which a rule is stored.
    pub fn from_store(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == raw)
    }
}

/// How many sessions a user may have on each platform: from 1 to [`limits::SESSIONS_PER_USER`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Caps([u8; Platform::ALL.len()]);

impl Caps {
    /// Of one platform.
    pub fn of(&self, platform: Platform) -> usize {
        usize::from(self.0[index(platform)])
    }

    /// The same with another cap for a platform; none when it is out of bounds.
    pub fn with(mut self, platform: Platform, cap: usize) -> Option<Self> {
        if !(1..=limits::SESSIONS_PER_USER).contains(&cap) {
            return None;
        }
        self.0[index(platform)] = u8::try_from(cap).ok()?;
        Some(self)
    }
}

impl Default for Caps {
    /// 10 for web, 3 for each other platform.
    fn default() -> Self {
        let mut caps = [3; Platform::ALL.len()];
        caps[index(Platform::Web)] = 10;
        Self(caps)
    }
}

fn index(platform: Platform) -> usize {
    platform as usize
}

/// An app's rules for logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LoginPolicy {
    /// Which devices may be online together.
    pub mode: Mode,
    /// Who gives way.
    pub on_conflict: OnConflict,
    /// How many on each platform, beside the mode.
    pub caps: Caps,
}

impl Default for LoginPolicy {
    fn default() -> Self {
        let on_conflict = OnConflict::NewestWins;
        Self { mode: Mode::PerClass, on_conflict, caps: Caps::default() }
    }
}

/// Why a session was ended by a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EndedBy {
    /// The same device logged in again.
    Replaced,
    /// Another login, or a changed policy.
    Policy,
    /// The user, or the app's backend.
    Kick,
    /// Its token was revoked.
    Revocation,
    /// The user was deactivated.
    Deactivation,
}

impl EndedBy {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Replaced, Self::Policy, Self::Kick, Self::Revocation, Self::Deactivation];

    /// The name under which the reason is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Policy => "policy",
            Self::Kick => "kicked",
            Self::Revocation => "revoked",
            Self::Deactivation => "deactivated",
        }
    }

    /// Reads the name under which a reason is stored.
    pub fn from_store(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|why| why.as_str() == raw)
    }
}

/// A device of the user, as the store knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its platform.
    pub platform: Platform,
    /// Its name, unique on its platform.
    pub device: DeviceId,
    /// What people call it.
    pub name: Option<String>,
    /// Its last login.
    pub login_no: LoginNo,
    /// What became of that session.
    pub session: Session,
}

impl Known {
    fn is_in(&self) -> bool {
        self.session == Session::In
    }
}

/// What became of the last session of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Session {
    /// It lasts.
    In,
    /// It ended by itself: a logout, a lost link, a node that stopped.
    Over,
    /// It was ended by a decision, and may not be gone on with.
    Ended(EndedBy),
}

/// A device that logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newcomer {
    /// Its platform.
    pub platform: Platform,
    /// Its name.
    pub device: DeviceId,
    /// The session that it goes on with by itself; none when a person logs in.
    pub resumes: Option<LoginNo>,
}

/// What becomes of a login. The same device's older session is replaced in any case, and not named here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It comes in, and for it these sessions end.
    In {
        /// By policy: those that are in, and those that are away and must not come back by themselves.
        ends: Vec<Known>,
    },
    /// It goes on with a session that was ended, or would push out one that is newer: it has to stop.
    Lost,
    /// Others are in, and this app lets them stay.
    Refused {
        /// Who is in the way.
        by: Vec<Known>,
    },
}

/// Decides a login. `known` are the user's devices, in any order.
pub fn decide(policy: &LoginPolicy, known: &[Known], newcomer: &Newcomer) -> Decision {
    let is_same =
        |other: &&Known| other.platform == newcomer.platform && other.device == newcomer.device;
    let own = known.iter().find(is_same);
    if let (Some(resumed), Some(own)) = (newcomer.resumes, own)
        && matches!(own.session, Session::Ended(_))
        && own.login_no >= resumed
    {
        return Decision::Lost;
    }
    let mut others: Vec<&Known> =
        known.iter().filter(|other| other.is_in() && !is_same(other)).collect();
    others.sort_unstable_by_key(|other| other.login_no);
    let (mut in_way, mut stay): (Vec<&Known>, Vec<&Known>) =
        others.into_iter().partition(|other| policy.mode.parts(newcomer.platform, other.platform));
    let on_platform = |other: &&Known| other.platform == newcomer.platform;
    // The oldest go first; the newcomer needs a place, too.
    while stay.iter().copied().filter(on_platform).count() >= policy.caps.of(newcomer.platform) {
        let Some(oldest) = stay.iter().position(on_platform) else { break };
        in_way.push(stay.remove(oldest));
    }
    while stay.len() >= limits::SESSIONS_PER_USER {
        in_way.push(stay.remove(0));
    }
    in_way.sort_unstable_by_key(|other| other.login_no);
    let in_way: Vec<Known> = in_way.into_iter().cloned().collect();
    if in_way.is_empty() {
        return comes_in(policy, known, newcomer, in_way);
    }
    if policy.on_conflict == OnConflict::RefuseNewcomer {
        return Decision::Refused { by: in_way };
    }
    if newcomer.resumes.is_some_and(|resumed| in_way.iter().any(|it| it.login_no >= resumed)) {
        return Decision::Lost;
    }
    comes_in(policy, known, newcomer, in_way)
}

/// Lets it in. Rivals that are away at this moment end as well: coming back by themselves they would push it out, or keep
/// it out when it is away in its turn.
fn comes_in(
    policy: &LoginPolicy,
    known: &[Known],
    newcomer: &Newcomer,
    mut ends: Vec<Known>,
) -> Decision {
    let away = known.iter().filter(|other| {
        other.session == Session::Over
            && (other.platform, &other.device) != (newcomer.platform, &newcomer.device)
            && policy.mode.parts(newcomer.platform, other.platform)
            && newcomer.resumes.is_none_or(|resumed| other.login_no < resumed)
    });
    ends.extend(away.cloned());
    ends.sort_unstable_by_key(|other| other.login_no);
    Decision::In { ends }
}

/// Which sessions have to end for the rest to fit a policy: the newest stay.
pub fn misfits(policy: &LoginPolicy, known: &[Known]) -> Vec<Known> {
    let mut newest_first: Vec<&Known> = known.iter().filter(|it| it.is_in()).collect();
    newest_first.sort_unstable_by_key(|it| std::cmp::Reverse(it.login_no));
    let mut stay: Vec<&Known> = Vec::new();
    let mut misfits = Vec::new();
    for it in newest_first {
        let on_platform = stay.iter().filter(|other| other.platform == it.platform).count();
        let fits = on_platform < policy.caps.of(it.platform)
            && stay.len() < limits::SESSIONS_PER_USER
            && !stay.iter().any(|other| policy.mode.parts(other.platform, it.platform));
        if fits {
            stay.push(it);
        } else {
            misfits.push(it.clone());
        }
    }
    misfits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn device(name: &str) -> DeviceId {
        DeviceId::parse(name).unwrap()
    }

    fn known(platform: Platform, name: &str, login_no: i64, session: Session) -> Known {
        let login_no = LoginNo::from_store(login_no);
        Known { platform, device: device(name), name: None, login_no, session }
    }

    fn is_in(platform: Platform, name: &str, login_no: i64) -> Known {
        known(platform, name, login_no, Session::In)
    }

    fn newcomer(platform: Platform, name: &str) -> Newcomer {
        Newcomer { platform, device: device(name), resumes: None }
    }

    fn resuming(platform: Platform, name: &str, login_no: i64) -> Newcomer {
        Newcomer { resumes: Some(LoginNo::from_store(login_no)), ..newcomer(platform, name) }
    }

    fn policy(mode: Mode) -> LoginPolicy {
        LoginPolicy { mode, ..LoginPolicy::default() }
    }

    fn names(these: &[Known]) -> Vec<&str> {
        these.iter().map(|it| it.device.as_str()).collect()
    }

    #[track_caller]
    fn assert_ends(decision: &Decision, expected: &[&str]) {
        let Decision::In { ends } = decision else { panic!("it did not come in: {decision:?}") };
        assert_eq!(names(ends), expected);
    }

    #[test]
    fn each_mode_ends_whom_its_row_of_the_table_names() {
        use Platform::*;
        let phone = [Ios, Android];
        let desktop = [Windows, Macos, Linux];
        for mode in Mode::ALL {
            for new in Platform::ALL {
                for old in Platform::ALL {
                    let native = |it| phone.contains(&it) || desktop.contains(&it);
                    let same_class = (phone.contains(&new) && phone.contains(&old))
                        || (desktop.contains(&new) && desktop.contains(&old));
                    let ended = match mode {
                        Mode::Single => true,
                        Mode::NativeAndWeb => native(new) && native(old),
                        Mode::PerClass => same_class,
                        Mode::All => false,
                    };

                    let decision =
                        decide(&policy(mode), &[is_in(old, "old", 1)], &newcomer(new, "new"));

                    let expected: &[&str] = if ended { &["old"] } else { &[] };
                    assert_ends(&decision, expected);
                }
            }
        }
    }

    #[test]
    fn the_same_device_never_conflicts_with_itself() {
        for mode in Mode::ALL {
            let policy =
                LoginPolicy { mode, on_conflict: OnConflict::RefuseNewcomer, ..policy(mode) };
            let own = is_in(Platform::Ios, "phone", 7);

            assert_ends(&decide(&policy, &[own], &newcomer(Platform::Ios, "phone")), &[]);
        }
    }

    #[test]
    fn past_the_cap_of_a_platform_the_oldest_goes() {
        let mut tabs: Vec<Known> =
            (1..=10).map(|no| is_in(Platform::Web, &format!("tab{no}"), no)).collect();
        let (per_class, all) = (policy(Mode::PerClass), policy(Mode::All));
        assert_ends(&decide(&per_class, &tabs[..9], &newcomer(Platform::Web, "new")), &[]);
        assert_ends(&decide(&per_class, &tabs, &newcomer(Platform::Web, "new")), &["tab1"]);

        tabs.extend((11..=13).map(|no| is_in(Platform::Ios, &format!("phone{no}"), no)));
        assert_ends(&decide(&all, &tabs, &newcomer(Platform::Ios, "new")), &["phone11"]);
        let narrow = LoginPolicy { caps: Caps::default().with(Platform::Web, 2).unwrap(), ..all };
        let ends: Vec<String> = (1..=9).map(|no| format!("tab{no}")).collect();
        let ends: Vec<&str> = ends.iter().map(String::as_str).collect();
        assert_ends(&decide(&narrow, &tabs, &newcomer(Platform::Web, "new")), &ends);
    }

    #[test]
    fn no_policy_lets_in_more_sessions_than_a_user_may_have() {
        let mut caps = Caps::default();
        for platform in Platform::ALL {
            caps = caps.with(platform, limits::SESSIONS_PER_USER).unwrap();
        }
        let policy = LoginPolicy { caps, ..policy(Mode::All) };
        let most = limits::SESSIONS_PER_USER as i64;
        let all: Vec<Known> = (1..=most)
            .map(|no| is_in(Platform::ALL[no as usize % 7], &format!("d{no}"), no))
            .collect();

        assert_ends(&decide(&policy, &all[1..], &newcomer(Platform::Web, "new")), &[]);
        assert_ends(&decide(&policy, &all, &newcomer(Platform::Web, "new")), &["d1"]);
    }

    #[test]
    fn caps_have_bounds() {
        for wrong in [0, limits::SESSIONS_PER_USER + 1] {
            assert_eq!(Caps::default().with(Platform::Web, wrong), None);
        }
        for right in [1, limits::SESSIONS_PER_USER] {
            assert_eq!(
                Caps::default().with(Platform::Web, right).unwrap().of(Platform::Web),
                right
            );
        }
    }

    #[test]
    fn a_newcomer_is_refused_where_those_that_are_in_stay() {
        let refuse =
            LoginPolicy { on_conflict: OnConflict::RefuseNewcomer, ..policy(Mode::PerClass) };
        let known = [
            is_in(Platform::Android, "phone", 1),
            is_in(Platform::Web, "tab", 2),
            known(Platform::Ios, "other", 3, Session::Over),
        ];

        let refused = decide(&refuse, &known, &newcomer(Platform::Ios, "new"));

        let Decision::Refused { by } = refused else { panic!("{refused:?}") };
        assert_eq!(names(&by), ["phone"]);
        assert_ends(&decide(&refuse, &known, &newcomer(Platform::Macos, "new")), &[]);
    }

    #[test]
    fn a_resume_never_beats_what_was_decided_after_its_session() {
        use EndedBy::*;
        let per_class = policy(Mode::PerClass);
        for why in [Policy, Kick, Revocation, Deactivation] {
            let own = known(Platform::Ios, "phone", 4, Session::Ended(why));
            let resume = resuming(Platform::Ios, "phone", 4);
            assert_eq!(decide(&per_class, std::slice::from_ref(&own), &resume), Decision::Lost);
            // A person who presses the button comes in.
            assert_ends(&decide(&per_class, &[own], &newcomer(Platform::Ios, "phone")), &[]);
        }

        let newer = is_in(Platform::Android, "newer", 5);
        let resume = resuming(Platform::Ios, "phone", 4);
        let own = known(Platform::Ios, "phone", 4, Session::Over);
        assert_eq!(decide(&per_class, &[own.clone(), newer], &resume), Decision::Lost);
        let older = is_in(Platform::Android, "older", 3);
        assert_ends(&decide(&per_class, &[own, older], &resume), &["older"]);
    }

    #[test]
    fn a_rival_that_was_away_when_a_person_logged_in_does_not_come_back_by_itself() {
        let per_class = policy(Mode::PerClass);
        let away = |name, login_no| known(Platform::Ios, name, login_no, Session::Over);
        let tab = known(Platform::Web, "tab", 2, Session::Over);

        let decision =
            decide(&per_class, &[away("first", 1), tab], &newcomer(Platform::Ios, "second"));

        assert_ends(&decision, &["first"]);
        // Nor does what comes back by itself end what came later.
        let resume = resuming(Platform::Ios, "first", 1);
        assert_ends(&decide(&per_class, &[away("first", 1), away("second", 3)], &resume), &[]);
    }

    #[test]
    fn a_resume_whose_former_answer_was_lost_goes_on_with_its_own_device() {
        let own = is_in(Platform::Ios, "phone", 9);
        let resume = resuming(Platform::Ios, "phone", 8);
        assert_ends(&decide(&policy(Mode::Single), &[own], &resume), &[]);

        let ended = known(Platform::Ios, "phone", 9, Session::Ended(EndedBy::Kick));
        assert_eq!(decide(&policy(Mode::Single), &[ended], &resume), Decision::Lost);
    }

    #[test]
    fn two_phones_that_come_back_by_themselves_do_not_push_each_other_out_for_ever() {
        let single = policy(Mode::Single);
        // A was in with 1, B pressed the button and got 2, A's link had been lost before it heard of that.
        let a = known(Platform::Ios, "a", 1, Session::Ended(EndedBy::Policy));
        let b = is_in(Platform::Android, "b", 2);

        assert_eq!(decide(&single, &[a, b], &resuming(Platform::Ios, "a", 1)), Decision::Lost);
    }

    fn any_known() -> impl Strategy<Value = Vec<Known>> {
        let one = (0..Platform::ALL.len(), 0..3u8, 0..4u8);
        proptest::collection::vec(one, 0..90).prop_map(|all| {
            let mut seen = std::collections::HashSet::new();
            let all = all.into_iter().enumerate().map(|(no, (platform, name, session))| {
                let name = format!("d{name}-{}", no % 13);
                let session = match session {
                    0 => Session::Over,
                    1 => Session::Ended(EndedBy::Kick),
                    _ => Session::In,
                };
                known(Platform::ALL[platform], &name, no as i64 + 1, session)
            });
            all.filter(|it| seen.insert((it.platform, it.device.clone()))).collect()
        })
    }

    fn fits(policy: &LoginPolicy, standing: &[&Known]) -> bool {
        standing.len() <= limits::SESSIONS_PER_USER
            && Platform::ALL.into_iter().all(|platform| {
                let on_it = standing.iter().filter(|it| it.platform == platform).count();
                on_it <= policy.caps.of(platform)
            })
            && standing.iter().enumerate().all(|(index, one)| {
                standing[index + 1..]
                    .iter()
                    .all(|other| !policy.mode.parts(one.platform, other.platform))
            })
    }

    proptest! {
        #[test]
        fn what_stays_after_a_changed_policy_fits_it_and_the_newest_stays(
            all in any_known(), mode in 0..4usize, web in 1..=64usize,
        ) {
            let caps = Caps::default().with(Platform::Web, web).unwrap();
            let policy = LoginPolicy { caps, ..policy(Mode::ALL[mode]) };

            let out = misfits(&policy, &all);

            let standing: Vec<&Known> =
                all.iter().filter(|it| it.is_in() && !out.contains(it)).collect();
            prop_assert!(fits(&policy, &standing));
            let newest = all.iter().filter(|it| it.is_in()).max_by_key(|it| it.login_no);
            prop_assert!(newest.is_none_or(|newest| standing.contains(&newest)));
        }

        #[test]
        fn whoever_comes_in_fits_with_those_that_stay(
            all in any_known(), mode in 0..4usize, platform in 0..7usize, name in 0..3u8,
            resumes in proptest::option::of(0..100i64),
        ) {
            let policy = policy(Mode::ALL[mode]);
            // As earlier decisions would have left them.
            let before = misfits(&policy, &all);
            let all: Vec<Known> = all.into_iter().filter(|it| !before.contains(it)).collect();
            let new = Newcomer {
                resumes: resumes.map(LoginNo::from_store),
                ..newcomer(Platform::ALL[platform], &format!("d{name}-{name}"))
            };

            match decide(&policy, &all, &new) {
                Decision::In { ends } => {
                    let own = is_in(new.platform, new.device.as_str(), 1_000);
                    let mut standing: Vec<&Known> = all
                        .iter()
                        .filter(|it| it.is_in() && !ends.contains(it))
                        .filter(|it| (it.platform, &it.device) != (own.platform, &own.device))
                        .collect();
                    standing.push(&own);
                    prop_assert!(fits(&policy, &standing));
                    if let Some(resumed) = new.resumes {
                        prop_assert!(ends.iter().all(|it| it.login_no < resumed));
                    }
                }
                Decision::Lost => prop_assert!(new.resumes.is_some()),
                Decision::Refused { .. } => prop_assert!(false, "the newest wins here"),
            }
        }
    }
}
