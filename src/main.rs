//! The command line of Rookery.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use rookery::app::{self, Launch, Ready};
use rookery::config::{self, Loaded, LogFormat, Sources};
use rookery::store::child;
use rookery::store::connect::MessageLoss;
use rookery::store::embedded::Progress;

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
    /// Bring the tables of the database up to what this program knows; `serve` does so too.
    Migrate {
        #[command(flatten)]
        common: Common,
    },
    /// Look at the settings.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the settings in force and where each came from, or what is wrong with them.
    Check {
        #[command(flatten)]
        common: Common,
    },
}

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
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&format!("{error:#}"));
            ExitCode::from(2)
        }
    }
}

fn perform(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Serve { common, accept_message_loss } => {
            let (loaded, data_dir) = common.load()?;
            let loss = if accept_message_loss { MessageLoss::Accept } else { MessageLoss::Refuse };
            serve(loaded, data_dir, loss)
        }
        Command::Migrate { common } => {
            let (loaded, data_dir) = common.load()?;
            let applied = app::migrate(&loaded.settings, &data_dir, Arc::new(tell))?;
            print(&applied.iter().map(|name| format!("{name}\n")).collect::<String>())
        }
        Command::Config(ConfigCommand::Check { common }) => {
            let (loaded, data_dir) = common.load()?;
            print(&format!("{}# the data folder is {}\n", loaded.describe(), data_dir.display()))
        }
    }
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

/// What a person or a script reads on standard output once the server is ready.
fn announcement(ready: &Ready) -> String {
    format!(
        "rookery ready http={} inside={}\n  page   http://{}/\n",
        ready.http,
        ready.inside,
        ready.page()
    )
}

/// Logs go to standard error; `RUST_LOG` goes before the setting.
fn start_logging(log: &config::Log) -> anyhow::Result<()> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => {
            tracing_subscriber::EnvFilter::try_new(filter).context("RUST_LOG cannot be read")?
        }
        // The HTTP server's threads come and go without news for an operator.
        _ => tracing_subscriber::EnvFilter::try_new(format!("actix_server=warn,{}", log.level))
            .context("log.level")?,
    };
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
