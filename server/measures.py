"""What the parts of a running server count, as Prometheus metrics, read when somebody asks."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from server.conductor import Conductor
from server.ingest import Ingest
from server.media import Media
from server.phonemedia import PhoneMedia
from server.recording import Recordings
from server.supervise import Health
from server.telemetry import TelemetryIngest
from server.vision import VisionWorker

_LOOKS = (
    ("pictures", "Pictures looked at", "pictures"),
    ("skipped", "Pictures decoded or dropped without a look", "skipped"),
    ("inference_seconds", "Time of looking", "inference_s"),
    ("decode_seconds", "Time of decoding", "decode_s"),
)
"""Of each camera and detector: name, meaning, field of `server.vision.Looks`."""


class Measures(Collector):
    """Reads counters of the parts; computes nothing that is not asked for."""

    def __init__(
        self,
        conductor: Conductor,
        media: Media,
        vision: VisionWorker,
        telemetry: TelemetryIngest,
        health: Health,
        recordings: Recordings,
        ingest: Ingest,
        phones: PhoneMedia | None,
    ) -> None:
        """`phones`: None where they are not enabled."""
        self._conductor = conductor
        self._media = media
        self._vision = vision
        self._telemetry = telemetry
        self._health = health
        self._recordings = recordings
        self._ingest = ingest
        self._phones = phones

    def collect(self) -> Iterator[Metric]:
        yield from self._clients()
        yield from self._media_worker()
        yield from self._vision_worker()
        yield from self._recorder()
        if self._phones is not None:
            yield from self._phone_worker(self._phones)
        cameras = GaugeMetricFamily("lamproom_fetched_cameras", "Cameras that are fetched, by state", labels=["state"])
        for state, number in Counter(self._ingest.states).items():
            cameras.add_metric([state], number)
        yield cameras
        yield from self._samples()
        restarts = CounterMetricFamily("lamproom_unit_restarts", "Units started again after a failure", labels=["unit"])
        for unit, count in self._health.restarts.items():
            restarts.add_metric([unit], count)
        yield restarts

    def _clients(self) -> Iterator[Metric]:
        clients = list(self._conductor.clients.values())
        gauge = GaugeMetricFamily("lamproom_clients", "Clients by kind", labels=["kind"])
        for kind, count in Counter(client.kind for client in clients).items():
            gauge.add_metric([kind], count)
        yield gauge
        tracks = GaugeMetricFamily("lamproom_tracks", "Published tracks by kind and state", labels=["kind", "state"])
        states = Counter((own.kind, own.state) for client in clients for own in client.tracks.values())
        for labels, number in states.items():
            tracks.add_metric(list(labels), number)
        yield tracks
        waiting = [len(client.connection.outbox) for client in clients if client.connection is not None]
        yield GaugeMetricFamily("lamproom_outbox_messages", "Longest queue of a socket", max(waiting, default=0))
        yield CounterMetricFamily("lamproom_notes_dropped", "Timeline notes dropped", self._conductor.dropped_notes)

    def _media_worker(self) -> Iterator[Metric]:
        beat = self._media.beat
        yield GaugeMetricFamily("lamproom_media_worker_up", "The media worker serves", int(self._media.serves))
        if beat is None:
            return
        yield GaugeMetricFamily("lamproom_media_loop_lag_seconds", "Lag of the worker's event loop", beat.loop_lag_s)
        yield CounterMetricFamily("lamproom_media_cpu_seconds", "Processor time of the worker", beat.cpu_s)
        events = CounterMetricFamily("lamproom_media_events", "Counters of the forwarder", labels=["event"])
        for name, value in beat.counters.items():
            events.add_metric([name], value)
        yield events

    def _vision_worker(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "lamproom_vision_worker_up", "The vision worker sees", int(self._vision.state == "ready")
        )
        if self._vision.beat is not None:
            yield GaugeMetricFamily("lamproom_vision_rss_bytes", "Memory of the worker", self._vision.beat.rss_mb * 1e6)
            yield CounterMetricFamily("lamproom_vision_cpu_seconds", "Processor time", self._vision.beat.cpu_s)
            yield GaugeMetricFamily("lamproom_vision_cameras", "Cameras analysed", self._vision.beat.cameras)
        for name, text, figure in _LOOKS:
            family = CounterMetricFamily(f"lamproom_vision_{name}", text, labels=["camera", "detector"])
            for labels, looks in self._vision.looks.items():
                family.add_metric(list(labels), getattr(looks, figure))
            yield family

    def _phone_worker(self, phones: PhoneMedia) -> Iterator[Metric]:
        yield GaugeMetricFamily("lamproom_phone_worker_up", "The phone worker serves", int(phones.ready.is_set()))
        if (beat := phones.beat) is None:
            return
        yield GaugeMetricFamily("lamproom_phone_legs", "Calls with sound", beat.legs)
        yield CounterMetricFamily("lamproom_phone_cpu_seconds", "Processor time of the phone worker", beat.cpu_s)
        ticks = CounterMetricFamily(
            "lamproom_phone_ticks", "Frames of 20 ms that the worker was late for", labels=["how"]
        )
        ticks.add_metric(["late"], beat.late_ticks)
        ticks.add_metric(["skipped"], beat.skipped_ticks)
        yield ticks
        ports = GaugeMetricFamily("lamproom_phone_ports", "Pairs of RTP ports, by state", labels=["state"])
        for state in ("free", "quarantined"):
            ports.add_metric([state], beat.counters.get(f"ports_{state}", 0))
        yield ports
        dropped = CounterMetricFamily("lamproom_phone_packets_dropped", "By reason", labels=["reason"])
        for name, value in beat.counters.items():
            if name.startswith("dropped_"):
                dropped.add_metric([name.removeprefix("dropped_")], value)
        yield dropped

    def _recorder(self) -> Iterator[Metric]:
        beat = self._recordings.beat
        yield GaugeMetricFamily("lamproom_recorder_up", "The recorder serves", int(self._recordings.pid is not None))
        if beat is not None:
            yield GaugeMetricFamily("lamproom_recordings", "Recordings under way", beat.recordings)
            yield CounterMetricFamily("lamproom_recorded_bytes", "Bytes of finished segments", beat.bytes)
            yield CounterMetricFamily("lamproom_recorder_units_dropped", "Units not recorded", beat.dropped)

    def _samples(self) -> Iterator[Metric]:
        counts = self._telemetry.counts
        family = CounterMetricFamily("lamproom_telemetry_samples", "Samples by what became of them", labels=["outcome"])
        for name in ("readings", "positions", "duplicates", "late", "unknown_site", "rejected"):
            family.add_metric([name], getattr(counts, name))
        yield family
