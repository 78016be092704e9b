"""Chooses a few of many, evenly."""


def evenly(count: int, most: int) -> list[int]:
    """At most so many of the numbers below `count`, the first and the last with them."""
    if count <= most:
        return list(range(count))
    if most == 1:
        return [count - 1]
    return [round(number * (count - 1) / (most - 1)) for number in range(most)]
