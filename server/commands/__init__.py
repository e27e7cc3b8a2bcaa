"""The verbs of the command line, one file each family; `app` is what `python -m server` runs."""

from server.commands.main import app

__all__ = ["app"]
