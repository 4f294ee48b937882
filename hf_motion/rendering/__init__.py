"""Looking at motions: frames, videos, contact sheets and an interactive player.

Pillow and PyAV (`pip install 'hf-motion[render]'`) are imported when something is drawn, never before.
"""

from typing import TYPE_CHECKING

from ..utils.lazy import lazy_names

if TYPE_CHECKING:
    from .contact_sheet import save_contact_sheet
    from .frames import render_frames
    from .player import player_html, save_player
    from .video import require_video, save_video

_MODULES = {
    "player_html": "player", "render_frames": "frames", "require_video": "video", "save_contact_sheet": "contact_sheet",
    "save_player": "player", "save_video": "video",
}  # fmt: skip

__all__ = ["player_html", "render_frames", "require_video", "save_contact_sheet", "save_player", "save_video"]

__getattr__, __dir__ = lazy_names(__name__, _MODULES)
