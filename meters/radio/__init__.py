"""The network between meters and head-end: which frames arrive, when, and which never do. Pure, by seed."""
