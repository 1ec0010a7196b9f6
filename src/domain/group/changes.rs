//! What a change of a group comes to: who may do it, whom it moves, and what its notice says.
//!
//! Pure decisions over facts that were read for this change; only the group's owner changes memberships, one change at a
//! time, so they still hold when it commits.

use std::borrow::Cow;

use crate::domain::policy::{History, Joining, Kind, OwnerLeaves, Role};
use crate::ids::{AppId, GroupId, Seq, UserId, UserNo};
use serde::{Deserialize, Serialize};

/// A change that somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// Make the group.
    Create {
        /// Its kind.
        kind: Kind,
        /// Its name.
        name: String,
        /// Its first members besides the maker.
        members: Vec<UserId>,
    },
    /// Give it another name.
    Rename(String),
    /// Make these users members.
    Invite(Vec<UserId>),
    /// Become a member.
    Join,
    /// Cease to be one.
    Leave,
    /// End the membership of these users.
    Remove(Vec<UserId>),
    /// End the group.
    Dissolve,
}

impl Change {
    /// The users that it names.
    pub fn targets(&self) -> &[UserId] {
        match self {
            Self::Create { members: users, .. } | Self::Invite(users) | Self::Remove(users) => {
                users
            }
            Self::Rename(_) | Self::Join | Self::Leave | Self::Dissolve => &[],
        }
    }
}

/// By what right somebody posts, or asks for a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Authority {
    /// One's own, as a member.
    Member,
    /// The app's: it acts in every group, with an owner's rank and without being a member.
    App,
}

/// A membership, present or former.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    /// As what.
    pub role: Role,
    /// The notice that tells of the member.
    pub join_seq: Seq,
    /// The notice that tells that it ended; none while it lasts.
    pub left_seq: Option<Seq>,
}

impl Membership {
    fn is_active(self) -> bool {
        self.left_seq.is_none()
    }
}

/// A user whom a change names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As named.
    pub id: UserId,
    /// None when there is no such user.
    pub no: Option<UserNo>,
    /// Its membership, present or former.
    pub membership: Option<Membership>,
}

/// What was read for a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The membership of who asks.
    pub by: Option<Membership>,
    /// Members that the group has.
    pub members: u32,
    /// The users that the change names, in its order.
    pub targets: Vec<Target>,
    /// The member who joined first, who asks left out.
    pub senior: Option<(UserNo, UserId)>,
}

/// What the rules look at of a group that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Whether it was dissolved.
    pub dissolved: bool,
}

/// Why a change was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ChangeRefused {
    /// There is no such group, or one that may not be seen.
    NoSuchGroup,
    /// There is no such user.
    NoSuchUser(UserId),
    /// Who asks is not, or no longer, a member.
    NotAMember,
    /// The rules of the group say no; why, for people.
    Forbidden(Cow<'static, str>),
    /// The group has ended. Told to the app, which sees that; to others it is not there.
    Dissolved,
    /// The group would have more members than this.
    Full(u32),
    /// Somebody is in as many groups as one may be.
    TooManyGroups,
    /// The id is taken.
    Taken,
    /// Not now; trying again can succeed.
    NotNow(super::Refusal),
}

/// What is written with a notice, in one statement.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edit {
    /// The group is made.
    pub create: Option<NewGroup>,
    /// Its name from now on.
    pub name: Option<String>,
    /// Its owner from now on; `Some(None)` when there is none any more.
    pub owner: Option<Option<UserNo>>,
    /// Who becomes a member.
    pub add: Vec<UserNo>,
    /// Whether those who become members see what was said before.
    pub shows_history: bool,
    /// Whose membership ends.
    pub remove: Vec<UserNo>,
    /// The group ends, and with it every membership.
    pub dissolve: bool,
}

/// A group to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGroup {
    /// Its app.
    pub app: AppId,
    /// Its id.
    pub id: GroupId,
    /// Its kind.
    pub kind: Kind,
}

/// What a notice tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Happened {
    /// The group was made.
    Created,
    /// Members were added by another.
    Added,
    /// A member joined by itself.
    Joined,
    /// A member went.
    Left,
    /// Members were removed by another.
    Removed,
    /// The group has another name.
    Renamed,
    /// The group has ended.
    Dissolved,
}

/// A notice, for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What happened.
    pub happened: Happened,
    /// To whom.
    pub users: Vec<UserId>,
    /// The name that was given.
    pub name: Option<String>,
    /// Who owns the group from now on.
    pub owner: Option<UserId>,
}

/// What a change comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Plan {
    /// Everything is so already.
    Nothing,
    /// This is to be written.
    Write {
        /// With the rows that it moves.
        edit: Edit,
        /// What the log says.
        notice: Notice,
    },
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct By<'a> {
    /// The user's number.
    pub no: UserNo,
    /// The user's id.
    pub id: &'a UserId,
    /// By what right.
    pub authority: Authority,
}

/// Decides a change of a group that exists.
pub fn plan(
    group: &Profile,
    by: By<'_>,
    change: &Change,
    facts: &Facts,
) -> Result<Plan, ChangeRefused> {
    let policy = group.kind.policy();
    let own = facts.by.filter(|own| own.is_active());
    let member = own.map(|own| own.role).ok_or_else(|| unseen(group, facts.by));
    let rank = match by.authority {
        Authority::Member => member.clone(),
        Authority::App if !group.dissolved => Ok(Role::Owner),
        Authority::App if *change == Change::Dissolve => return Ok(Plan::Nothing),
        Authority::App => Err(ChangeRefused::Dissolved),
    };
    match change {
        Change::Create { .. } => Err(ChangeRefused::Taken),
        Change::Rename(name) => {
            may(rank?, policy.renames, "only the owner may change the name")?;
            if *name == group.name {
                return Ok(Plan::Nothing);
            }
            let edit = Edit { name: Some(name.clone()), ..Edit::default() };
            let notice = Notice { name: Some(name.clone()), ..about(Happened::Renamed) };
            Ok(Plan::Write { edit, notice })
        }
        Change::Invite(_) => {
            may(rank?, policy.invites, "only the owner may invite")?;
            let known = known(&facts.targets)?;
            let new = known.filter(|(target, _)| !is_member(target));
            let (users, add): (Vec<_>, Vec<_>) =
                new.map(|(target, no)| (target.id.clone(), no)).unzip();
            if add.is_empty() {
                return Ok(Plan::Nothing);
            }
            let edit = added(group.kind, facts.members, add)?;
            Ok(Plan::Write { edit, notice: Notice { users, ..about(Happened::Added) } })
        }
        Change::Join => match (own, policy.joining) {
            (Some(_), _) => Ok(Plan::Nothing),
            (None, _) if group.dissolved => Err(ChangeRefused::NoSuchGroup),
            (None, Joining::ByInvitation) if facts.by.is_some() => Err(ChangeRefused::Forbidden(
                "one becomes a member of this group by invitation".into(),
            )),
            (None, Joining::ByInvitation) => Err(ChangeRefused::NoSuchGroup),
            (None, Joining::Free) => {
                let edit = added(group.kind, facts.members, vec![by.no])?;
                let users = vec![by.id.clone()];
                Ok(Plan::Write { edit, notice: Notice { users, ..about(Happened::Joined) } })
            }
        },
        Change::Leave => {
            let role = member?;
            let mut edit = Edit { remove: vec![by.no], ..Edit::default() };
            let users = vec![by.id.clone()];
            let mut notice = Notice { users, ..about(Happened::Left) };
            if role == Role::Owner {
                match (policy.owner_leaves, &facts.senior) {
                    (OwnerLeaves::TransfersFirst, _) => {
                        let why =
                            "the owner of this kind of group cannot leave it, only dissolve it";
                        return Err(ChangeRefused::Forbidden(why.into()));
                    }
                    (OwnerLeaves::SeniorFollows, Some((no, id))) => {
                        edit.owner = Some(Some(*no));
                        notice.owner = Some(id.clone());
                    }
                    // Nobody is left.
                    (OwnerLeaves::SeniorFollows, None) => {
                        edit.owner = Some(None);
                        edit.dissolve = true;
                    }
                }
            }
            Ok(Plan::Write { edit, notice })
        }
        Change::Remove(_) => {
            let role = rank?;
            may(role, policy.removes, "only the owner may remove members")?;
            let known: Vec<_> =
                known(&facts.targets)?.filter(|(target, _)| is_member(target)).collect();
            if known.iter().any(|(_, no)| *no == by.no) {
                return Err(ChangeRefused::Forbidden("one leaves by group.leave".into()));
            }
            if known.iter().any(|(target, _)| target.membership.is_some_and(|it| it.role >= role)) {
                return Err(ChangeRefused::Forbidden(
                    "nobody acts on an equal or higher rank".into(),
                ));
            }
            let (users, remove): (Vec<_>, Vec<_>) =
                known.into_iter().map(|(target, no)| (target.id.clone(), no)).unzip();
            if remove.is_empty() {
                return Ok(Plan::Nothing);
            }
            let edit = Edit { remove, ..Edit::default() };
            Ok(Plan::Write { edit, notice: Notice { users, ..about(Happened::Removed) } })
        }
        Change::Dissolve => {
            may(rank?, Role::Owner, "only the owner may dissolve the group")?;
            let edit = Edit { owner: Some(None), dissolve: true, ..Edit::default() };
            Ok(Plan::Write { edit, notice: about(Happened::Dissolved) })
        }
    }
}

/// Decides the making of a group that does not exist.
pub fn plan_creation(
    new: NewGroup,
    name: &str,
    by: By<'_>,
    facts: &Facts,
) -> Result<Plan, ChangeRefused> {
    let others: Vec<_> = known(&facts.targets)?.filter(|(_, no)| *no != by.no).collect();
    let mut users = vec![by.id.clone()];
    let mut add = vec![by.no];
    for (target, no) in others {
        users.push(target.id.clone());
        add.push(no);
    }
    let name = Some(name.to_owned());
    let edit = Edit {
        owner: Some(Some(by.no)),
        name: name.clone(),
        create: Some(new.clone()),
        ..added(new.kind, 0, add)?
    };
    let owner = Some(by.id.clone());
    Ok(Plan::Write { edit, notice: Notice { users, name, owner, ..about(Happened::Created) } })
}

/// What an outsider or former member is told: who may not see a group is told that there is none.
pub fn unseen(group: &Profile, membership: Option<Membership>) -> ChangeRefused {
    let is_hidden = group.kind.policy().joining == Joining::ByInvitation || group.dissolved;
    if is_hidden && membership.is_none() {
        ChangeRefused::NoSuchGroup
    } else {
        ChangeRefused::NotAMember
    }
}

fn may(role: Role, least: Role, why: &'static str) -> Result<(), ChangeRefused> {
    if role >= least { Ok(()) } else { Err(ChangeRefused::Forbidden(why.into())) }
}

fn known(targets: &[Target]) -> Result<impl Iterator<Item = (&Target, UserNo)>, ChangeRefused> {
    match targets.iter().find(|target| target.no.is_none()) {
        Some(nobody) => Err(ChangeRefused::NoSuchUser(nobody.id.clone())),
        None => Ok(targets.iter().filter_map(|target| Some((target, target.no?)))),
    }
}

fn is_member(target: &Target) -> bool {
    target.membership.is_some_and(Membership::is_active)
}

fn added(kind: Kind, members: u32, add: Vec<UserNo>) -> Result<Edit, ChangeRefused> {
    let policy = kind.policy();
    let added = u32::try_from(add.len()).unwrap_or(u32::MAX);
    if members.saturating_add(added) > policy.members_most {
        return Err(ChangeRefused::Full(policy.members_most));
    }
    Ok(Edit { add, shows_history: policy.history == History::Whole, ..Edit::default() })
}

fn about(happened: Happened) -> Notice {
    Notice { happened, users: Vec::new(), name: None, owner: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: UserNo = UserNo::from_store(1);
    const BOB: UserNo = UserNo::from_store(2);

    fn id(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn group(kind: Kind) -> Profile {
        Profile { kind, name: "team".into(), dissolved: false }
    }

    fn member(role: Role) -> Option<Membership> {
        Some(Membership { role, join_seq: Seq::new(1), left_seq: None })
    }

    fn former() -> Option<Membership> {
        member(Role::Member).map(|it| Membership { left_seq: Some(Seq::new(9)), ..it })
    }

    fn target(name: &str, no: i64, membership: Option<Membership>) -> Target {
        Target { id: id(name), no: Some(UserNo::from_store(no)), membership }
    }

    fn facts(by: Option<Membership>, targets: Vec<Target>) -> Facts {
        Facts { by, members: 2, targets, senior: Some((BOB, id("bob"))) }
    }

    fn ask_by(
        authority: Authority,
        group: &Profile,
        change: &Change,
        facts: &Facts,
    ) -> Result<Plan, ChangeRefused> {
        plan(group, By { no: ALICE, id: &id("alice"), authority }, change, facts)
    }

    fn ask(kind: Kind, change: &Change, facts: &Facts) -> Result<Plan, ChangeRefused> {
        ask_by(Authority::Member, &group(kind), change, facts)
    }

    fn write(plan: Result<Plan, ChangeRefused>) -> (Edit, Notice) {
        match plan {
            Ok(Plan::Write { edit, notice }) => (edit, notice),
            other => panic!("expected something to write: {other:?}"),
        }
    }

    fn all() -> Vec<Change> {
        vec![
            Change::Rename("x".into()),
            Change::Invite(vec![id("carol")]),
            Change::Leave,
            Change::Remove(vec![id("carol")]),
            Change::Dissolve,
        ]
    }

    #[test]
    fn an_outsider_is_told_that_there_is_no_work_group_and_that_one_is_not_in_a_meeting() {
        for change in all() {
            let outside = facts(None, vec![target("carol", 3, None)]);
            let was_in = facts(former(), vec![target("carol", 3, None)]);
            assert_eq!(ask(Kind::Work, &change, &outside), Err(ChangeRefused::NoSuchGroup));
            assert_eq!(ask(Kind::Work, &change, &was_in), Err(ChangeRefused::NotAMember));
            assert_eq!(ask(Kind::Meeting, &change, &outside), Err(ChangeRefused::NotAMember));
        }
    }

    #[test]
    fn a_plain_member_may_do_what_the_table_says() {
        let me = facts(member(Role::Member), vec![target("carol", 3, member(Role::Member))]);
        let invites = facts(member(Role::Member), vec![target("carol", 3, None)]);
        let forbidden = |plan| matches!(plan, Err(ChangeRefused::Forbidden(_)));

        assert!(ask(Kind::Work, &Change::Rename("x".into()), &me).is_ok());
        assert!(forbidden(ask(Kind::Meeting, &Change::Rename("x".into()), &me)));
        for kind in [Kind::Work, Kind::Meeting] {
            assert!(ask(kind, &Change::Invite(vec![id("carol")]), &invites).is_ok());
            assert!(ask(kind, &Change::Leave, &me).is_ok());
            assert!(forbidden(ask(kind, &Change::Remove(vec![id("carol")]), &me)));
            assert!(forbidden(ask(kind, &Change::Dissolve, &me)));
        }
    }

    #[test]
    fn joining_is_free_in_a_meeting_and_by_invitation_at_work() {
        let (edit, notice) = write(ask(Kind::Meeting, &Change::Join, &facts(None, vec![])));
        assert_eq!(
            (edit.add, edit.shows_history, notice.happened),
            (vec![ALICE], true, Happened::Joined)
        );

        assert_eq!(
            ask(Kind::Work, &Change::Join, &facts(None, vec![])),
            Err(ChangeRefused::NoSuchGroup)
        );
        let was_in = ask(Kind::Work, &Change::Join, &facts(former(), vec![]));
        assert!(matches!(was_in, Err(ChangeRefused::Forbidden(_))));
        let is_in = facts(member(Role::Member), vec![]);
        assert_eq!(ask(Kind::Work, &Change::Join, &is_in), Ok(Plan::Nothing));
    }

    #[test]
    fn an_invitation_adds_those_who_are_not_members_and_names_one_who_does_not_exist() {
        let targets = vec![
            target("bob", 2, member(Role::Member)),
            target("carol", 3, former()),
            target("dan", 4, None),
        ];
        let invite = Change::Invite(vec![id("bob"), id("carol"), id("dan")]);

        let (edit, notice) = write(ask(Kind::Work, &invite, &facts(member(Role::Member), targets)));
        assert_eq!(edit.add, [UserNo::from_store(3), UserNo::from_store(4)]);
        assert_eq!(notice.users, [id("carol"), id("dan")]);
        assert!(!edit.shows_history);

        let nobody = Target { id: id("zed"), no: None, membership: None };
        let asked = facts(member(Role::Member), vec![nobody]);
        assert_eq!(ask(Kind::Work, &invite, &asked), Err(ChangeRefused::NoSuchUser(id("zed"))));
    }

    #[test]
    fn a_group_takes_as_many_members_as_its_kind_allows() {
        let most = Kind::Work.policy().members_most;
        let invite = Change::Invite(vec![id("carol")]);
        let with = |members| {
            let asked = facts(member(Role::Member), vec![target("carol", 3, None)]);
            ask(Kind::Work, &invite, &Facts { members, ..asked })
        };

        assert!(with(most - 1).is_ok());
        assert_eq!(with(most), Err(ChangeRefused::Full(most)));
    }

    #[test]
    fn the_owner_of_a_work_group_is_followed_by_the_senior_and_the_last_one_ends_it() {
        let owner = facts(member(Role::Owner), vec![]);
        let (edit, notice) = write(ask(Kind::Work, &Change::Leave, &owner));
        assert_eq!((edit.owner, notice.owner), (Some(Some(BOB)), Some(id("bob"))));

        let alone = Facts { senior: None, ..owner.clone() };
        let (edit, _) = write(ask(Kind::Work, &Change::Leave, &alone));
        assert!(edit.dissolve && edit.owner == Some(None));

        let refused = ask(Kind::Meeting, &Change::Leave, &owner);
        assert!(matches!(refused, Err(ChangeRefused::Forbidden(_))));
    }

    #[test]
    fn the_owner_removes_members_but_not_the_owner_and_those_who_are_gone_are_passed_over() {
        let remove = Change::Remove(vec![id("bob"), id("carol")]);
        let targets = vec![target("bob", 2, member(Role::Member)), target("carol", 3, former())];
        let (edit, notice) = write(ask(Kind::Work, &remove, &facts(member(Role::Owner), targets)));
        assert_eq!((edit.remove, notice.users), (vec![BOB], vec![id("bob")]));

        let oneself = facts(member(Role::Owner), vec![target("alice", 1, member(Role::Owner))]);
        assert!(matches!(ask(Kind::Work, &remove, &oneself), Err(ChangeRefused::Forbidden(_))));
        let gone = facts(member(Role::Owner), vec![target("carol", 3, former())]);
        assert_eq!(ask(Kind::Work, &remove, &gone), Ok(Plan::Nothing));
    }

    #[test]
    fn a_group_that_was_dissolved_is_closed_to_all() {
        let ended = Profile { dissolved: true, ..group(Kind::Meeting) };
        let ask =
            |change: &Change, by| ask_by(Authority::Member, &ended, change, &facts(by, vec![]));

        assert_eq!(ask(&Change::Join, None), Err(ChangeRefused::NoSuchGroup));
        assert_eq!(ask(&Change::Join, former()), Err(ChangeRefused::NoSuchGroup));
        assert_eq!(ask(&Change::Leave, former()), Err(ChangeRefused::NotAMember));
    }

    #[test]
    fn the_app_acts_in_every_group_without_being_a_member() {
        let carol = |membership| facts(None, vec![target("carol", 3, membership)]);
        let app = |kind, change: &Change, facts: &Facts| {
            write(ask_by(Authority::App, &group(kind), change, facts))
        };
        for kind in Kind::ALL {
            let (edit, _) = app(kind, &Change::Invite(vec![id("carol")]), &carol(None));
            assert_eq!(edit.add, [UserNo::from_store(3)]);
            let remove = Change::Remove(vec![id("carol")]);
            let (edit, _) = app(kind, &remove, &carol(member(Role::Member)));
            assert_eq!(edit.remove, [UserNo::from_store(3)]);
            let (edit, _) = app(kind, &Change::Rename("x".into()), &carol(None));
            assert_eq!(edit.name.as_deref(), Some("x"));
            let (edit, _) = app(kind, &Change::Dissolve, &carol(None));
            assert!(edit.dissolve);
        }
    }

    #[test]
    fn the_app_leaves_a_group_its_owner_and_its_bound() {
        let ask = |change: &Change, facts: &Facts| {
            ask_by(Authority::App, &group(Kind::Work), change, facts)
        };
        let owner = facts(None, vec![target("carol", 3, member(Role::Owner))]);
        let removed = ask(&Change::Remove(vec![id("carol")]), &owner);
        assert!(matches!(removed, Err(ChangeRefused::Forbidden(_))), "{removed:?}");

        let most = Kind::Work.policy().members_most;
        let full = Facts { members: most, ..facts(None, vec![target("carol", 3, None)]) };
        let added = ask(&Change::Invite(vec![id("carol")]), &full);
        assert_eq!(added, Err(ChangeRefused::Full(most)));
    }

    #[test]
    fn the_app_is_told_that_a_group_has_ended_and_may_end_it_again() {
        let ended = Profile { dissolved: true, ..group(Kind::Work) };
        let ask = |change: &Change| {
            let carol = facts(None, vec![target("carol", 3, None)]);
            ask_by(Authority::App, &ended, change, &carol)
        };

        assert_eq!(ask(&Change::Invite(vec![id("carol")])), Err(ChangeRefused::Dissolved));
        assert_eq!(ask(&Change::Remove(vec![id("carol")])), Err(ChangeRefused::Dissolved));
        assert_eq!(ask(&Change::Rename("x".into())), Err(ChangeRefused::Dissolved));
        assert_eq!(ask(&Change::Dissolve), Ok(Plan::Nothing));
    }
}
