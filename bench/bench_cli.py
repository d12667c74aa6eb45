"""`tally --help` against a bare typer and rich program.

Whole processes, start to end, taking turns. The bare program has two commands, shows its help and
does nothing else. Aim: at most three times its time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pairs import compare

SOURCE = Path(__file__).parents[1] / "src"
BARE = '''
import typer
app = typer.Typer(help="A bare program.")
@app.command()
def one() -> None:
    """The one."""
@app.command()
def two() -> None:
    """The other."""
app()
'''
TALLY = "from tigertally.cli.main import main; main()"


def shows(program: str, *args: str) -> Callable[[], object]:
    command = [sys.executable, "-c", program, *args]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}

    def call() -> None:
        subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)

    return call


def run() -> list[dict[str, Any]]:
    """One row a measurement."""
    bare = shows(BARE, "--help")
    return [
        compare(shows(TALLY, "--help"), bare, pairs=11).row(
            "tally --help", peer="bare typer + rich", aim="peer / ours ≥ 0.33"
        ),
        compare(shows(TALLY, "profile", "show", "--help"), bare, pairs=5).row(
            "tally profile show --help", peer="bare typer + rich"
        ),
    ]


if __name__ == "__main__":
    for line in run():
        print(line)
