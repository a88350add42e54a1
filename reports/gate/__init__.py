"""Shows a judged gate as text, as files for CI, and as views of the HTML page."""
