//! One HTTP/1.1 connection that is kept open: a request at a time, for a server that says how long its answers are.

use std::io::{self, Write};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer may take: longer than the server works on a request.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// An answer with its head is no longer than this, in bytes.
const ANSWER_BYTES: usize = 8 * 1024 * 1024;

/// An open connection.
#[derive(Debug)]
pub struct Http {
    stream: TcpStream,
    /// What every request says beside its path and its length.
    head: String,
    out: Vec<u8>,
    come: Vec<u8>,
}

/// What a request was answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reply<'a> {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: &'a [u8],
}

impl Http {
    /// Connects to `address`; requests carry `key` as their bearer.
    pub async fn open(address: &str, key: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "Host: {address}\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        );
        Ok(Self { stream, head, out: Vec::new(), come: Vec::new() })
    }

    /// Sends a request and waits for its answer.
    pub async fn ask(&mut self, method: &str, path: &str, body: &str) -> io::Result<Reply<'_>> {
        self.out.clear();
        let (head, length) = (&self.head, body.len());
        write!(
            self.out,
            "{method} {path} HTTP/1.1\r\n{head}Content-Length: {length}\r\n\r\n{body}"
        )?;
        let answered = tokio::time::timeout(ANSWER_WITHIN, self.exchange()).await;
        let whole = answered.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let body = self.come.get(whole.body..).unwrap_or_default();
        Ok(Reply { status: whole.status, body })
    }

    async fn exchange(&mut self) -> io::Result<Head> {
        self.stream.write_all(&self.out).await?;
        // Nothing follows an answer before the next request.
        self.come.clear();
        loop {
            if let Some(head) = Head::read(&self.come)?
                && self.come.len() >= head.body + head.length
            {
                return Ok(head);
            }
            if self.come.len() > ANSWER_BYTES || self.stream.read_buf(&mut self.come).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// What the head of an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    /// Where the body begins.
    body: usize,
    /// Its bytes.
    length: usize,
}

impl Head {
    /// Reads it; nothing if its end has not come.
    fn read(bytes: &[u8]) -> io::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
            return Ok(None);
        };
        let wrong = || io::Error::other("the answer is no HTTP/1.1 with a length");
        let head = std::str::from_utf8(bytes.get(..end).unwrap_or_default());
        let mut lines = head.map_err(|_| wrong())?.split("\r\n");
        let first = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 "));
        let status = first.and_then(|line| line.get(..3)?.parse().ok()).ok_or_else(wrong)?;
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        Ok(Some(Self { status, body: end + 4, length: length.ok_or_else(wrong)? }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_where_its_answer_ends() {
        let answer = b"HTTP/1.1 201 Created\r\nX-Request-Id: 7\r\ncontent-length: 2\r\n\r\n{}";

        assert_eq!(
            Head::read(answer).unwrap(),
            Some(Head { status: 201, body: answer.len() - 2, length: 2 })
        );
        assert_eq!(Head::read(&answer[..answer.len() - 3]).unwrap(), None);
    }

    #[test]
    fn what_has_no_length_is_refused() {
        assert!(Head::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(Head::read(b"SSH-2.0\r\n\r\n").is_err());
    }
}
