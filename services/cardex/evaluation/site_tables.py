"""The probabilities' figures as Markdown: of all ECGs, at each site, and at sites held out."""

from collections.abc import Mapping
from typing import Any

from cardex.evaluation.markdown import Found, bracket, subset_heads, table
from cardex.evaluation.show import SCORES


def probabilities(found: Found) -> str:
    """Return the Brier scores of the statements' probabilities, and of the base rates."""
    by_subset = [figures["probabilities"] for figures in found["figures"].values()]
    rows = [[name, *(bracket(each[name], 4) for each in by_subset)] for name in SCORES]
    name = "expected calibration error"
    rows.append([name, *(f"{each[name]:.4f}" for each in by_subset)])
    return table([f"{by_subset[0]['statements']} statements", *subset_heads(found)], rows)


def sites(found: Found) -> str:
    """Return the Brier scores at each site that has enough ECGs, of all ECGs measured."""
    every = next(iter(found["figures"].values()))
    return _by_site(every.get("probabilities by site", {}))


def held_out_sites(found: Found) -> str:
    """Return the Brier scores at each site by a model that was trained without the site."""
    held_out = found.get("held-out sites")
    if not held_out:
        return "Not measured yet."
    trained = ", ".join(
        f"{site}: {each['trained on']} ECGs" for site, each in held_out["sites"].items()
    )
    words = (
        f"Recipe {held_out['name']} ({held_out['recipe']}), `cardex held-out-sites`,"
        f" {held_out['date']},\n{held_out['machine']}. Trained without site {trained}."
    )
    return f"{words}\n\n{_by_site(held_out['sites'])}"


def _by_site(found: Mapping[str, Any]) -> str:
    """Return the scores at each site, and in lines below it those after a correction."""
    rows = []
    for site, each in found.items():
        ecgs = f"{each['ecgs']}{', folds ' + each['folds'] if 'folds' in each else ''}"
        rows.append([site, ecgs, *(bracket(each[name], 4) for name in SCORES)])
        for name, again in each.get("corrected", {}).items():
            score, gap = (bracket(again[figure], 4) for figure in ("Brier score", "difference"))
            rows.append([f"{site}, {name}", "", score, "", gap])
    return table(["site", "ECGs", "Brier score", "of the site's base rates", "difference"], rows)
