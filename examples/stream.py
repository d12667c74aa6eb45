"""A stream: each piece is a record, which can be read as soon as it is written."""

import io
from tempfile import TemporaryDirectory

from tigertally.delegation import Owner, OwnerClient

with TemporaryDirectory() as store:
    ann, got = OwnerClient(Owner.generate(), store), io.BytesIO()
    ann.write_stream("camera/may-7", (b"picture 1", b"picture 2"))
    received = ann.read_stream("camera/may-7", got)
    assert got.getvalue() == b"picture 1picture 2"
    assert received.gaps == ()
