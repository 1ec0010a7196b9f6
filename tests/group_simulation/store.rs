//! What the store promises of groups: two fences, heads that are compared, memberships that change with their notices.

use std::collections::{BTreeMap, HashSet};

use rookery::domain::group::{Edit, Facts, Loaded, Membership, Profile, SenderFacts, Target};
use rookery::domain::intake::{Refusal, SendHash};
use rookery::domain::journal::{Appended, Fate, Found, GroupPlace, Placed, Row, Target as Goal};
use rookery::domain::policy::{Kind, Role};
use rookery::ids::{ClientMsgId, ConversationNo, MessageId, Seq, ShardEpoch, UserNo};

use crate::world::{SLOTS, USERS, no, user_id};

/// A stored entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub sender: UserNo,
    pub key: ClientMsgId,
    pub hash: SendHash,
    /// None for a message.
    pub edit: Option<Edit>,
}

pub struct StoredGroup {
    pub no: ConversationNo,
    pub kind: Kind,
    pub name: String,
    pub dissolved: bool,
    pub log: Vec<Entry>,
    pub members: BTreeMap<UserNo, Membership>,
}

pub struct Store {
    fence: u64,
    /// Of the one shard.
    pub epoch: i64,
    /// Whether it is this node's.
    pub ours: bool,
    /// By the place of its id.
    pub groups: [Option<StoredGroup>; SLOTS],
    numbers: i64,
    /// Which step this is, and at which somebody ceased to be a member or became one.
    pub step: usize,
    moves: Vec<(usize, usize, UserNo, bool)>,
}

impl Store {
    pub fn new() -> Self {
        Self {
            fence: 0,
            epoch: 1,
            ours: true,
            groups: [const { None }; SLOTS],
            numbers: 0,
            step: 0,
            moves: Vec::new(),
        }
    }

    /// Makes a group without an owner's doing.
    pub fn make(&mut self, slot: usize, kind: Kind, members: &[usize]) {
        let notice = Seq::new(1);
        let membership = |user: usize| {
            let role = if user == members[0] { Role::Owner } else { Role::Member };
            (no(user), Membership { role, join_seq: notice, left_seq: None })
        };
        let edit = Edit { add: members.iter().map(|user| no(*user)).collect(), ..Edit::default() };
        let key = ClientMsgId::mint(crate::world::NOW, [200 + slot as u8; 10]);
        let made = Entry { sender: no(members[0]), key, hash: [0; 16], edit: Some(edit) };
        let group = StoredGroup {
            no: self.next_number(),
            kind,
            name: "Team".to_owned(),
            dissolved: false,
            log: vec![made],
            members: members.iter().map(|user| membership(*user)).collect(),
        };
        self.moves.extend(group.members.keys().map(|user| (0, slot, *user, true)));
        self.groups[slot] = Some(group);
    }

    pub fn next_number(&mut self) -> ConversationNo {
        self.numbers += 1;
        ConversationNo::from_store(self.numbers)
    }

    /// Raises the journal's fence; what it gives back must come along with an append.
    pub fn claim(&mut self) -> u64 {
        self.fence += 1;
        self.fence
    }

    pub fn is_member(&self, slot: usize, user: UserNo) -> bool {
        let membership = self.groups[slot].as_ref().and_then(|group| group.members.get(&user));
        membership.is_some_and(|it| it.left_seq.is_none())
    }

    /// Whether the user was an outsider at some time since that step.
    pub fn was_outside(&self, slot: usize, user: UserNo, since: usize) -> bool {
        let of_user = self.moves.iter().filter(|(_, at, who, _)| (*at, *who) == (slot, user));
        let mut was_member = false;
        let mut was_outside = false;
        for (step, _, _, is_member) in of_user {
            was_outside |= *step > since && !was_member;
            was_member = *is_member;
            was_outside |= *step > since && !was_member;
        }
        was_outside || !was_member
    }

    pub fn group_of(&self, no: ConversationNo) -> Option<(usize, &StoredGroup)> {
        self.groups
            .iter()
            .enumerate()
            .find_map(|(slot, it)| Some((slot, it.as_ref().filter(|group| group.no == no)?)))
    }

    /// One statement: posts, for each group all or none, or one change.
    pub fn append(&mut self, fence: u64, rows: &[Row<usize>]) -> Appended {
        if fence != self.fence {
            return Appended::Unknown;
        }
        match &rows[0].target {
            Goal::Change { place, edit } => {
                let fate = self.change(*place, edit, &rows[0]);
                Appended::Each(vec![fate])
            }
            _ => self.append_posts(rows),
        }
    }

    fn append_posts(&mut self, rows: &[Row<usize>]) -> Appended {
        let mut places: BTreeMap<ConversationNo, Vec<GroupPlace>> = BTreeMap::new();
        for row in rows {
            let Goal::Post(place) = row.target else { panic!("not all of them are posts") };
            let of_group = places.entry(place.group).or_default();
            let follows = of_group
                .last()
                .is_none_or(|last| place.seq == last.seq.next() && place.epoch == last.epoch);
            if !follows {
                return Appended::Refused;
            }
            of_group.push(place);
        }
        let known: Vec<Option<Fate>> = rows.iter().map(|row| self.known(row)).collect();
        let is_known = |group: ConversationNo| {
            rows.iter()
                .zip(&known)
                .any(|(row, known)| row.target.conversation() == group && known.is_some())
        };
        let mut moves = HashSet::new();
        for (group, places) in &places {
            let head = self.group_of(*group).map(|(_, it)| Seq::new(it.log.len() as u64));
            let held = places[0].epoch == ShardEpoch::from_store(self.epoch);
            if held && head.is_some_and(|head| head.next() == places[0].seq) && !is_known(*group) {
                let keys: Vec<_> = rows
                    .iter()
                    .filter(|row| row.target.conversation() == *group)
                    .map(|row| (row.sender, row.key))
                    .collect();
                if keys.iter().collect::<HashSet<_>>().len() < keys.len() {
                    return Appended::Refused;
                }
                moves.insert(*group);
            }
        }
        let fates = rows.iter().zip(known).map(|(row, known)| {
            let Goal::Post(place) = row.target else { return Fate::Moved };
            match known {
                Some(known) => known,
                None if moves.contains(&place.group) => {
                    self.write(place, row, None);
                    Fate::Stored(placed(place.seq))
                }
                None => Fate::Moved,
            }
        });
        Appended::Each(fates.collect())
    }

    /// Puts an entry into the log, which must be its own place.
    fn write(&mut self, place: GroupPlace, row: &Row<usize>, edit: Option<Edit>) {
        let (slot, _) = self.group_of(place.group).expect("the group is there");
        assert!(
            edit.is_some() || self.is_member(slot, row.sender),
            "a message of one who is not a member was stored"
        );
        let Some(group) = &mut self.groups[slot] else { return };
        group.log.push(Entry { sender: row.sender, key: row.key, hash: row.hash, edit });
        assert_eq!(place.seq.get(), group.log.len() as u64, "stored at another place");
        let messages = group.log.iter().filter(|entry| entry.edit.is_none()).count();
        assert_eq!(place.counted, messages as u64, "counted wrongly");
    }

    fn change(&mut self, place: GroupPlace, edit: &Edit, row: &Row<usize>) -> Fate {
        let slot = row.payload;
        if place.epoch != ShardEpoch::from_store(self.epoch) {
            return Fate::Moved;
        }
        if let Some(new) = &edit.create {
            if self.groups[slot].is_some() {
                return Fate::Declined(Refusal::Taken);
            }
            let group = StoredGroup {
                no: place.group,
                kind: new.kind,
                name: edit.name.clone().unwrap_or_default(),
                dissolved: false,
                log: Vec::new(),
                members: BTreeMap::new(),
            };
            self.groups[slot] = Some(group);
        }
        let Some(group) = self.groups[slot].as_ref().filter(|group| group.no == place.group) else {
            return Fate::Moved;
        };
        let is_member = |user: &UserNo| self.is_member(slot, *user);
        let fits = group.log.len() as u64 + 1 == place.seq.get()
            && !group.dissolved
            && !edit.add.iter().any(is_member)
            && edit.remove.iter().all(is_member)
            && edit.owner.flatten().is_none_or(|no| edit.add.contains(&no) || is_member(&no));
        if !fits {
            return Fate::Moved;
        }
        assert!(
            edit.create.is_some() || edit.add.contains(&row.sender) || is_member(&row.sender),
            "a change by one who is not a member was stored"
        );
        self.write(place, row, Some(edit.clone()));
        self.apply(slot, place.seq, edit);
        Fate::Stored(placed(place.seq))
    }

    fn apply(&mut self, slot: usize, seq: Seq, edit: &Edit) {
        let step = self.step;
        let Some(group) = &mut self.groups[slot] else { return };
        for (user, membership) in &mut group.members {
            let goes = edit.dissolve || edit.remove.contains(user);
            if goes && membership.left_seq.is_none() {
                *membership = Membership { role: Role::Member, left_seq: Some(seq), ..*membership };
                self.moves.push((step, slot, *user, false));
            }
        }
        for user in &edit.add {
            let membership = Membership { role: Role::Member, join_seq: seq, left_seq: None };
            group.members.insert(*user, membership);
            self.moves.push((step, slot, *user, true));
        }
        if let Some(owner) = edit.owner {
            for (user, membership) in &mut group.members {
                membership.role = if owner == Some(*user) { Role::Owner } else { Role::Member };
            }
        }
        if let Some(name) = &edit.name {
            group.name.clone_from(name);
        }
        group.dissolved |= edit.dissolve;
    }

    /// Another owner writes: a message, or a change of memberships.
    pub fn write_as_other(&mut self, slot: usize, entry: Entry) {
        let Some(group) = &mut self.groups[slot] else { return };
        let edit = entry.edit.clone();
        group.log.push(entry);
        let seq = Seq::new(group.log.len() as u64);
        if let Some(edit) = edit {
            self.apply(slot, seq, &edit);
        }
    }

    /// Which of these rows are stored, by index.
    pub fn find(&self, rows: &[Row<usize>]) -> Vec<Found> {
        let found = |(index, row): (usize, &Row<usize>)| {
            let Fate::Known { seq, hash, .. } = self.known(row)? else { return None };
            Some(Found { index, placed: placed(seq), hash, is_own: true })
        };
        rows.iter().enumerate().filter_map(found).collect()
    }

    fn known(&self, row: &Row<usize>) -> Option<Fate> {
        let (slot, _) = self.group_of(row.target.conversation())?;
        let (seq, entry) = self.entry(slot, row.sender, row.key)?;
        let Placed { seq, message_id, .. } = placed(seq);
        Some(Fate::Known { seq, message_id, hash: entry.hash })
    }

    pub fn entry(&self, slot: usize, sender: UserNo, key: ClientMsgId) -> Option<(Seq, &Entry)> {
        let log = &self.groups[slot].as_ref()?.log;
        let index = log.iter().position(|it| (it.sender, it.key) == (sender, key))?;
        Some((Seq::new(index as u64 + 1), &log[index]))
    }

    /// A group as its owner loads it, with the epoch of its shard.
    pub fn load(&self, slot: usize) -> Option<Loaded> {
        let group = self.groups[slot].as_ref()?;
        let counted = group.log.iter().filter(|entry| entry.edit.is_none()).count() as u64;
        Some(Loaded {
            no: group.no,
            epoch: Some(ShardEpoch::from_store(self.epoch)),
            profile: Profile {
                kind: group.kind,
                name: group.name.clone(),
                dissolved: group.dissolved,
            },
            head: Seq::new(group.log.len() as u64),
            counted,
        })
    }

    pub fn sender(&self, slot: usize, sender: UserNo, key: ClientMsgId) -> SenderFacts {
        let group = self.groups[slot].as_ref();
        let membership = group.and_then(|group| group.members.get(&sender).copied());
        let stored = self.entry(slot, sender, key);
        let stored = stored.map(|(seq, entry)| (seq, placed(seq).message_id, entry.hash));
        SenderFacts { membership, stored }
    }

    pub fn facts(
        &self,
        slot: usize,
        group: Option<ConversationNo>,
        by: UserNo,
        targets: &[usize],
    ) -> Facts {
        let group = group.and_then(|no| self.groups[slot].as_ref().filter(|it| it.no == no));
        let membership = |user: UserNo| group.and_then(|it| it.members.get(&user).copied());
        let members = group.map(|it| &it.members).into_iter().flatten();
        let active = members.filter(|(_, it)| it.left_seq.is_none());
        let senior = active.clone().filter(|(user, _)| **user != by);
        let senior = senior.min_by_key(|(user, it)| (it.join_seq, **user)).map(|(user, _)| *user);
        let target = |user: &usize| Target {
            id: user_id(*user),
            no: (*user < USERS.len()).then(|| no(*user)),
            membership: membership(no(*user)),
        };
        Facts {
            by: membership(by),
            members: active.count() as u32,
            targets: targets.iter().map(target).collect(),
            senior: senior.map(|user| (user, user_id(user.get() as usize - 1))),
        }
    }
}

fn placed(seq: Seq) -> Placed {
    let message_id = MessageId::from_store(seq.get() as i64);
    Placed { seq, inbox_low: None, inbox_high: None, message_id }
}
