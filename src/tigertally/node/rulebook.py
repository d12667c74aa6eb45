"""The rules of a running unattended holder: read at the start, again at SIGHUP; and its log."""

from __future__ import annotations

import asyncio
import os
import stat
from pathlib import Path

import structlog

from tigertally.base.errors import UsageError
from tigertally.base.ids import ProposalId
from tigertally.custody.client.unattended import Answered
from tigertally.custody.messages.kinds import RELEASE
from tigertally.custody.rules import MAX_RULES_BYTES, Rules, parse_rules

_MOST_TOLD = 10_000  # proposals whose last decision is remembered, so that it is logged once


def read_rules(path: Path) -> Rules:
    """The rules in a file.

    Raises:
        UsageError: it cannot be read, others may write it, or it is not exactly rules.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            raw = file.read(MAX_RULES_BYTES + 1)
        text = raw.decode("utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the rules {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"the rules {path} are not UTF-8 text") from error
    if others_may_write(status.st_mode, status.st_uid):
        raise UsageError(f"others may write the rules {path}: own it, and chmod go-w it")
    if len(raw) > MAX_RULES_BYTES:
        raise UsageError(f"the rules {path} are longer than {MAX_RULES_BYTES} bytes")
    try:
        return parse_rules(text)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def others_may_write(mode: int, owner: int) -> bool:
    """May somebody else than we or the system's administrator write a file of this mode?"""
    return stat.S_ISREG(mode) and (bool(mode & 0o022) or owner not in {0, os.geteuid()})


class RuleBook:
    """The rules in force. A file that became wrong changes nothing, and the log says so.

    Raises:
        UsageError: as `read_rules`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.rules = read_rules(path)
        self.changed = asyncio.Event()
        self._log = structlog.get_logger("tigertally.holder")
        self._told: dict[ProposalId, tuple[bool, str]] = {}

    def reload(self) -> None:
        """Read the file again, as at SIGHUP."""
        try:
            self.rules = read_rules(self._path)
        except UsageError as error:
            self._log.error("rules kept", error=str(error), rules=len(self.rules.rules))
            return
        self._log.info("rules read", rules=len(self.rules.rules))
        self.changed.set()

    def tell(self, answered: list[Answered]) -> None:
        """Log each decision, once as long as it stays the same."""
        for one in answered:
            id_, decision = one.proposal.id, one.decision
            said = (one.approved, decision.why)
            if self._told.get(id_) == said:
                continue
            if len(self._told) >= _MOST_TOLD:
                self._told.clear()
            self._told[id_] = said
            about: dict[str, object] = {
                "proposal": str(id_),
                "kind": str(one.proposal.proposal.kind),
            }
            if one.proposal.proposal.kind == RELEASE:
                about |= {"key": str(decision.key), "requester": one.proposal.proposer}
            if decision.rule is None:
                self._log.info("left to people", why=decision.why, **about)
                continue
            about |= {"rule": decision.rule.number, "rule_name": decision.rule.name.hex()[:16]}
            words = "approved by rule" if one.approved else "allowed by rule, not approved"
            self._log.info(words, why=decision.why, **about)
