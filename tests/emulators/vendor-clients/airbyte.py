"""Drive an Airbyte with the vendor's own SDK, which checks all that is answered; print what it got."""

from __future__ import annotations

import json
import sys

from airbyte_api import AirbyteAPI, api, models

url, workspace, client_id, client_secret, connection = sys.argv[1:]
client = models.SchemeClientCredentials(
    client_id=client_id, client_secret=client_secret, token_url=f"{url}/applications/token"
)
sdk = AirbyteAPI(server_url=url, security=models.Security(client_credentials=client))

listed = sdk.connections.list_connections(
    request=api.ListConnectionsRequest(workspace_ids=[workspace], limit=20, offset=0)
).connections_response
destinations = sdk.destinations.list_destinations(
    request=api.ListDestinationsRequest()
).destinations_response
job = sdk.jobs.create_job(
    request=models.JobCreateRequest(connection_id=connection, job_type=models.JobTypeEnum.SYNC)
).job_response
states = [
    sdk.jobs.get_job(request=api.GetJobRequest(job_id=job.job_id)).job_response.status.value
    for _ in range(3)
]
jobs = sdk.jobs.list_jobs(
    request=api.ListJobsRequest(connection_id=connection, order_by="createdAt|DESC")
).jobs_response
second = sdk.jobs.create_job(
    request=models.JobCreateRequest(connection_id=connection, job_type=models.JobTypeEnum.SYNC)
).job_response
cancelled = sdk.jobs.cancel_job(request=api.CancelJobRequest(job_id=second.job_id)).job_response
print(
    json.dumps(
        {
            "connections": [each.connection_id for each in listed.data],
            "streams": [each.name for each in listed.data[0].configurations.streams],
            "destinations": [each.destination_type for each in destinations.data],
            "states": states,
            "jobs": [each.job_id for each in jobs.data],
            "cancelled": cancelled.status.value,
        }
    )
)
