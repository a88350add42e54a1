"""The drawing layer: a sheet with one palette, written as SVG or PNG, and the axes and heat maps on it."""
