//! Who used the processors while something was measured: our parts, one by one, and the rest of the machine.
//!
//! Where the system keeps its books in files it reads those, since only they tell what a process that has ended used;
//! elsewhere it asks through a library. It measures nothing on other machines: a server there counts as nobody.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use sysinfo::{
    CpuRefreshKind, MemoryRefreshKind, Pid, ProcessRefreshKind, ProcessesToUpdate, RefreshKind,
    System,
};

use super::figure::{Busy, Disturbance, Machine};

/// In what Linux counts time for programs, whatever its kernel's own clock: hundredths of a second.
const TICK_MS: u64 = 10;

/// The parent of the kernel's threads.
const KERNEL_THREADS: u32 = 2;

/// So many of the others are named, as far as they kept so much of a core busy.
const NAMED: usize = 3;
const NAMED_FROM_CORES: f64 = 0.02;

/// What processors did between [`Meter::start`] and [`Meter::stop`].
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    /// What the server used, all its threads together.
    pub server_cpu: Duration,
    /// What its database used: the processes under the server, and those under them.
    pub postgres_cpu: Duration,
    /// What this process used, which is the load.
    pub own_cpu: Duration,
    /// How long it was measured.
    pub wall: Duration,
    /// How many cores all others kept busy, on average. The kernel's own threads are not among them: they write what
    /// anyone has written, ours as well. What the host of a virtual machine kept from it is.
    pub others_cores: f64,
    /// Who they were, the busiest first; not all of them.
    pub others: Vec<Busy>,
}

impl Usage {
    /// What this says of a run.
    pub fn disturbance(&self) -> Disturbance {
        Disturbance::of(self.others_cores, self.others.clone())
    }
}

/// A measurement that is going on.
#[derive(Debug)]
pub struct Meter {
    books: Books,
    servers: Vec<u32>,
    begun: Instant,
    before: Sample,
}

impl Meter {
    /// Begins to measure. `servers` are the processes whose work is ours beside that of this process: servers, and a
    /// database that none of them has started.
    pub fn start(servers: &[u32]) -> Self {
        Self::with(Books::of_this_system(), servers)
    }

    fn with(mut books: Books, servers: &[u32]) -> Self {
        let servers = servers.to_vec();
        let before = books.sample(&servers);
        Self { books, servers, begun: Instant::now(), before }
    }

    /// Ends it and says what was used.
    pub fn stop(mut self) -> Usage {
        let wall = self.begun.elapsed();
        let after = self.books.sample(&self.servers);
        let used = after.since(&self.before);
        let ours = used.server + used.postgres + used.own + used.kernel;
        let others = used.busy.saturating_sub(ours);
        let cores = |time: Duration| time.as_secs_f64() / wall.as_secs_f64().max(f64::EPSILON);
        Usage {
            server_cpu: used.server,
            postgres_cpu: used.postgres,
            own_cpu: used.own,
            wall,
            others_cores: cores(others),
            others: used
                .busiest(others)
                .into_iter()
                .map(|(who, time)| Busy { who, cores: cores(time) })
                .filter(|busy| busy.cores >= NAMED_FROM_CORES)
                .take(NAMED)
                .collect(),
        }
    }
}

/// Resident memory of a process, in bytes; `None` when there is no such process.
pub fn resident_bytes(pid: u32) -> Option<u64> {
    // Exact, where the figures of `stat` lag behind by some pages for each processor.
    if let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
        return rollup.lines().find_map(|line| {
            let kilobytes = line.strip_prefix("Rss:")?.trim().strip_suffix("kB")?;
            Some(kilobytes.trim().parse::<u64>().ok()? * 1024)
        });
    }
    let pid = Pid::from_u32(pid);
    let mut system = System::new();
    let wanted = ProcessRefreshKind::nothing().with_memory();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, wanted);
    system.process(pid).map(|process| process.memory())
}

/// The machine that this process runs on.
pub fn machine() -> Machine {
    let wanted = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(wanted);
    let os = System::long_os_version().unwrap_or_default();
    Machine {
        cores: system.cpus().len(),
        memory_bytes: system.total_memory(),
        cpu: system.cpus().first().map(|cpu| cpu.brand().trim().to_owned()).unwrap_or_default(),
        os: format!("{os}, {}", System::kernel_long_version()),
    }
}

/// What was used up to a moment. Only the difference of two means anything.
#[derive(Debug, Clone, Default, PartialEq)]
struct Sample {
    server: Duration,
    postgres: Duration,
    own: Duration,
    kernel: Duration,
    busy: Duration,
    /// The part of `busy` in which the host of a virtual machine worked for others.
    stolen: Duration,
    /// All other processes: their names, and what they and their ended children used.
    others: HashMap<u32, (String, Duration)>,
}

impl Sample {
    fn since(&self, before: &Self) -> Self {
        let others = self.others.iter().map(|(pid, (name, used))| {
            let earlier = before.others.get(pid).map_or(Duration::ZERO, |(_, used)| *used);
            (*pid, (name.clone(), used.saturating_sub(earlier)))
        });
        Self {
            stolen: self.stolen.saturating_sub(before.stolen),
            others: others.collect(),
            server: self.server.saturating_sub(before.server),
            postgres: self.postgres.saturating_sub(before.postgres),
            own: self.own.saturating_sub(before.own),
            kernel: self.kernel.saturating_sub(before.kernel),
            busy: self.busy.saturating_sub(before.busy),
        }
    }

    /// Who the others were who used `all` together, the busiest first.
    fn busiest(&self, all: Duration) -> Vec<(String, Duration)> {
        let mut by_name: BTreeMap<&str, Duration> = BTreeMap::new();
        for (name, used) in self.others.values() {
            *by_name.entry(name).or_default() += *used;
        }
        let named = by_name.values().sum::<Duration>() + self.stolen;
        let mut busiest: Vec<(String, Duration)> =
            by_name.into_iter().map(|(name, used)| (name.to_owned(), used)).collect();
        busiest.push(("the host of this machine".to_owned(), self.stolen));
        busiest.push(("what ended meanwhile".to_owned(), all.saturating_sub(named)));
        busiest.sort_by_key(|(_, used)| std::cmp::Reverse(*used));
        busiest
    }

    /// Adds up what processes used by whose they are.
    fn of(
        processes: &HashMap<u32, Process>,
        servers: &[u32],
        (busy, stolen): (Duration, Duration),
    ) -> Self {
        let own = std::process::id();
        let mut sample = Self { busy, stolen, ..Self::default() };
        for (&pid, process) in processes {
            if pid == own {
                sample.own += process.used;
            } else if servers.contains(&pid) && !process.is_postgres() {
                sample.server += process.used;
                // What ran under it and is no more.
                sample.postgres += process.used_by_ended;
            } else if is_under(pid, servers, processes) {
                sample.postgres += process.used + process.used_by_ended;
            } else if pid == KERNEL_THREADS || process.parent == Some(KERNEL_THREADS) {
                sample.kernel += process.used;
            } else {
                let used = process.used + process.used_by_ended;
                sample.others.insert(pid, (process.name.clone(), used));
            }
        }
        sample
    }
}

/// Whether a process is one of `roots` or was started by one, directly or not.
fn is_under(pid: u32, roots: &[u32], processes: &HashMap<u32, Process>) -> bool {
    let mut next = Some(pid);
    // A process that ends while the others are read can leave a circle behind; no real line is so long.
    for _ in 0..64 {
        match next {
            Some(pid) if roots.contains(&pid) => return true,
            Some(pid) => next = processes.get(&pid).and_then(|process| process.parent),
            None => return false,
        }
    }
    false
}

#[derive(Debug, Clone, Default, PartialEq)]
struct Process {
    parent: Option<u32>,
    name: String,
    used: Duration,
    /// What its children used that have ended.
    used_by_ended: Duration,
}

impl Process {
    fn is_postgres(&self) -> bool {
        self.name.starts_with("postgres")
    }
}

/// Where it is written who used what.
#[derive(Debug)]
enum Books {
    /// The files that Linux keeps.
    Files,
    /// What the library tells, with what was added up so far: it gives shares of the last stretch.
    Library { system: Box<System>, since: Instant, busy: Duration },
}

impl Books {
    fn of_this_system() -> Self {
        if busy_by_files(Path::new("/proc/stat")).is_some() {
            Self::Files
        } else {
            Self::of_library()
        }
    }

    fn of_library() -> Self {
        Self::Library {
            system: Box::new(System::new()),
            since: Instant::now(),
            busy: Duration::ZERO,
        }
    }

    fn sample(&mut self, servers: &[u32]) -> Sample {
        match self {
            Self::Files => {
                let busy = busy_by_files(Path::new("/proc/stat")).unwrap_or_default();
                Sample::of(&processes_by_files(), servers, busy)
            }
            Self::Library { system, since, busy } => {
                system.refresh_cpu_usage();
                let cores =
                    system.cpus().len() as f64 * f64::from(system.global_cpu_usage()) / 100.0;
                *busy += since.elapsed().mul_f64(cores.max(0.0));
                *since = Instant::now();
                let wanted = ProcessRefreshKind::nothing().with_cpu();
                system.refresh_processes_specifics(ProcessesToUpdate::All, true, wanted);
                Sample::of(&processes_by_library(system), servers, (*busy, Duration::ZERO))
            }
        }
    }
}

/// How long processors were busy since the machine started, by the first line of `stat`, and for how long of that the host
/// of a virtual machine kept them from it.
fn busy_by_files(stat: &Path) -> Option<(Duration, Duration)> {
    let text = fs::read_to_string(stat).ok()?;
    let ticks: Vec<u64> = text
        .lines()
        .next()?
        .strip_prefix("cpu ")?
        .split_whitespace()
        .map(|ticks| ticks.parse().ok())
        .collect::<Option<_>>()?;
    // User, nice, system, idle, waiting for disks, interrupts, soft interrupts, stolen by the host.
    let sum = |fields: &[usize]| {
        let ticks = fields.iter().filter_map(|&at| ticks.get(at)).sum::<u64>();
        Duration::from_millis(ticks * TICK_MS)
    };
    Some((sum(&[0, 1, 2, 5, 6, 7]), sum(&[7])))
}

fn processes_by_files() -> HashMap<u32, Process> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            Some((pid, process_of(&stat)?))
        })
        .collect()
}

/// Reads a line of `/proc/PID/stat`.
fn process_of(stat: &str) -> Option<Process> {
    // The name stands in brackets and may hold anything, brackets and blanks as well.
    let (head, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks = |at: usize| {
        let ticks: u64 = fields.get(at)?.parse().ok()?;
        Some(Duration::from_millis(ticks * TICK_MS))
    };
    Some(Process {
        parent: fields.get(1)?.parse().ok().filter(|parent| *parent != 0),
        name: head.split_once('(')?.1.to_owned(),
        used: ticks(11)? + ticks(12)?,
        used_by_ended: ticks(13)? + ticks(14)?,
    })
}

fn processes_by_library(system: &System) -> HashMap<u32, Process> {
    let processes = system.processes().iter().filter(|(_, process)| {
        // A thread's time is in that of its process.
        process.thread_kind().is_none()
    });
    processes
        .map(|(pid, process)| {
            let process = Process {
                parent: process.parent().map(Pid::as_u32),
                name: process.name().to_string_lossy().into_owned(),
                used: Duration::from_millis(process.accumulated_cpu_time()),
                used_by_ended: Duration::ZERO,
            };
            (pid.as_u32(), process)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// A process under another that keeps a core busy, and ends with its input.
    fn busy_child() -> Child {
        let script = "(while :; do :; done) & read -r _; kill $!; wait";
        Command::new("sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap()
    }

    fn measured(books: Books, of: impl Fn(&Child) -> Vec<u32>) -> Usage {
        let mut child = busy_child();
        let meter = Meter::with(books, &of(&child));
        let (_stay, wait) = std::sync::mpsc::sync_channel::<()>(1);
        wait.recv_timeout(Duration::from_millis(600)).unwrap_err();
        let usage = meter.stop();
        drop(child.stdin.take());
        child.wait().unwrap();
        usage
    }

    #[test]
    fn what_runs_under_a_server_is_ours() {
        for books in [Books::of_this_system(), Books::of_library()] {
            let usage = measured(books, |child| vec![child.id()]);

            assert!(usage.postgres_cpu > Duration::from_millis(50), "{usage:?}");
            assert!(usage.wall >= Duration::from_millis(600), "{usage:?}");
        }
    }

    #[test]
    fn what_runs_elsewhere_is_of_others() {
        for books in [Books::of_this_system(), Books::of_library()] {
            let usage = measured(books, |_| Vec::new());

            assert_eq!((usage.server_cpu, usage.postgres_cpu), (Duration::ZERO, Duration::ZERO));
            assert!(usage.others_cores > 0.1 && usage.disturbance().disturbed, "{usage:?}");
            // Named, unless as many as are named were busier.
            let is_named = usage.others.iter().any(|busy| busy.who == "sh");
            assert!(is_named || usage.others.len() == NAMED, "{usage:?}");
        }
    }

    #[test]
    fn the_name_of_a_process_may_hold_anything() {
        let stat = "7 (postgres) x (y) S 5 7 7 0 -1 0 1 2 3 4 30 12 100 7 20 0 1 0 5 6 7";

        let process = process_of(stat).unwrap();

        assert_eq!(process.parent, Some(5));
        assert!(process.is_postgres());
        assert_eq!(process.name, "postgres) x (y");
        assert_eq!(process.used, Duration::from_millis(420));
        assert_eq!(process.used_by_ended, Duration::from_millis(1_070));
    }

    #[test]
    fn this_process_is_resident_and_a_missing_one_is_not() {
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
        assert_eq!(resident_bytes(u32::MAX), None);
        assert!(machine().cores > 0 && machine().memory_bytes > 0);
    }
}
