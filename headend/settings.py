"""Settings of the head-end, from keyword arguments or from the environment (`AMILAB_HEADEND_…`)."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from headend.roles import RoleName

_PREFIX = "AMILAB_HEADEND_"


class HeadEndSettings(BaseSettings):
    """One head-end. Recovery and reconnecting run on the injected clock, batches and start-up on the wall clock."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", frozen=True)

    database_url: SecretStr
    # Restricted so that it can stand unquoted in search_path.
    database_schema: str = Field(default="headend", pattern=r"^[a-z_][a-z0-9_]{0,62}$")

    # Interval readings that are older are dropped; None keeps them. Not shorter than meters may still be asked for.
    retention_days: int | None = Field(default=None, ge=42)

    broker_host: str = "127.0.0.1"
    broker_port: int = Field(default=1883, ge=1, le=65535)
    broker_username: str | None = None
    broker_password: SecretStr | None = None
    # Certificates of authorities in PEM; with it the broker is spoken to over TLS.
    broker_ca: Path | None = None
    # Our own key and certificate in one PEM; and those of the Sparkplug host's connection, if it has others.
    broker_certificate: Path | None = None
    broker_host_certificate: Path | None = None
    client_id: str = Field(default="headend", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    # headend/roles.py. Beside `outages` and `poller` any number of `ingest`, each with a client id of its own; not on
    # rumqttd, which has no shared subscriptions.
    role: RoleName = "all"
    group: str = Field(pattern=r"^[A-Za-z0-9]{1,64}$")
    # The name under which collectors know us as their primary host; None is the client id.
    sparkplug_host_id: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    # What an edge node sent and comes before its predecessors waits so long for them; 0: it does not wait.
    sparkplug_reorder_timeout_s: float = Field(default=0.0, ge=0, le=60)
    keep_alive_s: int = Field(default=60, ge=5, le=3600)

    shipment: Path
    command_key: Path
    # docs/network-model.md. Without one each meter's outages stand by themselves.
    network_model: Path | None = None

    # By how much a meter's clock may be fast: an interval that ends later than one interval and this from now is not
    # believed.
    clock_tolerance_s: int = Field(default=300, ge=0, le=86400)

    gap_grace_s: int = Field(default=120, ge=0)
    retry_first_s: float = Field(default=60.0, gt=0)
    retry_max_s: float = Field(default=900.0, gt=0)
    # A meter that left a request unanswered, and was not heard of since, is asked again after so long.
    retry_silent_s: float = Field(default=14_400.0, gt=0)
    return_delay_s: float = Field(default=10.0, ge=0)
    command_expiry_s: int = Field(default=600, gt=0)
    # A command of anybody else's than gap recovery is sent again after so long, then after pauses that double.
    order_retry_s: float = Field(default=20.0, gt=0)
    # A meter's load profile reaches back some weeks; what is older cannot be asked for.
    recovery_horizon_s: int = Field(default=40 * 86400, gt=0)
    recovery_max_per_sweep: int = Field(default=5000, ge=1)
    # Devices are asked at the pace of what carries them, a collector or a cell within a budget of messages
    # (headend/pace.py); instead of `gap_grace_s`, `retry_…`, `command_expiry_s` and `order_retry_s` for all.
    pacing: bool = False
    # A Modbus request without an answer is given up then, on the wall clock.
    poll_timeout_s: float = Field(default=3.0, gt=0)

    # Losses of supply that lie so close by the meters' clocks are one event.
    outage_together_s: float = Field(default=3.0, gt=0)
    # After the first report, the others of the same event are waited for: last gasps are spread on purpose.
    outage_gather_s: float = Field(default=20.0, ge=0)
    # For so long a meter may speak without supply; longer than any vendor's reserve.
    outage_hold_up_s: float = Field(default=180.0, ge=0)
    # A meter that reported the loss and stays silent so long after its neighbours are back is still dark.
    outage_nested_after_s: float = Field(default=1800.0, gt=0)

    reconnect_first_s: float = Field(default=1.0, gt=0)
    reconnect_max_s: float = Field(default=60.0, gt=0)

    # Rows of every kind, or messages if these are more.
    batch_max_rows: int = Field(default=5000, ge=1)
    batch_max_wait_s: float = Field(default=0.05, gt=0)
    # A socket that was silent for so long has no more for this batch.
    batch_quiet_s: float = Field(default=0.001, gt=0)
    pending_max_messages: int = Field(default=20_000, ge=1)
    pending_max_bytes: int = Field(default=32 * 1024 * 1024, ge=1)
    payload_max_bytes: int = Field(default=64 * 1024, ge=1024)

    # One that comes back beside a broker that is down reconnects by its back-off; a first start says so and ends.
    broker_may_be_away: bool = False
    startup_timeout_s: float = Field(default=10.0, gt=0)
    # Then `stop` leaves the rest with the broker, which has no acknowledgement for it.
    stop_timeout_s: float = Field(default=5.0, gt=0)
    connect_timeout_s: float = Field(default=5.0, gt=0)
    database_retry_first_s: float = Field(default=0.1, gt=0)
    database_retry_max_s: float = Field(default=5.0, gt=0)

    metrics_port: int | None = Field(default=None, ge=1, le=65535)
    log_level: Literal["debug", "info", "warning", "error"] = "warning"
    log_format: Literal["json", "console"] = "json"


def faults_of_environment(error: ValidationError) -> list[str]:
    """What is wrong with the settings, each fault behind the variable that it concerns."""
    return [f"{_PREFIX}{'_'.join(map(str, fault['loc'])).upper()}: {fault['msg']}" for fault in error.errors()]
