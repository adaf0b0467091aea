"""docs/add-a-meter.md, followed word by word: its files are written and its commands are run, in their order."""

from __future__ import annotations

import re
import shlex
import shutil
import site
import subprocess
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT

PAGE = ROOT / "docs" / "add-a-meter.md"
_STEP = re.compile(r"(?:Write this to\s+`([^`]+)`:\n\n)?```(toml|sh)\n(.*?)```", re.DOTALL)


def steps() -> Iterator[tuple[str | None, str]]:
    """A file's path and its text, or None and a line for the shell."""
    for path, kind, text in _STEP.findall(PAGE.read_text(encoding="utf-8")):
        if kind == "toml":
            assert path, f"nothing says where this goes:\n{text}"
            yield path, text
        else:
            yield from ((None, line) for line in text.splitlines())


def installed(place: Path) -> None:
    """What `make setup` makes, on the packages that these tests run on."""
    venv.create(place / ".venv", with_pip=True, symlinks=True)
    (packages,) = (place / ".venv" / "lib").glob("python*/site-packages")
    # The locked one is newer.
    for bundled in packages.glob("setuptools*"):
        shutil.rmtree(bundled)
    borrowed = [str(ROOT), *site.getsitepackages()]
    for file in Path(site.getsitepackages()[0]).glob("*.pth"):
        borrowed += [line for line in file.read_text().splitlines() if line.startswith("/")]
    (packages / "borrowed.pth").write_text("\n".join(dict.fromkeys(borrowed)) + "\n")
    command = place / ".venv" / "bin" / "amilab"
    command.write_text(f"#!{place}/.venv/bin/python\nfrom lab.commands.main import main\nmain()\n")
    command.chmod(0o755)


@pytest.mark.timeout(600)
def test_the_page_is_true_word_by_word(tmp_path: Path) -> None:
    installed(tmp_path)
    said: dict[str, str] = {}
    for path, text in steps():
        if path is not None:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text, encoding="utf-8")
            continue
        done = subprocess.run(shlex.split(text), cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        said[text] = done.stdout
    assert "acme-m100" in said[".venv/bin/amilab vendors"]
    assert "household-5min" in said[".venv/bin/amilab vendors --file household.toml"]
    passed = [text for text in said.values() if "PASSED" in text]
    assert len(passed) == 2
    assert all("on cellular: " in text for text in passed), "what its meters do not poll crosses a network"
