"""Work beside the event loop: threads, messages, turns, failures in words."""
