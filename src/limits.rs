//! Every bound: what it limits, its unit, and how the bounds relate.
//!
//! What an operator may change is in [`crate::config`], within the ceilings given here.

use std::time::Duration;

/// The largest frame that a client may send, in bytes. Beyond it the connection is closed with 1009.
pub const FRAME_BYTES: usize = 64 * 1024;
/// The largest frame that the server sends, in bytes; a page ends early rather than passing it.
pub const SERVER_FRAME_BYTES: usize = 256 * 1024;
/// The largest content of one message: bytes of its text or data, in UTF-8.
pub const CONTENT_BYTES: usize = 32 * 1024;
/// How many fragments one WebSocket message may come in.
pub const FRAGMENTS: usize = 64;
/// How deep a JSON frame may be nested.
pub const JSON_DEPTH: usize = 32;
/// How many users one message may mention.
pub const MENTIONS: usize = 100;
/// The longest name of a device that people read, in bytes.
pub const DEVICE_NAME_BYTES: usize = 128;
/// The longest login token, in bytes.
pub const TOKEN_BYTES: usize = 1024;
/// The longest token after inflating, in bytes.
pub const TOKEN_INFLATED_BYTES: usize = 4096;
/// The longest validity of a token that is taken, in seconds: 180 days.
pub const TOKEN_VALIDITY_S: u64 = 180 * 86_400;
/// How far ahead of our clock a token may have been signed, in seconds.
pub const TOKEN_AHEAD_S: u64 = 60;
/// The longest opaque paging cursor, in bytes.
pub const CURSOR_BYTES: usize = 128;

/// Logins that wait to be decided on a node; beyond it they are answered `busy`.
pub const LOGIN_QUEUE: usize = 20_000;
/// Messages that wait for the gatherer of logins.
pub const LOGIN_MAILBOX: usize = 16_384;
/// Logins in one statement.
pub const LOGIN_BATCH: usize = 200;
/// How often a login that was overtaken by another of its user is decided again.
pub const LOGIN_TRIES: u32 = 8;
/// Users whose sessions are compared with a changed policy at once.
pub const POLICY_PAGE: usize = 500;
/// How long the keys of an app are taken as known; a token that they do not fit is tried against those of the moment.
pub const APP_KEYS_FOR: Duration = Duration::from_secs(1);
/// How often the settings of the apps are read anew.
pub const APP_SETTINGS_EVERY: Duration = Duration::from_secs(3);
/// How often a node looks for sessions in the store that nobody holds.
pub const SESSION_SWEEP_EVERY: Duration = Duration::from_secs(60);
/// Sessions that it looks at in one statement.
pub const SESSION_SWEEP_PAGE: usize = 5_000;

/// Friends of one user.
pub const FRIENDS: usize = 3_000;
/// Users that one `presence.get` may name.
pub const PRESENCE_USERS: usize = 500;
/// Users that one session watches; beyond it the ones watched for longest make room.
pub const WATCHED: usize = 200;
/// For how many seconds `presence.watch` watches when it does not say.
pub const WATCH_DEFAULT_S: u32 = 300;
/// For how many seconds `presence.watch` may watch.
pub const WATCH_MOST_S: u32 = 3_600;
/// The longest words beside a status, in bytes.
pub const STATUS_TEXT_BYTES: usize = 128;
/// How long a device counts as there after it was last heard of. Its session ends earlier, when it is silent.
pub const PRESENCE_LEASE: Duration = Duration::from_secs(60);
/// How often the lease of a device that is heard of is renewed, at most.
pub const PRESENCE_RENEWED_EVERY: Duration = Duration::from_secs(8);
/// Changes of one user's presence within this time are told as one.
pub const PRESENCE_JOINED: Duration = Duration::from_secs(1);
/// How often a node tells of presence. The next three bound what one such turn costs.
pub const PRESENCE_TICK: Duration = Duration::from_millis(50);
/// Users a turn whose presence is compared with what was told last.
pub const PRESENCE_COMPARED: usize = 2_000;
/// Friends a turn of whom it is looked up whether they are online.
pub const PRESENCE_LOOKED_UP: usize = 20_000;
/// Presences a turn that are told to sessions.
pub const PRESENCE_TOLD: usize = 2_500;
/// Presences in one `presence.changed`.
pub const PRESENCE_FRAME: usize = 200;
/// Changes that wait to be told, or for the lists of friends whom to tell; beyond it changes of one user are joined for longer.
pub const PRESENCE_WAITING: usize = 5_000;
/// Users on one node that are watched, counted once for each session that watches them; beyond it `busy`.
pub const WATCHED_ON_NODE: usize = 1_000_000;
/// Friends on the lists that a node keeps in memory, counted once for each list; of more, the lists used least give way.
pub const FRIENDS_KEPT: usize = 2_000_000;
/// Lists of friends that one statement reads.
pub const FRIEND_LISTS_AT_ONCE: usize = 100;
/// Users whose presence one statement reads or writes on the node's own account.
pub const PRESENCE_BATCH: usize = 500;
/// How long one who left stays in memory after the store has when that was, or after leaving another node, which tells the
/// store: those who began to read it before look there.
pub const PRESENCE_KEPT: Duration = Duration::from_secs(10);
/// Messages from sessions that wait for whoever tells of presence.
pub const PRESENCE_MAILBOX: usize = 16_384;
/// Devices of one user that are remembered; of more, those that were ended first are forgotten.
pub const DEVICES_KEPT: usize = 100;
/// API keys of one app.
pub const API_KEYS: usize = 20;
/// The longest name of an API key, in bytes.
pub const API_KEY_NAME_BYTES: usize = 64;
/// The longest validity of an API key, in days.
pub const API_KEY_DAYS_MAX: u32 = 3_650;
/// How long an Idempotency-Key is remembered.
pub const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(86_400);
/// How long a request under an Idempotency-Key may run before the same one may begin again.
pub const IDEMPOTENCY_RUNS: Duration = Duration::from_secs(60);
/// Idempotency-Keys of the past that each new one sweeps away, at most.
pub const IDEMPOTENCY_SWEPT: usize = 10;
/// How long before its token runs out a session is told.
pub const TOKEN_WARNING: Duration = Duration::from_secs(60);
/// How long a session whose token ran out may take to renew it. Then 4500.
pub const TOKEN_GRACE: Duration = Duration::from_secs(60);

/// The longest name of a group, in characters.
pub const GROUP_NAME_CHARS: usize = 30;
/// Users that one `group.create`, `group.invite` or `group.remove` may name.
pub const GROUP_USERS: usize = 100;
/// Members of a group; each kind may have fewer.
pub const GROUP_MEMBERS: u32 = 6_000;
/// Groups that one user may be a member of.
pub const GROUPS_PER_USER: usize = 500;
/// Groups that one `sync` may name.
pub const SYNC_GROUPS: usize = 500;
/// Groups that one `ping` may name.
pub const PING_GROUPS: usize = 50;
/// Members up to which a group's authors are told how many have read, and its members see each other's cursors.
pub const READ_COUNTS_MEMBERS: u32 = 500;
/// Messages of one author in one event that counts readers; the newest are kept.
pub const READ_COUNTS: usize = 50;
/// How often the authors in one group are told how many have read, at most.
pub const READ_COUNTS_EVERY: Duration = Duration::from_secs(1);
/// Groups whose readers are counted at once, by the relays of one thread; the others wait for the next second.
pub const READ_COUNTS_AT_ONCE: usize = 4;

/// Entries a page, when the client names no number.
pub const PAGE_DEFAULT: usize = 50;
/// Entries a page at most; a larger wish is taken as this.
pub const PAGE_MAX: usize = 200;

/// Commands of one session in flight; beyond it the socket is not read.
pub const IN_FLIGHT: usize = 32;
/// Ids that one session awaits after refusals; beyond it the session is closed with 4005.
pub const AWAITED: usize = 64;
/// How long a refused message is awaited before its place is given up.
pub const AWAITED_FOR: Duration = Duration::from_secs(30);
/// How long a session waits for the answer to a send before it submits it again.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Events that wait for a session's socket; replies wait beside them, bounded by the commands in flight.
pub const OUTBOUND_FRAMES: usize = 256;
/// Bytes that wait for a session's socket.
pub const OUTBOUND_BYTES: usize = 1024 * 1024;
/// Bytes handed to the socket at once.
pub const WRITE_BATCH_BYTES: usize = 64 * 1024;
/// Entries of a group that came together and travel as one to a session.
pub const RUN_EVENTS: usize = 64;
/// How long a socket may take to accept what was handed to it before the session is closed with 4002.
pub const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// How long a socket that was told to close may go on not reading before it is cut.
pub const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How long the kernel keeps trying to reach a silent peer with what was written.
pub const TCP_USER_TIMEOUT: Duration = Duration::from_secs(15);

/// The most connections that a node may be set to take.
pub const CONNECTIONS_MAX: u32 = 1_000_000;

/// Connections to the port of health and metrics; more wait to be accepted.
pub const INSIDE_CONNECTIONS: usize = 1_000;

/// How often a node looks whether many connections have gone.
pub const MEMORY_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Connections that have gone since memory was last given back to the system when it is given back again.
pub const MEMORY_AFTER_CONNECTIONS: usize = 1_000;

/// How often a client shall send a `ping`.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(20);
/// Two lost heartbeats and some slack; one lost packet must not end a session. Then 4003.
pub const IDLE_AFTER: Duration = Duration::from_secs(50);
/// The largest body of a REST request, in bytes.
pub const REST_BODY_BYTES: usize = 256 * 1024;
/// How long the body of a REST request may take to arrive.
pub const REST_BODY_WITHIN: Duration = Duration::from_secs(10);
/// REST requests of one node that are carried out at once; beyond it they are answered 503.
pub const REST_AT_ONCE: usize = 128;
/// How long a REST request may take to be carried out.
pub const REST_WITHIN: Duration = Duration::from_secs(25);
/// The longest `Idempotency-Key`, in characters.
pub const IDEMPOTENCY_KEY_BYTES: usize = 64;
/// Connections that wait to be accepted.
pub const BACKLOG: i32 = 1024;
/// How long a client may take to send the head of an HTTP request.
pub const REQUEST_WITHIN: Duration = Duration::from_secs(5);
/// How long an HTTP connection that is closed here goes on reading, so that its peer gets the answer.
pub const DISCONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How long HTTP requests in flight are waited for when the server stops.
pub const REQUESTS_DRAIN_WITHIN: Duration = Duration::from_secs(2);
/// How long a connection may take to log in. Then 4004.
pub const LOGIN_WITHIN: Duration = Duration::from_secs(5);
/// How often a session looks at its clocks.
pub const SESSION_TICK: Duration = Duration::from_secs(1);

/// Messages from other actors that wait for a session.
pub const SESSION_MAILBOX: usize = 256;
/// Messages from other actors that wait for a user.
pub const USER_MAILBOX: usize = 4096;
/// Messages that wait for the registry.
pub const REGISTRY_MAILBOX: usize = 16_384;
/// Messages that wait for a journal or for the gatherer of cursors.
pub const JOURNAL_MAILBOX: usize = 16_384;

/// Sessions of one user on one node.
pub const SESSIONS_PER_USER: usize = 64;
/// How long a user stays in memory after its last session.
pub const USER_LINGER: Duration = Duration::from_secs(120);
/// How long a loser of a login has to say that it ended, before the winner's reply goes out without its word.
pub const REPLACED_WITHIN: Duration = Duration::from_secs(2);
/// Recent client message ids that one user remembers with their answers; a hit is proof, a miss is not.
pub const RECENT_KEYS: usize = 256;
/// Conversations whose peers one user remembers.
pub const KNOWN_PEERS: usize = 256;
/// Runs that one user remembers, over all its sessions and peers.
pub const KNOWN_RUNS: usize = 1024;
/// Recent client message ids that one group remembers with their answers; a hit is proof, a miss is not.
pub const GROUP_RECENT_KEYS: usize = 256;
/// Runs that one group remembers, over all sessions.
pub const GROUP_RUNS: usize = 4096;
/// Sends that wait in one group for a look-up, a change or its head; beyond it they are answered `busy`.
pub const GROUP_WAITING: usize = 4096;
/// The longest time without work after which a group may be set to leave the memory, in seconds: a day.
pub const GROUP_SLEEP_MAX_S: u32 = 86_400;
/// Changes of one group that wait for their turn; beyond it they are answered `busy`.
pub const GROUP_CHANGES: usize = 64;
/// Messages from sessions and journals that wait for a group.
pub const GROUP_MAILBOX: usize = 4096;
/// Entries and subscriptions that wait for the relays of one thread; beyond it the groups' members sync.
pub const RELAY_MAILBOX: usize = 16_384;

/// Journals of a node.
pub const JOURNALS: usize = 2;
/// Rows that wait in one journal; beyond it sends are answered `busy`.
pub const JOURNAL_QUEUE: usize = 20_000;
/// Rows in one statement.
pub const JOURNAL_BATCH: usize = 500;
/// Bytes of bodies in one statement; one row always fits.
pub const JOURNAL_BATCH_BYTES: usize = 2 * 1024 * 1024;
/// How long a journal waits for a statement; the server itself gives up after 5 s. Then its outcome is unknown.
pub const STATEMENT_WITHIN: Duration = Duration::from_secs(8);
/// How long the outcome of a broken commit may stay unknown before its senders are told `outcome_unknown`.
pub const OUTCOME_WITHIN: Duration = Duration::from_secs(10);
/// Cursors that wait to be written; beyond it receipts are answered `busy`.
pub const CURSOR_QUEUE: usize = 50_000;
/// Cursors in one statement.
pub const CURSOR_BATCH: usize = 1_000;
/// How long a session waits for the answer to a change of a group before it says `outcome_unknown`.
pub const CHANGE_WITHIN: Duration = Duration::from_secs(20);
/// Sends and changes of groups for the apps' backends that are under way at once on a node; beyond it they are answered
/// `busy`.
pub const BACKEND_AT_ONCE: usize = 1024;
/// How long such a one waits for its answer before it says `outcome_unknown`.
pub const BACKEND_ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// What a client is told to wait after `busy`, `unavailable` and `outcome_unknown`.
pub const RETRY_AFTER: Duration = Duration::from_millis(1000);

/// How long a reader waits for a pooled connection.
pub const POOL_WAIT: Duration = Duration::from_secs(2);
/// How long a connection to the database may take until it can be used.
pub const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The time between two tries of a writer to connect: short, since senders wait.
pub const RECONNECT_EVERY: Duration = Duration::from_millis(100);
/// How long a login, look-up or page may take in all.
pub const READ_WITHIN: Duration = Duration::from_secs(8);
/// Page reads of one session at once.
pub const PAGES_AT_ONCE: usize = 4;
/// Logins and syncs that read the store at once on a node; beyond it they are answered `busy`.
pub const READS_AT_ONCE: usize = 256;

/// A node's lease, by the database's clock.
pub const LEASE: Duration = Duration::from_secs(10);
/// How often the lease is renewed.
pub const LEASE_RENEWED_EVERY: Duration = Duration::from_secs(3);
/// When the last renewal is older than this, no message id is minted.
pub const LEASE_TRUSTED_FOR: Duration = Duration::from_secs(8);
/// How long a node that finds a promoted standby waits for the others to say that it lacks nothing; then a new epoch
/// of the store begins.
pub const OTHERS_PROVE_WITHIN: Duration = Duration::from_secs(2);
/// Users of a node that is gone whose sessions one statement ends.
pub const SESSIONS_BURIED_AT_ONCE: usize = 1_000;
/// Shards that a node which leaves gives away in one statement.
pub const SHARDS_GIVEN_AT_ONCE: usize = 256;
/// Shards that a node gives to one with fewer, at each renewal.
pub const SHARDS_SHARED_AT_ONCE: usize = 128;
/// How soon after a look at who owns which shard the next one is taken, at most.
pub const OWNERS_LOOKED_AT_EVERY: Duration = Duration::from_millis(50);
/// Shards of other nodes that one statement claims.
pub const SHARDS_CLAIMED_AT_ONCE: usize = 32;
/// Answers of other nodes that a node waits for at once; more asks are answered `busy`.
pub const TICKETS: usize = 100_000;
/// How long another node's answer is waited for before its ask is given up.
pub const LETTER_ANSWERED_WITHIN: Duration = Duration::from_secs(12);
/// Entries of logs in one letter to another node.
pub const LETTER_ENTRIES: usize = 64;
/// Groups that one letter registers.
pub const LETTER_GROUPS: usize = 1_000;
/// Users in one letter that tells who is where.
pub const LETTER_USERS: usize = 256;
/// Numbers of groups that a node remembers, to know who owns them.
pub const GROUP_NUMBERS: usize = 200_000;
/// Groups whose number is looked up at once.
pub const GROUPS_SOUGHT: usize = 1_000;
/// Numbers that are tried for a new group, so that its shard is ours.
pub const NUMBERS_TRIED: usize = 128;
/// How long a login waits for the owners of its groups to know of it.
pub const REGISTERED_WITHIN: Duration = Duration::from_secs(2);
/// How long a login waits for all nodes to know of it.
pub const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// How long a telling of who is where waits for a node that has answered so far.
pub const HEARD_WITHIN: Duration = Duration::from_secs(1);
/// How long a login waits for one node to end a session that lost, before it asks again.
pub const LOSER_ENDED_WITHIN: Duration = Duration::from_secs(1);
/// How long a login waits for sessions that lost to end, or for the lease of their node.
pub const LOSERS_ENDED_WITHIN: Duration = Duration::from_secs(12);
/// How long a login waits to be decided.
pub const LOGIN_DECIDED_WITHIN: Duration = Duration::from_secs(15);
/// How often what came from other nodes is compared with the store.
pub const AUDIT_EVERY: Duration = Duration::from_secs(15);
/// Heads that one query of a comparison reads.
pub const AUDIT_HEADS: usize = 1_000;
/// How often addresses from which nobody came lately are forgotten.
pub const ADDRESSES_TIDIED_EVERY: Duration = Duration::from_secs(10);
/// Node numbers inside message ids.
pub const NODE_NUMBERS: i16 = 1024;

/// The largest letter that one node sends another, in bytes.
pub const BUS_LETTER_BYTES: usize = 4 * 1024 * 1024;
/// Letters that wait to be sent to one node.
pub const BUS_QUEUE: usize = 8192;
/// Bytes of letters that wait to be sent to one node.
pub const BUS_QUEUE_BYTES: usize = 32 * 1024 * 1024;
/// Runs of other nodes whose numbers a node remembers; beyond it that of a run which is gone gives way.
pub const BUS_LINKS: usize = 4096;
/// Envelopes that are sent at once, or read at once from PostgreSQL.
pub const BUS_BATCH: usize = 500;
/// Bytes of envelopes that are sent at once, or read at once from PostgreSQL; one always fits.
pub const BUS_BATCH_BYTES: usize = 8 * 1024 * 1024;
/// Envelopes that are read at once from Redis.
pub const BUS_STREAM_READ: usize = 32;
/// Envelopes that wait in Redis for one node, about; beyond it the oldest are dropped.
pub const BUS_STREAM: usize = 16_384;
/// How long after the last envelope the stream of a node stays in Redis.
pub const BUS_STREAM_KEPT: Duration = Duration::from_secs(60);
/// How long an envelope that nobody takes stays in PostgreSQL.
pub const BUS_ROWS_KEPT: Duration = Duration::from_secs(30);
/// How long after it was sent an envelope may arrive.
pub const BUS_DEADLINE: Duration = Duration::from_secs(10);
/// How often a node lets each other one hear of it.
pub const BUS_BEAT_EVERY: Duration = Duration::from_secs(1);
/// How long Redis may take to answer before PostgreSQL carries.
pub const BUS_ANSWER_WITHIN: Duration = Duration::from_millis(500);
/// How long a connection to Redis may take until it can be used.
pub const BUS_CONNECT_WITHIN: Duration = Duration::from_secs(1);
/// How often a Redis that did not answer is asked again, and a connection that broke is opened again.
pub const BUS_PROBE_EVERY: Duration = Duration::from_secs(1);
/// How long a reader of the bus waits to be told before it looks by itself.
pub const BUS_LOOK_EVERY: Duration = Duration::from_secs(1);
/// Envelopes that were read and wait to be opened.
pub const BUS_READ_AHEAD: usize = 64;
/// How long an envelope waits for those that it overtook, as it may when another carrier takes over.
pub const BUS_HELD_FOR: Duration = Duration::from_millis(250);
/// Envelopes of one node that wait for those that they overtook.
pub const BUS_HELD: usize = 1024;
/// Bytes of them.
pub const BUS_HELD_BYTES: usize = 16 * 1024 * 1024;
/// How long a node that is not heard of any more is remembered by who heard it.
pub const BUS_SILENT_FOR: Duration = Duration::from_secs(60);
/// Letters and gaps that wait for whoever takes them from the bus; beyond it nothing is read, and what waits becomes late.
pub const BUS_ARRIVED: usize = 256;

/// How far in the future a client message id may have been minted, in milliseconds.
pub const CLOCK_AHEAD_MS: i64 = 5 * 60 * 1000;
/// Days for which dedup partitions exist ahead of today.
pub const PARTITIONS_AHEAD_DAYS: i32 = 3;
/// Days after the dedup window before a partition is dropped.
pub const PARTITIONS_KEPT_DAYS: i32 = 2;
/// The longest dedup window that may be set, in days.
pub const DEDUP_WINDOW_DAYS_MAX: u16 = 90;

/// Entries that a client holds back beyond a gap, in its inbox and in each group.
pub const CLIENT_HELD_BACK: usize = 128;
/// Messages that a client keeps until they are acknowledged.
pub const CLIENT_OUTBOX: usize = 10_000;
/// Calls of a client that wait for room among its commands in flight.
pub const CLIENT_CALLS: usize = 256;
/// Events that a client keeps for an app that does not take them; entries beyond it stay in the store.
pub const CLIENT_EVENTS: usize = 1024;
/// How long a client waits for an entry that was overtaken before it pulls it; half as long to half longer, at random.
pub const GAP_WAIT: Duration = Duration::from_millis(200);
/// How often a client tells of one conversation what it has, at most.
pub const RECEIVED_EVERY: Duration = Duration::from_secs(1);
/// How long a client waits for any answer before it takes the connection for dead.
pub const CLIENT_ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long a client takes to open a connection.
pub const CLIENT_CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// How long a client reads on once writing has failed: what is read then has come before.
pub const CLIENT_HEARS_OUT_FOR: Duration = Duration::from_millis(200);
/// A connection that held for this long was a good one: the next loss is a new one.
pub const CLIENT_STABLE_AFTER: Duration = Duration::from_secs(30);
/// The first and the longest wait of a client that comes back.
pub const CLIENT_BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

const _: () = assert!(IDLE_AFTER.as_secs() > 2 * HEARTBEAT_EVERY.as_secs());
// A session that may still be silent for a while keeps its lease, however little of what it said was noted.
const _: () = assert!(
    PRESENCE_LEASE.as_secs()
        >= IDLE_AFTER.as_secs() + PRESENCE_RENEWED_EVERY.as_secs() + 2 * SESSION_TICK.as_secs()
);
const _: () = assert!(PRESENCE_KEPT.as_secs() > READ_WITHIN.as_secs());
const _: () = assert!(PRESENCE_TICK.as_millis() * 10 <= PRESENCE_JOINED.as_millis());
// A presence with all its platforms, words and names is shorter than 1 KiB.
const _: () =
    assert!(PRESENCE_FRAME * 1024 < SERVER_FRAME_BYTES && WATCHED * 1024 < SERVER_FRAME_BYTES);
const _: () = assert!(FRIENDS < FRIENDS_KEPT && FRIENDS < PRESENCE_LOOKED_UP);
const _: () = assert!(LOSERS_ENDED_WITHIN.as_secs() > LEASE.as_secs());
const _: () = assert!(LOSERS_ENDED_WITHIN.as_secs() < LOGIN_DECIDED_WITHIN.as_secs());
const _: () = assert!(LETTER_ENTRIES * 2 * CONTENT_BYTES <= SERVER_FRAME_BYTES * 32);
const _: () = assert!(LEASE_TRUSTED_FOR.as_secs() < LEASE.as_secs());
const _: () = assert!(2 * LEASE_RENEWED_EVERY.as_secs() < LEASE_TRUSTED_FOR.as_secs());
const _: () = assert!(BUS_LETTER_BYTES < BUS_BATCH_BYTES && BUS_BATCH_BYTES < BUS_QUEUE_BYTES);
// What could still arrive and be a repeat is remembered, and what could still arrive in time is kept.
const _: () = assert!(BUS_SILENT_FOR.as_secs() > 2 * BUS_DEADLINE.as_secs());
const _: () = assert!(
    BUS_ROWS_KEPT.as_secs() > BUS_DEADLINE.as_secs()
        && BUS_STREAM_KEPT.as_secs() > BUS_DEADLINE.as_secs()
);
const _: () = assert!(CONTENT_BYTES < FRAME_BYTES && FRAME_BYTES < SERVER_FRAME_BYTES);
const _: () = assert!(IN_FLIGHT <= AWAITED);
const _: () = assert!(IN_FLIGHT < SESSION_MAILBOX);
const _: () = assert!(RUN_EVENTS <= OUTBOUND_FRAMES && WRITE_BATCH_BYTES <= OUTBOUND_BYTES);
// Each unanswered send of a user may bring one message from a journal, and each session one of its own besides.
const _: () = assert!(SESSIONS_PER_USER * (IN_FLIGHT + 1) + BACKEND_AT_ONCE < USER_MAILBOX);
// An answer takes a node at most as long as the outcome may stay unknown, and the second journey of a submission.
const _: () = assert!(
    CLIENT_ANSWER_WITHIN.as_secs() > OUTCOME_WITHIN.as_secs() + 2 * ANSWER_WITHIN.as_secs()
);
const _: () =
    assert!(CHANGE_WITHIN.as_secs() > OUTCOME_WITHIN.as_secs() + STATEMENT_WITHIN.as_secs());
const _: () = assert!(BACKEND_ANSWER_WITHIN.as_secs() > OUTCOME_WITHIN.as_secs());
const _: () = assert!(CHANGE_WITHIN.as_secs() < CLIENT_ANSWER_WITHIN.as_secs());
const _: () = assert!(CHANGE_WITHIN.as_secs() < REST_WITHIN.as_secs());
// Whatever backends ask, there is room for logins.
const _: () = assert!(REST_AT_ONCE < READS_AT_ONCE);
// A message of full size fits in the worst form that JSON may give it.
const _: () = assert!(6 * CONTENT_BYTES < REST_BODY_BYTES);
const _: () = assert!(CLIENT_HELD_BACK < PAGE_MAX);
const _: () = assert!(JOURNAL_BATCH < JOURNAL_QUEUE && CURSOR_BATCH < CURSOR_QUEUE);
