"""Sound of telephones: RTP legs, the mixer, prompts. The process is `worker`, what it is told is in `messages`."""
