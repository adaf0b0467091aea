"""The protocol-buffer messages of a Sparkplug B payload, as the specification numbers their fields (section 6.4.1).

Built in code: no compiler is needed, and in a pool of our own they do not clash with somebody else's copy.
What a head-end has no use for (metadata, properties, bodies) is left undeclared; the library steps over it.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_Field = descriptor_pb2.FieldDescriptorProto
_PACKAGE = "amilab.sparkplug_b"

_METRIC = (
    ("name", 1, _Field.TYPE_STRING),
    ("alias", 2, _Field.TYPE_UINT64),
    ("timestamp", 3, _Field.TYPE_UINT64),
    ("datatype", 4, _Field.TYPE_UINT32),
    ("is_historical", 5, _Field.TYPE_BOOL),
    ("is_transient", 6, _Field.TYPE_BOOL),
    ("is_null", 7, _Field.TYPE_BOOL),
)
# A data set or a template is a message; undecoded it has the same form as bytes.
_VALUE = (
    ("int_value", 10, _Field.TYPE_UINT32),
    ("long_value", 11, _Field.TYPE_UINT64),
    ("float_value", 12, _Field.TYPE_FLOAT),
    ("double_value", 13, _Field.TYPE_DOUBLE),
    ("boolean_value", 14, _Field.TYPE_BOOL),
    ("string_value", 15, _Field.TYPE_STRING),
    ("bytes_value", 16, _Field.TYPE_BYTES),
    ("dataset_value", 17, _Field.TYPE_BYTES),
    ("template_value", 18, _Field.TYPE_BYTES),
)


def _message_class() -> Any:
    # Fields know whether they are there, as in the specification's proto2; and a text that is not UTF-8 is refused.
    file = descriptor_pb2.FileDescriptorProto(
        name="amilab/sparkplug_b.proto",
        package=_PACKAGE,
        syntax="editions",
        edition=descriptor_pb2.Edition.EDITION_2023,
    )
    payload = file.message_type.add(name="Payload")
    metric = payload.nested_type.add(name="Metric")
    metric.oneof_decl.add(name="value")
    for name, number, kind in _METRIC:
        metric.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL)
    for name, number, kind in _VALUE:
        metric.field.add(name=name, number=number, type=kind, label=_Field.LABEL_OPTIONAL, oneof_index=0)
    payload.field.add(name="timestamp", number=1, type=_Field.TYPE_UINT64, label=_Field.LABEL_OPTIONAL)
    payload.field.add(
        name="metrics",
        number=2,
        type=_Field.TYPE_MESSAGE,
        type_name=f".{_PACKAGE}.Payload.Metric",
        label=_Field.LABEL_REPEATED,
    )
    payload.field.add(name="seq", number=3, type=_Field.TYPE_UINT64, label=_Field.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload"))


#: The class of a payload: `timestamp`, `metrics`, `seq`; a metric's value is the one-of `value`.
PayloadMessage: Any = _message_class()
