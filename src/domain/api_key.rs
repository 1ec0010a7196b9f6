//! API keys of an app's backend: `rk_`, the id, `_`, and 32 random bytes that only their holder has.
//!
//! What is kept of these bytes is a hash. A plain one will do: nobody guesses 256 bits, however fast a hash is.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::ids::ApiKeyId;

const PREFIX: &str = "rk_";

/// A key, as its holder has it. Shown once, when it is made; never stored, never logged.
pub struct ApiKey {
    id: ApiKeyId,
    secret: [u8; 32],
}

impl ApiKey {
    /// Makes one of random numbers.
    pub fn mint(id: ApiKeyId, secret: [u8; 32]) -> Self {
        Self { id, secret }
    }

    /// Reads a key; none when the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(PREFIX)?.split_once('_')?;
        let id = ApiKeyId::parse(id)?;
        let secret = URL_SAFE_NO_PAD.decode(secret).ok()?.try_into().ok()?;
        Some(Self { id, secret })
    }

    /// Its public half.
    pub fn id(&self) -> ApiKeyId {
        self.id
    }

    /// The whole key. Not `Display`, so that it is nowhere written by the way.
    pub fn reveal(&self) -> String {
        format!("{PREFIX}{}_{}", self.id, URL_SAFE_NO_PAD.encode(self.secret))
    }

    /// What is kept of it.
    pub fn hash(&self) -> SecretHash {
        SecretHash(Sha256::digest(self.secret).into())
    }
}

/// The SHA-256 of a key's secret half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Wraps what the store gave; none when it is of another length.
    pub fn from_store(raw: &[u8]) -> Option<Self> {
        raw.try_into().ok().map(Self)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is that of `key`. The time taken does not tell how much of it is.
    pub fn is_of(&self, key: &ApiKey) -> bool {
        self.0.ct_eq(&key.hash().0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> ApiKey {
        ApiKey::mint(ApiKeyId::new(0xAB), [0xFF; 32])
    }

    #[test]
    fn a_key_is_read_as_it_was_written_and_in_no_other_way() {
        let text = key().reveal();

        assert_eq!(text.len(), "rk_".len() + 16 + 1 + 43);
        let read = ApiKey::parse(&text).unwrap();
        assert_eq!((read.id(), read.reveal()), (key().id(), text.clone()));
        let (body, last) = text.split_at(text.len() - 1);
        assert_eq!(last, "8", "of the last letter only the first bits count");
        for other in [
            "",
            "rk_",
            &text[1..],
            body,
            &format!("{text}A"),
            &format!("{text}="),
            &format!("{body}9"),
            &text.replace("00000000000000ab", "00000000000000AB"),
            &text.replace("00000000000000ab", "+0000000000000ab"),
            &text.replace("00000000000000ab", "0000000000000ab"),
        ] {
            assert!(ApiKey::parse(other).is_none(), "{other}");
        }
    }

    #[test]
    fn a_hash_is_that_of_one_secret() {
        let hash = SecretHash::from_store(key().hash().as_bytes()).unwrap();

        assert!(hash.is_of(&key()));
        for bit in 0..256 {
            let mut secret = [0xFF; 32];
            secret[bit / 8] ^= 1 << (bit % 8);
            assert!(!hash.is_of(&ApiKey::mint(key().id(), secret)));
        }
        assert_eq!(SecretHash::from_store(&[0; 31]), None);
    }
}
