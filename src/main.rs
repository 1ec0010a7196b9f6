//! The command line of Rookery.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use rookery::app::commands::{self, Signing};
use rookery::app::keys::{self, Wanted};
use rookery::app::status;
use rookery::app::{self, Demo, Launch, Ready};
use rookery::bench::{self, options::Bench};
use rookery::chat::text::{minute, safe_line};
use rookery::chat::{self, Setup};
use rookery::client::TokenSource;
use rookery::config::{self, Loaded, LogFormat, Sources};
use rookery::ids::{ApiKeyId, AppId, Conversation, DeviceId, Scope, UserId};
use rookery::limits;
use rookery::store::api_keys::ApiKeyRecord;
use rookery::store::child;
use rookery::store::connect::MessageLoss;
use rookery::store::embedded::Progress;

/// A message is a dozen small pieces of memory: the system's allocator took a fifth of the server's time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long a token holds when nobody says, in seconds: a week.
const TOKEN_DEFAULT_S: u64 = 7 * 86_400;

/// How long the last key signs beside a new one when nobody says, in seconds: as long as the tokens that were just signed.
const KEEP_OLD_DEFAULT_S: u32 = 7 * 86_400;

/// A chat engine for other people's products.
#[derive(Parser)]
#[command(name = "rookery", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve clients until a signal ends it.
    Serve {
        #[command(flatten)]
        common: Common,
        /// Use a database whose settings allow it to lose acknowledged messages.
        #[arg(long)]
        accept_message_loss: bool,
    },
    /// Print a token with which a user logs in, and nothing else.
    Token {
        #[command(flatten)]
        common: Common,
        /// Who logs in.
        #[arg(long, value_name = "ID", value_parser = UserId::parse)]
        user: UserId,
        /// The app that the user belongs to.
        #[arg(long, value_name = "ID", default_value = "1", value_parser = app_id)]
        app: AppId,
        /// For how many seconds the token holds.
        #[arg(long, value_name = "N", default_value_t = TOKEN_DEFAULT_S,
            value_parser = clap::value_parser!(u64).range(1..=limits::TOKEN_VALIDITY_S))]
        expire_s: u64,
    },
    /// Chat at the terminal, from a pipe or from a script.
    #[command(after_help = CHAT_HELP)]
    Chat(Box<Chat>),
    /// The keys that sign tokens.
    #[command(subcommand)]
    Key(KeyCommand),
    /// The keys with which a backend of app 1 calls the REST API.
    #[command(subcommand)]
    ApiKey(ApiKeyCommand),
    /// Bring the tables of the database up to what this program knows; `serve` does so too.
    Migrate {
        #[command(flatten)]
        common: Common,
    },
    /// Look at the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at the nodes that share a database.
    #[command(subcommand)]
    Cluster(ClusterCommand),
    Bench(Box<Bench>),
}

#[derive(Args)]
struct Chat {
    #[command(flatten)]
    common: Common,
    /// Who chats.
    #[arg(long, value_name = "ID", value_parser = UserId::parse)]
    user: UserId,
    /// The app that the user belongs to.
    #[arg(long, value_name = "ID", default_value = "1", value_parser = app_id)]
    app: AppId,
    /// The conversation to begin with, as user:bob or group:eng; from a pipe, where each line goes.
    #[arg(long, value_name = "CONVERSATION", value_parser = Conversation::parse)]
    to: Option<Conversation>,
    /// The server; without it, the one that runs on the data folder, else the one of the settings.
    #[arg(long, value_name = "HOST:PORT")]
    server: Option<String>,
    /// The token to log in with; without it, one is signed with the key in the store of the running server.
    #[arg(long, value_name = "TOKEN", env = "ROOKERY_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The name of this device; without it a new one each time. A second login of a device ends its first.
    #[arg(long, value_name = "ID", value_parser = DeviceId::parse)]
    device: Option<DeviceId>,
    /// Write one JSON object a line: the frames of docs/protocol.md; without --to, read them too.
    #[arg(long)]
    json: bool,
    /// Stay when the input has ended, until a signal comes.
    #[arg(long)]
    follow: bool,
    /// For how many seconds a pipe or script waits for a server that cannot be reached.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=3600))]
    wait_s: u64,
}

const CHAT_HELP: &str = "\
At a terminal, lines are sent to the open conversation; /help lists the commands.
From a pipe with --to, each line is a message, whatever it begins with. Without --to, lines are what a person would
type, or frames of the protocol with --json. At the end of the input it waits until everything is acknowledged.

Exit codes:
  0  everything was done        2  wrong arguments or settings, or no key to sign with
  1  something was refused      3  the login was refused, or the server ended the session
                                4  no server was reached, or no acknowledgement came

Examples:
  rookery chat --user alice
  echo 'The build is done' | rookery chat --user robot --to group:eng
  rookery chat --user bob --json --follow </dev/null | jq -r 'select(.event == \"message.new\").body.content.text'";

#[derive(Subcommand)]
enum KeyCommand {
    /// Print the number and the secret with which a backend signs tokens for app 1.
    Show {
        #[command(flatten)]
        common: Common,
    },
    /// Make a new key for app 1 and print it as `show` does. The last one stays valid for a while, an older one ends.
    Rotate {
        #[command(flatten)]
        common: Common,
        /// For how many seconds the last key stays valid.
        #[arg(long, value_name = "N", default_value_t = KEEP_OLD_DEFAULT_S,
            value_parser = clap::value_parser!(u32).range(0..=limits::TOKEN_VALIDITY_S as i64))]
        keep_old_s: u32,
    },
}

#[derive(Subcommand)]
enum ApiKeyCommand {
    /// Make a key and print it, and nothing else. It is shown this once.
    Create {
        #[command(flatten)]
        common: Common,
        /// What people call it.
        #[arg(long, value_name = "TEXT", value_parser = api_key_name)]
        name: String,
        /// What it may be used for, as users:read,messages:send; without this, everything.
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', value_parser = scope)]
        scopes: Vec<Scope>,
        /// For how many days it is valid.
        #[arg(long, value_name = "N", default_value_t = 365,
            value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::API_KEY_DAYS_MAX)))]
        expire_days: u32,
    },
    /// Print the keys that there are, without what only their holders have.
    List {
        #[command(flatten)]
        common: Common,
    },
    /// End a key.
    Revoke {
        #[command(flatten)]
        common: Common,
        /// The key's id, as `list` prints it.
        #[arg(value_name = "ID", value_parser = api_key_id)]
        id: ApiKeyId,
    },
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the settings in force and where each came from, or what is wrong with them.
    Check {
        #[command(flatten)]
        common: Common,
    },
}

#[derive(Subcommand)]
enum ClusterCommand {
    /// Print which nodes there are, who owns the shards, and how the database and Redis stand.
    #[command(after_help = STATUS_HELP)]
    Status {
        #[command(flatten)]
        common: Common,
        /// Print one JSON object, for programs.
        #[arg(long)]
        json: bool,
    },
}

const STATUS_HELP: &str = "\
It reads the database and changes nothing, so it can be run on any machine with the settings of a node, also while
nodes of another version serve. Whether Redis answers is tried from here.

A node is `there` while its lease counts, 10 s from the last renewal. When it is `gone` the others claim its shards
within some 3 s; `gone, fenced` says that they have ended its sessions, too, and that it stores nothing any more.
Sessions are those that the database has as in.

Exit codes:
  0  it was printed, whatever it says
  2  wrong arguments or settings, or the database cannot be reached

Examples:
  rookery cluster status
  rookery cluster status --json | jq -e '.shards.without_owner == 0'";

#[derive(Args)]
struct Common {
    /// The file with the settings; without it, rookery.toml in the working directory if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The folder of the private PostgreSQL and of this node's identity.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

impl Common {
    fn load(self) -> anyhow::Result<(Loaded, PathBuf)> {
        let loaded = config::load(&Sources::of_process(self.config, self.data_dir))?;
        let data_dir = loaded.settings.data_dir(child::effective_uid() == 0)?;
        Ok((loaded, data_dir))
    }
}

fn main() -> ExitCode {
    match perform(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

fn perform(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Chat(chat) => return start_chat(*chat),
        Command::Bench(options) => return Ok(bench::run(&options)?),
        Command::Serve { common, accept_message_loss } => {
            let (loaded, data_dir) = common.load()?;
            let loss = if accept_message_loss { MessageLoss::Accept } else { MessageLoss::Refuse };
            serve(loaded, data_dir, loss)
        }
        Command::Token { common, user, app, expire_s } => {
            let (loaded, data_dir) = common.load()?;
            let signing = Signing { app, user, expire_s };
            let token = commands::token(&loaded.settings, &data_dir, Arc::new(tell), &signing)?;
            print(&format!("{token}\n"))
        }
        Command::Key(KeyCommand::Show { common }) => {
            let (loaded, data_dir) = common.load()?;
            let key = commands::key(&loaded.settings, &data_dir, Arc::new(tell))?;
            print(&format!("sdkappid={}\nsecret={}\n", key.app, key.secret))
        }
        Command::Key(KeyCommand::Rotate { common, keep_old_s }) => {
            let (loaded, data_dir) = common.load()?;
            let key = keys::rotate(&loaded.settings, &data_dir, Arc::new(tell), keep_old_s)?;
            tell(&format!(
                "the last key signs for {keep_old_s} s more, or until the next rotation"
            ));
            print(&format!("sdkappid={}\nsecret={}\n", key.app, key.secret))
        }
        Command::ApiKey(command) => use_api_keys(command),
        Command::Migrate { common } => {
            let (loaded, data_dir) = common.load()?;
            let applied = commands::migrate(&loaded.settings, &data_dir, Arc::new(tell))?;
            print(&applied.iter().map(|name| format!("{name}\n")).collect::<String>())
        }
        Command::Cluster(ClusterCommand::Status { common, json }) => {
            let (loaded, data_dir) = common.load()?;
            let report = status::read(&loaded.settings, &data_dir, Arc::new(tell))?;
            print(&if json { format!("{}\n", report.to_json()) } else { report.to_text() })
        }
        Command::Config(ConfigCommand::Check { common }) => {
            let (loaded, data_dir) = common.load()?;
            print(&format!("{}# the data folder is {}\n", loaded.describe(), data_dir.display()))
        }
    }?;
    Ok(ExitCode::SUCCESS)
}

fn use_api_keys(command: ApiKeyCommand) -> anyhow::Result<()> {
    match command {
        ApiKeyCommand::Create { common, name, scopes, expire_days } => {
            let (loaded, data_dir) = common.load()?;
            let scopes = if scopes.is_empty() { Scope::ALL.to_vec() } else { scopes };
            let wanted = Wanted { name, scopes, valid_days: expire_days };
            let key = keys::create(&loaded.settings, &data_dir, Arc::new(tell), wanted)?;
            tell(&format!(
                "the key {} is shown this once; it ends in {expire_days} days",
                key.id()
            ));
            print(&format!("{}\n", key.reveal()))
        }
        ApiKeyCommand::List { common } => {
            let (loaded, data_dir) = common.load()?;
            let keys = keys::list(&loaded.settings, &data_dir, Arc::new(tell))?;
            print(&table(&keys))
        }
        ApiKeyCommand::Revoke { common, id } => {
            let (loaded, data_dir) = common.load()?;
            keys::revoke(&loaded.settings, &data_dir, Arc::new(tell), id)?;
            tell(&format!("the key {id} has ended"));
            Ok(())
        }
    }
}

/// API keys, one a line; what people wrote stands last, since it may be of any length.
fn table(keys: &[ApiKeyRecord]) -> String {
    let mut table = format!("{:<16}  {:<17}  {:<17}  SCOPES, NAME\n", "ID", "MADE", "ENDS");
    for key in keys {
        let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
        let scopes = if key.scopes == Scope::ALL { "all".to_owned() } else { scopes.join(",") };
        let (made, ends, name) =
            (minute(key.created_at), minute(key.expires_at), safe_line(&key.name));
        table.push_str(&format!("{}  {made}  {ends}  {scopes}  {name}\n", key.id));
    }
    table
}

fn start_chat(chat: Chat) -> anyhow::Result<ExitCode> {
    let (loaded, data_dir) = chat.common.load()?;
    let settings = loaded.settings;
    let address = chat.server.unwrap_or_else(|| commands::server_address(&settings, &data_dir));
    let token = match chat.token {
        Some(token) => token,
        None => {
            let signing =
                Signing { app: chat.app, user: chat.user.clone(), expire_s: TOKEN_DEFAULT_S };
            commands::token_of_running(&settings, &data_dir, Arc::new(tell), &signing)?
        }
    };
    let outcome = chat::run(Setup {
        address,
        app: chat.app,
        user: chat.user,
        device: chat.device,
        token: TokenSource::fixed(token),
        to: chat.to,
        json: chat.json,
        follow: chat.follow,
        wait: Duration::from_secs(chat.wait_s),
    })?;
    Ok(ExitCode::from(outcome.code()))
}

fn serve(loaded: Loaded, data_dir: PathBuf, loss: MessageLoss) -> anyhow::Result<()> {
    let settings = loaded.settings;
    start_logging(&settings.log)?;
    let progress: Progress = match settings.log.format {
        LogFormat::Text => Arc::new(tell),
        LogFormat::Json => Arc::new(|step| tracing::info!(step, "progress")),
    };
    let ready = Box::new(|ready: &Ready| {
        // Whoever started us may have closed the pipe; the server serves all the same.
        let _ = print(&announcement(ready));
    });
    app::run(Launch { settings, data_dir, loss, progress, ready })?;
    Ok(())
}

/// What stands in place of the demo's API key once that was shown.
const ANOTHER_KEY: &str = "its key was shown once; for another: rookery api-key create --name NAME";

/// What a person or a script reads on standard output once the server is ready.
fn announcement(ready: &Ready) -> String {
    let page = format!("http://{}/", ready.page());
    let mut text = format!(
        "rookery ready http={} tcp={} inside={}\n  page   {page}\n",
        ready.http, ready.tcp, ready.inside
    );
    match &ready.demo {
        Demo::On { users, key } => {
            text.push_str(&match key {
                Some(key) => format!("  api    {page}api/v1/  key {key}\n"),
                None => format!("  api    {page}api/v1/  {ANOTHER_KEY}\n"),
            });
            for user in users {
                // In the fragment, which browsers keep to themselves.
                text.push_str(&format!(
                    "  {:<5}  {page}#app={}&user={}&token={}\n",
                    user.name, user.app, user.name, user.token
                ));
            }
        }
        Demo::Off { why } => text.push_str(&format!("  the demo users are off: {why}\n")),
    }
    text
}

fn api_key_id(text: &str) -> Result<ApiKeyId, String> {
    ApiKeyId::parse(text).ok_or_else(|| "expected 16 hexadecimal digits".to_owned())
}

fn api_key_name(text: &str) -> Result<String, String> {
    match text.len() {
        1..=limits::API_KEY_NAME_BYTES => Ok(text.to_owned()),
        _ => Err(format!("expected 1 to {} bytes", limits::API_KEY_NAME_BYTES)),
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).ok_or_else(|| {
        let all: Vec<&str> = Scope::ALL.iter().map(|scope| scope.as_str()).collect();
        format!("expected some of {}", all.join(","))
    })
}

fn app_id(text: &str) -> Result<AppId, String> {
    text.parse()
        .ok()
        .and_then(AppId::new)
        .ok_or_else(|| "expected an app from 1 to 2147483647".to_owned())
}

/// The most that the database driver says of its queries, whatever else is asked for.
const DRIVER_QUERIES: &str = "tokio_postgres::query=info";

/// Logs go to standard error; `RUST_LOG` goes before the setting.
fn start_logging(log: &config::Log) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => {
            tracing_subscriber::EnvFilter::try_new(filter).context("RUST_LOG cannot be read")?
        }
        // What these tell of their daily work is no news for an operator.
        _ => tracing_subscriber::EnvFilter::try_new(format!(
            "actix_server=warn,tokio_postgres=warn,refinery_core=warn,{}",
            log.level
        ))
        .context("log.level")?,
    };
    // The driver would write the parameters of each statement: messages, and the secrets of apps.
    let filter = filter.add_directive(DRIVER_QUERIES.parse().context(DRIVER_QUERIES)?);
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => lines.with_ansi(false).init(),
        LogFormat::Json => lines.json().init(),
    }
    Ok(())
}

fn print(text: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("standard output")
}

/// One line to the person at the terminal.
fn tell(line: &str) {
    // Nobody may be listening any more, which is no reason to stop.
    let _ = writeln!(std::io::stderr().lock(), "rookery: {line}");
}
