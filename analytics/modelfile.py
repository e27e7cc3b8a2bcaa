"""Looks into an ONNX file before anything runs it: which operators, which domains, any data outside the file.

ONNX is a protobuf message; only five fields of it matter here, so it is walked by hand (wire format: a varint key of
field number and type, then a varint, 8 bytes, 4 bytes, or a length and that many bytes). Control flow is not allowed
(a loop could run for ever), nor are operators of foreign domains (they would need a library of their own), nor tensors
whose data lies in another file (which names a path of its choice).
"""

from collections.abc import Iterator

from analytics.errors import ModelRefused

ALLOWED_OPERATORS = frozenset(
    """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast Ceil Clip Concat Constant ConstantOfShape Conv
    ConvTranspose Cos CumSum DepthToSpace DequantizeLinear Div DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand
    EyeLike Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater
    GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity InstanceNormalization IsInf IsNaN
    LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul MatMulInteger Max MaxPool Min Mish Mod Mul
    Neg NonMaxSuppression NonZero Not Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear Range Reciprocal
    ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize Round ScatterElements ScatterND
    Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile TopK
    Transpose Trilu Unsqueeze Where Xor
    """.split()
)
STANDARD_DOMAINS = frozenset({"", "ai.onnx"})
_MAX_NODES = 20_000

# Field numbers of onnx.proto3.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_NODE_OPERATOR, _NODE_ATTRIBUTE, _NODE_DOMAIN = 4, 5, 7
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_TENSOR_EXTERNAL, _TENSOR_LOCATION = 13, 14


def inspect(data: bytes) -> None:
    """Raises:
    ModelRefused: `malformed`, `operator_not_allowed`, `external_data` or `too_large`.
    """
    view = memoryview(data)
    graphs = 0
    for number, value in _fields(view):
        if number == _MODEL_GRAPH:
            graphs += 1
            _graph(_message(value))
        elif number == _MODEL_FUNCTIONS:
            raise ModelRefused("operator_not_allowed", "the model defines functions of its own")
    if graphs != 1:
        raise ModelRefused("malformed", f"an ONNX file has one graph, this one has {graphs}")


def _graph(graph: memoryview) -> None:
    nodes = 0
    for number, value in _fields(graph):
        if number == _GRAPH_NODE:
            nodes += 1
            if nodes > _MAX_NODES:
                raise ModelRefused("too_large", f"more than {_MAX_NODES} nodes")
            _node(_message(value))
        elif number == _GRAPH_INITIALIZER:
            _tensor(_message(value))
        elif number == _GRAPH_SPARSE:
            raise ModelRefused("operator_not_allowed", "sparse initialisers are not taken")


def _node(node: memoryview) -> None:
    operator, domain = "", ""
    for number, value in _fields(node):
        if number == _NODE_OPERATOR:
            operator = _text(value)
        elif number == _NODE_DOMAIN:
            domain = _text(value)
        elif number == _NODE_ATTRIBUTE:
            _attribute(_message(value))
    if domain not in STANDARD_DOMAINS or operator not in ALLOWED_OPERATORS:
        raise ModelRefused("operator_not_allowed", f"operator {operator[:60]!r} of domain {domain[:60]!r}")


def _attribute(attribute: memoryview) -> None:
    for number, value in _fields(attribute):
        if number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
            _tensor(_message(value))
        elif number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
            raise ModelRefused("operator_not_allowed", "a node holds a graph of its own (control flow)")


def _tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == _TENSOR_EXTERNAL or (number == _TENSOR_LOCATION and value != 0):
            raise ModelRefused("external_data", "a tensor's data lies outside the file")


# --- the wire format --------------------------------------------------------------------------------------------------


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        if kind == 0:
            value, at = _varint(message, at)
            yield number, value
            continue
        if kind == 2:
            length, at = _varint(message, at)
        elif kind in (1, 5):
            length = 8 if kind == 1 else 4
        else:
            raise ModelRefused("malformed", f"wire type {kind} at byte {at}")
        if number == 0 or at + length > len(message):
            raise ModelRefused("malformed", f"a field at byte {at} does not fit")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            break
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ModelRefused("malformed", f"a number at byte {at} does not end")


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise ModelRefused("malformed", "a number where a message belongs")
    return value


def _text(value: int | memoryview) -> str:
    return bytes(_message(value)).decode("utf-8", "replace")
