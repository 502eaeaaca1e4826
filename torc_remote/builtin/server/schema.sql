-- Columns bear the names of the fields on the wire (torc wire 3), so that a row is a record.
-- AUTOINCREMENT: an id is never used twice, hence a worker of a deleted workflow can't reach a newer one.

CREATE TABLE workflow (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,
    user TEXT NOT NULL,
    timestamp TEXT NOT NULL,
    description TEXT,
    project TEXT,
    metadata TEXT,
    env TEXT,
    submission_directory TEXT,
    compute_node_expiration_buffer_seconds INTEGER,
    compute_node_wait_for_new_jobs_seconds INTEGER,
    compute_node_ignore_workflow_completion INTEGER,
    compute_node_wait_for_healthy_database_minutes INTEGER,
    compute_node_min_time_for_new_jobs_seconds INTEGER,
    resource_monitor_config TEXT,
    execution_config TEXT,
    slurm_defaults TEXT,
    use_pending_failed INTEGER,
    enable_ro_crate INTEGER,
    run_id INTEGER NOT NULL DEFAULT 0,
    is_canceled INTEGER NOT NULL DEFAULT 0,
    is_archived INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE resource_requirements (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    name TEXT NOT NULL,
    num_cpus INTEGER NOT NULL,
    num_gpus INTEGER NOT NULL,
    num_nodes INTEGER NOT NULL,
    memory TEXT NOT NULL,
    runtime TEXT NOT NULL,
    memory_bytes INTEGER NOT NULL,
    runtime_seconds REAL NOT NULL,
    UNIQUE (workflow_id, name)
) STRICT;

CREATE TABLE job (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    name TEXT NOT NULL,
    command TEXT NOT NULL,
    invocation_script TEXT,
    env TEXT,
    status TEXT NOT NULL,
    cancel_on_blocking_job_failure INTEGER NOT NULL DEFAULT 1,
    supports_termination INTEGER NOT NULL DEFAULT 0,
    resource_requirements_id INTEGER NOT NULL REFERENCES resource_requirements,
    priority INTEGER NOT NULL DEFAULT 0,
    labels TEXT NOT NULL DEFAULT '[]',
    scheduler_id INTEGER,
    failure_handler_id INTEGER,
    origin TEXT,
    attempt_id INTEGER NOT NULL DEFAULT 1,
    start_time TEXT,        -- while a worker holds the job
    compute_node_id INTEGER,
    run_id INTEGER,         -- the workflow's run in which the job was claimed
    result_id INTEGER,      -- what `results list` shows: the latest one, none after initialization
    UNIQUE (workflow_id, name)
) STRICT;
CREATE INDEX job_status ON job (workflow_id, status);
CREATE INDEX job_resource_requirements ON job (resource_requirements_id);

CREATE TABLE job_depends_on (
    job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    depends_on_job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    PRIMARY KEY (job_id, depends_on_job_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX job_dependants ON job_depends_on (depends_on_job_id);

CREATE TABLE file (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    st_mtime REAL,
    UNIQUE (workflow_id, name)
) STRICT;

CREATE TABLE job_file (
    job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    file_id INTEGER NOT NULL REFERENCES file ON DELETE CASCADE,
    is_output INTEGER NOT NULL,
    PRIMARY KEY (job_id, file_id, is_output)
) STRICT, WITHOUT ROWID;
CREATE INDEX file_jobs ON job_file (file_id);

CREATE TABLE user_data (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    name TEXT NOT NULL,
    data TEXT,
    is_ephemeral INTEGER,
    UNIQUE (workflow_id, name)
) STRICT;

CREATE TABLE job_user_data (
    job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    user_data_id INTEGER NOT NULL REFERENCES user_data ON DELETE CASCADE,
    is_output INTEGER NOT NULL,
    PRIMARY KEY (job_id, user_data_id, is_output)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_data_jobs ON job_user_data (user_data_id);

-- a job's inputs when it was initialized
CREATE TABLE job_input (
    job_id INTEGER PRIMARY KEY REFERENCES job ON DELETE CASCADE,
    hash TEXT NOT NULL
) STRICT;

CREATE TABLE compute_node (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    hostname TEXT NOT NULL,
    pid INTEGER NOT NULL,
    start_time TEXT NOT NULL,
    end_time TEXT,
    duration_seconds REAL,
    is_active INTEGER,
    num_cpus INTEGER NOT NULL,
    memory_gb REAL NOT NULL,
    num_gpus INTEGER NOT NULL,
    num_nodes INTEGER NOT NULL,
    compute_node_type TEXT NOT NULL,
    time_limit TEXT,
    scheduler_config_id INTEGER,
    scheduler TEXT,
    labels TEXT,
    sample_count INTEGER,
    peak_cpu_percent REAL,
    avg_cpu_percent REAL,
    peak_memory_bytes INTEGER,
    avg_memory_bytes INTEGER
) STRICT;
CREATE INDEX compute_node_workflow ON compute_node (workflow_id);

CREATE TABLE result (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id INTEGER NOT NULL REFERENCES job ON DELETE CASCADE,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    run_id INTEGER NOT NULL,
    attempt_id INTEGER NOT NULL,
    compute_node_id INTEGER NOT NULL,
    return_code INTEGER NOT NULL,
    exec_time_minutes REAL NOT NULL,
    completion_time TEXT NOT NULL,
    peak_memory_bytes INTEGER,
    avg_memory_bytes INTEGER,
    peak_cpu_percent REAL,
    avg_cpu_percent REAL,
    status TEXT NOT NULL
) STRICT;
CREATE INDEX result_workflow ON result (workflow_id);
CREATE INDEX result_job ON result (job_id);

CREATE TABLE remote_worker (
    worker TEXT NOT NULL,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    PRIMARY KEY (workflow_id, worker)
) STRICT, WITHOUT ROWID;

CREATE TABLE task (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    operation TEXT NOT NULL,
    status TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    started_at_ms INTEGER,
    finished_at_ms INTEGER
) STRICT;
CREATE INDEX task_workflow ON task (workflow_id);

CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    timestamp INTEGER NOT NULL,  -- milliseconds since 1970
    data TEXT NOT NULL
) STRICT;
CREATE INDEX event_workflow ON event (workflow_id);

-- credentials of single workers; run and compute node are known once the worker is registered
CREATE TABLE worker_token (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    workflow_id INTEGER NOT NULL REFERENCES workflow ON DELETE CASCADE,
    host TEXT NOT NULL,
    hash TEXT NOT NULL UNIQUE,
    run_id INTEGER,
    compute_node_id INTEGER
) STRICT;
CREATE INDEX worker_token_workflow ON worker_token (workflow_id);
