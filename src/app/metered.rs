//! What each metric means, told to whoever scrapes them; the names stand where they are counted.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

/// Tells the recorder what the metrics mean.
pub(super) fn describe() {
    describe_gauge!("rookery_sessions", Unit::Count, "connections, logged in or not");
    describe_gauge!(
        "rookery_users_in_memory",
        Unit::Count,
        "users with a session now or just before"
    );
    describe_gauge!("rookery_postgres_up", Unit::Count, "whether the private PostgreSQL is there");
    describe_gauge!(
        "rookery_redis_up",
        Unit::Count,
        "whether Redis carries what nodes tell each other"
    );
    describe_gauge!(
        "rookery_shards_owned",
        Unit::Count,
        "slices of the groups that this node may append to, of 1,024"
    );
    describe_counter!(
        "rookery_arrivals_turned_away_total",
        Unit::Count,
        "connections that were not taken: too many at once, or in all"
    );
    describe_gauge!("rookery_peers", Unit::Count, "other nodes that are there");
    describe_histogram!(
        "rookery_journal_commit_seconds",
        Unit::Seconds,
        "how long commits of messages took"
    );
    describe_gauge!(
        "rookery_presences_waiting",
        Unit::Count,
        "users whose presence may have changed and was not told yet"
    );
    for (name, meaning) in COUNTERS {
        describe_counter!(*name, Unit::Count, *meaning);
    }
}

const COUNTERS: &[(&str, &str)] = &[
    (
        "rookery_store_epochs_begun_total",
        "epochs of the store that this node began because the database lost data or may have, by reason",
    ),
    (
        "rookery_store_epochs_kept_total",
        "failovers of the database after which nothing was missing",
    ),
    ("rookery_messages_stored_total", "messages stored"),
    ("rookery_journal_commits_total", "commits that stored messages"),
    ("rookery_journal_outcomes_unknown_total", "messages whose commit broke"),
    (
        "rookery_journal_outcomes_resolved_total",
        "those of them that the store was asked for afterwards",
    ),
    ("rookery_errors_total", "refused commands, by code"),
    ("rookery_rest_requests_total", "REST requests to an operation, by operation and status"),
    ("rookery_logins_failed_total", "refused logins"),
    ("rookery_kicks_total", "sessions ended by a decision"),
    ("rookery_sync_needed_total", "sessions told to sync"),
    ("rookery_slow_readers_total", "sessions closed because their peer did not read"),
    ("rookery_receipts_dropped_total", "receipts for somebody offline that found no room"),
    ("rookery_presence_changes_total", "changes of somebody's presence that others see"),
    ("rookery_presences_told_total", "presences told to sessions"),
    (
        "rookery_asks_to_nodes_total",
        "sends to groups and changes of groups that were passed on to the nodes that own the groups",
    ),
    (
        "rookery_entries_to_nodes_total",
        "entries of groups and inboxes that were told to other nodes, once for each node",
    ),
    (
        "rookery_losses_found_total",
        "times that a group or an inbox was found behind the store, by which of the two",
    ),
    ("rookery_bus_sent_total", "envelopes given to a carrier for other nodes"),
    ("rookery_bus_sent_bytes_total", "bytes of them"),
    ("rookery_bus_received_total", "envelopes of other nodes that were read, by carrier"),
    ("rookery_bus_received_bytes_total", "bytes of them"),
    ("rookery_bus_gaps_total", "times that something from another node was found missing"),
    ("rookery_bus_refused_total", "envelopes that were refused, by reason"),
    ("rookery_bus_unsent_total", "letters that were not sent, by reason"),
    ("rookery_postgres_restarts_total", "starts of the private PostgreSQL after it had died"),
];
