"""An inventory application as they are found in warehouses: Flask, SQLite, two shared keys.

It knows nothing of agents, approvals or budgets. Whoever has the clerk's key may do everything.

    INVENTORY_READ_KEY=... INVENTORY_CLERK_KEY=... python inventory_app.py [PORT] [DATABASE]
"""

from __future__ import annotations

import csv
import io
import os
import sqlite3
import sys

from flask import Flask, Response, abort, g, jsonify, redirect, request
from werkzeug.serving import make_server

app = Flask(__name__)
app.config["DATABASE"] = "inventory.db"

SCHEMA = """
CREATE TABLE IF NOT EXISTS products (
    id INTEGER PRIMARY KEY, name TEXT, stock INTEGER, price REAL);
CREATE TABLE IF NOT EXISTS customers (
    id INTEGER PRIMARY KEY, name TEXT, email TEXT, phone TEXT, city TEXT);
CREATE TABLE IF NOT EXISTS purchase_orders (
    id INTEGER PRIMARY KEY AUTOINCREMENT, product INTEGER, quantity INTEGER, supplier TEXT,
    note TEXT);
CREATE TABLE IF NOT EXISTS requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, method TEXT, path TEXT, caller TEXT);
"""
PRODUCTS = [(1, "Pallet", 120, 14.5), (2, "Hand truck", 7, 89.0), (3, "Shelf label", 9000, 0.02)]
CUSTOMERS = [
    (1, "Ada Byron", "ada@customer.example", "+44 20 7946 0991", "London"),
    (2, "Grace Murray", "grace@customer.example", "+1 202 555 0143", "Arlington"),
]


def database():
    if "database" not in g:
        g.database = sqlite3.connect(app.config["DATABASE"], timeout=10)
        g.database.row_factory = sqlite3.Row
    return g.database


def rows(sql, *values):
    return [dict(row) for row in database().execute(sql, values)]


@app.teardown_appcontext
def close_database(_error):
    found = g.pop("database", None)
    if found is not None:
        found.close()


@app.before_request
def who_calls():
    """Reads need any of the two keys, the rest the clerk's. That is all the security there is."""
    key = request.headers.get("X-Inventory-Key", "")
    caller = {
        os.environ.get("INVENTORY_READ_KEY"): "reader",
        os.environ.get("INVENTORY_CLERK_KEY"): "clerk",
    }.get(key)
    database().execute(
        "INSERT INTO requests (method, path, caller) VALUES (?, ?, ?)",
        (request.method, request.full_path, caller),
    )
    database().commit()
    if caller is None or (caller == "reader" and request.method not in ("GET", "HEAD")):
        abort(401, f"The key {key!r} may not do that.")


@app.get("/products")
def products():
    name = request.args.get("name", "")
    return jsonify(rows("SELECT * FROM products WHERE name LIKE ?", f"%{name}%"))


@app.get("/products/<int:number>")
def product(number):
    found = rows("SELECT * FROM products WHERE id = ?", number)
    return jsonify(found[0]) if found else (jsonify(error="no such product"), 404)


@app.post("/products/<int:number>/remove")
def remove_product(number):
    database().execute("DELETE FROM products WHERE id = ?", (number,))
    database().commit()
    return redirect("/products")


@app.get("/customers/export")
def export_customers():
    found = rows("SELECT * FROM customers")
    if request.args.get("format") != "csv":
        return jsonify(customers=found, count=len(found))
    lines = io.StringIO()
    writer = csv.DictWriter(lines, ["id", "name", "email", "phone", "city"])
    writer.writeheader()
    writer.writerows(found)
    return Response(lines.getvalue(), mimetype="text/csv")


@app.get("/purchase-orders")
def purchase_orders():
    return jsonify(rows("SELECT * FROM purchase_orders ORDER BY id"))


@app.post("/purchase-orders")
def order():
    sent = request.get_json(silent=True) or request.form
    found = rows("SELECT * FROM products WHERE id = ?", sent.get("product"))
    if not found:
        return jsonify(error="no such product"), 422
    cursor = database().execute(
        "INSERT INTO purchase_orders (product, quantity, supplier, note) VALUES (?, ?, ?, ?)",
        (sent["product"], sent["quantity"], sent.get("supplier"), sent.get("note")),
    )
    database().commit()
    total = found[0]["price"] * int(sent["quantity"])
    answer = jsonify(id=cursor.lastrowid, total=round(total, 2))
    return answer, 201, {"Location": f"/purchase-orders/{cursor.lastrowid}"}


def main():
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    if len(sys.argv) > 2:
        app.config["DATABASE"] = sys.argv[2]
    with sqlite3.connect(app.config["DATABASE"]) as opened:
        opened.executescript(SCHEMA)
        opened.executemany("INSERT OR IGNORE INTO products VALUES (?, ?, ?, ?)", PRODUCTS)
        opened.executemany("INSERT OR IGNORE INTO customers VALUES (?, ?, ?, ?, ?)", CUSTOMERS)
    server = make_server("127.0.0.1", port, app, threaded=True)
    print(f"listening on http://127.0.0.1:{server.port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
