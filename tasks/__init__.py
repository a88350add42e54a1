"""Task files, one YAML each; the README says what they may hold."""
