"""What becomes of a Compose project as a stack."""

from __future__ import annotations

from typing import Any

import pytest

from lab.containers.stack import stack_of
from lab.errors import UserError


def service(**more: Any) -> dict[str, Any]:
    return {"image": "amilab/meters:0.1.0", **more}


def config(**more: Any) -> dict[str, Any]:
    return {"name": "amilab", "x-part": {}, "services": {"meters": service(**more)}}


def only(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = stack_of(config(**more))["services"]["meters"]
    return found


def test_what_a_swarm_has_no_use_for_is_left_out() -> None:
    found = stack_of(
        config(
            build={"context": ".."},
            depends_on={"broker": {"condition": "service_healthy"}},
            restart="unless-stopped",
            security_opt=["no-new-privileges:true"],
            command=None,
            read_only=True,
            cap_drop=["ALL"],
        )
    )
    assert found == {
        "version": "3.9",
        "services": {"meters": {**service(), "read_only": True, "cap_drop": ["ALL"], "deploy": {}}},
    }


def test_mounts_in_memory_are_volumes_there() -> None:
    bind = {"type": "bind", "source": "/srv/state/plan", "target": "/state/plan", "read_only": True}
    found = only(
        volumes=[{**bind, "bind": {"create_host_path": True}}],
        tmpfs=["/tmp:size=64m,mode=1777", "/run"],
        shm_size="268435456",
    )
    assert found["volumes"] == [
        bind,
        {"type": "tmpfs", "target": "/tmp", "tmpfs": {"size": 64 * 2**20}},
        {"type": "tmpfs", "target": "/run"},
        {"type": "tmpfs", "target": "/dev/shm", "tmpfs": {"size": 256 * 2**20}},
    ]
    assert not {"tmpfs", "shm_size"} & set(found)


def test_addresses_are_the_swarms_and_names_ours() -> None:
    found = only(networks={"metering": {"ipv4_address": "198.18.64.2", "aliases": ["broker"]}, "entry": None})
    assert found["networks"] == {"metering": {"aliases": ["broker"]}, "entry": {}}


def test_numbers_and_texts_are_the_other_way_round() -> None:
    found = only(
        ports=[{"target": 8883, "published": "8893", "mode": "host", "protocol": "tcp"}],
        deploy={"replicas": 2, "resources": {"limits": {"cpus": 1.5, "memory": "1073741824", "pids": 50}}},
    )
    assert found["ports"] == [{"target": 8883, "published": 8893, "mode": "host", "protocol": "tcp"}]
    assert found["deploy"]["resources"] == {"limits": {"cpus": "1.5", "memory": "1073741824", "pids": 50}}


def test_whoever_knows_how_many_there_are_to_be_is_heard() -> None:
    deployed = config(deploy={"replicas": 2, "mode": "replicated"})
    assert stack_of(deployed)["services"]["meters"]["deploy"] == {"replicas": 2, "mode": "replicated"}
    scaled = stack_of(deployed, {"meters": 20, "grid": 1})
    assert scaled["services"]["meters"]["deploy"] == {"replicas": 20, "mode": "replicated"}


def test_networks_volumes_and_secrets_get_the_stacks_name_unless_they_are_there_already() -> None:
    found = stack_of(
        {
            **config(),
            "networks": {
                "store": {"name": "amilab_store", "driver": "overlay", "internal": True, "ipam": {}},
                "plant": {"name": "plant", "external": True},
            },
            "volumes": {"database-data": {"name": "amilab_database-data"}, "broker-data": None},
            "secrets": {"database_password": {"name": "amilab_database_password", "file": "/srv/secrets/database"}},
        }
    )
    assert found["networks"] == {
        "store": {"driver": "overlay", "internal": True},
        "plant": {"name": "plant", "external": True},
    }
    assert found["volumes"] == {"database-data": {}, "broker-data": {}}
    assert found["secrets"] == {"database_password": {"file": "/srv/secrets/database"}}


def test_networks_keep_their_subnet_and_leave_their_range() -> None:
    pool = {"subnet": "198.18.64.0/18", "ip_range": "198.18.96.0/19"}
    document = stack_of({**config(), "networks": {"metering": {"ipam": {"config": [pool]}}, "lab": {"ipam": {}}}})
    assert document["networks"]["metering"] == {"ipam": {"config": [{"subnet": pool["subnet"]}]}}


def test_every_key_that_it_cannot_have_is_named() -> None:
    with pytest.raises(UserError) as refused:
        stack_of(
            {
                "services": {
                    "broker": service(privileged=True, ports=[{"target": 1, "published": "1", "host_ip": "127.0.0.1"}]),
                    "grid": service(tmpfs=["/tmp:uid=7"], pid="host"),
                }
            }
        )
    assert refused.value.faults == (
        "the service broker has 'privileged', which a stack cannot have",
        "the service broker: port 1 is bound to 127.0.0.1: a swarm publishes on every address",
        "the service grid has 'pid', which a stack cannot have",
        "the service grid: tmpfs '/tmp:uid=7': a stack knows a size only",
    )
    assert refused.value.hint is not None
    assert "compose.swarm.yaml" in refused.value.hint
