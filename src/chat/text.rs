//! Text that others wrote, made harmless for a terminal; colours; times.
//!
//! A terminal obeys what is written to it: nothing that came from outside is, before it went through here.

use std::borrow::Cow;
use std::fmt::Write;

use crate::ids::UnixMs;

/// What begins each further line of a text, so that no text can pass for a line of somebody else.
const CONTINUED: &str = "\n    | ";

/// One line or more: control characters are shown by their numbers, line breaks begin a marked line.
pub fn safe(raw: &str) -> Cow<'_, str> {
    neutral(raw, Breaks::Marked)
}

/// The same on one line.
pub fn safe_line(raw: &str) -> Cow<'_, str> {
    neutral(raw, Breaks::Shown)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Breaks {
    Marked,
    Shown,
}

fn neutral(raw: &str, breaks: Breaks) -> Cow<'_, str> {
    if !raw.chars().any(is_harmful) {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len() + 16);
    let mut chars = raw.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' if breaks == Breaks::Marked => out.push_str(CONTINUED),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("    "),
            // As a person would write it down; writing to a text cannot fail.
            c if is_harmful(c) => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// The same for JSON, in which control characters below 32 are escaped already: inside a JSON text only strings hold such.
pub fn safe_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(is_harmful) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match c {
            c if is_harmful(c) => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters, which a terminal obeys, and those that turn the direction of what follows or break lines unseen.
/// All of them have at most four hexadecimal digits.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// How a part of a line looks where there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Somebody's name.
    Name,
    /// One's own name.
    Own,
    /// What is beside the matter: numbers, ticks, notices.
    Dim,
    /// A conversation's name.
    Place,
    /// What went wrong.
    Bad,
}

/// Whether there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// A terminal that shows them.
    On,
    /// Plain text.
    Off,
}

impl Colours {
    /// `text` in this look. The text must be harmless already.
    pub fn paint(self, look: Look, text: &str) -> String {
        let code = match look {
            Look::Name => "1;36",
            Look::Own => "1;32",
            Look::Dim => "2",
            Look::Place => "1;33",
            Look::Bad => "31",
        };
        match self {
            Self::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Self::Off => text.to_owned(),
        }
    }
}

/// A time as `2026-11-25 04:12Z`.
pub fn minute(at: UnixMs) -> String {
    let minutes = at.get().div_euclid(60_000);
    let (day, minute) = (minutes.div_euclid(1440), minutes.rem_euclid(1440));
    let (year, month, day) = date(day);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}Z", minute / 60, minute % 60)
}

/// The date of a day since 1970, counted in eras of 400 years that begin in March, so that leap days come last.
fn date(day: i64) -> (i64, i64, i64) {
    let day = day + 719_468;
    let (era, day) = (day.div_euclid(146_097), day.rem_euclid(146_097));
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (month_day, month) =
        (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    (era * 400 + year + i64::from(month <= 2), month, month_day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_control_character_survives_and_no_text_can_pass_for_another_line() {
        let clear = "\u{1b}[2J\u{9b}31m\u{7}\u{7f}\r";
        let turned = "\u{202e}abc\u{2066}";
        assert_eq!(safe(clear), "\\u{1b}[2J\\u{9b}31m\\u{7}\\u{7f}\\u{d}");
        assert_eq!(safe(turned), "\\u{202e}abc\\u{2066}");
        assert_eq!(safe("hi\r\n#2 bob: I owe you"), "hi\n    | #2 bob: I owe you");
        assert_eq!(safe_line("a\nb"), "a\\nb");
        assert!(matches!(safe("grüße \u{1F426}"), Cow::Borrowed(_)));
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let text = c.to_string();
            assert!(!safe_line(&text).chars().any(is_harmful), "{c:?}");
        }
    }

    #[test]
    fn json_stays_the_same_value_without_control_characters() {
        let value = serde_json::json!({"a": "\u{9b}31m\u{7f}\u{202e}\n\u{1b}"});
        let written = value.to_string();

        let safe = safe_json(&written);

        assert!(!safe.chars().any(is_harmful), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }

    #[test]
    fn times_are_those_of_the_calendar() {
        for (ms, text) in [
            (0, "1970-01-01 00:00Z"),
            (951_782_400_000, "2000-02-29 00:00Z"),
            (1_709_164_799_000, "2024-02-28 23:59Z"),
            (1_751_371_200_000, "2025-07-01 12:00Z"),
            (-1, "1969-12-31 23:59Z"),
        ] {
            assert_eq!(minute(UnixMs::new(ms)), text);
        }
    }
}
