//! What an app has set for all its users.

use super::answer::{Answer, Outcome};
use super::call::Call;
use crate::actors::{ReadReceipts, accounts};
use crate::protocol::rest::{LoginRules, NewLoginRules, OnOff, Receipts};

/// Shows the rules for logins.
pub async fn login_policy(call: Call) -> Outcome {
    Answer::ok(&accounts::login_rules(&call.engine, call.caller.app).await?)
}

/// Changes the rules for logins.
pub async fn set_login_policy(call: Call) -> Outcome {
    let NewLoginRules { mode, on_conflict, caps, apply_now } = call.body()?;
    let (engine, app) = (&call.engine, call.caller.app);
    let rules = LoginRules { mode, on_conflict, caps, ended: None };
    let mut rules = accounts::set_login_rules(engine, app, &rules).await?;
    if apply_now {
        rules.ended = Some(accounts::apply_login_rules(engine, app).await?);
    }
    Answer::ok(&rules)
}

/// Shows who hears of what was read.
pub async fn receipts(call: Call) -> Outcome {
    let set = accounts::read_receipts(&call.engine, call.caller.app).await?;
    Answer::ok(&Receipts { read: if set == ReadReceipts::On { OnOff::On } else { OnOff::Off } })
}

/// Changes who hears of what was read.
pub async fn set_receipts(call: Call) -> Outcome {
    let receipts: Receipts = call.body()?;
    let read = match receipts.read {
        OnOff::On => ReadReceipts::On,
        OnOff::Off => ReadReceipts::Off,
    };
    accounts::set_read_receipts(&call.engine, call.caller.app, read).await?;
    Answer::ok(&receipts)
}
