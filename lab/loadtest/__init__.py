"""Load tests: a head-end, its broker and its database under a load that is known beforehand, and a verdict on them."""
