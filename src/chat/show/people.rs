//! How people and devices look.

use super::View;
use crate::chat::text::{Look, minute, safe_line};
use crate::client::Ended;
use crate::ids::UserId;
use crate::protocol::{Device, DeviceRow, Friend, FriendState, Presence, PresenceState, Status};

impl View {
    /// A device, by its id and what people call it.
    pub fn device(&self, device: &Device) -> String {
        let name = device.name.as_deref().map(|name| format!(" \"{}\"", safe_line(name)));
        format!("{} ({}){}", device.id, device.platform.as_str(), name.unwrap_or_default())
    }

    /// A device of the list of one's own.
    pub fn device_row(&self, row: &DeviceRow) -> String {
        let since = minute(row.logged_in_at_ms);
        let stands = match (row.current, row.online, row.ended_at_ms) {
            (true, ..) => format!("this one, since {since}"),
            (false, true, _) => format!("online since {since}"),
            (false, false, Some(ended)) => format!("ended {}", minute(ended)),
            (false, false, None) => format!("last login {since}"),
        };
        format!("{}  {stands}", self.colours.paint(Look::Place, &self.device(&row.device)))
    }

    /// A friend of the list of them.
    pub fn friend(&self, friend: &Friend) -> String {
        let name = self.colours.paint(Look::Name, friend.user.as_str());
        format!("{name}, since {}", minute(friend.since_ms))
    }

    /// Somebody became a friend, or ceased to be one.
    pub fn friend_changed(&self, user: &UserId, state: FriendState) -> String {
        self.dim(&match state {
            FriendState::Friends => format!("{user} is a friend"),
            FriendState::None => format!("{user} is no friend"),
        })
    }

    /// How somebody is.
    pub fn presence(&self, presence: &Presence) -> String {
        let look = if presence.user == self.me { Look::Own } else { Look::Name };
        let name = self.colours.paint(look, presence.user.as_str());
        format!("{name} {}", stands(presence))
    }

    /// The same, when it came by itself.
    pub fn presence_changed(&self, presence: &Presence) -> String {
        self.dim(&format!("{} {}", presence.user, stands(presence)))
    }

    /// Why a chat is over, and what may be done about it.
    pub fn ended(&self, ended: &Ended) -> String {
        match ended {
            Ended::Kicked { at_ms, .. } => {
                format!("{ended} at {}; it does not come back by itself", minute(*at_ms))
            }
            Ended::Refused(error) => match &error.devices {
                Some(devices) => {
                    let devices: Vec<String> =
                        devices.iter().map(|device| self.device(device)).collect();
                    format!("{ended}; logged in already: {}", devices.join(", "))
                }
                None => ended.to_string(),
            },
            _ => ended.to_string(),
        }
    }
}

/// What is said of somebody behind their name.
fn stands(presence: &Presence) -> String {
    let state = match presence.state {
        PresenceState::Online => "is online",
        PresenceState::Background => "is in the background",
        PresenceState::Offline => "is offline",
    };
    let platforms: Vec<&str> = presence.platforms.iter().map(|own| own.platform.as_str()).collect();
    let with = if platforms.is_empty() {
        String::new()
    } else {
        format!(" with {}", platforms.join(", "))
    };
    let status = match presence.status {
        None | Some(Status::Available) => "",
        Some(Status::Away) => ", away",
        Some(Status::Busy) => ", busy",
        Some(Status::Dnd) => ", not to be disturbed",
        Some(Status::Invisible) => ", invisible to others",
    };
    let text = presence.text.as_ref().map(|text| format!(": {}", safe_line(text.as_str())));
    let until = presence.until_ms.map(|until| format!(", until {}", minute(until)));
    let seen = presence.last_seen_ms.map(|seen| format!(", last seen {}", minute(seen)));
    [state, &with, status]
        .into_iter()
        .map(str::to_owned)
        .chain([text, until, seen].into_iter().flatten())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::text::Colours;
    use crate::ids::{DeviceId, LoginNo, UnixMs};
    use crate::protocol::{
        Code, DeviceState, ErrorBody, KickReason, Platform, PlatformPresence, StatusText,
    };

    fn view() -> View {
        View::new(UserId::parse("alice").unwrap(), Colours::Off, None, true)
    }

    fn phone() -> Device {
        let name = Some("Bob's\u{1b} phone".to_owned());
        Device { id: DeviceId::parse("p-1").unwrap(), platform: Platform::Ios, name }
    }

    #[test]
    fn who_is_there_says_with_what_and_in_which_words() {
        let offline = Presence {
            user: UserId::parse("bob").unwrap(),
            state: PresenceState::Offline,
            platforms: Vec::new(),
            status: None,
            text: None,
            until_ms: None,
            last_seen_ms: Some(UnixMs::new(60_000)),
        };
        let platform = |platform| PlatformPresence { platform, state: DeviceState::Online };
        let busy = Presence {
            state: PresenceState::Online,
            platforms: vec![platform(Platform::Ios), platform(Platform::Web)],
            status: Some(Status::Busy),
            text: StatusText::parse("In a \u{202e}meeting").ok(),
            until_ms: Some(UnixMs::new(120_000)),
            last_seen_ms: None,
            ..offline.clone()
        };

        assert_eq!(view().presence(&offline), "bob is offline, last seen 1970-01-01 00:01Z");
        assert_eq!(
            view().presence(&busy),
            "bob is online with ios, web, busy: In a \\u{202e}meeting, until 1970-01-01 00:02Z"
        );
    }

    #[test]
    fn a_device_says_whether_it_is_in_and_its_name_can_do_no_harm() {
        let row = |current, online, ended| DeviceRow {
            device: phone(),
            online,
            current,
            login_no: LoginNo::from_store(7),
            logged_in_at_ms: UnixMs::new(0),
            ended_at_ms: ended,
        };
        for (row, says) in [
            (row(true, true, None), "this one, since 1970-01-01 00:00Z"),
            (row(false, true, None), "online since 1970-01-01 00:00Z"),
            (row(false, false, Some(UnixMs::new(60_000))), "ended 1970-01-01 00:01Z"),
        ] {
            assert_eq!(
                view().device_row(&row),
                format!("p-1 (ios) \"Bob's\\u{{1b}} phone\"  {says}")
            );
        }
    }

    #[test]
    fn the_last_words_say_who_did_it_and_when_or_who_is_in() {
        let by = Some(DeviceId::parse("p-1").unwrap());
        let (reason, at_ms) = (KickReason::Policy, UnixMs::new(0));
        let mut error = ErrorBody::new(Code::Conflict, "others are logged in");
        error.devices = Some(vec![phone()]);

        assert_eq!(
            view().ended(&Ended::Kicked { reason, by, at_ms }),
            "another login took its place, from the device p-1 at 1970-01-01 00:00Z; \
             it does not come back by itself"
        );
        assert_eq!(
            view().ended(&Ended::Refused(error)),
            "login refused: others are logged in (conflict); logged in already: p-1 (ios) \
             \"Bob's\\u{1b} phone\""
        );
    }
}
