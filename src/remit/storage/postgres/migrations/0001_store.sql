-- What a store is made of. Text sorts by its bytes, as everywhere in Remit.
-- `version` is the generation of the commit that wrote a row last: nodes check with it whether
-- what they remember still holds.
CREATE TABLE head (
    one int PRIMARY KEY CHECK (one = 1),
    generation bigint NOT NULL,  -- counts commits
    stopped bigint NOT NULL,     -- the generation that changed the stops last
    size bigint NOT NULL,        -- records in the log
    at bigint NOT NULL,          -- time of the newest, nanoseconds since the epoch
    edge bytea NOT NULL          -- hashes of the perfect subtrees that make up the tree
) WITH (fillfactor = 10);
INSERT INTO head VALUES (1, 0, 0, 0, 0, '');
-- The last commit of each node, so that one whose answer was lost can be asked for. The ids of
-- transactions would not do: after a crash they are given again.
CREATE TABLE marks (
    node text COLLATE "C" PRIMARY KEY,
    mark bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10);
CREATE TABLE records (
    position bigint NOT NULL,
    at bigint NOT NULL,
    tree bytea NOT NULL,         -- the Merkle hashes this record added, 32 bytes each, lowest first
    body bytea NOT NULL,         -- the exact bytes whose hash is the leaf
    salt bytea,                  -- erasable, as is the next: what the body commits to but does not
    canonical bytea,             -- contain
    PRIMARY KEY (position, at)
) PARTITION BY RANGE (at);
-- Months get partitions of their own before they begin; what has none goes here.
CREATE TABLE records_other PARTITION OF records DEFAULT;
CREATE TABLE sessions (
    id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    body bytea NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE actions (
    id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    session text COLLATE "C" NOT NULL,
    lease_until bigint NOT NULL,
    open boolean NOT NULL,
    body bytea NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX open_actions ON actions (session, lease_until) WHERE open;
CREATE TABLE arrivals (
    key text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    at bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE cells (
    key text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    budget text COLLATE "C" NOT NULL,
    ends bigint NOT NULL,
    body bytea NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX cells_by_budget ON cells (budget, key);
CREATE INDEX cells_by_end ON cells (ends);
CREATE TABLE memories (
    key text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    body bytea NOT NULL
);
CREATE TABLE replies (           -- kept for a while only
    key text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    at bigint NOT NULL,
    digest bytea NOT NULL,
    body bytea NOT NULL
);
CREATE INDEX replies_by_number ON replies (number);
CREATE TABLE approvals (
    id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    digest text COLLATE "C" NOT NULL,
    state text COLLATE "C" NOT NULL,
    created_at bigint NOT NULL,
    body bytea NOT NULL
);
CREATE INDEX approvals_by_digest ON approvals (digest, created_at, number);
CREATE INDEX approvals_by_state ON approvals (state, created_at, number);
CREATE TABLE credentials (
    id text COLLATE "C" PRIMARY KEY,
    number bigint GENERATED ALWAYS AS IDENTITY,
    body bytea NOT NULL
);
CREATE TABLE stops (
    id text COLLATE "C" PRIMARY KEY,
    body bytea NOT NULL
);
CREATE TABLE deliveries (
    id text COLLATE "C" PRIMARY KEY,
    next_at bigint NOT NULL,
    body bytea NOT NULL
);
CREATE INDEX deliveries_by_time ON deliveries (next_at, id);
CREATE TABLE cursors (
    name text COLLATE "C" PRIMARY KEY,
    position bigint NOT NULL
);
CREATE TABLE tallies (
    book text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    amounts bytea NOT NULL,
    PRIMARY KEY (book, key, at)
);
CREATE INDEX tallies_by_time ON tallies (at);
CREATE TABLE documents (
    revision text COLLATE "C" PRIMARY KEY,
    bundle bytea NOT NULL
);
CREATE TABLE checkpoint (
    one int PRIMARY KEY CHECK (one = 1),
    note bytea NOT NULL
);
CREATE TABLE nodes (
    name text COLLATE "C" PRIMARY KEY,
    backend int NOT NULL,        -- process id of the node's control connection
    leads boolean NOT NULL,
    release text NOT NULL,
    revision text NOT NULL,      -- of the policy in force on the node
    fault text,                  -- why the newest documents on the node are not in force
    size bigint NOT NULL,        -- of the log, as the node saw it last
    skew double precision NOT NULL,  -- seconds that its clock is ahead of the database's
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE published (
    one int PRIMARY KEY CHECK (one = 1),
    revision text COLLATE "C" NOT NULL REFERENCES documents DEFERRABLE INITIALLY DEFERRED,
    by text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
