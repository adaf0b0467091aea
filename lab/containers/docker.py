"""The command `docker`, asked and answered; its refusals in words."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from lab.containers.logs import plain
from lab.errors import UserError

PATIENCE_S = 900.0
_TAIL_LINES = 12
#: What Compose tells of what went well on the way to its refusal.
_PROGRESS = re.compile(
    r"\s*(Network|Volume|Container|Image) \S+ +"
    r"((Creat|Start|Stopp|Remov|Recreat|Restart|Pull|Runn|Wait)(ed|ing)|Recreate|Healthy|Built)\s*$"
)


async def docker(
    *arguments: str,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    patience_s: float = PATIENCE_S,
    merge: bool = False,
    given: str | None = None,
) -> str:
    """What the command prints, as plain text; with `merge` also what it prints as errors.

    :param given: what it reads from its standard input.

    :raises UserError: it fails, with its own last words, or does not end within `patience_s`.
    """
    said, is_whole = await _said(
        arguments, within_s=patience_s, merge=merge, directory=directory, environment=environment, given=given
    )
    if not is_whole:
        raise UserError(f"`docker {_shown(arguments)}` did not end within {patience_s:.0f} s")
    return said


async def docker_says(*arguments: str, within_s: float) -> tuple[str, bool]:
    """What the command prints, errors too, and whether it has come to its end; it is ended after `within_s`.

    :raises UserError: it fails, with its own last words.
    """
    return await _said(arguments, within_s=within_s, merge=True)


async def _said(
    arguments: Sequence[str],
    *,
    within_s: float,
    merge: bool,
    directory: Path | None = None,
    environment: Mapping[str, str] | None = None,
    given: str | None = None,
) -> tuple[str, bool]:
    # Files keep what was said by somebody who has to be ended.
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as words:
        process = await asyncio.create_subprocess_exec(
            program(),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL if given is None else asyncio.subprocess.PIPE,
            stdout=out,
            stderr=asyncio.subprocess.STDOUT if merge else words,
            cwd=directory,
            env={**os.environ, **(environment or {})},
            # Ctrl-C belongs to the lab: a command that is half done would leave it half a state.
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(within_s):
                await process.communicate(None if given is None else given.encode())
            is_whole = True
        except TimeoutError:
            process.kill()
            await process.wait()
            is_whole = False
        said, refusal = _text(out), _text(words)
    if is_whole and process.returncode != 0:
        refusal = refusal or said
        raise UserError([f"`docker {_shown(arguments)}` failed:", *_last_words(refusal)], hint_for(refusal))
    return said, is_whole


async def docker_json(*arguments: str, directory: Path | None = None) -> Any:
    """Its answer, parsed."""
    return json.loads(await docker(*arguments, directory=directory))


def program() -> str:
    """Where docker is. Raises UserError."""
    found = shutil.which("docker")
    if found is None:
        raise UserError(
            "the command `docker` was not found",
            "Install Docker Engine and its Compose plugin, or leave out --compose and --swarm: without them the lab "
            "needs neither.",
        )
    return found


async def require_docker(*, swarm: bool = False) -> None:
    """:raises UserError: no engine answers, or has no Compose (or, with `swarm`, no swarm that is managed here)."""
    info = await docker_json("info", "--format", "{{json .}}")
    faults = list(info.get("ServerErrors") or [])
    if faults:
        raise UserError([f"Docker: {fault}" for fault in faults], hint_for("\n".join(faults)))
    if swarm:
        found = info.get("Swarm", {})
        if found.get("LocalNodeState") != "active":
            raise UserError(
                "this machine is in no swarm",
                "Start one (docker swarm init --advertise-addr 127.0.0.1) or join one; see compose/SWARM.md.",
            )
        if not found.get("ControlAvailable"):
            raise UserError("this machine is no manager of its swarm", "Run this where `docker node ls` works.")
    try:
        await docker("compose", "version")
    except UserError as error:
        raise UserError(
            "Docker's plugin Compose v2 is not installed",
            "Install docker-compose-plugin (Docker's packages) or docker-compose (Debian 13, Ubuntu 24.04: "
            "docker-compose-v2).",
        ) from error


def hint_for(words: str) -> str | None:
    """What to do about a refusal of docker's, where that is known."""
    said = words.lower()
    if "permission denied" in said and "docker.sock" in said:
        return "Join the group docker (and log in again), or run this as root."
    if "cannot connect to the docker daemon" in said or "is the docker daemon running" in said:
        return "Start the Docker engine: systemctl start docker"
    if "address already in use" in said or "port is already allocated" in said:
        return "Another program has that port: choose another in compose/.env (AMILAB_…_PORT)."
    if "pool overlaps with other one" in said or "address pools have been fully subnetted" in said:
        return "Another network has these addresses: choose others in compose/.env (AMILAB_METERING_…)."
    if "no space left on device" in said:
        return "Free some space where Docker keeps its images and volumes: docker system df, docker system prune."
    if "no such image" in said:
        return "The images are not there yet: docker compose build; docker compose pull --ignore-buildable database"
    if "pull access denied" in said or "no such host" in said or "failed to resolve" in said or "i/o timeout" in said:
        return (
            "The registry cannot be reached from here. For a machine without internet use the variant that is built "
            "from Debian's packages: amilab compose init --debian; see compose/README.md."
        )
    no_secret = "bind source path does not exist" in said and "/secrets/" in said
    if no_secret or "env file" in said or "is missing a value" in said or "required variable" in said:
        return "Run `amilab compose init` first: it writes compose/.env, keys and passwords."
    return None


def _shown(arguments: Sequence[str]) -> str:
    return " ".join(arguments[:6]) + (" …" if len(arguments) > 6 else "")


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return plain(file.read().decode(errors="replace"))


def _last_words(said: str) -> list[str]:
    lines = [line.strip() for line in said.splitlines() if line.strip() and not _PROGRESS.match(line)]
    return lines[-_TAIL_LINES:] or ["(it said nothing)"]
