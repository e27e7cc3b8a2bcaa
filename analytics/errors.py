"""Every error of plug-ins, models and pictures."""


class AnalyticsError(Exception):
    """Base of all."""


class UnknownPlugin(AnalyticsError, LookupError):
    """A detector is named in the settings but nobody provides it."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name = name
        self.known = known
        super().__init__(f"no detector named {name!r}; known: {', '.join(known) or 'none'}")


class BrokenPlugin(AnalyticsError, TypeError):
    """An entry point made something that is no detector."""


class ModelRefused(AnalyticsError):
    """A model file was not taken. `reason` is a stable id, the sentence says more."""

    def __init__(self, reason: str, detail: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}: {detail}")


class BrokenOutput(AnalyticsError):
    """A model gave figures of the wrong shape or no figures at all (NaN, infinite)."""


class UndecodableTrack(AnalyticsError):
    """A codec that we have no decoder for."""


class SourceRefused(AnalyticsError, ValueError):
    """A telemetry source cannot be built from its settings; the sentence says which setting and why."""
