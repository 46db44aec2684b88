"""How kernelspecs are called where a user may use several profiles. Pure.

Each profile's image has kernels of its own, and front ends know one flat list. A kernel keeps its bare name (``ir``)
in the first profile that has it; where a later profile has the same name, it is listed as ``<name>.<profile>``
(``python3.statistics``). So a notebook says ``ir`` wherever it comes from, and the first profile's names never change
when another profile is added. The qualified form is understood for every kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

_NATIVE = " (ipykernel)"


@dataclass(frozen=True, slots=True)
class Offer:
    """What one profile has: the names of its image's kernels, and which of them is the default (may be empty)."""

    profile: str
    kernels: tuple[str, ...]
    default: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """One kernel of one profile: `kernel` is its name in the image, `listed` the name that clients know it by."""

    profile: str
    kernel: str
    listed: str


def list_kernels(offers: Iterable[Offer]) -> dict[str, Choice]:
    """All kernels by the names under which they are listed, in the order of the offers."""
    listed: dict[str, Choice] = {}
    for offer in offers:
        for kernel in offer.kernels:
            name = kernel
            while name in listed:
                name = f"{name}.{offer.profile}"
            listed[name] = Choice(offer.profile, kernel, name)
    return listed


def default_kernel(offers: Sequence[Offer], listed: Mapping[str, Choice]) -> str:
    """The listed name of the first profile's default; where it has none, of the first kernel; empty without any."""
    wanted = {(offer.profile, offer.default): order for order, offer in enumerate(offers) if offer.default}
    found = [choice for choice in listed.values() if (choice.profile, choice.kernel) in wanted]
    if found:
        return min(found, key=lambda choice: wanted[choice.profile, choice.kernel]).listed
    return next(iter(listed), "")


def choose(wanted: str, listed: Mapping[str, Choice]) -> Choice | None:
    """The kernel that a client means: by its listed name, else by ``<name>.<profile>``; None if there is none."""
    if wanted in listed:
        return listed[wanted]
    kernel, _, profile = wanted.rpartition(".")
    same = (choice for choice in listed.values() if (choice.profile, choice.kernel) == (profile, kernel))
    return next(same, None)


def guess(wanted: str, profiles: Sequence[str]) -> Choice:
    """Where to ask for a kernel that is not listed, such as one installed a moment ago: at the first profile's."""
    kernel, _, profile = wanted.rpartition(".")
    if kernel and profile in profiles:
        return Choice(profile, kernel, wanted)
    return Choice(profiles[0], wanted, wanted)


def shown_name(display_name: str, profile_label: str) -> str:
    """The name that people see among kernels of several profiles: ``R (statistics)``.

    ipykernel's own addition gives way: it tells nobody anything that the profile does not.
    """
    return f"{display_name.removesuffix(_NATIVE)} ({profile_label})"
