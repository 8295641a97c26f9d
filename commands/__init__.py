"""One module per command: parse, call the library, report. Nothing is computed here."""
