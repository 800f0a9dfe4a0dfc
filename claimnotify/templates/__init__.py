"""Rendering: from a stored notification to the content each channel sends, in one brand."""
