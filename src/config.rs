//! The settings: a file, then the environment, then flags; the later one wins.
//!
//! A setting is added in three places: its field here, its default beside it, its line in `rookery.toml` (a test compares
//! the two). Never parses text into types before a field asks for it: a secret `0123456` must not become a number.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use config::{ConfigError, Environment, File, FileFormat, Map, Source, Value, ValueKind};
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits;

/// The file that is read from the working directory when no other is named.
pub const DEFAULT_FILE: &str = "rookery.toml";
/// What a variable of the environment begins with to be one of ours.
pub const ENV_PREFIX: &str = "ROOKERY__";

/// Everything that can be set. An empty text means that the setting is not set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// The folder of the private PostgreSQL, the node's identity and its lock. Empty: see [`Settings::data_dir`].
    pub data_dir: String,
    /// The port of the page, the WebSocket and, later, REST.
    pub http: Http,
    /// The port of native clients.
    pub tcp: Tcp,
    /// The port of health and metrics.
    pub inside: Inside,
    /// Where the messages are kept.
    pub database: Database,
    /// What carries what nodes send each other.
    pub redis: Redis,
    /// Who is told that a message was read.
    pub receipts: Receipts,
    /// How long a repeated message is recognised.
    pub dedup: Dedup,
    /// How groups are kept.
    pub groups: Groups,
    /// How much clients may ask for.
    pub limits: Limits,
    /// What is written to standard error.
    pub log: Log,
}

/// Settings of what clients may ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Messages that one session may send in a second, on average.
    pub sends_per_s: u32,
    /// Messages that one session may send at once beyond that.
    pub sends_burst: u32,
    /// WebSocket and TCP connections at once.
    pub connections: u32,
    /// Connections that are taken in a second, on average.
    pub arrivals_per_s: u32,
    /// Connections that are taken at once beyond that, over all and from one address.
    pub arrivals_burst: u32,
    /// Connections that are taken from one address in a second, on average.
    pub arrivals_per_address_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sends_per_s: 2_000,
            sends_burst: 4_000,
            connections: 50_000,
            arrivals_per_s: 1_250,
            arrivals_burst: 2_500,
            arrivals_per_address_s: 1_250,
        }
    }
}

/// Settings of the outer HTTP port.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Http {
    /// The address or name to listen on.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
    /// The origins besides our own whose pages may open a WebSocket.
    #[serde(deserialize_with = "text_or_list")]
    pub origins: Vec<String>,
}

impl Default for Http {
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), port: 8800, origins: Vec::new() }
    }
}

/// Settings of the port for frames over TCP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tcp {
    /// The address or name to listen on.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
}

impl Default for Tcp {
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), port: 8801 }
    }
}

/// Settings of the port for matters of the operator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Inside {
    /// The address or name to listen on.
    pub host: String,
    /// The port; 0 takes a free one.
    pub port: u16,
}

impl Default for Inside {
    fn default() -> Self {
        Self { host: "127.0.0.1".to_owned(), port: 8802 }
    }
}

/// Settings of the store.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Database {
    /// The PostgreSQL to use. Empty: a private one is kept under the data folder.
    pub url: String,
    /// Connections for everything but the journals, which have their own.
    pub pool_size: u16,
    /// The folder with `postgres` and `initdb` for the private server. Empty: the usual places are searched.
    pub postgres_bin: String,
}

impl Default for Database {
    fn default() -> Self {
        Self { url: String::new(), pool_size: 8, postgres_bin: String::new() }
    }
}

/// Settings of what carries between nodes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Redis {
    /// The Redis to use. Empty: PostgreSQL carries.
    pub url: String,
}

/// Settings of receipts in app 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Receipts {
    /// Whether the other side of a one-to-one conversation is told how far one has read.
    pub read: Switch,
}

impl Default for Receipts {
    fn default() -> Self {
        Self { read: Switch::On }
    }
}

/// `on` or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// Done.
    On,
    /// Left out.
    Off,
}

impl<'de> Deserialize<'de> for Switch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "on" | "true" => Ok(Self::On),
            "off" | "false" => Ok(Self::Off),
            other => Err(serde::de::Error::custom(format!("`{other}`, expected `on` or `off`"))),
        }
    }
}

/// Settings of the recognition of repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Dedup {
    /// For how many days a client message id is remembered; an older one is refused.
    pub window_days: u16,
}

impl Default for Dedup {
    fn default() -> Self {
        Self { window_days: 7 }
    }
}

/// Settings of groups.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Groups {
    /// For how many seconds a group has nothing to do before it leaves the memory.
    pub sleep_after_s: u32,
}

impl Default for Groups {
    fn default() -> Self {
        Self { sleep_after_s: 600 }
    }
}

/// Settings of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Log {
    /// What is logged: a level, or filters as `info,rookery::store=debug`. `RUST_LOG` goes before it.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line, for collectors.
    Json,
}

impl<'de> Deserialize<'de> for LogFormat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(serde::de::Error::custom(format!("`{other}`, expected `text` or `json`"))),
        }
    }
}

/// Where settings come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config`; without it [`DEFAULT_FILE`] is read if it is there.
    pub file: Option<PathBuf>,
    /// The variables of the environment; others than ours are ignored.
    pub env: HashMap<String, String>,
    /// `--data-dir`.
    pub data_dir: Option<PathBuf>,
}

impl Sources {
    /// The environment of this process, and these flags.
    pub fn of_process(file: Option<PathBuf>, data_dir: Option<PathBuf>) -> Self {
        let env = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, lossy(&value))))
            .filter(|(name, _)| name.starts_with(ENV_PREFIX))
            .collect();
        Self { file, env, data_dir }
    }
}

/// Text that is not UTF-8 becomes text that no setting accepts silently: it shows in the error.
fn lossy(value: &std::ffi::OsStr) -> String {
    value.to_string_lossy().into_owned()
}

/// Settings, and where each that was set came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What is in force.
    pub settings: Settings,
    origins: BTreeMap<String, String>,
}

/// Why the settings cannot be used: one line for each fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("; "))]
pub struct SettingsError(pub Vec<String>);

/// Reads, merges and checks the settings.
pub fn load(sources: &Sources) -> Result<Loaded, SettingsError> {
    let layers: Vec<Layer> = read_file(sources)?.into_iter().chain(read_env(sources)).collect();
    let known: BTreeMap<_, _> = flatten(&Settings::default()).into_iter().collect();
    let mut origins = BTreeMap::new();
    let mut faults = Vec::new();
    for layer in &layers {
        for key in layer.keys()? {
            if known.contains_key(&key) {
                origins.insert(key, layer.place.clone());
            } else {
                faults.push(layer.unknown(&key, known.keys()));
            }
        }
    }
    if !faults.is_empty() {
        return Err(SettingsError(faults));
    }

    let mut builder = config::Config::builder();
    for layer in layers {
        builder = builder.add_source(vec![layer.source]);
    }
    if let Some(data_dir) = &sources.data_dir {
        let text = data_dir.to_str().ok_or_else(|| {
            SettingsError(vec![format!("--data-dir {}: expected UTF-8 text", data_dir.display())])
        })?;
        origins.insert("data_dir".to_owned(), "--data-dir".to_owned());
        builder =
            builder.set_override("data_dir", text).map_err(|error| explain(error, &origins))?;
    }
    let settings: Settings = builder
        .build()
        .and_then(config::Config::try_deserialize)
        .map_err(|error| explain(error, &origins))?;
    settings.check()?;
    Ok(Loaded { settings, origins })
}

impl Loaded {
    /// What is in force, one line for each setting with where it came from; passwords are left out.
    pub fn describe(&self) -> String {
        let mut lines = String::new();
        for (key, value) in flatten(&self.settings) {
            let value = match key.as_str() {
                "database.url" => serde_json::Value::String(masked(&self.settings.database.url)),
                "redis.url" => serde_json::Value::String(masked_redis(&self.settings.redis.url)),
                _ => value,
            };
            let origin = self.origins.get(&key).map_or("default", String::as_str);
            lines.push_str(&format!("{key} = {value}  # {origin}\n"));
        }
        lines
    }
}

impl Settings {
    /// The data folder as an absolute path: the setting, or the usual place for state on this system.
    pub fn data_dir(&self, is_root: bool) -> Result<PathBuf, SettingsError> {
        let chosen = if !self.data_dir.is_empty() {
            PathBuf::from(&self.data_dir)
        } else if is_root {
            // Not root's home: the private PostgreSQL runs as another user, which must get there.
            PathBuf::from("/var/lib/rookery")
        } else if let Some(state) = absolute_env("XDG_STATE_HOME") {
            state.join("rookery")
        } else if let Some(home) = absolute_env("HOME") {
            home.join(".local/state/rookery")
        } else {
            return Err(SettingsError(vec![
                "no data folder: HOME is not set; name one with --data-dir or data_dir".to_owned(),
            ]));
        };
        std::path::absolute(&chosen)
            .map_err(|error| SettingsError(vec![format!("data_dir {}: {error}", chosen.display())]))
    }

    fn check(&self) -> Result<(), SettingsError> {
        let mut faults = Vec::new();
        let listeners = [
            ("http", &self.http.host, self.http.port),
            ("tcp", &self.tcp.host, self.tcp.port),
            ("inside", &self.inside.host, self.inside.port),
        ];
        for (nth, (key, host, port)) in listeners.into_iter().enumerate() {
            if host.trim().is_empty() {
                faults.push(format!("{key}.host is empty, expected an address or a host name"));
            }
            for (other, _, _) in listeners[nth + 1..].iter().filter(|(_, its_host, its_port)| {
                port != 0 && (*its_host, *its_port) == (host, port)
            }) {
                faults.push(format!(
                    "{key}.port and {other}.port are both {port}, expected two ports"
                ));
            }
        }
        if self.database.pool_size == 0 || self.database.pool_size > 1000 {
            faults.push(format!(
                "database.pool_size is {}, expected 1 to 1000 connections",
                self.database.pool_size
            ));
        }
        let most = limits::DEDUP_WINDOW_DAYS_MAX;
        if self.dedup.window_days == 0 || self.dedup.window_days > most {
            faults.push(format!(
                "dedup.window_days is {}, expected 1 to {most} days",
                self.dedup.window_days
            ));
        }
        let most = limits::GROUP_SLEEP_MAX_S;
        if self.groups.sleep_after_s == 0 || self.groups.sleep_after_s > most {
            faults.push(format!(
                "groups.sleep_after_s is {}, expected 1 to {most} seconds",
                self.groups.sleep_after_s
            ));
        }
        let rates =
            [("sends_per_s", self.limits.sends_per_s), ("sends_burst", self.limits.sends_burst)];
        for (key, rate) in rates {
            if rate == 0 {
                faults.push(format!("limits.{key} is 0, expected at least 1 message"));
            }
        }
        let rates = [
            ("arrivals_per_s", self.limits.arrivals_per_s),
            ("arrivals_burst", self.limits.arrivals_burst),
            ("arrivals_per_address_s", self.limits.arrivals_per_address_s),
        ];
        for (key, rate) in rates {
            if rate == 0 {
                faults.push(format!("limits.{key} is 0, expected at least 1 connection"));
            }
        }
        let most = limits::CONNECTIONS_MAX;
        if self.limits.connections == 0 || self.limits.connections > most {
            faults.push(format!(
                "limits.connections is {}, expected 1 to {most} connections",
                self.limits.connections
            ));
        }
        if tracing_subscriber::EnvFilter::try_new(&self.log.level).is_err() {
            faults.push(format!(
                "log.level is `{}`, expected off, error, warn, info, debug, trace, or filters as \
                 `info,rookery::store=debug`",
                self.log.level
            ));
        }
        if !self.database.url.is_empty()
            && let Err(error) = self.database.url.parse::<tokio_postgres::Config>()
        {
            // The text itself may hold a password and is not repeated.
            faults.push(format!(
                "database.url cannot be read ({error}), expected postgres://user:password@host:port/name"
            ));
        }
        if !self.redis.url.is_empty()
            && let Err(error) = redis::Client::open(self.redis.url.as_str())
        {
            faults.push(format!(
                "redis.url cannot be read ({error}), expected redis://user:password@host:port/number"
            ));
        }
        faults.extend(self.http.origins.iter().filter_map(|origin| check_origin(origin)));
        if faults.is_empty() { Ok(()) } else { Err(SettingsError(faults)) }
    }
}

/// An origin is compared as text with what browsers send, so one that no browser sends would silently never match.
fn check_origin(origin: &str) -> Option<String> {
    let host = origin.strip_prefix("https://").or_else(|| origin.strip_prefix("http://"));
    let sound = host.is_some_and(|host| {
        !host.is_empty()
            && !host.contains(['/', '*', '?', '#', '@'])
            && *host == host.to_lowercase()
    });
    (!sound).then(|| {
        format!("http.origins has `{origin}`, expected scheme, host and port as https://chat.example.com:8443")
    })
}

fn absolute_env(name: &str) -> Option<PathBuf> {
    std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute())
}

/// One source of settings, and how to name what is in it.
struct Layer {
    place: String,
    is_env: bool,
    source: Box<dyn Source + Send + Sync>,
}

impl Layer {
    /// The full name of each setting in it, as `http.port`.
    fn keys(&self) -> Result<Vec<String>, SettingsError> {
        let tree = self
            .source
            .collect()
            .map_err(|error| SettingsError(vec![format!("{}: {error}", self.place)]))?;
        let mut keys = Vec::new();
        leaves("", &tree, &mut keys);
        Ok(keys)
    }

    fn unknown<'a>(&self, key: &str, known: impl Iterator<Item = &'a String>) -> String {
        let written = |key: &str| if self.is_env { env_name(key) } else { key.to_owned() };
        let nearest = known.min_by_key(|known| strsim::damerau_levenshtein(key, known));
        let hint =
            nearest.map_or_else(String::new, |near| format!(", did you mean {}?", written(near)));
        format!("unknown setting {} in {}{hint}", written(key), self.place)
    }
}

fn read_file(sources: &Sources) -> Result<Option<Layer>, SettingsError> {
    let path = match &sources.file {
        Some(path) => path.clone(),
        None if Path::new(DEFAULT_FILE).is_file() => PathBuf::from(DEFAULT_FILE),
        None => return Ok(None),
    };
    let place = path.display().to_string();
    let text = std::fs::read_to_string(&path)
        .map_err(|error| SettingsError(vec![format!("settings file {place}: {error}")]))?;
    let source = Box::new(File::from_str(&text, FileFormat::Toml));
    Ok(Some(Layer { place, is_env: false, source }))
}

fn read_env(sources: &Sources) -> Option<Layer> {
    if sources.env.is_empty() {
        return None;
    }
    let source = Environment::with_prefix("ROOKERY")
        .prefix_separator("__")
        .separator("__")
        // An empty secret is one that is not set.
        .ignore_empty(true)
        .source(Some(sources.env.clone()));
    Some(Layer { place: "the environment".to_owned(), is_env: true, source: Box::new(source) })
}

fn env_name(key: &str) -> String {
    format!("{ENV_PREFIX}{}", key.replace('.', "__").to_uppercase())
}

fn leaves(prefix: &str, tree: &Map<String, Value>, keys: &mut Vec<String>) {
    for (name, value) in tree {
        let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        match &value.kind {
            ValueKind::Table(inner) => leaves(&key, inner, keys),
            _ => keys.push(key),
        }
    }
}

/// Each setting by its full name; the defaults, flattened, are the list of all settings there are.
fn flatten(settings: &Settings) -> Vec<(String, serde_json::Value)> {
    fn walk(prefix: &str, value: serde_json::Value, into: &mut Vec<(String, serde_json::Value)>) {
        match value {
            serde_json::Value::Object(fields) => {
                for (name, value) in fields {
                    let key = if prefix.is_empty() { name } else { format!("{prefix}.{name}") };
                    walk(&key, value, into);
                }
            }
            value => into.push((prefix.to_owned(), value)),
        }
    }
    let mut into = Vec::new();
    // Plain structs of text and numbers always serialize; an empty list would only lose the hints.
    walk("", serde_json::to_value(settings).unwrap_or_default(), &mut into);
    into
}

/// The crate's error with the key in front, where it came from, and types in words.
fn explain(error: ConfigError, origins: &BTreeMap<String, String>) -> SettingsError {
    let (key, what) = match error {
        ConfigError::Type { unexpected, expected, key, .. } => {
            (key, format!("is {unexpected}, expected {}", in_words(expected)))
        }
        ConfigError::At { error, key, .. } => (key, format!("is {error}")),
        other => (None, other.to_string()),
    };
    let Some(key) = key else { return SettingsError(vec![what]) };
    let place = origins.get(&key).map_or_else(String::new, |place| format!(" in {place}"));
    SettingsError(vec![format!("setting {key}{place} {what}")])
}

fn in_words(expected: &str) -> &str {
    match expected {
        "an unsigned 16 bit integer" | "u16" => "a whole number from 0 to 65535",
        "an unsigned 32 bit integer" | "u32" => "a whole number from 0 to 4294967295",
        "an unsigned 64 bit integer" | "u64" | "usize" | "an integer" => "a whole number",
        other => other,
    }
}

/// The parts of a database address that may be shown.
fn masked(url: &str) -> String {
    let Ok(config) = url.parse::<tokio_postgres::Config>() else { return String::new() };
    if url.is_empty() {
        return String::new();
    }
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .map(|host| match host {
            tokio_postgres::config::Host::Tcp(name) => name.clone(),
            tokio_postgres::config::Host::Unix(path) => path.display().to_string(),
        })
        .collect();
    let ports: Vec<String> = config.get_ports().iter().map(u16::to_string).collect();
    let password = if config.get_password().is_some() { ":***" } else { "" };
    format!(
        "postgres://{}{password}@{}:{}/{}",
        config.get_user().unwrap_or_default(),
        hosts.join(","),
        ports.join(","),
        config.get_dbname().unwrap_or_default()
    )
}

/// The parts of an address of Redis that may be shown.
fn masked_redis(url: &str) -> String {
    let Ok(client) = redis::Client::open(url) else { return String::new() };
    let connection = client.get_connection_info();
    let redis = connection.redis_settings();
    let user = redis.username().unwrap_or_default();
    let password = if redis.password().is_some() { ":***@" } else { "" };
    format!("redis://{user}{password}{}/{}", connection.addr(), redis.db())
}

/// Accepts `["a", "b"]` from a file and `a,b` from the environment.
fn text_or_list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum TextOrList {
        Text(String),
        List(Vec<String>),
    }
    Ok(match TextOrList::deserialize(deserializer)? {
        TextOrList::List(list) => list,
        TextOrList::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_env(pairs: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
        let env = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        // A file that is there and says nothing, so that one in the working directory is not read.
        let file = Some(PathBuf::from("/dev/null"));
        load(&Sources { file, env: env.collect(), data_dir: None })
    }

    fn from_text(text: &str, env: &[(&str, &str)]) -> Result<Loaded, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rookery.toml");
        std::fs::write(&path, text).unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        load(&Sources { file: Some(path), env: env.collect(), data_dir: None })
    }

    #[test]
    fn the_file_in_the_repository_names_every_setting_with_its_default() {
        let text = include_str!("../rookery.toml");
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if setting.starts_with(|first: char| first.is_ascii_lowercase()) => {
                    setting
                }
                _ => line,
            })
            .collect::<Vec<_>>()
            .join("\n");

        let loaded = from_text(&uncommented, &[]).unwrap();

        assert_eq!(loaded.settings, Settings::default());
        let named: Vec<_> = loaded.origins.keys().cloned().collect();
        let mut all: Vec<_> =
            flatten(&Settings::default()).into_iter().map(|(key, _)| key).collect();
        all.sort();
        assert_eq!(named, all);
    }

    #[test]
    fn the_file_as_it_stands_sets_nothing() {
        let loaded = from_text(include_str!("../rookery.toml"), &[]).unwrap();

        assert!(loaded.origins.is_empty());
    }

    #[test]
    fn the_environment_goes_before_the_file_and_a_flag_before_both() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rookery.toml");
        std::fs::write(&path, "data_dir = '/file'\n[http]\nport = 1\nhost = 'file'\n").unwrap();

        let env = [("ROOKERY__HTTP__PORT", "2"), ("ROOKERY__DATA_DIR", "/env")];
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let data_dir = Some(PathBuf::from("/flag"));
        let loaded = load(&Sources { file: Some(path), env: env.collect(), data_dir }).unwrap();

        assert_eq!(loaded.settings.http.host, "file");
        assert_eq!(loaded.settings.http.port, 2);
        assert_eq!(loaded.settings.data_dir, "/flag");
    }

    #[test]
    fn an_unknown_setting_is_refused_and_the_nearest_named() {
        let in_file = from_text("[http]\nprot = 1\n", &[]).unwrap_err().to_string();
        let in_env = from_env(&[("ROOKERY__HTPP__PORT", "1")]).unwrap_err().to_string();

        assert!(in_file.contains("unknown setting http.prot in "), "{in_file}");
        assert!(in_file.contains("did you mean http.port?"), "{in_file}");
        assert_eq!(
            in_env,
            "unknown setting ROOKERY__HTPP__PORT in the environment, did you mean ROOKERY__HTTP__PORT?"
        );
    }

    #[test]
    fn a_value_of_the_wrong_type_names_the_key_the_place_and_what_was_expected() {
        let word = from_env(&[("ROOKERY__HTTP__PORT", "soon")]).unwrap_err().to_string();
        let large = from_env(&[("ROOKERY__HTTP__PORT", "99999")]).unwrap_err().to_string();
        let switch = from_env(&[("ROOKERY__RECEIPTS__READ", "maybe")]).unwrap_err().to_string();
        let list = from_text("[http]\nport = [1]\n", &[]).unwrap_err().to_string();

        for (error, expected) in [
            (
                word,
                "setting http.port in the environment is string \"soon\", expected a whole number",
            ),
            (large, "expected a whole number from 0 to 65535"),
            (switch, "setting receipts.read in the environment is `maybe`, expected `on` or `off`"),
            (list, "expected a whole number"),
        ] {
            assert!(error.contains(expected), "{error} should say {expected}");
        }
    }

    #[test]
    fn a_value_out_of_its_range_is_refused_with_the_range() {
        for (name, value, expected) in [
            ("ROOKERY__DATABASE__POOL_SIZE", "0", "database.pool_size is 0, expected 1 to 1000"),
            ("ROOKERY__DEDUP__WINDOW_DAYS", "91", "dedup.window_days is 91, expected 1 to 90 days"),
            (
                "ROOKERY__GROUPS__SLEEP_AFTER_S",
                "0",
                "groups.sleep_after_s is 0, expected 1 to 86400",
            ),
            ("ROOKERY__LIMITS__SENDS_PER_S", "0", "limits.sends_per_s is 0, expected at least 1"),
            ("ROOKERY__LIMITS__SENDS_BURST", "0", "limits.sends_burst is 0, expected at least 1"),
            ("ROOKERY__LIMITS__CONNECTIONS", "0", "limits.connections is 0, expected 1 to 1000000"),
            (
                "ROOKERY__LIMITS__ARRIVALS_PER_S",
                "0",
                "limits.arrivals_per_s is 0, expected at least 1",
            ),
            ("ROOKERY__TCP__PORT", "8800", "http.port and tcp.port are both 8800"),
        ] {
            let error = from_env(&[(name, value)]).unwrap_err().to_string();

            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn a_secret_of_digits_stays_as_it_was_written() {
        let url = "postgres://app:0123456@db.example.com:5432/rookery";

        let loaded = from_env(&[("ROOKERY__DATABASE__URL", url)]).unwrap();

        assert_eq!(loaded.settings.database.url, url);
    }

    #[test]
    fn an_empty_variable_is_one_that_is_not_set() {
        let loaded = from_env(&[("ROOKERY__HTTP__PORT", "")]).unwrap();

        assert_eq!(loaded.settings.http.port, Settings::default().http.port);
    }

    #[test]
    fn a_list_is_written_with_commas_in_the_environment() {
        let loaded =
            from_env(&[("ROOKERY__HTTP__ORIGINS", "https://a.example, https://b.example:8443")]);

        assert_eq!(
            loaded.unwrap().settings.http.origins,
            ["https://a.example", "https://b.example:8443"]
        );
    }

    #[test]
    fn an_origin_that_no_browser_sends_is_refused() {
        for origin in ["null", "*", "chat.example.com", "https://a.example/", "https://*.example"] {
            let error = from_env(&[("ROOKERY__HTTP__ORIGINS", origin)]).unwrap_err().to_string();

            assert!(error.contains("http.origins"), "{error}");
        }
    }

    #[test]
    fn the_description_leaves_the_password_out() {
        let url = "postgres://app:hunter2@db.example.com:5432/rookery";

        let described = from_env(&[("ROOKERY__DATABASE__URL", url)]).unwrap().describe();

        assert!(!described.contains("hunter2"), "{described}");
        assert!(
            described.contains("postgres://app:***@db.example.com:5432/rookery"),
            "{described}"
        );
        assert!(described.contains("# the environment"), "{described}");

        let url = "redis://app:hunter2@cache.example.com:6380/3";
        let described = from_env(&[("ROOKERY__REDIS__URL", url)]).unwrap().describe();

        assert!(described.contains("redis://app:***@cache.example.com:6380/3"), "{described}");
        assert!(!described.contains("hunter2"), "{described}");
    }

    #[test]
    fn an_address_of_redis_that_cannot_be_read_is_refused_and_not_repeated() {
        for url in ["cache:6379", "http://app:hunter2@cache", "rediss://app:hunter2@cache:6379"] {
            let error = from_env(&[("ROOKERY__REDIS__URL", url)]).unwrap_err().to_string();

            assert!(error.contains("redis.url cannot be read"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
