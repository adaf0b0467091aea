"""The verdict: what the physics did, what each meter recorded, what the head-end has, and whether they agree.

`judge` compares the three and measures them against the criteria; `tables` says what it needs, `adapters` fetch
`stored` from somebody's head-end, `compare` and `accuracy` are pure functions over the tables.

Not judged yet: outage detection. The block `outages` of verdict.json counts what was injected (truth_outages.json);
what the head-end detected is null there, and no criterion refers to it.
"""
