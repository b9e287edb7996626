"""What this machine provides and refuses: cores, memory, threads, and optional packages."""
