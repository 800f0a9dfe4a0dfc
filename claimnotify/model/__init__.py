"""Value types: what happened, to whom, over what, and what became of it. No I/O."""
