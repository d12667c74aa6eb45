"""A field of a YAML document: names stay readable, each value is encrypted by itself."""

from pathlib import Path
from tempfile import TemporaryDirectory

from tigertally.delegation import Owner, OwnerClient

with TemporaryDirectory() as folder:
    ann = OwnerClient(Owner.generate(), folder)
    document = Path(folder, "app.yaml")
    ann.set_field(document, "db", {"user": "app", "password": "correct horse"})
    ann.set_field(document, "db/port", 5432)
    assert "correct horse" not in document.read_text("utf-8")
    assert ann.field(document, "db/password") == "correct horse"
    assert ann.field(document, "db")["port"] == 5432
