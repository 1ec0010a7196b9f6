//! Appends to groups: for each group all or nothing, under the journal's fence and the shard's.

use rookery::domain::policy::Kind;
use rookery::ids::{ConversationNo, Incarnation, NodeId, Seq, Shard};
use rookery::store::group_appends::{GroupKey, GroupsAppended};
use rookery::store::groups::{self, EntryType, GroupEntry, Window};
use rookery::store::pairs::From;
use rookery::store::{StoreError, shards};

use super::base::{Base, NODE, stored as stored_pairs};
use super::group_base::{Group, HASH, Post, append, borrowed, epoch_of, own_all_shards, stored};

/// The entries of a group that no reader is kept from.
async fn log(base: &Base, group: ConversationNo) -> Vec<GroupEntry> {
    let window = Window { from: Seq::ZERO, to: Seq::new(u64::MAX) };
    let all = From::After(Seq::ZERO);
    groups::history(&base.pool, group, window, all, 200, 1 << 20).await.unwrap()
}

fn done(outcome: GroupsAppended) -> (Vec<ConversationNo>, Vec<usize>) {
    match outcome {
        GroupsAppended::Done { mut stored, known } => {
            stored.sort();
            let mut known: Vec<usize> = known.iter().map(|known| known.index).collect();
            known.sort();
            (stored, known)
        }
        GroupsAppended::Fenced => panic!("the writer was fenced"),
    }
}

#[tokio::test]
async fn a_batch_stores_each_group_whole_and_what_was_stored_is_read_back() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let writer = base.writer(0).await;
    let mut one = Group::create(&base, &writer, "one", Kind::Work, alice, &[bob]).await;
    let mut two = Group::create(&base, &writer, "two", Kind::Meeting, bob, &[]).await;

    let posts = [
        two.post(&base, bob),
        one.post(&base, alice),
        one.post(&base, bob),
        two.post(&base, bob),
        one.post(&base, alice),
    ];
    stored(&writer, &posts).await;

    let entries = log(&base, one.no).await;
    let seqs: Vec<u64> = entries.iter().map(|entry| entry.seq.get()).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    assert_eq!(entries[0].entry_type, EntryType::Notice);
    for (entry, post) in entries[1..].iter().zip([&posts[1], &posts[2], &posts[4]]) {
        assert_eq!(entry.entry_type, EntryType::Message);
        assert_eq!((entry.sender_no, entry.key), (post.sender, post.key));
        assert_eq!((entry.message_id, &entry.body), (post.message_id, &post.body));
    }
    let keys: Vec<_> = posts
        .iter()
        .map(|post| GroupKey { group: post.group, sender: post.sender, key: post.key })
        .collect();
    let mut found = writer.find_groups(&keys).await.unwrap();
    found.sort_by_key(|found| found.index);
    assert_eq!(found.len(), posts.len());
    for (found, post) in found.iter().zip(&posts) {
        assert_eq!((found.seq, found.message_id, found.hash), (post.seq, post.message_id, HASH));
    }
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_group_with_a_stored_key_is_left_alone_and_the_others_of_the_batch_are_not() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let (alice, bob) = (base.user("alice").await, base.user("bob").await);
    let writer = base.writer(0).await;
    let mut one = Group::create(&base, &writer, "one", Kind::Work, alice, &[bob]).await;
    let mut two = Group::create(&base, &writer, "two", Kind::Work, alice, &[bob]).await;
    let first = one.post(&base, alice);
    stored(&writer, std::slice::from_ref(&first)).await;
    let before = one.clone();

    let repeat = [
        one.post(&base, alice),
        two.post_with(first.key, alice),
        one.post_with(first.key, alice),
        one.post_with(first.key, bob),
    ];
    let outcome = append(&writer, &repeat).await;

    let GroupsAppended::Done { stored: written, known } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(written, &[two.no], "the same key in another group is another message");
    assert_eq!(known.len(), 1);
    assert_eq!(
        (known[0].index, known[0].seq, known[0].message_id, known[0].hash),
        (2, first.seq, first.message_id, HASH)
    );
    let mut one = before;
    stored(&writer, &[one.post_with(first.key, bob)]).await;
    let twice = one.post(&base, alice);
    let again = one.post_with(twice.key, alice);
    let refused = writer.append_groups(&[borrowed(&twice), borrowed(&again)]).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused { .. }), "{refused}");
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_head_that_is_elsewhere_or_a_hole_between_rows_stores_nothing() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let alice = base.user("alice").await;
    let writer = base.writer(0).await;
    let mut group = Group::create(&base, &writer, "one", Kind::Work, alice, &[]).await;
    let (mut ahead, mut behind) = (group.clone(), group.clone());
    stored(&writer, &[group.post(&base, alice), group.post(&base, alice)]).await;

    ahead.head = 4;
    for stray in [ahead.post(&base, alice), behind.post(&base, alice)] {
        assert_eq!(done(append(&writer, &[stray]).await), (vec![], vec![]));
    }
    let (one, mut other) = (group.clone().post(&base, alice), group.clone());
    other.head += 2;
    let hole = [one, other.post(&base, alice)];
    let posts: Vec<_> = hole.iter().map(borrowed).collect();
    let refused = writer.append_groups(&posts).await.unwrap_err();

    assert!(refused.to_string().contains("do not follow each other"), "{refused}");
    let never_made = Group::new(&base, "ghost", Kind::Work).await.post(&base, alice);
    assert_eq!(done(append(&writer, &[never_made]).await), (vec![], vec![]));
    assert_eq!(base.count("select count(*) from group_messages").await, 3);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_fenced_writer_stores_nothing_in_groups_not_even_when_its_statement_waited_for_the_claim()
{
    let base = Base::start().await;
    own_all_shards(&base).await;
    let alice = base.user("alice").await;
    let former = base.writer(0).await;
    let mut group = Group::create(&base, &former, "one", Kind::Work, alice, &[]).await;
    let present = base.writer(0).await;
    let posts = [group.post(&base, alice)];

    assert_eq!(append(&former, &posts).await, GroupsAppended::Fenced);

    let mut claimer = base.connector.open().await.unwrap();
    let claim = claimer.transaction().await.unwrap();
    claim.execute("update writers set fence = fence + 1", &[]).await.unwrap();
    let (outcome, ()) = tokio::join!(append(&present, &posts), async {
        base.await_lock_waits(1).await;
        claim.commit().await.unwrap();
    });

    assert_eq!(outcome, GroupsAppended::Fenced);
    assert_eq!(base.count("select count(*) from group_messages").await, 1);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_claim_of_the_journal_waits_for_the_statement_in_flight_and_then_finds_what_it_stored() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let alice = base.user("alice").await;
    let former = base.writer(0).await;
    let mut group = Group::create(&base, &former, "one", Kind::Work, alice, &[]).await;
    let mut other = base.connector.open().await.unwrap();
    let holder = other.transaction().await.unwrap();
    holder.execute("select 1 from group_heads for update", &[]).await.unwrap();
    let posts = [group.post(&base, alice), group.post(&base, alice)];
    let never_sent = group.post(&base, alice);

    let ((), present, ()) = tokio::join!(
        stored(&former, &posts),
        async {
            base.await_lock_waits(1).await;
            base.writer(0).await
        },
        async {
            // The statement waits for the head, and the claim for the statement.
            base.await_lock_waits(2).await;
            holder.commit().await.unwrap();
        }
    );
    let key = |post: &Post| GroupKey { group: post.group, sender: post.sender, key: post.key };
    let sought = [key(&never_sent), key(&posts[1]), key(&posts[0])];
    let found = present.find_groups(&sought).await.unwrap();

    let mut found: Vec<_> = found.iter().map(|found| (found.index, found.seq)).collect();
    found.sort();
    assert_eq!(found, [(1, posts[1].seq), (2, posts[0].seq)]);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

/// Another owner, with a raised epoch, as a claim leaves it behind.
const FORGED_CLAIM: &str =
    "update shard_owner set epoch = epoch + 1, node = 99, incarnation = 1 where shard = $1";

/// An owner whose shard was claimed stores nothing, and its other groups of the same batch are stored.
#[tokio::test]
async fn mixed_batch_with_one_stale_group() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let alice = base.user("alice").await;
    let writer = base.writer(0).await;
    let mut lost = Group::create(&base, &writer, "lost", Kind::Work, alice, &[]).await;
    let mut kept = Group::create(&base, &writer, "kept", Kind::Work, alice, &[]).await;
    let shard = Shard::of(lost.no);
    assert_ne!(shard, Shard::of(kept.no));
    let other = base.connector.open().await.unwrap();
    other.execute(FORGED_CLAIM, &[&shard.to_store()]).await.unwrap();

    let posts = [lost.post(&base, alice), kept.post(&base, alice)];
    assert_eq!(done(append(&writer, &posts).await), (vec![kept.no], vec![]));

    // While a claim is under way: the append waits for it and then finds the epoch gone.
    let mut claimer = base.connector.open().await.unwrap();
    let claim = claimer.transaction().await.unwrap();
    claim.execute(FORGED_CLAIM, &[&Shard::of(kept.no).to_store()]).await.unwrap();
    let posts = [kept.post(&base, alice)];
    let (outcome, ()) = tokio::join!(append(&writer, &posts), async {
        base.await_lock_waits(1).await;
        claim.commit().await.unwrap();
    });
    assert_eq!(done(outcome), (vec![], vec![]));

    // The new owner goes on where the log ends.
    let mut taken = Group { head: 1, counted: 0, ..lost };
    taken.epoch = epoch_of(&base, shard).await;
    stored(&base.writer(1).await, &[taken.post(&base, alice)]).await;
    assert_eq!(base.count("select count(*) from group_messages").await, 4);
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_claim_of_a_shard_waits_for_the_append_in_flight() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let alice = base.user("alice").await;
    let writer = base.writer(0).await;
    let mut group = Group::create(&base, &writer, "one", Kind::Work, alice, &[]).await;
    let mut other = base.connector.open().await.unwrap();
    let holder = other.transaction().await.unwrap();
    holder.execute("select 1 from group_heads for update", &[]).await.unwrap();
    let posts = [group.post(&base, alice)];
    let claimer = base.connector.open().await.unwrap();

    let ((), head, ()) = tokio::join!(
        stored(&writer, &posts),
        async {
            base.await_lock_waits(1).await;
            // The next start of the node.
            shards::claim_own(&claimer, NODE, Incarnation::from_store(2)).await.unwrap();
            groups::load(&base.pool, rookery::ids::AppId::DEFAULT, &group.id).await.unwrap()
        },
        async {
            base.await_lock_waits(2).await;
            holder.commit().await.unwrap();
        }
    );

    let state = head.unwrap();
    assert_eq!((state.head.get(), state.counted), (2, 1), "seen by whoever has claimed");
    let owner = state.owner_of_shard.unwrap();
    assert_eq!((owner.node, owner.incarnation.get()), (NODE, 2));
    assert!(owner.epoch > posts[0].epoch);
    let stale = [group.post(&base, alice)];
    assert_eq!(done(append(&writer, &stale).await), (vec![], vec![]));
    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn two_owners_of_one_group_never_give_out_a_place_twice_however_often_it_is_claimed() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let alice = base.user("alice").await;
    let first = base.writer(0).await;
    let group = Group::create(&base, &first, "one", Kind::Work, alice, &[]).await;
    let second = base.writer(1).await;
    let claim = async |node: i64| {
        let client = base.connector.open().await.unwrap();
        let sql = "update shard_owner set epoch = epoch + 1, node = $1 where shard = $2";
        client.execute(sql, &[&node, &Shard::of(group.no).to_store()]).await.unwrap();
    };
    // Each claims, loads and appends as long as it is let.
    let own = async |writer, node: i64| {
        let mut appended = 0;
        for _ in 0..25 {
            claim(node).await;
            let state = groups::load(&base.pool, rookery::ids::AppId::DEFAULT, &group.id);
            let state = state.await.unwrap().unwrap();
            let mut held = group.clone();
            held.epoch = state.owner_of_shard.unwrap().epoch;
            (held.head, held.counted) = (state.head.get(), state.counted);
            loop {
                let posts = [held.post(&base, alice), held.post(&base, alice)];
                if done(append(writer, &posts).await).0.is_empty() || appended % 7 == 6 {
                    break;
                }
                appended += 1;
            }
            appended += 1;
        }
    };

    tokio::join!(own(&first, NODE.get()), own(&second, NodeId::from_store(8).get()));

    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}

#[tokio::test]
async fn pairs_and_groups_are_appended_through_one_writer_and_share_the_keys() {
    let base = Base::start().await;
    own_all_shards(&base).await;
    let alice = base.user("alice").await;
    let pair = base.pair(alice, "alice").await;
    let writer = base.writer(0).await;
    let mut group = Group::create(&base, &writer, "one", Kind::Work, alice, &[]).await;
    let row = base.row(alice, pair);

    stored_pairs(&writer, std::slice::from_ref(&row)).await;
    stored(&writer, &[group.post_with(row.key, alice)]).await;

    assert_eq!(base.broken().await, []);
    base.postgres.stop().await;
}
