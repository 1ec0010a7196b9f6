//! Starting a child process that cannot outlive us, signals to it, the limit of open files, and memory for the system.
//!
//! The only file with unsafe code. What runs between fork and exec uses system calls alone: no allocation, no lock.
#![allow(
    unsafe_code,
    reason = "fork, prctl, kill and the allocator's collection have no safe form in the standard library"
)]

use std::io;

use tokio::process::{Child, Command};

/// The user that a child runs as, when it is not our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunAs {
    /// Its name, for messages.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its group.
    pub gid: u32,
}

/// What a signal asks of PostgreSQL's first process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// End all connections, write a checkpoint, stop.
    StopFast,
    /// Stop at once; the next start replays the log.
    StopNow,
}

impl Ask {
    fn signal(self) -> libc::c_int {
        match self {
            Self::StopFast => libc::SIGINT,
            Self::StopNow => libc::SIGQUIT,
        }
    }
}

/// The user that this process acts as; 0 is root.
pub fn effective_uid() -> u32 {
    // SAFETY: geteuid takes nothing, touches no memory of ours and cannot fail.
    unsafe { libc::geteuid() }
}

/// Gives back to the system what is free of the memory that this thread took. The allocator keeps memory by threads, and
/// does so by itself only when a thread goes on taking.
pub fn give_memory_back() {
    // SAFETY: takes no pointer; the allocator's own threads keep apart.
    unsafe { libmimalloc_sys::mi_collect(true) }
}

/// Raises our own limit of open files to the highest that the system allows, and returns it.
///
/// Shells start programs with 1,024, and each session is an open file.
pub fn raise_open_files() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a value of the right type that lives through the call.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } == -1 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: as above; the value is only read.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

/// Starts `command` in a session of its own, as `run_as`, and has it stopped when the calling thread ends.
///
/// Must be called on a thread that lives as long as the child may: the kernel sends the signal when that thread ends, not
/// only when the process does.
pub fn spawn(mut command: Command, run_as: Option<&RunAs>) -> io::Result<Child> {
    if let Some(user) = run_as {
        command.uid(user.uid).gid(user.gid);
    }
    let parent = libc::pid_t::try_from(std::process::id()).map_err(io::Error::other)?;
    let prepare = move || bind_to_parent(parent);
    // SAFETY: `bind_to_parent` makes system calls only, which is allowed between fork and exec.
    unsafe { command.pre_exec(prepare) };
    command.spawn()
}

/// Runs in the child, after the change of user (which would clear the signal that is asked for here).
fn bind_to_parent(parent: libc::pid_t) -> io::Result<()> {
    // A session of its own: Ctrl-C reaches us first, and we stop the child in order.
    // SAFETY: a system call without pointers.
    if unsafe { libc::setsid() } == -1 {
        return Err(io::Error::last_os_error());
    }
    #[cfg(target_os = "linux")]
    {
        // SAFETY: a system call without pointers.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGINT) } == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    // The parent may have ended before the signal was asked for; then nobody would ever send it.
    // SAFETY: a system call without pointers.
    if unsafe { libc::getppid() } != parent {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

/// Sends a child what is asked, if it still runs.
pub fn ask(child: &Child, ask: Ask) {
    // A child that was waited for has no id any more, so the number cannot have passed to another process.
    if let Some(pid) = child.id() {
        send(pid, ask);
    }
}

/// Sends what is asked to a process that is not our child.
///
/// The caller has made sure that it is the PostgreSQL of a folder that we hold the lock of.
pub fn ask_orphan(pid: u32, ask: Ask) {
    send(pid, ask);
}

fn send(pid: u32, ask: Ask) {
    let Ok(pid) = libc::pid_t::try_from(pid) else { return };
    // Zero and below mean groups of processes.
    if pid > 0 {
        // A process that is gone needs no signal, so a failure is what was wanted.
        // SAFETY: a system call without pointers.
        unsafe { libc::kill(pid, ask.signal()) };
    }
}
