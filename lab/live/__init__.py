"""The live page of a lab that keeps running: what it shows, what one can do to the lab from there, and exercises.

Served without a build step and without the internet: static files of our own, and a chart library from its wheel.
"""
