"""Audits a model card: checks what its printed tables derive and mark against their other numbers."""
