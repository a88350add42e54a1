"""Its being here puts this folder on the import path, for helpers such as `mmbench_data`."""
