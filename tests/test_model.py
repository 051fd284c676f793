from remit.model import Effect, Fault, Location, Principal

ADA = Principal(id="ada", kind="person")
BOT = Principal(id="inventory-bot", on_behalf_of=ADA)


def test_effects_form_a_lattice() -> None:
    assert sorted(Effect, key=lambda effect: effect.strictness) == [
        Effect.ALLOW,
        Effect.ASK,
        Effect.DEFER,
        Effect.DENY,
    ]


def test_the_chain_leads_to_the_person() -> None:
    helper = Principal(id="web-bot", on_behalf_of=BOT)
    assert [link.id for link in helper.chain()] == ["web-bot", "inventory-bot", "ada"]
    assert helper.user is ADA
    assert ADA.user is ADA
    assert Principal(id="alone").user is None


def test_nobody_is_known_unless_somebody_says_so() -> None:
    assert Principal(id="x").known == "unknown"


def test_a_place_reads_as_editors_expect() -> None:
    assert str(Location("remit.yaml", 3, 7)) == "remit.yaml:3:7"
    assert Location("a.yaml", 2, 9) < Location("a.yaml", 10, 1)


def test_a_fault_shows_line_caret_and_suggestion() -> None:
    at = Location("remit.yaml", 2, 3)
    assert str(Fault(at=at, message="unknown key 'defualt'")) == (
        "remit.yaml:2:3: unknown key 'defualt'"
    )
    assert str(
        Fault(
            at=at,
            message="unknown key 'defualt'",
            suggestion="did you mean 'default'?",
            source="  defualt: deny",
            width=7,
        )
    ).splitlines() == [
        "remit.yaml:2:3: unknown key 'defualt'",
        "      defualt: deny",
        "      ^^^^^^^",
        "    did you mean 'default'?",
    ]
