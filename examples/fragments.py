"""Custody's arithmetic: a random secret in fragments for three holders; any two make it again."""

from tigertally.base.ids import HolderIndex
from tigertally.base.randomness import SystemRandomness
from tigertally.schemes.pedersen import SharedSecret, deal, reconstruct, verify_fragment

randomness = SystemRandomness()
secret = SharedSecret.random(randomness)
holders = [HolderIndex(number) for number in (1, 2, 3)]
dealt = deal(threshold=2, receivers=holders, randomness=randomness, secret=secret)
checked = [verify_fragment(dealt.commitments, dealt.fragments[n]) for n in (0, 2)]
assert reconstruct(dealt.commitments, checked).to_secret_bytes() == secret.to_secret_bytes()
