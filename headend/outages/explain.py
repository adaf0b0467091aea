"""Which devices explain that these meters went dark together: the most likely set of classes, exactly.

Each explanation costs minus the logarithm of its likelihood. Every outage costs `NEW`, since two at one instant are
less likely than one. Every meter that a class would have darkened, but that did not report it, costs something: little
where the meter has been silent since, more where it can be heard, very much where it measured with supply meanwhile.
Classes form a forest, so the cheapest set is found from the leaves upwards: a class, or the best of what lies below it.

Meters that live and tell of a lost phase want an explanation too. A single one of them, beside those that some class
below explains already, is not heard: no customer is dark on the word of one neighbour.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from headend.outages.model import NOBODY, Classes

#: One more outage within the same few seconds: odds of 1 : 10,000.
NEW = 9.2
#: A dark meter whose report did not arrive (yet): one in ten.
UNHEARD = 2.3
#: The same of a meter whose readings are missing as well. Never a gain: silence alone is no loss of supply.
SILENT = 0.5
#: It measured with supply while it should have been dark: only a wrong record of the network explains that.
LIT = 14.0

CostOf = Callable[[int, frozenset[int]], float]


def explain(classes: Classes, dark: Sequence[int], cost_of: CostOf, told: Mapping[int, str] | None = None) -> list[int]:
    """The classes that explain the `dark` meters, and what was `told`, at the least cost.

    Each of these meters lies in exactly one of them.

    `told`: what meters that are not dark tell of themselves (the phase that they lost). Of those that tell the same,
    beyond what a chosen class below explains, at least two are heard, or none.
    `cost_of(c, unheard)`: what the members of class c that are not dark cost, as if those `unheard` had told nothing;
    asked once for each class that holds a meter to be explained.
    Of explanations that cost the same, the one that darkens fewer customers is taken.
    """
    told = told or {}
    touched = sorted({above for each in (*dark, *told) for above in classes.ancestors(int(classes.leaf[each]))})
    hold_dark = {above for each in dark for above in classes.ancestors(int(classes.leaf[each]))}
    below: dict[int, float] = dict.fromkeys(touched, 0.0)
    children: dict[int, list[int]] = {index: [] for index in touched}
    # Who told something that no class with a dark meter explains, and what it costs to explain that by itself.
    words: dict[int, dict[int, float]] = {index: {} for index in touched}
    teller = {int(classes.leaf[each]): each for each in told}
    chosen: set[int] = set()
    roots = []
    # Children have higher numbers than their parents, so they have been decided.
    for index in reversed(touched):
        unheard = _alone(words[index], told) if index in hold_dark else frozenset()
        together = below[index] - sum(words[index][each] for each in unheard) if children[index] else np.inf
        own = NEW + cost_of(index, unheard)
        cost = below[index]
        if own < together:
            chosen.add(index)
            cost = own
            if index in hold_dark:
                words[index] = dict.fromkeys(unheard, 0.0)
            elif index in teller:
                words[index] = {teller[index]: own}
        above = int(classes.parent[index])
        if above == NOBODY:
            roots.append(index)
        else:
            below[above] += cost
            children[above].append(index)
            words[above] |= words[index]
    found: list[int] = []
    stack = roots
    while stack:
        index = stack.pop()
        if index in chosen:
            found.append(index)
        else:
            stack.extend(children[index])
    return sorted(found)


def _alone(words: Collection[int], told: Mapping[int, str]) -> frozenset[int]:
    """Those with whom nobody else among them agrees."""
    count = Counter(told[each] for each in words)
    return frozenset(each for each in words if count[told[each]] == 1)


def suspects(classes: Classes, dark: Sequence[int], free: Collection[int] = ()) -> NDArray[np.intp]:
    """The meters whose behaviour can decide: those of classes that could win if all their other members were silent.

    `free`: meters that cost nothing, whatever explains the others.
    """
    counts: dict[int, int] = {}
    is_free = np.zeros(len(classes.order) + 1, dtype=np.intp)
    is_free[classes.place[list(free)] + 1] = 1
    free_before = np.cumsum(is_free)
    for meter in dark:
        for above in classes.ancestors(int(classes.leaf[meter])):
            counts[above] = counts.get(above, 0) + 1
    wanted = np.zeros(len(classes.order), dtype=bool)
    for index, count in counts.items():
        first, end = classes.first[index], classes.end[index]
        absent = int(end - first - (free_before[end] - free_before[first])) - count
        if NEW + SILENT * absent <= NEW * count:
            wanted[first:end] = True
    return classes.order[wanted]
