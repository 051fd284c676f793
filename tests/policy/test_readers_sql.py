# ruff: noqa: E501 (tables of cases)
import logging

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlglot import exp

from remit.policy.readers import UnreadableValue
from remit.policy.readers.sql import read
from remit.policy.readers.sql_tree import inspect

DESTRUCTIVE = [
    ("", "drop table t"),
    ("", "DROP TABLE IF EXISTS t CASCADE"),
    ("", "dRoP\n\ttable\n t"),
    ("", "drop/* x */table t"),
    ("", "-- harmless\ndrop table t"),
    ("", "drop table a, b"),
    ("", "drop view v; select 1"),
    ("", "drop index i"),
    ("", "drop schema s cascade"),
    ("", "drop database d"),
    ("", "select 1; drop table t"),
    ("", "select 1;;; drop table t;"),
    ("", "select ';'; drop table t"),
    ("", "select 'it''s'; drop table t; -- '"),
    ("", "truncate t"),
    ("", "truncate table a, b"),
    ("", "alter table t drop column x"),
    ("", "alter table t rename to u"),
    ("", "delete from t"),
    ("", "delete from t where true"),
    ("", "delete from t where 1 = 1"),
    ("", "delete from t where (('a' = 'a'))"),
    ("", "delete from t where id = id"),
    ("", "delete from t where id = 3 or true"),
    ("", "delete from t where (id = 3 or 1=1) and 2=2 or (1<2)"),
    ("", "delete from t where name like '%'"),
    ("", "delete from t where not false"),
    ("", "delete from t where id >= id and 1=1"),
    ("", "update t set a = 1"),
    ("", "update t set a = 1 where 1"),
    ("", "with x as (delete from t returning *) select * from x"),
    ("", "with x as (update t set a = 1 returning *) select * from x"),
    ("", "explain analyze delete from t"),
    ("", "explain delete from t"),
    ("", "explain (analyze, buffers) delete from t"),
    ("", "explain query plan delete from t"),
    ("mysql", "describe delete from t"),
    ("", "merge into t using s on t.id = s.id when matched then delete"),
    ("", "copy t to program 'rm -rf /'"),
    ("postgres", "copy t from program 'curl x'"),
    ("", "insert overwrite table t select 1"),
    ("sqlite", "insert or replace into t values (1)"),
    ("", "create or replace table t as select 1"),
    ("", "call p(1)"),
    ("", "call drop_all()"),
    ("", "select dblink_exec('c', 'drop table t')"),
    ("", "select pg_catalog.pg_read_file('/etc/passwd')"),
    ("", "select load_extension('x')"),
    ("", "select query_to_xml('drop table t', true, true, '')"),
    ("", "select pg_terminate_backend(1)"),
    ("", "select * from dblink('c', 'drop table t') as x(a int)"),
    ("tsql", "drop table [a b]"),
    ("mysql", "drop table `t`"),
    ("mysql", "select 1 # comment\n; drop table t"),
    ("postgres", "select $$it's$$; drop table t; select $$'$$"),
    ("postgres", "select 'a' where '{}'::jsonb #> '{a}' is null; drop table t"),
    ("mysql", "delete a from a join b on a.x = b.x"),
    ("mysql", "update a join b on a.x = b.x set b.y = 1"),
    ("hive", "select transform(a) using 'rm -rf /' from t"),
    ("tsql", "select 1; ; drop table t"),
    ("mariadb", "drop table t"),
    ("PostgreSQL", "drop table t"),
]


@pytest.mark.parametrize(("dialect", "sql"), DESTRUCTIVE)
def test_destructive_statements_are_found(dialect, sql):
    reading = read(sql, dialect)
    assert reading.destructive
    assert not reading.read_only


UNREADABLE = [
    ("", ""),
    ("", " ;; "),
    ("", "-- only a comment"),
    ("", "frobnicate the table"),
    ("", "foo bar"),
    ("", "else"),
    ("", "selec * from t"),
    ("", "1"),
    ("", "vacuum"),
    ("", "execute foo"),
    ("", "prepare x as delete from t"),
    ("postgres", "do $$ begin delete from t; end $$"),
    ("", "select 1 /*! ; drop table t */"),
    ("mysql", "select 1 /*!50000 ; drop table t */"),
    ("mysql", "select 1 /*M! ; drop table t */"),
    ("", "select 1 /* a /* b */ ; drop table t; -- */"),
    ("", "select 1 /* never closed"),
    ("", "select 'never closed"),
    ("", "select 'a\\' ; drop table t; --'"),
    ("", "select 'a\\'' ; drop table t; -- '"),
    ("", 'select "a\\" ; drop table t; -- "'),
    ("postgres", "select e'a\\'; drop table t; --'"),
    ("", "select q'[ ' ; drop table t; -- ]'"),
    ("", "select nq'[ ' ]'"),
    ("", 'select * from U&"\\0073ecrets"'),
    ("", "select 1 --1 ; drop table t"),
    ("mysql", "select 1 --1 ; drop table t"),
    ("", "select 1 # x\n; drop table t"),
    ("", "select `a` from t"),
    ("postgres", "select `a` from t"),
    ("", "select $$a$$"),
    ("mysql", "select $$a$$"),
    ("postgres", "select a$$b$$"),
    ("postgres", "select $x$ never closed"),
    ("", "select * from [a'b] ; drop table t -- ']"),
    ("sqlite", "select * from [a--b] ; drop table t"),
    ("tsql", "select * from [never closed"),
    ("", "select 1\x00; drop table t"),
    ("", "select 1 -- \r drop table t"),
    ("", "select 1\x0b"),
    ("", "select\u00a01"),
    ("", "select\u30001"),
    ("", "sel\u200bect 1"),
    ("", "select 1 \\g drop"),
    ("", "\\! rm -rf /"),
    ("", "select 1 shutdown"),
    ("", "select * from t delete"),
    ("", "delete from only t where x = 1"),
    ("", "select * from :t"),
    ("snowflake", "select * from identifier('t')"),
    ("", "pragma x(select 1)"),
    ("", "explain"),
    ("", "explain vacuum"),
    ("", "explain /* */ analyze delete from t"),
    ("", "explain select 1 drop table t"),
    ("", "call p"),
    ("", "show tables where (select 1)"),
    ("", "lock table t"),
    ("postgres", "alter table t enable row level security"),
    ("postgres", "create role x"),
    ("nodialect", "select 1"),
    ("", "ＤＲＯＰ TABLE t"),
    ("", "select '＇ ; drop table t; --'"),
    ("", "select " + "(" * 5000 + "1" + ")" * 5000),
    ("", "select " + "not " * 5000 + "1"),
    ("", "begin drop table t"),
    ("tsql", "begin drop table t end"),
    ("tsql", "select 1 drop table t"),
    ("", "insert into t values (1) delete from u"),
    ("", "copy (delete from t returning *) to stdout"),
    ("mysql", "select * from t into outfile '/x'"),
    ("tsql", "exec xp_cmdshell 'dir'"),
    ("tsql", "exec('drop table t')"),
]


@pytest.mark.parametrize(("dialect", "sql"), UNREADABLE)
def test_what_may_mean_something_else_is_unreadable(dialect, sql):
    with pytest.raises(UnreadableValue, match=r"sql\(\)"):
        read(sql, dialect)


@pytest.mark.parametrize(
    "value", [None, 1, ["select 1"], b"select 1", "select 1 -- " + "x" * 70_000]
)
def test_only_text_of_bearable_length_is_read(value):
    with pytest.raises(UnreadableValue):
        read(value)


# (dialect, statement, kinds, reads, writes)
READ_ONLY = [
    ("", "select 1", "select", "", ""),
    ("", "select * from stock", "select", "stock", ""),
    ("", "SELECT id, name FROM public.Users WHERE id = 3;", "select", "public.users", ""),
    (
        "",
        "select count(*) from orders where created_at > now() - interval '1 day'",
        "select",
        "orders",
        "",
    ),
    ("", "select a.x, b.y from a join b on a.id = b.id left join c on true", "select", "a b c", ""),
    (
        "",
        "select x from t union all select y from u order by 1 limit 5 offset 2",
        "select",
        "t u",
        "",
    ),
    ("", "select * from (select * from t) s where s.x in (select y from u)", "select", "t u", ""),
    (
        "",
        "with a as (select * from t), b as (select * from a) select * from b join c on true",
        "select",
        "t c",
        "",
    ),
    (
        "",
        "with recursive r as (select 1 as n union all select n + 1 from r where n < 5) select * from r",
        "select",
        "",
        "",
    ),
    ("", "with t as (select * from t) select * from t", "select", "t", ""),
    ("", "select * from (with s as (select 1) select * from s) a, s", "select", "s", ""),
    ("", 'with "S" as (select 1) select * from s', "select", "s", ""),
    ("", "with s as (select 1) select * from s, public.s", "select", "public.s", ""),
    ("", "with a as (select * from b), b as (select 1) select * from a, b", "select", "b", ""),
    ("", "select sum(x) over (partition by y order by z) from t", "select", "t", ""),
    (
        "",
        "select case when x > 1 then 'a' else 'b' end, coalesce(a, b), cast(x as int) from t",
        "select",
        "t",
        "",
    ),
    (
        "",
        "select distinct region, avg(amount) from sales group by region having avg(amount) > 3",
        "select",
        "sales",
        "",
    ),
    (
        "",
        "select * from t where name like '%x%' and (a is null or b between 1 and 2)",
        "select",
        "t",
        "",
    ),
    ("", "select * from t where exists (select 1 from u where u.id = t.id)", "select", "t u", ""),
    ("", "select * from generate_series(1, 10) g", "select", "", ""),
    ("", "select 'drop table t; delete from u' as note from t", "select", "t", ""),
    ("", 'select "drop" from t', "select", "t", ""),
    ("", "select 1 -- drop table t", "select", "", ""),
    ("", "select 1 /* drop table t */", "select", "", ""),
    ("", 'select updated_at, deleted, "update" from t', "select", "t", ""),
    ("", "select x from a.b.c", "select", "a.b.c", ""),
    ("", "values (1), (2)", "select", "", ""),
    ("", "(select 1)", "select", "", ""),
    ("", "select 1; select 2 from t", "select", "t", ""),
    ("", "select * from t where id = ? and name = :name", "select", "t", ""),
    ("postgres", "select * from t where id = $1", "select", "t", ""),
    (
        "postgres",
        "select data->>'a', data #>> '{b,c}' from t where tags @> array['x']",
        "select",
        "t",
        "",
    ),
    (
        "postgres",
        "select * from t where x = any(array['a', 'b']) and d::date = current_date",
        "select",
        "t",
        "",
    ),
    (
        "postgres",
        "select date_trunc('month', d), string_agg(n, ', ') from t group by 1",
        "select",
        "t",
        "",
    ),
    ("postgres", "select $$it's$$, $x$ $$ $x$", "select", "", ""),
    ("postgres", "select * from t--comment without a blank", "select", "t", ""),
    (
        "postgres",
        "select table_name from information_schema.tables",
        "select",
        "information_schema.tables",
        "",
    ),
    ("postgres", "select pg_size_pretty(pg_total_relation_size('t'))", "select", "", ""),
    ("postgres", "explain (analyze, buffers) select * from t", "other select", "t", ""),
    ("postgres", "select * from (a join b on true)", "select", "a b", ""),
    ("postgres", "table t", "select", "t", ""),
    ("mysql", "select `a b` from `my-db`.`t` limit 3", "select", "my-db.t", ""),
    ("mysql", "select date_format(d, '%Y-%m'), ifnull(x, 0) from t # a comment", "select", "t", ""),
    ("mysql", "show tables", "other", "", ""),
    ("mysql", "show create table t", "other", "", ""),
    ("mysql", "describe t", "other", "t", ""),
    ("mysql", "desc `t`", "other", "t", ""),
    ("mysql", "explain select * from t", "other select", "t", ""),
    ("sqlite", "pragma table_info(t)", "other", "", ""),
    ("sqlite", "pragma main.table_info('t')", "other", "", ""),
    ("sqlite", "explain query plan select * from t", "other select", "t", ""),
    ("sqlite", "select strftime('%Y', d), [a b] from [t]", "select", "t", ""),
    (
        "tsql",
        "select top 5 [name] from [dbo].[users] where len(name) > 3",
        "select",
        "dbo.users",
        "",
    ),
    ("bigquery", "select countif(x) from `p.d.t`", "select", "p.d.t", ""),
    (
        "snowflake",
        "select * from a.b.c qualify row_number() over (order by x) = 1",
        "select",
        "a.b.c",
        "",
    ),
    ("duckdb", "select * from t where x = 1", "select", "t", ""),
    (
        "",
        "select upper(name), length(x), round(y, 2), md5(z), substr(a, 1, 2) from t",
        "select",
        "t",
        "",
    ),
    ("", "select name from 顧客", "select", "顧客", ""),
    ("", "select '；（注）' from t", "select", "t", ""),
    ("", "select 'a\\b', 'c\\\\' from t", "select", "t", ""),
    ("", "select price * 1.2, -x, a || b, not c from t", "select", "t", ""),
    ("", 'select 1 as "shutdown"', "select", "", ""),
]


@pytest.mark.parametrize(("dialect", "sql", "kinds", "reads", "writes"), READ_ONLY)
def test_ordinary_queries_are_read_only(dialect, sql, kinds, reads, writes):
    reading = read(sql, dialect)
    assert reading.read_only
    assert not reading.destructive
    assert " ".join(reading.kinds) == kinds
    assert set(reading.reads) == set(reads.split())
    assert set(reading.writes) == set(writes.split())


CHANGING = [
    ("", "insert into t (a, b) values (1, 'x')", "insert", "", "t"),
    ("", "insert into public.T select * from Sales.Orders", "insert", "sales.orders", "public.t"),
    ("", "insert into t values (1), (2) returning id", "insert", "", "t"),
    (
        "postgres",
        "insert into t (a) values (1) on conflict (a) do update set b = 2",
        "insert",
        "",
        "t",
    ),
    ("mysql", "insert into t values (1) on duplicate key update x = 1", "insert", "", "t"),
    ("", "update t set a = 1 where id = 3", "update", "", "t"),
    ("", "update t set a = a + 1 where id in (select id from s)", "update", "s", "t"),
    ("postgres", "update t set a = s.a from s where t.id = s.id", "update", "s", "t"),
    ("", "delete from t where id = 3", "delete", "", "t"),
    ("", "delete from t using u where t.id = u.id", "delete", "u", "t"),
    ("", "delete from t where name like 'a%' and exists (select 1)", "delete", "", "t"),
    ("mysql", "delete a from a join b on a.x = b.x where b.y = 1", "delete", "b", "a b"),
    ("mysql", "update a join b on a.x = b.x set b.y = 1 where a.z = 1", "update", "b", "a b"),
    (
        "",
        "with x as (delete from t where a = 1 returning *) select * from x",
        "select delete",
        "",
        "t",
    ),
    (
        "",
        "with x as (insert into t values (1) returning *) select * from x",
        "select insert",
        "",
        "t",
    ),
    ("", "create table t (a int primary key, b text references u (id))", "create", "u", "t"),
    ("", "create table a as select * from b", "create", "b", "a"),
    ("", "create view v as select * from t", "create", "t", "v"),
    ("", "create or replace view v as select * from t", "create", "t", "v"),
    ("", "create index i on t (x)", "create", "", "t"),
    (
        "postgres",
        "create or replace function f() returns int as $$ select 1 $$ language sql",
        "create",
        "",
        "f",
    ),
    ("", "select * into x from t", "select create", "t", "x"),
    ("", "select * from t for update", "select", "t", ""),
    ("", "select nextval('s')", "select", "", ""),
    ("", "select my_function(1) from t", "select", "t", ""),
    ("", "select evil.lower(x) from t", "select", "t", ""),
    ("", "select pg_sleep(10)", "select", "", ""),
    ("duckdb", "select * from read_csv('x')", "select", "", ""),
    (
        "",
        "merge into t using s on t.a = s.b when matched then update set x = 1 when not matched then insert (a) values (1)",
        "other update insert",
        "s",
        "t",
    ),
    ("", "grant select on t to ada", "grant", "", "t"),
    ("", "revoke all on t from ada", "grant", "", "t"),
    ("postgres", "copy t from '/tmp/x'", "copy", "", "t"),
    ("postgres", "copy t to '/tmp/x'", "copy", "t", ""),
    ("", "comment on table t is 'x'", "alter", "", "t"),
    ("", "analyze t", "other", "", "t"),
    ("", "set x = 1", "other", "", ""),
    ("sqlite", "attach 'x' as y", "other", "", ""),
    ("sqlite", "pragma user_version = 5", "other", "", ""),
    ("sqlite", "pragma writable_schema", "other", "", ""),
    ("", "begin", "other", "", ""),
    ("", "begin; update t set a = 1 where id = 2; commit", "other update", "", "t"),
    ("", "rollback to savepoint x", "other", "", ""),
    ("", "savepoint x", "other", "", ""),
    ("oracle", "select * from table(f(1))", "select", "", ""),
    ("postgres", "select * from rows from (f(1))", "select", "", ""),
    ("clickhouse", "insert into function f('x') values (1)", "insert", "", ""),
]


@pytest.mark.parametrize(("dialect", "sql", "kinds", "reads", "writes"), CHANGING)
def test_changes_are_not_read_only(dialect, sql, kinds, reads, writes):
    reading = read(sql, dialect)
    assert not reading.read_only
    assert not reading.destructive
    assert " ".join(reading.kinds) == kinds
    assert set(reading.reads) == set(reads.split())
    assert set(reading.writes) == set(writes.split())


def test_statements_and_functions_are_counted():
    reading = read("select Lower(a), foo(b), s.Bar(c), lower(d) from t; select now();")
    assert reading.statements == 2
    assert set(reading.functions) == {"lower", "foo", "s.bar", "now"}
    assert read("select pg_catalog.lower(x), sys.upper(y)").read_only


def test_probe_p16_sql_parser_not_installed():
    # The table loads the parser when a policy first uses the reader, and says so if it cannot.
    from remit.policy.functions import READERS, Reader

    assert READERS["sql"].load() is read
    with pytest.raises(ImportError):
        Reader(name="missing").load()


def test_probe_p17_second_statement():
    reading = read("SELECT 1; DROP TABLE t")
    assert reading.statements == 2
    assert reading.kinds == ("select", "drop")
    assert reading.destructive


def test_raw_text_within_a_tree_is_unreadable():
    tree = exp.Subquery(this=exp.Command(this="VACUUM"))
    with pytest.raises(UnreadableValue):
        inspect(tree, set())


def test_full_width_spellings_take_the_stricter_reading():
    reading = read("select ｆｏｏ from ｔａｂ")
    assert reading.reads == ("ｔａｂ", "tab")
    assert reading.read_only


def test_the_parser_never_writes_to_the_log(caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(UnreadableValue):
        read("create role x; rename table a to b", "mysql")
    assert caplog.records == []


HARMLESS = st.sampled_from(
    [
        "select 1",
        "select * from a where x = 'y'",
        "insert into a values (1)",
        "update a set b = 1 where c = 2",
    ]
)
HARM = st.sampled_from(["delete from t", "update t set a = 1", "delete from t where 1 = 1"])


@settings(max_examples=200, deadline=None)
@given(
    st.lists(HARMLESS, max_size=3),
    HARM | st.sampled_from(["drop table t", "truncate table t", "alter table t drop column a"]),
    st.lists(HARMLESS, max_size=3),
    st.sampled_from(["; ", ";\n", " ;-- note\n", "; /* note */ "]),
)
def test_a_destructive_statement_among_others_is_found(before, harm, after, separator):
    reading = read(separator.join([*before, harm, *after]))
    assert reading.destructive
    assert not reading.read_only
    assert "t" in reading.writes


@settings(max_examples=200, deadline=None)
@given(
    HARM,
    st.lists(
        st.sampled_from(
            [
                "with x as ({} returning *) select * from x",
                "with a as (select 1), x as ({} returning *) select * from a",
                "with x as ({} returning *) insert into u select * from x",
                "with x as ({} returning *) update u set a = 1 where id in (select id from x)",
                "explain analyze {}",
                "explain (verbose) {}",
            ]
        ),
        min_size=1,
        max_size=1,
    ),
)
def test_a_destructive_statement_within_another_is_found(harm, wrappers):
    sql = harm
    for wrapper in wrappers:
        sql = wrapper.format(sql)
    reading = read(sql, "postgres")
    assert reading.destructive
    assert "t" in reading.writes


@settings(max_examples=400, deadline=3000)
@given(
    st.text(max_size=80)
    | st.text("selctdropfmwhtabup ;'\"-/*()#`$[]\\=,1", max_size=60)
    | st.lists(
        st.sampled_from(
            [
                "select",
                "from",
                "drop",
                "table",
                "delete",
                "where",
                "t",
                "a",
                "(",
                ")",
                ",",
                ";",
                "*",
                "=",
                "1",
                "'x'",
                "with",
                "as",
                "update",
                "set",
                "insert",
                "into",
                "values",
                "union",
                "join",
                "on",
                "case",
                "when",
                "then",
                "end",
                "not",
                "and",
                "or",
                "exists",
                "in",
                "explain",
                "analyze",
            ]
        ),
        max_size=25,
    ).map(" ".join),
    st.sampled_from(["", "postgres", "mysql", "sqlite", "tsql"]),
)
def test_any_text_is_read_or_unreadable(sql, dialect):
    try:
        reading = read(sql, dialect)
    except UnreadableValue:
        return
    assert reading.statements > 0
    assert not (reading.read_only and reading.destructive)
