//! No bytes but those that the key signed let anybody in, and nothing panics on the way.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rookery::domain::usersig;
use rookery::ids::{AppId, UnixMs, UserId};
use rookery::limits;

fuzz_target!(|token: &[u8]| {
    let Ok(token) = std::str::from_utf8(token) else { return };
    let user = UserId::parse("alice").expect("a name");
    let now = UnixMs::new(1_700_000_100_000);
    let key = ["a key that no corpus was signed with"];
    let checked =
        usersig::verify(token, &key, AppId::DEFAULT, &user, now, limits::TOKEN_VALIDITY_S);
    assert!(checked.is_err(), "a token that nobody signed holds");
});
