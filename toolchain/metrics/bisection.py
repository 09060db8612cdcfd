"""Find the first bad tensor of a graph with few comparisons, as `git bisect` finds a commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence


def find_first_bad(
    parents: Mapping[str, Sequence[str]], ends: Sequence[str], is_bad: Callable[[str], bool]
) -> str | None:
    """Find a bad tensor whose parents are all good.

    A good tensor is assumed to have good predecessors.  If an operator hid the fault and it is
    visible again elsewhere, the search continues from the bad parent.

    Args:
        parents: Tensors that each tensor is computed from; parents come first.
        ends: Tensors to start from, the outputs of the model.
        is_bad: Compares a tensor; called at most once for each.

    Returns:
        Name of the tensor, None if every end is good.
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
