"""``remit init``, ``check`` and ``schema``."""

import json
import os
import shlex
from importlib import resources

import jsonschema_rs
import pytest
import yaml

from remit.cli.init import STARTERS


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("starter", STARTERS)
def test_a_starter_passes_check_without_a_warning(starter, remit):
    assert remit("init", "--starter", starter).code == 0
    checked = remit("check", "--json")
    assert checked.code == 0, checked.out
    assert checked.json["warnings"] == []
    assert checked.json["mode"] == "enforce"


@pytest.mark.parametrize("starter", STARTERS)
def test_a_starter_fits_the_schema_for_editors(starter, remit, tmp_path):
    remit("init", "--starter", starter)
    document = yaml.safe_load((tmp_path / "remit.yaml").read_text())
    jsonschema_rs.validate(remit("schema").json, document)


@pytest.mark.parametrize("starter", STARTERS)
def test_the_example_in_the_head_of_a_starter_is_not_allowed(starter, remit, tmp_path):
    """Whoever copies the line from the file sees Remit stop something."""
    remit("init", "--starter", starter, "--person", "grace-b")
    line = next(
        line for line in (tmp_path / "remit.yaml").read_text().splitlines() if "explain" in line
    )
    explained = remit(*shlex.split(line.removeprefix("#   remit ")))
    assert explained.code in (4, 5)


def test_every_starter_is_in_the_package():
    names = {each.name for each in (resources.files("remit") / "starters").iterdir()}
    assert names == {f"{starter}.yaml" for starter in STARTERS}


def test_init_puts_the_person_into_people(remit, tmp_path):
    remit("init", "--person", "grace")
    document = yaml.safe_load((tmp_path / "remit.yaml").read_text())
    assert list(document["people"]) == ["grace"]


@pytest.mark.parametrize("person", ["no", "null", "Grace Hopper", "a: b", "", "\x1b"])
def test_init_refuses_a_name_that_would_change_the_document(person, remit, tmp_path):
    assert remit("init", "--person", person).code == 2
    assert not (tmp_path / "remit.yaml").exists()


def test_init_overwrites_only_when_told_to(remit, tmp_path):
    (tmp_path / "remit.yaml").write_text("mine")
    refused = remit("init")
    assert refused.code == 2
    assert "--force" in refused.err
    assert (tmp_path / "remit.yaml").read_text() == "mine"
    assert remit("init", "--force", "--json").json["wrote"] == "remit.yaml"
    assert (tmp_path / "remit.yaml").read_text() != "mine"


def test_init_where_it_cannot_write_says_so(remit, tmp_path):
    refused = remit("init", "-o", tmp_path / "absent" / "remit.yaml")
    assert refused.code == 2
    assert "absent" in refused.err


def test_check_shows_every_fault_with_a_caret(remit, tmp_path):
    (tmp_path / "remit.yaml").write_text(
        "remit: 1\ndefualt: deny\nrules:\n  - {id: a, tools: [x], effect: alow}\n"
    )
    checked = remit("check")
    assert checked.code == 1
    assert "remit.yaml:2:1: error:" in checked.out
    assert "    defualt: deny\n    ^^^^^^^" in checked.out
    assert "remit.yaml:4:" in checked.out
    assert "2 faults" in checked.out


def test_check_for_programs(remit, tmp_path):
    (tmp_path / "remit.yaml").write_text("remit: 1\ndefualt: deny\n")
    checked = remit("check", "--json")
    assert checked.code == 1
    assert checked.json["ok"] is False
    fault = checked.json["faults"][0]
    assert (fault["file"], fault["line"], fault["column"]) == ("remit.yaml", 2, 1)


def test_check_names_the_path_that_was_given(remit, tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "a.yaml").write_text("remit: 1\ndefualt: deny\n")
    assert "conf/a.yaml:2:1" in remit("check", "conf/a.yaml").out
    assert "conf/a.yaml:2:1" in remit("check", "conf").out


def test_two_documents_of_the_same_name_are_two_documents(remit, tmp_path):
    for folder, text in (("a", "remit: 1\ndefault: deny\n"), ("b", "remit: 1\ndefualt: deny\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.yaml").write_text(text)
    checked = remit("check", "a/x.yaml", "b/x.yaml")
    assert checked.code == 1
    assert "b/x.yaml:2:1" in checked.out


def test_the_revision_does_not_depend_on_how_the_path_was_spelt(remit, tmp_path):
    remit("init")
    spellings = ["remit.yaml", "./remit.yaml", tmp_path / "remit.yaml", tmp_path]
    revisions = {remit("check", each, "--json").json["revision"] for each in spellings}
    assert len(revisions) == 1


@pytest.mark.parametrize("made", ["nothing", "empty-folder", "unreadable"])
def test_no_policy_is_a_usage_error(made, remit, tmp_path):
    path = tmp_path / "remit.yaml"
    if made == "empty-folder":
        path.mkdir()
    if made == "unreadable":
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        path.write_text("")
        path.chmod(0)
    checked = remit("check")
    assert checked.code == 2
    assert "remit.yaml" in checked.err


def test_hostile_text_in_a_policy_cannot_act_on_the_terminal(remit, tmp_path):
    (tmp_path / "remit.yaml").write_text('remit: 1\n"\\e[2J[bold]": deny\n')
    checked = remit("check")
    assert checked.code == 1
    assert "\x1b" not in checked.out


def test_the_schema_is_json(remit):
    schema = json.loads(remit("schema").out)
    assert schema["$schema"].startswith("https://json-schema.org/")


def test_a_warning_does_not_fail_the_check(remit, tmp_path):
    (tmp_path / "remit.yaml").write_text(
        "remit: 1\ndefault: allow\nmode: shadow\n"
        "rules:\n  - {id: a, tools: [nowhere-declared], effect: deny}\n"
    )
    checked = remit("check")
    assert checked.code == 0, checked.out
    warnings = remit("check", "--json").json["warnings"]
    assert ("warning:" in checked.out) == bool(warnings)
