"""What a panel says while it has nothing to show: why that is, and when it will not be so. By `<dashboard>/<key>`."""

NO_REACTIVE = "No meter here has told reactive energy in this time range yet. The first reading with some fills it."
NO_READING = "Nothing was measured in this time range yet. The first interval that is over and stored fills it."
NO_LOAD_TEST = "No load test has written to this database yet. This fills while `amilab loadtest` runs on it."
NO_DEAD_LETTER = "Every message could be read so far. The first one that cannot shows here."
NO_TRANSFORMER = (
    "No reading of a transformer's meter in this time range. Where the fleet has such meters, each interval brings one."
)
NO_HOUR = "No hour is complete yet: all meters of the transformer must have been read for all of it."
NO_VOLTAGE = "No voltage is stored for customers with a position. Their first readings fill it."

ZERO_IS_NOTHING = frozenset(
    {
        "operations/requests",
        "operations/dead_letters",
        "network/connections",
        "network/repeats",
        "outages/customers_dark",
        "outages/saidi_by_day",
        "vendors/requests",
    }
)
"""Panels of what need not happen: a line along zero says less than a sentence."""
WHEN_EMPTY = {
    "operations/reads": NO_READING,
    "operations/success_rate": "No read is due yet. The gauge stands once the first deadline has passed.",
    "operations/reads_over_time": NO_READING,
    "operations/backlog": "No deadline has passed in this time range yet. The first one that does begins the line.",
    "operations/latency": NO_READING,
    "operations/receive_to_commit": NO_READING,
    "operations/requests": "No meter was asked for anything yet. This fills with the first interval that is missing.",
    "operations/dead_letters": NO_DEAD_LETTER,
    "operations/dead_letter_reasons": NO_DEAD_LETTER,
    "operations/reachable": "No meter has connected yet. This fills when the first one does.",
    "operations/work": "The head-end has not begun. This fills when it has.",
    "operations/shown": "There is no schema yet. This fills when a head-end has begun.",
    "outages/open": "The head-end has not begun. This fills when it has.",
    "outages/indices": "No day of this time range has customers yet. This fills when meters are registered.",
    "outages/map": "No usage point has a position. A feeder with coordinates fills it.",
    "outages/timeline": "No outage yet. The first one that the head-end finds begins this time line.",
    "outages/customers_dark": "No outage yet. The first one that the head-end finds begins this line.",
    "outages/saidi_by_day": "No interruption of these days is over. Its minutes make a bar once supply is back.",
    "outages/outages": "No outage yet. This list begins with the first one that the head-end finds.",
    "feeder/voltage_range": NO_READING,
    "feeder/voltage_by_phase": NO_READING,
    "feeder/reactive": NO_REACTIVE,
    "feeder/power_factor": NO_REACTIVE,
    "feeder/voltage_events": "No meter told of a sag or a swell in this time range. The first one shows here.",
    "feeder/voltage_profile": NO_VOLTAGE,
    "feeder/transformer_loading": NO_TRANSFORMER,
    "feeder/losses": NO_HOUR,
    "feeder/loading_by_transformer": NO_TRANSFORMER,
    "feeder/losses_by_transformer": NO_HOUR,
    "feeder/voltage_map": NO_VOLTAGE,
    "feeder/weakest": NO_READING,
    "network/delivery": "No meter has told anything in this time range. The first event or reading fills it.",
    "network/gasps": "The head-end has not begun. This fills when it has.",
    "network/delay": "No meter told of an event in this time range. The first restoration or restart begins the lines.",
    "network/repeats": "No meter was asked for anything yet. This fills with the first interval that is missing.",
    "network/traffic": "Nothing is counted of this time range yet. It is written every five minutes.",
    "network/connections": "No connection was made or lost in this time range. The first change fills it.",
    "network/carriers": "No meter is registered yet. Each carrier has its row once its meters are.",
    "vendors/conformance": "No read is due yet. Each vendor has its row once the first deadline has passed.",
    "vendors/error_rate": "No read is due yet. The lines begin once the first deadline has passed.",
    "vendors/latency": NO_READING,
    "vendors/requests": "No meter was asked for anything yet. This fills with the first interval that is missing.",
    "vendors/reachable": "No meter has connected yet. This fills when the first one does.",
    "vendors/clocks": "No meter is registered yet. Each vendor has its row once its meters are.",
    "vendors/events": "No meter reported an event in this time range. The first last gasp or restart shows here.",
    "meter/facts": "There is no such usage point. Choose another one above.",
    "meter/energy": "This meter has no reading in this time range yet. The first one fills it.",
    "meter/voltage": "This meter has no reading with a voltage in this time range yet. The first one fills it.",
    "meter/current": "This meter has told no current in this time range yet. The first reading with one fills it.",
    "meter/phase_power": "This meter has told no power of a phase in this time range yet. Its first reading fills it.",
    "meter/reactive": "This meter has told no reactive energy in this time range yet. The first reading fills it.",
    "meter/power_factor": "This meter has told no power factor in this time range yet. The first reading fills it.",
    "meter/max_demand": "This meter told no maximum demand in this time range. Not every meter has such a register.",
    "meter/states": "Nothing is known of this meter's supply or connection yet. Its first message fills this.",
    "meter/register": "This meter has no reading with a register in this time range yet. The first one fills it.",
    "meter/quality": "This meter has no reading in this time range yet. The first one fills it.",
    "meter/events": "This meter reported no event in this time range. Its first last gasp or restart shows here.",
    "load-test/throughput": NO_LOAD_TEST,
    "load-test/of_ceiling": "No ceiling is known for this run. Its settings name them: `[ceilings]`.",
    "load-test/latency": NO_LOAD_TEST,
    "load-test/users": NO_LOAD_TEST,
    "load-test/generator_lag": NO_LOAD_TEST,
    "load-test/processors": NO_LOAD_TEST,
    "load-test/summary": NO_LOAD_TEST,
}
