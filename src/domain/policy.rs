//! The kinds of group: one row of policy each, and the roles in them. What differs between kinds differs here and nowhere
//! else.
//!
//! Never knows a group: [`super::group`] asks it what holds.

use serde::{Deserialize, Serialize};

/// The kind of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// Colleagues and friends.
    Work,
    /// A meeting.
    Meeting,
}

/// What a member is in a group. Rights go by rank: the owner acts on members, nobody on an equal or higher rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Everyone but the owner.
    Member,
    /// There is always exactly one.
    Owner,
}

/// How one becomes a member by oneself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joining {
    /// By invitation only; to outsiders the group is not there.
    ByInvitation,
    /// At once.
    Free,
}

/// What becomes of a group whose owner wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerLeaves {
    /// The member who joined first follows; without one the group ends.
    SeniorFollows,
    /// The owner has to hand the group over first.
    TransfersFirst,
}

/// What a new member sees of what was said before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// Nothing: the first entry is the one that tells of the member.
    FromJoining,
    /// Everything that is kept.
    Whole,
}

/// One kind's rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How one becomes a member by oneself.
    pub joining: Joining,
    /// The least role that may make others members.
    pub invites: Role,
    /// The least role that may change the name.
    pub renames: Role,
    /// The least role that may end another's membership, always of a lower rank only.
    pub removes: Role,
    /// What becomes of a group whose owner wants to go.
    pub owner_leaves: OwnerLeaves,
    /// What a new member sees of what was said before.
    pub history: History,
    /// Whether unread messages are counted.
    pub counts_unread: bool,
    /// Whether authors hear how many have read.
    pub read_receipts: bool,
    /// Members at most.
    pub members_most: u32,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Work, Self::Meeting];

    /// The rules of this kind.
    pub const fn policy(self) -> Policy {
        match self {
            Self::Work => Policy {
                joining: Joining::ByInvitation,
                invites: Role::Member,
                renames: Role::Member,
                removes: Role::Owner,
                owner_leaves: OwnerLeaves::SeniorFollows,
                history: History::FromJoining,
                counts_unread: true,
                read_receipts: true,
                members_most: crate::limits::GROUP_MEMBERS,
            },
            Self::Meeting => Policy {
                joining: Joining::Free,
                invites: Role::Member,
                renames: Role::Owner,
                removes: Role::Owner,
                owner_leaves: OwnerLeaves::TransfersFirst,
                history: History::Whole,
                counts_unread: false,
                read_receipts: true,
                members_most: crate::limits::GROUP_MEMBERS,
            },
        }
    }

    /// The name under which the kind is stored.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Work => "work",
            Self::Meeting => "meeting",
        }
    }

    /// Reads the name under which a kind is stored.
    pub fn from_store(raw: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == raw)
    }
}

impl Role {
    /// The number under which the role is stored; rises with the rank.
    pub const fn to_store(self) -> i16 {
        match self {
            Self::Member => 0,
            Self::Owner => 20,
        }
    }

    /// Reads the number under which a role is stored.
    pub fn from_store(raw: i16) -> Option<Self> {
        [Self::Member, Self::Owner].into_iter().find(|role| role.to_store() == raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_roles_come_back_from_the_store() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_store(kind.as_str()), Some(kind));
        }
        for role in [Role::Member, Role::Owner] {
            assert_eq!(Role::from_store(role.to_store()), Some(role));
        }
        assert!(Role::Owner.to_store() > Role::Member.to_store());
        assert_eq!((Kind::from_store("room"), Role::from_store(7)), (None, None));
    }
}
