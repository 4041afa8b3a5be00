# Copyright (c) 2026 The mlops.stack authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with PostgreSQL of its distribution, databases in it, and sets that pg_backup made of them."""

from __future__ import annotations

import importlib.util
import json
import pathlib
import subprocess
import time

import harm
import host
import pytest

SIBLING = pathlib.Path(__file__).resolve().parents[1] / "nodes" / "conftest.py"
SPEC = importlib.util.spec_from_file_location("integration_nodes", SIBLING)
NODES = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(NODES)

# A node of its own: these tests kill its PostgreSQL.
NODES.NAME = "itest-restore"
node = NODES.node

SETS = "/srv/sets"
ARTIFACTS = "/srv/artifacts"
PACKAGES = "postgresql python3-psycopg2 python3-boto3 rclone age"
ROLES = """
CREATE ROLE mlflow LOGIN PASSWORD 'mlflow';
CREATE ROLE grafana LOGIN PASSWORD 'grafana';
CREATE ROLE mlops_backup LOGIN PASSWORD 'Bk-2/x:y' IN ROLE pg_read_all_data;
CREATE ROLE mlops_restore LOGIN CREATEDB PASSWORD 'Rs-1/x:y' IN ROLE mlflow;
"""
DATABASE = """
CREATE DATABASE {name} OWNER mlflow TEMPLATE template0 ENCODING UTF8;
REVOKE ALL ON DATABASE {name} FROM PUBLIC;
GRANT CONNECT ON DATABASE {name} TO grafana, mlops_backup;
ALTER DATABASE {name} SET work_mem TO '8MB';
ALTER DATABASE {name} SET search_path TO "$user", public;
ALTER ROLE mlflow IN DATABASE {name} SET statement_timeout TO '50s';
ALTER ROLE ALL IN DATABASE {name} SET lock_timeout TO '9s';
ALTER DATABASE {name} CONNECTION LIMIT 50;
COMMENT ON DATABASE {name} IS 'the {name} of a test';
"""
TABLES = """
CREATE TABLE runs (id int PRIMARY KEY, name text);
INSERT INTO runs SELECT i, md5(i::text) FROM generate_series(1, {rows}) i;
CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('{head}');
GRANT SELECT ON runs TO grafana;
CREATE FUNCTION slowly(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1';
CREATE TABLE slow (id int);
CREATE INDEX ON slow (slowly(id));
INSERT INTO slow VALUES (1);
"""
# An index that takes its time to be built: long enough to do something terrible meanwhile.
SLOWLY = """
CREATE OR REPLACE FUNCTION slowly(int) RETURNS int LANGUAGE plpgsql IMMUTABLE
  AS 'BEGIN PERFORM pg_catalog.pg_sleep({pause}); RETURN $1; END';
"""
# What a swap must not lose, of one database.
PROPERTIES = """
SELECT pg_get_userbyid(datdba), datacl, datconnlimit, datallowconn, pg_encoding_to_char(encoding), datcollate,
  (SELECT json_agg(json_build_array(setrole::regrole, setconfig) ORDER BY setrole) FROM pg_db_role_setting
   WHERE setdatabase = d.oid)
FROM pg_database d WHERE datname = '{name}'
"""


class Stack:
    """PostgreSQL on the node, as its administrator sees it, and the modules as users run them."""

    def __init__(self, node):
        self.node = node

    def shell(self, script, text=None):
        """What a script says that runs as root on the node, and reads a text."""
        argv = ("exec", "-i", self.node.container, "bash", "-euc", script)
        return host.docker(*argv, input=text or "").stdout.rstrip("\n")

    def write(self, path, text):
        self.shell(f"cat > {path}", text)

    def sql(self, text, database="postgres", port=5432):
        """What psql says, as the superuser over the socket."""
        return self.shell(f"cd /; runuser -u postgres -- psql -p {port} -v ON_ERROR_STOP=1 -qAt -d {database}", text)

    def start_again(self):
        """Start PostgreSQL where it was stopped or killed, as its unit would after a power cut."""
        self.shell(
            "pg_isready -q || pg_ctlcluster $(ls /var/lib/postgresql) main start --skip-systemctl-redirect;"
            " pg_isready -t 60"
        )

    def databases(self):
        """The names of all databases that are not PostgreSQL's own."""
        text = "SELECT datname FROM pg_database WHERE datname !~ '^(postgres|template.)$' ORDER BY 1"
        return self.sql(text).split()

    def rows(self, database="mlflow"):
        return int(self.sql("SELECT count(*) FROM runs", database))

    def properties(self, name):
        return self.sql(PROPERTIES.format(name=name))

    def state(self):
        """What must be the same after a restore that failed."""
        names = self.databases()
        comments = self.sql("SELECT datname, oid, shobj_description(oid, 'pg_database') FROM pg_database ORDER BY 1")
        return comments, {name: (self.properties(name), self.rows(name)) for name in names}

    def check_live(self, before):
        """That all databases are as they were."""
        harm.check_live(self.state(), before)

    def fresh(self):
        """Both databases new, and nothing else."""
        for name in self.databases():
            self.sql(f'DROP DATABASE "{name}" WITH (FORCE)')
        for name, rows in (("mlflow", 2000), ("mlflow_auth", 30)):
            self.sql(DATABASE.format(name=name))
            text = TABLES.format(rows=rows, head=f"head_of_{name}")
            self.sql(f"SET ROLE mlflow;\n{text}", name)

    def slow_down(self, seconds, database="mlflow"):
        """Have a database's slow index take its time wherever it is built from now on."""
        self.sql(SLOWLY.format(pause=seconds), database)

    def backup(self, label, **more):
        options = {
            "dest": SETS,
            "label": label,
            "databases": ["mlflow", "mlflow_auth"],
            "login_host": "127.0.0.1",
            "login_password": "Bk-2/x:y",
            **more,
        }
        result = self.node.module("pg_backup", options)
        assert result["changed"] is True, result
        return result

    def options(self, label, **more):
        return {
            "source": SETS,
            "set": label,
            "login_host": "127.0.0.1",
            "login_password": "Rs-1/x:y",
            **more,
        }

    def restore(self, label, check=False, **more):
        return self.node.module("pg_restore", self.options(label, **more), check)

    def begin(self, label, **more):
        """Start a restore; it goes on meanwhile."""
        program = pathlib.Path(NODES.sys.executable).parent / "ansible"
        arguments = json.dumps(self.options(label, **more))
        argv = [program, "-i", self.node.inventory, "n1", "--become", "-m", "mlops.stack.pg_restore", "-a", arguments]
        return subprocess.Popen(
            argv, cwd=NODES.CLONE, env=NODES.ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def end(self, started):
        """The result of a restore that was started."""
        said = started.communicate(timeout=120)[0]
        assert "=> {" in said, said
        return json.loads("{" + said.partition("=> {")[2])

    def wait_for(self, query, patience=60):
        """Until a query answers something."""
        until = time.monotonic() + patience
        while time.monotonic() < until:
            found = self.sql(query)
            if found:
                return found
            time.sleep(0.2)
        raise AssertionError(f"nothing came of {query}")

    def wait_for_loading(self, database="mlflow"):
        """Until pg_restore builds the slow index of a database."""
        building = f"query LIKE 'CREATE INDEX%' AND datname ~ '^{database}__(scratch_a__)?new_a$'"
        self.wait_for(f"SELECT pid FROM pg_stat_activity WHERE {building}")


@pytest.fixture(scope="session", name="installed")
def fixture_installed(node):
    made = Stack(node)
    made.shell(f"apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq {PACKAGES}")
    made.shell("systemctl start postgresql; pg_isready -t 30")
    made.sql(ROLES)
    made.shell(f"mkdir -p {ARTIFACTS}/1/run; echo model > {ARTIFACTS}/1/run/model; echo plot > {ARTIFACTS}/1/run/plot")
    return made


@pytest.fixture
def stack(installed):
    """Both databases, new, and no set."""
    installed.shell(f"rm -rf {SETS}")
    installed.fresh()
    return installed
