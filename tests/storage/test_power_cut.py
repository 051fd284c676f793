import pytest
from crashing import Round, until_power_cut
from powercut import library_path

CUTS = 40


@pytest.fixture(autouse=True)
def _shared_library():
    try:
        library_path()
    except LookupError as error:
        pytest.skip(str(error))


def test_P50_40_power_cuts_lose_nothing(tmp_path):
    """What was acknowledged had been synced: unsynced writes are lost or torn, records are not."""
    acknowledged, lost = Round.series(tmp_path, until_power_cut, CUTS, "FULL")
    print(f"{CUTS} cuts: {acknowledged} acknowledged, {lost} lost")
    assert lost == 0
    assert acknowledged > 10 * CUTS


def test_the_power_cut_is_one(tmp_path):
    """The same cuts lose records of a store that does not sync each commit."""
    acknowledged, lost = Round.series(tmp_path, until_power_cut, CUTS, "NORMAL")
    print(f"{CUTS} cuts, synchronous=NORMAL: {acknowledged} acknowledged, {lost} lost")
    assert lost > CUTS // 4
