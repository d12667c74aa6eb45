"""The ways to share a key, behind one interface: `SuiteRules`.

CONTRIBUTING.md, "Where a new thing goes", says what else a new suite touches.
"""

from __future__ import annotations

from collections.abc import Mapping

from tigertally.custody.messages.kinds import Suite
from tigertally.custody.protocol.suite_pedersen import PedersenEd25519
from tigertally.custody.protocol.suite_rules import SuiteRules
from tigertally.custody.protocol.suite_shamir import ShamirGf256

PEDERSEN = PedersenEd25519()
SHAMIR = ShamirGf256()
SUITES: Mapping[Suite, SuiteRules] = {
    Suite.PEDERSEN_ED25519: PEDERSEN,
    Suite.SHAMIR_GF256: SHAMIR,
}
