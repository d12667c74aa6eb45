"""A night job gets its key from two unattended holders; what happened is proven from files."""

from __future__ import annotations

import json
import re
import signal
import ssl
import stat
import urllib.request
from pathlib import Path

import pytest

from process_rig import Town
from sources import ROOT

RULES = """
[[rule]]
key = "night-*"
requester = "app"
reason = 'job \\d+'
per_day = 1
"""


def scraped(town: Town, folder: Path) -> str:
    """`/metrics` as Prometheus gets it, with a certificate of any key (docs/operations.md)."""
    scraper = folder / "scraper.pem"
    town.json("authority", "scraper", "--out", scraper, TALLY_HOME=str(folder / "nobody"))
    assert stat.S_IMODE(scraper.stat().st_mode) == 0o600
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.load_cert_chain(scraper)
    with urllib.request.urlopen(f"{town.url}/metrics", context=context, timeout=30) as answer:
        text: str = answer.read().decode()
    return text


def check_metrics(text: str) -> None:
    dashboard = (ROOT / "contrib" / "grafana" / "tigertally.json").read_text("utf-8")
    wanted = set(re.findall(r"\btigertally_[a-z_]+", dashboard))
    there = set(re.findall(r"^(tigertally_[a-z_]+)[ {]", text, re.MULTILINE))
    assert wanted <= there, wanted - there
    lines = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(lines["tigertally_quorum_margin"]) == 1
    assert float(lines["tigertally_key_margin_least"]) == 1
    assert float(lines['tigertally_keys{state="active"}']) == 3
    assert sum("last_seen" in name for name in lines) == 3
    assert not re.search("alice|bob|payroll|night", text), "no names"


def check_proofs(town: Town, folder: Path) -> None:
    """Files, a fingerprint, no profile, no network: whoever has them checks what happened."""
    entries = town.json("audit", "list", "--profile", "carol")
    sent = next(e for e in entries if e["summary"].endswith("fragment of night-job version 1"))
    proof, roster, tally = folder / "p.proof", folder / "p.roster", folder / "p.tally"
    prove = ("audit", "prove", "--profile", "carol", "--out", proof)
    town.run(*prove, "--index", str(len(entries) + 1000), code=3)
    made = town.json(*prove, "--index", str(sent["index"]), "--count", "2")
    assert (made["proven"], made["fingerprint"]) == (2, town.fingerprint)
    town.run("roster", "export", "--profile", "carol", "--out", roster)
    released = [
        one
        for one in town.json("tally", "list", "--profile", "carol")
        if one["kind"] == "custody.release" and one["state"] == "complete"
    ]
    town.run("tally", "export", released[0]["id"], "--profile", "carol", "--out", tally)
    town.authority_down()
    empty = str(folder / "nobody")
    verify = ("audit", "verify", "--proof", proof, "--fingerprint", town.fingerprint)
    told = town.json(*verify, TALLY_HOME=empty)
    assert told["ok"]
    assert told["proven"][0]["summary"] == sent["summary"]
    assert told["proven"][0]["cosigned_by"] == ["alice", "bob"]
    assert town.json("roster", "verify", "--in", roster, TALLY_HOME=empty)["ok"]
    verified = town.json("tally", "verify", tally, "--roster", roster, TALLY_HOME=empty)
    assert verified["approved_by"] == ["alice", "bob"]
    raw = proof.read_bytes()
    for place in (len(raw) // 3, -40):
        changed = bytearray(raw)
        changed[place] ^= 1
        proof.write_bytes(changed)
        town.run(*verify, code=5, TALLY_HOME=empty)
    proof.write_bytes(raw)
    other = town.json("profile", "show", "--profile", "bob")["fingerprint"]
    town.run(*verify[:-1], other, code=5)
    town.run("audit", "verify", "--proof", proof, code=2)
    town.run("audit", "verify", code=2)


@pytest.mark.slow
@pytest.mark.requirement("C7")
@pytest.mark.requirement("X1")
@pytest.mark.requirement("X5")
def test_a_night(town: Town, tmp_path: Path) -> None:
    rules = tmp_path / "night.rules"
    rules.write_text("[[rule]]\nkey = 'a'\nrequest = 'b'\n")
    refused = town.run("holder", "run", "--profile", "alice", "--rules", rules, code=2)
    assert "unknown key 'request'" in refused.err
    assert "ready" not in refused.err
    rules.write_text(RULES)
    rules.chmod(0o666)
    assert (
        "chmod go-w"
        in town.run(
            *("holder", "run", "--profile", "alice", "--rules", rules, "--json"), code=2
        ).out
    )
    rules.chmod(0o644)

    town.create("night-job", "--unattended", "--requester", "app")
    shown = town.json("key", "show", "night-job", "--profile", "carol")
    assert (shown["margin"], shown["acknowledged_by"]) == (1, ["alice", "bob", "carol"])
    assert (shown["waiting_for"], shown["removed"]) == ([], [])
    listed = town.json("holder", "list", "--removed", "--profile", "carol")
    assert [(one["state"], one["missing"], one["needed"]) for one in listed] == [
        ("enrolled", 0, 0)
    ] * 3
    night = [
        town.start("holder", "run", "--profile", name, "--rules", rules)
        for name in ("alice", "bob")
    ]
    for holder in night:
        holder.await_words("^ready ")

    def get(reason: str, *words: str) -> tuple[str | Path, ...]:
        out = tmp_path / reason.replace(" ", "-")
        return (
            *("key", "get", "night-job", "--profile", "app", "--reason", reason),
            *("--out", out, *words),
        )

    got = town.json(*get("job 1", "--wait", "50"))
    assert got["approved_by"] == ["alice", "bob"], "and nobody was awake"
    for reason, why in (("by hand", "the reason does not match"), ("job 2", "used up: 1 of 1")):
        asked = town.json(*get(reason, "--no-wait"))
        for holder in night:
            line = json.loads(holder.await_words(f"{asked['proposal']}.*left to people|{why}.*"))
            assert line["event"] == "left to people"
    waiting = town.json("holder", "inbox", "--profile", "carol")
    assert [one["approvals"] for one in waiting] == [0, 0]

    rules.write_text("nonsense")
    for holder in night:
        holder.send(signal.SIGHUP)
        assert "not TOML" in holder.await_words("rules kept")
    rules.write_text(RULES.replace("per_day = 1", "per_day = 2"))
    for holder in night:
        holder.send(signal.SIGHUP)
    assert town.json(*get("job 2", "--wait", "50"))["approved_by"] == ["alice", "bob"]
    for holder in night:
        said = [json.loads(line) for line in holder.said().splitlines() if line.startswith("{")]
        granted = [one for one in said if one["event"] == "approved by rule"]
        assert [(one["rule"], one["key"], one["requester"]) for one in granted] == [
            (1, "night-job version 1", "app")
        ] * 2
        assert holder.stop().code == 0
    check_metrics(scraped(town, tmp_path))
    check_proofs(town, tmp_path)
