from crashing import Round, until_killed

KILLS = 60


def test_60_kills_under_load_lose_nothing(tmp_path):
    """kill -9 at any moment: every acknowledged record is there and the log verifies."""
    acknowledged, lost = Round.series(tmp_path, until_killed, KILLS, kill_within=0.15)
    print(f"{KILLS} kills: {acknowledged} acknowledged, {lost} lost")
    assert lost == 0
    assert acknowledged > 10 * KILLS
