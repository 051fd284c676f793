"""``remit legacy tools``: an OpenAPI document as tools of a policy."""

from pathlib import Path

from remit.policy import load

EXAMPLE = Path(__file__).parents[2] / "examples" / "legacy" / "inventory.yaml"
WRITTEN = """tools:
  - match: [inventory.listProducts]  # GET /products
    does: read
    arguments: {name: string?}
  - match: [inventory.showProduct]  # GET /products/{id}
    does: read
    arguments: {id: int}
  - match: [inventory.removeProduct]  # POST /products/{id}/remove
    does: delete
    arguments: {id: int}
  - match: [inventory.exportCustomers]  # GET /customers/export
    does: read
    arguments: {format: string?}
  - match: [inventory.listPurchaseOrders]  # GET /purchase-orders
    does: read
  - match: [inventory.createPurchaseOrder]  # POST /purchase-orders
    does: pay
    arguments: {product: int, quantity: int, supplier: string?, note: string?}
"""


def test_a_document_becomes_tools_that_load(shop, remit):
    printed = remit("legacy", "tools", str(EXAMPLE), "--name", "inventory")
    assert printed.code == 0
    assert printed.out == WRITTEN
    rest = "agents:\n  bot: {}\nrules:\n  - {id: all, tools: ['inventory.*'], effect: allow}\n"
    policies = load({"remit.yaml": f"remit: 1\ndefault: deny\n{printed.out}{rest}"})
    assert len(policies.tools) == 6
    listed = remit("legacy", "tools", str(EXAMPLE), "--name", "inventory", "--json").json
    assert listed[-1]["arguments"]["note"] == "string?"


def test_names_that_yaml_would_misread_are_quoted(shop, remit):
    (shop / "api.json").write_text(
        '{"openapi": "3.1.0", "paths": {"/a": {"get": {"operationId": "a", "parameters": '
        '[{"name": "x: y", "in": "query"}, {"name": "2", "in": "query"}]}}}}'
    )
    printed = remit("legacy", "tools", "api.json", "--name", "up")
    assert 'arguments: {"x: y": string?, "2": string?}' in printed.out


def test_arguments_of_several_types_are_left_to_the_document(shop, remit):
    (shop / "api.json").write_text(
        '{"openapi": "3.1.0", "paths": {"/a": {"get": {"operationId": "a", "parameters": '
        '[{"name": "x", "in": "query"}, {"name": "y", "in": "query", "schema": {}}, '
        '{"name": "z", "in": "query", "schema": true}]}}}}'
    )
    printed = remit("legacy", "tools", "api.json", "--name", "up")
    assert printed.out == "tools:\n  - match: [up.a]  # GET /a\n    does: read\n"


def test_what_is_no_document_is_said(shop, remit):
    (shop / "api.yaml").write_text("a: 2020-01-01\n")
    refused = remit("legacy", "tools", "api.yaml", "--name", "up")
    assert refused.code == 2
    assert "no OpenAPI document" in refused.err
