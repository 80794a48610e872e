"""One code location in many deployments: which one this is, and what differs in it."""

from __future__ import annotations

from dagweave.deployments.environment import Deployment, by_deployment, current_deployment

__all__ = ["Deployment", "by_deployment", "current_deployment"]
