"""What happens in a RefShapes video: objects, their looks and their paths."""

from __future__ import annotations

from dataclasses import dataclass

from refseg.datasets.refshapes.random import Stream

HEIGHT, WIDTH, FRAMES = 112, 128, 16

SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS = {
    "red": (214, 48, 44),
    "green": (58, 168, 72),
    "blue": (48, 88, 216),
    "yellow": (236, 214, 52),
    "purple": (148, 58, 188),
    "orange": (242, 136, 28),
    "white": (236, 236, 236),
}
TEXTURES = ("plain", "striped", "dotted", "checkered")
RADII = {"small": (10.0, 12.0), "medium": (14.5, 17.0), "big": (19.5, 23.0)}
MOTIONS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1), "still": (0, 0)}
_OPPOSITE = {"left": "right", "right": "left", "up": "down", "down": "up", "still": "still"}


@dataclass(frozen=True)
class Look:
    """The attributes that a sentence can name."""

    shape: str
    colour: str
    texture: str
    size: str


@dataclass(frozen=True)
class Shape:
    """One object: its look and its straight path; positions in pixels, angles in radians, speeds per frame."""

    id: str
    look: Look
    radius: float
    rgb: tuple[float, float, float]
    angle: float
    x: float
    y: float
    vx: float
    vy: float
    motion: str

    def centre(self, t: int) -> tuple[float, float]:
        """Return (x, y) at frame t."""
        return self.x + self.vx * t, self.y + self.vy * t

    def on_screen(self, t: int) -> bool:
        """Return whether the centre lies inside the frame by a third of the radius."""
        x, y = self.centre(t)
        m = self.radius / 3
        return m <= x <= WIDTH - m and m <= y <= HEIGHT - m


@dataclass(frozen=True)
class Scene:
    """A video before it is drawn; objects from the farthest to the nearest."""

    seed: tuple[int, ...]
    shapes: tuple[Shape, ...]


def make_scene(*seed: int) -> Scene:
    """Make the scene named by the seed: 2-6 objects, most with a distractor that looks nearly or quite the same."""
    rng = Stream(*seed, 1)
    count = rng.weighted((2, 3, 4, 5, 6), (3, 5, 4, 2, 1))
    shapes: list[Shape] = []
    while len(shapes) < count:
        original = rng.choice(shapes) if shapes and rng.chance(0.6) else None
        look = _random_look(rng) if original is None else _similar_look(rng, original.look)
        crossing = original if original is not None and rng.chance(0.5) else None
        shape = _place(rng, str(len(shapes) + 1), look, shapes, crossing)
        if shape is None:
            break
        shapes.append(shape)
    return Scene(seed, tuple(rng.shuffled(shapes)))


def _random_look(rng: Stream) -> Look:
    return Look(
        rng.choice(SHAPES),
        rng.choice(tuple(COLOURS)),
        rng.weighted(TEXTURES, (2, 1, 1, 1)),
        rng.choice(tuple(RADII)),
    )


def _similar_look(rng: Stream, look: Look) -> Look:
    """Return a look that differs in one attribute, or in none."""
    other = _random_look(rng)
    changed = rng.weighted(("none", "shape", "colour", "texture", "size"), (4, 1, 2, 2, 2))
    return Look(
        **{k: getattr(other if k == changed else look, k) for k in ("shape", "colour", "texture", "size")}
    )


def _place(rng: Stream, name: str, look: Look, others: list[Shape], crossing: Shape | None) -> Shape | None:
    """Give the object a path that keeps it apart from the others at the start; None where there is no room."""
    for _ in range(30):
        shape = _path(rng, name, look, crossing)
        if all(_apart(shape, other) for other in others):
            return shape
        crossing = None if rng.chance(0.2) else crossing
    return None


def _apart(a: Shape, b: Shape) -> bool:
    (ax, ay), (bx, by) = a.centre(0), b.centre(0)
    return bool((ax - bx) ** 2 + (ay - by) ** 2 > (1.05 * (a.radius + b.radius)) ** 2)


def _path(rng: Stream, name: str, look: Look, crossing: Shape | None) -> Shape:
    radius = rng.uniform(*RADII[look.size])
    motion = rng.weighted(tuple(MOTIONS), (3, 3, 3, 3, 4))
    if crossing is not None and crossing.motion != "still":
        motion = _OPPOSITE[crossing.motion]
    dx, dy = MOTIONS[motion]
    speed, drift = rng.uniform(2.2, 4.6), rng.uniform(-0.25, 0.25)
    vx, vy = dx * speed + (drift if dy else 0.0), dy * speed + (drift if dx else 0.0)
    x, y = rng.uniform(radius, WIDTH - radius), rng.uniform(radius, HEIGHT - radius)
    if dx:
        x = _start(rng, dx, speed, radius, WIDTH)
    if dy:
        y = _start(rng, dy, speed, radius, HEIGHT)
    if crossing is not None and dx:
        y = min(max(crossing.y + rng.uniform(-0.7, 0.7) * crossing.radius, radius), HEIGHT - radius)
    if crossing is not None and dy:
        x = min(max(crossing.x + rng.uniform(-0.7, 0.7) * crossing.radius, radius), WIDTH - radius)
    base = COLOURS[look.colour]
    gain = rng.uniform(0.9, 1.06)
    rgb = tuple(min(255.0, max(0.0, c * gain + rng.uniform(-10, 10))) for c in base)
    return Shape(
        id=name,
        look=look,
        radius=radius,
        rgb=(rgb[0], rgb[1], rgb[2]),
        angle=rng.uniform(-0.3, 0.3),
        x=x,
        y=y,
        vx=vx,
        vy=vy,
        motion=motion,
    )


def _start(rng: Stream, direction: int, speed: float, radius: float, extent: int) -> float:
    """Return the coordinate at frame 0 of an object that moves along this axis: most stay, others enter or leave."""
    fate = rng.weighted(("stays", "enters", "leaves"), (5, 3, 2))
    if fate == "enters":
        start = -radius - speed * rng.uniform(1.0, 7.0)
    elif fate == "leaves":
        # Out of sight at that frame; a slow object starts at the edge and leaves when it can.
        start = min(extent - radius, extent + radius - speed * rng.uniform(7.0, 14.0))
    else:
        start = rng.uniform(radius, 0.5 * extent)
    return start if direction > 0 else extent - start
