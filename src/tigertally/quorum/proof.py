"""Audit entries as a file that anyone verifies, with the authority's fingerprint and nothing else.

The file holds the entries with their way to the root of a signed checkpoint, the rosters, which
lead from the fingerprint to the holders' keys, and of each holder the newest verdict that cosigns
a checkpoint with these entries in it. No I/O. Numbered as in `docs/protocols/audit.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tigertally.audit.checkpoint import Checkpoint, SignedCheckpoint
from tigertally.audit.entry import AuditEntry
from tigertally.base.codec import decode, encode
from tigertally.base.errors import (
    InvalidSignature,
    MalformedMessage,
    PeerFault,
    Refused,
    UsageError,
)
from tigertally.base.ids import Fingerprint, Hash
from tigertally.base.limits import MAX_MESSAGE_BYTES
from tigertally.crypto import merkle
from tigertally.crypto.envelope import Envelope, parse_message
from tigertally.crypto.signatures import VerifyKey
from tigertally.quorum.approval import Approval, open_approval
from tigertally.quorum.chain import Chain, verify_chain
from tigertally.quorum.restoration import is_log_of
from tigertally.quorum.roster import SignedRoster


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenEntry:
    """An entry's exact bytes and its inclusion proof."""

    entry: bytes
    path: tuple[Hash, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """A holder's signed verdict, and that the checkpoint in it is a beginning of the file's."""

    verdict: Envelope
    path: tuple[Hash, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditProof:
    """What `tally audit prove` writes."""

    rosters: tuple[SignedRoster, ...]
    checkpoint: str
    entries: tuple[ProvenEntry, ...]
    cosigned: tuple[Cosigned, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """An entry, and the holders that signed a checkpoint with it."""

    entry: AuditEntry
    cosigned_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A proof that holds."""

    chain: Chain
    checkpoint: Checkpoint
    entries: tuple[Vouched, ...]


def make_proof(
    chain: Chain,
    entries: Sequence[AuditEntry],
    checkpoint: SignedCheckpoint,
    verdicts: Iterable[Envelope],
    *,
    first: int,
    count: int,
) -> bytes:
    """The file about `count` entries from number `first` on.

    Args:
        chain: verified.
        entries: the whole log at the checkpoint, verified.
        verdicts: of any proposals; those that vouch for none of the entries are left out.

    Raises:
        Refused: there are no such entries, or they are too many for a file.
    """
    size = checkpoint.checkpoint.size
    chosen = entries[first : first + count]
    if not chosen:
        raise Refused(f"the log has entries 0 to {size - 1}", advice="see `tally audit list`")
    tree = merkle.Tree()
    for entry in entries:
        tree.append(entry.leaf)
    proof = AuditProof(
        rosters=chain.signed,
        checkpoint=checkpoint.to_text(),
        entries=tuple(
            ProvenEntry(entry=one.to_bytes(), path=tree.inclusion_proof(one.index))
            for one in chosen
        ),
        cosigned=tuple(_newest_verdicts(chain, tree, verdicts, first)),
    )
    raw = encode(proof)
    if len(raw) > MAX_MESSAGE_BYTES:
        raise Refused("these entries do not fit into one file: prove fewer at a time")
    return raw


def _newest_verdicts(
    chain: Chain, tree: merkle.Tree, verdicts: Iterable[Envelope], first: int
) -> Iterable[Cosigned]:
    """Of each holder the verdict with the largest checkpoint that vouches for an entry."""
    newest: dict[int, tuple[int, Envelope]] = {}
    for envelope in verdicts:
        try:
            approval, seen = _opened(chain, envelope)
        except (Refused, MalformedMessage, PeerFault):
            continue  # it cosigns nothing: the log itself was compared with every verdict before
        if first < seen.size <= tree.size and tree.root(seen.size) == seen.root:
            before = newest.get(approval.holder, (0, envelope))
            newest[approval.holder] = max(before, (seen.size, envelope), key=lambda pair: pair[0])
    for _, (size, envelope) in sorted(newest.items()):
        yield Cosigned(verdict=envelope, path=tree.consistency_proof(size))


def _opened(chain: Chain, envelope: Envelope) -> tuple[Approval, Checkpoint]:
    """A verdict under its holder's signature, and the checkpoint in it under the authority's."""
    said = parse_message(Approval, envelope.body)
    approval = open_approval(envelope, chain.at(said.roster))
    signed = SignedCheckpoint.from_text(approval.checkpoint)
    return approval, _signed(chain, signed)


def _signed(chain: Chain, signed: SignedCheckpoint) -> Checkpoint:
    roster = chain.current
    if not is_log_of(signed.checkpoint.origin, roster.domain):
        raise PeerFault("a checkpoint of another log")
    return signed.verify(roster.authority.signing_key)


def verify_proof(raw: bytes, authority: Fingerprint) -> Proven:
    """Verify a file. It proves all that it says, or nothing.

    Raises:
        MalformedMessage, InvalidSignature, PeerFault: it does not hold.
    """
    proof = decode(AuditProof, raw)
    try:
        chain = _chain(proof, authority)
        checkpoint = _signed(chain, SignedCheckpoint.from_text(proof.checkpoint))  # (3)
        entries = [_included(one, checkpoint) for one in proof.entries]
        seen = [_cosigned(chain, one, checkpoint) for one in proof.cosigned]
    except (Refused, UsageError) as error:
        raise PeerFault(f"this proves nothing: {error}") from error
    numbers = [entry.index for entry in entries]
    if not numbers or numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        raise MalformedMessage("a proof is about one entry, or some that follow each other")
    if any(size <= numbers[0] for _, size in seen) or len(dict(seen)) != len(seen):
        raise MalformedMessage("a proof names a holder once, and only if it vouches for an entry")
    return Proven(
        chain=chain,
        checkpoint=checkpoint,
        entries=tuple(
            Vouched(
                entry=entry,
                cosigned_by=tuple(name for name, size in seen if size > entry.index),
            )
            for entry in entries
        ),
    )


def _chain(proof: AuditProof, authority: Fingerprint) -> Chain:
    """(1) the rosters begin under the fingerprint's key; (2) each follows by a tally."""
    if not proof.rosters:
        raise MalformedMessage("a proof brings the rosters")
    key: VerifyKey = proof.rosters[0].parse().authority.signing_key
    if key.fingerprint != authority:
        raise InvalidSignature(f"the proof is of another authority, {key.fingerprint}")
    versions = [signed.parse().version for signed in proof.rosters]
    if versions != list(range(1, len(versions) + 1)):
        raise MalformedMessage("a proof brings every roster once, in order")
    return verify_chain(proof.rosters, key)


def _included(one: ProvenEntry, checkpoint: Checkpoint) -> AuditEntry:
    """(4) the entry is in the tree of the checkpoint, at its own number."""
    entry = AuditEntry.from_bytes(one.entry)
    merkle.verify_inclusion(
        leaf=merkle.leaf_hash(one.entry),
        index=entry.index,
        size=checkpoint.size,
        proof=one.path,
        root=checkpoint.root,
    )
    return entry


def _cosigned(chain: Chain, one: Cosigned, checkpoint: Checkpoint) -> tuple[str, int]:
    """(5) a holder signed a checkpoint that is a beginning of this one: its name, and the size."""
    approval, seen = _opened(chain, one.verdict)
    merkle.verify_consistency(
        old_size=seen.size,
        old_root=seen.root,
        new_size=checkpoint.size,
        new_root=checkpoint.root,
        proof=one.path,
    )
    return str(chain.at(approval.roster).holder(approval.holder).name), seen.size
