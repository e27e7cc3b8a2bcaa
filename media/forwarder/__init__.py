"""The hot path: packets in, packets out."""
