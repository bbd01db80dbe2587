"""Videos by the encoders of pictures and sounds: their vectors lie in the spaces of pictures and sounds."""

import io
from collections.abc import Sequence
from typing import ClassVar, Generic

import numpy as np

from feature_repo.schema import Modality
from ranking.representation import sound_track, video_frames
from ranking.representation.encoder import Decoded, Encoder
from ranking.representation.inputs import unit_rows
from ranking.representation.video_frames import Picture
from ranking.types import Floats


class VideoEncoder(Encoder[Floats]):
    """An encoder of video files that has the id of the one of pictures or sounds that it uses.

    A video is encoded as soon as it is decoded, so that a thread holds the frames of one video only.
    taken: names what of a video is encoded; it is part of the content's hash.
    """

    taken: ClassVar[str]

    def encode(self, batch: Sequence[Floats]) -> Floats:
        """The vectors that `decode` gave, float32 [n, dim]."""
        return np.stack(batch)


class FrameEncoder(VideoEncoder, Generic[Decoded]):
    """Some frames of a video as one picture vector: the mean of their directions, as long as they are on average."""

    taken = video_frames.TAKEN

    def __init__(self, pictures: Encoder[Decoded]) -> None:
        self.modality, self.id, self.dim = pictures.modality, pictures.id, pictures.dim
        self.in_torch = pictures.in_torch
        self._pictures = pictures

    def decode(self, content: bytes) -> Floats:
        """The vector of a video file, float32 [dim]."""
        frames = [self._pictures.decode(_bitmap(frame.picture)) for frame in video_frames.read_frames(content)]
        vectors = self._pictures.encode(frames)
        direction = unit_rows(unit_rows(vectors).mean(0, keepdims=True))[0]
        return np.asarray(direction * np.linalg.norm(vectors, axis=1).mean(), np.float32)


class SoundTrackEncoder(VideoEncoder, Generic[Decoded]):
    """The sound track of a video as any other sound."""

    taken = sound_track.TAKEN

    def __init__(self, sounds: Encoder[Decoded]) -> None:
        self.modality, self.id, self.dim = sounds.modality, sounds.id, sounds.dim
        self.in_torch = sounds.in_torch
        self._sounds = sounds

    def decode(self, content: bytes) -> Floats:
        """The vector of a video file, float32 [dim]."""
        vector: Floats = self._sounds.encode([self._sounds.decode(sound_track.read_sound_track(content))])[0]
        return vector


def video_encoder(encoder: Encoder[Decoded]) -> VideoEncoder | None:
    """What a video adds to the encoder's modality; None for text."""
    match encoder.modality:
        case Modality.IMAGE:
            return FrameEncoder(encoder)
        case Modality.AUDIO:
            return SoundTrackEncoder(encoder)
        case Modality.TEXT:
            return None


def _bitmap(picture: Picture) -> bytes:
    """The picture as a file, without loss."""
    from PIL import Image  # heavy: commands that decode nothing must start fast

    file = io.BytesIO()
    Image.fromarray(picture).save(file, "BMP")
    return file.getvalue()
