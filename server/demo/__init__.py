"""A simulated mine, for looking at and for testing: it enters by the public doors only (MQTT, WHIP), and everything it
says and shows is marked as simulated."""
