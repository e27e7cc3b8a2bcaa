"""GStreamer's webrtcbin as a peer: publishes by WHIP or plays by WHEP, and says twice a second what it decoded.

Run by the system's Python, which has GStreamer: `python3 gstpeer.py whip|whep URL TOKEN`.
"""

import json
import sys
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

PUBLISH = """
webrtcbin name=peer bundle-policy=max-bundle
videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1 ! vp8enc deadline=1
  keyframe-max-dist=30 ! rtpvp8pay picture-id-mode=2 !
  application/x-rtp,media=video,encoding-name=VP8,payload=96,clock-rate=90000 ! peer.
audiotestsrc is-live=true ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay !
  application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000 ! peer.
"""
DECODERS = {
    "VP8": "rtpvp8depay ! vp8dec",
    "H264": "rtph264depay ! h264parse ! openh264dec",
    "OPUS": "rtpopusdepay ! opusdec",
}
FORMATS = {"VP8": ("video", 96, 90000), "H264": ("video", 98, 90000), "OPUS": ("audio", 111, 48000)}


class Peer:
    def __init__(self, kind: str, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.decoded: dict[str, int] = {}
        what = PUBLISH if kind == "whip" else "webrtcbin name=peer bundle-policy=max-bundle"
        self.pipeline = Gst.Pipeline.new()
        self.pipeline.add(Gst.parse_bin_from_description(what, False))
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("notify::ice-gathering-state", lambda *_: self.gathered())
        self.peer.connect("notify::connection-state", lambda *_: self.tell())
        self.peer.connect("pad-added", lambda _, pad: self.play(pad))
        self.pipeline.set_state(Gst.State.PLAYING)
        if kind == "whep":
            for names in (("VP8", "H264"), ("OPUS",)):
                self.peer.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, caps(names))
            self.offer()
        else:
            self.peer.connect("on-negotiation-needed", lambda _: self.offer())
        GLib.timeout_add(500, self.tell)

    def offer(self) -> None:
        index = 0
        while (transceiver := self.peer.emit("get-transceiver", index)) is not None:
            if transceiver.get_property("direction") == GstWebRTC.WebRTCRTPTransceiverDirection.SENDRECV:
                transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
            index += 1
        self.peer.emit("create-offer", None, Gst.Promise.new_with_change_func(self.offered))

    def offered(self, promise: Gst.Promise) -> None:
        self.reply = promise.get_reply()  # the offer lives as long as this
        self.peer.emit("set-local-description", self.reply.get_value("offer"), None)

    def gathered(self) -> None:
        if self.peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.post)

    def post(self) -> bool:
        sdp = self.peer.get_property("local-description").sdp.as_text()
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {self.token}"}
        asked = urllib.request.Request(self.url, sdp.encode(), headers, method="POST")
        try:
            with urllib.request.urlopen(asked, timeout=20) as answer:
                body = answer.read().decode()
        except urllib.error.HTTPError as error:
            print(json.dumps({"error": f"{error.code}: {error.read().decode()}", "offer": sdp}), flush=True)
            return False
        _, message = GstSdp.SDPMessage.new_from_text(body)
        described = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.peer.emit("set-remote-description", described, None)
        return False

    def play(self, pad: Gst.Pad) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        name = pad.get_current_caps().get_structure(0).get_string("encoding-name")
        branch = Gst.parse_bin_from_description(
            f"queue ! {DECODERS[name]} ! fakesink name=end signal-handoffs=true sync=false", True
        )
        branch.get_by_name("end").connect("handoff", lambda *_: self.count(name))
        self.peer.get_parent().add(branch)
        branch.sync_state_with_parent()
        pad.link(branch.get_static_pad("sink"))

    def count(self, name: str) -> None:
        self.decoded[name] = self.decoded.get(name, 0) + 1

    def tell(self) -> bool:
        state = self.peer.get_property("connection-state").value_nick
        print(json.dumps({"state": state, "decoded": self.decoded}), flush=True)
        return True


def caps(names: tuple[str, ...]) -> Gst.Caps:
    found = []
    for name in names:
        media, payload, rate = FORMATS[name]
        more = ",packetization-mode=(string)1,profile-level-id=(string)42001f" if name == "H264" else ""
        more += ",encoding-params=(string)2" if name == "OPUS" else ""
        found.append(f"application/x-rtp,media={media},encoding-name={name},payload={payload},clock-rate={rate}{more}")
    return Gst.Caps.from_string(";".join(found))


Gst.init(None)
held = Peer(*sys.argv[1:])
GLib.MainLoop().run()
