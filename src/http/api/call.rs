//! What a handler is given: who asks, and the parts of the request, each of which is read as a type or refused by name.

use std::collections::HashMap;

use actix_web::HttpRequest;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING};
use actix_web::web::{Payload, Query};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{self, DeserializeOwned, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::answer::Refused;
use crate::actors::{Caller, Engine};
use crate::limits;
use crate::protocol::codec::{read_fields, read_json};
use crate::protocol::rest::Nothing;
use crate::protocol::{Code, ErrorBody};

/// The header under which a request may come again.
pub const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// A request that was let in.
pub struct Call {
    /// The actors.
    pub engine: Engine,
    /// The key that asks, and its app.
    pub caller: Caller,
    /// What names the request among repeats of it.
    pub key: Option<String>,
    path: String,
    parameters: HashMap<String, String>,
    query: String,
    body: Bytes,
}

impl Call {
    /// Takes a request apart whose body is read already.
    pub fn new(
        engine: Engine,
        caller: Caller,
        request: &HttpRequest,
        body: Bytes,
    ) -> Result<Self, Refused> {
        let parameters = request.match_info().iter().map(|(name, value)| {
            let decoded = percent_decode_str(value).decode_utf8();
            let decoded = decoded.map_err(|_| bad_request(name, "expected UTF-8"))?;
            Ok((name.to_owned(), decoded.into_owned()))
        });
        Ok(Self {
            engine,
            caller,
            key: idempotency_key(request.headers())?,
            parameters: parameters.collect::<Result<_, Refused>>()?,
            path: request.path().to_owned(),
            query: request.query_string().to_owned(),
            body,
        })
    }

    /// A parameter of the path.
    pub fn parameter<T: DeserializeOwned>(&self, name: &str) -> Result<T, Refused> {
        let text = self.parameters.get(name).map(String::as_str).unwrap_or_default();
        let text: StrDeserializer<'_, de::value::Error> = text.into_deserializer();
        T::deserialize(text).map_err(|error| bad_request(name, &error.to_string()))
    }

    /// The query.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        let pairs = Query::<Vec<(String, String)>>::from_query(&self.query)
            .map_err(|_| bad_request("query", "expected names and values, percent-encoded"))?;
        let fields = pairs.iter().map(|(name, value)| (name.as_str(), Value(value)));
        Ok(read_fields(MapDeserializer::<_, de::value::Error>::new(fields))?)
    }

    /// The body.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        Ok(read_json(&self.body)?)
    }

    /// The body of a request that says everything in its path.
    pub fn no_body(&self) -> Result<(), Refused> {
        if !self.body.is_empty() {
            let Nothing {} = read_json(&self.body)?;
        }
        Ok(())
    }

    /// The path as it came.
    pub fn place(&self) -> &str {
        &self.path
    }

    /// The body as it came.
    pub fn raw_body(&self) -> &Bytes {
        &self.body
    }
}

/// A value of the query: text, that is a number where a number is asked for.
#[derive(Clone, Copy)]
struct Value<'a>(&'a str);

impl<'de> IntoDeserializer<'de> for Value<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> de::Deserializer<'de> for Value<'_> {
    type Error = de::value::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let is_number = !self.0.is_empty() && self.0.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            // One that is too long is as good as the largest.
            visitor.visit_u64(self.0.parse().unwrap_or(u64::MAX))
        } else {
            visitor.visit_str(self.0)
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct newtype_struct seq
        tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The key of a request that may come again.
fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Refused> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY);
    let Some(key) = keys.next() else { return Ok(None) };
    let most = limits::IDEMPOTENCY_KEY_BYTES;
    let fits = |key: &&str| {
        (1..=most).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
    };
    match key.to_str().ok().filter(fits) {
        Some(key) if keys.next().is_none() => Ok(Some(key.to_owned())),
        _ => {
            let expected = format!("expected once 1 to {most} visible ASCII characters");
            Err(bad_request(IDEMPOTENCY_KEY, &expected))
        }
    }
}

/// Reads a body that may be JSON only, and so large only. `takes` says whether there is to be one.
pub async fn read_body(
    request: &HttpRequest,
    payload: Payload,
    takes: bool,
) -> Result<Bytes, Refused> {
    let headers = request.headers();
    let brings = headers.contains_key(TRANSFER_ENCODING)
        || headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0");
    // A body of nothing needs no type.
    if (takes || brings) && !is_json(headers) {
        return Err(Refused::no_such_type());
    }
    let reading = payload.to_bytes_limited(limits::REST_BODY_BYTES);
    match tokio::time::timeout(limits::REST_BODY_WITHIN, reading).await {
        Err(_) => Err(Refused::too_slow()),
        Ok(Ok(Ok(body))) => Ok(body),
        Ok(Ok(Err(_))) => Err(bad_request("body", "the body broke off or cannot be read")),
        Ok(Err(_)) => {
            let message = format!("expected at most {} bytes", limits::REST_BODY_BYTES);
            Err(ErrorBody::new(Code::TooLarge, message).field("body").into())
        }
    }
}

/// Whether the headers announce JSON; in UTF-8, since there is no other.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()) else {
        return false;
    };
    let mut parts = kind.split(';').map(str::trim);
    parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json"))
        && parts.all(|part| {
            part.split_once('=').is_some_and(|(name, value)| {
                name.eq_ignore_ascii_case("charset")
                    && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
            })
        })
}

fn bad_request(field: &str, message: &str) -> Refused {
    ErrorBody::new(Code::BadRequest, message).field(field).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::rest::{LogQuery, PageQuery};

    fn read<T: DeserializeOwned>(query: &str) -> Result<T, String> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query).unwrap();
        let fields = pairs.iter().map(|(name, value)| (name.as_str(), Value(value)));
        read_fields(MapDeserializer::<_, de::value::Error>::new(fields))
            .map_err(|error| error.field.unwrap_or_default())
    }

    #[test]
    fn a_query_is_read_by_type_and_what_is_wrong_with_it_is_named() {
        let page: PageQuery = read("after=17&limit=3").unwrap();
        assert_eq!((page.after.unwrap().as_str(), page.limit.get()), ("17", 3));
        assert_eq!(read::<PageQuery>("").unwrap().limit.get(), limits::PAGE_DEFAULT);
        assert_eq!(read::<LogQuery>("before=9").unwrap().before.unwrap().get(), 9);
        let long = "9".repeat(30);
        assert_eq!(
            read::<PageQuery>(&format!("limit={long}")).unwrap().limit.get(),
            limits::PAGE_MAX
        );

        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=x", "limit"),
            ("limit=", "limit"),
            ("before=-1", "before"),
            ("limt=3", "limt"),
            ("limit=1&limit=2", "limit"),
            ("before=+1", "before"),
        ] {
            assert_eq!(read::<LogQuery>(query), Err(field.to_owned()), "{query}");
        }
    }

    #[test]
    fn json_is_announced_with_or_without_its_charset() {
        let with = |kind: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, kind.parse().unwrap());
            is_json(&headers)
        };

        for good in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json; charset=\"UTF-8\"",
        ] {
            assert!(with(good), "{good}");
        }
        for bad in ["text/plain", "application/jsonp", "application/json; charset=latin1", ""] {
            assert!(!with(bad), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
