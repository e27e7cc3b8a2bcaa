"""How packets reach a peer: ICE-lite, DTLS and SRTP on one UDP port."""
