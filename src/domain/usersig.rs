//! Login tokens: UserSig in Tencent's published v2 form, made and checked byte for byte.
//!
//! A token proves that whoever holds an app's key vouches for one user until one instant. Nothing here is kept, and no
//! key is ever shown.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use crate::ids::{AppId, UnixMs, UserId};
use crate::limits;

mod inflate;

/// What a token says, once it is known to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// When it was signed, in seconds since 1970: tokens are revoked by this.
    pub signed_at_s: i64,
    /// The last instant at which it holds.
    pub expires_at: UnixMs,
}

/// Why a token does not let anyone in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not prove what it should, and never will.
    #[error("{0}")]
    Bad(&'static str),
    /// It was good for this user and app until its time ran out: a new one is needed.
    #[error("the token's time has run out")]
    Expired,
}

/// The JSON inside a token.
#[derive(Serialize, Deserialize)]
struct Parts {
    #[serde(rename = "TLS.ver")]
    version: String,
    #[serde(rename = "TLS.identifier")]
    user: String,
    #[serde(rename = "TLS.sdkappid")]
    app: u64,
    #[serde(rename = "TLS.expire")]
    expire_s: u64,
    #[serde(rename = "TLS.time")]
    time_s: u64,
    #[serde(rename = "TLS.sig")]
    signature: String,
    #[serde(rename = "TLS.userbuf", default, skip_serializing_if = "Option::is_none")]
    user_buffer: Option<String>,
}

const VERSION: &str = "2.0";

/// Signs a token for `user` that holds from `now` for `expire_s` seconds.
pub fn sign(key: &str, app: AppId, user: &UserId, now: UnixMs, expire_s: u64) -> String {
    let mut parts = Parts {
        version: VERSION.to_owned(),
        user: user.as_str().to_owned(),
        app: u64::from(app.get().unsigned_abs()),
        expire_s,
        time_s: u64::try_from(now.get().div_euclid(1000)).unwrap_or(0),
        signature: String::new(),
        user_buffer: None,
    };
    // Were there no signature, the token would be refused.
    parts.signature = signature(key.as_bytes(), &parts).unwrap_or_default();
    pack(&parts)
}

/// Checks that `token` was signed with one of `keys` for this app and user, and that it holds at `now`.
///
/// `longest_s` is the longest validity, in seconds, that is taken; [`limits::TOKEN_VALIDITY_S`] unless set otherwise.
/// That a token expired is said only when its signature holds: a stranger learns nothing from guessing.
pub fn verify<K: AsRef<[u8]>>(
    token: &str,
    keys: &[K],
    app: AppId,
    user: &UserId,
    now: UnixMs,
    longest_s: u64,
) -> Result<Verified, TokenError> {
    let parts = unpack(token)?;
    // An empty secret is an unset one: it signs for nobody.
    let keys = keys.iter().map(AsRef::as_ref).filter(|key| !key.is_empty());
    // Every key is tried to its end, so that the time taken does not tell which one it was.
    let holds = keys.fold(Choice::from(0), |holds, key| {
        let expected = signature(key, &parts);
        holds
            | expected.map_or(Choice::from(0), |expected| {
                expected.as_bytes().ct_eq(parts.signature.as_bytes())
            })
    });
    if !bool::from(holds) {
        return Err(TokenError::Bad("the token's signature does not hold"));
    }
    if parts.user != user.as_str() {
        return Err(TokenError::Bad("the token is for another user"));
    }
    if i64::try_from(parts.app) != Ok(i64::from(app.get())) {
        return Err(TokenError::Bad("the token is for another app"));
    }
    if parts.expire_s > longest_s {
        return Err(TokenError::Bad("the token is valid for longer than this app allows"));
    }
    let at =
        |seconds: u64| UnixMs::new(i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX));
    if at(parts.time_s).since(now) > limits::TOKEN_AHEAD_S as i64 * 1000 {
        return Err(TokenError::Bad("the token was signed in the future"));
    }
    let expires_at = at(parts.time_s.saturating_add(parts.expire_s));
    if now > expires_at {
        return Err(TokenError::Expired);
    }
    Ok(Verified { signed_at_s: i64::try_from(parts.time_s).unwrap_or(i64::MAX), expires_at })
}

fn unpack(token: &str) -> Result<Parts, TokenError> {
    let malformed = TokenError::Bad("expected a UserSig token of version 2");
    if token.len() > limits::TOKEN_BYTES {
        return Err(TokenError::Bad("the token is too long"));
    }
    let base64: Option<String> = token.chars().map(to_standard).collect();
    let zlib = base64.and_then(|base64| STANDARD.decode(base64).ok()).ok_or(malformed)?;
    let json = inflate::inflate(&zlib, limits::TOKEN_INFLATED_BYTES).ok_or(malformed)?;
    let parts: Parts = serde_json::from_slice(&json).map_err(|_| malformed)?;
    // The signed text is joined by lines: a line break inside a value could pose as another line.
    let is_one_line = |text: &str| !text.contains(['\n', '\r']);
    let buffer_fits = parts.user_buffer.as_deref().is_none_or(|raw| STANDARD.decode(raw).is_ok());
    if parts.version != VERSION || !is_one_line(&parts.user) || !buffer_fits {
        return Err(malformed);
    }
    Ok(parts)
}

fn pack(parts: &Parts) -> String {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = serde_json::to_vec(parts)
        .map_err(std::io::Error::from)
        .and_then(|json| encoder.write_all(&json))
        .and_then(|()| encoder.finish());
    // Numbers and text always have a JSON form, and memory takes every write.
    STANDARD.encode(written.unwrap_or_default()).chars().map(to_token).collect()
}

/// A token's character as standard base64 has it; the three that it replaces do not occur in a token.
fn to_standard(character: char) -> Option<char> {
    match character {
        '*' => Some('+'),
        '-' => Some('/'),
        '_' => Some('='),
        '+' | '/' | '=' => None,
        other => Some(other),
    }
}

fn to_token(character: char) -> char {
    match character {
        '+' => '*',
        '/' => '-',
        '=' => '_',
        other => other,
    }
}

/// The value of `TLS.sig` that `key` gives for the other parts.
fn signature(key: &[u8], parts: &Parts) -> Option<String> {
    let mut text = format!(
        "TLS.identifier:{}\nTLS.sdkappid:{}\nTLS.time:{}\nTLS.expire:{}\n",
        parts.user, parts.app, parts.time_s, parts.expire_s
    );
    if let Some(buffer) = &parts.user_buffer {
        text.push_str(&format!("TLS.userbuf:{buffer}\n"));
    }
    let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    Some(STANDARD.encode(mac.chain_update(text).finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "rookery-test-key";
    const APP: i64 = 1_400_000_001;
    const SIGNED_S: i64 = 1_700_000_000;
    const EXPIRE_S: u64 = 86_400;
    /// Made by the published library.
    const VECTOR: &str = concat!(
        "eJyrVgrxCdYrSy1SslIy0jNQ0gHzM1NS80oy0zLBwok5mcmpUInilOzEgoLMFCUrQxMDCDCEyKRWFGQWpSpZWZgB",
        "JSBCJZm5QAFDc6hCqGhxZjrQ0FITp3ADH1PvYB9nP5ci85Ls5FDvfNPI-LwM86IiI6O8ID8vw8T0rEjfyEBbpVoAhs4wPg__",
    );

    fn app() -> AppId {
        AppId::new(APP).unwrap()
    }

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn at(seconds: i64) -> UnixMs {
        UnixMs::new(seconds * 1000)
    }

    fn check(token: &str, now: UnixMs) -> Result<Verified, TokenError> {
        verify(token, &[KEY], app(), &user("alice"), now, limits::TOKEN_VALIDITY_S)
    }

    /// A token around any JSON, packed at any level.
    fn packed(json: &str, level: u32) -> String {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::new(level));
        encoder.write_all(json.as_bytes()).unwrap();
        STANDARD.encode(encoder.finish().unwrap()).chars().map(to_token).collect()
    }

    /// A well signed token with parts that [`sign`] would not give it.
    fn forged(change: impl FnOnce(&mut Parts)) -> String {
        let mut parts = Parts {
            version: VERSION.into(),
            user: "alice".into(),
            app: APP as u64,
            expire_s: EXPIRE_S,
            time_s: SIGNED_S as u64,
            signature: String::new(),
            user_buffer: None,
        };
        change(&mut parts);
        parts.signature = signature(KEY.as_bytes(), &parts).unwrap();
        pack(&parts)
    }

    #[test]
    fn the_published_vector_holds_until_its_last_instant() {
        let expires_at = at(SIGNED_S + EXPIRE_S as i64);

        assert_eq!(check(VECTOR, at(SIGNED_S)), Ok(Verified { signed_at_s: SIGNED_S, expires_at }));
        assert_eq!(check(VECTOR, expires_at), Ok(Verified { signed_at_s: SIGNED_S, expires_at }));
        assert_eq!(check(VECTOR, UnixMs::new(expires_at.get() + 1)), Err(TokenError::Expired));
    }

    #[test]
    fn the_vector_has_the_published_signature() {
        let parts = unpack(VECTOR).unwrap();

        assert_eq!(parts.signature, "u4BW0L5KSLCNDr7tkcUKo5Yonh7rr22nRNJ1agjYMYQ=");
        assert_eq!(signature(KEY.as_bytes(), &parts), Some(parts.signature));
    }

    #[test]
    fn a_token_may_be_signed_a_minute_ahead_and_no_more() {
        assert!(check(VECTOR, at(SIGNED_S - 60)).is_ok());
        assert!(matches!(check(VECTOR, at(SIGNED_S - 61)), Err(TokenError::Bad(_))));
    }

    #[test]
    fn a_token_packed_at_any_level_holds_stored_blocks_included() {
        let json = inflate::inflate(
            &STANDARD.decode(VECTOR.chars().filter_map(to_standard).collect::<String>()).unwrap(),
            4096,
        )
        .unwrap();
        let json = String::from_utf8(json).unwrap();

        for level in 0..=9 {
            assert!(check(&packed(&json, level), at(SIGNED_S)).is_ok(), "level {level}");
        }
    }

    #[test]
    fn the_order_of_the_parts_means_nothing_and_others_are_ignored() {
        let json = r#"{"TLS.sig":"u4BW0L5KSLCNDr7tkcUKo5Yonh7rr22nRNJ1agjYMYQ=","x":[1],
            "TLS.time":1700000000,"TLS.expire":86400,"TLS.sdkappid":1400000001,
            "TLS.identifier":"alice","TLS.ver":"2.0"}"#;

        assert!(check(&packed(json, 6), at(SIGNED_S)).is_ok());
    }

    #[test]
    fn either_of_two_keys_will_do_and_an_unset_one_never_does() {
        let by = |keys: &[&str], token: &str| {
            verify(token, keys, app(), &user("alice"), at(SIGNED_S), EXPIRE_S).is_ok()
        };
        let unset = sign("", app(), &user("alice"), at(SIGNED_S), 60);

        assert!(by(&[KEY, "new"], VECTOR) && by(&["new", KEY], VECTOR));
        assert!(!by(&["new"], VECTOR) && !by(&[], VECTOR));
        assert!(!by(&[""], &unset) && !by(&["", KEY], &unset));
    }

    #[test]
    fn a_token_is_for_one_user_of_one_app() {
        let check = |app, name| verify(VECTOR, &[KEY], app, &user(name), at(SIGNED_S), EXPIRE_S);

        assert!(matches!(check(app(), "alice2"), Err(TokenError::Bad(_))));
        assert!(matches!(check(AppId::DEFAULT, "alice"), Err(TokenError::Bad(_))));
    }

    #[test]
    fn that_a_token_expired_is_told_only_when_its_signature_holds() {
        let later = at(SIGNED_S + 2 * EXPIRE_S as i64);
        let check =
            |key, name| verify(VECTOR, &[key], app(), &user(name), later, limits::TOKEN_VALIDITY_S);

        assert_eq!(check(KEY, "alice"), Err(TokenError::Expired));
        assert!(matches!(check("another", "alice"), Err(TokenError::Bad(_))));
        assert!(matches!(check(KEY, "bob"), Err(TokenError::Bad(_))));
    }

    #[test]
    fn a_validity_beyond_the_longest_is_refused_and_huge_numbers_do_not_wrap() {
        let with = |time_s, expire_s| {
            check(
                &forged(|parts| (parts.time_s, parts.expire_s) = (time_s, expire_s)),
                at(SIGNED_S),
            )
        };
        let longest = limits::TOKEN_VALIDITY_S;

        assert!(with(SIGNED_S as u64, longest).is_ok());
        assert!(matches!(with(SIGNED_S as u64, longest + 1), Err(TokenError::Bad(_))));
        assert!(matches!(with(SIGNED_S as u64, u64::MAX), Err(TokenError::Bad(_))));
        assert!(matches!(with(u64::MAX, 1), Err(TokenError::Bad(_))));
        assert_eq!(with(0, 0), Err(TokenError::Expired));
    }

    #[test]
    fn a_user_buffer_is_part_of_what_is_signed() {
        let token = forged(|parts| parts.user_buffer = Some(STANDARD.encode("rights")));
        let without = forged(|parts| parts.user_buffer = None);
        let broken = forged(|parts| parts.user_buffer = Some("cmlnaHRz\nTLS.x:1".into()));

        assert!(check(&token, at(SIGNED_S)).is_ok());
        assert_ne!(unpack(&token).unwrap().signature, unpack(&without).unwrap().signature);
        assert!(matches!(check(&broken, at(SIGNED_S)), Err(TokenError::Bad(_))));
    }

    #[test]
    fn a_user_with_a_line_break_is_refused_though_it_was_signed() {
        let token = forged(|parts| parts.user = "alice\nTLS.sdkappid:1".into());

        assert!(matches!(check(&token, at(SIGNED_S)), Err(TokenError::Bad(_))));
    }

    #[test]
    fn what_is_too_long_or_inflates_too_far_is_refused() {
        let bomb = packed(&" ".repeat(1 << 20), 9);
        let full = packed(&" ".repeat(limits::TOKEN_INFLATED_BYTES + 1), 9);

        assert!(full.len() < limits::TOKEN_BYTES);
        for token in [bomb.as_str(), full.as_str(), &"A".repeat(limits::TOKEN_BYTES + 1), "", "_"] {
            assert!(matches!(check(token, at(SIGNED_S)), Err(TokenError::Bad(_))));
        }
    }

    #[test]
    fn any_changed_bit_of_the_vector_and_of_a_stored_one_is_refused() {
        let stored = packed(
            r#"{"TLS.ver":"2.0","TLS.identifier":"alice","TLS.sdkappid":1400000001,"TLS.expire":86400,"TLS.time":1700000000,"TLS.sig":"u4BW0L5KSLCNDr7tkcUKo5Yonh7rr22nRNJ1agjYMYQ="}"#,
            0,
        );
        assert!(check(&stored, at(SIGNED_S)).is_ok());
        for token in [VECTOR, &stored] {
            for (place, bit) in
                (0..token.len()).flat_map(|place| (0..8).map(move |bit| (place, bit)))
            {
                let mut bytes = token.as_bytes().to_vec();
                bytes[place] ^= 1 << bit;
                let Ok(changed) = String::from_utf8(bytes) else { continue };

                assert!(
                    matches!(check(&changed, at(SIGNED_S)), Err(TokenError::Bad(_))),
                    "bit {bit} of character {place} of {token}"
                );
            }
        }
    }

    proptest! {
        #[test]
        fn a_signed_token_holds_and_with_any_character_changed_it_does_not(
            name in "[A-Za-z0-9_.@#+=-]{1,64}",
            app in 1..=i64::from(i32::MAX),
            key in "[ -~]{1,80}",
            expire_s in 0..=limits::TOKEN_VALIDITY_S,
            place in any::<prop::sample::Index>(),
            put in "[A-Za-z0-9*_-]",
        ) {
            let (app, name) = (AppId::new(app).unwrap(), user(&name));
            let check = |token: &str| {
                verify(token, &[&key], app, &name, at(SIGNED_S), limits::TOKEN_VALIDITY_S)
            };
            let token = sign(&key, app, &name, at(SIGNED_S), expire_s);
            let place = place.index(token.len());
            let mut changed = token.clone();
            changed.replace_range(place..=place, &put);

            prop_assert_eq!(
                check(&token),
                Ok(Verified { signed_at_s: SIGNED_S, expires_at: at(SIGNED_S + expire_s as i64) })
            );
            prop_assert!(changed == token || matches!(check(&changed), Err(TokenError::Bad(_))));
        }

        #[test]
        fn no_text_makes_it_panic(token in "\\PC{0,200}|[A-Za-z0-9*_-]{0,200}") {
            prop_assert!(matches!(check(&token, at(SIGNED_S)), Err(TokenError::Bad(_))));
        }
    }
}
