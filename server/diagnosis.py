"""Why a camera's picture does not come, step by step and in words. Pure.

A camera's picture passes eight steps from its address to a screen. Each has a light and, where it fails, a sentence
that tells a person at the mine what to do. Steps behind the one that failed are not known.
"""

from dataclasses import dataclass
from typing import Literal

from media.ingest.messages import Facts, Opened, Reason
from media.ingest.messages import State as FetchState

Step = Literal["address", "connection", "login", "stream", "picture", "keyframe", "forwarded", "watched"]
Light = Literal["ok", "failed", "warning", "waiting", "unknown"]
Words = dict[Literal["zh", "en"], str]

STEPS: tuple[Step, ...] = (
    "address",
    "connection",
    "login",
    "stream",
    "picture",
    "keyframe",
    "forwarded",
    "watched",
)

NAMES: dict[Step, Words] = {
    "address": {"zh": "地址", "en": "Address"},
    "connection": {"zh": "网络连接", "en": "Connection"},
    "login": {"zh": "用户名和密码", "en": "Name and password"},
    "stream": {"zh": "视频流", "en": "Stream"},
    "picture": {"zh": "画面数据", "en": "Picture data"},
    "keyframe": {"zh": "关键帧", "en": "Key frame"},
    "forwarded": {"zh": "转发", "en": "Forwarding"},
    "watched": {"zh": "观看", "en": "Watched"},
}

FAILS_AT: dict[Reason, Step] = {
    "address_refused": "address",
    "name_unknown": "address",
    "connection_refused": "connection",
    "unreachable": "connection",
    "timeout": "connection",
    "unauthorized": "login",
    "not_found": "stream",
    "refused": "stream",
    "no_stream": "stream",
    "no_video": "stream",
    "codec_unsupported": "stream",
    "no_data": "picture",
    "ended": "picture",
    "broken": "picture",
    "no_keyframe": "keyframe",
}

WHAT_TO_DO: dict[Reason, Words] = {
    "address_refused": {
        "zh": "服务器的设置不允许访问这个地址。请核对摄像机地址；确实需要时在 ingest.allow_networks 中放行。",
        "en": "The server's settings do not allow this address. Check it; if it is right, allow it in "
        "ingest.allow_networks.",
    },
    "name_unknown": {
        "zh": "找不到这个主机名。请改用摄像机的 IP 地址，或检查服务器的域名解析。",
        "en": "This name has no address. Use the camera's IP address, or check the server's name service.",
    },
    "connection_refused": {
        "zh": "该地址上没有 RTSP 服务。请检查端口号，并在摄像机网页上开启 RTSP。",
        "en": "Nothing listens there. Check the port, and switch RTSP on in the camera's own pages.",
    },
    "unreachable": {
        "zh": "网络不通。请检查摄像机电源、网线、交换机和路由。",
        "en": "No way leads there. Check the camera's power, its cable, the switch and the route.",
    },
    "timeout": {
        "zh": "摄像机没有应答。请检查电源和网络；防火墙可能丢弃了报文。",
        "en": "The camera does not answer. Check its power and the network; a firewall may drop the packets.",
    },
    "unauthorized": {
        "zh": "摄像机拒绝该用户名或密码。为避免锁定账号，系统会隔较长时间再试；请更正后重启服务。",
        "en": "The camera refuses the name or password. It is tried again only after a long wait, so that the account "
        "is not locked; put it right and restart.",
    },
    "not_found": {
        "zh": "摄像机上没有这个路径。请按厂家说明核对地址中的通道号和码流号。",
        "en": "The camera has no such path. Check channel and stream numbers in the address by the maker's manual.",
    },
    "refused": {
        "zh": "摄像机拒绝了请求，可能已达到最大连接数。请关闭其他客户端后再试。",
        "en": "The camera refuses the request; perhaps it has as many viewers as it takes. Close others.",
    },
    "no_stream": {
        "zh": "对方应答的不是 RTSP。请核对端口，它可能是网页端口。",
        "en": "What answers is no RTSP. Check the port; it may be that of its web pages.",
    },
    "no_video": {
        "zh": "码流里没有视频。请核对通道号。",
        "en": "The stream has no picture. Check the channel number.",
    },
    "codec_unsupported": {
        "zh": "视频编码不是 H.264，浏览器无法播放。请在摄像机上把编码改为 H.264。",
        "en": "The pictures are not H.264, and browsers could not play them. Set the camera to H.264.",
    },
    "no_data": {
        "zh": "画面中断，摄像机不再发送数据。请检查网络和摄像机负荷。",
        "en": "The pictures stopped: the camera sends nothing any more. Check the network and the camera's load.",
    },
    "ended": {
        "zh": "摄像机结束了视频流，正在重新连接。",
        "en": "The camera ended the stream; it is being fetched again.",
    },
    "broken": {
        "zh": "与摄像机的连接断开，正在重新连接。",
        "en": "The connection to the camera broke; it is being fetched again.",
    },
    "no_keyframe": {
        "zh": "一直没有关键帧。请把摄像机的 I 帧间隔设为 1 到 4 秒，并关闭智能编码（H.264+）。",
        "en": "No key frame comes. Set the camera's I-frame interval to 1 to 4 seconds, and switch smart coding "
        "(H.264+) off.",
    },
}

LONG_KEYFRAMES_S = 4.5
MANY_JUMPS = 5


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of one fetched camera."""

    state: FetchState
    reason: Reason = ""
    detail: str = ""
    opened: Opened | None = None
    facts: Facts | None = None
    forwarded: Literal["no", "starting", "live", "stalled"] = "no"
    watchers: int = 0


@dataclass(frozen=True, slots=True)
class StepState:
    step: Step
    light: Light
    name: Words
    text: Words


def diagnose(known: Known) -> tuple[StepState, ...]:
    """All steps, in order."""
    failed = FAILS_AT[known.reason] if known.state == "backoff" and known.reason else None
    reached = _reached(known)
    steps = []
    for number, step in enumerate(STEPS):
        if step == failed and known.reason:
            steps.append(StepState(step, "failed", NAMES[step], WHAT_TO_DO[known.reason]))
        elif number < reached:
            light, text = _passed(step, known)
            steps.append(StepState(step, light, NAMES[step], text))
        else:
            light = "waiting" if failed is None and number == reached else "unknown"
            steps.append(StepState(step, light, NAMES[step], {"zh": "", "en": ""}))
    return tuple(steps)


def summary(known: Known) -> Words:
    """One sentence: the first failure, else the first warning, else that all is well."""
    steps = diagnose(known)
    for light in ("failed", "warning"):
        found = next((one for one in steps if one.light == light), None)
        if found is not None:
            return found.text
    if known.state == "live" and known.forwarded == "live":
        return {"zh": "画面正常。", "en": "The picture is on."}
    return {"zh": "正在连接。", "en": "It is being connected."}


def _reached(known: Known) -> int:
    """How many steps are behind it."""
    if known.state == "connecting":
        return 0
    if known.state == "waiting":
        return STEPS.index("keyframe")
    if known.state == "backoff":
        return STEPS.index(FAILS_AT[known.reason]) if known.reason else 0
    if known.forwarded != "live":
        return STEPS.index("forwarded")
    return len(STEPS)


def _passed(step: Step, known: Known) -> tuple[Light, Words]:
    opened, facts = known.opened, known.facts
    if step == "stream" and opened is not None:
        size = f"H.264 {opened.width}×{opened.height}"
        if opened.audio_left_out:
            return "warning", {
                "zh": f"{size}；声音编码 {opened.audio_left_out} 不能传送，请改为 G.711。",
                "en": f"{size}; its sound is {opened.audio_left_out}, which is not carried: set it to G.711.",
            }
        return "ok", {"zh": size, "en": size}
    if step == "picture" and facts is not None:
        return _picture(facts)
    if step == "keyframe" and facts is not None and facts.keyframe_interval_s is not None:
        return _keyframe(facts.keyframe_interval_s)
    if step == "watched":
        number = known.watchers
        return "ok", {"zh": f"{number} 人在看" if number else "无人观看", "en": f"{number} watching"}
    return "ok", {"zh": "", "en": ""}


def _picture(facts: Facts) -> tuple[Light, Words]:
    rate = f"{facts.frames_per_s:g}"
    mbit = f"{facts.bitrate_bps / 1e6:.1f}"
    if facts.reordered:
        return "warning", {
            "zh": f"{rate} 帧/秒，{mbit} Mbit/s；含 B 帧，浏览器可能卡顿，请在摄像机上关闭 B 帧。",
            "en": f"{rate} pictures/s, {mbit} Mbit/s, with B-frames: browsers may stutter. Switch them off.",
        }
    if facts.jumps >= MANY_JUMPS:
        return "warning", {
            "zh": f"摄像机时钟跳变 {facts.jumps} 次，请检查它的校时设置。",
            "en": f"The camera's clock jumped {facts.jumps} times; check how it is set.",
        }
    return "ok", {"zh": f"{rate} 帧/秒，{mbit} Mbit/s", "en": f"{rate} pictures/s, {mbit} Mbit/s"}


def _keyframe(interval_s: float) -> tuple[Light, Words]:
    if interval_s > LONG_KEYFRAMES_S:
        return "warning", {
            "zh": f"每 {interval_s:.0f} 秒一个关键帧，打开画面要等这么久；请设为 1 到 2 秒。",
            "en": f"A key frame every {interval_s:.0f} s: so long may it take to open the picture. Set 1 to 2 s.",
        }
    return "ok", {"zh": f"每 {interval_s:.1f} 秒一个", "en": f"one every {interval_s:.1f} s"}
