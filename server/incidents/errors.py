"""Errors of incidents.

- `IncidentError`: what was asked does not fit; nothing changed.
    - `NoSuchIncident`: there is none with this id.
    - `IncidentOver`: it is closed or merged already.
    - `NotTogether`: incidents of two mines, an incident with itself, or alerts that are not in it.
"""


class IncidentError(Exception):
    """What was asked does not fit; nothing changed."""


class NoSuchIncident(IncidentError):
    """There is none with this id."""


class IncidentOver(IncidentError):
    """It is closed or merged already."""


class NotTogether(IncidentError):
    """Incidents of two mines, an incident with itself, or alerts that are not in it."""
