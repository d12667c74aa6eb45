"""Umbral: two of three proxies re-encrypt for Bob what was encrypted to Ann."""

from tigertally.schemes.umbral import (
    CapsuleFragment,
    SecretKey,
    Signer,
    decrypt_original,
    decrypt_reencrypted,
    encrypt,
    generate_key_fragments,
    reencrypt,
)

ann, bob, signer = SecretKey.random(), SecretKey.random(), Signer(SecretKey.random())
keys = ann.public_key(), bob.public_key()
capsule, ciphertext = encrypt(keys[0], b"report of May")
assert decrypt_original(ann, capsule, ciphertext) == b"report of May"

kfrags = generate_key_fragments(ann, keys[1], signer, threshold=2, shares=3)  # one for each proxy
answers = [reencrypt(capsule, kfrag).to_bytes() for kfrag in kfrags[:2]]  # from two of them
cfrags = [CapsuleFragment.from_bytes(answer) for answer in answers]
checked = [cfrag.verify(capsule, signer.verifying_key(), *keys) for cfrag in cfrags]
assert decrypt_reencrypted(bob, keys[0], capsule, checked, ciphertext) == b"report of May"
