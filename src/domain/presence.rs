//! Whether a user is there: leases of their devices, beside what they say of themselves, and who sees what of it.
//!
//! Each device's lease has a generation, the number of the login that began it. Whatever names an older one is late and
//! changes nothing, so a goodbye or a heartbeat may be delayed as long as it likes. Two clocks come as an argument: leases
//! go by one that never jumps, what people set or read goes by the database's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ids::{DeviceId, LoginNo, Platform, UnixMs};
use crate::limits;

/// What "last seen" is rounded down to, in milliseconds.
pub const LAST_SEEN_TO_MS: i64 = 60_000;

/// The present, by both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// By the clock of leases.
    pub at: Instant,
    /// By the database's clock.
    pub time: UnixMs,
}

/// Whether a connected device is in front of its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Front {
    /// It is.
    Online,
    /// It is not.
    Background,
}

/// What a user chose to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Chosen {
    /// Nothing in particular.
    Available,
    /// Away from the device.
    Away,
    /// Busy.
    Busy,
    /// Not to be disturbed.
    Dnd,
    /// Offline to all others.
    Invisible,
}

impl Chosen {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Available, Self::Away, Self::Busy, Self::Dnd, Self::Invisible];

    /// The name under which it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Away => "away",
            Self::Busy => "busy",
            Self::Dnd => "dnd",
            Self::Invisible => "invisible",
        }
    }

    /// Reads the name under which it is stored.
    pub fn from_store(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|chosen| chosen.as_str() == raw)
    }
}

/// A status that a user chose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// What they chose.
    pub chosen: Chosen,
    /// The words beside it.
    pub text: Option<Arc<str>>,
    /// Until when it holds; then it is [`Status::NONE`].
    pub until: Option<UnixMs>,
}

impl Status {
    /// What holds when nothing was chosen, or when that has ended.
    pub const NONE: Self = Self { chosen: Chosen::Available, text: None, until: None };
}

/// Who sees when a user was last there. The user and the app always do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SeenTo {
    /// Everyone.
    Everyone,
    /// Friends.
    Friends,
    /// Nobody else.
    Nobody,
}

impl SeenTo {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Everyone, Self::Friends, Self::Nobody];

    /// The name under which it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Everyone => "everyone",
            Self::Friends => "friends",
            Self::Nobody => "nobody",
        }
    }

    /// Reads the name under which it is stored.
    pub fn from_store(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|seen_to| seen_to.as_str() == raw)
    }
}

/// What a user says of themselves, as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Rises with each change; decides between two devices.
    pub version: i64,
    /// The status.
    pub status: Status,
    /// Who sees the last seen.
    pub seen_to: SeenTo,
    /// When others last saw the user there, to the minute.
    pub last_seen: Option<UnixMs>,
}

impl Profile {
    /// Of one who never said anything.
    pub const NONE: Self =
        Self { version: 0, status: Status::NONE, seen_to: SeenTo::Everyone, last_seen: None };
}

/// Who looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// The user, or the app: they see the truth.
    Own,
    /// A friend.
    Friend,
    /// Anyone else.
    Stranger,
}

/// What one who looks sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The best device of each platform, the best first; empty means offline.
    pub platforms: Vec<(Platform, Front)>,
    /// The status; none when offline to who looks.
    pub status: Option<Status>,
    /// When they were last there; only when offline, and only for those who may know.
    pub last_seen: Option<UnixMs>,
}

impl Seen {
    /// Nobody there, nothing known: what is seen of one who does not exist.
    pub const NOTHING: Self = Self { platforms: Vec::new(), status: None, last_seen: None };

    /// The best of the devices; none means offline.
    pub fn front(&self) -> Option<Front> {
        self.platforms.first().map(|(_, front)| *front)
    }

    /// The same but for when that was last so, which is nothing to be told of.
    pub fn without_last_seen(mut self) -> Self {
        self.last_seen = None;
        self
    }
}

/// One device that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    platform: Platform,
    device: DeviceId,
    generation: LoginNo,
    front: Front,
    renewed: Instant,
}

impl Lease {
    fn ends(&self) -> Instant {
        self.renewed + limits::PRESENCE_LEASE
    }
}

/// One user's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Presence {
    leases: Vec<Lease>,
    /// None until the store was asked: till then nobody else sees the user, who may be invisible.
    profile: Option<Profile>,
    last_seen: Option<UnixMs>,
}

impl Presence {
    /// A device is there. One that is known under this generation stays as it is, an older one changes nothing.
    pub fn begin(&mut self, platform: Platform, device: &DeviceId, generation: LoginNo, now: Now) {
        self.change(now, |leases| {
            let same = |lease: &Lease| lease.platform == platform && lease.device == *device;
            match leases.iter_mut().find(|lease| same(lease)) {
                Some(lease) if lease.generation >= generation => {}
                found => {
                    let lease = Lease {
                        platform,
                        device: device.clone(),
                        generation,
                        front: Front::Online,
                        renewed: now.at,
                    };
                    match found {
                        Some(older) => *older = lease,
                        None => leases.push(lease),
                    }
                }
            }
        });
    }

    /// The device that logged in as `generation` was heard of at `heard`. One that is gone stays gone.
    pub fn renew(&mut self, generation: LoginNo, heard: Instant, now: Now) {
        self.change(now, |leases| {
            if let Some(lease) = leases.iter_mut().find(|lease| lease.generation == generation) {
                lease.renewed = lease.renewed.max(heard.min(now.at));
            }
        });
    }

    /// The device that logged in as `generation` came to the front, or left it.
    pub fn set_front(&mut self, generation: LoginNo, front: Front, now: Now) {
        self.change(now, |leases| {
            if let Some(lease) = leases.iter_mut().find(|lease| lease.generation == generation) {
                lease.front = front;
            }
        });
    }

    /// The session of `generation` is over; a later one of the same device is not.
    pub fn end(&mut self, generation: LoginNo, now: Now) {
        self.change(now, |leases| leases.retain(|lease| lease.generation != generation));
    }

    /// The logins that the devices which are there began with.
    pub fn generations(&self) -> Vec<LoginNo> {
        self.leases.iter().map(|lease| lease.generation).collect()
    }

    /// No device is there any more.
    pub fn end_all(&mut self, now: Now) {
        self.change(now, Vec::clear);
    }

    /// Takes over what the store has, unless something newer is known.
    pub fn know(&mut self, profile: Profile, now: Now) {
        let was_seen = self.is_seen(now);
        self.last_seen = self.last_seen.max(profile.last_seen);
        if self.profile.as_ref().is_none_or(|known| known.version < profile.version) {
            self.profile = Some(profile);
        }
        self.note_leaving(was_seen, now);
    }

    /// Whether the store was asked what the user says of themselves.
    pub fn is_known(&self) -> bool {
        self.profile.is_some()
    }

    /// Lets go of devices whose lease has run out.
    pub fn tidy(&mut self, now: Now) {
        self.change(now, |_| {});
    }

    /// Whether no device is there.
    pub fn is_empty(&self) -> bool {
        self.leases.is_empty()
    }

    /// When others last saw the user there, to the minute.
    pub fn last_seen(&self) -> Option<UnixMs> {
        self.last_seen
    }

    /// When what is seen changes by itself: a lease runs out, or a status ends.
    pub fn next_turn(&self, now: Now) -> Option<Instant> {
        let lease = self.leases.iter().map(Lease::ends).min();
        let left = self.status(now).until.map(|until| until.since(now.time));
        let status = left
            .and_then(|left| u64::try_from(left).ok())
            .and_then(|left| now.at.checked_add(Duration::from_millis(left)));
        [lease, status].into_iter().flatten().min()
    }

    /// What is seen by one who looks.
    pub fn seen_by(&self, viewer: Viewer, now: Now) -> Seen {
        let truth = viewer == Viewer::Own;
        if (truth && self.live(now).next().is_some()) || self.is_seen(now) {
            return Seen {
                platforms: self.platforms(now),
                status: Some(self.status(now)),
                last_seen: None,
            };
        }
        let seen_to = self.profile.as_ref().map(|profile| profile.seen_to);
        let may_know = match (viewer, seen_to) {
            (Viewer::Own, _) | (_, Some(SeenTo::Everyone)) => true,
            (Viewer::Friend, Some(SeenTo::Friends)) => true,
            (_, Some(SeenTo::Friends | SeenTo::Nobody) | None) => false,
        };
        let last_seen = self.last_seen.filter(|_| may_know);
        Seen { last_seen, ..Seen::NOTHING }
    }

    /// Changes leases, and notes it when others cease to see the user by that, or did since leases ran out.
    fn change(&mut self, now: Now, change: impl FnOnce(&mut Vec<Lease>)) {
        let last = self.leases.iter().map(|lease| lease.renewed).max();
        if let Some(last) = last
            && last + limits::PRESENCE_LEASE <= now.at
            && self.may_be_seen(now)
        {
            // All ran out: the user was last seen when the last of them was renewed.
            let since = now.at.duration_since(last).as_millis();
            let since = i64::try_from(since).unwrap_or(i64::MAX);
            self.saw_at(UnixMs::new(now.time.get().saturating_sub(since)));
        }
        self.leases.retain(|lease| lease.ends() > now.at);
        let was_seen = self.is_seen(now);
        change(&mut self.leases);
        self.note_leaving(was_seen, now);
    }

    fn note_leaving(&mut self, was_seen: bool, now: Now) {
        if was_seen && !self.is_seen(now) {
            self.saw_at(now.time);
        }
    }

    fn saw_at(&mut self, time: UnixMs) {
        let minute = UnixMs::new(time.get() - time.get().rem_euclid(LAST_SEEN_TO_MS));
        self.last_seen = self.last_seen.max(Some(minute));
    }

    /// Whether others would see a device, if one were there.
    fn may_be_seen(&self, now: Now) -> bool {
        self.is_known() && self.status(now).chosen != Chosen::Invisible
    }

    fn is_seen(&self, now: Now) -> bool {
        self.may_be_seen(now) && self.live(now).next().is_some()
    }

    fn status(&self, now: Now) -> Status {
        self.profile
            .as_ref()
            .map(|profile| &profile.status)
            .filter(|status| status.until.is_none_or(|until| until > now.time))
            .cloned()
            .unwrap_or(Status::NONE)
    }

    fn live(&self, now: Now) -> impl Iterator<Item = &Lease> {
        self.leases.iter().filter(move |lease| lease.ends() > now.at)
    }

    fn platforms(&self, now: Now) -> Vec<(Platform, Front)> {
        let mut all: Vec<_> = self.live(now).map(|lease| (lease.platform, lease.front)).collect();
        // The best of each platform first, so that it is the one that stays.
        all.sort_unstable();
        all.dedup_by_key(|(platform, _)| *platform);
        all.sort_unstable_by_key(|(platform, front)| (*front, *platform));
        all
    }
}

#[cfg(test)]
mod tests;
