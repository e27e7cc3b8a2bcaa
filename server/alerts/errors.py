"""Errors of alerts.

- `AlertError`: what was asked does not fit; nothing changed.
    - `NoSuchAlert`: there is no alert with this id.
    - `AlertOver`: it was closed already, by somebody else or with another outcome.
"""


class AlertError(Exception):
    """What was asked does not fit; nothing changed."""


class NoSuchAlert(AlertError):
    """There is no alert with this id."""

    def __init__(self, alert: str) -> None:
        self.alert = alert
        super().__init__(f"There is no alert {alert}.")


class AlertOver(AlertError):
    """It was closed already, by somebody else or with another outcome."""

    def __init__(self, alert: str) -> None:
        self.alert = alert
        super().__init__(f"Alert {alert} was closed already.")
