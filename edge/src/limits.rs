//! Every bound of the gateway process, with its unit in its name.
//!
//! Bounds of the domain stand in `moltbot_core::limits`, of the log in
//! `moltbot_store::settings`, of models in `moltbot_agent::settings`.

/// Commands that wait for the writer; beyond it a sender waits.
pub const WRITER_QUEUE_COMMANDS: usize = 1_024;
/// Commands recorded with one sync.
pub const WRITER_BATCH_COMMANDS: usize = 256;
/// Payload bytes after which a batch is closed.
pub const WRITER_BATCH_BYTES: usize = 512 * 1024;

/// TCP connections at a time.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Time for a client to send its request headers.
pub const HEADER_READ_TIMEOUT_MS: u64 = 10_000;
/// Body of an HTTP request.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// Time for a client to send it.
pub const BODY_READ_TIMEOUT_MS: u64 = 10_000;
/// How long `GET /pairing/<id>` may be held.
pub const PAIRING_WAIT_S_MAX: u64 = 30;

/// WebSocket frame before the connection is authenticated.
pub const FRAME_BYTES_MAX_UNAUTHENTICATED: usize = 64 * 1024;
/// WebSocket frame afterwards (the protocol's `policy.maxPayload`).
pub const FRAME_BYTES_MAX: usize = 512 * 1024;
/// Bytes that wait for a slow client (`policy.maxBufferedBytes`); beyond it the socket is closed.
pub const SEND_BUFFER_BYTES_MAX: usize = 1_536 * 1024;
/// Of these, bytes of answers and pages of the log; beyond it whoever has more to say waits.
pub const ANSWER_BUFFER_BYTES_MAX: usize = FRAME_BYTES_MAX;
/// Frames that wait for a slow client.
pub const SEND_QUEUE_FRAMES: usize = 1_024;
/// Read buffer of a WebSocket; the library's default of 128 KiB would be most of its memory.
pub const SOCKET_READ_BUFFER_BYTES: usize = 4 * 1024;
/// Requests of one connection that are answered at the same time.
pub const REQUESTS_IN_FLIGHT_MAX: usize = 32;
/// Time for a client to finish the handshake.
pub const HANDSHAKE_TIMEOUT_MS: u64 = 10_000;
/// How far a device's clock may be off.
pub const SIGNATURE_AGE_MS_MAX: i64 = 10 * 60 * 1_000;
/// The protocol's keep-alive event.
pub const TICK_INTERVAL_MS: u64 = 30_000;
/// WebSocket ping, for proxies that drop idle connections.
pub const PING_INTERVAL_MS: u64 = 25_000;

/// Wrong credentials per canonical address before answers are refused unread.
pub const AUTH_FAILURES_MAX: u32 = 10;
/// Window in which they are counted.
pub const AUTH_WINDOW_MS: i64 = 60_000;
/// Addresses that are remembered.
pub const AUTH_ADDRESSES_MAX: usize = 10_000;
/// Bytes of a token of Cloudflare Access.
pub const ACCESS_TOKEN_BYTES_MAX: usize = 16 * 1024;
/// How far its clock and ours may differ, in seconds.
pub const ACCESS_LEEWAY_S: i64 = 60;
/// Bytes of the answer that holds a team's public keys.
pub const ACCESS_KEYS_BYTES_MAX: usize = 64 * 1024;
/// Public keys of a team; it has two or three.
pub const ACCESS_KEYS_MAX: usize = 16;
/// After this time the keys are fetched anew.
pub const ACCESS_KEYS_AGE_MS_MAX: i64 = 60 * 60 * 1_000;
/// Time for one fetch.
pub const ACCESS_FETCH_TIMEOUT_MS: u64 = 5_000;
/// Fetches at once, as keys that nobody knows ask for them.
pub const ACCESS_FETCH_BURST: u32 = 4;
/// Beyond that, one fetch in this time.
pub const ACCESS_FETCH_INTERVAL_MS: i64 = 60_000;
/// Life of the ticket that lets the admin page's browser in.
pub const TICKET_TTL_MS: i64 = 60_000;
/// Life of a one-time link.
pub const GRANT_TTL_MS: i64 = 10 * 60 * 1_000;
/// One-time links at a time.
pub const GRANTS_MAX: usize = 16;

/// Lines of our own log that are kept for `/debug/logs`.
pub const LOG_LINES_MAX: usize = 1_000;
/// Bytes of one of them; the rest of a longer one is only on standard error.
pub const LOG_LINE_BYTES_MAX: usize = 2 * 1024;
/// Time for a command of `/debug/cli`.
pub const DEBUG_COMMAND_TIMEOUT_MS: u64 = 60_000;
/// Bytes of what it prints that are shown.
pub const DEBUG_OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// Chat deltas to clients: at most one per run in this time.
pub const DELTA_INTERVAL_MS: u64 = 150;
/// Pairs of provider and model that metrics count apart; the rest are `other`.
pub const MODELS_NAMED_MAX: usize = 32;
/// Model turns under way whose model metrics remember.
pub const RUNS_NAMED_MAX: usize = 1_024;
/// Model turns under way at the same time.
pub const RUNS_MAX: usize = 16;
/// How long an approval waits for the remote log before the answer is `pending_replication`.
pub const REPLICATION_WAIT_MS: u64 = 5_000;
/// How long whoever forgets waits besides until the keys are deleted; they are anyway.
pub const FORGET_WAIT_MS: u64 = 5_000;
/// First and longest wait before keys that could not be deleted are deleted again.
pub const FORGET_RETRY_MS: (u64, u64) = (500, 60_000);
/// Received messages that wait likewise while the remote log cannot be reached; with more, their
/// platform may forget them at once.
pub const INBOX_PENDING_MAX: usize = 50;

/// First and longest wait of a follower between two requests for the next segment. The longest is
/// what an idle one pays: 17,280 reads a day.
pub const FOLLOW_POLL_MS: (u64, u64) = (500, 5_000);
/// How often a follower looks at heads and lists as a whole: two lists and a few reads.
pub const FOLLOW_SURVEY_INTERVAL_MS: i64 = 10 * 60 * 1_000;
/// A follower that has heard nothing for so long surveys first: what it missed may have been merged.
pub const FOLLOW_SILENCE_MS_MAX: i64 = 60_000;
/// Time for the remote log to answer before a follower with a copy serves what it has.
pub const FOLLOW_START_MS: u64 = 5_000;
/// First and longest wait of a follower after a request that failed.
pub const FOLLOW_RETRY_MS: (u64, u64) = (500, 15_000);
/// How often tails under `orphan/` are counted: one list.
pub const ORPHANS_INTERVAL_MS: u64 = 15 * 60 * 1_000;
/// Messages in one page of `chat.history`.
pub const HISTORY_MESSAGES_MAX: usize = 1_000;
/// Messages when the client does not say.
pub const HISTORY_MESSAGES_DEFAULT: usize = 50;
/// Bytes of one `chat.history` answer.
pub const HISTORY_BYTES_MAX: usize = 384 * 1024;
/// When somebody whom the remote log kept from reading older history should try again.
pub const HISTORY_RETRY_MS: u64 = 2_000;
/// Sessions in one `sessions.list` answer.
pub const SESSIONS_MAX: usize = 500;
/// Characters of a derived title or preview.
pub const PREVIEW_CHARS_MAX: usize = 80;
/// People who were let in, and as many who are blocked, in one `peer.list` answer.
pub const PEERS_LISTED_MAX: usize = 500;
/// Characters of a stranger's first message that whoever lets him in is shown.
pub const PEER_MESSAGE_CHARS_MAX: usize = 1_000;
/// Replies in one `delivery.list` answer.
pub const DELIVERIES_LISTED_MAX: usize = 100;
/// Characters of a reply in it.
pub const DELIVERY_CHARS_MAX: usize = 200;
/// Memory for opened records, so that a long conversation is not read anew for every turn.
pub const OPENED_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Encoded bytes read per step of a log subscription.
pub const SUBSCRIPTION_READ_BYTES: usize = 128 * 1024;
/// Least time between two `storage` events.
pub const STORAGE_EVENT_INTERVAL_MS: u64 = 500;

/// Time for an answer about a moment of the log.
pub const TRAVEL_MS_MAX: u64 = 20_000;
/// Time for one request to the remote log that such an answer makes; without it, it takes longer.
pub const TRAVEL_REQUEST_MS_MAX: u64 = 3_000;
/// Bytes of such an answer.
pub const TRAVEL_BYTES_MAX: usize = 384 * 1024;
/// Changes in one `log.diff` answer.
pub const DIFF_CHANGES_MAX: usize = 500;
/// Records in one `log.diff` answer, and in what the command line prints unless told otherwise.
pub const DIFF_RECORDS_MAX: usize = 50;
/// Records in one page of `log.records`.
pub const RECORDS_PAGE_MAX: usize = 500;
/// Records that one page of `log.records` looks at to find those that are wanted.
pub const RECORDS_LOOKED_AT_MAX: usize = 20_000;
/// Time for `log.verify` to read all of the log.
pub const VERIFY_MS_MAX: u64 = 10 * 60 * 1_000;
/// Least time between two `log.verify.progress` events.
pub const VERIFY_EVENT_INTERVAL_MS: u64 = 250;
/// Bytes of one line of an exported log: the largest record, readable and encoded.
pub const EXPORT_LINE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Records after which a snapshot is taken: a start reads and folds what follows the newest one.
pub const SNAPSHOT_EVERY_RECORDS: u64 = 5_000;
/// Segments after which a snapshot is taken, each a request of the next start.
pub const SNAPSHOT_EVERY_SEGMENTS: u64 = 256;
/// Stored bytes of segments after which a snapshot is taken.
pub const SNAPSHOT_EVERY_BYTES: u64 = 4 * 1024 * 1024;
/// First and longest wait before a checkpoint that failed is tried again.
pub const CHECKPOINT_RETRY_MS: (u64, u64) = (5_000, 5 * 60 * 1_000);
/// Time for the last checkpoint at shutdown.
pub const SHUTDOWN_CHECKPOINT_MS: u64 = 5_000;
/// How often lapsed pairing requests are looked for.
pub const HOUSEKEEPING_INTERVAL_MS: u64 = 5_000;
/// Refused strangers are recorded at most this often per address prefix.
pub const REFUSALS_INTERVAL_MS: i64 = 60_000;
/// First and longest wait between attempts to claim the remote log.
pub const CLAIM_RETRY_MS: (u64, u64) = (500, 15_000);
/// Time for one self-test of the remote log.
pub const SELF_TEST_MS_MAX: u64 = 4_000;
/// Time for one check of `moltbot doctor` that asks somebody else.
pub const DOCTOR_CHECK_MS_MAX: u64 = 15_000;
/// Wait before a self-test that failed is repeated, while the log is not claimed.
pub const SELF_TEST_RETRY_STARTING_MS: u64 = 10_000;
/// Wait before a self-test that failed is repeated, afterwards.
pub const SELF_TEST_RETRY_MS: u64 = 60_000;
/// Time for "Backup Now" to ship what is there.
pub const BACKUP_MS_MAX: u64 = 120_000;
/// Time for model turns to end by themselves at shutdown.
pub const SHUTDOWN_RUNS_MS: u64 = 1_000;
/// Time for sockets to take their close frame at shutdown.
pub const SHUTDOWN_SOCKETS_MS: u64 = 1_000;
/// Time for the tail to be shipped at shutdown.
pub const SHUTDOWN_SHIP_MS: u64 = 30_000;
/// Time for the end of the tail to be kept after another gateway took the log over.
pub const SHUTDOWN_ORPHAN_MS: u64 = 5_000;
/// What clients are told about how long a restart takes.
pub const RESTART_EXPECTED_MS: u64 = 2_000;

/// Files of the workspace that are read, sealed or restored at the same time.
pub const FILES_AT_ONCE: usize = 8;
/// Bytes of a file that are read at a time.
pub const FILE_READ_BYTES: usize = 128 * 1024;
/// Paths that a pass over the workspace looks at; more than can be recorded, so that it is said.
pub const WORKSPACE_SCAN_ENTRIES_MAX: usize = 100_000;
/// Files that could not be recorded or restored, in one answer.
pub const WORKSPACE_PROBLEMS_MAX: usize = 100;
/// First and longest pause before files are restored again that the remote log did not give.
pub const WORKSPACE_RETRY_MS: (u64, u64) = (2_000, 60_000);
/// Files in one page of `workspace.list`.
pub const FILES_LISTED_MAX: usize = 500;
/// Bytes of a file that `workspace.get` shows; encoded they fit a frame.
pub const FILE_SHOWN_BYTES_MAX: u64 = 256 * 1024;

/// Deliveries under way at the same time.
pub const DELIVERIES_MAX: usize = 64;
/// How long an attempt waits until its record is in the remote log; then it goes on, with an alarm.
pub const ATTEMPT_REPLICATION_WAIT_MS: u64 = 10_000;
/// How long a received message waits likewise before its platform may forget it.
pub const INBOX_REPLICATION_WAIT_MS: u64 = 2_000;
/// Things that the outbox has not looked at yet.
pub const OUTBOX_QUEUE: usize = 1_024;
/// First and longest pause before something that surely was not sent is sent again.
pub const DELIVERY_RETRY_MS: (u64, u64) = (500, 30_000);
/// After this time a delivery that cannot be sent counts as failed.
pub const DELIVERY_PATIENCE_MS: u64 = 24 * 60 * 60 * 1_000;
/// Chats whose pace is remembered; beyond it those that may be written to anyway are forgotten.
pub const PACED_CHATS_MAX: usize = 10_000;
/// First and longest pause before a platform is asked again after an error.
pub const CHANNEL_RETRY_MS: (u64, u64) = (1_000, 60_000);
/// Pause while another process receives for the same bot.
pub const CHANNEL_CONFLICT_WAIT_MS: u64 = 30_000;
/// How often a message is offered again to a conversation that has too many waiting.
pub const HELD_BACK_RETRY_MS: u64 = 500;
/// Time for deliveries under way to end at shutdown.
pub const SHUTDOWN_DELIVERIES_MS: u64 = 5_000;
