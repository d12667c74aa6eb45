"""A document that the system does not let grow: the error names it, and it stays."""

from __future__ import annotations

import dataclasses
import resource

import pytest

from tigertally.delegation.client.documents import edit


def test_a_disk_without_room_names_the_document(tmp_path):
    doc = tmp_path / "d.yaml"
    doc.write_text("a: 1\n")

    def larger(found):
        text = dataclasses.replace(found.text, text="a: " + 9000 * "x" + "\n")
        return dataclasses.replace(found, text=text)

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="too large") as refused:
            edit(doc, ("d.yaml",), larger)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert refused.value.filename == str(doc)
    assert doc.read_text() == "a: 1\n"
    assert [path.name for path in tmp_path.iterdir()] == ["d.yaml"]
