//! The lists of friends that are in memory: at most so many entries, of which those used least give way.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use crate::ids::UserNo;

/// Lists of friends, each by rising number.
pub(super) struct FriendLists {
    lists: HashMap<UserNo, List>,
    /// In which order they are looked at when room is needed.
    turns: VecDeque<UserNo>,
    entries: usize,
    most: usize,
}

struct List {
    friends: Rc<[UserNo]>,
    /// Whether it was used since it was last looked at.
    used: bool,
}

impl List {
    /// One for itself, so that empty lists are counted too.
    fn entries(&self) -> usize {
        self.friends.len() + 1
    }
}

impl FriendLists {
    /// Keeps so many entries.
    pub(super) fn new(most: usize) -> Self {
        Self { lists: HashMap::new(), turns: VecDeque::new(), entries: 0, most }
    }

    /// A user's, if it is here.
    pub(super) fn get(&mut self, user: UserNo) -> Option<Rc<[UserNo]>> {
        let list = self.lists.get_mut(&user)?;
        list.used = true;
        Some(list.friends.clone())
    }

    /// Keeps a user's, which finds room if it is no longer than all that may be kept.
    pub(super) fn put(&mut self, user: UserNo, friends: Rc<[UserNo]>) {
        self.forget(user);
        let list = List { friends, used: false };
        while self.entries + list.entries() > self.most
            && let Some(user) = self.turns.pop_front()
        {
            match self.lists.get_mut(&user) {
                Some(list) if list.used => {
                    list.used = false;
                    self.turns.push_back(user);
                }
                _ => self.drop_list(user),
            }
        }
        self.entries += list.entries();
        self.lists.insert(user, list);
        self.turns.push_back(user);
    }

    /// A user's is not what it was.
    pub(super) fn forget(&mut self, user: UserNo) {
        if self.lists.contains_key(&user) {
            self.drop_list(user);
            self.turns.retain(|turn| *turn != user);
        }
    }

    fn drop_list(&mut self, user: UserNo) {
        if let Some(list) = self.lists.remove(&user) {
            self.entries -= list.entries();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(n: i64) -> UserNo {
        UserNo::from_store(n)
    }

    fn list(len: i64) -> Rc<[UserNo]> {
        (0..len).map(user).collect()
    }

    #[test]
    fn of_too_many_entries_the_lists_used_least_give_way() {
        let mut lists = FriendLists::new(10);
        lists.put(user(1), list(4));
        lists.put(user(2), list(4));
        assert!(lists.get(user(1)).is_some());

        lists.put(user(3), list(4));

        assert_eq!(lists.get(user(1)).map(|list| list.len()), Some(4));
        assert_eq!(lists.get(user(2)), None);
        assert!(lists.get(user(3)).is_some());
        lists.put(user(4), list(0));
        assert_eq!(lists.entries, 6, "two of five and one of one are more than ten");
    }

    #[test]
    fn a_list_that_was_forgotten_leaves_nothing_behind() {
        let mut lists = FriendLists::new(10);
        for _ in 0..100 {
            lists.put(user(1), list(3));
            lists.forget(user(1));
        }

        assert_eq!((lists.entries, lists.turns.len(), lists.lists.len()), (0, 0, 0));
    }
}
