"""Submit a run from settings in the shape of the official step launcher's, and fetch its logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from dagweave._kernel.errors import DagweaveError, InvalidInput
from dagweave._kernel.wait import wait_for
from dagweave.databricks.client import DEFAULT_RUN_MAX_WAIT_TIME_SEC, DatabricksClient
from dagweave.databricks.failures import sdk, translated

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterator, Mapping

    Logger = logging.Logger | logging.LoggerAdapter[Any]

_TASKS = ("notebook_task", "spark_python_task", "spark_jar_task", "spark_submit_task")


class DatabricksJobRunner:
    """Submits runs, and fetches what their clusters logged.

    Args:
        poll_interval_sec: How often who waits for a run looks, in seconds.
        max_wait_time_sec: Longest wait, in seconds.

    The others are those of `DatabricksClient`.
    """

    def __init__(
        self,
        host: str | None = None,
        token: str | None = None,
        oauth_client_id: str | None = None,
        oauth_client_secret: str | None = None,
        azure_client_id: str | None = None,
        azure_client_secret: str | None = None,
        azure_tenant_id: str | None = None,
        poll_interval_sec: float = 5,
        max_wait_time_sec: float = DEFAULT_RUN_MAX_WAIT_TIME_SEC,
    ) -> None:
        self.poll_interval_sec = poll_interval_sec
        self.max_wait_time_sec = max_wait_time_sec
        self._client = DatabricksClient(
            host,
            token,
            oauth_client_id,
            oauth_client_secret,
            azure_client_id,
            azure_client_secret,
            azure_tenant_id,
        )

    @property
    def client(self) -> DatabricksClient:
        """The client."""
        return self._client

    def submit_run(self, run_config: Mapping[str, Any], task: Mapping[str, Any]) -> int:
        """Submit one task as a run, and return the run's id.

        Args:
            run_config: `cluster` (`{"existing": id}` or `{"new": {...}}` with `size`, `nodes` and
                what else the API takes), and, as the API has them, `libraries`, `run_name`,
                `idempotency_token`, `timeout_seconds`, `email_notifications`,
                `notification_settings`, `webhook_notifications`, `job_health_settings`. No library
                is installed that is not named.
            task: One of `notebook_task`, `spark_python_task`, `spark_jar_task`, `spark_submit_task`.

        Raises:
            InvalidInput: There is no cluster, or not one task.
        """
        if sum(task.get(kind) is not None for kind in _TASKS) != 1:
            raise InvalidInput(
                "A run of Databricks needs one task.",
                seen=f"Given are {', '.join(task) or 'none'}.",
                remedy=f"Give one of {', '.join(_TASKS)}.",
            )
        jobs = sdk("databricks.sdk.service.jobs")
        given = {**_cluster(run_config), **task, "task_key": "dagster-task"}
        given["libraries"] = list(run_config.get("libraries", []))
        notices = {
            "email_notifications": jobs.JobEmailNotifications,
            "notification_settings": jobs.JobNotificationSettings,
            "webhook_notifications": jobs.WebhookNotifications,
        }
        more = {
            name: kind.from_dict(run_config[name])
            for name, kind in notices.items()
            if name in run_config
        }
        if "job_health_settings" in run_config:
            rules = {"rules": run_config["job_health_settings"]}
            more["health"] = jobs.JobsHealthRules.from_dict(rules)
        with translated("Databricks did not start a run.", self._client.secrets):
            started: Any = self._client.workspace_client.jobs.submit(
                run_name=run_config.get("run_name"),
                tasks=[jobs.SubmitTask.from_dict(given)],
                idempotency_token=run_config.get("idempotency_token"),
                timeout_seconds=run_config.get("timeout_seconds"),
                **more,
            )
        return int(started.response.run_id)

    def retrieve_logs_for_run_id(
        self, log: Logger, databricks_run_id: int
    ) -> tuple[str | None, str | None] | None:
        """What the cluster of a run wrote to its output and its error stream.

        `None` where its logs do not go to DBFS.
        """
        workspace = self._client.workspace_client
        with translated("The logs of a run were not fetched.", self._client.secrets):
            run = workspace.jobs.get_run(databricks_run_id)
            instance = run.cluster_instance or next(
                (each.cluster_instance for each in run.tasks or () if each.cluster_instance), None
            )
            if instance is None or instance.cluster_id is None:
                log.warning("Run %s of Databricks had no cluster.", databricks_run_id)
                return None
            kept = workspace.clusters.get(instance.cluster_id).cluster_log_conf
        if kept is None or kept.dbfs is None:
            log.warning("Cluster %s does not log to DBFS.", instance.cluster_id)
            return None
        root = kept.dbfs.destination
        return (
            self.wait_for_dbfs_logs(log, root, instance.cluster_id, "stdout"),
            self.wait_for_dbfs_logs(log, root, instance.cluster_id, "stderr"),
        )

    def wait_for_dbfs_logs(
        self,
        log: Logger,
        prefix: str,
        cluster_id: str,
        filename: str,
        waiter_delay: int = 10,
        waiter_max_attempts: int = 10,
    ) -> str | None:
        """The content of a log, which may come minutes after what it logs; `None` if it does not."""
        path = f"{prefix}/{cluster_id}/driver/{filename}"

        def look() -> str | None:
            try:
                return self._client.read_file(path).decode("utf-8", "replace")
            except InvalidInput:
                return None

        try:
            return wait_for(
                look,
                what=path,
                timeout_s=float(waiter_delay * waiter_max_attempts),
                pauses=_every(waiter_delay),
                clock=self._client.clock,
            )
        except DagweaveError as error:
            log.warning("The log %s was not fetched: %s", path, error)
            return None


def _every(seconds: float) -> Iterator[float]:
    while True:
        yield seconds


def _cluster(run_config: Mapping[str, Any]) -> dict[str, Any]:
    """The cluster of a run, in the API's words."""
    cluster = run_config.get("cluster", {})
    if existing := cluster.get("existing"):
        return {"existing_cluster_id": existing}
    if not cluster.get("new"):
        raise InvalidInput(
            "A run of Databricks needs a cluster.",
            remedy='Give "cluster": {"existing": "<id>"}, or {"new": {...}}.',
        )
    new: dict[str, Any] = dict(cluster["new"])
    nodes = new.pop("nodes", {})
    new |= {name: nodes[name] for name in nodes if name != "node_types"}
    new |= nodes.get("node_types", {})
    new |= new.pop("size", {})
    tags: Any = new.get("custom_tags", {})
    if isinstance(tags, list):
        new["custom_tags"] = {
            each["key"]: each["value"] for each in cast("list[dict[str, str]]", tags)
        }
    return {"new_cluster": new}
