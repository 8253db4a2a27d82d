"""The RefSAM paper's tables and ablation figures: their rows and columns, and which runs belong to a row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from refseg.bench.errors import unknown_name
from refseg.reports.claims import PAPER, Claim
from refseg.reports.measured import Kind
from refseg.reports.titles import dataset_title

Config = Mapping[str, object]

FULL: Config = MappingProxyType(
    {
        "sparse": True,
        "dense": "hda",
        "itm_token": "main_mask",
        "itm_residual": True,
        "track_token": True,
        "use_adapter": True,
        "mlp_layers": 1,
        "text": "t5-3b",
    }
)
"""Options of the paper's whole model; a RefSAM row without a setting means it."""

_TRACKING = ("itm_token", "itm_residual", "track_token")
_IMAGES: Config = {k: v for k, v in FULL.items() if k not in _TRACKING}
# Without a track token neither its skip connection nor handing it on says anything.
_PLAIN: Config = {**_IMAGES, "itm_token": "none", "use_adapter": False}
_TRACKED: Config = {**FULL, "use_adapter": False}

Stub = tuple[str, Callable[[Claim], str]]


@dataclass(frozen=True)
class Spec:
    """One table or figure of the paper.

    Attributes:
        name: What ``--table`` calls it.
        table: What the claims call it.
        label: Its name in print.
        title: Its title.
        kind: What is measured.
        stubs: Headers of the columns that name a row, with the cell of a claim.
        grid: The grid of ``bench ablate`` that makes it, or empty.
        base: Options that RefSAM's rows share; None: not looked at.
        settings: Setting -> the options that it changes; where two are alike, only the grid tells its runs apart.
        one_by_metric: Each metric has its own part (Table VIII).
        by_row: Every row is a method of its own, so that a run must be named for its backbone and setting too.
        note: What a reader must know.
    """

    name: str
    table: str
    label: str
    title: str
    kind: Kind
    stubs: tuple[Stub, ...]
    grid: str = ""
    base: Config | None = None
    settings: Mapping[str, Config] = field(default_factory=dict)
    one_by_metric: bool = False
    by_row: bool = False
    note: str = ""

    def options(self, claim: Claim) -> Config:
        """Return the options that a run of a claim's row has in force, as far as they matter."""
        if self.base is None or not claim.id.startswith("refsam"):
            return {}
        return {**self.base, **self.settings.get(claim.setting, {})}

    def holds(self, claim: Claim, config: Config) -> bool:
        """Return whether a run's options are those of a claim's row and of no other."""
        own = self.settings.get(claim.setting)
        alike = own is not None and [*self.settings.values()].count(own) > 1
        return not alike and all(config.get(k) == v for k, v in self.options(claim).items())

    def id_of(self, claim: Claim) -> str:
        """Return which method's runs belong to a claim's row."""
        return slug(claim.id, claim.backbone, claim.setting) if self.by_row else claim.id

    @property
    def varied(self) -> tuple[str, ...]:
        """The options that tell its settings apart."""
        return tuple(dict.fromkeys(k for config in self.settings.values() for k in config))

    def setting_of(self, config: Config) -> str | None:
        """Return the one setting that a run's options are, looking at what the table varies only; else None."""
        mine = {k: config.get(k) for k in self.varied}
        found = [s for s, c in self.settings.items() if all(mine[k] == v for k, v in c.items())]
        return found[0] if len(found) == 1 else None


def slug(*words: str) -> str:
    """Return a name for files: the words' letters and digits, joined by dashes; the first word is left as it is."""
    first, *rest = words
    plain = ("".join(c if c.isalnum() else " " for c in word.lower()).split() for word in rest)
    return "-".join([first, *(part for parts in plain for part in parts)])


def _method(claim: Claim) -> str:
    return claim.method


def _setting(claim: Claim) -> str:
    return claim.setting


def _backbone(claim: Claim) -> str:
    return claim.backbone


def _part(name: str) -> Stub:
    """Return a column that is checked where a setting has a part."""
    return name, lambda claim: "✓" if name in claim.setting.split("; ") else ""


def _first(claim: Claim) -> str:
    return claim.setting.partition("; ")[0]


_METHODS: tuple[Stub, ...] = (("Methods", _method),)
_SIZES: tuple[Stub, ...] = (("Method", _method), ("Visual Encoder", _backbone))

_SPECS = (
    Spec("1", "I", "Table I", "Results on Ref-DAVIS17", "scores", _METHODS, base=FULL),
    Spec(
        "2",
        "II",
        "Table II",
        "Results on Refer-Youtube-VOS",
        "scores",
        _METHODS,
        base=FULL,
        note="Published values are the closed server's; how it averaged was not published.",
    ),
    Spec(
        "3",
        "III",
        "Table III",
        "Ablation study of the key components of RefSAM",
        "scores",
        (_part("Cross-modal MLP"), _part("DA"), _part("HDA")),
        "components",
        _PLAIN,
        {
            "Cross-modal MLP": {"sparse": True, "dense": "none"},
            "DA": {"sparse": False, "dense": "da"},
            "HDA": {"sparse": False, "dense": "hda"},
            "Cross-modal MLP; DA": {"sparse": True, "dense": "da"},
            "Cross-modal MLP; HDA": {"sparse": True, "dense": "hda"},
        },
    ),
    Spec(
        "4",
        "IV",
        "Table IV",
        "Ablation study of ITM",
        "scores",
        (("Setting", _first), ("Resid.", _part("residual")[1])),
        "itm_token",
        _TRACKED,
        {
            "One frame": {"itm_token": "none"},
            "Three frames": {"itm_token": "none"},
            "IoU token": {"itm_token": "iou", "itm_residual": False},
            "All mask tokens": {"itm_token": "all_masks", "itm_residual": False},
            "Main mask token": {"itm_token": "main_mask", "itm_residual": False},
            "Main mask token; residual": {"itm_token": "main_mask", "itm_residual": True},
        },
        note="One frame and three frames differ in training only, so that runs of these rows are told by their grid.",
    ),
    Spec(
        "5",
        "V",
        "Table V",
        "Ablation study of the text encoder",
        "scores",
        (("Text Encoder", _setting),),
        "text_encoder",
        _PLAIN,
        {
            "T5-3b": {"text": "t5-3b"},
            "RoBERTa-base": {"text": "roberta-base"},
            "CLIP-large": {"text": "clip-large"},
        },
    ),
    Spec(
        "6",
        "VI",
        "Table VI",
        "Ablation study of adapter",
        "scores",
        (_part("ITM"), _part("Adapter")),
        "adapter",
        _IMAGES,
        {
            "Neither": {"itm_token": "none", "use_adapter": False},
            "ITM": {"itm_token": "main_mask", "use_adapter": False},
            "Adapter": {"itm_token": "none", "use_adapter": True},
            "ITM; Adapter": {"itm_token": "main_mask", "use_adapter": True},
        },
    ),
    Spec(
        "7",
        "VII",
        "Table VII",
        "Ablation study of the visual encoder",
        "scores",
        (("Visual Encoder", _backbone),),
        "visual_encoder",
        FULL,
    ),
    Spec(
        "8",
        "VIII",
        "Table VIII",
        "Results on three representative RIS datasets",
        "scores",
        (*_METHODS, ("Visual Backbone", _backbone), ("Textual Encoder", lambda c: c.text_encoder)),
        base=_IMAGES,
        one_by_metric=True,
        note="G-Ref's val and test are those of the UMD partition.",
    ),
    Spec(
        "9",
        "IX",
        "Table IX",
        "The number of learnable parameters of different models",
        "params",
        _SIZES,
        note="SAM's rows are all of its parameters, as if it were trained whole.",
    ),
    Spec(
        "10",
        "X",
        "Table X",
        "Inference speed of different models",
        "speed",
        (("Method", _method), ("Backbone", _backbone)),
        note="The hardware of the published values is not stated, so a difference says little.",
    ),
    Spec(
        "fig4",
        "fig4",
        "Figure 4",
        "The influence of different learning rates for the learnable modules of RefSAM",
        "scores",
        (("Learning rates", _setting),),
        "learning_rate",
        note="The figure's values are not printed; its text says which setting is the best.",
    ),
    Spec(
        "fig5",
        "fig5",
        "Figure 5",
        "The influence of the number of hidden layers in Cross-Modal MLP",
        "scores",
        (("Hidden layers", _setting),),
        "mlp_layers",
        None,
        {
            "0 hidden layers": {"mlp_layers": 0},
            "1 hidden layer": {"mlp_layers": 1},
            "2 hidden layers": {"mlp_layers": 2},
            "3 hidden layers": {"mlp_layers": 3},
        },
        note="The figure's values are not printed; its text says which setting is the best.",
    ),
)
SPECS: Mapping[str, Spec] = {spec.name: spec for spec in _SPECS}

SHAPES = "refshapes"
"""Name of the tables of RefShapes, of which no paper publishes anything."""

ELSEWHERE = "elsewhere"
"""Name of the tables of what other sources publish."""

_SHOWN = ("J&F", "J", "F", "oIoU", "mIoU")


def elsewhere(claims: Sequence[Claim]) -> list[tuple[Spec, list[Claim]]]:
    """Return, a dataset each, the table of what sources other than the paper publish, and its claims."""
    found: dict[str, list[Claim]] = {}
    for c in claims:
        if c.source != PAPER and c.dataset and c.metric in _SHOWN:
            found.setdefault(c.dataset, []).append(c)
    stubs = (*_METHODS, ("Backbone", _backbone), ("Setting", _setting), ("Source", lambda c: c.source))
    return [
        (
            Spec(
                ELSEWHERE,
                "",
                "Published elsewhere",
                dataset_title(dataset),
                "scores",
                stubs,
                by_row=True,
                note="`bench claims list` names the sources with their addresses.",
            ),
            own,
        )
        for dataset, own in found.items()
    ]


GRIDS = frozenset(spec.grid for spec in _SPECS if spec.grid)
"""Grids that a table or figure is made of."""


def table_names(given: list[str]) -> list[str]:
    """Return the tables that ``--table`` names, each once: numbers, Roman or not, ``fig4``, ``all``.

    Raises:
        InputError: A name is unknown.
    """
    roman = {spec.table: spec.name for spec in SPECS.values()}
    known = [*SPECS, SHAPES, ELSEWHERE]
    out: list[str] = []
    for name in (part.strip() for text in given for part in text.split(",")):
        if name == "all":
            out += known
        elif name in known or name.upper() in roman:
            out.append(roman.get(name.upper(), name))
        else:
            raise unknown_name("table", name, [*known, "all"], hint="see `bench list tables`")
    return list(dict.fromkeys(out))
