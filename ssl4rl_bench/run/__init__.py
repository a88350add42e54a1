"""A run: what it is (`spec`), asking what is not answered yet (`runner`), and what lies on disk."""
