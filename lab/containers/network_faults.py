"""Network faults of containers. What each needs, Docker has; iptables and tc run in a container of their own beside it.

Only the packets of one network are touched: the lab link, outside of what is modelled, stays as it is.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable

from lab.containers.docker import docker
from lab.containers.project import CONDUCTOR, ComposeProject, Plug
from lab.errors import UserError
from lab.lockstep.network_fault import NetworkFault

Undo = Callable[[], Awaitable[None]]


async def impose(project: ComposeProject, container: str, network: str, fault: NetworkFault) -> Undo:
    """Begin a fault; returns what ends it. Raises UserError."""
    if fault.kind == "pause":
        await project.pause(container)
        return lambda: project.unpause(container)
    plug = await project.plugged(container, network)
    if fault.kind == "disconnect":
        await project.unplug(plug)
        return lambda: project.plug(plug)
    begin, end = _loss_commands(plug, fault.loss) if fault.kind == "loss" else _delay_commands(plug, fault.delay_ms)
    await _beside(project, container, begin)

    async def undo() -> None:
        await _beside(project, container, end)

    return undo


async def require_netem(project: ComposeProject) -> None:
    """:raises UserError: the kernel cannot delay packets."""
    try:
        await _alone(project, "tc qdisc add dev lo root netem delay 1ms")
    except UserError as error:
        raise UserError(
            ['the kernel has no netem, which `fault = "delay"` needs:', *error.faults[1:]],
            "Load its module (modprobe sch_netem), or use 'loss', 'disconnect' or 'pause', which need none.",
        ) from error


def _loss_commands(plug: Plug, loss: float) -> tuple[str, str]:
    subnet = ipaddress.ip_interface(f"{plug.address}/{plug.prefix_length}").network
    rules = [
        f"{chain} {side} {subnet} -m statistic --mode random --probability {loss:.4f} -j DROP"
        for chain, side in (("INPUT", "-s"), ("OUTPUT", "-d"))
    ]
    begin, end = (" && ".join(f"iptables -w {verb} {rule}" for rule in rules) for verb in ("-A", "-D"))
    return begin, end


def _delay_commands(plug: Plug, delay_ms: int) -> tuple[str, str]:
    device = f"$(ip -o -4 addr show | awk '$4 == \"{plug.address}/{plug.prefix_length}\" {{ print $2 }}')"
    return f'tc qdisc add dev "{device}" root netem delay {delay_ms}ms', f'tc qdisc del dev "{device}" root'


async def _beside(project: ComposeProject, container: str, command: str) -> None:
    await _run(project, command, f"container:{container}")


async def _alone(project: ComposeProject, command: str) -> None:
    await _run(project, command, "none")


async def _run(project: ComposeProject, command: str, network: str) -> None:
    image = await project.image(CONDUCTOR)
    try:
        await docker(
            "run", "--rm", "--pull", "never", "--network", network, "--cap-drop", "ALL", "--cap-add", "NET_ADMIN",
            "--cap-add", "NET_RAW", "--user", "0", "--entrypoint", "sh", image, "-c", command,
        )  # fmt: skip
    except UserError as error:
        if any("No such image" in fault for fault in error.faults):
            raise UserError(
                f"there is no image {image}, which has iptables and tc", "Build it: docker compose build lab"
            ) from error
        raise
