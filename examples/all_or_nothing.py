"""All or nothing: who has the file's key, but not the last byte of the file, opens nothing."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from tigertally.base.errors import InvalidSignature
from tigertally.delegation import Owner, OwnerClient

with TemporaryDirectory() as store:
    ann = OwnerClient(Owner.generate(), store)
    ann.write("reports/may", b"report of May", all_or_nothing=True)
    assert ann.read("reports/may") == b"report of May"
    sealed = Path(store, "reports", "may")
    sealed.write_bytes(sealed.read_bytes()[:-1])
    with suppress(InvalidSignature):
        ann.read("reports/may")
        raise AssertionError("a part was enough")
