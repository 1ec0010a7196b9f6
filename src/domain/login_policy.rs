//! Who may be logged in together: the app's modes, caps and conflict rule, as one decision over a user's sessions.
//!
//! Pure: the store orders the logins of a user, and writes what was decided only if no other login came in between.

use crate::ids::{DeviceId, LoginNo, Platform};
use crate::limits;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
        /// By policy.
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
        return Decision::In { ends: in_way };
    }
    if policy.on_conflict == OnConflict::RefuseNewcomer {
        return Decision::Refused { by: in_way };
    }
    if newcomer.resumes.is_some_and(|resumed| in_way.iter().any(|it| it.login_no > resumed)) {
        return Decision::Lost;
    }
    Decision::In { ends: in_way }
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
