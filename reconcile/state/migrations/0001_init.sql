-- Times are milliseconds since 1970 in UTC; 0 is "none".

CREATE TABLE repositories (
    id             TEXT   PRIMARY KEY,
    installation   BIGINT NOT NULL,
    owner          TEXT   NOT NULL,
    name           TEXT   NOT NULL,
    default_branch TEXT   NOT NULL,
    clone_url      TEXT   NOT NULL,
    html_url       TEXT   NOT NULL,
    status         TEXT   NOT NULL CHECK (status IN ('active', 'removed'))
);
CREATE INDEX repositories_installation ON repositories (installation);

-- facts is the whole pull request as JSON; the columns are what is searched for.
CREATE TABLE pull_requests (
    repo       TEXT   NOT NULL,
    number     BIGINT NOT NULL,
    state      TEXT   NOT NULL,
    merged     BIGINT NOT NULL,
    head_sha   TEXT   NOT NULL,
    updated_at BIGINT NOT NULL,
    reruns     BIGINT NOT NULL DEFAULT 0,
    facts      TEXT   NOT NULL,
    PRIMARY KEY (repo, number)
);
CREATE INDEX pull_requests_head ON pull_requests (repo, head_sha);
CREATE INDEX pull_requests_state ON pull_requests (repo, state);

CREATE TABLE reported (
    repo           TEXT   NOT NULL,
    number         BIGINT NOT NULL,
    head           TEXT   NOT NULL,
    base_tip       TEXT   NOT NULL,
    reruns         BIGINT NOT NULL,
    checks         TEXT   NOT NULL,
    comment_id     BIGINT NOT NULL,
    comment_digest TEXT   NOT NULL,
    PRIMARY KEY (repo, number)
);

CREATE TABLE deliveries (
    guid         TEXT   PRIMARY KEY,
    event        TEXT   NOT NULL,
    action       TEXT   NOT NULL,
    received_at  BIGINT NOT NULL,
    completed_at BIGINT NOT NULL,
    error        TEXT   NOT NULL
);
CREATE INDEX deliveries_received ON deliveries (received_at);

-- A key is due while done < generation. Each event raises the generation; a run
-- that succeeded sets done to the generation that it saw when it began.
CREATE TABLE marks (
    key           TEXT   PRIMARY KEY,
    generation    BIGINT NOT NULL,
    done          BIGINT NOT NULL,
    pending_since BIGINT NOT NULL,
    due_at        BIGINT NOT NULL,
    held_until    BIGINT NOT NULL,
    failures      BIGINT NOT NULL,
    failed_at     BIGINT NOT NULL,
    permanent     BIGINT NOT NULL,
    error         TEXT   NOT NULL,
    updated_at    BIGINT NOT NULL
);
CREATE INDEX marks_pending ON marks (pending_since) WHERE done < generation;

-- What a delivery still waits for.
CREATE TABLE delivery_keys (
    key        TEXT   NOT NULL,
    delivery   TEXT   NOT NULL REFERENCES deliveries (guid) ON DELETE CASCADE,
    generation BIGINT NOT NULL,
    PRIMARY KEY (key, delivery)
);
CREATE INDEX delivery_keys_delivery ON delivery_keys (delivery);
