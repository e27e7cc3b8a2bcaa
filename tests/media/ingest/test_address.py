"""No camera address opens a way to what only this server can reach."""

from ipaddress import ip_network

import pytest

from media.ingest.address import AddressRefused, Policy, check_address, choose, connect_url, masked, parse_url


@pytest.mark.parametrize(
    "url",
    [
        "http://10.0.0.5/stream",
        "file:///etc/passwd",
        "concat:rtsp://10.0.0.5/a|/etc/passwd",
        "rtsp:///only/a/path",
        "rtsp://:554/nohost",
        "rtsp://10.0.0.5:0/x",
        "rtsp://10.0.0.5:99999/x",
        "rtsp://10.0.0.5/a b",
        "rtsp://10.0.0.5/a\r\nTEARDOWN",
        "rtsp://[::1/x",
        "RTMP://10.0.0.5/x",
        "rtsp://10.0.0.5/" + "a" * 2000,
    ],
)
def test_what_is_no_camera_address_is_refused_with_a_reason(url: str) -> None:
    with pytest.raises(AddressRefused) as refused:
        parse_url(url)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "0.0.0.0", "0.1.2.3",
        "::", "169.254.169.254", "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1", "255.255.255.255",
        "100.100.100.200", "fd00:ec2::254", "::ffff:169.254.169.254", "not-an-address", "2130706433",
    ],
)  # fmt: skip
def test_special_addresses_are_refused_in_every_spelling(address: str) -> None:
    with pytest.raises(AddressRefused):
        check_address(address, Policy())


@pytest.mark.parametrize("address", ["10.1.2.3", "192.168.1.64", "172.16.9.9", "100.64.0.5", "fd12::7", "8.8.8.8"])
def test_addresses_of_cameras_are_taken(address: str) -> None:
    assert str(check_address(address, Policy())) == address


def test_allowed_networks_open_and_denied_ones_win() -> None:
    loopback = ip_network("127.0.0.0/8")
    assert str(check_address("127.0.0.1", Policy(allow=(loopback,)))) == "127.0.0.1"
    with pytest.raises(AddressRefused, match="deny"):
        check_address("127.0.0.1", Policy(allow=(loopback,), deny=(ip_network("127.0.0.1/32"),)))
    with pytest.raises(AddressRefused, match="deny"):
        check_address("::ffff:10.0.0.9", Policy(deny=(ip_network("10.0.0.0/8"),)))


def test_a_name_with_one_refused_address_is_refused_whole() -> None:
    assert str(choose(["10.0.0.5", "10.0.0.6"], Policy())) == "10.0.0.5"
    with pytest.raises(AddressRefused):
        choose(["10.0.0.5", "127.0.0.1"], Policy())
    with pytest.raises(AddressRefused):
        choose([], Policy())


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    parts = parse_url("rtsp://admin:p%40ss@camera.mine.example/Streaming/101?transportmode=unicast#x")
    url = connect_url(parts, check_address("10.0.0.5", Policy()))
    assert url == "rtsp://admin:p%40ss@10.0.0.5:554/Streaming/101?transportmode=unicast"
    assert connect_url(parse_url("rtsps://cam/x"), check_address("fd12::7", Policy())) == "rtsps://[fd12::7]:322/x"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://admin:secret@10.0.0.5/s", "rtsp://admin:***@10.0.0.5/s"),
        ("rtsp://a:b@c:secret@10.0.0.5/s", "rtsp://a:***@10.0.0.5/s"),
        ("rtsp://10.0.0.5/user=admin&password=x", "rtsp://10.0.0.5/user=admin&password=x"),
        ("rtsp://10.0.0.5/s?user=admin&password=secret", "rtsp://10.0.0.5/s?***"),
        ("rtsp://[broken:secret@", "rtsp://[broken:***@"),
    ],
)
def test_passwords_are_not_shown(url: str, shown: str) -> None:
    assert masked(url) == shown
