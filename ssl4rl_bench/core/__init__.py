"""What every room uses: types, errors, names, images, and text and files from outside. It imports no other room."""
