//! Whom one session watches, and for how long: at most so many, of whom those watched for longest make room.

use std::collections::VecDeque;
use std::time::Instant;

use crate::ids::UserId;
use crate::limits;

/// The users that one session watches; the ones watched for longest first.
#[derive(Debug, Default)]
pub struct Watching {
    users: VecDeque<(UserId, Instant)>,
}

/// Who is watched from now on, and who is no longer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Those who were not watched before.
    pub added: Vec<UserId>,
    /// Those who had to make room.
    pub dropped: Vec<UserId>,
}

impl Watching {
    /// Watches users until then. One who is watched already is from now on as if watched for the first time.
    pub fn watch(&mut self, users: &[UserId], until: Instant) -> Moved {
        let mut moved = Moved::default();
        for user in users {
            match self.users.iter().position(|(own, _)| own == user) {
                Some(place) => drop(self.users.remove(place)),
                None => moved.added.push(user.clone()),
            }
            self.users.push_back((user.clone(), until));
        }
        while self.users.len() > limits::WATCHED
            && let Some((user, _)) = self.users.pop_front()
        {
            moved.dropped.push(user);
        }
        moved
    }

    /// Ceases to watch these, or all; those who were watched.
    pub fn unwatch(&mut self, users: Option<&[UserId]>) -> Vec<UserId> {
        self.let_go(|user, _| users.is_none_or(|users| users.contains(user)))
    }

    /// Ceases to watch those whose time is over.
    pub fn expire(&mut self, now: Instant) -> Vec<UserId> {
        self.let_go(|_, until| until <= now)
    }

    /// When the next one's time is over; none when nobody is watched.
    pub fn next_end(&self) -> Option<Instant> {
        self.users.iter().map(|(_, until)| *until).min()
    }

    fn let_go(&mut self, goes: impl Fn(&UserId, Instant) -> bool) -> Vec<UserId> {
        let (gone, kept): (VecDeque<_>, _) = std::mem::take(&mut self.users)
            .into_iter()
            .partition(|(user, until)| goes(user, *until));
        self.users = kept;
        gone.into_iter().map(|(user, _)| user).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn names(range: std::ops::Range<usize>) -> Vec<UserId> {
        range.map(|n| UserId::parse(&format!("u{n}")).unwrap()).collect()
    }

    #[test]
    fn those_watched_for_longest_make_room_and_one_named_again_is_the_newest() {
        let (mut watching, until) = (Watching::default(), Instant::now());
        let all = names(0..limits::WATCHED);
        assert_eq!(watching.watch(&all, until), Moved { added: all.clone(), dropped: Vec::new() });

        assert_eq!(watching.watch(&names(0..1), until), Moved::default());
        let more = watching.watch(&names(500..502), until);

        assert_eq!(more, Moved { added: names(500..502), dropped: names(1..3) });
    }

    #[test]
    fn a_watch_ends_with_its_time_and_not_before() {
        let (mut watching, now) = (Watching::default(), Instant::now());
        let later = now + Duration::from_secs(1);
        watching.watch(&names(0..2), now);
        watching.watch(&names(1..3), later);

        assert_eq!(watching.next_end(), Some(now));
        assert_eq!(watching.expire(now), names(0..1));
        assert_eq!(watching.next_end(), Some(later));
        assert_eq!(watching.unwatch(Some(&names(0..2))), names(1..2));
        assert_eq!(watching.unwatch(None), names(2..3));
        assert_eq!(watching.next_end(), None);
    }
}
