"""From a Compose project to a stack: what `docker compose config` says, in the words of `docker stack deploy`.

A stack file is an older dialect of the Compose file: it has no word for some things, another one for others, and
refuses what it does not know. Nothing is left out silently: a key is kept, turned, or known to mean nothing to a swarm.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lab.containers.settings import parse_memory
from lab.errors import UserError

VERSION = "3.9"
"""Of the dialect; older commands `docker` insist on it."""
KEPT = frozenset(
    {
        "cap_add", "cap_drop", "command", "dns", "dns_search", "entrypoint", "environment", "extra_hosts", "hostname",
        "image", "init", "labels", "logging", "networks", "read_only", "secrets", "stop_grace_period", "stop_signal",
        "sysctls", "ulimits", "user", "working_dir", "healthcheck",
    }
)  # fmt: skip
LEFT_OUT: Mapping[str, str] = {
    "build": "images are built, or loaded, on each node beforehand",
    "depends_on": "every part waits for what it needs",
    "restart": "deploy.restart_policy",
    "security_opt": "for the engine's whole node: no-new-privileges in its daemon.json",
    "profiles": "chosen already",
    "container_name": "tasks have names of their own",
}
"""Keys of a service that mean nothing to a swarm, and what there is instead."""
_WORLD_WRITABLE = "1777"
"""The mode of a mounted tmpfs, which nobody is asked about."""


def stack_of(config: Mapping[str, Any], replicas: Mapping[str, int] | None = None) -> dict[str, Any]:
    """The stack file, as a document.

    :param config: the answer of `docker compose config --format json`.
    :param replicas: of services that are to have others than their `deploy.replicas`.
    :raises UserError: naming every key that a stack cannot have and that is not known to be without meaning there.
    """
    services: dict[str, Any] = {}
    faults: list[str] = []
    for name, service in config["services"].items():
        unknown = sorted(set(service) - KEPT - set(LEFT_OUT) - set(_TURNED))
        faults += [f"the service {name} has {key!r}, which a stack cannot have" for key in unknown]
        try:
            services[name] = _service(service, (replicas or {}).get(name))
        except ValueError as error:
            faults.append(f"the service {name}: {error}")
    if faults:
        raise UserError(faults, "Take it out in compose.swarm.yaml (KEY: !reset null).")
    document: dict[str, Any] = {"version": VERSION, "services": services}
    for kind in ("networks", "volumes", "secrets"):
        if config.get(kind):
            document[kind] = {name: _common(value or {}) for name, value in config[kind].items()}
    for network in document.get("networks", {}).values():
        if "ipam" in network:
            network["ipam"] = _addresses(network["ipam"])
    return document


def _service(service: Mapping[str, Any], replicas: int | None) -> dict[str, Any]:
    found = {key: value for key, value in service.items() if key in KEPT and value is not None}
    if "networks" in found:
        found["networks"] = {name: _only(value or {}, "aliases") for name, value in found["networks"].items()}
    mounts = [mount for key, turn in _MOUNTS.items() for mount in turn(service.get(key) or [])]
    if mounts:
        found["volumes"] = mounts
    if service.get("ports"):
        found["ports"] = [_port(port) for port in service["ports"]]
    found["deploy"] = _deploy(service.get("deploy") or {}, replicas)
    return found


def _volumes(volumes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    # Swarm makes no directories for bind mounts: a node without them refuses the task.
    return [_only(volume, "type", "source", "target", "read_only") for volume in volumes]


def _tmpfs(mounts: list[str]) -> list[dict[str, Any]]:
    found = []
    for mount in mounts:
        target, _, text = mount.partition(":")
        options = dict(option.split("=", 1) for option in text.split(",") if option)
        if set(options) - {"size", "mode"} or options.get("mode", _WORLD_WRITABLE) != _WORLD_WRITABLE:
            raise ValueError(f"tmpfs {mount!r}: a stack knows a size only")
        found.append(_in_memory(target, options.get("size")))
    return found


def _shm(size: str) -> list[dict[str, Any]]:
    return [_in_memory("/dev/shm", size)] if size else []  # noqa: S108 - a mount, not a file


def _in_memory(target: str, size: str | None) -> dict[str, Any]:
    limit = {} if size is None else {"tmpfs": {"size": parse_memory(size)}}
    return {"type": "tmpfs", "target": target, **limit}


_MOUNTS: Mapping[str, Callable[[Any], list[dict[str, Any]]]] = {
    "volumes": _volumes,
    "tmpfs": _tmpfs,
    "shm_size": _shm,
}
_TURNED = frozenset({*_MOUNTS, "ports", "deploy"})


def _port(port: Mapping[str, Any]) -> dict[str, Any]:
    if port.get("host_ip"):
        raise ValueError(f"port {port['target']} is bound to {port['host_ip']}: a swarm publishes on every address")
    return {**_only(port, "target", "protocol", "mode"), "published": int(port["published"])}


def _deploy(deploy: Mapping[str, Any], replicas: int | None) -> dict[str, Any]:
    found = dict(deploy)
    if replicas is not None:
        found["replicas"] = replicas
    resources = found.get("resources")
    if resources:
        # A number here, a text there.
        found["resources"] = {
            kind: {key: str(value) if key == "cpus" else value for key, value in limits.items()}
            for kind, limits in resources.items()
        }
    return found


def _common(value: Mapping[str, Any]) -> dict[str, Any]:
    """A network, volume or secret. Its name follows from the stack's, unless it is there already."""
    return {
        key: part for key, part in value.items() if part not in ({}, None) and (key != "name" or "external" in value)
    }


def _addresses(ipam: Mapping[str, Any]) -> dict[str, Any]:
    """Without the range that containers get theirs from: no task has a fixed address that another one could take."""
    pools = ipam.get("config") or []
    return {**ipam, "config": [{key: part for key, part in pool.items() if key != "ip_range"} for pool in pools]}


def _only(value: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value[key] for key in keys if key in value}
