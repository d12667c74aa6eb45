"""A file under a label: encrypted to it and all above, signed inside, in a folder as the store."""

from tempfile import TemporaryDirectory

from tigertally.delegation import Owner, OwnerClient

with TemporaryDirectory() as store:
    ann = OwnerClient(Owner.generate(), store)
    ann.write("reports/may", b"report of May")
    assert ann.read("reports/may") == b"report of May"
