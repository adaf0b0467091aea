"""The messages of Sparkplug's payload B, as far as an edge needs them, built from the numbers in the specification.

Source: Eclipse Sparkplug specification 3.0, chapter 6.4 (payload B), protocol buffers version 2. What is left out
(data sets, templates, metadata) is skipped when it is read, as protocol buffers do with fields that they do not know.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_PACKAGE = "amilab.meters.sparkplug"


class DataType(IntEnum):
    """Values of `Metric.datatype` and of `PropertyValue.type`."""

    INT64 = 4
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    BOOLEAN = 11
    STRING = 12
    DATE_TIME = 13


_Kind = Any  # an enumeration that protobuf makes at run time
_VALUES: tuple[tuple[str, int, _Kind], ...] = (
    ("int_value", 10, FieldDescriptorProto.TYPE_UINT32),
    ("long_value", 11, FieldDescriptorProto.TYPE_UINT64),
    ("float_value", 12, FieldDescriptorProto.TYPE_FLOAT),
    ("double_value", 13, FieldDescriptorProto.TYPE_DOUBLE),
    ("boolean_value", 14, FieldDescriptorProto.TYPE_BOOL),
    ("string_value", 15, FieldDescriptorProto.TYPE_STRING),
    ("bytes_value", 16, FieldDescriptorProto.TYPE_BYTES),
)
_METRIC: tuple[tuple[str, int, _Kind], ...] = (
    ("name", 1, FieldDescriptorProto.TYPE_STRING),
    ("alias", 2, FieldDescriptorProto.TYPE_UINT64),
    ("timestamp", 3, FieldDescriptorProto.TYPE_UINT64),
    ("datatype", 4, FieldDescriptorProto.TYPE_UINT32),
    ("is_historical", 5, FieldDescriptorProto.TYPE_BOOL),
    ("is_transient", 6, FieldDescriptorProto.TYPE_BOOL),
    ("is_null", 7, FieldDescriptorProto.TYPE_BOOL),
)
_PROPERTY_VALUE: tuple[tuple[str, int, _Kind], ...] = (
    ("type", 1, FieldDescriptorProto.TYPE_UINT32),
    ("is_null", 2, FieldDescriptorProto.TYPE_BOOL),
)
_PROPERTY_STRING = ("string_value", 8, FieldDescriptorProto.TYPE_STRING)
_PAYLOAD: tuple[tuple[str, int, _Kind], ...] = (
    ("timestamp", 1, FieldDescriptorProto.TYPE_UINT64),
    ("seq", 3, FieldDescriptorProto.TYPE_UINT64),
    ("uuid", 4, FieldDescriptorProto.TYPE_STRING),
    ("body", 5, FieldDescriptorProto.TYPE_BYTES),
)


def _build() -> FileDescriptorProto:
    file = FileDescriptorProto(name="amilab/meters/sparkplug_b.proto", package=_PACKAGE, syntax="proto2")

    value = file.message_type.add(name="PropertyValue")
    _scalars(value, _PROPERTY_VALUE)
    _one_of(value, (_PROPERTY_STRING,))

    properties = file.message_type.add(name="PropertySet")
    properties.field.add(
        name="keys", number=1, type=FieldDescriptorProto.TYPE_STRING, label=FieldDescriptorProto.LABEL_REPEATED
    )
    _messages(properties, "values", 2, "PropertyValue", repeated=True)

    metric = file.message_type.add(name="Metric")
    _scalars(metric, _METRIC)
    _messages(metric, "properties", 9, "PropertySet", repeated=False)
    _one_of(metric, _VALUES)

    payload = file.message_type.add(name="Payload")
    _scalars(payload, _PAYLOAD)
    _messages(payload, "metrics", 2, "Metric", repeated=True)
    return file


def _scalars(message: DescriptorProto, fields: tuple[tuple[str, int, _Kind], ...]) -> None:
    for name, number, kind in fields:
        message.field.add(name=name, number=number, type=kind, label=FieldDescriptorProto.LABEL_OPTIONAL)


def _one_of(message: DescriptorProto, fields: tuple[tuple[str, int, _Kind], ...]) -> None:
    message.oneof_decl.add(name="value")
    for name, number, kind in fields:
        message.field.add(name=name, number=number, type=kind, label=FieldDescriptorProto.LABEL_OPTIONAL, oneof_index=0)


def _messages(message: DescriptorProto, name: str, number: int, kind: str, *, repeated: bool) -> None:
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    message.field.add(
        name=name, number=number, type=FieldDescriptorProto.TYPE_MESSAGE, label=label, type_name=f".{_PACKAGE}.{kind}"
    )


_pool = DescriptorPool()
_pool.Add(_build())

Payload: Any = GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))
"""Class of a message; `Payload.FromString` raises google.protobuf.message.DecodeError."""
