"""Numeric limits, each with its reason. A limit that is hit is an error, never a truncation."""

from __future__ import annotations

MAX_HOLDERS = 255  # x-coordinates of GF(256) are 1..255
MIN_QUORUM = 2  # with one approver nothing would be a quorum
MAX_NAME_LENGTH = 64  # names stand in tables on screens and in file names
MAX_TEXT_LENGTH = 500  # a reason that a person reads before approving
MAX_MARKS = 2  # combining marks on a character: a vowel and a tone; more only pile up
MAX_SPACES = 2  # together, as after a full stop; more push what follows out of sight
MIN_ID_DIGITS = 8  # of the beginning of an id: people type no more, and few displayed ids share it

MAX_MESSAGE_BYTES = 4 * 1024 * 1024  # a dealing of 1,000 keys to 255 holders is the largest
MAX_MESSAGE_ITEMS = MAX_MESSAGE_BYTES // 8  # hashes, signatures and keys are far longer
UNCOUNTED_ITEMS = 512  # so few cost less than the counting; 64 bytes each
MAX_MESSAGE_DEPTH = 16  # deepest nesting of a CBOR message
MAX_SMALL_MESSAGE_BYTES = 64 * 1024  # most doors, and all that strangers may use
MAX_SMALL_MESSAGE_ITEMS = 512  # a proof of 500 checkpoints is the longest; most have under 20

MAX_KEYS_TOGETHER = 4096  # in one dealing; with the fewest holders so many fit half a message
MAX_OPTION_ITEMS = 4096  # of a proposal's body; the longest has a list of names

MAX_IMPORT_BYTES = 64 * 1024  # a secret is a key, a seed or a certificate with its key
MAX_REQUESTER_BYTES = MAX_IMPORT_BYTES + 4096  # a sealed import in its envelope is the largest
MAX_REQUESTER_ITEMS = 512  # as strangers: requesters deal nothing
MAX_OPEN_REQUESTS = 256  # requests one server answers at the same time
MAX_OPEN_REQUESTS_OF_OTHERS = 160  # of all who are no holders: a release waits for holders
MAX_OPEN_REQUESTS_OF_STRANGERS = 32  # together: their requests are short, and few have a cause
MAX_OPEN_PAGES = 16  # for monitoring, beside all others
MAX_POLLS_PER_KEY = 4  # long polls of one device: its daemon and commands that wait
MAX_POLLS_OF_STRANGERS = 64  # as many as join requests may be open, and a few more
MAX_REQUESTS_PER_SECOND = 2000  # per holder; a sync loop needs a few
MAX_REQUESTER_REQUESTS_PER_SECOND = 100  # per requester; a release takes ten
MAX_STRANGER_REQUESTS_PER_SECOND = 20  # per stranger's key; a device joins with a dozen
MAX_ADDRESS_REQUESTS_PER_SECOND = 100  # of all strangers at one address: an office that joins
PAUSE_SECONDS = 1.0  # until a stranger or requester hears that it asks too much
LONG_POLL_SECONDS = 25  # shorter than the idle time-outs of common middleboxes

PROPOSAL_LIFETIME = 24 * 3600  # seconds; docs/protocols/quorum.md
MAX_PROPOSAL_LIFETIME = 30 * 24 * 3600  # nobody should approve what was asked last quarter
MIN_PROPOSAL_SECONDS = 600  # of who is no holder: shorter ones, made anew, would fill the disk
MAX_OPEN_PROPOSALS = 1000  # per domain, so that a requester cannot fill the disk
OLD_DOOR_SECONDS = 15 * 60  # until an authority that lacked a newer door is asked there again
CLOCK_SKEW = 300  # seconds by which two honest clocks may differ
MAX_OPEN_OF_ONE = 200  # of one proposer; more than people can answer in a day
MAX_OPEN_STRANGERS = 50  # join requests that wait for an answer
MAX_OPEN_PER_ADDRESS = 10  # of these from one address: a team behind one router
JOIN_SECONDS = 600  # a join request stands at least so long before another takes its place
COUNTED_SECONDS = 60  # what strangers do is written into the audit log once in so long

MAX_KEY_FRAGMENTS = 255  # of one delegation; opening takes work that grows with the square
MAX_ROTATION_BATCH = 32768  # capsules; 2.2 MB of results, below the limit of a message

MAX_LABEL_DEPTH = 64  # a slot of 170 bytes and 87 µs for each level of every file
MAX_COMPONENT_BYTES = 250  # of one name of a label: file systems take 255, with `.keys` behind
MAX_HEADER_BYTES = 64 * 1024  # the deepest label with the longest names fits
MAX_SLOTS_BYTES = 256 * 1024  # two writes of the deepest label, with proofs of rotated slots
MAX_WRITERS = 1000  # who may write below one label
DOCUMENT_LOCK_SECONDS = 60.0  # to wait for whoever else changes a document: one change is seconds

ERASURE_OWED_SECONDS = 24 * 3600  # a person is told of an erasure that no scrub has done by then

PIN_TRIES = 5  # wrong PINs until the first enrolment is void
UNLOCK_LIFETIME = 600  # seconds a started unlocking waits for more holders

MAX_AUDIT_DETAIL_BYTES = 256 * 1024  # beside an audit entry: a tally of 255 approvals fits
MAX_CHECKPOINT_BYTES = 64 * 1024  # a checkpoint cosigned by 255 holders is about 45 KiB
MAX_CONNECTIONS = 2048  # open sockets of one server, below the usual limit of 4,096 files
MAX_CONNECTIONS_OF_OTHERS = 1280  # of all who are no holders: three for each of 255 holders remain
MAX_CONNECTIONS_OF_STRANGERS = 256  # together
MAX_CONNECTIONS_PER_KEY = 16  # a device's daemon and commands; each has one or two
MAX_CONNECTIONS_PER_ADDRESS = 64  # of all strangers there
MAX_HANDSHAKES = 32  # at the same time, before it is known who comes; each takes milliseconds
MAX_HANDSHAKES_PER_ADDRESS = 64  # at once, that bring strangers: as many as may be open there
HANDSHAKES_PER_SECOND = 10  # of strangers at one address; each takes two milliseconds
UNLIMITED_HANDSHAKE_SECONDS = 60.0  # after a start; daemons try again every half of it at least
MAX_PEERS_TRACKED = 4096  # keys whose rate is remembered at the same time
MAX_BODY_SECONDS = 30.0  # for a request body to arrive; 4 MiB at 1 Mbit/s
IDLE_CONNECTION_SECONDS = 75.0  # a server closes a connection after so long without a request
REPLAY_SECONDS = 120.0  # how long an answer is kept for a retry; retries end with a call's `wait`
MAX_REPLAYS_PER_PEER = 4096  # answers kept for one party, oldest dropped first
MAX_REPLAYS_PER_STRANGER = 64  # a device joins with a dozen requests
MAX_REPLAY_BYTES_OF_STRANGERS = 2 * 1024 * 1024  # of all strangers together
MAX_REPLAY_BYTES_PER_PEER = 8 * 1024 * 1024  # two answers of the largest size
MAX_REPLAY_BYTES = 64 * 1024 * 1024  # of all parties together
MAX_RECORD_BYTES = 16 * 1024 * 1024  # of one record of a stream: it is held in memory
