"""AAF, as Media Composer reads and writes it, by OpenTimelineIO's adapter.

The adapter writes a dissolve from the metadata that it keeps of one it has read, so a dissolve is given the same. A
clip is named by its master clip there; the identifier of that one is made of the file and the name, so it is one master
clip however often it plays, and the same in the next version.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import opentimelineio as otio

from .plain_cut import Room

ADAPTER, METADATA = "AAF", "AAF"
ROOM = Room(speeds=False, held=False)
DISSOLVE = {
    "Identification": "0c3bea40-fc05-11d2-8a29-0050040ef7d2",
    "Name": "Video Dissolve",
    "Description": "Video Dissolve",
    "IsTimeWarp": False,
    "Bypass": 0,
    "NumberInputs": 2,
    "OperationCategory": "OperationCategory_Effect",
}
"""AAF's own definition of a dissolve between two pictures."""
UMID = "urn:smpte:umid:060a2b34.01010105.01010f20.13000000."


def prepare(timeline: Any) -> None:
    """Give the timeline what the adapter asks for."""
    for track in timeline.tracks:
        for item in track:
            if isinstance(item, otio.schema.Transition):
                item.metadata[METADATA] = _dissolve(item)
            elif isinstance(item, otio.schema.Clip):
                item.metadata[METADATA] = {"MobID": _identifier(item)}


def _dissolve(item: Any) -> dict[str, Any]:
    length = round(item.duration().value)
    points = [{"Time": "0", "Value": "0"}, {"Time": "1", "Value": "1"}]
    operation = {**DISSOLVE, "DataDefinition": {"Name": "Picture"}}
    return {
        "PointList": points,
        "OperationGroup": {"Operation": operation, "Length": length},
        "CutPoint": round(item.in_offset.value),
    }


def _identifier(clip: Any) -> str:
    reference = clip.media_reference
    url = getattr(reference, "target_url", "") or uuid.uuid4().hex
    plain = uuid.uuid5(uuid.NAMESPACE_URL, f"{url}\n{clip.name}").hex
    return UMID + ".".join(plain[at : at + 8] for at in range(0, 32, 8))


def write(timeline: Any, file: Path) -> None:
    """Write the file."""
    otio.adapters.write_to_file(timeline, str(file), adapter_name=ADAPTER)


def read(file: Path) -> Any:
    """The timeline in a file."""
    found = otio.adapters.read_from_file(str(file), adapter_name=ADAPTER)
    for timeline in found if isinstance(found, otio.schema.SerializableCollection) else [found]:
        for clip in timeline.find_clips():
            _set_media(clip)
            for effect in list(clip.effects):
                if _is_middle_pan(effect):
                    clip.effects.remove(effect)
    return found


def _set_media(clip: Any) -> None:
    """Leave a clip one of its references: they are the steps to its file, and no takes."""
    found = [clip.media_reference, *clip.media_references().values()]
    media = next((each for each in found if getattr(each, "target_url", "")), clip.media_reference)
    clip.set_media_references({clip.DEFAULT_MEDIA_KEY: media.clone()}, clip.DEFAULT_MEDIA_KEY)


def _is_middle_pan(effect: Any) -> bool:
    """Whether it is a pan that changes nothing, which the adapter gives each sound."""
    own = effect.metadata.get(METADATA, {})
    if effect.name != "Audio Pan" or not isinstance(own, Mapping):
        return False
    pan = own.get("Parameters", {}).get("Pan")
    points = pan.get("keyframe_values", []) if isinstance(pan, Mapping) else []
    return all(list(point)[1:] == [0.5] for point in points)
