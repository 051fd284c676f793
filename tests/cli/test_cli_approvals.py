"""``remit approvals``: who may say yes, to what, how often."""

import pytest

from remit import ApprovalRequired, Denied, Guard


def pay(shop, amount=900):
    """The held call, made again by a program."""
    with (
        Guard.open(shop / "remit.yaml") as guard,
        guard.session(agent="inventory-bot", user="ada", intent="restock"),
    ):
        return guard.wrap(lambda order, amount: f"paid {amount}", name="pay")(7, amount)


def test_list_shows_what_waits(history, remit):
    shown = remit("approvals", "list")
    assert shown.code == 0
    for part in (history, "pending", "inventory-bot for ada", "pay", '"amount":900'):
        assert part in shown.out
    (row,) = remit("approvals", "list", "--json").json
    assert row["id"] == history
    assert row["arguments"] == {"order": 7, "amount": 900}
    assert row["requester"] == ["inventory-bot", "ada"]


def test_show_says_what_it_is_bound_to_and_who_may_approve(history, remit):
    shown = remit("approvals", "show", history)
    for part in ("large-payment", "1 of finance", "sha256:", "Large payments are seen", "until"):
        assert part in shown.out
    assert remit("approvals", "show", history, "--json").json["state"] == "pending"


def test_an_approved_call_runs_once(history, shop, remit):
    approved = remit("approvals", "approve", history, "--as", "grace", "--reason", "fine")
    assert approved.code == 0, approved.err
    assert "runs once" in approved.out
    assert pay(shop) == "paid 900"
    with pytest.raises(ApprovalRequired):
        pay(shop)
    assert remit("approvals", "show", history, "--json").json["state"] == "used"


def test_the_yes_is_for_these_arguments_only(history, shop, remit):
    remit("approvals", "approve", history, "--as", "grace")
    with pytest.raises(ApprovalRequired):
        pay(shop, amount=901)


def test_a_rejected_call_is_denied(history, shop, remit):
    rejected = remit("approvals", "reject", history, "--as", "grace", "--reason", "no", "--json")
    assert rejected.json["state"] == "rejected"
    with pytest.raises(Denied):
        pay(shop)
    assert remit("approvals", "list").out == "Nothing waits for a person.\n"
    assert remit("approvals", "list", "--all", "--json").json[0]["closed_by"] == "grace"


def test_a_yes_can_be_taken_back(history, shop, remit):
    remit("approvals", "approve", history, "--as", "grace")
    assert remit("approvals", "withdraw", history, "--as", "grace").code == 0
    with pytest.raises(ApprovalRequired):
        pay(shop)


@pytest.mark.parametrize(
    ("person", "says"),
    [
        ("ada", "part of the request"),
        ("mallory", "people"),
        ("inventory-bot", "people"),
        ("", "--as"),
    ],
)
def test_who_may_not_approve(person, says, history, shop, remit):
    refused = remit("approvals", "approve", history, "--as", person)
    assert refused.code == 4
    assert says in refused.err
    with pytest.raises(ApprovalRequired):
        pay(shop)


def test_a_second_yes_is_refused(history, remit):
    remit("approvals", "approve", history, "--as", "grace")
    refused = remit("approvals", "approve", history, "--as", "grace", "--json")
    assert refused.code == 4
    assert refused.json["error"]["kind"] == "ApprovalError"


def test_a_yes_under_a_changed_policy_is_refused(history, shop, remit):
    policy = shop / "remit.yaml"
    policy.write_text(policy.read_text() + "# changed\n")
    refused = remit("approvals", "approve", history, "--as", "grace")
    assert refused.code == 4
    assert "policy has changed" in refused.err


def test_the_policy_may_be_named_from_elsewhere(history, shop, remit, monkeypatch):
    monkeypatch.chdir("/")
    path = shop / "remit.yaml"
    assert remit("approvals", "approve", history, "--as", "grace", "--policy", path).code == 0
    assert pay(shop) == "paid 900"


@pytest.mark.parametrize("step", ["show", "approve", "reject", "withdraw"])
def test_an_approval_that_is_not_there(step, history, remit):
    extra = [] if step == "show" else ["--as", "grace"]
    refused = remit("approvals", step, "ap_\x1b[2J", *extra)
    assert refused.code == 4
    assert "\x1b" not in refused.err


def test_without_a_store_nothing_is_made(shop, remit):
    refused = remit("approvals", "list")
    assert refused.code == 2
    assert "no store" in refused.err
    assert not (shop / "remit.db").exists()


def test_a_yes_that_is_not_enough_says_what_is_missing(shop, remit):
    policy = shop / "remit.yaml"
    text = policy.read_text()
    text = text.replace("approvers: [finance]", "approvers: [finance]\n    quorum: 2")
    policy.write_text(text.replace("  grace:", "  linus: {roles: [finance]}\n  grace:"))
    with pytest.raises(ApprovalRequired) as held:
        pay(shop)
    first = remit("approvals", "approve", held.value.approval, "--as", "grace")
    assert first.code == 0, first.err
    assert first.out.startswith("pending")
    assert "needs 2 of finance" in first.out
    shown = remit("approvals", "show", held.value.approval).out
    assert "approved by" in shown
    assert remit("approvals", "approve", held.value.approval, "--as", "linus").code == 0
    assert pay(shop) == "paid 900"


def test_a_closed_one_says_by_whom_and_why(history, remit):
    remit("approvals", "reject", history, "--as", "grace", "--reason", "not now")
    shown = remit("approvals", "show", history).out
    assert "rejected   grace, " in shown
    assert "not now" in shown
    assert history in remit("approvals", "list", "--all").out
