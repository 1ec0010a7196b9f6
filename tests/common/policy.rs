//! An app's rules for logins, as its operator sets them, and what tests expect of them.

use rookery::domain::login_policy::{Caps, LoginPolicy, Mode, OnConflict};
use rookery::protocol::Platform;

use super::node::Node;
use super::postgres::database_of;

/// Changes the rules of app 1, from the next login on.
pub async fn set(node: &Node, policy: LoginPolicy) {
    let caps: Vec<i16> =
        Platform::ALL.map(|platform| i16::try_from(policy.caps.of(platform)).unwrap()).into();
    let change = "update apps set login_mode = $1, on_conflict = $2, session_caps = $3,
        policy_no = policy_no + 1 where app = 1";
    let (mode, rule) = (policy.mode.as_str(), policy.on_conflict.as_str());
    let changed = database_of(node).await.execute(change, &[&mode, &rule, &caps]).await.unwrap();
    assert_eq!(changed, 1);
}

/// These rules with the caps that an app begins with.
pub fn rules(mode: Mode, on_conflict: OnConflict) -> LoginPolicy {
    LoginPolicy { mode, on_conflict, caps: Caps::default() }
}

/// Whether two devices of these kinds may not be online together, as the table of the modes says it.
pub fn parts(mode: Mode, one: Platform, other: Platform) -> bool {
    let phone = |it| matches!(it, Platform::Ios | Platform::Android);
    let desktop = |it| matches!(it, Platform::Windows | Platform::Macos | Platform::Linux);
    let native = |it| phone(it) || desktop(it);
    match mode {
        Mode::Single => true,
        Mode::NativeAndWeb => native(one) && native(other),
        Mode::PerClass => phone(one) && phone(other) || desktop(one) && desktop(other),
        Mode::All => false,
    }
}
