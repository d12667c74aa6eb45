"""What `contrib/` offers fits the program: commands are accepted, units are understood."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer.main

from domain_rig import DomainRig
from sources import ROOT
from tigertally.cli.main import app
from tigertally.host.pages import pages

UNITS = sorted((ROOT / "contrib" / "systemd").glob("*.service"))
SPECIFIERS = {"%i": "night", "%d": "/run/credentials/unit"}
MUST = {
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "LimitCORE": "0",
    "CapabilityBoundingSet": "",
    "UMask": "0077",
}


def service(path: Path) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=True, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(path.read_text("utf-8"))
    return dict(parser["Service"])


def accepted(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The command that a command line calls, and what it is given; raises if it is refused."""
    group, name, *rest = words
    command: Any = typer.main.get_command(app)
    for word in (group, name):
        command = command.get_command(command.context_class(command), word)
    return f"{group} {name}", command.make_context(name, rest).params


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_a_unit_is_hardened_and_its_command_exists(path: Path) -> None:
    unit = service(path)
    assert {name: unit[name] for name in MUST} == MUST
    assert unit["LimitMEMLOCK"] != "0"
    line = unit["ExecStart"]
    for specifier, value in SPECIFIERS.items():
        line = line.replace(specifier, value)
    program, *words = shlex.split(line)
    assert Path(program).is_absolute()
    assert Path(program).name == "tally"
    assert "%" not in line
    called, given = accepted(words)
    assert called in ("authority run", "holder run")
    assert given["profile"] == "night"
    if "rules" in given:
        assert str(given["passphrase_file"]).startswith(SPECIFIERS["%d"])
        assert unit["LoadCredential"].partition(":")[0] == given["passphrase_file"].name
        assert "-HUP" in unit["ExecReload"]


def test_a_wrong_command_line_would_be_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        accepted(["holder", "run", "--profile", "night", "--rule", "x"])


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_systemd_understands_the_unit(path: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        assert service(path), "without systemd the unit is at least parsed, see above"
        return
    text = path.read_text("utf-8").replace("/usr/local/bin/tally", "/bin/true")
    assert complaints(analyze, tmp_path / path.name.replace("@", "@night"), text) == []
    wrong = text.replace("NoNewPrivileges=yes", "NoNewPrivilege=yes")
    assert complaints(analyze, tmp_path / path.name.replace("@", "@wrong"), wrong) != []


def complaints(analyze: str, path: Path, text: str) -> list[str]:
    path.write_text(text)
    command = [analyze, "verify", "--man=no", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if path.stem in line]


def test_what_is_measured_is_documented_and_shown() -> None:
    """The page that an authority serves, the table for people, the dashboard: the same metrics."""
    rig = DomainRig(threshold=2)
    rig.run(rig.form(2))
    page = rig.run(pages(rig.authority)["/metrics"]()).body.decode()
    served = set(re.findall(r"^# TYPE (tigertally_\w+)", page, re.MULTILINE))
    served = {name for name in served if not name.endswith("_created")}
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    first = (line.split("|")[1] for line in text.splitlines() if line.startswith("| `tigertally_"))
    listed = {name for cell in first for name in re.findall(r"tigertally_[a-z_]+", cell)}
    dashboard = json.loads((ROOT / "contrib" / "grafana" / "tigertally.json").read_text("utf-8"))
    said = " ".join(target["expr"] for panel in dashboard["panels"] for target in panel["targets"])
    drawn = set(re.findall(r"tigertally_[a-z_]+", said))
    assert len(served) > 15
    assert (listed, drawn) == (served, served)


def test_the_dashboard_is_one_document_of_our_metrics_only() -> None:
    dashboard = json.loads((ROOT / "contrib" / "grafana" / "tigertally.json").read_text("utf-8"))
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        for target in panel["targets"]:
            assert re.search(r"\btigertally_[a-z_]+", target["expr"]), panel["title"]
