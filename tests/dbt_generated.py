"""Random dbt projects, and random selections of what they hold. The same seed makes the same.

Made to be hard to select from, not to be run: folders are named as models, versions are strings and
numbers, packages share names, tests stand on several nodes or none, and much is disabled.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TAGS = ["nightly", "night", "pii", "tier_1", "Tier_1"]
GROUPS = ["finance", "people"]
MODES = ["eager", "cautious", "buildable", "empty"]
NAMES = ["orders", "customers", "items", "visits", "stock", "prices", "plans", "events", "users"]
TABLES = ["t_orders", "t_customers", "orders", "t_items"]


def write_project(folder: Path, seed: int, models: int = 24) -> None:
    """Write a project; its package stands beside it, so that `dbt deps` needs no network."""
    _Project(random.Random(seed), folder, seed).write(models)


class _Project:
    def __init__(self, rng: random.Random, folder: Path, seed: int) -> None:
        self.rng = rng
        self.folder = folder
        self.name = f"p{seed}"
        self.refs: list[str] = []
        self.sources: list[str] = []

    def write(self, models: int) -> None:
        self._write_settings()
        self._write_package()
        self._write_sources()
        self._write_seeds()
        self._write_models(models)
        self._write_snapshots()
        self._write_singular_tests()
        self._write_others()
        self._put("selectors.yml", {"selectors": list(self._selectors())})

    def _put(self, path: str, content: Any) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        # JSON is YAML.
        file.write_text(content if isinstance(content, str) else json.dumps(content, indent=1))

    def _some(self, values: Sequence[str], most: int) -> list[str]:
        return self.rng.sample(values, self.rng.randint(0, min(most, len(values))))

    def _write_settings(self) -> None:
        self._put(
            "dbt_project.yml",
            {
                "name": self.name,
                "profile": "any",
                "version": "1.0",
                "on-run-start": ["select 1"],
                "on-run-end": ["select * from {{ ref('lib_base') }}, {{ ref('countries') }}"],
                "models": {
                    self.name: {
                        "orders": {"+tags": ["nightly"], "+materialized": "table"},
                        "deep": {"+tags": "pii", "+meta": {"owner": "deep", "level": 2}},
                    },
                    "lib": {"+materialized": "view", "+tags": ["lib"]},
                },
            },
        )
        self._put(
            "profiles.yml",
            {"any": {"target": "d", "outputs": {"d": {"type": "duckdb", "path": ":memory:"}}}},
        )
        self._put("packages.yml", {"packages": [{"local": "packages/lib"}]})

    def _write_package(self) -> None:
        self._put("packages/lib/dbt_project.yml", {"name": "lib", "version": "1.0"})
        self._put("packages/lib/models/lib_base.sql", "select 1 as id")
        self._put(
            "packages/lib/models/orders/lib_orders.sql", "select * from {{ ref('lib_base') }}"
        )
        self._put("packages/lib/tests/lib_holds.sql", "select * from {{ ref('lib_orders') }}")
        self._put(
            "packages/lib/models/lib.yml",
            {
                "models": [
                    {
                        "name": "lib_base",
                        "config": {"tags": ["pii"]},
                        "columns": [{"name": "id", "data_tests": ["unique", "not_null"]}],
                    }
                ],
                "sources": [{"name": "raw", "tables": [{"name": "t_orders"}]}],
            },
        )
        self.refs += ["ref('lib_base')", "ref('lib', 'lib_orders')"]

    def _write_sources(self) -> None:
        sources: list[Any] = []
        for name in ("raw", "raw_2"):
            tables = self.rng.sample(TABLES, 3)
            sources.append(
                {
                    "name": name,
                    "config": {"tags": self._some(TAGS, 1), "meta": {"owner": "raw"}},
                    "tables": [
                        {
                            "name": table,
                            "config": {"enabled": at > 0, "tags": self._some(TAGS, 2)},
                            "columns": [{"name": "id", "data_tests": self._tests("id")}],
                        }
                        for at, table in enumerate(tables)
                    ],
                }
            )
            self.sources += [f"source('{name}', '{table}')" for table in tables[1:]]
        self._put("models/orders/sources.yml", {"sources": sources})

    def _write_seeds(self) -> None:
        for name in ("countries", "orders_seed"):
            self._put(f"seeds/{name}.csv", "id,name\n1,a\n")
            self.refs.append(f"ref('{name}')")
        seed = {"name": "countries", "config": {"tags": self._some(TAGS, 2)}}
        columns = [{"name": "id", "data_tests": self._tests("id")}]
        self._put("seeds/seeds.yml", {"seeds": [{**seed, "columns": columns}]})

    def _write_models(self, count: int) -> None:
        folders = ["", "orders", "orders/customers", "deep/er/est", "deep", "users.x"]
        described: dict[str, list[Any]] = {}
        for at in range(count):
            name = f"{NAMES[at]}" if at < len(NAMES) else f"{self.rng.choice(NAMES)}_{at}"
            if self.rng.random() < 0.1:
                name = f"{name}.dotted"
            folder = self.rng.choice(folders)
            path = "/".join(filter(None, ["models", folder]))
            config = self._model_config()
            entry: dict[str, Any] = {"name": name, "config": config}
            entry["columns"] = [{"name": "id", "data_tests": self._tests("id")}]
            parents = self.rng.sample(self.refs, min(len(self.refs), self.rng.randint(0, 3)))
            if self.rng.random() < 0.4:
                parents.append(self.rng.choice(self.sources))
            code = self._code(parents)
            if self.rng.random() < 0.2:
                versions = self.rng.choice([[1, 2, 3], ["a", "b"], [1, 2.5], [0, 1]])
                entry["latest_version"] = self.rng.choice(versions)
                entry["versions"] = [{"v": version} for version in versions]
                for version in versions:
                    self._put(f"{path}/{name}_v{version}.sql", code)
                refs = [f"ref('{name}', v={version!r})" for version in versions]
            else:
                is_python = self.rng.random() < 0.07 and "." not in name
                text = self._python(parents) if is_python else code
                self._put(f"{path}/{name}.{'py' if is_python else 'sql'}", text)
                refs = [f"ref('{name}')"]
            if config.get("enabled", True) and config.get("access") != "private":
                self.refs += refs
            if "versions" in entry or self.rng.random() < 0.8:
                # Some are described beside them, some for all.
                where = path if self.rng.random() < 0.6 else "models"
                described.setdefault(where, []).append(entry)
        for where, entries in described.items():
            self._put(f"{where}/_models.yml", {"models": entries})
        self._put("models/_groups.yml", {"groups": [self._group(name) for name in GROUPS]})

    @staticmethod
    def _group(name: str) -> Any:
        return {"name": name, "owner": {"name": name}}

    def _model_config(self) -> dict[str, Any]:
        rng = self.rng
        config: dict[str, Any] = {"tags": self._some(TAGS, 2)}
        if rng.random() < 0.3:
            config["group"] = rng.choice(GROUPS)
            config["access"] = rng.choice(["private", "protected", "public"])
        elif rng.random() < 0.3:
            config["access"] = "public"
        if rng.random() < 0.4 and config.get("access") != "public":
            config["materialized"] = rng.choice(["table", "view", "ephemeral", "incremental"])
        if rng.random() < 0.5:
            meta = {"owner": rng.choice(["a", "b"]), "level": rng.choice([1, "1", True, None])}
            config["meta"] = {**meta, "teams": [rng.choice(["x", "y"]), 1, True]}
        if rng.random() < 0.08:
            config["enabled"] = False
        if rng.random() < 0.2:
            config["schema"] = "marts"
        return config

    def _code(self, parents: Sequence[str]) -> str:
        if self.rng.random() < 0.05:
            return ""
        return "\n union all ".join(f"select * from {{{{ {parent} }}}}" for parent in parents) or (
            "select 1 as id"
        )

    @staticmethod
    def _python(parents: Sequence[str]) -> str:
        lines = [f"    dbt.{parent}" for parent in parents]
        return "\n".join(["def model(dbt, session):", *lines, "    return None", ""])

    def _tests(self, column: str) -> list[Any]:
        rng, tests = self.rng, list[Any]()
        if rng.random() < 0.5:
            tests.append("unique")
        if rng.random() < 0.5:
            config = {"severity": rng.choice(["warn", "ERROR", "Warn"])}
            tests.append({"not_null": {"config": config, "tags": self._some(TAGS, 1)}})
        if rng.random() < 0.4 and self.refs:
            to = rng.choice(self.refs + self.sources)
            config = {"enabled": rng.random() < 0.9, "meta": {"owner": "a"}}
            arguments = {"to": to, "field": column}
            tests.append({"relationships": {"arguments": arguments, "config": config}})
        return tests

    def _write_snapshots(self) -> None:
        config = "{{ config(strategy='check', check_cols='all', unique_key='id', tags='nightly') }}"
        body = f"{config} select * from {{{{ {self.rng.choice(self.refs)} }}}}"
        self._put("snapshots/history.sql", f"{{% snapshot history %}}{body}{{% endsnapshot %}}")
        self.refs.append("ref('history')")
        settings = {"strategy": "check", "check_cols": "all", "unique_key": "id"}
        snapshot = {"name": "orders_2", "relation": self.refs[0], "config": settings}
        self._put("snapshots/orders/by.yml", {"snapshots": [snapshot]})

    def _write_singular_tests(self) -> None:
        for at in range(8):
            parents = self.rng.sample(self.refs + self.sources, self.rng.randint(0, 3))
            config = f"{{{{ config(tags={self._some(TAGS, 1)}, enabled={at != 3}) }}}}"
            text = "\n".join([config, "select 1", *(f"-- {{{{ {each} }}}}" for each in parents)])
            self._put(f"tests/{self.rng.choice(['', 'orders/'])}holds_{at}.sql", text)

    def _write_others(self) -> None:
        self._put(
            "analyses/orders/look.sql", f"select * from {{{{ {self.rng.choice(self.refs)} }}}}"
        )
        self._put("models/days.sql", "select date '2024-01-01' as on_day")
        spine = {"standard_granularity_column": "on_day"}
        days = {"name": "days", "time_spine": spine, "data_tests": []}
        columns = [{"name": "on_day", "granularity": "day"}]
        self._put("models/facts.sql", "select 1 as id, 2 as amount, date '2024-01-01' as on_day")
        semantic = {
            "name": "facts",
            "model": "ref('facts')",
            "config": {"meta": {"owner": "a"}, "tags": ["nightly"]},
            "defaults": {"agg_time_dimension": "on_day"},
            "entities": [{"name": "id", "type": "primary"}],
            "dimensions": [{"name": "on_day", "type": "time", "type_params": _granular()}],
            "measures": [{"name": "total", "agg": "sum", "expr": "amount", "create_metric": True}],
        }
        metric = {"name": "twice", "label": "Twice", "type": "derived"}
        metric["type_params"] = {"expr": "total * 2", "metrics": [{"name": "total"}]}  # type: ignore[assignment]
        metric["config"] = {"group": "finance", "tags": ["pii"]}  # type: ignore[assignment]
        query = {"name": "asked", "query_params": {"metrics": ["twice"], "group_by": []}}
        tested = {
            "name": "adds_up",
            "model": "facts",
            "given": [],
            "expect": {"rows": [{"id": 1}]},
            "config": {"tags": ["nightly"]},
        }
        exposures = [
            {
                "name": name,
                "type": "dashboard",
                "owner": {"email": "a@b.c"},
                "depends_on": [*self.rng.sample(self.refs, 2), self.rng.choice(self.sources)],
                "config": {"tags": self._some(TAGS, 2), "enabled": name != "off"},
            }
            for name in ("board", "orders", "off")
        ]
        self._put(
            "models/others.yml",
            {
                "models": [{**days, "columns": columns}],
                "semantic_models": [semantic],
                "metrics": [metric],
                "saved_queries": [query],
                "unit_tests": [tested],
                "exposures": exposures,
            },
        )

    def _selectors(self) -> Iterator[Any]:
        names: list[str] = []
        for at in range(14):
            yield {"name": f"s{at}", "definition": self._definition(names, depth=2, root=True)}
            names.append(f"s{at}")

    def _definition(self, names: Sequence[str], depth: int, *, root: bool = False) -> Any:
        rng = self.rng
        kind = rng.random()
        if depth and kind < 0.5:
            how = rng.choice(["union", "intersection"])
            parts = [self._definition(names, depth - 1) for _ in range(rng.randint(1, 3))]
            # One exclusion for each union, says dbt, and those of its parts count.
            already = [part for part in parts if isinstance(part, dict) and "exclude" in part]
            parts = [part for part in parts if part not in already[1:]]
            if not already and rng.random() < 0.4:
                excluded = [self._definition(names, depth - 1) for _ in range(rng.randint(1, 2))]
                parts.append({"exclude": excluded})
            return {how: parts}
        if kind < 0.6 and names:
            return {"method": "selector", "value": rng.choice(names)}
        method, value = rng.choice(_PLAIN)
        if kind < 0.7 and not root:
            before, after = rng.choice(["", "+", "1+", "@"]), ""
            return f"{before}{method}:{value}{after}"
        if kind < 0.8:
            return {method: value}
        return self._with_reach({"method": method, "value": value}, names, depth)

    def _with_reach(self, definition: dict[str, Any], names: Sequence[str], depth: int) -> Any:
        rng = self.rng
        reach = rng.choice(["", "parents", "children", "both", "around"])
        if reach == "around":
            definition["childrens_parents"] = True
        for direction in ("parents", "children"):
            if reach in (direction, "both"):
                definition[direction] = True
                if rng.random() < 0.4:
                    definition[f"{direction}_depth"] = rng.choice([1, 2, "1"])
        if rng.random() < 0.4:
            definition["indirect_selection"] = rng.choice(MODES)
        if rng.random() < 0.2 and depth:
            definition["exclude"] = [self._definition(names, 0)]
        return definition


def _granular() -> Any:
    return {"time_granularity": "day"}


_PLAIN: list[tuple[str, Any]] = [
    ("tag", "nightly"),
    ("tag", "pii"),
    ("fqn", "orders"),
    ("fqn", "orders.*"),
    ("fqn", "*"),
    ("path", "models/orders"),
    ("package", "lib"),
    ("resource_type", "model"),
    ("resource_type", "test"),
    ("resource_type", "snapshot"),
    ("source", "raw"),
    ("config.materialized", "table"),
    ("config.meta.owner", "a"),
    ("test_type", "generic"),
    ("test_name", "relationships"),
    ("group", "finance"),
    ("access", "public"),
    ("exposure", "*"),
]


def selections(manifest: Mapping[str, Any], seed: int, count: int) -> list[dict[str, str]]:
    """Selections of what is in a manifest: options of the command line by name."""
    rng = random.Random(seed)
    criteria = _Criteria(rng, manifest)
    found: list[dict[str, str]] = []
    for _ in range(count):
        said = {"indirect": rng.choice(MODES)}
        if rng.random() < 0.15:
            said["selector"] = rng.choice(sorted(manifest["selectors"]))
        else:
            said["select"] = criteria.union()
            if rng.random() < 0.4:
                said["exclude"] = criteria.union()
        found.append(said)
    return found


class _Criteria:
    """Makes criteria that match something more often than not."""

    def __init__(self, rng: random.Random, manifest: Mapping[str, Any]) -> None:
        self.rng = rng
        sections = ("nodes", "sources", "exposures", "metrics", "semantic_models")
        more = ("saved_queries", "unit_tests", "functions")
        self.nodes: list[Any] = [
            node for name in (*sections, *more) for node in manifest.get(name, {}).values()
        ]
        self.models = [node for node in self.nodes if node["resource_type"] == "model"]
        self.methods: list[Callable[[], str]] = [
            *[self._fqn] * 6,
            *[self._path] * 3,
            *[self._config] * 3,
            *[self._source] * 2,
            self._file,
            self._tag,
            self._other,
            self._other,
            self._odd,
        ]

    def union(self) -> str:
        words = (
            ",".join(self.one() for _ in range(self.rng.choice([1, 1, 1, 2, 3])))
            for _ in range(self.rng.choice([1, 1, 2, 3]))
        )
        return " ".join(words)

    def one(self) -> str:
        before = self.rng.choice(["", "", "", "+", "1+", "2+", "0+", "@"])
        after = "" if before == "@" else self.rng.choice(["", "", "", "+", "+1", "+2", "+0"])
        return before + self.rng.choice(self.methods)() + after

    def _blurred(self, text: str) -> str:
        """The text, or a pattern of it."""
        kind, at = self.rng.random(), self.rng.randint(0, max(0, len(text) - 1))
        if kind < 0.6:
            return text
        if kind < 0.75:
            return f"{text[:at]}*"
        if kind < 0.85:
            return f"*{text[at:]}"
        if kind < 0.95:
            return f"{text[:at]}?{text[at + 1 :]}"
        return f"{text[:at]}[{text[at : at + 1]}-z]{text[at + 1 :]}"

    def _fqn(self) -> str:
        node = self.rng.choice(self.models if self.rng.random() < 0.7 else self.nodes)
        fqn: list[str] = node["fqn"]
        start = self.rng.choice([0, 1, 1, len(fqn) - 1])
        value = ".".join(fqn[start : self.rng.choice([len(fqn), start + 1, len(fqn) - 1])])
        if node.get("version") is not None and self.rng.random() < 0.5:
            value = self.rng.choice([f"{node['name']}_{fqn[-1]}", f"{node['name']}.{fqn[-1]}"])
        value = self._blurred(value or node["name"])
        return self.rng.choice(["", "", "fqn:"]) + value

    def _path(self) -> str:
        path = Path(self.rng.choice(self.nodes)["original_file_path"])
        some = self.rng.choice([path, *list(path.parents)[:-1]])
        value = self.rng.choice(
            [
                str(some),
                self._blurred(str(some)),
                f"{some}/",
                f"./{some}",
                f"{some}/**",
                f"**/{path.name}",
                f"{some}/*",
                f"models/**/*{path.suffix}",
            ]
        )
        return f"path:{value}" if self.rng.random() < 0.7 or "/" not in value else value

    def _file(self) -> str:
        path = Path(self.rng.choice(self.nodes)["original_file_path"])
        return f"file:{self._blurred(self.rng.choice([path.name, path.stem]))}"

    def _tag(self) -> str:
        return f"tag:{self._blurred(self.rng.choice([*TAGS, 'lib', 'none']))}"

    def _source(self) -> str:
        parts = [
            self.rng.choice(["p*", "lib", "*"]),
            self._blurred(self.rng.choice(["raw", "raw_2"])),
            self._blurred(self.rng.choice(TABLES)),
        ]
        return "source:" + ".".join(parts[-self.rng.choice([1, 2, 3]) :][: self.rng.choice([1, 3])])

    def _config(self) -> str:
        return "config." + self.rng.choice(
            [
                "materialized:table",
                "materialized:view",
                "materialized:Table",
                "severity:warn",
                "severity:Error",
                "enabled:true",
                "enabled:TRUE",
                "enabled:false",
                "schema:marts",
                "tags:pii",
                "group:finance",
                "access:public",
                "meta.owner:a",
                "meta.owner:raw",
                "meta.level:1",
                "meta.level:true",
                "meta.level:2",
                "meta.teams:x",
                "meta.teams:true",
                "meta.teams:1",
                "meta:x",
                "nothing:x",
                "materialized.x:table",
                "quoting.database:true",
                "full_refresh:true",
                "unique_key:id",
                "contract.enforced:false",
                "on_schema_change:ignore",
                "static_analysis:on",
            ]
        )

    def _other(self) -> str:
        return self.rng.choice(
            [
                "package:this",
                "package:lib",
                "package:p*",
                "package:this*",
                "group:finance",
                "group:*",
                "group:fin?nce",
                "access:public",
                "access:protected",
                "access:private",
                "access:*",
                "exposure:board",
                "exposure:lib.*",
                "exposure:*.o*",
                "metric:*",
                "metric:total",
                "semantic_model:facts",
                "saved_query:asked",
                "unit_test:adds_up",
                "unit_test:*",
                "version:latest",
                "version:old",
                "version:none",
                "version:prerelease",
                "test_name:unique",
                "test_name:rel*",
                "test_name:adds*",
                "test_type:generic",
                "test_type:schema",
                "test_type:singular",
                "test_type:data",
                "test_type:unit",
                *(
                    f"resource_type:{kind}"
                    for kind in [
                        "model",
                        "test",
                        "seed",
                        "snapshot",
                        "source",
                        "exposure",
                        "metric",
                        "semantic_model",
                        "saved_query",
                        "unit_test",
                        "analysis",
                        "function",
                    ]
                ),
            ]
        )

    def _odd(self) -> str:
        return self.rng.choice(
            [
                "nowhere",
                "*",
                "?",
                "[o]rders",
                "*.*",
                "orders.",
                ".orders",
                "ORDERS",
                "resource_type:table",
                "resource_type:operation",
                "test_type:big",
                "version:best",
                "source:a.b.c.d",
                "exposure:a.b.c",
                "label:x",
                "label.y:x",
                "tag.y:pii",
                "fqn.x:orders",
                "orders:",
                "path:/models",
                "source:",
                "tag:",
                "package:",
                "file:",
                "@",
                "+",
                "x.sql",
                "orders.sql",
                "orders.SQL",
                "countries.csv",
                "@orders+",
                "+@orders",
                "++orders",
                "orders++",
                "3",
                "1+1",
                "config:x",
                "config.:x",
                "resource_type:fixture",
                "resource_type:macro",
                "resource_type:sql_operation",
                "resource_type:group",
            ]
        )
