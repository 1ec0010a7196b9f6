//! Of sessions that may not be together one stands, and what comes back by itself pushes nothing out.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use rookery::domain::login_policy::Mode;
use rookery::ids::Platform;

use super::super::history::{Answer, Command, Log};
use super::index::{Ack, Asked, Index, Login, Session};
use super::{Rule, Violation};

/// Longer than a loser can take to hear that it has lost: a node that cannot be told is fenced when its lease is over.
const GONE_WITHIN: Duration = Duration::from_secs(30);

/// All that is promised of logins.
pub fn one_winner(index: &Index<'_>, found: &mut Vec<Violation>) {
    let mut users: BTreeMap<(&str, &str), Vec<(&Session<'_>, &Login<'_>)>> = BTreeMap::new();
    for session in index.sessions.values() {
        if let Some(login) = &session.login {
            users.entry((session.user, login.epoch)).or_default().push((session, login));
        }
    }
    let facts = Facts::of(index);
    for sessions in users.values_mut() {
        sessions.sort_by_key(|(_, login)| login.no);
        numbers(sessions, found);
        for (place, loser) in sessions.iter().enumerate() {
            let winner = sessions[place + 1..]
                .iter()
                .filter(|winner| winner.1.no > loser.1.no && parts(index.mode, winner.0, loser.0))
                .min_by_key(|winner| winner.1.replied);
            if let Some(winner) = winner {
                facts.is_over(winner, loser, found);
            }
            came_back(index.mode, loser, &sessions[..place], found);
        }
    }
}

/// Whether two sessions may not be online together.
fn parts(mode: &str, one: &Session<'_>, other: &Session<'_>) -> bool {
    let class = |platform| match platform {
        Platform::Ios | Platform::Android => 1,
        Platform::Windows | Platform::Macos | Platform::Linux => 2,
        Platform::Web | Platform::Api => 0,
    };
    if one.device == other.device && one.platform == other.platform {
        return true;
    }
    let (one, other) = (class(one.platform), class(other.platform));
    match Mode::from_store(mode) {
        Some(Mode::Single) => true,
        Some(Mode::NativeAndWeb) => one > 0 && other > 0,
        Some(Mode::PerClass) => one > 0 && one == other,
        Some(Mode::All) | None => false,
    }
}

/// Each login has a number of its own, and a later one a higher one.
fn numbers(sessions: &[(&Session<'_>, &Login<'_>)], found: &mut Vec<Violation>) {
    for (place, (session, login)) in sessions.iter().enumerate() {
        let Some((_, next)) = sessions.get(place + 1) else { continue };
        let user = session.user;
        if login.no == next.no {
            let says = format!("two logins of {user} have the number {}", login.no);
            let witness = [login.replied, next.replied];
            found.push(Violation::new(Rule::OneWinner, says, &witness));
        } else if next.replied < login.sent {
            let says = format!("a later login of {user} has a lower number");
            let witness = [next.replied, login.sent, login.replied];
            found.push(Violation::new(Rule::OneWinner, says, &witness));
        }
    }
}

/// Nobody comes back by itself after a person's login that it may not be together with.
fn came_back(
    mode: &str,
    (session, login): &(&Session<'_>, &Login<'_>),
    others: &[(&Session<'_>, &Login<'_>)],
    found: &mut Vec<Violation>,
) {
    let Some(resume) = login.resume else { return };
    let decided = others.iter().find(|(other, winner)| {
        winner.no > resume
            && winner.resume.is_none()
            && winner.replied < login.sent
            && parts(mode, other, session)
    });
    if let Some((other, winner)) = decided {
        let (user, device) = (session.user, session.device);
        let says =
            format!("{user}/{device} came back by itself though {} took its place", other.device);
        let witness = [winner.replied, login.sent, login.replied];
        found.push(Violation::new(Rule::OneWinner, says, &witness));
    }
}

struct Facts<'i, 'h> {
    index: &'i Index<'h>,
    acks: HashMap<u32, Vec<&'i Ack<'h>>>,
    asked: HashMap<u32, Vec<&'i Asked<'h>>>,
    /// For each log, from each seq down, which entry was sent last: its seq, and where it was sent for the first time.
    sent_last: HashMap<&'h Log, BTreeMap<u64, (u64, usize)>>,
}

impl<'i, 'h> Facts<'i, 'h> {
    fn of(index: &'i Index<'h>) -> Self {
        let mut acks: HashMap<u32, Vec<&Ack<'_>>> = HashMap::new();
        for ack in &index.acks {
            acks.entry(ack.conn).or_default().push(ack);
        }
        let mut asked: HashMap<u32, Vec<&Asked<'_>>> = HashMap::new();
        for own in &index.asked {
            asked.entry(own.conn).or_default().push(own);
        }
        let mut sent_last: HashMap<&Log, BTreeMap<u64, (u64, usize)>> = HashMap::new();
        for (log, stored) in &index.stored {
            let (mut last, below) = ((0, 0), sent_last.entry(log).or_default());
            for (seq, (_, entry)) in &stored.entries {
                below.insert(*seq, last);
                let copies = index.copies.get(&(*log, entry.from.as_str(), entry.key.as_str()));
                let sent = copies.and_then(|copies| copies.iter().map(|copy| copy.sent).min());
                if let Some(sent) = sent.filter(|sent| *sent > last.1) {
                    last = (*seq, sent);
                }
            }
        }
        Self { index, acks, asked, sent_last }
    }

    /// From the reply to the winner's login on nothing that the loser sends is acked, and it is soon gone.
    fn is_over(
        &self,
        winner: &(&Session<'_>, &Login<'_>),
        (loser, own): &(&Session<'_>, &Login<'_>),
        found: &mut Vec<Violation>,
    ) {
        let won = winner.1.replied;
        let (user, device, by) = (loser.user, loser.device, winner.0.device);
        for ack in self.acks.get(&loser.conn).into_iter().flatten() {
            if ack.sent > won {
                let says = format!("{user}/{device} was acked though {by} had logged in");
                let witness = [won, ack.sent, ack.at];
                found.push(Violation::new(Rule::OneWinner, says, &witness));
                return;
            }
            let sent_last = self.sent_last.get(ack.log).and_then(|below| below.get(&ack.seq));
            if let Some((seq, sent)) = sent_last.filter(|(_, sent)| *sent > won)
                && ack.at > won
                && !ack.duplicate
                && ack.epoch == self.index.epoch
            {
                let says = format!(
                    "{user}/{device} was acked behind {seq}, which was sent when {by} had logged in"
                );
                let witness = [won, *sent, ack.at];
                found.push(Violation::new(Rule::OneWinner, says, &witness));
                return;
            }
        }
        let gone_at = self.index.time_us(won.max(own.replied)) + GONE_WITHIN.as_micros() as u64;
        let served = self.asked.get(&loser.conn).into_iter().flatten().find_map(|asked| {
            let (at, answer) = asked.answer?;
            let is_served = !matches!(answer, Answer::Refused { .. })
                && !matches!(asked.command, Command::Logout)
                && self.index.time_us(asked.sent) > gone_at;
            is_served.then_some(at)
        });
        let stands = served.or(loser.parted.is_none().then_some(own.replied));
        if let Some(at) = stands.filter(|_| served.is_some() || winner.0.parted.is_none()) {
            let says = format!("{user}/{device} still stands though {by} has logged in");
            found.push(Violation::new(Rule::OneWinner, says, &[own.replied, won, at]));
        }
    }
}
