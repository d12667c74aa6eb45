"""Runs the benchmarks, prints one table and keeps it in `docs/performance.md`.

Every `bench/bench_*.py` has `run() -> list[dict]`: one dict a row, the keys are the columns. The
first line of its docstring is its heading. `python bench/run.py gf256 stream` runs only these two
and leaves the other sections of the page as they are.
"""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
_SECTION = re.compile(r"^<!-- bench:section (\w+) -->\n", re.MULTILINE)

Rows = list[dict[str, Any]]


def load(path: Path) -> ModuleType:
    """Import one benchmark by its path."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def chosen(names: list[str]) -> dict[str, Path]:
    """Benchmark name to file; an unknown name ends the run."""
    found = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    if unknown := set(names) - set(found):
        raise SystemExit(
            f"no such benchmark: {', '.join(sorted(unknown))}; have {', '.join(found)}"
        )
    return {name: found[name] for name in names} if names else found


def heading(module: ModuleType, name: str) -> str:
    return (module.__doc__ or name).strip().splitlines()[0].rstrip(".")


def columns(rows: Rows) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def printed(title: str, rows: Rows) -> Table:
    table = Table(title=escape(title), title_justify="left")
    for column in columns(rows):
        table.add_column(escape(column))
    for row in rows:
        table.add_row(*(escape(str(row.get(column, ""))) for column in columns(rows)))
    return table


def section(title: str, rows: Rows) -> str:
    """One benchmark as Markdown, with the machine it ran on in a few words."""
    names = columns(rows)
    lines = [f"## {title}", "", "| " + " | ".join(names) + " |", "|---" * len(names) + "|"]
    for row in rows:
        cells = (str(row.get(name, "")).replace("|", "\\|") for name in names)
        lines.append("| " + " | ".join(cells) + " |")
    machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores"
    busy = f"load {os.getloadavg()[0]:.1f} at the end"  # above the cores: others worked too
    return "\n".join([*lines, "", f"*{machine}, {busy}.*", ""])


def kept(page: str, new: dict[str, str]) -> str:
    """The page with these sections put in; the text around the marks is left alone."""
    head, _, rest = page.partition(BEGIN)
    body, _, tail = rest.partition(END)
    parts = _SECTION.split(body)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True)) | new
    texts = (f"<!-- bench:section {n} -->\n{t.strip()}\n" for n, t in sorted(sections.items()))
    return head + BEGIN + "\n\n" + "\n".join(texts) + "\n" + END + tail


def main() -> None:
    console = Console()
    new = {}
    for name, path in chosen(sys.argv[1:]).items():
        start = time.perf_counter()
        module = load(path)
        rows: Rows = module.run()
        new[name] = section(heading(module, name), rows)
        console.print(printed(heading(module, name), rows))
        console.print(f"[dim]{time.perf_counter() - start:.1f} s[/dim]\n")
    if new:
        PAGE.write_text(kept(PAGE.read_text("utf-8"), new), "utf-8")
    else:
        console.print("no benchmark yet")


if __name__ == "__main__":
    main()
