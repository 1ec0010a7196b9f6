//! The paths that a Rust file names: `use` trees written out, and every path in an expression, a type or an attribute.

use crate::tokens::{Token, tokens};

/// A path as written, from its first segment on; a glob ends in `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    pub segments: Vec<String>,
    pub line: usize,
    /// The inline modules around it, the outermost first.
    inside: Vec<String>,
}

impl Path {
    /// Whether it stands in the tests of its file.
    pub fn is_in_tests(&self) -> bool {
        self.inside.iter().any(|module| module == "tests")
    }

    /// The path from the crate's root on, if it leads into this crate; `file` is the module that the file is.
    ///
    /// `crate::a`, the library's own name, `self` and `super` all lead into it, whatever they stand in.
    pub fn in_this_crate(&self, file: &[String]) -> Option<Vec<String>> {
        let mut here: Vec<String> = file.iter().chain(&self.inside).cloned().collect();
        match self.segments[0].as_str() {
            "crate" | "rookery" => return Some(self.segments[1..].to_vec()),
            "self" | "super" => {}
            _ => return None,
        }
        for segment in &self.segments {
            match segment.as_str() {
                "self" => {}
                "super" => drop(here.pop()),
                name => here.push(name.to_owned()),
            }
        }
        Some(here)
    }
}

/// All paths of a file, single names in expressions included.
pub fn paths(source: &str) -> Vec<Path> {
    let tokens = tokens(source);
    let mut finder =
        Finder { tokens: &tokens, at: 0, depth: 0, inside: Vec::new(), found: Vec::new() };
    finder.file();
    finder.found
}

struct Finder<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// Inline modules, each with the brace depth inside it.
    inside: Vec<(String, usize)>,
    found: Vec<Path>,
}

impl Finder<'_> {
    fn peek(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.at + ahead)
    }

    fn next_is(&self, ahead: usize, sign: char) -> bool {
        self.peek(ahead).is_some_and(|token| token.is_char(sign))
    }

    fn file(&mut self) {
        while let Some(token) = self.peek(0) {
            let line = token.line;
            if token.is_word("use") {
                self.at += 1;
                self.tree(&[]);
            } else if token.is_word("mod") && self.next_is(2, '{') {
                let name = self.peek(1).and_then(Token::word).unwrap_or_default().to_owned();
                self.at += 3;
                self.depth += 1;
                self.inside.push((name, self.depth));
            } else if token.is_char('{') {
                self.depth += 1;
                self.at += 1;
            } else if token.is_char('}') {
                self.inside.retain(|(_, depth)| *depth < self.depth);
                self.depth = self.depth.saturating_sub(1);
                self.at += 1;
            } else if token.word().is_some() {
                let segments = self.plain();
                // `pub(crate)` says who may look in, not what is looked at; a bare `self` is a value.
                if segments.len() > 1 || !matches!(segments[0].as_str(), "crate" | "self" | "super")
                {
                    self.note(segments, line);
                }
            } else {
                self.at += 1;
            }
        }
    }

    fn note(&mut self, segments: Vec<String>, line: usize) {
        let inside = self.inside.iter().map(|(name, _)| name.clone()).collect();
        self.found.push(Path { segments, line, inside });
    }

    /// Reads `a::b::c`; what stands in angle brackets is read as paths of its own.
    fn plain(&mut self) -> Vec<String> {
        let mut segments = Vec::new();
        while let Some(word) = self.peek(0).and_then(Token::word) {
            segments.push(word.to_owned());
            self.at += 1;
            let goes_on = self.peek(0).is_some_and(Token::is_path_sign)
                && self.peek(1).is_some_and(|token| token.word().is_some());
            if !goes_on {
                break;
            }
            self.at += 1;
        }
        segments
    }

    /// Reads what follows `use`, or one branch of its braces, up to the `;`, `,` or `}` after it.
    fn tree(&mut self, before: &[String]) {
        let mut segments = before.to_vec();
        let line = self.peek(0).map_or(0, |token| token.line);
        while let Some(token) = self.peek(0) {
            if let Some(word) = token.word() {
                if word == "as" {
                    self.at += 2;
                    continue;
                }
                // `a::{self}` is `a`; a leading `self` is the module itself.
                if word != "self" || segments.is_empty() {
                    segments.push(word.to_owned());
                }
            } else if token.is_char('*') {
                segments.push("*".to_owned());
            } else if token.is_char('{') {
                self.branches(&segments);
                return;
            } else if !token.is_path_sign() && !token.is_char('$') {
                break;
            }
            self.at += 1;
        }
        if !segments.is_empty() {
            self.note(segments, line);
        }
    }

    fn branches(&mut self, before: &[String]) {
        self.at += 1;
        while self.peek(0).is_some() && !self.next_is(0, '}') {
            let from = self.at;
            self.tree(before);
            // A sign that no tree ends with must not hold the scan up.
            if self.next_is(0, ',') || self.at == from {
                self.at += 1;
            }
        }
        self.at += 1;
    }
}
