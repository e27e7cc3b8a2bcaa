"""Turns pictures and readings into findings. `plugin.py` is the door for detectors and telemetry sources."""
