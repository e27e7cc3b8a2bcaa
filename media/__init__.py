"""Packets and pictures. Knows nothing of calls, people or alerts.

`router` decides who gets which track, `forwarder` moves the packets, `transport` is one UDP port for all peers,
`worker` is the process around them; the server speaks to it only in the messages of `media.messages`.
"""
