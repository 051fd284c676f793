"""A slice of ``make soak``: memory does not grow with what passes; and the rule can fail."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.soak import MOST_NOISE, Soaked, soak

ADMISSIONS = 12_000


def test_memory_is_flat_over_a_slice(tmp_path: Path) -> None:
    seen = soak(ADMISSIONS, tmp_path)
    print(f"{seen.admissions} in {seen.seconds:.0f} s, {seen.growth:+.1f} MiB")
    assert seen.errors == 0
    assert seen.admissions >= ADMISSIONS
    assert len(seen.steady) > 30
    assert seen.flat, seen.samples


def a_run(admissions: int, leak: float, noise: int = 0) -> Soaked:
    """A server that starts at 70 MiB, takes 8 more while it warms up, and then leaks."""
    step = admissions // 100
    samples = []
    for done in range(step, admissions + 1, step):
        warm = min(1.0, done / (admissions * 0.2))
        wobble = noise if done // step % 2 else -noise
        samples.append((done, int(70e6 + warm * 8e6 + done * leak + wobble)))
    return Soaked(admissions, 1.0, 0, tuple(samples))


@pytest.mark.parametrize("admissions", [ADMISSIONS, 1_000_000])
def test_warm_up_and_noise_are_no_leak(admissions: int) -> None:
    assert a_run(admissions, leak=0, noise=2_000_000).flat


@pytest.mark.parametrize(("admissions", "leak"), [(ADMISSIONS, 1000), (1_000_000, 50)])
def test_a_leak_is_seen(admissions: int, leak: int) -> None:
    leaking = a_run(admissions, leak, noise=500_000)
    assert leaking.slope == pytest.approx(leak, rel=0.1)
    assert leaking.growth > MOST_NOISE
    assert not leaking.flat
