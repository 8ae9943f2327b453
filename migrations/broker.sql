-- Tables of the message broker, where the database is the broker: what kombu's SQLAlchemy transport expects to find.
-- It must find all of them, because the role of the service makes no tables.
-- The queues are here from the start: two workers that began together would both make them, and one would fail.

CREATE SEQUENCE IF NOT EXISTS broker.queue_id_sequence AS integer;
CREATE SEQUENCE IF NOT EXISTS broker.message_id_sequence AS integer CYCLE;

CREATE TABLE IF NOT EXISTS broker.kombu_queue (
    id integer PRIMARY KEY DEFAULT nextval('broker.queue_id_sequence'),
    name varchar(200) UNIQUE
);

CREATE TABLE IF NOT EXISTS broker.kombu_message (
    id integer PRIMARY KEY DEFAULT nextval('broker.message_id_sequence'),
    visible boolean,
    timestamp timestamp without time zone,
    payload text NOT NULL,
    version smallint NOT NULL,
    queue_id integer CONSTRAINT "FK_kombu_message_queue" REFERENCES broker.kombu_queue (id)
);

-- A worker asks for the oldest message of its queue each second. Messages taken stay until a sweep purges them,
-- so only those that wait are in the index.
CREATE INDEX IF NOT EXISTS ix_broker_message_waiting ON broker.kombu_message (queue_id, timestamp, id) WHERE visible;

INSERT INTO broker.kombu_queue (id, name)
SELECT nextval('broker.queue_id_sequence'), name FROM unnest(ARRAY['default', 'delivery', 'tracking']) AS name
ON CONFLICT (name) DO NOTHING;

GRANT SELECT, INSERT, UPDATE, DELETE ON broker.kombu_queue, broker.kombu_message TO tcma_app;
GRANT USAGE ON SEQUENCE broker.queue_id_sequence, broker.message_id_sequence TO tcma_app;
