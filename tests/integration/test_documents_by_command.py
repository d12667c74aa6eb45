"""What people told of programs like this one, by the real commands: `tally secret`."""

from __future__ import annotations

import json

import pytest

from tigertally.quorum.card import Role

ANN = ("--profile", "ann")


@pytest.fixture
def ann(nowhere):
    nowhere.person("ann", Role.IDENTITY)
    return nowhere


def given(folder, name, content):
    path = folder / name
    path.write_bytes(content.encode())
    return path


@pytest.mark.requirement("D11")
def test_a_manifest_gets_a_secret_and_is_printed_whole(ann, tmp_path):
    text = (
        "# ours\nkind: Secret\nstringData:\n  user: app   # who\n---\nkind: Pod\n"
        "spec: {volumes: [{secret: {defaultMode: 0400}}], restart: no}\n"
    )
    doc, value = given(tmp_path, "k.yaml", text), given(tmp_path, "v", "pw: #1\n")
    doc.chmod(0o640)
    ann.run("secret", "set", doc, "stringData/password", *ANN, "--in", value)
    unit = next(line for line in doc.read_text().splitlines() if "password" in line)
    assert doc.read_text().replace(unit + "\n", "") == text
    assert doc.stat().st_mode & 0o777 == 0o640
    told = ann.run("secret", "get", doc, "/", *ANN, "--plain")
    assert told.out == text.replace("# who\n", '# who\n  password: "pw: #1"\n')
    assert "5 fields are not encrypted" in told.err
    told = ann.run("secret", "get", doc, "/", *ANN, "--document", "1", code=2)
    assert "kind is not encrypted, line 2" in told.err
    shown = ann.json("secret", "get", doc, "stringData", *ANN, "--plain")
    assert shown["value"] == {"user": "app", "password": "pw: #1"}
    assert shown["plain"] == ["stringData/user"]
    out = tmp_path / "out.yaml"
    shown = ann.json("secret", "get", doc, "/", *ANN, "--plain", "--out", out)
    assert "value" not in shown
    assert len(shown["plain"]) == 5
    assert out.read_text() == text.replace("# who\n", '# who\n  password: "pw: #1"\n')
    told = ann.run("secret", "set", doc, "kind", *ANN, "--in", value, code=2)
    assert "holds 2 YAML documents: say --document" in told.err
    ann.run("secret", "unset", doc, "stringData/password", "--profile", "nobody")
    assert doc.read_bytes() == text.encode()
    ann.run("secret", "unset", doc, "stringData/password", code=2)
    assert doc.read_bytes() == text.encode()


@pytest.mark.requirement("D11")
def test_values_are_read_in_the_language_they_are_in(ann, tmp_path):
    doc = tmp_path / "d.json"
    for name, content, value in (
        ("e.json", '{"e":"\\ud83d\\ude00",\n\t"n": 1.5}', {"e": "\U0001f600", "n": 1.5}),
        ("block.yaml", "k: |\n  a\n", {"k": "a\n"}),
        ("text", '["x"]\n', ["x"]),
    ):
        ann.run("secret", "set", doc, name, *ANN, "--parse", "--in", given(tmp_path, name, content))
        assert ann.json("secret", "get", doc, name, *ANN)["value"] == value
    before = doc.read_bytes()
    for name, content, why in (
        ("n.json", '{"a":/*c*/"b"}', "not JSON, line 1"),
        ("n", "a: 1\n", "not JSON, line 1"),
        ("m.yaml", "a: x\nmode: 0400\n", "0400, line 2, is read differently"),
        ("f.json", '{"a":\n1.10}', "the number 1.10, line 2, would not keep its digits"),
        ("s.json", '"\\ud83d"', "half of a surrogate pair, line 1"),
    ):
        source = given(tmp_path, name, content)
        told = ann.run("secret", "set", doc, "v", *ANN, "--parse", "--in", source, code=2)
        assert why in told.err
        assert "whoever" not in told.err
    assert doc.read_bytes() == before


@pytest.mark.requirement("D11")
def test_names_and_lists_are_found(ann, tmp_path):
    value = given(tmp_path, "v", "new")
    doc = given(tmp_path, "n.json", '{"cafe\u0301": "old", "a/b": {"c~1": 1}, "l": [{"v": 2}]}')
    for place in ("caf\u00e9", "a~1b/c~01", "l/0/v"):
        ann.run("secret", "set", doc, place, *ANN, "--in", value)
        assert ann.json("secret", "get", doc, place, *ANN)["value"] == "new"
    found = json.loads(doc.read_bytes())
    assert list(found) == ["cafe\u0301", "a/b", "l"]
    assert '"old"' not in doc.read_text()
    told = ann.run("secret", "set", doc, "a~1b", *ANN, "--in", value, code=2)
    assert "what is below a~1b, line 1, would be lost: say --replace" in told.err
    ann.run("secret", "set", doc, "a~1b", *ANN, "--in", value, "--replace")
    assert ann.json("secret", "get", doc, "a~1b", *ANN)["value"] == "new"
    for text in ("a: 1\nb: [\n", "a: 1\nb: \x01\n"):
        bad = given(tmp_path, "bad.yaml", text)
        told = ann.run("secret", "set", bad, "x", *ANN, "--in", value, code=2)
        assert "line 2" in told.err
        assert bad.read_text() == text


@pytest.mark.requirement("D11")
def test_the_language_is_told_by_the_name_or_the_document_stays(ann, tmp_path):
    value = given(tmp_path, "v", "pw")
    doc = given(tmp_path, "A.JSON", '{"a":1}')
    ann.run("secret", "set", doc, "b", *ANN, "--in", value)
    assert json.loads(doc.read_text())["a"] == 1
    assert ann.run("secret", "get", doc, "b", *ANN).out == "pw\n"
    for name, text in (("c.toml", 'k = "v"\n'), (".env", "A=b\n"), ("d.TOML", None)):
        other = tmp_path / name
        if text is not None:
            other.write_text(text)
        told = ann.run("secret", "set", other, "b", *ANN, "--in", value, "--replace", code=2)
        assert "its name says neither YAML nor JSON" in told.err
        assert (other.read_text() if other.exists() else None) == text
    landed = given(tmp_path, "e.ini", "a: 1\n")  # it is YAML, whatever it is called
    ann.run("secret", "set", landed, "b", *ANN, "--in", value)
    assert ann.run("secret", "get", landed, "b", *ANN).out == "pw\n"


@pytest.mark.requirement("D11")
def test_what_cannot_be_done_to_a_document_is_said_in_true_words(ann, tmp_path):
    doc, empty = given(tmp_path, "d.yaml", "a: 1\n"), given(tmp_path, "v", "")
    told = ann.run("secret", "unset", doc, "/", code=2)
    assert "not taken out whole" in told.err
    told = ann.run("secret", "set", tmp_path / "no/d.yaml", "a", *ANN, "--in", empty, code=2)
    assert "there is no directory" in told.err
    assert not (tmp_path / "no").exists()
    told = ann.run("secret", "set", doc, "b", *ANN, "--in", empty)
    assert "notice: the value is empty" in told.err
