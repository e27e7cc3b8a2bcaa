"""What may be set. Nothing here knows what the settings are used for."""

VERSION = "0.1.0"
"""Of the whole program; the same in pyproject.toml (a test holds them equal)."""
