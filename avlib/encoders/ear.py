"""An ear that sums up sounds: texture statistics, worked out once a sound."""

from __future__ import annotations

from torch import Tensor, nn

from avlib.audio import cochleagram, texture_groups, texture_statistics
from avlib.encoders.teacher import Remembering
from avlib.types import SAMPLE_RATE


class Statistics(nn.Module):
    """The texture statistics of a sound: wave_BS -> (statistic_BD,), D = 502 as in the paper, or 206.

    The small form has 18 bands instead of 32, 6 of modulation (1…50 Hz) instead of 10, envelopes of 200 Hz instead of
    400. Both end at 8 kHz, half of our sampling rate; the paper's ends at 10 kHz.
    """

    def __init__(self, full: bool = False) -> None:
        super().__init__()
        self.bands, self.rate, self.modulations = (30, 400.0, 10) if full else (16, 200.0, 6)
        self.range = (0.5, 200.0) if full else (1.0, 50.0)
        self.groups: dict[str, slice] = texture_groups(self.bands + 2, self.modulations)
        self.sizes = (self.groups["loudness"].stop,)

    def forward(self, wave_BS: Tensor) -> tuple[Tensor, ...]:
        envelope_BFL = cochleagram(wave_BS, SAMPLE_RATE, self.bands, envelope_rate=self.rate)
        return (texture_statistics(envelope_BFL, self.rate, self.modulations, self.range),)


class Ear(Remembering):
    """`Statistics`, worked out once a sound, since they take longer than a step of training."""

    def __init__(self, full: bool = False) -> None:
        statistics = Statistics(full)
        super().__init__(statistics)
        self.groups = statistics.groups

    def hear(self, wave_BS: Tensor) -> Tensor:
        """statistic_BD of each sound."""
        (statistic_BD,) = self(wave_BS)
        return statistic_BD  # type: ignore[no-any-return]
