//! The store's own identity: its epoch stays while it is the database that acked, and changes when it is not.

use rookery::domain::epoch::{HighWater, Reason};
use rookery::store::identity::{self, HighWaterFile, Verified};

use super::base::Base;

async fn verify(base: &Base, mark: Option<&HighWater>) -> Verified {
    identity::verify(&mut base.connector.open().await.unwrap(), mark).await.unwrap()
}

fn mark_of(verified: &Verified) -> HighWater {
    HighWater {
        epoch: verified.epoch.as_str().to_owned(),
        identity: verified.identity,
        flushed: verified.flushed,
    }
}

#[tokio::test]
async fn the_epoch_stays_with_its_database_and_begins_anew_with_another() {
    let base = Base::start().await;
    let (one, other) = tokio::join!(verify(&base, None), verify(&base, None));
    assert_eq!(one.epoch, other.epoch, "two that start at once agree on the first epoch");
    let reasons = [one.changed, other.changed];
    assert!(reasons.contains(&Some(Reason::First)) && reasons.contains(&None), "{reasons:?}");
    let first = verify(&base, Some(&mark_of(&one))).await;
    assert_eq!((&first.epoch, first.changed), (&one.epoch, None));
    assert!(first.flushed >= one.flushed && first.identity == one.identity);

    let mut last = first.epoch;
    for forged in [
        "update store_identity set timeline = timeline + 1",
        "update store_identity set system_identifier = system_identifier + 1",
    ] {
        base.connector.open().await.unwrap().batch_execute(forged).await.unwrap();
        let changed = verify(&base, None).await;
        assert_eq!(changed.changed, Some(Reason::OtherDatabase));
        assert_ne!(changed.epoch, last);
        let after = verify(&base, None).await;
        assert_eq!((&after.epoch, after.changed), (&changed.epoch, None), "once");
        last = changed.epoch;
    }
    base.postgres.stop().await;
}

#[tokio::test]
async fn a_database_behind_the_mark_begins_a_new_epoch_once_whoever_looks_first() {
    let base = Base::start().await;
    let verified = verify(&base, None).await;
    let ahead = HighWater { flushed: verified.flushed + (1 << 40), ..mark_of(&verified) };

    let (one, other) = tokio::join!(verify(&base, Some(&ahead)), verify(&base, Some(&ahead)));

    assert_eq!(one.epoch, other.epoch);
    assert_ne!(one.epoch, verified.epoch);
    let reasons = [one.changed, other.changed];
    assert!(reasons.contains(&Some(Reason::Behind)) && reasons.contains(&None), "{reasons:?}");
    assert_eq!(verify(&base, Some(&mark_of(&one))).await.changed, None);
    base.postgres.stop().await;
}

#[tokio::test]
async fn the_mark_comes_back_from_its_file_and_a_damaged_one_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let file = HighWaterFile::new(folder.path());
    assert_eq!(file.load().await, None);
    let base = Base::start().await;
    let mark = mark_of(&verify(&base, None).await);

    file.save(&mark).await.unwrap();
    assert_eq!(file.load().await, Some(mark));

    std::fs::write(folder.path().join("high_water.json"), "{\"epoch\"").unwrap();
    assert_eq!(file.load().await, None);
    base.postgres.stop().await;
}
