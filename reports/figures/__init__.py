"""The drawing layer: a sheet of shapes with one palette, written as SVG or PNG, and axes and heat maps on it."""
