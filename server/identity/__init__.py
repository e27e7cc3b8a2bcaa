"""Who somebody is and what they may do: passwords, log-ins, one-time links, room tokens, roles."""
