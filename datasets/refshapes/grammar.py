"""The sentences of RefShapes: templates whose referent is checked against the drawn scene.

Every sentence is an attribute phrase ("the small striped red circle"), alone or with a place in the first frame, a
motion, a relation to another object or an order of appearance. A sentence is kept only where exactly one object
fits it, by a clear margin. Colour-shape pairs in :data:`HELD_OUT` are never said together in training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from refseg.datasets.refshapes.facts import Facts
from refseg.datasets.refshapes.random import Stream
from refseg.datasets.refshapes.scene import COLOURS, MOTIONS, RADII, SHAPES, TEXTURES, Shape

HELD_OUT = frozenset(
    {
        ("red", "star"),
        ("blue", "triangle"),
        ("green", "cross"),
        ("yellow", "ring"),
        ("purple", "square"),
        ("orange", "circle"),
        ("white", "star"),
    }
)
VALUES = {"shape": SHAPES, "colour": tuple(COLOURS), "texture": TEXTURES, "size": tuple(RADII)}
"""What an object's look is made of: the attributes and their values."""
TYPES = ("appearance", "place", "motion", "relation", "order")
TYPE_WEIGHTS = {"appearance": 42, "place": 16, "motion": 7, "relation": 26, "order": 9}
CLIP_WEIGHTS = {"appearance": 26, "place": 18, "motion": 16, "relation": 24, "order": 16}
"""What clips for training are about: more of what needs time than what is scored holds."""
MOVING_WEIGHTS = {"appearance": 24, "place": 18, "motion": 24, "relation": 18, "order": 16}
"""The same for models that can see how what they followed has moved."""
MARGIN = 12.0
"""Pixels by which a place or relation must hold."""

_NOUNS = ("object", "shape", "thing")
_WITH = {"striped": "with stripes", "dotted": "with dots", "checkered": "with checks"}
_PLACES = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
_RELATIONS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
_MOVES = ("moving {}", "going {}", "that moves {}", "moving {} all the time")
_STILL = ("standing still", "that does not move", "that stays where it is")
_FIRST = ("the first {} to appear", "the {} that is there from the start")
_LAST = ("the last {} to appear", "the {} that enters later", "the {} that comes in")


@dataclass(frozen=True)
class Phrase:
    """Attributes that a sentence names, e.g. ``{"colour": "red", "shape": "circle"}``, and their words."""

    named: dict[str, str]
    words: str

    def fits(self, shape: Shape) -> bool:
        """Return whether the object has all named attributes."""
        return all(getattr(shape.look, k) == v for k, v in self.named.items())

    @property
    def held_out(self) -> bool:
        """Whether it says a colour-shape pair that training never says."""
        return (self.named.get("colour", ""), self.named.get("shape", "")) in HELD_OUT


@dataclass(frozen=True)
class Sentence:
    """A sentence with its referent (None: no target) and what it takes to understand it."""

    text: str
    object_id: str | None
    type: str
    needs_time: bool
    held_out: bool


def vocabulary() -> list[str]:
    """Return every word that a sentence can hold, sorted."""
    sources = [
        *SHAPES,
        *COLOURS,
        *TEXTURES,
        *RADII,
        *MOTIONS,
        *_NOUNS,
        *_WITH.values(),
        *_PLACES,
        *_RELATIONS,
    ]
    sources += [*_MOVES, *_STILL, *_FIRST, *_LAST]
    sources += [t for image in (False, True) for p in _PLACES for t in _place_templates(p, image)]
    sources += [t for image in (False, True) for t in _relation_templates("closest to", image)]
    words = {w for text in sources for w in text.replace("{}", " ").split()}
    return sorted(words | {"the"})


def make_sentence(
    facts: Facts, kind: str, rng: Stream, *, image: bool = False, allow_held_out: bool = False
) -> Sentence | None:
    """Try to make one sentence of a type; None where this draw found none.

    Args:
        facts: What is visible; for an image, of one frame.
        kind: One of :data:`TYPES` or ``"no_target"``.
        rng: Where the choices come from.
        image: Say "on the left" instead of "that starts on the left": for single frames.
        allow_held_out: Whether held-out pairs may be said (never in training).
    """
    makers: dict[str, Callable[[Facts, Stream, bool, bool], Sentence | None]] = {
        "appearance": _appearance,
        "place": _place,
        "motion": _motion,
        "relation": _relation,
        "order": _order,
        "no_target": _no_target,
    }
    return makers[kind](facts, rng, image, allow_held_out)


def sentences(
    facts: Facts,
    rng: Stream,
    count: int,
    *,
    image: bool = False,
    allow_held_out: bool = False,
    no_target: int = 0,
    weights: Mapping[str, int] = TYPE_WEIGHTS,
) -> list[Sentence]:
    """Return up to ``count`` sentences with different texts; weights of types other than ``no_target`` sum to 100."""
    weights = {k: w for k, w in weights.items() if not image or k not in ("motion", "order")}
    weights["no_target"] = no_target
    found: dict[str, Sentence] = {}
    for _ in range(4 * count):
        kind = rng.weighted(tuple(weights), tuple(weights.values()))
        # Several draws a type, or the types that seldom fit a scene would be rarer than their weights say.
        draws = (
            make_sentence(facts, kind, rng, image=image, allow_held_out=allow_held_out) for _ in range(8)
        )
        made = next((m for m in draws if m is not None and m.text not in found), None)
        if made is not None:
            found[made.text] = made
        if len(found) == count:
            break
    return list(found.values())


def _phrase(shape: Shape, rng: Stream, names: tuple[str, ...], allow_held_out: bool) -> Phrase | None:
    look = shape.look
    named = {k: getattr(look, k) for k in names if not (k == "size" and look.size == "medium")}
    noun = named.get("shape") or rng.choice(_NOUNS)
    words = [named[k] for k in ("size", "texture", "colour") if k in named]
    tail = ""
    if named.get("texture") in _WITH and rng.chance(0.4):
        words.remove(named["texture"])
        tail = " " + _WITH[named["texture"]]
    phrase = Phrase(named, " ".join([*words, noun]) + tail)
    return phrase if allow_held_out or not phrase.held_out else None


def _random_phrase(shape: Shape, rng: Stream, allow_held_out: bool, *, broad: bool = False) -> Phrase | None:
    """Name some of the object's attributes; a broad phrase names fewer, so that other objects fit it too."""
    chances = (0.12, 0.15, 0.6, 0.5) if broad else (0.3, 0.4, 0.85, 0.6)
    names = [k for k, p in zip(("size", "texture", "colour", "shape"), chances, strict=True) if rng.chance(p)]
    if allow_held_out and (shape.look.colour, shape.look.shape) in HELD_OUT and rng.chance(0.7):
        names = sorted({*names, "colour", "shape"})
    return _phrase(shape, rng, tuple(names), allow_held_out)


def _target(facts: Facts, rng: Stream, allow_held_out: bool, *, at_start: bool) -> Shape | None:
    """Return an object visible long enough to be asked for; at times, where allowed, one that training never names."""
    least = min(4, len(facts.frames))
    fit = [
        s for s in facts.shown() if facts.rows_visible(s) >= least and (not at_start or facts.visible(s, 0))
    ]
    if allow_held_out and rng.chance(0.4):
        fit = [s for s in fit if (s.look.colour, s.look.shape) in HELD_OUT] or fit
    return rng.choice(fit) if fit else None


def _appearance(facts: Facts, rng: Stream, image: bool, allow: bool) -> Sentence | None:
    target = _target(facts, rng, allow, at_start=False)
    phrase = _random_phrase(target, rng, allow) if target else None
    if target is None or phrase is None or not phrase.named or sum(map(phrase.fits, facts.shown())) != 1:
        return None
    return Sentence(f"the {phrase.words}", target.id, "appearance", False, phrase.held_out)


def _candidates(facts: Facts, phrase: Phrase, row: int) -> list[Shape] | None:
    """Return the fitting objects visible in a frame; None where one of them is there but hardly visible."""
    fit = [s for s in facts.shown() if phrase.fits(s) and facts.pixels[row, int(s.id)] > 0]
    return fit if all(facts.visible(s, row) for s in fit) else None


def _outermost(shapes: list[Shape], t: int, axis: tuple[int, int], margin: float) -> Shape | None:
    """Return the object farthest along an axis, by a margin."""
    ahead = sorted(
        ((s.centre(t)[0] * axis[0] + s.centre(t)[1] * axis[1], s.id, s) for s in shapes), reverse=True
    )
    return ahead[0][2] if len(ahead) > 1 and ahead[0][0] - ahead[1][0] >= margin else None


def _place_templates(place: str, image: bool) -> tuple[str, ...]:
    where = f"on the {place}" if place in ("left", "right") else f"at the {place}"
    if image:
        return (f"the {{}} {where}", f"the {place}most {{}}")
    return (
        f"the {{}} that starts {where}",
        f"the {{}} {where} at first",
        f"the {place}most {{}} in the first frame",
    )


def _place(facts: Facts, rng: Stream, image: bool, allow: bool) -> Sentence | None:
    target = _target(facts, rng, allow, at_start=True)
    phrase = _random_phrase(target, rng, allow, broad=True) if target else None
    if target is None or phrase is None:
        return None
    shapes, start = _candidates(facts, phrase, 0) or [], facts.frames[0]
    places = [p for p, a in _PLACES.items() if _outermost(shapes, start, a, MARGIN) is target]
    if not places:
        return None
    place = rng.choice(places)
    axis = _PLACES[place]
    text = rng.choice(_place_templates(place, image)).format(phrase.words)
    settled = all(
        _outermost(_fitting(facts, phrase, row), facts.frames[row], axis, 0.0) is target
        for row in _rows_of(facts, target)
    )
    return Sentence(text, target.id, "place", not settled, phrase.held_out)


def _rows_of(facts: Facts, shape: Shape) -> Iterator[int]:
    return (row for row in range(len(facts.frames)) if facts.visible(shape, row))


def _fitting(facts: Facts, phrase: Phrase, row: int) -> list[Shape]:
    return [s for s in facts.shown() if phrase.fits(s) and facts.visible(s, row)]


def motion_phrases(motion: str) -> list[str]:
    """Return all that a sentence can say of how an object moves, by the name of its motion in the scene."""
    if motion == "still":
        return list(_STILL)
    return list(dict.fromkeys(move.format(way) for move in _MOVES for way in _ways(motion)))


def _ways(motion: str) -> tuple[str, str]:
    """Return two ways, which may be the same, to name a direction."""
    return motion, motion if motion in ("up", "down") else f"to the {motion}"


def _motion(facts: Facts, rng: Stream, image: bool, allow: bool) -> Sentence | None:
    target = _target(facts, rng, allow, at_start=False)
    phrase = _random_phrase(target, rng, allow, broad=True) if target else None
    if target is None or phrase is None:
        return None
    fit = [s for s in facts.shown() if phrase.fits(s)]
    if sum(s.motion == target.motion for s in fit) != 1 or (len(fit) == 1 and rng.chance(0.7)):
        return None
    if target.motion == "still":
        tail = rng.choice(_STILL)
    else:
        way = rng.choice(_ways(target.motion))
        tail = rng.choice(_MOVES).format(way)
    return Sentence(f"the {phrase.words} {tail}", target.id, "motion", len(fit) > 1, phrase.held_out)


def _relation_templates(relation: str, image: bool) -> tuple[str, ...]:
    if image:
        return (f"the {{}} {relation} the {{}}",)
    return (f"the {{}} that starts {relation} the {{}}", f"the {{}} {relation} the {{}} at first")


def _related(shapes: list[Shape], anchor: Shape, t: int, relation: str, margin: float) -> Shape | None:
    """Return the only object in the relation to the anchor; None where there is none, several, or it is close."""
    ax, ay = anchor.centre(t)
    others = [s for s in shapes if s is not anchor]
    if relation == "closest to":
        near = sorted((math.dist(s.centre(t), (ax, ay)), s.id, s) for s in others)
        return near[0][2] if len(near) > 1 and near[1][0] - near[0][0] >= margin else None
    dx, dy = _RELATIONS[relation]
    along = [((s.centre(t)[0] - ax) * dx + (s.centre(t)[1] - ay) * dy, s) for s in others]
    if any(-margin / 3 < d < margin for d, _ in along):
        return None
    there = [s for d, s in along if d >= margin]
    return there[0] if len(there) == 1 else None


def _relation(facts: Facts, rng: Stream, image: bool, allow: bool) -> Sentence | None:
    target, anchor = _target(facts, rng, allow, at_start=True), _target(facts, rng, allow, at_start=True)
    if target is None or anchor is None or target is anchor:
        return None
    phrase, other = _random_phrase(target, rng, allow, broad=True), _random_phrase(anchor, rng, allow)
    if phrase is None or other is None or not other.named or sum(map(other.fits, facts.shown())) != 1:
        return None
    shapes, start = [s for s in _candidates(facts, phrase, 0) or [] if s is not anchor], facts.frames[0]
    known = (*_RELATIONS, "closest to")
    relations = [r for r in known if _related(shapes, anchor, start, r, MARGIN) is target]
    if len(shapes) < 2 or not relations:
        return None
    relation = rng.choice(relations)
    text = rng.choice(_relation_templates(relation, image)).format(phrase.words, other.words)
    settled = all(
        facts.visible(anchor, row)
        and _related(_fitting(facts, phrase, row), anchor, facts.frames[row], relation, 0.0) is target
        for row in _rows_of(facts, target)
    )
    return Sentence(text, target.id, "relation", not settled, phrase.held_out or other.held_out)


def _order(facts: Facts, rng: Stream, image: bool, allow: bool) -> Sentence | None:
    target = _target(facts, rng, allow, at_start=False)
    phrase = _random_phrase(target, rng, allow, broad=True) if target else None
    if target is None or phrase is None:
        return None
    fit = [s for s in facts.shown() if phrase.fits(s)]
    firsts = {s.id: facts.first_row(s) for s in fit}
    if len(fit) < 2 or any(f is None for f in firsts.values()):
        return None
    at = {k: f for k, f in firsts.items() if f is not None}
    mine, others = at.pop(target.id), list(at.values())
    if mine == 0 and min(others) >= 2:
        text = rng.choice(_FIRST)
    elif mine >= 2 and max(others) == 0:
        text = rng.choice(_LAST)
    else:
        return None
    return Sentence(text.format(phrase.words), target.id, "order", True, phrase.held_out)


def _no_target(facts: Facts, rng: Stream, image: bool, allow: bool) -> Sentence | None:
    """Name an object's attributes with one of them changed, so that nothing fits."""
    shape = rng.choice(facts.scene.shapes)
    phrase = _random_phrase(shape, rng, True)
    if phrase is None or not phrase.named:
        return None
    key = rng.choice(tuple(phrase.named))
    value = rng.choice(("small", "big") if key == "size" else VALUES[key])
    words = phrase.words
    for old, new in ((_WITH.get(phrase.named[key], ""), _WITH.get(value, value)), (phrase.named[key], value)):
        words = words.replace(old, new) if old else words
    changed = Phrase({**phrase.named, key: value}, words)
    if any(map(changed.fits, facts.scene.shapes)) or (changed.held_out and not allow):
        return None
    return Sentence(f"the {changed.words}", None, "no_target", False, changed.held_out)
