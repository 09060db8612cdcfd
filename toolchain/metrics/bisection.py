"""Find the first bad tensor of a graph with few comparisons, as `git bisect` finds a commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence


def first_bad(
    parents: Mapping[str, Sequence[str]], ends: Sequence[str], is_bad: Callable[[str], bool]
) -> str | None:
    """Find a bad tensor whose parents are all good.

    `parents`: what each tensor is made from, in an order in which parents come first.  `ends`:
    where to begin, the model's outputs.  A good tensor is taken as proof that all before it are
    good; where that misleads, because a later operator hid the fault and it shows again
    elsewhere, the search goes on from the bad parent.  `is_bad` is asked once about each.
    """
    asked: dict[str, bool] = {}

    def bad(name: str) -> bool:
        if name not in asked:
            asked[name] = is_bad(name)
        return asked[name]

    before = _ancestors(parents)
    suspect = next((end for end in ends if bad(end)), None)
    while suspect is not None:
        suspect = _narrowed(before, suspect, bad)
        worse = next((name for name in parents[suspect] if name in parents and bad(name)), None)
        if worse is None:
            return suspect
        suspect = worse
    return None


def _narrowed(before: Mapping[str, set[str]], bad_one: str, bad: Callable[[str], bool]) -> str:
    suspects = before[bad_one] | {bad_one}
    while len(suspects) > 1:
        # Check the tensor that halves the candidates.
        counts = {name: len(suspects & before[name]) + 1 for name in sorted(suspects - {bad_one})}
        half = min(counts, key=lambda name: abs(2 * counts[name] - len(suspects)))
        if bad(half):
            suspects = suspects & (before[half] | {half})
            bad_one = half
        else:
            suspects = suspects - before[half] - {half}
    return bad_one


def _ancestors(parents: Mapping[str, Sequence[str]]) -> dict[str, set[str]]:
    before: dict[str, set[str]] = {}
    for name, made_from in parents.items():
        known = [parent for parent in made_from if parent in before]
        before[name] = set(known).union(*(before[parent] for parent in known))
    return before
