"""Table IX of the paper: parameters as published."""

from __future__ import annotations

from decimal import Decimal

from refseg.reports.claims import load_claims, of_table

SAM_PARTS = ("image_encoder", "prompt_encoder", "mask_decoder")
"""The modules of RefSAM that are SAM's."""


def published_params(method: str) -> dict[str, Decimal]:
    """Return what the paper prints of a RefSAM and of the SAM that it is built on, in millions.

    Args:
        method: Registered name.

    Returns:
        ``"learnable"`` and ``"sam"``, as printed; empty where it prints nothing.
    """
    name = "refsam_vit_h" if method == "refsam" else method
    printed = {claim.id: claim.value for claim in of_table(load_claims(), "IX")}
    sam = name.replace("refsam_", "sam_", 1)
    if not name.startswith("refsam_") or name not in printed or sam not in printed:
        return {}
    return {"learnable": printed[name], "sam": printed[sam]}
