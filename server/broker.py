"""Connections to the MQTT broker of the settings over which something is told. (What is heard comes by
`analytics/telemetry/mqtt.py`.)"""

import aiomqtt

from config.settings import MqttSettings


def broker_client(
    settings: MqttSettings, name: str, timeout_s: float, will: aiomqtt.Will | None = None
) -> aiomqtt.Client:
    """A connection of its own, called `{client_id}-{name}`.

    Raises:
        ValueError: there is no broker in the settings.
    """
    if settings.host is None:
        raise ValueError("no MQTT broker in the settings")
    return aiomqtt.Client(
        settings.host,
        settings.port,
        username=settings.username,
        password=settings.password,
        identifier=f"{settings.client_id}-{name}",
        protocol=aiomqtt.ProtocolVersion.V5 if settings.version == "5" else aiomqtt.ProtocolVersion.V311,
        tls_params=aiomqtt.TLSParameters() if settings.tls else None,
        will=will,
        timeout=timeout_s,
    )
