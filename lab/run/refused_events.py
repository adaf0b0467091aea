"""Events of a scenario that cannot happen to the run that is asked for."""

from __future__ import annotations

from lab.errors import UserError
from lab.run.request import RunRequest
from lab.run.stage import BROKER, DATABASE
from lab.scenario.load import KillEvent, NetworkEvent, RadioEvent, RotateEvent
from lab.services.broker import find_broker


def refuse_kills_of_externals(request: RunRequest) -> None:
    """:raises UserError: the scenario kills a broker or a database that is not ours."""
    options = {
        part: option
        for part, option, value in (
            (BROKER, "--broker-url", request.broker_url),
            (DATABASE, "--database-url", request.database_url),
        )
        if value is not None
    }
    kills = [event for event in request.scenario.events if isinstance(event, KillEvent) and event.part in options]
    faults = [f"event in line {event.line} kills the {event.part}" for event in kills]
    if faults:
        given = " and ".join(sorted({options[event.part] for event in kills}))
        hint = f"Only an embedded one can be killed: leave out {given}, or the event."
        raise UserError(faults, hint)


def refuse_faults_of_no_network(request: RunRequest) -> None:
    """:raises UserError: the scenario disturbs a communications network that is not modelled."""
    if request.scenario.network.on:
        return
    events = [event for event in request.scenario.events if isinstance(event, RadioEvent)]
    faults = [f"event in line {event.line} is a {event.fault} of the network, and none is modelled" for event in events]
    if faults:
        raise UserError(faults, 'Leave out model = "none" of [network] and --network none, or leave out the event.')


async def check_network_faults(request: RunRequest) -> None:
    events = [event for event in request.scenario.events if isinstance(event, NetworkEvent)]
    if request.site is not None:
        await request.site.check_network_faults(events)
        return
    faults = [f"event in line {event.line} disturbs the network of the {event.part}" for event in events]
    if faults:
        raise UserError(faults, "Only containers have networks of their own: add --compose, or leave out the event.")


def refuse_rotations_of_nothing(request: RunRequest) -> None:
    """Certificates are there where the run's own mosquitto serves the run's own head-end."""
    rotations = [event for event in request.scenario.events if isinstance(event, RotateEvent)]
    if not rotations:
        return
    if request.broker_url is not None:
        why = "with --broker-url it is somebody else's broker that knows the meters: leave it out"
    elif request.external is not None:
        why = "somebody else's head-end is let in by password, and so is everybody"
    elif request.site is None and find_broker().kind != "mosquitto":
        why = "the broker of this run, rumqttd, knows passwords only: install mosquitto"
    else:
        return
    faults = [f"event in line {event.line} rotates certificates, and there are none" for event in rotations]
    raise UserError(faults, f"Leave out the event, or: {why}.")
