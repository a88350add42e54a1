"""Many engines as one: workers on Ray that each hold an engine, on this machine or on a cluster.

`engine` is the Engine that runs use. `scheduler` decides which worker gets which requests and knows nothing of
Ray; `pool` and `cluster` are all that touch Ray; `worker` runs in the processes that Ray starts.
"""
