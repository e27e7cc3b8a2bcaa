"""Upwards: what a mine owes to the platforms above it. Everything goes through a durable outbox, in order.

`records` says what a record may be, `outbox` keeps what is to be sent, `push` speaks to the AI-video platform, `files`
writes files for upload, `service` decides what is owed and sends it.
"""
