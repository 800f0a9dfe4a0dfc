"""The media a message goes out over, one module each, and beside it the vendor that carries it."""
