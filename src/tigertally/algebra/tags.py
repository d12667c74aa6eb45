"""Every domain separation tag. A hash, signature or HPKE `info` begins with exactly one of them.

A tag ends with a zero byte and holds none before it, so no tag is a prefix of another; a test
asserts that and that they are unique.
"""

from __future__ import annotations


def _tag(name: str) -> bytes:
    return b"tigertally/v1/" + name.encode("ascii") + b"\x00"


# identities
CARD = _tag("card")  # signature: a member's card
DOMAIN = _tag("domain")  # hash: names a domain
PROFILE_SEAL = _tag("profile-seal")  # AAD: whose secrets a sealed profile holds
PROFILE_CHECK = _tag("profile-check")  # hash: recognises a damaged profile file
ROW_SEAL = _tag("row-seal")  # AAD: one row of a sealed store

# roster
ROSTER = _tag("roster")  # signature: one roster version
ROSTER_HASH = _tag("roster-hash")  # hash: names a roster version
ELECTORATE = _tag("electorate")  # hash: domain, quorum and holders; what a proposal depends on
JOIN_PIN = _tag("join-pin")  # MAC: first enrolment, by PIN
JOIN_PIN_REPLY = _tag("join-pin-reply")  # MAC: the authority's answer to it
INVITATION = _tag("invitation")  # signature: pulls a holder in

# tally
PROPOSAL = _tag("proposal")  # signature: the proposer's
PROPOSAL_ID = _tag("proposal-id")  # hash: names a proposal
APPROVAL = _tag("approval")  # signature: a holder's verdict
ATTACHMENT = _tag("attachment")  # hash: what travels beside an approval
REQUEST = _tag("request")  # hash: by which a device knows again what it has asked for

# custody
RECEIVE_KEYS = _tag("receive-keys")  # signature: numbered keys, one per possible sender
RECEIVE_KEYS_HASH = _tag("receive-keys-hash")  # hash: names a signed set of receive keys
DEALING = _tag("dealing")  # signature: commitments and all pieces
DEALING_HASH = _tag("dealing-hash")  # hash: names a dealing
PIECE = _tag("piece")  # HPKE info, and hash: a piece on its way to one holder
EPOCH_HASH = _tag("epoch-hash")  # hash: dealers and commitments of an epoch
EPOCH_BASE = _tag("epoch-base")  # hash: what a reshare starts from
ACKNOWLEDGEMENT = _tag("acknowledgement")  # signature: a holder has stored its fragment
COMPLAINT = _tag("complaint")  # signature, and hash: a receiver opens what it got
ERASED = _tag("erased")  # signature: a receive key has been replaced, deal again
COMMITMENTS = _tag("commitments")  # hash: the commitments a fragment belongs to
FRAGMENT_DELIVERY = _tag("fragment-delivery")  # signature: a wrapped fragment leaves a device
FRAGMENT_WRAP = _tag("fragment-wrap")  # HPKE info, and hash: a fragment on its way
AUTHORITY_KEY = _tag("authority-key")  # signature: the authority's fresh key for one proposal
RELEASE_WRAP = _tag("release-wrap")  # HPKE info: a rebuilt key on its way to the requester
RELEASE = _tag("release")  # signature: the authority's rebuilt delivery
FRAGMENT_HASH = _tag("fragment-hash")  # hash: commitment to a GF(256) fragment
KEY_CHECK = _tag("key-check")  # MAC: key check value
PRIVATE_KEY = _tag("private-key")  # key derivation: shared scalar to private key
FINAL_KEY = _tag("final-key")  # key derivation: private key to final key
PEDERSEN_GENERATOR = _tag("pedersen-generator")  # hash: the second generator
HELD = _tag("held")  # signature: which epochs a holder has fragments of
HELD_HASH = _tag("held-hash")  # hash: names such a report
RULE = _tag("rule")  # hash: names a rule of an unattended holder
ERASURE = _tag("erasure")  # signature: a holder has erased a destroyed key
IMPORT_KEY = _tag("import-key")  # key derivation: private key to what an imported secret is under
IMPORT = _tag("import")  # signature and AAD: an imported secret, sealed
IMPORT_SOURCE = _tag("import-source")  # MAC: recognises the file of an import under way
DEVICE_SECRET = _tag("device-secret")  # AAD: a requester's recovery file

# lock
BARRIER_HASH = _tag("barrier-hash")  # hash: recognises the right barrier key
BARRIER_ENVELOPE = _tag("barrier-envelope")  # HPKE info: the barrier key for one holder
ENVELOPES = _tag("envelopes")  # signature: the envelopes beside a roster
UNLOCK_CHALLENGE = _tag("unlock-challenge")  # signature, and hash: the authority asks
UNLOCK_ANSWER = _tag("unlock-answer")  # signature: a holder answers
RESTORATION = _tag("restoration")  # signature: the authority says that it was restored
RESTORATION_HASH = _tag("restoration-hash")  # hash: names a restoration, and its log
ACCEPTANCE = _tag("acceptance")  # signature: a holder accepts a restored state
UNLOCK_WRAP = _tag("unlock-wrap")  # HPKE info: the envelope on its way back

# files
FILE_KEY = _tag("file-key")  # key derivation: stream key of one file
FILE_COMMITMENT = _tag("file-commitment")  # key derivation: key commitment of one file
FILE_CONTEXT = _tag("file-context")  # hash: what a file belongs to
FILE_ENCRYPTION = _tag("file-encryption")  # key derivation: `tally encrypt`
BACKUP = _tag("backup")  # AAD and stream context: a back-up of an authority
PASSPHRASE_SEAL = _tag("passphrase-seal")  # AAD: whatever is sealed under a passphrase

# delegation: labels and cards
OWNER_SEED = _tag("owner-seed")  # key derivation: an identity's seed of labels and keys
RECEIVING_KEY = _tag("receiving-key")  # key derivation: the key that grants are made for
IDENTITY_CARD = _tag("identity-card")  # signature: a person's keys
LABEL_ROOT = _tag("label-root")  # key derivation: the id of an owner's root label
LABEL_ID = _tag("label-id")  # MAC: the id of a label below another
LABEL_KEY = _tag("label-key")  # names the key of a label and version in the factory
LABEL_CARD = _tag("label-card")  # signature: who may write below a label, and to which keys

# delegation: files
DEK_COMMITMENT = _tag("dek-commitment")  # MAC: every slot opens to this DEK
HINT = _tag("hint")  # hash: which label a slot is for
META_KEY = _tag("meta-key")  # key derivation: the key of path and time
META = _tag("meta")  # AAD: path and time of one file
BODY_KEY = _tag("body-key")  # key derivation: the key of a file's stream
KEK = _tag("kek")  # key derivation: a capsule's seed to the key that wraps a DEK
DEK_WRAP = _tag("dek-wrap")  # AAD: a wrapped DEK
FIXED_HASH = _tag("fixed-hash")  # hash: names a fixed header
FILE_SIGNATURE = _tag("file-signature")  # signature: the sender's, inside the plaintext
AONT_KEY = _tag("aont-key")  # key derivation: what hides the key of an all-or-nothing file

# single-proxy re-encryption and rotation
SHARE_SEAL = _tag("share-seal")  # key derivation and AAD: an ephemeral key for its recipient
ROTATION_KEY = _tag("rotation-key")  # key derivation: the target of a rotation, from its source
ROTATION_ID = _tag("rotation-id")  # hash: names a rotation
ROTATED_CAPSULE = _tag("rotated-capsule")  # hash: a leaf of a set of rotated capsules
ROTATED_SET = _tag("rotated-set")  # signature: the owner's for such a set
BATCH_WEIGHTS = _tag("batch-weights")  # hash: what a proof of re-encryption is about
BATCH_CHALLENGE = _tag("batch-challenge")  # hash: the challenge of that proof
