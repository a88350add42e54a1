"""Runs: their specification (`spec`), execution (`runner`), and files on disk (`rundir`, `journal`)."""
