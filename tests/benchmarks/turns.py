"""Figures of rival ways to do one thing, taken by turns in one run so that a busy machine wrongs none of them."""

import statistics
import time


def by_turns(sides, rounds, *, synchronise=lambda: None):
    """Run each of ``{name: call}`` once a round, after one round that does not count.

    Returns:
        ``{name: {"cpu": [...], "wall": [...]}}``: seconds of each round, of all threads and on the clock.
    """
    found = {name: {"cpu": [], "wall": []} for name in sides}
    for turn in range(rounds + 1):
        for name, call in sides.items():
            synchronise()
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            synchronise()
            if turn:
                found[name]["cpu"].append(time.process_time() - cpu)
                found[name]["wall"].append(time.perf_counter() - wall)
    return found


def ratios(found, baseline, kind="cpu"):
    """Return, per side, how many times faster than the baseline it is: median, least and most over the rounds."""
    base = found[baseline][kind]
    out = {}
    for name, times in found.items():
        each = [a / b for a, b in zip(base, times[kind], strict=True)]
        out[name] = (statistics.median(each), min(each), max(each))
    return out


def table(found, baseline):
    """Return lines with each side's median seconds and ratios, by processor time and by the clock."""
    cpu, wall = ratios(found, baseline), ratios(found, baseline, "wall")
    lines = [f"{'':36} cpu s   ratio (least to most)     wall s  ratio"]
    for name, times in found.items():
        middle, low, high = cpu[name]
        seconds = [statistics.median(times[k]) for k in ("cpu", "wall")]
        lines.append(
            f"{name:36} {seconds[0]:6.2f}  {middle:5.2f} ({low:.2f} to {high:.2f})"
            f"        {seconds[1]:6.2f}  {wall[name][0]:5.2f}"
        )
    return "\n".join(lines)
