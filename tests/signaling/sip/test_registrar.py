"""Bindings, and what must not change them."""

from dataclasses import replace

from signaling.sip.digest import Algorithm, DigestClient, DigestServer, ha1
from signaling.sip.message import Request, Response, parse
from signaling.sip.registrar import MAX_CONTACTS, Registrar
from signaling.sip.transactionlayer import Flow
from tests.fakes.sipmessages import request

HERE = Flow("192.0.2.7", 5060)
USERS = {"lamp": "secret", "other": "secret"}


def secrets(username: str, algorithm: Algorithm) -> str | None:
    return ha1(algorithm, username, "mine.example", USERS[username]) if username in USERS else None


def registrar() -> Registrar:
    return Registrar(
        "mine.example", DigestServer("mine.example", b"k" * 32, lambda size: b"r" * size), secrets, lambda: "tag"
    )


def asked(
    *extra: str, number: int = 1, user: str = "lamp", contact: str | None = "<sip:lamp@192.0.2.7>", call: str = "c"
) -> Request:
    data = request(
        "REGISTER",
        "sip:mine.example",
        *extra,
        From=f"<sip:{user}@mine.example>;tag=f",
        To=f"<sip:{user}@mine.example>",
        CSeq=f"{number} REGISTER",
        Contact=contact,
        Call_ID=call,
    )
    message = parse(data)
    assert isinstance(message, Request)
    return message


def proven(here: Registrar, message: Request, now: float, flow: Flow = HERE, user: str = "lamp") -> Response:
    """The challenge answered."""
    client = DigestClient("mine.example", user, "secret")
    value = client.answer(here.digest.challenge(now, flow.host), "REGISTER", "sip:mine.example", f"c{now}")
    assert value is not None
    return here.register(replace(message, headers=message.headers.added(("Authorization", value))), flow, now)


def test_challenge_bind_refresh_expire() -> None:
    here = registrar()
    first = here.register(asked(), HERE, 0.0)
    assert first.status == 401
    assert "SHA-256" in first.headers.lines("WWW-Authenticate")[0]
    done = proven(here, asked("Expires: 600"), 1.0)
    assert (done.status, done.headers.lines("Contact")) == (200, ["<sip:lamp@192.0.2.7>;expires=600"])
    assert here.bound("lamp", HERE, 2.0)
    assert not here.bound("lamp", Flow("192.0.2.8", 5060), 2.0)
    assert proven(here, asked("Expires: 600", number=2), 300.0).status == 200
    assert here.next_timeout() == 900.0
    assert here.timeout(899.0) == []
    assert here.timeout(900.0) == ["lamp"]
    assert here.bindings("lamp", 900.0) == []


def test_asking_without_a_contact_changes_nothing() -> None:
    here = registrar()
    proven(here, asked(), 1.0)
    assert len(proven(here, asked(contact=None, number=2), 2.0).headers.lines("Contact")) == 1


def test_7_2_1_a_known_call_id_is_no_proof() -> None:
    here = registrar()
    proven(here, asked(), 1.0)
    before = here.bindings("lamp", 2.0)
    for flow in (HERE, Flow("198.51.100.66", 5060)):
        for extra in ((), ("Expires: 0",)):
            assert here.register(asked(*extra, number=2), flow, 2.0).status == 401
    assert here.register(asked("Expires: 0", number=2, contact="*"), HERE, 2.0).status == 401
    assert here.bindings("lamp", 2.0) == before


def test_7_2_2_nobody_registers_another() -> None:
    here = registrar()
    assert proven(here, asked(user="other"), 1.0, user="lamp").status == 403
    assert here.bindings("other", 1.0) == []


def test_strangers_and_wrong_digests_look_alike_and_are_counted() -> None:
    here = registrar()
    for user in ("lamp", "nobody"):
        message = asked(user=user)
        value = DigestClient("mine.example", user, "wrong").answer(
            here.digest.challenge(0.0, HERE.host), "REGISTER", "x", "c"
        )
        assert value is not None
        answer = here.register(replace(message, headers=message.headers.added(("Authorization", value))), HERE, 1.0)
        assert answer.status == 401
    assert here.wrong == 2


def test_removal_of_one_and_of_all() -> None:
    here = registrar()
    proven(here, asked(contact="<sip:a@h.example>, <sip:b@h.example>;q=0.5"), 1.0)
    assert [one.q for one in here.bindings("lamp", 2.0)] == [1.0, 0.5]
    proven(here, asked(contact="<sip:a@h.example>;expires=0", number=2), 2.0)
    assert [str(one.contact.uri) for one in here.bindings("lamp", 3.0)] == ["sip:b@h.example"]
    assert proven(here, asked(contact="*", number=3), 3.0).status == 400
    assert proven(here, asked("Expires: 0", contact="*", number=4), 4.0).status == 200
    assert here.bindings("lamp", 5.0) == []


def test_10_3_7_a_late_request_changes_nothing() -> None:
    here = registrar()
    proven(here, asked(number=5), 1.0)
    assert proven(here, asked("Expires: 0", number=4), 2.0).status == 500
    assert len(here.bindings("lamp", 3.0)) == 1
    assert proven(here, asked("Expires: 0", number=4, call="restarted"), 4.0).status == 200
    assert here.bindings("lamp", 5.0) == []


def test_expiry_has_bounds() -> None:
    here = registrar()
    short = proven(here, asked("Expires: 10"), 1.0)
    assert (short.status, short.headers.first("Min-Expires")) == (423, "60")
    proven(here, asked("Expires: 99999999999999", number=2), 2.0)
    assert here.next_timeout() == 2.0 + 86400
    proven(here, asked("Expires: soon", number=3), 3.0)
    assert here.next_timeout() == 3.0 + 3600


def test_contacts_are_bounded() -> None:
    here = registrar()
    many = ", ".join(f"<sip:{n}@h.example>" for n in range(MAX_CONTACTS + 1))
    assert proven(here, asked(contact=many), 1.0).status == 403
    assert proven(here, asked(contact=f"<sip:{'x' * 512}@h.example>", number=2), 2.0).status == 403
    assert here.bindings("lamp", 2.0) == []


def test_5626_an_instance_replaces_its_flow_and_dies_with_its_connection() -> None:
    here = registrar()
    contact = '<sip:lamp@10.0.0.1>;+sip.instance="<urn:uuid:1>";reg-id=1'
    one, two = Flow("192.0.2.7", 40000, "t1"), Flow("192.0.2.7", 40001, "t2")
    done = proven(here, asked("Supported: outbound", contact=contact), 1.0, one)
    assert (done.headers.first("Require"), done.headers.first("Flow-Timer")) == ("outbound", "120")
    proven(here, asked(contact=contact.replace("10.0.0.1", "10.0.0.2"), number=2), 2.0, two)
    assert [binding.flow for binding in here.bindings("lamp", 3.0)] == [two]
    assert here.lost("t1") == []
    assert here.lost("t2") == ["lamp"]
    assert here.bindings("lamp", 3.0) == []


def test_another_domain_is_404_and_another_scheme_400() -> None:
    here = registrar()
    for to, status in (("<sip:lamp@evil.example>", 404), ("isbn:2983792873", 400)):
        message = parse(request("REGISTER", "sip:mine.example", To=to))
        assert isinstance(message, Request)
        assert here.register(message, HERE, 0.0).status == status
