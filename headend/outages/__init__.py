"""Outages: from last gasps, restores, momentaries and missed reads to the devices that explain them.

`model` reads the network, `explain` finds the most likely devices behind customers that went dark together, `follow`
leads an outage from its beginning to its end, `store` keeps it in the database, `watch` says when to look. All but the
last two are pure.
"""
