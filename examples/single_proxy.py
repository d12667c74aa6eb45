"""One proxy: Ann shares with Bob the seed of a capsule; the proxy learns nothing of it."""

from tigertally.schemes.single_pre import open_shared, reencrypt_shared, share
from tigertally.schemes.umbral import SecretKey, encapsulate

ann, bob = SecretKey.random(), SecretKey.random()
capsule, seed = encapsulate(ann.public_key())  # derive keys from the seed
shared_key = share(ann, bob.public_key())  # Ann gives it to the proxy
answer = reencrypt_shared(capsule, shared_key)  # the proxy gives it to Bob, with its proof
assert open_shared(bob, ann.public_key(), capsule, answer).matches(seed)
