"""What people would use instead. Runs in an environment of its own; imports nothing of claimnotify."""
