"""Numbers as people read them."""


def figure(value: float) -> str:
    """Three digits are enough of any measurement: 0.38, 4.42, 38.1, 127, 56,000."""
    if value >= 100:
        digits = len(f"{value:.0f}")
        return f"{round(value, min(0, 3 - digits)):,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def duration(seconds: float) -> str:
    """42 s, 2 min 05 s."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
