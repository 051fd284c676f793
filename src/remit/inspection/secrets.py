"""Signs of keys, tokens and passwords. Data; see ``signs``.

Where a form has a checksum, a match that does not pass it still counts as it stands, because forms
change and a wrong guess must not hide a key; in characters that were put together it does not.
"""

from __future__ import annotations

import binascii
import json

from remit.inspection import checksums
from remit.inspection.signs import Sign

_LETTERS = "16C7e42F292c6912E7710c838347Ae178B4aZq8Xw5Rt3Yb1Nm6Lk9Jh2Gf4Ds7Pa0Vc"


def _row(name: str, maker: str, head: str, letters: str, size: int, more: bool = False) -> Sign:
    """A token that is a fixed beginning and ``size`` letters, or at least as many."""
    plain = head.replace("\\", "")
    alphabet = {"hex": "0-9a-f", "word": "A-Za-z0-9", "url": "A-Za-z0-9_-"}[letters]
    body = (_LETTERS * 2)[:size]
    body = binascii.hexlify(body.encode()).decode()[:size] if letters == "hex" else body
    return Sign(
        id=name,
        kind="secret",
        catches=f"{maker}: `{plain}` and {'at least ' if more else ''}{size} characters",
        pattern=f"{head}[{alphabet}]{{{size}{',' if more else ''}}}",
        trigger=head,
        example=plain + body,
        counter=plain + body[: size - 3],
        together=True,
    )


def is_jwt(written: bytes) -> bool:
    """Whether the first part of a token is the header of a JSON Web Token (RFC 7519)."""
    head = written.partition(b".")[0]
    try:
        header = json.loads(binascii.a2b_base64(head.translate(_URL) + b"=="))
    except ValueError:
        return False
    return isinstance(header, dict) and "alg" in header


_URL = bytes.maketrans(b"-_", b"+/")
_PLACEHOLDERS = (
    b"example", b"changeme", b"placeholder", b"password", b"secret", b"xxxx", b"your", b"dummy",
    b"redacted", b"<", b"{", b"$", b"%", b"*", b"(", b"...", b"none", b"null", b"true", b"false",
)  # fmt: skip


def is_password(written: bytes) -> bool:
    """Whether a value is more than a placeholder."""
    lower = written.lower()
    return not any(lower.startswith(word) or lower.endswith(word) for word in _PLACEHOLDERS)


def is_key(written: bytes) -> bool:
    """Whether an assigned value is a key: no placeholder, and of high entropy."""
    return is_password(written) and b"." not in written[1:-1] and checksums.looks_random(written)


SECRETS: tuple[Sign, ...] = (
    Sign(
        id="github-token",
        kind="secret",
        catches="GitHub: `ghp_`, `gho_`, `ghu_`, `ghs_`, `ghr_` and 36 characters; CRC-32",
        pattern="gh[pousr]_[A-Za-z0-9]{36}",
        trigger="gh[pousr]_",
        example="ghp_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17",
        counter="ghp_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ",
        certain=checksums.crc32_base62,
        together=True,
    ),
    Sign(
        id="npm-token",
        kind="secret",
        catches="npm: `npm_` and 36 characters; CRC-32",
        pattern="npm_[A-Za-z0-9]{36}",
        trigger="npm_",
        example="npm_" + "zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ0mLq17",
        counter="npm_config_registry",
        certain=checksums.crc32_base62,
        together=True,
    ),
    _row("github-fine-grained", "GitHub", "github_pat_", "url", 60, more=True),
    _row("gitlab-token", "GitLab", "glpat-", "url", 20, more=True),
    Sign(
        id="aws-key-id",
        kind="secret",
        catches="AWS: `AKIA` or `ASIA` and 16 characters of base32",
        pattern="A[KS]IA[A-Z2-7]{16}",
        trigger="A[KS]IA",
        example="AKIA" + "IOSFODNN7EXAMPLE",
        counter="AKIA" + "IOSFODNN8EXAMPLE",
        together=True,
    ),
    _row("google-api-key", "Google", "AIza", "url", 35),
    _row("google-oauth", "Google", "ya29\\.", "url", 20, more=True),
    Sign(
        id="slack-token",
        kind="secret",
        catches="Slack: `xoxb-`, `xoxp-` and the like, `xapp-`",
        pattern="(?:xox[abeoprs]|xapp)-[0-9A-Za-z-]{16,}",
        trigger="(?:xox[abeoprs]|xapp)-",
        example="xoxb-" + "263594206564-2343594206574-FGqddMF8",
        counter="xoxb-token",
        together=True,
    ),
    Sign(
        id="slack-webhook",
        kind="secret",
        catches="Slack: the address of an incoming webhook",
        pattern="hooks\\.slack\\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{20,}",
        trigger="hooks\\.slack\\.com/",
        example="https://hooks.slack.com/services/"
        + "T0AAAAAAA/B0AAAAAAA/Xw5Rt3Yb1Nm6Lk9Jh2Gf4Ds7",
        counter="https://hooks.slack.com/services/",
    ),
    Sign(
        id="stripe-key",
        kind="secret",
        catches="Stripe: `sk_live_`, `rk_live_` and those for tests; `whsec_`",
        pattern="(?:[sr]k_(?:live|test)_|whsec_)[0-9A-Za-z]{16,}",
        trigger="(?:[sr]k_(?:live|test)_|whsec_)[0-9A-Za-z]{4}",
        example="sk_test_" + "4eC39HqLyjWDarjtT1zdp7dc",
        counter="pk_test_" + "4eC39HqLyjWDarjtT1zdp7dc",
        together=True,
    ),
    Sign(
        id="openai-key",
        kind="secret",
        catches="OpenAI: `sk-`, with `T3BlbkFJ` in the middle",
        pattern="sk-[A-Za-z0-9_-]{16,100}T3BlbkFJ[A-Za-z0-9_-]{16,}",
        trigger="T3BlbkFJ",
        example="sk-proj-" + "Xw5Rt3Yb1Nm6Lk9Jh2Gf" + "T3BlbkFJ" + "4Ds7Pa0Vc16C7e42F292",
        counter="sk-proj-" + "Xw5Rt3Yb1Nm6Lk9Jh2Gf",
        together=True,
    ),
    Sign(
        id="anthropic-key",
        kind="secret",
        catches="Anthropic: `sk-ant-` and at least 40 characters",
        pattern="sk-ant-[A-Za-z0-9_-]{40,}",
        trigger="sk-ant-",
        example="sk-ant-api03-" + _LETTERS[:60],
        counter="sk-ant-api03-...",
        together=True,
    ),
    _row("openrouter-key", "OpenRouter", "sk-or-v1-", "hex", 64),
    _row("hugging-face-token", "Hugging Face", "hf_", "word", 34),
    _row("groq-key", "Groq", "gsk_", "word", 52),
    _row("replicate-token", "Replicate", "r8_", "word", 37),
    _row("pypi-token", "PyPI", "pypi-AgEIcHlwaS5vcmc", "url", 50, more=True),
    _row("digitalocean-token", "DigitalOcean", "dop_v1_", "hex", 64),
    _row("docker-token", "Docker Hub", "dckr_pat_", "url", 27),
    _row("databricks-token", "Databricks", "dapi", "hex", 32),
    _row("shopify-token", "Shopify", "shpat_", "hex", 32),
    _row("linear-key", "Linear", "lin_api_", "word", 40),
    _row("notion-token", "Notion", "ntn_", "word", 46),
    _row("supabase-token", "Supabase", "sbp_", "hex", 40),
    _row("vault-token", "HashiCorp Vault", "hvs\\.", "url", 24, more=True),
    _row("rubygems-key", "RubyGems", "rubygems_", "hex", 48),
    _row("tailscale-key", "Tailscale", "tskey-auth-", "url", 20, more=True),
    _row("age-key", "age", "AGE-SECRET-KEY-1", "word", 58),
    Sign(
        id="sendgrid-key",
        kind="secret",
        catches="SendGrid: `SG.`, 22 and 43 characters",
        pattern="SG\\.[A-Za-z0-9_-]{22}\\.[A-Za-z0-9_-]{43}",
        trigger="SG\\.",
        example=f"SG.{_LETTERS[:22]}.{_LETTERS[:43]}",
        counter="SG.example",
        together=True,
    ),
    Sign(
        id="telegram-token",
        kind="secret",
        catches="Telegram: the number of a bot, a colon, `AA` and 33 characters",
        pattern="[0-9]{8,10}:AA[A-Za-z0-9_-]{33}",
        trigger="[0-9]:AA",
        example="110201543:AA" + _LETTERS[:33],
        counter="110201543:AAHdqTcv",
        together=True,
    ),
    Sign(
        id="azure-storage-key",
        kind="secret",
        catches="Azure: `AccountKey=` and 64 bytes in base64",
        pattern="AccountKey=[A-Za-z0-9+/]{86}==",
        trigger="AccountKey=",
        example="AccountKey=" + (_LETTERS * 2)[:86] + "==",
        counter="AccountKey=...",
        together=True,
    ),
    Sign(
        id="jwt",
        kind="secret",
        catches="A JSON Web Token: three parts, the first a header with `alg`",
        pattern="eyJ[A-Za-z0-9_-]{8,}\\.eyJ[A-Za-z0-9_-]{8,}\\.[A-Za-z0-9_-]{16,}",
        trigger="\\.eyJ",
        example="eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiJhZGEifQ." + _LETTERS[:43],
        counter="eyJhIjoxMjM0NTZ9." + "eyJzdWIiOiJhZGEifQ." + _LETTERS[:43],
        check=is_jwt,
        together=True,
    ),
    Sign(
        id="private-key",
        kind="secret",
        catches="The first line of a private key: PEM, OpenSSH, PGP, PuTTY",
        pattern="-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY|PuTTY-User-Key-File-[0-9]",
        trigger="PRIVATE KEY|PuTTY-User",
        example="-----BEGIN OPENSSH " + "PRIVATE KEY-----",
        counter="-----BEGIN PUBLIC KEY-----",
        bordered=False,
    ),
    Sign(
        id="connection-string",
        kind="secret",
        catches="A URL with a password: `postgres://user:password@host`",
        pattern="[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\\s:/@\"'<>]{0,64}:([^\\s:/@\"'<>]{3,128})@[A-Za-z0-9]",
        trigger="://[^\\s:/@]*:[^\\s:/@]+@",
        example="postgres://shop:" + "vT7kq2Lp@db.internal/shop",
        counter="postgres://shop:${PASSWORD}@db.internal/shop",
        check=is_password,
        bordered=False,
    ),
    Sign(
        id="authorization-header",
        kind="secret",
        catches="`Authorization:` with a token",
        pattern=(
            "(?i)authorization[\"']?\\s{0,3}[:=]\\s{0,3}[\"']?(?:bearer|basic|token)\\s{1,3}"
            "([A-Za-z0-9._~+/-]{16,}=*)"
        ),
        trigger="(?i)authorization[\"']?\\s*[:=]\\s*[\"']?(?:bearer|basic|token)",
        example="Authorization: Bearer " + _LETTERS[:32],
        counter="Authorization: Bearer $TOKEN",
        check=is_password,
        bordered=False,
    ),
    Sign(
        id="assigned-key",
        kind="secret",
        catches="A value of high entropy that is assigned to something called key, token, secret",
        pattern=(
            "(?i)(?:api_?key|api-key|secret|token|passw(?:or)?d|passwd|credential|access_?key"
            "|private_?key)[\"']?\\s{0,3}(?:=>|:=|=|:)\\s{0,3}[\"']?([^\\s\"',;&]{10,200})"
        ),
        trigger="(?i)(?:key|secret|token|passw|pwd|credential)[a-z\"']{0,4}\\s{0,3}[:=]",
        example="api_key = '" + "q7Lp2vTk9Xw5Rt3Yb1Nm'",
        counter="api_key = 'your-api-key-goes-here'",
        check=is_key,
        bordered=False,
    ),
)
