//! A Rust file as a list of tokens: what is code, without comments, and with each string literal in one piece.
//!
//! It knows no grammar. Doc comments are comments too, so the code inside them is not looked at.

/// One token, with the line on which it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub kind: Kind,
    pub line: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword; a raw identifier comes without its `r#`.
    Word(String),
    /// The inside of a string literal of any kind, as it is written.
    Text(String),
    /// `::` is one token, every other sign is one for each character.
    Sign(&'static str),
    Char(char),
}

impl Token {
    pub fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(own) if own == word)
    }

    pub fn is_char(&self, sign: char) -> bool {
        self.kind == Kind::Char(sign)
    }

    pub fn is_path_sign(&self) -> bool {
        self.kind == Kind::Sign("::")
    }

    pub fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            _ => None,
        }
    }
}

/// Splits a file into its tokens.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { chars: source.chars().collect(), at: 0, line: 1 };
    std::iter::from_fn(|| lexer.next_token()).collect()
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn bump(&mut self) -> Option<char> {
        let next = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(next == '\n');
        Some(next)
    }

    fn starts_with(&self, text: &str) -> bool {
        text.chars().enumerate().all(|(ahead, wanted)| self.peek(ahead) == Some(wanted))
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.bump();
        }
    }

    fn next_token(&mut self) -> Option<Token> {
        loop {
            let line = self.line;
            let kind = match self.peek(0)? {
                c if c.is_whitespace() => {
                    self.bump();
                    continue;
                }
                '/' if self.starts_with("//") => {
                    self.skip_line();
                    continue;
                }
                '/' if self.starts_with("/*") => {
                    self.skip_block_comment();
                    continue;
                }
                '"' => self.text(),
                '\'' => match self.char_or_lifetime() {
                    Some(kind) => kind,
                    None => continue,
                },
                c if c.is_alphabetic() || c == '_' => self.word_or_prefixed_text(),
                c if c.is_ascii_digit() => {
                    self.word();
                    continue;
                }
                ':' if self.starts_with("::") => {
                    self.skip(2);
                    Kind::Sign("::")
                }
                c => {
                    self.bump();
                    Kind::Char(c)
                }
            };
            return Some(Token { kind, line });
        }
    }

    fn skip_line(&mut self) {
        while self.peek(0).is_some_and(|c| c != '\n') {
            self.bump();
        }
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            if self.starts_with("/*") {
                depth += 1;
                self.skip(2);
            } else if self.starts_with("*/") {
                depth -= 1;
                self.skip(2);
            } else if self.bump().is_none() {
                return;
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn text(&mut self) -> Kind {
        self.bump();
        let mut inside = String::new();
        while let Some(c) = self.bump() {
            match c {
                '"' => break,
                '\\' => {
                    inside.push(c);
                    inside.extend(self.bump());
                }
                _ => inside.push(c),
            }
        }
        Kind::Text(inside)
    }

    fn raw_text(&mut self, hashes: usize) -> Kind {
        self.skip(hashes + 1);
        let end = format!("\"{}", "#".repeat(hashes));
        let mut inside = String::new();
        while !self.starts_with(&end) {
            match self.bump() {
                Some(c) => inside.push(c),
                None => break,
            }
        }
        self.skip(end.len());
        Kind::Text(inside)
    }

    /// A lifetime says nothing about what is used, a character only that it is none of the signs.
    fn char_or_lifetime(&mut self) -> Option<Kind> {
        self.bump();
        if self.peek(0) == Some('\\') {
            self.skip(2);
            while self.bump().is_some_and(|c| c != '\'') {}
            return Some(Kind::Text(String::new()));
        }
        if self.peek(1) == Some('\'') {
            self.skip(2);
            return Some(Kind::Text(String::new()));
        }
        self.word();
        None
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self.peek(0).filter(|c| c.is_alphanumeric() || *c == '_') {
            word.push(c);
            self.bump();
        }
        word
    }

    fn word_or_prefixed_text(&mut self) -> Kind {
        let word = self.word();
        let hashes = (0..).take_while(|ahead| self.peek(*ahead) == Some('#')).count();
        match word.as_str() {
            "r" | "br" | "cr" if self.peek(hashes) == Some('"') => self.raw_text(hashes),
            "b" | "c" if self.peek(0) == Some('"') => self.text(),
            "b" if self.peek(0) == Some('\'') => {
                self.char_or_lifetime().unwrap_or(Kind::Text(String::new()))
            }
            "r" if hashes == 1 => {
                self.bump();
                Kind::Word(self.word())
            }
            _ => Kind::Word(word),
        }
    }
}
