"""The flow of a notification: accept, drain, record. Against ports only."""
