"""``remit egress ca``: the authority is made once, and shown."""

import os
import stat


def test_the_authority_is_made_once_and_shown(shop, remit):
    made = remit("egress", "ca", "--json")
    assert made.code == 0
    assert made.json["certificate"] == str(shop / "remit-egress.pem")
    assert stat.S_IMODE(os.stat(shop / "remit-egress.key").st_mode) == 0o600
    shown = remit("egress", "ca")
    assert made.json["sha256"] in shown.out
    assert "REQUESTS_CA_BUNDLE" in shown.out
    assert "PRIVATE" not in shown.out


def test_the_configuration_says_where(shop, remit):
    (shop / "remit.toml").write_text('[egress]\nca = "ca/cert.pem"\nca_key = "ca/key"\n')
    (shop / "ca").mkdir()
    made = remit("egress", "ca", "--json")
    assert made.json["certificate"] == str(shop / "ca" / "cert.pem")
    (shop / "ca" / "key").chmod(0o644)
    refused = remit("egress", "ca")
    assert refused.code == 2
    assert "chmod 600" in refused.err
