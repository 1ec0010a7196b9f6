//! An app's backend, as far as REST goes: requests with a key, byte for byte, and their answers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::GIVE_UP_AFTER;
use super::node::Node;

/// Where the interface begins.
pub const ROOT: &str = "/api/v1";

/// Makes a key with these scopes; with all, where none are named.
pub fn key(node: &Node, scopes: &[&str]) -> String {
    let scopes = scopes.join(",");
    let mut args = vec!["api-key", "create", "--name", "test"];
    if !scopes.is_empty() {
        args.extend(["--scopes", &scopes]);
    }
    let made = node.run(&args);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim().to_owned()
}

/// Somebody who asks over REST.
#[derive(Clone)]
pub struct Backend {
    address: SocketAddr,
    headers: Vec<(String, String)>,
}

impl Backend {
    /// One with a key of all scopes.
    pub fn of(node: &Node) -> Self {
        Self::with_key(node, &key(node, &[]))
    }

    /// One with this key.
    pub fn with_key(node: &Node, key: &str) -> Self {
        Self::without_key(node).header("Authorization", &format!("Bearer {key}"))
    }

    /// One without a key.
    pub fn without_key(node: &Node) -> Self {
        Self { address: node.http(), headers: Vec::new() }
    }

    /// The same with another header.
    pub fn header(&self, name: &str, value: &str) -> Self {
        let mut other = self.clone();
        other.headers.push((name.to_owned(), value.to_owned()));
        other
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, b"")
    }

    /// Asks with a body of JSON.
    pub fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let json = self.header("Content-Type", "application/json");
        json.ask(method, path, body.to_string().as_bytes())
    }

    /// The same with a POST.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, body)
    }

    /// Asks with these bytes.
    pub fn ask(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        self.try_ask(method, path, body).unwrap()
    }

    /// Asks with a POST a server that may be going away; none when no whole answer came.
    pub fn try_post(&self, path: &str, body: &Value) -> Option<Answer> {
        let json = self.header("Content-Type", "application/json");
        let answer = json.try_ask("POST", path, body.to_string().as_bytes()).ok()?;
        let bytes = answer.header("content-length").parse().ok();
        (bytes == Some(answer.body.len())).then_some(answer)
    }

    fn try_ask(&self, method: &str, path: &str, body: &[u8]) -> std::io::Result<Answer> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(GIVE_UP_AFTER))?;
        let mut request = format!(
            "{method} {ROOT}{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in &self.headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{request}\r\n").as_bytes())?;
        // A server that has said no already may have stopped reading.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        let answer = String::from_utf8(answer).unwrap();
        // What ends before its head does was cut.
        Answer::parse(&answer).ok_or(std::io::ErrorKind::UnexpectedEof.into())
    }
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    /// Reads an answer; none where it did not come whole.
    pub fn parse(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_lowercase(), value.trim().to_owned())
        });
        Some(Self { status, headers: headers.collect(), body: body.to_owned() })
    }

    /// A header; empty where there is none.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(own, _)| own == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same of a request that was carried out with this status.
    #[track_caller]
    pub fn done(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/json", "{self:?}");
        self.json()
    }

    /// The field at fault of a request that was refused with this status and code; empty where none is named.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> String {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{self:?}");
        assert_eq!(problem["code"], code, "{self:?}");
        assert_eq!(problem["type"], format!("{ROOT}/docs#{code}"));
        assert!(!problem["title"].as_str().unwrap().is_empty());
        assert!(!problem["detail"].as_str().unwrap().is_empty());
        assert_eq!(problem["request_id"], self.header("x-request-id"), "{self:?}");
        problem["field"].as_str().unwrap_or_default().to_owned()
    }
}
