//! Reads MessagePack as strictly as JSON is read: text where a name or a text is due, never a number or bytes for it.
//!
//! A frame is walked once before anything is made of it, without recursion and without room for what it announces. Only
//! what passed is given to serde, whose own readers of MessagePack take an index for the name of a variant and bytes for
//! text.

use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeSeed, IntoDeserializer, Unexpected, Visitor};

use crate::limits;

/// What stands at the beginning of a value.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Head {
    Nil,
    Bool(bool),
    Unsigned(u64),
    /// Below zero.
    Signed(i64),
    Float(f64),
    /// Bytes of UTF-8 that follow.
    Text(usize),
    /// Bytes that follow, in a form that the protocol does not use.
    Foreign(usize),
    /// Values that follow.
    Array(u64),
    /// Pairs of values that follow.
    Map(u64),
}

/// The parts of a command's frame, each a whole value as it stands in the frame.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) id: Option<&'a [u8]>,
    pub(super) cmd: Option<&'a [u8]>,
    pub(super) body: Option<&'a [u8]>,
}

/// Why a frame is no command, with what was found of it all the same.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable<'a> {
    pub(super) id: Option<&'a [u8]>,
    pub(super) fault: Fault,
}

/// What is wrong with some MessagePack; says what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Fault(String);

impl Fault {
    fn expected(what: &str) -> Self {
        Self(format!("expected {what}"))
    }
}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Walks a whole frame: one map by name, nested no deeper than [`limits::JSON_DEPTH`], with nothing after it.
pub(super) fn parts(frame: &[u8]) -> Result<Parts<'_>, Unreadable<'_>> {
    let mut parts = Parts::default();
    let mut walk = Walk { reader: Reader::new(frame), fault: None };
    let walked = walk.frame(&mut parts);
    match walked.err().or(walk.fault) {
        None => Ok(parts),
        Some(fault) => Err(Unreadable { id: parts.id, fault }),
    }
}

/// A whole value that is an unsigned integer.
pub(super) fn unsigned(value: &[u8]) -> Option<u64> {
    match Reader::new(value).head() {
        Ok(Head::Unsigned(number)) => Some(number),
        _ => None,
    }
}

/// A whole value that is text.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    let mut reader = Reader::new(value);
    match reader.head() {
        Ok(Head::Text(bytes)) => reader.text(bytes).ok(),
        _ => None,
    }
}

/// Whether a whole value is nil.
pub(super) fn is_nil(value: &[u8]) -> bool {
    value == [NIL]
}

const NIL: u8 = 0xc0;

/// The first look at a frame. A fault that leaves the rest readable is noted, so that the id may still be found.
struct Walk<'a> {
    reader: Reader<'a>,
    fault: Option<Fault>,
}

/// A container whose values are being walked.
#[derive(Clone, Copy, Default)]
struct Open {
    left: u64,
    is_map: bool,
}

impl<'a> Walk<'a> {
    fn frame(&mut self, parts: &mut Parts<'a>) -> Result<(), Fault> {
        let Head::Map(fields) = self.reader.head()? else {
            return Err(Fault::expected("a map"));
        };
        for _ in 0..fields {
            let (name, value) = (self.value()?, self.value()?);
            let part = match text(name) {
                Some("id") => &mut parts.id,
                Some("cmd") => &mut parts.cmd,
                Some("body") => &mut parts.body,
                Some(_) => continue,
                None => {
                    self.note("text as the name of a field");
                    continue;
                }
            };
            if part.replace(value).is_some() {
                // Which of two ids would be answered?
                parts.id = None;
                return Err(Fault::expected("id, cmd and body once each"));
            }
        }
        match self.reader.rest {
            [] => Ok(()),
            _ => Err(Fault::expected("nothing after the map")),
        }
    }

    /// Walks one value and returns it whole.
    fn value(&mut self) -> Result<&'a [u8], Fault> {
        let from = self.reader.rest;
        // The frame's own map is one level.
        let mut open = [Open::default(); limits::JSON_DEPTH - 1];
        let mut depth = 0usize;
        loop {
            let parent = depth.checked_sub(1).and_then(|parent| open.get_mut(parent));
            let is_name = parent.as_ref().is_some_and(|map| map.is_map && map.left % 2 == 0);
            if let Some(parent) = parent {
                parent.left -= 1;
            }
            let inner = match self.reader.head()? {
                Head::Text(bytes) => {
                    let text = self.reader.take(bytes)?;
                    if std::str::from_utf8(text).is_err() {
                        self.note("text in UTF-8");
                    }
                    None
                }
                head => {
                    if is_name {
                        self.note("text as the name of a field");
                    }
                    match head {
                        Head::Foreign(bytes) => {
                            self.reader.take(bytes)?;
                            self.note("no binary data and no extension types");
                            None
                        }
                        Head::Array(left) => Some(Open { left, is_map: false }),
                        Head::Map(pairs) => Some(Open { left: 2 * pairs, is_map: true }),
                        _ => None,
                    }
                }
            };
            if let Some(inner) = inner {
                let Some(level) = open.get_mut(depth) else {
                    let deepest = limits::JSON_DEPTH;
                    return Err(Fault(format!("expected values nested at most {deepest} deep")));
                };
                *level = inner;
                depth += 1;
            }
            while depth.checked_sub(1).is_some_and(|parent| open[parent].left == 0) {
                depth -= 1;
            }
            if depth == 0 {
                return Ok(&from[..from.len() - self.reader.rest.len()]);
            }
        }
    }

    fn note(&mut self, expected: &str) {
        self.fault.get_or_insert_with(|| Fault::expected(expected));
    }
}

/// Reads values one after the other. As a deserializer it is for a walked value only: that bounds how deep it recurses.
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) =
            self.rest.split_at_checked(bytes).ok_or_else(|| Fault::expected("more bytes"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn text(&mut self, bytes: usize) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.take(bytes)?).map_err(|_| Fault::expected("text in UTF-8"))
    }

    fn number(&mut self, bytes: usize) -> Result<u64, Fault> {
        let taken = self.take(bytes)?;
        Ok(taken.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    /// A length of one, two or four bytes.
    fn length(&mut self, bytes: usize) -> Result<usize, Fault> {
        Ok(usize::try_from(self.number(bytes)?).unwrap_or(usize::MAX))
    }

    fn signed(&mut self, bytes: usize) -> Result<Head, Fault> {
        let unused = 64 - 8 * bytes as u32;
        let number = (self.number(bytes)? << unused).cast_signed() >> unused;
        Ok(u64::try_from(number).map_or(Head::Signed(number), Head::Unsigned))
    }

    fn head(&mut self) -> Result<Head, Fault> {
        let first = self.take(1)?[0];
        Ok(match first {
            0x00..=0x7f => Head::Unsigned(first.into()),
            0x80..=0x8f => Head::Map((first & 0x0f).into()),
            0x90..=0x9f => Head::Array((first & 0x0f).into()),
            0xa0..=0xbf => Head::Text((first & 0x1f).into()),
            NIL => Head::Nil,
            0xc1 => return Err(Fault::expected("no byte 0xc1, which MessagePack never uses")),
            0xc2 | 0xc3 => Head::Bool(first == 0xc3),
            0xc4..=0xc6 => Head::Foreign(self.length(1 << (first - 0xc4))?),
            // The type of an extension is one byte more.
            0xc7..=0xc9 => Head::Foreign(self.length(1 << (first - 0xc7))?.saturating_add(1)),
            0xca => Head::Float(f32::from_bits(self.number(4)? as u32).into()),
            0xcb => Head::Float(f64::from_bits(self.number(8)?)),
            0xcc..=0xcf => Head::Unsigned(self.number(1 << (first - 0xcc))?),
            0xd0..=0xd3 => self.signed(1 << (first - 0xd0))?,
            0xd4..=0xd8 => Head::Foreign((1 << (first - 0xd4)) + 1),
            0xd9..=0xdb => Head::Text(self.length(1 << (first - 0xd9))?),
            0xdc | 0xdd => Head::Array(self.number(2 << (first - 0xdc))?),
            0xde | 0xdf => Head::Map(self.number(2 << (first - 0xde))?),
            0xe0..=0xff => Head::Signed(first.cast_signed().into()),
        })
    }
}

impl<'de> de::Deserializer<'de> for &mut Reader<'de> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.head()? {
            Head::Nil => visitor.visit_unit(),
            Head::Bool(value) => visitor.visit_bool(value),
            Head::Unsigned(number) => visitor.visit_u64(number),
            Head::Signed(number) => visitor.visit_i64(number),
            Head::Float(number) => visitor.visit_f64(number),
            Head::Text(bytes) => visitor.visit_borrowed_str(self.text(bytes)?),
            Head::Foreign(_) => Err(Fault::expected("no binary data and no extension types")),
            Head::Array(left) => {
                let mut items = Items { reader: self, left };
                let value = visitor.visit_seq(&mut items)?;
                items.end(value)
            }
            Head::Map(left) => {
                let mut items = Items { reader: self, left };
                let value = visitor.visit_map(&mut items)?;
                items.end(value)
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.rest.split_first() {
            Some((&NIL, rest)) => {
                self.rest = rest;
                visitor.visit_none()
            }
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.head()? {
            Head::Text(bytes) => {
                let name: StrDeserializer<'_, Fault> = self.text(bytes)?.into_deserializer();
                visitor.visit_enum(name)
            }
            head => Err(de::Error::invalid_type(unexpected(head), &visitor)),
        }
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.head()? {
            Head::Text(bytes) => visitor.visit_borrowed_str(self.text(bytes)?),
            head => Err(de::Error::invalid_type(unexpected(head), &visitor)),
        }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map struct ignored_any
    }
}

fn unexpected(head: Head) -> Unexpected<'static> {
    match head {
        Head::Nil => Unexpected::Other("nil"),
        Head::Bool(value) => Unexpected::Bool(value),
        Head::Unsigned(number) => Unexpected::Unsigned(number),
        Head::Signed(number) => Unexpected::Signed(number),
        Head::Float(number) => Unexpected::Float(number),
        Head::Text(_) => Unexpected::Other("text"),
        Head::Foreign(_) => Unexpected::Other("binary data"),
        Head::Array(_) => Unexpected::Seq,
        Head::Map(_) => Unexpected::Map,
    }
}

/// The values of an array, or the pairs of a map.
struct Items<'r, 'de> {
    reader: &'r mut Reader<'de>,
    left: u64,
}

impl Items<'_, '_> {
    fn end<T>(&self, value: T) -> Result<T, Fault> {
        if self.left == 0 { Ok(value) } else { Err(Fault::expected("fewer values")) }
    }
}

impl<'de> de::SeqAccess<'de> for &mut Items<'_, 'de> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }
}

impl<'de> de::MapAccess<'de> for &mut Items<'_, 'de> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        seed.deserialize(&mut *self.reader).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        seed.deserialize(&mut *self.reader)
    }
}
