"""The pages of a real authority, as a collector of metrics sees them."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request

from process_rig import Town


def page(town: Town, path: str) -> tuple[int, str]:
    """A page of the authority: its status and its text."""
    pem = town.home.parent / "scraper.pem"
    if not pem.exists():
        town.run("authority", "scraper", "--out", pem)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(pem)
    try:
        with urllib.request.urlopen(town.url + path, context=context) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(town: Town, name: str) -> float:
    """One number of `/metrics`, as a scrape now says it; 0 where it is not there yet."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        status, text = page(town, "/metrics")
        if status == 200:
            lines = [line for line in text.splitlines() if line.startswith(f"tigertally_{name}")]
            return float(lines[0].rpartition(" ")[2]) if lines else 0.0
    raise AssertionError("no metrics")
