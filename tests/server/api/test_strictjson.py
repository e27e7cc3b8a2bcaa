"""JSON from the net: what we take and what we do not."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.api.strictjson import MAX_DEPTH, JsonRefused, loads, storable

SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=20).filter(storable)
VALUES = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4)
)


@given(
    st.recursive(SCALARS | TEXTS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4))
)
def test_what_json_can_say_is_read_back(value: object) -> None:
    assert loads(json.dumps(value).encode()) == value


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(raw: bytes) -> None:
    try:
        loads(raw)
    except JsonRefused:
        pass


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"{", b"nul", b"{'a': 1}", b'{"a": 1,}', b"NaN", b"[Infinity]", b'{"a": -Infinity}', b"1e999", b"[-1e400]",
        b'"\\ud800"', b'{"\\udfff": 1}', b'"\\u0000"', b'{"a": 1, "a": 2}', b"\xff\xfe", b"\xef\xbb\xbf{}", b"1 2",
        b"[" * 40 + b"]" * 40, b"[" * 30_000, b'{"a":' * 10_000, b"9" * 5000,
    ],
    ids=lambda raw: str(raw[:20]),
)  # fmt: skip
def test_refused_without_another_exception_and_quickly(raw: bytes) -> None:
    started = time.perf_counter()
    with pytest.raises(JsonRefused):
        loads(raw)
    assert time.perf_counter() - started < 0.5


def test_depth_is_counted_from_the_outermost() -> None:
    assert loads(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH) is not None
    with pytest.raises(JsonRefused, match="nested"):
        loads(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


def test_whole_surrogate_pairs_are_text() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "😀"
    assert storable("矿灯 😀")
    assert not storable("a\0b")
    assert not storable("\ud83d")
