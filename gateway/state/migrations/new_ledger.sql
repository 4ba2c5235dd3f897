-- Made by scripts/make_new_ledger.py from the migrations beside this file.
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0009');
CREATE TABLE attempts (
	request_id TEXT NOT NULL, 
	attempt INTEGER NOT NULL, 
	started_at_ms INTEGER NOT NULL, 
	key_id TEXT, 
	key_name TEXT, 
	team TEXT, 
	user TEXT, 
	route TEXT, 
	endpoint TEXT NOT NULL, 
	model_requested TEXT NOT NULL, 
	deployment TEXT NOT NULL, 
	provider TEXT NOT NULL, 
	model TEXT NOT NULL, 
	outcome TEXT NOT NULL, 
	status INTEGER NOT NULL, 
	error_code TEXT, 
	stream INTEGER NOT NULL, 
	cancelled INTEGER NOT NULL, 
	input_tokens INTEGER NOT NULL, 
	cached_input_tokens INTEGER NOT NULL, 
	cache_write_tokens INTEGER NOT NULL, 
	output_tokens INTEGER NOT NULL, 
	reasoning_tokens INTEGER NOT NULL, 
	estimated INTEGER NOT NULL, 
	cost_nanousd INTEGER, 
	input_nanousd INTEGER, 
	cached_input_nanousd INTEGER, 
	cache_write_nanousd INTEGER, 
	output_nanousd INTEGER, 
	unpriced_reason TEXT, 
	price_id TEXT, 
	price_source TEXT, 
	price_as_of TEXT, 
	duration_ms INTEGER NOT NULL, 
	ttft_ms INTEGER, org TEXT, tags TEXT, charges TEXT, engine_ms INTEGER, cache_level TEXT, saved_nanousd INTEGER, saved_tokens INTEGER, request_nanousd INTEGER, tool_nanousd INTEGER, upstream_nanousd INTEGER, service TEXT, usage_details TEXT, gpu_us INTEGER, 
	PRIMARY KEY (request_id, attempt)
);
CREATE TABLE charges (
	account TEXT NOT NULL, 
	window_start_s INTEGER NOT NULL, 
	amount INTEGER NOT NULL, 
	PRIMARY KEY (account, window_start_s)
)
 WITHOUT ROWID

;
CREATE TABLE hardware_hours (
	hour_s INTEGER NOT NULL, 
	deployment TEXT NOT NULL, 
	provider TEXT NOT NULL, 
	busy_us INTEGER NOT NULL, 
	idle_us INTEGER NOT NULL, 
	busy_nanousd INTEGER, 
	idle_nanousd INTEGER, 
	PRIMARY KEY (hour_s, deployment)
);
CREATE TABLE invoices (
	provider TEXT NOT NULL, 
	since_ms INTEGER NOT NULL, 
	until_ms INTEGER NOT NULL, 
	nanousd INTEGER NOT NULL, 
	noted_at_ms INTEGER NOT NULL, 
	PRIMARY KEY (provider, since_ms, until_ms)
);
CREATE TABLE key_changes (
	only INTEGER NOT NULL CHECK ("only" = 1), 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (only)
);
INSERT INTO "key_changes" VALUES(1,0);
CREATE TABLE key_secrets (
	key_id TEXT NOT NULL, 
	digest BLOB NOT NULL, 
	pepper TEXT NOT NULL, 
	created_at_ms INTEGER NOT NULL, 
	expires_at_ms INTEGER, 
	PRIMARY KEY (key_id, digest), 
	FOREIGN KEY(key_id) REFERENCES virtual_keys (id)
);
CREATE TABLE orgs (
	name TEXT NOT NULL, 
	timezone TEXT NOT NULL, 
	weight INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "orgs" VALUES('default','UTC',1,0);
CREATE TABLE prices (
	id TEXT NOT NULL, 
	rates TEXT NOT NULL, 
	first_seen_ms INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO "schema_version" VALUES(2);
CREATE TABLE teams (
	org TEXT NOT NULL, 
	name TEXT NOT NULL, 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (org, name)
);
CREATE TABLE usage_hourly (
	hour_s INTEGER NOT NULL, 
	series TEXT NOT NULL, 
	org TEXT, 
	team TEXT, 
	user TEXT, 
	key_id TEXT, 
	key_name TEXT, 
	route TEXT, 
	deployment TEXT, 
	provider TEXT, 
	model TEXT, 
	tags TEXT, 
	calls INTEGER NOT NULL, 
	attempts INTEGER NOT NULL, 
	input_tokens INTEGER NOT NULL, 
	cached_input_tokens INTEGER NOT NULL, 
	cache_write_tokens INTEGER NOT NULL, 
	output_tokens INTEGER NOT NULL, 
	reasoning_tokens INTEGER NOT NULL, 
	estimated_tokens INTEGER NOT NULL, 
	cost_nanousd INTEGER NOT NULL, 
	priced_attempts INTEGER NOT NULL, 
	unpriced_attempts INTEGER NOT NULL, 
	unpriced_tokens INTEGER NOT NULL, cache_hits INTEGER DEFAULT '0' NOT NULL, saved_nanousd INTEGER DEFAULT '0' NOT NULL, saved_tokens INTEGER DEFAULT '0' NOT NULL, upstream_nanousd INTEGER DEFAULT '0' NOT NULL, gpu_us INTEGER DEFAULT '0' NOT NULL, price_source TEXT, input_nanousd INTEGER DEFAULT '0' NOT NULL, cached_input_nanousd INTEGER DEFAULT '0' NOT NULL, cache_write_nanousd INTEGER DEFAULT '0' NOT NULL, output_nanousd INTEGER DEFAULT '0' NOT NULL, request_nanousd INTEGER DEFAULT '0' NOT NULL, tool_nanousd INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (hour_s, series)
)
 WITHOUT ROWID

;
CREATE TABLE users (
	org TEXT NOT NULL, 
	name TEXT NOT NULL, 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (org, name)
);
CREATE TABLE virtual_keys (
	id TEXT NOT NULL, 
	org TEXT NOT NULL, 
	name TEXT NOT NULL, 
	env TEXT NOT NULL, 
	last4 TEXT NOT NULL, 
	tags TEXT NOT NULL, 
	limits TEXT NOT NULL, 
	team TEXT, 
	user TEXT, 
	routes TEXT, 
	networks TEXT, 
	output_tokens_default INTEGER, 
	not_before_ms INTEGER, 
	expires_at_ms INTEGER, 
	revoked_at_ms INTEGER, 
	last_used_at_ms INTEGER, 
	disabled INTEGER NOT NULL, 
	created_at_ms INTEGER NOT NULL, 
	revision INTEGER NOT NULL, priority TEXT DEFAULT 'normal' NOT NULL, require_region TEXT, require_data_classes TEXT DEFAULT '[]' NOT NULL, uses_cache INTEGER DEFAULT '1' NOT NULL, content TEXT, cost_in_body INTEGER DEFAULT '0' NOT NULL, trust_trace_context INTEGER DEFAULT '0' NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX attempts_by_start ON attempts (started_at_ms);
CREATE INDEX virtual_keys_by_revision ON virtual_keys (revision);
CREATE INDEX virtual_keys_by_creation ON virtual_keys (created_at_ms, id);
CREATE UNIQUE INDEX virtual_keys_by_name ON virtual_keys (org, name) WHERE revoked_at_ms IS NULL;
