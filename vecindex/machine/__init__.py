"""What does this machine give: cores, memory, threads, and what it refuses."""
