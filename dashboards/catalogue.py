"""The dashboards. What a figure means is said in its panel's description; how it is found, in its SQL file."""

from dashboards.model import Dashboard, Link, Variable
from dashboards.panels import (
    LINES,
    NEUTRAL,
    NONE,
    at_least,
    at_most,
    count,
    number,
    panel,
    sql,
    states,
    text,
    time,
    within,
)

OPERATIONS, OUTAGES, FEEDER = "amilab-operations", "amilab-outages", "amilab-feeder"
VENDORS, METER, LOAD_TEST = "amilab-vendors", "amilab-meter", "amilab-load-test"
NETWORK = "amilab-network"
FROM_ROW_TO_METER = Link("Open the meter", METER, "usage_point", "usage_point")
FROM_MAP_TO_METER = Link("Open the meter", METER, "usage_point", "name")
FROM_ROW_TO_TRANSFORMER = Link("Open the transformer", FEEDER, "transformer", "transformer")
# EN 50160: within ±10 % of the nominal voltage; a warning from ±8 % on.
VOLTAGE_BAND = within(90, 92, 108, 110)
VOLTAGE_SCALE = (85.0, 115.0)
# Ontario AMI functional specification (2007): 98 % of the reads of a period.
READ_RATE = 0.98
OBSERVED = sql("extent/observed")

operations = Dashboard(
    OPERATIONS,
    "operations",
    "Operations",
    "Are the reads there, and does the head-end keep up?",
    (
        panel(
            "operations/reads", "stat", "Reads",
            "Intervals of the time range that are owed, and what became of them. Late: committed later than the "
            "interval's end, the profile's reporting interval and five minutes. Estimated: split over missed polls. "
            "What a meter could not measure or deliver, since it was known to be dark, it does not owe.",
            number("expected"), number("received"), number("late"), number("estimated"), number("missing"),
            decimals=0, thresholds=NEUTRAL, span=16, height=5, links=(Link("By vendor", VENDORS),),
        ),
        panel(
            "operations/success_rate", "gauge", "On time",
            "Reads that came by their deadline, of those that are owed. Target: 98 % of a period (Ontario AMI "
            "functional specification, 2007). The verdict of a run judges against the truth, which no head-end knows.",
            number("success_rate", "on time"),
            unit="percentunit", decimals=2, thresholds=at_least(0.95, READ_RATE), span=8, height=5, scale=(0.9, 1.0),
        ),
        panel(
            "operations/reads_over_time", "timeseries", "Reads over time",
            "By the beginning of the interval that was measured, whenever it came.",
            time(), number("expected"), number("received"), number("late"),
        ),
        panel(
            "operations/backlog", "timeseries", "Backlog",
            "Intervals whose deadline has passed and that are not stored, without those of meters that are known to be "
            "dark. It rises while meters cannot be heard and falls while they are asked for what is missing.",
            time(), number("overdue"), decimals=0, thresholds=at_most(1, 1000), stepped=True, scale=(0, None),
        ),
        panel(
            "operations/latency", "timeseries", "Age at commit",
            "From the end of an interval to its commit. Meters that report in blocks are late by design.",
            time(), number("p50", "median"), number("p95"), number("max"), unit="s", scale=(0, None),
        ),
        panel(
            "operations/receive_to_commit", "timeseries", "Receive to commit",
            "From the head-end's socket to the commit, on the head-end's clock: 0 in lockstep, where time waits.",
            time(), number("p50", "median"), number("p95"), number("max"), unit="s", scale=(0, None),
            thresholds=at_most(1, 10),
        ),
        panel(
            "operations/requests", "timeseries", "Load profiles asked for",
            "Requests to meters for intervals that are missing, by when they were issued and what became of them.",
            time(), number("answered"), number("expired"), number("refused"), number("open"), stacked=True,
            scale=(0, None),
        ),
        panel(
            "operations/dead_letters", "timeseries", "Dead letters",
            "Messages that could not be decoded. They are kept as they came, with the reason.",
            time(), number("dead_letters", "dead letters"), thresholds=at_most(1, 100), scale=(0, None),
        ),
        panel(
            "operations/dead_letter_reasons", "table", "Dead letters by reason", "Of the time range.",
            text("reason"), number("dead_letters", "dead letters"), time("last_at", "last"), span=8,
        ),
        panel(
            "operations/reachable", "stat", "Communication",
            "The last known state of meters with a connection, and of collectors. It says nothing of supply.",
            number("reachable"), number("unreachable"), number("collectors_online", "collectors online"),
            number("collectors_offline", "collectors offline"), thresholds=NEUTRAL, span=8,
            links=(Link("On the map", OUTAGES),),
        ),
        panel(
            "operations/work", "stat", "Under way",
            "Requests without an answer yet, reports of interruptions that no outage explains yet, outages that last.",
            number("open_requests", "open requests"), number("unexplained_reports", "unexplained reports"),
            number("open_outages", "open outages"), thresholds=NEUTRAL, span=8, links=(Link("Outages", OUTAGES),),
        ),
        panel(
            "operations/shown", "table", "What this shows", "Whose readings these are, and whose time they are in.",
            text("run"), text("pace", "time"), span=24, height=4,
        ),
    ),
    extent_sql=OBSERVED,
)  # fmt: skip

outages = Dashboard(
    OUTAGES,
    "outages",
    "Outages",
    "Who is without supply, since when, and which device is it?",
    (
        panel(
            "outages/open", "stat", "Now", "At the end of the time range, as the head-end knows it.",
            number("open_outages", "open outages"), number("customers_dark", "customers without supply"),
            thresholds=NONE, span=8, height=5,
        ),
        panel(
            "outages/indices", "stat", "Reliability",
            "IEEE 1366 over the UTC days of the time range. SAIDI: minutes without supply of the average customer. "
            "SAIFI: sustained interruptions (longer than five minutes) of the average customer. CAIDI: minutes of the "
            "average interruption. MAIFI: momentary interruptions of the average customer.",
            number("saidi_min", "SAIDI", "m"), number("saifi", "SAIFI"), number("caidi_min", "CAIDI", "m"),
            number("maifi", "MAIFI"), decimals=3, thresholds=NEUTRAL, span=16, height=5,
        ),
        panel(
            "outages/map", "map", "Customers",
            "At the end of the time range. A meter that cannot be reached need not be dark.",
            number("latitude"), number("longitude"), text("name", "usage point"), number("value", "state"),
            text("transformer"), mappings=states("supplied", "unreachable", "dark"), height=14, unit="none",
            thresholds=at_most(1, 2), links=(FROM_MAP_TO_METER, FROM_ROW_TO_TRANSFORMER),
        ),
        panel(
            "outages/timeline", "state", "Time line", "The devices whose opening explains what meters report.",
            *LINES, mappings=states("closed", "open"), height=14, unit="none", thresholds=NONE,
        ),
        panel(
            "outages/customers_dark", "timeseries", "Customers without supply", "As far as the head-end knows today.",
            time(), number("customers"), stepped=True, scale=(0, None),
        ),
        panel(
            "outages/saidi_by_day", "bar", "SAIDI by day", "Interruptions count for the UTC day on which they began.",
            text("day"), number("saidi_min", "SAIDI"), unit="m", decimals=2, scale=(0, None),
        ),
        panel(
            "outages/outages", "table", "Outages",
            "Open ones first. Customers of whom neither a last gasp nor a restore came are inferred from the device.",
            text("status"), text("device"), time("began_at", "began"), time("ended_at", "ended"), number("customers"),
            number("last_gasps", "last gasps"), number("restores"), number("detected_after_s", "detected after", "s"),
            span=24, height=10,
        ),
    ),
    extent_sql=OBSERVED,
)  # fmt: skip

feeder = Dashboard(
    FEEDER,
    "feeder",
    "Feeder",
    "Is voltage within its band, are transformers loaded, and what is lost on the way?",
    (
        panel(
            "feeder/voltage_range", "timeseries", "Voltage at the transformer's customers",
            "Of nominal, each phase by itself. EN 50160: ±10 %.",
            time(), number("lowest"), number("mean"), number("highest"), unit="percent", decimals=1,
            thresholds=VOLTAGE_BAND, scale=VOLTAGE_SCALE,
        ),
        panel(
            "feeder/voltage_profile", "bar", "Voltage profile",
            "Of nominal, by the straight line from the transformer to the customer.",
            text("distance"), number("lowest"), number("mean"), number("highest"), unit="percent", decimals=1,
            thresholds=VOLTAGE_BAND, scale=VOLTAGE_SCALE,
        ),
        panel(
            "feeder/voltage_by_phase", "timeseries", "Voltage by phase",
            "Of nominal, the mean of the customers that are connected to the phase. Far apart: the phases are loaded "
            "unequally, or the neutral is open.",
            time(), number("l1", "L1"), number("l2", "L2"), number("l3", "L3"), unit="percent", decimals=1,
            thresholds=VOLTAGE_BAND, scale=VOLTAGE_SCALE, span=24,
        ),
        panel(
            "feeder/transformer_loading", "timeseries", "Loading of the transformer",
            "Of its rated power: the mean active power of an interval, by its own meter; the highest of a step.",
            time(), number("loading"), unit="percent", decimals=0, thresholds=at_most(80, 100), scale=(0, None),
        ),
        panel(
            "feeder/losses", "timeseries", "Delivered, metered and lost",
            "By the hour: what the transformer delivered, what its customers' meters recorded, and the difference, "
            "which is losses in lines, whatever nobody meters, and the errors of all these meters. Only hours of which "
            "every reading is there.",
            time(), number("delivered"), number("metered"), number("lost"), unit="watth", scale=(0, None),
        ),
        panel(
            "feeder/reactive", "timeseries", "Reactive energy, varh",
            "Of its customers' meters that count it: imported (quadrants I and II) above zero, exported (III and IV) "
            "below.",
            time(), number("imported"), number("exported"), unit="none", decimals=0,
        ),
        panel(
            "feeder/power_factor", "timeseries", "Power factor",
            "Of the active and reactive energy that the same meters recorded: how much of what lines carry does work.",
            time(), number("power_factor", "power factor"), unit="none", decimals=3, scale=(None, 1.0),
        ),
        panel(
            "feeder/loading_by_transformer", "bar", "Loading of all transformers",
            "Of rated power, over the time range, by the meters of the transformers.",
            text("transformer"), number("highest"), number("mean"), unit="percent", decimals=0,
            thresholds=at_most(80, 100), scale=(0, None), links=(FROM_ROW_TO_TRANSFORMER,),
        ),
        panel(
            "feeder/losses_by_transformer", "table", "Losses by transformer",
            "Over the hours of the time range of which every reading is there. Much more than its neighbours: an "
            "unmetered load, or theft.",
            text("transformer"), count("meters"), count("hours"), number("delivered_wh", "delivered", "watth"),
            number("metered_wh", "metered", "watth"), number("lost_wh", "lost", "watth"),
            number("lost_percent", "lost of delivered", "percent"), decimals=2,
            links=(FROM_ROW_TO_TRANSFORMER,),
        ),
        panel(
            "feeder/voltage_map", "map", "Lowest voltage at each customer", "Of nominal, over the time range.",
            number("latitude"), number("longitude"), text("name", "usage point"), number("value", "lowest voltage"),
            text("transformer"), unit="percent", decimals=1, thresholds=VOLTAGE_BAND, height=12,
            links=(FROM_MAP_TO_METER,),
        ),
        panel(
            "feeder/weakest", "table", "Weakest customers", "The twenty with the lowest voltage of the time range.",
            text("usage_point", "usage point"), text("serial"), text("transformer"),
            number("lowest_v", "lowest", "volt"),
            number("lowest_percent", "lowest of nominal", "percent", judged=True),
            number("highest_percent", "highest of nominal", "percent", judged=True),
            decimals=1, thresholds=VOLTAGE_BAND, height=12, links=(FROM_ROW_TO_METER,),
        ),
        panel(
            "feeder/voltage_events", "table", "Sags and swells",
            "As meters tell them, of all transformers, newest first: the phase, how long, and the lowest or highest "
            "voltage.",
            text("usage_point", "usage point"), text("transformer"), text("code"), text("phase"),
            time("ended_at", "ended"), number("duration_s", "lasted", "s"), number("extreme_v", "extreme", "volt"),
            number("of_nominal_percent", "of nominal", "percent", judged=True), decimals=1, span=24,
            thresholds=VOLTAGE_BAND, links=(FROM_ROW_TO_METER,),
        ),
    ),
    variables=(Variable("transformer", "Transformer", sql("variables/transformer")),),
    extent_sql=OBSERVED,
)  # fmt: skip

vendors = Dashboard(
    VENDORS,
    "vendors",
    "Vendors",
    "Which meters do what their profile promises?",
    (
        panel(
            "vendors/conformance", "table", "Conformance",
            "Of the intervals that are owed. On time, as on the dashboard Operations: by the interval's end, the "
            "profile's reporting interval and five minutes, or later by as long as the meter was known to be dark. "
            "Dark: not owed for that reason. No record: not owed, since the meter itself says that it has none. "
            "Recovered: only after being asked for. Revised: another value came for a stored interval. Implausible: "
            "what cannot be true, and counts in no sum. Polls refused: answered with an exception of the meter's own, "
            "or with what cannot be, as with a wrong register map; unanswered: by nobody, or by its gateway alone.",
            text("vendor"), count("meters"), count("expected"),
            number("on_time_percent", "on time", "percent", judged=True),
            number("received_percent", "received", "percent", judged=True),
            number("estimated_percent", "estimated", "percent"),
            count("missing"), count("dark"), count("no_record", "no record"), count("recovered"), count("revised"),
            count("implausible"),
            count("polls_refused", "polls refused"), count("polls_unanswered", "polls unanswered"),
            count("dead_letters", "dead letters"),
            decimals=2, span=24, thresholds=at_least(95, 98),
        ),
        panel(
            "vendors/error_rate", "timeseries", "Error rate",
            "Of the intervals that are owed, those that did not come by their deadline. What a meter could not "
            "deliver, since it was known to be dark, is nobody's fault and does not count.",
            *LINES, unit="percent", decimals=1, thresholds=at_most(2, 5), scale=(0, None),
        ),
        panel(
            "vendors/latency", "bar", "Age at commit", "From the end of an interval to its commit.",
            text("vendor"), number("p50", "median"), number("p95"), unit="s", scale=(0, None),
        ),
        panel(
            "vendors/requests", "bar", "Requests", "Load profiles asked for, by what became of it.",
            text("vendor"), number("answered"), number("expired"), number("refused"), number("open"), stacked=True,
        ),
        panel(
            "vendors/reachable", "bar", "Reachable", "Meters whose last known state is that they can be reached.",
            text("vendor"), number("reachable_percent", "reachable"), unit="percent", decimals=1, scale=(0, 100),
            thresholds=at_least(95, 98),
        ),
        panel(
            "vendors/clocks", "table", "Clocks",
            "What meters mark in their own readings. Invalid: the meter does not trust its clock, so the interval may "
            "be another one. Adjusted: its clock was put right in the interval.",
            text("vendor"), count("meters"), count("invalid_meters", "with an invalid clock"),
            count("invalid_intervals", "intervals"), count("adjusted_meters", "with an adjusted clock"),
            count("adjusted_intervals", "intervals"), thresholds=NEUTRAL, span=24,
        ),
        panel(
            "vendors/events", "table", "Events", "What meters reported in the time range, by code.",
            text("vendor"), text("code"), number("events"), number("meters"), time("last_at", "last"), span=24,
        ),
    ),
    extent_sql=OBSERVED,
)  # fmt: skip

meter = Dashboard(
    METER,
    "meter",
    "Meter",
    "One usage point: what it used, how it was supplied, and what its meter said.",
    (
        panel(
            "meter/facts", "table", "The meter", "As it is registered, and its newest reading.",
            text("usage_point", "usage point"), text("serial"), text("vendor"), text("transformer"),
            number("interval_length_s", "interval", "s"), number("report_every_s", "reports every", "s"),
            time("last_interval", "last interval"), number("import_register_wh", "import register", "watth"),
            text("communication"), span=24, height=4, links=(FROM_ROW_TO_TRANSFORMER,),
        ),
        panel(
            "meter/energy", "timeseries", "Energy by interval", "With the latest value of each interval.",
            time(), number("import"), number("export"), unit="watth", scale=(0, None),
        ),
        panel(
            "meter/voltage", "timeseries", "Voltage",
            "Between line and neutral, at the end of each interval. EN 50160: ±10 %.",
            time(), number("l1", "L1"), number("l2", "L2"), number("l3", "L3"), unit="volt", decimals=1,
        ),
        panel(
            "meter/current", "timeseries", "Current", "In each phase, at the end of each interval.",
            time(), number("l1", "L1"), number("l2", "L2"), number("l3", "L3"), unit="amp", decimals=2,
        ),
        panel(
            "meter/phase_power", "timeseries", "Power by phase",
            "At the end of each interval. Below zero the phase feeds in.",
            time(), number("l1", "L1"), number("l2", "L2"), number("l3", "L3"), unit="watt", decimals=0,
        ),
        panel(
            "meter/reactive", "timeseries", "Reactive energy by interval, varh",
            "By quadrant. Imported reactive energy, I and II, is above zero; exported, III and IV, below. In II and "
            "III active energy is fed in.",
            time(), number("q1", "I"), number("q2", "II"), number("q3", "III"), number("q4", "IV"), unit="none",
            decimals=0, stacked=True,
        ),
        panel(
            "meter/power_factor", "timeseries", "Power factor",
            "Of each phase at the end of each interval, below zero where it feeds in.",
            time(), number("l1", "L1"), number("l2", "L2"), number("l3", "L3"), unit="none", decimals=3,
            scale=(-1.0, 1.0),
        ),
        panel(
            "meter/max_demand", "table", "Maximum demand",
            "The highest mean power of a demand period since that register was last reset, and when that period ended "
            "by the meter's clock.",
            number("demand_w", "demand", "watt"), time("ended_at", "period ended"), decimals=0, span=24, height=4,
        ),
        panel(
            "meter/states", "state", "Supply and communication",
            "Supply as the meter itself reports it; whether it can be reached, as the head-end sees it.",
            *LINES, mappings=states("good", "lost"), unit="none", thresholds=NONE, height=6,
        ),
        panel(
            "meter/register", "timeseries", "Import register", "It rolls over where its digits end.",
            time(), number("import"), unit="watth", height=6,
        ),
        panel(
            "meter/quality", "stat", "Quality",
            "The intervals of the time range. Recovered: only after being asked for. Dark: the meter has no record.",
            number("actual"), number("estimated"), number("revised"), number("recovered"), number("dark"),
            thresholds=NEUTRAL, span=8,
        ),
        panel(
            "meter/events", "table", "Event log", "As received in the time range, newest first.",
            time("received_at", "received"), time("device_time", "meter's clock"), number("sequence"), text("code"),
            text("detail"), span=16,
        ),
    ),
    variables=(Variable("usage_point", "Usage point", sql("variables/usage_point")),),
    extent_sql=OBSERVED,
    households=True,
)  # fmt: skip

load_test = Dashboard(
    LOAD_TEST,
    "load-test",
    "Load test",
    "Where does it bend? Throughput against ceilings, by client, head-end and database.",
    (
        panel(
            "load-test/throughput", "timeseries", "Throughput against ceilings",
            "What was offered, what each side counted, and what the same machine can do at most.",
            *LINES, unit="none", decimals=0, span=16, height=10, scale=(0, None),
        ),
        panel(
            "load-test/of_ceiling", "gauge", "Highest throughput of the ceiling",
            "What head-end or database reached, of the nearest ceiling that the test knows, in messages or in rows.",
            number("of_ceiling", "of the ceiling"), unit="percent", decimals=0, span=8, height=10, scale=(0, 100),
            thresholds=NEUTRAL,
        ),
        panel(
            "load-test/latency", "timeseries", "Latency",
            "As the client sees it, from publish to acknowledgement, and as the head-end does, from receive to commit.",
            *LINES, unit="ms", scale=(0, None),
        ),
        panel(
            "load-test/users", "timeseries", "Users, errors and messages under way", "By who measured it.",
            *LINES, scale=(0, None),
        ),
        panel(
            "load-test/generator_lag", "timeseries", "Lag of the generator",
            "How far the generator is behind its own schedule. Beyond its limit the run is invalid: the system may "
            "have been fast.",
            *LINES, unit="ms", scale=(0, None),
        ),
        panel(
            "load-test/processors", "timeseries", "Processor time", "100 % is one core.",
            *LINES, unit="percent", decimals=0, scale=(0, None),
        ),
        panel(
            "load-test/summary", "table", "Figures", "Over the whole run.",
            text("source"), text("metric"), number("lowest"), number("mean"), number("highest"), number("samples"),
            decimals=2, span=24,
        ),
    ),
    variables=(Variable("run", "Run", sql("variables/run")),),
    extent_sql=sql("extent/load-test"),
    time_from="now-1h",
    refresh="10s",
)  # fmt: skip

network = Dashboard(
    NETWORK,
    "network",
    "Network",
    "What arrives over meters' connections and collectors, how long does it take, and who carries worst?",
    (
        panel(
            "network/delivery", "table", "Delivery by class",
            "What meters told, from the instant that it bears by the meter's clock, to the head-end's socket. Of reads "
            "the time counts from when the profile has them reported. Classes and limits: RFC 8036, 4.2, which asks "
            "98 % of a mesh. What never came is no message here. The verdict of a run judges against the truth.",
            text("class"), number("within_s", "limit", "s"), count("messages"),
            number("in_time_percent", "in time", "percent", judged=True), number("p50_s", "median", "s"),
            number("p95_s", "95 %", "s"), decimals=2, thresholds=at_least(95, 98), span=16, height=7,
        ),
        panel(
            "network/gasps", "stat", "Last gasps",
            "Of the interruptions that began in the time range and whose end the meter told: how many had been told by "
            "a last gasp. No source says how many should be.",
            number("interruptions"), number("heard"), number("heard_share", "share", "percentunit"),
            thresholds=NEUTRAL, span=8, height=7,
        ),
        panel(
            "network/delay", "timeseries", "Delay of events",
            "From the instant that an event bears to the head-end's socket, by when it came. An event that a meter "
            "kept while it could not be reached is as late as that took.",
            time(), number("p50", "median"), number("p95"), number("max"), unit="s", scale=(0, None),
        ),
        panel(
            "network/repeats", "timeseries", "Requests and retries",
            "Load profiles asked for. Repeated: sendings beyond the first. Unanswered: expired or given up.",
            time(), number("requests"), number("repeated"), number("unanswered"), unit="none", decimals=0,
            scale=(0, None),
        ),
        panel(
            "network/traffic", "timeseries", "Bytes by hour",
            "Payloads of messages that could be read, without what protocols and networks add. Of polled meters none.",
            time(), number("collectors", "through collectors"), number("own_connection", "own connections"),
            unit="bytes", scale=(0, None),
        ),
        panel(
            "network/connections", "timeseries", "Connections lost and made",
            "Of meters, those behind a collector with it. It says nothing of supply.",
            time(), number("lost"), number("made"), unit="none", decimals=0, scale=(0, None),
        ),
        panel(
            "network/carriers", "table", "Worst carriers",
            "Collectors and cells; meters with a connection of their own whose cell nobody says are one. Late: "
            "committed after the read's deadline. Recovered: only after being asked for. Requests: load profiles; "
            "repeated: sendings beyond the first. Bytes: payloads, over the hours in which there were any; of cells "
            "the mean of all meters with a connection of their own.",
            text("carrier"), count("meters"), count("reads"), count("late"), number("late_percent", "late", "percent"),
            count("recovered"), count("requests"), count("repeated"), count("unanswered"),
            number("bytes_per_meter_and_day", "per meter and day", "bytes"), decimals=2, span=24, height=10,
        ),
    ),
    extent_sql=OBSERVED,
)  # fmt: skip

DASHBOARDS = (operations, outages, feeder, vendors, meter, load_test, network)
