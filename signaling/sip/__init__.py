"""SIP (RFC 3261) as pure machines: bytes, events and `now` in, bytes, events and the next deadline out.

Read in this order: `errors`, `grammar`, `uri`, `address`, `via`, `headers`, `message`, `stream`, `admission` (what
stands on the wire); `transaction`, `transactionlayer` (who repeats what, and until when);
`dialog`, `offeranswer`, `sessiontimer`, `reliable` (calls); `digest`,
`registrar` (who is who, and where); `service`, and with sockets `endpoint`. What is assumed stands in docs/sip.md.
"""
