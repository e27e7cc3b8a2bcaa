"""What one subscriber gets of each of its tracks: from how it shows them and what its way carries to its routes.

| A track | gets |
|---|---|
| that is not visible | nothing: its route is paused |
| of one encoding | that; paused only where the way is known to be too thin |
| of a simulcast | the encoding that the allocator gives it; while that is not being sent, the best below that is |

A change of encoding asks for a key frame of the new one; until it comes the old one goes on.
"""

from collections.abc import Callable, Mapping

from media.allocator import FIRST, REST, VOICE, Demand, allocate, missing
from media.forwarder.interface import Forwarder
from media.incoming import Encoding, IncomingTrack, lag
from media.layers import ceiling, costs
from media.messages import View
from media.subscription import Subscription

OVERFLOW = 1.2
_PLAIN = View()


class Arrangement:
    """Of one subscriber. `wish_keyframe` is told the source."""

    def __init__(self, forwarder: Forwarder, wish_keyframe: Callable[[int], None]) -> None:
        self._forwarder = forwarder
        self._wish_keyframe = wish_keyframe
        self.views: Mapping[str, View] = {}
        self.silent: frozenset[str] = frozenset()
        """Sound that nobody would hear among louder voices."""
        self.missing_bps = 0.0
        """What the next step of the most important track that got too little would cost."""

    def first(self, track: IncomingTrack, budget_bps: float | None) -> int:
        """The encoding (index) that a track begins with, before everything is arranged anew."""
        top = ceiling(len(track.encodings), self.views.get(track.info.track, _PLAIN).height)
        if budget_bps is None:
            return top
        price = costs([encoding.bitrate_bps for encoding in track.encodings])
        return max((index for index in range(top + 1) if price[index] <= budget_bps / 2), default=0)

    def hides(self, track: str) -> bool:
        """Whether the subscriber does not show this track now."""
        return track in self.silent or self.views.get(track, _PLAIN).height == 0

    def arrange(self, subscriptions: Mapping[str, Subscription], budget_bps: float | None, *, congested: bool) -> None:
        """Give each track what it is to get now.

        Args:
            congested: the way was seen to be full; until then tracks of one encoding are not held back.
        """
        demands: list[Demand] = []
        for track, subscription in subscriptions.items():
            view = self.views.get(track, _PLAIN)
            if track in self.silent or (subscription.track.video and self.hides(track)):
                self._pause(subscription)
            else:
                demands.append(self._demand(subscription, view, congested=congested))
        given = allocate(demands, budget_bps)
        self.missing_bps = missing(demands, given) if budget_bps is not None else 0.0
        for track, index in given.items():
            subscription = subscriptions[track]
            if index is None:
                self._pause(subscription)
            else:
                subscription.target = index
                encoding = self._sendable(subscription.track, index, budget_bps)
                self._follow(subscription, encoding, hurry=self._overflows(subscription, encoding, budget_bps))

    def _demand(self, subscription: Subscription, view: View, *, congested: bool) -> Demand:
        track = subscription.track
        if not track.video:
            return Demand(track.info.track, VOICE, (track.encodings[0].bitrate_bps,), 0, 0)
        route = self._forwarder.route(subscription.route)
        now = None
        if route.started and not route.paused:
            now = next((i for i, encoding in enumerate(track.encodings) if encoding.source == route.source), None)
        price = costs([encoding.bitrate_bps for encoding in track.encodings])
        if not track.simulcast:
            price = (track.encodings[0].bitrate_bps,)
        top = ceiling(len(track.encodings), view.height)
        first = FIRST if view.first else REST
        return Demand(track.info.track, first, price, top, now, must=not track.simulcast and not congested)

    def _pause(self, subscription: Subscription) -> None:
        subscription.target = None
        route = self._forwarder.route(subscription.route)
        if not route.paused or route.switching:
            self._forwarder.switch(subscription.route, 0, None)

    @staticmethod
    def _sendable(track: IncomingTrack, index: int, budget_bps: float | None) -> Encoding:
        """The encoding to send for now. One above what was given (because only that is being sent) must fit too."""
        encoding = track.flowing(index)
        above = track.encodings.index(encoding) > index
        if above and budget_bps is not None and encoding.bitrate_bps > budget_bps:
            return track.encodings[index]
        return encoding

    def _overflows(self, subscription: Subscription, encoding: Encoding, budget_bps: float | None) -> bool:
        """Whether what is sent now is far more than the way carries: then it does not go on until the key frame comes,
        which would have to wait behind it."""
        present = subscription.track.of_source(self._forwarder.route(subscription.route).source)
        if budget_bps is None or present is None or present.bitrate_bps <= encoding.bitrate_bps:
            return False
        return present.bitrate_bps > budget_bps * OVERFLOW

    def _follow(self, subscription: Subscription, encoding: Encoding, *, hurry: bool) -> None:
        route = self._forwarder.route(subscription.route)
        hurry = hurry and not route.paused
        if route.switching == encoding.source and not hurry:
            return
        if route.source == encoding.source and not route.paused and not route.switching:
            return
        present = subscription.track.of_source(route.source)
        if present is None:
            return
        if hurry:
            self._forwarder.switch(subscription.route, 0, None)
        self._forwarder.switch(subscription.route, encoding.source, lag(self._forwarder, encoding, present))
        if subscription.track.video and self._forwarder.route(subscription.route).source != encoding.source:
            self._wish_keyframe(encoding.source)
