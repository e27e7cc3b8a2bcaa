"""`doctor`: tries on this machine what a server needs, and says in words what is missing and what to do."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from config.settings import Settings
from media.phone import speech

MINIMUM_FREE_BYTES = 1 << 30
SOL_UDP, UDP_SEGMENT = 17, 103
FORWARDING_S = 2.0
"""Each of two measurements."""


@dataclass(frozen=True, slots=True)
class Result:
    """One thing that was tried."""

    state: Literal["pass", "warn", "fail"]
    what: str
    result: str
    zh: str = ""
    """The result in Chinese, where it is made of words."""

    @property
    def what_zh(self) -> str:
        return CHINESE.get(self.what, self.what)


CHINESE = {
    "Python": "Python", "data folder": "数据目录", "disk": "磁盘", "UDP": "UDP", "UDP segmentation": "UDP 分段发送",
    "codecs": "编解码器", "front end": "网页组件", "fonts": "字体",
    "MQTT": "MQTT", "clock": "时钟",
}  # fmt: skip
"""Names of what is looked at on a running server."""


def examine(settings: Settings) -> list[Result]:
    """Everything, in the order in which people would look."""
    examined: list[Callable[[Settings], Result]] = [
        _python,
        _data_dir,
        _disk,
        _http_port,
        _udp_port,
        _udp_loop,
        _gso,
        _forwarder,
        _codecs,
        _vendor,
        _model,
        _font,
        _mqtt,
        _clock,
    ]
    return [*(one(settings) for one in examined), *_main_streams(settings), *_phones(settings)]


def examine_running(settings: Settings) -> list[Result]:
    """What can be tried beside a running server: no port is opened, and nothing is measured."""
    examined: list[Callable[[Settings], Result]] = [
        _python, _data_dir, _disk, _udp_loop, _gso, _codecs, _vendor, _font, _mqtt, _clock,
    ]  # fmt: skip
    return [one(settings) for one in examined]


def _python(settings: Settings) -> Result:
    version = ".".join(map(str, sys.version_info[:3]))
    return Result("pass" if (3, 11) <= sys.version_info < (3, 15) else "fail", "Python", version)


def _data_dir(settings: Settings) -> Result:
    folder = settings.server.data_dir
    place = folder if folder.exists() else folder.absolute().parent
    if not os.access(place, os.W_OK):
        return Result("fail", "data folder", f"{place} cannot be written by this user", f"本用户不能写入 {place}")
    if folder.exists() and folder.stat().st_mode & 0o077:
        return Result(
            "warn",
            "data folder",
            f"{folder} can be read by others: chmod 700 {folder}",
            f"{folder} 可被其他用户读取，请执行 chmod 700 {folder}",
        )
    return Result("pass", "data folder", str(folder))


def _disk(settings: Settings) -> Result:
    free = shutil.disk_usage(settings.server.data_dir if settings.server.data_dir.exists() else Path()).free
    words = f"{free / 1e9:.1f} GB free"
    return Result("pass" if free > MINIMUM_FREE_BYTES else "fail", "disk", words, f"剩余 {free / 1e9:.1f} GB")


def _http_port(settings: Settings) -> Result:
    return _port(settings.server.listen_host, settings.server.listen_port, socket.SOCK_STREAM, "HTTP port")


def _udp_port(settings: Settings) -> Result:
    host = settings.media.listen_host
    tried = [_port(host, number, socket.SOCK_DGRAM, "media port") for number in settings.media.udp_ports]
    return next((one for one in tried if one.state != "pass"), tried[0])


def _port(host: str, port: int, kind: socket.SocketKind, what: str) -> Result:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    name = "TCP" if kind is socket.SOCK_STREAM else "UDP"
    with socket.socket(family, kind) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((host, port))
        except OSError as error:
            return Result("warn", what, f"{name} {port} at {host}: {error.strerror} (a running server, perhaps)")
    return Result("pass", what, f"{name} {port} at {host} is free")


def _phones(settings: Settings) -> list[Result]:
    """SIP and RTP ports, and what stands in the way of calls, where phones are enabled."""
    phones, media = settings.phones, settings.phone_media
    if not phones.enabled:
        return []
    found = [
        _port(phones.listen_host, phones.port, socket.SOCK_DGRAM, "SIP port"),
        _port(phones.listen_host, phones.port, socket.SOCK_STREAM, "SIP port"),
        _port(media.listen_host, media.rtp_port_min, socket.SOCK_DGRAM, "first RTP port"),
        _port(media.listen_host, media.rtp_port_max, socket.SOCK_DGRAM, "last RTP port"),
    ]
    if phones.tls_port is not None:
        found.append(_port(phones.listen_host, phones.tls_port, socket.SOCK_STREAM, "SIP port with TLS"))
    room = (media.rtp_port_max - media.rtp_port_min + 1) // 2
    if room < phones.max_calls:
        words = f"{room} calls fit into the RTP ports, phones.max_calls is {phones.max_calls}"
        found.append(Result("warn", "RTP ports", words))
    if media.speech and not speech.available():
        words = f"{speech.PROGRAM} is not installed: prompts are tones, not words (apt-get install -y {speech.PROGRAM})"
        found.append(Result("warn", "spoken prompts", words))
    for trunk in phones.trunks:
        if trunk.inbound and not any(rule.source == trunk.name for rule in phones.rules):
            words = f"{trunk.name}: no rule takes its calls, so each is refused (phones.rules)"
            found.append(Result("warn", "trunk", words))
    return found


def _udp_loop(settings: Settings) -> Result:
    """A datagram to ourselves: a firewall that stops even that stops everything."""
    host = "127.0.0.1" if settings.media.listen_host == "0.0.0.0" else settings.media.listen_host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as there, socket.socket(family, socket.SOCK_DGRAM) as here:
        there.bind((host, 0))
        there.settimeout(1.0)
        here.sendto(b"lamproom", there.getsockname())
        try:
            there.recv(16)
        except TimeoutError:
            return Result(
                "fail",
                "UDP",
                f"a datagram to {host} does not arrive: a firewall stops it",
                f"发往 {host} 的报文没有到达，可能被防火墙拦截",
            )
    return Result("pass", "UDP", f"datagrams to {host} arrive", f"发往 {host} 的报文可以到达")


def _gso(settings: Settings) -> Result:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tried:
        try:
            tried.setsockopt(SOL_UDP, UDP_SEGMENT, 1200)
        except OSError:
            return Result(
                "warn", "UDP segmentation", "not in this kernel: sending costs more", "内核不支持，发送开销较大"
            )
    return Result(
        "pass",
        "UDP segmentation",
        "the kernel has it" + ("" if settings.media.gso else ", switched off"),
        "内核支持" + ("" if settings.media.gso else "，已关闭"),
    )


def _forwarder(settings: Settings) -> Result:
    """Forwards for some seconds what a media worker would."""
    from media.errors import NativeUnavailable, PortError
    from media.forwarder.choice import proven
    from media.forwarder.measure import PACKET_BYTES, SUBSCRIBERS, measure

    chosen, gso = settings.media.forwarder, settings.media.gso
    try:
        used = measure(chosen, gso=gso, seconds=FORWARDING_S)
    except (PortError, OSError) as error:
        return Result("fail", "forwarding", str(error))
    load = f"a packet of {PACKET_BYTES:,} bytes in bursts to {SUBSCRIBERS} subscribers"
    words = f"{used.name}: {used.us_per_packet:.1f} µs of CPU for {load}"
    if used.name.startswith("Python"):
        try:
            proven()
        except NativeUnavailable as why:
            state: Literal["pass", "warn"] = "warn" if chosen == "auto" else "pass"
            return Result(state, "forwarding", f"{words}; the accelerator in C is not used: {why}")
        return Result("pass", "forwarding", f"{words}; the accelerator in C is there, but media.forwarder = {chosen}")
    slower = measure("python", gso=gso, seconds=FORWARDING_S)
    return Result("pass", "forwarding", f"{words}; in Python it would be {slower.us_per_packet:.1f} µs")


def _codecs(settings: Settings) -> Result:
    import av

    missing = [name for name in ("h264", "vp8", "vp9", "av1", "opus") if not _decodes(name)]
    if missing:
        return Result(
            "warn",
            "codecs",
            f"pictures in {', '.join(missing)} cannot be analysed",
            f"不能分析 {'、'.join(missing)} 编码的画面",
        )
    return Result("pass", "codecs", f"FFmpeg of PyAV {av.__version__}: H.264, VP8, VP9, AV1, Opus")


def _decodes(name: str) -> bool:
    import av

    try:
        av.Codec(name, "r")
    except av.codec.codec.UnknownCodecError:
        return False
    return True


def _vendor(settings: Settings) -> Result:
    from web import vendor

    if vendor.is_ready():
        return Result("pass", "front end", "packages are there", "已安装")
    return Result("fail", "front end", "packages are missing: run ./lamproom setup", "未安装，请执行 ./lamproom setup")


def _model(settings: Settings) -> Result:
    import onnxruntime

    from analytics.errors import ModelRefused
    from analytics.onnx import SHIPPED, load, load_tried
    from analytics.providers import called

    if not settings.analytics.posts and not settings.analytics.spots:
        return Result("pass", "vision", "no duty post or key spot is set, nothing is analysed")
    try:
        path, wish = settings.analytics.model, settings.analytics.provider
        model = load(SHIPPED, wish=wish) if path is None else load_tried(path, wish)
    except ModelRefused as error:
        return Result("fail", "vision model", str(error))
    card = model.card
    state: Literal["pass", "warn"] = "warn" if card.trained_on == "rendered" else "pass"
    words: str = "trained on rendered scenes only: bring your own model for duty"
    if state == "pass":
        words = card.trained_on
    there = ", ".join(called(one) for one in onnxruntime.get_available_providers())
    if wish not in ("auto", model.provider):
        state, words = "warn", f"{words}; {wish} is asked for and not usable"
    return Result(state, "vision model", f"{card.name}: {words}; carried out by {model.provider} (installed: {there})")


def _main_streams(settings: Settings) -> list[Result]:
    """Posts and spots that look through a main stream although the camera has a smaller one."""
    smaller = {(one.site, one.name) for one in settings.cameras if one.sub_url}
    lookers = [(one.post, one.site, one.camera) for one in settings.analytics.posts]
    lookers += [(one.spot, one.site, one.camera) for one in settings.analytics.spots]
    return [
        Result("warn", "main stream", f"{name} looks through {site}/{camera}: {camera}-sub costs a tenth to decode")
        for name, site, camera in lookers
        if (site, camera) in smaller
    ]


def _font(settings: Settings) -> Result:
    if not settings.server.simulated:
        return Result("pass", "fonts", "the server draws no text", "服务器不绘制文字")
    done = (
        subprocess.run(["fc-list", ":lang=zh"], capture_output=True, check=False) if shutil.which("fc-list") else None
    )
    found = done is not None and done.stdout.strip()
    return Result(
        "pass" if found else "warn",
        "fonts",
        "a Chinese font is there" if found else "no Chinese font",
        "有中文字体" if found else "没有中文字体",
    )


def _mqtt(settings: Settings) -> Result:
    if settings.mqtt.host is None:
        return Result("pass", "MQTT", "none is set", "未设置")
    where = f"{settings.mqtt.host}:{settings.mqtt.port}"
    try:
        with socket.create_connection((settings.mqtt.host, settings.mqtt.port), timeout=3.0):
            return Result("pass", "MQTT", f"{where} answers", f"{where} 有应答")
    except OSError as error:
        return Result("fail", "MQTT", f"{where}: {error.strerror or 'no answer'}", f"{where} 无应答")


def _clock(settings: Settings) -> Result:
    if time.time() < 1_767_225_600:  # 2026-01-01
        return Result(
            "fail",
            "clock",
            "the clock is years behind: tokens and records would be wrong",
            "时钟落后多年，令牌和记录都会出错",
        )
    done = subprocess.run(["timedatectl", "show", "-p", "NTPSynchronized", "--value"], capture_output=True, text=True,
                          check=False) if shutil.which("timedatectl") else None  # fmt: skip
    if done is not None and done.stdout.strip() == "no":
        return Result("warn", "clock", "not synchronised by NTP", "未与 NTP 同步")
    return Result("pass", "clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))
