"""Shared by all subpackages: types, errors, names, images, and safe handling of text and files from outside.

It imports no other subpackage.
"""
