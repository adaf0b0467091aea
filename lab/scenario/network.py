"""The table `[network]`: whether frames cross a modelled communications network, and what of it is another."""

from __future__ import annotations

from collections.abc import Mapping
from types import GenericAlias
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, create_model
from pydantic_core import core_schema

from lab.scenario.fields import Table
from meters.radio.parameters import NetworkParameters, load_parameters, stated

NetworkModel = Literal["none", "radio"]
PARAMETERS = "parameters"
"""Titles a table of parameters in the schema: docs/communications-network.md has them all."""


class _Changes:
    """Beside the type of a field: a table of any of the parameters of one technology, as a plain dict."""

    def __init__(self, technology: str) -> None:
        self._technology = technology

    def __get_pydantic_core_schema__(self, _source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        model = _any_of(self._technology)
        return core_schema.no_info_after_validator_function(
            lambda changes: changes.model_dump(exclude_unset=True),
            handler.generate_schema(model),
            serialization=core_schema.plain_serializer_function_ser_schema(dict),
        )


def _any_of(technology: str) -> type[BaseModel]:
    """The technology's parameters, each of which may be left out."""
    whole = NetworkParameters.model_fields[technology].annotation
    assert isinstance(whole, type), "each technology has a model of its own"
    assert issubclass(whole, BaseModel), "each technology has a model of its own"
    facts = stated()[technology]
    fields: dict[str, Any] = {}
    for name, field in whole.model_fields.items():
        written: Any = field.annotation
        if get_origin(written) is tuple:
            # TOML has lists.
            written = GenericAlias(list, get_args(written)[:1])
        unit = f", in {facts[name].unit}" if facts[name].unit else ""
        said = f"{name.replace('_', ' ')}{unit}; docs/communications-network.md has the usual value and its source."
        fields[name] = (Annotated[(written, *field.metadata)], Field(default=None, description=said))
    config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    made: type[BaseModel] = create_model(f"{whole.__name__}Changes", __config__=config, __doc__=whole.__doc__, **fields)
    return made


def _parameters(technology: str, of: str) -> Any:
    said = f"Parameters {of} that are other than usual, by their names in [the list](communications-network.md)."
    return Field(default={}, title=PARAMETERS, description=f"`[network.{technology}]`: {said[0].lower()}{said[1:]}")


class NetworkChoice(Table):
    """Optional. What frames cross between meters and the broker, with a preset as with any other fleet.

    [communications-network.md](communications-network.md) says what is modelled, and has the list of parameters.
    Modbus meters are wired. With `model = "none"` each frame is there at once, and the tables of parameters say
    nothing.
    """

    model: NetworkModel = Field(
        default="radio",
        description="`radio`: a radio mesh, cells or a power line decide which frames arrive, and when. `none`: each "
        "does, at once.",
    )
    mesh: Annotated[dict[str, Any], _Changes("mesh")] = _parameters("mesh", "of a radio mesh")
    cellular: Annotated[dict[str, Any], _Changes("cellular")] = _parameters("cellular", "of a cellular network")
    plc: Annotated[dict[str, Any], _Changes("plc")] = _parameters("plc", "of a power-line carrier")
    backhaul: Annotated[dict[str, Any], _Changes("backhaul")] = _parameters("backhaul", "between collector and broker")
    firmware: Annotated[dict[str, Any], _Changes("firmware")] = _parameters("firmware", "of images of firmware")

    @property
    def on(self) -> bool:
        """Whether there is a model."""
        return self.model != "none"

    def overrides(self) -> Mapping[str, Mapping[str, Any]]:
        """Parameters that are other than usual, by technology and name."""
        tables = {name: getattr(self, name) for name in NetworkParameters.model_fields}
        return {name: changes for name, changes in tables.items() if changes}

    def check(self) -> None:
        """Raises ValueError: parameters, each possible, contradict each other."""
        load_parameters(self.overrides())


def known_parameters(technology: str) -> list[str]:
    """The names that a table of parameters may have."""
    return list(stated()[technology])
