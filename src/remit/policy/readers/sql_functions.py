"""Which SQL functions only compute, and which run code or reach outside the database.

A function that is not known to be harmless makes a statement count as not read-only: anybody with
the right to create functions may have put anything behind its name.
"""

from __future__ import annotations

from sqlglot import exp

# Built-in functions that sqlglot has no class for, by database, that only compute or look.
_HARMLESS = frozenset(
    """
    abs acos age any_value array_agg array_append array_cat array_length array_lower array_ndims
    array_position array_positions array_prepend array_remove array_replace array_to_json
    array_to_string array_upper ascii asin atan atan2 avg bin bit_and bit_length bit_or bool_and
    bool_or btrim cardinality cast ceil ceiling char char_length character_length charindex chr
    choose clock_timestamp coalesce col_description concat concat_ws conv convert cos cot count
    crc32 cume_dist curdate current_database current_date current_schema current_schemas
    current_setting current_time current_timestamp current_user curtime database date date_add
    date_bin date_format date_part date_sub date_trunc dateadd datediff datefromparts datename
    datepart datetime day dayname dayofmonth dayofweek dayofyear db_name decode degrees dense_rank
    difference div elt encode enum_range eomonth every exp extract field find_in_set first_value
    floor format format_type from_unixtime gcd generate_series generate_subscripts get_format
    getdate getutcdate glob greatest group_concat grouping hex host hour iif ifnull inet_aton
    inet_ntoa initcap insert instr interval isfinite isnull json json_agg json_array
    json_array_elements json_array_elements_text json_array_length json_build_array
    json_build_object json_contains json_each json_each_text json_extract json_extract_path
    json_extract_path_text json_group_array json_group_object json_keys json_length json_object
    json_object_agg json_object_keys json_populate_record json_query json_quote json_search
    json_strip_nulls json_to_record json_to_recordset json_tree json_type json_typeof
    json_unquote json_valid json_value jsonb_agg jsonb_array_elements jsonb_array_elements_text
    jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
    jsonb_extract_path jsonb_extract_path_text jsonb_object_agg jsonb_object_keys
    jsonb_path_query jsonb_pretty jsonb_set jsonb_strip_nulls jsonb_to_record jsonb_to_recordset
    jsonb_typeof julianday justify_days lag last_day last_insert_rowid last_value lcase lcm lead
    least left len length likelihood ln localtime localtimestamp locate log log10 log2 lower lpad
    ltrim make_date make_interval make_time make_timestamp make_timestamptz makedate max md5 mid
    min minute mod month monthname name newid now nth_value ntile nullif num_nonnulls num_nulls
    obj_description object_id object_name oct octet_length ord overlay parsename patindex
    percent_rank percentile_cont percentile_disc period_add period_diff
    pg_database_size pg_get_constraintdef pg_get_functiondef pg_get_indexdef pg_get_viewdef
    pg_indexes_size pg_relation_size pg_size_pretty pg_table_size pg_total_relation_size
    pg_typeof pi plainto_tsquery position pow power printf quarter quote quote_ident
    quote_literal quote_nullable quotename radians rand random range_agg rank regexp_count
    regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
    regexp_split_to_table regexp_substr repeat replace replicate reverse right round row
    row_number row_to_json rpad rtrim scale schema second sec_to_time session_user sha1 sha2
    sha224 sha256 sha384 sha512 sign similarity sin soundex space split_part sqlite_version sqrt
    starts_with statement_timestamp stddev stddev_pop stddev_samp str str_to_date strcmp strftime
    string_agg string_split string_to_array string_to_table strpos stuff subdate substr substring
    substring_index subtime sum suser_name switchoffset sysdate sysdatetime sysutcdatetime tan
    time time_format time_to_sec timediff timeofday timestamp timestampadd timestampdiff to_ascii
    to_char to_date to_days to_hex to_json to_jsonb to_number to_regclass to_timestamp
    to_tsquery to_tsvector total total_changes transaction_timestamp translate trim trim_array
    trunc truncate try_cast try_convert ts_headline ts_rank typeof ucase unhex unicode unistr
    unixepoch unix_timestamp unnest upper user utc_date utc_time utc_timestamp uuid
    var_pop var_samp variance version websearch_to_tsquery week weekday weekofyear width_bucket
    word_similarity xmlagg year yearweek zeroblob
    """.split()  # noqa: SIM905 (a table to be read)
)

# sqlglot has classes for these, but they read files, call models, run scripts or count up.
_REACHING = frozenset(
    {
        "Apply", "FeaturesAtTime", "GenerateBool", "GenerateDouble", "GenerateEmbedding",
        "GenerateInt", "GenerateTable", "GenerateText", "MLForecast", "MLTranslate", "NetFunc",
        "NextValueFor", "Predict", "ReadCSV", "ReadParquet", "Secret", "ToFile", "Transform",
        "VectorSearch", "XMLTable",
    }
)  # fmt: skip

# Functions that take statements or commands as text, load code, or reach other programs.
_RUNS_CODE = frozenset(
    """
    cursor_to_xml dblink dblink_connect dblink_exec dblink_open dblink_send_query exec execute
    execute_immediate fts3_tokenizer lo_export lo_import lo_unlink load_extension load_file
    openquery openrowset opendatasource pg_file_write pg_file_unlink pg_file_rename
    pg_cancel_backend pg_create_restore_point pg_logical_emit_message pg_ls_dir
    pg_read_binary_file pg_read_file pg_reload_conf pg_rotate_logfile pg_switch_wal
    pg_terminate_backend pg_write_server_file query_to_xml query_to_xml_and_xmlschema
    query_to_xmlschema shell sp_configure sp_execute_external_script sp_executesql
    sp_oacreate sp_oamethod sys_eval sys_exec system ts_stat writefile edit xp_cmdshell
    xp_dirtree xp_regread xp_regwrite xslprocessor database_to_xml schema_to_xml table_to_xml
    """.split()  # noqa: SIM905 (a table to be read)
)

_SYSTEM_SCHEMAS = ("pg_catalog.", "information_schema.", "sys.")
_TYPED: frozenset[str] = frozenset(name.lower() for name in exp.FUNCTION_BY_NAME)


def is_harmless(name: str, node: exp.Func) -> bool:
    """Return whether a function is known to do nothing but compute.

    Args:
        name: lower-cased, with its schema if it was written with one.
        node: the call; a class of its own means that sqlglot knows the function.
    """
    for schema in _SYSTEM_SCHEMAS:
        name = name.removeprefix(schema)
    if isinstance(node, exp.Anonymous | exp.AnonymousAggFunc):
        typed = name in _TYPED and exp.FUNCTION_BY_NAME[name.upper()].__name__ not in _REACHING
        return name in _HARMLESS or typed
    kind = type(node).__name__
    return "." not in name and kind not in _REACHING and not kind.startswith("AI")


def runs_code(name: str) -> bool:
    """Return whether a function is known to run code, or commands, that it gets as text."""
    return name.rpartition(".")[2] in _RUNS_CODE
