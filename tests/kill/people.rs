//! The people of the crowd beside what they send: phones that push each other out and are ended, and presence that moves.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rookery::client::{Client, Ended, Options, Update, Updates};
use rookery::ids::{Conversation, DeviceId, UserId};
use rookery::protocol::{
    Content, Device, KickReason, Platform, PresenceSet, PresenceState, Status, StatusText,
};

use super::common::GIVE_UP_AFTER;
use super::groups::{self, Acked, is_done};
use super::{Ledger, Load, USERS, name, whole_history, with};

/// Users who have phones beside what they began with.
const WITH_PHONES: usize = 5;
/// Messages that a phone has on its way when the next one takes its place.
const LAST_WORDS: usize = 4;
/// Longer than the server takes to find a session that nobody holds: a login of which it got no answer.
const FOUND_WITHIN: Duration = Duration::from_secs(150);
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What came of a user's phones.
#[derive(Default)]
pub struct Phones {
    acked: Acked,
    logins: usize,
    kicks: usize,
}

/// Who has phones.
pub fn owners() -> impl Iterator<Item = usize> {
    (0..WITH_PHONES).map(|nth| nth * (USERS / WITH_PHONES))
}

/// With whom the phones of a user talk; the pair is theirs alone.
fn peer(me: usize) -> Conversation {
    with(me)
}

/// A user logs in from one phone after the other, and now and then ends one by a command, until told to stop.
pub async fn change_phones(main: Client, options: Options, me: usize, load: Arc<Load>) -> Phones {
    let mut phones = Phones::default();
    while !load.stop.load(Ordering::SeqCst) {
        let (first, mut told) = phones.log_in(&options).await;
        let mut last_words = Vec::new();
        for nth in 0..LAST_WORDS {
            let content = Content::Text { text: nth.to_string() };
            last_words.push(first.post(&peer(me), content).await.unwrap());
        }
        if phones.logins.is_multiple_of(3) {
            let device = phones.device();
            while !is_done(main.kick(&device).await).await {}
            phones.kicks += 1;
            assert_decided(&end_of(&mut told).await);
        } else {
            let (second, mut of_second) = phones.log_in(&options).await;
            tokio::select! {
                // It stays away, whether it heard of that at once or only when it came back.
                ended = end_of(&mut told) => {
                    assert_decided(&ended);
                    is_over(&mut of_second, second.log_out()).await;
                }
                // Both were away, and the first was back before the second: then that one gives way.
                ended = end_of(&mut of_second) => {
                    assert!(matches!(ended, Ended::Overtaken(_)), "{ended:?}");
                    is_over(&mut told, first.clone().log_out()).await;
                }
            }
        }
        for said in last_words {
            let key = said.client_msg_id;
            // What was not acked may be stored or not.
            if let Ok(sent) = said.acked().await {
                phones.acked.push((key, sent.seq));
            }
        }
    }
    phones
}

impl Phones {
    /// The phone of the last login.
    fn device(&self) -> DeviceId {
        DeviceId::parse(&format!("phone-{}", self.logins % 3)).unwrap()
    }

    async fn log_in(&mut self, options: &Options) -> (Client, Updates) {
        self.logins += 1;
        let device = Device { id: self.device(), platform: Platform::Ios, name: None };
        let login = Client::connect(Options { device, ..options.clone() });
        tokio::time::timeout(GIVE_UP_AFTER, login).await.expect("a login").expect("it comes in")
    }
}

/// By another login or by a command, not by anything else.
fn assert_decided(ended: &Ended) {
    let is_kicked = matches!(
        ended,
        Ended::Kicked { reason: KickReason::Policy | KickReason::Kicked, .. } | Ended::Overtaken(_)
    );
    assert!(is_kicked, "a phone ended otherwise: {ended:?}");
}

async fn end_of(updates: &mut Updates) -> Ended {
    let end = async {
        loop {
            match updates.next().await.expect("the end is told") {
                Update::Ended(ended) => return ended,
                _ => continue,
            }
        }
    };
    tokio::time::timeout(GIVE_UP_AFTER, end).await.expect("a phone is ended")
}

async fn is_over(updates: &mut Updates, log_out: impl Future<Output = Ended>) {
    let (ended, _) = tokio::join!(log_out, end_of(updates));
    assert_eq!(ended, Ended::LoggedOut);
}

/// A user says again and again how they are, until told to stop; what they said last.
pub async fn change_status(client: Client, load: Arc<Load>) -> StatusText {
    for nth in 0u64.. {
        let text = StatusText::parse(&nth.to_string()).unwrap();
        let status = Some(Status::Busy);
        let set = PresenceSet { status, text: Some(text.clone()), ..PresenceSet::default() };
        while !is_done(client.set_presence(&set).await).await {}
        if load.stop.load(Ordering::SeqCst) {
            return text;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    unreachable!("there are numbers enough")
}

/// All that was acked to phones is stored, no session is left behind, and all agree how everybody is.
pub async fn account(
    clients: &[Client],
    phones: Vec<(usize, Phones)>,
    said: &[StatusText],
    ledger: &mut Ledger,
) {
    let (mut logins, mut kicks) = (0, 0);
    for (me, phones) in phones {
        groups::hold_against(&whole_history(&clients[me], &peer(me)).await, &phones.acked, ledger);
        logins += phones.logins;
        kicks += phones.kicks;
    }
    let all: Vec<UserId> = (0..USERS).map(|user| UserId::parse(&name(user)).unwrap()).collect();
    let began = tokio::time::Instant::now();
    loop {
        let mut left = Vec::new();
        for me in owners() {
            let devices = clients[me].devices(None).await.unwrap().devices;
            left.extend(devices.into_iter().filter(|row| row.online && !row.current));
        }
        let mut wrong = Vec::new();
        for reader in [0, USERS / 2] {
            let presences = clients[reader].presences(all.clone()).await.unwrap();
            wrong.extend(presences.into_iter().zip(said).filter(|(presence, said)| {
                presence.state != PresenceState::Online
                    || presence.platforms.len() != 1
                    || presence.text.as_ref() != Some(*said)
            }));
        }
        if left.is_empty() && wrong.is_empty() {
            break;
        }
        assert!(began.elapsed() < FOUND_WITHIN, "left {left:?}, wrong {wrong:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    println!(
        "{logins} logins of phones and {kicks} kicks; in the end {} statuses and all sessions stand after {:?}",
        said.len(),
        began.elapsed()
    );
}
