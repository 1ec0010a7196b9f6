//! What is read of groups: senders and repeats, cursors, readers, pages, and the list of a user's groups.

use rookery::domain::policy::{Kind, Role};
use rookery::ids::{AppId, ConversationNo, Seq, UserNo};
use rookery::store::cursors::{CursorKey, CursorWriter};
use rookery::store::group_changes::GroupChanged;
use rookery::store::groups::{self, SenderFacts, StoredEntry, Window};
use rookery::store::members::{self, Reader};
use rookery::store::pairs::From;
use rookery::store::users;

use super::base::{Base, id};
use super::group_base::{Change, Group, HASH, Post, own_all_shards, stored};

async fn changed(
    base: &Base,
    writer: &rookery::store::writer::Writer,
    group: &mut Group,
    change: Change<'_>,
) {
    assert_eq!(group.change(base, writer, change).await, GroupChanged::Stored);
}

#[tokio::test]
async fn a_sender_is_known_by_membership_and_a_repeat_by_its_key_whatever_became_of_the_membership()
{
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let writer = base.writer(0).await;
    let mut group = Group::create(&base, &writer, "eng", Kind::Work, alice, &[bob]).await;
    let post = group.post(&base, bob);
    stored(&writer, std::slice::from_ref(&post)).await;
    let facts = async |user, key| groups::sender(&base.pool, group.no, user, key).await.unwrap();

    let before = facts(bob, base.key()).await.unwrap();
    assert_eq!((before.head.get(), before.stored), (2, None));
    assert_eq!(before.membership.unwrap().role, Role::Member);
    let nobody = facts(UserNo::from_store(99), post.key).await;
    assert_eq!(nobody, Some(SenderFacts { head: Seq::new(2), membership: None, stored: None }));
    let no = ConversationNo::from_store(99);
    assert_eq!(groups::sender(&base.pool, no, bob, post.key).await.unwrap(), None);

    let mut removed = group.clone();
    changed(&base, &writer, &mut removed, Change { remove: &[bob], ..Change::by(alice) }).await;
    let repeat = facts(bob, post.key).await.unwrap();
    assert_eq!(repeat.membership.unwrap().left_seq, Some(Seq::new(3)));
    let first = StoredEntry { seq: post.seq, message_id: post.message_id, hash: HASH };
    assert_eq!(repeat.stored, Some(first));
    assert_eq!(facts(alice, post.key).await.unwrap().stored, None, "another's key is another");
    base.postgres.stop().await;
}

#[tokio::test]
async fn read_cursors_only_rise_to_the_head_or_the_leaving_and_outlive_the_membership() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let carol = base.user("carol").await;
    let writer = base.writer(0).await;
    let cursors = CursorWriter::new(base.connector.open().await.unwrap()).await.unwrap();
    let mut group = Group::create(&base, &writer, "eng", Kind::Work, alice, &[bob]).await;
    let posts: Vec<Post> = (0..3).map(|_| group.post(&base, alice)).collect();
    stored(&writer, &posts).await;
    let key = |owner| CursorKey { owner, conversation: group.no };
    let raise = async |owner, seq| {
        let raised = cursors.raise_groups(&[(key(owner), Seq::new(seq))]).await.unwrap();
        raised.first().map(|raised| (raised.before.get(), raised.after.get()))
    };

    for (seq, expected) in [(2, (0, 2)), (1, (2, 2)), (u64::MAX, (2, 4)), (0, (4, 4))] {
        assert_eq!(raise(bob, seq).await, Some(expected));
    }
    assert_eq!(raise(carol, 1).await, None, "no member");
    let mut held = group.clone();
    changed(&base, &writer, &mut held, Change { remove: &[bob], ..Change::by(alice) }).await;
    stored(&writer, &[held.post(&base, alice)]).await;
    assert_eq!(raise(bob, 9).await, Some((4, 5)), "up to the notice of the leaving");
    changed(&base, &writer, &mut held, Change { add: &[bob, carol], ..Change::by(alice) }).await;
    assert_eq!(raise(bob, 0).await, Some((5, 5)), "kept");

    // Many at once, in any order, some of whom are no members.
    let dave = UserNo::from_store(99);
    let wanted = [(key(carol), Seq::new(6)), (key(dave), Seq::new(6)), (key(alice), Seq::new(7))];
    let raised = cursors.raise_groups(&wanted).await.unwrap();
    let mut after: Vec<_> =
        raised.iter().map(|raised| (raised.key.owner, raised.after.get())).collect();
    after.sort();
    assert_eq!(after, [(alice, 7), (carol, 6)]);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn readers_are_the_members_and_messages_the_newest_of_the_range() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let carol = base.user("carol").await;
    let writer = base.writer(0).await;
    let cursors = CursorWriter::new(base.connector.open().await.unwrap()).await.unwrap();
    let mut group = Group::create(&base, &writer, "eng", Kind::Work, alice, &[bob]).await;
    stored(&writer, &[group.post(&base, alice), group.post(&base, bob)]).await;
    changed(&base, &writer, &mut group, Change { add: &[carol], ..Change::by(alice) }).await;
    stored(&writer, &[group.post(&base, bob)]).await;
    changed(
        &base,
        &writer,
        &mut group,
        Change { remove: &[alice], owner: Some(bob), ..Change::by(alice) },
    )
    .await;
    let key = CursorKey { owner: carol, conversation: group.no };
    cursors.raise_groups(&[(key, Seq::new(5))]).await.unwrap();
    let seq = Seq::new;
    let state = async |above, to, messages| {
        members::read_state(&base.pool, group.no, (seq(above), seq(to)), messages, 500)
            .await
            .unwrap()
    };

    let all = state(0, 6, 50).await;
    assert_eq!(all.messages, [(seq(5), bob), (seq(3), bob), (seq(2), alice)], "no notices");
    let readers = [
        Reader { user: bob, read: seq(0), min_seq: seq(1) },
        Reader { user: carol, read: seq(5), min_seq: seq(4) },
    ];
    assert_eq!(all.readers, readers);

    assert_eq!(state(2, 5, 1).await.messages, [(seq(5), bob)]);
    assert_eq!(state(5, 6, 50).await.messages, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn history_stays_within_the_window_and_ends_early_where_bodies_grow() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let alice = base.user("alice").await;
    let writer = base.writer(0).await;
    let mut group = Group::create(&base, &writer, "eng", Kind::Work, alice, &[]).await;
    let posts: Vec<Post> = (0..9).map(|_| group.post(&base, alice)).collect();
    stored(&writer, &posts).await;
    let window = Window { from: Seq::new(3), to: Seq::new(8) };
    let page = async |from, limit, bytes| -> Vec<u64> {
        let page = groups::history(&base.pool, group.no, window, from, limit, bytes).await.unwrap();
        assert!(page.iter().all(|entry| entry.sender == id("alice")));
        page.iter().map(|entry| entry.seq.get()).collect()
    };
    let (before, after) = (|n| From::Before(Seq::new(n)), |n| From::After(Seq::new(n)));

    assert_eq!(page(after(0), 50, 9999).await, [3, 4, 5, 6, 7, 8]);
    assert_eq!(page(after(4), 2, 9999).await, [5, 6]);
    assert_eq!(page(after(8), 50, 9999).await, [] as [u64; 0]);
    assert_eq!(page(before(u64::MAX), 2, 9999).await, [7, 8]);
    assert_eq!(page(before(5), 50, 9999).await, [3, 4]);
    assert_eq!(page(before(3), 50, 9999).await, [] as [u64; 0]);
    let body = posts[0].body.len();
    assert_eq!(page(after(2), 50, 2 * body).await, [3, 4]);
    assert_eq!(page(before(8), 50, 1).await, [7], "one entry always fits");
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_user_has_the_groups_of_the_present_and_ids_are_resolved_within_the_app() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let writer = base.writer(0).await;
    let mut all = Vec::new();
    for name in ["c", "a", "b"] {
        all.push(Group::create(&base, &writer, name, Kind::Work, alice, &[bob]).await);
    }
    changed(&base, &writer, &mut all[1], Change { remove: &[bob], ..Change::by(alice) }).await;

    let own = groups::of_user(&base.pool, bob).await.unwrap();
    assert_eq!(own.iter().map(|group| group.id.as_str()).collect::<Vec<_>>(), ["c", "b"]);
    let heads = groups::heads(&base.pool, &[own[0].no, own[1].no]).await.unwrap();
    assert_eq!(heads.iter().map(|(_, head)| *head).collect::<Vec<_>>(), [own[0].head, own[1].head]);
    let page = async |after, limit| groups::list(&base.pool, bob, after, limit).await.unwrap();
    let first = page(ConversationNo::from_store(0), 1).await;
    assert_eq!((first.len(), first[0].id.as_str(), first[0].members), (1, "c", 2));
    assert_eq!(first[0].owner, Some(id("alice")));
    let rest = page(first[0].no, 9).await;
    assert_eq!(rest.iter().map(|row| row.id.as_str()).collect::<Vec<_>>(), ["b"]);

    let other = AppId::new(2).unwrap();
    let client = base.connector.open().await.unwrap();
    client.batch_execute("insert into apps (app, name) values (2, 'other')").await.unwrap();
    let stranger = users::open(&base.pool, other, &id("alice")).await.unwrap();
    assert_ne!(stranger, alice);
    let asked = ["bob", "nobody", "alice"].map(id);
    let found = users::resolve(&base.pool, AppId::DEFAULT, &asked).await.unwrap();
    assert_eq!(found, [Some(bob), None, Some(alice)]);
    let found = users::resolve(&base.pool, other, &asked).await.unwrap();
    assert_eq!(found, [None, None, Some(stranger)]);
    let name = &all[0].id;
    assert_eq!(groups::info(&base.pool, other, name, stranger).await.unwrap(), None);
    assert_eq!(groups::load(&base.pool, other, name).await.unwrap(), None);
    base.postgres.stop().await;
}
