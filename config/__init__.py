"""What may be set. Nothing here knows what the settings are used for."""
