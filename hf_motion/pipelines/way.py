"""Headings and ways over the floor, of which features hold only turns and steps: led through what is known of them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .spread import Spread, smoothed, turn_vectors

_DIRECTION_SECONDS = 0.4
"""Over so long the direction of travel is averaged: a root sways with every step."""

_WALKING = 0.15
"""Metres a second below which a motion stands, and faces as it likes."""

ON_FLOOR = (1.0, 0.0, 1.0)


class Way:
    """Where the roots of a batch are known to be and to face.

    Whatever way the features tell is changed as little and as smoothly as it takes to pass there: what it misses by at the known frames is
    spread over those between. Where a control leads it elsewhere, headings turn along, so that a body goes as it went: forwards,
    backwards, or to the side.

    Args:
        heading (`torch.Tensor`): Radians, (batch, frames).
        turned (`torch.Tensor`): Where the heading is known, (batch, frames) bool.
        places (`torch.Tensor`): Metres, (batch, frames, 3); heights do not matter.
        placed (`torch.Tensor`): Where the place is known, (batch, frames) bool.
        scale (`torch.Tensor`): Units of the features in a metre of the result, (batch, frames, 1).
        going (`torch.Tensor`): Frames of a motion that another one follows, (batch, frames, 1) bool.
        fps (`float`): Frame rate.
        fade (`int`): Frames over which slopes run out.
        along (`torch.Tensor`, *optional*): Motions whose headings turn along, (batch,) bool.
    """

    def __init__(
        self,
        heading: Tensor,
        turned: Tensor,
        places: Tensor,
        placed: Tensor,
        scale: Tensor,
        going: Tensor,
        fps: float,
        fade: int,
        along: Tensor | None = None,
    ) -> None:
        self._heading, self._places, self._scale, self._going = heading, places, scale, going
        self._fps, self._fade = fps, fade
        self._along = torch.zeros_like(placed[:, 0]) if along is None else along
        self._faced = Spread(turned[..., None], fade, bridge=True)
        self._led = Spread(placed[..., None], fade, bridge=True)
        self.leads = self._faced.bridges or self._led.bridges
        """Whether there is anything to do between known frames."""

    def follow(self, features: Tensor, yaw: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Headings (batch, frames) and roots (batch, frames, 3), metres, as features in their units have them, from the origin and +Z."""
        yaw = -2 * F.pad(features[:, :-1, 0], (1, 0)).cumsum(1) if yaw is None else yaw
        steps = F.pad(features[:, :-1, 1:3] / self._scale[:, 1:], (0, 0, 1, 0))
        path = turn_vectors(yaw, torch.stack((steps[..., 0], torch.zeros_like(yaw), steps[..., 1]), dim=-1)).cumsum(1)
        return yaw, torch.stack((path[..., 0], features[..., 3] / self._scale[..., 0], path[..., 2]), dim=-1)

    def lead(self, features: Tensor, heading: Tensor | None = None, places: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The same, through what is known; `heading` and `places` stand for the known ones where these move."""
        heading, places = self._heading if heading is None else heading, self._places if places is None else places
        yaw, _ = self.follow(features)
        yaw = self._facing(yaw, heading)
        yaw, root = self.follow(features, yaw)
        root = root + self.bend(places - root)
        return (self._turned_along(features, yaw, root, heading) if bool(self._along.any()) else yaw), root

    def bend(self, misses: Tensor) -> Tensor:
        """What roots miss their places by, (batch, frames, 3), over the floor and spread over all frames."""
        return self._led((misses * misses.new_tensor(ON_FLOOR))[..., None, :])[..., 0, :]

    def write(self, features: Tensor, yaw: Tensor, root: Tensor) -> Tensor:
        """Features, in their units, with other headings and roots."""
        steps = turn_vectors(-yaw[:, 1:], (root[:, 1:] - root[:, :-1]) * self._scale[:, 1:])
        turns = (yaw[:, :-1, None] - yaw[:, 1:, None]) / 2
        way = F.pad(torch.cat((turns, steps[..., [0, 2]]), dim=-1), (0, 0, 0, 1))
        way = torch.where(self._going, way, features[..., :3])
        return torch.cat((way, root[..., 1:2] * self._scale, features[..., 4:]), dim=-1)

    def _facing(self, yaw: Tensor, heading: Tensor) -> Tensor:
        return yaw + self._faced(self._faced.unwrap((heading - yaw)[..., None])[..., None])[..., 0, 0]

    def _turned_along(self, features: Tensor, yaw: Tensor, root: Tensor, heading: Tensor) -> Tensor:
        """Headings that keep the direction of travel relative to the body, where the way is led."""
        own = F.pad(features[:, :-1, 1:3] / self._scale[:, 1:], (0, 0, 0, 1))
        way = F.pad((root[:, 1:] - root[:, :-1])[..., [0, 2]], (0, 0, 0, 1))
        radius = max(1, round(_DIRECTION_SECONDS * self._fps))
        own, way = smoothed(own, self._going, radius), smoothed(way, self._going, radius)
        least = _WALKING / self._fps
        walks = own.norm(dim=-1) > least
        angle = torch.atan2(way[..., 0], way[..., 1]) - torch.where(walks, torch.atan2(own[..., 0], own[..., 1]), 0)
        known = (walks & (way.norm(dim=-1) > least))[..., None] & self._going
        # Between stretches of walking, and where headings are asked besides, turns run on smoothly.
        led = Spread(known, self._fade, bridge=True)
        turn = smoothed(led(led.unwrap((angle - yaw)[..., None])[..., None])[..., 0], self._going, radius)[..., 0]
        return self._facing(torch.where(self._along[:, None] & known.any(1), yaw + turn, yaw), heading)
