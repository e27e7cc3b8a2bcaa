"""SIP messages for tests, built from one plain message by replacing what a test is about."""

PLAIN = {
    "Via": "SIP/2.0/UDP 192.0.2.7:5060;branch=z9hG4bKplain1",
    "Max-Forwards": "70",
    "From": '"Lamp Room" <sip:lamproom@mine.example>;tag=f1',
    "To": "<sip:dispatch@county.example>",
    "Call-ID": "c1@192.0.2.7",
    "CSeq": "1 {method}",
    "Contact": "<sip:lamproom@192.0.2.7>",
}


def wire(start: str, fields: dict[str, str | None], extra: tuple[str, ...] = (), body: bytes = b"") -> bytes:
    """`fields` replaces or (None) removes lines of PLAIN; `extra` are whole lines; Content-Length is added."""
    method = start.split(" ")[0] if not start.startswith("SIP/") else "INVITE"
    lines = {name: value.replace("{method}", method) for name, value in PLAIN.items()}
    for name, value in fields.items():
        if value is None:
            lines.pop(name, None)
        else:
            lines[name] = value
    head = [start, *(f"{name}: {value}" for name, value in lines.items()), *extra]
    if not any(line.lower().split(":")[0].strip() in ("content-length", "l") for line in head[1:]):
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


def request(
    method: str = "OPTIONS",
    uri: str = "sip:dispatch@county.example",
    *extra: str,
    body: bytes = b"",
    **fields: str | None,
) -> bytes:
    """Names of fields with an underscore for the dash: `Max_Forwards`."""
    named = {name.rstrip("_").replace("_", "-"): value for name, value in fields.items()}
    return wire(f"{method} {uri} SIP/2.0", named, extra, body)


def response(status: str = "200 OK", *extra: str, body: bytes = b"", **fields: str | None) -> bytes:
    named = {name.rstrip("_").replace("_", "-"): value for name, value in fields.items()}
    return wire(f"SIP/2.0 {status}", named, extra, body)
