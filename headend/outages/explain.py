"""Which devices explain that these meters went dark together: the most likely set of classes, exactly.

Each explanation costs minus the logarithm of its likelihood. Every outage costs `NEW`, since two at one instant are
less likely than one. Every meter that a class would have darkened, but that did not report it, costs something: little
where the meter has been silent since, more where it can be heard, very much where it measured with supply meanwhile.
Classes form a forest, so the cheapest set is found from the leaves upwards: a class, or the best of what lies below it.

Meters that live and tell of a lost phase want an explanation too. A single one of them is not heard, unless it agrees
with those that a class below explains already, and darkens nobody else: no customer is dark on one neighbour's word.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

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


@dataclass(frozen=True, slots=True)
class Told:
    """`phases`: the one that each meter lost, of those that live.

    `darkens(c, phase)`: how many customers class c without that phase leaves dark, beside those who say so themselves.
    """

    phases: Mapping[int, str]
    darkens: Callable[[int, str], int]


@dataclass(slots=True)
class _Words:
    """What was told below a class. `open`: what no chosen class with a dark meter explains, and its cost by itself.

    `dark`: how many customers the chosen ones darken, by the phase that at least two lost.
    """

    open: dict[int, float] = field(default_factory=dict)
    dark: Counter[str] = field(default_factory=Counter)

    def alone(self, index: int, told: Told) -> frozenset[int]:
        """Those that nobody supports, of the open ones."""
        count = Counter(told.phases[each] for each in self.open)
        single = [each for each in self.open if count[told.phases[each]] == 1]
        return frozenset(each for each in single if not self._refines(index, told, told.phases[each]))

    def _refines(self, index: int, told: Told, phase: str) -> bool:
        return phase in self.dark and told.darkens(index, phase) == self.dark[phase]

    def explained(self, index: int, told: Told, unheard: Collection[int]) -> "_Words":
        """After class `index`, which holds dark meters, was chosen without those `unheard`."""
        heard = {told.phases[each] for each in self.open if each not in unheard} | self.dark.keys()
        return _Words(dict.fromkeys(unheard, 0.0), Counter({phase: told.darkens(index, phase) for phase in heard}))


NOTHING_TOLD = Told({}, lambda _index, _phase: 0)


def explain(classes: Classes, dark: Sequence[int], cost_of: CostOf, told: Told = NOTHING_TOLD) -> list[int]:
    """The classes that explain the `dark` meters, and what was `told`, at the least cost.

    Each of these meters lies in exactly one of them.
    `cost_of(c, unheard)`: what the members of class c that are not dark cost, as if those `unheard` had told nothing;
    asked once for each class that holds a meter to be explained.
    Of explanations that cost the same, the one that darkens fewer customers is taken.
    """
    to_explain = (*dark, *told.phases)
    touched = sorted({above for each in to_explain for above in classes.ancestors(int(classes.leaf[each]))})
    hold_dark = {above for each in dark for above in classes.ancestors(int(classes.leaf[each]))}
    below: dict[int, float] = dict.fromkeys(touched, 0.0)
    children: dict[int, list[int]] = {index: [] for index in touched}
    words = {index: _Words() for index in touched}
    teller = {int(classes.leaf[each]): each for each in told.phases}
    chosen: set[int] = set()
    roots = []
    # Children have higher numbers than their parents, so they have been decided.
    for index in reversed(touched):
        here = words[index]
        unheard = here.alone(index, told) if index in hold_dark else frozenset()
        together = below[index] - sum(here.open[each] for each in unheard) if children[index] else np.inf
        own = NEW + cost_of(index, unheard)
        cost = below[index]
        if own < together:
            chosen.add(index)
            cost = own
            if index in hold_dark:
                here = here.explained(index, told, unheard)
            elif index in teller:
                here.open[teller[index]] = own
        above = int(classes.parent[index])
        if above == NOBODY:
            roots.append(index)
        else:
            below[above] += cost
            children[above].append(index)
            words[above].open |= here.open
            words[above].dark.update(here.dark)
    found: list[int] = []
    stack = roots
    while stack:
        index = stack.pop()
        if index in chosen:
            found.append(index)
        else:
            stack.extend(children[index])
    return sorted(found)


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
