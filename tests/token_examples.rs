//! The examples of how a backend signs a token make tokens that hold.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on should end"
)]

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use rookery::domain::usersig;
use rookery::ids::{AppId, UnixMs, UserId};
use rookery::limits;

const KEY: &str = "k3y ünder test+/=";

fn now() -> UnixMs {
    UnixMs::new(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64)
}

/// What an example prints for app 7 and a user whose name has every sign that a name may have.
fn token_by(interpreter: &str, example: &str, user: &UserId) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples");
    let output = Command::new(interpreter)
        .arg(examples.join(example))
        .args(["7", user.as_str()])
        .env("ROOKERY_KEY", KEY)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

fn check(interpreter: &str, example: &str) {
    let app = AppId::new(7).unwrap();
    for name in ["alice", "A-z_0.9@#+="] {
        let user = UserId::parse(name).unwrap();

        let token = token_by(interpreter, example, &user);

        let verified =
            usersig::verify(&token, &[KEY], app, &user, now(), limits::TOKEN_VALIDITY_S).unwrap();
        assert!((86_300_000..=86_400_000).contains(&verified.expires_at.since(now())));
    }
}

#[test]
fn the_example_in_node_signs_tokens_that_hold() {
    check("node", "token.mjs");
}

#[test]
fn the_example_in_python_signs_tokens_that_hold() {
    check("python3", "token.py");
}
