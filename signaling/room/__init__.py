"""What browsers and the server say to each other over the WebSocket (`docs/room-protocol.md`)."""
