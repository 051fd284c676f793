"""``[[models]]`` of ``remit.toml``: what is wrong is said, and keys come from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from remit.config.file import parse_config
from remit.config.models import ModelApi, with_keys
from remit.errors import ConfigError

BASE = '[[models]]\nname = "one"\nformat = "openai"\n'


def apis(text: str, **secrets: str) -> tuple[ModelApi, ...]:
    config = parse_config(text, "remit.toml", Path("/srv"))
    return with_keys(config.models, secrets.get)


def test_a_key_comes_from_its_variable_and_is_not_shown() -> None:
    name = BASE.replace('"one"', '"my-own"')
    [api] = apis(name, REMIT_MODEL_MY_OWN_KEY="sk-1")
    assert (api.key, api.settings.place) == ("sk-1", "https://api.openai.com")
    assert "sk-1" not in repr(api)
    [bare] = apis(f'{BASE}keyless = true\nurl = "http://127.0.0.1:11434"\n')
    assert (bare.key, bare.settings.place) == ("", "http://127.0.0.1:11434")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BASE + 'url = "http://models.corp.example"\n', "must begin with https://"),
        (BASE + 'url = "https://user:pw@models.corp.example"\n', "must not hold a password"),
        (BASE + 'url = "https://models.corp.example/v1"\n', "without a slash"),
        (BASE + 'connect = "0s"\n', "connect must be between"),
        (BASE + 'failover = ["one"]\n', "cannot stand in for itself"),
        (BASE + 'name = "x"\n', "not TOML"),
        (BASE + "models = []\n", "models"),
        (BASE.replace("one", "One"), "name"),
        (BASE + 'api_key = "sk-1"\n', "Secrets are not kept in this file"),
        ("[model_gateway]\nhold = '2h'\n", "hold must be between"),
        ("[model_gateway]\nbody = '1B'\n", "body must be between"),
        ("[model_gateway]\nsession_idle = '0s'\n", "session_idle must be between"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as fault:
        apis(text, REMIT_MODEL_ONE_KEY="sk-1")
    assert said in str(fault.value)


@pytest.mark.parametrize(
    ("text", "key", "said"),
    [
        (BASE, "", "set REMIT_MODEL_ONE_KEY"),
        (BASE, "sk 1", "no key that can be sent"),
        (BASE + BASE, "sk-1", "a name is there twice"),
        (BASE + 'failover = ["two"]\n', "sk-1", "there is no 'two'"),
        (
            BASE + 'failover = ["two"]\n[[models]]\nname = "two"\nformat = "gemini"\n',
            "sk-1",
            "speaks another format",
        ),
    ],
)
def test_what_does_not_fit_together_is_said(text: str, key: str, said: str) -> None:
    with pytest.raises(ConfigError) as fault:
        apis(text, REMIT_MODEL_ONE_KEY=key, REMIT_MODEL_TWO_KEY="sk-2")
    assert said in str(fault.value)
