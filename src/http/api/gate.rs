//! Who is let in: a key that holds, with the scope of the route.

use actix_web::http::header::{AUTHORIZATION, HeaderMap};

use super::answer::Refused;
use crate::actors::{Caller, Engine, authenticate};
use crate::ids::Scope;
use crate::protocol::{Code, ErrorBody};

/// Finds whose key a request carries, and whether that key may do this.
pub async fn admit(engine: &Engine, headers: &HeaderMap, scope: Scope) -> Result<Caller, Refused> {
    let key = bearer(headers).ok_or_else(|| {
        let message = "expected an API key, as in: Authorization: Bearer rk_…";
        ErrorBody::new(Code::NotLoggedIn, message).field("Authorization")
    })?;
    let caller = authenticate(engine, key).await?;
    if !caller.may(scope) {
        let message = format!("this key lacks the scope {}", scope.as_str());
        return Err(ErrorBody::new(Code::Forbidden, message).into());
    }
    Ok(caller)
}

/// The token that a request carries. None where there are two: it would be a guess whose request it is.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(AUTHORIZATION);
    let value = values.next()?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("Bearer") && values.next().is_none()).then(|| token.trim())
}
