"""What a head-end of the lab is begun with: where its database and broker are, and who it is to them."""

from __future__ import annotations

from pathlib import Path

from lab.headends.store import Database
from lab.lockstep.link import Body
from lab.run.layout import Layout
from lab.run.surroundings import BrokerAccess
from lab.services.broker_config import HEAD_END, HEAD_END_HOST, head_end_client

LOCKSTEP_LIMITS: Body = {"poll_timeout_s": 30.0, "connect_timeout_s": 30.0}
"""On the wall clock, while simulated time stands still: a machine that is slow must not change what is counted. Whoever
is dead refuses at once."""


def headend_settings(store: Database, broker: BrokerAccess, layout: Layout, *, group: str, network: Path) -> Body:
    """Keyword arguments of `HeadEndSettings`, with files as the head-end sees them.

    :param network: the network model, where it was handed out.
    """
    settings: Body = {
        "database_url": store.seen_url or store.url,
        "database_schema": store.schema,
        "broker_host": broker.host,
        "broker_port": broker.port,
        "broker_username": broker.username,
        "broker_password": broker.password,
        "client_id": head_end_client(group),
        "group": group,
        "shipment": layout.seen(layout.shipment),
        "command_key": layout.seen(layout.command_key),
        "network_model": layout.seen(network),
    }
    if broker.keyring is not None:
        keys = broker.keyring.places
        settings["broker_ca"] = layout.seen(keys.trust)
        settings["broker_certificate"] = layout.seen(keys.head_end / f"{HEAD_END}.pem")
        settings["broker_host_certificate"] = layout.seen(keys.head_end / f"{HEAD_END_HOST}.pem")
    return settings
