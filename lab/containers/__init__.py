"""The lab's parts in containers: who takes which part, how they are started, killed, cut off and rotated.

In a container `member.py` claims a part and serves it; beside the containers `stage.py` drives them. What both sides
agree on (names, paths, the run's plan) is `plan.py`.
"""
