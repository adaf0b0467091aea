"""Quantities as people read them: as many digits as mean something, and the unit that fits."""

import math


def significant(value: float) -> str:
    """Two decimals, more where the value is small: 1,234.5, 0.25, 0.0031. Whole numbers have none."""
    if not math.isfinite(value):
        return "–"
    if float(value).is_integer():
        return f"{value:,.10g}"
    if abs(value) >= 0.1:
        return f"{value:,.2f}"
    return f"{value:.2g}" if abs(value) >= 1e-4 else f"{value:.1e}"


def exact(value: float) -> str:
    """To a millionth, which is finer than any register: 0.999 is not 1.00."""
    if not math.isfinite(value) or 0 < abs(value) < 1e-4 or abs(value) >= 1e15:
        return significant(value)
    return f"{value:,.6f}".rstrip("0").rstrip(".")


def length(seconds: float) -> str:
    """2 h, 45 min, 1 h 30 min, 5 min 32 s, 2 s, 0.5 s."""
    if 0 < seconds < 1:
        return f"{seconds:.3g} s"
    hours, rest = divmod(round(seconds), 3600)
    minutes, secs = divmod(rest, 60)
    parts = [f"{n} {unit}" for n, unit in ((hours, "h"), (minutes, "min"), (secs, "s")) if n]
    return " ".join(parts) or "0 s"


def scale(most: float, unit: str) -> tuple[float, str]:
    """By what values up to `most`, in `unit`, are divided, and the unit then: (1000, "kW") of 5,000 W.

    A village's 1,500 kW stay kW: what is small beside them keeps its digits.
    """
    for least, factor, prefix in ((1e10, 1e9, "G"), (1e7, 1e6, "M"), (1e3, 1e3, "k")):
        if abs(most) >= least:
            return factor, prefix + unit
    return 1.0, unit
