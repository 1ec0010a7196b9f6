//! The lock file that a server keeps in its data, and who has the process id in it now.

use std::path::{Path, PathBuf};

/// What stands in it.
pub(super) struct LockFile {
    pub(super) pid: u32,
    pub(super) socket_folder: PathBuf,
    /// Whether it takes connections.
    pub(super) ready: bool,
}

impl LockFile {
    pub(super) fn read(data: &Path) -> Option<Self> {
        let text = std::fs::read_to_string(data.join("postmaster.pid")).ok()?;
        // Process, data, start time, port, socket folder, address, memory, status; later ones follow while it starts.
        let lines: Vec<&str> = text.lines().collect();
        Some(Self {
            pid: lines.first()?.trim().parse().ok()?,
            socket_folder: PathBuf::from(lines.get(4).copied().unwrap_or_default()),
            ready: lines.get(7).is_some_and(|status| status.trim() == "ready"),
        })
    }
}

/// What runs under a process id.
pub(super) enum Occupant {
    None,
    Postgres,
    Other,
}

#[cfg(target_os = "linux")]
pub(super) fn occupant(pid: u32, data: &Path) -> Occupant {
    let process = PathBuf::from(format!("/proc/{pid}"));
    let Ok(stat) = std::fs::read_to_string(process.join("stat")) else { return Occupant::None };
    // `123 (postgres) S …`: the name may hold brackets itself, so it ends at the last one.
    let (name, state) = match (stat.find('('), stat.rfind(')')) {
        (Some(open), Some(close)) if open < close => {
            (&stat[open + 1..close], stat[close + 1..].trim_start().chars().next())
        }
        _ => return Occupant::Other,
    };
    let is_corpse = matches!(state, Some('Z' | 'X'));
    // A server stands in its data. Where that cannot be read the name has to do.
    let elsewhere = std::fs::read_link(process.join("cwd"))
        .is_ok_and(|folder| folder != data.canonicalize().unwrap_or_else(|_| data.to_owned()));
    if name == "postgres" && !is_corpse && !elsewhere {
        Occupant::Postgres
    } else {
        Occupant::Other
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn occupant(pid: u32, data: &Path) -> Occupant {
    let output = std::process::Command::new("ps")
        .args(["-ww", "-o", "state=,command=", "-p", &pid.to_string()])
        .output();
    let Ok(output) = output else { return Occupant::Other };
    let line = String::from_utf8_lossy(&output.stdout);
    let line = line.trim();
    if line.is_empty() {
        return Occupant::None;
    }
    // We start it with the data's path on its command line.
    let is_ours = line.contains("postgres") && line.contains(&*data.to_string_lossy());
    if is_ours && !line.starts_with('Z') { Occupant::Postgres } else { Occupant::Other }
}
