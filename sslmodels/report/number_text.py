"""Numbers as a page shows them; what is unknown is a dash."""

from __future__ import annotations

#: A mean and its standard deviation; the SD of one value is None.
MeanSd = tuple[float, float | None]


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many decimals."""
    return "–" if value is None else f"{value:.{digits}f}"


def count(value: float | None) -> str:
    """Return a number of things."""
    return "–" if value is None else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """Return a time in minutes and seconds."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s"


def mean_sd(pair: MeanSd | None, digits: int, with_sd: bool = True) -> str:
    """Return a mean ± its standard deviation, if it has one."""
    if pair is None:
        return "–"
    mean, sd = pair
    return number(mean, digits) + (f" ± {sd:.{digits}f}" if with_sd and sd is not None else "")


def signed(pair: MeanSd) -> str:
    """Return a mean difference with its sign."""
    return ("+" if pair[0] >= 0 else "−") + mean_sd((abs(pair[0]), pair[1]), 3)


def span(pair: tuple[float, float] | None, digits: int, sign: str = "") -> str:
    """Return an interval as text, with a space before it; "" where there is none."""
    if pair is None:
        return ""
    return " [" + ", ".join(f"{end:{sign}.{digits}f}".replace("-", "−") for end in pair) + "]"


def percent(share: float | None) -> str:
    """Return a share (0 to 1) in percent."""
    return "–" if share is None else f"{100 * share:.1f} %"


def byte_size(amount: float) -> str:
    """Return a number of bytes."""
    for unit in ("B", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
