"""Tell people and systems what happened: by e-mail, SMS, in-app inbox and signed webhook."""
