//! One who logs in while a crowd talks, says nothing and goes when the peace is over: what it must be pushed begins
//! with the heads that its login tells.

use std::time::Duration;

use rookery::client::raw::{Opening, Parted, Transport};
use rookery::ids::Platform;
use rookery::protocol::codec::Codec;
use serde_json::json;
use tokio::sync::watch;

use super::recorder::{Device, Recorded};
use super::workload::{Phase, Shared};

/// One after the other, while the crowd talks.
pub const VISITORS: usize = 12;
const COMES_AFTER: Duration = Duration::from_millis(1_200);
const COME_EVERY: Duration = Duration::from_millis(200);

/// Comes, stays and goes; whatever ends its connection ends its visit.
pub async fn visit(shared: Shared, nth: usize, mut phase: watch::Receiver<Phase>) {
    tokio::time::sleep(COMES_AFTER + COME_EVERY * nth as u32).await;
    // Every third one to the user to whom the crowd talks, the others to those who do.
    let user = if nth.is_multiple_of(3) { 0 } else { 1 + nth % (shared.users.len() - 1) };
    let (user, id) = (shared.users[user].clone(), format!("tab-{nth}"));
    let device = Device { user, id, platform: Platform::Web };
    let door = &shared.doors[(nth + nth / 3) % shared.doors.len()];
    let opening = Opening::by(Transport::WebSocket, Codec::Json);
    let Ok(mut conn) = shared.recorder.open(&device, door, &opening).await else { return };
    let stay = async {
        conn.submit("login", login(&shared, &device)).await?;
        tokio::select! {
            parted = hear(&mut conn) => return parted,
            // The workload keeps the other end for as long as anybody lives.
            _ = phase.wait_for(|phase| *phase > Phase::Peace) => {}
        }
        conn.submit("logout", json!({})).await?;
        hear(&mut conn).await
    };
    // What it heard is taken down, its end as well.
    let _ = stay.await;
}

fn login(shared: &Shared, device: &Device) -> serde_json::Value {
    let user = &device.user;
    let named = json!({"id": device.id, "platform": device.platform});
    json!({"user": user, "token": (shared.token)(user), "device": named})
}

async fn hear(conn: &mut Recorded) -> Result<(), Parted> {
    loop {
        let frame = conn.frame().await?;
        if frame["event"] == "sync.needed" {
            conn.submit("sync", json!({})).await?;
        }
    }
}
