"""The documentation builds without a warning and loads nothing from anywhere else."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from sources import ROOT

LOADING = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src")}


class Loads(HTMLParser):
    """Collects the addresses from which a page loads something by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "link" and dict(attrs).get("rel") in ("canonical", "next", "prev"):
            return
        self.found |= {value or "" for name, value in attrs if (tag, name) in LOADING}


def elsewhere(html: str) -> set[str]:
    page = Loads()
    page.feed(html)
    return {address for address in page.found if re.match(r"(https?:)?//", address)}


@pytest.mark.slow
def test_pages_build_and_load_nothing_from_elsewhere(tmp_path):
    build = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path / "site"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    result = subprocess.run(
        build, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 20
    for page in pages:
        assert elsewhere(page.read_text("utf-8")) == set(), page.name
        assert 'class="mermaid"' not in page.read_text("utf-8"), "mermaid is loaded from elsewhere"


def test_what_is_loaded_from_elsewhere_is_found():
    html = '<link rel="stylesheet" href="https://fonts.example/a.css"><a href="https://b.example">b</a>'
    assert elsewhere(html) == {"https://fonts.example/a.css"}
    assert elsewhere('<script src="//cdn.example/x.js"></script>') == {"//cdn.example/x.js"}
    assert elsewhere('<script src="assets/x.js"></script>') == set()


def test_errors_are_explained_where_a_docstring_only_names_them():
    spec = importlib.util.spec_from_file_location("raises", ROOT / "docs/extensions/raises.py")
    assert spec is not None
    assert spec.loader is not None
    raises = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(raises)
    docstring = "Check.\n\nRaises:\n    Refused, Locked\n    Corrupt: as it is.\n\nEnd, Of text.\n"
    assert raises.spelled_out(docstring) == (
        "Check.\n\nRaises:\n"
        "    Refused: The message was fine; a rule, a person, a PIN or a passphrase says no.\n"
        "    Locked: The authority is locked; a holder must unlock it first.\n"
        "    Corrupt: as it is.\n\nEnd, Of text.\n"
    )


LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_links_of_the_front_pages_lead_somewhere(name):
    for target in LINK.findall((ROOT / name).read_text("utf-8")):
        assert (ROOT / target).exists(), target
