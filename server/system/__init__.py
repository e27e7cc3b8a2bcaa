"""How this server does: its processes, disks, links and clock, for the people who look after it."""
