"""A judged gate as text, as files for CI, and as the head of a page."""
