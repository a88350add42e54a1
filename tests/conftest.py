"""This file makes pytest add its folder to the import path, for helpers such as `mmbench_data`."""
