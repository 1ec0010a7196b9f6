//! Whether a user is there: leases of their devices, beside what they say of themselves, and who sees what of it.
//!
//! Each device's lease has a generation, the number of the login that began it. Whatever names an older one is late and
//! changes nothing, so a goodbye or a heartbeat may be delayed as long as it likes. Two clocks come as an argument: leases
//! go by one that never jumps, what people set or read goes by the database's.

use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::ids::{DeviceId, LoginNo, NodeRun, Platform, UnixMs};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Front {
    /// It is.
    Online,
    /// It is not.
    Background,
}

/// What a user chose to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A device that is there, as its node tells the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct There {
    /// Its platform.
    pub platform: Platform,
    /// Its id.
    pub device: DeviceId,
    /// The login that began its lease.
    pub generation: LoginNo,
    /// Whether it is in front of its user.
    pub front: Front,
}

/// One device that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Lease {
    there: There,
    held: Held,
}

/// By what a lease lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    /// A session here, which was heard of then.
    Here { renewed: Instant },
    /// The word of another node, for as long as that is there and says nothing else.
    By(NodeRun),
}

impl Lease {
    fn renewed(&self) -> Option<Instant> {
        match self.held {
            Held::Here { renewed } => Some(renewed),
            Held::By(_) => None,
        }
    }

    /// None when it does not end by itself.
    fn ends(&self) -> Option<Instant> {
        self.renewed().map(|renewed| renewed + limits::PRESENCE_LEASE)
    }

    fn is_live(&self, now: Now) -> bool {
        self.ends().is_none_or(|end| end > now.at)
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
            let (device, front) = (device.clone(), Front::Online);
            let there = There { platform, device, generation, front };
            take_in(leases, Lease { there, held: Held::Here { renewed: now.at } });
        });
    }

    /// What another node says of this user's devices there, which takes the place of all that it said before. A device that
    /// has logged in somewhere since is there, and not here.
    pub fn told_by(&mut self, node: NodeRun, devices: Vec<There>, now: Now) {
        self.change(now, |leases| {
            leases.retain(|lease| lease.held != Held::By(node));
            for there in devices {
                take_in(leases, Lease { there, held: Held::By(node) });
            }
        });
    }

    /// The device that logged in as `generation` was heard of at `heard`. One that is gone stays gone.
    pub fn renew(&mut self, generation: LoginNo, heard: Instant, now: Now) {
        self.change(now, |leases| {
            if let Some(Held::Here { renewed }) = of(leases, generation).map(|it| &mut it.held) {
                *renewed = heard.min(now.at).max(*renewed);
            }
        });
    }

    /// The device that logged in as `generation` came to the front, or left it.
    pub fn set_front(&mut self, generation: LoginNo, front: Front, now: Now) {
        self.change(now, |leases| {
            if let Some(lease) = of(leases, generation) {
                lease.there.front = front;
            }
        });
    }

    /// The session of `generation` is over; a later one of the same device is not.
    pub fn end(&mut self, generation: LoginNo, now: Now) {
        self.change(now, |leases| leases.retain(|lease| lease.there.generation != generation));
    }

    /// The devices that have a session here.
    pub fn here(&self) -> impl Iterator<Item = &There> {
        self.leases.iter().filter(|lease| lease.renewed().is_some()).map(|lease| &lease.there)
    }

    /// How many devices are there, wherever.
    pub fn devices(&self) -> usize {
        self.leases.len()
    }

    /// The other nodes that say that a device is with them; one as often as it says so.
    pub fn nodes(&self) -> impl Iterator<Item = NodeRun> {
        self.leases.iter().filter_map(|lease| match lease.held {
            Held::By(node) => Some(node),
            Held::Here { .. } => None,
        })
    }

    /// No device has a session here any more.
    pub fn end_here(&mut self, now: Now) {
        self.change(now, |leases| leases.retain(|lease| lease.renewed().is_none()));
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

    /// What the user says of themselves, once the store was asked.
    pub fn profile(&self) -> Option<&Profile> {
        self.profile.as_ref()
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
        let lease = self.leases.iter().filter_map(Lease::ends).min();
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
        let last = self.leases.iter().filter_map(Lease::renewed).max();
        if let Some(last) = last
            && self.live(now).next().is_none()
            && self.may_be_seen(now)
        {
            // All ran out: the user was last seen when the last of them was renewed.
            let since = now.at.duration_since(last).as_millis();
            let since = i64::try_from(since).unwrap_or(i64::MAX);
            self.saw_at(UnixMs::new(now.time.get().saturating_sub(since)));
        }
        self.leases.retain(|lease| lease.is_live(now));
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
        self.leases.iter().filter(move |lease| lease.is_live(now))
    }

    fn platforms(&self, now: Now) -> Vec<(Platform, Front)> {
        let mut all: Vec<_> =
            self.live(now).map(|it| (it.there.platform, it.there.front)).collect();
        // The best of each platform first, so that it is the one that stays.
        all.sort_unstable();
        all.dedup_by_key(|(platform, _)| *platform);
        all.sort_unstable_by_key(|(platform, front)| (*front, *platform));
        all
    }
}

fn of(leases: &mut [Lease], generation: LoginNo) -> Option<&mut Lease> {
    leases.iter_mut().find(|lease| lease.there.generation == generation)
}

/// Of one device the latest login counts.
fn take_in(leases: &mut Vec<Lease>, lease: Lease) {
    let same = |it: &&mut Lease| {
        it.there.platform == lease.there.platform && it.there.device == lease.there.device
    };
    match leases.iter_mut().find(same) {
        Some(known) if known.there.generation >= lease.there.generation => {}
        Some(older) => *older = lease,
        None => leases.push(lease),
    }
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            presence.seen_by(Viewer::Friend, after(now, 700)).last_seen,
            minute(after(now, 10))
        );
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
                if let Some(turn) = looked.next_turn(now) {
                    let ms = turn.duration_since(now.at).as_millis() as i64 - 1;
                    let (at, time) = (turn - Duration::from_millis(1), now.time.get() + ms);
                    let before = Now { at, time: UnixMs::new(time) };
                    prop_assert_eq!(&fronts(&presence, Viewer::Friend, before), &expected);
                }
            }
        }
    }
}
