"""The audit log: a Merkle tree of what happened, its signed checkpoints, and who watches them."""
