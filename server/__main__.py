"""The commands of `./lamproom`: `python -m server VERB`."""

from server.commands import app

app()
