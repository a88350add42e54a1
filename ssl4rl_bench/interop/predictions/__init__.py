"""Reads files of predictions that other tools wrote, and imports them as runs (`importing.import_predictions`)."""
