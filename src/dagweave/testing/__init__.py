"""For your tests, and ours: local servers of the vendors, contracts of the families, a clock.

`pytest_plugins = ["dagweave.testing.fixtures"]` in your `conftest.py` brings the fixtures; nothing
of this is loaded unless it is asked for.
"""

from __future__ import annotations

from dagweave.testing.airbyte import AirbyteConnection, AirbyteServer, AirbyteStream, AirbyteSync
from dagweave.testing.clock import FakeClock
from dagweave.testing.fivetran import FivetranConnection, FivetranServer, FivetranSync
from dagweave.testing.pagerduty import Incident, PagerDutyServer
from dagweave.testing.rest import HttpFault
from dagweave.testing.slack import Channel, Fault, PostedFile, PostedMessage, SlackServer

__all__ = [
    "AirbyteConnection",
    "AirbyteServer",
    "AirbyteStream",
    "AirbyteSync",
    "Channel",
    "FakeClock",
    "Fault",
    "FivetranConnection",
    "FivetranServer",
    "FivetranSync",
    "HttpFault",
    "Incident",
    "PagerDutyServer",
    "PostedFile",
    "PostedMessage",
    "SlackServer",
]
