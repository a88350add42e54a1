"""The drawing layer: one sheet, one palette, SVG and PNG."""
