"""Sparkplug B payloads as edge nodes write them, by Google's protobuf library: another hand than our own reader's."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

_F = descriptor_pb2.FieldDescriptorProto


def _schema() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="spb.proto", package="spb", syntax="proto2")
    metric = file.message_type.add(name="Metric")
    plain = (
        ("name", 1, _F.TYPE_STRING), ("alias", 2, _F.TYPE_UINT64), ("timestamp", 3, _F.TYPE_UINT64),
        ("datatype", 4, _F.TYPE_UINT32), ("is_historical", 5, _F.TYPE_BOOL), ("is_null", 7, _F.TYPE_BOOL),
    )  # fmt: skip
    values = (
        ("int_value", 10, _F.TYPE_UINT32), ("long_value", 11, _F.TYPE_UINT64), ("float_value", 12, _F.TYPE_FLOAT),
        ("double_value", 13, _F.TYPE_DOUBLE), ("boolean_value", 14, _F.TYPE_BOOL), ("string_value", 15, _F.TYPE_STRING),
    )  # fmt: skip
    for name, number, kind in plain:
        metric.field.add(name=name, number=number, type=kind, label=_F.LABEL_OPTIONAL)
    metric.oneof_decl.add(name="value")
    for name, number, kind in values:
        metric.field.add(name=name, number=number, type=kind, label=_F.LABEL_OPTIONAL, oneof_index=0)
    payload = file.message_type.add(name="Payload")
    payload.field.add(name="timestamp", number=1, type=_F.TYPE_UINT64, label=_F.LABEL_OPTIONAL)
    payload.field.add(
        name="metrics", number=2, type=_F.TYPE_MESSAGE, label=_F.LABEL_REPEATED, type_name=".spb.Metric"
    )  # fmt: skip
    payload.field.add(name="seq", number=3, type=_F.TYPE_UINT64, label=_F.LABEL_OPTIONAL)
    payload.field.add(name="uuid", number=4, type=_F.TYPE_STRING, label=_F.LABEL_OPTIONAL)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("spb.Payload"))


Payload = _schema()


def payload(at: float, seq: int | None, *metrics: dict[str, object]) -> bytes:
    """A message.

    Args:
        at: UTC seconds.
        metrics: field names of the schema to values; `timestamp` is filled in.
    """
    message = Payload(timestamp=int(at * 1000), uuid="u")
    if seq is not None:
        message.seq = seq
    for one in metrics:
        message.metrics.add(**({"timestamp": int(at * 1000)} | one))
    written: bytes = message.SerializeToString()
    return written


def read(data: bytes) -> Any:
    """Our own messages, read by the library."""
    message = Payload()
    message.ParseFromString(data)
    return message
