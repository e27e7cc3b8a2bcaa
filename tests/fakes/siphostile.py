"""SIP that means harm: mutations of good messages, and messages full of what once made parsers slow."""

import random
from contextlib import suppress

from signaling.sip.errors import MessageError
from signaling.sip.message import MAX_BYTES, MAX_HEADERS, parse
from tests.fakes.sipmessages import request
from tests.fakes.siptorture import SEEDS

PIECES = (b"\r\n", *(bytes([one]) for one in b'\r\n"\\<>;,:\0\xff%[] @='))
WORDS = (
    b"\r\n ", b"\r\n\r\n", b"SIP/2.0", b"z9hG4bK", b"99999999999999999999", b"-1", b"%00", b"[::1]", b"sip:", b"tel:",
    b"\r\nContent-Length: 0", b"\r\nl: 70000", b"\r\nContact: *", b"\r\nExpires: 0", b"\r\nVia: ", b"\r\nRAck: ",
    b"\r\nSession-Expires: ", b"\r\nRequire: 100rel", b"\r\nReplaces: ", b"\r\nRefer-To: ", b";tag=",
    b";rport;received=",
    b"\r\nAuthorization: Digest ",
)  # fmt: skip


def mutated(seed: bytes, rng: random.Random, others: tuple[bytes, ...] = SEEDS) -> bytes:
    """One to six changes: a byte, a piece of the grammar, something cut out, doubled, or taken from another message."""
    data = bytearray(seed)
    for _ in range(rng.randint(1, 6)):
        at = rng.randrange(len(data))
        match rng.randrange(6):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at:at] = rng.choice(PIECES) * rng.randint(1, 4)
            case 2:
                del data[at : at + rng.randint(1, 20)]
            case 3:
                data[at:at] = data[at : at + rng.randint(1, 40)]
            case 4:
                data[at:at] = rng.choice(WORDS)
            case _:
                other = rng.choice(others)
                begin = rng.randrange(len(other))
                data[at:at] = other[begin : begin + 40]
        if not data:
            data += b"\r\n"
    return bytes(data)


def judge(data: bytes) -> None:
    """Nothing but the documented error, and a fixpoint for what is accepted. Fields that parsing leaves alone may still
    turn out malformed when they are read."""
    try:
        message = parse(data)
    except MessageError as problem:
        if problem.request is not None:
            problem.request.reply(problem.status, tag="s").serialize()
        return
    again = parse(message.serialize())
    assert parse(again.serialize()) == again
    _ = message.contacts, message.content_type, message.via.answer_to()
    for name in ("Require", "Supported", "Allow"):
        with suppress(MessageError):
            message.headers.tokens(name)


def hostile(size: int) -> dict[str, bytes]:
    """Each fills the head of a message with about `size` bytes of one thing."""
    return {
        "empty lines in front": b"\r\n" * (size // 2),
        "folded lines": request(Contact="<sip:a@b>" + "\r\n " * (size // 3)),
        "a folded line of one character each": request(Subject="\r\n x" * (size // 4)),
        f"{MAX_HEADERS} header fields": request(
            "OPTIONS", "sip:a@b", *[f"X-{n}: " + "y" * (size // 128) for n in range(MAX_HEADERS - 8)]
        ),
        "more header fields than are taken": request("OPTIONS", "sip:a@b", *["X: y"] * (size // 6)),
        "white space in a Via": request(Via="SIP/2.0/UDP h" + " " * size + "!"),
        "71 Vias full of parameters": request(
            Via=", ".join(
                f"SIP/2.0/UDP h{n};branch=z9hG4bK{n}" + "".join(f";p{m}" for m in range(size // 320)) for n in range(71)
            )
        ),
        "semicolons": request(From="<sip:a@b>" + ";" * size),
        "commas": request(Contact="," * size),
        "commas between routes": request("OPTIONS", "sip:a@b", "Route: " + ",".join(["<sip:a>"] * (size // 8))),
        "contacts": request(Contact=",".join(["<sip:a@b>;q=1"] * (size // 14))),
        "open quotes": request(To='"' * size + "<sip:a@b>"),
        "a quoted string": request(To='"' + "a" * size + '" <sip:a@b>'),
        "a quoted string of quoted pairs": request(To='"' + '\\"' * (size // 2) + '" <sip:a@b>'),
        "back-slashes": request(To='"' + "\\" * size),
        "brackets": request(Contact="<" * size),
        "brackets in pairs": request(Contact="<>" * (size // 2)),
        "nested comments": request("OPTIONS", "sip:a@b", "User-Agent: " + "(" * (size // 2) + ")" * (size // 2)),
        "percent signs": request(uri="sip:" + "%41" * (size // 3) + "@b@"),
        "a long host": request(uri="sip:" + "a." * (size // 2) + "-"),
        "a long number": request(CSeq="9" * size + " OPTIONS"),
        "many parameters": request(From="<sip:a@b>" + "".join(f";p{n}=v" for n in range(size // 8))),
        "many URI parameters": request(uri="sip:a@b" + "".join(f";p{n}=v" for n in range(size // 8))),
        "many URI header fields": request(Contact="<sip:a@b?" + "&".join(f"p{n}=v" for n in range(size // 8)) + ">"),
        "option tags": request("OPTIONS", "sip:a@b", "Require: " + ",".join(f"t{n}" for n in range(size // 6))),
        "digest parameters": request(
            "REGISTER", "sip:mine.example", "Authorization: Digest " + ",".join(f'p{n}="v"' for n in range(size // 12)),
            To="<sip:lamp@mine.example>", From="<sip:lamp@mine.example>;tag=1",
        ),
    }  # fmt: skip


def filled(data: bytes) -> bytes:
    """The same message with a body that makes it as long as a message may be."""
    head, end, _ = data.partition(b"\r\n\r\n")
    if not end or b"Content-Length: 0" not in head:
        return data
    length = MAX_BYTES - len(head) - 16
    return head.replace(b"Content-Length: 0", b"Content-Length: %d" % length) + b"\r\n\r\n" + b"x" * length
